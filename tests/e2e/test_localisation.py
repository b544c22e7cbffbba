"""Usage and errors in German and French (--localedir)."""
import re
import string

import harness
from harness import equal, need

top = harness.here.parent.parent
locale = harness.bin_dir.parent / 'locale'


def speaking(t, language, *words, locale_option=f'--localedir={locale}'):
    return t.emailrelay(*([locale_option] if locale_option else []), *words, env={'LC_ALL': 'C.UTF-8', 'LANGUAGE': language})


def options(text):
    return re.findall(r'^(?:  -., |      )(--[a-z-]+)', text, re.M)


def test_help(t):
    german = speaking(t, 'de', '--help', '--verbose').stdout
    french = speaking(t, 'fr', '--help', '--verbose').stdout
    for text, wanted in ((german, ['Aufruf: emailrelay', 'SMTP-Server', 'im Vordergrund bleiben', '(Vorgabe: 25)']),
                         (french, ['utilisation : emailrelay', 'rester au premier plan', '(par défaut : 25)'])):
        for words in wanted:
            assert words in ' '.join(text.split()), (words, text[:2000])
    english = t.emailrelay('--help', '--verbose').stdout
    for text in (german, french):
        equal(options(text), options(english))
        # The Usage line's bracketed shapes are as they are; nothing else is wider than the terminal.
        assert not [line for line in text.splitlines() if len(line) > 79 and not line.startswith('  -')], text


def test_errors(t):
    rows = [(['--nonsense'], 'emailrelay: Fehler: ungültige Option: "--nonsense"\n            mehr zeigt "emailrelay --help --verbose"\n'),
            (['--pop'], 'emailrelay: falscher Aufruf: die Option --pop verlangt --pop-auth\n'),
            (['/nowhere/conf'], 'emailrelay: Fehler: Konfigurationsdatei nicht lesbar: /nowhere/conf\n')]
    for words, wanted in rows:
        with t.row(' '.join(words)):
            done = speaking(t, 'de', *words)
            equal((done.returncode, done.stdout, done.stderr), (1, '', wanted))


def test_the_option_decides(t):
    wanted = 'emailrelay: error: invalid option: "--nonsense"'
    equal(speaking(t, 'de', '--nonsense', locale_option=None).stderr.splitlines()[0], wanted)
    equal(speaking(t, 'en', '--nonsense').stderr.splitlines()[0], wanted)
    equal(speaking(t, 'de', '--nonsense', locale_option='--localedir=/nowhere').stderr.splitlines()[0], wanted)
    # In a configuration file, too; and in the form of two words.
    conf = t.file('conf', f'localedir {locale}\nnonsense\n')
    assert 'Fehler' in speaking(t, 'de', conf, locale_option=None).stderr
    assert 'Fehler' in speaking(t, 'de', '--localedir', locale, '--nonsense', locale_option=None).stderr


def test_protocols_stay_as_they_are(t):
    relay = t.relay(localedir=locale, env={'LC_ALL': 'C.UTF-8', 'LANGUAGE': 'de'})
    wire = relay.connect()
    wire.expect(r'220 test\.example\.com -- .*')
    wire.exact('NOOP', '250 noop')
    relay.wait_log('info: smtp connection from')
    relay.terminate()


def entries(text):
    """msgid -> msgstr of a catalogue or template."""
    found = {}
    for block in text.split('\n\n'):
        block = '\n'.join(line for line in block.splitlines() if not line.startswith('#'))
        match = re.match(r'msgid (.*?)\nmsgstr (.*)', block, re.S)
        if match:
            key, value = (''.join(re.findall(r'^"(.*)"$', part, re.M)) for part in match.groups())
            if key:
                found[key] = value
    return found


def places(text):
    return sorted(name for _, name, _, _ in string.Formatter().parse(text.replace('\\"', '"').replace('\\n', '\n')) if name is not None)


def test_catalogues_are_whole(t):
    """The texts of the program are in them, with the same places to fill in."""
    need('xgettext')
    present = entries(t.run([top / 'scripts/translations', harness.bin_dir / 'emailrelay-reference', '--list']))
    assert len(present) > 180, len(present)
    for catalogue in sorted((top / 'po').glob('*.po')):
        with t.row(catalogue.name):
            found = entries(t.run(['msgcat', '--no-wrap', catalogue]))
            wrong = [key for key, value in found.items() if places(key) != places(value)]
            equal(wrong, [], 'places differ')
            # What is new may wait for a translator.
            missing = [key for key in present if not found.get(key)]
            assert len(missing) * 10 <= len(present), f'not translated, see `make translations`: {missing}'
