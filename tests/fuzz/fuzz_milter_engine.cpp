// What a milter says, after a first octet that says how it is cut.
//
// The same happens however it is cut; nothing is asked for after the end; edits are bounded, and only
// accepted messages have any. The edits are then applied to a header: no field of it can be made two, and
// what is read back has as many fields as were written.
#include "filter/milter_engine.hpp"
#include "support.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

namespace {

using filter::milter_engine;

struct ending {
    std::string said, new_body, failure;
    bool finished = false;
    filter::milter_outcome outcome;
};

filter::milter_message about() {
    filter::milter_message m;
    m.client_name = "localhost";
    m.family = '4';
    m.address = "127.0.0.1";
    m.sender = "me@example.com";
    m.recipients = {"you@example.net"};
    m.headers = {{"Subject", " x"}};
    m.all_macros = {{"i", "1"}};
    return m;
}

ending play(std::string_view heard, std::size_t piece) {
    milter_engine engine(about());
    ending out;
    int bodies = 1;
    for (;;) {
        auto todo = engine.next();
        out.said += engine.take_output();
        if (std::holds_alternative<filter::milter_action::read_more>(todo)) {
            if (heard.empty())
                return out;
            auto now = heard.substr(0, piece);
            heard.remove_prefix(now.size());
            engine.feed({now.data(), now.size()});
        } else if (std::holds_alternative<filter::milter_action::supply_body>(todo)) {
            std::string_view body = "body";
            if (bodies-- > 0)
                engine.body({body.data(), body.size()});
            else
                engine.end_of_body();
        } else if (auto* part = std::get_if<filter::milter_action::replace_body>(&todo)) {
            out.new_body.append(part->bytes.data(), part->bytes.size());
        } else if (auto* bad = std::get_if<filter::milter_action::failed>(&todo)) {
            require(!bad->reason.empty());
            out.failure = bad->reason;
            return out;
        } else {
            out.outcome = std::get<filter::milter_action::finished>(todo).outcome;
            out.finished = true;
            return out;
        }
    }
}

void check_edits(const filter::milter_outcome& outcome) {
    using verdict = filter::milter_outcome::verdict;
    require(outcome.edits.size() <= milter_engine::most_edits);
    require(outcome.what == verdict::accept || (outcome.edits.empty() && !outcome.quarantine));
    require((outcome.what == verdict::reject || outcome.what == verdict::tempfail) == (outcome.code != 0));
    if (outcome.edits.size() > 100)
        return;
    mail::message_header header = mail::read_header("Received: a\r\nSubject: x\r\n\r\nbody");
    filter::apply(outcome.edits, 1, header.section);
    std::string text = header.text();
    const mail::message_header again = mail::read_header(text);
    const auto &written = header.section.fields(), &read = again.section.fields();
    require(again.size == text.size() && read.size() == written.size());
    for (std::size_t i = 0; i < read.size(); ++i)
        require(read[i].text == written[i].text);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto input = read_cut(data, size);
    if (!input)
        return 0;
    ending whole = play(input->text, input->whole());
    ending cut = play(input->text, input->piece);
    require(whole.said == cut.said && whole.new_body == cut.new_body && whole.failure == cut.failure);
    require(whole.finished == cut.finished && whole.outcome.edits == cut.outcome.edits);
    if (whole.finished)
        check_edits(whole.outcome);
    return 0;
}
