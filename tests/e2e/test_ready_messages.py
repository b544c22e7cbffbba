"""What is in the spool directory is known without reading it again and again, whoever puts it there or takes it away."""
import os
import subprocess
import threading

import harness
from harness import equal, find, limit, match, need

program = harness.bin_dir / 'emailrelay-submit'


class Site:
    """A relay that looks for messages when a connection has closed."""

    def __init__(self, t, address, prefix=(), spool=None, *words):
        self.spool = spool or t.spool()
        self.relay = t.relay('--forward-on-disconnect', *words, forward_to=address, spool=self.spool, prefix=prefix)
        self.runs = 0

    def look(self):
        """A run, and what it logged."""
        before = len(self.relay.lines())
        self.runs += 1
        with self.relay.connect() as wire:
            wire.expect('220 .*')
            wire.ask('QUIT', 221)
        self.relay.wait_log(r'forwarding: \[client disconnect\]', count=self.runs)

        def over():
            text = '\n'.join(self.relay.lines()[before:])
            return text if 'forwarding: no m' in text or 'smtp client error' in text else None
        return harness.until(over, 'end of the run')


def readings(trace, spool):
    """Pieces of the spool directory that have been read."""
    return trace.read_text().count(f'<{spool.path}>')


def strace(trace):
    need('strace')
    return [find('strace'), '-D', '-f', '-y', '-qq', '-o', trace, '-e', 'trace=getdents64']


def test_whatever_others_do_counts_at_the_next_run(t):
    hop = t.next_hop()
    trace = t.dir / 'trace'
    site = Site(t, hop.address, strace(trace))
    spool = site.spool
    sent = 0

    def look(wanted):
        nonlocal sent
        text = site.look()
        sent += wanted
        hop.wait_messages(sent)
        assert wanted or 'no messages to send' in text, text
        assert 'cannot lock' not in text and 'warning' not in text, text
        equal(len(hop.messages), sent)

    look(0)
    at_start = readings(trace, spool)
    assert at_start > 0

    with t.row('written by a script'):
        spool.add('emailrelay.1.1.1')
        look(1)
    with t.row('submitted by a program'):
        t.run([program, f'--spool-dir={spool.path}', '--from=me@example.com', 'you@example.net'], input='Subject: x\n\nhello\n')
        look(1)
    elsewhere = harness.Spool(t.folder('elsewhere'))
    with t.row('moved in'):
        elsewhere.add('foo')
        for name in ('foo.content', 'foo.envelope'):
            os.rename(elsewhere.path / name, spool.path / name)
        look(1)
    with t.row('linked in'):
        elsewhere.add('bar')
        for name in ('bar.content', 'bar.envelope'):
            os.link(elsewhere.path / name, spool.path / name)
        look(1)
    with t.row('taken by another program, and given back'):
        message = spool.add('emailrelay.1.2.1')
        os.rename(message.envelope_path, f'{message.envelope_path}.busy')
        look(0)
        os.rename(f'{message.envelope_path}.busy', message.envelope_path)
        look(1)
    with t.row('edited'):
        spool.add('emailrelay.1.3.1', state='bad')
        look(0)
        edited = spool.add('emailrelay.1.3.1', state='new', to=['other@example.net'])
        os.rename(edited.envelope_path, spool.path / 'emailrelay.1.3.1.envelope')
        look(1)
        equal(hop.messages[-1].recipients, ['RCPT TO:<other@example.net>'])
        os.unlink(spool.path / 'emailrelay.1.3.1.envelope.bad')
    with t.row('deleted'):
        message = spool.add('emailrelay.1.4.1')
        os.unlink(message.envelope_path)
        os.unlink(message.content_path)
        look(0)
    with t.row('made ready again'):
        message = spool.add('emailrelay.1.5.1', state='bad')
        look(0)
        os.rename(message.envelope_path, spool.path / 'emailrelay.1.5.1.envelope')
        look(1)
    with t.row('accepted by another process'):
        other = t.relay(spool=spool)
        with other.greeted() as wire:
            wire.submit(b'Subject: x\r\n\r\nhello\r\n')
        look(1)
        other.terminate()
    spool.check_empty()
    equal(readings(trace, spool), at_start)
    site.relay.terminate()


