#include "passwd/passwd.hpp"

#include "base/base64.hpp"
#include "base/text.hpp"
#include "config/tool_options.hpp"
#include "sasl/hash.hpp"

#include <utility>

namespace passwd {

namespace {

using enum config::value_kind;

constexpr std::string_view program = "emailrelay-passwd";

constexpr config::option table[] = {
    {.name = "help", .letter = 'h', .text = "show this and end"},
    {.name = "hash",
     .letter = 'H',
     .takes = one,
     .placeholder = "<function>",
     .text = "hash function: MD5, SHA1, SHA256, SHA512, or NONE for the password as xtext",
     .normally = "MD5"},
    {.name = "password",
     .letter = 'p',
     .takes = one,
     .placeholder = "<password>",
     .text = "the password, which others can see here",
     .hidden = true},
    {.name = "base64", .letter = 'b', .text = "the password is given in base64", .hidden = true},
    {.name = "dotted", .letter = 'd', .text = "write eight decimal numbers", .hidden = true},
    // Accepted and without effect: they chose a library for the hash functions.
    {.name = "verbose", .letter = 'v', .text = "say more", .hidden = true},
    {.name = "tls", .letter = 't', .text = "use the hash functions of the TLS library", .hidden = true},
    {.name = "tls-config",
     .letter = 'T',
     .takes = one,
     .placeholder = "<config>",
     .text = "configuration of the TLS library",
     .hidden = true},
};

config::ending failure(std::string_view text) {
    return {1, {}, std::string(program) + ": " + std::string(text) + "\n"};
}

config::ending exception(std::string_view text) {
    return failure("exception: " + std::string(text));
}

std::string usage(unsigned columns) {
    return config::help_text(config::vocabulary{.rows = table},
                             {.program = std::string(program), .words = {}, .columns = columns}, true);
}

} // namespace

config::ending answer(const std::vector<std::string>& words, unsigned columns,
                      const std::function<base::secret_text()>& read_line) {
    const auto line = config::read_tool_options<table>(words);
    if (!line.errors.empty()) {
        config::ending all{1, {}, {}};
        for (const std::string& text : line.errors)
            all.err += std::string(program) + ": error: " + text + "\n";
        return all;
    }
    if (line.given.has("help"))
        return {0, usage(columns), {}};
    if (!line.words.empty()) {
        config::ending end =
            failure("too many command-line arguments (the password is read from the standard input)");
        end.err += usage(columns);
        return end;
    }

    const std::string name = line.given.has("hash") ? line.given.value("hash") : "MD5";
    const auto hash = sasl::hash_named(name);
    const bool none = base::iequals(name, "none");
    if (!hash && !none)
        return exception("invalid hash function");
    const bool dotted = line.given.has("dotted");
    if (dotted && hash != sasl::hash_function::md5)
        return exception("--dotted only works for md5");

    base::secret_text password;
    if (line.given.has("password")) {
        password = base::secret_text(line.given.value("password"));
    } else {
        const base::secret_text typed = read_line();
        password = base::secret_text(base::trim(typed.view()));
    }
    if (line.given.has("base64")) {
        auto decoded = base::base64_decode(password.view());
        if (!decoded)
            return exception("invalid base64 encoding of password");
        password = base::secret_text::taken_from(*decoded);
    }
    if (password.empty())
        return exception("invalid password");

    std::string out;
    if (none) {
        out = base::xtext_encode(password.view());
    } else {
        const base::secret_text state = sasl::hmac_state(*hash, password.view());
        out = dotted ? sasl::dotted_form(state.view()) : base::base64_encode(state.view());
    }
    return {0, out + "\n", {}};
}

} // namespace passwd
