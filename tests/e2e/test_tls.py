"""TLS on both sides, against openssl, curl, swaks, msmtp, Python, Postfix and the relay itself, with both libraries."""
import os
import pwd
import re
import smtplib
import socket
import ssl
import struct
import threading

import harness
from certificates import Authority
from harness import domain, equal, fail, match, need
from helper_servers import LineServer
from mail_servers import Postfix

libraries = ['openssl', 'mbedtls']
body = b'Subject: x\r\n\r\nhello\r\n'


def server(t, authority, *words, library='openssl', name='server', mode='--server-tls', certificate=None, **how):
    return t.relay(mode, f'--server-tls-certificate={certificate or authority.issue("localhost", san="DNS:localhost", rsa=True)}',
                   f'--tls-config={library}', *words, spool=t.spool(f'spool-{name}'), name=name, **how)


def context(authority=None, certificate=None, highest=None):
    made = ssl.create_default_context(cafile=authority and authority.certificate)
    if not authority:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if certificate:
        made.load_cert_chain(certificate)
    if highest:
        made.maximum_version = highest
    return made


def start_tls(relay, ctx, name='client.example.org'):
    client = smtplib.SMTP('127.0.0.1', relay.port, local_hostname=name, timeout=harness.patience)
    client._host = 'localhost'
    client.ehlo()
    client.starttls(context=ctx)
    client.ehlo()
    return client


def first_certificate(file):
    text = file.with_suffix('.certificate').read_text()
    return text[text.index('-----BEGIN'):].strip()


def onward(t, address, *words, status=0, library='openssl', name='client', **how):
    spool = t.spool(f'spool-{name}')
    if not spool.names():
        spool.add('emailrelay.1.1.1', body)
    output = t.forward(address, f'--tls-config={library}', *words, spool=spool, status=status, **how)
    return spool, output


# ---------------------------------------------------------------- server

def test_starttls_and_implicit_with_both_libraries_and_versions(t):
    authority = Authority(t)
    certificate = authority.issue('localhost', san='DNS:localhost', rsa=True)
    for library in libraries:
        for mode in ['--server-tls', '--server-tls-connection']:
            relay = server(t, authority, library=library, mode=mode, name=f'{library}{mode}', certificate=certificate)
            for version in [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]:
                with t.row(f'{library} {mode} {version}'):
                    ctx = context(authority, highest=version)
                    if mode == '--server-tls':
                        client = start_tls(relay, ctx)
                    else:
                        sock = socket.create_connection(('127.0.0.1', relay.port), timeout=harness.patience)
                        client = smtplib.SMTP(timeout=harness.patience, local_hostname='client.example.org')
                        client.sock = ctx.wrap_socket(sock, server_hostname='localhost')
                        client.file = None
                        equal(client.getreply()[0], 220)
                        client.ehlo()
                    equal(client.has_extn('starttls'), False, 'offered again')
                    cipher, protocol = client.sock.cipher()[:2]
                    content = b'Subject: big\r\n\r\n' + b'0123456789 abcdefghijklm\r\n' * 20000
                    client.sendmail('me@example.com', ['you@example.net'], content)
                    code, _ = client.docmd('STARTTLS')
                    equal(code, 503 if mode == '--server-tls' else 500)
                    client.quit()
                    wanted = 'TLSv1.2' if library == 'mbedtls' else protocol
                    found = relay.wait_log(rf'tls protocol established with 127\.0\.0\.1:\d+ protocol {wanted} cipher (\S+)')
                    message = relay.spool.one()
                    equal(message.body(), content)
                    received = message.content.split(b'\r\n')[0].decode()
                    match(received, rf'^Received: from client\.example\.org \(\[127\.0\.0\.1\]\) by {domain} with ESMTPS tls \w+ ; ')
                    if library == 'openssl':
                        match(received, f' tls {cipher.replace("-", "_")} ;')
                    equal(message.field('ClientCertificate'), '')
                    for name in relay.spool.names():
                        os.unlink(relay.spool.path / name)
            relay.terminate()


