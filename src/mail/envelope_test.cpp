#include "mail/envelope.hpp"

#include "base/text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

using namespace std::string_literals;

namespace {

using lines = std::vector<std::string>;

mail::envelope typical() {
    mail::envelope e;
    e.from = "a@b";
    e.to_remote = {"x@y", "y@z", "x@y"};
    e.client = "127.0.0.1";
    return e;
}

mail::envelope with_everything() {
    mail::envelope e;
    e.content = mail::body_type::eight_bit;
    e.from = "böb@b.example";
    e.to_local = {"postmaster", "alice"};
    e.to_remote = {"x@y", "\"a b\"@z", "ü@y"};
    e.authentication = "user name=1+1";
    e.client = "::1";
    e.client_certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n\n  AAAA\n-----END CERTIFICATE-----";
    e.mail_from_auth_in = "joe+2Bx@b";
    e.mail_from_auth_out = "<>";
    e.forward_to = "smtp.example.com:25 or so";
    e.forward_to_address = "192.0.2.1:25";
    e.client_account_selector = "second account";
    e.utf8_mailboxes = true;
    return e;
}

lines newest_lines() {
    return {"X-MailRelay-Format: #2821.8",
            "X-MailRelay-Content: 7bit",
            "X-MailRelay-From: a@b",
            "X-MailRelay-ToCount: 2",
            "X-MailRelay-To-Remote: x@y",
            "X-MailRelay-To-Local: joe",
            "X-MailRelay-Authentication: id",
            "X-MailRelay-Client: 10.0.0.1",
            "X-MailRelay-ClientCertificate: cert",
            "X-MailRelay-MailFromAuthIn: in",
            "X-MailRelay-MailFromAuthOut: out",
            "X-MailRelay-ForwardTo: host:25",
            "X-MailRelay-ForwardToAddress: addr",
            "X-MailRelay-ClientAccountSelector: acc",
            "X-MailRelay-Utf8MailboxNames: 1",
            "X-MailRelay-End: 1"};
}

std::string join(const lines& all, std::string_view end = "\r\n") {
    std::string text;
    for (const std::string& one : all)
        text.append(one).append(end);
    return text;
}

lines lines_of(const std::string& text) {
    lines all;
    for (std::string& one : base::split(text, '\n')) {
        if (one.ends_with('\r'))
            one.pop_back();
        all.push_back(std::move(one));
    }
    if (all.back().empty())
        all.pop_back();
    return all;
}

// The newest form with the line of `field` replaced.
lines with_line(std::string_view field, const std::string& replacement) {
    lines all = newest_lines();
    auto at = std::find_if(all.begin(), all.end(), [&](const std::string& one) {
        return one.starts_with("X-MailRelay-" + std::string(field) + ":");
    });
    EXPECT_NE(at, all.end());
    *at = replacement;
    return all;
}

lines without(std::vector<std::string_view> fields, std::string_view format) {
    lines all = newest_lines();
    all.front() = "X-MailRelay-Format: " + std::string(format);
    for (std::string_view field : fields)
        std::erase_if(all, [&](const std::string& one) {
            return one.starts_with("X-MailRelay-" + std::string(field) + ":");
        });
    return all;
}

mail::parsed_envelope parsed(const std::string& text) {
    auto result = mail::parse_envelope(text);
    if (!result) {
        ADD_FAILURE() << result.error().message() << " in\n" << text;
        return {};
    }
    return *result;
}

mail::parsed_envelope parsed(const lines& all) {
    return parsed(join(all));
}

// The part of the error behind "cannot read envelope file: ", or "none".
std::string error_of(const std::string& text) {
    constexpr std::string_view start = "cannot read envelope file: ";
    auto result = mail::parse_envelope(text);
    if (result)
        return "none";
    std::string message = result.error().message();
    EXPECT_TRUE(message.starts_with(start)) << message;
    return message.substr(start.size());
}

std::string error_of(const lines& all) {
    return error_of(join(all));
}

} // namespace

// ---- writing

TEST(envelope_format, as_the_spec_shows) {
    EXPECT_EQ(mail::format_envelope(typical()), "X-MailRelay-Format: #2821.8\r\n"
                                                "X-MailRelay-Content: unknown\r\n"
                                                "X-MailRelay-From: a@b\r\n"
                                                "X-MailRelay-ToCount: 3\r\n"
                                                "X-MailRelay-To-Remote: x@y\r\n"
                                                "X-MailRelay-To-Remote: y@z\r\n"
                                                "X-MailRelay-To-Remote: x@y\r\n"
                                                "X-MailRelay-Authentication: \r\n"
                                                "X-MailRelay-Client: 127.0.0.1\r\n"
                                                "X-MailRelay-ClientCertificate: \r\n"
                                                "X-MailRelay-MailFromAuthIn: \r\n"
                                                "X-MailRelay-MailFromAuthOut: \r\n"
                                                "X-MailRelay-ForwardTo: \r\n"
                                                "X-MailRelay-ForwardToAddress: \r\n"
                                                "X-MailRelay-ClientAccountSelector: \r\n"
                                                "X-MailRelay-Utf8MailboxNames: 0\r\n"
                                                "X-MailRelay-End: 1\r\n");
}

