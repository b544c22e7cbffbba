"""The lines that others match on, text and level, each provoked once (spec/process-and-logging.md section 3.1): SMTP in, SMTP
out and the process. Lines of network interfaces are in test_interfaces.py, those about non-local peers in test_clients.py."""
import os
import re
import resource
import subprocess
import threading
import time

import harness
from harness import Drop, Stall, domain, equal, fail, is_root, match

id_form = r'emailrelay\.\d+\.\d+\.\d+'


def log_of(relay):
    return relay.output.splitlines()


def whole(lines, *patterns):
    """These lines and no others, in this order."""
    for n, (line, pattern) in enumerate(zip(lines, patterns)):
        if not re.fullmatch('emailrelay: ' + pattern, line):
            fail(f'line {n}: wanted {pattern!r}\n        got {line!r}\nin\n' + '\n'.join(lines))
    equal(len(lines), len(patterns), 'lines\n' + '\n'.join(lines))


def has(lines, *patterns, count=1):
    for pattern in patterns:
        found = [line for line in lines if re.fullmatch('emailrelay: ' + pattern, line)]
        if len(found) != count:
            fail(f'wanted {count} of {pattern!r} in\n' + '\n'.join(lines))


def one_session(relay, body=b'Subject: x\r\n\r\ntext\r\n', to=('you@example.net',)):
    with relay.greeted() as wire:
        equal(wire.submit(body, to=to)[0], 250)
        wire.ask('QUIT', 221)
        wire.closed()
    relay.wait_log('smtp connection closed: ')


def test_order_at_the_start(t):
    """Listeners first, then what is done by itself."""
    hop = t.next_hop()
    secrets = t.file('pop.auth', 'server plain joe secret\n')
    secrets.chmod(0o600)
    relay = t.relay('--forward', '--admin=0', '--pop', '--pop-port=0', f'--pop-auth={secrets}',
                    forward_to=hop.address)
    relay.wait_log('forwarding: no messages to send')
    relay.terminate()
    address = r'127\.0\.0\.1:\d+'
    whole(log_of(relay), 'info: pop server authentication secrets from ".*"', *[f'info: {which} server on {address}' for which in ('smtp', 'pop', 'admin')],
          f'info: forwarding to {hop.address}', r'info: forwarding: \[startup\]', 'info: forwarding: no messages to send')


def test_name_of_the_program(t):
    """In front of every line stands what the program was called as, without an extension."""
    called = t.dir / 'second.relay'
    called.symlink_to(t.program)
    t.program = called
    spool = t.spool().path
    nothing = ['--dont-serve', f'--spool-dir={spool}', *(['--user=root'] if is_root() else [])]
    for words, status, said in [
            (['--foo'], 1, 'second: error: invalid option: "--foo"\n        try "second --help --verbose" for more information\n'),
            (['--forward'], 1, 'second: usage error: --forward requires --forward-to\n'),
            (['--check-config', '--spool-dir=/no/such'], 1, 'second: error: invalid spool directory: /no/such: no such file or directory\n'),
            (['--spool-dir=/no/such'], 1, 'second: error: invalid spool directory: /no/such: no such file or directory\n'),
            ([*nothing, '--pid-file=a', '--pid-file=b'], 0, 'second: warning: more than one --pid-file: using the first\nsecond: nothing to do\n')]:
        with t.row(' '.join(words)):
            done = t.emailrelay(*words)
            equal((done.returncode, done.stderr), (status, said))
    relay = t.relay()
    relay.terminate()
    for line in log_of(relay):
        match(line, '^second: info: ')


