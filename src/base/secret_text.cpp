#include "base/secret_text.hpp"

namespace base {

void wipe(void* memory, std::size_t size) noexcept {
    auto* byte = static_cast<volatile unsigned char*>(memory);
    for (std::size_t i = 0; i < size; ++i)
        byte[i] = 0;
}

void wipe(std::string& text) noexcept {
    wipe(text.data(), text.size());
    text.clear();
}

} // namespace base
