"""What the end-to-end tests stand on: the relay as a process, peers to talk to it, and a clean end.

Each test is a function `test_x(t)` in a file test_*.py beside this one and runs in a process of its own with a
`Bench` as `t`: a temporary folder, and helpers that start things which are stopped when the test ends, whatever
happens. Nothing is waited for by sleeping: a log line, an exit, an answer or a file's state is.

Any sanitizer report of any relay started by a test fails that test.
"""
import contextlib
import ctypes
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

here = pathlib.Path(__file__).resolve().parent
bin_dir = pathlib.Path(os.environ.get('EMAILRELAY_BIN_DIR', here.parent.parent / 'build/asan/bin')).resolve()
domain = 'test.example.com'

# Patience for things that should happen at once; large because of sanitizers and busy machines.
patience = 30


class Skip(Exception):
    """The test cannot run here, and says why."""


class Failure(AssertionError):
    pass


def limit(seconds):
    """Time limit of a test (default 60 s)."""
    def mark(f):
        f.limit = seconds
        return f
    return mark


def alone(f):
    """The test loads the machine: the runner starts nothing else beside it."""
    f.alone = True
    return f


def fail(text):
    raise Failure(text)


def equal(got, wanted, what=''):
    if got != wanted:
        fail(f'{what + ": " if what else ""}wanted {wanted!r}\n        got {got!r}')


def match(got, pattern, what=''):
    if not re.search(pattern, got):
        fail(f'{what + ": " if what else ""}wanted something like {pattern!r}\n        got {got!r}')


def is_root():
    return os.geteuid() == 0


def need(*programs):
    for program in programs:
        if not shutil.which(program, path=os.environ['PATH'] + ':/usr/sbin:/sbin'):
            raise Skip(f'{program} is not installed')


def need_root(why):
    if not is_root():
        raise Skip(f'needs root: {why}')


def find(program):
    need(program)
    return shutil.which(program, path=os.environ['PATH'] + ':/usr/sbin:/sbin')


def free_port():
    """A TCP port that was free a moment ago. Prefer --port=0 and the log line where the relay can choose. It is none of those that the
    system hands out, if there are others: a test at the same time might be given it."""
    lowest = 10_000
    handed_out_from = int(pathlib.Path('/proc/sys/net/ipv4/ip_local_port_range').read_text().split()[0])
    while True:
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(('127.0.0.1', random.randrange(lowest, handed_out_from) if handed_out_from > 2 * lowest else 0))
            return s.getsockname()[1]


def connects(host, port):
    try:
        socket.create_connection((host, port), timeout=5).close()
        return True
    except OSError:
        return False


def listens(port):
    """Whether somebody does, without a connection, which the server would see."""
    for table in map(pathlib.Path, ('/proc/net/tcp', '/proc/net/tcp6')):
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            _, local, _, state = line.split()[:4]
            if state == '0A' and int(local.rpartition(':')[2], 16) == port:
                return True
    return False


