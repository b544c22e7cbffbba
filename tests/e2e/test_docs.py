"""The command lines of the documentation, as they stand there.

A block behind <!-- run --> is run to its end, which must be good; <!-- run: serve --> starts a relay that must come to listen,
<!-- run: forward --> sends a message of the spool on. Each runs in its own network, where the names of the documentation lead to a
server of the test, in a folder with a spool and a configuration.
"""
import os
import re
import shlex

import harness
import test_socks
from harness import equal, fail

docs = harness.here.parent.parent / 'docs'


def blocks():
    """(file, line, kind, command) of each block that is marked."""
    found = []
    for path in [*sorted(docs.glob('*.md')), docs.parent / 'README.md']:
        text = path.read_text()
        for match in re.finditer(r'<!-- run(?:: (\w+))? -->\n((?:    .*\n|\n(?=    ))+)', text):
            command = re.sub(r'^    ', '', match.group(2), flags=re.M)
            found.append((path.name, text[:match.start()].count('\n') + 1, match.group(1) or 'once', command.strip()))
    return found


def prepare(t, name):
    folder = t.folder(name, 0o777)
    for spool in ('spool', 'in', 'out'):
        (folder / spool).mkdir(exist_ok=True)
        os.chmod(folder / spool, 0o777)
    (folder / 'emailrelay.conf').write_text('spool-dir spool\ninterface 127.0.0.1\nlog\n')
    (folder / 'bin').mkdir(exist_ok=True)
    for program in harness.bin_dir.glob('emailrelay*'):
        if not (folder / 'bin' / program.name).exists():
            (folder / 'bin' / program.name).symlink_to(program)
    return folder


def environment(folder):
    return {'PATH': f'{folder}/bin:{os.environ["PATH"]}'}


def words_of(command):
    """The options of one emailrelay command."""
    words = shlex.split(command.replace('\\\n', ' '))
    equal(words[0], 'emailrelay')
    return words[1:]


def private_world(t):
    harness.private_network()
    harness.private_mounts()
    for address in ('192.168.1.1/24', '192.0.2.25/24'):
        t.run([harness.find('ip'), 'addr', 'add', address, 'dev', 'lo'])
    harness.mount_over(t.file('hosts', '127.0.0.1 localhost\n192.0.2.25 smtp.example.com smtp.example.net\n'), '/etc/hosts')
    harness.mount_over(t.file('resolv.conf', 'nameserver 127.0.0.1\n'), '/etc/resolv.conf')


def test_there_are_some(t):
    kinds = [kind for _, _, kind, _ in blocks()]
    assert kinds.count('serve') >= 4 and kinds.count('forward') >= 2 and kinds.count('once') >= 3, kinds


def test_run_to_the_end(t):
    for name, line, kind, command in blocks():
        if kind != 'once':
            continue
        with t.row(f'{name}:{line}'):
            folder = prepare(t, 'once')
            done = t.try_run(['bash', '-ec', command], cwd=folder, env=environment(folder))
            if done.returncode != 0:
                fail(f'{command}: status {done.returncode}\n{done.stderr}')


@harness.limit(120)
def test_servers(t):
    private_world(t)
    next_hops = [t.next_hop(host='192.0.2.25', port=port) for port in (25, 587)]
    for name, line, kind, command in blocks():
        if kind != 'serve':
            continue
        with t.row(f'{name}:{line}'):
            folder = prepare(t, f'serve-{name}-{line}')
            before = sum(len(hop.messages) for hop in next_hops)
            log = folder / 'log'
            log.touch()
            os.chmod(log, 0o666)
            given = words_of(command)
            relay = harness.Relay(t, [t.program, *given, '--no-daemon', '--verbose', '--no-syslog', f'--log-file={log}'], name=f'{name}:{line}',
                                  cwd=folder, env=environment(folder))
            harness.until(lambda: not relay.running() or 'smtp server on' in log.read_text(), 'listening')
            if not relay.running():
                fail(relay.output)
            host, port = re.search(r'smtp server on ([0-9.]+):(\d+)$', log.read_text(), re.M).groups()
            wire = harness.Wire.tcp(host, int(port), source=(host, 0))
            wire.expect('220 .*')
            wire.ask('EHLO client', 250)
            equal(wire.submit(b'Subject: x\r\n\r\nhello\r\n')[0], 250)
            wire.ask('QUIT', 221)
            wire.close()
            if '--as-server' not in given:
                harness.until(lambda: sum(len(hop.messages) for hop in next_hops) > before, 'message sent on')
            relay.terminate()


def test_forwarding(t):
    private_world(t)
    next_hop = t.next_hop(host='192.0.2.25', port=25)
    behind = t.next_hop()
    test_socks.SocksServer(t, test_socks.granted, relay_to=behind.port, port=9050)
    for name, line, kind, command in blocks():
        if kind != 'forward':
            continue
        with t.row(f'{name}:{line}'):
            folder = prepare(t, f'forward-{line}')
            harness.Spool(folder / 'spool').add('emailrelay.1.1.1')
            there = behind if '@127.0.0.1:9050' in command else next_hop
            before = len(there.messages)
            t.run(['bash', '-ec', command], cwd=folder, env=environment(folder))
            equal(len(there.messages), before + 1)


def test_links_lead_somewhere(t):
    for path in [*sorted(docs.glob('*.md')), docs.parent / 'README.md', docs.parent / 'CHANGELOG.md']:
        for link in re.findall(r'\]\(([^)#]+)\)', path.read_text()):
            if '://' not in link:
                with t.row(f'{path.name}: {link}'):
                    assert (path.parent / link).exists()
