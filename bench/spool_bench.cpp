// How many messages a second the spool commits, durably, and how many flushes each of them costs.
//
//   spool_bench [directory [seconds-per-row [content-octets]]]
//
// Writers wait for their commit before they begin the next one, as sessions do. Messages are removed now and
// then outside of the measured time. "removed at once" has a forwarder's part done to each message in
// addition.
#include "os/directory_watch.hpp"
#include "os/filesystem.hpp"
#include "os/identity.hpp"
#include "os/worker_pool.hpp"
#include "spool/store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

using clock = std::chrono::steady_clock;

class silent_log : public base::log_sink {
public:
    bool wants(base::severity level, base::detail) const noexcept override {
        return level >= base::severity::warning;
    }
    void write(base::severity, const base::log_context&, std::string_view text) override {
        std::fprintf(stderr, "%s\n", std::string(text).c_str());
    }
};

// Counts the flushes that pass through.
class counting_filesystem : public os::filesystem {
public:
    std::atomic<std::uint64_t> flushes{0};

    base::result<os::file> open_directory(const std::string& path) override {
        return real_->open_directory(path);
    }
    base::result<os::file> open_directory(const os::file& d, const std::string& n) override {
        return real_->open_directory(d, n);
    }
    base::result<void> make_directory(const os::file& d, const std::string& n) override {
        return real_->make_directory(d, n);
    }
    base::result<os::file> open(const os::file& d, const std::string& n, os::open_mode m) override {
        return real_->open(d, n, m);
    }
    base::result<void> close(os::file f) override { return real_->close(std::move(f)); }
    base::result<std::size_t> read(const os::file& f, std::span<char> into) override {
        return real_->read(f, into);
    }
    base::result<std::size_t> read_at(const os::file& f, std::uint64_t o, std::span<char> into) override {
        return real_->read_at(f, o, into);
    }
    base::result<void> write(const os::file& f, std::span<const char> b) override {
        return real_->write(f, b);
    }
    base::result<void> write_at(const os::file& f, std::uint64_t o, std::span<const char> b) override {
        return real_->write_at(f, o, b);
    }
    base::result<void> flush(const os::file& f) override {
        ++flushes;
        return real_->flush(f);
    }
    base::result<void> flush_data(const os::file& f) override {
        ++flushes;
        return real_->flush_data(f);
    }
    base::result<void> flush_everything(const os::file& d) override {
        ++flushes;
        return real_->flush_everything(d);
    }
    base::result<void> rename(const os::file& d, const std::string& a, const std::string& b) override {
        return real_->rename(d, a, b);
    }
    base::result<void> rename_new(const os::file& d, const std::string& a, const std::string& b) override {
        return real_->rename_new(d, a, b);
    }
    base::result<void> rename_new(const os::file& d, const std::string& a, const os::file& e,
                                  const std::string& b) override {
        return real_->rename_new(d, a, e, b);
    }
    base::result<void> link(const os::file& d, const std::string& a, const os::file& e,
                            const std::string& b) override {
        return real_->link(d, a, e, b);
    }
    base::result<void> remove(const os::file& d, const std::string& n) override {
        return real_->remove(d, n);
    }
    base::result<os::file_status> status(const os::file& f) override { return real_->status(f); }
    base::result<os::file_status> status(const os::file& d, const std::string& n) override {
        return real_->status(d, n);
    }
    base::result<void> list(const os::file& d, const std::function<void(std::string_view)>& each) override {
        return real_->list(d, each);
    }
    base::result<std::unique_ptr<os::directory_watch>> watch(const os::file& d) override {
        return real_->watch(d);
    }
    base::result<std::uint64_t> free_space(const os::file& d) override { return real_->free_space(d); }
    base::result<bool> try_lock(const os::file& f, bool e) override { return real_->try_lock(f, e); }
    base::result<bool> locked_by_others(const os::file& f) override { return real_->locked_by_others(f); }
    base::result<bool> lock_directory(const os::file& d, bool w) override {
        return real_->lock_directory(d, w);
    }

private:
    void drop(int) noexcept override {} // files belong to the real one

    std::unique_ptr<os::filesystem> real_ = os::make_filesystem();
};

struct figures {
    double rate = 0;
    double p99_ms = 0;
    double flushes = 0;
};

