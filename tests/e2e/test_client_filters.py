"""Client and routing filters: every exit code, what may be changed, which connection is used, and --immediate with them
(spec/filters-and-verifiers.md sections 1 and 2, spec/smtp-client.md sections 3 and 6)."""
import os
import re
import signal

import harness
from harness import equal, match
from test_filters import script, stop_orders, stopped_together

body = b'Subject: hello\r\n\r\ntext\r\n'


def contents(hop):
    return [re.search(rb'Subject: (.*)\r\n', m.body).group(1).decode() for m in hop.messages]


# exit code: (what becomes of the message, the run ends)
client_codes = {0: ('sent', False), 1: ('bad', False), 99: ('bad', False), 100: ('left', False), 101: ('sent', False), 102: ('sent', True),
                103: ('sent', False), 104: ('left', True), 105: ('bad', True), 106: ('bad', False), 115: ('bad', False),
                127: ('bad', False), 255: ('bad', False)}
by_subject = 'echo "<<no>>"; echo "<<because>>"; exit $(sed -n "s/^Subject: //p" "$1" | tr -d "\\r")'


def test_exit_codes(t):
    program = script(t, by_subject)
    for code, (outcome, ends) in client_codes.items():
        with t.row(f'exit code {code}'):
            hop = t.next_hop()
            spool = t.spool(f'spool{code}')
            spool.add('emailrelay.1.1.1', f'Subject: {code}\r\n\r\n'.encode())
            spool.add('emailrelay.1.2.1', b'Subject: 0\r\n\r\n')
            output = t.forward(hop.address, spool=spool, client_filter=program)
            equal(contents(hop), ([str(code)] if outcome == 'sent' else []) + ([] if ends else ['0']))
            left = {m.id: m.state for state in ('', 'bad', 'busy') for m in spool.messages(state)}
            wanted = {'sent': {}, 'bad': {'emailrelay.1.1.1': 'bad'}, 'left': {'emailrelay.1.1.1': ''}}[outcome]
            equal(left, wanted | ({'emailrelay.1.2.1': ''} if ends else {}))
            if outcome == 'bad':
                message = spool.one('bad')
                equal((message.field('Reason'), message.field('ReasonCode')), ('because', '550'))
            equal(hop.connections, 1)
            match(output, rf'client-filter \[filter\.sh\]: \[emailrelay\.1\.1\.1\]: running {program}')


def test_exit_codes_of_a_routing_filter(t):
    """Before connecting, to the default next hop or where the filter says; "stop" is ignored."""
    program = script(t, by_subject)
    for code, (outcome, _) in client_codes.items():
        with t.row(f'exit code {code}'):
            hop = t.next_hop()
            spool = t.spool(f'spool{code}')
            spool.add('emailrelay.1.1.1', f'Subject: {code}\r\n\r\n'.encode(), ForwardTo='example.net')
            spool.add('emailrelay.1.2.1', b'Subject: 0\r\n\r\n')
            output = t.forward(hop.address, spool=spool, client_filter=program)
            equal(contents(hop), ([str(code)] if outcome == 'sent' else []) + ['0'])
            left = {m.id: m.state for state in ('', 'bad', 'busy') for m in spool.messages(state)}
            equal(left, {'sent': {}, 'bad': {'emailrelay.1.1.1': 'bad'}, 'left': {'emailrelay.1.1.1': ''}}[outcome])
            if outcome == 'bad':
                message = spool.one('bad')
                equal((message.field('Reason'), message.field('ReasonCode')), ('routing filter failed: no: because', ''))
            match(output, r'routing-filter \[filter\.sh\]: \[emailrelay\.1\.1\.1\]: running ')
            equal(output.count('[emailrelay.1.1.1]: running '), 1, 'runs of the filter')


def test_routing_filter_does_not_need_the_default(t):
    hop = t.next_hop()
    spool = t.spool()
    spool.add('emailrelay.1.1.1', body, ForwardTo='example.net')
    program = script(t, f'sed -i "s/^X-MailRelay-ForwardToAddress:.*/X-MailRelay-ForwardToAddress: {hop.address}\\r/" "$2"')
    t.forward('127.0.0.1:1', spool=spool, client_filter=program)
    equal([m.body for m in hop.messages], [body])
    spool.check_empty()


def test_routing_to_an_address_out_of_reach(t):
    """It is kept, with others for that address; the run goes on."""
    hop = t.next_hop()
    nowhere = f'127.0.0.1:{harness.free_port()}'
    spool = t.spool()
    for n in (1, 2):
        spool.add(f'emailrelay.1.{n}.1', body, ForwardTo='example.net')
    spool.add('emailrelay.1.3.1', body)
    program = script(t, f'grep -q "ForwardTo: e" "$2" && sed -i "s/^X-MailRelay-ForwardToAddress:.*/X-MailRelay-ForwardToAddress: {nowhere}\\r/" "$2"; exit 0')
    output = t.forward(hop.address, spool=spool, client_filter=program)
    equal(len(hop.messages), 1)
    equal([m.id for m in spool.messages()], ['emailrelay.1.1.1', 'emailrelay.1.2.1'])
    equal(output.count('smtp connection failed: connect failure: cannot connect to ' + nowhere), 1)
    match(output, rf'forwarding \[emailrelay\.1\.2\.1\]: skipping message with unconnectable address \[{re.escape(nowhere)}\]')


