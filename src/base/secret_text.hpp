// Passwords and what is as good as one: text whose memory is overwritten before it is given back.
//
// Always on the heap, so that no copy stays behind in an object that was moved from. Never printed: there is
// no way to a std::string but view().
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace base {

// Overwrites memory in a way that the optimiser does not take away.
void wipe(void* memory, std::size_t size) noexcept;

// The same for a string that held a secret for a moment; leaves it empty.
void wipe(std::string& text) noexcept;

template <class T>
struct wiping_allocator {
    using value_type = T;
    wiping_allocator() = default;
    template <class U>
    explicit wiping_allocator(const wiping_allocator<U>&) noexcept {}

    T* allocate(std::size_t count) { return std::allocator<T>().allocate(count); }
    void deallocate(T* memory, std::size_t count) noexcept {
        wipe(memory, count * sizeof(T));
        std::allocator<T>().deallocate(memory, count);
    }
    bool operator==(const wiping_allocator&) const noexcept { return true; }
};

class secret_text {
public:
    secret_text() = default;
    explicit secret_text(std::string_view text) : bytes_(text.begin(), text.end()) {}

    // Takes over what `text` holds and wipes it there.
    static secret_text taken_from(std::string& text) {
        secret_text taken(text);
        wipe(text);
        return taken;
    }

    std::string_view view() const noexcept { return {bytes_.data(), bytes_.size()}; }
    std::size_t size() const noexcept { return bytes_.size(); }
    bool empty() const noexcept { return bytes_.empty(); }

    void append(std::string_view text) { bytes_.insert(bytes_.end(), text.begin(), text.end()); }
    void append(std::size_t count, char c) { bytes_.insert(bytes_.end(), count, c); }
    void clear() noexcept { bytes_ = {}; }

private:
    std::vector<char, wiping_allocator<char>> bytes_;
};

} // namespace base
