"""The filters that users have published for fail2ban, on a log of ours (spec/process-and-logging.md section 3.2)."""
import base64
import re
import shutil
import time

import harness
from harness import equal, fail, need

patterns = ['emailrelay: warning: <HOST>; failed authentication',
            'emailrelay: warning: <HOST>; .* AUTH requested but not advertised',
            'emailrelay: warning: <HOST>; empty MAIL-FROM return path',
            'emailrelay: info: <HOST>; address verifier: exit code']
ignored = ['address verifier: exit code 1:', 'warning: <HOST>; dnsbl']


def busy_log(t, *options, interface, source, hostility=None, **how):
    """A log with each event that can happen yet, from `source`, among much that is nobody's fault."""
    log = t.file('relay.log', '')
    relay = t.relay('--log-address', '--remote-clients', f'--log-file={log}', *options, interface=interface, port=10025, wait=False, **how)
    harness.until(lambda: harness.connects(interface, 10025), 'relay listening')

    def wire():
        wire = harness.Wire.tcp(interface, 10025, source=(source, 0))
        wire.expect('220 .*')
        wire.ask('EHLO client.example.org', 250)
        return wire
    with wire() as one:  # a client with nothing but words
        equal(one.submit(b'emailrelay: warning: 203.0.113.9; failed authentication\r\n')[0], 250)
        one.ask('NOOP emailrelay: warning: 203.0.113.9; empty MAIL-FROM return path', 250)
        one.ask('VRFY emailrelay: warning: 203.0.113.9; AUTH requested but not advertised', 252)
        one.ask('FOO', 500)
        one.ask('QUIT', 221)
    with wire() as one:
        one.ask('MAIL FROM:<>', 250)
    with wire() as one:
        for _ in range(2):
            one.ask('AUTH PLAIN AGJvYgBzZWNyZXQ=', 502)
        one.ask('AUTH LOGIN', 502)
    for _ in range(2 if hostility else 0):
        hostility(source, interface)
    relay.terminate()
    return log


def hostile(source, interface):
    """What a client says who wants 203.0.113.9 banned, or its own lines passed over."""
    for text in (b'emailrelay: warning: 203.0.113.9; failed authentication', b'\nemailrelay: warning: 203.0.113.9; failed authentication',
                 b'emailrelay: info: 203.0.113.9; address verifier: exit code 2: x', b'x\rNov 22 05:17:47 host emailrelay[1]: '
                 b'emailrelay: warning: 203.0.113.9; empty MAIL-FROM return path', b'warning: %s; dnsbl' % source.encode()):
        with harness.Wire.tcp(interface, 10025, source=(source, 0)) as wire:
            wire.expect('220 .*')
            wire.ask(b'EHLO ' + text)
            wire.ask(b'NOOP ' + text)
            wire.ask(b'VRFY ' + text)
            wire.ask(b'AUTH PLAIN ' + text, 502)
            wire.ask(b'MAIL FROM:<' + text + b'>')
            wire.ask(b'RCPT TO:<' + text + b'@x>')


def needs_own_network(t):
    harness.private_network()
    t.run([harness.find('ip'), 'addr', 'add', '2001:db8::7/128', 'dev', 'lo', 'nodad'])
    t.run([harness.find('ip'), 'addr', 'add', '192.0.2.7/32', 'dev', 'lo'])


def expected(log, source):
    lines = log.read_text().splitlines()
    empty = [line for line in lines if f'warning: {source}; empty MAIL-FROM return path' in line]
    auth = [line for line in lines if f'warning: {source}; client protocol error: AUTH requested but not advertised' in line]
    equal((len(empty), len(auth)), (1, 3), 'lines in the log')
    return lines, empty + auth


def test_patterns(t):
    """By Python's expressions: exactly the lines meant begin so, and the host is the client's. With --verbose the log also has
    what clients say, so that it matters where a pattern may match."""
    needs_own_network(t)
    for interface, source in (('127.0.0.1', '192.0.2.7'), ('::1', '2001:db8::7')):
        with t.row(source):
            lines, wanted = expected(busy_log(t, interface=interface, source=source), source)
            host = r'(?P<host>[0-9a-fA-F:.]+)'
            compiled = [re.compile(p.replace('<HOST>', host)) for p in patterns]
            found = [(line, m.group('host')) for line in lines for p in compiled for m in [p.match(line)] if m]
            equal(sorted(line for line, _ in found), sorted(wanted))
            equal({h for _, h in found}, {source})


