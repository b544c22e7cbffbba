#!/usr/bin/env python3
"""Fuzzes a running relay over its sockets: tests/fuzz/end_to_end.py [--bin-dir build/asan/bin] [--seconds 60] [--seed N] [--sessions 8]

Several clients at once speak SMTP (in clear and with TLS), POP and the admin protocol as their grammars have it, with mistakes
put in; the next hop, the filter and the verifier answer with mistakes too. What each session does follows from the seed, which
is printed; when things happen does not. A round takes some 30 seconds and ends with these checks:

  - the relay lives, ends in an orderly way when asked to, and no sanitizer has said anything;
  - every message that got its 250 has come to the next hop, line ends made CR-LF and otherwise octet for octet, or is in the
    spool as a `.bad` message with a reason and with the content that was accepted; the next hop got nothing else;
  - its memory is within bounds, and its log has whole lines of printable characters.
"""
import argparse
import contextlib
import os
import pathlib
import random
import re
import socket
import ssl
import sys
import threading
import time

top = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(top / 'tests/e2e'))

round_seconds = 30
memory_bound_kb = 1_200_000  # under the address sanitizer, which keeps what is freed for a while


def normal(content):
    """As it goes to the next hop: every line end CR-LF, one at the end."""
    text = re.sub(rb'\r\n|\r|\n', b'\r\n', content)
    return text if not text or text.endswith(b'\r\n') else text + b'\r\n'


class Mutator:
    """Mistakes, from a seed."""

    interesting = [b'\r', b'\n', b'\r\n', b'\0', b'\x16', b'\xff', b'\xc3\xa9', b'.', b'\r\n.\r\n', b'\n.\n', b' ', b'\t', b'<', b'>', b'"',
                   b'\\', b'%s%n', b'@', b':', b'=', b'*', b'|', b'\x1b[2J', b'A' * 300, b'A' * 5000, b'99999999999999999999', b'-1', b'0']

    def __init__(self, seed):
        self.random = random.Random(seed)

    def chance(self, n):
        return self.random.randrange(n) == 0

    def octets(self, most=40):
        return bytes(self.random.randrange(256) for _ in range(self.random.randrange(most)))

    def mutated(self, data):
        data = bytearray(data)
        for _ in range(self.random.choice([1, 1, 1, 2, 5])):
            at = self.random.randrange(len(data) + 1)
            how = self.random.randrange(6)
            if how == 0 and data:
                data[min(at, len(data) - 1)] ^= 1 << self.random.randrange(8)
            elif how == 1:
                del data[at:at + self.random.choice([1, 2, 10, 1000])]
            elif how == 2:
                data[at:at] = self.random.choice(self.interesting)
            elif how == 3:
                data[at:at] = self.octets()
            elif how == 4:
                data[at:at] = data[at:at + self.random.randrange(50)]
            else:
                del data[at:]
        return bytes(data)

    def maybe(self, data, n=6):
        return self.mutated(data) if self.chance(n) else data


class Gone(Exception):
    """The relay has ended the session."""


class Peer:
    """One connection to the relay."""

    def __init__(self, port, mutator):
        self.m = mutator
        self.socket = socket.create_connection(('127.0.0.1', port), timeout=20)
        self.held = b''

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """In one piece or in several."""
        r = self.m.random
        try:
            if self.m.chance(4):
                for _ in range(3):
                    cut = r.randrange(len(data) + 1)
                    self.socket.sendall(data[:cut])
                    data = data[cut:]
            self.socket.sendall(data)
        except OSError:
            raise Gone

    def line(self):
        while b'\n' not in self.held:
            try:
                part = self.socket.recv(65536)
            except OSError:
                raise Gone
            if not part:
                raise Gone
            self.held += part
        line, self.held = self.held.split(b'\n', 1)
        return line

    def reply(self):
        while True:
            line = self.line()
            if line[3:4] != b'-':
                return line

    def until(self, pattern):
        """Reads lines up to one that has `pattern`; other replies are those of earlier mistakes."""
        while True:
            line = self.line()
            if re.search(pattern, line):
                return line

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')