def test_real_clients(t):
    need('swaks', 'curl', 'msmtp', 'openssl')
    authority = Authority(t)
    relay = server(t, authority)
    implicit = server(t, authority, mode='--server-tls-connection', name='implicit')
    mail = t.file('mail', 'Subject: x\n\nhello\n')
    with t.row('swaks'):
        t.run(['swaks', '--server', '127.0.0.1', '--port', relay.port, '--tls', '--from', 'a@b.example', '--to', 'c@d.example'])
        t.run(['swaks', '--server', '127.0.0.1', '--port', implicit.port, '--tlsc', '--from', 'a@b.example', '--to', 'c@d.example'])
    with t.row('curl'):
        for url in [f'smtp://localhost:{relay.port}', f'smtps://localhost:{implicit.port}']:
            t.run(['curl', '-sS', '--ssl-reqd', '--cacert', authority.certificate, '--url', url, '--mail-from', 'a@b.example',
                   '--mail-rcpt', 'c@d.example', '-T', mail, '-4'])
    with t.row('msmtp'):
        for port, starttls in [(relay.port, 'on'), (implicit.port, 'off')]:
            t.run(['msmtp', '--host=127.0.0.1', f'--port={port}', '--tls=on', f'--tls-starttls={starttls}', '--tls-certcheck=off',
                   '--from=a@b.example', '--file=/dev/null', 'c@d.example'], input='Subject: x\n\nhello\n')
    with t.row('openssl s_client'):
        for version in ['-tls1_2', '-tls1_3']:
            said = t.run(['openssl', 's_client', '-connect', f'127.0.0.1:{relay.port}', '-starttls', 'smtp', '-verify_return_error',
                          '-CAfile', authority.certificate, '-crlf', '-quiet', '-ign_eof', version], input='EHLO x\nQUIT\n')
            match(said, r'250 8BITMIME')
        for version in ['-tls1', '-tls1_1']:
            t.run(['openssl', 's_client', '-connect', f'127.0.0.1:{implicit.port}', '-cipher', 'DEFAULT:@SECLEVEL=0', version],
                  status=1, input='')
    relay.spool.wait_count(3)
    implicit.spool.wait_count(3)


def test_postfix_as_client_and_next_hop(t):
    authority = Authority(t)
    certificate = authority.issue('localhost', san='DNS:localhost,DNS:postfix.example.net', rsa=True)
    relay = server(t, authority, certificate=certificate)
    client = Postfix(t, relayhost=relay.port, more={'smtp_tls_security_level': 'encrypt'})
    with smtplib.SMTP('127.0.0.1', client.port) as c:
        c.sendmail('a@b.example', ['c@d.example'], body)
    relay.spool.wait_count(1)
    match(relay.spool.one().content.decode(), r'with ESMTPS tls TLS_')
    hop = Postfix(t, more={'smtpd_tls_chain_files': certificate, 'smtpd_tls_security_level': 'encrypt', 'smtpd_tls_received_header': 'yes'})
    for n, library in enumerate(libraries):
        with t.row(library):
            spool, output = onward(t, hop.address, '--client-tls', '--client-tls-required', f'--client-tls-verify={authority.certificate}',
                                   '--client-tls-verify-name=postfix.example.net', library=library, name=library)
            spool.check_empty()
            match(output, r'tls protocol established with .* protocol TLSv1')
            kept = harness.until(lambda: len(hop.mail()) > n and hop.mail(), 'mail in the mailbox')
            match(kept[-1].decode(), r'using TLSv1\.')


def test_commands_pipelined_in_clear_are_never_executed(t):
    authority = Authority(t)
    for library in libraries:
        relay = server(t, authority, library=library, name=library)
        wire = relay.greeted()
        wire.send(b'STARTTLS\r\nMAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.com>\r\n')
        wire.expect('220 ready to start tls')
        tls = context().wrap_socket(wire.socket, server_hostname='localhost')
        tls.sendall(b'RCPT TO:<victim@example.com>\r\nNOOP\r\nQUIT\r\n')
        got = b''
        while part := tls.recv(1000):
            got += part
        equal(got, b'503 command out of sequence -- use RSET to resynchronise\r\n250 noop\r\n221 OK\r\n')
        match(relay.output, 'smtp connection from')
        if 'evil' in relay.output:
            fail('executed: ' + relay.output)
        relay.spool.check_empty()


def test_required(t):
    authority = Authority(t)
    relay = server(t, authority, '--server-tls-required')
    wire = relay.greeted()
    for line in ['MAIL FROM:<a@b>', 'VRFY a']:
        equal(wire.ask(line, 530), ['encryption required: use starttls'])
    wire.ask('NOOP', 250)
    wire.ask('RSET', 250)
    client = start_tls(relay, context(authority))
    client.sendmail('a@b', ['c@d'], body)
    relay.spool.wait_count(1)


# Kinds of certificates, and which of them are good for who believes the authority that is meant.
kinds = dict(good=True, chain=True, purpose=False, wrong=False, **{'self-signed': False}, expired=False, early=False)


def identities(t, authority, name, purpose):
    """A certificate of each kind. `purpose`: what that one is not meant to be used for."""
    san, other = f'DNS:{name}', Authority(t, 'other')
    return {'good': authority.issue(name, san=san), 'chain': Authority(t, 'between', under=authority).issue(name, san=san),
            'purpose': Authority(t, 'purposes', under=authority).issue(name, san=san, extensions=f'extendedKeyUsage={purpose}\n'),
            'wrong': other.issue(name, san=san), 'self-signed': authority.self_signed(name, san=san),
            'expired': authority.issue(name, san=san, expired=True), 'early': authority.issue(name, san=san, early=True)}


