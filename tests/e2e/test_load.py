"""Many clients, slow ones and hostile ones: nobody is held up and memory stays bounded; and each limit of the server, at it and
over it."""
import contextlib
import os
import re
import resource
import selectors
import socket
import statistics
import threading
import time

import harness
from harness import equal, fail, match

sanitized = 'asan' in str(harness.bin_dir) or 'tsan' in str(harness.bin_dir)


def memory(pid, what='VmRSS'):
    """Octets."""
    with open(f'/proc/{pid}/status') as f:
        return int(re.search(rf'{what}:\s+(\d+) kB', f.read()).group(1)) * 1024


def lean(t):
    """Environment in which the memory of a process is what it uses: a sanitizer holds back what was freed."""
    return {'ASAN_OPTIONS': t.environment()['ASAN_OPTIONS'] + ':quarantine_size_mb=1:thread_local_quarantine_size_kb=64'}


def raise_descriptor_limit(wanted):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return
        except (ValueError, OSError):
            raise harness.Skip(f'only {hard} descriptors allowed, needs {wanted}') from None
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def response_times(relay, count=50, **how):
    """Seconds for a whole message, connection and all, one after the other."""
    times = []
    for _ in range(count):
        start = time.monotonic()
        with relay.greeted(**how) as wire:
            equal(wire.submit(b'Subject: x\r\n\r\nhello\r\n')[0], 250)
            wire.ask('QUIT', 221)
        times.append(time.monotonic() - start)
    return times


def sessions_from(relay, source, count):
    """Many sessions at once, each greeted and gone as far as EHLO."""
    found, chosen = [], selectors.DefaultSelector()
    for _ in range(count):
        s = socket.socket()
        s.bind((source, 0))
        s.connect((relay.host, relay.port))
        s.setblocking(False)
        found.append(s)
        chosen.register(s, selectors.EVENT_READ, [b''])
    waiting, end = count, time.monotonic() + 60
    while waiting:
        if time.monotonic() > end:
            fail(f'{waiting} sessions of {count} from {source} not greeted in 60 s')
        for key, _ in chosen.select(1):
            part = key.fileobj.recv(1000)
            if not part:
                fail(f'a session from {source} was closed')
            key.data[0] += part
            if key.data[0].startswith(b'220 ') and key.data[0].count(b'\n') == 1:
                key.fileobj.sendall(b'EHLO x\r\n')
            elif key.data[0].endswith(b'250 8BITMIME\r\n'):
                chosen.unregister(key.fileobj)
                waiting -= 1
            elif not key.data[0].startswith(b'220 '):
                fail(f'session from {source} got {key.data[0]!r}')
    return found


@harness.limit(120)
@harness.alone
def test_ten_thousand_idle_sessions(t):
    """Held by one process with its usual limits, and the next message is served as quickly as before."""
    raise_descriptor_limit(15_000)
    relay = t.relay('--threads=2', '--max-sessions=10100', verbose=None, log=None, wait='port', port=harness.free_port(), env=lean(t))
    response_times(relay, 20)
    before, start_size = statistics.median(response_times(relay)), memory(relay.pid)
    wires = []
    for n in range(10):  # 1000 is the limit of an address
        wires += sessions_from(relay, f'127.0.1.{n + 1}', 1000)
    equal(len(wires), 10_000)
    size = memory(relay.pid)
    during = response_times(relay, source=('127.0.2.1', 0))
    each = (size - start_size) / len(wires)
    print(f'{each:.0f} octets of memory a session; a message takes {before * 1e3:.1f} ms without them, '
          f'{statistics.median(during) * 1e3:.1f} ms with them, {max(during) * 1e3:.1f} ms at the worst')
    assert each < (60_000 if sanitized else 12_000), f'{each:.0f} octets a session'
    assert statistics.median(during) < 5 * before + 0.05, (before, during)
    with t.row('one address is full'):
        with harness.Wire.tcp(relay.host, relay.port, source=('127.0.1.1', 0)) as wire:
            wire.expect('421 too many connections')
            wire.closed()
    with t.row('all of them still live'):
        for s in wires[::97]:
            s.setblocking(True)
            s.settimeout(harness.patience)
            s.sendall(b'NOOP\r\n')
            equal(s.recv(100), b'250 noop\r\n')
    # all talk at once, then all go at once
    for s in wires:
        s.send(b'NOOP\r\n')
    for s in wires:
        s.close()
    harness.until(lambda: len(os.listdir(f'/proc/{relay.pid}/fd')) < 100, 'all sessions ended')
    equal(max(response_times(relay, 5)) < 5, True)
    relay.terminate()


