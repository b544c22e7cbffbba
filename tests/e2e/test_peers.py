"""Real mail programs on both sides: Postfix, Exim, smtp-source and smtp-sink, smtplib, curl, and the relay itself. Bytes are
compared at the far end."""
import email.policy
import os
import re
import smtplib
import socket

import harness
from harness import domain, equal, fail, find, match, need
from mail_servers import Exim, Postfix

# Contents that a mail server stores as they are, but for line ends.
contents = {
    'dots': b'.\r\n..\r\n...\r\n.x\r\n\r\n.\r\nlast\r\n',
    '8 bit': 'Grüße aus München\r\n'.encode() + b'\xff\xfe\r\n',
    'long lines': b'x' * 990 + b'\r\n' + b'y' * 990 + b'\r\n',
    'empty lines': b'\r\n' * 50 + b'end\r\n',
    'large': b''.join(b'%06d 0123456789 .abc\r\n' % n for n in range(20_000)),
    'no body': b'',
}


def messages():
    return {name: b'Subject: %s\r\nFrom: me@example.com\r\n\r\n' % name.encode() + body for name, body in contents.items()}


def filed(server, count):
    """What the server has in its mailbox, by subject, without the header lines that servers put in front."""
    kept = harness.until(lambda: len(server.mail()) >= count and server.mail(), f'{count} messages in the mailbox', 40)
    equal(len(kept), count)
    found = {}
    for text in kept:
        at = text.index(b'Subject: ')
        found[text[at + 9:text.index(b'\n', at)].decode()] = text[at:]
    return found


def check_filed(server, wanted):
    found = filed(server, len(wanted))
    for name, content in wanted.items():
        with_newlines = content.replace(b'\r\n', b'\n')
        if found.get(name) != with_newlines:
            fail(f'{name}: wanted {with_newlines[:200]!r}\n got {found.get(name, b"")[:200]!r}')


def check_spooled(spool, wanted):
    """The same of our own spool; a sender may have put header lines in front."""
    spool.wait_count(len(wanted))
    for message in spool.messages():
        content = message.content
        found = content[content.index(b'Subject: '):]
        name = found[9:found.index(b'\r\n')].decode()
        if found != wanted[name]:
            fail(f'{name}: wanted {wanted[name][:200]!r}\n got {found[:200]!r}')


def onward(t, address, *options, **how):
    """A relay that sends on what each session brought."""
    return t.relay('--forward-on-disconnect', *options, forward_to=address, **how)


def send_all(port, wanted, to='you@example.net'):
    with smtplib.SMTP('127.0.0.1', port, local_hostname='client.example.org') as client:
        client.ehlo()
        for content in wanted.values():
            client.sendmail('me@example.com', [to], content, mail_options=['BODY=8BITMIME'])


# ---------------------------------------------------------------- next hops

def test_postfix_as_next_hop(t):
    postfix = Postfix(t)
    wanted = messages()
    for n, option in enumerate(['', '--client-smtp-config=pipelining']):
        with t.row(option or 'not pipelined'):
            relay = onward(t, postfix.address, *([option] if option else []), spool=t.spool(f's{n}'))
            send_all(relay.port, {f'{name} {n}': content.replace(b'Subject: ', b'Subject: %d' % n) for name, content in wanted.items()})
            relay.spool.wait_empty()
            relay.terminate()
            assert 'warning' not in relay.output, relay.output
    check_filed(postfix, {f'{n}{name}': content.replace(b'Subject: ', b'Subject: %d' % n)
                          for n in range(2) for name, content in wanted.items()})


def test_postfix_refuses(t):
    """Its texts and codes in the envelope; the good recipients of a pipelined message are served where that is asked for."""
    postfix = Postfix(t, more={'smtpd_recipient_restrictions': 'check_recipient_access inline:{ { refused@example.net=550 5.1.1 not here }, '
                         '{ later@example.net=450 4.2.0 not now } }, permit_mynetworks'})
    spool = t.spool()
    two = ['good@example.net', 'refused@example.net']
    for option in ('', '--client-smtp-config=pipelining'):
        with t.row(option or 'not pipelined'):
            spool.add('emailrelay.1.1.1', b'Subject: x\r\n\r\n', to=two)
            spool.add('emailrelay.1.2.1', b'Subject: x\r\n\r\n', to=['later@example.net'])
            t.forward(postfix.address, '--forward-to-some', *([option] if option else []))
            first, second = sorted(spool.messages('bad'), key=lambda m: m.id)
            equal(first.fields('To-Remote'), ['refused@example.net'])
            equal((first.field('Reason'), first.field('ReasonCode')), ('one or more recipients rejected', ''))
            equal((second.field('Reason'), second.field('ReasonCode')), ('all recipients rejected', '450'))
            for message in (first, second):
                message.envelope_path.unlink()
                message.content_path.unlink()
    equal(len(filed_texts(postfix, 2)), 2)


