"""Every reply of the SMTP server, as bytes on the wire (spec/smtp-server.md sections 1 to 5 and 7)."""
import re
import shutil
import time

import harness
from harness import domain, equal, match

greeting = rf'220 {re.escape(domain)} -- E-MailRelay V\d\S* -- Service ready'
sequence = '503 command out of sequence -- use RSET to resynchronise'
unknown = '500 command unrecognized'

ehlo = f'''
    c -> EHLO x
    s <- 250-{domain} says hello
    s <- 250-VRFY
    s <- 250-PIPELINING
    s <- 250 8BITMIME'''


def dialogue(t, relay, name, script, greet=True):
    """One table row on a connection of its own."""
    with t.row(name), relay.connect() as wire:
        if greet:
            wire.expect(greeting)
        wire.play(script)


def test_state_table(t):
    relay = t.relay()
    rows = {
        'ehlo': ehlo,
        'helo': '''
            c -> HELO x
            s <- 250 hello''',
        'verbs in any case, leading blanks, trailing text': '''
            c -> \t helo x
            s <- 250 hello
            c -> NoOp and more
            s <- 250 noop
            c -> rset  x
            s <- 250 state reset
            c -> help me
            s <- 502 command not implemented
            c -> quit now
            s <- 221 OK
            s -- closed''',
        'no name': '''
            c -> EHLO
            s <- 501 parameter required
            c -> HELO
            s <- 501 parameter required
            c => EHLO  \\t\\r\\n
            s <- 501 parameter required
            c -> MAIL FROM:<a@b>
            s <- ''' + sequence,
        'start state': f'''
            c -> NOOP
            s <- 250 noop
            c -> VRFY someone
            s <- 252 cannot verify but will accept: someone
            c -> HELP
            s <- 502 command not implemented
            c -> EXPN list
            s <- 502 command not implemented
            c -> RSET
            s <- 250 state reset
            c -> MAIL FROM:<a@b>
            s <- {sequence}
            c -> RCPT TO:<a@b>
            s <- {sequence}
            c -> DATA
            s <- {sequence}
            c -> QUIT
            s <- 221 OK
            s -- closed''',
        'idle state': f'''{ehlo}
            c -> RCPT TO:<a@b>
            s <- {sequence}
            c -> DATA
            s <- {sequence}
            c -> VRFY a@b
            s <- 252 cannot verify but will accept: a@b
            c -> NOOP
            s <- 250 noop''',
        'mail state': f'''{ehlo}
            c -> MAIL FROM:<a@b>
            s <- 250 sender <a@b> OK
            c -> MAIL FROM:<a@b>
            s <- {sequence}
            c -> VRFY a@b
            s <- 252 cannot verify but will accept: a@b
            c -> NOOP
            s <- 250 noop
            c -> EXPN x
            s <- 502 command not implemented''',
        'mail then data': f'''{ehlo}
            c -> MAIL FROM:<a@b>
            s <- 250 sender <a@b> OK
            c -> DATA
            s <- 554 no valid recipients
            c -> MAIL FROM:<a@b>
            s <- 250 sender <a@b> OK
            c -> RCPT TO:
            s <- 550 invalid angle brackets in mailbox name
            c -> DATA
            s <- 554 no valid recipients
            c -> RCPT TO:<c@d>
            s <- {sequence}''',
        'rcpt state': f'''{ehlo}
            c -> MAIL FROM:<a@b>
            s <- 250 sender <a@b> OK
            c -> RCPT TO:<c@d>
            s <- 250 recipient <c@d> OK
            c -> RCPT TO:<c@d>
            s <- 250 recipient <c@d> OK
            c -> MAIL FROM:<a@b>
            s <- {sequence}
            c -> VRFY a@b
            s <- 252 cannot verify but will accept: a@b
            c -> RCPT TO:<e@f>
            s <- 250 recipient <e@f> OK
            c -> RSET
            s <- 250 state reset
            c -> RCPT TO:<c@d>
            s <- {sequence}
            c -> DATA
            s <- {sequence}''',
        'ehlo ends a transaction': f'''{ehlo}
            c -> MAIL FROM:<a@b>
            s <- 250 sender <a@b> OK
            c -> RCPT TO:<c@d>
            s <- 250 recipient <c@d> OK{ehlo}
            c -> DATA
            s <- {sequence}
            c -> MAIL FROM:<>
            s <- 250 sender <> OK
            c -> HELO y
            s <- 250 hello
            c -> RCPT TO:<c@d>
            s <- {sequence}''',
        'two messages': f'''{ehlo}
            c -> MAIL FROM:<a@b>
            s <- 250 sender <a@b> OK
            c -> RCPT TO:<c@d>
            s <- 250 recipient <c@d> OK
            c -> DATA
            s <- 354 start mail input -- end with <CRLF>.<CRLF>
            c -> text
            c -> .
            s <- 250 message processed
            c -> MAIL FROM:<>
            s <- 250 sender <> OK
            c -> RCPT TO:<c@d>
            s <- 250 recipient <c@d> OK
            c -> DATA
            s <- 354 start mail input -- end with <CRLF>.<CRLF>
            c -> .
            s <- 250 message processed
            c -> QUIT
            s <- 221 OK
            s -- closed''',
        'unknown': f'''
            c -> FOO
            s <- {unknown}
            c => \\x20\\r\\n
            s <- {unknown}
            c => \\r\\n
            s <- {unknown}
            c => \\t\\r\\n
            s <- {unknown}
            c -> STARTTLS
            s <- {unknown}
            c -> BDAT 3 LAST
            s <- {unknown}
            c -> MAILFROM:<a@b>
            s <- {unknown}''',
        'auth without secrets': f'''{ehlo}
            c -> AUTH PLAIN
            s <- 502 command not implemented
            c -> NOOP
            s <- 250 noop''',
        'bare line ends are part of the line': '''
            c => NOOP\\nNOOP\\rNOOP\\r\\n
            s <- 500 command unrecognized
            c -> NOOP
            s <- 250 noop''',
    }
    for name, script in rows.items():
        dialogue(t, relay, name, script)
    equal(len(relay.spool.messages()), 2, 'messages of the row with two')


