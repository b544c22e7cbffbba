"""POP3 (spec/pop-server.md, docs/pop.md): rows of its tables on the wire, and the clients people use."""
import base64
import contextlib
import hashlib
import hmac
import os
import poplib
import re
import select
import socket
import stat
import subprocess
import threading
import time

import harness
from harness import equal, fail, match, need, until
from test_load import lean

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


def two_messages(t, name='spool'):
    spool = t.spool(name)
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


def test_mail_that_filters_have_delivered(t):
    """From SMTP to POP: deliver: gives each user a message, copy:pop everybody the same, also one whose mailbox is elsewhere."""
    auth = t.file('pop.auth', secrets)
    auth.chmod(0o644)
    verifier = t.file('verifier.sh', '#!/bin/sh\necho; echo "$1" | sed "s/@.*//"; exit 0\n')
    verifier.chmod(0o755)
    for how in ('deliver:', 'copy:pop'):
        with t.row(how):
            spool = t.spool(how.strip(':').replace(':', '-'))
            elsewhere = t.folder(f'elsewhere-{spool.path.name}', 0o777)
            os.symlink(elsewhere, spool.path / 'alice')
            (spool.path / 'bob').mkdir()
            (spool.path / 'bob').chmod(0o777)
            relay = t.relay('--pop', '--pop-port=0', f'--pop-auth={auth}', '--pop-by-name', f'--filter={how}', spool=spool,
                            address_verifier=verifier)
            relay.pop_port = int(relay.wait_log(r'pop server on .*[:.](\d+)$').group(1))
            with relay.greeted() as smtp:
                equal(smtp.submit(one, to=('bob@example.com', 'alice@example.com')), (250, ['message processed']))
            for name, password in (('bob', 'secret'), ('alice', 'wonder')):
                client = poplib.POP3('127.0.0.1', relay.pop_port, timeout=harness.patience)
                client.user(name)
                client.pass_(password)
                equal(client.stat()[0], 1)
                text = b'\r\n'.join(client.retr(1)[1]) + b'\r\n'
                equal(text.split(b'\r\n', 1)[1], one)
                client.dele(1)
                client.quit()
            equal((sorted(spool.names()), os.listdir(spool.path / 'bob'), os.listdir(elsewhere)), (['alice', 'bob'], [], []))
            relay.terminate()


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
    """50,000 messages: all of them are listed, from the first to the last, while others are served; what the list takes in memory is given
    back with the session."""
    spool = t.spool()
    count = 50_000
    envelope = spool.add('model').envelope
    os.remove(spool.path / 'model.content')
    os.remove(spool.path / 'model.envelope')
    for i in range(count):
        (spool.path / f'emailrelay.1.1.{i}.envelope').write_bytes(envelope)
        (spool.path / f'emailrelay.1.1.{i}.content').write_bytes(b'%d\r\n' % i)
    relay = start(t, spool=spool, env=lean(t), verbose=None)
    names = sorted(f'emailrelay.1.1.{i}' for i in range(count))
    octets = {name: len(name.split('.')[-1]) + 2 for name in names}
    clients, took, before = [], {}, 0
    for _ in range(4):
        begin = time.monotonic()
        client = poplib.POP3('127.0.0.1', relay.pop_port, timeout=120)
        client.user('bob')
        client.pass_('secret')
        took['login'] = time.monotonic() - begin
        clients.append(client)
        before = before or resident(relay)  # what making a list takes for a moment is there once
    grown = resident(relay) - before
    first, last = clients[0], clients[-1]
    for what, ask in (('STAT', first.stat), ('LIST', first.list), ('UIDL', first.uidl)):
        begin = time.monotonic()
        answer = ask()
        took[what] = time.monotonic() - begin
        if what == 'STAT':
            equal(answer, (count, sum(octets.values())))
        elif what == 'LIST':
            equal(answer[1] == [b'%d %d' % (n, octets[name]) for n, name in enumerate(names, 1)], True, 'LIST')
        else:
            equal(answer[1] == [b'%d %s.content' % (n, name.encode()) for n, name in enumerate(names, 1)], True, 'UIDL')
    equal(last.retr(count)[1], [names[-1].split('.')[-1].encode()])
    # 50,000 names take some three megabytes a session, without a sanitizer.
    if grown > 3 * 16_000:
        fail(f'three more sessions take {grown} kB')
    begin = time.monotonic()
    for number in range(1, count, 50):
        last.dele(number)
    last.quit()
    took['1,000 deletions'] = time.monotonic() - begin
    equal(len(spool.messages()), count - 1_000)
    equal(first.stat()[0], count, 'another session keeps its list')
    print(f'three more sessions +{grown} kB', *(f'{what} {seconds:.2f} s' for what, seconds in took.items()))


