"""--immediate: each message is sent on before its receipt is confirmed (spec/smtp-server.md section 7). What the next hop
says is what our client hears, and the table says what is left in the spool."""
import re
import socket
import time

import harness
from harness import Drop, Reset, Stall, domain, equal, match
from test_forwarding import name_server

body = b'Subject: hello\r\n\r\ntext\r\n.dot\r\n'
two = ['a@example.net', 'b@example.net']
failed = '452 forwarding failed'
partly = '452 one or more recipients rejected'


def immediate(t, address, *options, **how):
    return t.relay('--immediate', *options, forward_to=address, **how)


def submit(wire, content=body, to=('you@example.net',)):
    """The reply as one line; several lines would be a fault."""
    code, texts = wire.submit(content, to=to)
    equal(len(texts), 1, 'lines of the reply')
    return f'{code} {texts[0]}'


def with_received(content):
    return rb'Received: from client\.example\.org \(\[127\.0\.0\.1\]\) by [^\r]*\r\n' + re.escape(content)


def refusing(*addresses, code=550):
    return lambda line: f'{code} no' if any(a in line for a in addresses) else '250 ok'


# name: script, options, our reply, state of the message ('gone', 'bad' or '' for .envelope), Reason, ReasonCode,
# what was said after EHLO
outcomes = {
    'accepted': ({}, [], '250 message processed', 'gone', '', '', ['MAIL', 'RCPT', 'RCPT', 'DATA']),
    'accepted with another 2xx': ({'.': '252 queued maybe'}, [], '250 message processed', 'gone', '', '', None),

    'MAIL 5xx': ({'MAIL': '550 go away'}, [], '550 go away', 'bad', 'go away', '550', ['MAIL']),
    'MAIL 4xx': ({'MAIL': '451 later'}, [], '451 later', 'bad', 'later', '451', ['MAIL']),
    'MAIL, several lines': ({'MAIL': '550-go\r\n550-far\r\n550 away'}, [], '550 go far away', 'bad', r'go\nfar\naway', '550',
                            ['MAIL']),
    'MAIL, odd octets': ({'MAIL': b'550 a\\b\tc\x01\r\n'}, [], r'550 a\\b\tc\x01', 'bad', r'a\\b\tc\x01', '550', ['MAIL']),
    'MAIL 421': ({'MAIL': '421 closing'}, [], failed, 'bad', 'closing', '421', ['MAIL']),
    'MAIL 3xx': ({'MAIL': '354 what'}, [], failed, 'bad', 'smtp error: unexpected response: what', '', ['MAIL']),
    'MAIL 251': ({'MAIL': '251 what'}, [], failed, 'bad', 'smtp error: unexpected response: what', '', ['MAIL']),

    'one RCPT': ({'RCPT': refusing('b@')}, [], partly, 'bad', 'one or more recipients rejected', '550',
                 ['MAIL', 'RCPT', 'RCPT', 'RSET']),
    'all RCPT': ({'RCPT': '550 no'}, [], partly, 'bad', 'one or more recipients rejected', '550',
                 ['MAIL', 'RCPT', 'RCPT', 'RSET']),
    'to some: one RCPT': ({'RCPT': refusing('b@')}, ['--forward-to-some'], partly, 'bad', 'one or more recipients rejected', '',
                          ['MAIL', 'RCPT', 'RCPT', 'DATA']),
    'to some: all RCPT': ({'RCPT': '451 no'}, ['--forward-to-some'], partly, 'bad', 'all recipients rejected', '451',
                          ['MAIL', 'RCPT', 'RCPT', 'RSET']),

    'DATA 5xx': ({'DATA': '554 no data'}, [], '554 no data', 'bad', 'no data', '554', ['MAIL', 'RCPT', 'RCPT', 'DATA', 'RSET']),
    'DATA 4xx': ({'DATA': '451 not now'}, [], '451 not now', 'bad', 'not now', '451', ['MAIL', 'RCPT', 'RCPT', 'DATA', 'RSET']),
    'DATA 250': ({'DATA': '250 what'}, [], failed, 'bad', 'smtp error: unexpected response: what', '', None),
    'dot 5xx': ({'.': '552 too big'}, [], '552 too big', 'bad', 'too big', '552', ['MAIL', 'RCPT', 'RCPT', 'DATA']),
    'dot 4xx': ({'.': '452-disk\r\n452 full'}, [], '452 disk full', 'bad', r'disk\nfull', '452', ['MAIL', 'RCPT', 'RCPT', 'DATA']),
    'dot 421': ({'.': '421 bye'}, [], failed, 'bad', 'bye', '421', ['MAIL', 'RCPT', 'RCPT', 'DATA']),
    'dot 3xx': ({'.': '354 go on'}, [], failed, 'bad', 'go on', '354', None),
    'dot 1xx': ({'.': '199 what'}, [], failed, 'bad', 'what', '199', None),
    'dot, code only': ({'.': '554'}, [], '554 ', 'bad', '', '554', None),

    'greeting 5xx': ({'greeting': '554 no service'}, [], failed, 'bad', 'smtp error: unexpected response: no service', '', []),
    'greeting 4xx': ({'greeting': '421 busy'}, [], failed, 'bad', 'smtp error: unexpected response: busy', '', []),
    'EHLO 5xx': ({'EHLO': '550 not you'}, [], failed, 'bad', 'smtp error: unexpected response: not you', '', None),
    'EHLO 4xx': ({'EHLO': '450 not now'}, [], failed, 'bad', 'smtp error: unexpected response: not now', '', None),
    'EHLO and HELO': ({'EHLO': '502 what', 'HELO': '550 no'}, [], failed, 'bad', 'smtp error: unexpected response: no', '', ['HELO']),
    'EHLO unknown': ({'EHLO': '500 what'}, [], '250 message processed', 'gone', '', '', ['HELO', 'MAIL', 'RCPT', 'RCPT', 'DATA']),
    'no reply code': ({'MAIL': 'what?'}, [], failed, 'bad', 'smtp error: invalid response', '', ['MAIL']),
    'endless reply': ({'MAIL': '250 ' + 'x' * 5000}, [], failed, 'bad', 'overflow on input', '', ['MAIL']),
}


