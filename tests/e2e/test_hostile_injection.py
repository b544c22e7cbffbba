"""Injection: nothing that a peer, a filter, a verifier, a certificate or a file name says becomes a line of its own in an envelope, a
header, a reply, a command to the next hop, the log or the administrators' output, nor a path outside of its directory."""
import base64
import os
import re
import ssl
import stat

import harness
from harness import equal, fail, is_root, match
from certificates import Authority
from helper_servers import LineServer, Spamd
from test_admin import Admin
from test_filters import script

# What somebody may try to begin a line with, or to do to a terminal. \x9b is CSI as UTF-8 has it, \x85 NEL.
breaks = [b'\n', b'\r', b'\r\n', b'\0', b'\x0b', b'\x0c', b'\x1b[2J', b'\xc2\x85', b'\xc2\x9b2J', b'\xe2\x80\xa8', b'\x7f', b'\x08\x08']

known_fields = {'Format', 'Content', 'From', 'ToCount', 'To-Local', 'To-Remote', 'Authentication', 'Client', 'ClientCertificate', 'MailFromAuthIn',
                'MailFromAuthOut', 'ForwardTo', 'ForwardToAddress', 'ClientAccountSelector', 'Utf8MailboxNames', 'End', 'Reason', 'ReasonCode'}


def check_log(relay):
    """Every line is one of ours and acts on no terminal."""
    raw = relay.output
    for line in raw.split('\n')[:-1]:
        if not re.match(r'emailrelay: (info|warning|error|debug): ', line) or re.search('[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]', line):
            fail(f'not a line of ours: {line!r}')
    forged = [line for line in raw.split('\n') if re.match(r'.*: (warning|error|info): forged', line) and 'rx<<' not in line and 'tx>>' not in line]
    # it may be quoted behind our own words, at no line's beginning
    equal([line for line in forged if re.match(r'emailrelay: \w+: forged', line)], [])


def check_envelope(message):
    """Lines end with CR-LF; each field is known and, but for addresses, there once; nothing stands behind the end but reasons."""
    raw = message.envelope
    lines = re.sub(rb'(\r\nX-MailRelay-ClientCertificate: ?[^\r\n]*)((?:\r\n [!-~ ]*)*)', rb'\1', raw).split(b'\r\n')  # it is folded
    equal(lines.pop(), b'')
    names = []
    for line in lines:
        found = re.fullmatch(rb'X-MailRelay-([A-Za-z0-9-]+):(?: ([^\r\n\0]*))?', line)
        if not found or found.group(1).decode() not in known_fields:
            fail(f'not a field: {line!r} in {raw!r}')
        names.append(found.group(1).decode())
    for name in known_fields - {'To-Local', 'To-Remote', 'Reason', 'ReasonCode'}:
        assert names.count(name) <= 1, (name, raw)
    equal(int(message.field('ToCount')), len(message.fields('To-Local')) + len(message.fields('To-Remote')))


def b64(data):
    return base64.b64encode(data)


# ---------------------------------------------------------------- by clients

