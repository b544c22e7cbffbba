#include "filter/message_id.hpp"

#include "base/text.hpp"
#include "filter/message_files.hpp"
#include "os/clock.hpp"
#include "os/machine.hpp"
#include "spool/content_edits.hpp"

#include <fmt/format.h>

#include <atomic>
#include <utility>

namespace filter {

namespace {

constexpr std::size_t piece_size = 64 * 1024;
constexpr std::string_view temporary_suffix = spool::content_edits::message_id;

// <seconds.microseconds.pid.count@domain>; the count is the process's.
std::string new_id(const std::string& domain) {
    static std::atomic<std::uint64_t> count{0};
    std::int64_t now = os::nanoseconds_now();
    return fmt::format("<{}.{}.{}.{}@{}>", now / 1'000'000'000, now / 1000 % 1'000'000, os::process_id(),
                       count++, domain);
}

base::result<bool> has_field(os::filesystem& files, const os::file& content, const char* name) {
    field_search search{name};
    std::string piece(piece_size, '\0');
    for (;;) {
        auto n = files.read(content, piece);
        if (n.has_error())
            return n.error();
        auto now = *n == 0 ? search.end() : search.read(std::string_view(piece).substr(0, *n));
        if (now != field_search::state::searching)
            return now == field_search::state::found;
    }
}

} // namespace

field_search::field_search(std::string name) : name_(std::move(name)) {}

field_search::state field_search::read(std::string_view piece) {
    for (char c : piece) {
        if (now_ != state::searching)
            break;
        if (c == '\n') {
            if (!in_line_ && (line_.empty() || line_ == "\r"))
                now_ = state::absent;
            line_.clear();
            in_line_ = false;
        } else if (!in_line_) {
            line_ += c;
            if (line_.size() == name_.size()) {
                if (base::iequals(line_, name_))
                    now_ = state::found;
                in_line_ = true;
            }
        }
    }
    return now_;
}

field_search::state field_search::end() {
    if (now_ == state::searching)
        now_ = state::absent;
    return now_;
}

message_id::message_id(std::string domain, const services& with)
    : blocking_filter("msgid:", with), domain_(std::move(domain)) {}

base::result<result> message_id::work_on(const job& now) {
    message_files files(store_, now);
    os::filesystem& disk = files.directory().files();
    auto content = files.open_content();
    if (content.has_error())
        return content.error();
    auto there = has_field(disk, content->file, "message-id:");
    if (there.has_error())
        return there.error();
    if (*there)
        return result::ok();
    std::string temporary = files.content_name() + std::string(temporary_suffix);
    (void)files.directory().remove(temporary); // left by somebody
    auto made = files.directory().open(temporary, os::open_mode::create);
    if (made.has_error())
        return made.error();
    auto written = disk.write(*made, "Message-ID: " + new_id(domain_) + "\r\n");
    if (written.has_value())
        written = spool::copy_content(disk, content->file, *made);
    if (written.has_error()) {
        (void)files.directory().remove(temporary);
        return written.error();
    }
    if (auto replaced = files.replace_content(temporary_suffix, std::move(*made)); replaced.has_error())
        return replaced.error();
    return result::ok();
}

} // namespace filter