def check_outcome(relay, reply, wanted, state, reason, code):
    equal(reply, wanted)
    spool = relay.spool
    if state == 'gone':
        spool.check_empty()
        return
    message = spool.one(state)
    equal(spool.names(), sorted([f'{message.id}.content', f'{message.id}.envelope' + ('.' + state if state else '')]))
    equal(message.body(), body)
    if state == 'bad':
        text = message.envelope.decode().split('X-MailRelay-End: 1\r\n', 1)[1]
        equal(text, f'X-MailRelay-Reason: {reason}\r\nX-MailRelay-ReasonCode:{" " + code if code else ""}\r\n')
    else:
        assert message.envelope.endswith(b'X-MailRelay-End: 1\r\n'), message.envelope


def test_what_the_next_hop_says(t):
    for n, (name, (script, options, wanted, state, reason, code, said)) in enumerate(outcomes.items()):
        with t.row(name):
            hop = t.next_hop(script)
            relay = immediate(t, hop.address, *options, spool=t.spool(f's{n}'))
            with relay.greeted() as wire:
                check_outcome(relay, submit(wire, to=two), wanted, state, reason, code)
                wire.ask('NOOP', 250)
                wire.ask('MAIL FROM:<next@example.com>', 250)
            if said is not None:
                equal([line.split(' ')[0] for line in hop.verbs()], said and ['EHLO', *said])
            if state == 'gone':
                match(hop.messages[0].body, b'^' + with_received(body) + b'$')
            relay.terminate()


def test_some_recipients_get_it(t):
    """With --forward-to-some only the refused ones stay in the envelope."""
    hop = t.next_hop({'RCPT': refusing('a@')})
    relay = immediate(t, hop.address, '--forward-to-some')
    with relay.greeted() as wire:
        equal(submit(wire, to=two), partly)
    equal(hop.messages[0].recipients, ['RCPT TO:<b@example.net>'])
    equal(relay.spool.one('bad').fields('To-Remote'), ['a@example.net'])


