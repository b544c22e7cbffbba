"""Every call fails while filters run, and is once the moment at which the process is killed: those on the spool, those by which
programs are started, and what is said to them, to filters that are servers, to clients and to the next hop
(tests/support/fault_injection.cpp; test_faults.py has the same without filters).

Each filter leaves its mark: nothing is accepted or sent without having passed all of them.
"""
import errno
import os

import harness
from fault_injection import Faults, count, exchanges, fail_it, fall_short, files, for_good, interrupt, kill
from harness import equal, fail, until
from helper_servers import LineServer, Spamd, milter
from test_admin import Admin
from test_durability import is_whole, message, token_of
from test_faults import Hop, Life, check_files, clear, flush_all, killed_and_followed, step_through
from test_filters import script

sizes = [1000, 300_000]  # by way of the journal, and beyond it
unmarked, edited, from_spamd = b'X-Edited: not\r\n', b'X-Edited: yes\r\n', b'X-Spamd: yes\r\n'
# In place, as a filter may: one write into the file that the relay has open.
edit_in_place = 'open F, "+<", $ARGV[0] or exit 1; sysread F, $_, 2000; exit 1 unless s/X-Edited: not/X-Edited: yes/; ' \
                'sysseek F, 0, 0; syswrite F, $_'


def marked(token, size):
    return unmarked + message(token, size)


def program(t, name='edit.pl'):
    return script(t, edit_in_place, name, '#!/usr/bin/perl')


def chain(t):
    """A program, a server that is asked and one that changes the message; what they may not do is to be slow."""
    asked = LineServer(t, lambda line, n: 'ok\n')

    def answer(content):
        text = from_spamd + content
        return b'SPAMD/1.1 0 EX_OK\r\nContent-length: %d\r\nSpam: False ; 0.0 / 5.0\r\n\r\n' % len(text) + text
    spamd = Spamd(t, answer)
    return [f'--filter={program(t)}', f'--filter=net:{asked.address}', f'--filter=spam-edit:{spamd.address}']


def is_marked(content):
    return edited in content and from_spamd in content


def submit(relay, token, size):
    """The code; None if the connection ended before."""
    try:
        with relay.greeted() as wire:
            return wire.submit(marked(token, size), to=[f'good.{token}@example.net'])[0]
    except (AssertionError, OSError) as e:
        if 'no answer' in str(e) or isinstance(e, TimeoutError):
            raise
        return None


def all_over(relay):
    text = relay.output
    return text.count('smtp connection from ') == text.count('smtp connection closed')


def each_fault(steps, errors=(errno.EMFILE, errno.ENOMEM)):
    for n in range(steps):
        yield n, fail_it, 0, 1
        yield n, fall_short, 0, 1
        yield n, interrupt, 0, 1
    for error in errors:
        for n in range(0, steps, 5):
            yield n, fail_it, error, 30


def described(todo, error, n, call, codes):
    return f'{["", "", "failure", "", "short", "interrupted"][todo]} {os.strerror(error) if error else ""} at call {n} ({call}), {codes}'


def step_through_accepting(t, which, errors, wanted):
    spool = t.spool()
    faults = Faults(t, spool)
    relay = t.relay(*chain(t), '--filter-timeout=10', spool=spool, env=faults.env, verbose=None)
    refused, kinds = 0, set()
    for size in sizes:
        equal(submit(relay, 'warm.', size), 250)
        clear(spool)
        faults.arm(count, which=which)
        equal(submit(relay, 'first.', size), 250)
        steps = faults.calls
        faults.disarm()
        kinds |= faults.kinds()
        check_files(spool, {'first.'})
        clear(spool)
        for n, todo, error, how_many in each_fault(steps, errors):
            token = f'{size}.{n}.'
            faults.arm(todo, n, error, how_many, which)
            code = submit(relay, token, size)
            faults.disarm()
            with t.row(described(todo, error, n, faults.call(n), code)):
                if code not in (250, 452, None) or (code is None and which == files):
                    fail('another reply')
                refused += code != 250
                # One that its client does not know to be accepted may be.
                until(lambda: all_over(relay), 'session over')
                unknown = code is None and len(spool.names()) == 2
                check_files(spool, {token} if code == 250 or unknown else set())
                for m in spool.messages():
                    if not is_marked(m.content):
                        fail('accepted without a filter')
                    if not is_whole(m.content):
                        fail('damaged')
            clear(spool)
            if not relay.running() or len(t.problems) > 5:
                return
    equal(wanted - kinds, set(), f'calls that are not made any more; seen {kinds}')
    assert refused >= 5, f'{refused} refused: the faults do not reach it'
    equal(submit(relay, 'last.', 1000), 250)
    check_files(spool, {'last.'})
    relay.terminate()


