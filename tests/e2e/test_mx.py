"""mx: as client filter and as server filter: where mail goes by what the DNS says (spec/filters-and-verifiers.md section 6)."""
import re

from harness import equal, find, limit, match, mount_over, private_mounts, private_network
from name_server import A, AAAA, CNAME, MX, NXDOMAIN, REFUSED, SERVFAIL, Answer, NameServer, dnsmasq, nsd


class Routing:
    """A port that is free on every loopback address, next hops there, a name server."""

    def __init__(self, t, zone):
        private_network()
        self.t, self.port = t, 2525
        self.server = NameServer(t, zone)
        self.default = t.next_hop()
        self.count = 0

    def hop(self, host):
        return self.t.next_hop(host=host, port=self.port)

    def send(self, forward_to, servers=None, **how):
        """Output of one run with one message."""
        self.count += 1
        self.spool = self.t.spool(f's{self.count}')
        self.spool.add('emailrelay.1.2.3', ForwardTo=forward_to)
        return self.t.forward(self.default.address, spool=self.spool, client_filter=f'mx:{self.server.address if servers is None else servers}', status=None, **how)


def set_to(output):
    found = re.findall(r'routing-filter \[mx:.*?\]: \[emailrelay\.1\.2\.3\]: setting forward-to-address (.*)', output)
    return found[0] if len(found) == 1 else found


def test_where_mail_goes(t):
    zone = {('best.example', MX): Answer((MX, (20, 'b.example')), (MX, (10, 'a.example')), (MX, (10, 'b.example'))),
            ('a.example', A): Answer((A, '127.0.0.2')), ('a.example', AAAA): Answer(),
            ('b.example', A): Answer((A, '127.0.0.3')), ('b.example', AAAA): Answer(),
            ('implicit.example', MX): Answer(), ('implicit.example', A): Answer((A, '127.0.0.2')), ('implicit.example', AAAA): Answer(),
            ('six.example', MX): Answer((MX, (5, 'host6.example'))), ('host6.example', A): Answer(), ('host6.example', AAAA): Answer((AAAA, '::1')),
            ('alias.example', MX): Answer((CNAME, 'best.example')),
            ('whole-alias.example', MX): Answer((CNAME, 'best.example'), ('best.example', MX, (1, 'a.example'))),
            ('direct.example', MX): Answer((A, '127.0.0.3')),
            ('host-alias.example', MX): Answer((MX, (1, 'c.example'))), ('c.example', A): Answer((CNAME, 'a.example')), ('c.example', AAAA): Answer(),
            ('gone-first.example', MX): Answer((MX, (1, 'none.example')), (MX, (2, 'a.example')))
            }
    routing = Routing(t, zone)
    hops = {host: routing.hop(host) for host in ('127.0.0.2', '127.0.0.3', '::1')}
    p = routing.port
    rows = {f'best.example:{p}': '127.0.0.2', f'someone@best.example:{p}': '127.0.0.2', f'implicit.example:{p}': '127.0.0.2', f'six.example:{p}': '::1',
            f'alias.example:{p}': '127.0.0.2', f'whole-alias.example:{p}': '127.0.0.2', f'direct.example:{p}': '127.0.0.3',
            f'host-alias.example:{p}': '127.0.0.2', f'gone-first.example:{p}': '127.0.0.2', f'[127.0.0.3]:{p}': '127.0.0.3', f'[IPv6:::1]:{p}': '::1',
            f'BEST.example:{p}': '127.0.0.2'}
    for to, host in rows.items():
        with t.row(to):
            before = {h: len(hop.messages) for h, hop in hops.items()}
            output = routing.send(to)
            routing.spool.check_empty(output)
            equal({h: len(hop.messages) - before[h] for h, hop in hops.items()}, {h: int(h == host) for h in hops})
            equal(set_to(output), f'[{host}{"." if ":" in host else ":"}{p}]')
    equal(len(routing.default.messages), 0)


def test_without_a_port(t):
    routing = Routing(t, {('a.example', MX): Answer((MX, (1, 'h.example'))), ('h.example', A): Answer((A, '127.0.0.2'))})
    hop = t.next_hop(host='127.0.0.2', port=25)
    routing.send('a.example')
    equal(len(hop.messages), 1)


