#include "spool/shared_content.hpp"

#include "spool/core.hpp"
#include "spool/names.hpp"

#include <boost/system/errc.hpp>

namespace spool {

namespace errc = boost::system::errc;

base::result<std::vector<std::string>> sub_directories_of(core& shared) {
    const folder& dir = shared.dir;
    auto names = shared.index.other_names();
    if (names.has_error())
        return names;
    std::erase_if(*names, [&](const std::string& name) {
        auto about = dir.status(name);
        if (about.has_error())
            return about.error().code == errc::no_such_file_or_directory;
        if (about->kind != os::file_status::type::other)
            return about->kind == os::file_status::type::regular;
        auto opened = dir.files().open_directory(dir.directory(), name);
        return opened.has_error() && (opened.error().code == errc::no_such_file_or_directory ||
                                      opened.error().code == errc::not_a_directory);
    });
    return names;
}

base::result<void> leave_out_needed(std::set<std::string, std::less<>>& ids, const folder& spool,
                                    const std::vector<std::string>& sub_directories) {
    const auto look_at = [&ids](std::string_view name) {
        for (std::size_t at = name.find(envelope_suffix); at != name.npos;
             at = name.find(envelope_suffix, at + 1))
            if (auto needed = ids.find(name.substr(0, at)); needed != ids.end())
                ids.erase(needed);
    };
    if (auto listed = spool.files().list(spool.directory(), look_at); listed.has_error())
        return listed;
    for (const std::string& name : sub_directories) {
        auto opened = spool.files().open_directory(spool.directory(), name);
        if (opened.has_error())
            return opened.error();
        if (auto listed = spool.files().list(*opened, look_at); listed.has_error())
            return listed;
    }
    return {};
}

} // namespace spool
