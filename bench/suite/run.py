"""One run: where things are, how much is done, in which order, and an end that is always reached."""
import contextlib
import pathlib

from . import machine, servers
from .machine import harness


class Run:
    """`scale` is the part of the full number of messages, `rounds` how often each figure is taken. Servers made here are stopped when the
    workload ends that they were made for (workload()). `folder`, `file` and `on_end` are what the tests' helpers ask of a test."""

    def __init__(self, program, volume, report, rounds, scale, smoke=False):
        self.program, self.volume, self.report = pathlib.Path(program), volume, report
        self.programs = self.program.parent
        self.rounds, self.scale, self.smoke = rounds, scale, smoke
        self._endings = contextlib.ExitStack()
        self._number = 0

    # -- how much

    def count(self, full, least=10):
        return max(least, int(full * self.scale))

    def seconds(self, full, least=0.5):
        return max(least, full * min(1.0, self.scale * 2))

    # -- places and ends

    def path(self, name):
        return self.volume.dir / self.new_name(name)

    def folder(self, name, mode=0o755):
        path = self.volume.work / name
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        return path

    def file(self, name, text):
        path = self.volume.work / name
        path.write_text(text)
        return path

    def new_name(self, name):
        """One that nothing else of this run has."""
        self._number += 1
        return f'{self._number}-{name}'

    def on_end(self, action):
        self._endings.callback(action)

    @contextlib.contextmanager
    def workload(self):
        try:
            yield self
        finally:
            self._endings.close()

    def _stopped_at_end(self, server, *paths):
        for path in paths:
            self.on_end(lambda path=path: servers.remove_tree(path))
        self.on_end(server.stop)
        return server

    # -- servers

    def emailrelay(self, *options, serve=True):
        spool = self.path('spool')
        return self._stopped_at_end(servers.Emailrelay(self.program, spool, *options, serve=serve), spool)

    def postfix(self, **settings):
        """None where there can be none."""
        if not self.has_postfix():
            return None
        folder, queue = self.volume.work / self.new_name('postfix'), self.path('queue')
        return self._stopped_at_end(servers.Postfix(folder, queue, settings), queue, folder)

    @staticmethod
    def has_postfix():
        with contextlib.suppress(harness.Skip):
            harness.need('postfix', 'postconf')
            return machine.is_root
        return False

    def openssl_server(self, certificate):
        return self._stopped_at_end(servers.OpenSSLServer(certificate))

    def sink(self):
        return self._stopped_at_end(servers.Sink())

    def counting_sink(self, delay_ms=0):
        counters = self.volume.work / self.new_name('counters')
        return self._stopped_at_end(servers.CountingSink(self.programs, counters, delay_ms))

    # -- figures

    def interleave(self, section, title, unit, measures, goals=(), rounds=None, warm=None, note=''):
        """Takes a figure of each of `measures` (name -> function; None for one that is not there) once a round, in an order that
        changes with each, so that what the machine does meanwhile hits all alike. `warm(name)` before the first round."""
        present = [(name, measure) for name, measure in measures.items() if measure]
        if warm:
            for name, _ in present:
                warm(name)
        figures = {name: [] for name, _ in present}
        for n in range(rounds or self.rounds):
            for name, measure in turned(present, n):
                figures[name].append(measure())
        self.report.add(section, title, unit, figures, goals=list(goals), note=note() if callable(note) else note)
        return figures

    def remark(self, text):
        self.report.remark(text)


def turned(items, round_number):
    """The items in an order that changes with each round."""
    order = list(items)
    if round_number % 2:
        order.reverse()
    cut = round_number // 2 % len(order)
    return order[cut:] + order[:cut]
