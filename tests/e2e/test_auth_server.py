"""Clients log in: real ones with each mechanism, every row of the reply table, files that change, PAM."""
import base64
import os
import re
import shutil
import smtplib
import socket
import time

import harness
from certificates import Authority
from harness import equal, find, match, need, until

body = b'Subject: a test\r\n\r\nHello.\r\n'
secrets = ('server plain alice wonder+20land\n'
           'server md5 masked qeD38fvADIqBu6rDlXMbVs07p96q1uXKI0SLpC43l0c=\n'
           'server none 127.0.0.9 trusted\n')
password = 'wonder land'
scram = 'm:scram-sha-256,cram-md5,cram-sha1,plain,login'


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


right = 'AUTH PLAIN ' + b64('\0alice\0' + password)
wrong = 'AUTH PLAIN ' + b64('\0alice\0guess')


def relay_with(t, text=secrets, **options):
    options.setdefault('server_auth', t.file('auth', text))
    return t.relay(**options)


def check_no_secret(relay):
    for secret in (password, b64(password), b64('\0alice\0' + password), 'guess', b64('guess')):
        if secret in relay.output:
            harness.fail(f'{secret!r} in the log')


def check_sent_by(relay, name):
    message = relay.spool.one()
    equal(message.field('Authentication'), name)
    match(message.content.decode(), r'^Received: .* with ESMTPA ; ')
    check_no_secret(relay)


def test_modes_of_files(t):
    """Secrets and keys that every user could read are warned of, once, at the start; others are not."""
    files = {'secrets file': t.file('auth', secrets), 'ssl key file': Authority(t).issue('a.example')}
    for mode, warned in ((0o644, True), (0o604, True), (0o640, False), (0o600, False)):
        for path in files.values():
            os.chmod(path, mode)
        relay = t.relay(server_auth=files['secrets file'], server_tls=True, server_tls_certificate=files['ssl key file'],
                        spool=t.spool(f'spool{mode:o}'))
        relay.greeted().close()
        relay.terminate()
        for name, path in files.items():
            line = f'warning: {name} [{path}] can be read by every user'
            equal(relay.output.count(line), int(warned), f'{name} of mode {mode:o}')


def test_replies(t):
    """Every row of spec/smtp-server.md section 6.2 that needs no TLS, byte for byte."""
    relay = relay_with(t, debug=True, log_address=True)
    with relay.greeted() as wire:
        wire.exact('MAIL FROM:<a@b>', '530 authentication required')
        wire.exact('VRFY a', '530 authentication required')
        wire.exact('AUTH', '504 unsupported authentication mechanism')
        wire.exact('AUTH NTLM', '504 unsupported authentication mechanism')
        wire.exact('AUTH SCRAM-SHA-256', '504 unsupported authentication mechanism')
        wire.exact('AUTH PLAIN !', '501 invalid argument')
        wire.exact('AUTH CRAM-MD5 ' + b64('x'), '501 invalid argument')
        wire.exact('AUTH PLAIN', '334 ')
        wire.exact('*', '501 authentication cancelled')
        wire.exact('AUTH LOGIN', '334 VXNlcm5hbWU6')
        wire.exact(b64('alice'), '334 UGFzc3dvcmQ6')
        wire.exact('A' * 12289, '500 line too long')
        wire.exact(wrong, '535 authentication failed')
        relay.wait_log(r'warning: 127\.0\.0\.1; failed authentication of remote client using mechanism \[plain\] and '
                       r'plaintext secret for \[alice\] from line 1$')
        wire.exact('AUTH LOGIN ' + b64('alice'), '334 UGFzc3dvcmQ6')
        wire.exact(b64(password), '235 authentication successful')
        wire.exact(right, '503 command out of sequence -- use RSET to resynchronise')
        equal(wire.submit(body), (250, ['message processed']))
    check_sent_by(relay, 'alice')
    with relay.connect() as wire:
        wire.expect('220 .*')
        wire.exact('EHLO x', '250-' + harness.domain + ' says hello',
                   '250-AUTH CRAM-SHA512 CRAM-SHA256 CRAM-SHA1 CRAM-MD5 PLAIN LOGIN', '250-VRFY', '250-PIPELINING', '250 8BITMIME')