TEST(envelope_format, with_everything) {
    EXPECT_EQ(mail::format_envelope(with_everything()),
              "X-MailRelay-Format: #2821.8\r\n"
              "X-MailRelay-Content: 8bit\r\n"
              "X-MailRelay-From: böb@b.example\r\n"
              "X-MailRelay-ToCount: 5\r\n"
              "X-MailRelay-To-Local: postmaster\r\n"
              "X-MailRelay-To-Local: alice\r\n"
              "X-MailRelay-To-Remote: x@y\r\n"
              "X-MailRelay-To-Remote: \"a b\"@z\r\n"
              "X-MailRelay-To-Remote: ü@y\r\n"
              "X-MailRelay-Authentication: user+20name+3D1+2B1\r\n"
              "X-MailRelay-Client: ::1\r\n"
              "X-MailRelay-ClientCertificate: -----BEGIN CERTIFICATE-----\r\n"
              " MIIB\r\n"
              " \r\n"
              "   AAAA\r\n"
              " -----END CERTIFICATE-----\r\n"
              "X-MailRelay-MailFromAuthIn: joe+2Bx@b\r\n"
              "X-MailRelay-MailFromAuthOut: <>\r\n"
              "X-MailRelay-ForwardTo: smtp.example.com:25+20or+20so\r\n"
              "X-MailRelay-ForwardToAddress: 192.0.2.1:25\r\n"
              "X-MailRelay-ClientAccountSelector: second account\r\n"
              "X-MailRelay-Utf8MailboxNames: 1\r\n"
              "X-MailRelay-End: 1\r\n");
}

TEST(envelope_format, content_words) {
    using enum mail::body_type;
    for (auto [type, word] : {std::pair(unknown, "unknown"), std::pair(seven_bit, "7bit"),
                              std::pair(eight_bit, "8bit"), std::pair(binary_mime, "binarymime")}) {
        mail::envelope e = typical();
        e.content = type;
        std::string text = mail::format_envelope(e);
        EXPECT_NE(text.find("\r\nX-MailRelay-Content: "s + word + "\r\n"), std::string::npos) << word;
        EXPECT_EQ(parsed(text).value.content, type) << word;
    }
}

TEST(envelope_format, auth_values_are_normalised) {
    auto written = [](std::string value) {
        mail::envelope e;
        e.mail_from_auth_out = std::move(value);
        return lines_of(mail::format_envelope(e))[8];
    };
    EXPECT_EQ(written(""), "X-MailRelay-MailFromAuthOut: ");
    EXPECT_EQ(written("<>"), "X-MailRelay-MailFromAuthOut: <>");
    EXPECT_EQ(written("+"), "X-MailRelay-MailFromAuthOut: +");
    EXPECT_EQ(written("a+b"), "X-MailRelay-MailFromAuthOut: a");
    EXPECT_EQ(written("c=d"), "X-MailRelay-MailFromAuthOut: c+3Dd");
    EXPECT_EQ(written("+zz"), "X-MailRelay-MailFromAuthOut: +00");
    EXPECT_EQ(written("+3d+40"), "X-MailRelay-MailFromAuthOut: +3D@");
    EXPECT_EQ(written("a b"), "X-MailRelay-MailFromAuthOut: a+20b");
}

TEST(envelope_format, certificate_loses_carriage_returns_and_outer_blanks) {
    mail::envelope e;
    e.client_certificate = "\r\n begin\r\nmiddle \r\n\tend\r\n\r\n";
    std::string text = mail::format_envelope(e);
    EXPECT_NE(text.find("\r\nX-MailRelay-ClientCertificate: begin\r\n middle \r\n \tend\r\nX-MailRelay-Mail"),
              std::string::npos)
        << text;
    EXPECT_EQ(parsed(text).value.client_certificate, "begin\nmiddle \n\tend");
}

// ---- injection: whatever stands in a value, the file has the lines it should have and no others