def test_failures(t):
    """What the DNS knows not to exist fails; what it does not know now is left."""
    def silent(query):
        return None
    zone = {('null.example', MX): Answer((MX, (0, ''))), ('nothing.example', MX): Answer(), ('nothing.example', A): Answer(), ('nothing.example', AAAA): Answer(),
            ('broken.example', MX): Answer(rcode=SERVFAIL), ('refused.example', MX): Answer(rcode=REFUSED), ('mute.example', MX): silent,
            ('half.example', MX): Answer((MX, (1, 'mute-host.example'))), 'mute-host.example': Answer(rcode=SERVFAIL),
            ('circle.example', MX): Answer((CNAME, 'circle2.example')), ('circle2.example', MX): Answer((CNAME, 'circle.example'))}
    routing = Routing(t, zone)
    # An address without brackets is the name of a domain that is not there.
    for to in ('nowhere.example', 'null.example', 'nothing.example', 'circle.example', '[127.0.0.1', '[::1]', f'127.0.0.2:{routing.port}',
               'two..dots.example', f'{"x" * 64}.example'):
        with t.row(to):
            output = routing.send(to)
            bad = routing.spool.one('bad')
            equal(bad.field('Reason'), 'routing filter failed: failed: failed', output)
            equal(bad.field('ForwardToAddress'), '')
            match(str(set_to(output)), r'^\[\] \(.+\)$')
    for to in ('broken.example', 'refused.example', 'mute.example', 'half.example'):
        with t.row(to):
            output = routing.send(to, filter_timeout=2)
            routing.spool.one()
            match(str(set_to(output)), r'^\[\] \(.+\)$')
    equal(len(routing.default.messages), 0)


def test_unspecified_address_and_no_domain(t):
    """0.0.0.0 means the default next hop; without ForwardTo nothing is asked."""
    routing = Routing(t, {('a.example', MX): Answer((MX, (1, 'h.example'))), ('h.example', A): Answer((A, '0.0.0.0')), ('h.example', AAAA): Answer()})
    output = routing.send('a.example')
    equal(set_to(output), '[]')
    equal(len(routing.default.messages), 1)
    asked = len(routing.server.queries)
    routing.send('')
    equal(len(routing.default.messages), 2)
    equal(len(routing.server.queries), asked)


def test_the_next_best_is_tried(t):
    """Nobody listens at the best exchanger: the next one gets the message. Nobody at all: it is kept, the others go."""
    zone = {('a.example', MX): Answer((MX, (1, 'dead.example')), (MX, (2, 'live.example'))),
            ('dead.example', A): Answer((A, '127.0.0.9')), ('dead.example', AAAA): Answer(),
            ('live.example', A): Answer((A, '127.0.0.8'), (A, '127.0.0.2')), ('live.example', AAAA): Answer(),
            ('b.example', MX): Answer((MX, (1, 'dead.example')))}
    routing = Routing(t, zone)
    hop = routing.hop('127.0.0.2')
    output = routing.send(f'a.example:{routing.port}')
    equal(len(hop.messages), 1, output)
    equal(set_to(output), f'[127.0.0.9:{routing.port}]')
    routing.spool.check_empty()
    output = routing.send(f'b.example:{routing.port}')
    match(output, rf'smtp connection failed: connect failure: cannot connect to 127\.0\.0\.9:{routing.port}')
    routing.spool.one()
    equal(len(routing.default.messages), 0)


def test_the_name_servers_of_the_system(t):
    """Without any of its own it asks those of resolv.conf, one after the other."""
    routing = Routing(t, {('a.example', MX): Answer((MX, (1, 'h.example'))), ('h.example', A): Answer((A, '127.0.0.2')), ('h.example', AAAA): Answer()})
    private_mounts()
    mount_over(t.file('resolv.conf', 'nameserver 127.0.0.7\nnameserver 127.0.0.8\n'), '/etc/resolv.conf')
    first = NameServer(t, {'a.example': Answer(rcode=SERVFAIL), 'h.example': Answer(rcode=SERVFAIL)}, host='127.0.0.7', port=53)
    second = NameServer(t, routing.server.zone, host='127.0.0.8', port=53)
    hop = routing.hop('127.0.0.2')
    output = routing.send(f'a.example:{routing.port}', servers='')
    equal(len(hop.messages), 1, output)
    equal((first.names()[0], second.names()), (('a.example', MX), [('a.example', MX), ('h.example', A), ('h.example', AAAA)]))