@harness.limit(300)
def test_client_certificates(t):
    check_client_certificates(t, Authority(t), lambda authority: [
        ([], dict.fromkeys(['none', *kinds], True)),
        (['--server-tls-verify=<none>'], dict.fromkeys(['none', *kinds], True)),
        ([f'--server-tls-verify={authority.certificate}'], dict(kinds, none=False)),
        ([f'--server-tls-verify={authority.hashed()}'], dict(kinds, none=False)),
        (['--server-tls-verify=<default>'], dict.fromkeys(['none', *kinds], False))])


@harness.limit(120)
def test_client_certificates_by_the_system(t):
    harness.need_root('the system\'s certificates')
    authority = Authority(t)
    authority.becomes_the_system()
    check_client_certificates(t, authority, lambda _: [(['--server-tls-verify=<default>'], dict(kinds, none=False))])


def check_client_certificates(t, authority, rows):
    """What the server is told -> who gets in."""
    table = rows(authority)
    files = dict(identities(t, authority, 'me', 'serverAuth'), none=None)
    certificate = authority.issue('localhost', san='DNS:localhost', rsa=True)
    for library in libraries:
        for n, (words, outcomes) in enumerate(table):
            relay = server(t, authority, *words, library=library, name=f'{library}{n}', certificate=certificate)
            for who, gets_in in outcomes.items():
                for version in [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]:
                    if library == 'mbedtls' and version == ssl.TLSVersion.TLSv1_3:
                        continue
                    with t.row(f'{library} {words} {who} {version}'):
                        try:
                            client = start_tls(relay, context(authority, files[who], version))
                            client.sendmail('a@b', ['c@d'], body)
                            client.quit()
                            got_in = True
                        except (ssl.SSLError, smtplib.SMTPException, OSError):
                            got_in = False
                        equal(got_in, gets_in)
                        if not got_in:
                            relay.wait_log(r'warning: tls: tls error: ssl accept: ')
                            relay.wait_log(r'smtp connection closed: peer disconnected: ssl accept: 127\.0\.0\.1:\d+$')
                        else:
                            text = relay.spool.one().envelope.decode()
                            recorded = who != 'none' and words != ['--server-tls-verify=<none>']
                            pem = first_certificate(files[who]) if recorded else ''
                            wanted = 'X-MailRelay-ClientCertificate: ' + pem.replace('\n', '\r\n ') + '\r\n'
                            if wanted not in text:
                                fail(f'wanted {wanted!r} in {text!r}')
                        for name in relay.spool.names():
                            os.unlink(relay.spool.path / name)
            relay.terminate()


def test_mistakes_at_the_start(t):
    authority = Authority(t)
    one, two = authority.issue('one'), authority.issue('two')
    spool = t.spool()

    def outcome(*words):
        done = t.emailrelay('--no-daemon', '--log', '--no-syslog', '--port=0', '--interface=127.0.0.1', f'--spool-dir={spool.path}',
                            '--server-tls', *(['--user=root'] if harness.is_root() else []), *words)
        equal(done.returncode, 1)
        return done.stderr
    for library in libraries:
        keyword = f'--tls-config={library}'
        with t.row(library):
            text = outcome(keyword, '--server-tls-certificate=/nowhere/x.pem')
            match(text, r'warning: cannot open ssl key file: /nowhere/x\.pem')
            match(text, r'(?m)^emailrelay: error: tls error: \w+: \[.*\]: file=\[/nowhere/x\.pem\]$')
            text = outcome(keyword, f'--server-tls-certificate={one.with_suffix(".key")}', '--server-tls-certificate=/nowhere/y.pem')
            match(text, r'warning: cannot open ssl certificate file: /nowhere/y\.pem')
            text = outcome(keyword, f'--server-tls-certificate={one.with_suffix(".key")},{two.with_suffix(".certificate")}')
            match(text, r'emailrelay: error: tls error: \w+: \[no certificate belongs to the private key\]: file=\[')
            empty = t.file('empty.pem', '')
            match(outcome(keyword, f'--server-tls-certificate={empty}'), rf'emailrelay: error: tls error: read: \[empty file\]: file=\[{empty}\]$')


def test_configuration_keywords(t):
    authority = Authority(t)
    relay = server(t, authority, '--tls-config=-tlsv1.2,foo')
    relay.wait_log(r'tls-config: tls configuration items ignored: \[foo\]')
    client = start_tls(relay, context(authority))
    equal(client.sock.version(), 'TLSv1.2')
    old = server(t, authority, '--tls-config=TLSv1.0,-tlsv1.0', name='old')
    said = t.run(['openssl', 's_client', '-connect', f'127.0.0.1:{old.port}', '-starttls', 'smtp', '-cipher', 'DEFAULT:@SECLEVEL=0',
                  '-tls1', '-crlf', '-quiet', '-ign_eof'], input='EHLO x\nQUIT\n')
    match(said, '250 8BITMIME')
    old.wait_log(r'tls protocol established with .* protocol TLSv1 cipher')
    match(t.emailrelay('--version', '--verbose').stdout, r'(?m)^TLS library: OpenSSL 3\.\d+\.\d+\S*, mbed TLS 2\.28\.\d+$')