TEST(envelope_injection, no_value_makes_a_line) {
    const lines attacks{
        "\r\nX-MailRelay-To-Remote: victim@x",
        "a@b\r\nX-MailRelay-End: 1\r\n",
        "a@b\nX-MailRelay-ToCount: 1\nX-MailRelay-To-Remote: victim@x\nX-MailRelay-End: 1",
        "a@b\rX-MailRelay-ToCount: 0\r",
        "a\n continued",
        "a\0b\r\n\0"s,
        "\n\n\n",
        "a\r\r\nX-MailRelay-End: 1",
        "end\r",
        "end\n",
    };
    using member = std::function<std::string&(mail::envelope&)>;
    const std::vector<member> one_line_members{
        [](auto& e) -> std::string& { return e.from; },
        [](auto& e) -> std::string& { return e.to_local[1]; },
        [](auto& e) -> std::string& { return e.to_remote[0]; },
        [](auto& e) -> std::string& { return e.to_remote[2]; },
        [](auto& e) -> std::string& { return e.authentication; },
        [](auto& e) -> std::string& { return e.client; },
        [](auto& e) -> std::string& { return e.mail_from_auth_in; },
        [](auto& e) -> std::string& { return e.mail_from_auth_out; },
        [](auto& e) -> std::string& { return e.forward_to; },
        [](auto& e) -> std::string& { return e.forward_to_address; },
        [](auto& e) -> std::string& { return e.client_account_selector; },
    };
    lines expected = lines_of(mail::format_envelope(with_everything()));
    for (const std::string& attack : attacks) {
        for (const member& value : one_line_members) {
            mail::envelope e = with_everything();
            value(e) = attack;
            std::string text = mail::format_envelope(e);
            EXPECT_EQ(std::count(text.begin(), text.end(), '\r'), std::ptrdiff_t(expected.size()));
            EXPECT_EQ(std::count(text.begin(), text.end(), '\0'), 0);

            lines got = lines_of(text);
            ASSERT_EQ(got.size(), expected.size()) << text;
            for (std::size_t i = 0; i < got.size(); ++i) {
                std::string name = got[i].substr(0, got[i].find(": "));
                EXPECT_TRUE(expected[i] == got[i] || expected[i].starts_with(name + ": ")) << got[i];
            }
            // Read again, nothing but the one value differs.
            mail::envelope back = parsed(text).value;
            value(e).clear();
            value(back).clear();
            EXPECT_EQ(back, e) << text;
        }
    }
}

TEST(envelope_injection, certificate_stays_folded) {
    mail::envelope e = with_everything();
    e.client_certificate = "x\nX-MailRelay-ForwardTo: evil\r\nX-MailRelay-End: 1\n\0"s;
    std::string text = mail::format_envelope(e);
    EXPECT_NE(text.find("x\r\n X-MailRelay-ForwardTo: evil\r\n X-MailRelay-End: 1\r\n ?\r\n"),
              std::string::npos);
    mail::parsed_envelope back = parsed(text);
    EXPECT_EQ(back.value.forward_to, e.forward_to);
    EXPECT_TRUE(back.extra.empty());
}

TEST(envelope_injection, line_ends_become_question_marks) {
    mail::envelope e = typical();
    e.from = "a\r\nb@c";
    e.to_remote[1] = " x\ny\0@z\r\n"s;
    mail::envelope back = parsed(mail::format_envelope(e)).value;
    EXPECT_EQ(back.from, "a??b@c");
    EXPECT_EQ(back.to_remote[1], "x?y?@z");
}

// A value read must not reach the SMTP dialogue with a line end in it, wherever the file comes from.
TEST(envelope_injection, values_read_are_one_line) {
    mail::envelope e = parsed(with_line("From", "X-MailRelay-From: a@b\r\n RCPT TO:<c>")).value;
    EXPECT_EQ(e.from, "a@b?RCPT TO:<c>");
    e = parsed(with_line("To-Remote", "X-MailRelay-To-Remote: a\rDATA\0b"s)).value;
    EXPECT_EQ(e.to_remote, lines{"a?DATA?b"});
}

TEST(envelope_injection, reason_is_one_line) {
    EXPECT_EQ(mail::format_reason("no\r\nX-MailRelay-End: 1", 550, true),
              "X-MailRelay-Reason: no\\r\\nX-MailRelay-End: 1\r\nX-MailRelay-ReasonCode: 550\r\n");
}

TEST(envelope_injection, extra_line_stays_one_line) {
    std::string text = mail::rewrite_envelope(typical(), {"note\nX-MailRelay-Reason: forged\r\n"});
    EXPECT_TRUE(text.ends_with("X-MailRelay-End: 1\r\nnote?X-MailRelay-Reason: forged\r\n")) << text;
}

// An address with bare LFs, as other programs write it, in a file of CR-LF lines: the sender's own envelope,
// and behind it the rest of the true one.
TEST(envelope_injection, forged_envelope_inside_a_value_is_refused) {
    std::string forged =
        "X-MailRelay-From: a\n"
        "X-MailRelay-ToCount: 1\nX-MailRelay-To-Remote: victim@x\n"
        "X-MailRelay-Authentication: admin\nX-MailRelay-Client: 127.0.0.1\n"
        "X-MailRelay-ClientCertificate:\nX-MailRelay-MailFromAuthIn:\n"
        "X-MailRelay-MailFromAuthOut:\nX-MailRelay-ForwardTo:\nX-MailRelay-ForwardToAddress:\n"
        "X-MailRelay-ClientAccountSelector:\nX-MailRelay-Utf8MailboxNames: 0\n"
        "X-MailRelay-End: 1";
    EXPECT_EQ(error_of(with_line("From", forged)), "more than one end line");
}

// ---- reading

TEST(envelope_parse, reads_what_was_written) {
    for (const mail::envelope& e : {mail::envelope(), typical(), with_everything()}) {
        mail::parsed_envelope back = parsed(mail::format_envelope(e));
        EXPECT_EQ(back.value, e);
        EXPECT_TRUE(back.crlf);
        EXPECT_EQ(back.extra, lines{});
    }
}

