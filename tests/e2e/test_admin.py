"""The admin interface (spec/admin.md, docs/admin.md) as users of telnet and netcat meet it: bytes compared."""
import json
import os
import re
import signal
import socket
import subprocess

import harness
from harness import Stall, equal, fail, match, need, until
from test_pop import Telnet

prompt = 'E-MailRelay> '
commands = 'commands: dnsbl, failures, flush, forward, help, info, list, notify, pid, quit, smtp, status, unfail-all'


class Admin:
    """A connection to the admin port; `end` is the line end that it uses."""

    def __init__(self, relay, end='\n', path=None):
        self.end = end
        if path:
            self.wire = harness.Wire.unix(path)
        else:
            found = relay.wait_log(r'admin server on (.*)[:.](\d+)$')
            self.wire = harness.Wire.tcp(found.group(1), int(found.group(2)))
        self.wire.socket.settimeout(harness.patience)

    def send(self, command):
        self.wire.send(command + self.end)

    def until(self, text):
        """What comes up to and including `text`."""
        wanted = text.encode()
        while wanted not in self.wire.held:
            part = self.wire.socket.recv(65536)
            if not part:
                fail(f'closed; wanted {text!r}, got {self.wire.held!r}')
            self.wire.held += part
        end = self.wire.held.index(wanted) + len(wanted)
        got, self.wire.held = self.wire.held[:end], self.wire.held[end:]
        return got.decode()

    def ask(self, command):
        self.send(command)
        return self.until(prompt)[:-len(prompt)]

    def check(self, command, reply):
        equal(self.ask(command), reply, command)

    def events(self, last):
        """The texts of the events up to the one that matches `last`."""
        got = []
        while not got or not re.fullmatch(last, got[-1]):
            equal(self.until('EVENT: ')[-len(self.end) - 7:], self.end + 'EVENT: ', 'an event begins a line')
            got.append(self.until('  ')[:-2])
        return got

    def closed(self):
        while part := self.wire.socket.recv(65536):
            self.wire.held += part
        return self.wire.held.decode()


def test_dialogue(t):
    relay = t.relay('--admin=0')
    for end in ('\n', '\r\n'):
        admin = Admin(relay, end)
        admin.check('help', commands + end)
        admin.check('list', '<none>' + end)
        admin.check('failures', '<none>' + end)
        admin.check('pid', f'{relay.pid}{end}')
        admin.check('', '')
        admin.check('unfail-all', '')
        admin.check('HELP extra words', commands + end)
        admin.check('flush', 'error: no remote server configured: use --forward-to' + end)
        admin.check('forward', 'error: no remote server configured: use --forward-to' + end)
        admin.check('info foo', 'usage: info {copyright|credit|version|warranty}' + end)
        match(admin.ask('info version'), r'^\d+\.\d+\.\d+' + end + '$')
        admin.check('dnsbl', 'usage: dnsbl {start|stop <timeout>}' + end)
        admin.check('dnsbl stop 3', 'OK' + end)
        admin.check('smtp', 'usage: smtp {disable|enable}' + end)
        admin.check('terminate', 'error: unrecognised command' + end)
        admin.send('help' + end + 'list' + end + 'pid')
        equal([admin.until(prompt)[:-len(prompt)] for _ in range(3)], [commands + end, '<none>' + end, f'{relay.pid}{end}'])
        admin.send('quit')
        equal(admin.closed(), '')
        relay.wait_log(r'admin connection from 127\.0\.0\.1:\d+$')
        relay.wait_log(r'admin connection closed: 127\.0\.0\.1:\d+$')
    crlf = Admin(relay, '\r\n')
    crlf.check('pid', f'{relay.pid}\r\n')
    crlf.wire.send('HELP\n')
    crlf.wire.send('\r\n')
    equal(crlf.until(prompt), 'error: unrecognised command\r\n' + prompt, 'a lone LF ends nothing')
    errors = Admin(relay)
    errors.wire.send('x\n' * 31)
    equal(errors.closed(), ('error: unrecognised command\n' + prompt) * 30)
    relay.wait_log(r'admin connection closed: too many errors: 127\.0\.0\.1:\d+$')
    relay.terminate()


