#include "spool/mailbox.hpp"

#include "base/text.hpp"
#include "spool/core.hpp"
#include "spool/names.hpp"
#include "spool/shared_content.hpp"
#include "spool/store_impl.hpp"

#include <boost/system/errc.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace spool {

namespace errc = boost::system::errc;

namespace {

constexpr std::size_t noted_at_once = 64; // removals that the journal learns of together

} // namespace

mailbox::mailbox(store& of) : shared_(of.impl_->shared) {}

mailbox::mailbox(std::shared_ptr<core> shared, os::file sub_directory, std::string user)
    : shared_(std::move(shared)), sub_directory_(std::move(sub_directory)), user_(std::move(user)) {}

base::result<mailbox> mailbox::of_user(store& of, const std::string& user) {
    if (!is_name(user))
        return base::make_error(EINVAL, "mailbox of [" + base::printable(user) + "]");
    std::shared_ptr<core> shared = of.impl_->shared;
    os::filesystem& files = shared->dir.files();
    bool created = files.make_directory(shared->dir.directory(), user).has_value();
    auto opened = files.open_directory(shared->dir.directory(), user);
    if (opened.has_error())
        return opened.error();
    if (created)
        shared->log.summary("created pop-by-name sub-directory [{}]", base::printable(user));
    mailbox made(std::move(shared), std::move(*opened), user);
    made.created_ = created;
    return made;
}

os::filesystem& mailbox::files() const {
    return shared_->dir.files();
}

const os::file& mailbox::directory() const {
    return sub_directory_ ? sub_directory_ : shared_->dir.directory();
}

base::result<void> mailbox::list(const std::function<void(std::string_view, std::uint64_t)>& each) {
    // All names in one piece: a large mailbox is no reason for fifty thousand small ones.
    struct place {
        std::size_t begin, size;
    };
    std::string text;
    std::vector<place> names;
    auto listed = files().list(directory(), [&](std::string_view name) {
        if (id_of(name, envelope_suffix).empty())
            return;
        names.push_back({text.size(), name.size()});
        text += name;
    });
    if (listed.has_error())
        return listed;
    const auto name_at = [&text](const place& p) {
        return std::string_view(text).substr(p.begin, p.size);
    };
    std::ranges::sort(names, {}, name_at);
    for (const place& p : names) {
        std::string_view id = id_of(name_at(p), envelope_suffix);
        std::string body = name_of(id, content_suffix);
        auto about = files().status(directory(), body);
        if (about.has_error() && sub_directory_)
            about = files().status(shared_->dir.directory(), body);
        if (about.has_value() && about->kind == os::file_status::type::regular && about->size != 0)
            each(id, about->size);
    }
    return {};
}

base::result<mailbox::content> mailbox::open(const std::string& id) {
    std::string name = name_of(id, content_suffix);
    auto opened = open_content(files(), directory(), name, shared_->dir.directory());
    if (opened.has_error() && sub_directory_)
        opened = shared_->dir.open_content(name);
    if (opened.has_error())
        return opened.error();
    return content(files(), std::move(opened->file));
}

base::result<std::size_t> mailbox::content::read(std::span<char> into) {
    auto got = files_->read_at(file_, at_, into);
    if (got.has_value())
        at_ += *got;
    return got;
}

bool mailbox::remove(const std::vector<std::string>& ids) {
    if (sub_directory_)
        return remove_from_user(ids);
    bool all = true;
    for (std::size_t i = 0; i < ids.size(); i += noted_at_once)
        all = remove_from_spool(std::span(ids).subspan(i, std::min(noted_at_once, ids.size() - i))) && all;
    return all;
}

