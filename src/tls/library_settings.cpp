#include "tls/library_settings.hpp"

#include "base/text.hpp"

#include <string_view>

namespace tls {

namespace {

std::optional<version> version_of(std::string_view word) {
    if (word == "sslv3")
        return version::ssl3;
    if (word == "tlsv1.0")
        return version::tls1_0;
    if (word == "tlsv1.1")
        return version::tls1_1;
    if (word == "tlsv1.2")
        return version::tls1_2;
    if (word == "tlsv1.3")
        return version::tls1_3;
    return std::nullopt;
}

bool read_switch(std::string_view word, library_settings& to) {
    const struct {
        std::string_view word;
        bool library_settings::*field;
    } switches[] = {
        {"noverify", &library_settings::no_verify},
        {"op_all", &library_settings::all_workarounds},
        {"op_no_ticket", &library_settings::no_tickets},
        {"op_no_resumption", &library_settings::no_resumption},
        {"op_server_preference", &library_settings::server_preference},
        {"noisy", &library_settings::noisy},
    };
    for (const auto& s : switches)
        if (s.word == word) {
            to.*s.field = true;
            return true;
        }
    return false;
}

bool read_word(std::string_view word, library_settings& to) {
    if (word == "openssl" || word == "mbedtls") {
        to.which = word == "openssl" ? library::openssl : library::mbedtls;
        return true;
    }
    if (const auto lowest = version_of(word)) {
        to.lowest = *lowest;
        return true;
    }
    const auto highest = word.starts_with('-') ? version_of(word.substr(1)) : std::nullopt;
    if (highest && *highest != version::ssl3) {
        to.highest = highest;
        return true;
    }
    // The part of Mbed TLS that "nopsa" keeps from starting is never started: nothing here needs it.
    return word == "nopsa" || read_switch(word, to);
}

} // namespace

read_settings read_library_settings(const std::vector<std::string>& keywords) {
    read_settings out;
    bool ignore = false;
    for (const std::string& keyword : keywords) {
        const std::string word = base::to_lower(base::trim(keyword));
        if (word == "ignoreextra")
            ignore = true;
        else if (!word.empty() && !read_word(word, out.settings))
            out.unknown.push_back(keyword);
    }
    if (ignore)
        out.unknown.clear();
    return out;
}

} // namespace tls
