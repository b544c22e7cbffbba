"""The harness itself, proved against servers that are not ours."""
import smtplib

import harness
from harness import equal, need


def test_next_hop_keeps_what_it_gets(t):
    hop = t.next_hop({'RCPT': lambda line: '550 no' if 'bad' in line else '250 ok'})
    for body in (b'', b'.', b'..\r\n', b'a\r\n.\r\nb\r\n', b'x' * 200_000 + b'\r\n.y\r\n', b'\0\xff\r\n'):
        with harness.Wire.tcp('127.0.0.1', hop.port) as wire:
            wire.expect('220 .*')
            wire.ask('EHLO x', 250)
            wire.ask('MAIL FROM:<a@b>', 250)
            wire.ask('RCPT TO:<bad@b>', 550)
            wire.ask('RCPT TO:<good@b>', 250)
            wire.ask('DATA', 354)
            wire.send(harness.dot_stuffed(body) + b'.\r\n')
            equal(wire.reply(), (250, ['taken']))
            wire.play('''
                c -> QUIT
                s <- 221 bye
                s -- closed''')
        message = hop.messages[-1]
        equal(message.body, body if body.endswith(b'\r\n') else body + b'\r\n')
        equal(message.recipients, ['RCPT TO:<good@b>'])


def test_sink_keeps_what_it_gets(t):
    need('smtp-sink')
    sink = t.sink(keep=True)
    with smtplib.SMTP('127.0.0.1', sink.port) as client:
        client.sendmail('me@example.com', ['you@example.net'], b'Subject: one\r\n\r\ntext\r\n')
    text = harness.until(sink.kept, 'message kept')[0]
    assert b'X-Mail-Args: <me@example.com>' in text, text
    assert b'Subject: one\n\ntext\n' in text, text
