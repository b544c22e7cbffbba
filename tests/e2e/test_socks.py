"""Next hops behind a SOCKS server (spec/smtp-client.md section 2.1): a real one, and every way it can go wrong."""
import contextlib
import getpass
import os
import socket
import threading

import harness
from harness import equal, fail, find, is_root, match

granted = b'\0\x5a\0\0\0\0\0\0'


class SocksServer:
    """Takes one request after the other and says what it is told: bytes, or Drop or Stall. `relay_to`: a port to which
    what follows is passed on."""

    def __init__(self, bench, answer, relay_to=None, pieces=False, port=0):
        self.answer, self.relay_to, self.pieces = answer, relay_to, pieces
        self.requests = []
        self.listener = socket.create_server(('127.0.0.1', port))
        self.address = f'127.0.0.1:{self.listener.getsockname()[1]}'
        self.kept = []
        threading.Thread(target=self._serve, daemon=True).start()
        bench.on_end(self.listener.close)

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self._talk(connection)

    def _talk(self, connection):
        connection.settimeout(harness.patience)
        request = b''
        while len(request) < 10 or not request.endswith(b'\0'):
            part = connection.recv(1 if self.pieces else 1000)
            if not part:
                break
            request += part
        self.requests.append(request)
        if self.answer is harness.Drop:
            connection.close()
        elif self.answer is harness.Stall:
            self.kept.append(connection)
        else:
            for part in ([bytes([b]) for b in self.answer] if self.pieces else [self.answer]):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.sendall(part)
            if self.relay_to is None:
                connection.close()
            else:
                onward = socket.create_connection(('127.0.0.1', self.relay_to))
                for a, b in ((connection, onward), (onward, connection)):
                    threading.Thread(target=self._copy, args=(a, b), daemon=True).start()

    def _copy(self, source, target):
        with contextlib.suppress(OSError):
            while part := source.recv(65536):
                target.sendall(part)
            target.shutdown(socket.SHUT_WR)


def ssh_as_socks_server(t):
    """`ssh -D` to an sshd of our own: a SOCKS server in daily use. Its address."""
    find('ssh-keygen')
    server, client = find('sshd'), find('ssh')
    if is_root():
        os.makedirs('/run/sshd', mode=0o755, exist_ok=True)  # sshd insists on it
    folder = t.folder('ssh', 0o700)
    for name in ('host', 'user'):
        t.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', folder / name])
    port, socks_port = harness.free_port(), harness.free_port()
    config = t.file('ssh/config', f'''ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
StrictModes no
UsePAM no
PidFile none
PermitRootLogin yes
''')
    sshd = t.start([server, '-D', '-e', '-f', config])
    sshd.wait_output('Server listening on')
    ssh = t.start([client, '-N', '-v', '-D', f'127.0.0.1:{socks_port}', '-p', port, '-i', folder / 'user', '-F', 'none',
                   '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o', 'BatchMode=yes',
                   '-o', 'ExitOnForwardFailure=yes', f'{getpass.getuser()}@127.0.0.1'])
    ssh.wait_output('Entering interactive session')
    return f'127.0.0.1:{socks_port}'


def test_through_ssh(t):
    """The far name is looked up over there, and the mail arrives."""
    socks = ssh_as_socks_server(t)
    hop = t.next_hop()
    spool = t.spool()
    for host in ('localhost', '127.0.0.1'):
        with t.row(host):
            spool.add('emailrelay.1.1.1', b'Subject: x\r\n\r\n' + b'0123456789\r\n' * 50000)
            output = t.forward(f'{host}:{hop.port}@{socks}')
            match(output, rf'(?m)^emailrelay: info: smtp connection to {socks}$')
            equal(hop.messages[-1].body, b'Subject: x\r\n\r\n' + b'0123456789\r\n' * 50000)
            spool.check_empty()
    with t.row('nobody there'):
        spool.add('emailrelay.1.1.1')
        output = t.forward(f'localhost:{harness.free_port()}@{socks}', status=1)
        match(output, r'(?m)^emailrelay: warning: smtp client error: socks error: disconnected$')
        spool.one()