mail::envelope some_envelope() {
    mail::envelope e;
    e.from = "sender@example.com";
    e.to_remote = {"recipient@example.com"};
    e.client = "127.0.0.1";
    return e;
}

// `writers` messages are always on their way; each completion begins the next one on a thread of its own
// sort.
figures measure(spool::store& store, counting_filesystem& files, std::size_t writers, double seconds,
                const std::string& content, bool remove_at_once) {
    std::atomic<bool> over{false};
    std::atomic<std::uint64_t> failed{0};
    std::vector<std::thread> threads;
    std::vector<std::vector<double>> waits(writers);
    std::uint64_t flushes = files.flushes;
    auto begin = clock::now();
    os::worker_pool starter("network", 1);
    std::atomic<std::size_t> running{writers};
    std::promise<void> all_ended;
    mail::envelope envelope = some_envelope();

    std::function<void(std::size_t)> one = [&](std::size_t i) {
        if (over) {
            if (--running == 0)
                all_ended.set_value();
            return;
        }
        auto message = store.create();
        message.append(content);
        if (message.needs_write())
            message.write();
        auto started = clock::now();
        store.commit(std::move(message), envelope, [&, i, started](base::result<std::string> r) {
            waits[i].push_back(std::chrono::duration<double, std::milli>(clock::now() - started).count());
            if (r.has_error())
                ++failed;
            starter.post([&, i, stored = std::move(r)] {
                if (remove_at_once && stored.has_value())
                    if (auto taken = store.claim(*stored); taken.has_value())
                        (void)store.finish(std::move(*taken));
                one(i);
            });
        });
    };
    for (std::size_t i = 0; i < writers; ++i)
        starter.post([&, i] { one(i); });
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    over = true;
    all_ended.get_future().wait();
    double took = std::chrono::duration<double>(clock::now() - begin).count();
    starter.stop();

    std::vector<double> all;
    for (auto& w : waits)
        all.insert(all.end(), w.begin(), w.end());
    std::sort(all.begin(), all.end());
    if (failed > 0)
        fmt::print("{} commits failed\n", failed.load());
    auto n = static_cast<double>(all.size());
    return {n / took, all.empty() ? 0 : all[all.size() * 99 / 100],
            n == 0 ? 0 : static_cast<double>(files.flushes - flushes) / n};
}

void empty(const std::string& path) {
    for (const auto& entry : std::filesystem::directory_iterator(path))
        if (std::string name = entry.path().filename().string(); name.starts_with("emailrelay."))
            std::filesystem::remove(entry.path());
}

} // namespace

int main(int argc, char** argv) {
    std::string parent = argc > 1 ? argv[1] : "/tmp";
    double seconds = argc > 2 ? std::atof(argv[2]) : 3;
    std::string content(argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 4096, 'x');
    for (std::size_t i = 77; i < content.size(); i += 79)
        content.replace(i - 1, 2, "\r\n");
    std::string path = parent + "/spool_bench." + std::to_string(std::random_device{}());
    std::filesystem::create_directory(path);
    silent_log log;
    fmt::print("{:28} {:>10} {:>9} {:>12}\n", "", "messages/s", "p99 ms", "flushes/msg");
    struct kind {
        const char* name;
        bool sync;
        std::uint64_t journal;
        bool remove;
    };
    for (const kind& k :
         {kind{"journal", true, 128 << 20, false}, kind{"files flushed directly", true, 0, false},
          kind{"--no-sync", false, 128 << 20, false}}) {
        for (std::size_t writers : {1u, 10u, 100u}) {
            counting_filesystem files;
            os::worker_pool pool("disk", 2, os::prepare_file_thread);
            spool::settings s;
            s.directory = path;
            s.sync = k.sync;
            s.journal_size = k.journal;
            s.watch = false; // nobody forwards
            auto opened = spool::store::open(s, files, pool, base::logger(log));
            if (opened.has_error()) {
                fmt::print("{}\n", opened.error().message());
                return 1;
            }
            measure(**opened, files, writers, seconds / 3, content, k.remove); // the journal grows
            empty(path);
            auto f = measure(**opened, files, writers, seconds, content, k.remove);
            fmt::print("{:22} {:>5} {:>10.0f} {:>9.2f} {:>12.3f}\n", k.name, writers, f.rate, f.p99_ms,
                       f.flushes);
            (*opened)->close();
            empty(path);
        }
    }
    std::filesystem::remove_all(path);
}
