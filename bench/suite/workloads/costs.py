"""What each message costs the server: processor time, octets and flushes of the device, system calls (counted in a run of its own,
since strace slows everything down)."""
from ..clients import smtp_source
from ..probes import SystemCalls, costs as costs_of
from ..servers import to_sink
from .forwarding import server_is_empty

units = {'user': 'µs', 'system': 'µs', 'written': 'KiB', 'flushes': '', 'system calls': ''}


def costs(run):
    sink = run.counting_sink()
    accepting = {'emailrelay': run.emailrelay(), 'postfix': run.postfix()}
    passing = {
        'emailrelay': run.emailrelay('--forward-on-disconnect', f'--forward-to=127.0.0.1:{sink.port}'),
        'postfix': run.postfix(**to_sink(sink)),
    }

    def accept(server, count, reuse):
        smtp_source(server.port, count, 10, reuse)

    def pass_on(server, count):
        sink.clear()
        smtp_source(server.port, count, 10, False)
        sink.wait(count, 300)
        server_is_empty(server)

    for title, servers, work in (
            ('W1 new connections, 10 sessions', accepting, lambda s, n: accept(s, n, False)),
            ('W2 reused connections, 10 sessions', accepting, lambda s, n: accept(s, n, True)),
            ('W5 store and forward, 10 sessions', passing, pass_on)):
        found = {name: measure(run, server, work) for name, server in servers.items() if server}
        for what, unit in units.items():
            figures = {name: [values[what]] for name, values in found.items() if what in values}
            note = found['emailrelay']['calls by name'] if what == 'system calls' else ''
            if figures:
                run.report.add('costs', f'{title}: {what}', unit, figures, note=note)


def measure(run, server, work):
    work(server, run.count(300))
    server.settle()
    count = run.count(4000)
    found = costs_of(run.volume, server.pids, count, lambda: work(server, count))
    server.settle()
    less = run.count(500)
    with SystemCalls(server.pids, run.volume.work / 'strace') as calls:
        work(server, less)
    found['system calls'] = calls.count / less
    most = sorted(calls.by_name.items(), key=lambda item: -item[1])[:8]
    found['calls by name'] = 'of ours ' + ', '.join(f'{name} {count / less:.1f}' for name, count in most)
    server.settle()
    return found
