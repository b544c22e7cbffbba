"""emailrelay-passwd as a user runs it, from a pipe and from a terminal."""
import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import termios

import harness
from harness import bin_dir, equal, match

program = bin_dir / 'emailrelay-passwd'
masked = 'qeD38fvADIqBu6rDlXMbVs07p96q1uXKI0SLpC43l0c=\n'


def test_pipe(t):
    def says(words, input):
        result = t.try_run([program, *words], input=input)
        return result.returncode, result.stdout, result.stderr
    equal(says([], 'secret\nmore\n'), (0, masked, ''))
    equal(says(['--hash', 'sha1'], ' secret '), (0, 'Q3Lhrmvp8z2xD/Ckw5CktjQgnZJMDx4Jfie1bDm2vuIxCA2mza3ItQ==\n', ''))
    equal(says(['-d'], 'secret\n'),
          (0, '4059553961.2316091643.3282746241.1444639637.3735501773.3404060330.2760590371.1201092398\n', ''))
    equal(says([], ''), (1, '', 'emailrelay-passwd: exception: invalid password\n'))
    equal(says(['--hash=x'], 'secret'), (1, '', 'emailrelay-passwd: exception: invalid hash function\n'))
    status, out, err = says(['secret'], '')
    equal((status, out), (1, ''))
    match(err, r'^emailrelay-passwd: too many command-line arguments \(the password is read from the standard input\)\n')


def test_terminal_shows_nothing(t):
    pid, descriptor = pty.fork()
    if pid == 0:
        os.execv(program, [str(program)])
    shown = b''
    while b'Password: ' not in shown:
        shown += os.read(descriptor, 1000)
    os.write(descriptor, b'secret\n')
    try:
        while part := os.read(descriptor, 1000):
            shown += part
    except OSError:  # a terminal whose last user has gone
        pass
    equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
    equal(shown.replace(b'\r', b''), b'Password: \n' + masked.encode())


class Terminal:
    """One with a session of its own, in which `words` run."""

    def __init__(self, *words):
        self.ours, self.theirs = pty.openpty()
        self.before = self.modes()
        self.shown = b''
        self.process = subprocess.Popen(words, stdin=self.theirs, stdout=self.theirs, stderr=self.theirs, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def modes(self):
        return termios.tcgetattr(self.theirs)

    def echoes(self):
        return bool(self.modes()[3] & termios.ECHO)

    def wait(self, text, count=1):
        while self.shown.count(text) < count:
            readable, _, _ = select.select([self.ours], [], [], harness.patience)
            if not readable:
                harness.fail(f'not shown: {text!r} {count} times\n        but {self.shown!r}')
            self.shown += os.read(self.ours, 1000)

    def type(self, octets):
        os.write(self.ours, octets)

    def end(self):
        status = self.process.wait(harness.patience)
        for descriptor in (self.ours, self.theirs):
            os.close(descriptor)
        return status


def test_terminal_shows_again_after_a_signal(t):
    for number, typed in ((signal.SIGINT, b'\x03'), (signal.SIGQUIT, b'\x1c'), (signal.SIGTERM, None), (signal.SIGHUP, None)):
        with t.row(f'{number.name} {typed}'):
            terminal = Terminal(program)
            terminal.wait(b'Password: ')
            assert not terminal.echoes()
            if typed:
                terminal.type(b'sec' + typed)
            else:
                terminal.process.send_signal(number)
            equal(terminal.process.wait(harness.patience), -number)
            equal(terminal.modes(), terminal.before)
            terminal.end()


def test_terminal_shows_while_stopped(t):
    """Under a shell with jobs: typed as a stop, asked again afterwards."""
    harness.need('bash')
    terminal = Terminal('bash', '--norc', '-c', f'set -m; {program}; stty -a; echo stopped; fg; echo ended $?')
    terminal.wait(b'Password: ')
    terminal.type(b'sec\x1a')
    terminal.wait(b'stopped\r\n')
    match(terminal.shown.decode(), r'[\s;]echo[\s;]')
    terminal.wait(b'Password: ', 2)
    assert not terminal.echoes()
    terminal.type(b'secret\n')
    terminal.wait(b'ended 0')
    match(terminal.shown.decode().replace('\r', ''), re.escape(masked))
    assert b'secret' not in terminal.shown
    assert terminal.echoes()
    equal(terminal.end(), 0)


def test_secret_is_good_for_the_relay(t):
    from test_auth_server import b64
    import hashlib
    import hmac
    lines = ''
    for hash in ('md5', 'sha1', 'sha256', 'sha512'):
        value = t.run([program, f'--hash={hash}'], input='secret\n')
        lines += f'server {hash} {hash}-user {value}'
    relay = t.relay(server_auth=t.file('auth', lines))
    for hash in ('md5', 'sha1', 'sha256', 'sha512'):
        with t.row(hash), relay.greeted() as wire:
            wire.say(f'AUTH CRAM-{hash.upper()}')
            import base64
            challenge = base64.b64decode(wire.expect('334 .*')[4:])
            digest = hmac.new(b'secret', challenge, hash).hexdigest()
            wire.exact(b64(f'{hash}-user {digest}'), '235 authentication successful')
