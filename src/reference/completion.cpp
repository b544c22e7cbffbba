// Completions for bash, zsh and fish. What a value may be is guessed from its placeholder: files,
// directories; or said by the row's choices.
#include "reference/pages.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

namespace reference {

namespace {

using config::option;
using config::value_kind;

enum class values { none, anything, files, directories, choices };

values values_of(const option& row) {
    if (row.takes == value_kind::none)
        return values::none;
    if (!row.choices.empty())
        return values::choices;
    if (row.placeholder == "<dir>")
        return values::directories;
    for (std::string_view placeholder : {"<file>", "<program>", "<ca>"})
        if (row.placeholder == placeholder)
            return values::files;
    return values::anything;
}

bool has_argument(const option& row) {
    return row.takes == value_kind::one || row.takes == value_kind::list;
}

std::string replaced(std::string_view text, std::string_view what, std::string_view by) {
    std::string out(text);
    for (std::size_t at = 0; (at = out.find(what, at)) != out.npos; at += by.size())
        out.replace(at, what.size(), by);
    return out;
}

// Within single quotes of a POSIX shell, or of fish.
std::string quoted(std::string_view text) {
    return '\'' + replaced(text, "'", "'\\''") + '\'';
}
std::string quoted_for_fish(std::string_view text) {
    return '\'' + replaced(replaced(text, "\\", "\\\\"), "'", "\\'") + '\'';
}

std::string words(std::string_view choices) {
    return replaced(choices, ",", " ");
}

// "-p|--port|..." of those options for which `wanted` holds; never empty.
template <class Wanted>
std::string alternatives(const std::vector<const option*>& rows, Wanted wanted) {
    std::vector<std::string> found;
    for (const option* row : rows) {
        if (!wanted(*row))
            continue;
        if (row->letter != 0)
            found.push_back(fmt::format("-{}", row->letter));
        found.push_back(fmt::format("--{}", row->name));
    }
    return found.empty() ? "''" : fmt::format("{}", fmt::join(found, "|"));
}

} // namespace

std::string bash_completion(std::string_view program, std::span<const option> rows) {
    const std::vector<const option*> all = shown(rows);
    const auto of_kind = [](values wanted) {
        return [wanted](const option& row) {
            return values_of(row) == wanted;
        };
    };
    std::string names;
    for (const option* row : all)
        names += fmt::format("    --{}{}\n", row->name, has_argument(*row) ? "=" : "");
    std::string choices;
    for (const option* row : all)
        if (values_of(*row) == values::choices)
            choices +=
                fmt::format("    {}) words='{}' ;;\n",
                            alternatives({row}, [](const option&) { return true; }), words(row->choices));
    // With '=' in COMP_WORDBREAKS, "--x=v" comes as three words; without it as one.
    return fmt::format(R"(# bash completion for {0}; made from its option table

_{1}() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} option= head= words=
  COMPREPLY=()
  if [[ $current == = ]]; then
    option=$before current=
  elif [[ $before == = && COMP_CWORD -ge 2 ]]; then
    option=${{COMP_WORDS[COMP_CWORD-2]}}
  elif [[ $current == --*=* ]]; then
    option=${{current%%=*}} head=$option= current=${{current#*=}}
  else
    case $before in
    {2}) option=$before ;;
    esac
  fi
  case $option in
{3}    {4})
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -P "$head" -d -- "$current")
    return ;;
    {5})
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -P "$head" -f -- "$current")
    return ;;
  esac
  if [[ -n $words ]]; then
    # the last of several with commas between them
    [[ $current != *,* ]] || head=$head${{current%,*}},
    mapfile -t COMPREPLY < <(compgen -P "$head" -W "$words" -- "${{current##*,}}")
    return
  fi
  if [[ -n $option ]]; then
    return
  fi
  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "
{6}    " -- "$current")
    [[ ${{COMPREPLY[0]-}} != *= ]] || compopt -o nospace
    return
  fi
  compopt -o filenames
  mapfile -t COMPREPLY < <(compgen -f -- "$current")
}}
complete -F _{1} {0}
)",
                       program, replaced(program, "-", "_"), alternatives(all, has_argument), choices,
                       alternatives(all, of_kind(values::directories)),
                       alternatives(all, of_kind(values::files)), names);
}

std::string zsh_completion(std::string_view program, std::span<const option> rows) {
    const auto plain = [](std::string_view text) { // in a specification of _arguments
        return replaced(replaced(replaced(text, "[", "\\["), "]", "\\]"), ":", "\\:");
    };
    std::string out =
        fmt::format("#compdef {}\n# Made from its option table.\n\n_arguments -s -S \\\n", program);
    for (const option* row : shown(rows)) {
        const std::string_view sign = row->takes == value_kind::none ? "" : has_argument(*row) ? "=" : "=-";
        std::string value;
        if (row->takes != value_kind::none) {
            std::string what = replaced(replaced(row->placeholder, "<", ""), ">", "");
            value = fmt::format("{}{}:", has_argument(*row) ? ":" : "::", plain(what));
            switch (values_of(*row)) {
            case values::directories:
                value += "_directories";
                break;
            case values::files:
                value += "_files";
                break;
            case values::choices:
                value += row->takes == value_kind::list
                             ? fmt::format("_sequence compadd - {}", words(row->choices))
                             : fmt::format("({})", words(row->choices));
                break;
            default:
                value += ' ';
            }
        }
        const std::string described = fmt::format("[{}]{}", plain(row->text), value);
        const bool repeated = row->takes == value_kind::list || row->name == "verbose";
        const std::string star = repeated ? "*" : "";
        if (row->letter != 0 && repeated)
            out += fmt::format("  {} \\\n", quoted(fmt::format("*-{}{}{}", row->letter,
                                                               has_argument(*row) ? "+" : "", described)));
        else if (row->letter != 0)
            out += fmt::format(
                "  {} \\\n",
                quoted(fmt::format("(--{})-{}{}{}", row->name, row->letter, has_argument(*row) ? "+" : "",
                                   has_argument(*row) ? described : fmt::format("[{}]", plain(row->text)))));
        const std::string other = row->letter != 0 && !repeated ? fmt::format("(-{})", row->letter) : star;
        out += fmt::format("  {} \\\n", quoted(fmt::format("{}--{}{}{}", other, row->name, sign, described)));
    }
    return out + "  '*:configuration file:_files'\n";
}

std::string fish_completion(std::string_view program, std::span<const option> rows) {
    std::string out = fmt::format("# fish completion for {}; made from its option table\n\n", program);
    for (const option* row : shown(rows)) {
        out += fmt::format("complete -c {}", program);
        if (row->letter != 0)
            out += fmt::format(" -s {}", row->letter);
        out += fmt::format(" -l {}", row->name);
        switch (values_of(*row)) {
        case values::none:
            break;
        case values::anything:
            out += has_argument(*row) ? " -x" : " -f";
            break;
        case values::files:
            out += " -r -F";
            break;
        case values::directories:
            out += " -x -a '(__fish_complete_directories)'";
            break;
        case values::choices:
            out += fmt::format(" {}-a {}", has_argument(*row) ? "-x " : "",
                               quoted_for_fish(words(row->choices)));
            break;
        }
        out += fmt::format(" -d {}\n", quoted_for_fish(row->text));
    }
    return out;
}

} // namespace reference
