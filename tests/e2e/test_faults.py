"""Every system call on the spool fails once, and is once the moment at which the process is killed.

The calls of one piece of work are counted first; then the work is done again and again, each time with the next
call made to fail, to fall short, to be interrupted, or with the process killed in front of it
(tests/support/fault_injection.cpp). After each: the right reply, the right files, the server alive; nothing that
was acknowledged is lost or damaged, and nothing goes out in part.
"""
import concurrent.futures
import errno
import os
import re
import signal
import threading

import harness
from fault_injection import Faults, count, fail_it, fall_short, for_good, interrupt, kill, sockets
from harness import equal, fail, until
from test_admin import Admin
from test_durability import is_whole, message, token_of

class Hop(harness.NextHop):
    """Takes what is for "good", refuses "bad"; content for "refused" is refused."""

    def __init__(self, t):
        super().__init__(t, {'RCPT': lambda line: '550 no' if '<bad' in line else '250 ok',
                             'DATA': self.data})

    def data(self, _):
        with self.changed:
            last = [line for _, line in self.lines if line.startswith('RCPT')][-1]
        return '554 not this one' if '<refused' in last else '354 go'

    def tokens(self):
        with self.changed:
            return [token_of(m.body) for m in self.messages]

    def check_whole(self):
        with self.changed:
            for m in self.messages:
                if not is_whole(m.body):
                    fail(f'sent in part: {token_of(m.body)}, {len(m.body)} octets')


sizes = [1000, 100_000, 300_000]  # in memory, in its file already, beyond the journal


def submit_all(wire, label, acknowledged):
    """Messages of each size; what got its 250 is added to `acknowledged`. The codes."""
    codes = []
    for size in sizes:
        token = f'{label}.{size}.'
        codes.append(wire.submit(message(token, size), to=[f'good.{token}@example.net'])[0])
        if codes[-1] == 250:
            acknowledged.add(token)
    return codes


def present(spool):
    """Token -> message of everything ready; what is there in part fails."""
    found = {}
    for m in spool.messages():
        content = m.body()
        if not is_whole(content):
            fail(f'{m.id} is damaged')
        found[token_of(content)] = m
    return found


def clear(spool):
    for name in spool.names():
        (spool.path / name).unlink(missing_ok=True)


def check_files(spool, acknowledged):
    """Exactly the acknowledged messages, whole, and no other file. Files of a refused one go behind the reply."""
    until(lambda: len(spool.names()) == 2 * len(acknowledged),
          f'{len(acknowledged)} messages and nothing else; there is {spool.names()}')
    equal(set(present(spool)), acknowledged)


def each_fault(steps):
    """(n, todo, error, how many from then on): every call by the error that fits it, and by all the others."""
    for n in range(steps):
        yield n, fail_it, 0, 1
        yield n, fall_short, 0, 1
        yield n, interrupt, 0, 1
    for error in (errno.ENOSPC, errno.EIO, errno.EMFILE, errno.ENOMEM):
        for n in range(0, steps, 3):
            yield n, fail_it, error, for_good


@harness.limit(240)
def test_accepting(t):
    """Any call of accepting and committing fails: 250 or 452, the files accordingly, and the next message is taken."""
    spool = t.spool()
    faults = Faults(t, spool)
    relay = t.relay(spool=spool, env=faults.env, verbose=None)
    wire = relay.greeted()
    faults.arm(count)
    acknowledged = set()
    equal(submit_all(wire, 'first', acknowledged), [250, 250, 250])
    faults.disarm()
    check_files(spool, acknowledged)
    steps = faults.calls
    missing = {'create', 'pwrite', 'write', 'fdatasync', 'fsync', 'renameat2', 'close'} - faults.kinds()
    equal(missing, set(), f'calls that are not made any more; seen {faults.kinds()}')
    clear(spool)
    refused = 0
    for n, todo, error, how_many in each_fault(steps):
        acknowledged = set()
        faults.arm(todo, n, error, how_many)
        codes = submit_all(wire, f'n{n}', acknowledged)
        faults.disarm()
        what = f'{["", "", "failure", "", "short", "interrupted"][todo]} {os.strerror(error) if error else ""} ' \
               f'at call {n} ({faults.call(n)}), {codes}'
        with t.row(what):
            if not set(codes) <= {250, 452}:
                fail('another reply')
            if todo in (fall_short, interrupt) and faults.call(n).split(' ')[0] in ('write', 'pwrite', 'fdatasync', 'fsync'):
                equal(set(codes), {250}, 'a short or interrupted call is no failure')
            refused += codes.count(452)
            check_files(spool, acknowledged)
        clear(spool)
        if len(t.problems) > 5:
            break
    assert refused >= 5, f'{refused} refused: the faults do not reach it'
    acknowledged = set()
    equal(submit_all(wire, 'last', acknowledged), [250, 250, 250])
    relay.terminate()
    check_files(spool, acknowledged)


