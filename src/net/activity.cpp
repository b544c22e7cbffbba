#include "net/activity.hpp"

#include "base/text.hpp"
#include "net/worker.hpp"

#include <algorithm>
#include <deque>

namespace net {

namespace {

// One line, whatever peers have put into it; runs of blanks become one.
std::string event_text(std::initializer_list<std::string_view> parts) {
    std::string text;
    for (std::string_view part : parts) {
        if (part.empty())
            continue;
        if (!text.empty())
            text += ": ";
        for (char c : base::printable(part))
            if (c != ' ' || !text.ends_with(' '))
                text += c;
    }
    return text;
}

} // namespace

// What waits is under the bus's mutex.
class event_bus::reader : public std::enable_shared_from_this<event_bus::reader> {
public:
    reader(event_bus& bus, worker& on, std::function<void()> wake)
        : bus_(bus), worker_(on), wake_(std::move(wake)) {
        ++bus_.readers_count_;
    }
    ~reader() { --bus_.readers_count_; }
    reader(const reader&) = delete;
    reader& operator=(const reader&) = delete;

    void put(const std::string& text) {
        if (waiting_.size() >= most_waiting) {
            waiting_.pop_front();
            ++lost_;
        }
        waiting_.push_back(text);
        if (std::exchange(told_, true))
            return;
        worker_.post([weak = weak_from_this()] {
            auto self = weak.lock();
            if (self && self->wake_)
                self->wake_();
        });
    }

    void end() noexcept { wake_ = nullptr; } // on the worker's thread, as is its use

    taken take() {
        std::lock_guard lock(bus_.mutex_);
        told_ = false;
        taken all{{waiting_.begin(), waiting_.end()}, std::exchange(lost_, 0)};
        waiting_.clear();
        return all;
    }

private:
    event_bus& bus_;
    worker& worker_;
    std::function<void()> wake_;
    std::deque<std::string> waiting_;
    std::size_t lost_ = 0;
    bool told_ = false;
};

void event_bus::publish(std::initializer_list<std::string_view> parts) {
    if (!has_readers())
        return;
    std::string text = event_text(parts);
    std::vector<std::shared_ptr<reader>> present; // not destroyed under the lock
    std::lock_guard lock(mutex_);
    std::erase_if(readers_, [&](const std::weak_ptr<reader>& r) {
        present.push_back(r.lock());
        return !present.back();
    });
    for (const auto& r : present)
        if (r)
            r->put(text);
}

event_bus::subscription event_bus::subscribe(worker& on, std::function<void()> wake) {
    auto made = std::make_shared<reader>(*this, on, std::move(wake));
    std::lock_guard lock(mutex_);
    readers_.push_back(made);
    return subscription(std::move(made));
}

event_bus::subscription::subscription(std::shared_ptr<reader> r) : reader_(std::move(r)) {}
event_bus::subscription::subscription(subscription&&) noexcept = default;

event_bus::subscription& event_bus::subscription::operator=(subscription&& other) noexcept {
    end();
    reader_ = std::move(other.reader_);
    return *this;
}

event_bus::subscription::~subscription() {
    end();
}

void event_bus::subscription::end() noexcept {
    if (reader_)
        reader_->end();
    reader_.reset();
}

event_bus::taken event_bus::subscription::take() {
    return reader_->take();
}

void activity::part::end() noexcept {
    if (auto* owner = std::exchange(owner_, nullptr))
        owner->remove(place_);
}

void activity::part::opened(const endpoint& local, const endpoint& peer) {
    std::lock_guard lock(owner_->mutex_);
    place_->local = &local;
    place_->peer = &peer;
}

activity::part activity::add(record r) {
    std::lock_guard lock(mutex_);
    records_.push_front(r);
    if (r.what == record::kind::incoming)
        ++in_started_;
    else if (r.what == record::kind::outgoing)
        ++out_started_;
    return {*this, records_.begin()};
}

void activity::remove(records::iterator place) {
    record::kind what = place->what;
    {
        std::lock_guard lock(mutex_);
        if (what == record::kind::incoming)
            ++in_finished_;
        else if (what == record::kind::outgoing)
            ++out_finished_;
        records_.erase(place);
    }
    const char* which = what == record::kind::listening  ? "listen"
                        : what == record::kind::incoming ? "in"
                                                         : "out";
    events.publish({"network", which, "stop"});
}

activity::part activity::listening(const endpoint& where) {
    part made = add({record::kind::listening, &where, nullptr});
    events.publish({"network", "listen", "start"});
    return made;
}

activity::part activity::incoming(const endpoint& local, const endpoint& peer) {
    part made = add({record::kind::incoming, &local, &peer});
    events.publish({"network", "in", "start"});
    return made;
}

activity::part activity::outgoing() {
    part made = add({record::kind::outgoing, nullptr, nullptr});
    events.publish({"network", "out", "start"});
    return made;
}

activity::state activity::now() const {
    state s;
    std::lock_guard lock(mutex_);
    s.in_started = in_started_;
    s.in_finished = in_finished_;
    s.out_started = out_started_;
    s.out_finished = out_finished_;
    for (auto r = records_.rbegin(); r != records_.rend(); ++r) { // in the order of time
        if (r->what == record::kind::listening)
            s.listening.push_back(r->local->display());
        else if (r->local)
            (r->what == record::kind::incoming ? s.in : s.out)
                .push_back({r->local->display(), r->peer->display()});
    }
    return s;
}

} // namespace net
