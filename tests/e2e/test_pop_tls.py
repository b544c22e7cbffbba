"""TLS of the POP server (spec/pop-server.md section 4, docs/pop.md): STLS and TLS from the first octet, with both libraries."""
import poplib
import socket
import ssl

import harness
from certificates import Authority
from harness import equal, fail, match, need
from test_pop import Pop, one, start, two_messages
from test_tls import context

libraries = ['openssl', 'mbedtls']
size = 2_000_000
large = b'Subject: large\r\n\r\n' + b'.0123456789 abcdefghijklm\r\n' * (size // 27)


def certificate_of(authority):
    return authority.issue('localhost', san='DNS:localhost,IP:127.0.0.1', rsa=True)


def encrypting(t, certificate, *words, library='openssl', name='spool', spool=None, **how):
    return start(t, '--server-tls', f'--server-tls-certificate={certificate}', f'--tls-config={library}', *words,
                 spool=spool or two_messages(t, name), name=name, **how)


def wrap(wire, made):
    """The handshake; nothing that came before it may be left."""
    equal(wire.held, b'', 'octets in clear behind the answer to STLS')
    wire.socket = made.wrap_socket(wire.socket, server_hostname='localhost')


def test_stls_with_both_libraries_and_versions(t):
    authority = Authority(t)
    certificate = certificate_of(authority)
    for library in libraries:
        spool = t.spool(library)
        spool.add('m1', content=large)
        relay = encrypting(t, certificate, library=library, name=library, spool=spool)
        for turn, version in enumerate((ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3), 1):
            with t.row(f'{library} {version}'):
                wire = Pop.to(relay, login=None)
                match(wire.greeting, r'^\+OK POP3 server ready <\d+\.\d+@')
                wire.check('USER bob', '+OK user: bob')
                wire.check('STLS', '+OK')
                wrap(wire, context(authority, highest=version))
                cipher, protocol = wire.socket.cipher()[:2]
                # Nothing is said after the handshake: the next line is the answer to the next command.
                wire.check('PASS secret', '-ERR')  # the name was given in clear
                wire.check('STLS', '-ERR')
                wire.say('CAPA')
                equal(wire.line(), '+OK capability list follows')
                capabilities = list(iter(wire.line, '.'))
                equal([c for c in capabilities if not c.startswith('SASL ')], ['USER', 'CAPA', 'TOP', 'UIDL'])
                wire.check('USER bob', '+OK user: bob')
                wire.check('PASS secret', '+OK')
                wire.check('STLS', '-ERR')
                wire.check('RETR 1', f'+OK {len(large)} octets')
                got = []
                while (line := wire.line()) != '.':
                    got.append(line[1:] if line.startswith('.') else line)
                equal('\r\n'.join(got).encode() + b'\r\n' == large, True, 'content')
                wire.check('QUIT', '+OK signing off')
                wire.closed()
                told = relay.wait_log(r'tls protocol established with 127\.0\.0\.1:\d+ protocol (\S+) cipher (\S+)$', count=turn)
                # What Mbed TLS 2.28 speaks is TLS 1.2 at most, and its names for ciphers are its own.
                equal(told.group(1), 'TLSv1.2' if library == 'mbedtls' else protocol)
                if library == 'openssl':
                    equal(told.group(2), cipher)
        relay.terminate()


def test_what_was_sent_in_clear_behind_stls_is_never_executed(t):
    authority = Authority(t)
    certificate = certificate_of(authority)
    for library in libraries:
        relay = encrypting(t, certificate, library=library, name=library)
        names = relay.spool.names()
        for behind in (b'USER bob\r\nPASS secret\r\nDELE 1\r\nQUIT\r\n', b'QUIT\r\n', b'USER bob\r\nPASS sec', b'\r\n', b'x' * 5000):
            with t.row(f'{library} {behind[:20]}'):
                wire = Pop.to(relay, login=None)
                wire.send(b'STLS\r\n' + behind)
                wire.said.append('STLS')
                equal(wire.line(), '+OK')
                try:
                    wrap(wire, context(authority))
                except (ssl.SSLError, OSError):
                    continue  # closed is as good
                wire.check('STAT', '-ERR')
                wire.check('PASS secret', '-ERR')
                wire.check('USER bob', '+OK user: bob')
                wire.check('PASS secret', '+OK')
                wire.check('STAT', f'+OK 3 {len(one) + len(b"Subject: two") + 4 + len(b"line") + 1}')
                wire.close()
        equal(relay.spool.names(), names)
        if 'client protocol' in relay.output or 'PASS sec' in relay.output:
            fail('what was sent in clear has been looked at')
        relay.terminate()


def test_required(t):
    """No login in clear, by any mechanism, and all of them under TLS."""
    authority = Authority(t)
    relay = encrypting(t, certificate_of(authority), '--server-tls-required')
    wire = Pop.to(relay, login=None)
    equal(wire.greeting, '+OK POP3 server ready')
    wire.check('CAPA', '+OK capability list follows', 'CAPA', 'TOP', 'UIDL', 'STLS', '.')
    wire.check('AUTH', '+OK', '.')
    wire.check('USER bob', '-ERR no SASL PLAIN mechanism to do USER/PASS authentication')
    wire.check('PASS secret', '-ERR')
    wire.check('APOP bob 0123', '-ERR')
    for mechanism in ('PLAIN', 'LOGIN', 'CRAM-MD5', 'CRAM-SHA256', 'PLAIN AGJvYgBzZWNyZXQ='):
        wire.check(f'AUTH {mechanism}', '-ERR must use STLS before authentication')
    wire.check('STAT', '-ERR')
    wire.check('STLS', '+OK')
    wrap(wire, context(authority))
    wire.check('AUTH PLAIN AGJvYgBzZWNyZXQ=', '+OK')
    wire.check('NOOP', '+OK')
    wire.check('QUIT', '+OK signing off')


def test_required_by_the_list_of_mechanisms(t):
    authority = Authority(t)
    auth = t.file('smtp.auth', 'server plain x x\n')
    relay = encrypting(t, certificate_of(authority), f'--server-auth={auth}', '--server-auth-config=m:;a:plain')
    wire = Pop.to(relay, login=None)
    equal(wire.greeting, '+OK POP3 server ready')
    wire.check('AUTH PLAIN', '-ERR must use STLS before authentication')
    wire.check('STLS', '+OK')
    wrap(wire, context(authority))
    wire.check('AUTH', '+OK', 'PLAIN', '.')
    wire.check('AUTH CRAM-MD5', '-ERR invalid mechanism')
    wire.check('AUTH PLAIN AGJvYgBzZWNyZXQ=', '+OK')


def test_tls_from_the_first_octet(t):
    need('curl', 'openssl')
    authority = Authority(t)
    certificate = certificate_of(authority)
    for library in libraries:
        relay = encrypting(t, certificate, '--pop-tls-connection', '--server-tls-required', library=library, name=library)
        with t.row(f'{library} poplib'):
            client = poplib.POP3_SSL('127.0.0.1', relay.pop_port, timeout=harness.patience, context=context())
            match(client.getwelcome().decode(), r'^\+OK POP3 server ready <')
            equal('STLS' in client.capa(), False)
            client.apop('bob', 'secret')
            equal(b'\r\n'.join(client.retr(1)[1]) + b'\r\n', one)
            client.quit()
            relay.wait_log(r'tls protocol established with 127\.0\.0\.1:\d+ protocol TLSv1\.[23] cipher \S+$')
        with t.row(f'{library} curl'):
            got = t.run(['curl', '-sS', '--cacert', authority.certificate, '--connect-to', f'localhost:{relay.pop_port}:127.0.0.1:{relay.pop_port}',
                         '-u', 'bob:secret', f'pop3s://localhost:{relay.pop_port}/1'])
            equal(got.replace('\r\n', '\n'), one.decode().replace('\r\n', '\n'))
        with t.row(f'{library} openssl'):
            got = t.run(['openssl', 's_client', '-connect', f'127.0.0.1:{relay.pop_port}', '-crlf', '-quiet', '-ign_eof', '-CAfile',
                         authority.certificate, '-verify_return_error'], input='USER bob\nPASS secret\nSTAT\nQUIT\n')
            match(got, r'\+OK user: bob\r?\n\+OK\r?\n\+OK 3 \d+\r?\n\+OK signing off')
        with t.row(f'{library} a client that speaks in clear'):
            wire = harness.Wire.tcp('127.0.0.1', relay.pop_port)
            wire.send(b'CAPA\r\n')
            got = b''
            try:
                while part := wire.socket.recv(1000):
                    got += part
            except OSError:
                pass
            equal(b'+OK' in got, False)
            relay.wait_log(r'warning: tls: tls error: ')
            relay.wait_log(r'pop connection closed: peer disconnected: ssl accept: 127\.0\.0\.1:\d+$')
        relay.terminate()


def test_s_client_with_stls(t):
    need('openssl')
    authority = Authority(t)
    certificate = certificate_of(authority)
    for library in libraries:
        relay = encrypting(t, certificate, library=library, name=library)
        for version in ('-tls1_2', '-tls1_3'):
            with t.row(f'{library} {version}'):
                done = t.try_run(['openssl', 's_client', '-connect', f'127.0.0.1:{relay.pop_port}', '-starttls', 'pop3', '-crlf', '-quiet',
                                  '-ign_eof', '-CAfile', authority.certificate, '-verify_return_error', version],
                                 input='USER bob\nPASS secret\nSTAT\nQUIT\n')
                if (library, version) == ('mbedtls', '-tls1_3'):  # which it does not speak
                    equal(done.returncode, 1)
                else:
                    match(done.stdout, r'\+OK user: bob\r?\n\+OK\r?\n\+OK 3 \d+\r?\n\+OK signing off')
        relay.terminate()


def test_both_ways_on_one_spool(t):
    """As docs/pop.md has it: one relay with STLS, one with TLS from the first octet."""
    authority = Authority(t)
    certificate = certificate_of(authority)
    auth = t.file('pop.auth', 'server plain bob secret\n')
    auth.chmod(0o644)
    spool = two_messages(t)
    words = []
    for name in ('in', 'pops'):
        words += [f'--{name}-spool-dir={spool.path}', f'--{name}-pop', f'--{name}-pop-port=0', f'--{name}-pop-auth={auth}', f'--{name}-server-tls',
                  f'--{name}-server-tls-certificate={certificate}', f'--{name}-interface=127.0.0.1']
    relay = t.relay(*words, '--in-port=0', '--pops-no-smtp', '--pops-pop-tls-connection', spool=spool, spool_dir=None, port=None, interface=None,
                    domain=None)
    ports = [int(relay.wait_log(rf'\[{name}\] pop server on 127\.0\.0\.1:(\d+)$').group(1)) for name in ('in', 'pops')]
    first = poplib.POP3('127.0.0.1', ports[0], timeout=harness.patience)
    first.stls(context())
    second = poplib.POP3_SSL('127.0.0.1', ports[1], timeout=harness.patience, context=context())
    for number, client in enumerate((first, second), 1):
        client.user('bob')
        client.pass_('secret')
        equal(client.stat()[0], 3)
        client.dele(number)
    for client in (first, second):
        client.quit()
    equal([m.id for m in spool.messages()], ['empty', 'junk', 'missing'])


def test_client_certificates(t):
    authority, stranger = Authority(t), Authority(t, 'stranger')
    relay = encrypting(t, certificate_of(authority), f'--server-tls-verify={authority.certificate}')
    for who, welcome in ((authority.issue('client'), True), (stranger.issue('client'), False), (None, False)):
        with t.row(str(who)):
            wire = Pop.to(relay, login=None)
            wire.check('STLS', '+OK')
            try:
                wrap(wire, context(authority, certificate=who))
                wire.check('NOOP', '-ERR')  # TLS 1.3: a refusal shows with the first read
                entered = True
            except (ssl.SSLError, AssertionError, OSError):
                entered = False
            equal(entered, welcome)
    relay.wait_log(r'pop connection closed: peer disconnected: ssl accept: ', count=2)


def test_handshakes_that_come_to_nothing(t):
    authority = Authority(t)
    certificate = certificate_of(authority)
    for library in libraries:
        relay = encrypting(t, certificate, '--idle-timeout=3', library=library, name=library)
        with t.row(f'{library}: rubbish'):
            wire = Pop.to(relay, login=None)
            wire.check('STLS', '+OK')
            wire.send(b'USER bob\r\nPASS secret\r\n')
            relay.wait_log(r'warning: tls: tls error: ')
            relay.wait_log(r'pop connection closed: peer disconnected: ssl accept: 127\.0\.0\.1:\d+$')
        with t.row(f'{library}: gone'):
            wire = Pop.to(relay, login=None)
            wire.check('STLS', '+OK')
            wire.close()
            relay.wait_log(r'pop connection closed: peer disconnected: ssl accept: ', count=2)
        with t.row(f'{library}: silence'):
            wire = Pop.to(relay, login=None)
            wire.check('STLS', '+OK')
            relay.wait_log(r'pop connection closed: idle timeout: no activity after 3s: 127\.0\.0\.1:\d+$')
        with t.row(f'{library}: stopped meanwhile'):
            wire = Pop.to(relay, login=None)
            wire.check('STLS', '+OK')
            harness.until(lambda: relay.output.count('"STLS"') == 4, 'the command has come')
        relay.terminate()


def test_stop_with_many_octets_unread(t):
    """A client that does not read holds up the end of the process for a moment only."""
    authority = Authority(t)
    spool = t.spool()
    spool.add('m1', content=b'x' * 998 + b'\r\n' + large * 5)
    relay = encrypting(t, certificate_of(authority), spool=spool)
    wire = Pop.to(relay, login=None)
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    wire.check('STLS', '+OK')
    wrap(wire, context(authority))
    wire.check('USER bob', '+OK user: bob')
    wire.check('PASS secret', '+OK')
    wire.say('RETR 1')
    match(wire.line(), r'^\+OK')
    relay.terminate(seconds=20)
