#!/usr/bin/env python3
"""Does anything grow? Everything at once for some minutes, while memory and descriptors of the relay are watched.

    bench/soak.py [--minutes 10] [--program build/bench/bin/emailrelay] [--folder DIR] [--any-memory]

One relay with STARTTLS, POP, the admin port and a net: filter passes on what comes: bursts of small messages on new and on used
connections, large ones, handshakes, clients that vanish in the middle, POP clients, questions at the admin port. Samples are taken
every 2 % of the time. Status 1 if the memory of the last quarter is more than 5 % and 2 MiB above that of the second, if more descriptors
are open when all is over than after a first short load, if a message that was accepted has not arrived, or if anything is left in the
spool. --any-memory is for programs built with a sanitizer, which keeps what is freed.
"""
import argparse
import contextlib
import pathlib
import signal
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from suite import machine, probes  # noqa: E402
from suite.clients import bench_source, handshakes, smtp_source  # noqa: E402
from suite.machine import address, harness  # noqa: E402
from suite.report import Report  # noqa: E402
from suite.run import Run  # noqa: E402
from suite.workloads.sessions import certificate, unlimited, with_tls  # noqa: E402
import helper_servers  # noqa: E402  (tests/e2e)


class Load:
    """Repeats its parts, each on a thread of its own, until stop(); `accepted` counts the messages that got their 250. They wait while
    more than a thousand messages are on their way: a queue that grows takes memory by right. `arrived` says how many are not."""

    def __init__(self, relay, programs, arrived, pop_port, admin_port):
        self.relay, self.programs, self.pop_port, self.admin_port = relay, programs, pop_port, admin_port
        self.arrived, self.before = arrived, arrived()
        self.accepted, self.rounds, self.failures = 0, 0, []
        self.lock, self.over = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self._repeat, args=(part,), daemon=True)
                        for part in (self.small, self.reused, self.large, self.encrypted, self.vanishing, self.questions)]
        for t in self.threads:
            t.start()

    def stop(self):
        self.over.set()
        for t in self.threads:
            t.join(120)
        if any(t.is_alive() for t in self.threads):
            self.failures.append('a client does not come to its end')

    def _repeat(self, part):
        while not self.over.is_set():
            try:
                count = part() or 0
            except Exception as e:  # told of at the end, whatever it is
                self.failures.append(f'{part.__name__}: {e!r}')
                return
            with self.lock:
                self.accepted += count
                self.rounds += 1
            self.over.wait(0.05)
            while self.accepted - (self.arrived() - self.before) > 1000 and not self.over.is_set():
                self.over.wait(0.05)

    def small(self):
        smtp_source(self.relay.port, 200, 10, False)
        return 200

    def reused(self):
        smtp_source(self.relay.port, 300, 5, True)
        return 300

    def large(self):
        bench_source(self.programs, self.relay.port, 4, 2, 2 << 20)
        return 4

    def encrypted(self):
        handshakes(self.programs, self.relay.port, 2, 0.5, False)

    def vanishing(self):
        """Clients that are gone at every stage of a message."""
        said = ['EHLO x', 'MAIL FROM:<me@example.com>', 'RCPT TO:<you@example.net>', 'DATA']
        for stage in range(len(said) + 1):
            with harness.Wire.tcp(address, self.relay.port) as wire:
                wire.reply()
                for line in said[:stage]:
                    wire.ask(line)
                if stage == len(said):
                    wire.send('Subject: half a message\r\n' * 5000)

    def questions(self):
        with harness.Wire.tcp(address, self.pop_port) as wire:
            for line in (None, 'USER user', 'PASS password', 'STAT', 'QUIT'):
                if line:
                    wire.say(line)
                if not wire.line().startswith('+OK'):
                    raise RuntimeError(f'POP: {line}')
        with harness.Wire.tcp(address, self.admin_port) as wire:
            for line in ('status', 'list', 'stats'):
                wire.say(line)
            wire.say('quit')
            while wire.socket.recv(1 << 16):
                pass


