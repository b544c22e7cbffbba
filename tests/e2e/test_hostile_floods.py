"""Floods: connections, commands, recipients, header lines, lines without end, NULs, slow-loris in every phase, and descriptors
that run out. In each case memory stays within the bound that docs/security.md states, another client is served in time, and the log
stays readable. Many idle sessions, and the limits one by one, are in test_load.py."""
import contextlib
import os
import re
import resource
import time

import harness
from harness import equal, fail, match, until
from test_admin import Admin
from test_load import lean, memory, sanitized

prompt_answer = 5  # seconds in which another client has its answer, on a machine that is busy with other tests


def secrets(t):
    path = t.file('secrets', 'server plain bob secret\n')
    path.chmod(0o644)
    return path


def whole_server(t, *words, **options):
    """SMTP, POP and administration by one process."""
    relay = t.relay('--pop', '--pop-port=0', f'--pop-auth={secrets(t)}', '--admin=0', *words, **options)
    relay.pop_port = int(relay.wait_log(r'pop server on .*[:.](\d+)$').group(1))
    relay.wait_log(r'admin server on .*[:.](\d+)$')
    return relay


def served(relay, **how):
    """Another client's NOOP is answered in time."""
    start = time.monotonic()
    with relay.greeted(**how) as wire:
        wire.ask('NOOP', 250)
        wire.ask('QUIT', 221)
    took = time.monotonic() - start
    assert took < prompt_answer, f'another client waited {took:.1f} s'


def ascii_log(relay):
    """Nothing that acts on a terminal is in the log, whatever peers have sent."""
    for line in relay.lines():
        if re.search('[\x00-\x08\x0b-\x1f\x7f]', line):
            fail(f'control characters in the log: {line!r}')


# ---------------------------------------------------------------- descriptors

def test_servers_share_the_descriptors(t):
    """SMTP, POP and administration know of each other's descriptors, whatever --max-sessions says; administrators find room; and whoever
    is in can leave a message of any size."""
    relay = whole_server(t, '--max-sessions=0', '--max-sessions-per-address=0', verbose=None,
                         prefix=['sh', '-c', 'ulimit -n 240; exec "$@"', 'sh'])

    def fill(connect, greeting, full):
        wires = []
        while len(wires) < 300:
            wire = connect()
            line = wire.line()
            if line == full:
                wire.closed()
                return wires
            match(line, greeting)
            wires.append(wire)
        fail('nobody is turned away')
    kept = fill(relay.connect, '^220 ', '421 too many connections')[:-10]  # those that go make room for the others
    assert len(kept) >= 40, len(kept)

    def pop():
        return harness.Wire.tcp('127.0.0.1', relay.pop_port)
    mailboxes = until(lambda: fill(pop, r'^\+OK ', '-ERR too many connections'), 'some room for POP')
    assert len(mailboxes) <= 11, len(mailboxes)
    with t.row('administration'):
        administrator = Admin(relay)
        administrator.send('status')
        administrator.until('E-MailRelay> ')
    with t.row('content'):
        kept[0].ask('EHLO x', 250)
        equal(kept[0].submit(b'0123456789abcd\r\n' * 20_000), (250, ['message processed']))
    assert 'new connection error' not in relay.output, relay.output