def test_a_session(t):
    """Every line of it, with --verbose and without."""
    address = r'127\.0\.0\.1:\d+'
    for verbose in (True, None):
        with t.row(f'verbose={verbose}'):
            relay = t.relay(spool=t.spool(str(verbose)), verbose=verbose)
            one_session(relay)
            relay.terminate()
            more = [r'info: tx>>: "220 test\.example\.com -- E-MailRelay V\S+ -- Service ready"',
                    r'info: rx<<: "EHLO client\.example\.org"', r'info: tx>>: "250-test\.example\.com says hello"',
                    'info: tx>>: "250-VRFY"', 'info: tx>>: "250-PIPELINING"', 'info: tx>>: "250 8BITMIME"',
                    r'info: rx<<: "MAIL FROM:<me@example\.com>"', r'info: tx>>: "250 sender <me@example\.com> OK"',
                    r'info: rx<<: "RCPT TO:<you@example\.net>"', r'info: tx>>: "250 recipient <you@example\.net> OK"',
                    'info: rx<<: "DATA"', 'info: tx>>: "354 start mail input -- end with <CRLF>\\.<CRLF>"',
                    r'info: rx<<: \[message content not logged\]', rf'info: new content file \[{id_form}\.content\]',
                    rf'info: new envelope file \[{id_form}\.envelope\.new\]', 'info: tx>>: "250 message processed"',
                    'info: rx<<: "QUIT"', 'info: tx>>: "221 OK"']
            whole(log_of(relay), rf'info: smtp server on {address}', f'info: smtp connection from {address}', *(more if verbose else []),
                  f'info: smtp connection closed: smtp protocol done: {address}')


def test_a_run(t):
    """Every line of two messages sent and one refused in client mode."""
    hop = t.next_hop({'MAIL': ['250 ok', '550-go\r\n550 away', '250 ok']})
    spool = t.spool()
    for n in (1, 2, 3):
        spool.add(f'emailrelay.1.{n}.1', b'a\r\nb\r\n')

    def message(n, *middle):
        name = rf'emailrelay\.1\.{n}\.1'
        start = [rf'info: forwarding \[{name}\]', f'info: smtp connection to {hop.address}']
        hello = ['info: rx<<: "220 next.example.net ready"', f'info: tx>>: "EHLO {domain}"', 'info: rx<<: "250-next.example.net"',
                 'info: rx<<: "250 8BITMIME"']
        sent = ['info: rx<<: "250 ok"', 'info: tx>>: "RCPT TO:<you@example.net>"', 'info: rx<<: "250 ok"', 'info: tx>>: "DATA"',
                'info: rx<<: "354 go"', r'info: tx>>: \[2 line\(s\) of content\]', r'info: tx>>: "\."', 'info: rx<<: "250 taken"']
        refused = ['info: rx<<: "550-go"', 'info: rx<<: "550 away"',
                   rf'info: failing envelope \[{name}\.envelope\.busy\] -> \[{name}\.envelope\.bad\]']
        return [*start, *(hello if n == 1 else []), 'info: tx>>: "MAIL FROM:<me@example.com>"', *(refused if n == 2 else sent)]

    lines = t.forward(hop.address).splitlines()
    # What was sent is deleted while the next message goes its way.
    deleted = [line for line in lines if 'info: deleting ' in line]
    whole(deleted, *[rf'info: deleting {what}' for n in (1, 3)
                     for what in (rf'envelope \[emailrelay\.1\.{n}\.1\.envelope\.busy\]', rf'content \[emailrelay\.1\.{n}\.1\.content\]')])
    taken = [n for n, line in enumerate(lines) if '250 taken' in line]
    assert taken[0] < lines.index(deleted[0]) and taken[1] < lines.index(deleted[2]), lines
    whole([line for line in lines if line not in deleted], f'info: forwarding to {hop.address}', r'info: forwarding: \[startup\]', *message(1),
          *message(2), *message(3), 'info: tx>>: "QUIT"', 'info: forwarding: no more messages to send')
    with t.row('not verbose'):
        hop = t.next_hop()
        spool.one('bad').envelope_path.unlink()
        spool.add('emailrelay.1.1.1')
        user = ['--user=root'] if is_root() else []
        output = t.run([t.program, '--as-client', hop.address, f'--spool-dir={spool.path}', f'--domain={domain}', *user])
        whole(output.splitlines(), f'info: smtp connection to {hop.address}')
    with t.row('nothing there'):
        output = t.forward(hop.address)
        whole(output.splitlines(), f'info: forwarding to {hop.address}', r'info: forwarding: \[startup\]',
              'info: forwarding: no messages to send', 'no messages to send')


