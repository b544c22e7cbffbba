#include "filter/blocking_filter.hpp"

#include "base/text.hpp"

namespace filter {

net::awaitable<result> blocking_filter::run(const job& now) {
    auto work = [this, &now] {
        return work_on(now);
    };
    auto done = co_await work_.run(work);
    if (done.has_value())
        co_return std::move(*done);
    std::string why = done.error().message();
    now.log.warning("{} [{}]: {}", prefix_of(now.what), name_, base::printable(why));
    co_return result::fail("failed", std::move(why));
}

} // namespace filter
