// The inside of a store, for the files that implement it.
#pragma once

#include "spool/core.hpp"
#include "spool/recovery.hpp"
#include "spool/store.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace spool {

struct store::impl {
    explicit impl(std::shared_ptr<core> c) : shared(std::move(c)) {}

    base::result<void> check_writable();
    base::result<std::vector<std::string>> list(std::string_view suffix); // names that end so
    base::result<segment_names> segments_of_others();
    bool recover_if_needed(const segment_names& segments, bool wait);
    void forget_announcements();

    std::shared_ptr<core> shared;
    bool closed = false;
};

} // namespace spool
