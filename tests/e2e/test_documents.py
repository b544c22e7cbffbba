"""Manual pages, the reference, and completions for shells: correct in form, current, and complete."""
import os
import pty
import re
import select
import time

import harness
from harness import equal, fail, find, need

top = harness.here.parent.parent
build = harness.bin_dir.parent


def pages():
    return sorted([*top.glob('man/*.[158]'), *(build / 'man').glob('*.[158]')])


def option_names(t, program='emailrelay'):
    """As --help shows them, without those that are only for other platforms."""
    done = t.try_run([harness.bin_dir / program, '--help', '--verbose'])  # for some tools that is an error
    text = done.stdout + done.stderr
    return set(re.findall(r'^ +(?:-.,|) *--([a-z][a-z-]+)', text, re.M))


def test_mandoc(t):
    need('mandoc')
    assert len(pages()) >= 4, pages()
    for page in pages():
        with t.row(page.name):
            done = t.try_run(['mandoc', '-Tlint', page])
            # Pages of others, and ours, may not be installed here.
            text = [line for line in (done.stdout + done.stderr).splitlines()
                    if 'referenced manual not found' not in line and 'outdated mandoc.db' not in line]
            equal(text, [])


def test_man(t):
    """The pages as most people see them, by groff."""
    need('man', 'groff')
    for page in pages():
        with t.row(page.name):
            done = t.try_run(['man', '--warnings', '-E', 'UTF-8', '-Tutf8', '-l', page],
                             env={'LC_ALL': 'C.UTF-8', 'MANPAGER': 'cat', 'MANWIDTH': '80'})
            equal((done.returncode, done.stderr), (0, ''))
            text = re.sub('.\x08', '', done.stdout)  # bold, as printers did it
            assert 'NAME' in text and not re.search(r'^\s*\.[A-Z][a-z] ', text, re.M), text[:500]


def test_the_manual_has_every_option(t):
    source = (build / 'man/emailrelay.8').read_text().replace('\\-', '-')
    equal(set(re.findall(r'^\.It .*Fl -([a-z-]+)', source, re.M)), option_names(t))
    source = (build / 'man/emailrelay.conf.5').read_text().replace('\\-', '-')
    equal(set(re.findall(r'^\.It Cm ([a-z-]+)', source, re.M)), option_names(t))


def test_tools_have_pages(t):
    """Each program that is built, with each of its options."""
    for program in sorted(harness.bin_dir.glob('emailrelay-*')):
        if program.name == 'emailrelay-reference' or not os.access(program, os.X_OK):
            continue
        with t.row(program.name):
            found = [p for p in pages() if p.stem == program.name]
            assert found, f'no page man/{program.name}.1'
            shown = set(re.findall(r'Fl \\?-([a-z-]+)', found[0].read_text().replace('\\-', '-')))
            missing = {name for name in option_names(t, program.name) if name not in shown}
            equal(missing, set())


def test_reference_is_current(t):
    wanted = t.run([harness.bin_dir / 'emailrelay-reference', 'markdown'])
    if (top / 'docs/reference.md').read_text() != wanted:
        fail('docs/reference.md is not what the option table says: run `make reference`')


# ---------------------------------------------------------------- completion

class Terminal:
    """A shell behind a terminal, as a person has it."""

    def __init__(self, t, words, cwd, **env):
        environment = t.environment({'TERM': 'dumb', 'PS1': 'READY>', 'INPUTRC': '/dev/null', 'HOME': str(t.dir), 'COLUMNS': '500',
                                     'LC_ALL': 'C.UTF-8', **env})
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            os.execvpe(words[0], [str(w) for w in words], environment)
        t.on_end(self.close)

    def close(self):
        os.close(self.fd)  # it is hung up on

    def type(self, text):
        os.write(self.fd, text.encode())

    def wait(self, pattern, seconds=harness.patience):
        text, end = '', time.monotonic() + seconds
        while not re.search(pattern, text):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                fail(f'no {pattern!r} from the shell; it says {text!r}')
            text += os.read(self.fd, 65536).decode(errors='replace')
        return text


def completing(t):
    folder = t.folder('work')
    (folder / 'dir-one').mkdir()
    (folder / 'file-one').touch()
    return folder


