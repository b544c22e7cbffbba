// A file system for tests: the real one, with every change recorded and any operation made to fail.
//
// power_cut() gives what a disk could hold if the power failed after a given number of recorded events. What
// was flushed is there; of the rest each write may be lost, whole, cut, or zeros, and each change of the
// directory done or not, in order (a journalled file system) or in any choice.
#pragma once

#include "os/directory_watch.hpp"
#include "os/filesystem.hpp"

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <unistd.h>
#include <vector>

namespace spool::test {

using disk_state = std::map<std::string, std::string>; // name to content

class test_filesystem final : public os::filesystem {
public:
    // ---- failures
    // The n-th operation from now on (0 is the next one) fails, and, if `for_good`, all later ones of its
    // kind.
    void fail_at(std::size_t n, int error, bool for_good = false) {
        std::lock_guard lock(mutex_);
        fail_in_ = n;
        error_ = error;
        for_good_ = for_good;
        kind_.clear();
        failed_ = false;
    }
    void fail_kind(std::string kind, int error) {
        std::lock_guard lock(mutex_);
        fail_in_ = 0;
        error_ = error;
        for_good_ = true;
        kind_ = std::move(kind);
        failed_ = false;
    }
    // The process is killed instead.
    void die_at(std::size_t n) {
        std::lock_guard lock(mutex_);
        die_in_ = n;
    }
    // Flushes of the journal wait until they are let go.
    void hold_flushes() {
        std::lock_guard lock(mutex_);
        held_ = true;
    }
    void let_go() {
        std::lock_guard lock(mutex_);
        held_ = false;
        changed_.notify_all();
    }
    void wait_for(const std::string& kind, std::size_t count) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return counts_[kind] >= count; });
    }
    void stop_failing() {
        std::lock_guard lock(mutex_);
        fail_in_.reset();
    }
    // What a watch is told of is lost, as when there is more than the kernel keeps.
    void lose_changes(bool on) { losing_changes_ = on; }
    bool has_failed() const {
        std::lock_guard lock(mutex_);
        return failed_;
    }
    std::string failed_operation() const {
        std::lock_guard lock(mutex_);
        return failed_operation_;
    }

    // ---- what was done
    std::size_t count(const std::string& kind) const {
        std::lock_guard lock(mutex_);
        auto found = counts_.find(kind);
        return found == counts_.end() ? 0 : found->second;
    }
    std::size_t events() const {
        std::lock_guard lock(mutex_);
        return events_.size();
    }

    enum class keep { flushed_only, prefix, any };
    disk_state power_cut(std::size_t events, keep what, unsigned seed) const;

    // ---- os::filesystem
    base::result<os::file> open_directory(const std::string& path) override {
        if (auto e = fails("open_directory"))
            return *e;
        auto opened = real_->open_directory(path);
        if (opened.has_error())
            return opened;
        return adopt(std::move(*opened), directory_node);
    }
    // Of sub-directories and links nothing is recorded.
    base::result<os::file> open_directory(const os::file& parent, const std::string& name) override {
        if (auto e = fails("open_directory"))
            return *e;
        auto opened = real_->open_directory(parent, name);
        if (opened.has_error())
            return opened;
        return adopt(std::move(*opened), directory_node);
    }
    base::result<void> make_directory(const os::file& parent, const std::string& name) override {
        if (auto e = fails("make_directory"))
            return *e;
        return real_->make_directory(parent, name);
    }
    base::result<void> link(const os::file& from_directory, const std::string& from,
                            const os::file& to_directory, const std::string& to) override {
        if (auto e = fails("link"))
            return *e;
        return real_->link(from_directory, from, to_directory, to);
    }
    base::result<void> rename_new(const os::file& from_directory, const std::string& from,
                                  const os::file& to_directory, const std::string& to) override {
        if (auto e = fails("rename"))
            return *e;
        return real_->rename_new(from_directory, from, to_directory, to);
    }
    base::result<os::file> open(const os::file& d, const std::string& name, os::open_mode mode) override {
        bool create = mode == os::open_mode::create;
        if (auto e = fails(create ? "create" : "open"))
            return *e;
        std::lock_guard lock(mutex_);
        auto opened = real_->open(d, name, mode);
        if (opened.has_error())
            return opened;
        if (create) {
            names_[name] = ++last_node_;
            events_.push_back({event::create, last_node_, 0, 0, name, "", ""});
        } else if (!names_.contains(name)) { // was there before: safe on the disk
            names_[name] = ++last_node_;
            nodes_[last_node_].baseline = whole(*opened);
            nodes_[last_node_].size = nodes_[last_node_].baseline.size();
            baseline_[name] = last_node_;
        }
        std::uint64_t n = names_[name];
        int fd = opened->release();
        open_[fd] = {n, mode == os::open_mode::append ? nodes_[n].size : 0};
        return os::file(*this, fd);
    }
    base::result<void> close(os::file f) override {
        auto e = fails("close");
        drop(f.release());
        if (e)
            return *e;
        return {};
    }
    base::result<std::size_t> read(const os::file& f, std::span<char> into) override {
        if (auto e = fails("read"))
            return *e;
        return real_->read(f, into);
    }
    base::result<std::size_t> read_at(const os::file& f, std::uint64_t offset,
                                      std::span<char> into) override {
        if (auto e = fails("read"))
            return *e;
        return real_->read_at(f, offset, into);
    }
    base::result<void> write(const os::file& f, std::span<const char> bytes) override {
        std::uint64_t at = 0;
        {
            std::lock_guard lock(mutex_);
            at = open_[f.descriptor()].second;
        }
        auto e = fails("write");
        if (e)
            bytes = bytes.first(bytes.size() / 2); // the disk filled up on the way
        auto written = do_write(f, at, bytes, false);
        std::lock_guard lock(mutex_);
        open_[f.descriptor()].second += bytes.size();
        return e ? base::result<void>(*e) : written;
    }
    base::result<void> write_at(const os::file& f, std::uint64_t at, std::span<const char> bytes) override {
        auto e = fails("write");
        if (e)
            bytes = bytes.first(bytes.size() / 2);
        auto written = do_write(f, at, bytes, true);
        return e ? base::result<void>(*e) : written;
    }
    base::result<void> flush(const os::file& f) override { return do_flush(f, "fsync"); }
    base::result<void> flush_data(const os::file& f) override { return do_flush(f, "fdatasync"); }
    base::result<void> flush_everything(const os::file& d) override { return do_flush(d, "syncfs"); }
    base::result<void> rename(const os::file& d, const std::string& from, const std::string& to) override {
        if (auto e = fails("rename"))
            return *e;
        std::lock_guard lock(mutex_);
        return note_rename(real_->rename(d, from, to), from, to);
    }
    base::result<void> rename_new(const os::file& d, const std::string& from,
                                  const std::string& to) override {
        if (auto e = fails("rename"))
            return *e;
        std::lock_guard lock(mutex_);
        return note_rename(real_->rename_new(d, from, to), from, to);
    }
    base::result<void> remove(const os::file& d, const std::string& name) override {
        if (auto e = fails("remove"))
            return *e;
        std::lock_guard lock(mutex_);
        auto removed = real_->remove(d, name);
        if (removed.has_value()) {
            names_.erase(name);
            events_.push_back({event::remove, 0, 0, 0, name, "", ""});
        }
        return removed;
    }
    base::result<os::file_status> status(const os::file& f) override {
        if (auto e = fails("stat"))
            return *e;
        return real_->status(f);
    }
    base::result<os::file_status> status(const os::file& d, const std::string& name) override {
        if (auto e = fails("stat"))
            return *e;
        return real_->status(d, name);
    }
    base::result<void> list(const os::file& d, const std::function<void(std::string_view)>& each) override {
        if (auto e = fails("list"))
            return *e;
        return real_->list(d, each);
    }
    base::result<std::unique_ptr<os::directory_watch>> watch(const os::file& d) override {
        if (auto e = fails("watch"))
            return *e;
        auto made = real_->watch(d);
        if (made.has_error())
            return made;
        return std::unique_ptr<os::directory_watch>(
            std::make_unique<forgetful_watch>(std::move(*made), losing_changes_));
    }
    base::result<std::uint64_t> free_space(const os::file& d) override {
        if (auto e = fails("statvfs"))
            return *e;
        std::lock_guard lock(mutex_);
        return free_space_ ? base::result<std::uint64_t>(*free_space_) : real_->free_space(d);
    }
    base::result<bool> try_lock(const os::file& f, bool exclusive) override {
        if (auto e = fails("lock"))
            return *e;
        return real_->try_lock(f, exclusive);
    }
    base::result<bool> locked_by_others(const os::file& f) override {
        if (auto e = fails("lock"))
            return *e;
        return real_->locked_by_others(f);
    }
    base::result<bool> lock_directory(const os::file& d, bool wait) override {
        if (auto e = fails("lock"))
            return *e;
        return real_->lock_directory(d, wait);
    }
    void set_free_space(std::uint64_t octets) {
        std::lock_guard lock(mutex_);
        free_space_ = octets;
    }