TEST(envelope_parse, newest_format) {
    mail::envelope expected;
    expected.content = mail::body_type::seven_bit;
    expected.from = "a@b";
    expected.to_local = {"joe"};
    expected.to_remote = {"x@y"};
    expected.authentication = "id";
    expected.client = "10.0.0.1";
    expected.client_certificate = "cert";
    expected.mail_from_auth_in = "in";
    expected.mail_from_auth_out = "out";
    expected.forward_to = "host:25";
    expected.forward_to_address = "addr";
    expected.client_account_selector = "acc";
    expected.utf8_mailboxes = true;
    EXPECT_EQ(parsed(newest_lines()).value, expected);
}

TEST(envelope_parse, older_formats) {
    mail::envelope expected = parsed(newest_lines()).value;

    expected.client_account_selector.clear(); // #2821.7
    EXPECT_EQ(parsed(without({"ClientAccountSelector"}, "#2821.7")).value, expected);

    expected.utf8_mailboxes = false; // #2821.6
    EXPECT_EQ(parsed(without({"ClientAccountSelector", "Utf8MailboxNames"}, "#2821.6")).value, expected);

    expected.forward_to.clear(); // #2821.5
    expected.forward_to_address.clear();
    EXPECT_EQ(parsed(without({"ClientAccountSelector", "Utf8MailboxNames", "ForwardTo", "ForwardToAddress"},
                             "#2821.5"))
                  .value,
              expected);

    expected.mail_from_auth_in.clear(); // #2821.4
    expected.mail_from_auth_out.clear();
    lines with_name = without({"ClientAccountSelector", "Utf8MailboxNames", "ForwardTo", "ForwardToAddress",
                               "MailFromAuthIn", "MailFromAuthOut"},
                              "#2821.4");
    EXPECT_EQ(error_of(with_name), "expected \"X-MailRelay-ClientName:\"");
    with_name.insert(with_name.begin() + 8, "X-MailRelay-ClientName: whatever");
    EXPECT_EQ(parsed(with_name).value, expected);

    expected.client_certificate.clear(); // #2821.3
    EXPECT_EQ(parsed(without({"ClientAccountSelector", "Utf8MailboxNames", "ForwardTo", "ForwardToAddress",
                              "MailFromAuthIn", "MailFromAuthOut", "ClientCertificate"},
                             "#2821.3"))
                  .value,
              expected);
}

// The format decides: a field that it does not have is as wrong as a missing one.
TEST(envelope_parse, fields_of_another_format) {
    lines all = newest_lines();
    auto as = [&](const std::string& format) {
        all.front() = "X-MailRelay-Format: " + format;
        return error_of(all);
    };
    EXPECT_EQ(as("#2821.7"), "expected \"X-MailRelay-Utf8MailboxNames:\"");
    EXPECT_EQ(as("#2821.6"), "no end line");
    EXPECT_EQ(as("#2821.5"), "no end line");
    EXPECT_EQ(as("#2821.4"), "expected \"X-MailRelay-ClientName:\"");
    EXPECT_EQ(as("#2821.3"), "no end line");
}

TEST(envelope_parse, unknown_format) {
    for (std::string id :
         {"#2821.9", "#2821.2", "#2821.10", "#2821.", "2821.8", "#2821.8x", "#2822.8", "junk", ""})
        EXPECT_EQ(error_of(with_line("Format", "X-MailRelay-Format: " + id)), "unknown format id: " + id);
    EXPECT_EQ(error_of(with_line("Format", "X-MailRelay-Format:")), "unknown format id: ");
    EXPECT_EQ(error_of(with_line("Format", "X-MailRelay-Format: #2821.8\r\n more")),
              "unknown format id: #2821.8\\nmore");
    EXPECT_EQ(error_of(with_line("Format", "X-MailRelay-Format: " + std::string(5000, 'x'))),
              "unknown format id: " + std::string(80, 'x'));
}

TEST(envelope_parse, not_an_envelope) {
    for (std::string text : {""s, "\n"s, "\r\n"s, "junk"s, "junk\r\njunk\r\n"s, "\0\0\0"s, "\r"s, " "s,
                             "x-mailrelay-format: #2821.8\r\n"s, " X-MailRelay-Format: #2821.8\r\n"s,
                             "\xef\xbb\xbfX-MailRelay-Format: #2821.8\r\n"s, "X-MailRelay-Format"s})
        EXPECT_EQ(error_of(text), "expected \"X-MailRelay-Format:\"");
}

TEST(envelope_parse, missing_field) {
    lines all = newest_lines();
    for (std::size_t gone = 0; gone < all.size(); ++gone) {
        lines rest = all;
        rest.erase(rest.begin() + std::ptrdiff_t(gone));
        std::string name = all[gone].substr(0, all[gone].find(':'));
        std::string expected = name.starts_with("X-MailRelay-To-") ? "bad 'to' line"
                               : name == "X-MailRelay-End"         ? "no end line"
                                                                   : "expected \"" + name + ":\"";
        EXPECT_EQ(error_of(rest), expected) << name;
    }
}

