"""Sending mail on: every outcome of spec/smtp-client.md, against scripted next hops and a real one."""
import itertools
import os
import re
import signal
import socket
import threading

import harness
from harness import Drop, Reset, Stall, domain, equal, find, is_root, match, need

body = b'Subject: hello\r\n\r\ntext\r\n.dot\r\n'


def test_into_a_real_server(t):
    need('smtp-sink')
    sink = t.sink(keep=True)
    spool = t.spool()
    for n in range(25):
        spool.add(f'emailrelay.1.{n}.1', b'Subject: n%d.\r\n\r\n.text\r\n' % n, to=['a@example.net', 'b@example.net'])
    output = t.forward(sink.address)
    spool.check_empty()
    match(output, 'forwarding: no more messages to send')
    kept = harness.until(lambda: len(sink.kept()) == 25 and sink.kept(), 'all kept')
    equal(sorted(re.search(rb'Subject: (\S+)\.\n\n\.text\n', k).group(1) for k in kept),
          sorted(b'n%d' % n for n in range(25)))
    assert all(b'X-Rcpt-Args: <a@example.net>\nX-Rcpt-Args: <b@example.net>\n' in k for k in kept)


def test_nothing_to_send(t):
    spool = t.spool()
    done = t.emailrelay('--as-client', '127.0.0.1:1', f'--spool-dir={spool.path}', *(['--user=root'] if is_root() else []))
    equal((done.returncode, done.stdout + done.stderr), (0, 'emailrelay: no messages to send\n'))


def test_connection_refused(t):
    spool = t.spool()
    message = spool.add('emailrelay.1.1.1')
    before = message.envelope
    port = harness.free_port()
    output = t.forward(f'127.0.0.1:{port}', status=1)
    match(output, rf'(?m)^emailrelay: warning: smtp client error: connect failure: cannot connect to 127\.0\.0\.1:{port}')
    match(output, rf'(?m)^emailrelay: error: connect failure: cannot connect to 127\.0\.0\.1:{port}')
    equal(spool.one().envelope, before)


def test_dialogue(t):
    hop = t.next_hop()
    spool = t.spool()
    spool.add('emailrelay.1.1.1', body, to=['a@example.net', 'b@example.net'])
    spool.add('emailrelay.1.2.1', body, sender='', to=['c@example.net'])
    t.forward(hop.address)
    hop.wait_ended(1)
    equal(hop.verbs(), [f'EHLO {domain}', 'MAIL FROM:<me@example.com>', 'RCPT TO:<a@example.net>', 'RCPT TO:<b@example.net>',
                        'DATA', 'MAIL FROM:<>', 'RCPT TO:<c@example.net>', 'DATA', 'QUIT'])
    equal([m.body for m in hop.messages], [body, body])
    spool.check_empty()


def test_oldest_first(t):
    hop = t.next_hop()
    spool = t.spool()
    ids = ['emailrelay.9.100.1', 'emailrelay.1.200.2', 'emailrelay.1.200.10', 'emailrelay.2.1000.1', 'bar.x', 'foo']
    for id in reversed(ids):
        spool.add(id, id.encode() + b'\r\n')
    t.forward(hop.address)
    equal([m.body.strip().decode() for m in hop.messages], ids)


def test_mail_parameters(t):
    eight = '250-next\r\n250-8BITMIME\r\n250 SMTPUTF8'
    rows = [
        ('unknown, 8BITMIME', eight, dict(Content='unknown'), ''),
        ('7bit, 8BITMIME', eight, dict(Content='7bit'), ' BODY=7BIT'),
        ('8bit, 8BITMIME', eight, dict(Content='8bit'), ' BODY=8BITMIME'),
        ('8bit, nothing', '250 next', dict(Content='8bit'), ''),
        ('7bit, nothing', '250 next', dict(Content='7bit'), ''),
        ('keyword in lower case', '250-next\r\n250 8bitmime', dict(Content='8bit'), ' BODY=8BITMIME'),
        ('keyword as a part of a word', '250-next\r\n250 8BITMIMEX', dict(Content='8bit'), ''),
        ('utf8', eight, dict(Content='8bit', Utf8MailboxNames='1'), ' BODY=8BITMIME SMTPUTF8'),
        ('not authenticated', eight, dict(MailFromAuthOut='abc'), ''),
        ('binarymime', '250-next\r\n250-BINARYMIME\r\n250 CHUNKING', dict(Content='8bit'), ''),
    ]
    for name, hello, fields, parameters in rows:
        with t.row(name):
            hop = t.next_hop({'EHLO': hello})
            spool = t.spool(name)
            spool.add('emailrelay.1.1.1', body, **fields)
            t.forward(hop.address, spool=spool)
            equal(hop.messages[0].mail, 'MAIL FROM:<me@example.com>' + parameters)


def test_strict_checks(t):
    rows = [
        ('8-bit, lenient', '250 next', '', dict(Content='8bit'), None),
        ('8-bit, strict', '250 next', '--client-smtp-config=eightbitstrict', dict(Content='8bit'),
         'cannot send 8-bit message to 7-bit server'),
        ('binary, strict', '250-next\r\n250 8BITMIME', '', dict(Content='binarymime'),
         'cannot send binarymime message to a non-chunking server'),
        ('binary, lenient', '250-next\r\n250 8BITMIME', '--client-smtp-config=nobinarymimestrict', dict(Content='binarymime'), None),
        ('utf8, strict', '250 next', '', dict(Utf8MailboxNames='1'), 'cannot send utf8 message to non-smtputf8 server'),
        ('utf8, lenient', '250 next', '--client-smtp-config=-smtputf8strict', dict(Utf8MailboxNames='1'), None),
    ]
    for name, hello, option, fields, reason in rows:
        with t.row(name):
            hop = t.next_hop({'EHLO': hello})
            spool = t.spool(name)
            spool.add('emailrelay.1.1.1', body, **fields)
            spool.add('emailrelay.1.2.1', b'other\r\n')
            t.forward(hop.address, *([option] if option else []), spool=spool)
            if reason is None:
                spool.check_empty()
                equal(len(hop.messages), 2)
            else:
                check_bad(spool.one('bad'), reason, '')
                equal([m.body for m in hop.messages], [b'other\r\n'])