def test_exchange(t):
    hop = t.next_hop()
    spool = t.spool()
    for host, port, sent in [('far.example', hop.port, b'far.example'), ('bücher.example', hop.port, b'xn--bcher-kva.example'),
                             ('192.0.2.7', 25, b'192.0.2.7'), ('[2001:db8::7]', 65535, b'2001:db8::7')]:
        for pieces in (False, True):
            with t.row(f'{host} pieces={pieces}'):
                socks = SocksServer(t, granted, relay_to=hop.port, pieces=pieces)
                spool.add('emailrelay.1.1.1')
                t.forward(f'{host}:{port}@{socks.address}')
                equal(socks.requests, [b'\x04\x01' + port.to_bytes(2, 'big') + b'\0\0\0\1\0' + sent + b'\0'])
                spool.check_empty()


def test_failures(t):
    """The message stays as it was, the run ends, the exit code says so."""
    spool = t.spool()
    message = spool.add('emailrelay.1.1.1')
    before = message.envelope
    rows = [('rejected', b'\0\x5b' + b'\0' * 6, 'socks error: request rejected'),
            ('rejected, no identd', b'\0\x5c' + b'\0' * 6, 'socks error: request rejected'),
            ('rejected, short', b'\0\x5b', 'socks error: request rejected'),
            ('version 5 only', b'\x05\xff', 'socks error: invalid response'),
            ('a web server', b'HTTP/1.0 400 Bad Request\r\n\r\n', 'socks error: invalid response'),
            ('a mail server', b'220 ready\r\n', 'socks error: invalid response'),
            ('gone', harness.Drop, 'socks error: disconnected'),
            ('gone in the middle', granted[:7], 'socks error: disconnected')]
    for name, answer, wanted in rows:
        with t.row(name):
            socks = SocksServer(t, answer)
            output = t.forward(f'far.example:25@{socks.address}', status=1)
            match(output, rf'(?m)^emailrelay: warning: smtp client error: {wanted}$')
            match(output, rf'(?m)^emailrelay: error: {wanted}$')
            equal(spool.one().envelope, before)
    with t.row('no answer'):
        socks = SocksServer(t, harness.Stall)
        output = t.forward(f'far.example:25@{socks.address}', '--connection-timeout=1', status=1)
        match(output, rf'smtp client error: connect failure: cannot connect to {socks.address}: timed out out after 1s')
        equal(spool.one().envelope, before)
    with t.row('nobody there'):
        port = harness.free_port()
        output = t.forward(f'far.example:25@127.0.0.1:{port}', status=1)
        match(output, rf'smtp client error: connect failure: cannot connect to 127\.0\.0\.1:{port}')
        equal(spool.one().envelope, before)


def test_stop_during_the_exchange(t):
    """Told to end while a SOCKS server keeps silent, it ends at once and the message is unlocked."""
    socks = SocksServer(t, harness.Stall)
    spool = t.spool()
    spool.add('emailrelay.1.1.1')
    relay = t.relay('--forward', forward_to=f'far.example:25@{socks.address}', spool=spool)
    harness.until(lambda: socks.requests, 'request seen')
    relay.terminate(seconds=4)
    equal(spool.names(), ['emailrelay.1.1.1.content', 'emailrelay.1.1.1.envelope'])


def test_far_name_is_not_looked_up_here(t):
    """Neither at start, when the forwarding address is checked, nor for a connection."""
    hop = t.next_hop()
    socks = SocksServer(t, granted, relay_to=hop.port)
    relay = t.relay(forward_to=f'no-such-host.invalid:25@{socks.address}', forward_on_disconnect=True)
    with relay.greeted() as wire:
        equal(wire.submit(b'x\r\n')[0], 250)
        wire.ask('QUIT', 221)
    hop.wait_messages(1)
    relay.terminate()
    if 'no such host' in relay.output:
        fail(relay.output)


def test_far_port_must_be_a_number(t):
    t.spool().add('emailrelay.1.1.1')
    output = t.forward('far.example:smtp@127.0.0.1:1080', status=1)
    match(output, r'invalid host:service format: far\.example:smtp@127\.0\.0\.1:1080')
