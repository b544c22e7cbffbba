#include "base/result.hpp"

#include "base/text.hpp"

namespace base {

std::string error::message() const {
    if (!code)
        return what;
    std::string reason = to_lower(code.message());
    return what.empty() ? reason : what + ": " + reason;
}

error make_error(int errno_value, std::string what) {
    return {error_code(errno_value, boost::system::generic_category()), std::move(what)};
}

error last_error(std::string what) {
    return make_error(errno, std::move(what));
}

bool is_temporary(const error_code& code) noexcept {
    using namespace boost::system::errc;
    return code == no_space_on_device || code == too_many_files_open ||
           code == too_many_files_open_in_system || code == not_enough_memory ||
           code == resource_unavailable_try_again || code == interrupted || code.value() == EDQUOT;
}

} // namespace base
