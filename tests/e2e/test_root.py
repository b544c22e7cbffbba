"""Started as root: who the process is, thread by thread, and whose its files are (spec/process-and-logging.md section 4,
spec/spool.md section 7)."""
import contextlib
import grp
import os
import pwd
import re
import shutil
import signal
import stat
import threading

import harness
from harness import Stall, equal, fail, find, match, need


def threads(pid):
    """{thread id: its status fields}; threads that end meanwhile are left out."""
    found = {}
    for task in os.listdir(f'/proc/{pid}/task'):
        try:
            with open(f'/proc/{pid}/task/{task}/status') as f:
                found[int(task)] = dict(line.rstrip('\n').split(':', 1) for line in f if ':' in line)
        except FileNotFoundError:
            pass
    return found


def ids(fields, name):
    """(real, effective, saved, file system)"""
    return tuple(int(n) for n in fields[name].split())


class Watch:
    """Looks at the threads of a process again and again, and keeps what it has seen."""

    def __init__(self, pid):
        self.pid = pid
        self.seen = set()  # (kind of thread, uids, gids, groups)
        self.rounds = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._look)
        self.thread.start()

    def _look(self):
        while not self.over.is_set():
            for task, fields in threads(self.pid).items():
                name = 'main' if task == self.pid else fields['Name'].strip()
                self.seen.add((name, ids(fields, 'Uid'), ids(fields, 'Gid'), fields['Groups'].strip()))
            self.rounds += 1

    def end(self):
        self.over.set()
        self.thread.join()
        return self.seen


def who(path):
    info = os.lstat(path)
    return pwd.getpwuid(info.st_uid).pw_name, grp.getgrgid(info.st_gid).gr_name, oct(stat.S_IMODE(info.st_mode))


def group_spool(t, name='spool', group='daemon'):
    """As the packages make it: root's, for the group, which its files inherit."""
    spool = t.spool(name)
    os.chown(spool.path, 0, grp.getgrnam(group).gr_gid)
    os.chmod(spool.path, 0o2775)
    return spool


@harness.limit(120)
def test_ids_under_load(t):
    """Four network threads receive, flush, forward and refuse: none of them is ever root, and no group of root's stays."""
    harness.need_root('ids')
    need('smtp-source')
    daemon = pwd.getpwnam('daemon')
    hop = t.next_hop({'RCPT': lambda line: '550 no' if 'bad' in line else '250 ok'})
    relay = t.relay('--threads=4', '--forward-on-disconnect', user=None, verbose=None, forward_to=hop.address, spool=group_spool(t))
    watch = Watch(relay.pid)
    try:
        sources = [t.start([find('smtp-source'), '-s', '10', '-m', '300', '-l', size, '-t', to, f'127.0.0.1:{relay.port}'])
                   for size, to in (('2000', 'a@example.net'), ('200000', 'b@example.net'), ('2000', 'bad@example.net'))]
        for source in sources:
            equal(source.wait(100), 0, source.output)
        relay.wait_log('info: failing envelope')
    finally:
        seen = watch.end()
    assert watch.rounds > 20, watch.rounds
    names = {name for name, *_ in seen}
    equal({'main', 'net1', 'net2', 'net3', 'disk', 'journal', 'log'} - names, set(), 'threads that were not there')
    for name, uids, gids, groups in sorted(seen):
        with t.row(f'{name} {uids} {gids} [{groups}]'):
            equal(groups, '', 'supplementary groups')
            equal(gids, (daemon.pw_gid,) * 4, 'gids')
            equal(uids[0], 0, 'real uid')
            equal((uids[1], uids[2]), (daemon.pw_uid,) * 2, 'effective and saved uid')
            if name == 'main' or name.startswith('net'):
                equal(uids[3], daemon.pw_uid, 'file-system uid')
            else:  # those that work on files
                assert uids[3] in (0, daemon.pw_uid), uids


def test_spool_files(t):
    """In whatever state: root's, of the user's group, 0660; also hidden ones."""
    harness.need_root('owners of files')
    hop = t.next_hop({'RCPT': lambda line: '550 no' if 'bad' in line else '250 ok', '.': Stall})
    spool = group_spool(t)
    relay = t.relay('--forward-on-disconnect', '--poll=3600', user=None, forward_to=hop.address, spool=spool)
    half = relay.greeted()  # one that is not finished
    for line in ('MAIL FROM:<a@b>', 'RCPT TO:<c@d>', 'DATA'):
        half.ask(line)
    half.send(b'0123456789abcd\r\n' * 20_000)
    with relay.greeted() as wire:
        equal(wire.submit(b'x\r\n', to=['bad@example.net'])[0], 250)
        equal(wire.submit(b'0123456789abcd\r\n' * 40_000)[0], 250)
        equal(wire.submit(b'y\r\n')[0], 250)
        equal(wire.submit(b'z\r\n')[0], 250)
        wire.ask('QUIT', 221)
    spool.wait_count(1, 'bad')
    spool.wait_count(2, 'busy')  # in hand, and fetched
    spool.one()
    states = set()
    for folder, _, files in os.walk(spool.path):
        for name in files:
            path = os.path.join(folder, name)
            states.add(re.sub(r'^emailrelay\.[\d.]+\.', '', name) if not os.path.basename(name).startswith('.') else 'hidden')
            with t.row(os.path.relpath(path, spool.path)):
                equal(who(path)[:2], ('root', 'daemon'))
                mode = stat.S_IMODE(os.lstat(path).st_mode)
                if name.startswith('emailrelay.'):
                    equal(oct(mode), oct(0o660))
                else:
                    equal(oct(mode & 0o007), oct(0), 'for others')
    assert {'content', 'envelope', 'envelope.busy', 'envelope.bad'} <= states, states


