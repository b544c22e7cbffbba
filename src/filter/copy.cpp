#include "filter/copy.hpp"

#include "base/text.hpp"
#include "filter/message_files.hpp"
#include "filter/parameters.hpp"

#include <boost/system/errc.hpp>

#include <cerrno>
#include <set>
#include <utility>

namespace filter {

namespace errc = boost::system::errc;

namespace {

std::string shown_name(std::string_view scheme, std::string_view parameters) {
    return std::string(scheme).append(parameters);
}

delivery_options options_of(const parameters& given) {
    delivery_options how;
    how.hard_link = given.has({"hardlink", "h"});
    return how;
}

bool keeps_originals(const parameters& given) {
    return given.has({"nodelete", "n", "no_delete"});
}

} // namespace

std::vector<std::string> unknown_to_copy(std::string_view given) {
    return parameters(given).other_than({"hardlink", "h", "nodelete", "n", "no_delete", "pop", "p"});
}

copy::copy(std::string_view given, const services& with)
    : blocking_filter(shown_name("copy:", given), with), how_(options_of(parameters(given))),
      keep_originals_(keeps_originals(parameters(given))) {
    const bool for_pop = parameters(given).has({"pop", "p"});
    // Forwarding takes the content with the original: mailboxes that share it need it longer.
    how_.envelope_only = for_pop && !keep_originals_;
    how_.hard_link = how_.hard_link || (for_pop && keep_originals_);
}

base::result<std::vector<std::string>> copy::mailboxes(const spool::folder& directory) const {
    auto names = store_.other_names();
    if (names.has_error())
        return names;
    std::erase_if(*names, [&](const std::string& name) {
        return name == "postmaster" ||
               directory.files().open_directory(directory.directory(), name).has_error();
    });
    return names;
}

base::result<result> copy::work_on(const job& now) {
    message_files message(store_, now);
    spool::folder& directory = message.directory();
    auto names = mailboxes(directory);
    if (names.has_error())
        return names.error();
    if (names->empty()) {
        now.log.warning("copy filter: no sub-directories of [{}] to copy in to", directory.path());
        return result::ok();
    }
    for (const std::string& name : *names) {
        auto done = delivery(store_, message, now.id, how_).into(directory.directory(), name);
        if (done.has_error())
            return base::error{done.error().code, "copy into [" + name + "]: " + done.error().what};
    }
    if (keep_originals_)
        return result::ok();
    auto removed = message.remove_envelope();
    if (removed.has_value() && !how_.envelope_only)
        removed = message.remove_content();
    if (removed.has_error())
        return removed.error();
    return result::abandon();
}

deliver::deliver(std::string_view given, std::string directory, const services& with)
    : blocking_filter(shown_name("deliver:", given), with), how_(options_of(parameters(given))),
      keep_originals_(keeps_originals(parameters(given))), directory_(std::move(directory)) {}

base::result<result> deliver::work_on(const job& now) {
    message_files message(store_, now);
    auto envelope = message.read_envelope();
    if (envelope.has_error())
        return envelope.error();
    const std::set<std::string> mailboxes(envelope->value.to_local.begin(), envelope->value.to_local.end());
    if (mailboxes.empty())
        return result::ok();
    for (const std::string& name : mailboxes)
        if (!is_mailbox_name(name))
            return base::error{{}, "invalid mailbox name [" + base::printable(name) + "]"};

    os::filesystem& files = message.directory().files();
    auto base_directory = files.open_directory(directory_.empty() ? message.directory().path() : directory_);
    if (base_directory.has_error())
        return base_directory.error();
    for (const std::string& name : mailboxes) {
        auto made = files.make_directory(*base_directory, name);
        if (made.has_error() && made.error().code != errc::file_exists)
            return made.error();
        if (made.has_value() && store_.syncs())
            if (auto flushed = files.flush(*base_directory); flushed.has_error())
                return flushed.error();
        auto done = delivery(store_, message, now.id, how_).into(*base_directory, name);
        if (done.has_error())
            return base::error{done.error().code, "deliver to [" + name + "]: " + done.error().what};
        now.log.verbose("delivery: [{}]: mailbox [{}]", now.id, base::printable(name));
    }
    if (keep_originals_ || !envelope->value.to_remote.empty())
        return result::ok();
    auto removed = message.remove_envelope();
    if (removed.has_value())
        removed = message.remove_content();
    if (removed.has_error())
        return removed.error();
    return result::abandon();
}

} // namespace filter