def test_addresses(t):
    relay = t.relay()
    mail = '553 mailbox name not allowed: '
    brackets = 'missing angle brackets in mailbox name'
    invalid = 'invalid angle brackets in mailbox name'
    character = 'invalid character in mailbox name'
    route = 'invalid source route in mailbox name'

    # what stands behind the colon, error text or None, address as the reply shows it
    rows = [
        ('<a@b>', None, 'a@b'),
        (' <a@b>', None, 'a@b'),
        ('  \t<a@b>', None, 'a@b'),
        ('<a>', None, 'a'),
        ('<a b@c>', None, 'a b@c'),
        ('<"a>b"@c>', None, '"a>b"@c'),
        (r'<"a\"b"@c>', None, None),
        ('<' + 'a' * 900 + '@b>', None, 'a' * 900 + '@b'),
        ('<a@[127.0.0.1]>', None, 'a@[127.0.0.1]'),
        ('<@x,@y:a@b>', None, None),
        ('<@x:a@b>', None, None),
        ('<a@b> FOO=bar', None, 'a@b'),
        ('a@b', brackets, None),
        ('a@b>', brackets, None),
        ('', invalid, None),
        (' ', invalid, None),
        ('<a@b', invalid, None),
        ('<a@b>x', 'invalid angle brackets', None),
        ('<a@b>\tx', 'invalid angle brackets', None),
        ('<@x>', '(' + route + '|' + character + ')', None),
        ('<@x:>', route, None),
        ('<a\tb@c>', character, None),
        ('<a\x7fb@c>', character, None),
        ('<a\x01b@c>', character, None),
        ('<a\0b@c>', character, None),
        ('<a\rb@c>', character, None),
        (b'<a\xffb@c>', character, None),
        (b'<a\xc3@c>', character, None),
        ('<a@>', character, None),
        ('<"a@b>', '(invalid quoting|invalid angle brackets)', None),
    ]
    for text, error, shown in rows:
        raw = text if isinstance(text, bytes) else text.encode()
        for verb, ok, refusal in ((b'MAIL FROM:', '250 sender <', mail), (b'RCPT TO:', '250 recipient <', '550 ')):
            with t.row(f'{verb + raw[:60]!r}'), relay.greeted() as wire:
                if verb.startswith(b'RCPT'):
                    wire.ask('MAIL FROM:<>', 250)
                wire.say(verb + raw)
                got = wire.line()
                if error is None:
                    wanted = re.escape(ok) + (re.escape(shown) if shown else '.*') + '> OK'
                else:
                    wanted = re.escape(refusal) + error + '.*'
                match(got, '^' + wanted + '$')
                wire.ask('NOOP', 250)

    dialogue(t, relay, 'no FROM or TO', ehlo + '''
        c -> MAIL
        s <- 553 mailbox name not allowed: invalid mail-from command
        c -> MAIL <a@b>
        s <- 553 mailbox name not allowed: invalid mail-from command
        c -> MAIL FROM <a@b>
        s <- 553 mailbox name not allowed: invalid mail-from command
        c -> MAIL FROM :<a@b>
        s <- 553 mailbox name not allowed: invalid mail-from command
        c -> MAIL TO:<a@b>
        s <- 553 mailbox name not allowed: invalid mail-from command
        c -> MAIL   from:<a@b>
        s <- 250 sender <a@b> OK
        c -> RCPT
        s <- 550 invalid rcpt-to command
        c -> RCPT TO
        s <- 550 invalid rcpt-to command
        c -> RCPT <a@b>
        s <- 550 invalid rcpt-to command
        c -> RCPT TO:<>
        s <- 550 invalid empty mailbox
        c -> RCPT \t To:<a@b> NOTIFY=NEVER ORCPT=x
        s <- 250 recipient <a@b> OK''')


