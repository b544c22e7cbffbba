// Speed matters here: every octet of every forwarded message passes. Octets that need no change, line ends
// included, are copied in runs that are as long as possible; memchr finds the line ends.
#include "smtp/content_encoder.hpp"

#include <algorithm>
#include <cstring>

namespace smtp {

namespace {

const char* find(const char* from, const char* end, char wanted) {
    if (from == end)
        return end;
    const void* found = std::memchr(from, wanted, static_cast<std::size_t>(end - from));
    return found != nullptr ? static_cast<const char*>(found) : end;
}

} // namespace

void content_encoder::encode(std::span<const char> bytes, std::string& out) {
    if (bytes.empty())
        return;
    out.reserve(out.size() + bytes.size() + bytes.size() / 16);

    const char* p = bytes.data();
    const char* const end = p + bytes.size();
    if (after_cr_ && *p == '\n')
        ++p;
    after_cr_ = false;

    const char* run = p; // octets from here to p are still to be copied
    const char* cr = find(p, end, '\r');
    const char* lf = find(p, end, '\n');
    while (p != end) {
        if (at_line_start_ && *p == '.') {
            out.append(run, p);
            out += '.';
            run = p;
        }
        if (cr < p)
            cr = find(p, end, '\r');
        if (lf < p)
            lf = find(p, end, '\n');
        const char* const eol = std::min(cr, lf);
        at_line_start_ = eol != end;
        if (eol == end)
            break;

        ++lines_;
        if (lf != end && lf - cr == 1) { // CR-LF already, leave it to the run
            p = lf + 1;
            continue;
        }
        out.append(run, eol);
        out += "\r\n";
        p = run = eol + 1;
        after_cr_ = eol == cr && p == end;
    }
    out.append(run, end);
}

void content_encoder::finish(std::string& out) {
    if (!at_line_start_) {
        out += "\r\n";
        ++lines_;
    }
    out += ".\r\n";
}

} // namespace smtp
