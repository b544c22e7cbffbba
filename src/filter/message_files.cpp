#include "filter/message_files.hpp"

#include "spool/names.hpp"

#include <boost/system/errc.hpp>

#include <utility>

namespace filter {

namespace {

std::string base_name(const std::string& path) {
    return path.substr(path.rfind('/') + 1);
}

base::result<void> gone(base::result<void> removed) {
    if (removed.has_error() && removed.error().code == boost::system::errc::no_such_file_or_directory)
        return {};
    return removed;
}

} // namespace

message_files::message_files(spool::store& store, const job& now)
    : directory_(store.directory()), content_(base_name(now.content_path)),
      envelope_(base_name(now.envelope_path)) {}

base::result<mail::parsed_envelope> message_files::read_envelope() const {
    auto text = directory_.read(envelope_, spool::max_envelope_size);
    if (text.has_error())
        return text.error();
    return mail::parse_envelope(*text);
}

base::result<void> message_files::write_envelope(const mail::envelope& text,
                                                 const std::vector<std::string>& extra) const {
    std::string temporary = envelope_ + ".tmp";
    (void)directory_.remove(temporary); // left by somebody
    auto outcome = directory_.write_new(temporary, mail::rewrite_envelope(text, extra), false);
    if (outcome.has_value())
        outcome = directory_.rename(temporary, envelope_);
    if (outcome.has_error())
        (void)directory_.remove(temporary);
    return outcome;
}

base::result<spool::opened_content> message_files::open_content() const {
    return directory_.open_content(content_);
}

base::result<void> message_files::replace_content(std::string_view suffix, os::file written) const {
    std::string temporary = content_;
    temporary += suffix;
    auto outcome = directory_.files().close(std::move(written));
    if (outcome.has_value())
        outcome = directory_.rename(temporary, content_);
    if (outcome.has_error())
        (void)directory_.remove(temporary);
    return outcome;
}

base::result<void> message_files::remove_envelope() const {
    return gone(directory_.remove(envelope_));
}

base::result<void> message_files::remove_content() const {
    return gone(directory_.remove(content_));
}

} // namespace filter
