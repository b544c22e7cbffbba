"""Memory runs out at any allocation of accepting, storing, forwarding, POP and administration, for a moment or for a
while (design: src/os/memory.hpp): sessions may end, with 421 or without a word; what got its 250 is there and goes on,
the process lives, and what comes afterwards is served.
"""
import resource
import select
import threading

import harness
from certificates import Authority
from fault_injection import Faults, count, fail_it, library_memory, memory
from harness import equal, fail, until
from test_admin import Admin
from test_durability import message
from test_faults import Hop
from test_load import memory as memory_of, sanitized
from test_tls import context


class Visitor:
    """A client that takes no for an answer: None where the connection has ended."""

    def __init__(self, wire):
        self.wire = wire

    def hears(self):
        try:
            while (line := self.wire.line()) is not None and line[3:4] == '-':
                pass
            return line
        except OSError:  # of TLS
            return None

    def ask(self, line, wanted):
        """True if it goes on."""
        try:
            self.wire.send(line)
        except OSError:
            return False
        answer = self.hears()
        if answer is not None and not answer.startswith((wanted, '421', '452', '454')):
            fail(f'after {line[:40]!r}: {answer!r}')
        return answer is not None and answer.startswith(wanted)

    def submit(self, token, size):
        return self.ask('MAIL FROM:<me@example.com>\r\n', '250') and \
            self.ask(f'RCPT TO:<good.{token}@example.net>\r\n', '250') and self.ask('DATA\r\n', '354') and \
            self.ask(harness.dot_stuffed(message(token, size)) + b'.\r\n', '250')


class Round:
    """One message of each size in, all out, and a look by POP: what was acknowledged, and what was tried."""
    sizes = (1000, 100_000)

    def __init__(self, relay, admin, label, tls=False):
        self.relay, self.admin = relay, admin
        self.tokens = [f'{label}.{size}.' for size in self.sizes]
        self.acknowledged = set()
        self.tls = tls

    def play(self):
        for token, size in zip(self.tokens, self.sizes):
            with self.relay.connect() as wire:
                visitor = Visitor(wire)
                greeting = visitor.hears()
                if greeting is None or not visitor.ask('EHLO me\r\n', '250'):
                    continue
                if self.tls:
                    if not visitor.ask('STARTTLS\r\n', '220'):
                        continue
                    try:
                        wire.socket = self.tls.wrap_socket(wire.socket, server_hostname='localhost')
                    except OSError:
                        continue
                    if not visitor.ask('EHLO me\r\n', '250'):
                        continue
                if visitor.submit(token, size):
                    self.acknowledged.add(token)
        with harness.Wire.tcp('127.0.0.1', self.relay.pop_port) as wire:
            for line in ('USER bob', 'PASS secret', 'LIST'):
                try:
                    wire.send(line + '\r\n')
                except OSError:
                    break
            while (line := wire.line()) not in (None, '.') and not line.startswith('-ERR'):
                pass
        self.admin.ask('list')
        self.admin.ask('flush')


def start(t, spool, faults, hop, *words):
    secrets = t.file('pop.auth', 'server plain bob secret\n')
    secrets.chmod(0o644)
    relay = t.relay('--admin=0', '--pop', '--pop-port=0', f'--pop-auth={secrets}', *words, spool=spool, env=faults.env,
                    forward_to=hop.address, verbose=None)
    relay.pop_port = int(relay.wait_log(r'pop server on .*[:.](\d+)$').group(1))
    return relay, Admin(relay)


def step_through(t, which, steps, *words, tls=None):
    spool = t.spool()
    faults = Faults(t, spool)
    hop = Hop(t)
    relay, admin = start(t, spool, faults, hop, *words)

    def settle(played, what):
        """All that was acknowledged gets to the next hop, and nothing stays."""
        for _ in range(3):  # what a forwarder has in hand is not the next one's
            admin.ask('flush')
            if spool.empty():
                break
        until(spool.empty, f'{what}: everything sent; there is {spool.names()}')
        missing = played.acknowledged - set(hop.tokens())
        if missing:
            fail(f'{what}: lost: {missing}')

    def count_calls():
        faults.arm(count, which=which)
        calm = Round(relay, admin, 'calm', tls)
        calm.play()
        calls = faults.calls
        faults.disarm()
        equal(calm.acknowledged, set(calm.tokens))
        settle(calm, 'calm')
        return calls

    count_calls()  # much is allocated but once
    calls = count_calls()
    refused, hits = 0, 0
    for how_many, times in steps:
        for i in range(times):
            n = calls * i // times
            played = Round(relay, admin, f'{how_many}.{i}', tls)
            faults.arm(fail_it, n, how_many=how_many, which=which)
            played.play()
            faults.disarm()
            hits += faults.hits
            refused += len(played.tokens) - len(played.acknowledged)
            with t.row(f'{how_many} from the {n}th of {calls} on ({faults.call(n)})'):
                if not relay.running():
                    fail(f'it ended: {relay.process.returncode}')
                settle(played, 'after it')
                after = Round(relay, admin, f'after.{how_many}.{i}', tls)
                after.play()
                equal(after.acknowledged, set(after.tokens), 'the next ones')
            if not relay.running() or len(t.problems) > 3:
                return
    hop.check_whole()
    assert hits, 'nothing failed'
    relay.terminate()
    return refused


@harness.limit(400)
def test_of_the_program(t):
    """A single allocation, a few, or all for some seconds."""
    step_through(t, memory, [(1, 80), (30, 40), (1000, 10)])


@harness.limit(400)
def test_of_libraries(t):
    """OpenSSL and the others are told that there is none."""
    authority = Authority(t)
    certificate = authority.issue('localhost', san='DNS:localhost')
    step_through(t, library_memory, [(1, 60), (20, 30)], '--server-tls', f'--server-tls-certificate={certificate}',
                 tls=context(authority))


def test_with_little(t):
    """More recipients than there is memory for: some clients are sent away, the process lives, and others are served."""
    if sanitized:
        raise harness.Skip('a sanitizer needs all addresses: make test-release')
    spool = t.spool()
    relay = t.relay('--max-idle-commands=0', '--threads=2', spool=spool, verbose=None)
    relay.greeted().close()
    room = memory_of(relay.pid, 'VmSize') + 60_000_000
    resource.prlimit(relay.pid, resource.RLIMIT_AS, (room, room))
    flood = b''.join(b'RCPT TO:<%s%05d@d>\r\n' % (b'x' * 240, n) for n in range(9000))
    clients = []

    def visit():
        visitor = Visitor(relay.connect())
        clients.append(visitor)  # it stays
        if not select.select([visitor.wire.socket], [], [], 3)[0]:
            return  # nobody is let in while there is no memory
        if visitor.hears() is None or not visitor.ask('EHLO me\r\n', '250') or not visitor.ask('MAIL FROM:<a@b>\r\n', '250'):
            return
        try:
            for at in range(0, len(flood), 20_000):
                visitor.wire.send(flood[at:at + 20_000])
                if not visitor.wire.socket.recv(65536):
                    return
        except OSError:
            pass
    for _ in range(4):
        threads = [threading.Thread(target=visit) for _ in range(15)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert relay.running(), relay.output
    equal(len(clients), 60)
    relay.wait_log('smtp connection closed: out of memory: |session: std::bad_alloc')
    for visitor in clients:
        visitor.wire.close()
    until(lambda: Visitor(relay.connect()).hears(), 'memory is back')
    with relay.greeted() as wire:
        equal(wire.submit(message('after.', 100_000))[0], 250)
    equal(len(spool.messages()), 1)
    relay.terminate()
