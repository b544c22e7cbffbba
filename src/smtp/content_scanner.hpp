// Finds the end of a message sent by DATA, and takes out the dots that were put in (RFC 5321 section 4.5.2).
//
// Only CR-LF "." CR-LF ends the data; bare CRs and LFs are content like everything else, so what one server
// takes for one message nobody behind it takes for two. Content comes back as pieces of the octets given;
// only a CR that turned out not to belong to the end mark after all, when the data was split right behind it,
// is lent from here.
#pragma once

#include <cstddef>
#include <span>

namespace smtp {

class content_scanner {
public:
    struct piece {
        std::span<const char> content; // may be empty
        std::size_t used = 0;          // octets of the input that are done with
        bool end = false;              // the end mark has been seen
    };

    // Looks at `data` up to the next dot to be taken out, the end mark, or the end. Call again with the rest.
    piece scan(std::span<const char> data);

private:
    // What the octets before `data` were.
    enum class before { line_start, dot, dot_cr, cr, other };

    piece after_dot(std::span<const char> data);
    piece after_dot_cr(std::span<const char> data);
    bool starts_line(std::span<const char> data, std::size_t at) const;
    void remember_end_of(std::span<const char> data);

    before before_ = before::line_start; // the CR-LF of the DATA command counts
};

} // namespace smtp