def hexdigest(text):
    return hashlib.md5(text.encode()).hexdigest()


def test_what_is_said_before_and_after_the_login(t):
    """Every verb on both sides of the login, in any case, with blanks and tabs, and ended by CR-LF alone."""
    relay = start(t, '--max-other-errors=0', spool=two_messages(t))
    transaction = ('STAT', 'LIST', 'LIST 1', 'UIDL', 'UIDL 1', 'RETR 1', 'TOP 1 1', 'DELE 1', 'RSET', 'NOOP', 'LAST', 'XYZ', '')
    wire = Pop.to(relay, login=None)
    for command in transaction:
        wire.check(command, '-ERR')
    wire.check('PASS secret', '-ERR')  # without USER
    wire.check('\t uSeR \t bob ', '+OK user: bob')
    wire.check('PASS secret secret', '-ERR')  # one word only
    wire.check('AUTH', '+OK', 'CRAM-SHA512', 'CRAM-SHA256', 'CRAM-SHA1', 'CRAM-MD5', 'PLAIN', 'LOGIN', '.')
    wire.check('AUTH APOP', '-ERR invalid mechanism')
    wire.check('AUTH NONSENSE', '-ERR invalid mechanism')
    wire.check('AUTH CRAM-MD5 AAAA', '-ERR invalid initial response')
    wire.check('AUTH PLAIN =', '+ ')
    wire.check('*', '-ERR')
    wire.check('AUTH LOGIN', '+ VXNlcm5hbWU6')
    wire.check('Ym9i', '+ UGFzc3dvcmQ6')
    wire.check('QUIT', '-ERR')  # taken for the password
    wire.check('pass secret', '+OK')
    for command in ('USER bob', 'PASS secret', 'APOP bob x', 'AUTH', 'AUTH PLAIN', 'STLS', 'LAST', 'XYZ', ''):
        wire.check(command, '-ERR')
    total = len(one) + len(two) + 1
    wire.check('sTaT', f'+OK 3 {total}')
    wire.check(' LIST\t2 ', f'+OK 2 {len(two)}')
    for bad in ('0', '4', '-1', 'x', '99999999999999999999', '1x'):
        wire.check(f'LIST {bad}', '-ERR invalid id')
        wire.check(f'UIDL {bad}', '-ERR invalid id')
        for verb in ('RETR', 'DELE'):
            wire.check(f'{verb} {bad}', '-ERR')
        wire.check(f'TOP {bad} 1', '-ERR')
    for command in ('RETR', 'TOP', 'TOP 1', 'TOP 1 -1', 'TOP 1 x', 'DELE', 'RETR 1 2', 'DELE 1 2'):
        wire.check(command, '-ERR')
    wire.check('UIDL', '+OK 3 message(s)', '1 emailrelay.1.1.1.content', '2 emailrelay.1.1.10.content', '3 junk.content', '.')
    wire.check('TOP 1 1', '+OK', 'Subject: one', '', '..dot', '.')
    wire.check('TOP 1 9', '+OK', 'Subject: one', '', '..dot', '.')
    wire.check('NOOP', '+OK')
    wire.check('DELE 1', '+OK')
    for command in ('LIST 1', 'UIDL 1'):
        wire.check(command, '-ERR invalid id')
    for command in ('RETR 1', 'TOP 1 1', 'DELE 1'):
        wire.check(command, '-ERR')
    wire.check('LIST', '+OK 2 message(s)', f'2 {len(two)}', '3 1', '.')
    wire.check('STAT', f'+OK 2 {total - len(one)}')
    wire.check('RSET', '+OK')
    wire.check('STAT', f'+OK 3 {total}')
    wire.send(b'NOOP\nNOOP')
    wire.check('', '-ERR')  # a bare LF ends nothing
    wire.send(b'NOOP\r\nSTAT\r\nQUIT\r\nNOOP\r\n')
    equal([wire.line() for _ in range(3)], ['+OK', f'+OK 3 {total}', '+OK signing off'])
    wire.closed()


