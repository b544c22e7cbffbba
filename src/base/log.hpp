// What is logged, and on whose behalf.
//
// `log_sink` is where lines go (src/os/log_writer.hpp in the program, a vector in tests). `logger` is a small
// value that a session, a forwarding run or a store keeps: the sink plus the context that stands in front of
// its lines (spec/process-and-logging.md section 3). Writing never blocks on a disk: the sink hands lines to
// a thread of its own.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace base {

enum class severity { debug, info, warning, error };

// How much must be asked for before an info line appears: --log, --verbose, --verbose twice.
enum class detail { summary, verbose, extra };

struct log_context {
    std::string unit{};       // name of the relay instance, empty for the nameless one
    std::string address{};    // peer address without port, empty if there is none
    std::string port{};       // peer port, empty if there is none
    std::string message_id{}; // spool id with its leading "emailrelay."
    bool always_unit =
        false; // listening and "forwarding to" lines: the unit is shown without being asked for
};

class log_sink {
public:
    virtual ~log_sink() = default;
    virtual bool wants(severity level, detail amount) const noexcept = 0;
    // Thread-safe. `text` is one line without line end and without anything a peer could use to forge
    // another.
    virtual void write(severity level, const log_context& context, std::string_view text) = 0;
};

class logger {
public:
    // The sink outlives the logger.
    explicit logger(log_sink& sink) : sink_(&sink) {}
    logger(log_sink& sink, log_context context) : sink_(&sink), context_(std::move(context)) {}

    const log_context& context() const noexcept { return context_; }
    log_sink& sink() const noexcept { return *sink_; }

    logger with_peer(std::string address, std::string port) const {
        logger other(*this);
        other.context_.address = std::move(address);
        other.context_.port = std::move(port);
        return other;
    }
    logger with_message(std::string id) const {
        logger other(*this);
        other.context_.message_id = std::move(id);
        return other;
    }
    logger with_unit_always() const {
        logger other(*this);
        other.context_.always_unit = true;
        return other;
    }

    // Ask before building a costly text.
    bool wants_verbose() const noexcept { return sink_->wants(severity::info, detail::verbose); }

    template <class... Args>
    void summary(fmt::format_string<Args...> format, Args&&... args) const {
        put(severity::info, detail::summary, format, fmt::make_format_args(args...));
    }
    template <class... Args>
    void verbose(fmt::format_string<Args...> format, Args&&... args) const {
        put(severity::info, detail::verbose, format, fmt::make_format_args(args...));
    }
    template <class... Args>
    void extra(fmt::format_string<Args...> format, Args&&... args) const {
        put(severity::info, detail::extra, format, fmt::make_format_args(args...));
    }
    template <class... Args>
    void warning(fmt::format_string<Args...> format, Args&&... args) const {
        put(severity::warning, detail::summary, format, fmt::make_format_args(args...));
    }
    template <class... Args>
    void error(fmt::format_string<Args...> format, Args&&... args) const {
        put(severity::error, detail::summary, format, fmt::make_format_args(args...));
    }

private:
    void put(severity level, detail amount, fmt::string_view format, fmt::format_args args) const {
        if (sink_->wants(level, amount))
            sink_->write(level, context_, fmt::vformat(format, args));
    }

    log_sink* sink_;
    log_context context_;
};

} // namespace base
