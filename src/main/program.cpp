// Builds the objects, wires them, runs, stops; no logic of its own beyond the order of things.
#include "main/program.hpp"

#include "main/filter_setup.hpp"
#include "main/helper_processes.hpp"
#include "main/relay_instance.hpp"
#include "main/sandbox_setup.hpp"
#include "main/tls_setup.hpp"

#include "net/signals.hpp"
#include "net/worker.hpp"
#include "os/end_limit.hpp"
#include "os/filesystem.hpp"
#include "os/identity.hpp"
#include "os/log_writer.hpp"
#include "os/memory.hpp"
#include "os/patient_write.hpp"
#include "os/process.hpp"
#include "os/service_manager.hpp"
#include "os/socket_activation.hpp"
#include "os/worker_pool.hpp"

#include <boost/system/errc.hpp>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace {

// Making files is serialised by the lock of their directory: more threads than processors only wait for it,
// and one must be left when another waits for the disk.
std::size_t disk_threads() {
    return std::clamp<std::size_t>(os::processor_count(), 2, 4);
}

std::size_t thread_count(const config::process& whole) {
    return std::max<std::size_t>(whole.threads != 0 ? whole.threads : os::processor_count(), 1);
}

// What the descriptor limit leaves when the process has what it needs itself: files, listeners, each event
// loop, and connections that mail is sent over.
std::size_t descriptors_for_sessions(const config::configuration& config) {
    constexpr std::size_t files_and_listeners = 100, each_loop = 3, socket_content_and_lock = 3;
    std::size_t own = files_and_listeners + each_loop * thread_count(config.whole);
    for (const config::instance& i : config.instances)
        if (!i.forward_to.empty())
            own += std::max(i.forward_connections, 1U) *
                   (socket_content_and_lock + descriptors_of(i.client_filters));
    const std::size_t limit = os::descriptor_limit();
    return limit > 2 * own ? limit - own : limit / 2;
}

constexpr std::chrono::seconds patience{5}; // for what is under way when the process is told to end
// Then for threads that may be in the middle of writing a file, for other processes, and for the log.
constexpr std::chrono::seconds longest_end{20};

void say(const config::process& by, const std::string& text) {
    os::write_to_stderr(by.program + ": " + text + "\n");
}

int fail(const config::process& by, const base::error& e) {
    say(by, "error: " + e.message());
    // Exit code 2 belongs to listening addresses that cannot be had.
    return e.what.starts_with("socket bind error") ? 2 : 1;
}

os::log_settings log_settings_of(const config::process& whole) {
    os::log_settings s;
    s.enabled = whole.log;
    s.verbose = whole.verbose;
    s.layout.program = whole.program;
    s.layout.time = whole.log_time;
    s.layout.unit = whole.log_unit;
    s.layout.address = whole.log_address;
    s.layout.port = whole.log_port;
    s.layout.message_id = whole.log_msgid;
    s.file = whole.log_file;
    s.to_syslog = whole.use_syslog;
    s.syslog_facility = whole.syslog_facility;
    s.quiet_stderr = whole.use_syslog && whole.close_stderr && whole.log_file.empty();
    return s;
}

bool listens_on_inherited(const config::configuration& config) {
    return std::any_of(config.instances.begin(), config.instances.end(), [](const config::instance& i) {
        return std::any_of(i.interfaces.begin(), i.interfaces.end(), [](const config::interface_item& item) {
            return item.address.starts_with("fd#");
        });
    });
}

// A daemon holds nothing that its caller waits for: a lock, the other end of a pipe, a terminal. Where a
// descriptor is to be listened on, all stay as they are, the standard streams too: it may be one of them.
void let_go_of_callers(const config::configuration& config, std::size_t activation_sockets) {
    if (!config.whole.daemon || listens_on_inherited(config))
        return;
    os::close_stdin_and_stdout();
    os::close_inherited_descriptors(activation_sockets);
}

class program {
public:
    program(const config::configuration& c, std::vector<int> activation_sockets)
        : config_(c), activation_sockets_(std::move(activation_sockets)), log_(log_settings_of(c.whole)),
          logger_(log_), files_(os::make_filesystem()) {}

