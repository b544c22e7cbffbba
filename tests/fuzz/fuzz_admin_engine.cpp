// The admin engine: any input, cut in two ways, must give the same output and ask for the same things.
#include "admin/server_engine.hpp"
#include "support.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

namespace {

struct player {
    player() {
        settings.version = "3";
        settings.can_forward = true;
        settings.may_terminate = true;
    }

    void feed(std::string_view bytes) {
        if (closed)
            return;
        engine.feed({bytes.data(), bytes.size()});
        for (;;) {
            admin::action todo = engine.next();
            if (std::holds_alternative<admin::read_more>(todo))
                break;
            if (std::holds_alternative<admin::write_output>(todo)) {
                record += engine.take_output();
                continue;
            }
            record += static_cast<char>('A' + todo.index());
            if (std::holds_alternative<admin::close_session>(todo)) {
                closed = true;
                break;
            }
            if (std::holds_alternative<admin::list_messages>(todo))
                engine.listed(std::vector<std::string>{"a", "b"});
            else if (auto* show = std::get_if<admin::show_message>(&todo))
                engine.shown(admin::message_details{show->id, "ready", {}, {}, 1, show->id, {}});
            else if (auto* change = std::get_if<admin::change_message>(&todo))
                engine.changed(base::error{{}, change->id});
            else if (std::holds_alternative<admin::unfail_all>(todo))
                engine.unfailed();
            else if (std::holds_alternative<admin::flush_now>(todo))
                engine.flush_ended("x");
            else if (std::holds_alternative<admin::begin_events>(todo))
                engine.event("network: in: start");
            else if (std::holds_alternative<admin::tell_status>(todo))
                engine.status({});
            else if (std::holds_alternative<admin::tell_counters>(todo))
                engine.counters({{"n", 1}});
        }
        record += engine.take_output();
    }

    admin::server_settings settings;
    admin::server_engine engine{settings};
    std::string record;
    bool closed = false;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto input = read_cut(data, size);
    if (!input)
        return 0;
    player whole, cut;
    in_pieces(input->text, input->whole(), [&whole](std::string_view piece) { whole.feed(piece); });
    in_pieces(input->text, input->piece, [&cut](std::string_view piece) { cut.feed(piece); });
    // The order of a question and of output before it is the driver's; both are in the record.
    require(whole.record.size() == cut.record.size() && whole.closed == cut.closed);
    return 0;
}
