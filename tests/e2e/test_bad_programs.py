"""Filters and verifiers that misbehave: they get what the specification says, and nobody else notices: other sessions go on, no process,
zombie or descriptor is left (spec/filters-and-verifiers.md sections 2, 3 and 7)."""
import collections
import contextlib
import os

from harness import equal, limit, until
from test_filters import processed, running, script

good = b'Subject: good\r\n\r\ntext\r\n'
bad = b'Subject: bad\r\n\r\ntext\r\n'
error, rejected = (452, ['error']), (452, ['rejected'])


def processes():
    """pid -> (parent, state, name) of every process there is, zombies too."""
    found = {}
    for entry in os.listdir('/proc'):
        with contextlib.suppress(OSError, ValueError):
            with open(f'/proc/{int(entry)}/stat') as f:
                name, rest = f.read().split('(', 1)[1].rsplit(')', 1)
            state, parent = rest.split()[:2]
            found[int(entry)] = (int(parent), state, name)
    return found


def starters(pid, named='emailrelay-prog'):
    """The process that starts programs (or what the name says) for this one, and its keeper before it: pids."""
    there = processes()
    keepers = [one for one, (parent, _, name) in there.items() if parent == pid and name == named]
    return keepers + [one for one, (parent, _, name) in there.items() if parent in keepers and name == named]


def children(pid):
    """(pid, state) of what this process has had started, zombies too."""
    parents = {pid, *starters(pid)}
    return [(one, state) for one, (parent, state, _) in processes().items() if parent in parents and one not in parents]


def descriptors(relay):
    """How many of each kind that programs and connections need."""
    folder = f'/proc/{relay.pid}/fd'
    found = collections.Counter()
    for number in os.listdir(folder):
        with contextlib.suppress(OSError):
            found[os.readlink(f'{folder}/{number}').split('[')[0]] += 1
    return collections.Counter({kind: found[kind] for kind in ('pipe:', 'anon_inode:', 'socket:')})


def process_group(pid_file):
    """Living processes of the group whose leader has written its pid there."""
    with contextlib.suppress(OSError, ValueError):
        group = int(pid_file.read_text())
        return [int(e) for e in os.listdir('/proc') if e.isdigit() and running(int(e)) and group_of(int(e)) == group]
    return []


def group_of(pid):
    with contextlib.suppress(OSError):
        return os.getpgid(pid)


@contextlib.contextmanager
def nothing_left(relay, spool, folder):
    """Of one row: what the program itself has left in the spool is removed in the end."""
    before = descriptors(relay)
    try:
        yield
        until(lambda: not process_group(folder / 'pid'), 'its group gone')
        until(lambda: not children(relay.pid), 'no process and no zombie left')
        until(lambda: descriptors(relay) <= before, f'no more descriptors than before: {before}')
    finally:
        sweep(folder, spool)


# What a program does when it is its turn, by what it is.
never_ends = {
    'never ends': 'exec sleep 1000',
    'does not listen': 'trap "" TERM; while :; do sleep 1; done',
    'does not listen, nor do its children': 'trap "" TERM; (trap "" TERM; while :; do sleep 1; done) & while :; do sleep 1; done',
    'closes its output and goes on': 'exec >&-; exec sleep 1000',
    'ends, but a child keeps the output open': 'sleep 1000 & exit 0',
    'ends, but a child of another group keeps the output open': f'setsid sh -c "echo \\$\\$ >DIR/escaped; exec sleep 1000" & exit 0',
    'stops itself': 'kill -STOP $$',
}
floods = {
    'prints without end': 'exec yes',
    'prints much and ends well': 'head -c 1000000 /dev/zero; exit 0',
    'prints much and forks': 'yes & yes & exec yes',
}
# How to take away a file $F.
spoilers = {
    'removed': 'rm "$F"',
    'a directory': 'rm "$F"; mkdir "$F"',
    'a symbolic link': 'mv "$F" "$F.moved"; ln -s "$F.moved" "$F"',
    'a link to nothing': 'rm "$F"; ln -s /no/where "$F"',
    'a pipe': 'rm "$F"; mkfifo "$F"',
    'a device': 'rm "$F"; ln -s /dev/zero "$F"',
}


