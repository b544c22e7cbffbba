"""Real SMTP clients deliver into the relay, and it stores what they sent, byte for byte."""
import concurrent.futures
import os
import re
import resource
import smtplib
import socket
import threading

import harness
from harness import domain, equal, find, is_root, match, need

text = b'Subject: a test\r\nFrom: me@example.com\r\n\r\nHello.\r\n.a dot\r\n..two dots\r\n.\r\nLast line.\r\n'


def check_one(relay, body, sender='me@example.com', to=('you@example.net',)):
    message = relay.spool.one()
    equal(message.field('From'), sender)
    equal(message.fields('To-Remote'), list(to))
    match(message.content.split(b'\r\n')[0].decode(), r'^Received: from \S+ \(\[127\.0\.0\.1\]\) by ' + re.escape(domain) +
          r' with ESMTP ; \w{3}, \d+ \w{3} \d{4} [\d:]{8} [+-]\d{4}$')
    equal(message.body(), body)


def test_swaks(t):
    need('swaks')
    relay = t.relay()
    t.run(['swaks', '--server', f'127.0.0.1:{relay.port}', '--from', 'me@example.com',
           '--to', 'you@example.net,them@example.net', '--helo', 'client', '--data', '-', '--suppress-data'],
          input=text.replace(b'\r\n', b'\n'))
    message = relay.spool.one()
    equal(message.fields('To-Remote'), ['you@example.net', 'them@example.net'])
    # swaks adds an empty line at the end
    assert message.body().startswith(text), message.body()


def test_swaks_pipelining(t):
    need('swaks')
    relay = t.relay()
    t.run(['swaks', '--server', f'127.0.0.1:{relay.port}', '--from', 'me@example.com', '--to', 'you@example.net',
           '--pipeline', '--data', 'Subject: x\\n\\nhello'])
    assert b'hello\r\n' in relay.spool.one().content


def test_curl(t):
    need('curl')
    relay = t.relay()
    path = t.file('mail.txt', text)
    t.run(['curl', '-sS', f'smtp://127.0.0.1:{relay.port}/client', '--mail-from', 'me@example.com',
           '--mail-rcpt', 'you@example.net', '--upload-file', path])
    check_one(relay, text)


def test_msmtp(t):
    need('msmtp')
    relay = t.relay()
    t.run(['msmtp', '--host=127.0.0.1', f'--port={relay.port}', '--from=me@example.com', '--auth=off', '--tls=off',
           '--set-date-header=off', '--set-msgid-header=off', 'you@example.net'], input=text.replace(b'\r\n', b'\n'),
          env={'HOME': str(t.dir)})
    check_one(relay, text)


def test_smtplib(t):
    relay = t.relay()
    with smtplib.SMTP('127.0.0.1', relay.port, local_hostname='client') as client:
        client.ehlo()
        equal(set(client.esmtp_features), {'vrfy', 'pipelining', '8bitmime'})
        client.sendmail('me@example.com', ['you@example.net'], text, mail_options=['BODY=8BITMIME'])
    check_one(relay, text)
    equal(relay.spool.one().field('Content'), '8bit')


@harness.limit(120)
def test_smtp_source(t):
    """100 sessions at once, each message on a new connection."""
    need('smtp-source')
    relay = t.relay(verbose=None)
    count = 1000
    t.run([find('smtp-source'), '-s', '100', '-m', str(count), '-l', '4096', '-f', 'me@example.com', '-t', 'you@example.net',
           f'127.0.0.1:{relay.port}'], seconds=100)
    messages = relay.spool.messages()
    equal(len(messages), count)
    equal(len(relay.spool.names()), 2 * count)
    payloads = set()
    for message in messages:
        body = message.body()
        payloads.add(body.partition(b'\r\n\r\n')[2])
        equal(message.field('From'), 'me@example.com')
    equal([len(p) for p in payloads], [4098], 'all alike, as long as asked for, and the last line end')


@harness.limit(120)
def test_smtp_source_reusing_connections(t):
    need('smtp-source')
    relay = t.relay(verbose=None)
    t.run([find('smtp-source'), '-d', '-s', '20', '-m', '1000', '-l', '4096', f'127.0.0.1:{relay.port}'], seconds=100)
    equal(len(relay.spool.messages()), 1000)


