"""What administrators hear while messages are forwarded, refused, filtered and abandoned (spec/admin.md section 4): every event, in its
order, in both line-end modes, as netcat shows it."""
import os
import re
import subprocess
import threading

import harness
from harness import Drop, equal, match, need, until
from test_admin import Admin, prompt
from test_filters import script

by_subject = 'exit $(sed -n "s/^Subject: //p" "$1" | tr -d "\\r")'


class Listener:
    """netcat with `notify`; -C is its way to end lines with CR-LF."""

    def __init__(self, t, port, end):
        self.end = end
        self.process = subprocess.Popen([harness.find('nc'), *(['-C'] if end == '\r\n' else []), '127.0.0.1', str(port)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, env=t.environment())
        t.on_end(self.stop)
        self.held = ''
        self.send('pid')
        self.until(prompt)
        self.send('notify')
        self.send('pid')  # when this is answered, notify has been heard
        self.until(prompt)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def send(self, command):
        os.write(self.process.stdin.fileno(), command.encode() + b'\n')

    def until(self, text):
        """What comes up to and including `text`."""
        while text not in self.held:
            part = os.read(self.process.stdout.fileno(), 65536).decode()
            if not part:
                harness.fail(f'netcat ended: {self.held!r}')
            self.held += part
        end = self.held.index(text) + len(text)
        got, self.held = self.held[:end], self.held[end:]
        return got

    def run(self):
        """All octets up to the end of a run."""
        got = self.until('client: forward: end')
        return got + self.until('  ')

    def check(self, wanted):
        equal(self.run(), ''.join(f'{self.end}EVENT: {text}  ' for text in wanted))


class Site:
    """A relay with two listeners, and a connection that gives commands."""

    def __init__(self, t, forward_to, *words, **options):
        need('nc')
        self.relay = t.relay('--admin=0', f'--forward-to={forward_to}', *words, **options)
        self.spool = self.relay.spool
        self.admin = Admin(self.relay)
        self.admin.check('pid', f'{self.relay.pid}\n')
        port = int(self.relay.wait_log(r'admin server on .*:(\d+)$').group(1))
        self.listeners = [Listener(t, port, end) for end in ('\n', '\r\n')]
        # The second one's arrival is an event for the first.
        equal(self.listeners[0].until('start  '), '\nEVENT: network: in: start  ')

    def forward(self, *wanted):
        self.admin.check('forward', 'OK\n')
        self.check(*wanted)

    def check(self, *wanted):
        for listener in self.listeners:
            listener.check(wanted)


def begin(address, first, why='admin'):
    return (f'client: forward: start: {why}', 'network: out: start', f'client: connecting: {address}', f'client: sending: {first}',
            f'client: connected: {address}')


end = ('network: out: stop', 'client: forward: end')


def test_sent_refused_and_nothing_to_send(t):
    hop = t.next_hop({'MAIL': ['250 ok', '550 bad  sender', '250 ok'], 'RCPT': ['250 ok', '250 ok', '550 no such user', '250 ok'],
                      '.': ['250 taken', '550 \x1b[31mno such\x7fthing', '250 taken']})
    site = Site(t, hop.address)
    for name in ('m0', 'm1', 'm2', 'm3', 'm4'):
        site.spool.add(name)
    site.forward(*begin(hop.address, 'm0'), 'client: sent: m0', 'client: sending: m1', 'client: sent: m1: bad sender',
                 'client: sending: m2', r'client: sent: m2: \x1b[31mno such\x7fthing', 'client: sending: m3',
                 'client: sent: m3: one or more recipients rejected', 'client: sending: m4', 'client: sent: m4', *end)
    site.forward('client: forward: end: no messages')
    equal(sorted(m.id for m in site.spool.messages('bad')), ['m1', 'm2', 'm3'])


def test_client_filters(t):
    """Rejected and abandoned by a filter, in a run that goes on, and the last message of a run that a filter ends."""
    hop = t.next_hop()
    site = Site(t, hop.address, client_filter=script(t, by_subject))
    for name, code in (('m0', 0), ('m1', 1), ('m2', 100), ('m3', 0), ('m4', 102), ('m5', 0)):
        site.spool.add(name, f'Subject: {code}\r\n\r\n'.encode())
    site.forward(*begin(hop.address, 'm0'), 'client: sent: m0', 'client: sending: m1', 'client: sent: m1: rejected', 'client: sending: m2',
                 'client: sent: m2: abandoned', 'client: sending: m3', 'client: sent: m3', 'client: sending: m4', 'client: sent: m4', *end)
    equal([m.id for m in site.spool.messages('bad')], ['m1'])
    equal([m.id for m in site.spool.messages()], ['m2', 'm5'])
    site.spool.write('m2.content', b'Subject: 1\r\n\r\n')
    site.forward(*begin(hop.address, 'm2'), 'client: sent: m2: rejected', 'client: sending: m5', 'client: sent: m5', *end)


def test_no_connection(t):
    hop = t.next_hop()
    site = Site(t, hop.address)
    hop.close()
    site.spool.add('m0')
    site.forward('client: forward: start: admin', 'network: out: start', f'client: connecting: {hop.address}', 'client: sending: m0',
                 'network: out: stop', f'client: forward: end: connect failure: cannot connect to {hop.address}')
    equal([m.id for m in site.spool.messages()], ['m0'])


def test_names(t):
    harness.no_name_server(t)
    site = Site(t, 'mail.example.net:2525')
    site.spool.add('m0')
    site.admin.check('forward', 'OK\n')
    for listener in site.listeners:
        got = [text for text in listener.run().split(listener.end + 'EVENT: ') if text]
        equal([text.removesuffix('  ') for text in got[:-1]], ['client: forward: start: admin', 'network: out: start',
                                                              'client: resolving: mail.example.net/2525/ip', 'network: out: stop'])
        match(got[-1], r'^client: forward: end: dns error: no such host: "mail\.example\.net" \(.*\)  $')
    site.admin.send('flush')
    match(site.admin.until(prompt), r'^error: dns error: no such host: "mail\.example\.net" \(.*\)\n' + prompt)


def test_lost_in_the_middle(t):
    hop = t.next_hop({'.': Drop})
    site = Site(t, hop.address)
    site.spool.add('m0')
    site.spool.add('m1')
    site.forward(*begin(hop.address, 'm0'), 'client: sent: m0: peer disconnected', 'network: out: stop',
                 'client: forward: end: peer disconnected')
    equal(([m.id for m in site.spool.messages('bad')], [m.id for m in site.spool.messages()]), (['m0'], ['m1']))


def test_reasons_of_a_run(t):
    """startup, poll, client disconnect, rescan, and one that is asked for while one is going on."""
    hop = t.next_hop()
    spool = t.spool()
    site = Site(t, hop.address, '--forward-on-disconnect', spool=spool, filter=script(t, 'exit 103'))
    with site.relay.greeted() as wire:
        equal(wire.submit(b'Subject: x\r\n\r\n')[0], 250)
        seen = site.listeners[0].run()
        match(seen, 'client: forward: start: rescan  ')
        wire.ask('QUIT', 221)
    match(site.listeners[0].run(), 'client: forward: end: no messages  $')
    site.relay.wait_log(r'forwarding: \[client disconnect\]$')
    site.relay.terminate()
    go_on = threading.Event()
    hop = t.next_hop({'.': lambda _: go_on.wait(harness.patience) and Drop})
    spool.add('m0')
    polled = t.relay('--admin=0', '--poll=1', '--forward', f'--forward-to={hop.address}', spool=spool)
    admin = Admin(polled)
    admin.send('notify')
    hop.wait_line('DATA')  # the run of the start is under way
    admin.send('forward')
    admin.until('OK\n' + prompt)
    polled.wait_log(r'forwarding: \[startup\]$')
    polled.wait_log(r'forwarding: \[(admin|poll)\]: still busy from last time: connected to ' + re.escape(hop.address) + '$')
    polled.wait_log(r'forwarding: queued request \[(admin|poll)\]$')
    go_on.set()  # the message in hand has failed, the run is over
    admin.until('client: sent: m0: peer disconnected  ')
    admin.until('client: forward: end: ')
    admin.until('client: forward: end: no messages  ')  # the one that was queued
    equal(polled.output.count('queued request'), 1)


def test_flush_makes_network_events_only(t):
    hop = t.next_hop()
    site = Site(t, hop.address)
    site.spool.add('m0')
    site.admin.check('flush', 'OK\n')
    with site.relay.greeted() as wire:
        wire.ask('QUIT', 221)
    for listener in site.listeners:
        got = [text for text in (listener.until('network: in: stop') + listener.until('  ')).split(listener.end + 'EVENT: ') if text]
        equal([text.removesuffix('  ') for text in got], ['network: out: start', 'network: out: stop', 'network: in: start', 'network: in: stop'])


def test_a_listener_gives_commands_too(t):
    """Replies and events on one connection: an event begins a line wherever it comes."""
    hop = t.next_hop()
    for line_end in ('\n', '\r\n'):
        relay = t.relay('--admin=0', f'--forward-to={hop.address}', spool=t.spool(f'spool{len(line_end)}'))
        relay.spool.add('m0')
        admin = Admin(relay, line_end)
        admin.send('notify')
        admin.check('pid', f'{relay.pid}{line_end}')
        admin.send('forward')
        equal(admin.until(prompt), 'OK' + line_end + prompt)
        equal(admin.until('client: forward: end  '), ''.join(f'{line_end}EVENT: {text}  ' for text in (
            *begin(hop.address, 'm0'), 'client: sent: m0', *end)))
        admin.check('list', '<none>' + line_end)
        relay.terminate()


def test_many_events_for_one_who_does_not_read(t):
    """Events for one who does not read are lost, others' are not, and memory stays where it is."""
    hop = t.next_hop()
    relay = t.relay('--admin=0', f'--forward-to={hop.address}', verbose=None)
    deaf, heard = Admin(relay), Admin(relay)
    for admin in (deaf, heard):
        admin.send('notify')
        admin.send('pid')
        admin.until(prompt)
    for i in range(300):
        relay.spool.add(f'm{i:03}')
    other = Admin(relay)
    other.check('forward', 'OK\n')
    got = heard.until('client: forward: end  ')
    equal(len(re.findall(r'client: sent: m\d{3}  ', got)), 300)
    relay.spool.check_empty()
    equal(relay.running(), True)
