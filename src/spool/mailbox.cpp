#include "spool/mailbox.hpp"

#include "base/text.hpp"
#include "spool/core.hpp"
#include "spool/names.hpp"
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
    if (sub_directory_) {
        auto mailboxes = sub_directories_of(*shared_);
        bool all = true;
        for (const std::string& id : ids)
            all = remove_from_user(id, mailboxes) && all;
        return all;
    }
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

// Of a user's own directory the journal knows nothing. A message of the same name in the spool directory is
// another one as long as its envelope is there.
bool mailbox::remove_from_user(const std::string& id,
                               const base::result<std::vector<std::string>>& mailboxes) {
    std::string body = name_of(id, content_suffix), where = user_ + "/";
    if (!removed(directory(), name_of(id, envelope_suffix), where))
        return false;
    auto own = files().status(directory(), body);
    if (own.has_value())
        return removed(directory(), body, where);
    if (own.error().code != errc::no_such_file_or_directory)
        return deletion_failed(where + body, own.error());
    if (mailboxes.has_error())
        return deletion_failed(body, mailboxes.error());
    if (is_needed(id, *mailboxes) || !shared_->dir.exists(body))
        return true;
    bool gone = removed(shared_->dir.directory(), body, {});
    if (gone)
        shared_->records.append(record_kind::done, id, urgency::riding);
    return gone;
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

// By an envelope in any state in the spool directory, or by one in anybody's sub-directory.
bool mailbox::is_needed(const std::string& id, const std::vector<std::string>& mailboxes) const {
    constexpr std::array states{envelope_suffix, new_suffix, busy_suffix, bad_suffix, held_suffix};
    for (std::string_view state : states)
        if (shared_->dir.exists(name_of(id, state)))
            return true;
    std::string envelope = "/" + name_of(id, envelope_suffix);
    return std::any_of(mailboxes.begin(), mailboxes.end(),
                       [&](const std::string& one) { return shared_->dir.exists(one + envelope); });
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