def test_flush_that_fails_once(t):
    """The very flush that fails is not tried again and then called a success."""
    spool = t.spool()
    faults = Faults(t, spool)
    relay = t.relay(spool=spool, env=faults.env, verbose=None)
    with relay.greeted() as wire:
        for size in sizes:
            with t.row(f'size {size}'):
                # The journal's other threads flush too, and so the n-th call may be another one the next time.
                until(lambda: refused_flushes(wire, faults, spool, size), 'a flush whose failure matters')
    relay.terminate()


def refused_flushes(wire, faults, spool, size):
    """Each flush of a message's acceptance fails once: how many of them the client was told of."""
    faults.arm(count)
    equal(wire.submit(message('whole.', size))[0], 250)
    faults.disarm()
    steps = faults.calls
    clear(spool)
    refused = 0
    for n in range(steps):
        if faults.call(n).split(' ')[0] not in ('fdatasync', 'fsync', 'syncfs'):
            continue
        faults.arm(fail_it, n)
        code = wire.submit(message('failed.', size))[0]
        faults.disarm()
        call = faults.call(n)
        if code == 452:
            refused += 1
        elif faults.hits and 'sync emailrelay.' in call:
            fail(f'{code} after a failed {call}')
        check_files(spool, {'failed.'} if code == 250 else set())
        clear(spool)
    return refused


class Work:
    """Messages that a next hop takes, refuses, and takes for some recipients; what may have become of each."""

    def __init__(self, spool, label):
        self.spool, self.label = spool, label
        self.tokens = {kind: f'{label}.{kind}.' for kind in ('good', 'refused', 'some')}
        self.ids = {}
        for n, (kind, to) in enumerate([('good', ['good@x']), ('refused', ['refused@x']), ('some', ['good@x', 'bad@x'])]):
            id = f'emailrelay.1.{n + 1}.{label.strip("n")}'
            size = 100_000 if kind == 'good' else 1000
            self.ids[kind] = id
            spool.add(id, message(self.tokens[kind], size), to=to)

    def check(self, sent, settled):
        """Nothing lost; with `settled` each is where it belongs."""
        names = set(self.spool.names())
        for kind, id in self.ids.items():
            states = {n[len(id) + 9:] or '.ready' for n in names if n.startswith(id + '.envelope')}
            was_sent = self.tokens[kind] in sent
            if not states and not was_sent:
                fail(f'{kind}: lost')
            if len(states) > 1 and states != {'.busy', '.busy.tmp'}:
                fail(f'{kind}: {states}')
            if states and not is_whole((self.spool.path / f'{id}.content').read_bytes()):
                fail(f'{kind}: damaged')
            if settled:
                wanted = set() if kind == 'good' else {'.bad'}
                equal(states, wanted, kind)
            if kind == 'some' and states == {'.bad'}:
                envelope = (self.spool.path / f'{id}.envelope.bad').read_text()
                if 'X-MailRelay-To-Remote: bad@x' not in envelope:
                    fail('the refused recipient is lost')
                if was_sent and 'X-MailRelay-To-Remote: good@x' in envelope and settled:
                    fail('the recipient that has it is still there')


def flush_all(admin):
    return admin.ask('flush').strip()


