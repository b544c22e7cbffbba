#!/usr/bin/env python3
"""Speed of the relay beside Postfix and the bare smtp-sink, in one run on one machine.

    bench/bench.py [--quick] [--rounds N] [--only accept|drain] [--program build/release/bin/emailrelay] [--json FILE]
                   [--folder DIR]

Accepting: smtp-source sends 4 KB messages, W1 each on a connection of its own, W2 over connections that are used again,
with 1, 10 and 100 sessions. All three servers are up all the time; rounds are interleaved and the order changes with
each, so that what the machine does meanwhile hits all alike. smtp-sink stores nothing: it says what the client
and the network allow. Postfix delivers to its discard transport, which runs meanwhile as it would in real use.

Draining: a backlog is sent on into smtp-sink: ours by --as-client, Postfix's by a flush of its queue.

Spool and queue are on one journalled ext4 made for the run in a file and mounted (as root), else in DIR (default: a
temporary folder), and the output says which. Everything is stopped, unmounted and removed at the end, also after Control-C.
The figures are medians; ratios are medians of the rounds' own ratios. They are a report, not a gate.
"""
import argparse
import json
import os
import pathlib
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

top = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(top / 'tests/e2e'))
import postfix  # noqa: E402
path = os.environ['PATH'] + ':/usr/sbin:/sbin'
client = '127.0.0.1'


def tool(name):
    found = shutil.which(name, path=path)
    if not found:
        sys.exit(f'bench: {name} is not installed: run scripts/install-deps --bench')
    return found


def run(*words, **how):
    return subprocess.run([str(w) for w in words], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, **how).stdout


def free_port():
    with socket.socket() as s:
        s.bind((client, 0))
        return s.getsockname()[1]


def wait_until(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f'after {seconds} s still not: {what}')
        time.sleep(0.005)


def greets(port):
    try:
        with socket.create_connection((client, port), timeout=5) as s:
            return s.recv(100).startswith(b'220')
    except OSError:
        return False


class Volume:
    """Where spool and queue live."""

    def __init__(self, folder):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix='emailrelay-bench-', dir=folder))
        os.chmod(self.work, 0o755)
        self.mounted = False
        self.dir = self.work / 'volume'
        self.dir.mkdir()
        self.text = f'the file system of {self.work}'
        if os.geteuid() == 0 and shutil.which('mkfs.ext4', path=path) and shutil.which('losetup', path=path):
            image = self.work / 'image'
            with open(image, 'wb') as f:
                f.truncate(4 << 30)
            try:
                run(tool('mkfs.ext4'), '-q', '-F', image)
                run(tool('mount'), '-o', 'loop', image, self.dir)
                self.mounted = True
                self.text = 'a journalled ext4 in a file, loop-mounted'
            except subprocess.CalledProcessError as e:
                print(f'bench: no loop mount ({e.stderr.strip()}): measuring on {self.text}', file=sys.stderr)

    def flush_latency(self):
        """Median seconds of an fdatasync of 4 KB written in place."""
        name = self.dir / 'probe'
        f = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
        os.write(f, bytes(1 << 20))
        os.fsync(f)
        took = []
        for n in range(100):
            os.pwrite(f, os.urandom(4096), n * 4096)
            start = time.perf_counter()
            os.fdatasync(f)
            took.append(time.perf_counter() - start)
        os.close(f)
        name.unlink()
        return statistics.median(took)

    def close(self):
        if self.mounted:
            for _ in range(100):
                if subprocess.run([tool('umount'), str(self.dir)], stderr=subprocess.DEVNULL).returncode == 0:
                    break
                time.sleep(0.1)
            else:
                print(f'bench: cannot unmount {self.dir}', file=sys.stderr)
                return
        shutil.rmtree(self.work, ignore_errors=True)