def test_envelope_and_header(t):
    """Addresses, quoted and not, HELO names, AUTH= parameters, with and without strict parsing."""
    for number, words in enumerate(([], ['--server-smtp-config=nostrictparsing'], ['--server-smtp-config=smtputf8'])):
        relay = t.relay(*words, '--max-errors=0', '--max-other-errors=0', '--max-idle-commands=0', spool=t.spool(f's{number}'))
        for chosen in breaks:
            if chosen == b'\r\n':
                continue  # that does end a command; test_a_command_is_one_line
            bad = b'a' + chosen + b'X-MailRelay-To-Remote: evil@example.com' + chosen + b'forged'
            quoted = b'"' + bad + b'"@example.com'
            xtext = b'a' + b''.join(b'+%02X' % octet for octet in chosen) + b'X-MailRelay-End:+201'
            for helo, sender, recipient, more in [(bad, b'a@b', b'c@d', b''), (b'x', quoted, b'c@d', b''), (b'x', b'a@b', quoted, b''),
                                                  (b'x', bad + b'@b', bad + b'@d', b''), (b'x', b'a@b', b'c@' + bad, b''),
                                                  (b'x', b'a@b', b'c@d', b' AUTH=' + xtext), (b'x', b'a@b', b'c@d', b' AUTH=' + bad),
                                                  (b'x', b'a@b', b'c@d', b' SMTPUTF8 BODY=' + bad)]:
                with t.row(f'{words} {chosen} {helo} {sender} {recipient} {more}'), relay.connect() as wire:
                    wire.expect('220 .*')
                    wire.say(b'EHLO ' + helo)
                    wire.reply()
                    wire.say(b'MAIL FROM:<' + sender + b'>' + more)
                    code, _ = wire.reply()
                    if code != 250:
                        assert code in (501, 550, 553, 555), code
                        continue
                    wire.say(b'RCPT TO:<' + recipient + b'>')
                    code, _ = wire.reply()
                    if code != 250:
                        continue
                    wire.ask('DATA', 354)
                    wire.send(b'Subject: x\r\n\r\nx\r\n.\r\n')
                    equal(wire.reply()[0], 250)
                    message = relay.spool.one()
                    check_envelope(message)
                    equal(message.field('ToCount'), '1')
                    match(message.content.decode('latin-1'), r'^Received: from [!-~]+ \(\[127\.0\.0\.1\]\) by [!-~ ;:,+]+\r\nSubject: x\r\n\r\nx\r\n$')
                    message.envelope_path.unlink()
                    message.content_path.unlink()
        check_log(relay)


def test_addresses_of_files_do_not_become_commands(t):
    """The same in an envelope that others have put into the spool: what it has behind a bare LF or CR is refused or stays in the line."""
    hop = t.next_hop({'EHLO': '250-x\r\n250-SMTPUTF8\r\n250-AUTH PLAIN\r\n250 8BITMIME'})
    for number, chosen in enumerate(b for b in breaks if b != b'\r\n'):
        bad = 'a' + chosen.decode() + 'RCPT TO:<evil@example.net>'
        for place, fields in [('from', dict(sender=bad)), ('to', dict(to=[bad + '@example.net'])), ('auth', dict(MailFromAuthOut=bad)),
                              ('client', dict(Client=bad))]:
            with t.row(f'{place} {chosen}'):
                spool = t.spool(f'{place}{number}')
                spool.add('emailrelay.1.1.1', **fields)
                hop.lines.clear()
                t.forward(hop.address, spool=spool, status=None)
                for line in hop.verbs():
                    assert not line.startswith('RCPT TO:<evil'), hop.verbs()
                    assert not re.search('[\r\n]', line), hop.verbs()


def test_a_command_is_one_line(t):
    """CR-LF inside of a quoted local part, or a LF in an address of the AUTH exchange, begins a new command like any other, for which the
    state is not right or which says what was said."""
    relay = t.relay()
    with relay.greeted() as wire:
        wire.send(b'MAIL FROM:<"a\r\nRSET\r\n"@b>\r\n')
        equal([wire.reply()[0] for _ in range(3)][1:], [250, 500])
        wire.ask('DATA', 503)
    relay.spool.check_empty()


def test_login_names(t):
    """In the log and in the envelope."""
    names = [b'bob' + chosen + b'emailrelay: warning: forged' for chosen in breaks if chosen not in (b'\0',)]
    lines = ''.join(f'server plain:b {b64(name).decode()} {b64(b"secret").decode()}\n' for name in names)
    path = t.file('secrets', lines)
    path.chmod(0o644)
    relay = t.relay(f'--server-auth={path}', '--max-errors=0', '--max-other-errors=0')
    with relay.greeted() as wire:
        wire.ask(b'AUTH PLAIN ' + b64(b'\0' + names[0] + b'\0wrong'), 535)
    for name in names:
        with t.row(repr(name)), relay.greeted() as wire:
            for mechanism in (b'PLAIN', b'LOGIN'):
                wire.say(b'AUTH PLAIN ' + b64(b'\0' + name + b'\0secret') if mechanism == b'PLAIN' else b'AUTH LOGIN ' + b64(name))
                code = wire.reply()[0]
                if mechanism == b'LOGIN' and code == 334:
                    wire.say(b64(b'secret'))
                    code = wire.reply()[0]
                if code == 235:
                    break
            equal(code, 235)
            equal(wire.submit(b'x\r\n')[0], 250)
            message = relay.spool.one()
            check_envelope(message)
            assert 'forged' in message.field('Authentication'), message.envelope
            message.envelope_path.unlink()
            message.content_path.unlink()
    check_log(relay)