def until(condition, what, seconds=patience):
    """Waits until condition() is true and returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            fail(f'after {seconds} s still not: {what}')
        time.sleep(0.01)


# ---------------------------------------------------------------- namespaces

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_REC, MS_PRIVATE, MS_BIND = 0x4000, 0x40000, 0x1000
libc = ctypes.CDLL(None, use_errno=True)


def _check(rc, what):
    if rc != 0:
        number = ctypes.get_errno()
        raise Skip(f'{what}: {os.strerror(number)}')


def private_network():
    """From here on this test has its own network: loopback only, every port free."""
    need_root('own network namespace')
    need('ip')
    _check(libc.unshare(CLONE_NEWNET), 'own network namespace')
    subprocess.run([find('ip'), 'link', 'set', 'lo', 'up'], check=True)


def private_mounts():
    """From here on mounts made by this test are its own and vanish with it."""
    need_root('own mount namespace')
    _check(libc.unshare(CLONE_NEWNS), 'own mount namespace')
    _check(libc.mount(None, b'/', None, MS_REC | MS_PRIVATE, None), 'own mount namespace')


def mount_tmpfs(path, options):
    os.makedirs(path, exist_ok=True)
    _check(libc.mount(b'none', os.fsencode(path), b'tmpfs', 0, options.encode()), f'tmpfs on {path}')


def mount_over(file, target):
    """Bind mount of one file over another."""
    _check(libc.mount(os.fsencode(file), os.fsencode(target), None, MS_BIND, None), f'bind mount on {target}')


def no_name_server(bench):
    """Own network in which nobody answers questions about names, and says so at once."""
    private_network()
    private_mounts()
    mount_over(bench.file('resolv.conf', 'nameserver 127.0.0.1\n'), '/etc/resolv.conf')


# ---------------------------------------------------------------- processes

def marked_processes(mark):
    """Pids of living processes that were started under `mark`, those that became daemons included."""
    needle = f'EMAILRELAY_TEST={mark}'.encode()
    found = []
    for entry in os.listdir('/proc'):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f'/proc/{entry}/environ', 'rb') as f:
                if needle not in f.read().split(b'\0'):
                    continue
            with open(f'/proc/{entry}/stat') as f:
                if f.read().rsplit(')', 1)[1].split()[0] != 'Z':
                    found.append(int(entry))
        except OSError:
            pass
    return found


def kill_marked(mark):
    for pid in marked_processes(mark):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


class Process:
    """A program whose output is collected as it comes."""

    def __init__(self, bench, words, name=None, env=None, cwd=None, stdin=None, pass_fds=()):
        self.words = [str(w) for w in words]
        self.name = name or os.path.basename(self.words[0])
        self._text = []
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            self.words, env=bench.environment(env, self.words), cwd=cwd or bench.dir,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=pass_fds)
        self.pid = self.process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        bench.processes.append(self)

    def _read(self):
        descriptor = self.process.stdout.fileno()
        while True:
            part = os.read(descriptor, 65536)
            with self._changed:
                if not part:
                    self._text.append(None)
                else:
                    self._text.append(part)
                self._changed.notify_all()
            if not part:
                return

    @property
    def output(self):
        with self._changed:
            return b''.join(p for p in self._text if p is not None).decode('utf-8', 'backslashreplace')

    def lines(self):
        return self.output.splitlines()

    def wait_output(self, pattern, seconds=patience, count=1):
        """Waits until the output matches `pattern` (a multi-line regular expression) `count` times; the last match."""
        compiled = re.compile(pattern, re.M)
        end = time.monotonic() + seconds
        seen = -1
        with self._changed:
            while True:
                if len(self._text) != seen:
                    seen = len(self._text)
                    text = b''.join(p for p in self._text if p is not None).decode('utf-8', 'backslashreplace')
                    # A line still being written is no line yet.
                    text = text[:text.rfind('\n') + 1]
                    found = list(compiled.finditer(text))
                    if len(found) >= count:
                        return found[count - 1]
                    if 'is not available in this build yet' in text:
                        raise Skip(text.strip())
                    if self._text and self._text[-1] is None:
                        fail(f'{self.name} ended (status {self.process.poll()}) without the line {pattern!r}')
                left = end - time.monotonic()
                if left <= 0:
                    fail(f'{self.name}: no line {pattern!r} in {seconds} s')
                self._changed.wait(left)

    def running(self):
        return self.process.poll() is None

    def wait(self, seconds=patience):
        """Exit status; -n if ended by signal n."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            fail(f'{self.name} (pid {self.pid}) did not end in {seconds} s')
        self._reader.join(5)
        return status

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Relay(Process):
    """One emailrelay. `t.relay()` starts it; see there."""
    spool = None
    port = None
    host = '127.0.0.1'

    def terminate(self, number=signal.SIGTERM, seconds=patience):
        """Orderly stop; checks that it ended by that signal."""
        if not self.running():
            fail(f'{self.name} had ended by itself, status {self.process.returncode}')
        self.signal(number)
        equal(self.wait(seconds), -number, f'{self.name}: exit status')

    def wait_log(self, pattern, **how):
        return self.wait_output(pattern, **how)

    def connect(self, **how):
        return Wire.tcp(self.host, self.port, **how)

    def greeted(self, name='client.example.org', **how):
        """A connection on which EHLO has been said."""
        wire = self.connect(**how)
        wire.expect(r'220 .*')
        wire.ask(f'EHLO {name}', 250)
        return wire


# ---------------------------------------------------------------- spool