def test_bdat(t):
    hop = t.next_hop({'EHLO': '250-next\r\n250-BINARYMIME\r\n250 CHUNKING'})
    spool = t.spool()
    spool.add('emailrelay.1.1.1', b'123456789012', Content='binarymime')
    has(t.forward(hop.address).splitlines(), r'info: tx>>: "BDAT 12 LAST" \[12 bytes\]')
    relay = t.relay('--server-smtp-config=chunking', spool=t.spool('in'))
    with relay.greeted() as wire:
        wire.send(b'MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 3\r\nabcBDAT 2 LAST\r\nde')
        for _ in range(4):
            equal(wire.reply()[0], 250)
    relay.wait_log('250 message processed')
    has(log_of(relay), 'info: rx<<: "BDAT 3"', 'info: tx>>: "250 3 bytes received"', 'info: rx<<: "BDAT 2 LAST"',
        r'info: rx<<: \[message content not logged\]')


def test_ends_of_sessions(t):
    relay = t.relay(idle_timeout=1, verbose=None)
    with relay.greeted() as wire:
        wire.closed()
    relay.wait_log(r'^emailrelay: info: smtp connection closed: idle timeout: no activity after 1s: 127\.0\.0\.1:\d+$')
    relay.greeted().close()
    relay.wait_log(r'^emailrelay: info: smtp connection closed: peer disconnected: 127\.0\.0\.1:\d+$')


def test_warnings_about_clients(t):
    relay = t.relay('--size=100', '--log-format=address,port')
    with relay.greeted() as wire:
        port = wire.local_port()
        wire.ask('AUTH PLAIN AGJvYgBzZWNyZXQ=', 502)
        wire.ask('AUTH LOGIN', 502)
        wire.ask('VRFY ' + 'x' * 1500, 252)
        wire.ask('VRFY ' + 'x' * 1500, 252)
        wire.ask('MAIL FROM:a@b', 553)
        wire.ask('MAIL FROM:<>', 250)
        wire.ask('RCPT TO:<c@d>', 250)
        wire.ask('DATA', 354)
        wire.send(b'x' * 200 + b'\r\n.\r\n')
        equal(wire.reply()[0], 552)
    relay.wait_log('smtp connection closed')
    lines = log_of(relay)
    peer = rf'127\.0\.0\.1;{port}: '
    has(lines, f'warning: {peer}client protocol error: AUTH requested but not advertised', count=2)
    has(lines, f'warning: {peer}very long line detected: 1505 > 1000', f'warning: {peer}empty MAIL-FROM return path',
        f'warning: {peer}message content too big',
        f'warning: {peer}invalid smtp command syntax from remote client: use --server-smtp-config=nostrictparsing to allow',
        rf'info: {peer}rx<<: "AUTH PLAIN \[not logged\]"', f'info: {peer}rx<<: "AUTH LOGIN"')
    assert not any('AGJvYgBzZWNyZXQ' in line for line in lines), 'a password in the log'


