"""SMTP smuggling, towards us and through us: one message stays one message, whatever stands in it, however it came into the spool and
however gullible the next hop is. And the same for POP, where content must not become an answer."""
import poplib
import re

import harness
from harness import equal, fail, until
from helper_servers import LineServer, Server, Spamd
from mail_servers import Postfix
from test_pop import Pop, start as pop_server

# Everything that some server has taken, or may take, for the end of the data, but for CR-LF "." CR-LF itself.
tricks = [b'\n.\n', b'\n.\r\n', b'\n.\r', b'\r.\r', b'\r.\r\n', b'\r.\n', b'\r\n.\n', b'\r\n.\r', b'\r\n.\n\r\n', b'\r\n.\r\r\n', b'\r\r\n.\r\r\n',
          b'\n\r.\n\r', b'\r\n\0.\r\n', b'\r\n.\0\r\n', b'\n\0.\n', b'\0\n.\n', b'\r\0\n.\r\0\n', b'\r\n\r.\n', b'\r\n ..\r\n', b'\x85.\x85', b'\r\n.\x0b\r\n',
          b'\xe2\x80\xa8.\xe2\x80\xa8', b'\n..\n', b'\r..\r']
behind = b'MAIL FROM:<evil@example.com>\r\nRCPT TO:<evil@example.net>\r\nDATA\r\nSubject: evil\r\n\r\nsmuggled\r\n'


def contents():
    """Name and content of messages with a trick each; the name is the first line's. All lines of all end in the same way."""
    found = {f'trick-{n}': trick for n, trick in enumerate(tricks)}
    return {name: f'Subject: {name}\r\n\r\nfirst'.encode() + trick + behind for name, trick in found.items()}


def clean(content):
    """As it must arrive at the next hop (spec/smtp-client.md): any line end is CR-LF then."""
    return re.sub(b'\r\n|\r|\n', b'\r\n', content)


