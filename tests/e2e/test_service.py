"""What the relay tells systemd, and the units, profiles and filters that are installed with it."""
import ctypes
import os
import re
import socket

import harness
from harness import equal, fail, find, match, need, need_root

top = harness.here.parent.parent
made = harness.bin_dir.parent / 'install'


# ---------------------------------------------------------------- readiness, watchdog

class Manager:
    """The socket on which systemd listens to its services."""

    def __init__(self, t, abstract=False):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = t.folder('manager', 0o777) / 'notify'
        self.name = f'@{path}' if abstract else str(path)
        self.socket.bind('\0' + str(path) if abstract else str(path))
        if not abstract:
            os.chmod(path, 0o777)
        self.socket.settimeout(harness.patience)

    def next(self, seconds=harness.patience):
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1000).decode().split('\n')
        except (TimeoutError, socket.timeout):
            return None

    def wait(self, word):
        """The next message but signs of life must have this word."""
        while True:
            said = self.next()
            if said is None:
                fail(f'nothing was said; wanted {word}')
            if said != ['WATCHDOG=1']:
                assert word in said, said
                return said


def test_ready_and_stopping(t):
    for abstract in (False, True):
        with t.row(f'abstract={abstract}'):
            manager = Manager(t, abstract)
            port = harness.free_port()
            relay = t.relay(port=port, wait=False, env={'NOTIFY_SOCKET': manager.name})
            said = manager.wait('READY=1')
            equal(said, ['READY=1', f'MAINPID={relay.pid}'])
            assert harness.connects('127.0.0.1', port), 'said to be ready before it listened'
            relay.terminate()
            equal(manager.wait('STOPPING=1'), ['STOPPING=1'])
            manager.socket.close()
            (t.dir / 'manager/notify').unlink(missing_ok=True)


def test_a_daemon_says_who_it_is(t):
    manager = Manager(t)
    pid_file = t.folder('run', 0o777) / 'pid'
    user = ['--user=root'] if harness.is_root() else []
    done = t.try_run([t.program, '--as-server', '--no-syslog', f'--log-file={t.dir}/log', f'--pid-file={pid_file}', '--interface=127.0.0.1', '--port=0',
                      f'--spool-dir={t.spool().path}', *user], env={'NOTIFY_SOCKET': manager.name})
    equal((done.returncode, done.stderr), (0, ''))
    pid = int(pid_file.read_text())
    equal(manager.wait('READY=1'), ['READY=1', f'MAINPID={pid}'])
    os.kill(pid, 15)
    manager.wait('STOPPING=1')
    harness.until(lambda: not pid_file.exists(), 'pid file removed')


def test_not_ready_when_the_start_fails(t):
    manager = Manager(t)
    relay = t.relay(spool_dir='/nowhere', wait=False, env={'NOTIFY_SOCKET': manager.name})
    equal(relay.wait(), 1)
    equal(manager.next(0.2), None)


def test_nobody_listens(t):
    for name in ('/nowhere/notify', 'no path', '@' + 'x' * 200, ''):
        with t.row(name):
            relay = t.relay(env={'NOTIFY_SOCKET': name, 'WATCHDOG_USEC': '100000'})
            relay.greeted().ask('QUIT', 221)
            relay.terminate()


def test_watchdog(t):
    """Signs of life come often enough, and stop while any network thread is stuck."""
    need_root('stopping one thread')
    manager = Manager(t)
    relay = t.relay(threads=3, env={'NOTIFY_SOCKET': manager.name, 'WATCHDOG_USEC': '400000'})
    manager.wait('READY=1')
    for _ in range(5):
        equal(manager.next(), ['WATCHDOG=1'])
    threads = {open(f'/proc/{relay.pid}/task/{tid}/comm').read().strip(): int(tid) for tid in os.listdir(f'/proc/{relay.pid}/task')}
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    for name in ('net1', 'net2'):
        with t.row(name):
            tid = threads[name]
            if libc.ptrace(16, tid, None, None) != 0:  # PTRACE_ATTACH stops this thread alone
                raise harness.Skip('cannot stop a thread: ' + os.strerror(ctypes.get_errno()))
            os.waitpid(tid, 0x40000000)  # __WALL
            while manager.next(1.5) is not None:  # one may have been on its way
                pass
            libc.ptrace(17, tid, None, None)  # PTRACE_DETACH
            equal(manager.next(), ['WATCHDOG=1'])
    relay.terminate()


def test_watchdog_of_another_process(t):
    manager = Manager(t)
    relay = t.relay(env={'NOTIFY_SOCKET': manager.name, 'WATCHDOG_USEC': '40000', 'WATCHDOG_PID': '1'})
    manager.wait('READY=1')
    equal(manager.next(0.5), None)
    relay.terminate()


# ---------------------------------------------------------------- units

def units(t):
    """The units as installed, but that the program is the one that was built."""
    need('systemd-analyze')
    folder = t.folder('units')
    for path in (made / 'systemd/emailrelay.service', top / 'packaging/systemd/emailrelay.socket'):
        text = path.read_text()
        text = re.sub(r'/\S+/sbin/emailrelay', str(t.program), text)
        (folder / path.name).write_text(text)
    return folder


