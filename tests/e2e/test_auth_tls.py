"""Logging in over TLS: real clients with each mechanism in both modes and with both libraries, logins that are bound to the
TLS session, and somebody in between."""
import base64
import contextlib
import os
import socket
import ssl
import threading

import harness
from certificates import Authority
from harness import equal, fail, match, need
from test_tls import libraries

body = b'Subject: a test\r\n\r\nHello.\r\n'
password = 'wonder land'
modes = {'starttls': '--server-tls', 'implicit': '--server-tls-connection'}
# CRAM and SCRAM too, and nothing before TLS.
config = 'm:;a:scram-sha-256-plus,scram-sha-256,cram-md5,cram-sha1,plain,login'


def b64(text):
    return base64.b64encode(text.encode()).decode()


class Site:
    """A relay for each library and mode, all with the same certificate."""

    def __init__(self, t):
        self.t = t
        self.authority = Authority(t)
        self.certificate = self.authority.issue('localhost', san='DNS:localhost', rsa=True)
        self.secrets = t.file('auth', 'server plain alice wonder+20land\n')

    def relay(self, library, mode, *words, **options):
        return self.t.relay(modes[mode], f'--server-tls-certificate={self.certificate}', f'--tls-config={library}', *words,
                            spool=self.t.spool(f'{library}-{mode}'), name=f'{library}-{mode}', server_auth=self.secrets,
                            server_auth_config=config, debug=True, **options)

    def relays(self):
        for library in libraries:
            for mode in modes:
                relay = self.relay(library, mode)
                yield library, mode, relay
                for secret in (password, 'd29uZGVyIGxhbmQ', 'AGFsaWNlAHdvbmRlciBsYW5k'):
                    if secret in relay.output:
                        self.t.problems.append(f'{library} {mode}: {secret!r} in the log')
                relay.terminate()


def came_in(relay):
    """One message of alice's, encrypted; taken away again."""
    message = relay.spool.one()
    equal(message.field('Authentication'), 'alice')
    match(message.content.decode(), r'^Received: .* with ESMTPSA tls \w+ ; ')
    for name in relay.spool.names():
        os.unlink(relay.spool.path / name)


def logged_in(relay, mechanism):
    relay.wait_log(rf'successful authentication of remote client using mechanism \[{mechanism.lower()}\] and plaintext secret '
                   r'for \[alice\] from line 1$')


def test_nothing_before_tls(t):
    """Neither under --server-tls-required, nor when the lists of mechanisms say so: what is offered and what is answered."""
    site = Site(t)
    plain = b64('\0alice\0' + password)

    def encrypted(wire):
        wire.exact('STARTTLS', '220 ready to start tls')
        wire.socket = ssl.create_default_context(cafile=site.authority.certificate).wrap_socket(wire.socket, server_hostname='localhost')
        return wire
    for library in libraries:
        common = ['--server-tls', f'--server-tls-certificate={site.certificate}', f'--tls-config={library}', f'--server-auth={site.secrets}']
        required = t.relay(*common, '--server-tls-required', spool=t.spool(f'required-{library}'))
        chosen = t.relay(*common, '--server-auth-config=m:;a:plain,login', spool=t.spool(f'chosen-{library}'))
        for relay, mechanisms, needed in ((required, 'CRAM-SHA512 CRAM-SHA256 CRAM-SHA1 CRAM-MD5 PLAIN LOGIN', '530 authentication required: use starttls'),
                                          (chosen, 'PLAIN LOGIN', '530 authentication required')):
            with t.row(f'{library} {mechanisms}'), relay.connect() as wire:
                wire.expect('220 .*')
                hello = [f'250-{harness.domain} says hello', '250-STARTTLS', '250-VRFY', '250-PIPELINING', '250 8BITMIME']
                wire.exact('EHLO x', *hello)
                wire.exact('AUTH PLAIN ' + plain, '504 unsupported authentication mechanism: use starttls')
                wire.exact('AUTH CRAM-MD5', '504 unsupported authentication mechanism: use starttls')
                wire.exact('MAIL FROM:<a@b>', needed)
                wire.exact('VRFY a', needed)
                encrypted(wire)
                wire.exact('EHLO x', hello[0], f'250-AUTH {mechanisms}', *hello[2:])
                wire.exact('MAIL FROM:<a@b>', '530 authentication required')
                wire.exact('AUTH PLAIN ' + plain, '235 authentication successful')
                wire.ask('MAIL FROM:<a@b>', 250)
        with t.row(f'{library} logged in before'):
            relay = t.relay(*common, spool=t.spool(f'before-{library}'))
            with relay.greeted() as wire:
                wire.exact('AUTH PLAIN ' + plain, '235 authentication successful')
                encrypted(wire)
                wire.ask('EHLO x', 250)
                wire.exact('MAIL FROM:<a@b>', '530 authentication required')