@harness.limit(240)
def test_forwarding(t):
    """Any call of forwarding, failing and rewriting fails: nothing is lost or sent in part, and it goes on afterwards."""
    spool = t.spool()
    faults = Faults(t, spool)
    hop = Hop(t)
    relay = t.relay('--admin=0', '--forward-to-some', spool=spool, env=faults.env, forward_to=hop.address, verbose=None)
    admin = Admin(relay)
    work = Work(spool, 'n0')
    faults.arm(count)
    equal(flush_all(admin), 'OK')
    until(lambda: len(spool.names()) == 4, 'two failed messages')
    faults.disarm()
    work.check(hop.tokens(), True)
    steps = faults.calls
    missing = {'renameat', 'renameat2', 'unlinkat', 'pread', 'create', 'write', 'lock'} - faults.kinds()
    equal(missing, set(), f'calls that are not made any more; seen {faults.kinds()}')
    clear(spool)
    for number, (n, todo, error, how_many) in enumerate(each_fault(steps), 1):
        work = Work(spool, f'n{number}')
        seen = len(relay.output)
        faults.arm(todo, n, error, how_many)
        answer = flush_all(admin)
        faults.disarm()
        what = f'{["", "", "failure", "", "short", "interrupted"][todo]} {os.strerror(error) if error else ""} ' \
               f'at call {n} ({faults.call(n)}), flush: {answer}'
        with t.row(what):
            work.check(hop.tokens(), False)
            if any(n.endswith(('.envelope', '.busy')) for n in spool.names()):
                until(lambda: re.search('(warning|error): ', relay.output[seen:]), 'a word why a message stays', 5)
        clear(spool)
        if len(t.problems) > 5:
            break
    hop.check_whole()
    work = Work(spool, 'n9999')
    equal(flush_all(admin), 'OK')
    until(lambda: len(spool.names()) == 4, 'two failed messages')
    work.check(hop.tokens(), True)
    relay.terminate()


def test_descriptors_for_sockets(t):
    """No descriptor for a connection that comes, nor for one to the next hop: others are served, and it goes on."""
    spool = t.spool()
    faults = Faults(t, spool)
    hop = t.next_hop()
    relay = t.relay('--admin=0', spool=spool, env=faults.env, forward_to=hop.address)
    admin = Admin(relay)
    wire = relay.greeted()
    for error in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
        with t.row(os.strerror(error)):
            token = f'{errno.errorcode[error]}.'
            equal(wire.submit(message(token))[0], 250)
            faults.arm(fail_it, 0, error, for_good, sockets)
            late = relay.connect()
            answer = flush_all(admin)
            until(lambda: faults.hits >= 2, 'connection refused by the system')
            wire.ask('NOOP', 250)
            faults.disarm()
            late.expect('220 .*')
            late.close()
            if token not in [token_of(m.body) for m in hop.messages]:
                if answer == 'OK':
                    fail('OK, and not sent')
                equal(flush_all(admin), 'OK')
            equal([token_of(m.body) for m in hop.messages], [token], answer)
            until(spool.empty, 'sent and gone')
            hop.messages.clear()
    relay.terminate()


def test_connection_gone_before_it_was_taken(t):
    """Of two that wait the first has gone when its turn comes: the second is served without a third having to come."""
    spool = t.spool()
    faults = Faults(t, spool)
    relay = t.relay(spool=spool, env=faults.env)
    relay.process.send_signal(signal.SIGSTOP)
    gone, waiting = relay.connect(), relay.connect()
    faults.arm(fail_it, 0, errno.ECONNABORTED, which=sockets)
    relay.process.send_signal(signal.SIGCONT)
    waiting.expect('220 .*')
    equal(faults.hits, 1)
    equal(gone.line(), None)
    waiting.close()
    relay.terminate()


# ---------------------------------------------------------------- kill -9

def start(t, spool, faults, hop, wait=True):
    return t.relay('--admin=0', '--forward-to-some', spool=spool, env=faults.env, forward_to=hop.address, verbose=None, wait=wait)