def test_certificate_names(t):
    """The subject of a client's certificate, with both libraries: in the log and in the envelope."""
    authority = Authority(t)
    ours = authority.issue('localhost', san='DNS:localhost', rsa=True)
    evil = authority.issue('evil\nX-MailRelay-End: 1\nemailrelay: warning: forged\x1b[2J')
    for library in ('openssl', 'mbedtls'):
        with t.row(library):
            relay = t.relay('--server-tls', f'--server-tls-certificate={ours}', f'--server-tls-verify={authority.certificate}',
                            f'--tls-config={library}', spool=t.spool(library))
            context = ssl.create_default_context(cafile=authority.certificate)
            context.check_hostname = False
            context.maximum_version = ssl.TLSVersion.TLSv1_2  # there the handshake tells the client at once
            context.load_cert_chain(evil)
            with relay.greeted() as wire:
                wire.ask('STARTTLS', 220)
                wire.socket = context.wrap_socket(wire.socket)
                wire.ask('EHLO x', 250)
                equal(wire.submit(b'x\r\n')[0], 250)
            check_envelope(relay.spool.one())
            check_log(relay)


# ---------------------------------------------------------------- by helpers and next hops

def one_reply(wire, line=None, data=None):
    """Exactly one reply of one line, and the next answer is the next command's."""
    if data is not None:
        wire.send(data)
    else:
        wire.say(line)
    code, texts = wire.reply()
    equal(len(texts), 1)
    for chosen in ('\r', '\n', '\0', '\x1b', '\x85', '\x9b'):
        assert chosen not in texts[0], texts
    wire.exact('NOOP', '250 noop')
    return code


def test_filter_output(t):
    """Of programs, `net:` servers and spamd: one reply, one line of the log."""
    evil = b''
    printed = t.dir / 'printed'
    program = script(t, f'cat {printed}; exit 1')
    server = LineServer(t, lambda line, count: b'abort\t' + evil.replace(b'\n', b'') + b'\n')
    spamd = Spamd(t, lambda content: b'SPAMD/1.1 0 ' + evil + b'\r\nContent-length: 0\r\nSpam: True ; ' + evil + b' 9 / 5.0\r\n\r\n')
    for name, address in [('program', program), ('net', f'net:{server.address}'), ('spam', f'spam:{spamd.address}')]:
        relay = t.relay(f'--filter={address}', spool=t.spool(name))
        for chosen in breaks:
            evil = b'no' + chosen + b'250 message processed' + chosen + b'emailrelay: warning: forged'
            t.file('printed', b'<<' + evil + b'>>\n').chmod(0o644)
            with t.row(f'{name} {chosen}'), relay.greeted() as wire:
                for line, code in (('MAIL FROM:<a@b>', 250), ('RCPT TO:<c@d>', 250), ('DATA', 354)):
                    wire.ask(line, code)
                code = one_reply(wire, data=b'x\r\n.\r\n')
                assert code in (452, 250), code
        check_log(relay)