def test_when_it_runs(t):
    """Connected and greeted, and before MAIL; once for each message, one connection for all."""
    hop = t.next_hop()
    spool = t.spool()
    for n in (1, 2, 3):
        spool.add(f'emailrelay.1.{n}.1', body)
    program = script(t, f'basename "$1" >>{t.dir}/order; basename "$2" >>{t.dir}/order')
    hop.script['EHLO'] = lambda line: (t.file('order', 'EHLO\n'), '250 next')[1]

    def mail(line):
        with open(t.dir / 'order', 'a') as f:
            f.write('MAIL\n')
        return '250 ok'
    hop.script['MAIL'] = mail
    t.forward(hop.address, spool=spool, client_filter=program)
    lines = (t.dir / 'order').read_text().split()
    equal(lines, ['EHLO'] + [w for n in (1, 2, 3) for w in (f'emailrelay.1.{n}.1.content', f'emailrelay.1.{n}.1.envelope.busy', 'MAIL')])
    equal(hop.connections, 1)


def test_edits_count(t):
    """Sender, recipients, content and the address to go to."""
    hop, other = t.next_hop(), t.next_hop()
    spool = t.spool()
    spool.add('emailrelay.1.1.1', body)
    spool.add('emailrelay.1.2.1', b'Subject: other\r\n\r\n')
    program = script(t, f'''printf "more\\r\\n" >>"$1"
sed -i -e "s/^X-MailRelay-From: .*/X-MailRelay-From: new@x\\r/" -e "s/you@/they@/" "$2"
grep -q other "$1" && sed -i "s/^X-MailRelay-ForwardToAddress:.*/X-MailRelay-ForwardToAddress: {other.address}\\r/" "$2"
exit 0''')
    t.forward(hop.address, spool=spool, client_filter=program)
    equal([(m.mail, m.recipients, m.body) for m in hop.messages], [('MAIL FROM:<new@x>', ['RCPT TO:<they@example.net>'], body + b'more\r\n')])
    equal([m.body for m in other.messages], [b'Subject: other\r\n\r\nmore\r\n'])
    spool.check_empty()


def test_large_edit(t):
    hop = t.next_hop()
    spool = t.spool()
    spool.add('emailrelay.1.1.1', body)
    big = b''.join(b'line %d\r\n' % n for n in range(60000))
    t.file('big', big)
    t.forward(hop.address, spool=spool, client_filter=script(t, f'cat {t.dir}/big >"$1.x"; mv "$1.x" "$1"'))
    assert hop.messages[0].body == big


def test_files_gone_or_broken(t):
    rows = [('rm "$1" "$2"', 0, [], None), ('rm "$2"', 0, ['emailrelay.1.1.1.content'], None),
            ('rm "$1"', 0, ['emailrelay.1.1.1.envelope.bad'], ('cannot open content file', '550')),
            ('echo rubbish >"$2"', 0, ['emailrelay.1.1.1.content', 'emailrelay.1.1.1.envelope.bad'], 'rubbish'),
            ('rm "$1" "$2"', 100, [], None)]
    for number, (text, code, left, reason) in enumerate(rows):
        with t.row(f'{text}; exit {code}'):
            hop = t.next_hop()
            spool = t.spool(f'spool{number}')
            spool.add('emailrelay.1.1.1', body)
            spool.add('emailrelay.1.2.1', b'Subject: next\r\n\r\n')
            program = script(t, f'grep -q next "$1" && exit 0\n{text}; exit {code}', f'{number}.sh')
            output = t.forward(hop.address, spool=spool, client_filter=program)
            equal(spool.names(), left)
            equal(contents(hop), ['next'])
            if isinstance(reason, tuple):
                message = spool.one('bad')
                equal((message.field('Reason'), message.field('ReasonCode')), reason)
            if reason is None:
                equal(re.findall(r'warning: (?!.*failed: exit code 100).*', output), [])


def test_all_recipients_taken_away(t):
    hop = t.next_hop()
    spool = t.spool()
    spool.add('emailrelay.1.1.1', body)
    program = script(t, 'sed -i -e "s/ToCount: 1/ToCount: 0/" -e "/To-Remote/d" "$2"')
    t.forward(hop.address, spool=spool, client_filter=program)
    equal(spool.one('bad').field('Reason'), 'no remote recipients')
    equal(hop.messages, [])


def test_timeout(t):
    hop = t.next_hop()
    spool = t.spool()
    spool.add('emailrelay.1.1.1', body)
    output = t.forward(hop.address, spool=spool, client_filter=script(t, 'exec sleep 1000'), filter_timeout=1)
    equal(spool.one('bad').field('Reason'), 'timeout')
    match(output, r'warning: client-filter \[filter\.sh\] timed out after 1s')