def test_netcat(t):
    """The octets that netcat writes, in both line-end modes: the outputs of several lines too."""
    need('nc')
    spool = t.spool()
    for name in ('m1', 'm2'):
        spool.add(name)
        spool.add(name + 'bad', state='bad')
    relay = t.relay('--admin=0', spool=spool)
    port = relay.wait_log(r'admin server on .*:(\d+)$').group(1)
    for options, end in ([], b'\n'), (['-C'], b'\r\n'):
        def ask(command):
            return subprocess.run([harness.find('nc'), *options, '127.0.0.1', port], input=command.encode() + b'\nquit\n', stdout=subprocess.PIPE,
                                  env=t.environment(), timeout=harness.patience).stdout
        for command, lines in (('help', [commands]), ('list', ['m1', 'm2']), ('failures', ['m1bad', 'm2bad']), ('pid', [str(relay.pid)]), ('', []),
                               ('info version', None), ('info copyright', None), ('info credit', None), ('info warranty', None),
                               ('status', None), ('show m1', None), ('stats', None), ('rubbish', ['error: unrecognised command'])):
            with t.row(f'{command} {end}'):
                got = ask(command)
                equal(got.endswith(prompt.encode()), True, got)
                body = got[:-len(prompt)]
                if lines is not None:
                    equal(body, b''.join(line.encode() + end for line in lines))
                equal(b'\r' in body.replace(b'\r\n', b''), False, 'a CR of its own')
                equal(body.count(b'\n'), body.count(end), f'line ends in {body!r}')
                equal(body.endswith(end) or not body, True)


def test_telnet(t):
    need('telnet')
    relay = t.relay('--admin=0')
    terminal = Telnet(t, int(relay.wait_log(r'admin server on .*:(\d+)$').group(1)))
    terminal.until("Escape character is '^]'.")
    for line, answer in (('list', '<none>\r\n'), ('HELP', commands + '\r\n'), ('pid', f'{relay.pid}\r\n')):
        terminal.say(line)
        terminal.until(answer + prompt)
    terminal.say('quit')
    terminal.until('Connection closed by foreign host.')


def test_json_of_hostile_messages(t):
    """Two programs that read JSON agree about addresses with quotes, controls, UTF-8 and what is none."""
    need('jq')
    spool = t.spool()
    hostile = [b'a"b\\c@example.com', b'tab\there@example.com', b'\x01\x1f\x7f@example.com', 'ä€\U0001f600@example.com'.encode(), b'\xff\xfe\xc3@example.com',
               b'</script>\xe2\x80\xa8{}[],:@example.com', b'\xed\xa0\x80@example.com']
    names = ['m"quote', 'm\\back', 'm\tab', 'mä', 'm\udcff', 'm{}', 'm\x01']
    for name, address in zip(names, hostile):
        spool.add(name, content=b'Subject: ' + address + b'\r\nX: "\\\x00\r\n\r\nbody')
        envelope = spool.path / f'{name}.envelope'
        envelope.write_bytes(envelope.read_bytes().replace(b'me@example.com', address).replace(b'you@example.net', address))
    spool.add('failed', state='bad', more='X-MailRelay-Reason: "quoted" \\x01 \\\r\nX-MailRelay-ReasonCode: 550\r\n')
    relay = t.relay('--admin=0', spool=spool)
    admin = Admin(relay)

    def ask(command):
        admin.wire.send(command.encode('utf-8', 'surrogateescape') + b'\n')
        while not admin.wire.held.endswith(prompt.encode()):
            part = admin.wire.socket.recv(65536)
            if not part:
                fail(f'closed: {admin.wire.held!r}')
            admin.wire.held += part
        got, admin.wire.held = admin.wire.held[:-len(prompt)], b''
        equal(got.count(b'\n'), 1, 'lines')
        read = json.loads(got.decode())
        by_jq = subprocess.run(['jq', '-c', '.'], input=got, stdout=subprocess.PIPE, check=True, env=t.environment()).stdout
        equal(json.loads(by_jq), read, command)
        return read
    listed = ask('list --json')['ready']
    equal(len(listed), len(names))
    equal(len(set(listed)), len(names))
    for name in ('m"quote', 'm\\back', 'mä', 'm{}'):
        equal(name in listed, True, name)
    addresses = set()
    for name in names:
        if re.search(r'\s', name):
            continue  # no command can name it
        shown = ask(f'show {name} --json')
        equal(shown['state'], 'ready')
        equal(shown['to'], [shown['from']])
        equal(len(shown['headers']), 2)
        addresses.add(shown['from'])
    for text in ('a"b\\c@example.com', 'ä€\U0001f600@example.com', '</script>\u2028{}[],:@example.com', '\\xff\\xfe\\xc3@example.com'):
        equal(text in addresses, True, f'{text!r} in {addresses}')
    equal(ask('failures --json'), {'failed': ['failed']})
    equal(ask('show failed --json')['failures'][0]['code'], 550)
    equal(ask('show nothing --json'), {'error': 'no such message'})
    equal(ask('list --held --json'), {'held': []})
    equal(ask('status --json')['in']['started'], 1)
    equal(ask('stats --json')['admin_sessions'], 1)
    # The same for people: no control character passes.
    for name in names:
        if not re.search(r'\s', name):
            admin.wire.send(f'show {name}\n'.encode('utf-8', 'surrogateescape'))
            while not admin.wire.held.endswith(prompt.encode()):
                admin.wire.held += admin.wire.socket.recv(65536)
            equal(re.search(rb'[\x00-\x09\x0b-\x1f\x7f]', admin.wire.held), None)
            admin.wire.held = b''


