// The mail server's side of the milter protocol, version 6, for one message; without I/O.
//
// The whole message is there before the first word is said, so the milter hears it in one go: negotiation,
// connect, helo, mail, rcpt for each recipient, data, header for each field, end of headers, body, end of
// message, quit. Steps that it does not want are skipped, replies that it does not give are not awaited.
//
//     feed(octets from the milter); next() says what to do; take_output() is what to send.
#pragma once

#include "filter/milter_header.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace filter {

// Names of macros are as on the wire: "i", "{client_addr}".
using macros = std::vector<std::pair<std::string, std::string>>;

// What the milter is told. Addresses of mail are without angle brackets.
struct milter_message {
    std::string client_name; // as connect has it: "[192.0.2.1]" if nobody knows a name
    char family = 'U';       // '4', '6', 'L' unix-domain, 'U' unknown
    std::uint16_t port = 0;
    std::string address; // literal, or path
    std::string helo;
    std::string sender;
    std::vector<std::string> sender_parameters; // "SIZE=100"
    std::vector<std::string> recipients;
    std::vector<milter_field> headers;
    macros all_macros; // what is known of session and message, in any order
};

// One change that the milter has asked for; in the order of asking.
struct milter_edit {
    enum class kind {
        add_header,
        insert_header,
        change_header,
        add_recipient,
        delete_recipient,
        change_sender
    };
    kind what = kind::add_header;
    std::uint32_t index = 0; // insert: position; change: which of that name, from 1
    std::string name{};      // of a header field, or the address without brackets
    std::string value{};     // change_header: empty deletes
    bool operator==(const milter_edit&) const = default;
};

struct milter_outcome {
    enum class verdict { accept, reject, tempfail, discard };
    verdict what = verdict::accept;
    int code = 0;            // reject, tempfail
    std::string text{};      // of the reply, with its enhanced code if there is one
    bool quarantine = false; // accept: keep it, do not deliver it
    std::string quarantine_reason{};
    std::vector<milter_edit> edits{}; // accept
    bool body_replaced = false;       // by what replace_body brought
};

namespace milter_action {
struct read_more {};
struct supply_body {}; // answer with body(), or end_of_body()
struct replace_body {  // append it to the new body; the first one empties that
    std::span<const char> bytes;
};
struct finished { // send what is left, then close
    milter_outcome outcome;
};
struct failed { // the milter does not keep to the protocol; close
    std::string reason;
};
} // namespace milter_action

using milter_todo = std::variant<milter_action::read_more, milter_action::supply_body,
                                 milter_action::replace_body, milter_action::finished, milter_action::failed>;

class milter_engine {
public:
    static constexpr std::size_t body_piece = 65535;
    static constexpr std::size_t longest_packet = 1024 * 1024; // from the milter
    static constexpr std::size_t most_edits = 10'000;

    explicit milter_engine(milter_message about);

    void feed(std::span<const char> bytes);
    milter_todo next();                     // spans stay valid until the next call of anything
    void body(std::span<const char> bytes); // at most body_piece
    void end_of_body();
    std::string take_output();

    // "waiting for the reply to MAIL", for the log
    std::string_view step() const noexcept;

private:
    enum class state {
        negotiating,
        connect,
        helo,
        mail,
        rcpt,
        data,
        header,
        end_of_headers,
        body,
        end_of_message,
        over
    };

    struct packet {
        char command = 0;
        std::string_view data{};
    };

    bool take_packet(packet& into);
    milter_todo advance();
    milter_todo heard(const packet& reply);
    milter_todo heard_negotiation(std::string_view data);
    milter_todo heard_change(const packet& reply);
    milter_todo fail(std::string reason);
    milter_todo finish(milter_outcome::verdict what, int code, std::string text);
    milter_todo refuse_with(std::string_view text);
    bool note_edit(const packet& reply);
    std::string with_space(const std::string& value) const;
    bool allowed(std::uint32_t action) const noexcept { return (actions_ & action) != 0; }

    bool wanted(std::uint32_t skip_flag) const noexcept { return (protocol_ & skip_flag) == 0; }
    void send(char command, std::string_view data);
    void send_macros(char command, std::size_t stage, const macros& more = {});
    bool sent(std::uint32_t no_reply_flag); // true if a reply is to be awaited

    milter_message message_;
    state state_ = state::negotiating;
    bool awaiting_ = true; // a reply
    std::size_t at_ = 0;   // recipient or header field
    bool body_skipped_ = false;
    std::uint32_t version_ = 0;
    std::uint32_t actions_ = 0;                              // that the milter may do
    std::uint32_t protocol_ = 0;                             // steps and replies to be left out
    std::vector<std::vector<std::string>> requested_macros_; // by stage; empty: all
    milter_outcome outcome_;
    std::string in_;
    std::size_t used_ = 0; // of in_
    std::string out_;
};

// Applies those that are about header fields. The first `hidden` fields of the section were not shown to the
// milter: they do not count for changes. They do for insertions, as with other mail servers, where the field
// of the server itself is there too.
void apply(const std::vector<milter_edit>& edits, std::size_t hidden, mail::header_section& to);

} // namespace filter