class Message:
    """One message in a spool folder, in whatever state."""

    def __init__(self, spool, id, state):
        self.spool, self.id, self.state = spool, id, state

    @property
    def envelope_path(self):
        return self.spool.path / (self.id + '.envelope' + ('.' + self.state if self.state else ''))

    @property
    def content_path(self):
        return self.spool.path / (self.id + '.content')

    @property
    def envelope(self):
        return self.envelope_path.read_bytes()

    @property
    def content(self):
        return self.content_path.read_bytes()

    def field(self, name):
        values = self.fields(name)
        return values[0] if values else None

    def fields(self, name):
        return re.findall(rf'^X-MailRelay-{name}: ?(.*?)\r?$', self.envelope.decode('utf-8', 'backslashreplace'), re.M)

    def body(self):
        """Content without the Received line that the relay put in front."""
        content = self.content
        if content.startswith(b'Received: '):
            return content[content.index(b'\r\n') + 2:]
        return content

    def __repr__(self):
        return f'{self.id}[{self.state}]'


class Spool:
    def __init__(self, path):
        self.path = pathlib.Path(path)

    def names(self):
        """Everything that users' scripts would see: hidden names belong to the relay."""
        return sorted(n for n in os.listdir(self.path) if not n.startswith('.'))

    def messages(self, state=''):
        """Messages in a state: '' ready, 'busy', 'bad', 'new'."""
        ending = '.envelope' + ('.' + state if state else '')
        return [Message(self, n[:-len(ending)], state) for n in self.names() if n.endswith(ending)]

    def one(self, state=''):
        found = self.messages(state)
        if len(found) != 1:
            fail(f'wanted one message, state {state!r}; the spool holds {self.names()}')
        return found[0]

    def empty(self):
        return not self.names()

    def check_empty(self, what='spool'):
        equal(self.names(), [], what)

    def wait_empty(self, seconds=patience):
        until(self.empty, f'spool empty; it holds {self.names()[:10]}', seconds)

    def wait_count(self, count, state='', seconds=patience):
        until(lambda: len(self.messages(state)) == count, f'{count} messages {state!r}', seconds)

    def add(self, id, content=b'Subject: x\r\n\r\nhello\r\n', to=('you@example.net',), sender='me@example.com',
            local=(), more='', state='', **fields):
        """Writes a message as a user's script would."""
        values = dict(Format='#2821.8', Content='unknown', Authentication='', Client='127.0.0.1', ClientCertificate='',
                      MailFromAuthIn='', MailFromAuthOut='', ForwardTo='', ForwardToAddress='',
                      ClientAccountSelector='', Utf8MailboxNames='0')
        values.update(fields)
        lines = [('Format', values['Format']), ('Content', values['Content']), ('From', sender),
                 ('ToCount', str(len(to) + len(local)))]
        lines += [('To-Local', a) for a in local] + [('To-Remote', a) for a in to]
        lines += [(n, values[n]) for n in ('Authentication', 'Client', 'ClientCertificate', 'MailFromAuthIn',
                                           'MailFromAuthOut', 'ForwardTo', 'ForwardToAddress',
                                           'ClientAccountSelector', 'Utf8MailboxNames')] + [('End', '1')]
        text = ''.join(f'X-MailRelay-{n}: {v}\r\n' for n, v in lines) + more
        if content is not None:
            self.write(id + '.content', content)
        self.write(id + '.envelope' + ('.' + state if state else ''), text.encode())
        return Message(self, id, state)

    def write(self, name, data):
        path = self.path / name
        path.write_bytes(data)
        os.chmod(path, 0o660)


# ---------------------------------------------------------------- talking to the relay