def test_content_on_the_wire(t):
    rows = {
        'CR, LF, CRLF all end a line': (b'a\rb\nc\r\nd\r\r\ne\n\rf\n\n', b'a\r\nb\r\nc\r\nd\r\n\r\ne\r\n\r\nf\r\n\r\n'),
        'last line end supplied': (b'Subject: x\r\n\r\nno end', b'Subject: x\r\n\r\nno end\r\n'),
        'CR at the end': (b'a\r', b'a\r\n'),
        'dots': (b'.\r\n..\n.x\r.\r\n', b'.\r\n..\r\n.x\r\n.\r\n'),
        'empty': (b'', b''),
        'NUL and 8 bit': (b'\0\xff\xfe\0\r\n', b'\0\xff\xfe\0\r\n'),
        'long line': (b'x' * 300_000 + b'\n', b'x' * 300_000 + b'\r\n'),
        'CRLF over every buffer edge': (b'\r\n.' * 100_000, b'\r\n.' * 100_000 + b'\r\n'),
    }
    hop = t.next_hop()
    for n, (name, (stored, sent)) in enumerate(rows.items()):
        with t.row(name):
            spool = t.spool(f's{n}')
            spool.add('emailrelay.1.1.1', stored)
            t.forward(hop.address, spool=spool)
            if hop.messages[-1].body != sent:
                harness.fail(f'wanted {sent[:80]!r} got {hop.messages[-1].body[:80]!r}')
            equal(len(hop.messages), n + 1)
            spool.check_empty()


@harness.limit(120)
def test_50_megabytes(t):
    hop = t.next_hop()
    text = b'0123456789 abcdefghijklmnopqrstuvwxyz .\r\n' * 1_250_000
    spool = t.spool()
    spool.add('emailrelay.1.1.1', text)
    t.forward(hop.address, seconds=100)
    assert hop.messages[0].body == text
    spool.check_empty()


def test_bdat(t):
    """For binarymime content alone, unmodified; more than 1,000,000 octets in chunks."""
    hello = '250-next\r\n250-BINARYMIME\r\n250 CHUNKING'
    last = 'BDAT {} LAST'
    binary = bytes(range(256))
    rows = [
        ('small', b'\0\n.\r\xff', [last.format(5)]),
        ('empty', b'', [last.format(0)]),
        ('exactly one', binary * 3906 + b'x' * 64, [last.format(1_000_000)]),
        ('one more', binary * 3906 + b'x' * 65, ['BDAT 1000000', last.format(1)]),
        ('three', binary * 10_000, ['BDAT 1000000', 'BDAT 1000000', last.format(560_000)]),
    ]
    for name, content, commands in rows:
        with t.row(name):
            hop = t.next_hop({'EHLO': hello})
            spool = t.spool(name)
            spool.add('emailrelay.1.1.1', content, Content='binarymime')
            t.forward(hop.address, spool=spool)
            equal(hop.messages[0].mail, 'MAIL FROM:<me@example.com> BODY=BINARYMIME')
            assert hop.messages[0].body == content
            equal([line for line in hop.verbs() if line.startswith(('BDAT', 'DATA'))], commands)
            spool.check_empty()
    for name, script, reason, code, status in [
            ('chunk refused', {'BDAT': '552 too big'}, 'too big', 552, 0), ('last refused', {'.': '451 later'}, 'later', 451, 0),
            ('chunk 354', {'BDAT': '354 what'}, 'smtp error: unexpected response: what', '', 1)]:
        with t.row(name):
            hop = t.next_hop({'EHLO': hello, **script})
            spool = t.spool(name)
            spool.add('emailrelay.1.1.1', b'x' * 1_500_000, Content='binarymime')
            t.forward(hop.address, spool=spool, status=status)
            check_bad(spool.one('bad'), reason, code)


def test_replies_that_will_do(t):
    """RCPT: anything below 400. End of data: any 2xx. Keywords among others."""
    hop = t.next_hop({'RCPT': ['251 forwarded', '199 x', '354 y'], '.': '299 z', 'RSET': '250 ok',
                      'EHLO': '250-next\r\n250-AUTH=PLAIN LOGIN\r\n250-SIZE 100\r\n250-X8BITMIME\r\n250 8BITMIME x'})
    spool = t.spool()
    spool.add('emailrelay.1.1.1', body, to=['a@b', 'c@d', 'e@f'], Content='8bit')
    t.forward(hop.address)
    equal(hop.messages[0].mail, 'MAIL FROM:<me@example.com> BODY=8BITMIME')
    equal(hop.verbs()[2:6], ['RCPT TO:<a@b>', 'RCPT TO:<c@d>', 'RCPT TO:<e@f>', 'DATA'])
    spool.check_empty()


def test_quit_is_not_waited_for(t):
    hop = t.next_hop({'QUIT': Stall})
    t.spool().add('emailrelay.1.1.1')
    t.forward(hop.address, '--response-timeout=60', seconds=10)
    hop.wait_line('QUIT')


# ---------------------------------------------------------------- refusals

