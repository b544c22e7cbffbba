"""Listening sockets from the service manager (docs/listening.md)."""
import json
import os
import re
import signal
import sys

import harness
from harness import equal, find, is_root

# Opens what it is told as descriptors 3, 4 ..., announces them, and becomes the program.
starter = '''
import json, os, socket, sys
wanted, variables = json.loads(sys.argv[1])
made = []
for what in wanted:
    if what.startswith('/'):
        s = socket.socket(socket.AF_UNIX)
        s.bind(what)
    elif what == 'both':
        s = socket.socket(socket.AF_INET6)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.bind(('::', 0))
    elif what == 'file':
        s = open('/dev/null')
    else:
        s = socket.socket(socket.AF_INET6 if ':' in what else socket.AF_INET)
        s.bind((what, 0))
    made.append(os.dup2(os.dup(s.fileno()), 60 + len(made)))
for n, fd in enumerate(made):
    os.dup2(fd, 3 + n, inheritable=True)
os.closerange(3 + len(made), 80)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(made)), LISTEN_FDNAMES='x')
os.environ.update(variables)
os.execv(sys.argv[2], sys.argv[2:])
'''


def starting(t, *sockets, **variables):
    """What stands in front of the command line."""
    return [sys.executable, t.file('starter.py', starter), json.dumps([[str(s) for s in sockets], variables])]


def activated(t, *sockets, options=(), variables={}, **more):
    how = dict(interface=None, port=None, wait=False)
    how.update(more)
    return t.relay(*options, prefix=starting(t, *sockets, **variables), **how)


def talk(wire):
    wire.expect('220 .*')
    wire.ask('EHLO x', 250)
    equal(wire.submit(b'x\r\n')[0], 250)
    wire.close()


def test_sockets_are_used(t):
    path = t.folder('run', 0o777) / 'socket'
    relay = activated(t, '127.0.0.1', '::1', path)
    port = relay.wait_log(r'info: smtp server on 127\.0\.0\.1:(\d+)$').group(1)
    port6 = relay.wait_log(r'info: smtp server on ::1\.(\d+)$').group(1)
    relay.wait_log(rf'info: smtp server on {path}$')
    talk(harness.Wire.tcp('127.0.0.1', int(port)))
    talk(harness.Wire.tcp('::1', int(port6)))
    talk(harness.Wire.unix(path))
    relay.terminate()
    equal(len(re.findall('smtp server on', relay.output)), 3, 'and no others')
    assert path.exists(), 'the file is not ours'


def test_both_families_on_one_socket(t):
    """As systemd opens `ListenStream=25`. An IPv4 client is one, and a local one."""
    relay = activated(t, 'both')
    port = int(relay.wait_log(r'info: smtp server on ::\.(\d+)$').group(1))
    for host, shown in [('127.0.0.1', r'127\.0\.0\.1:\d+'), ('::1', r'::1\.\d+')]:
        talk(harness.Wire.tcp(host, port))
        relay.wait_log(rf'info: smtp connection from {shown}$')
    relay.terminate()


def test_as_a_daemon(t):
    """The process that the sockets are for is not the one that uses them."""
    log, pid_file = t.dir / 'log', t.folder('run', 0o777) / 'pid'
    path = t.folder('sockets', 0o777) / 'socket'
    done = t.try_run([*starting(t, path), t.program, '--as-server', '--no-syslog', f'--log-file={log}',
                      f'--pid-file={pid_file}', f'--spool-dir={t.spool().path}', *(['--user=root'] if is_root() else [])])
    equal((done.returncode, done.stdout, done.stderr), (0, '', ''))
    talk(harness.Wire.unix(path))
    equal(re.findall('smtp server on (.*)', log.read_text()), [str(path)])
    os.kill(int(pid_file.read_text()), signal.SIGTERM)
    harness.until(lambda: not pid_file.exists(), 'pid file removed')


def test_not_used(t):
    rows = [('for another process', [], {'LISTEN_PID': '1'}, {}),
            ('--interface', [], {}, {'interface': '127.0.0.2'}),
            ('--interface=smtp=', ['--interface=smtp=127.0.0.2'], {}, {})]
    for name, options, variables, more in rows:
        with t.row(name):
            port = harness.free_port()
            relay = activated(t, '127.0.0.3', options=options, variables=variables, port=port, **more)
            relay.wait_log(rf'info: smtp server on .*[:.]{port}$')
            relay.terminate()
            assert '127.0.0.3' not in relay.output, relay.output
            unused = re.findall('^emailrelay: warning: socket activation: fd#3 is not used: --interface does not name it$',
                                relay.output, re.M)
            equal(len(unused), 0 if variables else 1, 'warnings')


def test_interfaces_of_other_protocols_do_not_count(t):
    relay = activated(t, '127.0.0.3', options=['--interface=pop=127.0.0.1'])
    relay.wait_log(r'info: smtp server on 127\.0\.0\.3:\d+$')
    relay.terminate()


def test_by_number(t):
    """--interface=fd#N picks one of them."""
    relay = activated(t, '127.0.0.3', '127.0.0.4', interface='fd#4')
    relay.wait_log(r'info: smtp server on 127\.0\.0\.4:\d+$')
    relay.terminate()
    assert '127.0.0.3' not in relay.output
    equal(re.findall('socket activation: (.*)', relay.output), ['fd#3 is not used: --interface does not name it'])


def test_the_first_instance_without_addresses_has_them(t):
    relay = activated(t, '127.0.0.3', options=[
        '--a-interface=127.0.0.1', '--a-port=0', f'--a-spool-dir={t.spool("a").path}',
        '--b-port=0', f'--b-spool-dir={t.spool("b").path}'], spool_dir=None)
    relay.wait_log(r'info: \[a\] smtp server on 127\.0\.0\.1:\d+$')
    relay.wait_log(r'info: \[b\] smtp server on 127\.0\.0\.3:\d+$')
    relay.terminate()


def test_errors(t):
    user = ['--user=root'] if is_root() else []
    for name, sockets, variables, wanted in [
            ('not open', [], {'LISTEN_FDS': '1'}, 'socket activation: fd 3: bad file descriptor'),
            ('no socket', ['file'], {}, 'socket error: no bound address on fd 3')]:
        with t.row(name):
            done = t.try_run([*starting(t, *sockets, **variables), t.program, '--no-daemon', f'--spool-dir={t.spool().path}', *user])
            equal((done.returncode, done.stdout, done.stderr), (1, '', f'emailrelay: error: {wanted}\n'))


def test_systemd_socket_activate(t):
    activate = find('systemd-socket-activate')
    port = harness.free_port()
    # The relay is started by the first connection, which waits meanwhile.
    relay = t.relay(prefix=[activate, '-E', 'EMAILRELAY_TEST', '-E', 'ASAN_OPTIONS', '-E', 'UBSAN_OPTIONS', '-E', 'TSAN_OPTIONS',
                            '-l', f'127.0.0.1:{port}'], interface=None, port=None, wait=False)
    relay.wait_output('Listening on')
    talk(harness.Wire.tcp('127.0.0.1', port))
    relay.wait_log(rf'info: smtp server on 127\.0\.0\.1:{port}$')
    talk(harness.Wire.tcp('127.0.0.1', port))
    relay.terminate()