TEST(envelope_parse, swapped_fields) {
    lines all = newest_lines();
    for (std::size_t i = 0; i + 1 < all.size(); ++i) {
        if (i == 4) // two To- lines: any mixture is right
            continue;
        lines swapped = all;
        std::swap(swapped[i], swapped[i + 1]);
        EXPECT_NE(error_of(swapped), "none") << all[i];
    }
    std::swap(all[1], all[2]);
    EXPECT_EQ(error_of(all), "expected \"X-MailRelay-Content:\"");
}

TEST(envelope_parse, duplicate_field) {
    lines all = newest_lines();
    all.insert(all.begin() + 2, all[2]);
    EXPECT_EQ(error_of(all), "expected \"X-MailRelay-ToCount:\"");
}

TEST(envelope_parse, cut_anywhere) {
    std::string text = mail::format_envelope(with_everything());
    std::size_t end = text.find("X-MailRelay-End") + std::string_view("X-MailRelay-End").size();
    for (std::size_t length = 0; length < end; ++length)
        ASSERT_NE(error_of(text.substr(0, length)), "none") << length;
    for (std::size_t length = end; length <= text.size(); ++length)
        ASSERT_EQ(parsed(text.substr(0, length)).value, with_everything()) << length;
}

TEST(envelope_parse, end_line_only_has_to_start_so) {
    for (std::string end : {"X-MailRelay-End", "X-MailRelay-End:", "X-MailRelay-End: 0", "X-MailRelay-Ending",
                            "X-MailRelay-End: 1 "})
        EXPECT_EQ(error_of(with_line("End", end)), "none") << end;
    for (std::string end : {"", "X-MailRelay-En", "x-mailrelay-end: 1", "X-MailRelay-Reason: x"})
        EXPECT_EQ(error_of(with_line("End", end)), "no end line") << end;
    // A blank line start continues the last field instead.
    EXPECT_EQ(error_of(with_line("End", " X-MailRelay-End: 1")), "no end line");
}

TEST(envelope_parse, field_and_value) {
    auto from = [](const std::string& line) {
        return parsed(with_line("From", line)).value.from;
    };
    EXPECT_EQ(from("X-MailRelay-From: a@b"), "a@b");
    EXPECT_EQ(from("X-MailRelay-From:"), "");
    EXPECT_EQ(from("X-MailRelay-From: "), "");
    EXPECT_EQ(from("X-MailRelay-From:   \ta b \t "), "a b");
    for (std::string line :
         {"X-MailRelay-From:a@b", "X-MailRelay-From:\ta@b", "X-MailRelay-From", "X-MailRelay-From : a",
          "X-MailRelay-from: a@b", "From: a@b", "X-MailRelay-FromX: a", ""})
        EXPECT_EQ(error_of(with_line("From", line)), "expected \"X-MailRelay-From:\"") << line;
}

TEST(envelope_parse, content_words) {
    auto content = [](const std::string& word) {
        return parsed(with_line("Content", "X-MailRelay-Content: " + word)).value.content;
    };
    EXPECT_EQ(content("7bit"), mail::body_type::seven_bit);
    EXPECT_EQ(content("8bit"), mail::body_type::eight_bit);
    EXPECT_EQ(content("binarymime"), mail::body_type::binary_mime);
    for (std::string word : {"unknown", "", "7BIT", "8bitmime", "x"})
        EXPECT_EQ(content(word), mail::body_type::unknown) << word;
}

TEST(envelope_parse, utf8_names_only_if_1) {
    for (std::string word : {"0", "", "true", "11", "01"})
        EXPECT_FALSE(parsed(with_line("Utf8MailboxNames", "X-MailRelay-Utf8MailboxNames: " + word))
                         .value.utf8_mailboxes);
}

TEST(envelope_parse, xtext_fields_are_decoded) {
    EXPECT_EQ(
        parsed(with_line("Authentication", "X-MailRelay-Authentication: a+20b+3d+2B")).value.authentication,
        "a b=+");
    EXPECT_EQ(parsed(with_line("ForwardTo", "X-MailRelay-ForwardTo: a b+20c")).value.forward_to, "a b c");
    EXPECT_EQ(parsed(with_line("ForwardTo", "X-MailRelay-ForwardTo: a+b")).value.forward_to, "a");
}

