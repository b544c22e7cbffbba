// What the spool's tests share: a temporary directory, a log to look at, a store on it.
#pragma once

#include "os/filesystem.hpp"
#include "os/worker_pool.hpp"
#include "spool/folder.hpp"
#include "spool/store.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <iterator>
#include <mutex>
#include <set>
#include <stdlib.h>
#include <string>
#include <vector>

namespace spool::test {

class temporary_directory {
public:
    temporary_directory() {
        // In memory if possible: what a disk would do is simulated (test_filesystem.hpp).
        const std::filesystem::path memory = "/dev/shm";
        auto parent = std::filesystem::exists(memory) ? memory : std::filesystem::temp_directory_path();
        std::string name = (parent / "spool_test.XXXXXX").string();
        path_ = ::mkdtemp(name.data());
    }
    ~temporary_directory() { std::filesystem::remove_all(path_); }
    temporary_directory(const temporary_directory&) = delete;
    temporary_directory& operator=(const temporary_directory&) = delete;

    const std::string& path() const { return path_; }
    std::string operator/(const std::string& name) const { return path_ + "/" + name; }

    bool has(const std::string& name) const { return std::filesystem::exists(path_ + "/" + name); }
    std::string read(const std::string& name) const {
        std::ifstream in(path_ + "/" + name, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    void write(const std::string& name, const std::string& text) const {
        std::ofstream(path_ + "/" + name, std::ios::binary) << text;
    }
    // Without the journal's hidden files.
    std::set<std::string> names() const {
        std::set<std::string> out;
        for (const auto& entry : std::filesystem::directory_iterator(path_))
            if (std::string name = entry.path().filename().string(); !name.starts_with(".emailrelay-"))
                out.insert(name);
        return out;
    }
    std::set<std::string> hidden_names() const {
        std::set<std::string> out;
        for (const auto& entry : std::filesystem::directory_iterator(path_))
            if (std::string name = entry.path().filename().string(); name.starts_with("."))
                out.insert(name);
        return out;
    }

private:
    std::string path_;
};

class captured_log : public base::log_sink {
public:
    bool wants(base::severity, base::detail) const noexcept override { return true; }
    void write(base::severity level, const base::log_context&, std::string_view text) override {
        constexpr const char* names[] = {"debug: ", "info: ", "warning: ", "error: "};
        std::lock_guard lock(mutex_);
        lines_.push_back(names[static_cast<int>(level)] + std::string(text));
    }
    bool has(const std::string& part) const {
        std::lock_guard lock(mutex_);
        for (const std::string& line : lines_)
            if (line.find(part) != std::string::npos)
                return true;
        return false;
    }
    std::vector<std::string> lines() const {
        std::lock_guard lock(mutex_);
        return lines_;
    }

private:
    mutable std::mutex mutex_;
    std::vector<std::string> lines_;
};

inline mail::envelope envelope_to(const std::string& recipient) {
    mail::envelope e;
    e.from = "sender@example.com";
    e.to_remote = {recipient};
    e.client = "127.0.0.1";
    return e;
}

inline base::result<std::string> commit_and_wait(store& s, new_message message, mail::envelope envelope) {
    std::promise<base::result<std::string>> outcome;
    s.commit(std::move(message), std::move(envelope),
             [&outcome](base::result<std::string> r) { outcome.set_value(std::move(r)); });
    return outcome.get_future().get();
}

// Stores one message and gives its id.
inline std::string store_message(store& s, const std::string& content,
                                 const std::string& to = "to@example.com") {
    new_message message = s.create();
    message.append(content);
    if (message.needs_write())
        message.write();
    auto outcome = commit_and_wait(s, std::move(message), envelope_to(to));
    EXPECT_TRUE(outcome.has_value()) << outcome.error().message();
    return outcome.has_value() ? *outcome : std::string();
}

// All that are ready, in their order.
inline base::result<std::vector<std::string>> ready_ids(store& s, look how = look::at_changes) {
    auto ready = s.ready(how);
    if (ready.has_error())
        return ready.error();
    std::vector<std::string> ids;
    for (auto some = ready->next(2); !some.empty(); some = ready->next(2))
        ids.insert(ids.end(), some.begin(), some.end());
    return ids;
}

inline std::string read_content(claimed_message& message) {
    std::string content(message.content_size() + 1, '\0');
    auto n = message.read(content);
    EXPECT_TRUE(n.has_value());
    content.resize(*n);
    return content;
}

// Three more messages of one, then a last step: it makes the file "last" unless another one is given.
inline base::result<void> split_in_four(store& s, const std::string& original,
                                        std::function<base::result<void>()> last = {}) {
    std::vector<staged_message> more;
    for (const char* to : {"a@x", "b@y", "c@z"}) {
        auto linked =
            s.stage_linked(s.new_id(), original + ".content", mail::format_envelope(envelope_to(to)));
        if (linked.has_error())
            return linked.error();
        more.push_back(std::move(*linked));
    }
    if (!last)
        last = [&s] {
            return s.directory().write_new("last", "", false);
        };
    return s.commit_at_once(std::move(more), last);
}

// A store on a directory, with all that it needs.
class opened_store {
public:
    explicit opened_store(const std::string& path, settings s = {}, os::filesystem* files = nullptr)
        : own_files_(os::make_filesystem()), pool_("disk", 2) {
        s.directory = path;
        auto opened = store::open(std::move(s), files ? *files : *own_files_, pool_, base::logger(log));
        EXPECT_TRUE(opened.has_value()) << opened.error().message();
        if (opened.has_value())
            store_ = std::move(*opened);
    }
    store& operator*() { return *store_; }
    store* operator->() { return store_.get(); }

    captured_log log;

private:
    std::unique_ptr<os::filesystem> own_files_;
    os::worker_pool pool_;
    std::unique_ptr<store> store_;
};

} // namespace spool::test