def watch(relay, load, seconds):
    """(seconds since the start, KiB resident, descriptors) at regular moments."""
    start, samples = time.monotonic(), []
    while time.monotonic() - start < seconds and not load.failures:
        time.sleep(seconds / 50)
        samples.append((time.monotonic() - start, probes.resident(relay.pids), probes.descriptors(relay.pids)))
        print('{:6.0f} s  {:8,} KiB  {:4} descriptors'.format(*samples[-1]) + f'  {load.accepted:,} messages', flush=True)
    return samples


def memory_grows(samples):
    """By the medians of two quarters."""
    quarter = len(samples) // 4
    before, after = (statistics.median(s[1] for s in part) for part in (samples[quarter:2 * quarter], samples[-quarter:]))
    print(f'memory in the second quarter {before:,.0f} KiB, in the last {after:,.0f}')
    return after > before * 1.05 and after > before + 2048


def descriptors_at_rest(relay):
    """When nobody wants anything, and the spool is empty. Segments of the journal are made as they are needed, so many and no more."""
    with contextlib.suppress(AssertionError):  # what is left is told of at the end
        harness.until(lambda: not relay.names(), 'spool empty', 60)
    found = []
    for _ in range(10):
        time.sleep(0.2)
        found.append(probes.descriptors(relay.pids, but='.emailrelay-journal'))
    return min(found)


def soak(run, seconds, any_memory):
    sink = run.counting_sink()
    filtering = helper_servers.LineServer(run, lambda line, _: 'ok\n')
    pop_port, admin_port = harness.free_port(), harness.free_port()
    secrets = run.file('soak-secrets', 'server plain user password\n')
    relay = run.emailrelay('--forward-on-disconnect', f'--forward-to={address}:{sink.port}', f'--filter=net:{filtering.address}', '--pop',
                           f'--pop-port={pop_port}', f'--pop-auth={secrets}', '--pop-no-delete', f'--admin={admin_port}', *unlimited,
                           *with_tls(certificate(run, rsa=False)))
    first = Load(relay, run.programs, lambda: sink.messages, pop_port, admin_port)
    time.sleep(1)
    first.stop()
    before = descriptors_at_rest(relay)
    load = Load(relay, run.programs, lambda: sink.messages, pop_port, admin_port)
    samples = watch(relay, load, seconds)
    load.stop()
    after = descriptors_at_rest(relay)
    print(f'descriptors at rest {before}, at the end {after}')

    problems = first.failures + load.failures
    if not problems and memory_grows(samples) and not any_memory:
        problems.append('memory grows')
    if after > before + 2:
        problems.append('descriptors are lost')
    if relay.names():
        problems.append(f'{len(relay.names())} files are left in the spool, e.g. {sorted(relay.names())[:2]}')
    accepted = first.accepted + load.accepted
    if sink.messages < accepted:
        problems.append(f'{accepted} messages were accepted, {sink.messages} arrived')
    print(f'{accepted:,} messages accepted, {sink.messages:,} arrived; {load.rounds:,} rounds of clients')
    return problems


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument('--minutes', type=float, default=10)
    arguments.add_argument('--program', default=machine.top / 'build/bench/bin/emailrelay', type=pathlib.Path)
    arguments.add_argument('--folder')
    arguments.add_argument('--any-memory', action='store_true', help='memory is shown, not judged')
    given = arguments.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    machine.raise_file_limit()
    volume = machine.Volume(given.folder)
    try:
        run = Run(given.program.resolve(), volume, Report(), 1, 1.0)
        with run.workload():
            problems = soak(run, given.minutes * 60, given.any_memory)
    finally:
        volume.close()
    for problem in problems:
        print(f'soak: {problem}', file=sys.stderr)
    sys.exit(1 if problems else 0)


if __name__ == '__main__':
    main()
