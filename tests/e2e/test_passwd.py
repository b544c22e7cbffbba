"""emailrelay-passwd as a user runs it, from a pipe and from a terminal."""
import os
import pty

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