def check_bad(message, reason, code):
    """Content kept; Reason and ReasonCode appended at the end of the envelope."""
    text = message.envelope.decode()
    after = text.split('X-MailRelay-End: 1\r\n', 1)[1]
    wanted = f'X-MailRelay-Reason: {reason}\r\nX-MailRelay-ReasonCode:{" " + str(code) if code else ""}\r\n'
    equal(after, wanted, 'end of the envelope')
    assert message.content_path.exists(), 'content kept'


two = ['a@example.net', 'b@example.net']


def refusing(*addresses, code=550):
    return lambda line: f'{code} no {line}' if any(a in line for a in addresses) else '250 ok'


# name: script, options, Reason, code, recipients left, verbs after EHLO for the first message (None = not checked)
refusals = {
    'MAIL 5xx': ({'MAIL': ['550 go away', '250 ok']}, [], 'go away', 550, two, ['MAIL']),
    'MAIL 4xx': ({'MAIL': ['450 later', '250 ok']}, [], 'later', 450, two, ['MAIL']),
    'MAIL, several lines': ({'MAIL': ['550-go\r\n550-far\r\n550 away', '250 ok']}, [], r'go\nfar\naway', 550, two, ['MAIL']),
    'MAIL, odd octets': ({'MAIL': [b'550 a\\b\tc\x01\xff\r\n', '250 ok']}, [], r'a\\b\tc\x01\xff', 550, two, ['MAIL']),
    'one RCPT': ({'RCPT': refusing('b@')}, [], 'one or more recipients rejected', 550, two,
                 ['MAIL', 'RCPT', 'RCPT', 'RSET']),
    'one RCPT, other code': ({'RCPT': refusing('a@', code=452)}, [], 'one or more recipients rejected', 452, two,
                             ['MAIL', 'RCPT', 'RCPT', 'RSET']),
    'all RCPT': ({'RCPT': refusing('a@', 'b@')}, [], 'one or more recipients rejected', 550, two,
                 ['MAIL', 'RCPT', 'RCPT', 'RSET']),
    'to some: all RCPT': ({'RCPT': refusing('a@', 'b@', code=551)}, ['--forward-to-some'], 'all recipients rejected', 551,
                          two, ['MAIL', 'RCPT', 'RCPT', 'RSET']),
    'to some: one RCPT': ({'RCPT': refusing('a@')}, ['--forward-to-some'], 'one or more recipients rejected', '',
                          ['a@example.net'], ['MAIL', 'RCPT', 'RCPT', 'DATA']),
    'DATA 5xx': ({'DATA': ['554 no data', '354 go']}, [], 'no data', 554, two, ['MAIL', 'RCPT', 'RCPT', 'DATA', 'RSET']),
    'DATA 4xx': ({'DATA': ['451 not now', '354 go']}, [], 'not now', 451, two, ['MAIL', 'RCPT', 'RCPT', 'DATA', 'RSET']),
    'dot 5xx': ({'.': ['552 too big', '250 ok']}, [], 'too big', 552, two, ['MAIL', 'RCPT', 'RCPT', 'DATA']),
    'dot 4xx': ({'.': ['451 try\r\n', '250 ok']}, [], 'try', 451, two, ['MAIL', 'RCPT', 'RCPT', 'DATA']),
    'dot 3xx': ({'.': ['354 what', '250 ok']}, [], 'what', 354, two, ['MAIL', 'RCPT', 'RCPT', 'DATA']),
    'no remote recipients': ({}, [], 'no remote recipients', '', [], []),
}


def test_refusals(t):
    """The message becomes .bad with reason and code, the next message goes on in the same session, and the end is good."""
    for name, (script, options, reason, code, left, verbs) in refusals.items():
        with t.row(name):
            script = {k: v if not isinstance(v, list) else [x[:-2] if isinstance(x, str) and x.endswith('\r\n') else x for x in v]
                      for k, v in script.items()}
            hop = t.next_hop(script)
            spool = t.spool(name.replace(' ', '-'))
            spool.add('emailrelay.1.1.1', body, to=left and two, local=['postmaster'] if not left else [])
            spool.add('emailrelay.1.2.1', b'second\r\n', to=['c@example.net'])
            output = t.forward(hop.address, *options, spool=spool)
            message = spool.one('bad')
            equal(message.id, 'emailrelay.1.1.1')
            equal(sorted(spool.names()), ['emailrelay.1.1.1.content', 'emailrelay.1.1.1.envelope.bad'])
            check_bad(message, reason, code)
            equal(message.fields('To-Remote'), left)
            equal(message.field('ToCount'), str(len(left) or 1))
            equal(message.content, body)
            match(output, r'info: failing envelope \[emailrelay\.1\.1\.1\.envelope\.busy\] -> \[emailrelay\.1\.1\.1\.envelope\.bad\]')
            if name == 'to some: one RCPT':
                equal(hop.messages[0].recipients, ['RCPT TO:<b@example.net>'])
            equal(hop.messages[-1].body, b'second\r\n')
            hop.wait_ended(1)
            equal(hop.connections, 1)
            said = [line.split(' ')[0] for line in hop.verbs()]
            equal(said, ['EHLO', *verbs, 'MAIL', 'RCPT', 'DATA', 'QUIT'])


def test_reasons_add_up(t):
    hop = t.next_hop({'MAIL': '550 go away'})
    spool = t.spool()
    spool.add('emailrelay.1.1.1', body, more='X-MailRelay-Reason: old\r\nX-MailRelay-ReasonCode: 400\r\n')
    t.forward(hop.address)
    equal(spool.one('bad').fields('Reason'), ['old', 'go away'])
    equal(spool.one('bad').fields('ReasonCode'), ['400', '550'])


