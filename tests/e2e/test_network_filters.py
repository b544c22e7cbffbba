"""Filters and verifiers that are servers: net:, spam:, spam-edit:, milter: (spec/filters-and-verifiers.md sections 4, 5 and 7)."""
import re
import time

from harness import equal, fail, free_port, limit, match
from helper_servers import LineServer, Spamd, heard, milter, spamd
from test_filters import fifty_at_once

body = b'Subject: x\r\n\r\nhello\r\n'


def submit(relay, content=body, **how):
    with relay.greeted() as wire:
        return wire.submit(content, **how)


# ---------------------------------------------------------------- net:

@limit(240)
def test_net_answers(t):
    rows = {
        'ok': (250, 'message processed', None), 'okay then': (250, 'message processed', None), '': (250, 'message processed', None),
        'no': (452, 'no', 'no'), 'OK': (452, 'OK', 'OK'), 'go away\tbecause': (452, 'go away', 'because'),
        '550 no entry': (550, 'no entry', '550 no entry'), '450 later\twhy': (450, 'later', 'why'), '599': (599, '', '599'),
        '399 x': (452, '399 x', '399 x'), '600 x': (452, '600 x', '600 x'), '499x': (452, '499x', '499x'),
        '100': (250, 'message processed', 'abandon'), '100 text': (250, 'message processed', 'abandon'),
    }
    queue = list(rows)
    server = LineServer(t, lambda line, n: queue[n - 1] + ('\r\n' if n % 2 else '\n'))
    relay = t.relay(filter=f'net:{server.address}')
    for said, (code, text, reason) in rows.items():
        with t.row(repr(said)):
            got, texts = submit(relay)
            equal(got, code)
            if code != 250:
                equal(texts[0].strip(), text)
                relay.wait_log(re.escape(f'filter [{server.name}]: ') + r'\[.*\]: failed response=\[.*\] ' +
                               re.escape(f'reason=[{reason}]'))
    for _, line in server.lines:
        match(line, r'^/.*/emailrelay\.[\d.]+\.content$')
    equal(len(relay.spool.messages()), 5)


def test_net_keeps_its_connection(t):
    server = LineServer(t, lambda line, n: 'ok\n')
    relay = t.relay(filter=f'net:{server.address}')
    with relay.greeted() as wire:
        for _ in range(3):
            equal(wire.submit(body)[0], 250)
    equal([n for n, _ in server.lines], [1, 1, 1])
    server.wait_ended(1)
    closing = LineServer(t, lambda line, n: 'ok\nmore that nobody asked for\n', close_after=True)
    relay = t.relay(filter=f'net:{closing.address}', spool=t.spool('second'))
    with relay.greeted() as wire:
        for i in range(3):
            equal(wire.submit(body)[0], 250)
            closing.wait_ended(i + 1)
    equal([n for n, _ in closing.lines], [1, 2, 3])


def test_net_failures(t):
    with t.row('no server'):
        port = free_port()
        relay = t.relay(filter=f'net:127.0.0.1:{port}')
        equal(submit(relay), (452, ['failed']))
        relay.wait_log(rf'response=\[failed\] reason=\[connect failure: cannot connect to 127\.0\.0\.1:{port}\]')
        relay.spool.check_empty()
    with t.row('silence'):
        server = LineServer(t, lambda line, n: None)
        relay = t.relay(filter=f'net:{server.address}', filter_timeout=1, spool=t.spool('b'))
        equal(submit(relay), (452, ['failed']))
        relay.wait_log(re.escape(f'reason=[response timeout: no response after 1s while connected to {server.address}]'))
    with t.row('disconnect'):
        server = LineServer(t, lambda line, n: EOFError)
        relay = t.relay(filter=f'net:{server.address}', spool=t.spool('c'))
        equal(submit(relay), (452, ['failed']))
        relay.wait_log(re.escape('reason=[peer disconnected]'))
    with t.row('no end of the line'):
        server = LineServer(t, lambda line, n: b'x' * 200_000)
        relay = t.relay(filter=f'net:{server.address}', spool=t.spool('d'))
        equal(submit(relay), (452, ['failed']))
    with t.row('unix'):
        server = LineServer(t, lambda line, n: '551 x\n', unix=t.dir / 'net.sock')
        relay = t.relay(filter=f'net:{server.address}', spool=t.spool('e'))
        equal(submit(relay), (551, ['x']))