def test_several_servers(t):
    """A silent server is passed over after a time, a broken one at once."""
    routing = Routing(t, {('a.example', MX): Answer((MX, (1, 'h.example'))), ('h.example', A): Answer((A, '127.0.0.2')), ('h.example', AAAA): Answer()})
    mute = NameServer(t, {(n, ty): None for n in ('a.example', 'h.example') for ty in (A, AAAA, MX)}, host='127.0.0.7', port=53)
    broken = NameServer(t, {(n, ty): Answer(rcode=SERVFAIL) for n in ('a.example', 'h.example') for ty in (A, AAAA, MX)}, host='127.0.0.8')
    hop = routing.hop('127.0.0.2')
    output = routing.send(f'a.example:{routing.port}', servers=f'nst=1;rt=5;bad;127.0.0.7;{broken.address};127.0.0.9:9;{routing.server.address}')
    equal(len(hop.messages), 1, output)
    match(output, r'invalid mx filter configuration: ignoring \[bad\]')
    equal([q[1] for q in mute.names()], [MX, A, AAAA])
    equal([q[1] for q in broken.names()], [MX, A, AAAA])


# Where mail for a domain goes, or "none" when there is no such place, "later" when nobody knows now.
zone_text = '''$ORIGIN example.
$TTL 60
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
four A 127.0.0.2
six AAAA ::1
both A 127.0.0.3
both AAAA ::1
dead A 127.0.0.9
dead-six AAAA fd00::9
best MX 20 both
best MX 10 four
only-six MX 5 six
four-first MX 5 both
next MX 1 dead
next MX 2 dead-six
next MX 3 four
next-six MX 1 dead
next-six MX 2 six
next-of-host MX 1 two-addresses
two-addresses A 127.0.0.9
two-addresses AAAA ::1
implicit A 127.0.0.3
implicit-six AAAA ::1
alias CNAME best
alias-of-nothing CNAME nowhere
missing-first MX 1 nowhere
missing-first MX 2 four
null MX 0 .
text TXT "no address at all"
all-missing MX 1 nowhere
'''
places = {'best': '127.0.0.2', 'only-six': '::1', 'four-first': '127.0.0.3', 'next': '127.0.0.2', 'next-six': '::1', 'next-of-host': '::1',
          'implicit': '127.0.0.3', 'implicit-six': '::1', 'alias': '127.0.0.2', 'missing-first': '127.0.0.2', 'someone@best': '127.0.0.2',
          'null': 'none', 'text': 'none', 'nowhere': 'none', 'alias-of-nothing': 'none', 'all-missing': 'none',
          'broken': 'later', 'sub.broken': 'later'}


class RealServer:
    """The zone above, and next hops on a port that is free on every loopback address."""

    def __init__(self, t):
        private_network()
        self.address = nsd(t, zone_text, broken=['broken.example'])
        self.hops = {host: t.next_hop(host=host, port=2525) for host in ('127.0.0.2', '127.0.0.3', '::1')}
        self.default = t.next_hop()
        self.seen = {h: 0 for h in self.hops}

    def arrived(self):
        """The addresses at which mail has come since the last time."""
        now = {h: len(hop.messages) for h, hop in self.hops.items()}
        new = [h for h in now for _ in range(now[h] - self.seen[h])]
        self.seen = now
        return new


@limit(240)
def test_every_case_as_client_filter(t):
    server = RealServer(t)
    for number, (domain, place) in enumerate(places.items()):
        with t.row(domain):
            spool = t.spool(f's{number}')
            spool.add('emailrelay.1.2.3', ForwardTo=f'{domain}.example:2525')
            output = t.forward(server.default.address, spool=spool, client_filter=f'mx:{server.address}', status=None)
            equal(server.arrived(), [place] if place not in ('none', 'later') else [], output)
            if place == 'none':
                equal(spool.one('bad').field('Reason'), 'routing filter failed: failed: failed')
            elif place == 'later':
                spool.one()
            else:
                spool.check_empty()
    equal(server.default.connections, 0)