@harness.limit(240)
def test_swaks(t):
    need('swaks')
    for library, mode, relay in Site(t).relays():
        words = ['swaks', '--server', f'127.0.0.1:{relay.port}', '--from', 'me@example.com', '--to', 'you@example.net',
                 '--tls' if mode == 'starttls' else '--tlsc', '--auth-user', 'alice']
        for mechanism in ('PLAIN', 'LOGIN', 'CRAM-MD5', 'CRAM-SHA1'):
            with t.row(f'{library} {mode} {mechanism}'):
                t.run([*words, '--auth', mechanism, '--auth-password', password])
                came_in(relay)
        with t.row(f'{library} {mode} wrong'):
            match(t.run([*words, '--auth', 'PLAIN', '--auth-password', 'guess'], status=28), '535 authentication failed')
        with t.row(f'{library} {mode} in clear'):
            if mode == 'starttls':
                words.remove('--tls')
                t.run([*words, '--auth', 'PLAIN', '--auth-password', password], status=28)
                relay.spool.check_empty()


@harness.limit(240)
def test_curl(t):
    need('curl')
    site = Site(t)
    file = t.file('mail.txt', body)
    for library, mode, relay in site.relays():
        scheme = 'smtp' if mode == 'starttls' else 'smtps'
        words = ['curl', '-sS', '-4', '--ssl-reqd', '--cacert', site.authority.certificate, f'{scheme}://localhost:{relay.port}/client',
                 '--mail-from', 'me@example.com', '--mail-rcpt', 'you@example.net', '--upload-file', file]
        for mechanism in ('PLAIN', 'LOGIN', 'CRAM-MD5'):
            with t.row(f'{library} {mode} {mechanism}'):
                t.run([*words, '--login-options', f'AUTH={mechanism}', '--user', 'alice:' + password])
                came_in(relay)
        with t.row(f'{library} {mode} wrong'):
            t.run([*words, '--login-options', 'AUTH=PLAIN', '--user', 'alice:guess'], status=67)  # login denied


@harness.limit(240)
def test_msmtp(t):
    need('msmtp')
    site = Site(t)
    for library, mode, relay in site.relays():
        words = ['msmtp', '--host=localhost', f'--port={relay.port}', '--from=me@example.com', '--user=alice', '--tls=on',
                 f'--tls-starttls={"on" if mode == "starttls" else "off"}', f'--tls-trust-file={site.authority.certificate}',
                 '--source-ip=127.0.0.1', 'you@example.net']
        for mechanism in ('plain', 'login', 'cram-md5', 'scram-sha-256'):
            with t.row(f'{library} {mode} {mechanism}'):
                t.run([*words[:-1], f'--auth={mechanism}', f'--passwordeval=echo {password}', words[-1]],
                      input=body.replace(b'\r\n', b'\n'), env={'HOME': str(t.dir)})
                came_in(relay)


class Introduced:
    """Says EHLO to the relay for a client that forgets to before STARTTLS, and passes on everything else."""

    def __init__(self, t, relay):
        self.relay = relay
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        t.on_end(self.listener.close)
        serve_all(self.listener, self.serve)

    def serve(self, client):
        wire = self.relay.connect()
        greeting = wire.line()
        wire.ask('EHLO client.example.org', 250)
        client.sendall(greeting.encode() + b'\r\n')
        threading.Thread(target=pump, args=(client, wire.socket), daemon=True).start()
        pump(wire.socket, client)


def serve_all(listener, serve):
    def one(connection):
        with contextlib.suppress(OSError):
            serve(connection)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()