def test_net_as_client_filter(t):
    server = LineServer(t, lambda line, n: 'ok\n' if n != 2 else '500 no\twhy\n')
    hop = t.next_hop()
    spool = t.spool()
    for i in range(4):
        spool.add(f'emailrelay.1.2.{i}')
    t.forward(hop.address, spool=spool, client_filter=f'net:{server.address}')
    equal([n for n, _ in server.lines], [1] * 4)
    equal(len(hop.messages), 3)
    equal((spool.one('bad').field('Reason'), spool.one('bad').field('ReasonCode')), ('why', '550'))


def test_net_answers_about_outgoing_mail(t):
    """100: left for later; a code is of no use here; routing filters alike, and the text says what failed."""
    said = {'left': '100 later', 'code': '450 no\twhy', 'good': 'okay'}
    server = LineServer(t, lambda line, n: said[open(line, 'rb').read().split(b'\r\n')[0].decode().split(' ')[1]] + '\n')
    for number, (fields, reason, code) in enumerate([({}, 'why', '550'), ({'ForwardTo': 'example.net'}, 'routing filter failed: no: why', '')]):
        hop = t.next_hop()
        spool = t.spool(f'spool{number}')
        for n, word in enumerate(said):
            spool.add(f'emailrelay.1.2.{n}', f'Subject: {word}\r\n\r\n'.encode(), **fields)
        t.forward(hop.address, spool=spool, client_filter=f'net:{server.address}')
        equal([m.body for m in hop.messages], [b'Subject: good\r\n\r\n'])
        equal(spool.one().body(), b'Subject: left\r\n\r\n')
        equal((spool.one('bad').field('Reason'), spool.one('bad').field('ReasonCode')), (reason, code))


@limit(180)
def test_net_fifty_at_once(t):
    def slow(line, n):
        time.sleep(1)
        return 'ok\n'
    server = LineServer(t, slow)
    fifty_at_once(t, t.relay(filter=f'net:{server.address}', max_idle_commands=0))
    equal((server.connections, sorted(n for n, _ in server.lines)), (50, list(range(1, 51))))


# ---------------------------------------------------------------- net: verifier

def test_net_verifier(t):
    rows = {'0|box|Full Name': (250, None), '1|': (250, None), '1|other@example.net': (250, None), '2|no such user|why': (550, 'no such user'),
            '3|try later': (450, 'try later'), 'rubbish': (550, ''), '0|box': (550, '')}
    queue = list(rows)
    server = LineServer(t, lambda line, n: queue[n - 1] + '\n' if n <= len(queue) else '100\n')
    relay = t.relay(address_verifier=f'net:{server.address}')
    with relay.greeted() as wire:
        wire.ask('MAIL FROM:<me@example.com>', 250)
        for n, (said, (code, text)) in enumerate(rows.items()):
            with t.row(said):
                wire.say(f'RCPT TO:<u{n}@example.net>')
                got, texts = wire.reply()
                equal(got, code)
                if text is not None:
                    equal(texts[0].strip(), text)
        client = f'127.0.0.1:{wire.local_port()}'
        equal(server.lines[0], (1, f'u0@example.net|me@example.com|{client}|test.example.com|none|'))
        equal({n for n, _ in server.lines}, {1}, 'one connection')
        wire.say('RCPT TO:<abort@example.net>')
        wire.closed()
    relay.wait_log(re.escape('verification request: [u3@example.net] (') + '.*')
    relay.wait_log(re.escape('verification response: [2|no such user|why]'))


def test_net_verifier_failures(t):
    with t.row('no server'):
        port = free_port()
        relay = t.relay(address_verifier=f'net:127.0.0.1:{port}')
        with relay.greeted() as wire:
            wire.ask('MAIL FROM:<me@example.com>', 250)
            wire.exact('RCPT TO:<a@example.net>', '450 cannot verify')
        relay.wait_log(f'cannot connect to 127.0.0.1:{port}')
    for name, answer in (('silence', None), ('disconnect', EOFError)):
        with t.row(name):
            server = LineServer(t, lambda line, n: answer)
            relay = t.relay(address_verifier=f'net:{server.address}', filter_timeout=1, spool=t.spool(name))
            with relay.greeted() as wire:
                wire.ask('MAIL FROM:<me@example.com>', 250)
                wire.exact('RCPT TO:<a@example.net>', '450 cannot verify')


# ---------------------------------------------------------------- spamd

def spamd_says(text, content=None):
    return lambda received: text.encode() + (received if content is None else content)


