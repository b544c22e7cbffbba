"""What takes the mail: the relay, Postfix, sinks. Each is made for a workload by a Run and stopped with it."""
import contextlib
import mmap
import os
import pathlib
import pwd
import shutil
import struct
import subprocess
import tempfile
import time

from . import machine
from .machine import address, harness, is_root, run, tool
import postfix  # tests/e2e/postfix.py, found through machine

domain = 'bench.example.com'


def greets(port):
    try:
        with harness.Wire.tcp(address, port, seconds=5) as wire:
            return wire.line().startswith('220')
    except (OSError, AssertionError):
        return False


class Server:
    """A process that takes mail on `port`."""
    process = None

    def start(self, words):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([str(w) for w in words], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def wait_ready(self, port=None):
        def up():
            if self.process.poll() is not None:
                raise RuntimeError(f'{self.name} ended: {self.output()}')
            return greets(port or self.port)
        harness.until(up, f'{self.name} on port {port or self.port}', 60)

    def output(self):
        self.log.seek(0)
        return self.log.read().decode(errors='replace')

    @property
    def pids(self):
        return [self.process.pid]

    def settle(self):
        """After a measurement: what it took is out of the way."""

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Emailrelay(Server):
    name = 'emailrelay'

    def __init__(self, program, spool, *options, serve=True):
        self.program, self.spool, self.options = program, spool, options
        self.spool.mkdir()
        self.port = harness.free_port()
        self.user = ['--user=root'] if is_root else []
        if serve:
            self.begin()

    def begin(self):
        self.start([self.program, '--no-daemon', '--no-syslog', f'--spool-dir={self.spool}', f'--port={self.port}',
                    f'--interface={address}', f'--domain={domain}', *self.user, *self.options])
        self.wait_ready()

    def count(self):
        return sum(1 for n in os.listdir(self.spool) if n.endswith('.envelope'))

    def names(self):
        return {n for n in os.listdir(self.spool) if not n.startswith('.')}

    def settle(self, keep=frozenset()):
        for name in self.names() - keep:
            with contextlib.suppress(FileNotFoundError):
                (self.spool / name).unlink()

    def client_words(self, port, *options):
        return [self.program, '--as-client', f'{address}:{port}', f'--spool-dir={self.spool}', f'--domain={domain}', *self.user,
                *options]

    def drain(self, port, *options):
        """All that is in the spool is sent by a process that is started for it, while no other is there. Seconds."""
        self.stop()
        start = time.perf_counter()
        run(*self.client_words(port, *options))
        took = time.perf_counter() - start
        left = self.count()
        if left:
            raise RuntimeError(f'{left} messages were not sent')
        self.begin()
        return took


class Sink(Server):
    """smtp-sink, which stores nothing: what client and network allow."""
    name = 'smtp-sink'

    def __init__(self):
        self.port = harness.free_port()
        user = ['-u', 'nobody'] if is_root else []
        self.start([tool('smtp-sink'), *user, f'{address}:{self.port}', '4096'])
        self.wait_ready()


class CountingSink(Server):
    """bench_sink: counts, and answers late if asked to."""
    name = 'bench_sink'
    layout = '<7Q'

    def __init__(self, programs, file, delay_ms=0):
        self.port = harness.free_port()
        self.start([programs / 'bench_sink', self.port, file, delay_ms])
        self.wait_ready()
        with open(file, 'r+b') as f:
            self.memory = mmap.mmap(f.fileno(), 0)

    def clear(self):
        self.memory[:] = bytes(len(self.memory))

    def counters(self):
        names = ('messages', 'connections', 'reply_groups', 'octets', 'first', 'last', 'latencies')
        return dict(zip(names, struct.unpack_from(self.layout, self.memory)))

    @property
    def messages(self):
        return self.counters()['messages']

    def rate(self):
        """Messages a second between the first and the last."""
        c = self.counters()
        return (c['messages'] - 1) / max(1e-9, (c['last'] - c['first']) / 1e9)

    def latencies(self):
        """Milliseconds, sorted."""
        count = self.counters()['latencies']
        return sorted(v / 1e3 for v in struct.unpack_from(f'<{count}Q', self.memory, struct.calcsize(self.layout)))

    def wait(self, count, seconds=120):
        end = time.monotonic() + seconds
        while self.messages < count:
            if time.monotonic() > end:
                raise RuntimeError(f'{self.messages} of {count} messages arrived in {seconds} s')
            time.sleep(0.002)


class Postfix(Server):
    """A Postfix of our own beside whatever the machine has: its configuration, queue and data are in the volume."""
    name = 'postfix'

    def __init__(self, folder, queue, settings):
        self.port = harness.free_port()
        self.queue = queue
        folder.mkdir()
        os.chown(folder, pwd.getpwnam('postfix').pw_uid, -1)
        self.postfix = postfix.Instance(tool('postfix'), folder / 'etc', queue, folder / 'data', self.port, {
            'import_environment': 'MAIL_CONFIG MAIL_LOGTAG LANG=C EMAILRELAY_TEST',
            'myhostname': domain,
            'smtpd_client_connection_rate_limit': 0,
            'default_process_limit': 200,
            'in_flow_delay': '0s',
            'default_transport': 'discard:',
            'relayhost': '',
            'message_size_limit': 0,
            'mailbox_size_limit': 0,
            **settings,
        })
        self.postfix.command('start')
        harness.until(lambda: greets(self.port), f'postfix on port {self.port}', 60)

    @property
    def pids(self):
        return [int((self.queue / 'pid/master.pid').read_text())]

    def waiting(self, *queues):
        return sum(len(files) for q in queues for _, _, files in os.walk(self.queue / q))

    def settle(self):
        harness.until(lambda: self.waiting('maildrop', 'incoming', 'active', 'deferred') == 0, 'postfix queue empty', 300)

    def configure(self, *settings):
        run(tool('postconf'), '-c', self.postfix.config, '-e', *settings)
        self.postfix.command('reload')
        harness.until(lambda: greets(self.port), 'postfix again', 60)

    def count(self):
        return self.waiting('deferred')

    def drain(self):
        """What was deferred is sent. Seconds."""
        self.configure('defer_transports=')
        start = self._flush()
        self.settle()
        took = time.perf_counter() - start
        self.configure('defer_transports=smtp')
        return took

    def _flush(self):
        """When it began. A queue manager that is still beginning anew, after the reload, does not hear of it, and would wait for minutes."""
        waiting = self.count()
        for _ in range(10):
            start = time.perf_counter()
            run(tool('postqueue'), '-c', self.postfix.config, '-f')
            with contextlib.suppress(harness.Failure):
                harness.until(lambda: self.count() < waiting, 'postfix sends', 3)
                return start
        raise RuntimeError(f'{waiting} messages wait, and postqueue -f does nothing')

    def stop(self):
        self.postfix.stop()
        harness.until(lambda: not self.postfix.running(), 'postfix stopped', 60)


def to_sink(sink, **more):
    """Settings of a Postfix that sends on to a sink."""
    return {'default_transport': 'smtp:', 'relayhost': f'[{address}]:{sink.port}', **more}


class OpenSSLServer(Server):
    """openssl s_server, the yardstick of handshakes."""
    name = 'openssl s_server'

    def __init__(self, certificate):
        self.port = harness.free_port()
        self.start([tool('openssl'), 's_server', '-accept', f'{address}:{self.port}', '-cert', certificate, '-key', certificate, '-www',
                    '-quiet', '-tls1_3', '-naccept', 10**9])
        harness.until(lambda: harness.connects(address, self.port), 'openssl s_server')


def remove_tree(path):
    shutil.rmtree(pathlib.Path(path), ignore_errors=True)