    int run() {
        if (auto early = begin(); early.has_error())
            return tell(fail(config_.whole, early.error()));
        if (!has_something_to_do()) {
            say(config_.whole, "nothing to do");
            return tell(0);
        }
        if (auto opened = open(); opened.has_error()) {
            int code = fail(config_.whole, opened.error());
            const os::end_limit limit(longest_end, signal_, code);
            end();
            return tell(code);
        }
        start();
        (*workers_)[0].run();
        const int code = client_error_.empty() ? 0 : 1;
        const os::end_limit limit(longest_end, signal_, code);
        end(); // the log is complete: what is said now stands behind its last line
        if (no_messages_)
            say(config_.whole, "no messages to send");
        if (!client_error_.empty())
            say(config_.whole, "error: " + client_error_);
        if (signal_ != 0)
            os::die_by(signal_);
        return code;
    }

private:
    int tell(int code) {
        background_.tell(code);
        return code;
    }

    // Steps that come before there are threads.
    base::result<void> begin() {
        os::set_umask(077);
        os::ignore_sigpipe();
        os::raise_descriptor_limit();
        os::keep_memory_in_reserve();
        for (const std::string& text : config_.warnings)
            say(config_.whole, "warning: " + text);
        if (config_.whole.daemon)
            if (auto entered = background_.enter(); entered.has_error())
                return entered.error();
        if (auto opened = log_.open(); opened.has_error())
            return opened.error();
        if (auto adopted = os::adopt_user(config_.whole.user); adopted.has_error())
            return adopted.error();
        if (auto begun = helpers_.begin(config_); begun.has_error())
            return begun.error();
        restrict_files(config_, logger_);
        workers_ = std::make_unique<net::worker_group>(thread_count(config_.whole));
        for_sessions_ = std::make_unique<relay::descriptor_allowance>(descriptors_for_sessions(config_));
        disk_ = std::make_unique<os::worker_pool>("disk", disk_threads(), os::prepare_file_thread);
        tls_ = std::make_unique<tls_setup>(config_, logger_);
        auto syntax_hint_given = std::make_shared<std::atomic<bool>>(false);
        for (const config::instance& i : config_.instances) {
            base::log_context context;
            context.unit = i.name;
            base::logger log(log_, std::move(context));
            instances_.push_back(std::make_unique<relay_instance>(
                i, *files_, *disk_, helpers_, syntax_hint_given, *for_sessions_, std::move(log)));
        }
        instances_.front()->tell_events();
        auto taker = std::find_if(instances_.begin(), instances_.end(),
                                  [](const auto& i) { return i->takes_activation_sockets(); });
        if (taker != instances_.end())
            (*taker)->use_activation_sockets(std::move(activation_sockets_));
        else
            warn_of_unused(activation_sockets_);
        return {};
    }

    // Whoever connects to such a socket waits for ever.
    void warn_of_unused(const std::vector<int>& sockets) const {
        for (int socket : sockets) {
            std::string name = "fd#" + std::to_string(socket);
            bool used = std::any_of(config_.instances.begin(), config_.instances.end(), [&](const auto& i) {
                return std::any_of(i.interfaces.begin(), i.interfaces.end(),
                                   [&](const config::interface_item& item) { return item.address == name; });
            });
            if (!used)
                say(config_.whole,
                    "warning: socket activation: " + name + " is not used: --interface does not name it");
        }
    }

    bool has_something_to_do() const {
        return std::any_of(config_.instances.begin(), config_.instances.end(), config::has_work);
    }

    // What can fail on bad configuration, while the starting shell still waits.
    base::result<void> open() {
        watch_signals(); // before there are files to be removed at the end
        for (auto& i : instances_) {
            if (auto read = i->open_tls(*tls_); read.has_error())
                return read.error();
            if (auto prepared = i->prepare(*workers_); prepared.has_error())
                return prepared.error();
            if (auto opened = i->open_spool(); opened.has_error())
                return opened.error();
        }
        if (!config_.whole.pid_file.empty())
            if (auto written = pid_file_.write(config_.whole.pid_file); written.has_error())
                return written.error();
        return {};
    }

    // From here on a signal ends the process in order.
    void watch_signals() {
        std::vector<int> deadly;
        for (int s : {SIGTERM, SIGINT, SIGHUP, SIGQUIT})
            if (!os::is_ignored(s))
                deadly.push_back(s);
        signals_ = std::make_unique<net::signal_watch>((*workers_)[0], deadly, [this](int s) {
            if (signal_ == 0)
                signal_ = s;
            stop();
        });
    }