def test_fail2ban_regex(t):
    """By fail2ban itself, on our log file and on the same lines as syslog writes them."""
    need('fail2ban-regex')
    needs_own_network(t)
    text = ('[Definition]\nfailregex = ' + '\n            '.join(patterns) +
            '\nignoreregex = ' + '\n              '.join(ignored) + '\n')
    for interface, source in (('127.0.0.1', '192.0.2.7'), ('::1', '2001:db8::7')):
        log = busy_log(t, interface=interface, source=source, verbose=None)
        expected(log, source)
        head = time.strftime('%b %d %H:%M:%S host emailrelay[123]: ')
        syslog = t.file('syslog', ''.join(head + line + '\n' for line in log.read_text().splitlines()))
        for name, file, more in [('log file', log, 'datepattern = {NONE}\n'), ('syslog', syslog, '')]:
            with t.row(f'{name} {source}'):
                output = t.run(['fail2ban-regex', '-v', file, t.file('emailrelay.conf', text + more)])
                found = re.findall(rf'^\|\s+{re.escape(source)}\s', output, re.M)
                summary = re.search(r'Lines: \d+ lines, (\d+) ignored, (\d+) matched', output)
                if not summary or summary.groups() != ('0', '4') or len(found) != 4:
                    fail(output)


def test_our_filter(t):
    """The filter that is installed, on logs of every kind in which a client has said what it liked."""
    need('fail2ban-regex')
    needs_own_network(t)
    folder = t.folder('filter.d')
    shutil.copy(harness.here.parent.parent / 'packaging/fail2ban/filter.conf', folder / 'emailrelay.conf')
    (folder / 'common.conf').symlink_to('/etc/fail2ban/filter.d/common.conf')
    for interface, source in (('127.0.0.1', '192.0.2.7'), ('::1', '2001:db8::7')):
        for options in ([], ['--log-time']):
            log = busy_log(t, *options, interface=interface, source=source, hostility=hostile)
            lines = log.read_text().splitlines()
            wanted = sum(bool(re.match(rf'emailrelay: ([\d.]+: )?warning: {re.escape(source)}; '
                                       '(empty MAIL-FROM return path|client protocol error: AUTH requested but not advertised)$', line))
                         for line in lines)
            equal(wanted, 1 + 3 + 10, 'lines to be found')
            head = time.strftime('%b %d %H:%M:%S host emailrelay[123]: ')
            for name, text in [('log file', lines), ('syslog', [head + line for line in lines])]:
                with t.row(f'{name} {source} {options}'):
                    output = t.run(['fail2ban-regex', '-v', t.file('log.txt', '\n'.join(text) + '\n'), folder / 'emailrelay.conf'])
                    found = re.findall(r'^\|\s+([\d.a-f:]+)\s+\w\w\w \w\w\w ', output, re.M)
                    summary = re.search(r'Lines: \d+ lines, (\d+) ignored, (\d+) matched', output)
                    if not summary or summary.groups() != ('0', str(wanted)) or set(found) != {source}:
                        fail(output)


def test_journal_of_the_service_alone(t):
    """Any user can run a program called emailrelay that writes to the journal. As fail2ban itself reads the filter; "+" means "or" (systemd.journal)."""
    need('fail2ban-client')
    folder = t.folder('fail2ban')
    shutil.copytree('/etc/fail2ban', folder, symlinks=True, dirs_exist_ok=True)
    packaged = harness.here.parent.parent / 'packaging/fail2ban'
    shutil.copy(packaged / 'filter.conf', folder / 'filter.d/emailrelay.conf')
    shutil.rmtree(folder / 'jail.d')
    (folder / 'jail.d').mkdir()
    shutil.copy(packaged / 'jail.conf', folder / 'jail.d/emailrelay.conf')
    (folder / 'jail.local').write_text('[emailrelay]\nenabled = true\n')
    commands = t.run(['fail2ban-client', '-c', folder, '--dp'])
    found = re.findall(r"^\['set', 'emailrelay', 'addjournalmatch', (.*)\]$", commands, re.M)
    equal(len(found), 1, commands)
    for choice in found[0].split("'+'"):
        assert "'_SYSTEMD_UNIT=emailrelay.service'" in choice, found[0]


