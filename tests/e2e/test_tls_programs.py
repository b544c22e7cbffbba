"""TLS as other people's tools see it: openssl s_client and s_server, gnutls-cli, sslscan. Which protocol versions are spoken, and
that nothing weak is."""
import re
import subprocess
import threading
import xml.etree.ElementTree

import harness
from certificates import Authority
from harness import equal, fail, find, match, need
from test_tls import body, libraries, onward, server

versions = ['1.0', '1.1', '1.2', '1.3']
# --tls-config -> what is spoken then
table = {'': ['1.2', '1.3'], 'tlsv1.0': versions, 'sslv3': versions, 'tlsv1.1,-tlsv1.2': ['1.1', '1.2'], 'tlsv1.0,-tlsv1.0': ['1.0'], '-tlsv1.2': ['1.2'],
         'tlsv1.3': ['1.3'], 'tlsv1.3,-tlsv1.2': []}


def spoken(library, keywords):
    return [v for v in table[keywords] if v != '1.3' or library == 'openssl']


def openssl_version(version):
    """Old versions need what the library counts as insecure."""
    return ['-tls1' if version == '1.0' else '-tls1_' + version[-1], *(['-cipher', 'DEFAULT:@SECLEVEL=0'] if version < '1.2' else [])]


def gnutls_priority(version):
    return f'--priority=NORMAL:-VERS-ALL:+VERS-TLS{version}:+SHA1:+SIGN-RSA-SHA1:%VERIFY_ALLOW_SIGN_WITH_SHA1'


def check_versions(t, mode, try_version):
    """Every row of the table: try_version(relay, authority, version) gives the client's output."""
    authority = Authority(t)
    certificate = authority.issue('localhost', san='DNS:localhost', rsa=True)
    for library in libraries:
        for keywords in table:
            relay = server(t, authority, *([f'--tls-config={keywords}'] if keywords else []), library=library, mode=mode,
                           certificate=certificate, name=f'{library},{keywords}')
            for version in versions:
                with t.row(f'{library} {keywords} {version}'):
                    said = try_version(relay, authority, version)
                    equal('250 8BITMIME' in said, version in spoken(library, keywords), said)
            for version in spoken(library, keywords):
                relay.wait_log(rf'tls protocol established with 127\.0\.0\.1:\d+ protocol TLSv{version.removesuffix(".0")}(\.0)? cipher ')
            if len(spoken(library, keywords)) < len(versions):
                relay.wait_log('warning: tls: tls error: ssl accept: ')
            relay.terminate()


@harness.limit(240)
def test_openssl_s_client(t):
    need('openssl')
    for mode, how in (('--server-tls', ['-starttls', 'smtp']), ('--server-tls-connection', [])):
        def one(relay, authority, version):
            return t.run(['openssl', 's_client', '-connect', f'127.0.0.1:{relay.port}', *how, '-verify_return_error', '-CAfile', authority.certificate,
                          '-crlf', '-quiet', '-ign_eof', *openssl_version(version)], input='EHLO x\nQUIT\n', status=None)
        check_versions(t, mode, one)


@harness.limit(240)
def test_gnutls_cli(t):
    need('gnutls-cli')
    for mode, how in (('--server-tls', ['--starttls-proto=smtp']), ('--server-tls-connection', [])):
        def one(relay, authority, version):
            return t.run(['gnutls-cli', f'--port={relay.port}', *how, f'--x509cafile={authority.certificate}', '--crlf', gnutls_priority(version),
                          'localhost'], input='EHLO x\nQUIT\n', status=None)
        check_versions(t, mode, one)


