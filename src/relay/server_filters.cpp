#include "relay/server_filters.hpp"

#include "base/text.hpp"

#include <boost/system/errc.hpp>

#include <utility>

namespace relay {

namespace errc = boost::system::errc;

server_filters::server_filters(const filter_settings& settings, spool::store& store, blocking& work,
                               net::worker& on, const base::logger& log)
    : store_(store), work_(work), log_(log),
      chain_(settings.makers, filter::services{on, work, store, settings.timeout}) {}

server_filters::~server_filters() {
    discard();
}

net::awaitable<server_filters::verdict> server_filters::run(spool::new_message message,
                                                            mail::envelope envelope,
                                                            const filter::session_facts& session) {
    rescan_ = abandoned_ = false;
    auto write = [this, &message, &envelope] {
        return store_.stage(std::move(message), envelope);
    };
    auto staged = co_await work_.run(write);
    if (staged.has_error()) {
        log_.warning("failed to save message content: {}", staged.error().message());
        refusal_ = {452, "transaction failed"};
        co_return verdict::refused;
    }
    staged_ = std::move(*staged);
    filter::job job{filter::kind::server,     staged_->id(), staged_->content_path(),
                    staged_->envelope_path(), &session,      log_.with_message(staged_->id())};
    filter::result found = co_await chain_.run(job);
    verdict what = judge(found, job.log);
    if (what == verdict::refused)
        co_await remove(); // before anybody is told
    co_return what;
}

net::awaitable<void> server_filters::remove() {
    auto gone = [this] {
        staged_.reset();
    };
    co_await work_.run(gone);
}

server_filters::verdict server_filters::judge(const filter::result& found, const base::logger& log) {
    rescan_ = found.special;
    switch (found.what) {
    case filter::result::outcome::ok:
        return verdict::accepted;
    case filter::result::outcome::abandon:
        abandoned_ = true;
        return verdict::abandoned;
    case filter::result::outcome::fail:
    case filter::result::outcome::interrupted:
        break;
    }
    log.summary("rejected by filter: [{}]", base::printable(found.reason));
    refusal_ = {found.code != 0 ? found.code : 452, found.response};
    return verdict::refused;
}

net::awaitable<base::result<std::string>> server_filters::commit() {
    spool::staged_message message = std::move(*staged_);
    staged_.reset();
    using which = spool::store::must_be_there;
    auto stored = co_await work_.commit(store_, std::move(message), abandoned_ ? which::none : which::both);
    if (stored.has_value())
        co_return stored;
    const base::error& why = stored.error();
    // What the filters themselves have done to the files.
    if (why.code == errc::no_such_file_or_directory || why.code == errc::bad_message ||
        why.code == errc::file_too_large) {
        log_.warning("filter exception: {}", base::printable(why.message()));
        refusal_ = {452, "rejected"};
    } else {
        log_.warning("failed to save message content: {}", why.message());
        refusal_ = {452, "transaction failed"};
    }
    co_return why;
}

void server_filters::discard() {
    if (staged_)
        store_.discard(std::move(*staged_));
    staged_.reset();
}

void server_filters::interrupt() {
    chain_.interrupt();
}

} // namespace relay