@harness.limit(400)
def test_files_while_accepting(t):
    step_through_accepting(t, files, (errno.ENOSPC, errno.EIO), {'create', 'write', 'pwrite', 'fdatasync', 'fsync', 'renameat2', 'renameat', 'close'})


@harness.limit(400)
def test_exchanges_while_accepting(t):
    """With programs, with servers, with the client."""
    step_through_accepting(t, exchanges, (errno.EMFILE, errno.ENOMEM), {'socketpair', 'pipe2', 'sendmsg', 'recvmsg', 'clone', 'connect'})


class Job:
    """A message that a client filter changes and a next hop takes, or refuses."""

    def __init__(self, spool, number):
        self.spool = spool
        self.tokens = {kind: f'{kind}.{number}.' for kind in ('good', 'refused')}
        for n, (kind, size) in enumerate([('good', 100_000), ('refused', 1000)]):
            spool.add(f'emailrelay.1.{n + 1}.{number + 1}', marked(self.tokens[kind], size), to=[f'{kind}@x'])

    def check(self, hop):
        sent = set(hop.tokens())
        there = {token_of(m.content): m for state in ('', 'bad', 'busy') for m in self.spool.messages(state)}
        for kind, token in self.tokens.items():
            if token not in sent and token not in there:
                fail(f'{kind}: lost')
            if token in there and not is_whole(there[token].content):
                fail(f'{kind}: damaged')
        for m in hop.messages:
            if edited not in m.body or not is_whole(m.body):
                fail(f'sent unfiltered or in part: {m.body[:60]!r}')


# A filter that is run again for a message finds its mark there.
edit_once = edit_in_place.replace('exit 1 unless', 'exit 0 if /X-Edited: yes/; exit 1 unless')


def forwarding(t, spool, faults, hop, wait=True):
    """With two filters: a program and a server."""
    edit = script(t, edit_once, 'edit-once.pl', '#!/usr/bin/perl')
    asked = LineServer(t, lambda line, n: 'ok\n')
    return t.relay('--admin=0', f'--client-filter={edit}', f'--client-filter=net:{asked.address}', '--filter-timeout=10', spool=spool,
                   env=faults.env, forward_to=hop.address, verbose=None, wait=wait)


def step_through_forwarding(t, which, errors, wanted):
    spool = t.spool()
    faults = Faults(t, spool)
    hop = Hop(t)
    relay = forwarding(t, spool, faults, hop)
    admin = Admin(relay)

    def calm(number):
        job = Job(spool, number)
        equal(flush_all(admin), 'OK')
        until(lambda: not spool.messages() and not spool.messages('busy'), 'all settled')
        job.check(hop)
        clear(spool)

    calm(0)
    faults.arm(count, which=which)
    calm(1)
    steps = faults.calls
    faults.disarm()
    equal(wanted - faults.kinds(), set(), f'calls that are not made any more; seen {faults.kinds()}')
    for number, (n, todo, error, how_many) in enumerate(each_fault(steps, errors), 2):
        job = Job(spool, number)
        faults.arm(todo, n, error, how_many, which)
        try:
            answer = flush_all(admin)
        except (AssertionError, OSError):  # it may be the administrator's connection
            answer = None
        faults.disarm()
        with t.row(described(todo, error, n, faults.call(n), answer)):
            if not relay.running():
                fail(f'it ended: {relay.process.returncode}')
            if answer is None:
                admin = Admin(relay)
                flush_all(admin)
            job.check(hop)
        clear(spool)
        hop.messages.clear()
        if len(t.problems) > 5 or not relay.running():
            return
    calm(100_000)
    relay.terminate()


@harness.limit(400)
def test_files_while_forwarding(t):
    step_through_forwarding(t, files, (errno.ENOSPC, errno.EIO), {'renameat2', 'unlinkat', 'pread', 'fsync', 'openat'})


@harness.limit(400)
def test_exchanges_while_forwarding(t):
    step_through_forwarding(t, exchanges, (errno.EMFILE, errno.ENOMEM), {'socketpair', 'pipe2', 'sendmsg', 'recvmsg', 'clone', 'connect'})


# ---------------------------------------------------------------- kill -9