def test_line_limits(t):
    """That of --max-auth-line, for AUTH and its responses; none, up to what a session may hold."""
    limited = relay_with(t, max_auth_line=5000)
    with limited.greeted() as wire:
        wire.exact('AUTH PLAIN ' + 'A' * 4990, '500 line too long')
        wire.exact('AUTH PLAIN ' + 'A' * 4988, '535 authentication failed')
        wire.exact('AUTH LOGIN', '334 VXNlcm5hbWU6')
        wire.exact('A' * 5001, '500 line too long')
        wire.exact('NOOP ' + 'x' * 4092, '500 line too long')
        wire.exact(right, '235 authentication successful')
    unlimited = relay_with(t, max_auth_line=0, name='unlimited')
    with unlimited.greeted() as wire:
        wire.exact('AUTH PLAIN ' + 'A' * 70000, '535 authentication failed')
        wire.exact('NOOP ' + 'x' * 4092, '500 line too long')
        wire.send('AUTH PLAIN ' + 'A' * 80000)
        wire.closed()
    unlimited.wait_log('smtp connection closed: server protocol overflow: ')


def test_without_secrets_there_is_no_auth(t):
    relay = t.relay(log_address=True)
    with relay.greeted() as wire:
        wire.exact(right, '502 command not implemented')
    relay.wait_log(r'warning: 127\.0\.0\.1; client protocol error: AUTH requested but not advertised$')
    check_no_secret(relay)


def test_trusted_address(t):
    relay = relay_with(t)
    with relay.connect(source=('127.0.0.9', 0)) as wire:
        wire.expect('220 .*')
        wire.ask('EHLO x', 250)
        equal(wire.submit(body), (250, ['message processed']))
    relay.wait_log(r'trusting \[127\.0\.0\.9\]: matched \[127\.0\.0\.9\] from line 3$')
    equal(relay.spool.one().field('Authentication'), 'trusted')
    match(relay.spool.one().content.decode(), r'^Received: .* with ESMTP ; ')
    with relay.greeted() as wire:
        wire.exact('MAIL FROM:<a@b>', '530 authentication required')
    relay.wait_log(r'server authentication enabled but not a trusted address: 127\.0\.0\.1$')


def test_trusted_ranges(t):
    """Networks by their true masks, whole octets, and a unix-domain socket; the narrowest counts."""
    listener, bound = t.dir / 'listener.socket', t.dir / 'client.socket'
    relay = relay_with(t, 'server none 127.0.0.8/29 network\nserver none 127.1.*.* octets\nserver none 127.0.0.0/16 wide\n'
                          'server none 127.2.128.0/17 upper\n'
                          f'server none {bound} bound\nserver none / nameless\n', interface=f'127.0.0.1,{listener}')
    for address, keyword in (('127.0.0.8', 'network'), ('127.0.0.15', 'network'), ('127.0.0.16', 'wide'), ('127.1.2.3', 'octets'),
                             ('127.2.128.1', 'upper'), ('127.2.127.255', None), ('127.3.0.1', None), ('127.0.0.7', 'wide')):
        with t.row(address), relay.connect(source=(address, 0)) as wire:
            wire.expect('220 .*')
            wire.ask('EHLO x', 250)
            if keyword is None:
                wire.exact('MAIL FROM:<a@b>', '530 authentication required')
                continue
            equal(wire.submit(body)[0], 250)
            equal(relay.spool.one().field('Authentication'), keyword)
            for name in relay.spool.names():
                (relay.spool.path / name).unlink()
    for path, keyword in ((None, 'nameless'), (bound, 'bound')):
        with t.row(keyword):
            client = socket.socket(socket.AF_UNIX)
            if path:
                client.bind(str(path))
            client.connect(str(listener))
            with harness.Wire(client) as wire:
                wire.expect('220 .*')
                wire.ask('EHLO x', 250)
                equal(wire.submit(body)[0], 250)
            equal(relay.spool.one().field('Authentication'), keyword)
            for name in relay.spool.names():
                (relay.spool.path / name).unlink()