class Gullible(Server):
    """A next hop that takes a lone dot between any line ends for the end of the data, and any line end for that of a command. `octets` is
    all that came, `commands` what it took for commands, `contents` what it took for messages, as they came but for doubled dots."""

    def __init__(self, bench, offer=('8BITMIME',)):
        self.offer, self.octets, self.commands, self.contents = offer, b'', [], []
        super().__init__(bench)

    def serve(self, connection, number):
        held = b''

        def more():
            nonlocal held
            part = connection.recv(65536)
            if not part:
                raise OSError
            held += part
            self.octets += part

        connection.sendall(b'220 gullible\r\n')
        while True:
            while not (found := re.match(rb'([^\r\n]*)(?:\r\n|\r(?=[^\n])|\n)', held)):
                more()
            held = held[found.end():]
            command = found.group(1)
            self.commands.append(command)
            if command.startswith(b'EHLO'):
                connection.sendall(b''.join(b'250-%s\r\n' % word.encode() for word in self.offer) + b'250 gullible\r\n')
            elif command == b'DATA':
                connection.sendall(b'354 go\r\n')
                held = b'\r\n' + held  # the line before it has an end
                while not (end := re.search(rb'(?:\r\n|\r|\n)\.(?:\r\n|\n|\r(?=.))', held, re.S)):
                    more()
                text, held = held[2:end.start()] + b'\r\n', held[end.end():]
                with self.changed:
                    self.contents.append(re.sub(rb'(?m)^\.', b'', text))
                    self.changed.notify_all()
                connection.sendall(b'250 taken\r\n')
            elif command == b'QUIT':
                connection.sendall(b'221 bye\r\n')
                return
            else:
                connection.sendall(b'250 ok\r\n')

    def check(self, wanted):
        """These contents, each once, and nothing else."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.contents) >= len(wanted), harness.patience)
        self.wait_ended(1)
        evil = [c for c in self.commands if b'evil' in c]
        equal(evil, [], 'smuggled')
        left = list(self.contents)
        for name, content in wanted.items():
            if content not in left:
                found = [c for c in left if b'Subject: ' + name.encode() + b'\r\n' in c]
                fail(f'{name}: wanted {content[:300]!r}\n got {found}')
            left.remove(content)
        equal(left, [], 'more than was sent')
        bare = re.findall(rb'(?s).{0,20}(?:\r(?!\n)|(?<!\r)\n).{0,20}', self.octets)
        equal(bare, [], 'bare CR or LF on the wire')


def onward(t, hop, *words, **how):
    return t.relay('--forward-on-disconnect', '--anonymous=content', '--max-idle-commands=0', *words, forward_to=hop, **how)


def send_in_pieces(wire, data, size):
    for at in range(0, len(data), size):
        wire.send(data[at:at + size])


# ---------------------------------------------------------------- by DATA and BDAT

def test_data(t):
    """Sent as it is, in one piece and split in the middle of everything: one message is stored, and nothing behind it is a command."""
    relay = t.relay('--anonymous=content', '--max-idle-commands=0', verbose=None)
    for name, content in contents().items():
        for size in (100_000, 1):
            with t.row(f'{name} {content[:40]!r} in pieces of {size}'), relay.greeted() as wire:
                for line in ('MAIL FROM:<a@example.com>', 'RCPT TO:<b@example.net>'):
                    wire.ask(line, 250)
                wire.ask('DATA', 354)
                send_in_pieces(wire, content + b'.\r\n', size)
                equal(wire.reply(), (250, ['message processed']))
                wire.exact('NOOP', '250 noop')
                message = relay.spool.one()
                # one dot goes from the beginning of a line; lines end with CR-LF and with nothing else
                equal(message.content, re.sub(rb'(?:(?<=\r\n)|\A)\.', b'', content))
                equal(message.field('From'), 'a@example.com')
                message.envelope_path.unlink()
                message.content_path.unlink()


def test_data_through_us(t):
    hop = Gullible(t)
    relay = onward(t, hop.address, verbose=None)
    with relay.greeted() as wire:
        for content in contents().values():
            equal(wire.submit(content), (250, ['message processed']))
    hop.check({name: clean(content) for name, content in contents().items()})
    relay.spool.wait_empty()


def test_chunks_through_us(t):
    """By BDAT a real end of data can stand in the content too, and chunks can be cut anywhere."""
    with_end = {**contents(), 'real-end': b'Subject: real-end\r\n\r\nfirst\r\n.\r\n' + behind,
                'real-end-first': b'.\r\n' + behind, 'ends-with-it': b'Subject: ends-with-it\r\n\r\n\r\n.\r\n'}
    hop = Gullible(t)
    relay = onward(t, hop.address, '--server-smtp-config=chunking', verbose=None)
    with relay.greeted() as wire:
        for content in with_end.values():
            wire.ask('MAIL FROM:<a@example.com>', 250)
            wire.ask('RCPT TO:<b@example.net>', 250)
            at = content.index(b'MAIL FROM') - 2 if b'MAIL FROM' in content else 5
            wire.send(b'BDAT %d\r\n' % at + content[:at] + b'BDAT 1\r\n' + content[at:at + 1] +
                      b'BDAT %d LAST\r\n' % (len(content) - at - 1) + content[at + 1:])
            equal([wire.reply()[0] for _ in range(3)], [250] * 3)
    hop.check({name: clean(content) for name, content in with_end.items()})


def test_chunks_mixed_with_data(t):
    """DATA between chunks, chunks inside DATA, sizes that are none, a chunk without a message: what stands in content or in a chunk is
    never a command."""
    relay = t.relay('--anonymous=content', '--server-smtp-config=chunking', verbose=None)
    begin = b'MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n'
    chunk = b'%d LAST\r\n' % len(behind) + behind
    rows = [('chunk inside data', begin + b'DATA\r\nBDAT ' + chunk + b'.\r\n', [250, 250, 354, 250], b'BDAT ' + chunk),
            ('data between chunks', begin + b'BDAT 3\r\nab\nDATA\r\nBDAT ' + chunk, [250, 250, 250, 503, 250], b'ab\n' + behind),
            ('chunk without a message', b'BDAT ' + chunk, [503], None),
            ('chunk without a recipient', b'MAIL FROM:<a@example.com>\r\nBDAT ' + chunk, [250, 554], None),
            ('chunk for a refused message', b'MAIL FROM:<a@example.com> SIZE=1 BODY=BINARYMIME\r\nBDAT 5 LAST\r\nQUIT\n', [250, 554], None)]
    for name, said, codes, stored in rows:
        with t.row(name), relay.greeted() as wire:
            wire.send(said)
            equal([wire.reply()[0] for _ in codes], codes)
            wire.ask('RSET', 250)
            wire.ask('NOOP', 250)
            found = relay.spool.messages()
            equal([m.content for m in found], [] if stored is None else [stored])
            for message in found:
                message.envelope_path.unlink()
                message.content_path.unlink()
    # The octets behind a size that is none are read as commands, as the protocol leaves no choice; they get nowhere before a RSET.
    for size in (b'5x', b'-5', b'+5', b'0x5', b'18446744073709551621', b'99999999999999999999999999', b'', b'5,5'):
        with t.row(repr(size)), relay.greeted() as wire:
            wire.send(begin + b'BDAT ' + size + b' LAST\r\n' + begin + b'DATA\r\n')
            equal([wire.reply()[0] for _ in range(6)], [250, 250, 501, 503, 503, 503])
            relay.spool.check_empty()


# ---------------------------------------------------------------- by others

def with_real_ends():
    return {**contents(), 'real-end': b'Subject: real-end\r\n\r\nfirst\r\n.\r\n' + behind}


def test_spooled_by_others(t):
    """Whoever may write into the spool is not thereby one who may say commands to the next hop."""
    hop = Gullible(t)
    spool = t.spool()
    for n, content in enumerate(with_real_ends().values()):
        spool.add(f'emailrelay.1.{n}.1', content)
    t.forward(hop.address)
    hop.check({name: clean(content) for name, content in with_real_ends().items()})


def test_made_by_filters(t):
    """Content as a program, and as spamd, has left it."""
    wanted = with_real_ends()
    folder = t.folder('contents', 0o755)
    for name, content in wanted.items():
        (folder / name).write_bytes(content)
    replace = t.file('replace', f'#!/bin/sh\nread first second < "$1"\ncp {folder}/$(printf %s "$second" | tr -d "\\r") "$1"\n')
    replace.chmod(0o755)

    def edited(content):
        text = wanted[content.split(b'Subject: ')[1].split(b'\r\n')[0].decode()]
        return b'SPAMD/1.1 0 EX_OK\r\nContent-length: %d\r\nSpam: False ; 0.0 / 5.0\r\n\r\n' % len(text) + text
    spamd = Spamd(t, edited)
    for name, words in [('program', [f'--filter={replace}']), ('spamd', [f'--filter=spam-edit:{spamd.address}'])]:
        with t.row(name):
            hop = Gullible(t)
            relay = onward(t, hop.address, *words, spool=t.spool(name), verbose=None)
            with relay.greeted() as wire:
                for message in wanted:
                    equal(wire.submit(f'Subject: {message}\r\n\r\nx\r\n'.encode()), (250, ['message processed']))
            hop.check({message: clean(content) for message, content in wanted.items()})


def test_immediately(t):
    hop = Gullible(t)
    relay = onward(t, hop.address, '--immediate', verbose=None)
    with relay.greeted() as wire:
        for content in contents().values():
            equal(wire.submit(content)[0], 250)
    hop.check({name: clean(content) for name, content in contents().items()})


@harness.limit(120)
def test_into_postfix(t):
    """A real server, told to take any line end."""
    wanted = with_real_ends()
    server = Postfix(t)
    spool = t.spool()
    for n, content in enumerate(wanted.values()):
        spool.add(f'emailrelay.1.{n}.1', content)
    t.forward(server.address)
    filed = until(lambda: len(server.mail()) >= len(wanted) and server.mail(), 'all messages in the mailbox', 60)
    equal(len(filed), len(wanted))
    for text in filed:
        head = text.split(b'\n\n', 1)[0]
        if b'Subject: trick-' not in head and b'Subject: real-end' not in head:
            fail(f'a message that nobody has sent: {text!r}')
        if b'smuggled' not in text:
            fail(f'cut off: {text!r}')


# ---------------------------------------------------------------- POP

def test_pop_answers(t):
    """Content does not become an answer: neither for those who end lines with CR-LF nor for those who end them with LF."""
    wanted = {**with_real_ends(), 'dots': b'Subject: dots\n\n.\n..\n.x\r\n.\r\n\n.\n+OK evil\r\n'}
    spool = t.spool()
    names = sorted(f'emailrelay.1.{n}.1' for n in range(len(wanted)))
    for name, content in zip(names, wanted.values()):
        spool.add(name, content)
    relay = pop_server(t, '--pop-no-delete', spool=spool)
    with t.row('poplib'):
        client = poplib.POP3('127.0.0.1', relay.pop_port, timeout=harness.patience)
        client.user('bob')
        client.pass_('secret')
        for number, content in enumerate(wanted.values(), 1):
            for command in (client.retr, lambda n: client.top(n, 1000)):
                lines = command(number)[1]
                equal(client.noop(), b'+OK', 'the next answer')
                # it takes some bare CRs away
                equal(b'\n'.join(lines).replace(b'\r', b'').rstrip(b'\n'), content.replace(b'\r', b'').rstrip(b'\n'))
        client.quit()
    with t.row('octets'):
        wire = Pop.to(relay)
        for number, content in enumerate(wanted.values(), 1):
            wire.say(f'RETR {number}')
            equal(wire.line(), f'+OK {len(content)} octets')
            end = b'\r\n.\r\n'
            while end not in wire.held:
                wire.held += wire.socket.recv(65536)
            got, wire.held = wire.held[:wire.held.index(end) + 2], wire.held[wire.held.index(end) + len(end):]
            equal(re.sub(rb'((?:\n|\A)\r*)\.', rb'\1', got), content if content.endswith(b'\r\n') else content + b'\r\n')
            wire.check('NOOP', '+OK')


# ---------------------------------------------------------------- servers that help

def test_network_filters_cannot_be_led_astray(t):
    """A `net:` filter is told a file's name alone, on a line of its own, whatever is in the message."""
    server = LineServer(t, lambda line, count: 'ok\n')
    relay = t.relay(f'--filter=net:{server.address}', '--anonymous=content', '--max-idle-commands=0', verbose=None)
    with relay.greeted() as wire:
        for content in contents().values():
            equal(wire.submit(content), (250, ['message processed']))
    equal(len(server.lines), len(tricks))
    for _, line in server.lines:
        assert re.fullmatch(rf'{relay.spool.path}/emailrelay\.[0-9.]+\.content', line.strip()), line
