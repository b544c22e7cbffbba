"""W6 memory of idle sessions, W7 STARTTLS, and whether handshakes hold other sessions up."""
import multiprocessing
import re
import subprocess
import time

import certificates  # tests/e2e
from ..clients import handshakes as shake, held_sessions, percentile
from ..machine import address, harness, tool
from ..probes import memory as memory_of
from ..report import at_least, at_most

unlimited = ('--max-sessions=0', '--max-sessions-per-address=0', '--max-idle-commands=0')


def certificate(run, rsa):
    return certificates.Authority(run, run.new_name('authority')).issue('localhost', san='DNS:localhost', rsa=rsa)


def with_tls(file):
    return '--server-tls', f'--server-tls-certificate={file}'


def memory(run):
    file = certificate(run, rsa=False)
    count, few = run.count(10_000, least=100), run.count(100, least=20)
    for tls, goal in ((False, 8), (True, 30)):
        figures = {'emailrelay': [per_session(run, run.emailrelay(*unlimited, *with_tls(file)), count, tls)]}
        peer = run.postfix(smtpd_tls_security_level='may', smtpd_tls_chain_files=file, smtpd_tls_loglevel=0)
        if peer:
            figures['postfix'] = [per_session(run, peer, few, tls)]
        run.report.add('memory', f'W6 memory of an idle session, {"TLS" if tls else "plain"}', 'KiB', figures, goals=[at_most(goal)],
                       note=f'over {count:,} sessions, Postfix {few}; of shared pages each process\'s part' if not tls else '')


def per_session(run, server, count, tls):
    """KiB, over so many sessions at the same time, some before having warmed the server up."""
    with held_sessions(run.programs, server.port, max(10, count // 100), tls):
        pass
    before = memory_of(server.pids)
    with held_sessions(run.programs, server.port, count, tls):
        return (memory_of(server.pids) - before) / count


def handshakes(run):
    """Four clients each. Ours is the whole session from greeting to QUIT; s_time connects and shakes hands only."""
    clients, seconds = 4, run.seconds(2)
    for kind, rsa in (('ECDSA P-256', False), ('RSA-2048', True)):
        file = certificate(run, rsa)
        relay, yardstick = run.emailrelay(*unlimited, *with_tls(file)), run.openssl_server(file)
        for resume in (False, True):
            def ours(resume=resume):
                found = shake(run.programs, relay.port, clients, seconds, resume)
                if found['version'] != 'TLSv1.3' or resume and found['resumed'] < found['sessions'] - clients:
                    raise RuntimeError(f'TLS 1.3, resumed, was wanted: {found}')
                return found['sessions'] / found['seconds']

            def bare(resume=resume):
                found = shake(run.programs, yardstick.port, clients, seconds, resume, starttls=False)
                return found['sessions'] / found['seconds']

            run.interleave('memory', f'W7 STARTTLS, TLS 1.3, {kind}, {"resumed" if resume else "full"}', 'sessions/s', {
                'emailrelay': ours,
                'openssl s_time': lambda resume=resume: s_time(yardstick, clients, seconds, resume),
                'same client, s_server': bare,
            }, [at_least(0.7, 'openssl s_time')], rounds=min(3, run.rounds))


def s_time(server, clients, seconds, resume):
    """Connections a second by so many of openssl's own clients. Each says how many there were; the time is by our clock, since it counts
    whole seconds."""
    whole = max(1, round(seconds))
    words = [tool('openssl'), 's_time', '-connect', f'{address}:{server.port}', '-reuse' if resume else '-new', '-tls1_3', '-time', whole,
             *(['-www', '/'] if resume else [])]
    start = time.monotonic()
    running = [subprocess.Popen([str(w) for w in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True) for _ in range(clients)]
    outputs = [p.communicate()[0] for p in running]
    took = time.monotonic() - start
    return sum(int(re.findall(r'^(\d+) connections in \d+ real seconds', text, re.M)[-1]) for text in outputs) / took


def computing(stop):
    while not stop.is_set():
        sum(range(10000))


def noops(port, seconds):
    """Milliseconds that NOOP takes in one session, sorted."""
    took = []
    with harness.Wire.tcp(address, port) as wire:
        wire.line()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            start = time.perf_counter()
            wire.ask('NOOP', 250)
            took.append((time.perf_counter() - start) * 1e3)
            time.sleep(0.005)
    return sorted(took)


def noop_beside_handshakes(run):
    """The relay has one network thread here. Beside as many processes that only compute is what is due to the machine, which also computes
    the clients' side."""
    clients, seconds = 8, run.seconds(3)
    for kind, rsa in (('RSA-2048', True), ('ECDSA P-256', False)):
        file = certificate(run, rsa)
        for library in ('openssl', 'mbedtls'):
            relay = run.emailrelay(*unlimited, *with_tls(file), '--threads=1', f'--tls-config={library}')
            alone = percentile(noops(relay.port, seconds), 99)
            stop = multiprocessing.Event()
            others = [multiprocessing.Process(target=computing, args=(stop,)) for _ in range(clients)]
            for p in others:
                p.start()
            computed = percentile(noops(relay.port, seconds), 99)
            stop.set()
            for p in others:
                p.join()
            load = subprocess.Popen([str(w) for w in (run.programs / 'bench_sessions', 'handshakes', relay.port, clients, seconds + 1,
                                                      'full', 'starttls')],
                                    stdout=subprocess.DEVNULL)
            beside = percentile(noops(relay.port, seconds), 99)
            if load.wait(60):
                raise RuntimeError('the handshakes failed')
            run.report.add('memory', f'NOOP, p99, beside full handshakes, {kind}, {library}', 'ms',
                           {'emailrelay': [beside], f'{clients} processes compute': [computed], 'nothing else': [alone]})
