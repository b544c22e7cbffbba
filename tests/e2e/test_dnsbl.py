"""--dnsbl, in a network of its own in which clients have public addresses (spec/dnsbl.md)."""
import re
import signal
import subprocess
import time

import harness
from harness import equal, fail, find, limit, match, mount_over, private_mounts, private_network, Wire
from name_server import A, AAAA, CNAME, NXDOMAIN, REFUSED, SERVFAIL, Answer, NameServer, rbldnsd

ipv4, ipv6 = '198.51.100.1', '2001:db8::1'
name_v4 = '1.100.51.198'
name_v6 = '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2'
port = 2525
listed = Answer((A, '127.0.0.2'))


def network():
    private_network()
    for address in (f'{ipv4}/32', f'{ipv6}/128'):
        subprocess.run([find('ip'), 'address', 'add', address, 'dev', 'lo', 'nodad'] if ':' in address else
                       [find('ip'), 'address', 'add', address, 'dev', 'lo'], check=True)


class Lists:
    """A relay for each configuration, all with one name server."""

    def __init__(self, t, zone):
        network()
        self.t = t
        self.server = NameServer(t, zone)

    def relay(self, value, *words, wait=True, **more):
        return self.t.relay('--log-address', *words, remote_clients=True, port=port, interface='0.0.0.0,::',
                            dnsbl=value.replace('{dns}', self.server.address), wait=wait, **more)


def client(address=ipv4):
    return Wire.tcp(address, port, source=(address, 0))


def welcome(wire):
    wire.expect('220 .*')
    wire.ask('NOOP', 250)
    wire.close()


def lines(relay):
    return [line.split('dnsbl: ', 1)[1] for line in relay.lines() if 'dnsbl: ' in line]


def logged(relay, wanted, which=slice(None)):
    """Lines get to the log a little after what they tell of."""
    harness.until(lambda: lines(relay)[which] == wanted, f'{wanted} in the log')


def until_closed(relay):
    relay.wait_log('smtp connection closed')


def test_answers_of_a_list(t):
    many = Answer((A, '127.0.0.2'), (A, '127.0.0.4'))
    rows = {
        'two-addresses': (many, 'denied', '127.0.0.2 127.0.0.4'),
        'other-network': (Answer((A, '127.255.255.254')), 'denied', '127.255.255.254'),
        'public-address': (Answer((A, '8.8.8.8')), 'allowed', ''),
        'public-and-loopback': (Answer((A, '8.8.8.8'), (A, '127.0.0.3')), 'denied', '127.0.0.3'),
        'only-aaaa': (Answer((AAAA, '::2')), 'allowed', ''),
        'no-name': (Answer(rcode=NXDOMAIN), 'allowed', ''),
        'empty': (Answer(), 'allowed', ''),
        'servfail': (Answer(rcode=SERVFAIL), 'allowed', ''),
        'format-error': (Answer(rcode=1), 'allowed', ''),
        'not-implemented': (Answer(rcode=4), 'allowed', ''),
        'refused': (Answer(rcode=REFUSED), 'allowed', ''),
        'alias': (Answer((CNAME, 'x.example'), ('x.example', A, '127.0.0.2')), 'denied', '127.0.0.2'),
        'truncated': (Answer((A, '127.0.0.2'), flags=0x8680), 'denied', '127.0.0.2'),
        'twice': (Answer((A, '127.0.0.2'), times=3), 'denied', '127.0.0.2'),
    }
    zone = {f'{name_v4}.{name}.example': row[0] for name, row in rows.items()}
    lists = Lists(t, zone)
    for name, (_, verdict, addresses) in rows.items():
        with t.row(name):
            relay = lists.relay(f'{name}.example,1,30s,{{dns}}')
            wire = client()
            if verdict == 'denied':
                wire.closed()
                until_closed(relay)
                equal(lines(relay)[-2:], [f'address [{ipv4}] denied by [{name}.example]: {addresses}',
                                          f'client address [{ipv4}] blocked by [{name}.example]'])
                match(relay.output, rf'(?m)^emailrelay: warning: {ipv4}; dnsbl: client address')
                match(relay.output, rf'(?m)^emailrelay: info: {ipv4}; dnsbl: address')
            else:
                welcome(wire)
                logged(relay, [f'address [{ipv4}] allowed by [{name}.example]'], slice(-1, None))
            relay.terminate()