def test_untrusted_text(t):
    """Control characters cannot make lines, nor act on a terminal."""
    relay = t.relay()
    with relay.greeted() as wire:
        wire.say(b'VRFY a\nemailrelay: warning: forged\x1b[2Jb\\c\0d\xc3\xbce')
        equal(wire.reply()[0], 252)
    with relay.connect() as wire:
        wire.expect('220 .*')
        wire.ask(b'EHLO a\nb', 250)
    relay.wait_log('smtp connection closed: peer', count=2)
    has(log_of(relay), r'info: rx<<: "VRFY a\\nemailrelay: warning: forged\\x1b\[2Jb\\\\c\\0düe"', r'info: rx<<: "EHLO a\\nb"')
    assert not any(line.startswith('emailrelay: warning') for line in log_of(relay)), relay.output
    hop = t.next_hop({'greeting': b'220 x\x1b[2J\r\n', 'MAIL': b'550 a\x07\tb\\c\r\n'})
    spool = t.spool('out')
    spool.add('emailrelay.1.1.1')
    lines = t.forward(hop.address, spool=spool).splitlines()
    has(lines, r'info: rx<<: "220 x\\x1b\[2J"', r'info: rx<<: "550 a\\x07\\tb\\\\c"')
    hop = t.next_hop({'EHLO': b'250 x\nemailrelay: error: forged\r\n'})
    spool.add('emailrelay.1.1.1')
    lines = t.try_run([t.program, '--as-client', hop.address, '--verbose', f'--spool-dir={spool.path}',
                       *(['--user=root'] if is_root() else [])]).stderr.splitlines()
    assert 'emailrelay: error: forged' not in lines, lines


def test_full_disk(t):
    harness.private_mounts()
    harness.mount_tmpfs(t.dir / 'small', 'size=1500k,mode=777')
    spool = harness.Spool(t.dir / 'small')
    relay = t.relay('--server-smtp-config=chunking', spool=spool)
    with relay.greeted() as wire:
        equal(wire.submit(b'x' * 3_000_000 + b'\r\n'), (452, ['transaction failed']))
        relay.wait_log('^emailrelay: warning: failed to save message content: .*no space left on device')
        wire.ask('NOOP', 250)
        spool.check_empty()
        equal(wire.submit(b'x\r\n')[0], 250)


def test_reasons_of_runs(t):
    hop = t.next_hop()
    relay = t.relay('--forward', '--poll=61', '--forward-on-disconnect', forward_to=hop.address)
    relay.wait_log('forwarding: no messages to send')
    one_session(relay)
    hop.wait_ended(1)
    relay.wait_log('forwarding: no more messages to send')
    lines = log_of(relay)
    has(lines, f'info: forwarding to {hop.address}', r'info: forwarding: \[startup\]', 'info: forwarding: no messages to send',
        r'info: forwarding: \[client disconnect\]', rf'info: forwarding \[{id_form}\]', 'info: forwarding: no more messages to send')


def test_frequent_polls_are_quiet(t):
    hop = t.next_hop()
    relay = t.relay('--poll=100ms', forward_to=hop.address)
    relay.spool.add('emailrelay.1.1.1')
    relay.wait_log('forwarding: no more messages to send')
    time.sleep(0.5)
    for line in (r'forwarding: \[poll\]', 'forwarding: no messages to send'):
        assert not re.search(line, relay.output), relay.output


def test_still_busy(t):
    """A run asked for during a run is queued, once."""
    hop = t.next_hop({'.': Stall})
    relay = t.relay('--poll=61', '--forward-on-disconnect', '--response-timeout=3', forward_to=hop.address, wait=True)
    one_session(relay)
    hop.wait_line('DATA')
    relay.greeted().close()
    relay.wait_log(rf'^emailrelay: info: forwarding: \[client disconnect\]: still busy from last time: connected to {hop.address}$')
    relay.wait_log(r'^emailrelay: info: forwarding: queued request \[client disconnect\]$')
    relay.greeted().close()
    relay.wait_log(r'still busy from last time', count=2)
    relay.wait_log(r'^emailrelay: warning: smtp client error: smtp error: response timeout after 3s$')
    relay.wait_log(r'^emailrelay: info: forwarding: no messages to send$')
    equal(len(re.findall('queued request', relay.output)), 1, 'requests queued')
    equal(len(re.findall(r'forwarding: \[client disconnect\]$', relay.output, re.M)), 2, 'runs')