def test_verifier_output(t):
    """Reply, log and envelope."""
    relay = t.relay(address_verifier=script(t, f'cat {t.dir}/printed; exit $(cat {t.dir}/code)'))
    for chosen in breaks:
        evil = b'box' + chosen + b'X-MailRelay-End: 1' + chosen + b'forged'
        t.file('printed', b'Full' + chosen.replace(b'\n', b'') + b'Name\n' + evil + b'\n').chmod(0o644)
        for code in (0, 1, 2, 3):
            t.file('code', f'{code}\n').chmod(0o644)
            with t.row(f'{chosen} {code}'), relay.greeted() as wire:
                one_reply(wire, 'VRFY x')
                wire.ask('MAIL FROM:<a@b>', 250)
                if one_reply(wire, 'RCPT TO:<c@d>') != 250:
                    continue
                wire.ask('DATA', 354)
                wire.send(b'x\r\n.\r\n')
                equal(wire.reply()[0], 250)
                message = relay.spool.one()
                check_envelope(message)
                message.envelope_path.unlink()
                message.content_path.unlink()
    check_log(relay)


def test_replies_of_next_hops(t):
    """In the log, in the reason kept with a message, and in the reply to a client behind --immediate. In administrators'
    events: test_admin_events."""
    hop = t.next_hop()
    relay = t.relay('--immediate', forward_to=hop.address)
    usual = dict(hop.script)
    for chosen in breaks:
        if chosen in (b'\n', b'\r\n'):
            continue  # these end a reply's line
        evil = b'no' + chosen + b'X-MailRelay-End: 1' + chosen + b'emailrelay: warning: forged'
        for verb in ('EHLO', 'RCPT', '.'):
            hop.script.update(usual)
            hop.script[verb] = (b'250-x\r\n250 ' if verb == 'EHLO' else b'550 ') + evil + b'\r\n'
            with t.row(f'{verb} {chosen}'), relay.greeted() as wire:
                for line in ('MAIL FROM:<a@b>', 'RCPT TO:<c@d>', 'DATA'):
                    wire.ask(line)
                code = one_reply(wire, data=b'x\r\n.\r\n')
                if verb == 'EHLO':
                    continue
                assert code != 250, code
                message = relay.spool.one('bad')
                check_envelope(message)
                message.envelope_path.unlink()
                message.content_path.unlink()
    check_log(relay)


def test_names_of_files(t):
    """Of messages: in administrators' lists and in the log."""
    spool = t.spool()
    names = ['evil' + chosen.decode() + 'emailrelay: warning: forged' for chosen in breaks if chosen != b'\0']
    for name in names:
        spool.write(name + '.content', b'x\r\n')
        spool.write(name + '.envelope', b'rubbish')
        spool.add(name + '2', to=['a@b'])
    hop = t.next_hop({'RCPT': '550 no'})
    relay = t.relay('--admin=0', '--forward', spool=spool, forward_to=hop.address)
    relay.wait_log('forwarding: no more messages to send')
    administrator = Admin(relay)
    for command in ('list', 'failures', 'status'):
        administrator.send(command)
        heard = administrator.until('E-MailRelay> ')
        for line in heard.split('\n'):
            if line.startswith('emailrelay: ') or re.search('[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]', line):
                fail(f'{command}: {line!r}')
    check_log(relay)


# ---------------------------------------------------------------- paths

def tree(folder):
    return {os.path.join(at, name) for at, folders, files in os.walk(folder) for name in folders + files}


