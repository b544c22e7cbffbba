// Read buffers that are lent for as long as octets are being worked on, so that idle sessions hold none.
//
// One pool belongs to one network thread and is used on that thread only.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace net {

class buffer_pool {
public:
    static constexpr std::size_t buffer_size = 64 * 1024;
    using block = std::array<char, buffer_size>;

    // A buffer on loan; goes back when destroyed. The pool outlives it.
    class loan {
    public:
        loan() = default;
        loan(buffer_pool& pool, std::unique_ptr<block> b) : pool_(&pool), block_(std::move(b)) {}
        loan(loan&&) noexcept = default;
        loan& operator=(loan&& other) noexcept {
            give_back();
            pool_ = other.pool_;
            block_ = std::move(other.block_);
            return *this;
        }
        ~loan() { give_back(); }

        std::span<char> bytes() noexcept { return *block_; }
        void give_back() noexcept {
            if (block_)
                pool_->put(std::move(block_));
        }

    private:
        buffer_pool* pool_ = nullptr;
        std::unique_ptr<block> block_;
    };

    buffer_pool() { spare_.reserve(kept); }

    loan take() {
        if (spare_.empty())
            return {*this, std::make_unique_for_overwrite<block>()};
        auto b = std::move(spare_.back());
        spare_.pop_back();
        return {*this, std::move(b)};
    }

private:
    static constexpr std::size_t kept = 64; // more are freed when given back

    void put(std::unique_ptr<block> b) noexcept {
        if (spare_.size() < kept)
            spare_.push_back(std::move(b));
    }

    std::vector<std::unique_ptr<block>> spare_;
};

} // namespace net