def test_logins(t):
    """APOP and the CRAM family, by Python's arithmetic; which of them the log names."""
    state = 'qeD38fvADIqBu6rDlXMbVs07p96q1uXKI0SLpC43l0c='  # of "secret", from spec/authentication.md
    relay = start(t)
    t.file('pop.auth', f'{secrets}server md5 carl {state}\n')

    def apop(wire, password):
        stamp = re.search('<.*>', wire.greeting).group(0)
        return f'APOP bob {hexdigest(stamp + password)}'
    wire = Pop.to(relay, login=None)
    wire.check(apop(wire, 'wrong'), '-ERR')
    wire.check(apop(wire, 'secret'), '+OK')  # once more with the same challenge
    wire = Pop.to(relay, login=None)
    wire.check('USER bob', '+OK user: bob')
    wire.check('PASS wrong', '-ERR')
    wire.check(apop(wire, 'secret'), '-ERR')  # but not after PASS
    for name, mechanism, user in (('md5', 'CRAM-MD5', 'bob'), ('sha256', 'CRAM-SHA256', 'bob'), ('sha512', 'CRAM-SHA512', 'bob'),
                                  ('md5', 'CRAM-MD5', 'carl')):
        def login():
            wire = Pop.to(relay, login=None)
            wire.say(f'AUTH {mechanism}')
            challenge = base64.b64decode(wire.line().removeprefix('+ '))
            match(challenge.decode(), rf'^<\d+\.\d+@{re.escape(harness.domain)}>$')
            answer = f'{user} {hmac.new(b"secret", challenge, name).hexdigest()}'
            wire.say(base64.b64encode(answer.encode()).decode())
            return wire.line()
        # A changed file is looked at once a second.
        until(lambda: login() == '+OK', f'{mechanism} of {user}')
        relay.wait_log(rf'pop authentication of {user} connected from 127\.0\.0\.1:\d+$')
    equal('pop authentication of' in relay.output.split('AUTH')[0], False, 'of APOP and PASS nothing is said')


def test_log_lines(t):
    relay = start(t, spool=two_messages(t))
    relay.wait_log(r'pop server on 127\.0\.0\.1:\d+$')
    relay.wait_log(rf'pop server authentication secrets from "{t.dir}/pop\.auth"$')
    wire = Pop.to(relay, login=None)
    relay.wait_log(r'pop connection from 127\.0\.0\.1:\d+$')
    wire.check('USER bob\x1b[31m\x7f', r'+OK user: bob\x1b[31m\x7f')
    wire.check('PASS guess', '-ERR')
    relay.wait_log(r'warning: failed authentication of remote client using mechanism \[plain\] and missing secret for \[bob\\x1b\[31m\\x7f\]$')
    relay.wait_log(r'rx<<: "PASS \[password not logged\]"$')
    wire.check('AUTH LOGIN', '+ VXNlcm5hbWU6')
    wire.check('Ym9i', '+ UGFzc3dvcmQ6')
    wire.check('c2VjcmV0', '+OK')
    relay.wait_log(r'rx<<: "\[authentication response not logged\]"$', count=2)
    relay.wait_log(r'pop authentication of bob connected from 127\.0\.0\.1:\d+$')
    wire.check('QUIT', '+OK signing off')
    relay.wait_log(r'pop connection closed: pop protocol done: 127\.0\.0\.1:\d+$')
    if re.search('guess|c2VjcmV0|Ym9i|\x1b', relay.output):
        fail('a password, or an escape sequence, in the log')


def test_two_delete_the_same(t):
    """The second one's QUIT says so, and what else it marked is deleted all the same."""
    relay = start(t, spool=two_messages(t))
    first, second = Pop.to(relay), Pop.to(relay)
    first.check('DELE 1', '+OK')
    for number in (1, 2):
        second.check(f'DELE {number}', '+OK')
    first.check('QUIT', '+OK signing off')
    first.closed()
    second.check('RETR 1', '-ERR')  # marked
    second.check('RETR 3', '+OK 1 octets', 'x', '.')
    second.check('QUIT', '-ERR some messages were not deleted')
    second.closed()
    relay.wait_log(rf'error: failed to delete {relay.spool.path}/emailrelay\.1\.1\.1\.envelope: no such file or directory$')
    relay.wait_log(r'pop connection closed: cannot delete message file: 127\.0\.0\.1:\d+$')
    equal([m.id for m in relay.spool.messages()], ['empty', 'junk', 'missing'])


