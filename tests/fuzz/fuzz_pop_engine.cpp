// The POP engine: any input, cut in two ways, must give the same output; a session's output never gathers
// beyond a piece.
#include "pop/server_engine.hpp"
#include "support.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

namespace {

class silence : public base::log_sink {
public:
    bool wants(base::severity, base::detail) const noexcept override { return true; }
    void write(base::severity, const base::log_context&, std::string_view) override {}
};

struct player {
    explicit player(std::size_t content_piece) : piece(content_piece) {
        settings.stls = true;
        engine.start();
    }

    void feed(std::string_view bytes) {
        if (closed)
            return;
        engine.feed({bytes.data(), bytes.size()});
        for (;;) {
            pop::action todo = engine.next();
            std::string said = engine.take_output();
            require(said.size() <= 200'000);
            record += said;
            if (std::holds_alternative<pop::read_more>(todo))
                return;
            if (std::holds_alternative<pop::close_session>(todo)) {
                closed = true;
                return;
            }
            answer(todo);
        }
    }

    void answer(pop::action& todo) {
        if (std::holds_alternative<pop::start_tls>(todo)) {
            engine.tls_established({});
            closed = true; // what follows in clear is dropped, and how much that is depends on the cut
        } else if (auto* work = std::get_if<pop::compute>(&todo)) {
            work->job();
            engine.computed();
        } else if (auto* ask = std::get_if<pop::check_password>(&todo)) {
            engine.password_checked(sasl::failed(ask->asked));
        } else if (std::holds_alternative<pop::wait_a_while>(todo)) {
            engine.waited();
        } else if (std::holds_alternative<pop::open_mailbox>(todo)) {
            pop::message_list list;
            list.add("a", content.size());
            list.add("b", 7);
            engine.mailbox_opened(std::move(list));
        } else if (auto* message = std::get_if<pop::open_message>(&todo)) {
            left = content;
            engine.message_opened(message->id == "a");
        } else if (std::holds_alternative<pop::read_content>(todo)) {
            std::string_view some = left.substr(0, piece);
            left.remove_prefix(some.size());
            engine.content(some, left.empty());
        } else if (auto* ids = std::get_if<pop::delete_messages>(&todo)) {
            engine.deleted(ids->ids.size() < 2);
        }
    }

    const std::string content = "Subject: x\r\n.\r\n\r\n.\r\n..\r\nbare\n.\nlast";
    std::size_t piece;
    std::string_view left;
    silence sink;
    pop::server_settings settings;
    pop::server_engine engine{
        settings,
        {sasl::server(sasl::secrets::parse("server plain bob pw\n").value,
                      std::make_shared<const sasl::mechanism_rules>(sasl::mechanism_rules::parse("", false)),
                      std::make_shared<const base::secret_text>("salt")),
         [] {
             return std::string("<1.2@x>");
         }},
        "127.0.0.1:1",
        base::logger(sink)};
    std::string record;
    bool closed = false;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto input = read_cut(data, size);
    if (!input)
        return 0;
    player whole(1000), cut(input->piece);
    in_pieces(input->text, input->whole(), [&whole](std::string_view piece) { whole.feed(piece); });
    in_pieces(input->text, input->piece, [&cut](std::string_view piece) { cut.feed(piece); });
    require(whole.record == cut.record);
    return 0;
}