def test_status(t):
    relay = t.relay('--admin=0')
    admin = Admin(relay)
    wire = relay.greeted()
    lines = admin.ask('status').splitlines()
    here = f'127.0.0.1:{relay.port}'
    admin_address = relay.wait_log(r'admin server on (.*)$').group(1)
    equal(sorted(lines[:2]), sorted([f'LISTEN: {here}', f'LISTEN: {admin_address}']))
    equal(lines[2:6], ['OUT started: 0', 'OUT finished: 0', 'IN started: 2', 'IN finished: 0'])
    equal(len(lines), 8, lines)
    if f'IN: {here} <- 127.0.0.1:{wire.local_port()}' not in lines:
        fail(f'no line of the session in {lines}')
    wire.ask('QUIT', 221)
    until(lambda: 'IN finished: 1' in admin.ask('status'), 'finished')
    state = json.loads(admin.ask('status --json'))
    equal((state['in']['started'], state['in']['finished'], len(state['in']['open'])), (2, 1, 1))


def test_status_while_forwarding(t):
    hop = t.next_hop({'.': Stall})
    relay = t.relay('--admin=0', '--pop', '--pop-port=0', f'--pop-auth={t.file("auth", "")}', f'--forward-to={hop.address}')
    relay.spool.add('m0')
    admin = Admin(relay)
    admin.check('forward', 'OK\n')
    hop.wait_line('DATA')
    lines = admin.ask('status').splitlines()
    pop_address = relay.wait_log(r'pop server on (.*)$').group(1)
    equal([line.split(':')[0] for line in lines], ['LISTEN'] * 3 + ['OUT started', 'OUT finished', 'OUT', 'IN started', 'IN finished', 'IN'])
    equal(f'LISTEN: {pop_address}' in lines[:3], True)
    equal(lines[3:6], ['OUT started: 1', 'OUT finished: 0', f'OUT: 127.0.0.1:{hop.peers[0][1]} -> {hop.address}'])
    equal(lines[6:8], ['IN started: 1', 'IN finished: 0'])
    match(lines[8], rf'^IN: 127\.0\.0\.1:\d+ <- 127\.0\.0\.1:{admin.wire.local_port()}$')
    open_ones = json.loads(admin.ask('status --json'))['out']
    equal(open_ones, {'started': 1, 'finished': 0, 'open': [{'local': f'127.0.0.1:{hop.peers[0][1]}', 'peer': hop.address}]})


def test_errors_of_unfail_all_are_ignored(t):
    """One whose place is taken stays failed, and the others are renamed."""
    spool = t.spool()
    for name in ('m1', 'm2', 'm3'):
        spool.add(name, state='bad')
    spool.add('m2')
    relay = t.relay('--admin=0', spool=spool)
    admin = Admin(relay)
    admin.check('unfail-all', '')
    equal([m.id for m in spool.messages()], ['m1', 'm2', 'm3'])
    equal([m.id for m in spool.messages('bad')], ['m2'])