def test_a_message_that_has_vanished(t):
    relay = start(t, spool=two_messages(t))
    wire = Pop.to(relay)
    for name in ('emailrelay.1.1.1.content', 'emailrelay.1.1.1.envelope'):
        (relay.spool.path / name).unlink()
    wire.check('RETR 1', '-ERR')
    wire.check('TOP 1 0', '-ERR')
    wire.check('STAT', f'+OK 3 {len(one) + len(two) + 1}')
    wire.check('RETR 2', f'+OK {len(two)} octets', 'Subject: two', '', 'line', '.')


def test_time_limits(t):
    relay = start(t, '--idle-timeout=3', '--command-timeout=3', '--admin=0', spool=two_messages(t))
    admin = harness.Wire.tcp('127.0.0.1', int(relay.wait_log(r'admin server on .*:(\d+)$').group(1)))
    for login in (None, 'bob'):
        wire = Pop.to(relay, login)
        wire.closed()
    relay.wait_log(r'pop connection closed: idle timeout: no activity after 3s: 127\.0\.0\.1:\d+$', count=2)
    equal(len(relay.spool.messages()), 5, 'nothing was deleted')
    admin.send('pid\n')  # which knows no such limit
    equal(admin.socket.recv(100).split(b'\n')[0], str(relay.pid).encode())
    relay.terminate()
    relay = start(t, '--idle-timeout=60', '--command-timeout=1', spool=relay.spool)
    wire = Pop.to(relay)
    wire.send(b'STA')
    wire.closed()
    relay.wait_log(r'pop connection closed: command timeout: command not finished after 1s: 127\.0\.0\.1:\d+$')
    relay.terminate()
    relay = start(t, '--command-timeout=4', spool=relay.spool)
    wire = Pop.to(relay, 'bob')
    begin = time.monotonic()
    wire.send(b'NO')
    while time.monotonic() - begin < 6:  # each packet ends one command and begins the next
        wire.send(b'OP\r\nNO')
        match(wire.line(), r'^\+OK')


def resident(relay):
    return int(re.search(r'VmRSS:\s+(\d+)', open(f'/proc/{relay.pid}/status').read()).group(1))


@harness.limit(120)
def test_clients_that_do_not_read(t):
    """Sixty-four clients ask for 20 MB each and read none of it: others are served, memory stays where it is, and then they go."""
    spool = two_messages(t)
    text = b'.0123456789 abcdefghijklm\r\n' * 800_000
    spool.add('large', content=text)
    relay = start(t, '--idle-timeout=8', spool=spool, env=lean(t))
    Pop.to(relay).check('NOOP', '+OK')
    before = resident(relay)
    deaf = []
    for _ in range(64):
        wire = Pop(harness.Wire.tcp('127.0.0.1', relay.pop_port).socket)
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.line()
        wire.check('USER bob', '+OK user: bob')
        wire.check('PASS secret', '+OK')
        wire.say('RETR 4')
        deaf.append(wire)
    until(lambda: relay.output.count(f'tx>>: "+OK {len(text)} octets"') == 64, 'all have asked')
    served = Pop.to(relay)
    served.check('RETR 1', f'+OK {len(one)} octets', 'Subject: one', '', '..dot', '.')
    served.check('QUIT', '+OK signing off')
    grown = resident(relay) - before
    if grown > 64 * 1200:  # a sanitizer takes twice as much and more
        fail(f'{grown} kB more in memory for 64 sessions')
    relay.wait_log(r'pop connection closed: idle timeout: replies not read: 127\.0\.0\.1:\d+$', count=64, seconds=90)
    equal(relay.running(), True)


def test_a_slow_reader_gets_all(t):
    """Longer than the idle time in all, but never without progress."""
    spool = t.spool()
    text = b'Subject: x\r\n\r\n' + b'0123456789 abcdefghijklm\r\n' * 100_000
    spool.add('m1', content=text)
    relay = start(t, '--idle-timeout=20', spool=spool)
    wire = Pop.to(relay)
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    wire.say('RETR 1')
    got = b''
    while not got.endswith(b'\r\n.\r\n'):
        got += wire.socket.recv(30_000)
    equal(got == b'+OK %d octets\r\n' % len(text) + text + b'.\r\n', True, 'content')
    wire.check('QUIT', '+OK signing off')


def test_pop_alone(t):
    """Without SMTP: nothing but mailboxes."""
    auth = t.file('pop.auth', secrets)
    auth.chmod(0o644)
    relay = t.relay('--no-smtp', '--pop', '--pop-port=0', f'--pop-auth={auth}', spool=two_messages(t), port=None, wait=False)
    relay.pop_port = int(relay.wait_log(r'pop server on .*[:.](\d+)$').group(1))
    wire = Pop.to(relay)
    wire.check('DELE 1', '+OK')
    wire.check('QUIT', '+OK signing off')
    wire.closed()
    equal('smtp server on' in relay.output, False)
    equal(len(relay.spool.messages()), 4)
    relay.terminate()


