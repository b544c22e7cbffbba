// The layout of one log line (spec/process-and-logging.md section 3): pure text.
#pragma once

#include "base/log.hpp"

#include <string>
#include <string_view>

namespace base {

struct log_layout {
    std::string program = "emailrelay";
    bool time = false;
    bool unit = false;
    bool address = false;
    bool port = false;
    bool message_id = false;
};

// "emailrelay: [<timestamp>: ]<level>: <context><text>", without line end. A text of over about 1000
// characters is cut and " ..." added; escape octets become dots. `timestamp` is used only when the layout
// asks for it.
std::string format_log_line(const log_layout& layout, std::string_view timestamp, severity level,
                            const log_context& context, std::string_view text);

} // namespace base