TEST(envelope_parse, auth_fields) {
    auto in = [](const std::string& value) {
        return with_line("MailFromAuthIn", "X-MailRelay-MailFromAuthIn: " + value);
    };
    auto out = [](const std::string& value) {
        return with_line("MailFromAuthOut", "X-MailRelay-MailFromAuthOut: " + value);
    };
    for (auto [value, normal] :
         {std::pair("", ""), std::pair("+", "+"), std::pair("<>", "<>"), std::pair("a@b", "a@b"),
          std::pair("+3d", "+3D"), std::pair("c=d", "c+3Dd")}) {
        EXPECT_EQ(parsed(in(value)).value.mail_from_auth_in, normal);
        EXPECT_EQ(parsed(out(value)).value.mail_from_auth_out, normal);
    }
    for (std::string value : {"++", "a+", "a+2", "+zz", "a b", "ü", "a\r\n b"}) {
        EXPECT_EQ(error_of(in(value)), "invalid mail-from-auth-in encoding") << value;
        EXPECT_EQ(error_of(out(value)), "invalid mail-from-auth-out encoding") << value;
    }
}

TEST(envelope_parse, continued_values) {
    EXPECT_EQ(parsed(with_line("ClientCertificate",
                               "X-MailRelay-ClientCertificate:\r\n a\r\n\tb\r\n  c\r\n \r\n d "))
                  .value.client_certificate,
              "a\nb\n c\n\nd");
    // Not in a recipient's line, nor behind the last one.
    EXPECT_EQ(error_of(with_line("To-Remote", "X-MailRelay-To-Remote: x@y\r\n z")), "bad 'to' line");
    EXPECT_EQ(error_of(with_line("To-Local", "X-MailRelay-To-Local: joe\r\n z")),
              "expected \"X-MailRelay-Authentication:\"");
    EXPECT_EQ(parsed(with_line("End", "X-MailRelay-End: 1\r\n z")).extra, lines{" z"});
}

TEST(envelope_parse, recipients_in_any_mixture) {
    lines all = with_line("ToCount", "X-MailRelay-ToCount: 6");
    lines more{"X-MailRelay-To-Local: l2", "X-MailRelay-To-Remote: r2",
               "X-MailRelay-To-Remote: ", "X-MailRelay-To-Remote:  r3 "};
    all.insert(all.begin() + 6, more.begin(), more.end());
    mail::envelope e = parsed(all).value;
    EXPECT_EQ(e.to_local, (lines{"joe", "l2"}));
    EXPECT_EQ(e.to_remote, (lines{"x@y", "r2", "", "r3"}));
}

TEST(envelope_parse, no_recipients) {
    lines all = with_line("ToCount", "X-MailRelay-ToCount: 0");
    all.erase(all.begin() + 4, all.begin() + 6);
    mail::envelope e = parsed(all).value;
    EXPECT_TRUE(e.to_local.empty() && e.to_remote.empty());
}

TEST(envelope_parse, bad_to_line) {
    for (std::string line :
         {"X-MailRelay-To-Remote:x", "X-MailRelay-To-Remote:", "X-MailRelay-To-Other: x", "X-MailRelay-To: x",
          "X-MailRelay-to-remote: x", "", " X-MailRelay-To-Remote: x"}) {
        lines all = newest_lines();
        all[4] = line;
        std::string expected =
            line.starts_with(' ') ? "invalid recipient count: 2\\nX-MailRelay-To-Remote: x" : "bad 'to' line";
        EXPECT_EQ(error_of(all), expected) << line;
    }
}

TEST(envelope_parse, wrong_count) {
    auto with_count = [](const std::string& count) {
        return error_of(with_line("ToCount", "X-MailRelay-ToCount: " + count));
    };
    EXPECT_EQ(with_count("2"), "none");
    EXPECT_EQ(with_count("002"), "none");
    for (std::string low : {"0", "1"})
        EXPECT_EQ(with_count(low), "expected \"X-MailRelay-Authentication:\"");
    for (std::string high : {"3", "4294967296", "9223372036854775807", "18446744073709551615"})
        EXPECT_EQ(with_count(high), "bad 'to' line");
    for (std::string junk : {"", "x", "-1", "+2", "2x", "0x2", "2 2", "1e9", "18446744073709551616",
                             "99999999999999999999999999"})
        EXPECT_EQ(with_count(junk), "invalid recipient count: " + junk);
}

// ---- line ends

TEST(envelope_line_ends, lf_only) {
    mail::parsed_envelope lf = parsed(join(newest_lines(), "\n") + "X-MailRelay-Reason: x\n");
    EXPECT_FALSE(lf.crlf);
    EXPECT_EQ(lf.value, parsed(newest_lines()).value);
    EXPECT_EQ(lf.extra, lines{"X-MailRelay-Reason: x"});
}

TEST(envelope_line_ends, lf_only_with_continuation) {
    lines all = with_line("ClientCertificate", "X-MailRelay-ClientCertificate: a\n b\n \n c");
    EXPECT_EQ(parsed(join(all, "\n")).value.client_certificate, "a\nb\n\nc");
}

// A script replaced "X-MailRelay-From: .*" in place, and with it the CR.
TEST(envelope_line_ends, the_first_line_decides_but_a_mixture_is_read) {
    std::string text = join(newest_lines());
    text.erase(text.find("From: a@b\r") + 9, 1);
    mail::parsed_envelope mixed = parsed(text);
    EXPECT_TRUE(mixed.crlf);
    EXPECT_EQ(mixed.value, parsed(newest_lines()).value);

    text = join(newest_lines(), "\n");
    text.insert(text.find("From: a@b\n") + 9, "\r");
    mixed = parsed(text);
    EXPECT_FALSE(mixed.crlf);
    EXPECT_EQ(mixed.value, parsed(newest_lines()).value);
}