def test_questions(t):
    """Names and types of questions, flags; ids that cannot be foreseen."""
    lists = Lists(t, {})
    relay = lists.relay('a.example, b ,1,30s,{dns}')
    welcome(client(ipv4))
    welcome(client(ipv6))
    for _ in range(8):
        welcome(client(ipv4))
    asked = lists.server.names()
    equal(sorted(asked[:2]), [(f'{name_v4}.a.example', A), (f'{name_v4}.b', A)])
    equal(sorted(asked[2:4]), [(f'{name_v6}.a.example', A), (f'{name_v6}.b', A)])
    equal({q.flags for q in lists.server.queries}, {0x0100})
    ids = [q.id for q in lists.server.queries]
    if len(set(ids)) < 15 or all(0 < b - a < 100 for a, b in zip(ids, ids[1:])):
        fail(f'ids {ids}')
    logged(relay, [f'address [{ipv4}] allowed by [a.example]', f'address [{ipv4}] allowed by [b]'], slice(2))


def test_thresholds(t):
    """Yes, no and silent lists, in every combination that decides something."""
    zone = {f'{name_v4}.{x}.example': listed for x in ('yes', 'yes2')}
    zone[f'{name_v4}.mute.example'] = None
    lists = Lists(t, zone)
    yes, yes2, no, mute = 'yes.example', 'yes2.example', 'no.example', 'mute.example'
    says = {yes: 'denied by [yes.example]: 127.0.0.2', yes2: 'denied by [yes2.example]: 127.0.0.2',
            no: 'allowed by [no.example]', mute: 'not checked by [mute.example]'}
    # lists, threshold, time-out, closed?, the warning
    rows = [
        ([yes, no], 1, '30s', True, 'client address [IP] blocked by [yes.example]'),
        ([yes, no], 2, '30s', False, None),
        ([yes, yes2], 2, '30s', True, 'client address [IP] blocked by [yes.example] [yes2.example]'),
        ([yes, yes2], 0, '30s', False, None),
        ([yes, mute], 1, '30s', True, 'client address [IP] blocked by [yes.example]'),
        ([no, mute], 2, '30s', False, None),
        ([mute], 1, '500', False, 'client address [IP]: timeout: no answer from [mute.example]'),
        ([mute], 1, '-500', True, 'client address [IP] blocked: timeout: no answer from [mute.example]'),
        ([mute], 1, '1s', False, 'client address [IP]: timeout: no answer from [mute.example]'),
        ([mute], 1, '-1s', True, 'client address [IP] blocked: timeout: no answer from [mute.example]'),
        ([mute], 0, '-500', False, 'client address [IP]: timeout: no answer from [mute.example]'),
        ([yes, mute], 2, '-500', True, 'client address [IP] blocked: timeout: no answer from [mute.example]'),
        ([yes, mute, no], 2, '500', False, 'client address [IP]: timeout: no answer from [mute.example]'),
    ]
    for domains, threshold, timeout, is_closed, warning in rows:
        with t.row(f'{domains} {threshold} {timeout}'):
            old_order = threshold == 1
            value = f'{{dns}},{timeout},{threshold},{",".join(domains)}' if old_order else \
                f'{",".join(domains)},{threshold},{timeout},{{dns}}'
            relay = lists.relay(value)
            start = time.monotonic()
            wire = client()
            if is_closed:
                wire.closed()
            else:
                welcome(wire)
            took = time.monotonic() - start
            relay.wait_log('smtp connection closed')
            waited = warning is not None and 'timeout' in warning
            if waited and took < (1 if 's' in timeout else 0.5) - 0.01:
                fail(f'decided after {took:.2f} s')
            if not waited and took > 25:
                fail(f'took {took:.2f} s')
            wanted = [warning.replace('IP', ipv4)] if warning else []
            equal([line for line in lines(relay) if line.startswith('client')], wanted)
            decided = {d: [line for line in lines(relay) if f'[{d}]' in line and line.startswith('address')] for d in domains}
            for d in domains:
                # A list that comes after the decision may or may not have been heard.
                possible = [says[d]] + ([f'not checked by [{d}]'] if not waited else [])
                if decided[d] not in [[f'address [{ipv4}] {p}'] for p in possible]:
                    fail(f'{d}: {decided[d]}')
            relay.terminate()