def filed_texts(server, count):
    return harness.until(lambda: len(server.mail()) >= count and server.mail(), f'{count} messages in the mailbox')


def test_immediate_into_postfix(t):
    """A proxy: what Postfix says about the message is what its sender hears."""
    postfix = Postfix(t, more={'message_size_limit': 100000})
    relay = t.relay('--immediate', forward_to=postfix.address)
    wanted = {name: content for name, content in messages().items() if name != 'large'}
    send_all(relay.port, wanted)
    with relay.greeted() as wire:
        code, texts = wire.submit(b'Subject: x\r\n\r\n' + b'0123456789abcd\r\n' * 10_000)
        equal((code, texts), (552, ['5.3.4 Error: message file too big']))
        equal(wire.submit(b'Subject: after\r\n\r\n')[0], 250)
    check_filed(postfix, {**wanted, 'after': b'Subject: after\r\n\r\n'})
    equal([m.field('ReasonCode') for m in relay.spool.messages('bad')], ['552'])


def test_exim_as_next_hop(t):
    exim = Exim(t)
    wanted = messages()
    relay = onward(t, exim.address, '--client-smtp-config=pipelining')
    send_all(relay.port, wanted)
    relay.spool.wait_empty()
    check_filed(exim, wanted)
    relay.terminate()
    assert 'warning' not in relay.output, relay.output


def test_smtp_sink(t):
    """With everything it can leave out: no pipelining, no ESMTP; and with commands that it refuses or hangs up on."""
    need('smtp-sink')
    spool = t.spool()
    for options, pipelining in [([], True), ([], False), (['-p'], True), (['-e'], True), (['-8', '-p'], True)]:
        with t.row(f'{options} pipelining={pipelining}'):
            sink = t.sink(options=options)
            for n in range(50):
                spool.add(f'emailrelay.1.{n}.1', b'Subject: %d\r\n\r\ntext\r\n' % n, to=['a@example.net', 'b@example.net', 'c@example.net'])
            output = t.forward(sink.address, *(['--client-smtp-config=pipelining'] if pipelining else []))
            spool.check_empty()
            equal('tx>>: "HELO' in output, options == ['-e'])
    for options, reason, code in [(['-f', 'MAIL'], r'5\.3\.0 Error: command failed', '500'),
                                  (['-r', 'RCPT'], 'one or more recipients rejected', '450'),
                                  (['-r', 'DATA'], r'4\.3\.0 Error: command failed', '450'),
                                  (['-f', '.'], r'5\.3\.0 Error: command failed', '500'),
                                  (['-q', 'RCPT'], 'peer disconnected', ''), (['-q', '.'], 'peer disconnected', '')]:
        with t.row(str(options)):
            sink = t.sink(options=options)
            spool.add('emailrelay.1.1.1')
            t.forward(sink.address, '--client-smtp-config=pipelining', status=1 if '-q' in options else 0)
            message = spool.one('bad')
            match(message.field('Reason'), f'^{reason}$')
            equal(message.field('ReasonCode'), code)
            message.envelope_path.unlink()
            message.content_path.unlink()


# ---------------------------------------------------------------- senders

def test_postfix_as_sender(t):
    relay = t.relay('--size=10000000', verbose=None)
    postfix = Postfix(t, relayhost=relay.port)
    wanted = messages()
    send_all(postfix.port, wanted)
    check_spooled(relay.spool, wanted)
    for message in relay.spool.messages():
        equal(message.field('From'), 'me@example.com')
        equal(message.fields('To-Remote'), ['you@example.net'])
        match(message.content.decode('latin-1'), r'^Received: from postfix\.example\.net \(\[127\.0\.0\.1\]\) by ' +
              re.escape(domain) + r' with ESMTP ; .*\r\nReceived: ')