class SServer:
    """openssl s_server for one connection, and somebody who types answers to the commands that it shows."""
    replies = {'EHLO': '250 next', 'MAIL': '250 ok', 'RCPT': '250 ok', 'DATA': '354 go', '.': '250 taken', 'QUIT': '221 bye'}

    def __init__(self, t, words):
        self.lines = []
        listening = threading.Event()
        self.process = subprocess.Popen([str(w) for w in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        env=t.environment())
        t.on_end(self.stop)
        self.thread = threading.Thread(target=self.serve, args=(listening,), daemon=True)
        self.thread.start()
        if not listening.wait(harness.patience):
            fail(f's_server does not listen: {self.lines}')

    def say(self, line):
        self.process.stdin.write(line.encode() + b'\r\n')
        self.process.stdin.flush()

    def serve(self, listening):
        try:
            for raw in self.process.stdout:
                line = raw.decode(errors='replace').strip()
                self.lines.append(line)
                if line == 'ACCEPT':
                    self.say('220 next ready')
                    listening.set()
                if line.split(' ')[0] in self.replies:
                    self.say(self.replies[line.split(' ')[0]])
        except (BrokenPipeError, ValueError):
            pass

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.thread.join(harness.patience)


@harness.limit(240)
def test_openssl_s_server(t):
    need('openssl')
    authority = Authority(t)
    certificate = authority.issue('localhost', rsa=True)
    for version in versions:
        port = harness.free_port()
        for keywords in table:
            for library in libraries:
                with t.row(f'{library} {keywords} {version}'):
                    hop = SServer(t, [find('openssl'), 's_server', '-accept', f'127.0.0.1:{port}', '-naccept', 1, '-cert', certificate,
                                      *openssl_version(version)])
                    good = version in spoken(library, keywords)
                    name = f'{library}{keywords}{version}'
                    spool, output = onward(t, f'127.0.0.1:{port}', '--client-tls-connection', *([f'--tls-config={keywords}'] if keywords else []),
                                           library=library, name=name, status=0 if good else 1)
                    if good:
                        spool.check_empty()
                        match(output, rf'tls protocol established with 127\.0\.0\.1:{port} protocol TLSv{version.removesuffix(".0")}(\.0)? cipher ')
                        for line in ('MAIL FROM:<me@example.com>', 'RCPT TO:<you@example.net>', *body.decode().split('\r\n')[:-1]):
                            if line not in hop.lines:
                                fail(f'{line!r} not among {hop.lines}')
                    else:
                        match(spool.one('bad').field('Reason'), r'^peer disconnected: ssl (connect|read)$')
                        match(output, 'warning: tls: tls error: ssl connect: ')
                    hop.stop()


@harness.limit(120)
def test_sslscan(t):
    """The default server: nothing below TLS 1.2, no weak cipher, key or group, nothing known to be broken."""
    need('sslscan')
    authority = Authority(t)
    certificate = authority.issue('localhost', san='DNS:localhost', rsa=True)
    for library in libraries:
        for mode, how in (('--server-tls', ['--starttls-smtp']), ('--server-tls-connection', [])):
            with t.row(f'{library} {mode}'):
                relay = server(t, authority, library=library, mode=mode, certificate=certificate, name=library + mode)
                report = t.dir / f'{library}{mode}.xml'
                t.run([find('sslscan'), *how, f'--xml={report}', f'127.0.0.1:{relay.port}'], seconds=100)
                test = xml.etree.ElementTree.parse(report).getroot().find('ssltest')
                enabled = {p.get('type') + p.get('version') for p in test.iter('protocol') if p.get('enabled') == '1'}
                equal(enabled, {'tls1.2', 'tls1.3'} if library == 'openssl' else {'tls1.2'})
                ciphers = list(test.iter('cipher'))
                if len(ciphers) < 4:
                    fail(f'only {len(ciphers)} ciphers were found')
                for cipher in ciphers:
                    name = cipher.get('cipher')
                    if cipher.get('strength') not in ('strong', 'acceptable') or int(cipher.get('bits')) < 128 or \
                            re.search('NULL|EXP|RC4|DES|MD5|anon|ADH|AECDH|CCM.?8', name):
                        fail(f'weak: {cipher.attrib}')
                for broken in test.iter('heartbleed'):
                    equal(broken.get('vulnerable'), '0')
                for group in test.iter('group'):
                    if int(group.get('bits')) < 112:
                        fail(f'weak: {group.attrib}')
                for settings in test.iter('renegotiation'):
                    equal(settings.get('secure'), '1' if settings.get('supported') == '1' else settings.get('secure'))
                for settings in test.iter('compression'):
                    equal(settings.get('supported'), '0')
                relay.terminate()