def test_names_of_unix_domain_clients(t):
    """A local program calls its socket as it likes. It is no trusted network by that, and no address in the log."""
    listener = t.dir / 'listener.socket'
    relay = relay_with(t, 'server none 10.0.0.0/8 network\nserver plain alice x\n', interface=f'127.0.0.1,{listener}', log_address=True)
    folder = t.folder('elsewhere')
    for name in ('10.1.2.3', '10.1.2.3%x', '203.0.113.9', 'x\nemailrelay: warning: 203.0.113.9; failed authentication',
                 str(folder / 'y\nemailrelay: warning: 203.0.113.9; failed authentication')):
        with t.row(repr(name)):
            client = socket.socket(socket.AF_UNIX)
            there = os.getcwd()
            os.chdir(folder)
            try:
                client.bind(name)
            finally:
                os.chdir(there)
            client.connect(str(listener))
            with harness.Wire(client) as wire:
                wire.expect('220 .*')
                wire.ask('EHLO x', 250)
                wire.exact('MAIL FROM:<a@b>', '530 authentication required')
    relay.wait_log('smtp connection closed', count=5)
    for line in relay.lines():
        if 'smtp connection' in line:
            match(line, r'^emailrelay: info: /; smtp connection .*(from|:) /$')


def test_challenges_differ(t):
    relay = relay_with(t)
    seen = []
    for _ in range(3):
        with relay.greeted() as wire:
            for _ in range(2):
                wire.say('AUTH CRAM-MD5')
                challenge = base64.b64decode(wire.expect('334 .*')[4:]).decode()
                match(challenge, rf'^<\d+\.\d+@{re.escape(harness.domain)}>$')
                seen.append(challenge)
                wire.exact('*', '501 authentication cancelled')
    equal(len(set(seen)), 6)


@harness.limit(180)
def test_swaks(t):
    need('swaks')
    relay = relay_with(t)
    for mechanism in ('PLAIN', 'LOGIN', 'CRAM-MD5', 'CRAM-SHA1'):
        with t.row(mechanism):
            words = ['swaks', '--server', f'127.0.0.1:{relay.port}', '--from', 'me@example.com', '--to', 'you@example.net',
                     '--auth', mechanism, '--auth-user', 'alice']
            t.run([*words, '--auth-password', password])
            check_sent_by(relay, 'alice')
            for name in relay.spool.names():
                (relay.spool.path / name).unlink()
            said = t.run([*words, '--auth-password', 'guess'], status=28)
            match(said, '535 authentication failed')
    t.run(['swaks', '--server', f'127.0.0.1:{relay.port}', '--from', 'me@example.com', '--to', 'you@example.net',
           '--auth', 'CRAM-MD5', '--auth-user', 'masked', '--auth-password', 'secret'])
    equal(relay.spool.one().field('Authentication'), 'masked')


@harness.limit(120)
def test_curl(t):
    need('curl')
    relay = relay_with(t)
    path = t.file('mail.txt', body)
    for mechanism in ('PLAIN', 'LOGIN', 'CRAM-MD5'):
        with t.row(mechanism):
            words = ['curl', '-sS', f'smtp://127.0.0.1:{relay.port}/client', '--mail-from', 'me@example.com', '--mail-rcpt',
                     'you@example.net', '--upload-file', path, '--login-options', f'AUTH={mechanism}']
            t.run([*words, '--user', 'alice:' + password])
            check_sent_by(relay, 'alice')
            for name in relay.spool.names():
                (relay.spool.path / name).unlink()
            t.run([*words, '--user', 'alice:guess'], status=67)  # login denied


@harness.limit(120)
def test_msmtp(t):
    """Its mechanisms are GNU SASL's: SCRAM by another hand."""
    need('msmtp')
    relay = relay_with(t, server_auth_config=scram)
    for mechanism in ('plain', 'login', 'cram-md5', 'scram-sha-256'):
        with t.row(mechanism):
            words = ['msmtp', '--host=127.0.0.1', f'--port={relay.port}', '--from=me@example.com', f'--auth={mechanism}',
                     '--tls=off', '--user=alice', 'you@example.net']
            t.run([*words[:-1], f'--passwordeval=echo {password}', words[-1]], input=body.replace(b'\r\n', b'\n'),
                  env={'HOME': str(t.dir)})
            check_sent_by(relay, 'alice')
            for name in relay.spool.names():
                (relay.spool.path / name).unlink()
            result = t.try_run([*words[:-1], '--passwordeval=echo guess', words[-1]], input=body, env={'HOME': str(t.dir)})
            match(result.stdout + result.stderr, 'authentication failed')