def good(headers, content):
    return f'SPAMD/1.1 0 EX_OK\r\n{headers}Content-length: {len(content)}\r\n\r\n'.encode() + content


@limit(240)
def test_spam_answers(t):
    ham, spam = 'Spam: False ; 1.0 / 5.0\r\n', 'Spam: True ; 15.0 / 5.0\r\n'
    new = b'Subject: new\r\n\r\nno final line end'
    rows = [
        ('ham', lambda c: good(ham, c), (250, None), (250, None)),
        ('changed ham', lambda c: good(ham, new), (250, None), (250, new)),
        ('no verdict', lambda c: good('', new), (250, None), (250, new)),
        ('spam', lambda c: good(spam, new), (452, 'spam: True ; 15.0 / 5.0'), (250, new)),
        ('line feeds', lambda c: good(ham, new).replace(b'\r\n', b'\n', 4), (250, None), None),
        ('protocol error', lambda c: b'SPAMD/1.0 76 Bad header line\r\n', (452, 'spam client error: invalid response: SPAMD/1.0 76 Bad header line'),
         (452, 'spam client error: invalid response: SPAMD/1.0 76 Bad header line')),
        ('no length', lambda c: b'SPAMD/1.1 0 EX_OK\r\n\r\nx', (452, 'spam client error: invalid response headers'),
         (452, 'spam client error: invalid response headers')),
        ('length 0', lambda c: b'SPAMD/1.1 0 EX_OK\r\nContent-length: 0\r\n\r\n', (452, 'spam client error: invalid response headers'),
         (452, 'spam client error: invalid response headers')),
        ('too short', lambda c: good(ham, new)[:-3], (452, 'peer disconnected'), (452, 'peer disconnected')),
        ('disconnect', lambda c: EOFError, (452, 'peer disconnected'), (452, 'peer disconnected')),
    ]
    for kind in ('spam', 'spam-edit'):
        for name, answer, plain, edit in rows:
            wanted = plain if kind == 'spam' else edit
            if wanted is None:
                continue
            with t.row(f'{kind}: {name}'):
                server = Spamd(t, answer)
                relay = t.relay(filter=f'{kind}:{server.address}', spool=t.spool(f'{kind} {name}'))
                code, texts = submit(relay)
                equal(code, wanted[0])
                if code == 452:
                    equal(texts, ['rejected'])
                    relay.wait_log(re.escape(f'response=[rejected] reason=[{wanted[1]}]'))
                    relay.spool.check_empty()
                elif wanted[1] is None:
                    equal(relay.spool.one().body(), body)
                else:
                    equal(relay.spool.one().content, wanted[1])
                    equal(len(relay.spool.names()), 2)
                head, content = server.requests[0]
                equal(head, f'PROCESS SPAMC/1.4\r\nContent-length: {len(content)}\r\n\r\n'.encode())
                if not content.startswith(b'Received: ') or not content.endswith(body):
                    fail(f'spamd got {content!r}')
                relay.terminate()


def test_spam_failures(t):
    with t.row('silence'):
        server = Spamd(t, lambda c: None)
        relay = t.relay(filter=f'spam:{server.address}', filter_timeout=1)
        equal(submit(relay), (452, ['rejected']))
        relay.wait_log('reason=.response timeout: no response after 1s')
    with t.row('no server'):
        port = free_port()
        relay = t.relay(filter=f'spam-edit:127.0.0.1:{port}', spool=t.spool('b'))
        equal(submit(relay), (452, ['rejected']))
        relay.wait_log(rf'reason=\[connect failure: cannot connect to 127\.0\.0\.1:{port}\]')
        relay.spool.check_empty()
    with t.row('unix, large'):
        big = b'Subject: x\r\n\r\n' + b'0123456789abcdef\r\n' * 100_000
        server = Spamd(t, lambda c: good('Spam: False\r\n', c + b'added'), unix=t.dir / 'spamd.sock')
        relay = t.relay(filter=f'spam-edit:{server.address}', spool=t.spool('c'))
        equal(submit(relay, big)[0], 250)
        equal(relay.spool.one().body(), big + b'added')


