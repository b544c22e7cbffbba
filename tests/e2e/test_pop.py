"""POP3 (spec/pop-server.md, docs/pop.md): rows of its tables on the wire, and the clients people use."""
import poplib
import re
import ssl
import stat
import threading
import time

import harness
from harness import equal, fail, match, need, until

secrets = 'server plain bob secret\nserver plain alice wonder\n'
one = b'Subject: one\r\n\r\n.dot\r\n'
two = b'Subject: two\r\n\r\nline'


def start(t, *words, spool=None, **options):
    auth = t.file('pop.auth', secrets)
    auth.chmod(0o644)
    relay = t.relay('--pop', '--pop-port=0', f'--pop-auth={auth}', *words, spool=spool, **options)
    relay.pop_port = int(relay.wait_log(r'pop server on .*[:.](\d+)$').group(1))
    return relay


class Pop(harness.Wire):
    @staticmethod
    def to(relay, login='bob', password='secret'):
        wire = Pop(harness.Wire.tcp('127.0.0.1', relay.pop_port).socket)
        wire.greeting = wire.line()
        if login:
            wire.check(f'USER {login}', f'+OK user: {login}')
            wire.check(f'PASS {password}', '+OK')
        return wire

    def check(self, command, *lines):
        self.exact(command, *lines)


def two_messages(t):
    spool = t.spool()
    spool.add('emailrelay.1.1.10', content=two)
    spool.add('emailrelay.1.1.1', content=one)
    spool.add('empty', content=b'')
    spool.add('missing', content=None)
    spool.add('bad', state='bad')
    spool.add('busy', state='busy')
    spool.add('held', state='held')
    spool.write('junk.envelope', b'rubbish')
    spool.write('junk.content', b'x')
    return spool


def test_dialogue(t):
    relay = start(t, spool=two_messages(t))
    wire = Pop.to(relay, login=None)
    match(wire.greeting, rf'^\+OK POP3 server ready <\d+\.\d+@{re.escape(harness.domain)}>$')
    for command in ('STAT', 'RETR 1', 'rubbish', 'STLS'):
        wire.check(command, '-ERR')
    wire.check('CAPA', '+OK capability list follows', 'USER', 'CAPA', 'TOP', 'UIDL')
    match(wire.line(), '^SASL .*PLAIN LOGIN$')
    equal(wire.line(), '.')
    wire.check('user bob', '+OK user: bob')
    wire.check('PASS wrong', '-ERR')
    wire.check('PASS secret', '+OK')
    wire.check('STAT', f'+OK 3 {len(one) + len(two) + 1}')
    wire.check('LIST', '+OK 3 message(s)', f'1 {len(one)}', f'2 {len(two)}', '3 1', '.')
    wire.check('UIDL 2', '+OK 2 emailrelay.1.1.10.content')
    wire.check('RETR 1', f'+OK {len(one)} octets', 'Subject: one', '', '..dot', '.')
    wire.check('RETR 2', f'+OK {len(two)} octets', 'Subject: two', '', 'line', '.')
    wire.check('TOP 1 0', '+OK', 'Subject: one', '', '.')
    wire.check('DELE 1', '+OK')
    wire.check('RSET', '+OK')
    wire.check('DELE 2', '+OK')
    wire.check('DELE 2', '-ERR')
    wire.check('UIDL', '+OK 2 message(s)', '1 emailrelay.1.1.1.content', '3 junk.content', '.')
    wire.close()
    relay.wait_log(r'pop connection closed: peer disconnected: ')
    equal(len(relay.spool.messages()), 5, 'a lost connection deletes nothing')
    wire = Pop.to(relay)
    wire.check('DELE 2', '+OK')
    wire.check('QUIT', '+OK signing off')
    relay.wait_log(r'pop connection closed: pop protocol done: 127\.0\.0\.1:\d+$')
    equal('emailrelay.1.1.10.content' in relay.spool.names(), False)
    if 'PASS secret' in relay.output or 'PASS wrong' in relay.output:
        fail('a password in the log')


def test_poplib(t):
    relay = start(t, spool=two_messages(t))
    for login in ('user', 'apop'):
        client = poplib.POP3('127.0.0.1', relay.pop_port, timeout=harness.patience)
        if login == 'user':
            client.user('bob')
            client.pass_('secret')
        else:
            client.apop('bob', 'secret')
        equal(client.stat()[0], 3)
        equal(b'\r\n'.join(client.retr(1)[1]) + b'\r\n', one)
        client.quit()