TEST(envelope_line_ends, last_line_without_end) {
    std::string text = join(newest_lines());
    EXPECT_EQ(parsed(text.substr(0, text.size() - 1)).value, parsed(text).value);
    EXPECT_EQ(parsed(text.substr(0, text.size() - 2)).value, parsed(text).value);
    EXPECT_EQ(parsed(text + "note").extra, lines{"note"});
}

// ---- behind End, reasons, rewriting

TEST(envelope_extra, free_lines) {
    std::string text = join(newest_lines()) +
                       "X-MailRelay-Reason: go away  \r\nX-MailRelay-ReasonCode: 530\r\n"
                       "\r\n anything \t\r\nlf only\nX-MailRelay-End: 1\r\n\xff\0\r\n"s;
    EXPECT_EQ(parsed(text).extra, (lines{"X-MailRelay-Reason: go away", "X-MailRelay-ReasonCode: 530", "",
                                         " anything", "lf only", "X-MailRelay-End: 1", "\xff\0"s}));
}

// What `mx:` leaves for a forwarder.
TEST(envelope_extra, next_best_addresses) {
    mail::envelope e;
    e.forward_to_address = "192.0.2.1:25";
    e.next_best = {"192.0.2.2:25", "::1.25"};
    std::string text = mail::format_envelope(e);
    EXPECT_THAT(text,
                testing::EndsWith("X-MailRelay-End: 1\r\n"
                                  "X-MailRelay-ForwardToNextBest: 192.0.2.1:25 192.0.2.2:25 ::1.25\r\n"));
    EXPECT_EQ(parsed(text).value, e);
    EXPECT_EQ(parsed(text).extra, lines{});
    EXPECT_EQ(mail::rewrite_envelope(parsed(text).value, {"note"}), text + "note\r\n");

    std::string elsewhere = text;
    elsewhere.replace(elsewhere.find("Address: 192.0.2.1"), 18, "Address: 192.0.2.9");
    EXPECT_EQ(parsed(elsewhere).value.next_best, lines{}) << "they belong to another address";
    EXPECT_EQ(parsed(elsewhere).extra, lines{});

    e.next_best.assign(1000, "192.0.2.2:25");
    EXPECT_LE(parsed(mail::format_envelope(e)).value.next_best.size(), 50U);
    e.next_best = {"a\r\nX-MailRelay-Reason: b"};
    EXPECT_EQ(parsed(mail::format_envelope(e)).extra, lines{});
}

TEST(envelope_reason, code) {
    EXPECT_EQ(mail::format_reason("go away", 530, true),
              "X-MailRelay-Reason: go away\r\nX-MailRelay-ReasonCode: 530\r\n");
    EXPECT_EQ(mail::format_reason("no remote recipients", std::nullopt, true),
              "X-MailRelay-Reason: no remote recipients\r\nX-MailRelay-ReasonCode:\r\n");
    EXPECT_EQ(mail::format_reason("x", 0, true), "X-MailRelay-Reason: x\r\nX-MailRelay-ReasonCode: 0\r\n");
}

TEST(envelope_reason, in_a_file_of_lf_lines) {
    EXPECT_EQ(mail::format_reason("peer disconnected", std::nullopt, false),
              "X-MailRelay-Reason: peer disconnected\nX-MailRelay-ReasonCode:\n");
}

TEST(envelope_reason, escaped) {
    EXPECT_EQ(mail::format_reason("one\ntwo\r\tthree\\ \x01 \x7f \xc3\xbc", 550, true),
              "X-MailRelay-Reason: one\\ntwo\\r\\tthree\\\\ \\x01 \\x7f "
              "\\xc3\\xbc\r\nX-MailRelay-ReasonCode: 550\r\n");
}

TEST(envelope_reason, found_again_the_newest_last) {
    std::string text = mail::format_envelope(typical()) + mail::format_reason("first", 550, true) +
                       mail::format_reason("second", std::nullopt, true);
    mail::parsed_envelope back = parsed(text);
    EXPECT_EQ(back.value, typical());
    EXPECT_EQ(back.extra, (lines{"X-MailRelay-Reason: first", "X-MailRelay-ReasonCode: 550",
                                 "X-MailRelay-Reason: second", "X-MailRelay-ReasonCode:"}));
}