def test_postfix_as_sender_of_many(t):
    """Several connections at a time, used again for more messages, commands pipelined."""
    need('smtp-source')
    relay = t.relay()
    postfix = Postfix(t, relayhost=relay.port, more={'smtp_connection_cache_on_demand': 'yes'})
    t.run([find('smtp-source'), '-s', '10', '-m', '100', '-d', '-l', '2000', '-r', '3', '-f', 'me@example.com',
           '-t', 'you@example.net', postfix.address])
    relay.spool.wait_count(100)
    for message in relay.spool.messages():
        equal(sorted(message.fields('To-Remote')), ['2you@example.net', '3you@example.net', 'you@example.net'])


def test_postfix_is_told_to_wait(t):
    """What Postfix could not deliver while we were full it brings later: our 421 is understood as temporary."""
    relay = t.relay('--max-sessions=1')
    holder = relay.greeted()
    postfix = Postfix(t, relayhost=relay.port)
    send_all(postfix.port, {'x': b'Subject: x\r\n\r\n'})
    relay.wait_log('warning: connection rejected from 127.0.0.1:.*: too many connections')
    harness.until(lambda: 'status=deferred' in postfix.log.read_text(), 'message deferred')
    relay.spool.check_empty()
    holder.ask('QUIT', 221)
    postfix.flush()
    check_spooled(relay.spool, {'x': b'Subject: x\r\n\r\n'})


def test_exim_as_sender_by_bdat(t):
    """Exim uses CHUNKING wherever it is offered."""
    relay = t.relay('--server-smtp-config=chunking,smtputf8')
    exim = Exim(t, relayhost=relay.port)
    wanted = messages()
    send_all(exim.port, wanted)
    check_spooled(relay.spool, wanted)
    match(relay.output, r'rx<<: "BDAT \d+ LAST"')
    assert 'rx<<: "DATA"' not in relay.output
    with t.row('without'):
        plain = t.relay(spool=t.spool('plain'))
        second = Exim(t, relayhost=plain.port)
        send_all(second.port, wanted)
        check_spooled(plain.spool, wanted)
        assert 'BDAT' not in plain.output


def test_exim_to_exim(t):
    """Through us with BDAT on the way in."""
    far = Exim(t)
    relay = onward(t, far.address, '--server-smtp-config=chunking', '--client-smtp-config=pipelining')
    near = Exim(t, relayhost=relay.port)
    wanted = messages()
    send_all(near.port, wanted)
    check_filed(far, wanted)


def test_curl_through_to_postfix(t):
    need('curl')
    postfix = Postfix(t)
    relay = onward(t, postfix.address)
    wanted = messages()
    for name, content in wanted.items():
        t.run(['curl', '-sS', f'smtp://127.0.0.1:{relay.port}/client', '--mail-from', 'me@example.com', '--mail-rcpt', 'you@example.net',
               '--upload-file', t.file('mail', content)])
    check_filed(postfix, wanted)
    relay.spool.wait_empty()


def test_swaks_reports_refusals(t):
    """A client that knows the protocol sees our refusals as such."""
    need('swaks')
    relay = t.relay('--size=1000')
    done = t.try_run(['swaks', '--server', f'127.0.0.1:{relay.port}', '--from', 'a@b', '--to', 'c@d', '--body', 'x' * 2000])
    equal(done.returncode, 26, done.stdout)
    match(done.stdout, r'<\*\* 552 message size exceeds fixed maximum message size')


# ---------------------------------------------------------------- SMTPUTF8

utf8_message = ('Subject: Grüße\r\nFrom: ü@example.com\r\nTo: ä@example.net\r\n\r\nKälte\r\n').encode()


def send_utf8(port):
    message = email.message_from_bytes(utf8_message, policy=email.policy.SMTPUTF8)
    with smtplib.SMTP('127.0.0.1', port, local_hostname='client.example.org') as client:
        equal(client.send_message(message), {})


def test_smtputf8_to_a_scripted_next_hop(t):
    for strict in ('', ',smtputf8strict'):
        with t.row(strict):
            hop = t.next_hop({'EHLO': '250-next\r\n250-8BITMIME\r\n250 SMTPUTF8'})
            relay = onward(t, hop.address, f'--server-smtp-config=smtputf8{strict}')
            send_utf8(relay.port)
            hop.wait_messages(1)
            equal(hop.messages[0].mail, 'MAIL FROM:<ü@example.com> BODY=8BITMIME SMTPUTF8')
            equal(hop.messages[0].recipients, ['RCPT TO:<ä@example.net>'])
            assert hop.messages[0].body.endswith(b'\r\n' + utf8_message), hop.messages[0].body
            relay.spool.wait_empty()
            relay.terminate()