def pump(source, target, change=lambda data: data):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(change(data))
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@harness.limit(240)
def test_gsasl(t):
    """GNU SASL binds its login to the TLS session: tls-exporter with TLS 1.3, tls-unique before."""
    need('gsasl')
    site = Site(t)
    for library, version, priority in (('openssl', '1.3', 'NORMAL:-VERS-ALL:+VERS-TLS1.3'), ('openssl', '1.2', 'NORMAL:-VERS-ALL:+VERS-TLS1.2'),
                                       ('mbedtls', '1.2', 'NORMAL')):
        relay = site.relay(library, 'starttls')
        port = Introduced(t, relay).port
        for mechanism in ('SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256', 'CRAM-MD5', 'PLAIN', 'LOGIN'):
            with t.row(f'{library} {version} {mechanism}'):
                # A client that could bind its login does not log in with the form that binds nothing: that is refused.
                unbound = ['--no-cb'] if mechanism == 'SCRAM-SHA-256' else []
                words = ['gsasl', '--client', '--smtp', '--starttls', f'--connect=localhost:{port}', f'--mechanism={mechanism}',
                         '--authentication-id=alice', '--authorization-id=', '--quality-of-protection=qop-auth',
                         f'--x509-ca-file={site.authority.certificate}', f'--priority={priority}', *unbound]
                t.run([*words, f'--password={password}'], input='')
                logged_in(relay, mechanism)
                if t.try_run([*words, '--password=guess'], input='').returncode == 0:
                    fail('gsasl got in with a wrong password')
        relay.wait_log(rf'tls protocol established with .* protocol TLSv{version} ')
        relay.terminate()


def forward(t, relay, mechanism, library, mode, *words, status=0, name='out'):
    spool = t.spool(name)
    for left in spool.names():
        os.unlink(spool.path / left)
    spool.add('emailrelay.1.1.1', body)
    tls = '--client-tls' if mode == 'starttls' else '--client-tls-connection'
    output = t.forward(f'127.0.0.1:{relay.port}', tls, '--client-tls-required', f'--tls-config={library}', *words, spool=spool, status=status,
                       client_auth=t.file('client-auth', 'client plain alice wonder+20land\n'), client_auth_config=mechanism)
    return spool, output


@harness.limit(240)
def test_two_relays(t):
    """Also with a binding to the session, where both sides have the same one: the exporter of TLS 1.3, or the server's certificate."""
    site = Site(t)
    for theirs, mode, relay in site.relays():
        for ours in libraries:
            for mechanism in ('scram-sha-256-plus', 'scram-sha-256', 'cram-md5', 'plain', 'login'):
                with t.row(f'{ours} to {theirs} {mode} {mechanism}'):
                    spool, output = forward(t, relay, mechanism, ours, mode)
                    match(output, rf'successful authentication with remote server over tls using mechanism \[{mechanism}\]')
                    spool.check_empty()
                    came_in(relay)


class Between:
    """Ends the TLS of its clients with a certificate of its own and goes on to `relay` with TLS of its own: each side sees an
    encrypted session, and what is said passes through, as `change` likes it."""

    def __init__(self, t, relay, certificate, change=lambda data: data):
        self.relay, self.change = relay, change
        self.ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ours.load_cert_chain(certificate)
        self.theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.theirs.check_hostname, self.theirs.verify_mode = False, ssl.CERT_NONE
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        t.on_end(self.listener.close)
        serve_all(self.listener, self.serve)

    def serve(self, connection):
        client = self.ours.wrap_socket(connection, server_side=True)
        server = self.theirs.wrap_socket(socket.create_connection(('127.0.0.1', self.relay.port)))
        threading.Thread(target=pump, args=(client, server), daemon=True).start()
        pump(server, client, self.change)


@harness.limit(240)
def test_somebody_in_between(t):
    """A client that does not look at certificates: passwords that are not bound to the session get through, bound ones do not."""
    site = Site(t)
    other = Authority(t, 'other').issue('localhost')
    for theirs in libraries:
        relay = site.relay(theirs, 'implicit')
        between = Between(t, relay, other)

        def stripping(data):
            return data.replace(b' SCRAM-SHA-256-PLUS', b'')
        downgrading = Between(t, relay, other, stripping)
        for ours in libraries:
            with t.row(f'{ours} to {theirs}: not bound'):
                forward(t, between, 'scram-sha-256', ours, 'implicit')[0].check_empty()
                came_in(relay)
            with t.row(f'{ours} to {theirs}: bound'):
                spool, _ = forward(t, between, 'scram-sha-256-plus', ours, 'implicit', status=1)
                match(spool.one('bad').field('Reason'), r'^authentication failed using mechanism \[scram-sha-256-plus\]')
                relay.spool.check_empty()
            with t.row(f'{ours} to {theirs}: the offer has been changed'):
                spool, _ = forward(t, downgrading, 'm:scram-sha-256-plus,scram-sha-256', ours, 'implicit', status=1)
                match(spool.one('bad').field('Reason'), r'^authentication failed using mechanism \[scram-sha-256\]')
                relay.spool.check_empty()
        relay.terminate()