def test_source_route_and_quotes_in_the_envelope(t):
    relay = t.relay()
    with relay.greeted() as wire:
        wire.submit(b'x\r\n', sender='@h1,@h2:from@example.com', to=['@h3:to@example.net', r'"q>\"r"@example.net'])
    message = relay.spool.one()
    equal(message.field('From'), 'from@example.com')
    equal(message.fields('To-Remote'), ['to@example.net', r'"q>\"r"@example.net'])


def test_no_strict_parsing(t):
    relay = t.relay('--server-smtp-config=nostrictparsing')
    for name, line, wanted in [
            ('bare', 'MAIL FROM: a@b SIZE=10', '250 sender <a@b> OK'),
            ('bare, no blank', 'MAIL FROM:a@b', '250 sender <a@b> OK'),
            ('half a bracket', 'MAIL FROM:a@b>', '250 sender <a@b>> OK'),
            ('brackets', 'MAIL FROM:<a@b>', '250 sender <a@b> OK')]:
        with t.row(name), relay.greeted() as wire:
            wire.exact(line, wanted)
    with t.row('nothing'), relay.greeted() as wire:
        wire.say('MAIL FROM:')
        wire.expect('553 mailbox name not allowed: .*')


def test_strict_parsing_warning_comes_once(t):
    relay = t.relay()
    for _ in range(3):
        with relay.greeted() as wire:
            wire.ask('MAIL FROM:a@b', 553)
            wire.ask('MAIL FROM:a@b', 553)
    relay.terminate()
    equal(relay.output.count('warning: invalid smtp command syntax from remote client: '
                             'use --server-smtp-config=nostrictparsing to allow'), 1)


def test_international_addresses(t):
    relay = t.relay()
    bucher = 'bücher.example'
    with relay.greeted() as wire:
        wire.exact(f'MAIL FROM:<a@{bucher}>', f'250 sender <a@{bucher}> OK')
        wire.exact(f'RCPT TO:<b@{bucher}>', f'250 recipient <b@{bucher}> OK')
        wire.ask('DATA', 354)
        wire.ask('.', 250)
    message = relay.spool.one()
    equal(message.field('From'), 'a@xn--bcher-kva.example')
    equal(message.fields('To-Remote'), ['b@xn--bcher-kva.example'])
    equal(message.field('Utf8MailboxNames'), '0')
    message.envelope_path.unlink()
    with relay.greeted() as wire:
        wire.exact('MAIL FROM:<ü@example.com>', '250 sender <ü@example.com> OK')
        wire.exact('RCPT TO:<b@c>', '250 recipient <b@c> OK')
        wire.ask('DATA', 354)
        wire.ask('.', 250)
    equal(relay.spool.one().field('Utf8MailboxNames'), '1')
    relay.spool.one().envelope_path.unlink()


def test_no_a_labels(t):
    relay = t.relay('--server-smtp-config=noalabels')
    with relay.greeted() as wire:
        wire.ask('MAIL FROM:<a@bücher.example>', 250)
        wire.ask('RCPT TO:<b@bücher.example>', 250)
        wire.ask('DATA', 354)
        wire.ask('.', 250)
    assert 'X-MailRelay-To-Remote: b@bücher.example\r\n'.encode() in relay.spool.one().envelope


def test_utf8_strict(t):
    relay = t.relay('--server-smtp-config=smtputf8,smtputf8strict')
    with relay.connect() as wire:
        wire.expect(greeting)
        wire.play('''
            c -> EHLO x
            s <- 250-{domain} says hello
            s <- 250-VRFY
            s <- 250-PIPELINING
            s <- 250-SMTPUTF8
            s <- 250 8BITMIME
            c -> MAIL FROM:<ü@example.com>
            s <- 553 mailbox name not allowed: invalid character in mailbox name: not using smptutf8
            c -> MAIL FROM:<ü@example.com> SMTPUTF8
            s <- 250 sender <ü@example.com> OK
            c -> RCPT TO:<ä@example.com>
            s <- 250 recipient <ä@example.com> OK
            c -> RSET
            s <- 250 state reset
            c -> MAIL FROM:<a@bücher.example>
            s <- 250 sender <a@bücher.example> OK
            c -> RCPT TO:<ä@example.com>
            s <- 550 invalid character in mailbox name: not using smtputf8
            c -> RSET
            s <- 250 state reset
            c -> MAIL FROM:<a@b> SMTPUTF8=1
            s <- 553 mailbox name not allowed: invalid mail-from parameter''', domain=domain)