@harness.alone
def test_a_stop_with_thousands_of_sessions(t):
    raise_descriptor_limit(6_000)
    relay = t.relay('--max-sessions-per-address=0', verbose=None)
    wires = sessions_from(relay, '127.0.0.1', 2000)
    relay.terminate(seconds=10)
    for s in wires:
        s.setblocking(True)
        s.settimeout(harness.patience)
        match(s.recv(100).decode(), r'^(421 service shutting down\r\n)?$')


def test_slow_senders(t):
    """One octet a second in a command, in content and in a chunk; on the same thread others are served at once."""
    relay = t.relay('--threads=1', '--server-smtp-config=chunking', verbose=None)
    response_times(relay, 10)
    before = statistics.median(response_times(relay))
    slow = [relay.greeted() for _ in range(3)]
    for wire in slow[1:]:
        wire.ask('MAIL FROM:<a@b>', 250)
        wire.ask('RCPT TO:<c@d>', 250)
    slow[1].ask('DATA', 354)
    slow[2].send(b'BDAT 1000 LAST\r\n')
    over = threading.Event()

    def drip():
        for n in range(100):
            for wire in slow:
                with contextlib.suppress(OSError):
                    wire.send(b'x')
            if over.wait(1):
                return
    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        during = []
        end = time.monotonic() + 4
        while time.monotonic() < end:
            during += response_times(relay, 10)
    finally:
        over.set()
        dripping.join()
    assert statistics.median(during) < 3 * before + 0.02, (before, statistics.median(during))
    assert max(during) < 2, max(during)
    slow[1].send(b'\r\n.\r\n')
    equal(slow[1].reply()[0], 250)


def test_a_big_message_holds_nobody_up(t):
    """Nor do many clients that send as fast as they can."""
    relay = t.relay('--threads=1', verbose=None, env=lean(t))
    before = statistics.median(response_times(relay, 20))
    over = threading.Event()

    def pump():
        with contextlib.suppress(OSError, AssertionError), relay.greeted() as wire:
            wire.ask('MAIL FROM:<a@b>', 250)
            wire.ask('RCPT TO:<c@d>', 250)
            wire.ask('DATA', 354)
            while not over.is_set():
                wire.send(b'0123456789abcd\r\n' * 4096)
    pumps = [threading.Thread(target=pump) for _ in range(2)]
    for p in pumps:
        p.start()
    try:
        time.sleep(0.2)
        during = response_times(relay, 20)
        size = memory(relay.pid)
    finally:
        over.set()
        for p in pumps:
            p.join()
    assert statistics.median(during) < 20 * before + 0.3, (before, statistics.median(during))
    assert size < (600 if sanitized else 100) * 1_000_000, size