def naughty(t, behaviour):
    """A filter that does this with messages whose subject is "bad", as leader of a group whose number is in `pid`."""
    return script(t, f'grep -q "^Subject: bad" "$1" || exit 0\necho $$ >{t.dir}/pid\n{behaviour.replace("DIR", str(t.dir))}')


def sweep(folder, spool):
    for name in spool.names():
        path = spool.path / name
        os.rmdir(path) if path.is_dir() and not path.is_symlink() else os.unlink(path)
    with contextlib.suppress(OSError, ValueError):
        os.kill(int((folder / 'escaped').read_text()), 9)
    for name in ('pid', 'escaped'):
        (folder / name).unlink(missing_ok=True)


class AsServerFilter:
    """One relay for all rows: what one has done must not be felt in the next."""

    def __init__(self, t):
        self.t = t
        self.program = naughty(t, f'. {t.dir}/behaviour')
        self.relay = t.relay(filter=self.program, filter_timeout=1, threads=1)
        self.others = self.relay.greeted()
        equal(self.others.submit(good), processed)  # it has what it keeps
        sweep(t.dir, self.relay.spool)

    def row(self, behaviour, reply):
        """Another session's message goes through meanwhile."""
        t, relay = self.t, self.relay
        t.file('behaviour', behaviour.replace('DIR', str(t.dir)))
        with nothing_left(relay, relay.spool, t.dir):
            with relay.greeted() as wire:
                wire.hand_over(bad)
                until(lambda: (t.dir / 'pid').exists(), 'it runs')
                equal(self.others.submit(good), processed, 'another session')
                equal(wire.reply(), reply)
                wire.ask('NOOP', 250)
            stored = [m for m in relay.spool.messages() if m.content_path.is_file()]
            equal(sorted(m.body() for m in stored), sorted([good] + [b''] * (reply == processed)))
            if reply == error:
                equal(len(relay.spool.names()), 2, 'files in the spool')


@limit(240)
def test_server_filters(t):
    filters = AsServerFilter(t)
    for name, behaviour in {**never_ends, **floods}.items():
        with t.row(name):
            filters.row(behaviour, error)
    for which in ('1', '2', 'both'):
        for name, spoil in spoilers.items():
            with t.row(f'{which}: {name}'):
                text = ''.join(f'F="${{{n}}}"; {spoil}; ' for n in ('12' if which == 'both' else which))
                filters.row(text + 'exit 0', rejected)
    with t.row('content emptied'):
        filters.row(': >"$1"; exit 0', processed)
    for name, text in {'envelope emptied': ': >"$2"', 'rubbish in the envelope': 'echo rubbish >"$2"', 'half an envelope': 'head -c 100 "$2" >"$2.x"; mv "$2.x" "$2"',
                       'zeros in the envelope': 'head -c 100000 /dev/zero >"$2"', 'a huge envelope': 'head -c 100000000 /dev/zero >>"$2"'}.items():
        with t.row(name):
            filters.row(text + '; exit 0', rejected)
    filters.others.ask('QUIT', 221)