# name: script, options, Reason (pattern)
lost = {
    'at MAIL': ({'MAIL': Drop}, [], 'peer disconnected'),
    'at RCPT': ({'RCPT': Drop}, [], 'peer disconnected'),
    'at DATA': ({'DATA': Drop}, [], 'peer disconnected'),
    'at the dot': ({'.': Drop}, [], 'peer disconnected'),
    'reset at the dot': ({'.': Reset}, [], 'peer disconnected'),
    'at EHLO': ({'EHLO': Drop}, [], 'peer disconnected'),
    'at the greeting': ({'greeting': Drop}, [], 'peer disconnected'),
    'MAIL 3xx': ({'MAIL': '354 what'}, [], r'smtp error: unexpected response: what'),
    'MAIL 251': ({'MAIL': '251 what'}, [], r'smtp error: unexpected response: what'),
    'DATA 2xx': ({'DATA': '250 what'}, [], r'smtp error: unexpected response: what'),
    'greeting 5xx': ({'greeting': '554 not today'}, [], r'smtp error: unexpected response: not today'),
    'greeting 4xx': ({'greeting': '421 busy'}, [], r'smtp error: unexpected response: busy'),
    'EHLO 550': ({'EHLO': '550 who'}, [], r'smtp error: unexpected response: who'),
    'HELO refused': ({'EHLO': '500 what', 'HELO': '550 who'}, [], r'smtp error: unexpected response: who'),
    'not a reply': ({'MAIL': 'hello'}, [], r'smtp error: invalid response'),
    'first digit': ({'MAIL': '650 ok'}, [], r'smtp error: invalid response'),
    'reply timeout at MAIL': ({'MAIL': Stall}, ['--response-timeout=1'], r'smtp error: response timeout after 1s'),
    'reply timeout at the dot': ({'.': Stall}, ['--response-timeout=1'], r'smtp error: response timeout after 1s'),
    'reply timeout at EHLO': ({'EHLO': Stall}, ['--response-timeout=1'], r'smtp error: response timeout after 1s'),
}


@harness.limit(120)
def test_session_errors(t):
    """The message in hand becomes .bad without a code, the others stay, the run ends with status 1."""
    for name, (script, options, reason) in lost.items():
        with t.row(name):
            hop = t.next_hop(script)
            spool = t.spool(name.replace(' ', '-'))
            spool.add('emailrelay.1.1.1', body)
            second = spool.add('emailrelay.1.2.1', b'second\r\n')
            before = second.envelope
            output = t.forward(hop.address, *options, spool=spool, status=1)
            check = spool.one('bad')
            equal(check.id, 'emailrelay.1.1.1')
            text = check.envelope.decode().split('X-MailRelay-End: 1\r\n', 1)[1]
            match(text, rf'^X-MailRelay-Reason: {reason}\r\nX-MailRelay-ReasonCode:\r\n$')
            equal(spool.one().id, 'emailrelay.1.2.1')
            equal(second.envelope, before)
            match(output, rf'(?m)^emailrelay: warning: smtp client error: {reason}')
            match(output, rf'(?m)^emailrelay: error: .*{reason}')
            equal(hop.messages, [])
            equal(hop.connections, 1)


def test_lost_in_the_second_message(t):
    hop = t.next_hop({'.': ['250 ok', Drop]})
    spool = t.spool()
    for n in (1, 2, 3):
        spool.add(f'emailrelay.1.{n}.1', b'%d\r\n' % n)
    t.forward(hop.address, status=1)
    equal([m.body for m in hop.messages], [b'1\r\n'])
    equal([m.id for m in spool.messages('bad')], ['emailrelay.1.2.1'])
    equal([m.id for m in spool.messages()], ['emailrelay.1.3.1'])


def test_the_next_one_is_fetched(t):
    """While a message is sent the next one is taken, no more, and only over a connection that stands. An early end puts both back,
    a sudden one leaves it to the next start."""
    ids = [f'emailrelay.1.{n}.1' for n in (1, 2, 3, 4)]
    user = ['--user=root'] if is_root() else []
    for number in (signal.SIGTERM, signal.SIGKILL):
        with t.row(number.name):
            hop = t.next_hop({'.': ['250 ok', Stall]})
            spool = t.spool(number.name)
            for id in ids:
                spool.add(id)
            relay = harness.Relay(t, [t.program, '--as-client', hop.address, f'--spool-dir={spool.path}', *user], name=number.name)
            harness.until(lambda: [m.id for m in spool.messages('busy')] == ids[1:3], 'two messages taken')
            equal([m.id for m in spool.messages()], ids[3:])
            relay.signal(number)
            relay.wait()
            if number == signal.SIGKILL:
                t.forward(t.next_hop({'MAIL': '550 no'}).address, spool=spool)
                equal([m.id for m in spool.messages('bad')], ids[1:])
            else:
                equal([m.id for m in spool.messages()], ids[1:])
    hop = t.next_hop({'.': Stall})
    spool = t.spool('first')
    for id in ids:
        spool.add(id)
    relay = harness.Relay(t, [t.program, '--as-client', hop.address, f'--spool-dir={spool.path}', *user], name='first')
    hop.wait_line('DATA')
    equal([m.id for m in spool.messages('busy')], ids[:1])
    relay.terminate()
    equal([m.id for m in spool.messages()], ids)


