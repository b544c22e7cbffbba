"""Load."""
import contextlib
import json
import subprocess
import time

from .machine import address, run, tool


def smtp_source(port, count, sessions, reuse=True, octets=4096):
    """Postfix's generator sends `count` messages. Messages a second."""
    words = [tool('smtp-source'), '-s', sessions, '-m', count, '-l', octets, '-C', 100, '-f', 'me@example.com', '-t', 'you@example.net']
    start = time.perf_counter()
    run(*words, *(['-d'] if reuse else []), f'{address}:{port}')
    return count / (time.perf_counter() - start)


def bench_source(programs, port, count, sessions, octets, rate=0):
    """Our generator: 64 KiB blocks, or a steady rate. {'seconds', 'milliseconds': of each message, sorted}."""
    return json.loads(run(programs / 'bench_source', port, count, sessions, octets, rate))


def handshakes(programs, port, clients, seconds, resume, starttls=True):
    """{'sessions', 'resumed', 'seconds'}"""
    return json.loads(run(programs / 'bench_sessions', 'handshakes', port, clients, seconds, 'resumed' if resume else 'full',
                          'starttls' if starttls else 'implicit'))


@contextlib.contextmanager
def held_sessions(programs, port, count, tls):
    """So many sessions are open and idle."""
    process = subprocess.Popen([str(w) for w in (programs / 'bench_sessions', 'hold', port, count, *(['tls'] if tls else []))],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout.readline() != 'ready\n':
            raise RuntimeError(f'bench_sessions: {count} sessions could not be opened')
        yield
    finally:
        process.stdin.close()
        process.wait(60)


def percentile(sorted_values, percent):
    return sorted_values[min(len(sorted_values) - 1, len(sorted_values) * percent // 100)]
