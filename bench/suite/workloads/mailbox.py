"""A POP client with a mailbox of 50,000 messages: how long until it is logged in, how fast it reads."""
import time

from ..clients import smtp_source
from ..machine import address, harness


def mailbox(run):
    count = run.count(50_000, least=100)
    port = harness.free_port()
    secrets = run.file('pop-secrets', 'server plain user password\n')
    relay = run.emailrelay('--pop', f'--pop-port={port}', f'--pop-auth={secrets}')
    smtp_source(relay.port, count, 20, True, 4096)
    harness.until(lambda: relay.count() == count, f'a mailbox of {count}', 300)
    logins, rates, volumes = [], [], []
    for _ in range(min(3, run.rounds)):
        login, rate, volume = fetch(port, count, run.count(5000))
        logins.append(login * 1e3)
        rates.append(rate)
        volumes.append(volume)
    title = f'POP, {count:,} messages: '
    run.report.add('parts', title + 'from USER to the answer to PASS', 'ms', {'emailrelay': logins})
    run.report.add('parts', title + 'RETR of 4 KB, one after the other', 'msg/s', {'emailrelay': rates})
    run.report.add('parts', title + 'RETR, octets', 'MiB/s', {'emailrelay': volumes})


def fetch(port, count, retrieved):
    with harness.Wire.tcp(address, port, seconds=120) as wire:
        greeting = wire.line()
        start = time.perf_counter()
        for line in ('USER user', 'PASS password'):
            wire.say(line)
            answer(wire)
        login = time.perf_counter() - start
        wire.say('STAT')
        if int(answer(wire).split()[1]) != count:
            raise RuntimeError(f'another number of messages; {greeting}')
        octets, start = 0, time.perf_counter()
        connection = wire.socket
        for n in range(1, retrieved + 1):
            connection.sendall(b'RETR %d\r\n' % n)
            octets += whole_reply(connection)
        took = time.perf_counter() - start
        wire.say('QUIT')
        answer(wire)
    return login, retrieved / took, octets / took / (1 << 20)


def answer(wire):
    line = wire.line()
    if not line.startswith('+OK'):
        raise RuntimeError(f'POP: {line}')
    return line


def whole_reply(connection):
    """Octets of a reply of several lines."""
    data = connection.recv(1 << 16)
    if not data.startswith(b'+OK'):
        raise RuntimeError(f'POP: {data[:100]}')
    parts, tail = len(data), data[-5:]
    while tail != b'\r\n.\r\n':
        data = connection.recv(1 << 16)
        if not data:
            raise RuntimeError('POP: the connection has ended')
        parts, tail = parts + len(data), (tail + data)[-5:]
    return parts