def test_bash_completion(t):
    """What the tabulator key makes of a line, in a bash that knows nothing else."""
    rows = [('--spool-d', '--spool-dir='), ('--spool-dir=dir', '--spool-dir=dir-one/'), ('--spool-dir dir', '--spool-dir dir-one/'),
            ('-s dir', '-s dir-one/'), ('--log-fil', '--log-file='), ('--log-file=fi', '--log-file=file-one '), ('--remote', '--remote-clients '),
            ('--syslog=da', '--syslog=daemon '), ('--log-format=time,ad', '--log-format=time,address '),
            ('--as-server fi', '--as-server file-one '), ('--port=fi', '--port=fi'), ('--no-such', '--no-such')]
    shell = Terminal(t, [find('bash'), '--norc', '--noprofile', '-i'], completing(t), PS1='READY>')
    shell.wait('READY>')
    # The line as it stands after completion is what the shell hands to this in place of running it.
    shell.type('PS1=; bind "set bell-style none"; bind "set enable-bracketed-paste off"; stty -echo; '
               f'source {build}/completions/emailrelay.bash; '
               'show() { printf "LI%s<%s>\\n" NE "$READLINE_LINE"; READLINE_LINE=; READLINE_POINT=0; }; bind -x \'"\\C-g": show\'; echo DO""NE\n')
    shell.wait('DONE')
    for typed, wanted in rows:
        with t.row(typed):
            shell.type(f'emailrelay {typed}\t\x07')
            text = shell.wait(r'LINE<.*>')
            equal(re.search(r'LINE<(.*)>', text).group(1), f'emailrelay {wanted}')


def test_bash_completion_offers_every_option(t):
    script = (f'source {build}/completions/emailrelay.bash; compopt() {{ :; }}; '
              'COMP_WORDS=(emailrelay --); COMP_CWORD=1; _emailrelay; printf "%s\\n" "${COMPREPLY[@]}"')
    found = t.run([find('bash'), '--norc', '-c', script]).split()
    equal({word.strip('-=') if word.endswith('=') else word[2:] for word in found}, option_names(t))


def test_zsh_completion(t):
    """The specification of each option is understood, and a line is completed."""
    folder = completing(t)
    functions = t.folder('functions')
    (functions / '_emailrelay').write_text((build / 'completions/emailrelay.zsh').read_text())
    shell = Terminal(t, [find('zsh'), '-f', '-i'], folder)
    shell.type(f"PS1=; unsetopt zle_bracketed_paste; fpath=({functions} $fpath); autoload -U compinit; compinit -u -D; "
               "show() { print -r -- \"LI\"\"NE<$BUFFER>\"; BUFFER=; zle redisplay; }; zle -N show; bindkey '^G' show; "
               "bindkey '^I' complete-word; setopt no_list_beep; echo DO''NE\n")
    shell.wait(r'DONE\r?\n')
    for typed, wanted in [('--spool-d', '--spool-dir='), ('--spool-dir=di', '--spool-dir=dir-one'), ('-s di', '-s dir-one'),
                          ('--log-file=fi', '--log-file=file-one'), ('--remote', '--remote-clients'),
                          ('--syslog=da', '--syslog=daemon'), ('--as-server fi', '--as-server file-one')]:
        with t.row(typed):
            shell.type(f'emailrelay {typed}\t\x07')
            text = shell.wait(r'LINE<.*>')
            equal(re.search(r'LINE<(.*)>', text).group(1).rstrip(' /'), f'emailrelay {wanted}')


def test_fish_completion(t):
    folder = completing(t)

    def offered(line):
        text = t.run([find('fish'), '--no-config', '-c', f'source {build}/completions/emailrelay.fish; complete -C "{line}"'], cwd=folder,
                     env={'HOME': str(t.dir), 'LC_ALL': 'C.UTF-8'})
        return {row.split('\t')[0] for row in text.splitlines()}
    equal({word.lstrip('-').rstrip('=') for word in offered('emailrelay --')}, option_names(t))
    for line, wanted in [('--spool-dir ', {'dir-one/'}), ('--log-file=f', {'--log-file=file-one'}), ('--syslog=da', {'--syslog=daemon'}),
                         ('--port ', set()), ('fi', {'file-one'})]:
        with t.row(line):
            equal(offered(f'emailrelay {line}'), wanted)
