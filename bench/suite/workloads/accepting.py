"""Messages taken in: W1 each on a connection of its own, W2 over connections that are used again, W3 large ones.

All servers are up all the time. smtp-sink stores nothing. Postfix delivers to its discard transport, which runs meanwhile as it would
in real use."""
from ..clients import bench_source, smtp_source
from ..report import at_least


def servers(run):
    found = {'emailrelay': run.emailrelay(), 'postfix': run.postfix(), 'smtp-sink': run.sink()}
    return {name: server for name, server in found.items() if server}


def accept(run, there, title, unit, send, goals):
    """send(port, part) gives the rate of so large a part of the full number; a small part first for nothing."""
    def measure(server, part=1.0):
        rate = send(server.port, part)
        server.settle()
        return rate

    run.interleave('speed', title, unit, {name: lambda s=s: measure(s) for name, s in there.items()}, goals,
                   warm=lambda name: measure(there[name], 0.1))


def small_messages(run, name, reuse, rows):
    there = servers(run)
    for sessions, full, goals in rows:
        count = run.count(full, least=sessions)
        accept(run, there, f'{name}, {sessions} session{"s" if sessions > 1 else ""}', 'msg/s',
               lambda port, part, sessions=sessions, count=count: smtp_source(port, max(sessions, int(count * part)), sessions, reuse),
               goals)


def new_connections(run):
    small_messages(run, 'W1 new connections', False, [
        (1, 600, []),
        (10, 3000, [at_least(0.75, 'smtp-sink'), at_least(4, 'postfix')]),
        (100, 4000, [at_least(0.75, 'smtp-sink')]),
    ])


def reused_connections(run):
    small_messages(run, 'W2 reused connections', True, [
        (1, 800, [at_least(0.5, 'smtp-sink'), at_least(2, 'postfix')]),
        (10, 5000, [at_least(0.5, 'smtp-sink'), at_least(6, 'postfix')]),
        (100, 5000, [at_least(0.5, 'smtp-sink')]),
    ])


def large_messages(run):
    there = servers(run)
    count = run.count(1000)
    accept(run, there, 'W3 100 KB, 10 sessions', 'msg/s',
           lambda port, part: smtp_source(port, max(10, int(count * part)), 10, True, 100_000), [at_least(2.5, 'postfix')])
    mebibytes = 10 if not run.smoke else 1
    blocks = run.count(40, least=2)

    def send_blocks(port, part):
        messages = max(2, int(blocks * part))
        return messages * mebibytes / bench_source(run.programs, port, messages, 2, mebibytes << 20)['seconds']

    there['bench_sink (the limit of the generator)'] = run.counting_sink()
    accept(run, there, f'W3b {mebibytes} MiB in 64 KiB blocks, 2 sessions', 'MiB/s', send_blocks, [at_least(1.5, 'postfix')])
