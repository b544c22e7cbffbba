// Any text as an address list: what is found can be found again, alone and all together.
#include "base/text.hpp"
#include "mail/address_list.hpp"
#include "support.hpp"

#include <cstdint>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const mail::address_list found = mail::parse_address_list(text);
    require(!found.wrong_line || found.mailboxes.empty());
    std::string joined;
    for (const std::string& mailbox : found.mailboxes) {
        require(!mailbox.empty() && base::is_utf8(mailbox));
        for (char c : mailbox)
            require(static_cast<unsigned char>(c) >= ' ' && c != '\x7f');
        const mail::address_list again = mail::parse_address_list(mailbox);
        require(!again.wrong_line && again.mailboxes.size() == 1 && again.mailboxes[0] == mailbox);
        joined += mailbox + ",\r\n ";
    }
    require(mail::parse_address_list(joined).mailboxes == found.mailboxes);
    return 0;
}
