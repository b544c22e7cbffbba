"""W8: taking in and sending on while the spool already holds 100,000 messages, beside an empty one."""
import statistics
import subprocess
import time

from ..clients import smtp_source
from ..machine import harness, run as run_program
from ..report import at_least
from .forwarding import fill


def full_spool(run):
    held = run.count(100_000, least=200)
    full, empty = run.emailrelay(), run.emailrelay()
    smtp_source(full.port, held, 20, True, 300)
    harness.until(lambda: full.count() == held, f'a spool of {held}', 300)
    run.volume.write_back()
    accept(run, full, empty, held)
    drain(run, full, empty, held)


def accept(run, full, empty, held):
    count = run.count(5000)
    kept = full.names()

    def measure(server, keep):
        rate = smtp_source(server.port, count, 10)
        server.settle(keep)
        return rate

    run.interleave('speed', f'W8 accept (as W2, 10 sessions), {held:,} in the spool', 'msg/s', {
        'emailrelay': lambda: measure(full, kept),
        'empty spool': lambda: measure(empty, frozenset()),
    }, [at_least(0.9, 'empty spool')])


def drain(run, full, empty, held):
    """Part of what is there is sent by a process that is stopped after some seconds, as often as there are rounds; the empty spool has
    as much alone. Nobody looks on meanwhile: on two processors whoever wakes up has an effect on where relay and sink run."""
    part = run.count(5_000, least=50)
    sink = run.counting_sink()
    full.stop()
    firsts, rates = [], [part]

    def measure_full():
        read_oldest(full.spool, 3 * part)
        sink.clear()
        started = time.monotonic_ns()
        server = Sending(full, sink.port)
        time.sleep(0.3 + part / max(rates))
        server.stop()
        firsts.append(sink.counters()['first'] - started)
        return sink.rate()

    def measure_empty():
        fill(empty, part)
        run.volume.write_back()  # as that of the other: what never got a place on the disk costs less to delete
        sink.clear()
        empty.drain(sink.port)
        rates.append(sink.rate())
        return rates[-1]

    rounds = max(1, min(2 * run.rounds - 1, held // part // 2))
    run.interleave('speed', f'W8 drain, {held:,} in the spool', 'msg/s', {'emailrelay': measure_full, 'empty spool': measure_empty},
                   [at_least(0.9, 'empty spool')], rounds=rounds,
                   note=lambda: f'from first to last of about {part:,} messages; first message {statistics.median(firsts) / 1e6:.0f} ms after '
                                'the start of the process')
    left = run_program('find', full.spool, '-maxdepth', 1, '-name', '*.envelope.busy')
    if left:
        raise RuntimeError(f'messages stay claimed after a stop: {left[:200]}')


def read_oldest(spool, count):
    """Into memory, as those of the empty spool are, which are new: there are machines that drop what nobody has read for a while."""
    contents = sorted(spool.glob('*.content'), key=lambda name: int(name.name.split('.')[3]))
    for content in contents[:count]:
        content.read_bytes()
        content.with_suffix('.envelope').read_bytes()


class Sending:
    """A process that sends what is in the server's spool, stopped before it is through."""

    def __init__(self, server, port):
        self.process = subprocess.Popen([str(w) for w in server.client_words(port)], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(60)