class Round:
    """One relay and its surroundings, from start to the checks at its end."""

    def __init__(self, t, seed, sessions, authority, harness, helpers):
        self.t, self.seed, self.sessions, self.harness = t, seed, sessions, harness
        self.lock = threading.Lock()
        self.accepted = {}  # token -> content
        self.offered = {}
        self.counts = {'sessions': 0, 'messages': 0, 'mistakes': 0}  # mistakes: of the next hop and the helpers
        self.faults = []
        self.calm = False  # the helpers and the next hop make no mistakes any more
        self.helper_mutator = Mutator(f'{seed} helpers')
        answers = self.helper_answers
        self.filter = helpers.LineServer(t, lambda line, _: answers(b'ok'))
        self.verifier = helpers.LineServer(t, lambda line, _: answers(b'1|' + line.split('|')[0].encode('utf-8', 'surrogateescape')))
        script = {verb: self.hop_answer(text) for verb, text in harness.NextHop.usual.items()}
        script['EHLO'] = self.hop_answer('250-next\r\n250-8BITMIME\r\n250-PIPELINING\r\n250 SMTPUTF8')
        self.hop = harness.NextHop(t, script)
        secrets = t.file(f'secrets-{seed}', 'server plain bob secret\n')
        secrets.chmod(0o644)
        self.spool = t.spool(f'spool-{seed}')
        (self.spool.path / 'bob').mkdir()
        for n in range(5):
            harness.Spool(self.spool.path / 'bob').add(f'emailrelay.1.1.{n + 1}', b'Subject: x\r\n\r\n' + b'.line\r\n' * 10 ** n)
        certificate = authority
        self.relay = t.relay(
            '--server-tls', f'--server-tls-certificate={certificate}', '--pop', '--pop-port=0', '--pop-by-name', f'--pop-auth={secrets}',
            '--admin=0', f'--filter=net:{self.filter.address}', f'--address-verifier=net:{self.verifier.address}', '--forward-on-disconnect',
            '--server-smtp-config=+chunking,+smtputf8', '--size=300000', '--idle-timeout=5', '--filter-timeout=2', '--response-timeout=2',
            '--connection-timeout=2', '--command-timeout=5', '--poll=2', spool=self.spool, forward_to=self.hop.address, verbose=None,
            name=f'emailrelay-{seed}', env={'ASAN_OPTIONS': t.environment()['ASAN_OPTIONS'] + ':quarantine_size_mb=32'})
        self.pop_port = int(self.relay.wait_log(r'pop server on .*[:.](\d+)$').group(1))
        self.admin_port = int(self.relay.wait_log(r'admin server on .*[:.](\d+)$').group(1))

    # ---- what the relay talks to

    def helper_answers(self, good):
        with self.lock:
            m = self.helper_mutator
            if self.calm or not m.chance(12):
                return good + b'\n'
            self.counts['mistakes'] += 1
            kind = m.random.randrange(5)
            if kind == 0:
                return EOFError
            if kind == 1:
                return None
            if kind == 2:
                return m.octets(3000)
            if kind == 3:
                return m.mutated(good) + b'\n'
            return m.mutated(b'550 no\treason') + b'\n'

    def hop_answer(self, good):
        def answer(_):
            with self.lock:
                m = self.helper_mutator
                if self.calm or not m.chance(40):
                    return good
                self.counts['mistakes'] += 1
                kind = m.random.randrange(6)
                if kind == 0:
                    return self.harness.Drop
                if kind == 1:
                    return self.harness.Reset
                if kind == 2:
                    return self.harness.Stall
                if kind == 3:
                    return '452 later'
                if kind == 4:
                    return '550-no\r\n550 no'
                # An answer that still takes the message would make NextHop keep what the relay does not count as sent.
                return b'5' + m.mutated(good.encode())[1:] + b'\r\n'
        return answer

    # ---- the clients

    def run(self, seconds):
        end = time.monotonic() + seconds
        threads = [threading.Thread(target=self.client, args=(n, end), daemon=True) for n in range(self.sessions)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds + 120)
            if thread.is_alive():
                self.faults.append('a session did not end')

    def client(self, number, end):
        kinds = [self.smtp] * 6 + [self.pop, self.admin, self.rubbish]
        serial = 0
        while time.monotonic() < end and self.relay.running():
            serial += 1
            m = Mutator(f'{self.seed} {number} {serial}')
            kind = m.random.choice(kinds)
            try:
                kind(m, f'{self.seed}.{number}.{serial}')
            except (Gone, OSError, ValueError):
                pass
            except Exception as e:
                self.faults.append(f'session {number} {serial}: {e!r}')
            with self.lock:
                self.counts['sessions'] += 1

    def smtp(self, m, name):
        with Peer(self.relay.port, m) as p:
            p.until(b'^220')
            for step in range(m.random.choice([1, 2, 3, 8])):
                kind = m.random.randrange(12)
                if kind < 8:
                    self.transaction(p, f'{name}.{step}')
                elif kind == 8:
                    self.start_tls(p)
                elif kind == 9:
                    p.send(m.mutated(m.random.choice([b'EHLO x', b'HELO x', b'NOOP', b'RSET', b'VRFY you', b'AUTH PLAIN AGJvYgBzZWNyZXQ=', b'HELP',
                                                      b'EXPN x', b'BDAT 10', b'MAIL FROM:<a@b> SIZE=10', b'RCPT TO:<c@d>'])) + b'\r\n')
                elif kind == 10:
                    p.send(m.octets(2000))
                else:
                    p.send(b'QUIT\r\n')
                    p.until(b'^221')
                    return
            if m.chance(3):
                p.reset()

    def start_tls(self, p):
        p.send(b'EHLO x\r\nSTARTTLS\r\n' + (b'MAIL FROM:<injected@x>\r\n' if p.m.chance(3) else b''))
        p.until(b'^220|^5')
        if p.m.chance(3):
            p.send(p.m.mutated(bytes.fromhex('16030100380100003403030000') + bytes(44)))
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        p.socket = context.wrap_socket(p.socket)
        p.held = b''
        p.send(b'EHLO secret\r\n')
        p.until(b'^250 ')

    def content(self, m, token):
        lines = [b'X-Token: ' + token.encode(), b'Subject: ' + m.maybe(b'hello', 4).replace(b'\n', b' ').replace(b'\r', b' '), b'']
        for _ in range(m.random.choice([0, 1, 5, 50])):
            lines.append(m.random.choice([b'text', b'.', b'..', b'.text', b'', b'x' * 998, m.octets(200), b'bare\rreturn', b'bare\nfeed', b'\n.\n',
                                          b'\r.\r', b'MAIL FROM:<smuggled@x>']))
        if m.chance(8):
            lines.append(b'y' * m.random.randrange(400_000))
        return b'\r\n'.join(lines) + m.random.choice([b'\r\n', b'\r\n', b''])

    def transaction(self, p, token):
        m = p.m
        content = self.content(m, token)
        if m.chance(3):
            p.send(m.maybe(b'EHLO ' + m.maybe(b'client.example.org', 3), 3).replace(b'\n', b'') + b'\r\n')
        # Whatever came before: the answer to this shows that all replies up to here have been read.
        p.send(b'RSET\r\nMAIL FROM:<' + token.encode() + b'@example.com>\r\n')
        line = p.until(b'250 sender <' + re.escape(token.encode()) + b'@|^[45].. .*(ehlo|sequence|bad)|^421')
        if not line.startswith(b'250'):
            p.send(b'EHLO x\r\nMAIL FROM:<' + token.encode() + b'@example.com>\r\n')
            p.until(b'250 sender <' + re.escape(token.encode()) + b'@')
        if m.chance(8):
            p.send(m.mutated(b'RCPT TO:<' + m.maybe(b'wrong@example.net', 2) + b'>').replace(b'\n', b'').replace(b'\r', b'') + b'\r\n')
            p.reply()
        p.send(b'RCPT TO:<' + token.encode() + b'@example.net>\r\n')
        if not p.reply().startswith(b'250'):
            return
        with self.lock:
            self.offered[token] = content
        if m.chance(3) and content:
            content = self.by_chunks(p, token, content)
            if content is None:
                return
        else:
            if content and not content.endswith(b'\r\n'):
                content += b'\r\n'
            stuffed = (b'.' if content.startswith(b'.') else b'') + content.replace(b'\r\n.', b'\r\n..')
            with self.lock:
                self.offered[token] = content
            p.send(b'DATA\r\n')
            if not p.reply().startswith(b'354'):
                return
            if m.chance(15):
                p.send(stuffed[:m.random.randrange(len(stuffed) + 1)])
                raise Gone
            p.send(stuffed + b'.\r\n')
        if p.reply().startswith(b'250 message processed'):
            with self.lock:
                self.accepted[token] = content
                self.counts['messages'] += 1

    def by_chunks(self, p, token, content):
        """Nothing if the message is given up."""
        m = p.m
        cuts = sorted(m.random.randrange(1, len(content)) for _ in range(m.random.randrange(4)))
        pieces = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)]) if b > a]
        for n, piece in enumerate(pieces):
            last = n + 1 == len(pieces)
            p.send(b'BDAT %d%s\r\n' % (len(piece), b' LAST' if last else b'') + piece)
            if m.chance(40):
                raise Gone
            if not last and not p.reply().startswith(b'250'):
                return None
        return content

    def pop(self, m, _):
        with Peer(self.pop_port, m) as p:
            p.until(rb'^\+OK')
            if not m.chance(5):
                p.send(b'USER bob\r\nPASS secret\r\n')
                p.line()
                if not p.line().startswith(b'+OK'):
                    return
            for _ in range(m.random.randrange(12)):
                command = m.random.choice([b'STAT', b'LIST', b'LIST 1', b'UIDL', b'RETR 1', b'RETR 5', b'TOP 2 3', b'DELE 1', b'RSET', b'NOOP', b'CAPA',
                                           b'AUTH PLAIN', b'APOP bob 0123456789abcdef0123456789abcdef', b'STLS'])
                p.send(m.maybe(command, 2) + b'\r\n')
                if m.chance(2):
                    p.line()
            if m.chance(2):
                p.reset()
            else:
                p.send(b'\r\nRSET\r\nQUIT\r\n')
                p.until(rb'^\+OK.*(closing|bye|sign)')

    def admin(self, m, _):
        with Peer(self.admin_port, m) as p:
            for _ in range(m.random.randrange(12)):
                # Nothing here takes messages away for good.
                command = m.random.choice([b'help', b'status', b'list', b'failures', b'info', b'notify', b'forward', b'flush', b'stats',
                                           b'pid', b'show x', b'show ../../etc/passwd', b'dnsbl', b'smtp'])
                p.send(m.maybe(b'unfail-all' if m.chance(500) else command, 3) + b'\n')
            if m.chance(2):
                p.send(b'\nquit\n')
                with contextlib.suppress(Gone):
                    p.until(b'never')

    def rubbish(self, m, _):
        with Peer(m.random.choice([self.relay.port, self.pop_port, self.admin_port]), m) as p:
            for _ in range(m.random.randrange(6)):
                p.send(m.random.choice([m.octets(5000), b'A' * 100_000, b'\n' * 500, b'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
                                        bytes.fromhex('16030100380100003403030000') + m.octets(60)]))
            if m.chance(2):
                p.reset()

    # ---- the checks

    def memory_kb(self):
        with open(f'/proc/{self.relay.pid}/status') as f:
            return int(re.search(r'VmHWM:\s+(\d+)', f.read()).group(1))

    def finish(self):
        """The faults that were found, as texts."""
        if not self.relay.running():
            return [*self.faults, f'the relay has ended: {self.relay.wait()}']
        self.calm = True
        self.counts['MB'] = self.memory_kb() // 1024
        if self.memory_kb() > memory_bound_kb:
            self.faults.append(f'{self.counts["MB"]} MB')
        # What has failed is looked at; all the rest goes out now.
        deadline = time.monotonic() + 60
        while self.spool.messages() + self.spool.messages('busy') and time.monotonic() < deadline:
            with Peer(self.admin_port, Mutator('end')) as p, contextlib.suppress(Gone):
                p.socket.sendall(b'flush\n')
                p.until(b'OK|error')
            time.sleep(0.05)
        self.check_messages()
        self.counts['failings'] = self.relay.output.count('failing envelope')
        status = 'none'
        with contextlib.suppress(AssertionError):
            self.relay.signal(15)
            status = self.relay.wait()
        if status != -15:
            self.faults.append(f'no orderly end: {status}')
        for line in self.relay.lines():
            if not re.fullmatch(r'emailrelay: (info|warning|error): [^\x00-\x1f\x7f]+', line):
                self.faults.append(f'line of the log: {line!r}')
                break
        self.faults += self.t.sanitizer_reports()
        self.hop.close()
        self.filter.close()
        self.verifier.close()
        return self.faults

    def check_messages(self):
        sent = {}
        for message in list(self.hop.messages):
            _, _, body = message.body.partition(b'\r\n')  # without the Received line
            found = re.match(rb'X-Token: (\S+)\r\n', body)
            token = found.group(1).decode() if found else None
            # What was offered and not answered may have been taken all the same.
            if token not in self.offered:
                self.faults.append(f'the next hop got what nobody has sent: {message.body[:200]!r}')
            elif body != normal(self.offered[token]):
                self.faults.append(f'{token}: the next hop got something else')
            sent[token] = True
        failed = {}
        for m in self.spool.messages('bad'):
            content = m.body()
            found = re.match(rb'X-Token: (\S+)\r\n', content)
            token = found.group(1).decode() if found else None
            if m.field('Reason') is None:  # it may be empty, as the answer was
                self.faults.append(f'{m.id}: failed without a reason')
            if token not in self.offered or content != self.offered[token]:
                self.faults.append(f'{m.id}: failed, and not what was sent')
            failed[token] = True
        self.counts['sent'], self.counts['failed'] = len(sent), len(failed)
        for token in self.accepted:
            if token not in sent and token not in failed:
                self.faults.append(f'{token}: acknowledged and lost')
        names = [n for n in self.spool.names() if n != 'bob' and not n.endswith(('.content', '.bad'))]
        if names:
            self.faults.append(f'left over: {names[:10]}')