TEST(envelope_rewrite, always_newest_format_with_crlf) {
    lines old = without({"ClientAccountSelector", "Utf8MailboxNames", "ForwardTo", "ForwardToAddress",
                         "MailFromAuthIn", "MailFromAuthOut", "ClientCertificate"},
                        "#2821.3");
    old.push_back("X-MailRelay-Reason: x \t");
    old.push_back("");
    old.push_back("  note");
    mail::parsed_envelope read = parsed(join(old, "\n"));
    EXPECT_EQ(mail::rewrite_envelope(read.value, read.extra), "X-MailRelay-Format: #2821.8\r\n"
                                                              "X-MailRelay-Content: 7bit\r\n"
                                                              "X-MailRelay-From: a@b\r\n"
                                                              "X-MailRelay-ToCount: 2\r\n"
                                                              "X-MailRelay-To-Local: joe\r\n"
                                                              "X-MailRelay-To-Remote: x@y\r\n"
                                                              "X-MailRelay-Authentication: id\r\n"
                                                              "X-MailRelay-Client: 10.0.0.1\r\n"
                                                              "X-MailRelay-ClientCertificate: \r\n"
                                                              "X-MailRelay-MailFromAuthIn: \r\n"
                                                              "X-MailRelay-MailFromAuthOut: \r\n"
                                                              "X-MailRelay-ForwardTo: \r\n"
                                                              "X-MailRelay-ForwardToAddress: \r\n"
                                                              "X-MailRelay-ClientAccountSelector: \r\n"
                                                              "X-MailRelay-Utf8MailboxNames: 0\r\n"
                                                              "X-MailRelay-End: 1\r\n"
                                                              "X-MailRelay-Reason: x\r\n"
                                                              "\r\n"
                                                              "  note\r\n");
}

TEST(envelope_rewrite, reduced_recipients) {
    mail::parsed_envelope read = parsed(newest_lines());
    read.value.to_remote = {"bad@x"};
    std::string text = mail::rewrite_envelope(read.value, read.extra);
    EXPECT_NE(
        text.find(
            "ToCount: 2\r\nX-MailRelay-To-Local: joe\r\nX-MailRelay-To-Remote: bad@x\r\nX-MailRelay-Auth"),
        std::string::npos)
        << text;
    read.value.to_remote.clear();
    EXPECT_NE(mail::rewrite_envelope(read.value, {}).find("ToCount: 1\r\n"), std::string::npos);
}

TEST(envelope_rewrite, forward_to_is_normalised) {
    mail::parsed_envelope read = parsed(with_line("ForwardTo", "X-MailRelay-ForwardTo: one two+20three"));
    EXPECT_NE(mail::rewrite_envelope(read.value, {}).find("X-MailRelay-ForwardTo: one+20two+20three\r\n"),
              std::string::npos);
}

TEST(envelope_rewrite, reads_equal) {
    std::string text = join(newest_lines()) +
                       "X-MailRelay-SplitGroupCount: 1\r\nX-MailRelay-SplitGroup: a.1.2.3\r\n\r\nx\ry\r\n";
    mail::parsed_envelope first = parsed(text);
    mail::parsed_envelope second = parsed(mail::rewrite_envelope(first.value, first.extra));
    EXPECT_EQ(second.value, first.value);
    EXPECT_EQ(second.extra, first.extra);
}

// ---- size

TEST(envelope_limits, very_long_values) {
    mail::envelope e = typical();
    e.from = std::string(1 << 20, 'f');
    e.to_remote = {std::string(1 << 20, '\n') + "x"};
    e.client_certificate = "c" + std::string(1 << 20, '\n') + "c";
    std::string text = mail::format_envelope(e);
    mail::envelope back = parsed(text).value;
    EXPECT_EQ(back.from, e.from);
    EXPECT_EQ(back.to_remote, lines{"x"}); // blanks and line ends at the ends of a value are not part of it
    EXPECT_EQ(back.client_certificate, e.client_certificate);
}

TEST(envelope_limits, many_recipients) {
    mail::envelope e = typical();
    e.to_remote.assign(100'000, "someone@example.com");
    EXPECT_EQ(parsed(mail::format_envelope(e)).value, e);
}

TEST(envelope_limits, every_byte_value) {
    std::string all;
    for (int byte = 0; byte < 256; ++byte)
        all += static_cast<char>(byte);
    mail::envelope e = typical();
    e.authentication = all;
    e.forward_to = all;
    EXPECT_EQ(parsed(mail::format_envelope(e)).value, e);

    e.from = all;
    std::string expected = all;
    std::replace_if(
        expected.begin(), expected.end(), [](char c) { return c == '\0' || c == '\r' || c == '\n'; }, '?');
    EXPECT_EQ(parsed(mail::format_envelope(e)).value.from, expected);
}

// ---- BODY= of MAIL

TEST(envelope_body_type, of_parameter) {
    using enum mail::body_type;
    EXPECT_EQ(mail::body_type_of("7BIT"), seven_bit);
    EXPECT_EQ(mail::body_type_of("7bit"), seven_bit);
    EXPECT_EQ(mail::body_type_of("8BITMIME"), eight_bit);
    EXPECT_EQ(mail::body_type_of("8BitMime"), eight_bit);
    EXPECT_EQ(mail::body_type_of("BINARYMIME"), binary_mime);
    for (std::string_view other : {"", "8BIT", "7BIT ", "x"})
        EXPECT_EQ(mail::body_type_of(other), unknown) << other;
}
