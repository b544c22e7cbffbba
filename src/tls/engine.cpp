#include "tls/engine.hpp"

#include <algorithm>

namespace tls {

std::size_t engine::take_input(std::span<char> into) noexcept {
    const std::size_t n = std::min(into.size(), input_.size() - used_);
    std::copy_n(input_.data() + used_, n, into.data());
    used_ += n;
    if (used_ == input_.size()) {
        std::string().swap(input_); // an idle session holds no buffer
        used_ = 0;
    }
    return n;
}

} // namespace tls