class Wire:
    """A connection on which bytes are said and compared."""

    def __init__(self, connection, seconds=patience):
        self.socket = connection
        self.socket.settimeout(seconds)
        self.held = b''
        self.said = []

    @staticmethod
    def tcp(host, port, seconds=patience, source=None):
        connection = socket.create_connection((host, port), timeout=seconds, source_address=source)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Wire(connection, seconds)

    @staticmethod
    def unix(path, seconds=patience):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(seconds)
        connection.connect(os.fspath(path))
        return Wire(connection, seconds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def local_port(self):
        return self.socket.getsockname()[1]

    def send(self, data):
        if isinstance(data, str):
            data = data.encode()
        self.socket.sendall(data)

    def say(self, line):
        self.said.append(line)
        self.send(line.encode() + b'\r\n' if isinstance(line, str) else line + b'\r\n')

    def line(self):
        """Next line, without its CR-LF; None at the end of the connection."""
        while b'\n' not in self.held:
            try:
                part = self.socket.recv(65536)
            except (socket.timeout, TimeoutError):
                fail(f'no answer; last said {self.said[-1:]!r}, so far {self.held!r}')
            except ConnectionResetError:
                part = b''
            if not part:
                if self.held:
                    fail(f'connection ended inside a line: {self.held!r}')
                return None
            self.held += part
        line, self.held = self.held.split(b'\n', 1)
        if not line.endswith(b'\r'):
            fail(f'line without CR: {line!r}')
        return line[:-1].decode('utf-8', 'surrogateescape')

    def expect(self, pattern):
        """Next line must match this regular expression entirely."""
        line = self.line()
        if line is None or not re.fullmatch(pattern, line):
            fail(f'after {self.said[-1:]!r} wanted {pattern!r}\n        got {line!r}')
        return line

    def reply(self):
        """A whole reply: (code, [texts])."""
        texts = []
        while True:
            line = self.line()
            if line is None:
                fail(f'connection closed after {self.said[-1:]!r}')
            texts.append(line[4:])
            if line[3:4] != '-':
                return int(line[:3]), texts

    def ask(self, line, code=None):
        self.say(line)
        got, texts = self.reply()
        if code is not None and got != code:
            fail(f'{line!r}: wanted {code}, got {got} {texts}')
        return texts

    def exact(self, line, *wanted):
        """Says the line and compares the reply byte for byte."""
        self.say(line)
        for w in wanted:
            got = self.line()
            if got != w:
                fail(f'{line!r}: wanted {w!r}\n        got {got!r}')

    def closed(self, seconds=None):
        """The peer closes without another byte."""
        if seconds:
            self.socket.settimeout(seconds)
        line = self.line()
        if line is not None:
            fail(f'wanted the connection closed, got {line!r}')

    def silent(self, seconds=0.3):
        """Nothing comes for a while. The only place where time itself is the thing tested."""
        self.socket.settimeout(seconds)
        try:
            part = self.socket.recv(1000)
            fail(f'wanted silence, got {part!r}')
        except (socket.timeout, TimeoutError):
            pass
        finally:
            self.socket.settimeout(patience)

    def submit(self, body, **how):
        """One message; the reply to its end as (code, [texts])."""
        self.hand_over(body, **how)
        return self.reply()

    def hand_over(self, body, sender='me@example.com', to=('you@example.net',), mail='', stuff=True):
        """One message, whose last reply is not waited for. `body` as it shall be stored."""
        self.ask(f'MAIL FROM:<{sender}>{mail}', 250)
        for address in to:
            self.ask(f'RCPT TO:<{address}>', 250)
        self.ask('DATA', 354)
        self.send((dot_stuffed(body) if stuff else body) + b'.\r\n')
        self.said.append('.')

    def play(self, script, **values):
        """A dialogue, one step a line:

            c -> text     said with CR-LF          c => text     the same with Python escapes, nothing added
            s <- text     exactly this line        s <~ regexp   a line that matches
            s -- closed   the peer closes          # comment
        {name} stands for a keyword argument."""
        for step in script.splitlines():
            step = step.strip()
            if not step or step.startswith('#'):
                continue
            for name, value in values.items():
                step = step.replace('{' + name + '}', str(value))
            who, _, text = step.partition(' ')
            how, _, text = text.partition(' ')
            if (who, how) == ('c', '->'):
                self.say(text)
            elif (who, how) == ('c', '=>'):
                self.said.append(text)
                self.send(text.encode().decode('unicode_escape').encode('latin-1'))
            elif (who, how) == ('s', '<-'):
                got = self.line()
                if got != text:
                    fail(f'after {self.said[-1:]!r} wanted {text!r}\n        got {got!r}')
            elif (who, how) == ('s', '<~'):
                self.expect(text)
            elif (who, how) == ('s', '--'):
                self.closed()
            else:
                raise ValueError(f'not a dialogue step: {step}')


def dot_stuffed(body):
    """As SMTP wants it on the wire, with a CR-LF at the end unless it is empty."""
    if body.startswith(b'.'):
        body = b'.' + body
    body = body.replace(b'\r\n.', b'\r\n..')
    if body and not body.endswith(b'\r\n'):
        body += b'\r\n'
    return body


# ---------------------------------------------------------------- what the relay talks to

class Received:
    """One message that a NextHop has taken."""

    def __init__(self, connection, mail, recipients, body):
        self.connection, self.mail, self.recipients, self.body = connection, mail, recipients, body


class Stall:
    """As a script value: no answer; the connection stays open."""


class Drop:
    """As a script value: the connection is closed without an answer."""


class Reset:
    """As a script value: the connection is reset."""


class NextHop:
    """A scripted SMTP server, one thread a connection.

    `script` says what to answer to a verb ('greeting', 'EHLO', 'HELO', 'MAIL', 'RCPT', 'DATA', 'BDAT', '.', 'RSET', 'QUIT'),
    where '.' is the end of the content and 'BDAT' a chunk that is not the last:
    a line or several joined by CR-LF; Stall, Drop or Reset; a list of those, one for each time (the last one stays); or a function of
    the received line. What came is in `lines` (connection number, line) and `messages`; what came together with the end of each
    message's data in `behind`."""

    usual = {'greeting': '220 next.example.net ready', 'EHLO': '250-next.example.net\r\n250 8BITMIME', 'HELO': '250 next',
             'MAIL': '250 ok', 'RCPT': '250 ok', 'DATA': '354 go', 'BDAT': '250 more', '.': '250 taken', 'RSET': '250 ok', 'NOOP': '250 ok',
             'QUIT': '221 bye'}

    def __init__(self, bench, script=None, host='127.0.0.1', port=0, unix=None):
        self.script = dict(self.usual)
        self.script.update(script or {})
        self.counts = {}
        self.lines = []
        self.messages = []
        self.behind = []
        self.connections = 0
        self.peers = []
        self.ended = 0
        self.changed = threading.Condition()
        if unix:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(os.fspath(unix))
            self.address = os.fspath(unix)
        else:
            family = socket.AF_INET6 if ':' in host else socket.AF_INET
            self.listener = socket.socket(family)
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind((host, port))
            self.port = self.listener.getsockname()[1]
            self.address = f'[{host}]:{self.port}' if ':' in host else f'{host}:{self.port}'
        self.listener.listen(512)
        self.open = set()
        threading.Thread(target=self._accept, daemon=True).start()
        bench.on_end(self.close)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.close()

    def wait_messages(self, count, seconds=patience):
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.messages) >= count, seconds):
                fail(f'next hop: {len(self.messages)} messages of {count} in {seconds} s')
        return self.messages

    def wait_line(self, pattern, seconds=patience):
        def seen():
            return any(re.fullmatch(pattern, line) for _, line in self.lines)
        with self.changed:
            if not self.changed.wait_for(seen, seconds):
                fail(f'next hop: no line {pattern!r} in {seconds} s; got {self.lines}')

    def wait_connections(self, count, seconds=patience):
        with self.changed:
            if not self.changed.wait_for(lambda: self.connections >= count, seconds):
                fail(f'next hop: {self.connections} connections of {count} in {seconds} s')

    def wait_ended(self, count, seconds=patience):
        with self.changed:
            if not self.changed.wait_for(lambda: self.ended >= count, seconds):
                fail(f'next hop: {self.ended} connections of {count} ended in {seconds} s')

    def verbs(self, connection=None):
        """What was said, as commands only."""
        return [line for number, line in self.lines if connection in (None, number)]

    def _accept(self):
        while True:
            try:
                connection, peer = self.listener.accept()
            except OSError:
                return
            with self.changed:
                self.connections += 1
                self.peers.append(peer)
                self.open.add(connection)
                self.changed.notify_all()
                number = self.connections
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _answer(self, what, line=''):
        value = self.script[what]
        if isinstance(value, list):
            with self.changed:
                n = self.counts.get(what, 0)
                self.counts[what] = n + 1
            value = value[min(n, len(value) - 1)]
        if callable(value) and not isinstance(value, type):
            value = value(line)
        return value

    class _End(Exception):
        pass

    def _reply(self, connection, what, line='', message=None):
        """With `message`: that is kept if the answer takes it, before the client can know."""
        value = self._answer(what, line)
        if value is Stall:
            return None
        if value is Drop:
            raise NextHop._End
        if value is Reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            raise NextHop._End
        text = value if isinstance(value, str) else value.decode('latin-1')
        if message and text[0] == '2':
            with self.changed:
                self.messages.append(message)
                self.changed.notify_all()
        connection.sendall(value.encode() + b'\r\n' if isinstance(value, str) else value)
        return text

    def _serve(self, connection, number):
        held = b''
        mail, recipients, chunks = None, [], bytearray()

        def more():
            nonlocal held
            part = connection.recv(65536)
            if not part:
                raise NextHop._End
            held += part

        try:
            connection.settimeout(120)
            self._reply(connection, 'greeting')
            while True:
                while b'\r\n' not in held:
                    more()
                raw, held = held.split(b'\r\n', 1)
                line = raw.decode('utf-8', 'surrogateescape')
                verb = line.split(' ')[0].upper()
                with self.changed:
                    self.lines.append((number, line))
                    self.changed.notify_all()
                if verb == 'BDAT':
                    size, last = int(line.split()[1]), line.upper().endswith(' LAST')
                    while size > 0:
                        if not held:
                            more()
                        part, held = held[:size], held[size:]
                        chunks += part
                        size -= len(part)
                    if last:
                        self._reply(connection, '.', line, Received(number, mail, recipients, bytes(chunks)))
                    else:
                        self._reply(connection, 'BDAT', line)
                    continue
                answer = self._reply(connection, verb if verb in self.script else 'NOOP', line)
                good = answer is not None and answer[0] in '23'
                if verb == 'MAIL' and good:
                    mail, recipients, chunks = line, [], bytearray()
                elif verb == 'RCPT' and good:
                    recipients.append(line)
                elif verb == 'DATA' and good:
                    body = bytearray()
                    while True:
                        if held.startswith(b'.\r\n') and (not body or body.endswith(b'\r\n')):
                            end = 0
                        else:
                            end = held.find(b'\r\n.\r\n')
                            end = end + 2 if end >= 0 else -1
                        if end >= 0:
                            body += held[:end]
                            held = held[end + 3:]
                            break
                        # what might be the start of the end mark stays held
                        keep = min(len(held), 4)
                        body += held[:len(held) - keep]
                        held = held[len(held) - keep:]
                        try:
                            more()
                        except NextHop._End:
                            with self.changed:
                                self.lines.append((number, '(lost inside the content)'))
                            raise
                    text = bytes(body)
                    text = text[1:] if text.startswith(b'..') else text
                    text = text.replace(b'\r\n..', b'\r\n.')
                    self.behind.append(held)
                    self._reply(connection, '.', message=Received(number, mail, recipients, text))
                    mail, recipients = None, []
                elif verb == 'QUIT':
                    raise NextHop._End
        except (NextHop._End, OSError):
            pass
        finally:
            connection.close()
            with self.changed:
                self.ended += 1
                self.open.discard(connection)
                self.changed.notify_all()