def test_remote_clients(t):
    """Who is not local is let in by --remote-clients alone; block lists are not asked about clients of POP."""
    harness.private_network()
    address = '198.51.100.1'
    t.run([harness.find('ip'), 'address', 'add', f'{address}/32', 'dev', 'lo'])
    auth = t.file('pop.auth', secrets)
    auth.chmod(0o644)
    for words, welcome in (([], False), (['--remote-clients', '--dnsbl=127.0.0.1:9,1000,1,bl.example.org'], True)):
        with t.row(str(words)):
            relay = t.relay('--pop', '--pop-port=1110', f'--pop-auth={auth}', '--admin=1111', *words, spool=t.spool(f's{len(words)}'), port=2525,
                            interface='0.0.0.0')
            for port, hello, answer in ((1110, '', '+OK POP3 server ready'), (1111, 'pid\n', str(relay.pid))):
                wire = harness.Wire.tcp(address, port, source=(address, 0))
                wire.send(hello)
                got = b''
                with contextlib.suppress(OSError):
                    got = wire.socket.recv(1000)
                equal(got.decode().startswith(answer) if welcome else got, welcome or b'')
            if not welcome:
                relay.wait_log(r'connection rejected from 198\.51\.100\.1')
            equal('dnsbl: ' in relay.output, False)
            relay.terminate()


def test_inaccessible_mailboxes_are_told_of(t):
    harness.need_root('another user')
    spool = t.spool()
    auth = t.file('pop.auth', secrets)
    auth.chmod(0o644)
    theirs = spool.path / 'alice'
    theirs.mkdir(mode=0o700)
    relay = t.relay('--pop', '--pop-port=0', f'--pop-auth={auth}', '--pop-by-name', spool=spool, user=None, prefix=[
        harness.find('setpriv'), '--reuid=65534', '--regid=65534', '--clear-groups'])
    relay.wait_log(r'warning: pop-by-name sub-directory \[alice\] is not accessible$')
    relay.pop_port = int(relay.wait_log(r'pop server on .*[:.](\d+)$').group(1))
    wire = Pop.to(relay, login=None)
    wire.check('USER alice', '+OK user: alice')
    wire.check('PASS wonder', '-ERR')
    relay.wait_log(r'warning: pop: cannot open the mailbox: ')


def test_netcat_and_telnet(t):
    need('nc', 'telnet')
    relay = start(t, spool=two_messages(t))
    talk = 'USER bob\nPASS secret\nSTAT\nLIST 1\nQUIT\n'
    wanted = f'+OK user: bob\n+OK\n+OK 3 {len(one) + len(two) + 1}\n+OK 1 {len(one)}\n+OK signing off\n'
    got = t.run(['nc', '-C', '127.0.0.1', relay.pop_port], input=talk).replace('\r\n', '\n')
    match(got.splitlines()[0], r'^\+OK POP3 server ready <')
    equal(got.split('\n', 1)[1], wanted)
    terminal = Telnet(t, relay.pop_port)
    terminal.until('+OK POP3 server ready')
    for line, answer in (('USER bob', '+OK user: bob\r\n'), ('PASS secret', '+OK\r\n'), ('LIST 1', f'+OK 1 {len(one)}\r\n'),
                         ('QUIT', '+OK signing off\r\n')):
        terminal.say(line)
        terminal.until(answer)
    terminal.until('Connection closed by foreign host.')


class Telnet:
    """The telnet program on a terminal, as somebody who types."""

    def __init__(self, t, port):
        self.end, theirs = os.openpty()
        self.process = subprocess.Popen(['telnet', '127.0.0.1', str(port)], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
                                        env=t.environment({'TERM': 'dumb'}))
        os.close(theirs)
        self.held = ''
        t.on_end(self.stop)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def say(self, line):
        os.write(self.end, line.encode() + b'\n')

    def until(self, text):
        end = time.monotonic() + harness.patience
        while text not in self.held:
            if not select.select([self.end], [], [], max(end - time.monotonic(), 0))[0]:
                fail(f'telnet: no {text!r}, so far {self.held!r}')
            try:
                self.held += os.read(self.end, 4096).decode()
            except OSError:
                fail(f'telnet ended: {self.held!r}')
        self.held = self.held[self.held.index(text) + len(text):]