def test_curl(t):
    need('curl')
    relay = start(t, spool=two_messages(t))
    url = f'pop3://127.0.0.1:{relay.pop_port}/'
    for mechanism in ('PLAIN', 'LOGIN', 'CRAM-MD5', '+APOP'):
        got = t.run(['curl', '-sS', '--login-options', f'AUTH={mechanism}', '-u', 'bob:secret', url + '1'])
        equal(got.replace('\r\n', '\n'), one.decode().replace('\r\n', '\n'), mechanism)
    relay.wait_log(r'pop authentication of bob connected from 127\.0\.0\.1:\d+$')


def test_fetchmail(t):
    need('fetchmail')
    spool = t.spool()
    for i in range(5):
        spool.add(f'emailrelay.1.1.{i}', content=b'Subject: %d\r\n\r\n.text %d\r\n' % (i, i))
    relay = start(t, spool=spool)
    box = t.dir / 'box'
    config = t.file('fetchmailrc', f'poll 127.0.0.1 port {relay.pop_port} proto pop3 user bob pass secret sslproto "" '
                                   f'mda "cat >> {box}"\n')
    config.chmod(0o600)
    t.run(['fetchmail', '-f', str(config), '-a', '--nosyslog', '--idfile', str(t.dir / 'ids'), '--pidfile', str(t.dir / 'pid')],
          env={'HOME': str(t.dir), 'FETCHMAILHOME': str(t.dir)})
    spool.wait_empty()
    equal(box.read_text().count('.text '), 5)


def test_mpop(t):
    need('mpop')
    spool = t.spool()
    spool.add('m0', content=one)
    relay = start(t, spool=spool)
    box = t.dir / 'mbox'
    config = t.file('mpoprc', f'account default\nhost 127.0.0.1\nport {relay.pop_port}\nuser bob\npassword secret\nauth cram-md5\n'
                              f'tls off\ndelivery mbox {box}\nkeep off\nuidls_file {t.dir}/uidls\n')
    config.chmod(0o600)
    t.run(['mpop', '-C', str(config)], env={'HOME': str(t.dir)})
    spool.check_empty()
    match(box.read_text(), r'\n\.dot\n')


def test_by_name(t):
    spool = t.spool()
    spool.add('shared', content=one)
    for name in ('bob', 'alice'):
        (spool.path / name).mkdir(mode=0o777)
        (spool.path / name).chmod(0o777)
        (spool.path / name / 'shared.envelope').write_bytes((spool.path / 'shared.envelope').read_bytes())
    (spool.path / 'shared.envelope').unlink()
    relay = start(t, '--pop-by-name', spool=spool)
    for name, password, left in (('bob', 'secret', True), ('alice', 'wonder', False)):
        wire = Pop.to(relay, name, password)
        wire.check('UIDL', '+OK 1 message(s)', '1 shared.content', '.')
        wire.check('RETR 1', f'+OK {len(one)} octets', 'Subject: one', '', '..dot', '.')
        wire.check('DELE 1', '+OK')
        wire.check('QUIT', '+OK signing off')
        until(lambda: (spool.path / 'shared.content').exists() == left, 'content goes with the last envelope')


def test_by_name_makes_and_refuses(t):
    relay = start(t, '--pop-by-name')
    wire = Pop.to(relay)
    wire.check('STAT', '+OK 0 0')
    relay.wait_log(r'created pop-by-name sub-directory \[bob\]$')
    equal(stat.S_IMODE((relay.spool.path / 'bob').stat().st_mode) & 0o777, 0o770)
    relay.terminate()
    t.file('pop.auth', 'server plain ../x secret\nserver plain a/b secret\nserver plain .x secret\n')
    again = t.relay('--pop', '--pop-port=0', f'--pop-auth={t.dir}/pop.auth', '--pop-by-name', spool=relay.spool)
    again.pop_port = int(again.wait_log(r'pop server on .*[:.](\d+)$').group(1))
    for name in ('../x', 'a/b', '.x'):
        wire = Pop.to(again, login=None)
        wire.check(f'USER {name}', f'+OK user: {name}')
        wire.check('PASS secret', '-ERR')
        wire.check('STAT', '-ERR')


def test_no_delete(t):
    relay = start(t, '--pop-no-delete', spool=two_messages(t))
    names = relay.spool.names()
    wire = Pop.to(relay)
    for number in (1, 2, 3):
        wire.check(f'DELE {number}', '+OK')
    wire.check('STAT', '+OK 0 0')
    wire.check('QUIT', '+OK signing off')
    wire.closed()
    equal(relay.spool.names(), names)


