// c-ares takes compressed names apart; the records around them are walked here, as its own readers of answers
// give either mail exchangers or addresses, never what else is in the answer.
#include "net/dns_message.hpp"

#include "base/text.hpp"

#include <boost/asio/ip/address.hpp>

#include <ares.h>

#include <algorithm>
#include <array>
#include <optional>

namespace net {

namespace {

using boost::asio::ip::address_v4;
using boost::asio::ip::address_v6;

constexpr std::size_t header_size = 12;
constexpr unsigned internet_class = 1;
constexpr std::size_t longest_name = 255; // octets (RFC 1035 section 2.3.4); c-ares does not ask

// Octets of a name as c-ares writes it: "\." and "\255" are one; a length stands before each label, 0 at the
// end.
std::size_t size_in_packet(std::string_view name) {
    std::size_t out = 2;
    for (std::size_t at = 0; at < name.size(); ++at, ++out)
        if (name[at] == '\\')
            at += name.substr(at + 1, 1).find_first_of("0123456789") == 0 ? 3 : 1;
    return out;
}

class packet_reader {
public:
    explicit packet_reader(std::span<const unsigned char> packet) : packet_(packet) {}

    bool failed() const { return failed_; }
    std::size_t position() const { return at_; }
    void go_to(std::size_t at) { at_ = at; }

    unsigned u8() { return need(1) ? packet_[at_++] : 0U; }
    std::uint16_t u16() {
        unsigned high = u8();
        return static_cast<std::uint16_t>(high << 8 | u8());
    }
    void skip(std::size_t size) {
        if (need(size))
            at_ += size;
    }

    std::string name() {
        if (failed_ || at_ >= packet_.size())
            return fail();
        char* text = nullptr;
        long used = 0;
        int status = ares_expand_name(packet_.data() + at_, packet_.data(), static_cast<int>(packet_.size()),
                                      &text, &used);
        if (status != ARES_SUCCESS)
            return fail();
        std::string out = base::to_lower(text);
        ares_free_string(text);
        if (size_in_packet(out) > longest_name)
            return fail();
        at_ += static_cast<std::size_t>(used);
        return out;
    }

    template <class Address>
    std::string address() {
        typename Address::bytes_type bytes{};
        if (!need(bytes.size()))
            return {};
        std::copy_n(packet_.begin() + static_cast<std::ptrdiff_t>(at_), bytes.size(), bytes.begin());
        at_ += bytes.size();
        return Address(bytes).to_string();
    }

private:
    bool need(std::size_t size) {
        failed_ = failed_ || packet_.size() - at_ < size;
        return !failed_;
    }
    std::string fail() {
        failed_ = true;
        return {};
    }

    std::span<const unsigned char> packet_;
    std::size_t at_ = 0;
    bool failed_ = false;
};

// The next record; nothing if it is of another kind than those kept.
std::optional<dns_record> read_record(packet_reader& from) {
    dns_record record;
    record.owner = from.name();
    auto type = from.u16();
    bool internet = from.u16() == internet_class;
    from.skip(4); // time to live
    std::size_t size = from.u16();
    std::size_t end = from.position() + size;
    from.skip(size);
    if (from.failed() || !internet)
        return std::nullopt;
    from.go_to(end - size);
    record.type = static_cast<dns_type>(type);
    switch (record.type) {
    case dns_type::a:
        record.data = from.address<address_v4>();
        break;
    case dns_type::aaaa:
        record.data = from.address<address_v6>();
        break;
    case dns_type::cname:
        record.data = from.name();
        break;
    case dns_type::mx:
        record.preference = from.u16();
        record.data = from.name();
        break;
    default:
        from.go_to(end);
        return std::nullopt;
    }
    bool whole = !from.failed() && from.position() == end;
    from.go_to(end);
    return whole ? std::optional(std::move(record)) : std::nullopt;
}

} // namespace

base::result<dns_answer> read_dns_answer(std::span<const unsigned char> packet) {
    const base::error damaged{{}, "dns error: invalid response"};
    packet_reader from(packet);
    dns_answer out;
    out.id = from.u16();
    unsigned flags = from.u16();
    unsigned questions = from.u16();
    unsigned answers = from.u16();
    if (packet.size() < header_size || (flags & 0x8000U) == 0)
        return damaged;
    out.authoritative = (flags & 0x0400U) != 0;
    out.rcode = flags & 0x000fU;
    from.go_to(header_size);
    for (; questions != 0 && !from.failed(); --questions) {
        from.name();
        from.skip(4); // type, class
    }
    for (; answers != 0 && !from.failed(); --answers)
        if (auto record = read_record(from))
            out.records.push_back(std::move(*record));
    if (from.failed())
        return damaged;
    return out;
}

} // namespace net
