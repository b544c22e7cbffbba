"""The process: daemon, pid file, users, signals, logging, exit codes (spec/process-and-logging.md)."""
import contextlib
import fcntl
import os
import pwd
import grp
import re
import signal
import socket
import time

import harness
from harness import equal, fail, is_root, match, need
from test_bad_programs import starters
from test_filters import script


def daemon(t, *options, spool=None, port=None, status=0):
    """Starts it in the background; (pid, pid file, port, what the starting shell saw)."""
    spool = spool or t.spool()
    pid_file = t.folder('run', 0o777) / 'emailrelay.pid'
    port = port or harness.free_port()
    done = t.emailrelay(f'--pid-file={pid_file}', f'--port={port}', '--interface=127.0.0.1', f'--spool-dir={spool.path}', *options)
    equal(done.returncode, status, done.stdout + done.stderr)
    pid = int(pid_file.read_text()) if status == 0 else None
    return pid, pid_file, port, done


def status_of(pid):
    with open(f'/proc/{pid}/status') as f:
        return dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with open(f'/proc/{pid}/stat') as f:
        return f.read().rsplit(')', 1)[1].split()[0] == 'Z'


def test_daemon(t):
    pid, pid_file, port, done = daemon(t)
    equal((done.stdout, done.stderr), ('', ''))
    assert re.fullmatch(r'\d+\n', pid_file.read_text())
    equal(oct(pid_file.stat().st_mode & 0o7777), oct(0o644))
    with harness.Wire.tcp('127.0.0.1', port) as wire:
        wire.expect('220 .*')
    equal(os.readlink(f'/proc/{pid}/cwd'), '/')
    assert os.getsid(pid) != os.getsid(0)
    status = status_of(pid)
    equal(status['Umask'], '0077')
    for number in (0, 1):
        equal(os.readlink(f'/proc/{pid}/fd/{number}'), '/dev/null')
    if is_root():
        user = pwd.getpwnam('daemon')
        for thread in os.listdir(f'/proc/{pid}/task'):
            with open(f'/proc/{pid}/task/{thread}/status') as f:
                text = f.read()
            match(text, rf'Uid:\t0\t{user.pw_uid}\t')
            match(text, rf'Gid:\t\d+\t{user.pw_gid}\t')
            match(text, r'Groups:\t\s*\n')
        info = pid_file.stat()
        equal((info.st_uid, info.st_gid), (0, user.pw_gid))
    os.kill(pid, signal.SIGTERM)
    harness.until(lambda: gone(pid), 'end on SIGTERM')
    assert not pid_file.exists()


