#include "filter/spamd.hpp"

#include "base/text.hpp"
#include "spool/content_edits.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace filter {

namespace {

constexpr std::size_t piece = 64 * 1024;

result failed(std::string reason) {
    return result::fail("rejected", std::move(reason));
}

} // namespace

spamd::spamd(net::target server, bool edits, const services& with)
    : work_(with.work), store_(with.store), edits_(edits), name_(net::helper_name(server)),
      connection_(with.on, std::move(server), with.timeout) {}

net::awaitable<result> spamd::run(const job& now) {
    message_files message(store_, now);
    temporary_file returned(message, spool::content_edits::spamd);
    spamd_reply reply;
    connection_.close();
    connection_.begin();
    auto done = co_await connection_.open();
    if (done.has_value())
        done = co_await send_content(message);
    if (done.has_value())
        done = co_await receive(reply, returned);
    connection_.close();
    auto finish = [&]() -> base::result<void> {
        if (done.has_value() && edits_)
            return returned.replace_content();
        returned.remove();
        return {};
    };
    auto finished = co_await work_.run(finish);
    if (done.has_error())
        co_return failed(done.error().message());
    if (finished.has_error()) {
        now.log.warning("spam filter: {}", base::printable(finished.error().message()));
        co_return failed(finished.error().message());
    }
    if (reply.is_spam() && !edits_)
        co_return failed(reply.verdict());
    co_return result::ok();
}

net::awaitable<base::result<void>> spamd::send_content(const message_files& message) {
    os::filesystem& files = message.directory().files();
    auto open = [&message] {
        return message.open_content();
    };
    auto content = co_await work_.run(open);
    if (content.has_error())
        co_return content.error();
    const std::uint64_t size = content->about.size;
    std::string request = spamd_request(size);
    auto sent = co_await connection_.write(request);
    std::vector<char> buffer(piece);
    std::uint64_t at = 0;
    while (sent.has_value() && at < size) {
        auto read = [&]() {
            return files.read_at(content->file, at, buffer);
        };
        auto n = co_await work_.run(read);
        if (n.has_error())
            co_return n.error();
        if (*n == 0)
            co_return base::error{{}, "content file has become shorter"};
        std::size_t most = std::min<std::uint64_t>(*n, size - at); // no more than announced
        at += most;
        std::string_view bytes(buffer.data(), most);
        sent = co_await connection_.write(bytes);
    }
    co_return sent;
}

net::awaitable<base::result<void>> spamd::receive(spamd_reply& reply, temporary_file& returned) {
    while (!reply.complete()) {
        auto heard = co_await connection_.read();
        if (heard.has_error())
            co_return heard.error();
        std::string_view content = reply.feed(*heard);
        if (reply.failed())
            co_return base::error{{}, reply.error()};
        if (content.empty() || !edits_)
            continue;
        auto write = [&]() -> base::result<void> {
            if (!returned.exists())
                if (auto made = returned.make(); made.has_error())
                    return made;
            return returned.write({content.data(), content.size()});
        };
        auto written = co_await work_.run(write);
        if (written.has_error())
            co_return written;
    }
    co_return base::result<void>();
}

} // namespace filter