class Life:
    """One spool through a life that ends at the n-th call, and through the next one."""

    def __init__(self, t, n, label, make=message):
        self.t, self.n, self.message = t, n, make
        self.spool = t.spool(f'spool-{label}-{n}')
        self.faults = Faults(t, self.spool, f'faults-{label}-{n}')
        self.hop = Hop(t)
        self.acknowledged, self.tried = set(), set()

    def receive_and_forward(self, relay):
        """Until the process is gone. True if it lived through it."""
        try:
            admin = Admin(relay)
            with relay.greeted() as wire:
                self.faults.arm(kill, self.n)
                for size, to in zip(sizes, (['good@x'], ['refused@x'], ['good@x', 'bad@x'])):
                    token = f'k{self.n}.{size}.'
                    self.tried.add(token)
                    if wire.submit(self.message(token, size), to=to)[0] != 250:
                        fail('refused without a fault')
                    self.acknowledged.add(token)
            flush_all(admin)
            return not self.faults.hits
        except (OSError, AssertionError):
            if not self.faults.hits:
                raise
            return False

    def check(self):
        """All that was acknowledged is there whole, or sent."""
        names = self.spool.names()
        odd = [n for n in names if n.endswith(('.new', '.busy', '.tmp'))]
        equal(odd, [], 'left over')
        kept = {token_of(m.body()): m for m in self.spool.messages() + self.spool.messages('bad')}
        for token, m in kept.items():
            if not is_whole(m.body()):
                fail(f'{token} is damaged')
        lost = self.acknowledged - set(kept) - set(self.hop.tokens())
        equal(lost, set(), 'acknowledged and lost')
        equal(len(names), 2 * len(kept), f'files without their message: {names}')
        self.hop.check_whole()


def step_through(t, one, threads=3):
    """Calls one(n) for n = 0, 1, ... until a life is not cut short any more."""
    results, lock, state = [], threading.Lock(), {'next': 0, 'end': None}

    def work():
        while True:
            with lock:
                n = state['next']
                if state['end'] is not None or len(t.problems) > 3:
                    return
                state['next'] = n + 1
            try:
                cut = one(n)
            except (AssertionError, OSError) as e:
                with lock:
                    t.problems.append(f'killed in front of call {n}: {e}')
                continue
            with lock:
                results.append(cut)
                if not cut and state['end'] is None:
                    state['end'] = n

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work) for _ in range(threads)]:
            done.result()
    return state['end']


def killed_and_followed(life, n, start, check=lambda: None):
    """Whether the process was killed, at its n-th call; the next one takes up what it has left. `check` is made at the end, too."""
    relay = start()
    lived = life.receive_and_forward(relay)
    if lived:
        relay.signal(signal.SIGTERM)
    lived = relay.wait() == -signal.SIGTERM
    life.faults.disarm()
    again = start()
    try:
        life.check()
        flush_all(Admin(again))
        equal([m.id for m in life.spool.messages()], [], 'ready, and not forwarded')
        life.check()
        check()
    except AssertionError as e:
        fail(f'{life.faults.call(n)}: {e}')
    again.terminate()
    return not lived


@harness.limit(600)
def test_kill_at_every_call(t):
    """Of committing, forwarding, failing, rewriting, and of the orderly end."""
    def one(n):
        life = Life(t, n, 'life')
        return killed_and_followed(life, n, lambda: start(t, life.spool, life.faults, life.hop))

    steps = step_through(t, one)
    assert t.problems or (steps and steps > 40), f'only {steps} calls'


@harness.limit(300)
def test_kill_at_every_call_of_a_recovery(t):
    """A process that ends while it takes up what another has left: the next one finishes it."""
    def one(n):
        life = Life(t, 10_000, f'recovery{n}')
        relay = start(t, life.spool, life.faults, life.hop)
        with relay.greeted() as wire:
            equal(set(submit_all(wire, 'r', life.acknowledged)), {250})
            half = relay.greeted()
            for line in ('MAIL FROM:<a@b>', 'RCPT TO:<a@b>', 'DATA'):
                half.ask(line)
            half.send(b'x' * 100_000 + b'\r\n')
            until(lambda: len(life.spool.names()) == 7, 'half a message')
        relay.kill()
        half.close()
        life.faults.arm(kill, n)
        second = start(t, life.spool, life.faults, life.hop, wait=False)
        until(lambda: not second.running() or 'smtp server on' in second.output, 'second start')
        cut = not second.running()
        life.faults.disarm()
        if not cut:
            second.terminate()
        third = start(t, life.spool, life.faults, life.hop)
        try:
            life.check()
            equal(set(present(life.spool)), life.acknowledged)
        except AssertionError as e:
            fail(f'{life.faults.call(n)}: {e}')
        third.terminate()
        return cut

    steps = step_through(t, one)
    assert t.problems or (steps and steps > 10), f'only {steps} calls'
