#include "spool/envelope_copies.hpp"

#include "spool/names.hpp"

#include <boost/system/errc.hpp>

#include <algorithm>

namespace spool {

base::result<void> envelope_copies::make(const std::string& id, std::string_view envelope) {
    std::vector<std::string> names;
    if (auto listed = dir_.files().list(dir_.directory(), [&](auto name) { names.emplace_back(name); });
        listed.has_error())
        return listed;
    std::sort(names.begin(), names.end());
    std::size_t found = 0;
    base::result<void> outcome;
    for (const std::string& name : names) {
        auto about = dir_.status(name);
        if (about.has_value() && about->kind != os::file_status::type::directory)
            continue;
        if (about.has_error() && about.error().code == boost::system::errc::no_such_file_or_directory)
            continue; // gone since it was listed
        ++found;
        auto copied = about.has_error() ? about.error() : make_one(name, id, envelope);
        if (copied.has_error() && outcome.has_value())
            outcome = base::error{copied.error().code, "cannot copy into " + dir_.path_of(name)};
    }
    if (found == 0)
        return base::error{{}, "no sub-directories to copy into: check permissions"};
    return outcome;
}

base::result<void> envelope_copies::make_one(const std::string& sub_directory, const std::string& id,
                                             std::string_view envelope) {
    auto opened = dir_.open(sub_directory, os::open_mode::read);
    if (opened.has_error())
        return opened.error();
    folder into(dir_.files(), std::move(*opened), dir_.path_of(sub_directory));
    std::string temporary = name_of(id, new_suffix);
    std::string name = name_of(id, envelope_suffix);
    if (auto written = into.write_new(temporary, envelope, true); written.has_error())
        return written;
    if (auto renamed = into.rename_new(temporary, name); renamed.has_error()) {
        (void)into.remove(temporary);
        return renamed;
    }
    made_.push_back({sub_directory, name});
    return into.flush();
}

void envelope_copies::undo() {
    for (const copy& one : made_)
        if (auto opened = dir_.open(one.sub_directory, os::open_mode::read); opened.has_value())
            (void)dir_.files().remove(*opened, one.name);
    made_.clear();
}

} // namespace spool
