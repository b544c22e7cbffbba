"""A scripted name server, and real ones from Debian packages, for tests of block lists and mail exchangers."""
import contextlib
import os
import socket
import struct
import threading

from harness import fail, find, patience, until

A, CNAME, MX, TXT, AAAA = 1, 5, 15, 16, 28
SERVFAIL, NXDOMAIN, REFUSED = 2, 3, 5


def encode_name(name):
    return b''.join(bytes([len(part)]) + part.encode() for part in name.split('.') if part) + b'\0'


def record(owner, type, data):
    """One record as bytes. `data` is an address, a name, or (preference, name) for MX."""
    if type == A:
        raw = socket.inet_aton(data)
    elif type == AAAA:
        raw = socket.inet_pton(socket.AF_INET6, data)
    elif type == MX:
        raw = struct.pack('>H', data[0]) + encode_name(data[1])
    elif type == CNAME:
        raw = encode_name(data)
    else:
        raw = data
    return encode_name(owner) + struct.pack('>HHIH', type, 1, 60, len(raw)) + raw


class Query:
    def __init__(self, packet, client):
        self.client = client
        self.id, self.flags = struct.unpack('>HH', packet[:4])
        labels, at = [], 12
        while packet[at]:
            labels.append(packet[at + 1:at + 1 + packet[at]].decode())
            at += packet[at] + 1
        self.name = '.'.join(labels)
        self.type, _ = struct.unpack('>HH', packet[at + 1:at + 5])
        self.question = packet[12:at + 5]


class Answer:
    """What to say: records as (type, data) or (owner, type, data), a code, or raw bytes in place of all."""

    def __init__(self, *records, rcode=0, flags=0x8480, wrong_id=False, times=1):
        self.records, self.rcode, self.flags, self.wrong_id, self.times = records, rcode, flags, wrong_id, times

    def packet(self, query):
        records = [record(*r) if len(r) == 3 else record(query.name, *r) for r in self.records]
        id = query.id ^ 1 if self.wrong_id else query.id
        head = struct.pack('>HHHHHH', id, self.flags | 0x100 | self.rcode, 1, len(records), 0, 0)
        return head + query.question + b''.join(records)


class NameServer:
    """`zone` maps (name, type), or a name for all its types, to an Answer, None for silence, or a function of the Query
    that gives one of these. Other names do not exist. Questions that came are in `queries`."""

    def __init__(self, bench, zone, host='127.0.0.1', port=0):
        self.zone = zone
        self.queries = []
        self.changed = threading.Condition()
        self.socket = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, port))
        self.port = self.socket.getsockname()[1]
        self.address = f'{host}.{self.port}' if ':' in host else f'{host}:{self.port}'
        threading.Thread(target=self._serve, daemon=True).start()
        bench.on_end(self.close)

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.close()

    def names(self):
        with self.changed:
            return [(q.name, q.type) for q in self.queries]

    def wait_queries(self, count, seconds=patience):
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.queries) >= count, seconds):
                fail(f'name server: {len(self.queries)} questions of {count} in {seconds} s')
            return list(self.queries)

    def answer(self, query, answer):
        """Also for questions left open before."""
        for _ in range(answer.times):
            self.socket.sendto(answer.packet(query), query.client)

    def _serve(self):
        while True:
            try:
                packet, client = self.socket.recvfrom(4096)
            except OSError:
                return
            query = Query(packet, client)
            name = query.name.lower()
            answer = self.zone.get((name, query.type), self.zone.get(name, Answer(rcode=NXDOMAIN)))
            if callable(answer):
                answer = answer(query)
            with self.changed:
                self.queries.append(query)
                self.changed.notify_all()
            if answer is not None:
                with contextlib.suppress(OSError):
                    self.answer(query, answer)


def ask(address, port, name, type, seconds=1):
    """Whether a name server answers at all."""
    packet = struct.pack('>HHHHHH', 7, 0x100, 1, 0, 0, 0) + encode_name(name) + struct.pack('>HH', type, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(seconds)
        try:
            s.sendto(packet, (address, port))
            return bool(s.recv(4096))
        except OSError:
            return False


def rbldnsd(bench, zones, port=5353):
    """rbldnsd with zones {domain: (kind, text)}; its address."""
    words = [find('rbldnsd'), '-n', '-b', f'127.0.0.1/{port}', '-f', '-t', '60', '-c', '0', '-u', 'nobody']
    folder = bench.folder('rbldnsd')
    for domain, (kind, text) in zones.items():
        (folder / domain).write_text(text)
        os.chmod(folder / domain, 0o644)
        words.append(f'{domain}:{kind}:{folder}/{domain}')
    process = bench.start(words, name='rbldnsd')
    until(lambda: not process.running() or ask('127.0.0.1', port, next(iter(zones)), TXT, 0.2), 'rbldnsd answers')
    if not process.running():
        fail(f'rbldnsd ended: {process.output}')
    return f'127.0.0.1:{port}'


def dnsmasq(bench, *options, port=5354):
    process = bench.start([find('dnsmasq'), '--no-daemon', '--no-resolv', '--no-hosts', f'--port={port}',
                           '--listen-address=127.0.0.1', '--bind-interfaces', '--conf-file=/dev/null', '--user=root', *options], name='dnsmasq')
    until(lambda: not process.running() or ask('127.0.0.1', port, 'x.example', A, 0.2), 'dnsmasq answers')
    if not process.running():
        fail(f'dnsmasq ended: {process.output}')
    return f'127.0.0.1:{port}'


def nsd(bench, zone, broken=(), port=5355):
    """NSD with one zone of this text, an authoritative server; for `broken` domains it has no data and says SERVFAIL."""
    folder = bench.folder('nsd', 0o777)
    (folder / 'zone').write_text(zone)
    config = f'server:\n ip-address: 127.0.0.1\n port: {port}\n username: ""\n zonesdir: {folder}\n database: ""\n pidfile: {folder}/pid\n' \
             f' zonelistfile: {folder}/zones\n xfrdfile: {folder}/xfrd\n xfrdir: {folder}\n logfile: {folder}/log\n server-count: 1\n rrl-ratelimit: 0\n' \
             f'remote-control:\n control-enable: no\nzone:\n name: example\n zonefile: zone\n'
    for domain in broken:
        config += f'zone:\n name: {domain}\n zonefile: none-{domain}\n'
    (folder / 'conf').write_text(config)
    bench.log_files.append(folder / 'log')
    process = bench.start([find('nsd'), '-d', '-c', folder / 'conf'], name='nsd')
    until(lambda: not process.running() or ask('127.0.0.1', port, 'example', MX, 0.2), 'nsd answers')
    if not process.running():
        fail(f'nsd ended: {process.output}')
    return f'127.0.0.1:{port}'