def test_messages(t):
    spool = t.spool()
    for name in ('emailrelay.1.1.10', 'emailrelay.1.1.2', 'foo'):
        spool.add(name)
    spool.add('emailrelay.1.1.3', state='bad', more='X-MailRelay-Reason: go away\r\nX-MailRelay-ReasonCode: 550\r\n')
    relay = t.relay('--admin=0', spool=spool)
    admin = Admin(relay)
    admin.check('list', 'emailrelay.1.1.10\nemailrelay.1.1.2\nfoo\n')
    admin.check('failures', 'emailrelay.1.1.3\n')
    equal(json.loads(admin.ask('list --json')), {'ready': ['emailrelay.1.1.10', 'emailrelay.1.1.2', 'foo']})
    equal(admin.ask('show emailrelay.1.1.3').splitlines(),
          ['id: emailrelay.1.1.3', 'state: failed', 'size: 21', 'from: me@example.com', 'to: you@example.net', 'content: unknown',
           'client: 127.0.0.1', 'reason: go away', 'reason-code: 550', 'header: Subject: x'])
    equal(json.loads(admin.ask('show emailrelay.1.1.3 --json'))['failures'], [{'reason': 'go away', 'code': 550}])
    for bad in ('nothing', '../x', '.hidden', 'a/b', 'x' * 300):
        for command in ('show', 'unfail', 'remove', 'hold', 'release'):
            admin.check(f'{command} {bad}', 'error: no such message\n')
    admin.check('unfail foo', 'error: message is ready to be forwarded\n')
    admin.check('unfail emailrelay.1.1.3', 'OK\n')
    admin.check('failures', '<none>\n')
    admin.check('remove emailrelay.1.1.3', 'OK\n')
    admin.check('remove emailrelay.1.1.3', 'error: no such message\n')
    admin.check('hold foo', 'OK\n')
    admin.check('hold foo', 'error: message is held\n')
    admin.check('list --held', 'foo\n')
    admin.check('list', 'emailrelay.1.1.10\nemailrelay.1.1.2\n')
    equal([m.id for m in spool.messages('held')], ['foo'])
    admin.check('remove foo', 'OK\n')
    equal(spool.names(), [f'emailrelay.1.1.{n}.{kind}' for n in (10, 2) for kind in ('content', 'envelope')])


def test_hold_survives_a_restart(t):
    spool = t.spool()
    hop = t.next_hop()
    first = t.relay('--admin=0', spool=spool)
    with first.greeted() as wire:
        equal(wire.submit(b'Subject: held\r\n\r\n')[0], 250)
    held = spool.one()
    admin = Admin(first)
    admin.check(f'hold {held.id}', 'OK\n')
    first.signal(signal.SIGKILL)
    first.wait()
    spool.add('emailrelay.1.1.1')
    second = t.relay('--admin=0', f'--forward-to={hop.address}', spool=spool)
    admin = Admin(second)
    admin.check('flush', 'OK\n')
    equal(len(hop.messages), 1, 'the other message')
    equal([m.id for m in spool.messages('held')], [held.id])
    admin.check('flush', 'error: no messages to send\n')
    admin.check(f'release {held.id}', 'OK\n')
    admin.check('flush', 'OK\n')
    equal(len(hop.messages), 2)
    spool.check_empty()