def small_window(relay):
    """A connection whose reader makes little room, so that the system's buffers are soon full."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect((relay.host, relay.port))
    return harness.Wire(s)


def push(wires, data, seconds=0.5):
    """Sends without ever reading, until none takes any more for a while. Octets sent on each."""
    sent = [0] * len(wires)
    for wire in wires:
        wire.socket.setblocking(False)
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < seconds:
        progress = False
        for n, wire in enumerate(wires):
            with contextlib.suppress(BlockingIOError, ConnectionError):
                at = sent[n] % len(data)
                sent[n] += wire.socket.send(data[at:at + 65536])
                progress = True
        if progress:
            quiet_since = time.monotonic()
        else:
            time.sleep(0.01)
        if max(sent) > 200_000_000:
            fail('it reads for ever')
    return sent


@harness.limit(120)
def test_clients_that_never_read(t):
    """Commands without end whose replies nobody takes: reading stops, and memory with it."""
    relay = t.relay('--max-idle-commands=0', '--max-errors=0', '--max-other-errors=0', verbose=None, env=lean(t))
    count = 40
    rows = [('replies of many lines', b'EHLO x\r\n' * 20_000), ('errors', b'\r\n' * 60_000),
            ('escapes', b'VRFY ' + b'\x01' * 4000 + b'\r\n')]
    response_times(relay, 5)
    start_size = memory(relay.pid)
    for name, data in rows:
        with t.row(name):
            data = data * (200_000 // len(data) + 1)
            wires = [small_window(relay) for _ in range(count)]
            push(wires, data)
            each = (memory(relay.pid, 'VmHWM') - start_size) / count
            print(f'{name}: {each:.0f} octets a session')
            assert each < (800_000 if sanitized else 300_000), f'{each:.0f} octets a session'
            assert max(response_times(relay, 5)) < 5, 'others are held up'
            # whoever begins to read again gets all of it, in order
            wires[0].socket.setblocking(True)
            wires[0].socket.settimeout(harness.patience)
            match(wires[0].expect('220 .*'), '^220 ')
            for _ in range(300 if name != 'escapes' else 5):
                line = wires[0].line()
                assert line and line[0] in '25', line
            for wire in wires:
                wire.close()


def test_messages_that_never_end(t):
    """Content without an end from many, and content whose size is known to be too big."""
    relay = t.relay('--size=100000', verbose=None, env=lean(t))
    before = memory(relay.pid)
    wires = [relay.greeted() for _ in range(20)]
    for wire in wires:
        for line, code in (('MAIL FROM:<a@b>', 250), ('RCPT TO:<c@d>', 250), ('DATA', 354)):
            wire.ask(line, code)
    part = b'0123456789abcd\r\n' * 4096
    for _ in range(50):
        for wire in wires:
            wire.send(part)
    grown = memory(relay.pid) - before
    assert grown < (60 if sanitized else 10) * 1_000_000, grown
    for wire in wires:
        wire.send(b'.\r\n')
        equal(wire.reply(), (552, ['message size exceeds fixed maximum message size']))
    relay.spool.check_empty()


def test_connections_that_come_and_go(t):
    """Thousands that say nothing leave nothing behind."""
    relay = t.relay(verbose=None, log=None, wait='port', port=harness.free_port(), env=lean(t))

    def bout(count):
        for n in range(count):
            s = socket.create_connection((relay.host, relay.port))
            if n % 3 == 0:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
            s.close()
        harness.until(lambda: len(os.listdir(f'/proc/{relay.pid}/fd')) < 60, 'sessions ended')
    bout(1500)
    before = memory(relay.pid)
    bout(1500)
    grown = memory(relay.pid) - before
    assert grown < (40 if sanitized else 1) * 1_000_000, grown
    response_times(relay, 3)


# ---------------------------------------------------------------- limits

def test_command_line_limit(t):
    """Octets without the line end. One too long is answered, and the next line is in step."""
    relay = t.relay('--max-command-line=512', verbose=None)
    for pieces in (1, 3):
        with t.row(f'{pieces} pieces'), relay.greeted() as wire:
            for size, wanted in [(511, '250 noop'), (512, '250 noop'), (513, '500 line too long'), (5000, '500 line too long'),
                                 (512, '250 noop')]:
                line = b'NOOP ' + b'x' * (size - 5) + b'\r\n'
                for n in range(pieces):
                    wire.send(line[len(line) * n // pieces:len(line) * (n + 1) // pieces])
                    if pieces > 1:
                        time.sleep(0.005)
                equal(wire.line(), wanted, f'{size} octets')
    with t.row('none'):
        unlimited = t.relay('--max-command-line=0', verbose=None)
        with unlimited.greeted() as wire:
            wire.say('NOOP ' + 'x' * 79_000)
            wire.expect('250 noop')
            with contextlib.suppress(OSError):
                wire.send(b'NOOP ' + b'x' * 200_000)
            wire.closed()
        unlimited.wait_log('smtp connection closed: server protocol overflow: ')


def test_recipient_limit(t):
    relay = t.relay('--max-recipients=3')
    with relay.greeted() as wire:
        for _ in range(2):  # it is of each message
            wire.ask('MAIL FROM:<a@b>', 250)
            for n in range(3):
                wire.ask(f'RCPT TO:<r{n}@example.net>', 250)
            for _ in range(2):
                wire.exact('RCPT TO:<more@example.net>', '452 too many recipients')
            wire.ask('DATA', 354)
            wire.exact('.', '250 message processed')
    equal([len(m.fields('To-Remote')) for m in relay.spool.messages()], [3, 3])


def test_hop_limit(t):
    relay = t.relay('--max-hops=3')  # its own line is the third
    with relay.greeted() as wire:
        for hops, answer in ((3, '554 too many hops'), (2, '250 message processed'), (9, '554 too many hops')):
            wire.ask('MAIL FROM:<a@b>', 250)
            wire.ask('RCPT TO:<c@d>', 250)
            wire.ask('DATA', 354)
            wire.exact('Received: by elsewhere\r\n' * hops + 'Subject: x\r\n\r\nReceived: body\r\nReceived: body\r\n.', answer)
    match(relay.spool.one().content, rb'Received: .*\r\n(Received: by elsewhere\r\n){2}Subject: x\r\n\r\n(Received: body\r\n){2}')
    relay.wait_log('warning: .*message has passed too many servers', count=2)


def test_relays_that_send_to_each_other(t):
    one, two = harness.free_port(), harness.free_port()
    relays = [t.relay('--forward-on-disconnect', spool=t.spool(f'spool of {mine}'), port=mine, forward_to=f'127.0.0.1:{other}')
              for mine, other in ((one, two), (two, one))]
    with relays[0].greeted() as wire:
        wire.submit(b'Subject: round and round\r\n\r\nx\r\n')
        wire.ask('QUIT', 221)
    failed = harness.until(lambda: [m for relay in relays for m in relay.spool.messages('bad')], 'the loop to end')
    equal(len(failed), 1)
    equal(failed[0].fields('Reason'), ['too many hops'])
    equal(failed[0].fields('ReasonCode'), ['554'])
    equal(len(re.findall(rb'(?m)^Received: ', failed[0].content)), 100)
    match(failed[0].content, rb'(?s).*\r\nSubject: round and round\r\n\r\nx\r\n')
    equal([len(relay.spool.messages()) for relay in relays], [0, 0])


def test_error_limits(t):
    """The first kind: unknown and out of sequence; the other kind: syntax."""
    relay = t.relay('--max-errors=3', '--max-other-errors=5')
    unknown = ('FOO', '500 command unrecognized')
    syntax = ('EHLO', '501 parameter required')
    with t.row('errors'), relay.greeted() as wire:
        for _ in range(4):
            wire.exact(*syntax)
        for _ in range(3):
            wire.exact(*unknown)
        wire.closed()
    with t.row('other errors'), relay.greeted() as wire:
        for _ in range(2):
            wire.exact(*unknown)
        for _ in range(5):
            wire.exact(*syntax)
        wire.closed()
    relay.wait_log('smtp connection closed: too many protocol errors from the client: ', count=2)
    with t.row('none'):
        relay = t.relay('--max-errors=0', '--max-other-errors=0', '--max-idle-commands=0', verbose=None)
        with relay.greeted() as wire:
            wire.send(b'FOO\r\nEHLO\r\n' * 1000)
            for _ in range(1000):
                equal((wire.line(), wire.line()), (unknown[1], syntax[1]))


def test_idle_command_limit(t):
    """Commands without a message; those of a message do not count once it is there."""
    relay = t.relay('--max-idle-commands=6')
    with t.row('at it'), relay.connect() as wire:
        wire.expect('220 .*')
        for _ in range(6):
            wire.ask('NOOP', 250)
        wire.ask('QUIT', 221)
    with t.row('over it'), relay.connect() as wire:
        wire.expect('220 .*')
        for _ in range(6):
            wire.ask('NOOP', 250)
        wire.say('NOOP')
        wire.expect('421 .*')
        wire.closed()
        relay.wait_log('smtp connection closed: too many commands: ')
    with t.row('messages'), relay.greeted() as wire:
        for _ in range(20):
            equal(wire.submit(b'x\r\n', to=[f'r{n}@example.net' for n in range(10)])[0], 250)
        wire.ask('QUIT', 221)


def test_session_limits(t):
    full = '421 too many connections'
    for option, second_source, third in [('--max-sessions=2', '127.0.0.3', full), ('--max-sessions-per-address=2', '127.0.0.2', None)]:
        with t.row(option):
            relay = t.relay(option, log_address=True)
            wires = [relay.greeted(source=('127.0.0.2', 0)), relay.greeted(source=(second_source, 0))]
            with relay.connect(source=('127.0.0.2', 0)) as wire:
                port = wire.local_port()
                wire.expect(full)
                wire.closed()
            relay.wait_log(rf'^emailrelay: warning: 127\.0\.0\.2; connection rejected from 127\.0\.0\.2:{port}: too many connections$')
            with relay.connect(source=('127.0.0.9', 0)) as wire:
                wire.expect(third or '220 .*')
            wires[0].ask('QUIT', 221)
            wires[0].closed()
            relay.wait_log('smtp connection closed: smtp protocol done')

            def room():
                with relay.connect(source=('127.0.0.2', 0)) as wire:
                    return wire.line().startswith('220 ')
            harness.until(room, 'room for another')
            relay.terminate()
    with t.row('none'):
        relay = t.relay('--max-sessions=0', '--max-sessions-per-address=0', verbose=None)
        for s in sessions_from(relay, '127.0.0.1', 1100):
            s.close()


def test_session_limit_of_local_clients(t):
    """What they call their sockets makes no difference."""
    listener = t.dir / 'listener.socket'
    relay = t.relay('--max-sessions-per-address=2', interface=f'127.0.0.1,{listener}')
    clients = []
    for n in range(3):
        client = socket.socket(socket.AF_UNIX)
        client.bind(str(t.dir / f'client-{n}'))
        client.connect(str(listener))
        clients.append(harness.Wire(client))
        clients[n].expect('220 .*' if n < 2 else '421 too many connections')
    clients[2].closed()
    relay.wait_log(rf'connection rejected from {t.dir}/client-2: too many connections$')
    for client in clients:
        client.close()


def test_descriptors_run_out(t):
    """Fewer descriptors than sessions allowed: the rest is answered or waits, and the process lives on."""
    relay = t.relay(verbose=None, prefix=['sh', '-c', 'ulimit -n 120; exec "$@"', 'sh'])
    wires, refused = [], 0
    for _ in range(150):
        wire = relay.connect()
        wire.socket.settimeout(0.5)
        try:
            line = wire.socket.recv(100)
        except TimeoutError:
            line = b''
        if line.startswith(b'220 '):
            wires.append(wire)
        else:
            assert line in (b'', b'421 too many connections\r\n'), line
            refused += 1
            wire.close()
            if refused == 5:
                break
    assert len(wires) >= 40, len(wires)
    wires[0].ask('EHLO x', 250)
    equal(wires[0].submit(b'0123456789abcd\r\n' * 20_000)[0] in (250, 452), True)
    for wire in wires:
        wire.close()
    harness.until(lambda: len(os.listdir(f'/proc/{relay.pid}/fd')) < 60, 'sessions ended')
    equal(max(response_times(relay, 3)) < 5, True)


def test_command_timeout(t):
    """A command begun and not finished; each octet counts for --idle-timeout but not for this."""
    relay = t.relay('--command-timeout=1')
    for n, name in enumerate(['waiting', 'dripping']):
        with t.row(name), relay.greeted() as wire:
            start = time.monotonic()
            wire.send(b'NOO')
            if name == 'dripping':
                with contextlib.suppress(OSError):
                    while time.monotonic() - start < 3:
                        wire.send(b'O')
                        time.sleep(0.1)
            wire.closed()
            took = time.monotonic() - start
            relay.wait_log(r'smtp connection closed: command timeout: command not finished after 1s: ', count=n + 1)
            assert 0.9 < took < 4, took
    with t.row('between commands it does not run'), relay.greeted() as wire:
        time.sleep(1.3)
        wire.ask('NOOP', 250)
    relay = t.relay('--command-timeout=4', '--max-idle-commands=0', spool=t.spool('overlapping'), verbose=None)
    with t.row('each packet ends one command and begins the next'), relay.greeted() as wire:
        start = time.monotonic()
        wire.send(b'NO')
        while time.monotonic() - start < 6:
            wire.send(b'OP\r\nNO')
            wire.expect('250 noop')


@harness.limit(130)
def test_data_rate(t):
    """After the first minute content must have come at --min-data-rate. Chunks share that minute, and what a filter takes is not
    counted."""
    relay = t.relay('--min-data-rate=1000', '--server-smtp-config=chunking', verbose=None)
    go_on = t.folder('marks') / 'go on'
    script = t.file('wait.sh', f'#!/bin/sh\nwhile [ ! -e "{go_on}" ]; do sleep 0.1; done\n')
    script.chmod(0o755)
    filtering = t.relay(f'--filter={script}', '--filter-timeout=600', '--min-data-rate=1000', spool=t.spool('filtering'), verbose=None)
    waits = filtering.greeted()
    waits.play("""
        c -> MAIL FROM:<a@b>
        s <~ 250 .*
        c -> RCPT TO:<c@d>
        s <~ 250 .*
        c -> DATA
        s <~ 354 .*
        c -> first""")
    waits.send(b'\r\n.\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n')
    wires = {name: relay.greeted() for name in ('slow', 'slow chunk', 'small chunks', 'fast enough')}
    for name, wire in wires.items():
        wire.ask('MAIL FROM:<a@b>', 250)
        wire.ask('RCPT TO:<c@d>', 250)
        if name == 'slow chunk':
            wire.send(b'BDAT 1000000 LAST\r\n')
        elif name == 'small chunks':
            wire.send(b'BDAT 1\r\n')
        else:
            wire.ask('DATA', 354)
    start = time.monotonic()
    ended = {}
    while time.monotonic() - start < 64:
        for name, wire in wires.items():
            if name in ended:
                continue
            wire.socket.settimeout(0.01)
            with contextlib.suppress(TimeoutError, OSError):
                wire.send({'fast enough': b'x' * 700 + b'\r\n', 'small chunks': b'xBDAT 1\r\n'}.get(name, b'x'))
                part = wire.socket.recv(1000).replace(b'250 1 bytes received\r\n', b'')
                if part:
                    ended[name] = (time.monotonic() - start, part)
        time.sleep(0.4)
    for name in ('slow', 'slow chunk', 'small chunks'):
        with t.row(name):
            took, part = ended.get(name) or fail('not ended')
            equal(part, b'421 too slow\r\n')
            assert 58 < took < 64, took
    equal('fast enough' in ended, False)
    wires['fast enough'].socket.settimeout(harness.patience)
    wires['fast enough'].send(b'.\r\n')
    equal(wires['fast enough'].reply()[0], 250)
    relay.wait_log('smtp connection closed: content arrives too slowly: ', count=3)
    with t.row('after a filter that took its time'):
        go_on.touch()
        waits.play("""
            s <- 250 message processed
            s <~ 250 .*
            s <~ 250 .*
            s <~ 354 .*
            c -> second
            c -> .
            s <- 250 message processed""")
