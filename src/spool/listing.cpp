#include "spool/listing.hpp"

#include "spool/names.hpp"

#include <algorithm>

namespace spool {

namespace {

struct kind {
    std::string_view suffix;
    listed_state state;
};
constexpr kind kinds[] = {{envelope_suffix, listed_state::ready},
                          {busy_suffix, listed_state::being_sent},
                          {bad_suffix, listed_state::failed}};

listed_message look_at(const folder& dir, std::string id, const kind& k) {
    listed_message m{.id = std::move(id), .state = k.state, .content_size = {}, .envelope = {}};
    if (auto about = dir.status(name_of(m.id, content_suffix));
        about.has_value() && about->kind == os::file_status::type::regular)
        m.content_size = about->size;
    if (auto text = dir.read(name_of(m.id, k.suffix), max_envelope_size); text.has_value())
        if (auto parsed = mail::parse_envelope(*text); parsed.has_value())
            m.envelope = std::move(*parsed);
    return m;
}

} // namespace

base::result<std::vector<listed_message>> list_messages(const folder& dir) {
    std::vector<listed_message> found;
    auto listed = dir.files().list(dir.directory(), [&](std::string_view name) {
        for (const kind& k : kinds)
            if (const std::string_view id = id_of(name, k.suffix); !id.empty())
                found.push_back(look_at(dir, std::string(id), k));
    });
    if (listed.has_error())
        return listed.error();
    std::sort(found.begin(), found.end(),
              [](const auto& a, const auto& b) { return goes_before(a.id, b.id); });
    return found;
}

} // namespace spool
