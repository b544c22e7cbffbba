#!/usr/bin/env python3
"""Do handshakes hold others up? The time that NOOP takes in one session while others do nothing but full handshakes.

    bench/handshakes.py [--program build/release/bin/emailrelay] [--clients 8] [--seconds 10]

For each library and kind of key: NOOP alone, beside the handshakes, and beside as many processes that only compute (what is due to
the machine, which also computes the clients' side). The relay has one network thread. Nothing is written outside a temporary folder.
"""
import argparse
import multiprocessing
import os
import pathlib
import socket
import ssl
import subprocess
import tempfile
import time

top = pathlib.Path(__file__).resolve().parent.parent


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def make_certificate(folder, kind):
    options = {'RSA-2048': ['rsa:2048'], 'ECDSA P-256': ['ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']}[kind]
    key, certificate, both = (folder / n for n in ('key', 'certificate', f'{kind.split()[0]}.pem'))
    subprocess.run(['openssl', 'req', '-x509', '-newkey', *options, '-nodes', '-keyout', key, '-out', certificate, '-subj', '/CN=localhost'],
                   check=True, stderr=subprocess.DEVNULL)
    both.write_text(key.read_text() + certificate.read_text())
    return both


def handshakes(port, stop, count):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    while not stop.is_set():
        with socket.create_connection(('127.0.0.1', port)) as plain:
            plain.recv(1000)
            plain.sendall(b'EHLO x\r\n')
            plain.recv(1000)
            plain.sendall(b'STARTTLS\r\n')
            plain.recv(1000)
            with context.wrap_socket(plain):
                with count.get_lock():
                    count.value += 1


def computing(stop):
    while not stop.is_set():
        sum(range(10000))


def noops(port, seconds):
    times = []
    with socket.create_connection(('127.0.0.1', port)) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.recv(1000)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            start = time.perf_counter()
            s.sendall(b'NOOP\r\n')
            s.recv(1000)
            times.append(time.perf_counter() - start)
            time.sleep(0.005)
    times.sort()
    return times[len(times) // 2] * 1000, times[len(times) * 99 // 100] * 1000


def beside(work, arguments, clients, port, seconds):
    stop, count = multiprocessing.Event(), multiprocessing.Value('i', 0)
    workers = [multiprocessing.Process(target=work, args=(*arguments, stop, *([count] if arguments else []))) for _ in range(clients)]
    for w in workers:
        w.start()
    time.sleep(1)
    began, before = time.monotonic(), count.value
    half, most = noops(port, seconds)
    rate = (count.value - before) / (time.monotonic() - began)
    stop.set()
    for w in workers:
        w.join()
    return half, most, rate


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument('--program', default=top / 'build/release/bin/emailrelay', type=pathlib.Path)
    arguments.add_argument('--clients', default=8, type=int)
    arguments.add_argument('--seconds', default=10, type=float)
    given = arguments.parse_args()
    print('| library | key | handshakes/s | NOOP p50 ms | p99 ms |')
    print('|---|---|---|---|---|')
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        first = True
        for kind in ('RSA-2048', 'ECDSA P-256'):
            certificate = make_certificate(folder, kind)
            for library in ('openssl', 'mbedtls'):
                port = free_port()
                spool = folder / f'spool-{library}-{kind.split()[0]}'
                spool.mkdir()
                relay = subprocess.Popen([given.program, '--as-server', '--no-daemon', '--no-syslog', f'--port={port}', '--interface=127.0.0.1',
                                          f'--spool-dir={spool}', '--server-tls', f'--server-tls-certificate={certificate}', '--threads=1',
                                          f'--tls-config={library}', '--max-idle-commands=0', *(['--user=root'] if os.geteuid() == 0 else [])],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                try:
                    while True:
                        try:
                            socket.create_connection(('127.0.0.1', port)).close()
                            break
                        except OSError:
                            time.sleep(0.05)
                    if first:
                        print('| | nothing else | - | {:.2f} | {:.2f} |'.format(*noops(port, given.seconds)), flush=True)
                        half, most, _ = beside(computing, (), given.clients, port, given.seconds)
                        print(f'| | {given.clients} processes that compute | - | {half:.2f} | {most:.2f} |', flush=True)
                        first = False
                    half, most, rate = beside(handshakes, (port,), given.clients, port, given.seconds)
                    print(f'| {library} | {kind} | {rate:.0f} | {half:.2f} | {most:.2f} |', flush=True)
                finally:
                    relay.terminate()
                    relay.wait()


if __name__ == '__main__':
    main()