// The journal is told before and after, so that a deletion that was cut off is completed; one of the last
// half second may be undone by a power cut. The envelope decides who has a message: whoever finds it gone
// leaves the content alone.
bool mailbox::remove_from_spool(std::span<const std::string> ids) {
    std::vector<std::string> present;
    bool all = true;
    for (const std::string& id : ids) {
        if (shared_->dir.exists(name_of(id, envelope_suffix)))
            present.push_back(id);
        else
            all = removed(directory(), name_of(id, envelope_suffix), {}) && all; // says so in the log
    }
    if (present.empty())
        return all;
    std::uint64_t number = shared_->claims.next(present.size());
    (void)shared_->records.claim(present, number); // declined or not, the files are what counts
    for (const std::string& id : present) {
        bool gone = removed(directory(), name_of(id, envelope_suffix), {});
        all = gone && removed(directory(), name_of(id, content_suffix), {}) && all;
        shared_->records.append(gone ? record_kind::done : record_kind::released, id, urgency::riding,
                                number++);
    }
    return all;
}

// Of a user's own directory the journal knows nothing.
bool mailbox::remove_from_user(const std::vector<std::string>& ids) {
    const std::string where = user_ + "/";
    std::set<std::string, std::less<>> shared;
    bool all = true;
    for (const std::string& id : ids) {
        const std::string body = name_of(id, content_suffix);
        if (!removed(directory(), name_of(id, envelope_suffix), where)) {
            all = false;
            continue;
        }
        auto own = files().status(directory(), body);
        if (own.has_value())
            all = removed(directory(), body, where) && all;
        else if (own.error().code != errc::no_such_file_or_directory)
            all = deletion_failed(where + body, own.error());
        else if (shared_->dir.exists(body))
            shared.insert(id);
    }
    return remove_shared(std::move(shared)) && all;
}

// A message of the same name in the spool directory is another one as long as its envelope is there. One
// whose state changes meanwhile may be missed by a look, but not by one before and one behind.
bool mailbox::remove_shared(std::set<std::string, std::less<>> ids) {
    const auto needed = [this](const std::string& id) {
        return is_needed(id);
    };
    std::erase_if(ids, needed);
    if (ids.empty())
        return true;
    auto mailboxes = sub_directories_of(*shared_);
    auto known = mailboxes.has_value() ? leave_out_needed(ids, shared_->dir, *mailboxes) : mailboxes.error();
    std::erase_if(ids, needed);
    bool all = true;
    for (const std::string& id : ids) {
        const std::string body = name_of(id, content_suffix);
        if (known.has_error()) {
            all = deletion_failed(body, known.error());
        } else if (removed(shared_->dir.directory(), body, {})) {
            shared_->records.append(record_kind::done, id, urgency::riding);
        } else {
            all = false;
        }
    }
    return all;
}

// Content that is gone has been deleted by somebody else who had its last envelope.
bool mailbox::removed(const os::file& from, const std::string& name, const std::string& where) const {
    auto outcome = files().remove(from, name);
    if (outcome.has_value())
        return true;
    bool is_gone = outcome.error().code == errc::no_such_file_or_directory;
    return (is_gone && name.ends_with(content_suffix)) || deletion_failed(where + name, outcome.error());
}

bool mailbox::deletion_failed(const std::string& name, const base::error& why) const {
    shared_->log.error("failed to delete {}: {}", base::printable(shared_->dir.path_of(name)),
                       base::to_lower(why.code.message()));
    return false;
}

// By an envelope in any state in the spool directory.
bool mailbox::is_needed(const std::string& id) const {
    constexpr std::array states{envelope_suffix, new_suffix, busy_suffix, bad_suffix, held_suffix};
    return std::ranges::any_of(
        states, [&](std::string_view state) { return shared_->dir.exists(name_of(id, state)); });
}

std::vector<std::string> inaccessible_mailboxes(store& of) {
    core& shared = *of.impl_->shared;
    const folder& dir = shared.dir;
    auto names = sub_directories_of(shared);
    if (names.has_error())
        return {};
    std::erase_if(*names, [&](const std::string& name) {
        auto opened = dir.files().open_directory(dir.directory(), name);
        return opened.has_value() && dir.files().list(*opened, [](std::string_view) {}).has_value();
    });
    return std::move(*names);
}

} // namespace spool
