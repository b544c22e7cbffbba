#include "spool/recovery_index.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace spool {

namespace {

using open_claims = std::set<std::uint64_t>;

// The notes of one owner, in order. What is settled needs nothing; what came later closes what came before.
void apply(const journal_note& n, bool settled, bool memory_survived, message_notes& m, open_claims& claims) {
    switch (n.kind) {
    case record_kind::put:
        if (!settled)
            m.promises.push_back({n, memory_survived});
        break;
    case record_kind::filed:
        m.may_be_busy = m.may_be_busy || !m.promises.empty();
        [[fallthrough]];
    case record_kind::withdrawn:
        m.promises.clear();
        m.begun = false;
        break;
    case record_kind::begin:
        m.begun = true;
        break;
    case record_kind::end:
        m.begun = false;
        break;
    case record_kind::claim:
        claims.insert(n.number);
        m.removal_open = false; // it is there again, put by somebody else
        break;
    case record_kind::released:
        claims.erase(n.number);
        m.may_be_busy = m.may_be_busy || !settled;
        break;
    case record_kind::done:
        m.promises.clear();
        claims.erase(n.number);
        m.begun = m.may_be_busy = false;
        m.removal_open = m.removal_open || !settled;
        break;
    case record_kind::settled:
        break;
    }
}

recovery_index index_of(owner_notes& owner) {
    std::sort(owner.notes.begin(), owner.notes.end(),
              [](const auto& a, const auto& b) { return a.sequence < b.sequence; });
    std::uint64_t settled = 0;
    for (const journal_note& n : owner.notes)
        if (n.kind == record_kind::settled)
            settled = std::max(settled, n.number);
    recovery_index index;
    std::map<std::string, open_claims> claims;
    for (const journal_note& n : owner.notes)
        if (!n.id.empty())
            apply(n, n.sequence <= settled, owner.memory_survived, index[n.id], claims[n.id]);
    for (auto& [id, m] : index) {
        m.memory_survived = owner.memory_survived;
        m.claim_open = !claims[id].empty();
    }
    return index;
}

} // namespace

recovery_index combine(std::vector<owner_notes> owners) {
    recovery_index all;
    std::map<std::string, std::int64_t> last_closed;
    for (owner_notes& owner : owners) {
        for (auto& [id, m] : index_of(owner)) {
            message_notes& sum = all[id];
            sum.promises.insert(sum.promises.end(), m.promises.begin(), m.promises.end());
            sum.memory_survived = sum.memory_survived && m.memory_survived;
            sum.begun = sum.begun || m.begun;
            sum.claim_open = sum.claim_open || m.claim_open;
            sum.may_be_busy = sum.may_be_busy || m.may_be_busy;
            sum.removal_open = sum.removal_open || m.removal_open;
        }
        for (const journal_note& n : owner.notes)
            if (n.kind == record_kind::done || n.kind == record_kind::filed) {
                auto [at, fresh] = last_closed.try_emplace(n.id, n.time);
                at->second = std::max(at->second, n.time);
            }
    }
    // What one process accepted another may have forwarded, or flushed. An id can come again
    // (spool/commit_message.cpp), so that concerns only what was accepted before it.
    for (const auto& [id, time] : last_closed) {
        auto& promises = all[id].promises;
        std::erase_if(promises, [t = time](const auto& p) { return p.record.time <= t; });
    }
    for (auto& [id, m] : all)
        std::sort(m.promises.begin(), m.promises.end(),
                  [](const auto& a, const auto& b) { return a.record.time < b.record.time; });
    return all;
}

} // namespace spool