def test_units_are_correct(t):
    folder = units(t)
    text = t.run(['systemd-analyze', 'verify', '--recursive-errors=no', '--man=no', folder / 'emailrelay.service', folder / 'emailrelay.socket'])
    equal(text, '')


def test_a_stop_is_told_to_the_relay_alone(t):
    """Or filters and verifiers would end before it."""
    match((units(t) / 'emailrelay.service').read_text(), r'(?m)^KillMode=mixed$')


def test_the_service_is_confined(t):
    folder = units(t)
    done = t.try_run(['systemd-analyze', 'security', '--offline=true', '--no-pager', '--threshold=20', folder / 'emailrelay.service'])
    equal(done.returncode, 0, done.stdout + done.stderr)


def test_the_service_can_listen_on_port_25(t):
    """As the user of the service with that one capability, which is what the unit gives it."""
    need_root('another user with a capability')
    harness.private_network()
    need('setpriv')
    spool = t.spool()
    relay = harness.Relay(t, [find('setpriv'), '--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all,+net_bind_service',
                              '--ambient-caps=-all,+net_bind_service', '--bounding-set=-all,+net_bind_service', '--no-new-privs',
                              t.program, '--as-server', '--no-daemon', '--no-syslog', f'--log-file={t.folder("log", 0o777)}/log', '--interface=127.0.0.1',
                              f'--spool-dir={spool.path}'], name='as a service')
    harness.until(lambda: harness.connects('127.0.0.1', 25), 'listening on port 25')
    wire = harness.Wire.tcp('127.0.0.1', 25)
    wire.expect('220 .*')
    wire.ask('EHLO x', 250)
    equal(wire.submit(b'x\r\n')[0], 250)
    equal(spool.one().content_path.stat().st_uid, 65534)
    relay.terminate()


def test_forbidden_calls_are_not_needed(t):
    """A hardened unit may refuse changes of ids, also to what they are; filters run all the same."""
    need_root('another user')
    need('setpriv', 'strace')
    spool = t.spool()
    program = t.file('filter', '#!/bin/sh\nsed -i "1i X-Stamped: yes" "$1"\n')
    os.chmod(program, 0o755)
    calls = 'setresuid,setresgid,setuid,setgid,setgroups'
    relay = harness.Relay(t, [find('setpriv'), '--reuid=65534', '--regid=65534', '--clear-groups', '--no-new-privs',
                              find('strace'), '-D', '-f', '-qq', '-o', '/dev/null', '-e', f'trace={calls}', '-e', f'inject={calls}:error=EPERM',
                              t.program, '--log', '--no-daemon', '--no-syslog', '--port=0', '--interface=127.0.0.1',
                              f'--spool-dir={spool.path}', f'--filter={program}'], name='as a service')
    port = int(relay.wait_log(r'smtp server on 127\.0\.0\.1:(\d+)$').group(1))
    wire = harness.Wire.tcp('127.0.0.1', port)
    wire.expect('220 .*')
    wire.ask('EHLO x', 250)
    equal(wire.submit(b'x\r\n')[0], 250)
    assert spool.one().content.startswith(b'X-Stamped: yes'), spool.one().content
    relay.terminate()


def test_sysusers_and_tmpfiles(t):
    """They make what the unit and the relay rely on, in an empty root."""
    need_root('making users')
    root = t.folder('root')
    for folder in ('etc', 'var/spool', 'run'):
        (root / folder).mkdir(parents=True)
    (root / 'etc/group').write_text('root:x:0:\ndaemon:x:1:\n')
    (root / 'etc/passwd').write_text('root:x:0:0:root:/root:/bin/sh\n')
    t.run([find('systemd-sysusers'), f'--root={root}', made / 'systemd/emailrelay.sysusers'])
    entry = [line for line in (root / 'etc/passwd').read_text().splitlines() if line.startswith('emailrelay:')]
    assert len(entry) == 1 and entry[0].endswith(':/var/spool/emailrelay:/usr/sbin/nologin'), entry
    t.run([find('systemd-tmpfiles'), f'--root={root}', '--create', made / 'systemd/emailrelay.tmpfiles'])
    for name, mode in (('var/spool/emailrelay', 0o2775), ('run/emailrelay', 0o775)):
        found = (root / name).stat()
        equal((found.st_mode & 0o7777, found.st_uid, found.st_gid), (mode, 0, 1), name)


# ---------------------------------------------------------------- AppArmor

def test_apparmor_profile(t):
    parser = find('apparmor_parser')
    profile = made / 'apparmor/usr.sbin.emailrelay'
    equal(t.try_run([parser, '--names', '-I', '/etc/apparmor.d', profile]).stdout.strip(), 'emailrelay')
    t.run([parser, '--skip-kernel-load', '--skip-cache', '-I', '/etc/apparmor.d', profile])
