#include "spool/journal.hpp"

namespace spool {

struct journal::impl {};

journal::journal(folder&, journal_settings, base::logger) {}
journal::~journal() = default;

void journal::put(const std::string&, std::string_view, std::string_view,
                  std::shared_ptr<journal_client> client) {
    client->declined();
}

void journal::stored(const std::string&) {}

void journal::append(record_kind, const std::string&, urgency, std::shared_ptr<journal_client> client) {
    if (client)
        client->declined();
}

base::result<bool> journal::append_and_wait(record_kind, std::span<const std::string>, urgency) {
    return false;
}

void journal::close() {}

} // namespace spool
