"""Next hops, helpers and name servers that stall, drip, never end or talk nonsense: at every stage the wait has an end, memory stays
bounded, the message stays in the spool under one name or another, and clients are served meanwhile. The wording of each failure is in
test_forwarding.py, test_network_filters.py and test_mx.py."""
import contextlib
import os
import re
import socket
import threading
import time

import harness
from harness import Stall, equal, fail, match
from helper_servers import Server
from name_server import A, CNAME, MX, Answer, NameServer
from test_hostile_floods import check_log, prompt_answer, served
from test_load import lean, memory, sanitized


class Scripted(Server):
    """Says `before` replies one by one, each after a line has come (the first at once); then does `then(connection)`. `sent` counts what
    the relay took of what `then` has sent."""

    def __init__(self, bench, before, then):
        self.before, self.then, self.sent = before, then, 0
        super().__init__(bench)

    def serve(self, connection, number):
        lines = connection.makefile('rb')
        for n, reply in enumerate(self.before):
            if n > 0 and not lines.readline():
                return
            connection.sendall(reply + b'\r\n')
        if self.before and not lines.readline():
            return
        self.then(self, connection)


def endless(piece):
    def send(server, connection):
        with contextlib.suppress(OSError):
            while True:
                server.sent += connection.send(piece)
    return send


def dripping(piece):
    """One octet after the other, so that something has come every moment."""
    def send(server, connection):
        with contextlib.suppress(OSError):
            while True:
                for octet in piece:
                    connection.sendall(bytes([octet]))
                    server.sent += 1
                    time.sleep(0.05)
    return send


def says(text):
    def send(server, connection):
        connection.sendall(text)
        with contextlib.suppress(OSError):
            while connection.recv(65536):
                pass
    return send


def stalls(server, connection):
    with contextlib.suppress(OSError):
        while connection.recv(65536):
            pass


ready, plain_offer, tls_offer = b'220 x', b'250-x\r\n250 AUTH PLAIN LOGIN', b'250-x\r\n250 STARTTLS'
# what it says before: how the relay is told to go on
stages = {
    'greeting': ([], []),
    'EHLO': ([ready], []),
    'STARTTLS': ([ready, tls_offer], ['--client-tls']),
    'handshake': ([ready, tls_offer, b'220 go'], ['--client-tls']),
    'AUTH': ([ready, plain_offer], ['--client-auth=plain:Ym9i:c2VjcmV0']),
    'MAIL': ([ready, b'250 x'], []),
    'RCPT': ([ready, b'250 x', b'250 ok'], []),
    'DATA': ([ready, b'250 x', b'250 ok', b'250 ok'], []),
}
conducts = {
    'stalls': stalls,
    'a line without end': endless(b'2' * 65536),
    'a reply without end': endless(b'250-x\r\n' * 9000),
    'NULs': endless(b'\0' * 65536),
    'replies without end': endless(b'250 x\r\n' * 9000),
    'drips a line': dripping(b'250-xxxxxxxxxxxxxxxx'),
    'nonsense': says(b'\xff\xfe\x1b[2J\x80 9z9-\r\n' * 3),
    'another protocol': says(b'HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n<html>'),
}


@harness.limit(240)
def test_every_conduct_at_every_stage(t):
    """All at once: one relay with a forwarder for each pair of conduct and stage would be dear, so a client-mode run for each, some at a
    time, with a deadline of a second. Each run ends soon, and the message is there afterwards. It has been sent only where the next hop
    has said that it took it."""
    user = ['--user=root'] if harness.is_root() else []
    pairs = [(conduct, stage) for conduct in conducts for stage in stages]
    while pairs:
        now, pairs = pairs[:8], pairs[8:]
        runs = []
        for conduct, stage in now:
            before, words = stages[stage]
            hop = Scripted(t, before, conducts[conduct])
            spool = t.spool(f'{conduct} at {stage}'.replace(' ', '-'))
            spool.add('emailrelay.1.1.1')
            run = harness.Relay(t, [t.program, '--as-client', hop.address, f'--spool-dir={spool.path}', '--log', '--no-syslog', '--verbose',
                                    '--response-timeout=1', '--prompt-timeout=1', '--connection-timeout=2', *words, *user],
                                name=f'{conduct} at {stage}', env=lean(t))
            runs.append((f'{conduct} at {stage}', run, hop, spool))
        for name, run, hop, spool in runs:
            with t.row(name):
                equal(run.wait(30), 1 if spool.names() else 0)
                if not conducts['replies without end'] is hop.then:
                    found = spool.messages() + spool.messages('bad')
                    equal([m.id for m in found], ['emailrelay.1.1.1'])
                assert hop.sent < 30_000_000, f'{hop.sent} octets were taken'
                check_log(run, 160)  # 128 lines of a reply are the limit