def test_gsasl(t):
    need('gsasl')
    relay = relay_with(t, server_auth_config=scram)
    for mechanism in ('SCRAM-SHA-256', 'CRAM-MD5'):
        with t.row(mechanism):
            words = ['gsasl', '--client', '--smtp', '--no-starttls', f'--connect=127.0.0.1:{relay.port}', f'--mechanism={mechanism}',
                     '--authentication-id=alice', '--authorization-id=', '--quality-of-protection=qop-auth']
            t.run([*words, f'--password={password}'], input='')
            relay.wait_log(rf'successful authentication of remote client using mechanism \[{mechanism.lower()}\] and plaintext secret '
                           r'for \[alice\] from line 1$')
            if t.try_run([*words, '--password=guess'], input='').returncode == 0:
                harness.fail('gsasl got in with a wrong password')
    check_no_secret(relay)


def test_smtplib(t):
    relay = relay_with(t)
    for mechanism, count in (('auth_cram_md5', 1), ('auth_plain', 2), ('auth_login', 3)):
        with t.row(mechanism):
            with smtplib.SMTP('127.0.0.1', relay.port, local_hostname='client') as client:
                client.ehlo()
                client.user, client.password = 'alice', password
                code, _ = client.auth(mechanism[5:].upper().replace('_', '-'), getattr(client, mechanism))
                equal(code, 235)
                client.sendmail('me@example.com', ['you@example.net'], body)
            equal(len(relay.spool.messages()), count)


def test_failures_are_slow_but_hold_nobody_up(t):
    """The second wrong password waits two seconds; another session sends its mail meanwhile, and the stop does not wait."""
    relay = relay_with(t, threads=1)
    with relay.greeted() as guesser, relay.greeted() as other:
        start = time.monotonic()
        guesser.exact(wrong, '535 authentication failed')
        first = time.monotonic() - start
        guesser.exact(wrong, '535 authentication failed')
        second = time.monotonic() - start - first
        if first < 0.99 or second < 1.99:
            harness.fail(f'answers after {first:.2f} and {second:.2f} s')
        guesser.say(wrong)  # four seconds
        relay.wait_log('failed authentication', count=3)
        start = time.monotonic()
        other.ask(right, 235)
        equal(other.submit(body), (250, ['message processed']))
        guesser.say(wrong)
        relay.terminate()
        match(guesser.line(), '^535 ')
        match(guesser.line() or '', '^(421 |535 )')
    check_no_secret(relay)


def test_too_many_failures(t):
    relay = relay_with(t, max_other_errors=2)
    with relay.greeted() as wire:
        wire.exact(wrong, '535 authentication failed')
        wire.exact(wrong, '535 authentication failed')
        wire.closed()
    relay.wait_log('smtp connection closed: too many protocol errors from the client: ')


# ---- files

def test_wrong_files(t):
    spool = t.spool()

    def start(text, *words):
        path = t.file('auth', text) if text is not None else t.dir / 'missing'
        user = ['--user=root'] if harness.is_root() else []
        return t.try_run([t.program, '--as-server', '--no-daemon', '--port=0', '--interface=127.0.0.1', f'--spool-dir={spool.path}',
                          *user, f'--server-auth={path}', *words]), path
    result, path = start(None)
    equal((result.returncode, result.stderr), (1, f'emailrelay: error: cannot read secrets file: {path}\n'))
    result = t.try_run([t.program, '--as-server', '--no-daemon', '--port=0', f'--spool-dir={spool.path}', '--server-auth=plain:YQ:Yg',
                        *(['--user=root'] if harness.is_root() else [])])
    match(result.stderr, r'(?m)^emailrelay: error: cannot read secrets file: /.*/plain:YQ:Yg$')  # that form is for the client
    result, path = start('server plain a b\nfoo plain a b\nserver plain a\nserver plain x y z w q\nserver plain a c\n'
                         'server none ::1 x\nserver none ::1 y\n')
    equal(result.returncode, 1)
    wanted = [f'emailrelay: warning: problems reading server secrets file [{path}]...',
              f'emailrelay: error: {path}(2): invalid value in first field: [foo]',
              f'emailrelay: error: {path}(3): too few fields',
              f'emailrelay: warning: {path}(4): too many fields',
              f'emailrelay: error: {path}(5): duplicate server secret',
              f'emailrelay: error: {path}(7): duplicate server trust address',
              'emailrelay: error: invalid secrets file']
    equal(result.stderr.splitlines(), wanted)
    result, path = start('server plain a b\nserver plain:b a! b\n')
    equal((result.returncode, result.stderr),
          (1, 'emailrelay: error: invalid authorisation secret: line 2: invalid base64 encoding of id\n'))


