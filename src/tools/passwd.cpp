// emailrelay-passwd: a password in, its masked form out (passwd/passwd.hpp).
#include "passwd/passwd.hpp"

#include "os/process.hpp"
#include "os/terminal.hpp"

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

int main(int argc, char** argv) {
    os::open_standard_streams();
    try {
        const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
        const config::ending end =
            passwd::answer(words, os::terminal_columns(), [] { return os::read_hidden_line("Password: "); });
        std::fputs(end.err.c_str(), stderr);
        std::fputs(end.out.c_str(), stdout);
        return std::fflush(stdout) == 0 ? end.exit_code : 1;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "emailrelay-passwd: exception: %s\n", e.what());
        return 1;
    }
}