def test_mail_parameters(t):
    relay = t.relay('--size=1000')
    rows = [
        ('SIZE=1000', '250 sender <a@b> OK'),
        ('SIZE=1001', '552 message size exceeds fixed maximum message size'),
        ('size=1001', '552 message size exceeds fixed maximum message size'),
        ('SIZE=99999999999999999999999999', '552 message size exceeds fixed maximum message size'),
        ('SIZE=x', '250 sender <a@b> OK'),
        ('SIZE=1 SIZE=5000', '250 sender <a@b> OK'),
        ('SIZE=5000 SIZE=1', '552 message size exceeds fixed maximum message size'),
        ('SIZE=', '250 sender <a@b> OK'),
        ('BODY=8BITMIME', '250 sender <a@b> OK'),
        ('BODY=NONSENSE', '250 sender <a@b> OK'),
        ('UNKNOWN=x OTHER', '250 sender <a@b> OK'),
        ('smtputf8=1', '250 sender <a@b> OK'),
        ('AUTH=<>', '250 sender <a@b> OK'),
    ]
    for parameter, wanted in rows:
        with t.row(parameter), relay.connect() as wire:
            wire.expect(greeting)
            wire.play('''
                c -> EHLO x
                s <- 250-{domain} says hello
                s <- 250-SIZE 1000
                s <- 250-VRFY
                s <- 250-PIPELINING
                s <- 250 8BITMIME
                c -> MAIL FROM:<a@b> {parameter}
                s <- {wanted}''', domain=domain, parameter=parameter, wanted=wanted)


def test_parameters_in_the_envelope(t):
    relay = t.relay()
    rows = [
        ('', 'Content', 'unknown'), ('BODY=7BIT', 'Content', '7bit'), ('body=8bitmime', 'Content', '8bit'),
        ('BODY=X', 'Content', 'unknown'), ('BODY=7BIT BODY=8BITMIME', 'Content', '7bit'),
        ('AUTH=a+b', 'MailFromAuthIn', 'a'), ('AUTH=c=d', 'MailFromAuthIn', 'c+3Dd'), ('AUTH=<>', 'MailFromAuthIn', '<>'),
        ('AUTH=e+3Df', 'MailFromAuthIn', 'e+3Df'), ('SIZE=3', 'MailFromAuthIn', ''),
    ]
    for parameter, name, value in rows:
        with t.row(parameter), relay.greeted() as wire:
            equal(wire.submit(b'x\r\n', mail=' ' + parameter)[0], 250)
            message = relay.spool.one()
            equal(message.field(name), value)
            message.envelope_path.unlink()


def test_envelope(t):
    relay = t.relay()
    with relay.greeted() as wire:
        wire.submit(b'x\r\n', sender='a@b', to=['c@d', 'e@f', 'c@d'])
    message = relay.spool.one()
    match(message.id, r'^emailrelay\.\d+\.\d+\.1$')
    equal(message.id.split('.')[1], str(relay.pid))
    equal(message.envelope, b''.join(f'X-MailRelay-{line}\r\n'.encode() for line in [
        'Format: #2821.8', 'Content: unknown', 'From: a@b', 'ToCount: 3', 'To-Remote: c@d', 'To-Remote: e@f',
        'To-Remote: c@d', 'Authentication: ', 'Client: 127.0.0.1', 'ClientCertificate: ', 'MailFromAuthIn: ',
        'MailFromAuthOut: ', 'ForwardTo: ', 'ForwardToAddress: ', 'ClientAccountSelector: ', 'Utf8MailboxNames: 0',
        'End: 1']))
    for path in (message.envelope_path, message.content_path):
        equal(oct(path.stat().st_mode & 0o7777), oct(0o660), str(path))


def test_size_limit_on_content(t):
    relay = t.relay('--size=1000', '--anonymous=content')
    with relay.greeted() as wire:
        equal(wire.submit(b'x' * 996 + b'\r\n'), (250, ['message processed']))
        message = relay.spool.one()
        equal(len(message.content), 998)
        for size in (1000, 1001, 1003, 500_000):
            equal(wire.submit(b'x' * (size - 2) + b'\r\n'), (552, ['message size exceeds fixed maximum message size']))
        equal(wire.submit(b'x' * 997 + b'\r\n'), (250, ['message processed']))
        wire.ask('NOOP', 250)
    equal(len(relay.spool.messages()), 2)
    equal(len(relay.spool.names()), 4, f'files {relay.spool.names()}')


def test_received_line_counts_for_the_size(t):
    relay = t.relay('--size=1000')
    with relay.greeted() as wire:
        equal(wire.submit(b'x' * 948 + b'\r\n')[0], 552)
    relay.spool.check_empty()


def test_received_line(t):
    relay = t.relay(env={'TZ': 'America/St_Johns'})
    date = r'(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [1-9]\d? \w\w\w \d{4} \d\d:\d\d:\d\d '
    zone = r'-0[23]30'
    rows = [('EHLO one', 'one'), ('HELO two', 'two'), ('EHLO a b', 'a-b'), ('EHLO ü', None)]
    for hello, name in rows:
        with t.row(hello), relay.connect() as wire:
            wire.expect(greeting)
            wire.ask(hello, 250)
            equal(wire.submit(b'Subject: s\r\n\r\nx\r\n')[0], 250)
            message = relay.spool.one()
            line, rest = message.content.split(b'\r\n', 1)
            equal(rest, b'Subject: s\r\n\r\nx\r\n')
            match(line.decode('ascii'), rf'^Received: from {name or "[!-~]+"} \(\[127\.0\.0\.1\]\) by {re.escape(domain)} '
                  rf'with ESMTP ; {date}{zone}$')
            message.envelope_path.unlink()