def test_answers_that_are_none(t):
    """Wrong id, a question in place of an answer, an unknown code: as if there were no answer."""
    zone = {f'{name_v4}.wrong-id.example': Answer((A, '127.0.0.2'), wrong_id=True),
            f'{name_v4}.question.example': Answer((A, '127.0.0.2'), flags=0),
            f'{name_v4}.code6.example': Answer(rcode=6)}
    lists = Lists(t, zone)
    for name in ('wrong-id', 'question', 'code6'):
        with t.row(name):
            relay = lists.relay(f'{name}.example,1,-500,{{dns}}')
            client().closed()
            until_closed(relay)
            equal(lines(relay)[-1], f'client address [{ipv4}] blocked: timeout: no answer from [{name}.example]')
            if name == 'code6':
                match(relay.output, r'invalid dns response: qr=1 rcode=6 id=\d+')
            relay.terminate()


def test_answers_from_somebody_else(t):
    """Somebody who sees the question and is quicker with an answer from another address is not heard."""
    lists = Lists(t, {f'{name_v4}.a.example': None})
    other = NameServer(t, {})
    relay = lists.relay('a.example,1,-1s,{dns}')
    wire = client()
    query = lists.server.wait_queries(1)[0]
    other.answer(query, Answer(rcode=NXDOMAIN))
    wire.closed()
    until_closed(relay)
    match(lines(relay)[-1], 'no answer from')


def test_nobody_at_the_address(t):
    """Nothing listens on the port: no answer, known at once."""
    lists = Lists(t, {})
    relay = lists.relay('a.example,1,30s,127.0.0.1:9')
    welcome(client())
    logged(relay, [f'client address [{ipv4}]: timeout: no answer from [a.example]'], slice(-1, None))


def test_local_clients_are_not_checked(t):
    lists = Lists(t, {f'1.0.0.127.a.example': listed})
    for address in ('10.1.2.3', '172.31.0.1', '192.168.7.7', '169.254.9.9'):
        subprocess.run([find('ip'), 'address', 'add', f'{address}/32', 'dev', 'lo'], check=True)
    subprocess.run([find('ip'), 'address', 'add', 'fd00::7/128', 'dev', 'lo', 'nodad'], check=True)
    relay = lists.relay('a.example,1,-30s,{dns}')
    exempt = ['127.0.0.1', '::1', '10.1.2.3', '172.31.0.1', '192.168.7.7', '169.254.9.9', 'fd00::7']
    for address in exempt:
        welcome(client(address))
    logged(relay, [f'not checking local address [{a}]' for a in exempt])
    equal(lists.server.names(), [])


def test_what_is_sent_before_the_greeting_is_lost(t):
    lists = Lists(t, {f'{name_v4}.a.example': None})
    lists.relay('a.example,1,60s,{dns}')
    wire = client()
    wire.send('EHLO early.example\r\nNOOP\r\n')
    query = lists.server.wait_queries(1)[0]
    wire.silent()
    lists.server.answer(query, Answer(rcode=NXDOMAIN))
    wire.expect('220 .*')
    wire.ask('MAIL FROM:<a@b.example>', 503)
    wire.ask('EHLO later.example', 250)


