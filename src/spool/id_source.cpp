#include "spool/id_source.hpp"

#include "os/clock.hpp"
#include "spool/names.hpp"

namespace spool {

std::string id_source::next() {
    auto now = static_cast<std::uint64_t>(os::seconds_now());
    return format_name({pid_, now, ++sequence_});
}

} // namespace spool