def test_strict_checks(t):
    """What this next hop cannot take is refused here for a reason of our own."""
    hop = t.next_hop({'EHLO': '250 next.example.net'})
    relay = immediate(t, hop.address, '--client-smtp-config=eightbitstrict')
    with relay.greeted() as wire:
        wire.ask('MAIL FROM:<me@example.com> BODY=8BITMIME', 250)
        wire.ask('RCPT TO:<you@example.net>', 250)
        wire.ask('DATA', 354)
        wire.exact('.', failed)
        check_outcome_of_strict = relay.spool.one('bad')
        equal(check_outcome_of_strict.fields('Reason'), ['cannot send 8-bit message to 7-bit server'])
        equal(check_outcome_of_strict.fields('ReasonCode'), [''])
        equal(submit(wire), '250 message processed')
    equal(hop.connections, 1, 'connections')


def test_closed_and_reset(t):
    """The connection ends at each stage."""
    for how, stages in ((Drop, ['greeting', 'EHLO', 'MAIL', 'RCPT', 'DATA', '.']),
                        (Reset, ['EHLO', 'MAIL', 'RCPT', 'DATA', '.'])):  # before the greeting: a connection that failed
        for n, stage in enumerate(stages):
            with t.row(f'{how.__name__} at {stage}'):
                hop = t.next_hop({stage: how})
                relay = immediate(t, hop.address, spool=t.spool(f'{how.__name__}{n}'))
                with relay.greeted() as wire:
                    check_outcome(relay, submit(wire), failed, 'bad', 'peer disconnected', '')
                    relay.wait_log('warning: smtp client error: peer disconnected$')
                equal(hop.connections, 1, 'connections')
                relay.terminate()


def test_closed_inside_the_content(t):
    """The next hop goes while a large message is on its way."""
    hop = t.next_hop({'DATA': lambda _: b'354 go\r\n', '.': Drop})
    relay = immediate(t, hop.address)
    with relay.greeted() as wire:
        code, texts = wire.submit(b'0123456789abcd\r\n' * 300_000)
        equal(f'{code} {texts[0]}', failed)
    equal(relay.spool.one('bad').fields('Reason'), ['peer disconnected'])


@harness.limit(120)
def test_stalls(t):
    """No answer within --response-timeout."""
    wires = []
    for n, stage in enumerate(['EHLO', 'MAIL', 'RCPT', 'DATA', '.']):
        hop = t.next_hop({stage: Stall})
        relay = immediate(t, hop.address, '--response-timeout=1', spool=t.spool(f's{n}'))
        wire = relay.greeted()
        for line in ('MAIL FROM:<me@example.com>', 'RCPT TO:<you@example.net>', 'DATA'):
            wire.ask(line)
        wire.send(harness.dot_stuffed(body) + b'.\r\n')
        wires.append((stage, relay, wire))
    for stage, relay, wire in wires:
        with t.row(stage):
            code, texts = wire.reply()
            check_outcome(relay, f'{code} {texts[0]}', failed, 'bad', 'smtp error: response timeout after 1s', '')
            wire.ask('NOOP', 250)


def test_no_greeting(t):
    hop = t.next_hop({'greeting': Stall})
    relay = immediate(t, hop.address, '--prompt-timeout=1')
    with relay.greeted() as wire:
        equal(submit(wire), '250 message processed')
    relay.wait_log(r'warning: timeout: no greeting from remote server after 1s: continuing$')
    relay.spool.check_empty()


