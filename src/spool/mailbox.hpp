// The messages that one POP user sees: ready ones of the spool directory, or of a sub-directory named like
// the user, whose content may be kept in the spool directory for several users (spec/pop-server.md section
// 5).
//
// Nothing is locked: forwarders and other sessions may take messages at any time, which shows as "no such
// file". All functions block. Used by one thread at a time; the store outlives it.
#pragma once

#include "base/result.hpp"
#include "os/filesystem.hpp"
#include "spool/store.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace spool {

struct core;

class mailbox {
public:
    // The spool directory itself.
    explicit mailbox(store& of);

    // The sub-directory of a user; made if it is missing. A name that is no single component of a path is an
    // error: invalid_argument.
    static base::result<mailbox> of_user(store& of, const std::string& user);

    // Ready messages in byte order of the file name, those without content left out.
    base::result<void> list(const std::function<void(std::string_view id, std::uint64_t octets)>& each);

    // Content as it is stored. Closed by destroying it.
    class content {
    public:
        explicit content(os::filesystem& files, os::file opened) : files_(&files), file_(std::move(opened)) {}
        // As much as there is, up to the size of the span; 0 at the end.
        base::result<std::size_t> read(std::span<char> into);

    private:
        os::filesystem* files_;
        os::file file_;
        std::uint64_t at_ = 0;
    };
    base::result<content> open(const std::string& id);

    // Deletes envelopes, then content that nobody needs any more. False if some could not be deleted, which
    // has been logged; the others are.
    bool remove(const std::vector<std::string>& ids);

    bool created() const noexcept { return created_; } // by of_user()

private:
    mailbox(std::shared_ptr<core> shared, os::file sub_directory, std::string user);

    os::filesystem& files() const;
    const os::file& directory() const;
    bool remove_from_spool(std::span<const std::string> ids);
    bool remove_from_user(const std::vector<std::string>& ids);
    bool remove_shared(std::set<std::string, std::less<>> ids);
    bool is_needed(const std::string& id) const;
    bool removed(const os::file& from, const std::string& name, const std::string& where) const;
    bool deletion_failed(const std::string& name, const base::error& why) const; // false

    std::shared_ptr<core> shared_;
    os::file sub_directory_; // open for a user's own
    std::string user_;
    bool created_ = false;
};

// Names of sub-directories of the spool that cannot be used as mailboxes.
std::vector<std::string> inaccessible_mailboxes(store& of);

} // namespace spool