class Sink:
    """Postfix's smtp-sink: a real, fast next hop. Keeps what it gets in `folder` if asked to."""

    def __init__(self, bench, keep=False, options=()):
        self.port = free_port()
        self.address = f'127.0.0.1:{self.port}'
        words = [find('smtp-sink'), *options]
        if is_root():
            words += ['-u', 'nobody']
        if keep:
            self.folder = bench.folder('sink', mode=0o777)
            words += ['-d', f'{self.folder}/m.']
        self.process = bench.start([*words, self.address, '1024'], name='smtp-sink')
        until(self._listening, 'smtp-sink listening')

    def _listening(self):
        if not self.process.running():
            fail(f'smtp-sink ended: {self.process.output}')
        return connects('127.0.0.1', self.port)

    def kept(self):
        """The messages it wrote, as bytes with LF line ends and its own lines in front."""
        return [(self.folder / n).read_bytes() for n in sorted(os.listdir(self.folder))]


# ---------------------------------------------------------------- the bench of one test

class Bench:
    def __init__(self, name, keep=False):
        self.name = name
        self.keep = keep
        self.mark = os.environ.get('EMAILRELAY_TEST') or f'{os.getpid()}.{time.monotonic_ns()}'
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix='emailrelay-test-'))
        os.chmod(self.dir, 0o755)
        self.reports = self.folder('reports', mode=0o1777)
        self.processes = []
        self.log_files = []  # of servers that write one themselves; shown with a failure
        self.endings = []
        self.problems = []

    # -- set-up

    def folder(self, name, mode=0o755):
        path = self.dir / name
        path.mkdir(parents=True, exist_ok=True)
        os.chmod(path, mode)
        return path

    def spool(self, name='spool'):
        return Spool(self.folder(name, mode=0o777 if is_root() else 0o700))

    def file(self, name, text):
        path = self.dir / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def on_end(self, action):
        self.endings.append(action)

    def environment(self, more=None, words=()):
        # The leak check traces the process, which the kernel refuses after a change of ids and under another tracer.
        changes_ids = is_root() and '--user=root' not in words
        leaks = not changes_ids and not any('strace' in str(word) for word in words)
        env = dict(os.environ)
        env['EMAILRELAY_TEST'] = self.mark
        env['LC_ALL'] = 'C'
        log = f'log_path={self.reports}/report'
        env['ASAN_OPTIONS'] = f'{log}:exitcode=99:detect_stack_use_after_return=1:' \
                              f'detect_leaks={int(leaks)}'
        env['UBSAN_OPTIONS'] = f'{log}:print_stacktrace=1:exitcode=99'
        env['TSAN_OPTIONS'] = f'{log}:exitcode=99:halt_on_error=0:second_deadlock_stack=1'
        env.update(more or {})
        return env

    # -- programs

    def start(self, words, **how):
        return Process(self, words, **how)

    def run(self, words, status=0, input=None, seconds=patience, env=None, cwd=None):
        """Runs a program to its end; its stdout and stderr together."""
        result = self.try_run(words, input=input, seconds=seconds, env=env, cwd=cwd)
        if status is not None and result.returncode != status:
            fail(f'{" ".join(map(str, words))}: status {result.returncode}, wanted {status}\n{result.stdout}{result.stderr}')
        return result.stdout + result.stderr

    def try_run(self, words, input=None, seconds=patience, env=None, cwd=None):
        """The same, as subprocess gives it, with text output; the status is not judged."""
        if isinstance(input, str):
            input = input.encode()
        # Into files: a daemon that it leaves behind may keep a pipe open for ever.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            def texts():
                for file in (out, err):
                    file.seek(0)
                    yield file.read().decode('utf-8', 'backslashreplace')
            try:
                result = subprocess.run([str(w) for w in words], input=input, env=self.environment(env, words),
                                        cwd=cwd or self.dir, timeout=seconds, stdout=out, stderr=err,
                                        **({} if input is not None else {'stdin': subprocess.DEVNULL}))
            except subprocess.TimeoutExpired:
                fail(f'{" ".join(map(str, words))}: no end in {seconds} s\n{"".join(texts())}')
            result.stdout, result.stderr = texts()
        return result

    program = bin_dir / 'emailrelay'

    def emailrelay(self, *words, **how):
        """The program run to its end, nothing added to its options."""
        return self.try_run([self.program, *words], **how)

    def relay(self, *words, spool=None, wait=True, prefix=(), name='emailrelay', env=None, cwd=None, pass_fds=(), **options):
        """Starts a relay in the foreground: usual options, then `words`, with `options` (port=25 for --port=25) in place
        of the usual ones; None takes one away. Returns when it has logged that it listens, with wait='port' when its port
        takes connections, with wait=False at once."""
        spool = spool or self.spool()
        usual = {'no-daemon': True, 'log': True, 'verbose': True, 'no-syslog': True, 'spool-dir': spool.path,
                 'interface': '127.0.0.1', 'port': 0, 'domain': domain, 'user': 'root' if is_root() else None}
        usual.update({k.replace('_', '-'): v for k, v in options.items()})
        given = []
        for key, value in usual.items():
            if value is True:
                given.append(f'--{key}')
            elif value is not None and value is not False:
                given.append(f'--{key}={value}')
        relay = Relay(self, [*prefix, self.program, *given, *words], name=name, env=env, cwd=cwd, pass_fds=pass_fds)
        relay.spool = spool
        relay.port = int(usual['port'] or 0) if str(usual['port'] or 0).isdigit() else None
        if wait == 'port':  # for one that logs nothing
            until(lambda: relay.process.poll() is not None or connects(relay.host, relay.port), f'{name} on port {relay.port}')
        elif wait:
            found = relay.wait_output(r'smtp server on (.*)[:.](\d+)$')
            relay.host, relay.port = found.group(1), int(found.group(2))
        return relay

    def forward(self, address, *words, spool=None, seconds=patience, status=0, **options):
        """emailrelay --as-client to its end. Returns its output."""
        spool = spool or self.spool()
        given = [f'--{k.replace("_", "-")}={v}' if v is not True else f'--{k.replace("_", "-")}'
                 for k, v in options.items()]
        user = ['--user=root'] if is_root() else []
        return self.run([self.program, '--as-client', address, '--verbose', f'--spool-dir={spool.path}', f'--domain={domain}', *user, *given,
                         *words], seconds=seconds, status=status)

    def next_hop(self, script=None, **how):
        return NextHop(self, script, **how)

    def sink(self, **how):
        return Sink(self, **how)

    # -- checks that go on

    @contextlib.contextmanager
    def row(self, name):
        """One row of a table: its failure is kept, and the test goes on with the next row."""
        try:
            yield
        except (AssertionError, OSError) as e:
            self.problems.append(f'{name}: {e}')

    # -- the end

    def sanitizer_reports(self):
        texts = []
        for path in sorted(self.reports.iterdir()):
            text = path.read_text(errors='replace')
            if text.strip():
                texts.append(f'--- {path.name}\n{text}')
        return texts

    def finish(self, failed):
        for process in self.processes:
            if isinstance(process, Relay) and process.running():
                process.signal(signal.SIGTERM)
        for process in self.processes:
            if process.running():
                try:
                    process.process.wait(15 if isinstance(process, Relay) else 0.01)
                except subprocess.TimeoutExpired:
                    if isinstance(process, Relay):
                        self.problems.append(f'{process.name} (pid {process.pid}) did not end on SIGTERM in 15 s')
                    process.process.kill()
                    process.process.wait()
            if isinstance(process, Relay) and process.process.returncode in (-signal.SIGSEGV, -signal.SIGABRT, 99):
                self.problems.append(f'{process.name} crashed: status {process.process.returncode}')
        for action in reversed(self.endings):
            action()
        kill_marked(self.mark)
        self.problems += [f'sanitizer report\n{text[:6000]}' for text in self.sanitizer_reports()]

    def logs(self):
        text = []
        for process in self.processes:
            lines = process.lines()
            cut = ['...'] if len(lines) > 60 else []
            text.append(f'--- output of {process.name} (pid {process.pid}, status {process.process.poll()}): '
                        f'{" ".join(process.words[:40])}')
            text += cut + [line[:400] for line in lines[-60:]]
        for path in self.log_files:
            if path.exists():
                text += [f'--- {path}', *path.read_text(errors='replace').splitlines()[-60:]]
        return '\n'.join(text)

    def remove(self):
        if self.keep:
            print(f'kept: {self.dir}')
            return
        with open('/proc/self/mountinfo') as f:
            mounted = [line.split()[4] for line in f]
        for path in reversed([m for m in mounted if m.startswith(f'{self.dir}/')]):
            libc.umount2(os.fsencode(path), 2)  # MNT_DETACH; else the folder under it cannot be removed
        shutil.rmtree(self.dir, ignore_errors=True)