@limit(240)
def test_every_case_as_server_filter(t):
    """What it finds when a message comes in holds when the message goes on, the next best addresses too, also in another run."""
    server = RealServer(t)
    relay = t.relay(f'--filter=split:2525,mx:{server.address}')
    for domain, place in places.items():
        if '@' in domain:
            continue
        with t.row(domain):
            with relay.greeted() as wire:
                code, texts = wire.submit(b'Subject: x\r\n\r\nhello\r\n', to=[f'me@{domain}.example'])
            if place in ('none', 'later'):
                equal((code, texts), (452, ['failed']))
                relay.spool.check_empty()
                continue
            equal(code, 250, str(texts))
            output = t.forward(server.default.address, spool=relay.spool, status=None)
            equal(server.arrived(), [place], output)
            relay.spool.check_empty()
    equal(server.default.connections, 0)


def test_next_best_at_once_and_after_a_change(t):
    """--immediate goes to the next best too. Who has put in another address meant that one alone."""
    server = RealServer(t)
    relay = t.relay('--immediate', f'--filter=split:2525,mx:{server.address}', forward_to=server.default.address)
    with relay.greeted() as wire:
        equal(wire.submit(b'x\r\n', to=['me@next.example']), (250, ['message processed']))
    equal(server.arrived(), ['127.0.0.2'])
    relay.spool.check_empty()
    spool = t.spool('other')
    relay = t.relay(f'--filter=split:2525,mx:{server.address}', spool=spool)
    with relay.greeted() as wire:
        equal(wire.submit(b'x\r\n', to=['me@next.example'])[0], 250)
    message = spool.one()
    equal(message.field('ForwardToNextBest'), '127.0.0.9:2525 fd00::9.2525 127.0.0.2:2525')
    text = message.envelope
    message.envelope_path.write_bytes(text.replace(b'ForwardToAddress: 127.0.0.9:', b'ForwardToAddress: 127.0.0.99:'))
    output = t.forward(server.default.address, spool=spool, status=None)
    match(output, r'cannot connect to 127\.0\.0\.99:2525')
    equal((server.arrived(), server.default.connections), ([], 0))
    message.envelope_path.write_bytes(text)
    t.forward(server.default.address, spool=spool)
    equal(server.arrived(), ['127.0.0.2'])


@limit(120)
def test_three_domains(t):
    """One message to three domains: split: and mx: with a real name server and three real next hops."""
    private_network()
    address = dnsmasq(t, *[o for n in (1, 2, 3) for o in (f'--mx-host=d{n}.example,mail{n}.example,10', f'--host-record=mail{n}.example,127.0.1.{n}')])
    hops = []
    for n in (1, 2, 3):
        folder = t.folder(f'sink{n}', mode=0o777)
        t.start([find('smtp-sink'), '-u', 'nobody', '-d', f'{folder}/m.', f'127.0.1.{n}:2525', '100'], name=f'sink{n}')
        hops.append(folder)
    default = t.next_hop()
    relay = t.relay(f'--forward-to={default.address}', '--forward-on-disconnect', f'--client-filter=mx:{address}', filter='split:2525')
    with relay.greeted() as wire:
        equal(wire.submit(b'Subject: x\r\n\r\nto three\r\n', to=('a@d1.example', 'b@D2.example', 'c@d3.example', 'd@d1.example'))[0], 250)
    relay.spool.wait_empty()
    texts = [b''.join(f.read_bytes() for f in sorted(folder.iterdir())) for folder in hops]
    for text, wanted in zip(texts, ([b'a@d1.example', b'd@d1.example'], [b'b@D2.example'], [b'c@d3.example'])):
        equal(text.count(b'to three'), 1)
        equal(sorted(re.findall(rb'(?m)^X-Rcpt-Args: <(.*)>', text)), wanted)
    equal(len(default.messages), 0)