class Server:
    """Something that takes mail on a port."""
    process = None

    def start(self, words, **how):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([str(w) for w in words], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, **how)

    def ready(self):
        def up():
            if self.process.poll() is not None:
                self.log.seek(0)
                raise RuntimeError(f'{self.name} ended: {self.log.read().decode(errors="replace")}')
            return greets(self.port)
        wait_until(up, f'{self.name} on port {self.port}')

    def settle(self):
        """After a measurement: what it took is out of the way."""

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Emailrelay(Server):
    name = 'emailrelay'

    def __init__(self, program, volume):
        self.program, self.spool = program, volume.dir / 'emailrelay'
        self.spool.mkdir()
        self.port = free_port()
        self.user = ['--user=root'] if os.geteuid() == 0 else []
        self.begin()

    def begin(self):
        self.start([self.program, '--no-daemon', f'--spool-dir={self.spool}', f'--port={self.port}', f'--interface={client}',
                    '--domain=bench.example.com', *self.user])
        self.ready()

    def count(self):
        return sum(1 for n in os.listdir(self.spool) if n.endswith('.envelope'))

    def settle(self):
        for name in os.listdir(self.spool):
            if not name.startswith('.'):
                (self.spool / name).unlink()

    def drain(self, port):
        self.stop()
        start = time.perf_counter()
        run(self.program, '--as-client', f'{client}:{port}', f'--spool-dir={self.spool}', '--domain=bench.example.com', *self.user)
        took = time.perf_counter() - start
        self.begin()
        return took


class Sink(Server):
    name = 'smtp-sink'

    def __init__(self, volume):
        self.port = free_port()
        user = ['-u', 'nobody'] if os.geteuid() == 0 else []
        self.start([tool('smtp-sink'), *user, f'{client}:{self.port}', '4096'])
        self.ready()


class Postfix(Server):
    """A Postfix of our own beside whatever the machine has: its configuration, queue and data are in the volume."""
    name = 'postfix'

    def __init__(self, volume, sink_port):
        self.port = free_port()
        self.queue = volume.dir / 'postfix-queue'
        self.postfix = postfix.Instance(tool('postfix'), volume.work / 'postfix', self.queue, volume.work / 'postfix-data', self.port, {
            'myhostname': 'bench.example.com',
            'smtpd_client_connection_rate_limit': 0,
            'default_process_limit': 200,
            'in_flow_delay': '0s',
            'default_transport': 'discard:',
            'relayhost': '',
        })
        self.sink_port = sink_port
        self.postfix.command('start')
        wait_until(lambda: greets(self.port), f'postfix on port {self.port}')

    def waiting(self, *queues):
        return sum(len(files) for q in queues for _, _, files in os.walk(self.queue / q))

    def settle(self):
        wait_until(lambda: self.waiting('incoming', 'active', 'deferred') == 0, 'postfix queue empty', 300)

    def hold(self):
        """From now on mail for the next hop waits."""
        self.configure('default_transport=smtp:', f'relayhost=[{client}]:{self.sink_port}', 'defer_transports=smtp')

    def configure(self, *settings):
        run(tool('postconf'), '-c', self.postfix.config, '-e', *settings)
        self.postfix.command('reload')
        wait_until(lambda: greets(self.port), 'postfix again')

    def count(self):
        return self.waiting('deferred')

    def drain(self, port):
        self.configure('defer_transports=')
        start = time.perf_counter()
        run(tool('postqueue'), '-c', self.postfix.config, '-f')
        self.settle()
        took = time.perf_counter() - start
        self.configure('defer_transports=smtp')
        return took

    def stop(self):
        self.postfix.stop()
        wait_until(lambda: not self.postfix.running(), 'postfix stopped', 30)


def send(port, count, sessions, reuse):
    """Messages a second."""
    words = [tool('smtp-source'), '-s', sessions, '-m', count, '-l', 4096, '-C', 100, '-f', 'me@example.com', '-t', 'you@example.net']
    start = time.perf_counter()
    run(*words, *(['-d'] if reuse else []), f'{client}:{port}')
    return count / (time.perf_counter() - start)


def turned(servers, round_number):
    """The servers in an order that changes with each round."""
    order = list(servers)
    if round_number % 2:
        order.reverse()
    cut = round_number // 2 % len(order)
    return order[cut:] + order[:cut]


