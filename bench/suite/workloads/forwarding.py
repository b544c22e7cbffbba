"""Messages sent on: W4 a backlog, near and far away, W5 while they come in."""
import time

from ..clients import bench_source, percentile, smtp_source
from ..machine import harness
from ..report import at_least, at_most
from ..servers import to_sink

many = 20  # connections, where a next hop is far away


def fill(server, count):
    """So many messages wait in the server's queue."""
    smtp_source(server.port, count, 20)
    harness.until(lambda: server.count() == count, f'{server.name}: a backlog of {count}', 300)


def drained(server, count, *where):
    fill(server, count)
    return count / server.drain(*where)


def waiting_postfix(run, sink, **more):
    """Mail for the next hop waits until drain()."""
    return run.postfix(**to_sink(sink, defer_transports='smtp', **more))


def drain(run):
    sink = run.sink()
    ours, theirs = run.emailrelay(), waiting_postfix(run, sink)
    count, less = run.count(20000), run.count(3000)
    note = f'backlog of {count:,}; of Postfix {less:,}; of ours everything from the start of the process to its end'
    run.interleave('speed', 'W4 drain into smtp-sink, default options', 'msg/s', {
        'emailrelay': lambda: drained(ours, count, sink.port),
        'postfix': theirs and (lambda: drained(theirs, less)),
        'smtp-sink': lambda: smtp_source(sink.port, less, 1),
    }, [at_least(5, 'postfix')], rounds=min(3, run.rounds), note=note)

    counting = run.counting_sink()

    def steady(*options):
        counting.clear()
        drained(ours, count, counting.port, *options)
        return counting.rate()

    for title, options in (('W4 from first to last message', ()),
                           ('W4 from first to last, pipelining', ('--client-smtp-config=+pipelining',)),
                           ('W4 from first to last, 4 connections', ('--forward-connections=4',))):
        run.interleave('speed', title, 'msg/s', {'emailrelay': lambda options=options: steady(*options)}, rounds=min(3, run.rounds),
                       note='into a sink of ours, which counts' if not options else '')


def drain_far_away(run):
    delay_ms = 20
    sink = run.counting_sink(delay_ms)
    ours = run.emailrelay()
    theirs = waiting_postfix(run, sink, smtp_destination_concurrency_limit=many, initial_destination_concurrency=many,
                             default_destination_concurrency_limit=many)
    count, less = run.count(4000, least=many), run.count(1200, least=many)
    trips = []

    def measure_ours():
        sink.clear()
        rate = drained(ours, count, sink.port, f'--forward-connections={many}', '--client-smtp-config=+pipelining')
        c = sink.counters()
        # Of each connection: the greeting, EHLO and QUIT.
        trips.append((c['reply_groups'] - 3 * c['connections']) / c['messages'])
        return rate

    def bound():
        return many / (round(trips[-1]) * delay_ms / 1000)

    run.interleave('speed', f'W4 with {delay_ms} ms added to each reply, {many} connections', 'msg/s', {
        'emailrelay': measure_ours,
        'postfix': theirs and (lambda: drained(theirs, less)),
    }, [at_least(4, 'postfix')], rounds=min(3, run.rounds))
    ours_found = run.report.rows[-1].figures['emailrelay']
    run.report.add('speed', f'W4 with {delay_ms} ms, beside what the line allows', 'msg/s',
                   {'emailrelay': ours_found, 'bound': [bound()] * len(ours_found)}, goals=[at_least(0.8, 'bound')],
                   note=f'{trips[-1]:.2f} round trips a message; the bound is {many} connections ÷ '
                        f'({round(trips[-1])} round trips × {delay_ms} ms), its start and end not counted')


def store_and_forward(run):
    sink = run.counting_sink()
    variants = {
        'emailrelay': (run.emailrelay('--forward-on-disconnect', f'--forward-to=127.0.0.1:{sink.port}'), run.count(5000)),
        'postfix': (run.postfix(**to_sink(sink)), run.count(2000)),
        'with --forward-connections=4': (run.emailrelay('--forward-on-disconnect', f'--forward-to=127.0.0.1:{sink.port}',
                                                        '--forward-connections=4'), run.count(5000)),
    }

    def measure(server, count):
        sink.clear()
        rate = count / timed(lambda: (smtp_source(server.port, count, 10, False), sink.wait(count, 300)))
        server_is_empty(server)
        return rate

    run.interleave('speed', 'W5 store and forward at once, 10 sessions', 'msg/s',
                   {name: server and (lambda s=server, n=count: measure(s, n)) for name, (server, count) in variants.items()},
                   [at_least(4, 'postfix')])


def server_is_empty(server):
    """What has arrived is also gone from the queue: the next round begins with nothing."""
    if server.name == 'postfix':
        server.settle()
    else:
        harness.until(lambda: not server.names(), 'spool empty', 60)


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def submit_to_arrival(run):
    """15 messages a second, each on a connection of its own: from the beginning of the connection until the sink has the final dot.
    Beside it what generator and sink take without a relay, and what a flush takes at the same rate."""
    rate = 15
    sink = run.counting_sink()
    ours = run.emailrelay('--forward-on-disconnect', f'--forward-to=127.0.0.1:{sink.port}')
    theirs = run.postfix(**to_sink(sink))
    count = int(rate * run.seconds(10))
    found = {}

    def note(name, **values):
        for key, milliseconds in values.items():
            for percent in (50, 99):
                found.setdefault((f'{key} p{percent}', name), []).append(percentile(milliseconds, percent))

    def measure(name, server):
        sink.clear()
        accepted = bench_source(run.programs, server.port, count, 4, 4096, rate)['milliseconds']
        sink.wait(count)
        if server is not sink:
            server_is_empty(server)
        note(name, arrival=sink.latencies(), accepted=accepted)

    servers = {name: s for name, s in (('emailrelay', ours), ('postfix', theirs), ('without a relay', sink)) if s}
    for n in range(min(3, run.rounds)):
        for name in list(servers)[::-1 if n % 2 else 1]:
            measure(name, servers[name])
        note('a flush alone', arrival=run.volume.flushes(count, rate))
    for key, title, goals in (('arrival p50', 'W5 submit to arrival at 15 msg/s, p50', []),
                              ('arrival p99', 'W5 submit to arrival at 15 msg/s, p99', [at_most(4)]),
                              ('accepted p50', 'W5 submit to the 250, p50', []),
                              ('accepted p99', 'W5 submit to the 250, p99', [])):
        run.report.add('speed', title, 'ms', {name: values for (k, name), values in found.items() if k == key}, goals=goals)
