#include "relay/reception.hpp"

#include <chrono>
#include <utility>

namespace relay {

using std::chrono::seconds;
using std::chrono::steady_clock;

bool descriptor_allowance::take(std::size_t thirds, std::size_t leaving) noexcept {
    std::size_t now = thirds_;
    do {
        if (now < thirds + leaving)
            return false;
    } while (!thirds_.compare_exchange_weak(now, now - thirds));
    return true;
}

bool session_table::enter(const std::string& address) {
    std::lock_guard lock(mutex_);
    if (settings_.max_sessions != 0 && count_ >= settings_.max_sessions)
        return false;
    auto found = by_address_.find(address);
    const std::size_t here = found == by_address_.end() ? 0 : found->second;
    if (settings_.max_sessions_per_address != 0 && here >= settings_.max_sessions_per_address)
        return false;
    if (settings_.descriptors &&
        !settings_.descriptors->take(settings_.descriptor_thirds, settings_.leaving_thirds))
        return false;
    ++by_address_[address];
    ++count_;
    return true;
}

void session_table::leave(const std::string& address) {
    std::lock_guard lock(mutex_);
    if (settings_.descriptors)
        settings_.descriptors->give_back(settings_.descriptor_thirds);
    --count_;
    auto found = by_address_.find(address);
    if (--found->second == 0)
        by_address_.erase(found);
}

std::size_t session_table::size() const {
    std::lock_guard lock(mutex_);
    return count_;
}

reception::guest::guest(reception& host, net::worker& on) : present_(host.guests_[on.index()]) {
    present_.push_back(this);
}

reception::guest::~guest() {
    std::erase(present_, this);
}

reception::reception(protocol_words words, const reception_settings& settings, net::worker_group& workers,
                     base::logger log, serve_function serve)
    : words_(words), remote_clients_(settings.remote_clients), workers_(workers), log_(std::move(log)),
      serve_(std::move(serve)), table_(settings), guests_(workers.size()) {}

void reception::listen(std::vector<net::listener> listeners) {
    listeners_ = std::move(listeners);
    for (net::listener& l : listeners_) {
        log_.with_unit_always().summary("{} server on {}", words_.name, l.local().display());
        accept_from(l);
    }
}

void reception::add_listener(net::listener one) {
    log_.with_unit_always().summary("new {} server on {}", words_.name, one.local().display());
    listeners_.push_back(std::move(one));
    accept_from(listeners_.back());
}

void reception::remove_listener(const net::endpoint& where) {
    log_.with_unit_always().summary("deleting {} server on {}", words_.name, where.display());
    std::erase_if(listeners_, [&](const net::listener& l) { return l.local() == where; });
}

void reception::accept_from(net::listener& one) {
    one.accept(
        workers_, [this](net::worker& on, net::stream peer) { connected(on, std::move(peer)); }, log_);
}

void reception::stop_listening() {
    for (net::listener& l : listeners_)
        l.stop();
}

void reception::stop_sessions() {
    stopping_ = true;
    for (std::size_t i = 0; i < workers_.size(); ++i)
        workers_[i].post([this, i] {
            for (guest* one : guests_[i])
                one->interrupt();
        });
}

void reception::connected(net::worker& on, net::stream peer) {
    const net::endpoint& from = peer.peer();
    base::logger log = log_.with_peer(from.address, std::to_string(from.port));
    if (!remote_clients_ && !net::is_local(from)) {
        log.warning("configured to reject non-local {} connection: {} is not in {}", words_.name,
                    from.address, net::local_ranges(from));
        log.warning("connection rejected from {}", from.display());
        return;
    }
    net::spawn(on, serve(on, std::move(peer)), log, "session");
}

net::awaitable<void> reception::serve(net::worker& on, net::stream peer) {
    // The clients of unix-domain sockets choose their names: they count as one address.
    std::string address = peer.peer().unix_domain ? "/" : peer.peer().address;
    if (!table_.enter(address)) {
        base::logger log = log_.with_peer(peer.peer().address, std::to_string(peer.peer().port));
        log.warning("connection rejected from {}: too many connections", peer.peer().display());
        peer.deadline(steady_clock::now() + seconds(1));
        auto told = co_await peer.write(words_.too_many);
        (void)told.has_error(); // it is closed either way
        co_return;
    }
    struct departure { // also when the coroutine is destroyed at the end of the process
        session_table& table;
        const std::string& address;
        ~departure() { table.leave(address); }
    };
    departure on_leaving{table_, address};
    peer.count_in(on.activity());
    co_await serve_(on, std::move(peer));
}

} // namespace relay
