#!/usr/bin/env python3
"""Runs every test: the unit test programs, and the end-to-end tests of tests/e2e.

    tests/run.py [--bin-dir build/asan/bin] [--tsan-dir build/tsan/bin] [--filter TEXT] [--only unit|e2e] [--jobs N]
                 [--list] [--keep] [--repeat N]

Unit test programs are *_test in the two folders; an end-to-end test is a function test_* of a file tests/e2e/test_*.py
and gets a process of its own. With --tsan-dir those that have most going on at once are run with the relay of that folder
too, if it is there; any other can be: --only e2e --bin-dir build/tsan/bin --filter TEXT. A failed test prints what it found and the logs of the programs it used. The last line is
`N passed, N failed`, with `, N skipped` when a tool was missing; the exit status is 1 if any failed, or if none ran.
"""
import argparse
import concurrent.futures
import ctypes
import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

top = pathlib.Path(__file__).resolve().parent.parent
e2e = top / 'tests/e2e'
sys.path.insert(0, str(e2e))

unit_limit = 600

# What the threads of one relay do at the same time: serve, scan, forward, filter, report, reload, stop.
thread_tests = ('test_admin.', 'test_admin_events.', 'test_filters.', 'test_forwarding.', 'test_immediate.', 'test_modes.',
                'test_pop.test_two_', 'test_pop.test_a_slow_reader')


class Results:
    def __init__(self):
        self.passed = self.failed = 0
        self.skipped = []
        self.failures = []
        self.lock = threading.Lock()

    def add(self, status, name, seconds, text=''):
        with self.lock:
            if status == 'passed':
                self.passed += 1
                print(f'ok       {name} ({seconds:.1f} s)', flush=True)
            elif status == 'skipped':
                self.skipped.append((name, text.strip()))
                print(f'SKIPPED  {name}: {text.strip()}', flush=True)
            else:
                self.failed += 1
                self.failures.append(name)
                print(f'FAILED   {name} ({seconds:.1f} s)', flush=True)
                for line in text.rstrip().splitlines():
                    print(f'    {line}', flush=True)

    def add_many(self, name, passed, skipped, seconds):
        with self.lock:
            self.passed += passed
            self.skipped += [(f'{name}: {s}', 'skipped by the test itself') for s in skipped]
            print(f'ok       {name}: {passed} tests ({seconds:.1f} s)', flush=True)