class AsClientFilter:
    def __init__(self, t, **fields):
        self.t, self.fields, self.count = t, fields, 0
        self.program = naughty(t, f'. {t.dir}/behaviour')
        self.hop = t.next_hop()
        self.relay = t.relay('--forward-on-disconnect', client_filter=self.program, filter_timeout=1, forward_to=self.hop.address, threads=1)
        self.spool = self.relay.spool
        self.go()

    def go(self):
        with self.relay.greeted() as wire:
            wire.ask('QUIT', 221)

    def row(self, behaviour):
        """State of the bad message after a run; one that stands behind it in the run arrives."""
        t = self.t
        t.file('behaviour', behaviour.replace('DIR', str(t.dir)))
        arrived = len(self.hop.messages)
        with nothing_left(self.relay, self.spool, t.dir):
            self.spool.add('emailrelay.1.1.1', bad, **self.fields)
            self.spool.add('emailrelay.1.2.1', good)
            self.go()
            until(lambda: (t.dir / 'pid').exists(), 'it runs')
            with self.relay.greeted() as wire:
                wire.submit(b'Subject: other\r\n\r\n')  # goes on in a later run
            until(lambda: good in [m.body for m in self.hop.messages[arrived:]], 'the next message arrived')
            until(lambda: any(b'other' in m.body for m in self.hop.messages[arrived:]), 'that of another session arrived')
            until(lambda: not self.spool.messages('busy'), 'nothing in hand')
            states = [s or 'ready' for s in ('', 'bad') for m in self.spool.messages(s) if m.id == 'emailrelay.1.1.1']
            is_text = states == ['bad'] and self.spool.one('bad').envelope_path.is_file()
            reason = self.spool.one('bad').field('Reason') if is_text else None
            sent = [m.body for m in self.hop.messages[arrived:] if m.body != good and b'other' not in m.body]
        return states, reason, sent


def check_client_filter(t, prefix, **fields):
    filters = AsClientFilter(t, **fields)
    for name, behaviour in never_ends.items():
        with t.row(name):
            equal(filters.row(behaviour), (['bad'], f'{prefix("error")}timeout', []))
    for name, behaviour in floods.items():
        with t.row(name):
            equal(filters.row(behaviour), (['bad'], f'{prefix("error")}too much output', []))
    for name, spoil in spoilers.items():
        with t.row(f'content: {name}'):
            states, reason, sent = filters.row(f'F="$1"; {spoil}; exit 0')
            equal((states, sent), (['bad'], []))
        with t.row(f'envelope: {name}'):
            states, reason, sent = filters.row(f'F="$2"; {spoil}; exit 0')
            equal(sent, [])
        with t.row(f'both: {name}'):
            states, reason, sent = filters.row(f'F="$1"; {spoil}; F="$2"; {spoil}; exit 0')
            equal(sent, [])
    with t.row('content emptied'):
        equal(filters.row(': >"$1"; exit 0'), ([], None, [b'']))
    for text in (': >"$2"', 'echo rubbish >"$2"', 'head -c 100000000 /dev/zero >>"$2"'):
        with t.row(text):
            states, reason, sent = filters.row(f'{text}; exit 0')
            equal((states, sent), (['bad'], []))


@limit(240)
def test_client_filters(t):
    check_client_filter(t, lambda response: '')


@limit(240)
def test_routing_filters(t):
    check_client_filter(t, lambda response: f'routing filter failed: {response}: ', ForwardTo='example.net')


@limit(180)
def test_verifiers(t):
    program = script(t, f'case $1 in bad*) ;; *) echo; echo "$1"; exit 1;; esac\necho $$ >{t.dir}/pid\n. {t.dir}/behaviour')
    relay = t.relay(address_verifier=program, filter_timeout=1, threads=1)
    rows = {name: (text, '450 timeout') for name, text in never_ends.items()} | {name: (text, '550 error') for name, text in floods.items()}
    rows['is killed'] = ('kill -9 $$', '550 mailbox unavailable')
    rows['is killed after its answer'] = ('echo; echo box; kill -9 $$', '550 ')
    with relay.greeted() as others:
        others.ask('MAIL FROM:<s@x>', 250)
        others.ask('RCPT TO:<good@x>', 250)
        for name, (text, answer) in rows.items():
            with t.row(name):
                t.file('behaviour', text.replace('DIR', str(t.dir)))
                with nothing_left(relay, relay.spool, t.dir):
                    with relay.greeted() as wire:
                        wire.ask('MAIL FROM:<s@x>', 250)
                        wire.say('RCPT TO:<bad@x>')
                        until(lambda: (t.dir / 'pid').exists(), 'it runs')
                        others.ask('RCPT TO:<good@x>', 250)
                        equal(wire.line()[:len(answer)], answer)
                        wire.ask('RCPT TO:<good@x>', 250)