def test_file_is_read_again(t):
    path = t.file('auth', secrets)
    relay = t.relay(server_auth=path)
    old = relay.greeted()

    def replace(text):
        fresh = t.file('auth.new', text)
        os.rename(fresh, path)

    def sees(wanted):
        """New sessions, until one goes as wanted: the file is looked at once a second."""
        def one():
            with relay.connect() as wire:
                line = wire.line()
                if line is None:
                    return wanted.startswith('warning') and re.search(wanted, relay.output)
                wire.ask('EHLO x', 250)
                wire.say(bob)
                return wire.line().startswith(wanted)
        until(one, wanted)
    bob = 'AUTH PLAIN ' + b64('\0bob\0builder')
    replace('server plain bob builder\n')
    sees('235')
    relay.wait_log(f're-reading secrets file: {path}$')
    old.ask(right, 235)  # keeps what it began with
    old.close()
    path.unlink()
    sees(f'warning: new connection error: cannot read secrets file: {path}\n')
    replace('server plain bob bui+xx\n')
    sees('warning: new connection error: invalid authorisation secret: line 1: invalid xtext encoding of secret\n')
    replace('server plain\nserver plain bob builder\n')
    sees('235')
    relay.wait_log(rf'warning: problems reading server secrets file \[{path}\]\.\.\.$')
    relay.wait_log(re.escape(f'error: {path}(1): too few fields') + '$')


def test_secrets_that_only_root_can_read(t):
    harness.need_root('files of root')
    path = t.file('auth', secrets)
    os.chmod(path, 0o600)
    relay = t.relay(server_auth=path, user='daemon')
    with relay.greeted() as wire:
        wire.ask(right, 235)
    fresh = t.file('auth.new', 'server plain bob builder\n')
    os.chmod(fresh, 0o600)
    os.rename(fresh, path)

    def again():
        with relay.greeted() as wire:
            wire.say('AUTH PLAIN ' + b64('\0bob\0builder'))
            return wire.line().startswith('235')
    until(again, 'the new file')


# ---- PAM

def pam_relay(t, lines, users='alice:wonderland:emailrelay\n', **options):
    wrapper = '/usr/lib/x86_64-linux-gnu/libpam_wrapper.so'
    if not os.path.exists(wrapper):
        raise harness.Skip('libpam_wrapper.so is not installed')
    services = t.folder('pam', mode=0o755)
    passdb = t.file('passdb', users)
    (services / 'emailrelay').write_text(lines.replace('MATRIX', f'/usr/lib/x86_64-linux-gnu/pam_wrapper/pam_matrix.so passdb={passdb}'))
    environment = t.environment(words=['--user=root'])
    env = {'LD_PRELOAD': wrapper, 'PAM_WRAPPER': '1', 'PAM_WRAPPER_SERVICE_DIR': str(services), 'UID_WRAPPER_DISABLE_DEEPBIND': '1',
           'ASAN_OPTIONS': environment['ASAN_OPTIONS'] + ':verify_asan_link_order=0:detect_leaks=0'}
    return t.relay(env=env, **{'server_auth': 'pam:', **options})


both = 'auth required MATRIX\naccount required MATRIX\n'
pam_right = 'AUTH PLAIN ' + b64('\0alice\0wonderland')


def test_pam(t):
    relay = pam_relay(t, both)
    with relay.connect() as wire:
        wire.expect('220 .*')
        match(' '.join(wire.ask('EHLO x', 250)), 'AUTH PLAIN VRFY')
        wire.exact('AUTH LOGIN', '504 unsupported authentication mechanism')
        wire.exact('AUTH PLAIN ' + b64('\0alice\0guess'), '535 authentication failed')
        relay.wait_log(r'warning: pam error: pam_authenticate: 7: Authentication failure$')
        relay.wait_log(r'warning: failed authentication of remote client using mechanism \[plain\] and pam secret for \[alice\]$')
        wire.exact('AUTH PLAIN ' + b64('\0alice\0wonderland\0x'), '535 authentication failed')
        wire.exact(pam_right, '235 authentication successful')
        equal(wire.submit(body), (250, ['message processed']))
    equal(relay.spool.one().field('Authentication'), 'alice')