def test_who_is_not_checked_may_talk_early(t):
    """Local clients, and all of them while it is switched off: what they send with the connection is not lost."""
    lists = Lists(t, {f'{name_v4}.a.example': listed})
    relay = lists.relay('a.example,1,60s,{dns}', admin=2526)

    def talks_early(address):
        # It is all there before the connection is accepted.
        relay.signal(signal.SIGSTOP)
        try:
            wire = client(address)
            wire.send('EHLO early.example\r\nMAIL FROM:<a@b.example>\r\n')
        finally:
            relay.signal(signal.SIGCONT)
        wire.expect('220 .*')
        wire.expect('250-.* says hello')
        while wire.line().startswith('250-'):
            pass
        wire.expect('250 sender <a@b.example> OK')
        wire.close()

    talks_early('127.0.0.1')
    with Wire.tcp('127.0.0.1', 2526) as admin:
        admin.send('dnsbl stop\n')
        relay.wait_log('dnsbl disabled')
        talks_early(ipv4)
    equal(lists.server.names(), [])


def test_a_client_that_leaves_during_the_check(t):
    lists = Lists(t, {f'{name_v4}.a.example': None})
    relay = lists.relay('a.example,1,60s,{dns}')
    wire = client()
    query = lists.server.wait_queries(1)[0]
    wire.close()
    lists.server.answer(query, Answer(rcode=NXDOMAIN))
    relay.wait_log('smtp connection closed: peer disconnected: 198.51.100.1')


def test_stop_during_the_check(t):
    lists = Lists(t, {f'{name_v4}.a.example': None})
    relay = lists.relay('a.example,1,600s,{dns}')
    waiting = client()
    lists.server.wait_queries(1)
    relay.terminate(seconds=20)
    waiting.close()


@limit(120)
def test_many_clients_at_once(t):
    """Checks do not wait for each other."""
    lists = Lists(t, {f'{name_v4}.a.example': None})
    lists.relay('a.example,1,2s,{dns}')
    start = time.monotonic()
    wires = [client() for _ in range(100)]
    for wire in wires:
        welcome(wire)
    took = time.monotonic() - start
    if took > 60:
        fail(f'{took:.0f} s')


def test_rbldnsd(t):
    network()
    address = rbldnsd(t, {'bl4.example': ('ip4set', ':127.0.0.2:listed\n198.51.100.0/24\n'),
                          'bl6.example': ('ip6trie', ':127.0.0.3:listed\n2001:db8::/32\n'),
                          'quiet.example': ('ip4set', ':127.0.0.2:x\n203.0.113.7\n'),
                          'parked.example': ('ip4set', ':192.0.2.80:x\n0.0.0.0/1\n128.0.0.0/1\n')})
    subprocess.run([find('ip'), 'address', 'add', '203.0.113.7/32', 'dev', 'lo'], check=True)
    subprocess.run([find('ip'), 'address', 'add', '203.0.113.8/32', 'dev', 'lo'], check=True)
    relay = t.relay('--log-address', remote_clients=True, port=port, interface='0.0.0.0,::',
                    dnsbl=f'bl4.example,bl6.example,quiet.example,parked.example,1,30s,{address}')
    client(ipv4).closed()
    client(ipv6).closed()
    client('203.0.113.7').closed()
    welcome(client('203.0.113.8'))
    for text in (f'client address [{ipv4}] blocked by [bl4.example]', f'client address [{ipv6}] blocked by [bl6.example]',
                 'client address [203.0.113.7] blocked by [quiet.example]', 'address [203.0.113.8] allowed by [quiet.example]',
                 'not a listing: 192.0.2.80', 'address [203.0.113.8] allowed by [parked.example]'):
        relay.wait_log(re.escape(f'dnsbl: {text}') + '$')