def test_two_sessions_and_forwarding(t):
    """Nothing is lost: each message is read by a client or forwarded."""
    spool = t.spool()
    count = 60
    for i in range(count):
        spool.add(f'm{i:03}', content=b'Subject: x\r\n\r\nmessage m%03d\r\n' % i)
    hop = t.next_hop()
    relay = start(t, f'--forward-to={hop.address}', '--admin=0', spool=spool)
    admin = harness.Wire.tcp('127.0.0.1', int(relay.wait_log(r'admin server on .*:(\d+)$').group(1)))
    seen, problems = set(), []

    def read():
        try:
            client = poplib.POP3('127.0.0.1', relay.pop_port, timeout=harness.patience)
            client.user('bob')
            client.pass_('secret')
            for number in range(1, client.stat()[0] + 1):
                try:
                    text = b'\n'.join(client.retr(number)[1])
                    seen.add(re.search(rb'm\d{3}', text).group(0).decode())
                    client.dele(number)
                except poplib.error_proto as e:
                    if e.args[0] != b'-ERR':
                        raise
            try:
                client.quit()
            except poplib.error_proto:
                pass  # others were faster with some
        except Exception as e:
            problems.append(repr(e))

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    admin.send('forward\n')
    for thread in threads:
        thread.join()
    equal(problems, [])
    admin.send('forward\n')
    until(lambda: not spool.messages() and not spool.messages('busy'), 'all gone')
    forwarded = {re.search(rb'm\d{3}', m.body).group(0).decode()
                 for m in hop.messages}
    equal(len(seen | forwarded), count)
    equal(relay.running(), True)


@harness.limit(240)
def test_large_mailbox(t):
    """50,000 messages: what a login and LIST cost is shown, not judged."""
    spool = t.spool()
    count = 50_000
    model = spool.add('model')
    envelope = model.envelope
    for i in range(count - 1):
        (spool.path / f'emailrelay.1.1.{i}.envelope').write_bytes(envelope)
        (spool.path / f'emailrelay.1.1.{i}.content').write_bytes(b'x\r\n')
    relay = start(t, spool=spool)

    def memory():
        return int(re.search(r'VmRSS:\s+(\d+)', open(f'/proc/{relay.pid}/status').read()).group(1))
    before, begin = memory(), time.monotonic()
    client = poplib.POP3('127.0.0.1', relay.pop_port, timeout=120)
    client.user('bob')
    client.pass_('secret')
    login = time.monotonic()
    equal(len(client.list()[1]), count)
    listed = time.monotonic()
    print(f'login {login - begin:.2f} s, LIST {listed - login:.2f} s, memory +{memory() - before} kB')
    client.quit()


def certificate(t):
    need('openssl')
    path = t.dir / 'server.pem'
    t.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-keyout', path,
           '-out', t.dir / 'cert.pem'])
    path.write_bytes(path.read_bytes() + (t.dir / 'cert.pem').read_bytes())
    path.chmod(0o644)
    return path


def test_stls(t):
    need('curl')
    pem = certificate(t)
    relay = start(t, '--server-tls', f'--server-tls-certificate={pem}', '--server-tls-required', spool=two_messages(t))
    wire = Pop.to(relay, login=None)
    equal(wire.greeting, '+OK POP3 server ready')
    wire.check('CAPA', '+OK capability list follows', 'CAPA', 'TOP', 'UIDL', 'STLS', '.')
    wire.check('USER bob', '-ERR no SASL PLAIN mechanism to do USER/PASS authentication')
    wire.check('AUTH PLAIN', '-ERR must use STLS before authentication')
    wire.check('STLS', '+OK')
    context = ssl._create_unverified_context()
    wire.socket = context.wrap_socket(wire.socket)
    wire.check('STLS', '-ERR')  # and nothing was said after the handshake
    wire.check('USER bob', '+OK user: bob')
    wire.check('PASS secret', '+OK')
    wire.check('QUIT', '+OK signing off')
    client = poplib.POP3('127.0.0.1', relay.pop_port, timeout=harness.patience)
    client.stls(context)
    client.user('bob')
    client.pass_('secret')
    equal(client.stat()[0], 3)
    client.quit()
    got = t.run(['curl', '-sS', '-k', '--ssl-reqd', '-u', 'bob:secret', f'pop3://127.0.0.1:{relay.pop_port}/1'])
    equal(got.replace('\r\n', '\n'), one.decode().replace('\r\n', '\n'))
