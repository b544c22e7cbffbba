// emailrelay-reference: prints what is made from the option table.
//
//     emailrelay-reference markdown | bash | zsh | fish | texts | manual <template>
//
// A template is a page in mdoc(7), in which the lines @options@ and @file-options@ are replaced.
#include "reference/pages.hpp"

#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>

namespace {

int usage() {
    std::fputs("usage: emailrelay-reference markdown | bash | zsh | fish | texts | manual <template>\n",
               stderr);
    return 2;
}

bool print(const std::string& text) {
    return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
}

void replace(std::string& text, std::string_view what, const std::string& by) {
    const std::size_t at = text.find(what);
    if (at != text.npos)
        text.replace(at, what.size(), by);
}

} // namespace

int main(int argc, char** argv) {
    const std::span<char*> words(argv, static_cast<std::size_t>(argc));
    const auto rows = config::options();
    const std::string_view what = words.size() > 1 ? words[1] : "";
    if (what == "manual" && words.size() == 3) {
        std::ifstream file(words[2]);
        std::string page{std::istreambuf_iterator<char>(file), {}};
        if (!file || page.empty()) {
            std::fprintf(stderr, "emailrelay-reference: cannot read %s\n", words[2]);
            return 1;
        }
        replace(page, "@options@\n", reference::manual_options(rows));
        replace(page, "@file-options@\n", reference::manual_file_options(rows));
        return print(page) ? 0 : 1;
    }
    if (words.size() != 2)
        return usage();
    if (what == "markdown")
        return print(reference::markdown(rows)) ? 0 : 1;
    if (what == "bash")
        return print(reference::bash_completion("emailrelay", rows)) ? 0 : 1;
    if (what == "zsh")
        return print(reference::zsh_completion("emailrelay", rows)) ? 0 : 1;
    if (what == "texts")
        return print(reference::texts(rows)) ? 0 : 1;
    if (what == "fish")
        return print(reference::fish_completion("emailrelay", rows)) ? 0 : 1;
    return usage();
}