def test_anonymous(t):
    for option, scopes in [('--anonymous', 'vrfy server content'), ('--anonymous=yes', 'vrfy server content'),
                           ('-A', 'vrfy server content'),
                           ('--anonymous=vrfy', 'vrfy'), ('--anonymous=server', 'server'),
                           ('--anonymous=content', 'content'), ('--anonymous=vrfy,content', 'vrfy content'),
                           ('--anonymous=client', ''), ('--anonymous=unheard', '')]:
        with t.row(option):
            relay = t.relay(option, spool=t.spool(option))
            with relay.connect() as wire:
                if 'server' in scopes:
                    wire.play('s <- 220 greeting')
                else:
                    wire.expect(greeting)
                hello = 'smtp' if 'server' in scopes else domain
                vrfy = '' if 'vrfy' in scopes else 's <- 250-VRFY'
                answer = '252 cannot vrfy' if 'vrfy' in scopes else '252 cannot verify but will accept: a@b'
                wire.play(f'''
                    c -> EHLO x
                    s <- 250-{hello} says hello
                    {vrfy}
                    s <- 250-PIPELINING
                    s <- 250 8BITMIME
                    c -> VRFY a@b
                    s <- {answer}
                    c -> HELO x
                    s <- 250 hello''')
                wire.submit(b'text\r\n')
            content = relay.spool.one().content
            if 'content' in scopes:
                equal(content, b'text\r\n')
            else:
                match(content.decode(), '^Received: from x ')
            relay.terminate()


def test_vrfy(t):
    relay = t.relay()
    dialogue(t, relay, 'vrfy', ehlo + '''
        c -> VRFY
        s <- 550 invalid mailbox
        c -> VRFY ü SMTPUTF8
        s <- 252 cannot verify but will accept: ü
        c -> VRFY <a@b>
        s <- 252 cannot verify but will accept: <a@b>''')


def test_replies_escape_what_the_client_sent(t):
    relay = t.relay()
    with relay.greeted() as wire:
        wire.exact('VRFY a\x1b\\b', '252 cannot verify but will accept: a\\x1b\\\\b')


def test_pipelining_switch(t):
    relay = t.relay('--server-smtp-config=nopipelining')
    dialogue(t, relay, 'not advertised', f'''
        c -> EHLO x
        s <- 250-{domain} says hello
        s <- 250-VRFY
        s <- 250 8BITMIME''')
    dialogue(t, relay, 'accepted all the same', f'''
        c => HELO x\\r\\nMAIL FROM:<a@b>\\r\\nRCPT TO:<c@d>\\r\\nNOOP\\r\\n
        s <- 250 hello
        s <- 250 sender <a@b> OK
        s <- 250 recipient <c@d> OK
        s <- 250 noop''')


def test_pipelined(t):
    """Everything in one write, the end of data and QUIT included; also one octet at a time; also before the greeting."""
    whole = (b'EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:bad\r\nDATA\r\nline 1\r\n..dot\r\n.\r\n'
             b'MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nline 2\r\n.\r\nQUIT\r\nNOOP\r\n')
    wanted = f'''
        s <- 250-{domain} says hello
        s <- 250-VRFY
        s <- 250-PIPELINING
        s <- 250 8BITMIME
        s <- 250 sender <a@b> OK
        s <- 250 recipient <c@d> OK
        s <- 550 missing angle brackets in mailbox name
        s <- 354 start mail input -- end with <CRLF>.<CRLF>
        s <- 250 message processed
        s <- 250 sender <a@b> OK
        s <- 250 recipient <c@d> OK
        s <- 354 start mail input -- end with <CRLF>.<CRLF>
        s <- 250 message processed
        s <- 221 OK
        s -- closed'''
    relay = t.relay()
    for name, pieces in [('one write', [whole]), ('octet by octet', [whole[i:i + 1] for i in range(len(whole))]),
                         ('threes', [whole[i:i + 3] for i in range(0, len(whole), 3)])]:
        with t.row(name), relay.connect() as wire:
            for piece in pieces:
                try:
                    wire.send(piece)
                except OSError:  # the rest behind QUIT may come too late
                    break
            wire.expect(greeting)
            wire.play(wanted)
    bodies = sorted(m.body() for m in relay.spool.messages())
    equal(bodies, [b'line 1\r\n.dot\r\n'] * 3 + [b'line 2\r\n'] * 3)


def test_many_noops_behind_the_end_of_data(t):
    relay = t.relay(verbose=None)
    with relay.greeted() as wire:
        wire.ask('MAIL FROM:<a@b>', 250)
        wire.ask('RCPT TO:<c@d>', 250)
        wire.send(b'DATA\r\nx\r\n.\r\n' + b'NOOP\r\n' * 900 + b'QUIT\r\n')
        wire.play('''
            s <- 354 start mail input -- end with <CRLF>.<CRLF>
            s <- 250 message processed''')
        for _ in range(900):
            wire.expect('250 noop')
        wire.play('''
            s <- 221 OK
            s -- closed''')