def memory_holds(pid, texts):
    """Which of the texts are somewhere in the memory of the process."""
    found = set()
    with open(f'/proc/{pid}/maps') as maps, open(f'/proc/{pid}/mem', 'rb', 0) as memory:
        for line in maps:
            where, access, *_ = line.split()
            start, end = (int(x, 16) for x in where.split('-'))
            if not access.startswith('rw') or end - start > 1 << 32:  # the sanitizer's notes on the address space
                continue
            held = b''
            while start < end:
                try:
                    memory.seek(start)
                    part = memory.read(min(end - start, 1 << 24))
                except OSError:  # given back meanwhile
                    break
                if not part:
                    break
                found |= {text for text in texts if text.encode() in held + part}
                held, start = part[-200:], start + len(part)
    return found


@harness.limit(240)
def test_no_secret_stays_in_memory(t):
    """Guessed passwords after the sessions have ended, and the text of the private key after the start. (The address sanitizer
    keeps memory that was given back as it was, so that a copy given back unwiped is seen.)"""
    site = Site(t)
    key = site.certificate.with_suffix('.key').read_text().split('\n')[5]
    for library, mode, relay in site.relays():
        with t.row(f'{library} {mode}'):
            guesses = [f'guess-{library}-{mode}-{n}-{os.urandom(8).hex()}' for n in range(4)]
            context = ssl.create_default_context(cafile=site.authority.certificate)

            @contextlib.contextmanager
            def session():  # one for each: the second guess of a session is answered slowly
                with relay.connect() as wire:
                    if mode == 'starttls':
                        wire.expect('220 .*')
                        wire.ask('EHLO x', 250)
                        wire.ask('STARTTLS', 220)
                    wire.socket = context.wrap_socket(wire.socket, server_hostname='localhost')
                    if mode == 'implicit':
                        wire.expect('220 .*')
                    wire.ask('EHLO x', 250)
                    yield wire
            with session() as wire:
                wire.ask('AUTH PLAIN ' + b64('\0alice\0' + guesses[0]), 535)
            with session() as wire:
                wire.ask('AUTH PLAIN', 334)
                wire.ask(b64('\0alice\0' + guesses[1]), 535)
            with session() as wire:
                wire.ask('AUTH LOGIN ' + b64('alice'), 334)
                first, second = b64(guesses[2])[:20], b64(guesses[2])[20:]
                wire.send(first)  # in two records
                wire.ask(second, 535)
            with session() as wire:  # with the command that ends the session
                wire.send('AUTH PLAIN ' + b64('\0alice\0' + guesses[3]) + '\r\nQUIT\r\n')
                wire.expect('535 .*')
                wire.expect('221 .*')
            relay.wait_log('smtp connection closed: ', count=4)
            coded = [b64('\0alice\0' + g)[8:-8] for g in guesses[:2] + guesses[3:]] + [b64(guesses[2])[:20], b64(guesses[2])[20:-4]]
            equal(memory_holds(relay.pid, ['smtp connection from']), {'smtp connection from'}, 'a text that is there')
            equal(memory_holds(relay.pid, [*guesses, *coded, key]), set())


def test_no_secret_of_pop_stays_in_memory(t):
    """Likewise; also where the password comes with the command that ends the session."""
    relay = t.relay('--pop', '--pop-port=0', f'--pop-auth={t.file("auth", "server plain alice wonder+20land" + chr(10))}', verbose=True)
    port = int(relay.wait_log(r'pop server on .*[:.](\d+)$').group(1))
    guesses = [f'guess-{n}-{os.urandom(8).hex()}' for n in range(4)]
    for dialogue in (f'USER alice\r\nPASS {guesses[0]}\r\n', f'USER alice\r\nPASS {guesses[1]}\r\nQUIT\r\n',
                     'AUTH PLAIN ' + b64('\0alice\0' + guesses[2]) + '\r\n', 'AUTH PLAIN ' + b64('\0alice\0' + guesses[3]) + '\r\nQUIT\r\n'):
        with harness.Wire.tcp('127.0.0.1', port) as wire:
            wire.expect(r'\+OK.*')
            wire.send(dialogue)
            if 'USER' in dialogue:
                wire.expect(r'\+OK.*')
            wire.expect('-ERR.*')
            if 'QUIT' in dialogue:
                wire.expect(r'\+OK.*')
    relay.wait_log('pop connection closed: ', count=4)
    coded = [b64('\0alice\0' + g)[8:-8] for g in guesses[2:]]
    equal(memory_holds(relay.pid, ['pop connection from', *guesses, *coded]), {'pop connection from'})