def test_smtputf8_not_offered(t):
    """smtplib sees that we do not offer it; a next hop that does not is not given such mail."""
    relay = t.relay()
    try:
        send_utf8(relay.port)
        fail('sent')
    except smtplib.SMTPNotSupportedError:
        pass
    hop = t.next_hop()
    relay = onward(t, hop.address, '--server-smtp-config=smtputf8', spool=t.spool('onward'))
    send_utf8(relay.port)
    relay.spool.wait_count(1, 'bad')
    equal(relay.spool.one('bad').field('Reason'), 'cannot send utf8 message to non-smtputf8 server')


def test_smtputf8_through_us_to_postfix(t):
    postfix = Postfix(t, more={'smtputf8_enable': 'yes'})
    relay = onward(t, postfix.address, '--server-smtp-config=smtputf8,smtputf8strict')
    send_utf8(relay.port)
    kept = filed_texts(postfix, 1)
    assert kept[0].endswith(utf8_message.replace(b'\r\n', b'\n')), kept
    assert 'Return-Path: <ü@example.com>'.encode() in kept[0], kept
    relay.spool.wait_empty()


def test_smtputf8_from_exim_and_to_exim(t):
    far = Exim(t)
    relay = onward(t, far.address, '--server-smtp-config=smtputf8,smtputf8strict,chunking')
    near = Exim(t, relayhost=relay.port)
    send_utf8(near.port)
    kept = filed_texts(far, 1)
    assert kept[0].endswith(utf8_message.replace(b'\r\n', b'\n')), kept
    match(relay.output, r'rx<<: "MAIL FROM:<ü@example\.com>.* SMTPUTF8')
    match(relay.output, r'tx>>: "MAIL FROM:<ü@example\.com>.* SMTPUTF8')


# ---------------------------------------------------------------- BDAT and BINARYMIME

# nothing that DATA could carry: any octet, no line end at the end
binary = bytes(range(256)) * 4000 + b'\r\n.\r\n\r.\n\0no line end'


def send_binary(wire, content, sizes):
    wire.ask('MAIL FROM:<me@example.com> BODY=BINARYMIME', 250)
    wire.ask('RCPT TO:<you@example.net>', 250)
    at = 0
    for size in sizes:
        wire.send(b'BDAT %d\r\n' % size + content[at:at + size])
        wire.expect(f'250 {size} bytes received')
        at += size
    wire.send(b'BDAT %d LAST\r\n' % (len(content) - at) + content[at:])
    wire.expect('250 message processed')


def test_binarymime_in_and_out(t):
    """In by chunks of our client's choice, out by ours: one of up to a million octets, or several."""
    hop = t.next_hop({'EHLO': '250-next\r\n250-8BITMIME\r\n250-BINARYMIME\r\n250 CHUNKING'})
    relay = onward(t, hop.address, '--server-smtp-config=chunking', '--anonymous=content')
    rows = [(b'', []), (b'x', []), (binary, [1, 2, 3, 100_000]), (binary * 3, [1_000_000]), (b'y' * 2_000_000, [])]
    for n, (content, sizes) in enumerate(rows):
        with t.row(f'{len(content)} octets'):
            with relay.greeted() as wire:
                send_binary(wire, content, sizes)
            got = hop.wait_messages(n + 1)[n]
            equal(got.mail, 'MAIL FROM:<me@example.com> BODY=BINARYMIME')
            if got.body != content:
                fail(f'{len(got.body)} octets of {len(content)} arrived')
    relay.spool.wait_empty()
    equal([line for line in hop.verbs() if line.startswith('BDAT')],
          ['BDAT 0 LAST', 'BDAT 1 LAST', 'BDAT 1000000', f'BDAT {len(binary) - 1_000_000} LAST'] +
          ['BDAT 1000000'] * 3 + [f'BDAT {3 * len(binary) - 3_000_000} LAST', 'BDAT 1000000', 'BDAT 1000000 LAST'])