@limit(240)
def test_spamassassin(t):
    """GTUBE is refused by spam: and marked by spam-edit:; other mail passes."""
    address = spamd(t)
    gtube = b'From: a@example.com\r\nTo: b@example.net\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-Id: <1@example.com>\r\nSubject: x\r\n\r\n' \
            b'XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n'
    ham = gtube.replace(b'XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X', b'See you on Monday.')
    relay = t.relay(filter=f'spam:{address}')
    equal(submit(relay, ham)[0], 250)
    equal(submit(relay, gtube), (452, ['rejected']))
    relay.wait_log(r'reason=\[spam: True ; \d+\.\d / 5\.0\]')
    equal(len(relay.spool.messages()), 1)
    relay = t.relay(filter=f'spam-edit:{address}', spool=t.spool('edit'))
    equal(submit(relay, gtube)[0], 250)
    match(relay.spool.one().content.decode(), r'(?mi)^X-Spam-Flag: YES')


# ---------------------------------------------------------------- milter:

def steps(process):
    return [h[0] for h in heard(process) if h[0] not in ('close', 'abort')]


def test_milter_hears_everything(t):
    program, address = milter(t)
    relay = t.relay(filter=f'milter:{address}')
    content = b'From: a@b.example\r\nX-Folded: one\r\n\ttwo\r\n\r\nbody\r\n' + b'x' * 100_000 + b'\r\n'
    with relay.greeted('client.example.org') as wire:
        equal(wire.submit(content, to=('a@example.net', 'b@example.net'))[0], 250)
        equal(wire.submit(body)[0], 250)
    program.wait_output(r'^\["eom"', count=2)
    equal(len(relay.spool.messages()), 2)
    said = heard(program)
    said = said[next(i for i, h in enumerate(said) if h[0] == 'helo') - 1:]
    end = next(i for i, h in enumerate(said) if h[0] == 'eom')
    first = said[:end + 1]
    equal([h[0] for h in first if h[0] != 'body'],
          ['connect', 'helo', 'mail', 'rcpt', 'rcpt', 'data', 'header', 'header', 'eoh', 'eom'])
    id = first[-1][1]['i']
    match(id, r'^emailrelay\.[\d.]+$')
    connect = first[0]
    equal(connect[1], '[127.0.0.1]')
    equal(connect[3]['{client_addr}'], '127.0.0.1')
    equal(connect[3]['j'], 'test.example.com')
    equal(first[1], ['helo', 'client.example.org'])
    equal(first[2][1], '<me@example.com>')
    equal(first[2][3]['{mail_addr}'], 'me@example.com')
    equal([h[1] for h in first if h[0] == 'rcpt'], ['<a@example.net>', '<b@example.net>'])
    equal([h[2]['{rcpt_addr}'] for h in first if h[0] == 'rcpt'], ['a@example.net', 'b@example.net'])
    equal([h[1:] for h in first if h[0] == 'header'], [['From', 'a@b.example'], ['X-Folded', 'one\n\ttwo']])
    equal(sum(h[1] for h in first if h[0] == 'body'), 100_000 + 8)


def test_milter_with_many_fields(t):
    program, address = milter(t)
    relay = t.relay(filter=f'milter:{address}')
    with relay.greeted() as wire:  # the relay's own Received line is one, which no milter sees
        for fields, answer in ((5000, (452, ['failed'])), (4999, (250, ['message processed']))):
            equal(wire.submit(b'a:b\r\n' * fields + b'\r\n'), answer)
    relay.wait_log('too many header fields for a milter')
    program.wait_output(r'^\["eom"')
    equal(steps(program).count('header'), 4999)


@limit(240)
def test_milter_verdicts(t):
    def place(n):
        return t.spool(f's{n}')
    n = 0
    for step in ('connect', 'helo', 'mail', 'rcpt', 'data', 'header', 'eoh', 'body', 'eom'):
        for say, code, text in (('reject', 550, '5.7.1 Command rejected'), ('tempfail', 451, '4.7.1 Service unavailable - try again later'),
                                ('discard', 250, None), ('accept', 250, None)):
            if (step, say) in (('connect', 'discard'), ('helo', 'discard')) or (step not in ('connect', 'rcpt', 'eom') and say != 'reject'):
                continue
            n += 1
            with t.row(f'{step} {say}'):
                program, address = milter(t, at=step, say=say)
                relay = t.relay(filter=f'milter:{address}', spool=place(n))
                got, texts = submit(relay)
                equal(got, code)
                if text:
                    equal(texts, [text])
                    relay.wait_log(re.escape(f'filter [milter:{address}]: ') + r'\[.*\]: failed response=\[' + re.escape(text))
                equal(len(relay.spool.messages()), 1 if say == 'accept' else 0)
                if say != 'accept':
                    relay.spool.check_empty()
                relay.terminate()
                program.kill()