def fuzz(t, seconds, seed, sessions=8, say=print):
    """Rounds until the time is over; faults make the test fail, with the seed in the text."""
    import certificates
    import harness
    import helper_servers
    certificate = certificates.Authority(t).issue('test.example.com')
    end = time.monotonic() + seconds
    totals = {}
    number = 0
    while (left := end - time.monotonic()) > 0 or number == 0:
        this = f'{seed}-{number}'
        now = Round(t, this, sessions, certificate, harness, helper_servers)
        now.run(min(round_seconds, max(left, 1)))
        faults = now.finish()
        for what, count in now.counts.items():
            totals[what] = max(totals.get(what, 0), count) if what == 'MB' else totals.get(what, 0) + count
        say(f'round {this}: {now.counts}')
        if faults:
            harness.fail(f'seed {seed}, round {number}:\n' + '\n'.join(faults[:10]))
        t.processes.remove(now.relay)
        number += 1
    say(f'{number} rounds from seed {seed}: {totals}')
    return totals


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument('--bin-dir', default=top / 'build/asan/bin', type=pathlib.Path)
    arguments.add_argument('--seconds', type=int, default=60)
    arguments.add_argument('--seed', type=int, default=random.randrange(1 << 30))
    arguments.add_argument('--sessions', type=int, default=8)
    given = arguments.parse_args()
    os.environ['EMAILRELAY_BIN_DIR'] = str(given.bin_dir.resolve())
    print(f'seed {given.seed}', flush=True)
    import harness

    def test(t):
        fuzz(t, given.seconds, given.seed, given.sessions, say=lambda text: print(text, flush=True))
    test.limit = given.seconds * 2 + 600
    return harness.run_one(test, 'end_to_end')


if __name__ == '__main__':
    sys.exit(main())