def test_routing(t):
    """What the envelope asks for is in the line of the message."""
    one, two = t.next_hop(), t.next_hop()
    nowhere = f'127.0.0.1:{harness.free_port()}'
    spool = t.spool()
    for n, fields in enumerate([{}, dict(ForwardToAddress=two.address), dict(ForwardToAddress=two.address),
                                dict(ForwardToAddress=nowhere), dict(ForwardToAddress=nowhere), {}]):
        spool.add(f'emailrelay.1.{n}.1', **fields)
    lines = t.forward(one.address).splitlines()
    has(lines, r'info: forwarding \[emailrelay\.1\.0\.1\]', rf'info: forwarding \[emailrelay\.1\.1\.1\] forward-to-address=\[{two.address}\]',
        rf'info: forwarding \[emailrelay\.1\.1\.1\]: new connection for \[{two.address}\]',
        rf'warning: smtp connection failed: connect failure: cannot connect to {nowhere}',
        rf'info: forwarding \[emailrelay\.1\.4\.1\]: skipping message with unconnectable address \[{nowhere}\]')
    assert not any('1.2.1]: new connection' in line for line in lines), lines
    equal((len(one.messages), len(two.messages)), (2, 2))
    equal([m.id for m in spool.messages()], ['emailrelay.1.3.1', 'emailrelay.1.4.1'])


def test_warnings_about_servers(t):
    spool = t.spool()
    eight = dict(Content='8bit')

    def lines_of(script, *options, status=0, local=None, **fields):
        spool.add('emailrelay.1.1.1', **({'to': [], 'local': ['postmaster']} if local else {}), **fields)
        output = t.forward(t.next_hop(script).address, *options, status=status)
        for message in spool.messages('bad'):
            message.envelope_path.unlink()
            message.content_path.unlink()
        return output.splitlines()

    with t.row('unexpected response'):
        has(lines_of({'MAIL': '354 a\\b'}, status=1), r'warning: client protocol: unexpected response \[a\\\\b\]',
            r'warning: smtp client error: smtp error: unexpected response: a\\\\b', r'error: smtp error: unexpected response: a\\\\b')
    with t.row('disconnected'):
        has(lines_of({'DATA': Drop}, status=1), 'warning: smtp client error: peer disconnected', 'error: peer disconnected')
    with t.row('no greeting'):
        has(lines_of({'greeting': Stall}, '--prompt-timeout=1'), 'warning: timeout: no greeting from remote server after 1s: continuing')
    with t.row('strict check'):
        has(lines_of({'EHLO': '250 x'}, '--client-smtp-config=eightbitstrict', **eight),
            'warning: smtp client protocol: cannot send 8-bit message to 7-bit server')
    with t.row('some refused'):
        has(lines_of({'RCPT': lambda line: '550 no' if 'bad' in line else '250 ok'}, '--forward-to-some', to=['bad@example.net', 'a@b']),
            'warning: smtp client protocol: one or more recipients rejected')
    with t.row('no remote recipients'):
        has(lines_of({}, local=True), r'warning: forwarding \[emailrelay\.1\.1\.1\]: failing message with no remote recipients')
    with t.row('cannot connect'):
        spool.add('emailrelay.1.1.1')
        nowhere = f'127.0.0.1:{harness.free_port()}'
        has(t.forward(nowhere, status=1).splitlines(), f'warning: smtp client error: connect failure: cannot connect to {nowhere}',
            f'error: connect failure: cannot connect to {nowhere}')
    with t.row('no port'):
        has(t.forward('somewhere', status=1).splitlines(), 'error: forwarding failure: invalid host:service format: somewhere')


def test_forwarding_name_that_does_not_exist(t):
    harness.no_name_server(t)
    relay = t.relay(forward_to='no-such-host.invalid:25')
    relay.wait_log(r'^emailrelay: warning: dns lookup of forward-to address failed: no such host: "no-such-host\.invalid" \(.+\)$')