def test_certificate_replaced_while_running(t):
    first, second = Authority(t), Authority(t, 'second')
    for library in libraries:
        file = t.file(f'own-{library}.pem', first.issue('localhost', san='DNS:localhost').read_text())
        relay = server(t, first, library=library, certificate=file, name=library)

        def who():
            for n, authority in enumerate([first, second]):
                try:
                    start_tls(relay, context(authority)).quit()
                    return n
                except ssl.SSLError:
                    pass
        equal(who(), 0)
        file.write_text('rubbish')
        harness.until(lambda: who() == 0 and 'tls: changed files are not used: tls error: ' in relay.output, 'a warning')
        file.write_text('')  # as it is for a moment when something is copied over it
        harness.until(lambda: who() == 0 and 'tls: changed files are not used: tls error: read: [empty file]' in relay.output, 'another')
        file.write_text(second.issue('localhost', san='DNS:localhost').read_text())
        harness.until(lambda: who() == 1, 'the new certificate')
        relay.terminate()


def test_keys_that_only_root_can_read(t):
    """Read at the start, and again after the change, when the process has long become somebody else."""
    harness.need_root('files of root')
    first, second = Authority(t), Authority(t, 'second')
    keys = t.folder('private', mode=0o700)
    for library in libraries:
        one = first.issue('localhost', san='DNS:localhost')
        two = second.issue('localhost', san='DNS:localhost')
        key, certificate = keys / f'{library}.key', keys / f'{library}.certificate'

        def install(made):
            for file, ending in ((key, '.key'), (certificate, '.certificate')):
                fresh = file.with_suffix('.new')
                fresh.write_text(made.with_suffix(ending).read_text())
                fresh.chmod(0o600)
                os.rename(fresh, file)
        install(one)
        relay = server(t, first, library=library, certificate=f'{key},{certificate}', name=library, user='daemon')
        start_tls(relay, context(first)).quit()
        install(two)

        def changed():
            try:
                start_tls(relay, context(second)).quit()
                return True
            except ssl.SSLError:
                return False
        harness.until(changed, 'the new certificate')
        with open(f'/proc/{relay.pid}/status') as status:
            effective = [line.split()[2] for line in status if line.startswith('Uid:')]
        equal(effective, [str(pwd.getpwnam('daemon').pw_uid)])
        relay.terminate()


def test_sessions_are_resumed(t):
    need('openssl')
    authority = Authority(t)
    certificate = authority.issue('localhost', rsa=True)
    for library, words, resumed in [('openssl', [], True), ('mbedtls', [], True), ('openssl', ['--tls-config=op_no_ticket'], True),
                                    ('openssl', ['--tls-config=op_no_resumption'], False)]:
        for version in ['-tls1_2', '-tls1_3'] if library == 'openssl' else ['-tls1_2']:
            with t.row(f'{library} {words} {version}'):
                relay = server(t, authority, *words, library=library, certificate=certificate, name=f'{library}{words}{version}'.replace('/', ''))
                session = t.dir / f'session-{library}{len(words)}{version}{resumed}'
                base = ['openssl', 's_client', '-connect', f'127.0.0.1:{relay.port}', '-starttls', 'smtp', '-crlf', '-ign_eof', version]
                t.run([*base, '-sess_out', session], input='EHLO x\nQUIT\n', status=None)
                said = t.run([*base, *(['-sess_in', session] if session.exists() else [])], input='EHLO x\nQUIT\n', status=None)
                equal('Reused, ' in said, resumed)
                relay.terminate()


def test_resumed_sessions_carry_the_verification(t):
    """A resumed session shows no certificate again; the one of its beginning counts, until the authorities change."""
    need('openssl')
    authority, other = Authority(t), Authority(t, 'other')
    certificate = authority.issue('localhost', rsa=True)
    me = authority.issue('me')
    dialogue = 'EHLO x\nMAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA\nSubject: x\n\nhello\n.\nQUIT\n'
    for library, version in [('openssl', '-tls1_2'), ('openssl', '-tls1_3'), ('mbedtls', '-tls1_2')]:
        with t.row(f'{library} {version}'):
            believed = t.file('believed.pem', authority.certificate.read_text())
            relay = server(t, authority, f'--server-tls-verify={believed}', library=library, certificate=certificate, name=library + version)
            session = t.dir / f'session{library}{version}'

            def client(*words):
                return t.run(['openssl', 's_client', '-connect', f'127.0.0.1:{relay.port}', '-starttls', 'smtp', '-crlf', '-ign_eof', version,
                              *words], input=dialogue, status=None)

            def recorded():
                text = relay.spool.one().envelope.decode()
                for name in relay.spool.names():
                    os.unlink(relay.spool.path / name)
                return 'X-MailRelay-ClientCertificate: ' + first_certificate(me).replace('\n', '\r\n ') in text
            client('-cert', me, '-sess_out', session)
            equal(recorded(), True, 'first session')
            said = client('-sess_in', session)
            match(said, r'(?m)^Reused, ')
            equal(recorded(), True, 'resumed session')
            client()
            relay.wait_log('warning: tls: tls error: ssl accept: ')
            believed.write_text(other.certificate.read_text())

            def refused():
                said = client('-sess_in', session)
                if relay.spool.messages():
                    equal(recorded(), True)
                    return False
                return 'Reused, ' not in said
            harness.until(refused, 'the session is no longer believed')
            relay.terminate()