@harness.limit(600)
def test_kill_while_filters_run(t):
    """At any call on the spool of accepting and forwarding with filters on both sides that change the content where it stands."""
    words = chain(t)[:1] + [f'--client-filter={script(t, edit_once, "edit-once.pl", "#!/usr/bin/perl")}']

    def start(life):
        return t.relay('--admin=0', '--forward-to-some', *words, spool=life.spool, env=life.faults.env, forward_to=life.hop.address,
                       verbose=None)

    def one(n):
        life = Life(t, n, 'filtered', marked)

        def check():
            for m in life.hop.messages:
                if edited not in m.body:
                    fail('sent unfiltered')
        return killed_and_followed(life, n, lambda: start(life), check)

    steps = step_through(t, one)
    assert t.problems or (steps and steps > 40), f'only {steps} calls'


def test_kill_while_a_milter_changes_the_body(t):
    """Of a message that is being accepted nothing is left, of one that was to be sent the message."""
    _, address = milter(t, at='eom', sleep=1000, changes=[['replacebody', 70_000]])
    for kind in ('filter', 'client-filter'):
        with t.row(kind):
            spool = t.spool(f'spool-{kind}')
            relay = t.relay('--admin=0', f'--{kind}=milter:{address}', spool=spool, forward_to=t.next_hop().address)
            if kind == 'filter':
                wire = relay.greeted()
                for line in ('MAIL FROM:<a@b>', 'RCPT TO:<a@b>', 'DATA'):
                    wire.ask(line)
                wire.send(b'Subject: x\r\n\r\ntext\r\n.\r\n')
            else:
                spool.add('emailrelay.1.1.1', marked('to-be-sent.', 1000))
                asked = Admin(relay)
                asked.send('flush')
            until(lambda: any(n.endswith('.content.body') for n in spool.names()), 'body being written')
            relay.kill()
            t.relay(spool=spool).terminate()
            equal(spool.names(), [] if kind == 'filter' else ['emailrelay.1.1.1.content', 'emailrelay.1.1.1.envelope'])


# ---------------------------------------------------------------- split: as client filter

class Splitting:
    """A message to three domains is split when it is to be sent, with a fault or a kill at the n-th call."""
    recipients = ['a@a.net', 'b@b.net', 'c@c.net']

    def __init__(self, t, label, n):
        self.t, self.n = t, n
        self.spool = t.spool(f'spool-{label}-{n}')
        self.faults = Faults(t, self.spool, f'faults-{label}-{n}')
        self.spool.add('emailrelay.1.1.1', marked('split.', 1000), to=self.recipients)
        self.hop = t.next_hop()

    def run(self, *how):
        """True if the call came. What the process has left is taken up by the next one."""
        self.faults.arm(*how)
        user = ['--user=root'] if harness.is_root() else []
        self.t.try_run([self.t.program, '--as-client', self.hop.address, f'--spool-dir={self.spool.path}', '--client-filter=split:', *user],
                       env=self.faults.env)
        hit = self.faults.hits > 0
        self.faults.disarm()
        self.t.relay(spool=self.spool).terminate()
        return hit

    def check(self, repeats, leaves=lambda call: False):
        """Each recipient has the message or will have it; more than once only if it `repeats`. A file without envelope only if it `leaves` one."""
        messages = [m for state in ('', 'bad', 'busy') for m in self.spool.messages(state)]
        kept = [r for m in messages for r in m.fields('To-Remote')]
        sent = [r[len('RCPT TO:<'):-1] for m in self.hop.messages for r in m.recipients]
        call = self.faults.call(self.n)
        equal(set(kept) | set(sent), set(self.recipients), call)
        if not repeats(call):
            equal(sorted(kept + sent), self.recipients, call)
        for m in messages:
            if not is_whole(m.content):
                fail(f'{call}: damaged')
        if not leaves(call):
            equal(len(self.spool.names()), 2 * len(messages), f'{call}: {self.spool.names()}')


@harness.limit(300)
def test_kill_while_a_client_filter_splits(t):
    def one(n):
        splitting = Splitting(t, 'killed', n)
        killed = splitting.run(kill, n)
        splitting.check(repeats=lambda call: True)
        return killed

    steps = step_through(t, one)
    assert t.problems or (steps and steps > 40), f'only {steps} calls'


@harness.limit(300)
def test_faults_while_a_client_filter_splits(t):
    """Then the message stays whole, and the new ones are withdrawn."""
    def one(n):
        splitting = Splitting(t, 'failed', n)
        failed = splitting.run(fail_it, n, errno.EIO)
        splitting.check(repeats=lambda call: call.startswith('unlink'), leaves=lambda call: call.startswith('unlink'))
        return failed

    steps = step_through(t, one)
    assert t.problems or (steps and steps > 40), f'only {steps} calls'
