// The messages of a mailbox as one session sees them: numbers from 1 on that never change, sizes, ids, and
// which are marked to be deleted (RFC 1939 section 5). Compact: a mailbox of 50,000 messages takes some two
// megabytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace pop {

class message_list {
public:
    // In ascending order; false when there is no room for more.
    bool add(std::string_view id, std::uint64_t octets) {
        if (names_.size() > std::numeric_limits<std::uint32_t>::max() - id.size())
            return false;
        entries_.push_back({octets, static_cast<std::uint32_t>(names_.size()),
                            static_cast<std::uint16_t>(id.size()), false});
        names_.append(id);
        ++count_;
        octets_ += octets;
        return true;
    }

    // All have been added: what was reserved for more is given back.
    void trim() {
        entries_.shrink_to_fit();
        names_.shrink_to_fit();
    }

    std::size_t highest() const noexcept { return entries_.size(); } // number, deleted ones included
    std::size_t count() const noexcept { return count_; }            // without those deleted
    std::uint64_t octets() const noexcept { return octets_; }

    bool has(std::uint64_t number) const noexcept {
        return number >= 1 && number <= entries_.size() && !entries_[number - 1].deleted;
    }
    std::uint64_t octets(std::uint64_t number) const noexcept { return entries_[number - 1].octets; }
    std::string_view id(std::uint64_t number) const noexcept {
        const entry& e = entries_[number - 1];
        return std::string_view(names_).substr(e.name, e.name_size);
    }

    void remove(std::uint64_t number) noexcept {
        entries_[number - 1].deleted = true;
        --count_;
        octets_ -= entries_[number - 1].octets;
    }
    void restore() noexcept {
        for (entry& e : entries_)
            if (e.deleted) {
                e.deleted = false;
                ++count_;
                octets_ += e.octets;
            }
    }
    std::vector<std::string> removed() const {
        std::vector<std::string> ids;
        for (std::size_t number = 1; number <= entries_.size(); ++number)
            if (entries_[number - 1].deleted)
                ids.emplace_back(id(number));
        return ids;
    }

private:
    struct entry {
        std::uint64_t octets;
        std::uint32_t name;
        std::uint16_t name_size;
        bool deleted;
    };
    std::vector<entry> entries_;
    std::string names_;
    std::size_t count_ = 0;
    std::uint64_t octets_ = 0;
};

} // namespace pop