class Halves:
    """One side of a handshake by hand: `first` is what a client begins with, answer() the flight of a server."""

    def __init__(self, certificate=None):
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if certificate else ssl.PROTOCOL_TLS_CLIENT)
        if certificate:
            made.load_cert_chain(certificate)
        else:
            made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
        self.came, self.due = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = made.wrap_bio(self.came, self.due, server_side=bool(certificate))
        self.first = b'' if certificate else self.answer(b'')

    def answer(self, data):
        self.came.write(data)
        try:
            self.session.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self.due.read()


# What a peer does instead of going on with a handshake, given its half of what should be said next.
def stalls(connection, flight):
    return True


def stalls_half_way(connection, flight):
    connection.sendall(flight[:len(flight) // 2])
    return True


def sends_garbage(connection, flight):
    connection.sendall(b'EHLO x\r\nMAIL FROM:<a@b>\r\n' + b'x' * 20000)
    return True


def sends_a_damaged_flight(connection, flight):
    connection.sendall(flight[:60] + bytes(b ^ 0x55 for b in flight[60:]))
    return True


def closes(connection, flight):
    return False


def closes_half_way(connection, flight):
    connection.sendall(flight[:len(flight) // 2])
    return False


def resets(connection, flight):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    return False


misbehaviours = [stalls, stalls_half_way, sends_garbage, sends_a_damaged_flight, closes, closes_half_way, resets]


@harness.limit(120)
def test_handshakes_that_come_to_nothing(t):
    """Each is ended and logged, and others have their answers meanwhile: one network thread serves them all."""
    authority = Authority(t)
    certificate = authority.issue('localhost', san='DNS:localhost', rsa=True)
    for library in libraries:
        for mode in ['--server-tls', '--server-tls-connection']:
            relay = server(t, authority, library=library, name=library + mode, mode=mode, idle_timeout=2, threads=1, certificate=certificate)
            warnings = 0
            for behave in misbehaviours:
                with t.row(f'{library} {mode} {behave.__name__}'):
                    wire = relay.connect()
                    if mode == '--server-tls':
                        wire.expect('220 .*')
                        wire.ask('EHLO x', 250)
                        wire.ask('STARTTLS', 220)
                    port = wire.local_port()
                    relay.wait_log(rf'smtp connection from 127\.0\.0\.1:{port}$')
                    stays = behave(wire.socket, Halves().first)
                    if not stays:
                        wire.close()
                    elif behave in (stalls, stalls_half_way):
                        if mode == '--server-tls':
                            start_tls(relay, context(authority)).quit()
                        else:
                            with relay.connect() as other:
                                match(context(authority).wrap_socket(other.socket, server_hostname='localhost').recv(100), b'^220 ')
                        relay.wait_log(rf'smtp connection closed: idle timeout: no activity after 2s: 127\.0\.0\.1:{port}$')
                    else:
                        warnings += 1
                        relay.wait_log(r'warning: tls: tls error: ', count=warnings)
                        relay.wait_log(rf'smtp connection closed: peer disconnected: ssl accept: 127\.0\.0\.1:{port}$')
                    if stays:  # closed by the relay, with no more than an alert
                        rest = b''
                        try:
                            while part := wire.socket.recv(1000):
                                rest += part
                        except ConnectionResetError:
                            pass
                        if len(rest) > 4000 or b'250' in rest:
                            fail(f'answered with {rest!r}')
                        wire.close()
            relay.terminate()


class BadHop:
    """A next hop that takes part in TLS up to its first flight, and then does as `behave` says."""

    def __init__(self, t, certificate, implicit, behave):
        self.certificate, self.implicit, self.behave = certificate, implicit, behave
        self.in_clear = b''
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.address = f'127.0.0.1:{self.listener.getsockname()[1]}'
        self.kept = []
        t.on_end(self.listener.close)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        try:
            while True:
                connection, _ = self.listener.accept()
                self.kept.append(connection)
                if not self.implicit:
                    connection.sendall(b'220 hop\r\n')
                    self.expect(connection, b'EHLO')
                    connection.sendall(b'250-hop\r\n250 STARTTLS\r\n')
                    self.expect(connection, b'STARTTLS')
                    connection.sendall(b'220 go\r\n')
                flight = Halves(self.certificate).answer(connection.recv(65536))
                if not self.behave(connection, flight):
                    connection.close()
                    continue
                while data := connection.recv(65536):
                    self.in_clear += data
        except OSError:
            pass

    def expect(self, connection, verb):
        line = connection.recv(1000)
        if not line.startswith(verb):
            self.in_clear += line


@harness.limit(240)
def test_next_hops_whose_handshake_comes_to_nothing(t):
    """The message fails, the log says why, and nothing is said in clear."""
    certificate = Authority(t).issue('localhost', rsa=True)
    for library in libraries:
        for mode in ['--client-tls', '--client-tls-connection']:
            for behave in misbehaviours:
                with t.row(f'{library} {mode} {behave.__name__}'):
                    hop = BadHop(t, certificate, mode == '--client-tls-connection', behave)
                    spool, output = onward(t, hop.address, mode, '--connection-timeout=2', status=1, library=library,
                                           name=f'{library}{mode}{behave.__name__}')
                    reason = spool.one('bad').field('Reason')
                    if behave in (stalls, stalls_half_way):
                        equal(reason, 'secure connection timeout')
                        match(output, 'warning: smtp client error: secure connection timeout')
                    else:
                        equal(reason, 'peer disconnected: ssl connect')
                        match(output, r'warning: tls: tls error: ')
                        match(output, 'warning: smtp client error: peer disconnected: ssl connect')
                    if b'MAIL' in hop.in_clear or b'EHLO' in hop.in_clear:
                        fail(f'in clear: {hop.in_clear}')


def test_stalled_next_hop_holds_nobody_up(t):
    """While the forwarder waits for a handshake on the only network thread, mail is taken in, and then it goes on."""
    certificate = Authority(t).issue('localhost', rsa=True)
    hop = BadHop(t, certificate, True, stalls)
    relay = t.relay('--client-tls-connection', '--forward-on-disconnect', '--connection-timeout=3', forward_to=hop.address, threads=1)
    with relay.greeted() as wire:
        wire.submit(body)
    harness.until(lambda: hop.kept, 'the next hop is asked')
    with relay.greeted() as wire:
        equal(wire.submit(body), (250, ['message processed']))
        equal(len(relay.spool.messages('bad')), 0, 'the first is still waiting')
    relay.wait_log('warning: .*secure connection timeout')
    relay.spool.wait_count(2, 'bad')


def test_tls_client_on_a_clear_port(t):
    relay = t.relay()
    wire = relay.connect()
    wire.send(bytes.fromhex('16030102000100') + bytes(505))
    relay.wait_log(r'warning: received unexpected tls handshake packet from remote client: try enabling implicit tls \(smtps\)')


# ---------------------------------------------------------------- client

def test_relay_to_relay(t):
    authority = Authority(t)
    certificate = authority.issue('localhost', san='DNS:localhost', rsa=True)
    for theirs in libraries:
        for mode, words in [('--server-tls', ['--client-tls']), ('--server-tls-connection', ['--client-tls-connection'])]:
            hop = server(t, authority, library=theirs, mode=mode, certificate=certificate, name=f'{theirs}{mode}')
            for ours in libraries:
                with t.row(f'{ours} to {theirs} {mode}'):
                    spool, output = onward(t, f'127.0.0.1:{hop.port}', *words, '--client-tls-required', library=ours, name=f'{ours}-{theirs}{mode}')
                    spool.check_empty()
                    match(output, r'info: tls protocol established with 127\.0\.0\.1:\d+ protocol TLSv1\.\d cipher \S+')
                    hop.spool.wait_count(1)
                    equal(hop.spool.one().body(), body)
                    for name in hop.spool.names():
                        os.unlink(hop.spool.path / name)
            hop.terminate()


@harness.limit(300)
def test_certificate_of_the_next_hop(t):
    check_next_hops(t, Authority(t), lambda authority: [
        ([], dict.fromkeys(kinds, True)),
        (['--client-tls-verify=<none>'], dict.fromkeys(kinds, True)),
        ([f'--client-tls-verify={authority.certificate}'], kinds),
        ([f'--client-tls-verify={authority.hashed()}'], kinds),
        (['--client-tls-verify=<default>'], dict.fromkeys(kinds, False)),
        ([f'--client-tls-verify={authority.certificate}', '--client-tls-verify-name=mail.example.org'], dict(good=True)),
        ([f'--client-tls-verify={authority.certificate}', '--client-tls-verify-name=other.example.org'], dict(good=False))])


@harness.limit(120)
def test_certificate_of_the_next_hop_by_the_system(t):
    harness.need_root('the system\'s certificates')
    authority = Authority(t)
    authority.becomes_the_system()
    check_next_hops(t, authority, lambda _: [
        (['--client-tls-verify=<default>'], kinds),
        (['--client-tls-verify=<default>', '--client-tls-verify-name=mail.example.org'], dict(good=True)),
        (['--client-tls-verify=<default>', '--client-tls-verify-name=other.example.org'], dict(good=False))])


def check_next_hops(t, authority, rows):
    table = rows(authority)
    for case, certificate in identities(t, authority, 'mail.example.org', 'clientAuth').items():
        hop = server(t, authority, certificate=certificate, name=case)
        for n, (words, outcomes) in enumerate(table):
            for library in libraries:
                if case not in outcomes:
                    continue
                with t.row(f'{library} {words} {case}'):
                    spool, output = onward(t, f'127.0.0.1:{hop.port}', '--client-tls', *words, library=library, name=f'{case}{n}{library}',
                                           status=0 if outcomes[case] else 1)
                    if outcomes[case]:
                        spool.check_empty()
                    else:
                        message = spool.one('bad')
                        equal(message.field('Reason'), 'peer disconnected: ssl connect')
                        equal(message.field('ReasonCode'), '')
                        match(output, r'warning: tls: tls error: ssl connect: ')
                    if '--client-tls-verify-name' in ' '.join(words):
                        match(output, rf'tls: certificate-subject=\[/CN=mail\.example\.org\] required-peer-name=\[\w+\.example\.org\] ok={int(outcomes[case])}')
        hop.terminate()


def test_our_own_certificate_is_shown_to_the_next_hop(t):
    authority, other = Authority(t), Authority(t, 'other')
    good, wrong = authority.issue('me'), other.issue('me')
    for theirs in libraries:
        hop = server(t, authority, f'--server-tls-verify={authority.certificate}', library=theirs, name=theirs)
        for ours in libraries:
            address = f'127.0.0.1:{hop.port}'
            with t.row(f'{ours} to {theirs}'):
                onward(t, address, '--client-tls', f'--client-tls-certificate={good}', library=ours, name=f'good-{ours}{theirs}')[0].check_empty()
                for name, words in [('none', []), ('wrong', [f'--client-tls-certificate={wrong}'])]:
                    spool, _ = onward(t, address, '--client-tls', *words, status=1, library=ours, name=f'{name}-{ours}{theirs}')
                    match(spool.one('bad').field('Reason'), r'^peer disconnected: ssl (connect|read)$')


def test_a_certificate_for_each_side(t):
    """What clients are shown is not what the next hop is shown."""
    authority = Authority(t)
    mine, shown = authority.issue('localhost', san='DNS:localhost'), authority.issue('me')
    for library in libraries:
        with t.row(library):
            hop = server(t, authority, f'--server-tls-verify={authority.certificate}', library=library, name=f'hop-{library}')
            relay = server(t, authority, '--client-tls', f'--client-tls-certificate={shown}', '--forward-on-disconnect',
                           f'--forward-to=127.0.0.1:{hop.port}', library=library, name=f'relay-{library}', certificate=mine)
            with start_tls(relay, context(authority)) as client:
                client.sendmail('me@example.com', ['you@example.net'], body)
            hop.spool.wait_count(1)
            recorded = hop.spool.one().envelope.decode()
            assert first_certificate(shown).replace('\n', '\r\n ') in recorded, recorded


def test_next_hops_that_cannot_or_misbehave(t):
    offer = '250-hop\r\n250 STARTTLS'
    for name, script, words, reason in [
            ('no offer', {'EHLO': '250 hop'}, ['--client-tls', '--client-tls-required'], 'tls is mandated but the server cannot do starttls'),
            ('helo', {'EHLO': '502 no'}, ['--client-tls', '--client-tls-required'], 'tls is mandated but the server cannot do esmtp'),
            ('refused', {'EHLO': offer, 'STARTTLS': '454 not today'}, ['--client-tls'], 'tls/ssl error: not today'),
            ('more behind', {'EHLO': offer, 'STARTTLS': '220 go\r\n250 injected'}, ['--client-tls'], 'smtp error: unexpected response: injected')]:
        with t.row(name):
            hop = t.next_hop(script)
            spool, output = onward(t, hop.address, *words, status=1, name=name.replace(' ', '-'))
            equal(spool.one('bad').field('Reason'), reason)
            if any('MAIL' in line for _, line in hop.lines):
                fail(f'in clear: {hop.lines}')


def test_name_asked_for_in_the_handshake(t):
    """SNI: --client-tls-server-name, and nothing else."""
    certificate = Authority(t).issue('mail.example.org', san='DNS:mail.example.org')
    asked = []
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate)
    made.sni_callback = lambda _, name, __: asked.append(name)
    listener = socket.create_server(('127.0.0.1', 0))
    t.on_end(listener.close)

    def serve():
        try:
            while True:
                connection = listener.accept()[0]
                try:
                    made.wrap_socket(connection, server_side=True).close()
                except OSError:
                    pass
        except OSError:
            pass
    threading.Thread(target=serve, daemon=True).start()
    for library in libraries:
        for n, (words, name) in enumerate([([], None), (['--client-tls-server-name=front.example.org'], 'front.example.org'),
                                           ([f'--client-tls-verify={certificate}', '--client-tls-verify-name=mail.example.org'], None)]):
            with t.row(f'{library} {words}'):
                asked.clear()
                onward(t, f'127.0.0.1:{listener.getsockname()[1]}', '--client-tls-connection', *words, status=1, library=library,
                       name=f'{library}{n}')
                equal(asked, [name])


def test_switches_of_the_libraries(t):
    need('openssl')
    authority = Authority(t)
    certificate = authority.issue('localhost', rsa=True)

    def cipher(relay):
        said = t.run(['openssl', 's_client', '-connect', f'127.0.0.1:{relay.port}', '-starttls', 'smtp', '-tls1_2', '-cipher',
                      'ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384'], input='', status=None)
        return re.search(r'Cipher is (\S+)', said).group(1)
    with t.row('op_server_preference'):
        equal(cipher(server(t, authority, certificate=certificate, name='client')), 'ECDHE-RSA-AES128-GCM-SHA256')
        equal(cipher(server(t, authority, '--tls-config=OP_Server_Preference,op_all', certificate=certificate, name='server')),
              'ECDHE-RSA-AES256-GCM-SHA384')
    with t.row('noisy'):
        relay = server(t, authority, '--tls-config=noisy,nopsa', library='mbedtls', certificate=certificate, name='noisy')
        start_tls(relay, context()).quit()
        relay.wait_log(r'tls: mbedtls: \d: ')
        if 'ignored' in relay.output:
            fail(relay.output)
    for library in libraries:
        with t.row(f'{library} noverify'):
            relay = server(t, authority, '--tls-config=noverify', library=library, certificate=certificate, name=f'{library}-noverify')
            client = start_tls(relay, context(authority=None, certificate=authority.issue('me')))
            client.sendmail('a@b', ['c@d'], body)
            equal(relay.spool.one().field('ClientCertificate'), '')


def test_what_never_is_encrypted(t):
    """The administration and the helpers over the network, whatever the options of TLS say."""
    authority = Authority(t)
    certificate = authority.issue('localhost', rsa=True)
    asked = LineServer(t, lambda line, n: 'ok\n')
    verifier = LineServer(t, lambda line, n: '1|\n')
    relay = server(t, authority, '--client-tls-connection', '--client-tls-required', f'--client-tls-certificate={certificate}', '--admin=0',
                   f'--filter=net:{asked.address}', f'--address-verifier=net:{verifier.address}', '--forward-to=127.0.0.1:1',
                   mode='--server-tls-connection', certificate=certificate)
    port = int(relay.wait_log(r'admin server on .*[:.](\d+)$').group(1))
    with harness.Wire.tcp('127.0.0.1', port) as wire:
        wire.send('status\n')
        match(wire.socket.recv(1000).decode(), 'E-MailRelay|smtp|emailrelay')
    client = context().wrap_socket(relay.connect().socket, server_hostname='localhost')
    wire = harness.Wire(client)
    wire.expect('220 .*')
    wire.ask('EHLO x', 250)
    equal(wire.submit(body)[0], 250)
    match(verifier.lines[0][1], r'^you@example\.net\|')
    match(asked.lines[0][1], r'\.content$')


def test_keygen(t):
    need('openssl')
    program = harness.bin_dir / 'emailrelay-keygen'
    if not program.exists():
        raise harness.Skip('emailrelay-keygen is not built')
    file = t.dir / 'made.pem'
    t.run([program, 'CN=mail.example.org,O=Example', file], seconds=120)
    equal(oct(file.stat().st_mode & 0o777), '0o600')
    text = file.read_text()
    match(text, r'(?s)^-----BEGIN (RSA )?PRIVATE KEY-----\n.*-----END CERTIFICATE-----\n$')
    t.run(['openssl', 'verify', '-CAfile', file, file])
    shown = t.run(['openssl', 'x509', '-in', file, '-noout', '-text'])
    for wanted in [r'Serial Number: 1 ', r'Signature Algorithm: sha256WithRSAEncryption', r'Issuer: CN = mail.example.org, O = Example',
                   r'Subject: CN = mail.example.org, O = Example', r'Not Before: Jan  1 00:00:00 2020 GMT', r'Not After : Dec 31 23:59:59 2040 GMT',
                   r'\(4096 bit\)', r'Exponent: 65537', r'CA:FALSE', r'Subject Key Identifier', r'Authority Key Identifier']:
        match(shown, wanted)
    for library in libraries:
        relay = t.relay('--server-tls', f'--server-tls-certificate={file}', f'--tls-config={library}', spool=t.spool(library))
        start_tls(relay, context()).quit()
    for words in [['-h'], ['a', 'b', 'c']]:
        equal(t.try_run([program, *words]).returncode, 2)
    equal(t.try_run([program, 'nonsense']).returncode, 1)
    match(t.run([program], seconds=120), '-----BEGIN CERTIFICATE-----')