def test_next_hop_goes_while_it_runs(t):
    """Then there is a new connection, and the filter does not run again."""
    hop = t.next_hop()
    closing = {'at': 0}
    spool = t.spool()
    spool.add('emailrelay.1.1.1', body)
    program = script(t, f'echo x >>{t.dir}/runs; while [ ! -e {t.dir}/go ]; do sleep 0.05; done')
    relay = t.relay('--forward', spool=spool, forward_to=hop.address, client_filter=program)
    harness.until(lambda: (t.dir / 'runs').exists(), 'filter running')
    for connection in list(hop.open):
        connection.shutdown(2)
    hop.wait_ended(1)
    t.file('go', '')
    hop.wait_messages(1)
    equal(hop.connections, 2)
    equal((t.dir / 'runs').read_text(), 'x\n')
    spool.wait_empty()
    relay.terminate()


def test_stop_while_it_runs(t):
    """The message goes back as it was."""
    hop = t.next_hop()
    spool = t.spool()
    message = spool.add('emailrelay.1.1.1', body)
    before = message.envelope
    relay = t.relay('--forward', spool=spool, forward_to=hop.address, client_filter=script(t, f'touch {t.dir}/runs; exec sleep 1000'))
    harness.until(lambda: (t.dir / 'runs').exists(), 'filter running')
    relay.terminate()
    equal(spool.one().envelope, before)


def test_stopped_with_it(t):
    """Its end is not its verdict: the message goes back as it was."""
    for order in stop_orders:
        for envelope in ({}, {'ForwardTo': 'example.net'}):
            with t.row(f'{order} {envelope}'):
                hop = t.next_hop()
                spool = t.spool(f'{order[0]}{len(envelope)}')
                message = spool.add('emailrelay.1.1.1', body, **envelope)
                before = message.envelope
                relay = t.relay('--forward', spool=spool, forward_to=hop.address,
                                client_filter=script(t, f'echo $$ >{t.dir}/pid; exec sleep 1000'))
                stopped_together(t, relay, order)
                equal(relay.wait(), -signal.SIGTERM)
                equal(spool.one().envelope, before)
                equal(hop.messages, [])


def test_killed_while_it_runs(t):
    hop = t.next_hop()
    spool = t.spool()
    spool.add('emailrelay.1.1.1', body)
    relay = t.relay('--forward', spool=spool, forward_to=hop.address, client_filter=script(t, f'touch {t.dir}/runs; exec sleep 1000'))
    harness.until(lambda: (t.dir / 'runs').exists(), 'filter running')
    relay.kill()
    equal(len(spool.messages('busy')), 1)
    t.relay(spool=spool).terminate()
    equal(spool.one().body(), body)


# ---------------------------------------------------------------- --immediate

def submit(relay, content=body):
    with relay.greeted() as wire:
        return wire.submit(content)


def test_immediate(t):
    """(client filter, extra fields by the server filter) -> reply, state of the message"""
    hop = t.next_hop()
    route = script(t, 'sed -i "s/^X-MailRelay-ForwardTo:.*/X-MailRelay-ForwardTo: example.net\\r/" "$2"', 'route.sh')
    rows = [('exit 0', None, (250, ['message processed']), None),
            ('echo "<<no>>"; echo "<<why>>"; exit 1', None, (452, ['no']), 'bad'),
            ('exit 100', None, (250, ['message processed']), ''),
            ('exit 1', route, (452, ['routing failed']), 'bad'),
            ('exit 100', route, (250, ['message processed']), ''),
            ('exit 0', route, (250, ['message processed']), None),
            ('exit 0', 'exit:100', (250, ['message processed']), ''),
            ('exit 0', 'exit:1', (452, ['rejected']), None)]
    for number, (text, server, reply, state) in enumerate(rows):
        with t.row(f'{text} / {server}'):
            sent = len(hop.messages)
            relay = t.relay('--immediate', *([f'--filter={server}'] if server else []), spool=t.spool(f'spool{number}'),
                            forward_to=hop.address, client_filter=script(t, text, f'{number}.sh'))
            equal(submit(relay), reply)
            if state is None:
                relay.spool.check_empty()
            else:
                equal(relay.spool.one(state).body(), body)
            equal(len(hop.messages) - sent, int(reply[0] == 250 and state is None))
            relay.terminate()


def test_immediate_keeps_its_connection(t):
    hop = t.next_hop()
    relay = t.relay('--immediate', forward_to=hop.address, client_filter='exit:0')
    with relay.greeted() as wire:
        for _ in range(3):
            equal(wire.submit(body), (250, ['message processed']))
    equal((hop.connections, len(hop.messages)), (1, 3))


def test_immediate_is_routed_by_a_server_filter(t):
    hop = t.next_hop()
    program = script(t, f'sed -i "s/^X-MailRelay-ForwardToAddress:.*/X-MailRelay-ForwardToAddress: {hop.address}\\r/" "$2"')
    relay = t.relay('--immediate', forward_to='127.0.0.1:1', filter=program)
    equal(submit(relay), (250, ['message processed']))
    equal(len(hop.messages), 1)