def test_names_that_lead_elsewhere(t):
    """Mailboxes of POP users, of deliveries, and of verifiers are one component of a path."""
    names = ['..', '.', '../outside', '/tmp/outside', 'a/../../outside', 'a/b', '.hidden', 'a\0b', '', '..\\outside', 'x' * 300, '%2e%2e%2f']
    lines = ''.join(f'server plain:b {b64(name.encode()).decode()} {b64(b"secret").decode()}\n' for name in names if name)
    secrets = t.file('secrets', lines)
    secrets.chmod(0o644)
    spool = t.spool()
    t.folder('outside', 0o777)
    relay = t.relay('--pop', '--pop-port=0', '--pop-by-name', f'--pop-auth={secrets}', '--max-other-errors=0', spool=spool)
    port = int(relay.wait_log(r'pop server on .*[:.](\d+)$').group(1))
    before = tree(t.dir)
    for name in names:
        with t.row(repr(name)), harness.Wire.tcp('127.0.0.1', port) as wire:
            wire.expect(r'\+OK.*')
            wire.say(b'AUTH PLAIN ' + b64(b'\0' + name.encode() + b'\0secret'))
            answer = wire.line()
            if name not in ('..\\outside', '%2e%2e%2f'):
                match(answer, '^-ERR')
    made = {path for path in tree(t.dir) - before if '/reports' not in path}
    assert all(os.path.dirname(path) == str(spool.path) for path in made), made
    check_log(relay)

    printed = t.file('printed', '')
    printed.chmod(0o644)
    deliveries = t.folder('boxes', 0o777)
    verifier = script(t, f'echo Name; cat {printed}', name='verifier')
    relay = t.relay('--filter=deliver:', f'--delivery-dir={deliveries}', address_verifier=verifier, spool=t.spool('delivering'))
    before = tree(t.dir)
    for name in names:
        if '\0' in name or not name:
            continue
        with t.row(f'delivery to {name!r}'), relay.greeted() as wire:
            printed.write_text(name + '\n')
            wire.ask('MAIL FROM:<a@b>', 250)
            wire.say('RCPT TO:<c@d>')
            if wire.reply()[0] != 250:
                continue
            wire.ask('DATA', 354)
            wire.send(b'x\r\n.\r\n')
            wire.reply()
    made = {path for path in tree(t.dir) - before if not path.startswith((str(deliveries) + '/', str(relay.spool.path) + '/', str(t.reports)))}
    equal(made, set())
    check_log(relay)


# ---------------------------------------------------------------- links

def test_links_in_the_spool(t):
    """A link where the relay is going to write or read leads nowhere: nothing outside of the spool is read, written, sent or deleted."""
    harness.need_root('kernel settings')
    hop = t.next_hop()
    spool = t.spool()
    secret = t.file('secret', 'root only\r\n')
    secret.chmod(0o600)
    victim = t.file('victim', 'untouched\n')
    victim.chmod(0o666)
    # content and envelope that are links; a journal, a lock and a new file's name that are links
    spool.add('linked-content', content=None)
    (spool.path / 'linked-content.content').symlink_to(secret)
    other = t.spool('other').add('linked-envelope')
    (spool.path / 'linked-envelope.envelope').symlink_to(other.envelope_path)
    spool.write('linked-envelope.content', b'x\r\n')
    for name in ('linked-reason',):
        spool.add(name, to=['refused@example.net'])
        (spool.path / f'{name}.envelope.bad').symlink_to(victim)
    relay = t.relay('--forward', '--poll=1', spool=spool, forward_to=hop.address)
    relay.wait_log('forwarding: no more messages to send')
    for message in hop.messages:
        assert b'root only' not in message.body, message.body
    equal(secret.read_bytes(), b'root only\r\n')
    equal(victim.read_text(), 'untouched\n')
    equal(stat.S_IMODE(victim.stat().st_mode), 0o666)
    assert other.envelope_path.exists()
    relay.terminate()


def test_links_in_the_way_of_the_pid_file(t):
    """A pid file is made anew: what a link there leads to stays as it is."""
    victim = t.file('victim', 'untouched\n')
    link = t.dir / 'pid'
    link.symlink_to(victim)
    relay = t.relay(f'--pid-file={link}', wait=False)
    harness.until(lambda: not relay.running() or 'smtp server on' in relay.output, 'started or not')
    equal(victim.read_text(), 'untouched\n')
    if relay.running():
        relay.terminate()
        equal(victim.read_text(), 'untouched\n')