class TimeLimit(Exception):
    pass


def run_one(function, name, keep=False):
    """Runs a test in this process. Prints what went wrong. 0 passed, 1 failed, 77 skipped."""
    def too_late(*_):
        raise TimeLimit
    seconds = getattr(function, 'limit', 60)
    signal.signal(signal.SIGALRM, too_late)
    signal.alarm(seconds)
    bench = Bench(name, keep)
    status, report = 0, ''
    try:
        function(bench)
    except Skip as e:
        status, report = 77, str(e)
    except TimeLimit:
        status, report = 1, f'not done in {seconds} s\n{traceback.format_exc(limit=-6)}'
    except AssertionError as e:
        frames = [f for f in traceback.extract_tb(e.__traceback__) if f.filename != __file__] or \
            traceback.extract_tb(e.__traceback__)
        at = frames[-1]
        status, report = 1, f'{pathlib.Path(at.filename).name}:{at.lineno}: {at.line}\n  {e or "assertion failed"}'
    except BaseException:
        status, report = 1, traceback.format_exc()
    signal.alarm(0)
    signal.alarm(40)
    try:
        bench.finish(status == 1)
    except BaseException:
        status, report = 1, report + '\nat the end: ' + traceback.format_exc()
    signal.alarm(0)
    if bench.problems and status != 77:
        status = 1
        report = '\n'.join([report, *bench.problems]).strip()
    if report:
        print(report)
    if status == 1:
        print(bench.logs())
    bench.remove()
    sys.stdout.flush()
    return status