private:
    static constexpr std::uint64_t directory_node = 1;
    static constexpr std::uint64_t all_nodes = 0;

    class forgetful_watch final : public os::directory_watch {
    public:
        forgetful_watch(std::unique_ptr<os::directory_watch> real, const std::atomic<bool>& losing)
            : real_(std::move(real)), losing_(losing) {}
        state read(const std::function<void(change, std::string_view)>& each) override {
            bool lost = false;
            auto outcome = real_->read([&](change what, std::string_view name) {
                if (losing_)
                    lost = true;
                else
                    each(what, name);
            });
            return lost && outcome == state::following ? state::overrun : outcome;
        }
        void wait() override { real_->wait(); }
        void end() override { real_->end(); }

    private:
        std::unique_ptr<os::directory_watch> real_;
        const std::atomic<bool>& losing_;
    };

    struct event {
        enum kind_of { create, write, rename, remove, flush_begin, flush_end } kind;
        std::uint64_t node;
        std::uint64_t offset;
        std::uint64_t token; // of a flush
        std::string name;
        std::string to;
        std::string bytes;
    };
    struct node {
        std::string baseline;
        std::uint64_t size = 0;
    };

    void drop(int descriptor) noexcept override {
        {
            std::lock_guard lock(mutex_);
            open_.erase(descriptor);
        }
        os::file gone(*real_, descriptor);
    }
    os::file adopt(os::file f, std::uint64_t of) {
        std::lock_guard lock(mutex_);
        int fd = f.release();
        open_[fd] = {of, 0};
        return os::file(*this, fd);
    }
    std::string whole(const os::file& f) {
        auto about = real_->status(f);
        std::string text(about.has_value() ? about->size : 0, '\0');
        (void)real_->read_at(f, 0, text);
        return text;
    }
    std::optional<base::error> fails(const std::string& kind) {
        std::lock_guard lock(mutex_);
        ++counts_[kind];
        changed_.notify_all();
        if (die_in_ && (*die_in_)-- == 0)
            ::kill(::getpid(), SIGKILL);
        if (!fail_in_ || (!kind_.empty() && kind_ != kind))
            return std::nullopt;
        if (*fail_in_ > 0) {
            --*fail_in_;
            return std::nullopt;
        }
        if (!for_good_)
            fail_in_.reset();
        failed_ = true;
        failed_operation_ = kind;
        return base::make_error(error_, kind);
    }
    base::result<void> do_write(const os::file& f, std::uint64_t at, std::span<const char> bytes,
                                bool at_offset) {
        std::lock_guard lock(mutex_);
        auto written = at_offset ? real_->write_at(f, at, bytes) : real_->write(f, bytes);
        if (written.has_value()) {
            std::uint64_t n = open_[f.descriptor()].first;
            nodes_[n].size = std::max(nodes_[n].size, at + bytes.size());
            events_.push_back({event::write, n, at, 0, "", "", std::string(bytes.data(), bytes.size())});
        }
        return written;
    }
    base::result<void> do_flush(const os::file& f, const std::string& kind) {
        if (auto e = fails(kind))
            return *e;
        std::uint64_t token = 0, n = 0;
        {
            std::unique_lock lock(mutex_);
            token = ++last_token_;
            n = kind == "syncfs" ? all_nodes : open_[f.descriptor()].first;
            events_.push_back({event::flush_begin, n, 0, token, "", "", ""});
            if (kind == "fdatasync")
                changed_.wait(lock, [this] { return !held_; });
        }
        // The real flush would only take time.
        std::lock_guard lock(mutex_);
        events_.push_back({event::flush_end, n, 0, token, "", "", ""});
        return {};
    }
    base::result<void> note_rename(base::result<void> outcome, const std::string& from,
                                   const std::string& to) {
        if (outcome.has_value()) {
            names_[to] = names_[from];
            names_.erase(from);
            events_.push_back({event::rename, 0, 0, 0, from, to, ""});
        }
        return outcome;
    }

    std::unique_ptr<os::filesystem> real_ = os::make_filesystem();
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    bool held_ = false;
    std::optional<std::size_t> die_in_;
    std::optional<std::size_t> fail_in_;
    int error_ = 0;
    bool for_good_ = false;
    std::string kind_;
    bool failed_ = false;
    std::string failed_operation_;
    std::map<std::string, std::size_t> counts_;
    std::atomic<bool> losing_changes_{false};
    std::optional<std::uint64_t> free_space_;

    std::vector<event> events_;
    std::map<std::string, std::uint64_t> names_;
    std::map<std::string, std::uint64_t> baseline_;
    std::map<std::uint64_t, node> nodes_;
    std::map<int, std::pair<std::uint64_t, std::uint64_t>> open_; // node and position
    std::uint64_t last_node_ = directory_node;
    std::uint64_t last_token_ = 0;
};

