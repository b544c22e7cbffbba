"""The harness itself, proved against servers that are not ours."""
import smtplib

import harness
import recorder
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
        equal(message.body, body if not body or body.endswith(b'\r\n') else body + b'\r\n')
        equal(message.recipients, ['RCPT TO:<good@b>'])


def test_sink_keeps_what_it_gets(t):
    need('smtp-sink')
    sink = t.sink(keep=True)
    with smtplib.SMTP('127.0.0.1', sink.port) as client:
        client.sendmail('me@example.com', ['you@example.net'], b'Subject: one\r\n\r\ntext\r\n')
    text = harness.until(sink.kept, 'message kept')[0]
    assert b'X-Mail-Args: <me@example.com>' in text, text
    assert b'Subject: one\n\ntext\n' in text, text


def test_recorder_knows_what_a_power_cut_leaves(t):
    """Against a small program whose flushes are known."""
    need('strace')
    spool = t.folder('spool')
    program = t.file('program.py', '''
import os
os.chdir('spool')
folder = os.open('.', os.O_RDONLY | os.O_DIRECTORY)
j = os.open('.journal', os.O_RDWR | os.O_CREAT, 0o600)
os.posix_fallocate(j, 0, 1 << 20)
os.fsync(j)
os.fsync(folder)
os.pwrite(j, b'first' * 200, 4096)
os.fdatasync(j)
a = os.open('a.new', os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
os.writev(a, [b'one ', b'two'])
os.rename('a.new', 'a')
b = os.open('b', os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=folder)
os.write(b, b'flushed')
os.fsync(b)
os.write(b, b' not flushed')
os.write(1, b'')
os.fsync(folder)
os.pwrite(j, b'second' * 200, 8192)
c = os.open('c', os.O_WRONLY | os.O_CREAT, 0o600)
os.write(c, b'lost')
''')
    t.start([*recorder.prefix(t.dir / 'trace'), '/usr/bin/python3', program]).wait()
    record = recorder.Record(t.dir / 'trace', spool)
    end = record.events[-1].end + 1
    kept = {}
    for state in ('absent', 'empty', 'short', 'whole'):
        target = t.folder(state)
        record.build(end, target, lambda name: state)
        kept[state] = {p.name: p.read_bytes() for p in target.iterdir()}
    journal = {s: k.pop('.journal') for s, k in kept.items()}
    equal(kept['absent'], {'a': b'', 'b': b'flushed'})
    equal(kept['empty'], {'a': b'', 'b': b'flushed', 'c': b''})
    equal(kept['short'], {'a': b'one', 'b': b'flushed not f', 'c': b'lo'})
    equal(kept['whole'], {'a': b'one two', 'b': b'flushed not flushed', 'c': b'lost'})
    for text in journal.values():
        equal((len(text), text[4096:5096]), (1 << 20, b'first' * 200))
    equal(journal['absent'][8192:9392], bytes(1200))
    equal(journal['whole'][8192:9392], b'second' * 200)
    assert journal['short'][8192:].startswith(b'second') and journal['short'][8192:9392] != b'second' * 200
    early = [e for e in record.events if e.call == 'fdatasync'][0].end
    equal(list(record.tree(early, True)), [f'{spool}/.journal'])
    assert b'first' in record.durable_octets(early)
    assert b'one two' not in record.durable_octets(end)