def test_a_daemon_keeps_nothing_of_its_caller(t):
    """A lock that the caller holds, and a pipe whose end somebody waits for."""
    pid_file, port = t.folder('run', 0o777) / 'pid', harness.free_port()
    held = os.open(t.dir / 'lock', os.O_CREAT | os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    starting = t.start([t.program, '--as-server', '--no-syslog', f'--log-file={t.dir}/log', f'--pid-file={pid_file}', f'--port={port}',
                        '--interface=127.0.0.1', f'--spool-dir={t.spool().path}'], pass_fds=[held, writing])
    equal(starting.wait(), 0, starting.output)
    os.close(held)
    os.close(writing)
    fcntl.flock(os.open(t.dir / 'lock', os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
    equal(os.read(reading, 1), b'')
    with harness.Wire.tcp('127.0.0.1', port) as wire:
        wire.expect('220 .*')


def test_a_daemon_listens_on_a_standard_stream(t):
    listener = socket.socket()
    listener.bind(('127.0.0.1', 0))
    pid_file = t.folder('run', 0o777) / 'pid'
    starting = t.start([t.program, '--as-server', '--no-syslog', f'--log-file={t.dir}/log', f'--pid-file={pid_file}', '--interface=fd#0',
                        f'--spool-dir={t.spool().path}'], stdin=listener)
    equal(starting.process.wait(harness.patience), 0)  # its output goes on
    with harness.Wire.tcp(*listener.getsockname()) as wire:
        wire.expect('220 .*')
    os.kill(int(pid_file.read_text()), signal.SIGTERM)
    harness.until(lambda: not pid_file.exists(), 'pid file removed')


def test_closed_standard_streams(t):
    """What is opened instead of one is not taken for it: the log, the pipe on which the start is reported, sockets."""
    folder = t.folder('log', 0o777)
    for closed in ('<&-', '>&-', '2>&-', '<&- >&-', '<&- >&- 2>&-'):
        with t.row(closed):
            log, pid_file, port = folder / 'log', folder / 'pid', harness.free_port()
            done = t.try_run(['sh', '-c', f'exec "$@" {closed}', 'sh', t.program, '--as-server', '--close-stderr', '--no-syslog',
                              f'--log-file={log}', f'--pid-file={pid_file}', f'--port={port}', '--interface=127.0.0.1',
                              f'--spool-dir={t.spool().path}'])
            equal(done.returncode, 0, done.stderr)
            pid = int(pid_file.read_text())
            for number in (0, 1, 2):
                equal(os.readlink(f'/proc/{pid}/fd/{number}'), '/dev/null', f'descriptor {number}')
            with harness.Wire.tcp('127.0.0.1', port) as wire:
                wire.expect('220 .*')
                wire.ask('EHLO x', 250)
                equal(wire.submit(b'x\r\n')[0], 250)
            os.kill(pid, signal.SIGTERM)
            harness.until(lambda: gone(pid), 'end on SIGTERM')
            match(log.read_text(), 'smtp server on 127')
            log.unlink()
    with t.row('a start that fails'):
        done = t.try_run(['sh', '-c', 'exec "$@" <&- >&- 2>&-', 'sh', t.program, '--as-server', f'--log-file={folder}/log', '--no-syslog',
                          f'--spool-dir={folder}/none'])
        equal(done.returncode, 1)
    with t.row('what cannot be printed'):
        done = t.try_run(['sh', '-c', 'exec "$@" >&-', 'sh', harness.bin_dir / 'emailrelay-keygen'])
        equal((done.returncode, done.stderr), (1, 'emailrelay-keygen: error: cannot write to the standard output\n'))


def test_default_user_and_its_files(t):
    harness.need_root('users')
    spool = t.spool()
    os.chmod(spool.path, 0o775)
    os.chown(spool.path, 0, grp.getgrnam('daemon').gr_gid)
    relay = t.relay(user=None, spool=spool)
    with relay.greeted() as wire:
        equal(wire.submit(b'x\r\n')[0], 250)
        equal(wire.submit(b'x' * 600_000 + b'\r\n')[0], 250)
    for message in spool.messages():
        for path in (message.envelope_path, message.content_path):
            info = path.stat()
            equal((info.st_uid, grp.getgrgid(info.st_gid).gr_name, oct(info.st_mode & 0o7777)), (0, 'daemon', oct(0o660)), str(path))
    hop = t.next_hop()
    relay.terminate()
    t.run([t.program, '--as-client', hop.address, f'--spool-dir={spool.path}'])
    equal(len(hop.messages), 2)
    spool.check_empty()


def test_privileged_port_with_default_user(t):
    harness.need_root('ports below 1024')
    harness.private_network()
    relay = t.relay(user=None, port=None)
    equal(relay.port, 25)
    with relay.greeted() as wire:
        equal(wire.submit(b'x\r\n')[0], 250)


def test_no_such_user(t):
    harness.need_root('users')
    spool = t.spool()
    done = t.emailrelay('--no-daemon', '--user=nobodyofthatname', f'--spool-dir={spool.path}', '--port=0')
    equal((done.returncode, done.stderr), (1, 'emailrelay: error: no such user: nobodyofthatname\n'))


def test_signals(t):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        with t.row(number.name):
            pid_file = t.folder('run', 0o777) / 'pid'
            relay = t.relay(f'--pid-file={pid_file}')
            equal(int(pid_file.read_text()), relay.pid)
            relay.terminate(number)
            assert not pid_file.exists(), 'pid file left'
    relay = t.relay()
    relay.signal(signal.SIGPIPE)
    with relay.connect() as wire:
        wire.expect('220 .*')
    relay.signal(signal.SIGUSR1)
    equal(relay.wait(), -signal.SIGUSR1)


def test_shell_sees_128_plus_n(t):
    relay = t.relay(wait=False, prefix=['sh', '-c', '"$@"; echo "status $?"', 'sh'])
    relay.wait_log('smtp server on')
    child = harness.until(lambda: open(f'/proc/{relay.pid}/task/{relay.pid}/children').read().split(), 'child')[0]
    os.kill(int(child), signal.SIGTERM)
    relay.wait_log('^status 143$')


def test_signal_ignored_at_start_stays_ignored(t):
    relay = t.relay(prefix=['sh', '-c', 'trap "" HUP; exec "$@"', 'sh'])
    relay.signal(signal.SIGHUP)
    with relay.connect() as wire:
        wire.expect('220 .*')
        wire.ask('NOOP', 250)
    relay.terminate()


def test_stop_with_open_sessions(t):
    relay = t.relay()
    wires = [relay.greeted() for _ in range(20)]
    relay.terminate()
    for wire in wires:
        line = wire.line()
        assert line is None or line.startswith('421'), line


@harness.limit(120)
def test_the_end_waits_for_nothing_for_ever(t):
    """A thread that reads what nobody writes (it might be a file server that does not answer), a process that is stopped."""
    spool = t.spool()
    secrets = t.file('auth', 'server plain joe pass\n')
    by_file = t.relay(spool=spool, server_auth=secrets)
    by_process = t.relay(spool=t.spool('b'), filter=script(t, 'exit 0'))
    harness.until(lambda: starters(by_process.pid), 'the keeper of the starter')
    os.kill(starters(by_process.pid)[0], signal.SIGSTOP)
    secrets.unlink()
    os.mkfifo(secrets)

    def has_a_reader():
        with by_file.connect() as wire, contextlib.suppress(OSError):
            wire.send('EHLO x\r\n')
            return os.open(secrets, os.O_WRONLY | os.O_NONBLOCK)

    harness.until(has_a_reader, 'the file being read')
    for relay in (by_file, by_process):
        relay.signal(signal.SIGTERM)
    for relay in (by_file, by_process):
        equal(relay.wait(60), -signal.SIGTERM)


def test_pid_file(t):
    run = t.folder('run', 0o777)
    # its folder is made, one level of it
    relay = t.relay(f'--pid-file={run}/sub/pid')
    equal((run / 'sub/pid').read_text(), f'{relay.pid}\n')
    relay.terminate()
    assert not (run / 'sub/pid').exists()
    # one that is no longer ours stays
    relay = t.relay(f'--pid-file={run}/pid')
    (run / 'pid').write_text('1\n')
    relay.terminate()
    equal((run / 'pid').read_text(), '1\n')
    # an old one is written over
    relay = t.relay(f'--pid-file={run}/pid')
    equal((run / 'pid').read_text(), f'{relay.pid}\n')
    relay.terminate()
    # the first of several counts
    relay = t.relay(f'--pid-file={run}/first', f'--pid-file={run}/second')
    relay.wait_log('^emailrelay: warning: more than one --pid-file: using the first$')
    equal(sorted(os.listdir(run)), ['first', 'sub'])


def test_port_in_use(t):
    holder = socket.socket()
    holder.bind(('127.0.0.1', 0))
    holder.listen()
    port = holder.getsockname()[1]
    pid_file = t.folder('run', 0o777) / 'pid'
    for options in ([], ['--no-daemon'], ['--as-server']):
        with t.row(str(options)):
            done = t.emailrelay(f'--port={port}', '--interface=127.0.0.1', f'--spool-dir={t.spool().path}', f'--pid-file={pid_file}', *options)
            equal(done.returncode, 2)
            match(done.stderr, r'(?m)^emailrelay: error: socket bind error: address already in use$')
            assert not pid_file.exists()


def test_two_relays_do_not_share_a_port(t):
    relay = t.relay()
    done = t.emailrelay('--no-daemon', f'--port={relay.port}', '--interface=127.0.0.1', f'--spool-dir={t.spool("b").path}')
    equal(done.returncode, 2)


def test_bad_spool_directory(t):
    file = t.file('plain', '')
    for path, why in [('/nonexistent', 'no such file or directory'), (file, 'not a directory')]:
        with t.row(str(path)):
            done = t.emailrelay('--no-daemon', '--port=0', f'--spool-dir={path}')
            equal((done.returncode, done.stderr), (1, f'emailrelay: error: invalid spool directory: {path}: {why}\n'))


def test_unwritable_spool_directory_is_a_warning(t):
    need('setpriv')
    harness.need_root('to become another user')
    spool = t.spool()
    os.chmod(spool.path, 0o555)
    relay = t.relay(user=None, spool=spool, prefix=[harness.find('setpriv'), '--reuid=65534', '--regid=65534', '--clear-groups'])
    relay.wait_log(re.escape(f'emailrelay: warning: directory not writable: "{spool.path}"'))
    with relay.greeted() as wire:
        code, _ = wire.submit(b'x\r\n')
        equal(code, 452)
        wire.ask('NOOP', 250)


def test_as_another_user_altogether(t):
    """Not started as root: everything works, with one's own ids."""
    need('setpriv')
    harness.need_root('to become another user')
    spool = t.spool()
    relay = t.relay(user=None, spool=spool, prefix=[harness.find('setpriv'), '--reuid=65534', '--regid=65534', '--clear-groups'])
    with relay.greeted() as wire:
        equal(wire.submit(b'x\r\n')[0], 250)
    info = spool.one().content_path.stat()
    equal((info.st_uid, info.st_gid, oct(info.st_mode & 0o7777)), (65534, 65534, oct(0o660)))


def test_relative_paths(t):
    """From the folder in which the program was started, also for a daemon."""
    spool = t.spool('here/spool')
    t.folder('here/run', 0o777)
    port = harness.free_port()
    done = t.emailrelay('--spool-dir=spool', '--pid-file=run/pid', f'--port={port}', '--interface=127.0.0.1', '--log', '--no-syslog',
                        '--log-file=run/log', cwd=t.dir / 'here')
    equal(done.returncode, 0, done.stderr)
    pid = int((t.dir / 'here/run/pid').read_text())
    with harness.Wire.tcp('127.0.0.1', port) as wire:
        wire.expect('220 .*')
        wire.ask('EHLO x', 250)
        wire.submit(b'x\r\n')
    spool.one()
    os.kill(pid, signal.SIGTERM)
    harness.until(lambda: not (t.dir / 'here/run/pid').exists(), 'pid file removed')
    match((t.dir / 'here/run/log').read_text(), 'smtp server on')


# ---------------------------------------------------------------- logging

def test_no_log_is_silent(t):
    port = harness.free_port()
    pid_file = t.folder('run', 0o777) / 'pid'
    relay = t.relay(f'--pid-file={pid_file}', log=None, verbose=None, port=port, wait=False)
    harness.until(pid_file.exists, 'pid file')
    with harness.Wire.tcp('127.0.0.1', port) as wire:
        wire.expect('220 .*')
        wire.ask('FOO', 500)
    relay.terminate()
    equal(relay.output, '')


def test_log_formats(t):
    time_stamp = r'\d{8}\.\d{6}\.\d{3}: '
    address, port = r'127\.0\.0\.1', r'\d+'
    for options, context in [([], ''), (['--log-time'], None), (['--log-address'], rf'{address}; '),
                             (['--log-format=address'], rf'{address}; '), (['--log-format=port'], rf'{port}: '),
                             (['--log-format=address,port'], rf'{address};{port}: '), (['--log-format=unknown'], ''),
                             (['--log-format=time,port,address'], None)]:
        with t.row(' '.join(options)):
            relay = t.relay(*options)
            with relay.greeted() as wire:
                wire.ask('MAIL FROM:<>', 250)
            before = time_stamp if context is None else ''
            context = context if context is not None else (rf'{address};{port}: ' if 'port' in options[0] else '')
            relay.wait_log(rf'^emailrelay: {before}warning: {context}empty MAIL-FROM return path$')
            relay.wait_log(rf'^emailrelay: {before}info: {context}rx<<: "EHLO client\.example\.org"$')
            relay.terminate()


def test_msgid_in_client_lines(t):
    hop = t.next_hop()
    spool = t.spool()
    spool.add('emailrelay.1.2.3')
    output = t.forward(hop.address, '--log-format=msgid')
    match(output, r'(?m)^emailrelay: info: \(1\.2\.3\) tx>>: "MAIL FROM:<me@example\.com>"$')


def test_log_file(t):
    folder = t.folder('log', 0o777)
    day = time.strftime('%Y%m%d')
    hour = time.strftime('%H')
    relay = t.relay(f'--log-file={folder}/relay.%d.%h.log', wait=False)
    path = folder / f'relay.{day}.{hour}.log'

    def listening():
        found = [p for p in folder.iterdir()]
        return found and re.search(r'smtp server on 127\.0\.0\.1:(\d+)\n', found[0].read_text())

    found = harness.until(listening, 'log file written')
    if time.strftime('%Y%m%d.%H') == f'{day}.{hour}':
        equal([p.name for p in folder.iterdir()], [path.name])
    info = next(folder.iterdir()).stat()
    equal(oct(info.st_mode & 0o7777), oct(0o660))
    with harness.Wire.tcp('127.0.0.1', int(found.group(1))) as wire:
        wire.expect('220 .*')
    relay.terminate()
    equal(relay.output, '')
    # appended to
    path = next(folder.iterdir())
    size = path.stat().st_size
    relay = t.relay(f'--log-file={path}', wait=False)
    harness.until(lambda: path.read_text().count('smtp server on') == 2, 'appended')
    assert path.stat().st_size > size


def test_bad_log_file(t):
    done = t.emailrelay('--no-daemon', '--log', '--no-syslog', '--port=0', '--log-file=/nonexistent/x', f'--spool-dir={t.spool().path}')
    equal(done.returncode, 1)
    match(done.stderr, r'^emailrelay: error: cannot open log file: /nonexistent/x(: .*)?\n$')


def test_close_stderr(t):
    port = harness.free_port()
    pid_file = t.folder('run', 0o777) / 'pid'
    relay = t.relay('--close-stderr', f'--pid-file={pid_file}', port=port, verbose=None, wait=False)
    harness.until(pid_file.exists, 'pid file')
    with harness.Wire.tcp('127.0.0.1', port) as wire:
        wire.expect('220 .*')
    equal(os.readlink(f'/proc/{relay.pid}/fd/2'), '/dev/null')
    relay.terminate()
    match(relay.output, 'warning: logging will stop because --close-stderr closes the standard error stream soon after startup')
    assert 'smtp server on' not in relay.output


def test_long_lines_are_cut(t):
    relay = t.relay()
    with relay.greeted() as wire:
        wire.ask('VRFY ' + 'x' * 3000, 252)
    line = relay.wait_log(r'^emailrelay: info: rx<<: "VRFY x+.*$').group(0)
    assert len(line) < 1100 and line.endswith(' ...'), (len(line), line[-20:])


def syslog_server(t):
    """What gets the lines for syslog."""
    harness.private_mounts()
    path = t.folder('devlog', 0o777) / 'log'
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(str(path))
    os.chmod(path, 0o777)
    server.settimeout(20)
    if not os.path.lexists('/dev/log'):
        # a mount needs something to be put on
        harness.mount_tmpfs(str(t.dir / 'dev'), 'mode=755')
        for name in ('null', 'urandom', 'random', 'zero'):
            target = t.dir / 'dev' / name
            target.touch()
            harness.mount_over(f'/dev/{name}', target)
        (t.dir / 'dev/log').symlink_to(path)
        harness._check(harness.libc.mount(os.fsencode(t.dir / 'dev'), b'/dev', None, harness.MS_BIND | harness.MS_REC, None), '/dev')
    else:
        harness.mount_over(path, os.path.realpath('/dev/log'))
    return server


def test_syslog(t):
    """Lines go to /dev/log with facility and level."""
    server = syslog_server(t)
    facilities = {'mail': 2, 'user': 1, 'daemon': 3, 'local0': 16, 'local7': 23}
    rows = [([], 'mail'), (['--syslog'], 'mail'), *(([f'--syslog={name}'], name) for name in facilities)]
    for n, (words, facility) in enumerate(rows):
        with t.row(' '.join(words)):
            relay = t.relay(*words, '--log-time', '--log-address', no_syslog=None, spool=t.spool(str(n)))
            with relay.greeted() as wire:
                wire.ask('VRFY a\x1b\\\tb', 252)
                wire.ask('MAIL FROM:<>', 250)
                wire.ask('QUIT', 221)
            lines = []  # read at once: few lines wait in the socket
            while not any('smtp connection closed' in line for line in lines):
                lines.append(server.recv(5000).decode())
            relay.terminate()
            # Each line has the text that stderr has, behind the syslog library's own head.
            heads = re.compile(rf'<(\d+)>\w\w\w [ \d]\d \d\d:\d\d:\d\d emailrelay\[{relay.pid}\]: (.*)')
            found = [heads.fullmatch(line).groups() for line in lines]
            equal([text for _, text in found], relay.output.splitlines()[:len(found)])
            for level, text in found:
                warning = ': warning: ' in text
                equal(int(level), facilities[facility] * 8 + (4 if warning else 6), text)
            equal(sum(': warning: 127.0.0.1; empty MAIL-FROM return path' in text for _, text in found), 1)
            equal(sum(r'rx<<: "VRFY a\x1b\\\tb"' in text for _, text in found), 1)


def full_pipe():
    """Both ends. For the relay's stderr."""
    reading, writing = os.pipe()
    again = os.open(f'/proc/self/fd/{writing}', os.O_WRONLY | os.O_NONBLOCK)  # O_NONBLOCK is not the other's
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(again, b'x' * 4096)
    os.close(again)
    return reading, writing


def with_stderr(t, writing, **how):
    return t.relay(prefix=['bash', '-c', f'exec "$@" 2>&{writing}', 'bash'], pass_fds=[writing], port=harness.free_port(), **how)


def takes_mail_and_ends(relay):
    for _ in range(10):
        with relay.greeted() as wire:
            for _ in range(100):
                wire.ask('NOOP', 250)
            equal(wire.submit(b'x\r\n')[0], 250)
    relay.terminate()


def test_nobody_reads_stderr(t):
    """Neither mail nor the end waits for somebody who does."""
    reading, writing = full_pipe()
    takes_mail_and_ends(with_stderr(t, writing, wait='port'))
    with t.row('errors of the start'):
        done = t.try_run(['bash', '-c', f'exec "$@" 2>/proc/{os.getpid()}/fd/{writing}', 'bash', t.program, '--no-daemon', '--spool-dir=/nonexistent'])
        equal(done.returncode, 1)
    os.close(reading)
    os.close(writing)


def test_nobody_reads_syslog(t):
    server = syslog_server(t)
    relay = t.relay(no_syslog=None, wait='port', port=harness.free_port())
    takes_mail_and_ends(relay)
    server.close()


def test_stderr_that_does_not_block(t):
    """A pipe with O_NONBLOCK that is read slowly, as of some supervisors: no line is lost or cut off."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    relay = with_stderr(t, writing, wait='port')
    os.close(writing)
    count = 2000
    for first in range(0, count, 500):
        with relay.greeted() as wire:
            for n in range(first, first + 500):
                wire.ask(f'NOOP {n}', 250)
    relay.signal(signal.SIGTERM)
    with open(reading, encoding='utf-8') as log:
        lines = log.read().splitlines()
    equal(relay.wait(), -signal.SIGTERM)
    equal([line for line in lines if 'rx<<: "NOOP' in line], [f'emailrelay: info: rx<<: "NOOP {n}"' for n in range(count)])
    equal([line for line in lines if not line.startswith('emailrelay: ')], [])


def test_domain_default(t):
    relay = t.relay(domain=None)
    with relay.connect() as wire:
        line = wire.expect('220 .*')
    name = line.split(' ')[1]
    assert '.' in name, name
    relay.terminate()


def test_interface_errors(t):
    for value, text, status in [('foo/bar', 'invalid address or interface name: foo/bar', 1),
                                ('198.51.100.9', 'socket bind error: cannot assign requested address', 2)]:
        with t.row(value):
            done = t.emailrelay('--no-daemon', f'--interface={value}', '--port=0', f'--spool-dir={t.spool().path}')
            equal(done.returncode, status)
            equal(done.stderr, f'emailrelay: error: {text}\n')


def test_several_interfaces(t):
    relay = t.relay('--interface=smtp=127.0.0.3,pop=127.0.0.4', interface='127.0.0.2', wait=False)
    relay.wait_log(r'smtp server on 127\.0\.0\.2:\d+$')
    relay.wait_log(r'smtp server on 127\.0\.0\.3:\d+$')
    with t.row('nothing more'):
        relay.terminate()
        equal(len(re.findall('smtp server on', relay.output)), 2)


def test_interface_name(t):
    harness.private_network()
    relay = t.relay(interface='lo', port=10025, wait=False)
    relay.wait_log(r'smtp server on 127\.0\.0\.1:10025$')
    relay.wait_log(r'smtp server on ::1\.10025$')
    relay.terminate()
    relay = t.relay(interface='lo-ipv4', port=10025, wait=False)
    relay.wait_log(r'smtp server on 127\.0\.0\.1:10025$')
    relay.terminate()
    assert '::1' not in relay.output


def test_inherited_descriptor(t):
    listener = socket.socket()
    listener.bind(('127.0.0.1', 0))
    listener.listen()
    relay = t.relay(interface=f'fd#{listener.fileno()}', port=None, wait=False, pass_fds=[listener.fileno()])
    relay.wait_log(rf'smtp server on 127\.0\.0\.1:{listener.getsockname()[1]}$')
    with harness.Wire.tcp(*listener.getsockname()) as wire:
        wire.expect('220 .*')
        wire.ask('EHLO x', 250)
        equal(wire.submit(b'x\r\n')[0], 250)
    done = t.emailrelay('--no-daemon', '--interface=fd#77', f'--spool-dir={t.spool().path}')
    match(done.stderr, 'emailrelay: error: socket error: no bound address on fd 77')
    assert done.returncode in (1, 2), done.returncode


def test_threads(t):
    for count in (1, 4):
        with t.row(str(count)):
            relay = t.relay(f'--threads={count}')
            wires = [relay.greeted() for _ in range(8)]
            for wire in wires:
                equal(wire.submit(b'x\r\n')[0], 250)
            relay.terminate()


def test_descriptor_limit(t):
    """With more connections than descriptors it turns some away, does not end, and goes on when there is room again."""
    relay = t.relay(verbose=None, prefix=['sh', '-c', 'ulimit -n 200; exec "$@"', 'sh'])
    wires = []
    for _ in range(300):
        wires.append(relay.connect())
    lines = [wire.line() for wire in wires[:100]]
    assert all(line is None or line[:3] in ('220', '421') for line in lines), lines
    assert any(line and line.startswith('220') for line in lines), lines
    for wire in wires:
        wire.close()

    def serves():
        try:
            with relay.connect() as wire:
                wire.ask('EHLO x')
                return True
        except (OSError, AssertionError):
            return False

    harness.until(serves, 'serving again')
    with relay.greeted() as wire:
        equal(wire.submit(b'x\r\n')[0], 250)
    relay.terminate()