def test_a_next_hop_that_does_not_read(t):
    """Content that finds no reader ends by the same limit."""
    listener = socket.create_server(('127.0.0.1', 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    relay = immediate(t, f'127.0.0.1:{listener.getsockname()[1]}', '--response-timeout=1')
    with relay.greeted() as wire:
        wire.ask('MAIL FROM:<me@example.com>', 250)
        wire.ask('RCPT TO:<you@example.net>', 250)
        wire.ask('DATA', 354)
        wire.send(b'0123456789abcd\r\n' * 800_000 + b'.\r\n')
        hop, _ = listener.accept()
        hop.sendall(b'220 x\r\n250 x\r\n'[:7])
        with harness.Wire(hop) as next_hop:
            next_hop.expect('EHLO .*')
            next_hop.say('250 x')
            next_hop.expect('MAIL .*')
            next_hop.say('250 x')
            next_hop.expect('RCPT .*')
            next_hop.say('250 x')
            next_hop.expect('DATA')
            next_hop.say('354 x')
            equal(wire.reply(), (452, ['forwarding failed']))
    equal(relay.spool.one('bad').fields('Reason'), ['flow-control timeout after 1s'])


def test_cannot_connect(t):
    """Kept for later, although the client is told to try again."""
    port = harness.free_port()
    relay = immediate(t, f'127.0.0.1:{port}')
    with relay.greeted() as wire:
        for _ in range(2):
            equal(submit(wire), failed)
        relay.wait_log(rf'warning: smtp client error: connect failure: cannot connect to 127\.0\.0\.1:{port}', count=2)
        equal(len(relay.spool.messages()), 2)
        equal(len(relay.spool.names()), 4)
        for message in relay.spool.messages():
            assert message.envelope.endswith(b'X-MailRelay-End: 1\r\n')
        hop = t.next_hop(port=port)
        equal(submit(wire), '250 message processed', 'the next hop is there now')
    equal(len(hop.messages), 1)
    equal(len(relay.spool.messages()), 2, 'messages from before')


def test_connection_timeout(t):
    """A listener whose queue is full takes no connection."""
    full = socket.socket()
    full.bind(('127.0.0.1', 0))
    full.listen(0)
    fillers = []
    for _ in range(8):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(full.getsockname())
        fillers.append(s)
    relay = immediate(t, f'127.0.0.1:{full.getsockname()[1]}', '--connection-timeout=1')
    with relay.greeted() as wire:
        equal(submit(wire), failed)
    check_outcome(relay, failed, failed, '', '', '')


def test_no_such_host(t):
    harness.no_name_server(t)
    relay = immediate(t, 'no-such-host.invalid:25', '--connection-timeout=5')
    with relay.greeted() as wire:
        equal(submit(wire), failed)
    check_outcome(relay, failed, failed, '', '', '')


def test_no_remote_recipients(t):
    """Nothing to send on: accepted, and the message stays for local delivery."""
    hop = t.next_hop()
    verifier = t.file('verifier', '#!/bin/sh\necho postmaster\necho postmaster\nexit 0\n')
    verifier.chmod(0o755)
    relay = immediate(t, hop.address, f'--address-verifier={verifier}')
    with relay.greeted() as wire:
        equal(submit(wire), '250 message processed')
    equal(relay.spool.one().fields('To-Remote'), [])
    equal(hop.connections, 0)


def test_one_connection_for_a_session(t):
    """Opened by the first message, used for all of them, closed without QUIT when the session ends."""
    hop = t.next_hop({'.': ['250 ok', '550 not this one', '250 ok']})
    relay = immediate(t, hop.address)
    with relay.greeted() as wire:
        equal(hop.connections, 0, 'connections before the first message')
        wanted = ['250 message processed', '550 not this one', '250 message processed', '250 message processed']
        for n, reply in enumerate(wanted):
            equal(submit(wire, b'%d\r\n' % n), reply)
        wire.ask('QUIT', 221)
    hop.wait_ended(1)
    equal(hop.connections, 1)
    equal([line.split(' ')[0] for line in hop.verbs()], ['EHLO'] + ['MAIL', 'RCPT', 'DATA'] * 4)
    equal([m.body.splitlines()[-1] for m in hop.messages], [b'0', b'2', b'3'])
    equal(relay.spool.one('bad').body(), b'1\r\n')


def test_each_session_has_its_own(t):
    hop = t.next_hop()
    relay = immediate(t, hop.address)
    first, second = relay.greeted(), relay.greeted()
    for wire in (first, second, first, second):
        equal(submit(wire), '250 message processed')
    equal(hop.connections, 2)
    equal([m.connection for m in hop.messages], [1, 2, 1, 2])


def test_session_end_drops_it(t):
    """However our client goes, the connection is closed and QUIT is not said."""
    def reset(wire):
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        wire.close()
    for name, end in [('QUIT', lambda wire: wire.ask('QUIT', 221)), ('closed', lambda wire: wire.close()), ('reset', reset)]:
        with t.row(name):
            hop = t.next_hop()
            relay = immediate(t, hop.address, spool=t.spool(name))
            wire = relay.greeted()
            equal(submit(wire), '250 message processed')
            equal(hop.ended, 0)
            end(wire)
            hop.wait_ended(1)
            equal(hop.verbs()[-1], 'DATA')
            relay.terminate()


def test_rset_drops_it(t):
    hop = t.next_hop()
    relay = immediate(t, hop.address)
    with relay.greeted() as wire:
        equal(submit(wire), '250 message processed')
        wire.ask('EHLO again', 250)
        equal(submit(wire), '250 message processed', 'EHLO does not')
        equal(hop.connections, 1)
        wire.ask('RSET', 250)
        hop.wait_ended(1)
        equal(hop.verbs()[-1], 'DATA')
        equal(submit(wire), '250 message processed')
        equal(hop.connections, 2)
        # also pipelined in front of the next message
        wire.send(b'RSET\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n')
        for code in (250, 250, 250, 354):
            equal(wire.reply()[0], code)
        wire.send(b'x\r\n.\r\n')
        equal(wire.reply()[0], 250)
    equal(hop.connections, 3)


def test_rset_pipelined_between_messages(t):
    """Two messages in one write with RSET between them: the second is sent over a new connection."""
    hop = t.next_hop()
    message = b'MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 3 LAST\r\nx\r\n'
    relay = immediate(t, hop.address, '--server-smtp-config=chunking')
    with relay.greeted() as wire:
        wire.send(message + b'RSET\r\n' + message)
        for _ in range(7):
            equal(wire.reply()[0], 250)
    equal(hop.connections, 2)


def test_after_a_broken_connection(t):
    """The next message of the session gets a new one."""
    hop = t.next_hop({'.': [Drop, '250 ok'], 'EHLO': '250 next'})
    relay = immediate(t, hop.address)
    with relay.greeted() as wire:
        equal(submit(wire), failed)
        equal(submit(wire), '250 message processed')
    equal(hop.connections, 2)
    equal(len(relay.spool.messages('bad')), 1)


def test_closed_between_two_messages(t):
    """A connection that the next hop gave up meanwhile is replaced; nobody is told of it."""
    hop = t.next_hop()
    relay = immediate(t, hop.address)
    with relay.greeted() as wire:
        equal(submit(wire), '250 message processed')
        for connection in list(hop.open):
            connection.shutdown(socket.SHUT_RDWR)
        hop.wait_ended(1)
        equal(submit(wire), '250 message processed')
    equal(hop.connections, 2)
    relay.spool.check_empty()


def test_421_between_two_messages(t):
    """A limit of messages per connection, announced by 421: our client is to try again, but our connection with it goes on."""
    hop = t.next_hop({'MAIL': ['250 ok', '421 too many messages', '250 ok']})
    relay = immediate(t, hop.address)
    with relay.greeted() as wire:
        equal([submit(wire) for _ in range(3)], ['250 message processed', '452 forwarding failed', '250 message processed'])
    equal(hop.connections, 2)


def test_bytes(t):
    """What comes in by BDAT goes out byte for byte, also by BDAT where it must."""
    hop = t.next_hop()
    content = bytes(range(256)).replace(b'\r', b'').replace(b'\n', b'') * 1000 + b'\r\n'
    relay = immediate(t, hop.address, '--server-smtp-config=chunking', '--anonymous=content')
    with relay.greeted() as wire:
        equal(submit(wire, content), '250 message processed')
        wire.ask('MAIL FROM:<a@b>', 250)
        wire.ask('RCPT TO:<c@d>', 250)
        wire.send(b'BDAT %d\r\n' % len(content) + content + b'BDAT 0 LAST\r\n')
        wire.expect(f'250 {len(content)} bytes received')
        wire.expect('250 message processed')
    equal([m.body == content for m in hop.messages], [True, True])


def test_startup_warning(t):
    hop = t.next_hop()
    relay = immediate(t, hop.address)
    relay.wait_log('^emailrelay: warning: using --immediate can result in client timeout errors: '
                   'try --forward-on-disconnect instead$')


def test_many_sessions(t):
    """More sessions than threads wait for a slow next hop at the same time; none holds up another one."""
    hop = t.next_hop({'.': lambda _: '250 ok'})
    relay = immediate(t, hop.address, '--threads=2', verbose=None)
    wires = [relay.greeted() for _ in range(40)]
    for wire in wires:
        wire.send(b'MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n')
    for wire in wires:
        for code in (250, 250, 354):
            equal(wire.reply()[0], code)
    for wire in wires:
        wire.send(b'x\r\n.\r\n')
    for wire in wires:
        equal(wire.reply(), (250, ['message processed']))
    equal((len(hop.messages), hop.connections), (40, 40))
    relay.spool.check_empty()


def test_stop_while_the_next_hop_is_silent(t):
    """An orderly stop gives the message back and ends in time."""
    hop = t.next_hop({'.': Stall})
    relay = immediate(t, hop.address)
    with relay.greeted() as wire:
        for line in ('MAIL FROM:<me@example.com>', 'RCPT TO:<you@example.net>', 'DATA'):
            wire.ask(line)
        wire.send(b'x\r\n.\r\n')
        hop.wait_line('DATA')
        harness.until(lambda: len(hop.lines) >= 4 and relay.spool.messages('busy'), 'message under way')
        relay.terminate(seconds=10)
    equal(relay.spool.one().fields('Reason'), [])


def test_lines_of_the_log(t):
    hop = t.next_hop()
    relay = immediate(t, hop.address)
    with relay.greeted() as wire:
        equal(submit(wire), '250 message processed')
        equal(submit(wire), '250 message processed')
        wire.ask('QUIT', 221)
    relay.wait_log(f'^emailrelay: info: smtp connection to {hop.address}$', count=2)
    relay.wait_log(rf'^emailrelay: info: tx>>: "EHLO {domain}"$')
    relay.wait_log(r'^emailrelay: info: deleting envelope \[emailrelay\..*\.envelope\.busy\]$', count=2)
    relay.wait_log(r'^emailrelay: info: forwarding to ' + hop.address + '$')


def test_name_taken_by_another_process(t):
    """One with the same process id, in a container: our message gets another name, and it is ours that is sent."""
    hop = t.next_hop()
    relay = immediate(t, hop.address)
    now = int(time.time())
    taken = [f'emailrelay.{relay.pid}.{second}.{number}' for second in range(now - 60, now + 60) for number in (0, 1)]
    for name in taken:
        relay.spool.add(name, b'Subject: of another process\r\n\r\n')
    with relay.greeted() as wire:
        equal(submit(wire), '250 message processed')
    equal([m.body.endswith(body) for m in hop.messages], [True])
    equal([m.id for m in relay.spool.messages()], sorted(taken))


def test_an_address_is_not_looked_up(t):
    """Nothing is asked of the DNS for a next hop given by number, and the services database is left alone."""
    harness.need('strace')
    hop = t.next_hop()
    trace = t.dir / 'trace'
    relay = immediate(t, hop.address, prefix=[harness.find('strace'), '-D', '-f', '-qq', '-o', trace, '-e', 'trace=connect,openat'])
    with relay.greeted() as wire:
        equal(submit(wire), '250 message processed')
    relay.terminate()
    calls = harness.until(lambda: trace.read_text(), 'trace')
    match(calls, rf'connect\(.*htons\({hop.port}\)')
    for unwanted in ('htons(53)', '/etc/hosts', '/etc/services'):
        assert unwanted not in calls, unwanted


def test_many_look_ups_at_once(t):
    """Each session looks its next hop up by itself; answers that come together are all taken."""
    name_server(t, '--address=/mail.example.net/127.0.0.1')
    hop = t.next_hop()
    relay = immediate(t, f'mail.example.net:{hop.port}', '--threads=2', verbose=None)
    wires = [relay.greeted() for _ in range(60)]
    for wire in wires:
        wire.send(b'MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n')
        equal([wire.reply()[0] for _ in range(3)], [250, 250, 354])
    start = time.monotonic()
    for wire in wires:
        wire.send(b'x\r\n.\r\n')
    for wire in wires:
        equal(wire.reply(), (250, ['message processed']))
    took = time.monotonic() - start
    assert took < 4, f'{took:.1f} s'  # a question is asked again after 5 s