def run_unit(program, label, results, name_filter):
    """One GoogleTest program, its tests counted one by one."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix='emailrelay-unit-') as folder:
        report = pathlib.Path(folder) / 'report.json'
        env = dict(os.environ, TMPDIR=folder, GTEST_COLOR='no')
        # The sanitizers write to stderr, which is shown whole on failure.
        env['ASAN_OPTIONS'] = 'exitcode=99:detect_stack_use_after_return=1'
        env['UBSAN_OPTIONS'] = 'print_stacktrace=1:exitcode=99'
        env['TSAN_OPTIONS'] = 'exitcode=99:second_deadlock_stack=1'
        words = [str(program), f'--gtest_output=json:{report}']
        if name_filter:
            words.append(f'--gtest_filter=*{name_filter}*')
        try:
            done = subprocess.run(words, cwd=folder, env=env, timeout=unit_limit, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            output, status = done.stdout.decode(errors='replace'), done.returncode
        except subprocess.TimeoutExpired as e:
            output = (e.stdout or b'').decode(errors='replace')
            status = f'none: stopped after {unit_limit} s'
        seconds = time.monotonic() - start
        passed, failed, skipped = 0, [], []
        try:
            suites = json.loads(report.read_text())['testsuites']
        except (OSError, ValueError, KeyError):
            suites = []
        for suite in suites:
            for test in suite['testsuite']:
                full = f"{suite['name']}.{test['name']}"
                if test.get('status') != 'RUN':
                    continue
                if test.get('failures'):
                    failed.append((full, '\n'.join(f['failure'] for f in test['failures'])))
                elif test.get('result') == 'SKIPPED':
                    skipped.append(full)
                else:
                    passed += 1
        for full, text in failed:
            results.add('failed', f'{label}: {full}', seconds, text)
        if status != 0 and not failed:
            tail = '\n'.join(output.splitlines()[-80:])
            results.add('failed', label, seconds, f'exit status {status}\n{tail}')
        if passed or skipped:
            results.add_many(label, passed, skipped, seconds)
        elif not failed and status == 0 and not name_filter:
            results.add('failed', label, seconds, 'no test in it')


def run_check(script, results):
    start = time.monotonic()
    done = subprocess.run([str(script)], cwd=top, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    results.add('passed' if done.returncode == 0 else 'failed', script.name, time.monotonic() - start,
                done.stdout.decode(errors='replace'))


def e2e_tests():
    """(file stem, function name, function) of every end-to-end test."""
    found = []
    for path in sorted(e2e.glob('test_*.py')):
        module = importlib.import_module(path.stem)
        for name, value in vars(module).items():
            if name.startswith('test_') and callable(value) and value.__module__ == path.stem:
                found.append((path.stem, name, value))
    return found


def run_e2e(stem, name, function, bin_dir, label, results, keep):
    import harness
    start = time.monotonic()
    mark = f'runner.{os.getpid()}.{stem}.{name}.{time.monotonic_ns()}'
    code = (f'import sys; sys.path.insert(0, {str(e2e)!r}); import harness, {stem}; '
            f'sys.exit(harness.run_one({stem}.{name}, "{stem}.{name}", keep={keep}))')
    env = dict(os.environ, EMAILRELAY_BIN_DIR=str(bin_dir), EMAILRELAY_TEST=mark, PYTHONDONTWRITEBYTECODE='1')
    limit = getattr(function, 'limit', 60) + 60  # it keeps its own time; this is for when it does not
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen([sys.executable, '-c', code], cwd=top, env=env, stdin=subprocess.DEVNULL,
                                 stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            status = child.wait(limit)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            status = 'hung'
            harness.kill_marked(mark)
        output.seek(0)
        text = output.read().decode(errors='replace')
    seconds = time.monotonic() - start
    outcome = {0: 'passed', 77: 'skipped'}.get(status, 'failed')
    if outcome == 'failed' and status != 1:
        text = f'test process ended with {status}\n{text}'
    results.add(outcome, f'{stem}.{name}{label}', seconds, text)


def restore_signals():
    """A background job of a shell is started with these ignored, and so would be what it starts; the relay leaves alone
    what was ignored at its start."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def main():
    restore_signals()
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument('--bin-dir', default='build/asan/bin')
    arguments.add_argument('--tsan-dir')
    arguments.add_argument('--filter', default='')
    arguments.add_argument('--only', choices=['unit', 'e2e'])
    arguments.add_argument('--jobs', type=int, default=(os.cpu_count() or 1) + 1)
    arguments.add_argument('--repeat', type=int, default=1)
    arguments.add_argument('--list', action='store_true')
    arguments.add_argument('--keep', action='store_true', help='keep the temporary folders')
    given = arguments.parse_args()
    bin_dir = (pathlib.Path.cwd() / given.bin_dir).resolve()
    tsan_dir = given.tsan_dir and (pathlib.Path.cwd() / given.tsan_dir).resolve()
    results = Results()
    start = time.monotonic()

    # Orphans of tests come to this process, not to init, so that none is lost sight of.
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER

    tests = [x for x in e2e_tests() if given.filter in f'{x[0]}.{x[1]}'] * given.repeat
    if given.list:
        for stem, name, _ in tests:
            print(f'{stem}.{name}')
        return 0

    if given.only != 'e2e':
        if not given.filter:
            run_check(top / 'tests/check-layers', results)
        programs = [(p, p.name) for p in sorted(bin_dir.glob('*_test'))]
        if given.tsan_dir:
            programs = [(p, f'{p.name} (thread sanitizer)') for p in sorted(tsan_dir.glob('*_test'))] + programs
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for job in [pool.submit(run_unit, program, label, results, '' if given.filter in program.name else given.filter)
                        for program, label in programs]:
                job.result()

    if given.only != 'unit':
        if not (bin_dir / 'emailrelay').exists():
            results.add('failed', 'end-to-end tests', 0, f'no program {bin_dir}/emailrelay: run `make test`')
        else:
            runs = [(*x, bin_dir, '') for x in tests]
            if given.tsan_dir and (tsan_dir / 'emailrelay').exists():
                runs += [(*x, tsan_dir, ' (thread sanitizer)') for x in tests
                         if f'{x[0]}.{x[1]}'.startswith(thread_tests)]
            together = [x for x in runs if not getattr(x[2], 'alone', False)]
            # The long ones first, so that none is left over for the end.
            together.sort(key=lambda x: -getattr(x[2], 'limit', 60))
            with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
                for job in [pool.submit(run_e2e, *x, results, given.keep) for x in together]:
                    job.result()
            for x in runs:
                if getattr(x[2], 'alone', False):
                    run_e2e(*x, results, given.keep)

    print(f'\n{time.monotonic() - start:.0f} s')
    for name, why in results.skipped:
        print(f'skipped: {name}: {why}')
    for name in results.failures:
        print(f'failed: {name}')
    skipped = f', {len(results.skipped)} skipped' if results.skipped else ''
    print(f'{results.passed} passed, {results.failed} failed{skipped}')
    return 1 if results.failed or not results.passed else 0


if __name__ == '__main__':
    sys.exit(main())