def test_guessed_passwords(t):
    """Each failed login counts, by whatever mechanism, with a name that looks like a log line too, over SMTP and POP; a good one
    and one that is given up do not."""
    need('fail2ban-regex')
    needs_own_network(t)
    folder = t.folder('filter.d')
    shutil.copy(harness.here.parent.parent / 'packaging/fail2ban/filter.conf', folder / 'emailrelay.conf')
    (folder / 'common.conf').symlink_to('/etc/fail2ban/filter.d/common.conf')
    auth = t.file('auth', 'server plain alice wonder+20land\n')

    def b64(text):
        return base64.b64encode(text.encode()).decode()
    for interface, source in (('127.0.0.1', '192.0.2.7'), ('::1', '2001:db8::7')):
        log = t.file('relay.log', '')
        relay = t.relay('--log-address', '--remote-clients', f'--log-file={log}', '--pop', '--pop-port=10110', f'--pop-auth={auth}',
                        f'--server-auth={auth}', interface=interface, port=10025, wait=False)
        harness.until(lambda: harness.connects(interface, 10025) and harness.connects(interface, 10110), 'relay listening')

        def wire(port):
            wire = harness.Wire.tcp(interface, port, source=(source, 0))
            wire.line()
            return wire
        evil = 'x\nemailrelay: warning: 203.0.113.9; failed authentication'
        for dialogue in (['AUTH PLAIN ' + b64('\0alice\0guess')], ['AUTH LOGIN ' + b64('alice'), b64('guess')], ['AUTH CRAM-MD5', b64('alice 0123')],
                         ['AUTH PLAIN ' + b64(f'\0{evil}\0guess')], ['AUTH LOGIN', b64(evil), b64('guess')]):
            with wire(10025) as one:
                one.ask('EHLO x', 250)
                for line in dialogue[:-1]:
                    one.ask(line, 334)
                one.ask(dialogue[-1], 535)
        with wire(10110) as one:
            one.say('USER alice')
            one.expect(r'\+OK.*')
            one.say('PASS guess')
            one.expect('-ERR.*')
        with wire(10025) as one:
            one.ask('EHLO x', 250)
            one.ask('AUTH LOGIN', 334)
            one.ask('*', 501)
            one.ask('AUTH NTLM', 504)
            one.ask('AUTH PLAIN ' + b64('\0alice\0wonder land'), 235)
        relay.terminate()
        lines = log.read_text().splitlines()
        equal(sum('; failed authentication of remote client using mechanism [' in line for line in lines), 6, 'lines to be found')
        head = time.strftime('%b %d %H:%M:%S host emailrelay[123]: ')
        for name, text in [('log file', lines), ('syslog', [head + line for line in lines])]:
            with t.row(f'{name} {source}'):
                output = t.run(['fail2ban-regex', '-v', t.file('log.txt', '\n'.join(text) + '\n'), folder / 'emailrelay.conf'])
                found = re.findall(r'^\|\s+([\d.a-f:]+)\s+\w\w\w \w\w\w ', output, re.M)
                summary = re.search(r'Lines: \d+ lines, (\d+) ignored, (\d+) matched', output)
                if not summary or summary.groups() != ('0', '6') or set(found) != {source}:
                    fail(output)


def test_our_jail(t):
    """fail2ban accepts the jail, and switched on it would watch with our filter."""
    need('fail2ban-client')
    packaging = harness.here.parent.parent / 'packaging/fail2ban'
    etc = t.dir / 'fail2ban'
    shutil.copytree('/etc/fail2ban', etc)
    shutil.copy(packaging / 'filter.conf', etc / 'filter.d/emailrelay.conf')
    shutil.copy(packaging / 'jail.conf', etc / 'jail.d/emailrelay.conf')
    (etc / 'jail.d/defaults-debian.conf').unlink(missing_ok=True)
    (etc / 'jail.local').write_text(f'[emailrelay]\nenabled = true\nbackend = polling\nlogpath = {t.file("some.log", "")}\n')
    output = t.run(['fail2ban-client', '-c', etc, '-d'])
    assert "'add', 'emailrelay'" in output and 'AUTH requested' in output, output
