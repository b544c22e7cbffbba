// The same engine as the relay's, driven by blocking reads and writes: there is one peer, and it is the
// caller.
#include "tools/sendmail_smtp.hpp"

#include "smtp/server_engine.hpp"
#include "submit/sendmail_message.hpp"

#include <array>
#include <chrono>
#include <optional>
#include <utility>
#include <variant>

namespace tools {

namespace {

// The caller has the replies; nobody else is interested.
class no_log final : public base::log_sink {
public:
    bool wants(base::severity, base::detail) const noexcept override { return false; }
    void write(base::severity, const base::log_context&, std::string_view) override {}
};

smtp::server_settings settings_for(const std::string& domain) {
    smtp::server_settings s;
    s.domain = domain;
    s.version = EMAILRELAY_VERSION;
    s.anonymous_vrfy = true;
    s.strict_parsing = false;
    s.smtputf8 = true;
    return s;
}

class session {
public:
    session(opened_spool& into, const std::string& domain, const std::function<std::string()>& mail_domain)
        : into_(into), mail_domain_(mail_domain), settings_(settings_for(domain)),
          engine_(settings_, {.address = "127.0.0.1"}, base::logger(log_)) {
        in_.set_patience(std::chrono::minutes(30));
        out_.set_patience(std::chrono::minutes(30));
    }

    base::result<void> run() {
        engine_.start();
        for (;;) {
            smtp::server_action todo = engine_.next();
            base::result<void> done;
            if (std::holds_alternative<smtp::read_more>(todo)) {
                auto more = exchange();
                if (more.has_error())
                    return more.error();
                if (!*more)
                    return {};
            } else if (std::holds_alternative<smtp::write_replies>(todo)) {
                done = write_replies();
            } else if (auto* ask = std::get_if<smtp::check_recipient>(&todo)) {
                smtp::recipient_verdict accepted;
                accepted.address = submit::with_domain(std::string(ask->address), mail_domain_);
                engine_.recipient_checked(std::move(accepted));
            } else if (std::holds_alternative<smtp::begin_message>(todo)) {
                message_.emplace(into_.folder(), into_.ids());
                stored_ = message_->begin();
            } else if (std::holds_alternative<smtp::open_content>(todo)) {
                engine_.content_opened(stamp_now().now);
            } else if (auto* content = std::get_if<smtp::append_content>(&todo)) {
                if (stored_.has_value())
                    stored_ = message_->append(content->bytes);
            } else if (auto* commit_this = std::get_if<smtp::commit_message>(&todo)) {
                commit(*commit_this->envelope);
            } else if (std::holds_alternative<smtp::discard_message>(todo)) {
                message_.reset();
            } else if (std::holds_alternative<smtp::close_session>(todo)) {
                return write_replies();
            }
            if (done.has_error())
                return done;
        }
    }

private:
    // Replies out, then the next octets in; false at the end of the input.
    base::result<bool> exchange() {
        if (auto written = write_replies(); written.has_error())
            return written.error();
        auto got = in_.read(buffer_);
        if (got.has_error())
            return got.error();
        engine_.feed(std::span(buffer_).first(*got));
        return *got != 0;
    }

    base::result<void> write_replies() { return out_.write(engine_.take_output()); }

    void commit(mail::envelope envelope) {
        envelope.from = submit::with_domain(std::move(envelope.from), mail_domain_);
        if (stored_.has_value())
            stored_ = message_->end(envelope);
        if (stored_.has_value())
            stored_ = message_->publish();
        message_.reset();
        if (stored_.has_value())
            engine_.message_committed({});
        else
            engine_.message_committed({452, "transaction failed"});
    }

    opened_spool& into_;
    const std::function<std::string()>& mail_domain_;
    no_log log_;
    smtp::server_settings settings_;
    smtp::server_engine engine_;
    os::caller_stream in_ = os::caller_stream::standard_input();
    os::caller_stream out_ = os::caller_stream::standard_output();
    std::optional<spool::submission> message_; // the one being received
    base::result<void> stored_;                // what became of it so far
    std::array<char, 64 * 1024> buffer_{};
};

} // namespace

base::result<void> serve_standard_streams(opened_spool& into, const std::string& domain,
                                          const std::function<std::string()>& mail_domain) {
    return session(into, domain, mail_domain).run();
}

} // namespace tools