# what to send: as content that must be stored like this
contents = {
    'empty': b'',
    'one dot': b'.\r\n',
    'dots everywhere': b'.\r\n..\r\n...\r\n.x\r\n x.\r\n\r\n.\r\n' * 50,
    'long line': b'x' * 200_000 + b'\r\n' + b'y' * 3 + b'\r\n',
    'every octet': bytes(range(256)).replace(b'\r', b'').replace(b'\n', b'') + b'\r\n',
    'NUL': b'a\0b\0\r\n\0\r\n',
    '8-bit': 'Grüße aus München\r\n'.encode('utf-8') + b'\xff\xfe\r\n',
    'bare CR and LF': b'a\rb\nc\n\rd\r\r\ne\r\n',
    'line ends only': b'\r\n' * 100,
    'just under a journal page': b'z' * 4000 + b'\r\n',
    '64 KiB and a bit': b'0123456789abcde\n' * 4096 + b'\r\n',
    'large enough to bypass the journal': b'0123456789abcd\r\n' * 20_000,
}


def test_content_byte_for_byte(t):
    relay = t.relay('--anonymous=content', verbose=None)
    with relay.greeted() as wire:
        for name, body in contents.items():
            with t.row(name):
                equal(wire.submit(body)[0], 250)
                message = relay.spool.one()
                content = message.content
                message.envelope_path.unlink()
                message.content_path.unlink()
                if content != body:
                    harness.fail(f'{len(content)} octets stored of {len(body)}: {content[:100]!r}')


def test_content_without_final_newline(t):
    """A client that has none supplies it with the end mark; what is stored ends with the CR-LF before the dot."""
    need('curl')
    relay = t.relay('--anonymous=content')
    path = t.file('mail.txt', b'Subject: x\r\n\r\nno newline')
    t.run(['curl', '-sS', f'smtp://127.0.0.1:{relay.port}/client', '--mail-from', 'me@example.com',
           '--mail-rcpt', 'you@example.net', '--upload-file', path])
    equal(relay.spool.one().content, b'Subject: x\r\n\r\nno newline\r\n')


def test_content_in_odd_pieces(t):
    relay = t.relay('--anonymous=content', verbose=None)
    body = b'.\r\n..\r\n\r\r\n.\n.\r\nabc' * 2000 + b'\r\n'
    wire_form = harness.dot_stuffed(body) + b'.\r\n'
    for size in (1, 2, 3, 7, 1000, 4096):
        with t.row(str(size)), relay.greeted() as wire:
            wire.ask('MAIL FROM:<a@b>', 250)
            wire.ask('RCPT TO:<c@d>', 250)
            wire.ask('DATA', 354)
            part = wire_form if size > 3 else wire_form[-2003:]
            stored = body if size > 3 else None
            for start in range(0, len(part), size):
                wire.send(part[start:start + size])
            equal(wire.reply()[0], 250)
            message = relay.spool.one()
            if stored is not None:
                assert message.content == stored
            message.envelope_path.unlink()


