// emailrelay-keygen: a key and a self-signed certificate for it (spec/utilities.md section 3).
//
// They go to stdout or into a file that only its owner can read. Exit code 2 for wrong usage, 1 for failures.
#include "os/process.hpp"
#include "tls/self_signed.hpp"

#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace {

constexpr const char* usage = "usage: emailrelay-keygen [<issuer/subject> [<out-file>]]\n";

int fail(const std::string& text) {
    std::fprintf(stderr, "emailrelay-keygen: error: %s\n", text.c_str());
    return 1;
}

bool write_file(const std::string& path, const std::string& text) {
    using std::filesystem::perms;
    os::set_umask(077);
    std::ofstream file(path, std::ios::trunc);
    std::error_code refused;
    if (file && std::filesystem::is_regular_file(path, refused)) // it may have been there
        std::filesystem::permissions(path, perms::owner_read | perms::owner_write, refused);
    file << text;
    file.close();
    return !file.fail() && !refused;
}

int run(const std::vector<std::string>& words) {
    const bool help = !words.empty() && words.front().starts_with('-');
    if (help || words.size() > 2) {
        std::fputs(usage, help ? stdout : stderr);
        return 2;
    }
    auto made = tls::make_self_signed(words.empty() ? "CN=example.com" : words.front());
    if (made.has_error())
        return fail(made.error().what);
    if (words.size() < 2) {
        const bool written = std::fputs(made->c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
        return written ? 0 : fail("cannot write to the standard output");
    }
    return write_file(words[1], *made) ? 0 : fail("cannot write " + words[1]);
}

} // namespace

int main(int argc, char** argv) {
    os::open_standard_streams();
    try {
        return run(std::vector<std::string>(argv + 1, argv + argc));
    } catch (const std::exception& e) {
        return fail(e.what());
    }
}