def test_binarymime_from_relay_to_relay(t):
    second = t.relay('--server-smtp-config=chunking', '--anonymous=content', spool=t.spool('second'), name='second')
    first = onward(t, f'127.0.0.1:{second.port}', '--server-smtp-config=chunking', '--anonymous=content')
    with first.greeted() as wire:
        send_binary(wire, binary, [500_000])
    second.spool.wait_count(1)
    message = second.spool.one()
    assert message.content == binary
    equal(message.field('Content'), 'binarymime')
    first.spool.wait_empty()


def test_chunk_refused(t):
    """A next hop that refuses a chunk: RSET, and the next message goes over the same connection."""
    for name, script, reason, code in [('first chunk', {'BDAT': ['552 too much', '250 ok']}, 'too much', '552'),
                                       ('last chunk', {'.': ['451 later', '250 ok']}, 'later', '451')]:
        with t.row(name):
            hop = t.next_hop({'EHLO': '250-next\r\n250-BINARYMIME\r\n250 CHUNKING', **script})
            spool = t.spool(name.replace(' ', '-'))
            spool.add('emailrelay.1.1.1', b'x' * 1_500_000, Content='binarymime')
            spool.add('emailrelay.1.2.1', b'second\r\n')
            t.forward(hop.address, spool=spool)
            message = spool.one('bad')
            equal((message.field('Reason'), message.field('ReasonCode')), (reason, code))
            equal([m.body for m in hop.messages], [b'second\r\n'])
            equal(hop.connections, 1)
            assert 'RSET' in hop.verbs()


def test_bdat_pipelined_by_a_client(t):
    """All of a message and the next one in one write."""
    relay = t.relay('--server-smtp-config=chunking', '--anonymous=content')
    with relay.greeted() as wire:
        wire.send(b'MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 7\r\nQUIT\r\n.BDAT 5\r\n.\r\n.\rBDAT 0 LAST\r\n'
                  b'MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 3 last\r\nabcQUIT\r\n')
        for wanted in ['250 sender <a@b> OK', '250 recipient <c@d> OK', '250 7 bytes received', '250 5 bytes received',
                       '250 message processed', '250 sender <a@b> OK', '250 recipient <c@d> OK', '250 message processed', '221 OK']:
            equal(wire.line(), wanted)
        wire.closed()
    equal(sorted(m.content for m in relay.spool.messages()), [b'QUIT\r\n..\r\n.\r', b'abc'])


# ---------------------------------------------------------------- unix-domain sockets

def test_unix_sockets_all_the_way(t):
    """smtp-source into a socket of ours, and on into smtp-sink's; then from relay to relay."""
    need('smtp-source', 'smtp-sink')
    run = t.folder('run', 0o777)
    sink_path, path = run / 'sink', run / 'relay'
    kept = t.folder('kept', 0o777)
    t.start([find('smtp-sink'), *(['-u', 'nobody'] if harness.is_root() else []), '-d', f'{kept}/m.', f'unix:{sink_path}', '100'])
    harness.until(sink_path.exists, 'smtp-sink listening')
    relay = onward(t, str(sink_path), interface=f'smtp={path}', port=None, wait=False)
    relay.wait_log(f'smtp server on {path}')
    t.run([find('smtp-source'), '-s', '5', '-m', '20', '-l', '5000', f'unix:{path}'])
    harness.until(lambda: len(os.listdir(kept)) == 20, '20 messages kept by smtp-sink')
    relay.spool.wait_empty()

    second_path = run / 'second'
    second = t.relay('--anonymous=content', interface=f'smtp={second_path}', port=None, wait=False, spool=t.spool('second'), name='second')
    second.wait_log(f'smtp server on {second_path}')
    spool = t.spool('first')
    content = bytes(range(256)).replace(b'\r', b'').replace(b'\n', b'') * 1000 + b'\r\n'
    spool.add('emailrelay.1.1.1', content)
    output = t.forward(str(second_path), spool=spool)
    match(output, f'(?m)info: smtp connection to {second_path}$')
    assert second.spool.one().content == content
    equal(second.spool.one().field('Client'), '/')


def test_unix_socket_without_a_listener(t):
    path = t.folder('run', 0o777) / 'nobody'
    spool = t.spool()
    for present in (False, True):
        with t.row(f'present={present}'):
            if present:
                s = socket.socket(socket.AF_UNIX)
                s.bind(str(path))
            message = spool.add('emailrelay.1.1.1')
            before = message.envelope
            output = t.forward(str(path), status=1)
            match(output, f'(?m)^emailrelay: warning: smtp client error: connect failure: cannot connect to {path}: ')
            equal(spool.one().envelope, before)