def test_milter_replies(t):
    program, address = milter(t, at='mail', say='reject', reply=['554', '5.7.9', 'no 100%% today'])
    relay = t.relay(filter=f'milter:{address}')
    equal(submit(relay), (554, ['5.7.9 no 100% today']))
    program, address = milter(t, at='eom', say='tempfail', reply=['450', '4.2.0', 'greylisted'])
    relay = t.relay(filter=f'milter:{address}', spool=t.spool('b'))
    equal(submit(relay), (450, ['4.2.0 greylisted']))
    relay.spool.check_empty()


def test_milter_changes(t):
    """Each kind of change, seen in the spool and at the next hop."""
    hop = t.next_hop()
    program, address = milter(t, socket=t.dir / 'milter.sock', changes=[
        ['addheader', 'X-Added', 'at the end'], ['addheader', 'X-First', 'at the front', 1], ['chgheader', 'Subject', 1, 'changed'],
        ['chgheader', 'X-Gone', 1, ''], ['progress'], ['replacebody', 'new body\r\n'], ['replacebody', 70_000], ['addrcpt', '<added@example.net>'],
        ['delrcpt', '<b@example.net>'], ['chgfrom', '<new@example.com>']])
    relay = t.relay(f'--forward-to={hop.address}', '--forward-on-disconnect', filter=f'milter:unix:{address}')
    content = b'X-Gone: 1\r\nSubject: old\r\nX-Kept: one\r\n two\r\n\r\nold body\r\n'
    with relay.greeted() as wire:
        equal(wire.submit(content, to=('a@example.net', 'b@example.net'))[0], 250)
    got = hop.wait_messages(1)[0]
    equal(got.mail.split()[1], 'FROM:<new@example.com>')
    equal(sorted(got.recipients), ['RCPT TO:<a@example.net>', 'RCPT TO:<added@example.net>'])
    received, rest = got.body.split(b'\r\n', 1)
    match(received.decode(), '^Received: ')
    head, new_body = rest.split(b'\r\n\r\n', 1)
    equal(head, b'X-First: at the front\r\nSubject: changed\r\nX-Kept: one\r\n two\r\nX-Added: at the end')
    equal(new_body, b'new body\r\n' + b'x' * 70_000 + b'\r\n')
    relay.spool.wait_empty()


def test_milter_quarantine(t):
    program, address = milter(t, changes=[['quarantine', 'looks bad'], ['addheader', 'X-Q', 'yes']])
    relay = t.relay(filter=f'milter:{address}')
    equal(submit(relay)[0], 250)
    bad = relay.spool.one('bad')
    equal(bad.field('Reason'), 'quarantined: looks bad')
    match(bad.content.decode(), r'(?m)^X-Q: yes')
    equal(len(relay.spool.names()), 2)


def test_milter_takes_all_recipients(t):
    program, address = milter(t, changes=[['delrcpt', '<you@example.net>']])
    relay = t.relay(filter=f'milter:{address}')
    equal(submit(relay)[0], 250)
    relay.spool.check_empty()


@limit(240)
def test_milter_failures(t):
    with t.row('no server'):
        port = free_port()
        relay = t.relay(filter=f'milter:inet:{port}@127.0.0.1')
        equal(submit(relay), (452, ['failed']))
        relay.wait_log(rf'reason=\[connect failure: cannot connect to 127\.0\.0\.1:{port}\]')
        relay.spool.check_empty()
    for step in ('connect', 'rcpt', 'body', 'eom'):
        with t.row(f'stall at {step}'):
            program, address = milter(t, at=step, sleep=600)
            relay = t.relay(filter=f'milter:{address}', filter_timeout=1, spool=t.spool(step))
            equal(submit(relay), (452, ['failed']))
            relay.wait_log(re.escape(f'response=[failed] reason=[response timeout: no response after 1s while connected to {address}]'))
            relay.spool.check_empty()
            relay.terminate()
            program.kill()
    with t.row('not a milter'):
        server = LineServer(t, lambda line, n: None)
        server.answer = lambda line, n: b'HTTP/1.0 400 Bad request\r\n\r\n'
        relay = t.relay(filter=f'milter:{server.address}', filter_timeout=2, spool=t.spool('http'))
        equal(submit(relay), (452, ['failed']))
        relay.spool.check_empty()