def test_a_full_spool_is_not_read_for_each_connection(t):
    """A next hop out of reach and 20,000 messages that wait for it, half of them failed ones."""
    spool = t.spool()
    first = spool.add('emailrelay.1.1.1')
    for n in range(2, 10_001):
        for file in (first.envelope_path, first.content_path):
            name = os.path.basename(file).replace('.1.1.1.', f'.1.{n}.1.')
            os.link(file, spool.path / name)
        os.link(first.envelope_path, spool.path / f'emailrelay.2.{n}.1.envelope.bad')
    trace = t.dir / 'trace'
    site = Site(t, f'127.0.0.1:{harness.free_port()}', strace(trace), spool)
    match(site.look(), 'cannot connect')
    at_start = readings(trace, spool)
    for _ in range(10):
        match(site.look(), 'cannot connect')
    equal(readings(trace, spool), at_start)
    assert at_start > 0
    site.relay.terminate()
    equal(len(spool.messages()), 10_000)


def test_more_changes_than_the_kernel_keeps(t):
    kept = int(open('/proc/sys/fs/inotify/max_queued_events').read())
    if kept > 1_000_000:
        raise harness.Skip(f'the kernel keeps {kept} changes')
    hop = t.next_hop()
    site = Site(t, hop.address)
    site.spool.add('emailrelay.1.1.1')
    site.look()
    hop.wait_messages(1)
    with stopped(site.relay):
        a, b = site.spool.path / '.a', site.spool.path / '.b'
        a.write_bytes(b'')
        for _ in range(kept // 2 + 100):
            os.rename(a, b)
            a, b = b, a
        os.unlink(a)
        site.spool.add('emailrelay.1.2.1')  # of this nothing is heard
    site.look()
    hop.wait_messages(2)
    site.spool.add('emailrelay.1.3.1')
    site.look()
    hop.wait_messages(3)
    site.relay.terminate()


class stopped:
    def __init__(self, relay):
        self.relay = relay

    def __enter__(self):
        self.relay.signal(19)

    def __exit__(self, *_):
        self.relay.signal(18)


def still_works(t, site, hop):
    for n in range(1, 4):
        site.spool.add(f'emailrelay.1.{n}.1')
        site.look()
        hop.wait_messages(n)
    message = site.spool.add('foo')
    os.unlink(message.envelope_path)
    os.unlink(message.content_path)
    match(site.look(), 'no messages to send')
    site.spool.check_empty()
    site.relay.terminate()


def test_without_watches(t):
    """The system allows none: the directory is read each time."""
    limits = '/proc/sys/user/max_inotify_instances'
    prefix = [find('unshare'), '--user', '--map-root-user', '--', 'sh', '-c', f'echo 0 >{limits} && exec "$@"', 'sh']
    tried = subprocess.run([*prefix, 'true'], capture_output=True, text=True)
    if tried.returncode != 0:
        raise harness.Skip(f'own user name space: {tried.stderr.strip()}')
    hop = t.next_hop()
    site = Site(t, hop.address, prefix)
    site.relay.wait_log(r'info: spool: the whole directory is read each time: inotify_init: too many open files$')
    still_works(t, site, hop)


def test_on_a_file_system_in_layers(t):
    """The lower ones may change unheard."""
    harness.private_mounts()
    layers = {name: t.folder(name) for name in ('disk', 'spool')}
    harness.mount_tmpfs(layers['disk'], 'mode=755')
    for name in ('lower', 'upper', 'work'):
        os.mkdir(layers['disk'] / name)
    options = ','.join(f'{name}dir={layers["disk"]}/{name}' for name in ('lower', 'upper', 'work'))
    tried = subprocess.run([find('mount'), '-t', 'overlay', 'overlay', '-o', options, layers['spool']], capture_output=True, text=True)
    if tried.returncode != 0:
        raise harness.Skip(f'overlay: {tried.stderr.strip()}')
    hop = t.next_hop()
    site = Site(t, hop.address, (), harness.Spool(layers['spool']))
    site.relay.wait_log(r'info: spool: the whole directory is read each time: watch a file system of type 794c7630')
    still_works(t, site, hop)


@limit(120)
def test_two_processes_share_a_spool(t):
    """Each sees what the other does; every message goes out once."""
    hop = t.next_hop()
    one = Site(t, hop.address)
    two = Site(t, hop.address, (), one.spool)
    count = 60
    for n in range(count):
        one.spool.add(f'emailrelay.1.{n}.1', b'Subject: %d\r\n\r\n' % n)
    both = [threading.Thread(target=site.look) for site in (one, two)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    one.spool.wait_empty()
    equal(sorted(int(m.body.split()[1]) for m in hop.messages), list(range(count)))
    for site in (one, two):
        match(site.look(), 'no messages to send')
        site.relay.terminate()
