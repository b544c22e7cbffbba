"""A hundred relays on one machine with nothing to do: what they cost."""
from .. import probes


def instances(run):
    count, seconds = run.count(100, least=3), run.seconds(10)
    servers = [run.emailrelay('--forward-on-disconnect', '--forward-to=127.0.0.1:1') for _ in range(count)]
    pids = [p for s in servers for p in s.pids]
    kib = probes.memory(pids) / count
    processor, wakes = probes.over(seconds, lambda: sum(probes.processor_time(pids)), lambda: probes.wake_ups(pids))
    title = f'{count} idle relays, each: '
    run.report.add('parts', title + 'memory', 'KiB', {'emailrelay': [kib]}, note='of shared pages each process\'s part')
    run.report.add('parts', title + 'processor', 'µs/s', {'emailrelay': [processor * 1e6 / seconds / count]})
    run.report.add('parts', title + 'wake-ups', '1/s', {'emailrelay': [wakes / seconds / count]})