def test_end_of_data_is_crlf_dot_crlf_only(t):
    relay = t.relay('--anonymous=content')
    tricks = [b'a\n.\nb\r\n', b'a\n.\r\nb\r\n', b'a\r\n.\nb\r\n', b'a\r.\rb\r\n', b'a\r\n.\rb\r\n', b'a\r.\r\nb\r\n', b'\n.\r\nx\r\n']
    for trick in tricks:
        with t.row(repr(trick)), relay.greeted() as wire:
            wire.ask('MAIL FROM:<a@b>', 250)
            wire.ask('RCPT TO:<c@d>', 250)
            wire.ask('DATA', 354)
            wire.send(trick)
            wire.send(b'end\r\n.\r\n')
            equal(wire.reply(), (250, ['message processed']))
            wire.ask('NOOP', 250)
            message = relay.spool.one()
            # One leading dot goes from lines that have more than the dot; a line is what CR-LF ends.
            stored = re.sub(rb'(^|(?<=\r\n))\.', b'', trick)
            equal(message.content, stored + b'end\r\n')
            message.envelope_path.unlink()


def test_dots(t):
    relay = t.relay('--anonymous=content')
    for sent, stored in [(b'..\r\n', b'.\r\n'), (b'..a\r\n', b'.a\r\n'), (b'.b\r\n', b'b\r\n'), (b'...\r\n', b'..\r\n'),
                         (b'a.\r\n', b'a.\r\n'), (b'a\r\n..\r\n', b'a\r\n.\r\n'), (b'', b''), (b'\r\n', b'\r\n')]:
        with t.row(repr(sent)), relay.greeted() as wire:
            equal(wire.submit(sent, stuff=False)[0], 250)
            message = relay.spool.one()
            equal(message.content, stored)
            message.envelope_path.unlink()


def test_end_of_data_in_pieces(t):
    relay = t.relay('--anonymous=content')
    end = b'last\r\n.\r\n'
    for cut in range(1, len(end)):
        with t.row(str(cut)), relay.greeted() as wire:
            wire.ask('MAIL FROM:<a@b>', 250)
            wire.ask('RCPT TO:<c@d>', 250)
            wire.ask('DATA', 354)
            wire.send(end[:cut])
            wire.silent(0.05)
            wire.send(end[cut:])
            equal(wire.reply()[0], 250)
            message = relay.spool.one()
            equal(message.content, b'last\r\n')
            message.envelope_path.unlink()


def test_binarymime_needs_bdat(t):
    relay = t.relay()
    dialogue(t, relay, 'binarymime', f'''{ehlo}
        c -> MAIL FROM:<a@b> BODY=BINARYMIME
        s <- 250 sender <a@b> OK
        c -> RCPT TO:<c@d>
        s <- 250 recipient <c@d> OK
        c -> DATA
        s <- 503 invalid data command with binarymime -- use RSET to resynchronise
        c -> DATA
        s <- {sequence}
        c -> MAIL FROM:<a@b>
        s <- {sequence}
        c -> NOOP
        s <- 250 noop
        c -> RSET
        s <- 250 state reset
        c -> MAIL FROM:<a@b>
        s <- 250 sender <a@b> OK''')


def test_extensions_in_the_reply_to_ehlo(t):
    """Each line only when it is so, and in this order."""
    rows = [
        ([], []),
        (['--size=1000'], ['SIZE 1000']),
        (['--server-smtp-config=chunking'], ['CHUNKING', 'BINARYMIME']),
        (['--server-smtp-config=+chunking,with-smtputf8'], ['CHUNKING', 'BINARYMIME', 'SMTPUTF8']),
        (['--server-smtp-config=chunking,-chunking,=pipelining'], []),
        (['--server-smtp-config=chunking,nochunking,without-smtputf8'], []),
        (['--server-smtp-config=Chunking'], []),
        (['--size=7', '--server-smtp-config=chunking,smtputf8,without-pipelining', '--anonymous'],
         ['SIZE 7', 'CHUNKING', 'BINARYMIME', 'SMTPUTF8', '-PIPELINING', '-VRFY']),
    ]
    order = ['SIZE', 'VRFY', 'CHUNKING', 'BINARYMIME', 'PIPELINING', 'SMTPUTF8']
    for n, (options, changes) in enumerate(rows):
        with t.row(' '.join(options)):
            relay = t.relay(*options, spool=t.spool(str(n)))
            words = {'VRFY', 'PIPELINING', *changes} - {w[1:] for w in changes if w[0] == '-'}
            wanted = sorted((w for w in words if w[0] != '-'), key=lambda w: order.index(w.split()[0]))
            with relay.connect() as wire:
                wire.expect('220 .*')
                equal(wire.ask('EHLO x', 250), [('smtp' if '--anonymous' in options else domain) + ' says hello', *wanted, '8BITMIME'])
            relay.terminate()