def test_a_spool_of_roots_alone(t):
    """File threads keep root's rights to files, so that a folder of mode 0700 serves too."""
    harness.need_root('owners of files')
    spool = t.spool()
    os.chmod(spool.path, 0o700)
    hop = t.next_hop()
    relay = t.relay('--forward-on-disconnect', user=None, spool=spool, forward_to=hop.address)
    with relay.greeted() as wire:
        equal(wire.submit(b'x\r\n')[0], 250)
        equal(wire.submit(b'0123456789abcd\r\n' * 40_000)[0], 250)
        wire.ask('QUIT', 221)
    hop.wait_messages(2)
    spool.wait_empty()
    assert 'not writable' not in relay.output, relay.output


def test_the_daemon(t):
    """cwd, umask, files and a port below 1024, all at once as a package would start it."""
    harness.need_root('users')
    harness.private_network()
    spool, run = group_spool(t), t.folder('run', 0o755)
    log, pid_file, path = run / 'log', run / 'sub/pid', run / 'smtp.sock'
    for user, group in ((None, 'daemon'), ('nobody', 'nogroup')):
        with t.row(str(user)):
            done = t.emailrelay('--as-server', '--threads=4', '--verbose', '--no-syslog', f'--log-file={log}', f'--pid-file={pid_file}',
                                f'--interface=127.0.0.1,{path}', f'--spool-dir={spool.path}', *([f'--user={user}'] if user else []))
            equal((done.returncode, done.stdout, done.stderr), (0, '', ''))
            pid = int(pid_file.read_text())
            with harness.Wire.tcp('127.0.0.1', 25) as wire, harness.Wire.unix(path) as other:
                for each in (wire, other):
                    each.expect('220 .*')
                    each.ask('EHLO x', 250)
                    equal(each.submit(b'x\r\n')[0], 250)
            account = pwd.getpwnam(user or 'daemon')
            for task, fields in threads(pid).items():
                equal(ids(fields, 'Uid')[:2], (0, account.pw_uid))
                equal(ids(fields, 'Gid')[1], account.pw_gid)
                equal(fields['Groups'].strip(), '')
            main = threads(pid)[pid]
            equal(main['Umask'].strip(), '0077')
            equal(os.readlink(f'/proc/{pid}/cwd'), '/')
            equal(os.getsid(pid) == pid, False, 'leader of its session, which could get a terminal')
            equal(who(path), ('root', group, oct(0o770)))
            equal(stat.S_ISSOCK(os.lstat(path).st_mode), True)
            equal(who(pid_file), ('root', group, oct(0o644)))
            equal(who(log)[0::2], ('root', oct(0o660)))
            equal({who(spool.path / name)[1] for name in spool.names()}, {'daemon'}, 'the group that the folder hands down')
            os.kill(pid, signal.SIGTERM)
            harness.until(lambda: not pid_file.exists(), 'pid file removed')
            harness.until(lambda: not path.exists(), 'socket removed')
            match(log.read_text(), r'emailrelay: info: smtp server on 127\.0\.0\.1:25\n')
            log.unlink()
            for name in spool.names():
                (spool.path / name).unlink()


def test_user_root(t):
    """--user=root changes nothing: ids, groups and modes are root's."""
    harness.need_root('users')
    path = t.folder('run', 0o755) / 'smtp.sock'
    relay = t.relay(interface=f'smtp={path}', port=None, wait=False)
    relay.wait_log('smtp server on')
    for fields in threads(relay.pid).values():
        equal(ids(fields, 'Uid'), (0, 0, 0, 0))
    equal(who(path), ('root', 'root', oct(0o777)))
    with harness.Wire.unix(path) as wire:
        wire.expect('220 .*')
        wire.ask('EHLO x', 250)
        equal(wire.submit(b'x\r\n')[0], 250)
    for name in relay.spool.names():
        equal(who(relay.spool.path / name), ('root', 'root', oct(0o660)))


def test_supplementary_groups_go(t):
    """Also those that root was given on the way."""
    harness.need_root('users')
    need('setpriv')
    relay = t.relay(user=None, prefix=[find('setpriv'), '--groups=0,1,4,27'])
    for fields in threads(relay.pid).values():
        equal(fields['Groups'].strip(), '')