def test_hard_links_in_the_spool(t):
    """A second name in the spool for somebody else's file: it is not sent, shown, fetched, written to or changed in its owner and
    mode. What the relay has linked itself, it sends."""
    harness.need_root('the relay could read the file')
    secret, victim = t.file('secret', 'root only\r\n'), t.spool('other').add('victim', to=['victim@example.net'])
    secret.chmod(0o640)
    before = secret.stat(), victim.envelope
    hop = t.next_hop({'RCPT': lambda line: '550 no' if 'victim' in line else '250 ok'})
    spool = t.spool()
    spool.add('content', content=None)
    os.link(secret, spool.path / 'content.content')
    os.link(victim.envelope_path, spool.path / 'envelope.envelope')
    spool.write('envelope.content', b'x\r\n')
    spool.add('replaced', to=['victim@example.net'])
    os.link(secret, spool.path / 'replaced.envelope.bad')
    boot = t.file('journal', b'emailrelay-journal\n' * 1000)
    os.link(boot, spool.path / '.emailrelay-journal.1.1.1')
    spool.add('ours')
    os.link(spool.path / 'ours.content', t.dir / 'also-ours')
    spool.write('readable.content', b'for all\r\n')
    spool.add('readable', content=None)
    (spool.path / 'readable.content').chmod(0o644)
    os.link(spool.path / 'readable.content', t.dir / 'also-readable')
    auth = t.file('pop.auth', 'server plain bob secret\n')
    auth.chmod(0o600)
    relay = t.relay('--admin=0', '--pop', '--pop-port=0', f'--pop-auth={auth}', spool=spool, forward_to=hop.address)
    admin = Admin(relay)
    pop = harness.Wire.tcp('127.0.0.1', int(relay.wait_log(r'pop server on .*[:.](\d+)$').group(1)))
    for line in ('', 'USER bob', 'PASS secret'):
        if line:
            pop.say(line)
        pop.expect(r'\+OK.*')
    pop.exact('RETR 1', '-ERR')
    assert 'root only' not in admin.ask('list show content'), relay.output
    admin.ask('flush')
    equal(sorted(m.body for m in hop.messages), [b'Subject: x\r\n\r\nhello\r\n', b'for all\r\n'])
    relay.wait_log(r'ignoring ".*/content\.envelope": content file is linked from elsewhere$')
    equal(secret.read_bytes(), b'root only\r\n')
    equal((before[0].st_uid, before[0].st_gid, before[0].st_mode), (secret.stat().st_uid, secret.stat().st_gid, secret.stat().st_mode))
    equal(victim.envelope, before[1])
    equal(boot.read_bytes(), b'emailrelay-journal\n' * 1000)
    equal({m.id for m in spool.messages()}, {'content'})
    equal({m.id: (m.fields('To-Remote'), m.field('ReasonCode')) for m in spool.messages('bad')},
          {name: (['victim@example.net'], '550') for name in ('replaced', 'envelope')})
    relay.terminate()


def test_hard_links_to_be_copied(t):
    """`copy:` gives its links the group of a set-gid mailbox: not to a file that was put in the message's place."""
    harness.need_root('other groups')
    secret = t.file('secret', 'root only\r\n')
    secret.chmod(0o640)
    spool = t.spool()
    mailbox = t.folder(f'{spool.path.name}/alice', 0o777)
    os.chown(mailbox, 0, 100)
    os.chmod(mailbox, 0o2777)
    swap = script(t, f'ln -f {secret} "$1"')
    relay = t.relay(f'--filter={swap}', '--filter=copy:hardlink', spool=spool)
    with relay.greeted() as wire:
        code, _ = wire.submit(b'Subject: x\r\n\r\nx\r\n')
    assert code != 250, code
    equal(os.listdir(mailbox), [])
    equal((secret.stat().st_gid, stat.S_IMODE(secret.stat().st_mode), secret.read_bytes()), (0, 0o640, b'root only\r\n'))
    relay.terminate()


def test_hard_link_in_the_place_of_the_pid_file(t):
    victim = t.file('victim', 'untouched\n')
    victim.chmod(0o644)
    os.link(victim, t.dir / 'pid')
    relay = t.relay(f'--pid-file={t.dir}/pid')
    equal((t.dir / 'pid').read_text().strip(), str(relay.pid))
    relay.terminate()
    equal((victim.read_text(), stat.S_IMODE(victim.stat().st_mode)), ('untouched\n', 0o644))