def test_flush(t):
    spool = t.spool()
    spool.add('m0')
    spool.add('m1')
    hop = t.next_hop({'MAIL': ['550 go away', '250 ok'], '.': [Stall, '250 taken']})
    relay = t.relay('--admin=0', f'--forward-to={hop.address}', spool=spool)
    admin = Admin(relay)
    admin.send('flush')
    hop.wait_line(r'DATA')  # the second one is in hand
    until(lambda: spool.messages('busy'), 'busy')
    admin.check('flush', 'error: still working\n')
    admin.check('remove m1', 'error: message is being forwarded\n')
    admin.wire.close()  # aborts it: the message goes back
    until(lambda: [m.id for m in spool.messages()] == ['m1'], 'm1 is ready again')
    relay.wait_log('info: forwarding: interrupted$')
    equal([line for line in relay.lines() if re.search('warning|error', line)], [])
    equal([m.id for m in spool.messages('bad')], ['m0'])
    admin = Admin(relay)
    admin.check('unfail-all', '')
    admin.check('flush', 'OK\n')
    spool.check_empty()
    admin.check('flush', 'error: no messages to send\n')
    hop.close()
    spool.add('m2')
    admin.check('flush', f'error: connect failure: cannot connect to {hop.address}\n')
    equal([m.id for m in spool.messages()], ['m2'])


def test_end_of_a_flush_to_a_next_hop_that_does_not_read(t):
    """Which is in the middle of a large message."""
    spool = t.spool()
    spool.add('m0', content=b'Subject: x\r\n\r\n' + (b'x' * 998 + b'\r\n') * 32_000)
    with socket.create_server(('127.0.0.1', 0)) as listener:
        port = listener.getsockname()[1]
        relay = t.relay('--admin=0', f'--forward-to=127.0.0.1:{port}', spool=spool)
        admin = Admin(relay)
        admin.send('flush')
        connection, _ = listener.accept()
        with harness.Wire(connection) as hop:
            hop.say('220 next')
            for line, answer in [('EHLO .*', '250 next'), ('MAIL .*', '250 ok'), ('RCPT .*', '250 ok'), ('DATA', '354 go')]:
                hop.expect(line)
                hop.say(answer)
            hop.expect('Subject: x')
            equal([m.id for m in spool.messages('busy')], ['m0'])
            admin.wire.close()
            until(lambda: [m.id for m in spool.messages()] == ['m0'], 'm0 is ready again')
            relay.terminate()


def test_events(t):
    spool = t.spool()
    for name in ('m0', 'm1'):
        spool.add(name)
    hop = t.next_hop({'MAIL': ['550 bad  sender', '250 ok']})
    relay = t.relay('--admin=0', f'--forward-to={hop.address}', spool=spool)
    crlf, lf, other = Admin(relay, '\r\n'), Admin(relay), Admin(relay)
    for admin in (crlf, lf, other):
        admin.check('pid', f'{relay.pid}{admin.end}')  # it is there, so its arrival is no event any more
    for admin in (crlf, lf):
        admin.send('notify')
        admin.check('pid', f'{relay.pid}{admin.end}')
    other.check('forward', 'OK\n')
    run = ['client: forward: start: admin', 'network: out: start', f'client: connecting: {hop.address}', 'client: sending: m0',
           f'client: connected: {hop.address}', 'client: sent: m0: bad sender', 'client: sending: m1', 'client: sent: m1',
           'network: out: stop', 'client: forward: end']
    for admin in (crlf, lf):
        equal(admin.events('client: forward: end.*'), run)
    other.check('forward', 'OK\n')
    for admin in (crlf, lf):
        equal(admin.events('client: .*'), ['client: forward: end: no messages'])
    with relay.greeted() as wire:
        wire.ask('QUIT', 221)
    for admin in (crlf, lf):
        equal(admin.events('network: in: stop'), ['network: in: start', 'network: in: stop'])
    hop.close()
    spool.add('m2')
    other.check('forward', 'OK\n')
    for admin in (crlf, lf):
        equal(admin.events('client: forward: end.*'),
              ['client: forward: start: admin', 'network: out: start', f'client: connecting: {hop.address}', 'client: sending: m2',
               'network: out: stop', f'client: forward: end: connect failure: cannot connect to {hop.address}'])


def test_a_listener_that_does_not_read(t):
    relay = t.relay('--admin=0')
    deaf = Admin(relay)
    deaf.check('pid', f'{relay.pid}\n')
    deaf.send('notify')
    deaf.check('pid', f'{relay.pid}\n')
    for _ in range(300):
        with relay.greeted() as wire:
            wire.ask('QUIT', 221)
    Admin(relay).check('pid', f'{relay.pid}\n')
    deaf.wire.close()
    relay.wait_log(r'admin connection closed: peer disconnected: ')
    relay.terminate()