def test_bdat(t):
    """Every row of section 5.6: the replies, and what is stored."""
    relay = t.relay('--server-smtp-config=chunking', '--anonymous=content', '--size=1000')
    to_rcpt = r"""
        c => MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n
        s <- 250 sender <a@b> OK
        s <- 250 recipient <c@d> OK"""
    alive = '\nc -> RSET\ns <- 250 state reset\nc -> NOOP\ns <- 250 noop'
    # what is said after EHLO, what is stored then
    rows = {
        'one chunk': (to_rcpt + r"""
            c => BDAT 6 LAST\r\nab\r\n.\n
            s <- 250 message processed""", b'ab\r\n.\n'),
        'chunks': (to_rcpt + r"""
            c => BDAT 3\r\nabc
            s <- 250 3 bytes received
            c => BDAT 5\r\n\r\n.\r\n
            s <- 250 5 bytes received
            c => BDAT 2 last\r\nyz
            s <- 250 message processed""", b'abc\r\n.\r\nyz'),
        'an empty last chunk': (to_rcpt + r"""
            c => BDAT 3\r\nabcBDAT 0 LAST\r\n
            s <- 250 3 bytes received
            s <- 250 message processed""", b'abc'),
        'nothing but an empty last chunk': (to_rcpt + r"""
            c -> BDAT 0 LAST
            s <- 250 message processed""", b''),
        'another second word': (to_rcpt + r"""
            c => BDAT 3 FIRST\r\nabcBDAT 1 LAST\r\nd
            s <- 250 3 bytes received
            s <- 250 message processed""", b'abcd'),
        'binarymime': (r"""
            c -> MAIL FROM:<a@b> BODY=BINARYMIME
            s <- 250 sender <a@b> OK
            c -> RCPT TO:<c@d>
            s <- 250 recipient <c@d> OK
            c => BDAT 3 LAST\r\n\x00\xff\n
            s <- 250 message processed""", b'\0\xff\n'),
        'two messages, all in one write': (r"""
            c => MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 2 LAST\r\nabMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 2 LAST\r\nab
            s <- 250 sender <a@b> OK
            s <- 250 recipient <c@d> OK
            s <- 250 message processed
            s <- 250 sender <a@b> OK
            s <- 250 recipient <c@d> OK
            s <- 250 message processed""", b'ab'),
        'no number': (to_rcpt + f"""
            c -> BDAT
            s <- 501 invalid argument
            c -> DATA
            s <- {sequence}""" + alive, None),
        'not a number': (to_rcpt + f"""
            c -> BDAT x LAST
            s <- 501 invalid argument
            c -> MAIL FROM:<a@b>
            s <- {sequence}""" + alive, None),
        'zero without LAST': (to_rcpt + f"""
            c -> BDAT 0
            s <- 501 invalid argument
            c -> BDAT 0 LAST
            s <- {sequence}""" + alive, None),
        'no valid recipient': (r"""
            c -> MAIL FROM:<a@b>
            s <- 250 sender <a@b> OK
            c => BDAT 6 LAST\r\nNOOP\r\n
            s <- 554 no valid recipients
            c -> MAIL FROM:<a@b>
            s <- 250 sender <a@b> OK""" + alive, None),
        'no transaction': (f"""
            c => BDAT 6 LAST\\r\\nNOOP\\r\\n
            s <- {sequence}
            c -> MAIL FROM:<a@b>
            s <- {sequence}""" + alive, None),
        'other commands between chunks': (to_rcpt + f"""
            c => BDAT 3\\r\\nabc
            s <- 250 3 bytes received
            c -> DATA
            s <- {sequence}
            c -> MAIL FROM:<a@b>
            s <- {sequence}
            c -> RCPT TO:<a@b>
            s <- {sequence}
            c -> NOOP
            s <- 250 noop
            c => BDAT 1 LAST\\r\\nd
            s <- 250 message processed""", b'abcd'),
        'RSET between chunks': (to_rcpt + f"""
            c => BDAT 3\\r\\nabc
            s <- 250 3 bytes received
            c -> RSET
            s <- 250 state reset
            c -> BDAT 0 LAST
            s <- {sequence}""" + alive, None),
        'too big': (to_rcpt + f"""
            c => BDAT 600\\r\\n{'x' * 600}
            s <- 250 600 bytes received
            c => BDAT 400 LAST\\r\\n{'x' * 400}
            s <- 552 message size exceeds fixed maximum message size
            c -> MAIL FROM:<a@b>
            s <- 250 sender <a@b> OK""" + alive, None),
        'as big as can be': (to_rcpt + f"""
            c => BDAT 999 LAST\\r\\n{'x' * 999}
            s <- 250 message processed""", b'x' * 999),
    }
    for name, (script, stored) in rows.items():
        with t.row(name), relay.greeted() as wire:
            wire.play(script)
            contents = {m.content for m in relay.spool.messages()}
            equal(contents, set() if stored is None else {stored})
            if stored is None:
                wire.close()
                harness.until(relay.spool.empty, f'nothing left; {relay.spool.names()}')
            for message in relay.spool.messages():
                equal(message.field('Content'), 'binarymime' if name == 'binarymime' else 'unknown')
                message.envelope_path.unlink()
                message.content_path.unlink()