def test_warnings_about_files(t):
    hop = t.next_hop()
    spool = t.spool()
    spool.add('emailrelay.1.1.1')
    spool.add('emailrelay.1.2.1', None)
    spool.write('emailrelay.1.3.1.envelope', b'junk\r\n')
    spool.write('emailrelay.1.1.1.envelope.busy', b'')  # somebody else's
    lines = t.forward(hop.address).splitlines()
    path = re.escape(str(spool.path))
    has(lines, rf'warning: cannot lock file: "[^"]*emailrelay\.1\.1\.1\.envelope"',
        rf'warning: ignoring "{path}/emailrelay\.1\.2\.1\.envelope[^"]*": cannot open content file.*',
        rf'warning: ignoring "{path}/emailrelay\.1\.3\.1\.envelope[^"]*": cannot read envelope file.*')
    equal(hop.messages, [])


def test_no_descriptor_for_a_connection(t):
    # The sanitizer looks at an object the first time by way of a pipe, which it cannot have later; so another error and a
    # whole session first. Sessions are not let in that there are no descriptors for; so they are taken away later.
    spool = t.spool()
    spool.add('emailrelay.1.1.1')
    relay = t.relay('--max-sessions=0', '--forward', verbose=None, spool=spool, forward_to=f'{t.dir}/nobody')
    relay.wait_log('^emailrelay: warning: smtp client error: connect failure: .*: no such file or directory$')
    relay.connect().close()
    relay.wait_log('smtp connection closed')
    used = len(os.listdir(f'/proc/{relay.pid}/fd'))
    _, hard = resource.prlimit(relay.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(relay.pid, resource.RLIMIT_NOFILE, (used + 10, hard))
    wires = [relay.connect() for _ in range(60)]
    relay.wait_log('^emailrelay: warning: new connection error: accept: too many open files$')
    for wire in wires:
        wire.close()

    def served():
        with relay.connect(seconds=2) as wire:
            return wire.line() is not None
    harness.until(served, 'serves again')
    equal(len(re.findall('new connection error', relay.output)) < 10, True, 'not a line for every attempt')


def test_nothing_is_lost_on_a_stop(t):
    """What was logged before an orderly stop is in the file, every line whole, also when much is logged by many."""
    log = t.dir / 'log'
    relay = t.relay('--threads=4', '--max-idle-commands=0', f'--log-file={log}', port=harness.free_port(), wait='port')
    count, each = 20, 300

    def talk(n):
        with relay.greeted() as wire:
            wire.send(b''.join(b'NOOP %d.%d.\r\n' % (n, i) for i in range(each)))
            for _ in range(each):
                wire.expect('250 noop')
    clients = [threading.Thread(target=talk, args=(n,)) for n in range(count)]
    for c in clients:
        c.start()
    for c in clients:
        c.join()
    relay.terminate()
    lines = log.read_text().splitlines()
    found = [re.fullmatch(r'emailrelay: info: rx<<: "NOOP (\d+\.\d+)\."', line) for line in lines]
    said = [m.group(1) for m in found if m]
    equal(sorted(said), sorted(f'{n}.{i}' for n in range(count) for i in range(each)))
    for line in lines:
        match(line, '^emailrelay: (info|warning|error): ')


def test_a_log_that_nobody_reads(t):
    """A standard error stream that blocks holds up no session."""
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    spool = t.spool()
    port = harness.free_port()
    user = ['--user=root'] if is_root() else []
    process = subprocess.Popen([t.program, '--no-daemon', '--log', '--verbose', '--no-syslog', f'--port={port}', '--interface=127.0.0.1',
                                f'--spool-dir={spool.path}', '--max-idle-commands=0', *user], stderr=writing, env=t.environment(words=user))
    os.close(writing)
    try:
        harness.until(lambda: harness.connects('127.0.0.1', port), 'listening')
        with harness.Wire.tcp('127.0.0.1', port) as wire:
            wire.expect('220 .*')
            for _ in range(5):
                wire.send(b'NOOP some more words to fill the pipe with\r\n' * 1000)
                for _ in range(1000):
                    wire.expect('250 noop')
            wire.ask('QUIT', 221)
    finally:
        os.close(reading)
        process.kill()
        process.wait()
