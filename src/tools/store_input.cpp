#include "tools/store_input.hpp"

#include "base/text.hpp"
#include "os/clock.hpp"
#include "os/machine.hpp"

#include <boost/system/errc.hpp>

#include <array>
#include <cerrno>
#include <utility>

namespace tools {

namespace {

using kind = storing_error::kind;
using outcome = boost::system::result<void, storing_error>;

storing_error about(kind what, const base::error& why) {
    const bool interrupted = why.code == boost::system::errc::operation_canceled;
    return {interrupted ? kind::interrupted : what, why};
}

class storing {
public:
    storing(opened_spool& into, input from, const message_builder& build)
        : from_(std::move(from)), build_(build), in_front_({.header_ends_by_itself = false}),
          input_(from_.how), stored_(into.folder(), into.ids()) {}

    outcome run(where to) {
        in_front_.feed(from_.lines_in_front);
        in_front_.end();
        while (!input_.over()) {
            if (auto done = read_more(); done.has_error())
                return done;
            if (!input_.header_complete())
                continue;
            if (auto done = store_what_there_is(); done.has_error())
                return done;
        }
        if (auto done = finish(); done.has_error())
            return done;
        auto published =
            to == where::spool_directory ? stored_.publish() : stored_.publish_in_sub_directories();
        if (published.has_error())
            return about(kind::spool, published.error());
        return {};
    }

    std::vector<std::string> ids() const { return stored_.ids(); }

private:
    outcome read_more() {
        std::size_t n = 0;
        if (from_.stream) {
            auto got = from_.stream->read(buffer_);
            if (got.has_error())
                return about(kind::input, got.error());
            n = *got;
        }
        if (n == 0)
            input_.end();
        else
            input_.feed(std::span(buffer_).first(n));
        if (input_.header_too_large())
            return about(kind::message, base::make_error(EFBIG, "header section"));
        return {};
    }

    // The beginning of the first message, then body as it comes.
    outcome store_what_there_is() {
        if (messages_.empty()) {
            auto built = build_(in_front_.header() + input_.header());
            if (built.has_error())
                return about(kind::message, built.error());
            messages_ = std::move(*built);
            if (auto done = in_spool(stored_.begin()); done.has_error())
                return done;
            if (auto done = in_spool(stored_.append(messages_.front().header)); done.has_error())
                return done;
            if (auto done = in_spool(stored_.append(in_front_.take_body())); done.has_error())
                return done;
        }
        return in_spool(stored_.append(input_.take_body()));
    }

    // The end of the first message, then the others with the same body.
    outcome finish() {
        if (auto done = in_spool(stored_.end(messages_.front().envelope)); done.has_error())
            return done;
        const std::size_t body_at = messages_.front().header.size();
        for (std::size_t i = 1; i < messages_.size(); ++i) {
            if (auto done = in_spool(stored_.begin()); done.has_error())
                return done;
            if (auto done = in_spool(stored_.append(messages_[i].header)); done.has_error())
                return done;
            if (auto done = in_spool(stored_.append_from_first(body_at)); done.has_error())
                return done;
            if (auto done = in_spool(stored_.end(messages_[i].envelope)); done.has_error())
                return done;
        }
        return {};
    }

    static outcome in_spool(const base::result<void>& done) {
        if (done.has_error())
            return about(kind::spool, done.error());
        return {};
    }

    input from_;
    const message_builder& build_;
    submit::content_splitter in_front_;
    submit::content_splitter input_;
    std::vector<submit::message> messages_; // empty until the header section is complete
    spool::submission stored_;
    std::array<char, 64 * 1024> buffer_{};
};

} // namespace

opened_spool::opened_spool(std::unique_ptr<os::filesystem> files, os::file directory, const std::string& path)
    : files_(std::move(files)), folder_(*files_, std::move(directory), path), ids_(os::process_id()) {}

base::result<std::unique_ptr<opened_spool>> opened_spool::open(const std::string& path) {
    auto files = os::make_filesystem();
    auto directory = os::open_directory_for_caller(*files, path);
    if (directory.has_error())
        return base::error{directory.error().code, "invalid spool directory: " + base::printable(path)};
    return std::unique_ptr<opened_spool>(new opened_spool(std::move(files), std::move(*directory), path));
}

submit::stamp stamp_now() {
    const std::int64_t nanoseconds = os::nanoseconds_now();
    return {.now = os::local_now(),
            .seconds = nanoseconds / 1'000'000'000,
            .microseconds = static_cast<unsigned>(nanoseconds / 1000 % 1'000'000),
            .process = os::process_id()};
}

boost::system::result<std::vector<std::string>, storing_error>
store_input(opened_spool& into, input from, const message_builder& build, where to) {
    storing s(into, std::move(from), build);
    if (auto done = s.run(to); done.has_error())
        return done.error();
    return s.ids();
}

} // namespace tools