@harness.limit(120)
def test_50_megabytes(t):
    relay = t.relay('--anonymous=content', verbose=None)
    unit = b''.join(b'%07d abcdefghijklmnopqrstuvwxyz\r\n.%d\r\n' % (n, n) for n in range(1000))
    body = unit * (50_000_000 // len(unit) + 1)
    with relay.greeted() as wire:
        equal(wire.submit(body)[0], 250)
        message = relay.spool.one()
        equal(message.content_path.stat().st_size, len(body))
        assert message.content == body
        wire.ask('QUIT', 221)
    # Streamed, not held: the process must be far smaller than the message.
    if 'asan' not in str(harness.bin_dir):
        with open(f'/proc/{relay.pid}/status') as f:
            peak = int(re.search(r'VmHWM:\s+(\d+) kB', f.read()).group(1))
        assert peak < 120_000, f'{peak} kB'


@harness.limit(120)
def test_100_sessions_at_once(t):
    """None is refused or stalled: all are greeted before any goes on, then all go on together."""
    relay = t.relay(verbose=None)
    wires = [relay.connect() for _ in range(100)]
    for wire in wires:
        wire.expect('220 .*')

    def submit(number):
        wire = wires[number]
        wire.ask('EHLO x', 250)
        for n in range(3):
            equal(wire.submit(b'Subject: %d/%d\r\n\r\ntext\r\n' % (number, n))[0], 250)
        wire.ask('QUIT', 221)
        wire.closed()

    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        list(pool.map(submit, range(100)))
    seen = {re.search(rb'Subject: (\S+)', m.content).group(1) for m in relay.spool.messages()}
    equal(len(seen), 300)


@harness.limit(120)
def test_too_many_sessions_from_one_address(t):
    """design.md section 7: 1,000 for each address; the next is told so and the others go on."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 20_000), most))
    relay = t.relay(verbose=None)
    wires = []
    for _ in range(1000):
        wires.append(relay.connect())
    for wire in wires:
        wire.expect('220 .*')
    with relay.connect() as wire:
        wire.expect('421 too many connections')
        wire.closed()
    with harness.Wire.tcp(relay.host, relay.port, source=('127.0.0.2', 0)) as wire:
        wire.expect('220 .*')
    wires[0].ask('EHLO x', 250)
    equal(wires[0].submit(b'x\r\n')[0], 250)
    wires[1].ask('QUIT', 221)
    wires[1].closed()
    relay.wait_log('smtp connection closed: smtp protocol done')
    with relay.connect() as wire:
        wire.expect('220 .*')


def test_a_client_that_does_not_read(t):
    """Replies wait in little room, then the server stops reading; nothing is lost when the client reads at last."""
    relay = t.relay(verbose=None)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((relay.host, relay.port))
    wire = harness.Wire(connection)
    count, word = 800, 'x' * 3000
    sender = threading.Thread(target=lambda: wire.send(f'VRFY {word}\r\n' * count + 'QUIT\r\n'), daemon=True)
    sender.start()
    with relay.greeted() as other:  # the others do not notice
        equal(other.submit(b'x\r\n')[0], 250)
    wire.expect('220 .*')
    for _ in range(count):
        equal(wire.line(), f'252 cannot verify but will accept: {word}')
    wire.expect('221 OK')
    wire.closed()
    sender.join()


def test_backlog_is_the_systems(t):
    need('ss')
    relay = t.relay()
    with open('/proc/sys/net/core/somaxconn') as f:
        wanted = int(f.read())
    listing = t.run([find('ss'), '-Hlnt', f'sport = :{relay.port}'])
    backlog = int(listing.split()[2])
    assert backlog >= wanted, listing


def test_unix_socket(t):
    path = t.folder('run', 0o777) / 'smtp.sock'
    relay = t.relay(interface=f'smtp={path}', port=None, wait=False)
    relay.wait_log(r'smtp server on ' + re.escape(str(path)))
    with harness.Wire.unix(path) as wire:
        wire.expect('220 .*')
        wire.ask('EHLO u', 250)
        equal(wire.submit(b'x\r\n')[0], 250)
        wire.ask('QUIT', 221)
    message = relay.spool.one()
    equal(message.field('Client'), '/')
    match(message.content.decode(), r'^Received: from u \(\[/\]\) by ')
    mode = path.stat().st_mode & 0o777
    equal(oct(mode), oct(0o777 if is_root() else 0o770))
    relay.terminate()
    assert not path.exists()


def test_unix_socket_that_exists_is_an_error(t):
    path = t.folder('run', 0o777) / 'smtp.sock'
    holder = socket.socket(socket.AF_UNIX)
    holder.bind(str(path))
    relay = t.relay(interface=f'smtp={path}', port=None, wait=False)
    equal(relay.wait(), 2)
    assert os.path.exists(path)


def test_ipv6(t):
    relay = t.relay(interface='::1', wait=False)
    found = relay.wait_log(r'smtp server on ::1\.(\d+)$')
    with harness.Wire.tcp('::1', int(found.group(1))) as wire:
        wire.expect('220 .*')
        wire.ask('EHLO six', 250)
        equal(wire.submit(b'x\r\n')[0], 250)
        port = wire.local_port()
        wire.ask('QUIT', 221)
    message = relay.spool.one()
    equal(message.field('Client'), '::1')
    match(message.content.decode(), r'^Received: from six \(\[::1\]\) by ')
    relay.wait_log(rf'smtp connection from ::1\.{port}$')


def test_wildcard_listens_on_both_families(t):
    harness.private_network()
    relay = t.relay(interface=None, port=10025, wait=False)
    relay.wait_log(r'smtp server on 0\.0\.0\.0:10025$')
    relay.wait_log(r'smtp server on ::\.10025$')
    for host in ('127.0.0.1', '::1'):
        with harness.Wire.tcp(host, 10025) as wire:
            wire.expect('220 .*')


def test_non_local_peers_are_turned_away(t):
    harness.private_network()
    for address in ('198.51.100.1/32', '100.64.0.1/32', '172.32.0.1/32', '172.31.0.1/32', '192.168.5.5/32', '10.9.9.9/32',
                    '169.254.3.4/32', '2001:db8::1/128', 'fec0::1/128', 'fc00::1/128'):
        t.run([find('ip'), 'addr', 'add', address, 'dev', 'lo', *(['nodad'] if ':' in address else [])])
    relay = t.relay(interface=None, port=10025)
    four = '127.0.0.0/8, 169.254.0.0/16, 10.0.0.0/8, 172.16.0.0/12, or 192.168.0.0/16'
    six = '::1/128 or fe80::/64 or fc00::/7'
    for source, local in [('198.51.100.1', False), ('100.64.0.1', False), ('172.32.0.1', False), ('172.31.0.1', True),
                          ('192.168.5.5', True), ('10.9.9.9', True), ('169.254.3.4', True), ('127.0.0.2', True),
                          ('2001:db8::1', False), ('fec0::1', False), ('fc00::1', True), ('::1', True)]:
        with t.row(source), harness.Wire.tcp('::1' if ':' in source else '127.0.0.1', 10025, source=(source, 0)) as wire:
            if local:
                wire.expect('220 .*')
                continue
            port = wire.local_port()
            wire.closed()
            dot = '.' if ':' in source else ':'
            relay.wait_log(re.escape('warning: configured to reject non-local smtp connection: '
                                     f'{source} is not in {six if ":" in source else four}') + '$')
            relay.wait_log(re.escape(f'warning: connection rejected from {source}{dot}{port}') + '$')

    remote = t.relay('--remote-clients', interface=None, port=10026)
    for source in ('198.51.100.1', '2001:db8::1'):
        with harness.Wire.tcp('::1' if ':' in source else '127.0.0.1', 10026, source=(source, 0)) as wire:
            wire.expect('220 .*')
    remote.terminate()


def test_idle_timeout(t):
    relay = t.relay(idle_timeout=1)
    with relay.connect() as wire:
        wire.expect('220 .*')
        wire.ask('EHLO x', 250)
        wire.closed()
    relay.wait_log(r'smtp connection closed: idle timeout: no activity after 1s: 127\.0\.0\.1:\d+$')
    # inside a message too, and nothing of it is left
    with relay.greeted() as wire:
        wire.ask('MAIL FROM:<a@b>', 250)
        wire.ask('RCPT TO:<a@b>', 250)
        wire.ask('DATA', 354)
        wire.send(b'some text\r\n')
        wire.closed()
    harness.until(relay.spool.empty, f'half a message removed; {relay.spool.names()}')


def test_a_lost_client_loses_its_message(t):
    relay = t.relay()
    steps = ['MAIL FROM:<a@b>', 'RCPT TO:<a@b>', 'DATA']
    for count in range(1, 4):
        with relay.greeted() as wire:
            for step in steps[:count]:
                wire.ask(step)
            if count == 3:
                wire.send(b'x' * 500_000 + b'\r\n')
    with relay.greeted() as wire:  # only the sending side is closed
        for step in steps:
            wire.ask(step)
        wire.send(b'text\r\n')
        wire.socket.shutdown(socket.SHUT_WR)
        wire.closed()
    with relay.greeted() as wire:
        for ending in ('RSET', 'EHLO x', 'HELO x'):
            wire.ask(steps[0], 250)
            wire.ask(steps[1], 250)
            wire.ask(ending, 250)
        wire.ask('QUIT', 221)
    relay.wait_log('smtp connection closed: peer disconnected: ', count=4)
    relay.wait_log('smtp connection closed: smtp protocol done: ')
    harness.until(relay.spool.empty, f'nothing left; {relay.spool.names()}')
    equal(len(re.findall('smtp connection from', relay.output)), 5)


def test_quiet_log(t):
    """Without --verbose an ordinary start, message and stop says nothing alarming, and nothing about the dialogue."""
    relay = t.relay(verbose=None)
    with relay.greeted() as wire:
        wire.submit(b'x\r\n')
        wire.ask('QUIT', 221)
        wire.closed()
    relay.wait_log('smtp connection closed')
    relay.terminate()
    for word in ('error', 'warning', 'exception', 'rx<<', 'tx>>', 'new content'):
        assert word not in relay.output, relay.output


def test_verbose_log(t):
    relay = t.relay()
    with relay.greeted() as wire:
        wire.submit(b'x\r\n', sender='', to=['you@example.net'])
        wire.ask('VRFY a\\b\tc', 252)
        wire.ask('QUIT', 221)
        wire.closed()
    relay.wait_log('smtp connection closed')
    id = relay.spool.one().id
    for line in ['info: rx<<: "EHLO client.example.org"', 'info: tx>>: "250 8BITMIME"', 'info: rx<<: "MAIL FROM:<>"',
                 'warning: empty MAIL-FROM return path', 'info: tx>>: "250 recipient <you@example.net> OK"',
                 'info: rx<<: [message content not logged]', f'info: new content file [{id}.content]',
                 f'info: new envelope file [{id}.envelope.new]', 'info: tx>>: "250 message processed"',
                 r'info: rx<<: "VRFY a\\b\tc"', 'info: tx>>: "221 OK"']:
        with t.row(line):
            assert f'emailrelay: {line}' in relay.lines(), 'not in the log'