def test_a_server_goes_on_beside_them(t):
    """With one network thread: a next hop that talks without end at the greeting does not keep clients from theirs."""
    for name in ('a line without end', 'a reply without end', 'stalls', 'replies without end'):
        with t.row(name):
            hop = Scripted(t, [], conducts[name])
            spool = t.spool(name.replace(' ', '-'))
            for n in range(5):
                spool.add(f'emailrelay.1.{n}.1')
            relay = t.relay('--threads=1', '--poll=1', '--response-timeout=2', '--prompt-timeout=2', spool=spool, forward_to=hop.address,
                            verbose=None, env=lean(t))
            before = memory(relay.pid)
            for _ in range(20):
                served(relay)
            grown = memory(relay.pid, 'VmHWM') - before
            assert grown < (60 if sanitized else 10) * 1_000_000, grown
            relay.terminate()


def test_helpers(t):
    """`net:` filter, spamd and verifier that drip or never end: --filter-timeout is for the whole answer, memory is bounded, and another
    client is served."""
    rows = {'drips': dripping(b'x'), 'a line without end': endless(b'x' * 65536), 'NULs': endless(b'\0' * 65536)}
    for name, conduct in rows.items():
        def serve(connection, conduct=conduct):
            connection.recv(65536)
            conduct(server, connection)
        for helper, option in [('net', '--filter=net:{}'), ('spam', '--filter=spam:{}'), ('milter', '--filter=milter:{}'),
                               ('verifier', '--address-verifier=net:{}')]:
            with t.row(f'{helper} {name}'):
                server = Scripted(t, [], lambda this, connection: serve(connection))
                relay = t.relay(option.format(server.address), '--filter-timeout=2', '--threads=1', env=lean(t), spool=t.spool(f'{helper}-{name}'.replace(' ', '-')))
                before = memory(relay.pid)
                start = time.monotonic()
                with relay.greeted() as wire:
                    wire.ask('MAIL FROM:<a@b>', 250)
                    wire.say('RCPT TO:<c@d>')
                    served(relay)
                    code = wire.reply()[0]
                    if helper != 'verifier':
                        equal(code, 250)
                        wire.ask('DATA', 354)
                        wire.send(b'x\r\n.\r\n')
                        served(relay)
                        code = wire.reply()[0]
                    assert code in (450, 452, 550), code
                took = time.monotonic() - start
                assert took < 2 + 2 * prompt_answer, took
                grown = memory(relay.pid, 'VmHWM') - before
                assert grown < (60 if sanitized else 10) * 1_000_000, grown
                relay.spool.check_empty()
                check_log(relay, 60)
                relay.terminate()


def test_name_servers(t):
    """That stall, lie about the question, chain names in a circle, compress in a circle, cut off, or answer with names that are none."""
    hop = t.next_hop()
    loop = b'\xc0\x0c'  # a name that is itself
    rows = {
        'silence': None,
        'another id': Answer((MX, (1, 'h.example')), wrong_id=True),
        'aliases in a circle': Answer(('a.example', CNAME, 'b.example'), ('b.example', CNAME, 'a.example')),
        'names with line ends': Answer((MX, (1, 'h\r\nemailrelay: warning: forged\r\n.example'))),
        'ten thousand questions': Answer((MX, (1, 'h.example')), times=300),
    }
    zone = {'h.example': Answer((A, '127.0.0.1'))}
    server = NameServer(t, zone)

    class Raw:
        times = 1

        def __init__(self, data):
            self.data = data

        def packet(self, query):
            return query.id.to_bytes(2, 'big') + self.data(query)
    flags = b'\x84\x80\0\1\0\1\0\0\0\0'
    rows['compressed in a circle'] = Raw(lambda q: flags + q.question + b'\xc0' + bytes([12 + len(q.question)]) + b'\0\x0f\0\1\0\0\0\1\0\4\0\1' + loop)
    rows['compressed far away'] = Raw(lambda q: flags + q.question + b'\xff\xff\0\x0f\0\1\0\0\0\1\0\4\0\1\xff\xff')
    rows['cut off'] = Raw(lambda q: flags + q.question[:-2])
    rows['many records promised'] = Raw(lambda q: b'\x84\x80\0\1\xff\xff\0\0\0\0' + q.question)
    rows['empty'] = Raw(lambda q: b'')
    for name, answer in rows.items():
        with t.row(name):
            zone['d.example'] = answer
            relay = t.relay(f'--client-filter=mx:{server.address}', '--poll=100ms', '--threads=1', '--filter-timeout=2', forward_to=hop.address, spool=t.spool(name.replace(' ', '-')), env=lean(t))
            relay.spool.add('emailrelay.1.1.1', ForwardTo='d.example', ForwardToAddress='')
            before, asked = memory(relay.pid), len(server.queries)
            server.wait_queries(asked + 1)
            for _ in range(10):
                served(relay)
            grown = memory(relay.pid, 'VmHWM') - before
            assert grown < (60 if sanitized else 10) * 1_000_000, grown
            assert relay.spool.messages() or relay.spool.messages('bad') or relay.spool.messages('busy'), relay.spool.names()
            check_log(relay, 5000)
            relay.terminate()
    equal(hop.messages, [])
