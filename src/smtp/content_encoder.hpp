// Message content as it goes on the wire behind DATA (RFC 5321 sections 2.3.8, 4.1.1.4 and 4.5.2).
//
// CR, LF and CR-LF in the stored octets all end a line and leave as CR-LF; a leading dot is doubled; a
// missing last line end is supplied. So whatever is stored, the peer sees no bare CR or LF and no line that
// ends the data early: nothing can be smuggled behind a false end. The octets may come in any pieces; the
// output is the same.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace smtp {

class content_encoder {
public:
    // Appends the encoded octets to `out`.
    void encode(std::span<const char> bytes, std::string& out);
    // Ends an unfinished last line and appends the final dot line. A new message takes a new encoder.
    void finish(std::string& out);

    std::uint64_t lines() const noexcept { return lines_; }

private:
    std::uint64_t lines_ = 0;
    bool at_line_start_ = true;
    bool after_cr_ =
        false; // the last piece ended in CR, its line end is written: an LF that follows belongs to it
};

} // namespace smtp