def test_suspended_by_the_administrator(t):
    """For a time, or until it is switched on again; for new connections."""
    lists = Lists(t, {f'{name_v4}.a.example': listed})
    relay = lists.relay('a.example,1,30s,{dns}', admin=2526)
    with Wire.tcp('127.0.0.1', 2526) as admin:
        def command(text):
            admin.send(text + '\n')
            equal(admin.socket.recv(1000).startswith(b'OK\n'), True, text)
        client().closed()
        command('dnsbl stop')
        relay.wait_log('dnsbl disabled for 4294967295s')
        welcome(client())
        command('dnsbl start')
        relay.wait_log('dnsbl enabled')
        client().closed()
        command('dnsbl stop 2')
        relay.wait_log('dnsbl disabled for 2s')
        began = time.monotonic()
        welcome(client())

        def blocked():
            wire = client()
            try:
                return wire.line() is None
            finally:
                wire.close()
        harness.until(blocked, 'blocked again')
        if time.monotonic() - began < 1:
            fail('blocked again too early')


def test_pop_is_not_checked(t):
    lists = Lists(t, {f'{name_v4}.a.example': listed})
    lists.relay('a.example,1,30s,{dns}', '--pop', pop_port=2526, pop_auth=t.file('auth', 'server plain bob pw\n'))
    client().closed()
    with Wire.tcp(ipv4, 2526, source=(ipv4, 0)) as wire:
        wire.expect(r'\+OK.*')
    equal(len(lists.server.names()), 1)


def test_the_name_server_of_the_system(t):
    """Without an address of its own the first of resolv.conf is asked."""
    network()
    private_mounts()
    mount_over(t.file('resolv.conf', 'nameserver 127.0.0.7\nnameserver 127.0.0.8\n'), '/etc/resolv.conf')
    first = NameServer(t, {f'{name_v4}.a.example': listed}, host='127.0.0.7', port=53)
    second = NameServer(t, {}, host='127.0.0.8', port=53)
    for value in ('a.example', ',30s,1,a.example', 'a.example,1,30000,'):
        with t.row(value):
            relay = t.relay(remote_clients=True, port=port, interface='0.0.0.0', dnsbl=value)
            client().closed()
            relay.terminate()
    equal(second.names(), [])
    equal(first.names(), [(f'{name_v4}.a.example', A)] * 3)


def test_an_ipv6_name_server(t):
    network()
    server = NameServer(t, {f'{name_v4}.a.example': listed}, host='::1')
    t.relay(remote_clients=True, port=port, interface='0.0.0.0', dnsbl=f'a.example,1,30s,{server.address}')
    client().closed()


def test_configurations(t):
    network()
    for value in ('a.example', 'a.example,b', 'a.example,1,5000,', ',500,1,a.example', ''):
        with t.row(value):
            t.relay(remote_clients=True, port=port, interface='127.0.0.1', dnsbl=value).terminate()
    few = 'not enough comma-sparated fields'
    refused = {',': few, '127.0.0.1:53': few, '127.0.0.1:53,500,1': few, '1,500': few,
               'a.example,1,x': 'string conversion error: x',
               'a.example,1,500,foo': 'address error: invalid network address: foo',
               'a.example,1,500,127.0.0.1:53,extra': 'unused fields',
               '127.0.0.1,500,1,a.example': 'address error: invalid network address: 127.0.0.1',
               '[::1]:53,500,1,a.example': 'address error: invalid network address: [::1]:53'}
    spool = t.spool()
    for value, why in refused.items():
        with t.row(value):
            done = t.emailrelay('--as-server', '--remote-clients', f'--spool-dir={spool.path}', f'--dnsbl={value}', '--no-daemon', '--user=root')
            equal((done.returncode, done.stderr), (1, f'emailrelay: error: invalid dnsbl configuration: {why}\n'))