def measure_accepting(servers, rounds, scale, results):
    for reuse in (False, True):
        for sessions, count in ((1, 600), (10, 3000), (100, 4000)):
            count = max(sessions, int(count * scale))
            key = f'{"W2 reused connections" if reuse else "W1 new connections"}, {sessions} session{"s" if sessions > 1 else ""}'
            for server in servers:  # once for nothing
                send(server.port, max(sessions, count // 10), sessions, reuse)
                server.settle()
            for n in range(rounds):
                for server in turned(servers, n):
                    rate = send(server.port, count, sessions, reuse)
                    server.settle()
                    results.setdefault(key, {}).setdefault(server.name, []).append(rate)
            show(key, results[key])


def measure_draining(servers, sink, rounds, scale, results):
    count = int(3000 * scale)
    key = f'drain {count} messages into smtp-sink'
    for server in servers:
        if isinstance(server, Postfix):
            server.hold()
    for n in range(rounds):
        for server in turned(servers, n):
            if server is sink:
                rate = send(sink.port, count, 20, True)
            else:
                send(server.port, count, 20, True)
                wait_until(lambda: server.count() == count, f'{server.name}: backlog of {count}', 120)
                rate = count / server.drain(sink.port)
            results.setdefault(key, {}).setdefault(server.name, []).append(rate)
    show(key, results[key])


def summary(rates):
    ours = rates['emailrelay']
    line = {name: statistics.median(values) for name, values in rates.items()}
    for name, values in rates.items():
        if name != 'emailrelay':
            line[f'ratio to {name}'] = statistics.median(a / b for a, b in zip(ours, values))
    return line


def show(key, rates):
    line = summary(rates)
    cells = [f'{line.get(n, float("nan")):>11,.0f}' for n in ('emailrelay', 'postfix', 'smtp-sink')]
    ratios = [f'{line.get("ratio to " + n, float("nan")):>10.2f}' for n in ('postfix', 'smtp-sink')]
    print(f'{key:<40}{"".join(cells)}{"".join(ratios)}', flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument('--quick', action='store_true', help='fewer messages, three rounds')
    arguments.add_argument('--rounds', type=int)
    arguments.add_argument('--only', choices=['accept', 'drain'])
    arguments.add_argument('--program', default=top / 'build/release/bin/emailrelay', type=pathlib.Path)
    arguments.add_argument('--json', default=top / 'build/bench.json', type=pathlib.Path)
    arguments.add_argument('--folder')
    given = arguments.parse_args()
    if not given.program.exists():
        sys.exit(f'bench: no program {given.program}: run make build')
    program = given.program.resolve()
    rounds = given.rounds or (3 if given.quick else 5)
    scale = 0.2 if given.quick else 1.0

    # Control-C and TERM come up as an exception, so that the end below is always reached.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    volume, servers, results = None, [], {}
    try:
        volume = Volume(given.folder)
        sink = Sink(volume)
        servers.append(sink)
        servers.insert(0, Emailrelay(program, volume))
        if os.geteuid() == 0 and shutil.which('postfix', path=path):
            servers.insert(1, Postfix(volume, sink.port))
        else:
            print('bench: without Postfix, which needs its package and root', file=sys.stderr)
        latency = volume.flush_latency()
        print(f'messages a second, medians of {rounds} rounds; 4 KB messages; {os.cpu_count()} cores; on {volume.text}; '
              f'a flush takes {latency * 1e3:.2f} ms')
        print(f'{"":<40}{"emailrelay":>11}{"postfix":>11}{"smtp-sink":>11}{"/postfix":>10}{"/sink":>10}')
        if given.only != 'drain':
            measure_accepting(servers, rounds, scale, results)
        if given.only != 'accept':
            measure_draining(servers, sink, rounds, scale, results)
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps({
            'time': time.strftime('%Y-%m-%dT%H:%M:%S%z'), 'cores': os.cpu_count(), 'kernel': platform.release(),
            'file system': volume.text, 'flush seconds': latency, 'rounds': rounds,
            'results': {k: {'rates': v, 'summary': summary(v)} for k, v in results.items()}}, indent=2) + '\n')
        print(f'all figures: {given.json}')
    except subprocess.CalledProcessError as e:
        sys.exit(f'bench: {" ".join(map(str, e.cmd))}: status {e.returncode}\n{e.stdout or ""}{e.stderr or ""}')
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        for server in servers:
            server.stop()
        if volume:
            volume.close()


if __name__ == '__main__':
    main()