def test_smtp_disable(t):
    relay = t.relay('--admin=0')
    admin = Admin(relay)
    before = relay.greeted()
    admin.check('smtp disable', 'OK\n')
    before.ask('MAIL FROM:<a@b>', 250)
    with relay.connect() as wire:
        wire.expect(r'421 service not available')
        admin.check('smtp enable', 'OK\n')
        wire.ask('EHLO x', 250)
        wire.ask('MAIL FROM:<a@b>', 421)
        wire.ask('NOOP', 250)
    with relay.greeted() as wire:
        wire.ask('MAIL FROM:<a@b>', 250)


def test_terminate(t):
    spool = t.spool()
    spool.add('m0')
    hop = t.next_hop({'.': Stall})
    relay = t.relay('--admin=0', '--admin-terminate', f'--forward-to={hop.address}', spool=spool)
    admin = Admin(relay)
    match(admin.ask('help'), 'status, terminate, unfail-all')
    admin.check('forward', 'OK\n')
    hop.wait_line('DATA')
    admin.send('terminate')
    equal(admin.closed(), '')
    equal(relay.wait(), 0, 'exit status')
    relay.wait_log(r'received a terminate command from 127\.0\.0\.1:\d+$')
    equal([m.id for m in spool.messages()], ['m0'], 'unlocked')


def test_admin_alone_on_a_unix_socket(t):
    """Who may connect is a matter of the file's permissions."""
    path = t.dir / 'admin.sock'
    spool = t.spool()
    relay = t.relay('--no-smtp', '--admin=0', f'--interface=admin={path}', spool=spool, interface=None, port=None, wait=False)
    relay.wait_log(rf'admin server on {path}$')
    os.chmod(path, 0o600)
    admin = Admin(relay, path=path)
    admin.check('list', '<none>\n')
    equal(admin.ask('status').splitlines()[0], f'LISTEN: {path}')
    if harness.is_root() and os.path.exists('/usr/bin/setpriv'):
        os.chmod(t.dir, 0o755)
        outsider = t.try_run(['setpriv', '--reuid=65534', '--clear-groups', 'python3', '-c',
                              f'import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})'])
        match(outsider.stderr, 'PermissionError')
    relay.terminate()
    equal(path.exists(), False)


def test_stats(t):
    relay = t.relay('--admin=0')
    admin = Admin(relay)
    with relay.greeted() as wire:
        equal(wire.submit(b'Subject: x\r\n\r\n12345\r\n')[0], 250)
    counts = dict(line.split() for line in admin.ask('stats').splitlines())
    equal((counts['smtp_sessions'], counts['smtp_messages'], counts['admin_sessions'], counts['messages_sent']), ('1', '1', '1', '0'))
    equal(json.loads(admin.ask('stats --json')), {k: int(v) for k, v in counts.items()})


def test_two_relays(t):
    """Each has its own port and spool; events are told by the first."""
    one, two = t.spool(), t.spool('second')
    hop = t.next_hop()
    relay = t.relay(f'--one-spool-dir={one.path}', f'--two-spool-dir={two.path}', '--one-port=0', '--two-port=0', '--one-admin=0',
                    '--two-admin=0', '--one-interface=127.0.0.1', '--two-interface=127.0.0.1', f'--two-forward-to={hop.address}',
                    spool_dir=None, port=None, interface=None, domain=None)
    relay.wait_log(r'\[two\] admin server on')
    ports = [re.search(rf'\[{name}\] admin server on .*:(\d+)$', relay.output, re.M).group(1) for name in ('one', 'two')]
    first, second = [harness.Wire.tcp('127.0.0.1', int(p)) for p in ports]
    two.add('m0')
    for wire, listing in ((first, b'<none>\n'), (second, b'm0\n')):
        wire.send('notify\nlist\n')
        got = b''
        while prompt.encode() not in got:
            got += wire.socket.recv(4096)
        equal(got.split(prompt.encode())[0], listing)
    second.send('forward\n')
    two.wait_empty()
    first.send('quit\n')
    got = b''
    while part := first.socket.recv(4096):
        got += part
    equal(b'client:' in got, False, 'events of the other relay')