inline disk_state test_filesystem::power_cut(std::size_t count, keep what, unsigned seed) const {
    std::lock_guard lock(mutex_);
    std::mt19937 random(seed);
    auto one_in = [&](unsigned n) {
        return random() % n == 0;
    };
    count = std::min(count, events_.size());

    // Up to which event each node is safe.
    std::map<std::uint64_t, std::size_t> begun, safe;
    std::size_t all_safe = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const event& e = events_[i];
        if (e.kind == event::flush_begin)
            begun[e.token] = i;
        else if (e.kind == event::flush_end && e.node == all_nodes)
            all_safe = begun[e.token];
        else if (e.kind == event::flush_end)
            safe[e.node] = begun[e.token];
    }
    auto is_safe = [&](std::uint64_t n, std::size_t i) {
        auto found = safe.find(n);
        return i < all_safe || (found != safe.end() && i < found->second);
    };

    std::map<std::uint64_t, std::string> content;
    std::map<std::string, std::uint64_t> names = baseline_;
    for (const auto& [n, about] : nodes_)
        content[n] = about.baseline;
    bool order_broken = what == keep::flushed_only;
    for (std::size_t i = 0; i < count; ++i) {
        const event& e = events_[i];
        switch (e.kind) {
        case event::write: {
            std::string bytes = e.bytes;
            if (!is_safe(e.node, i)) {
                if (what == keep::flushed_only || one_in(3))
                    break;
                if (one_in(3))
                    bytes.assign(bytes.size(), '\0');
                else if (one_in(3))
                    bytes.resize(random() % (bytes.size() / 512 + 1) * 512);
            }
            std::string& text = content[e.node];
            if (text.size() < e.offset + bytes.size())
                text.resize(e.offset + bytes.size());
            text.replace(e.offset, bytes.size(), bytes);
            break;
        }
        case event::create:
        case event::rename:
        case event::remove:
            if (!is_safe(directory_node, i)) {
                if (what == keep::prefix && one_in(8))
                    order_broken = true;
                if (order_broken || (what == keep::any && one_in(2)))
                    break;
            }
            if (e.kind == event::create) {
                names[e.name] = e.node;
            } else if (e.kind == event::remove) {
                names.erase(e.name);
            } else if (auto found = names.find(e.name); found != names.end()) {
                std::uint64_t n = found->second;
                names.erase(found);
                names[e.to] = n;
            }
            break;
        case event::flush_begin:
        case event::flush_end:
            break;
        }
    }
    disk_state state;
    for (const auto& [name, n] : names)
        state[name] = content[n];
    return state;
}

} // namespace spool::test