    void start() {
        if (config_.whole.close_stderr) {
            log_.stop_stderr();
            os::close_stderr();
        }
        log_.start();
        restrict_calls(config_, logger_);
        for (auto& i : instances_)
            i->start(
                *workers_, [this](const relay::run_outcome& outcome) { client_run_ended(outcome); },
                [this] { (*workers_)[0].post([this] { stop(); }); });
        workers_->start();
        background_.tell(0);
        manager_.ready();
        if (manager_.watchdog())
            net::spawn((*workers_)[0], report_life(*manager_.watchdog() / 4), logger_, "watchdog");
    }

    // Tells the service manager that the process is alive as long as every network thread is: each must have
    // taken up a job since the last time.
    net::awaitable<void> report_life(std::chrono::microseconds period) {
        auto alive = std::make_shared<std::atomic<std::size_t>>(workers_->size());
        for (;;) {
            if (*alive == workers_->size()) {
                manager_.alive();
                *alive = 0;
                for (std::size_t i = 0; i < workers_->size(); ++i)
                    (*workers_)[i].post([alive] { ++*alive; });
            }
            co_await net::sleep_for(std::chrono::ceil<std::chrono::milliseconds>(period));
        }
    }

    // On the forwarder's thread. The process ends when the last of its client-mode relays has.
    void client_run_ended(const relay::run_outcome& outcome) {
        (*workers_)[0].post([this, outcome] {
            no_messages_ = no_messages_ || outcome.no_messages;
            if (!outcome.error.empty() && client_error_.empty())
                client_error_ = outcome.error;
            ++client_runs_ended_;
            bool others = std::any_of(instances_.begin(), instances_.end(),
                                      [](const auto& i) { return !i->client_mode(); });
            if (!others && client_runs_ended_ >= instances_.size())
                stop();
        });
    }

    // On the main thread, once.
    void stop() {
        if (stopping_)
            return;
        stopping_ = true;
        manager_.stopping();
        workers_->activity().announce_end();
        for (auto& i : instances_)
            i->stop();
        net::spawn((*workers_)[0], wait_for_end(), logger_, "stop");
    }

    net::awaitable<void> wait_for_end() {
        auto all_stopped = [this] {
            return std::all_of(instances_.begin(), instances_.end(),
                               [](const auto& i) { return i->stopped(); });
        };
        auto limit = std::chrono::steady_clock::now() + patience;
        bool cut = false;
        while (!all_stopped()) {
            auto now = std::chrono::steady_clock::now();
            if (now >= limit && cut)
                break;
            if (now >= limit) {
                for (auto& i : instances_)
                    i->cut_short();
                cut = true;
                limit = now + std::chrono::seconds(2);
            }
            co_await net::sleep_for(std::chrono::milliseconds(5));
        }
        (*workers_)[0].stop();
    }

    // Order matters: see relay_instance::before_workers_go().
    void end() {
        workers_->stop();
        signals_.reset();
        for (auto& i : instances_)
            i->before_workers_go();
        tls_->drain();
        workers_.reset();
        for (auto& i : instances_)
            i->after_workers_went();
        disk_->stop();
        helpers_.end();
        tls_->stop();
        pid_file_.remove();
        log_.stop();
    }

    const config::configuration& config_;
    std::vector<int> activation_sockets_;
    os::service_manager manager_; // first: its variables are meant for this process before it forks
    os::background background_;
    os::log_writer log_;
    base::logger logger_;
    std::unique_ptr<os::filesystem> files_;
    os::pid_file pid_file_;
    helper_processes helpers_;
    std::unique_ptr<net::worker_group> workers_;
    std::unique_ptr<os::worker_pool> disk_;
    std::unique_ptr<relay::descriptor_allowance> for_sessions_;
    std::unique_ptr<tls_setup> tls_;
    std::vector<std::unique_ptr<relay_instance>> instances_;
    std::unique_ptr<net::signal_watch> signals_;
    bool no_messages_ = false;
    std::string client_error_;
    std::size_t client_runs_ended_ = 0;
    int signal_ = 0;
    bool stopping_ = false;
};

} // namespace

int run_program(const config::configuration& configuration) {
    auto sockets = os::take_activation_sockets(); // meant for this pid, so before it changes
    if (sockets.has_error())
        return fail(configuration.whole, sockets.error());
    let_go_of_callers(configuration, sockets->size()); // before anything is opened
    return program(configuration, std::move(*sockets)).run();
}
