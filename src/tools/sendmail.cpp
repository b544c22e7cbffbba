// emailrelay-sendmail: a sendmail for programs of the same machine; mailq and newaliases by name.
//
// Stores into the spool as emailrelay-submit does: exit code 0 means that the message is on stable storage,
// also while no relay runs. Exit codes are those of sysexits.h. May be installed set-gid: see os/caller.hpp.
#include "os/clock.hpp"
#include "os/process.hpp"
#include "spool/listing.hpp"
#include "spool/names.hpp"
#include "submit/queue_text.hpp"
#include "submit/sendmail_message.hpp"
#include "submit/sendmail_options.hpp"
#include "tools/sendmail_smtp.hpp"
#include "tools/store_input.hpp"

#include "base/text.hpp"

#include <boost/system/errc.hpp>
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <optional>

namespace {

using submit::sendmail_options;

int fail(int status, const std::string& text) {
    // A stderr that cannot be written to changes nothing.
    std::fputs(fmt::format("emailrelay-sendmail: {}\n", text).c_str(), stderr);
    return status;
}

// What stands behind the "@" of local users' addresses: Debian's /etc/mailname, else this host's name.
std::string find_mail_domain() {
    if (auto text = os::read_file("/etc/mailname"); text.has_value())
        if (const std::string_view name = base::trim(text->substr(0, text->find('\n')));
            submit::can_be_message_id_domain(name))
            return std::string(name);
    std::string name = os::host_name();
    if (name.find('.') == name.npos)
        if (std::string canonical = os::canonical_host_name(); !canonical.empty())
            name = std::move(canonical);
    return submit::can_be_message_id_domain(name) ? name : "localhost";
}

const std::string& mail_domain() {
    static const std::string found = find_mail_domain();
    return found;
}

bool is_plausible_login(const std::string& name) {
    return !name.empty() && name.size() <= 64 && name.find_first_of(" \t\"()<>[]:;@\\,") == name.npos &&
           !submit::has_control_characters(name) && base::is_utf8(name);
}

submit::sendmail_caller find_caller() {
    const os::caller_names names = os::names_of_caller();
    submit::sendmail_caller caller{
        .login = names.login, .full_name = names.full_name, .mail_domain = mail_domain};
    for (const char* variable : {"LOGNAME", "USER"}) // the last one that is set counts
        if (auto value = os::caller_variable(variable); value && is_plausible_login(*value))
            caller.login = *value;
    if (caller.login != names.login)
        caller.full_name.clear();
    if (auto value = os::caller_variable("NAME"))
        caller.full_name = *value;
    if (caller.login.empty())
        caller.login = "nobody";
    return caller;
}

submit::exit_status status_for(const base::error_code& code) {
    namespace errc = boost::system::errc;
    if (code == errc::no_such_file_or_directory || code == errc::not_a_directory)
        return submit::ex_config;
    if (code == errc::permission_denied || code == errc::operation_not_permitted)
        return submit::ex_noperm;
    return base::is_temporary(code) ? submit::ex_tempfail : submit::ex_ioerr;
}

int fail_storing(const tools::storing_error& e) {
    using kind = tools::storing_error::kind;
    if (e.what == kind::interrupted)
        if (const auto signal = os::pending_signal())
            os::die_by(*signal);
    const std::string text = e.why.message();
    if (e.what == kind::message)
        return fail(submit::ex_dataerr, text);
    if (e.what == kind::spool)
        return fail(status_for(e.why.code), text);
    const bool no_input = e.why.code == boost::system::errc::bad_file_descriptor ||
                          e.why.code == boost::system::errc::is_a_directory;
    return fail(no_input ? submit::ex_noinput : submit::ex_ioerr, text);
}

int deliver(tools::opened_spool& spool, const sendmail_options& o) {
    if (o.recipients.empty() && !o.recipients_in_header)
        return fail(submit::ex_usage, "no recipients: name them, or use -t");
    os::caller_stream in = os::caller_stream::standard_input();
    const tools::input from{.how = {.dot_ends = o.dot_ends, .header_ends_by_itself = true}, .stream = &in};
    const auto build = [&o](const std::string& header) -> base::result<std::vector<submit::message>> {
        auto made = submit::build_sendmail_message(o, find_caller(), header, tools::stamp_now());
        if (made.has_error())
            return made.error();
        return std::vector<submit::message>{std::move(*made)};
    };
    auto stored = tools::store_input(spool, from, build);
    return stored.has_error() ? fail_storing(stored.error()) : submit::ex_ok;
}

int serve(tools::opened_spool& spool) {
    auto done = tools::serve_standard_streams(spool, mail_domain(), mail_domain);
    if (done.has_value())
        return submit::ex_ok;
    if (done.error().code == boost::system::errc::operation_canceled)
        if (const auto signal = os::pending_signal())
            os::die_by(*signal);
    return fail(submit::ex_ioerr, done.error().message());
}

submit::queued_message shown(const spool::listed_message& m) {
    submit::queued_message q{.id = m.id};
    q.mark = m.state == spool::listed_state::being_sent ? '*'
             : m.state == spool::listed_state::failed   ? '!'
                                                        : ' ';
    q.size = m.content_size.value_or(0);
    if (const auto name = spool::parse_name(m.id))
        q.arrived = os::local_time(static_cast<std::int64_t>(name->time));
    if (!m.envelope) {
        q.reason = "envelope cannot be read";
        return q;
    }
    if (!m.content_size)
        q.reason = "no content file";
    q.sender = m.envelope->value.from;
    q.recipients = m.envelope->value.to_local;
    q.recipients.insert(q.recipients.end(), m.envelope->value.to_remote.begin(),
                        m.envelope->value.to_remote.end());
    constexpr std::string_view reason = "X-MailRelay-Reason: ";
    if (m.state == spool::listed_state::failed)
        for (const std::string& line : m.envelope->extra) // the last one is the newest
            if (line.starts_with(reason))
                q.reason = line.substr(reason.size());
    return q;
}

int list_queue(tools::opened_spool& spool) {
    auto listed = spool::list_messages(spool.folder());
    if (listed.has_error())
        return fail(status_for(listed.error().code), listed.error().message());
    std::vector<submit::queued_message> queue;
    for (const spool::listed_message& m : *listed)
        queue.push_back(shown(m));
    auto written = os::caller_stream::standard_output().write(submit::queue_text(queue));
    return written.has_error() ? fail(submit::ex_ioerr, written.error().message()) : submit::ex_ok;
}

int run(const sendmail_options& o) {
    if (o.wrong)
        return fail(o.wrong->status, o.wrong->text);
    if (o.what == sendmail_options::mode::aliases)
        return submit::ex_ok; // there is no data base of aliases to be made
    auto spool = tools::opened_spool::open(o.spool_dir.empty() ? EMAILRELAY_SPOOL_DIR : o.spool_dir);
    if (spool.has_error())
        return fail(status_for(spool.error().code), spool.error().message());
    switch (o.what) {
    case sendmail_options::mode::smtp:
        return serve(**spool);
    case sendmail_options::mode::list_queue:
        return list_queue(**spool);
    default:
        return deliver(**spool, o);
    }
}

std::string_view base_name(std::string_view path) {
    return path.substr(path.rfind('/') + 1);
}

} // namespace

int main(int argc, char** argv) {
    os::begin_as_tool();
    try {
        const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
        return run(submit::read_sendmail_options(base_name(argc > 0 ? argv[0] : ""), words));
    } catch (const std::exception& e) {
        return fail(submit::ex_software, e.what());
    }
}
