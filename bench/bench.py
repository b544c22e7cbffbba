#!/usr/bin/env python3
"""Speed and costs of the relay beside Postfix and the bare smtp-sink, in one run on one machine.

    bench/bench.py [--quick | --smoke] [--rounds N] [--only w2,w8] [--program build/bench/bin/emailrelay] [--folder DIR]
                   [--json FILE] [--markdown [PAGE]]

Loads are 4 KB messages unless said. For each figure rounds are interleaved and the servers' order changes with each, so that what the
machine does meanwhile hits all alike; figures are medians, ratios the medians of the rounds' own ratios. Spools and queues are on one
journalled ext4 made for the run in a file and mounted (as root), else in DIR (default: a temporary folder), and the output says which.
Everything is stopped, unmounted and removed at the end, also after Control-C.

The figures are a report, not a gate: a goal that is missed is told of, and the status is 0. What fails (mail that does not arrive, a server
that ends) gives status 1. --markdown writes the tables into docs/performance.md. --smoke is for the tests: everything once, tiny.
"""
import argparse
import pathlib
import signal
import subprocess
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from suite import machine, workloads  # noqa: E402
from suite.report import Report  # noqa: E402
from suite.run import Run  # noqa: E402

names = ', '.join(workloads.all_workloads)


def chosen(text):
    found = text.split(',')
    for name in found:
        if name not in workloads.all_workloads:
            raise argparse.ArgumentTypeError(f'no workload {name}; there are {names}')
    return found


def options():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = arguments.add_mutually_exclusive_group()
    size.add_argument('--quick', action='store_true', help='a fifth of the messages, three rounds')
    size.add_argument('--smoke', action='store_true', help='the least that shows that it works')
    arguments.add_argument('--rounds', type=int, help='default: 5')
    arguments.add_argument('--only', type=chosen, default=list(workloads.all_workloads), help=f'some of {names}')
    arguments.add_argument('--program', default=machine.top / 'build/bench/bin/emailrelay', type=pathlib.Path)
    arguments.add_argument('--folder')
    arguments.add_argument('--json', default=machine.top / 'build/bench.json', type=pathlib.Path)
    arguments.add_argument('--markdown', nargs='?', const=machine.top / 'docs/performance.md', type=pathlib.Path, metavar='PAGE')
    given = arguments.parse_args()
    given.scale, usual_rounds = (0.005, 1) if given.smoke else (0.2, 3) if given.quick else (1.0, 5)
    given.rounds = given.rounds or usual_rounds
    given.program = given.program.resolve()
    for program in (given.program, given.program.parent / 'bench_sink'):
        if not program.exists():
            sys.exit(f'bench: no program {program}: run make bench')
    return given


def measure(run, name):
    """One group of rows. What goes wrong in it is told of and the next one goes on."""
    start = time.monotonic()
    try:
        with run.workload():
            workloads.all_workloads[name](run)
    except (AssertionError, RuntimeError, OSError, subprocess.SubprocessError) as e:
        traceback.print_exc()
        output = (e.stderr or e.stdout or '') if isinstance(e, subprocess.CalledProcessError) else ''
        run.remark(f'{name} FAILED: {e} {output}'.strip())
        return False
    print(f'    [{name}: {time.monotonic() - start:.0f} s]', flush=True)
    return True


def main():
    given = options()
    # TERM comes up as an exception, as Control-C does, so that the end below is always reached.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    machine.raise_file_limit()
    report = Report()
    volume = machine.Volume(given.folder)
    start = time.monotonic()
    try:
        report.describe(machine.description(volume, given.program) | {'rounds': given.rounds, 'messages': f'{given.scale:.0%} of the full numbers'})
        run = Run(given.program, volume, report, given.rounds, given.scale, given.smoke)
        if not run.has_postfix():
            run.remark('without Postfix, which needs its package and root')
        failed = [name for name in given.only if not measure(run, name)]
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        volume.close()
    print('\n'.join(['', *report.summary(), f'{time.monotonic() - start:.0f} s']))
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(report.as_json())
    print(f'all figures: {given.json}')
    if given.markdown:
        report.write_markdown(given.markdown)
        print(f'tables: {given.markdown}')
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