def test_files_users_may_not_read(t):
    """What root alone may read or write is read before the change of ids or with root regained for it."""
    harness.need_root('owners of files')
    private = t.folder('private', 0o700)
    config = t.file('private/emailrelay.conf', f'log\nverbose\nno-syslog\nlog-file {private}/log\npid-file {private}/pid\n')
    os.chmod(config, 0o600)
    spool = group_spool(t)
    relay = t.relay(config, user=None, log=None, verbose=None, no_syslog=None, spool=spool, wait=False,
                    interface=f'smtp={private}/smtp.sock', port=None)

    def connected():
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            return harness.Wire.unix(private / 'smtp.sock')
    with harness.until(connected, 'listening') as wire:
        wire.expect('220 .*')
    relay.terminate()
    equal(sorted(os.listdir(private)), ['emailrelay.conf', 'log'])
    match((private / 'log').read_text(), r'smtp server on .*/private/smtp\.sock\n')


def test_another_uid_without_root(t):
    """Not started as root: --user is ignored, ids stay."""
    harness.need_root('to become another user')
    need('setpriv')
    relay = t.relay('--threads=4', user='nobody', prefix=[find('setpriv'), '--reuid=1', '--regid=1', '--groups=1,4'])
    for fields in threads(relay.pid).values():
        equal((ids(fields, 'Uid'), ids(fields, 'Gid'), fields['Groups'].split()), ((1,) * 4, (1,) * 4, ['1', '4']))
    with relay.greeted() as wire:
        equal(wire.submit(b'x\r\n')[0], 250)
    for name in relay.spool.names():
        equal(who(relay.spool.path / name), ('daemon', 'daemon', oct(0o660)))


def test_client_mode(t):
    """--as-client as root: the same change of ids."""
    harness.need_root('users')
    hop = t.next_hop({'.': Stall})
    spool = group_spool(t)
    spool.add('emailrelay.1.1.1')
    client = t.start([t.program, '--as-client', hop.address, f'--spool-dir={spool.path}', '--threads=4'])
    hop.wait_line('DATA')
    daemon = pwd.getpwnam('daemon')
    for fields in threads(client.pid).values():
        equal(ids(fields, 'Uid')[:3], (0, daemon.pw_uid, daemon.pw_uid))
        equal(fields['Groups'].strip(), '')
    if not spool.messages('busy'):
        fail(str(spool.names()))
    client.signal(signal.SIGTERM)
    equal(client.wait(), -signal.SIGTERM)


def test_set_uid_and_set_gid(t):
    """Installed set-uid or set-gid and started by somebody else: his ids, but the program's where files and sockets are opened."""
    harness.need_root('owners of files')
    need('setpriv')
    if os.statvfs(t.dir).f_flag & os.ST_NOSUID:
        raise harness.Skip(f'{t.dir} is mounted nosuid')
    nobody, games, man = (pwd.getpwnam(name) for name in ('nobody', 'games', 'man'))
    for name, mode, uids, gids in [
            ('set-gid', 0o2755, (man.pw_uid,) * 3, (man.pw_gid, man.pw_gid, games.pw_gid)),
            ('set-uid', 0o4755, (man.pw_uid, man.pw_uid, nobody.pw_uid), (man.pw_gid,) * 3),
            ('both', 0o6755, (man.pw_uid, man.pw_uid, nobody.pw_uid), (man.pw_gid, man.pw_gid, games.pw_gid))]:
        with t.row(name):
            program = t.folder(name, 0o755) / 'emailrelay'
            shutil.copy(t.program, program)
            os.chown(program, nobody.pw_uid, games.pw_gid)
            os.chmod(program, mode)
            private = t.folder(f'{name}-private')
            spool = harness.Spool(t.folder(f'{name}-spool'))
            for path in (private, spool.path):  # for whom the program is installed, and nobody else
                os.chown(path, uids[2] if mode & 0o4000 else 0, gids[2])
                os.chmod(path, 0o2770)
            relay = harness.Relay(t, [find('setpriv'), f'--reuid={man.pw_uid}', f'--regid={man.pw_gid}', '--clear-groups', program,
                                      '--no-daemon', '--log', '--no-syslog', '--threads=2', f'--spool-dir={spool.path}',
                                      f'--interface={private}/smtp.sock', f'--pid-file={private}/pid', f'--log-file={private}/log',
                                      f'--domain={harness.domain}'], name=name)
            harness.until(lambda: (private / 'log').exists() and 'smtp server on' in (private / 'log').read_text(), 'listening')
            for fields in threads(relay.pid).values():
                kind = fields['Name'].strip()
                files = kind not in ('emailrelay', 'net1')
                equal(ids(fields, 'Uid'), (*uids, uids[2] if files else uids[1]), kind)
                equal(ids(fields, 'Gid'), (*gids, gids[2] if files else gids[1]), kind)
            with harness.Wire.unix(private / 'smtp.sock') as wire:
                wire.expect('220 .*')
                wire.ask('EHLO x', 250)
                equal(wire.submit(b'x\r\n')[0], 250)
            group = grp.getgrgid(gids[2]).gr_name
            owner = pwd.getpwuid(uids[2]).pw_name
            for path in [private / 'log', *(spool.path / name for name in spool.names() if not name.startswith('.'))]:
                equal(who(path), (owner, group, oct(0o660)))
            relay.terminate()
            equal(sorted(os.listdir(private)), ['log'])
