"""What 250 promises (design.md section 4): flushed before it is said, and there after a crash or a power cut."""
import concurrent.futures
import hashlib
import os
import random
import re
import signal
import threading
import time

import harness
import recorder
from harness import equal, fail, match, need
from test_filters import script

processed = b'250 message processed'


def message(token, size=1000):
    """A message that shows by itself whether it is whole."""
    filler = (f'{token} ' * (size // (len(token) + 1) + 1))[:size]
    text = ''.join(filler[i:i + 70] + '\r\n' for i in range(0, len(filler), 70))
    text = f'.first line\r\n{text}.last line {token}\r\n'
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f'Subject: test\r\nX-Token: {token}\r\nX-Digest: {digest}\r\n\r\n{text}'.encode()


def token_of(content):
    found = re.search(rb'^X-Token: (\S+)\r$', content, re.M)
    return found.group(1).decode() if found else None


def is_whole(content):
    head, _, text = content.partition(b'\r\n\r\n')
    found = re.search(rb'^X-Digest: (\S+)$', head.replace(b'\r', b''), re.M)
    return bool(found) and hashlib.sha256(text).hexdigest().encode() == found.group(1)


def recorded(t, *words, more=(), **options):
    need('strace')
    folder = t.dir / f'trace{len(t.processes)}'
    relay = t.relay(*words, prefix=recorder.prefix(folder, *more), **options)
    return relay, lambda: (relay.terminate(), recorder.Record(folder, relay.spool.path))[1]


def check_flushed(record, port, token, nth=1):
    """The message and its recipient were on disk when its 250 went out."""
    at = record.reply_time(port, processed, nth)
    disk = record.durable_octets(at)
    for what in (f'.last line {token}\r\n', f'X-Token: {token}\r\n', f'{token}@example.net'):
        if what.encode() not in disk:
            later = [(round(e - at, 4), os.path.basename(p)) for _, e, p in record.flush_calls if e > at][:5]
            fail(f'{token}: {what!r} was not on disk when 250 was sent; flushes after it: {later}')


def test_one_message_is_flushed_before_its_250(t):
    relay, done = recorded(t)
    rows = [('small', 1000), ('middle', 100_000), ('large', 600_000)]
    with relay.greeted() as wire:
        for token, size in rows:
            equal(wire.submit(message(token, size), to=[f'{token}@example.net'])[0], 250)
        port = wire.local_port()
        messages = {token_of(m.content): m for m in relay.spool.messages()}
    record = done()
    for nth, (token, size) in enumerate(rows, 1):
        with t.row(token):
            check_flushed(record, port, token, nth)
    with t.row('the large one is flushed as files, and its folder'):
        at = record.reply_time(port, processed, 3)
        sure = record.tree(at, True)
        for path in (messages['large'].content_path, messages['large'].envelope_path):
            if str(path) not in sure:
                fail(f'{path.name} was not durably in the folder')
            file = sure[str(path)]
            if file.content(file.flushed_before(at)) != file.content(at):
                fail(f'{path.name}: octets not flushed')


def test_twenty_at_once_share_flushes(t):
    """On a disk that takes 20 ms for a flush: each message is flushed before its 250, by far fewer flushes than messages."""
    relay, done = recorded(t, more=['-e', 'inject=fdatasync,fsync:delay_enter=20000'], verbose=None)
    count = 20
    wires = [relay.greeted() for _ in range(count)]
    for number, wire in enumerate(wires):
        wire.ask('MAIL FROM:<me@example.com>', 250)
        wire.ask(f'RCPT TO:<n{number}.@example.net>', 250)
        wire.ask('DATA', 354)
        wire.send(harness.dot_stuffed(message(f'n{number}.')))
    before = time.time()
    for wire in wires:
        wire.send(b'.\r\n')
    for wire in wires:
        equal(wire.reply(), (250, ['message processed']))
    after = time.time()
    ports = [wire.local_port() for wire in wires]
    record = done()
    for number, port in enumerate(ports):
        with t.row(f'message {number}'):
            check_flushed(record, port, f'n{number}.')
    flushes = len(record.flushes_between(before, after))
    assert 1 <= flushes <= count // 2, f'{flushes} flushes for {count} messages'


def test_no_sync_flushes_nothing(t):
    relay, done = recorded(t, '--no-sync')
    match(relay.output, r'(?i)info: .*sync|warning: .*sync')
    before = time.time()
    with relay.greeted() as wire:
        for size in (1000, 600_000):
            equal(wire.submit(message('x', size))[0], 250)
    after = time.time()
    record = done()
    equal(record.flushes_between(before, after), [])


def test_flush_that_fails(t):
    """The messages waiting for it get 452 and leave nothing; it goes on when the disk does."""
    need('strace')
    relay = t.relay()
    with relay.greeted() as wire:
        equal(wire.submit(message('before'))[0], 250)
        tracer = t.start([harness.find('strace'), '-f', '-p', str(relay.pid), '-e', 'trace=fsync,fdatasync,syncfs',
                          '-e', 'inject=fsync,fdatasync,syncfs:error=EIO'])
        tracer.wait_output('attached')
        for size in (1000, 600_000):
            code, texts = wire.submit(message('during', size))
            equal(code, 452, f'size {size}, {texts}')
        equal({token_of(m.content) for m in relay.spool.messages()}, {'before'})
        tracer.signal(signal.SIGINT)
        tracer.wait()
        harness.until(lambda: wire.submit(message('after'))[0] == 250, 'working again')
    names = relay.spool.names()
    equal(len(names), 4, f'{names}')
    relay.terminate()


# ---------------------------------------------------------------- power cut

def reboot(t):
    """Makes the machine look restarted to what is started from now on."""
    t.file('boot_id', '11111111-2222-3333-4444-555555555555\n')
    harness.mount_over(t.dir / 'boot_id', '/proc/sys/kernel/random/boot_id')


states = ['absent', 'empty', 'short', 'whole']


def pair(number):
    """All 16 combinations of what can become of content and envelope."""
    return states[number % 4], states[number // 4 % 4]


def ids_by_token(record):
    """Token -> id, of everything that ever had a content file."""
    found = {}
    for file in record.files:
        name = os.path.basename(file.path)
        if name.endswith('.content'):
            token = token_of(file.content(float('inf')))
            if token:
                found[token] = name[:-len('.content')]
    return found


def check_restart(t, record, moment, acknowledged, gone, choose, label):
    """Builds the spool as of a power cut at `moment`, starts a relay on it, and looks for what must be there."""
    folder = t.folder(label, 0o777)
    outcome = record.build(moment, folder, choose)
    spool = harness.Spool(folder)
    relay = t.relay(spool=spool, name=f'emailrelay after {label}')
    ids = ids_by_token(record)
    problems = []
    for token in acknowledged:
        id = ids[token]
        left = {n: o[0] for n, o in outcome.items() if n.startswith(id + '.')}
        for name, original in [(f'{id}.content', record.file_of(record.spool + f'/{id}.content', moment)),
                               (f'{id}.envelope', record.file_of(record.spool + f'/{id}.envelope', moment))]:
            try:
                data = (folder / name).read_bytes()
            except FileNotFoundError:
                problems.append(f'{token}: {name} is not there; the cut had left {left}')
                continue
            if original is None:
                problems.append(f'{token}: {name} had not been there when 250 was sent')
            elif data != original.content(moment):
                problems.append(f'{token}: {name} is damaged ({len(data)} octets of {len(original.content(moment))}); '
                                f'the cut had left {left}')
    for token in gone:
        for name in spool.names():
            if name.startswith(ids[token] + '.'):
                problems.append(f'{token}: forwarded and recorded, and back as {name}; the cut had left '
                                f'{ {n: o[0] for n, o in outcome.items() if n.startswith(ids[token] + ".")} }')
    known = {ids[token] for token in acknowledged}
    for found in spool.messages():
        if found.id not in known and found.id not in {ids[t] for t in gone} and not is_whole(found.body()):
            problems.append(f'{found.id}: never acknowledged, and there in part')
    relay.terminate()
    if problems:
        fail(f'{label}:\n' + '\n'.join(problems[:8]))
    return spool


@harness.limit(180)
def test_power_cut(t):
    """After a power cut at any acknowledgement, whatever was left of what had not been flushed, every message with a 250 is back,
    whole, under its own name; those forwarded and recorded as done are not."""
    harness.need_root('to look restarted')
    harness.private_mounts()
    hop = t.next_hop()
    relay, done = recorded(t, '--forward-on-disconnect', '--connection-timeout=5', forward_to=hop.address)
    with relay.greeted() as wire:
        first_port = wire.local_port()
        # The large one is on disk as files, and their removal need not be.
        for n, size in enumerate([1000, 30_000, 600_000]):
            equal(wire.submit(message(f'sent{n}.', size), to=[f'sent{n}.@example.net'])[0], 250)
        wire.ask('QUIT', 221)
    hop.wait_messages(3)
    relay.spool.wait_empty()
    hop.close()
    wire = relay.greeted()
    port = wire.local_port()
    sizes = [1000] * 16 + [30_000] * 4 + [600_000, 1000, 255_000, 1000]
    for n, size in enumerate(sizes):
        equal(wire.submit(message(f'kept{n}.', size), to=[f'kept{n}.@example.net'])[0], 250)
    record = done()
    wire.close()
    reboot(t)
    tokens = [f'kept{n}.' for n in range(len(sizes))]
    sent = [f'sent{n}.' for n in range(3)]
    order = {}

    def combination(shift):
        def choose(name):
            if name.startswith('.'):
                return states[shift % 4]
            id = name.split('.content')[0].split('.envelope')[0]
            content, envelope = pair(order.setdefault(id, len(order)) + shift)
            return content if name.endswith('.content') else envelope
        return choose

    end = record.reply_time(port, processed, len(sizes))
    for shift in range(16):
        with t.row(f'at the end, combination {shift}'):
            check_restart(t, record, end, tokens, sent, combination(shift), f'cut{shift}')
    for count in (1, 5, 17, 21):
        moment = record.reply_time(port, processed, count)
        for state in states:
            with t.row(f'after {count}, all {state}'):
                check_restart(t, record, moment, tokens[:count], sent if count > 1 else [], lambda name: state, f'cut-{count}-{state}')
    with t.row('before anything was forwarded'):
        moment = record.reply_time(first_port, processed, 3)
        check_restart(t, record, moment, sent, [], lambda name: 'absent', 'early')


@harness.limit(120)
def test_power_cut_twice(t):
    """A cut during the recovery, and once more: replaying is harmless however often."""
    harness.need_root('to look restarted')
    harness.private_mounts()
    relay, done = recorded(t)
    with relay.greeted() as wire:
        port = wire.local_port()
        for n in range(6):
            equal(wire.submit(message(f'k{n}.'), to=[f'k{n}.@example.net'])[0], 250)
    record = done()
    reboot(t)
    wanted = {m.id: (m.content, m.envelope) for m in relay.spool.messages()}
    equal(len(wanted), 6)
    folder = t.folder('cut', 0o777)
    record.build(record.reply_time(port, processed, 6), folder, lambda name: 'absent')
    for turn in range(3):
        relay, _ = recorded(t, spool=harness.Spool(folder))
        equal({m.id: (m.content, m.envelope) for m in relay.spool.messages()}, wanted, f'turn {turn}')
        with relay.connect() as wire:
            wire.expect('220 .*')
        relay.signal(signal.SIGKILL)
        relay.wait()
        trace = relay.words[relay.words.index('-o') + 1].rsplit('/', 1)[0]
        again = recorder.Record(trace, folder)
        # Files that are new in this turn and not flushed vanish; the journal stays as it was.
        sure = again.tree(float('inf'), True)
        for path, file in again.tree(float('inf'), False).items():
            if path not in sure and not os.path.basename(path).startswith('.') and os.path.exists(path):
                os.unlink(path)


# ---------------------------------------------------------------- kill -9

class Senders:
    """Clients that submit as fast as they can until the server is gone; what was acknowledged is kept."""

    def __init__(self, count=8):
        self.count = count
        self.acknowledged = set()
        self.tried = set()
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.serial = 0

    def start(self, port):
        self.port = port
        self.threads = [threading.Thread(target=self.run, args=(n,), daemon=True) for n in range(self.count)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        generator = random.Random(number)
        try:
            while True:
                with harness.Wire.tcp('127.0.0.1', self.port, seconds=20) as wire:
                    wire.expect('220 .*')
                    wire.ask('EHLO x', 250)
                    for _ in range(5):
                        with self.lock:
                            self.serial += 1
                            token = f'm{self.serial}.'
                            self.tried.add(token)
                        size = generator.choice([100, 3000, 3000, 20_000, 300_000])
                        if wire.submit(message(token, size), to=[f'{token}@example.net'])[0] == 250:
                            with self.changed:
                                self.acknowledged.add(token)
                                self.changed.notify_all()
                    wire.ask('QUIT')
        except (OSError, AssertionError):
            pass

    def wait_acknowledged(self, more):
        with self.changed:
            wanted = len(self.acknowledged) + more
            if not self.changed.wait_for(lambda: len(self.acknowledged) >= wanted, 60):
                fail('too slow: no progress before the kill')

    def join(self):
        for thread in self.threads:
            thread.join(30)


@harness.limit(240)
def test_kill_9_during_load(t):
    """Ten times. Every message that got its 250 is there after the restart, whole, and is forwarded; nothing in part is."""
    hop = t.next_hop()
    senders = Senders()
    generator = random.Random(4711)
    for turn in range(10):
        # Every other time it forwards meanwhile.
        forwarding = turn % 2 == 1
        relay = t.relay(*(['--forward-on-disconnect'] if forwarding else []), forward_to=hop.address, verbose=None)
        senders.start(relay.port)
        senders.wait_acknowledged(generator.randrange(5, 60))
        relay.kill()
        senders.join()
        present = {token_of(m.content) for m in relay.spool.messages('busy') + relay.spool.messages()}
        sent = {token_of(m.body) for m in hop.messages}
        lost = senders.acknowledged - present - sent
        assert not lost, f'turn {turn}: acknowledged and gone: {sorted(lost)[:10]}'
    assert len(senders.acknowledged) >= 50
    t.forward(hop.address, seconds=120)
    broken = [m for m in hop.messages if not is_whole(m.body)]
    assert not broken, f'{len(broken)} sent in part: {broken[0].body[:300]!r}'
    sent = {token_of(m.body) for m in hop.messages}
    equal(sorted(senders.acknowledged - sent), [], 'acknowledged and never forwarded')
    assert sent <= senders.tried
    relay.spool.check_empty('all gone in the end')


def test_restart_removes_what_a_killed_process_left(t):
    """Its .new, .tmp and content without envelope; nothing of others."""
    relay = t.relay()
    with relay.greeted() as wire:
        equal(wire.submit(message('whole'))[0], 250)
    half = relay.greeted()
    for line in ('MAIL FROM:<a@b>', 'RCPT TO:<a@b>', 'DATA'):
        half.ask(line)
    half.send(b'x' * 300_000 + b'\r\n')
    harness.until(lambda: len(relay.spool.names()) == 3, 'half a message')
    relay.kill()
    relay.spool.write('foreign.content', b'x')
    relay.spool.write('foreign.envelope.new', b'x')
    ours = relay.spool.one().id
    relay = t.relay()
    equal(relay.spool.names(), sorted([f'{ours}.content', f'{ours}.envelope', 'foreign.content', 'foreign.envelope.new']))


def test_restart_keeps_what_was_put_aside(t):
    """A message whose envelope gets another name by hand while it waits for its turn."""
    hop = t.next_hop({'DATA': harness.Stall})
    spool = t.spool()
    ids = [f'emailrelay.1.{n}.1' for n in range(1, 6)]
    for number in ids:
        spool.add(number, message(number))
    relay = t.relay('--forward', spool=spool, forward_to=hop.address)
    hop.wait_line('DATA')
    ready, parked = spool.path / f'{ids[-1]}.envelope', spool.path / f'{ids[-1]}.envelope.parked'
    os.rename(ready, parked)
    relay.kill()
    t.relay(spool=spool).terminate()
    os.rename(parked, ready)
    equal({m.id: is_whole(m.content) for m in spool.messages()}, {number: True for number in ids})


def test_restart_keeps_what_a_mailbox_shares(t):
    """A client filter has put the envelope into the sub-directory of a POP user; the content stays where it was."""
    hop = t.next_hop()
    spool = t.spool()
    alice = t.folder(f'{spool.path.name}/alice', 0o777)
    ids = [f'emailrelay.1.{n}.1' for n in range(1, 4)]
    for number in ids:
        spool.add(number, message(number))
    program = script(t, f'case "$1" in *{ids[1]}*) mv "$2" "{alice}/{ids[1]}.envelope"; touch {t.dir}/moved; exec sleep 1000;; esac')
    relay = t.relay('--forward', spool=spool, forward_to=hop.address, client_filter=program)
    harness.until(lambda: (t.dir / 'moved').exists(), 'envelope moved')
    relay.kill()
    t.relay(spool=spool).terminate()
    equal(os.listdir(alice), [f'{ids[1]}.envelope'])
    assert is_whole((spool.path / f'{ids[1]}.content').read_bytes())
    equal([m.id for m in spool.messages()], [ids[2]])


# ---------------------------------------------------------------- full disk

@harness.limit(120)
def test_full_disk(t):
    harness.need_root('to mount a small file system')
    harness.private_mounts()
    path = t.dir / 'small'
    harness.mount_tmpfs(path, 'size=24m,mode=777')
    spool = harness.Spool(t.dir / 'small' / 'spool')
    os.mkdir(spool.path, 0o777)
    os.chmod(spool.path, 0o777)
    relay = t.relay(spool=spool, verbose=None)
    filler = path / 'filler'

    def fill(leave):
        with open(filler, 'ab', 0) as f:
            while True:
                info = os.statvfs(path)
                room = info.f_bavail * info.f_frsize - leave
                if room <= 0:
                    return
                f.write(bytes(min(room, 1 << 20)))

    with relay.greeted() as wire:
        equal(wire.submit(message('before'))[0], 250)
        for leave in (0, 100_000):
            fill(leave)
            for size in (1000, 200_000, 2_000_000):
                with t.row(f'size {size}, {leave} left'):
                    if size < leave:
                        continue
                    count = len(spool.messages())
                    code, texts = wire.submit(message('during', size))
                    if code == 250 and leave == 0 and size == 1000:
                        # the preallocated journal may hold it; the files could not
                        fail('acknowledged without room for its files')
                    equal(code, 452, str(texts))
                    equal(len(spool.messages()), count)
                    equal(len(spool.names()), 2 * count, f'partial files: {spool.names()}')
            filler.unlink()
            with t.row(f'room again, {leave}'):
                for size in (1000, 200_000):
                    equal(wire.submit(message('after', size))[0], 250)
        # until it is full by itself
        with t.row('to the brim'):
            codes = []
            for n in range(400):
                codes.append(wire.submit(message(f'b{n}.', 90_000))[0])
                if codes[-1] != 250:
                    break
                wire.ask('NOOP', 250)
            equal(set(codes[:-1]) | {codes[-1]}, {250, 452})
            equal(len(spool.names()), 2 * len(spool.messages()), 'partial files')
            assert all(is_whole(m.body()) for m in spool.messages())
    relay.terminate()
    hop = t.next_hop()
    count = len(spool.messages())
    t.forward(hop.address, spool=spool)
    equal(len(hop.messages), count)
    spool.check_empty()


def test_start_on_a_full_disk(t):
    """It starts, says 452, and works when there is room."""
    harness.need_root('to mount a small file system')
    harness.private_mounts()
    path = t.dir / 'small'
    harness.mount_tmpfs(path, 'size=1m,mode=777')
    spool = harness.Spool(path)
    (path / 'filler').write_bytes(b'')
    with open(path / 'filler', 'wb', 0) as f:
        try:
            while True:
                f.write(bytes(4096))
        except OSError:
            pass
    relay = t.relay(spool=spool)
    with relay.greeted() as wire:
        equal(wire.submit(message('during'))[0], 452)
        (path / 'filler').unlink()
        harness.until(lambda: wire.submit(message('after'))[0] == 250, 'working when there is room')


def test_two_servers_share_a_spool(t):
    """Each with its own journal; neither touches the other's messages, and both are restored after a crash."""
    spool = t.spool()
    relays = [t.relay(spool=spool, verbose=None) for _ in range(2)]

    def load(relay):
        with relay.greeted() as wire:
            for n in range(25):
                equal(wire.submit(message(f'p{relay.pid}.{n}.'))[0], 250)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(load, relays))
    relays[0].kill()
    third = t.relay(spool=spool)
    load(relays[1])
    equal(len(spool.messages()), 75)
    assert all(is_whole(m.body()) for m in spool.messages())
    relays[1].terminate()
    third.terminate()
    equal(len(spool.messages()), 75)


def test_orderly_end_leaves_no_journal(t):
    relay = t.relay()
    with relay.greeted() as wire:
        equal(wire.submit(message('x'))[0], 250)
    relay.terminate()
    equal(sorted(os.listdir(relay.spool.path)), relay.spool.names(), 'hidden files')
    equal(len(relay.spool.names()), 2)


def test_orderly_end_after_another_process_forwarded(t):
    """The journal goes too when its messages are gone by other hands."""
    hop = t.next_hop()
    relay = t.relay()
    with relay.greeted() as wire:
        for n in range(3):
            equal(wire.submit(message(f'x{n}.'))[0], 250)
    t.forward(hop.address)
    equal(len(hop.messages), 3)
    relay.terminate()
    equal(os.listdir(relay.spool.path), [])