def test_several_connections(t):
    """--forward-connections: that many and no more, when the first has carried a message; each message once."""
    together = threading.Barrier(4, timeout=harness.patience)
    count = itertools.count()

    def taken(line):
        if next(count) > 0:  # the first message goes alone
            together.wait()  # only with four at a time
        return '250 ok'
    hop = t.next_hop({'.': taken})
    spool = t.spool()
    for n in range(1, 14):
        spool.add(f'emailrelay.1.{n}.1', b'%d\r\n' % n)
    t.forward(hop.address, '--forward-connections=4')
    equal(sorted(int(m.body) for m in hop.messages), list(range(1, 14)))
    equal(hop.connections, 4)
    equal([line for _, line in hop.lines].count('QUIT'), 4)
    spool.check_empty()


def test_other_connections_refused(t):
    """The run goes on without them; what they had in hand waits for the next one."""
    hop = t.next_hop({'greeting': ['220 ready', '421 too many']})
    spool = t.spool()
    for n in range(1, 6):
        spool.add(f'emailrelay.1.{n}.1', b'%d\r\n' % n)
    output = t.forward(hop.address, '--forward-connections=3')
    equal(len(re.findall('warning: smtp client error: ', output)), 2)
    equal((len(hop.messages), len(spool.messages())), (3, 2))
    t.forward(t.next_hop().address, spool=spool)
    spool.check_empty()


def test_an_end_with_several_connections(t):
    """Of the first connection: the others finish what they have in hand. By a signal: all is put back."""
    hop = t.next_hop({'.': ['250 ok', Stall]})
    spool = t.spool()
    ids = [f'emailrelay.1.{n}.1' for n in range(11, 31)]
    for id in ids:
        spool.add(id)
    user = ['--user=root'] if is_root() else []
    relay = harness.Relay(t, [t.program, '--as-client', hop.address, f'--spool-dir={spool.path}', '--forward-connections=3', *user])
    harness.until(lambda: len(spool.messages('busy')) >= 4, 'messages in hand')
    hop.wait_connections(3)
    relay.terminate()
    equal([m.id for m in spool.messages()], ids[1:])


def test_long_replies(t):
    """4 KiB a line, 128 lines, unless told otherwise."""
    line, lines = '250 ' + 'x' * 5000, '\r\n'.join(['250-x'] * 200 + ['250 x'])
    rows = [(line, [], False), (line, ['--max-response-line=5004'], True), (line, ['--max-response-line=5003'], False),
            (line, ['--max-response-line=0'], True), (lines, [], False), (lines, ['--max-response-lines=201'], True),
            (lines, ['--max-response-lines=200'], False), (lines, ['--max-response-lines=0'], True)]
    for n, (reply, options, passes) in enumerate(rows):
        with t.row(f'{len(reply)} {options}'):
            hop = t.next_hop({'MAIL': reply})
            spool = t.spool(str(n))
            spool.add('emailrelay.1.1.1')
            t.forward(hop.address, *options, spool=spool, status=0 if passes else 1)
            if passes:
                spool.check_empty()
            else:
                equal(spool.one('bad').fields('Reason'), ['overflow on input'])
                equal(hop.messages, [])


def test_multi_line_greeting(t):
    hop = t.next_hop({'greeting': '220-one\r\n220-two\r\n220 three'})
    t.spool().add('emailrelay.1.1.1')
    t.forward(hop.address)
    equal(len(hop.messages), 1)


def test_greeting_timeout(t):
    """Nothing within --prompt-timeout: a warning, and EHLO all the same."""
    hop = t.next_hop({'greeting': Stall})
    spool = t.spool()
    spool.add('emailrelay.1.1.1')
    output = t.forward(hop.address, '--prompt-timeout=1')
    match(output, r'(?m)^emailrelay: warning: timeout: no greeting from remote server after 1s: continuing$')
    equal(len(hop.messages), 1)
    spool.check_empty()


def test_helo_fallback(t):
    for code in (500, 501, 502):
        with t.row(str(code)):
            hop = t.next_hop({'EHLO': f'{code} what'})
            spool = t.spool(str(code))
            spool.add('emailrelay.1.1.1', Content='8bit')
            t.forward(hop.address, spool=spool)
            equal(hop.verbs()[:3], [f'EHLO {domain}', f'HELO {domain}', 'MAIL FROM:<me@example.com>'])
            spool.check_empty()


def test_ehlo_argument(t):
    for name, wanted in [('nodots', '127.0.0.1'), ('a.b', 'a.b')]:
        with t.row(name):
            hop = t.next_hop()
            spool = t.spool(name)
            spool.add('emailrelay.1.1.1')
            user = ['--user=root'] if is_root() else []
            t.run([t.program, '--as-client', hop.address, f'--spool-dir={spool.path}', f'--domain={name}', *user])
            equal(hop.verbs()[0], f'EHLO {wanted}')


def test_client_pipelining(t):
    """MAIL and all RCPTs in one write; DATA waits for their replies."""
    hop = t.next_hop({'EHLO': '250-next\r\n250 PIPELINING', 'RCPT': refusing('b@')})
    spool = t.spool()
    spool.add('emailrelay.1.1.1', body, to=['a@example.net', 'c@example.net'])
    spool.add('emailrelay.1.2.1', body, to=two)
    t.forward(hop.address, '--client-smtp-config=pipelining')
    equal(len(hop.messages), 1)
    equal(spool.one('bad').field('ReasonCode'), '550')
    hop.wait_ended(1)
    equal([x.split(' ')[0] for x in hop.verbs()],
          ['EHLO', 'MAIL', 'RCPT', 'RCPT', 'DATA', 'MAIL', 'RCPT', 'RCPT', 'RSET', 'QUIT'])


