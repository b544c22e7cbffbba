"""Servers that the relay asks: scripted line servers for `net:`, spamd, milters."""
import contextlib
import json
import os
import socket
import subprocess
import threading

from harness import Skip, connects, fail, find, free_port, here, need, patience, until


debian_python = '/usr/bin/python3'  # the one that packages of modules are for


def need_module(name, package):
    try:
        subprocess.run([debian_python, '-c', f'import {name}'], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise Skip(f'{package} is not installed')


class Server:
    """Listens on a port of its own, or on a socket in the file system, and serves each connection on a thread of its own by
    serve(connection, number). `address` is for the relay's options, `name` as the log has it."""

    def __init__(self, bench, unix=None):
        self.connections, self.ended = 0, 0
        self.changed = threading.Condition()
        if unix:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(os.fspath(unix))
            os.chmod(unix, 0o777)
            self.address = self.name = os.fspath(unix)
        else:
            self.listener = socket.socket()
            self.listener.bind(('127.0.0.1', 0))
            port = self.listener.getsockname()[1]
            self.address, self.name = f'127.0.0.1:{port}', f'127.0.0.1/{port}/ip'
        self.listener.listen(1024)
        threading.Thread(target=self._accept, daemon=True).start()
        bench.on_end(self.close)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def wait_ended(self, count, seconds=patience):
        with self.changed:
            if not self.changed.wait_for(lambda: self.ended >= count, seconds):
                fail(f'{self.name}: {self.ended} connections of {count} ended')

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.changed:
                self.connections += 1
                number = self.connections
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection, number):
        with contextlib.suppress(OSError), connection:
            self.serve(connection, number)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        with self.changed:
            self.ended += 1
            self.changed.notify_all()


class LineServer(Server):
    """Answers each line by `answer(line, number)`: bytes or text (sent as they are), None for silence, EOFError to close; it may
    take its time. `lines` holds (connection, line)."""

    def __init__(self, bench, answer, unix=None, close_after=False):
        self.answer, self.close_after, self.lines = answer, close_after, []
        super().__init__(bench, unix)

    def serve(self, connection, number):
        with connection.makefile('rb') as lines:
            for raw in lines:
                line = raw.decode('utf-8', 'surrogateescape').rstrip('\n')
                with self.changed:
                    self.lines.append((number, line))
                    count = len(self.lines)
                    self.changed.notify_all()
                answer = self.answer(line, count)
                if answer is EOFError:
                    return
                if answer is not None:
                    connection.sendall(answer if isinstance(answer, bytes) else answer.encode())
                if self.close_after:
                    return


class Spamd(Server):
    """A scripted spamd: `answer(content)` gives the whole response as bytes, or None for silence, EOFError to close."""

    def __init__(self, bench, answer, unix=None):
        self.answer, self.requests = answer, []
        super().__init__(bench, unix)

    def serve(self, connection, number):
        with connection.makefile('rb') as received:
            head = b''
            while not head.endswith(b'\r\n\r\n'):
                line = received.readline()
                if not line:
                    return
                head += line
            size = int(head.lower().split(b'content-length:')[1].split(b'\r\n')[0])
            content = received.read(size)
            self.requests.append((head, content))
            answer = self.answer(content)
            if answer is None:
                received.read()
            elif answer is not EOFError:
                connection.sendall(answer)


def milter(bench, socket='tcp', port=None, **plan):
    """A milter of libmilter; (process, address for the relay). `process.plan(...)` gives it another plan, from the next connection on."""
    need_module('Milter', 'python3-milter')
    if socket == 'tcp':
        port = port or free_port()
        where, address = f'inet:{port}@127.0.0.1', f'127.0.0.1:{port}'
    else:
        where, address = f'unix:{socket}', os.fspath(socket)
    file = bench.dir / f'milter-plan-{len(bench.processes)}'

    def make_plan(**what):
        file.with_suffix('.new').write_text(json.dumps(what))
        file.with_suffix('.new').rename(file)
    make_plan(**plan)
    process = bench.start([debian_python, here / 'milter_program.py', where, file], name='milter')
    process.plan = make_plan
    if socket == 'tcp':
        until(lambda: not process.running() or connects('127.0.0.1', port), 'milter listening')
    else:
        until(lambda: not process.running() or os.path.exists(socket), 'milter listening')
    if not process.running():
        fail(f'milter ended: {process.output}')
    process.wait_close = lambda count=1: process.wait_output(r'^\["close"\]', count=count)
    return process, address


def heard(process):
    """What a milter has heard, without the visits of connects()."""
    found = []
    for line in process.lines():
        if line.startswith('['):
            found.append(json.loads(line))
    return found


def spamd(bench, port=None):
    need('spamd')
    port = port or free_port()
    home = bench.folder('spamd-home')
    process = bench.start([find('spamd'), '-L', '-x', '-s', 'stderr', '-m', '1', '-i', '127.0.0.1', '-A', '127.0.0.1', '-p', str(port), '-H', home,
                           '-r', home / 'pid'], name='spamd')
    process.wait_output('server started on|server pid', seconds=120)
    until(lambda: connects('127.0.0.1', port), 'spamd listening', seconds=60)
    return f'127.0.0.1:{port}'