def test_pam_for_pop(t):
    """USER and PASS, and PLAIN; no stamp for APOP in the greeting."""
    relay = pam_relay(t, both, server_auth=None, pop_auth='pam:', pop=True, pop_port=0)
    port = int(relay.wait_log(r'pop server on .*[:.](\d+)$').group(1))

    def wire():
        wire = harness.Wire.tcp('127.0.0.1', port)
        equal(wire.line(), '+OK POP3 server ready')
        return wire
    with wire() as one:
        one.exact('CAPA', '+OK capability list follows', 'USER', 'CAPA', 'TOP', 'UIDL', 'SASL PLAIN', '.')
        one.say('USER alice')
        one.expect(r'\+OK.*')
        one.say('PASS guess')
        one.expect('-ERR.*')
        relay.wait_log(r'warning: pam error: pam_authenticate: 7: Authentication failure$')
        one.say('USER alice')
        one.expect(r'\+OK.*')
        one.exact('PASS wonderland', '+OK')
    with wire() as one:
        one.exact('AUTH PLAIN ' + b64('\0alice\0wonderland'), '+OK')
    relay.wait_log(r'pop authentication of alice connected from 127\.0\.0\.1:\d+$')


def test_old_spelling_of_pam(t):
    relay = pam_relay(t, both)
    relay.terminate()
    user = ['--user=root'] if harness.is_root() else []
    result = t.try_run([t.program, '--as-server', '--no-daemon', '--port=x', '--interface=192.0.2.1', f'--spool-dir={relay.spool.path}',
                        *user, '--server-auth=/pam'])
    match(result.stderr, 'warning: pam authentication should be enabled with pam: rather than /pam')


def test_real_account(t):
    """pam_unix and an account of its own in /etc/passwd and /etc/shadow. A relay that has given up root asks through unix_chkpwd, which has
    the privilege of its file: it must get that, although the relay itself is in the sandbox."""
    harness.need_root('accounts')
    need('openssl')
    harness.private_mounts()
    hashed = t.run(['openssl', 'passwd', '-6', 'wonderland']).strip()
    for name, line, mode in (('passwd', 'alice:x:4711:4711::/nonexistent:/bin/false\n', 0o644),
                             ('shadow', f'alice:{hashed}:19000:0:99999:7:::\n', 0o640)):
        with open(f'/etc/{name}') as f:
            file = t.file(name, f.read() + line)
        os.chmod(file, mode)
        shutil.chown(file, 'root', 'shadow' if name == 'shadow' else 'root')
        harness.mount_over(file, f'/etc/{name}')
    services = t.folder('pam.d')
    for name in os.listdir('/etc/pam.d'):
        with open(f'/etc/pam.d/{name}', 'rb') as f:
            (services / name).write_bytes(f.read())
    (services / 'emailrelay').write_text('auth requisite pam_unix.so\naccount required pam_unix.so\n')
    harness.mount_over(services, '/etc/pam.d')
    # The sanitizer's own crypt() finds the library's only if that is there from the start.
    options = t.environment(words=['--user=root'])['ASAN_OPTIONS']
    env = {'LD_PRELOAD': 'libcrypt.so.1', 'ASAN_OPTIONS': options + ':verify_asan_link_order=0:detect_leaks=0'}
    for user in ('root', 'daemon'):
        with t.row(user):
            spool = t.spool(user)
            shutil.chown(spool.path, user)
            relay = t.relay(server_auth='pam:', env=env, user=user, spool=spool)
            with relay.greeted() as wire:
                wire.exact('AUTH PLAIN ' + b64('\0alice\0guess'), '535 authentication failed')
                wire.exact(pam_right, '235 authentication successful')
            with open(f'/proc/{relay.pid}/status') as status:
                match(status.read(), r'(?m)^Seccomp:\s*2$')