def forward_pipelined(t, script=None, count=5):
    """`count` messages to a next hop that takes its time with DATA until the message behind is at hand. (next hop, spool) of a run
    where each could begin behind the one before: one that was fetched too late begins as ever, as does the second, since nothing is
    fetched before there is a connection."""
    for _ in range(10):
        spool = t.spool()
        for old in spool.path.iterdir():
            old.unlink()
        for n in range(count):
            spool.add(f'emailrelay.1.{n + 1}.1', b'Subject: %d\r\n\r\n' % n, to=[f'{n}@example.net'])

        def data(_):
            if hop.behind:
                harness.until(lambda: len(spool.messages('busy')) > 1 or not spool.messages(), 'the next message being taken')
            return '354 go'
        hop = t.next_hop({'EHLO': '250-next\r\n250 PIPELINING', 'DATA': data, **(script or {})})
        t.forward(hop.address, '--client-smtp-config=pipelining', status=None)
        if all(hop.behind[1:-1]):
            return hop, spool
    harness.fail(f'none of ten runs had all messages at hand: {hop.behind}')


def check_numbered(hop, numbers):
    equal([m.body.strip() for m in hop.messages], [b'Subject: %d' % n for n in numbers])
    equal([m.recipients for m in hop.messages], [[f'RCPT TO:<{n}@example.net>'] for n in numbers])


def test_the_next_message_begins_behind_the_data(t):
    """Two round trips for a message."""
    hop, spool = forward_pipelined(t)
    spool.check_empty()
    check_numbered(hop, range(5))
    equal(hop.behind, [b'', *(b'MAIL FROM:<me@example.com>\r\nRCPT TO:<%d@example.net>\r\n' % n for n in range(2, 5)), b''])
    equal(hop.connections, 1)


def test_next_hops_that_end_sessions_behind_a_message(t):
    """The message that had begun goes over a new connection; none is lost, repeated or failed."""
    for name, what in [('closed', Drop), ('reset', Reset), ('421', '421 enough')]:
        with t.row(name):
            hop, spool = forward_pipelined(t, {'MAIL': ['250 ok', *['250 ok', what] * 3, '250 ok']})
            spool.check_empty()
            check_numbered(hop, range(5))
            equal(hop.connections, 4)


def test_refused_while_the_next_message_has_begun(t):
    """Either fate is its own."""
    hop, spool = forward_pipelined(t, {'.': ['250 taken', '554 spam', '250 taken']}, count=4)
    check_numbered(hop, [0, 2, 3])
    equal(spool.one('bad').field('Reason'), 'spam')
    hop, spool = forward_pipelined(t, {'RCPT': refusing('2@')}, count=4)
    check_numbered(hop, [0, 1, 3])
    equal(spool.one('bad').field('ReasonCode'), '550')


# ---------------------------------------------------------------- where to

def test_address_forms(t):
    hop4 = t.next_hop()
    hop6 = t.next_hop(host='::1')
    for address, hop in [(f'127.0.0.1:{hop4.port}', hop4), (f'[::1]:{hop6.port}', hop6), (f'::1:{hop6.port}', hop6),
                         (f'::1.{hop6.port}', hop6), (f'localhost:{hop4.port}', hop4)]:
        with t.row(address):
            spool = t.spool()
            spool.add('emailrelay.1.1.1')
            before = len(hop.messages)
            t.forward(address, '--client-interface=0.0.0.0' if address.startswith('local') else '--verbose')
            equal(len(hop.messages), before + 1)
            spool.check_empty()


def test_address_without_port(t):
    t.spool().add('emailrelay.1.1.1')
    output = t.forward('somewhere', status=1)
    match(output, r'(?m)^emailrelay: error: forwarding failure: invalid host:service format: somewhere$')
    t.spool().one()


def test_unix_socket(t):
    path = t.folder('run', 0o777) / 'hop.sock'
    hop = t.next_hop(unix=path)
    os.chmod(path, 0o777)
    spool = t.spool()
    spool.add('emailrelay.1.1.1', body)
    t.forward(str(path))
    equal(hop.messages[0].body, body)
    equal(hop.verbs()[0], f'EHLO {domain}')
    done = t.emailrelay('--as-client', path, '--client-interface=127.0.0.1', f'--spool-dir={spool.path}')
    equal((done.returncode, done.stderr), (1, 'emailrelay: usage error: the --client-interface option cannot be used with '
                                           'a unix-domain forwarding address\n'))


def test_ehlo_on_a_unix_socket(t):
    """There is no address to say in place of a domain without a dot."""
    path = t.folder('run', 0o777) / 'hop.sock'
    hop = t.next_hop(unix=path)
    os.chmod(path, 0o777)
    spool = t.spool()
    spool.add('emailrelay.1.1.1')
    t.run([t.program, '--as-client', path, f'--spool-dir={spool.path}', '--domain=nodots', *(['--user=root'] if is_root() else [])])
    equal(hop.verbs()[0], 'EHLO nodots')


def test_service_names(t):
    """From the services database; an unknown one is an error that leaves the message."""
    harness.need_root('the port of the service smtp')
    harness.private_network()
    hop = t.next_hop(port=25)
    spool = t.spool()
    spool.add('emailrelay.1.1.1')
    t.forward('127.0.0.1:smtp')
    equal(len(hop.messages), 1)
    spool.add('emailrelay.1.1.1')
    match(t.forward('localhost:no-such-service', status=1), r'no such host or service: "localhost:no-such-service"')
    spool.one()


def test_literal_of_the_other_family(t):
    spool = t.spool()
    spool.add('emailrelay.1.1.1')
    before = spool.one().envelope
    for address, interface in [('127.0.0.1:25', '::'), ('[::1]:25', '0.0.0.0'), ('[::1]:25', '127.0.0.1')]:
        with t.row(f'{address} {interface}'):
            match(t.forward(address, f'--client-interface={interface}', status=1), '(?m)^emailrelay: error: ')
            equal(spool.one().envelope, before)