def test_bdat_has_the_received_line_once(t):
    relay = t.relay('--server-smtp-config=chunking')
    with relay.greeted() as wire:
        wire.send(b'MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 5\r\na\r\n\r\nBDAT 1 LAST\r\nz')
        equal([wire.reply()[0] for _ in range(4)], [250] * 4)
    match(relay.spool.one().content.decode(), r'^Received: from client\.example\.org \([^\r]*\r\na\r\n\r\nz$')


def test_spool_directory_gone(t):
    """MAIL is accepted all the same; the end of data says it, and the session goes on."""
    relay = t.relay(spool=t.spool('gone'))
    shutil.rmtree(relay.spool.path)
    with relay.greeted() as wire:
        for size in (10, 500_000):
            equal(wire.submit(b'x' * size + b'\r\n'), (452, ['transaction failed']))
        wire.ask('NOOP', 250)
    relay.wait_log('^emailrelay: warning: failed to save message content: ', count=2)


def test_idle_clock(t):
    """Any octet starts it anew; 0 is never."""
    relay = t.relay('--max-idle-commands=0', idle_timeout=2)
    with relay.connect() as wire:
        wire.expect('220 .*')
        begin = time.monotonic()
        for octet in b'NOOP x':
            wire.send(bytes([octet]))
            wire.silent(0.5)
        wire.closed()
        took = time.monotonic() - begin
        assert took > 4, took
    forever = t.relay(idle_timeout=0, spool=t.spool('forever'))
    with forever.greeted() as wire:
        wire.silent(1.5)
        wire.ask('NOOP', 250)


def test_the_eighth_error_closes(t):
    relay = t.relay()
    kinds = {'unknown': ('FOO', unknown), 'sequence': ('RCPT TO:<a@b>', sequence)}
    for name, (line, answer) in kinds.items():
        with t.row(name), relay.connect() as wire:
            wire.expect(greeting)
            for _ in range(4):
                wire.exact(line, answer)
            wire.ask('HELP', 502)
            wire.ask('EHLO', 501)
            wire.ask('EHLO x', 250)
            wire.ask('MAIL FROM:a@b', 553)
            for _ in range(4):
                wire.exact(line, answer)
            wire.closed()
    with t.row('pipelined'), relay.connect() as wire:
        wire.send(b'FOO\r\n' * 30)
        wire.expect(greeting)
        for _ in range(8):
            wire.expect(unknown)
        wire.closed()
    relay.wait_log('too many protocol errors from the client')


def test_line_too_long(t):
    """design.md section 7: 500, in step with the next line."""
    relay = t.relay(verbose=None)
    with relay.greeted() as wire:
        wire.send(b'NOOP ' + b'x' * 100_000 + b'\r\nNOOP\r\n')
        wire.play('''
            s <- 500 line too long
            s <- 250 noop''')
    with relay.connect() as wire:
        wire.expect(greeting)
        wire.ask('EHLO ' + 'x' * 2000, 250)
    relay.wait_log('very long line detected: 20..')


def test_too_many_recipients(t):
    relay = t.relay(verbose=None)
    with relay.greeted() as wire:
        wire.ask('MAIL FROM:<a@b>', 250)
        for start in range(0, 10_000, 500):
            wire.send(b''.join(b'RCPT TO:<r%d@example.net>\r\n' % n for n in range(start, start + 500)))
            for _ in range(500):
                wire.expect('250 recipient <.*> OK')
        wire.exact('RCPT TO:<one@too.many>', '452 too many recipients')
        wire.ask('DATA', 354)
        wire.ask('.', 250)
    equal(len(relay.spool.one().fields('To-Remote')), 10_000)


def test_too_many_commands(t):
    relay = t.relay(verbose=None)
    with relay.greeted() as wire:
        wire.send(b'NOOP\r\n' * 1100)
        got = []
        while True:
            line = wire.line()
            if line is None:
                break
            got.append(line)
    assert len(got) <= 1001, len(got)
    equal(set(got[:-1]), {'250 noop'})
    match(got[-1], '^421 ')


def test_http_ends_the_session(t):
    relay = t.relay()
    for verb in ('GET / HTTP/1.1', 'POST /x HTTP/1.0', f'POST /{"x" * 5000} HTTP/1.1'):
        with t.row(verb[:20]), relay.connect() as wire:
            wire.expect(greeting)
            wire.send(verb.encode() + b'\r\nHost: x\r\nMAIL FROM:<a@b>\r\n\r\n')
            lines = []
            while (line := wire.line()) is not None:
                lines.append(line)
            assert len(lines) <= 1, lines