def test_client_interface(t):
    hop = t.next_hop()
    spool = t.spool()
    for interface, peer in [('127.0.0.1', '127.0.0.1'), ('127.0.0.9', '127.0.0.9')]:
        with t.row(interface):
            spool.add('emailrelay.1.1.1')
            t.forward(hop.address, f'--client-interface={interface}')
            equal(hop.peers[-1][0], peer)
            spool.check_empty()
    port = harness.free_port()
    spool.add('emailrelay.1.1.1')
    t.forward(hop.address, f'--client-interface=127.0.0.8:{port}')
    equal(hop.peers[-1], ('127.0.0.8', port))

    for interface, wanted in [('198.51.100.77', 'socket bind error: '), ('rubbish', 'address error: invalid network address: ')]:
        with t.row(interface):
            spool.add('emailrelay.1.1.1')
            output = t.forward(hop.address, f'--client-interface={interface}', status=1)
            match(output, wanted)
            spool.one()


def name_server(t, *settings, answer=True):
    """A DNS server on 127.0.0.1:53 of a private network, and the resolver pointed at it."""
    need('dnsmasq')
    harness.private_network()
    harness.private_mounts()
    if answer:
        dns = t.start([find('dnsmasq'), '--keep-in-foreground', '--no-resolv', '--no-hosts', '--conf-file=/dev/null',
                       '--listen-address=127.0.0.1', '--bind-interfaces', '--pid-file=', '--log-facility=-', '--log-queries',
                       *(['--user=root'] if is_root() else []), *settings])
        dns.wait_output('dnsmasq.*(started|listening)')
    harness.mount_over(t.file('resolv.conf', 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n'), '/etc/resolv.conf')
    harness.mount_over(t.file('hosts', '127.0.0.1 localhost\n'), '/etc/hosts')
    harness.mount_over(t.file('nsswitch.conf', 'hosts: files dns\n'), '/etc/nsswitch.conf')


def test_forward_by_name(t):
    name_server(t, '--address=/mail.example.net/127.0.0.1', '--address=/six.example.net/::1',
                '--address=/xn--bcher-kva.example/127.0.0.1', '--address=/example.org/')
    four = t.next_hop()
    six = t.next_hop(host='::1', port=four.port)
    spool = t.spool()
    for host, hop in [('mail.example.net', four), ('six.example.net', six), ('bücher.example', four)]:
        with t.row(host):
            spool.add('emailrelay.1.1.1')
            count = len(hop.messages)
            t.forward(f'{host}:{four.port}')
            equal(len(hop.messages), count + 1)
            spool.check_empty()
    for host, option, wanted in [('none.example.org', None, r'no such host: "none\.example\.org"'),
                                 ('six.example.net', '0.0.0.0', r'no such ipv4 host: "six\.example\.net"'),
                                 ('mail.example.net', '::', r'no such ipv6 host: "mail\.example\.net"')]:
        with t.row(f'{host} {option}'):
            spool.add('emailrelay.1.1.1')
            output = t.forward(f'{host}:{four.port}', *([f'--client-interface={option}'] if option else []), status=1)
            match(output, rf'(?m)^emailrelay: warning: smtp client error: dns error: {wanted}')
            spool.one()


def test_name_server_that_does_not_answer(t):
    name_server(t, answer=False)
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(('127.0.0.1', 53))
    spool = t.spool()
    spool.add('emailrelay.1.1.1')
    output = t.forward('mail.example.net:25', '--connection-timeout=1', status=1)
    match(output, 'cannot connect to|dns error')
    spool.one()


def test_connection_timeout(t):
    """A listener whose queue is full takes no connection."""
    full = socket.socket()
    full.bind(('127.0.0.1', 0))
    full.listen(0)
    port = full.getsockname()[1]
    fillers = []
    for _ in range(8):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(('127.0.0.1', port))
        fillers.append(s)
    spool = t.spool()
    spool.add('emailrelay.1.1.1')
    output = t.forward(f'127.0.0.1:{port}', '--connection-timeout=1', status=1)
    match(output, rf'smtp client error: connect failure: cannot connect to 127\.0\.0\.1:{port}: timed out out after 1s')
    spool.one()


# ---------------------------------------------------------------- the files

def test_corrupt_envelopes_are_left_alone(t):
    hop = t.next_hop()
    spool = t.spool()
    spool.add('emailrelay.1.1.1', b'good\r\n')
    good = spool.one().envelope
    field = b'X-MailRelay-'
    rows = {
        'a': (b'', r'cannot read envelope file: '),
        'b': (b'junk\r\n', r'cannot read envelope file: '),
        'c': (good.replace(b'#2821.8', b'#2821.9'), r'cannot read envelope file: unknown format id: #2821\.9'),
        'd': (good.replace(field + b'End: 1\r\n', b''), r'cannot read envelope file: no end line'),
        'e': (good.replace(b'ToCount: 1', b'ToCount: 2'), r"cannot read envelope file: bad 'to' line"),
        'f': (good.replace(field + b'Client:', field + b'Wrong:'), r'cannot read envelope file: expected "X-MailRelay-Client:"'),
        'g': (good.replace(b'AuthIn: ', b'AuthIn: +zz'), r'cannot read envelope file: invalid mail-from-auth-in encoding'),
        'h': (good.replace(b'AuthOut: ', b'AuthOut: +x'), r'cannot read envelope file: invalid mail-from-auth-out encoding'),
        'i': (good[:100], r'cannot read envelope file: '),
    }
    for name, (text, _) in rows.items():
        spool.write(f'{name}.envelope', text)
        spool.write(f'{name}.content', b'x\r\n')
    os.mkdir(spool.path / 'folder.envelope')
    t.file('elsewhere', good)
    (spool.path / 'link.envelope').symlink_to(t.dir / 'elsewhere')
    spool.write('link.content', b'x\r\n')
    output = t.forward(hop.address)
    equal([m.body for m in hop.messages], [b'good\r\n'])
    for name, (text, warning) in rows.items():
        with t.row(name):
            match(output, rf'(?m)^emailrelay: warning: ignoring "[^"]*{name}\.envelope[^"]*": {warning}')
            equal((spool.path / f'{name}.envelope').read_bytes(), text)
    match(output, r'(?m)^emailrelay: warning: ignoring "[^"]*folder\.envelope[^"]*": ')
    assert (spool.path / 'folder.envelope').is_dir()
    match(output, r'(?m)^emailrelay: warning: ignoring "[^"]*link\.envelope[^"]*": ')
    assert (spool.path / 'link.envelope').is_symlink()


def test_missing_content(t):
    hop = t.next_hop()
    spool = t.spool()
    spool.add('emailrelay.1.1.1', None)
    spool.add('emailrelay.1.2.1', b'good\r\n')
    output = t.forward(hop.address)
    match(output, r'(?m)^emailrelay: warning: ignoring "[^"]*emailrelay\.1\.1\.1\.envelope[^"]*": cannot open content file')
    equal([m.body for m in hop.messages], [b'good\r\n'])
    equal(spool.names(), ['emailrelay.1.1.1.envelope'])


def test_older_formats(t):
    hop = t.next_hop()
    spool = t.spool()
    head = ['Content: 8bit', 'From: f@example.com', 'ToCount: 2', 'To-Local: box', 'To-Remote: r@example.net',
            'Authentication: ', 'Client: 127.0.0.1']
    formats = {
        3: [], 4: ['ClientName: n', 'ClientCertificate: '],
        5: ['ClientCertificate: ', 'MailFromAuthIn: ', 'MailFromAuthOut: '],
        6: ['ClientCertificate: ', 'MailFromAuthIn: ', 'MailFromAuthOut: ', 'ForwardTo: ', 'ForwardToAddress: '],
        7: ['ClientCertificate: a\r\n b\r\n c', 'MailFromAuthIn:', 'MailFromAuthOut: +', 'ForwardTo: ', 'ForwardToAddress:',
            'Utf8MailboxNames: 0'],
    }
    for number, fields in formats.items():
        for ending in ('\r\n', '\n'):
            lines = [f'Format: #2821.{number}', *head, *fields, 'End: 1']
            text = ''.join(f'X-MailRelay-{line}\r\n' for line in lines).replace('\r\n', ending)
            name = f'old{number}{len(ending)}'
            spool.write(name + '.envelope', text.encode())
            spool.write(name + '.content', name.encode() + b'\r\n')
    t.forward(hop.address)
    equal(sorted(m.body for m in hop.messages), sorted(b'old%d%d\r\n' % (n, e) for n in formats for e in (1, 2)))
    assert all(m.recipients == ['RCPT TO:<r@example.net>'] for m in hop.messages)
    spool.check_empty()


def test_other_files_are_left_alone(t):
    hop = t.next_hop()
    spool = t.spool()
    names = ['x.envelope.busy', 'y.envelope.bad', 'z.content', 'w.content.local', 'w.envelope.local', 'readme', 'envelope']
    for name in names:
        spool.write(name, b'x')
    os.mkdir(spool.path / 'sub')
    harness.Spool(spool.path / 'sub').add('emailrelay.1.1.1')
    spool.add('emailrelay.1.1.1', b'good\r\n')
    t.forward(hop.address)
    equal(len(hop.messages), 1)
    equal(spool.names(), sorted([*names, 'sub']))
    equal(len(os.listdir(spool.path / 'sub')), 2)


def test_line_ends_of_appended_lines(t):
    """Appended lines are in the style of the file."""
    hop = t.next_hop({'MAIL': '550 no'})
    spool = t.spool()
    message = spool.add('emailrelay.1.1.1')
    spool.write('emailrelay.1.1.1.envelope', message.envelope.replace(b'\r\n', b'\n'))
    t.forward(hop.address)
    assert spool.one('bad').envelope.endswith(b'X-MailRelay-End: 1\nX-MailRelay-Reason: no\nX-MailRelay-ReasonCode: 550\n')


def test_log_of_a_run(t):
    hop = t.next_hop()
    spool = t.spool()
    spool.add('emailrelay.1.1.1')
    lines = t.forward(hop.address).splitlines()
    for line in [f'info: smtp connection to {hop.address}', 'info: rx<<: "220 next.example.net ready"', f'info: tx>>: "EHLO {domain}"',
                 'info: tx>>: "MAIL FROM:<me@example.com>"', 'info: rx<<: "354 go"',
                 'info: deleting envelope [emailrelay.1.1.1.envelope.busy]', 'info: deleting content [emailrelay.1.1.1.content]',
                 'info: forwarding: no more messages to send', 'info: tx>>: "QUIT"']:
        with t.row(line):
            assert f'emailrelay: {line}' in lines, 'not in the log'
    assert any(re.match(r'emailrelay: info: forwarding \[emailrelay\.1\.1\.1\]', line) for line in lines)
    assert any(re.match(r'emailrelay: info: tx>>: \[\d+ line\(s\) of content\]', line) for line in lines)
