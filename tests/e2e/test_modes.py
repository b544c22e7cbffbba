"""The running modes (spec/process-and-logging.md section 5): proxy, polling, forwarding on this and that."""
import os
import re
import signal

import harness
from harness import Drop, Stall, equal, find, is_root, match, need


def submit(relay, count=1, quit=True):
    with relay.greeted() as wire:
        for n in range(count):
            equal(wire.submit(b'Subject: %d\r\n\r\nx\r\n' % n)[0], 250)
        if quit:
            wire.ask('QUIT', 221)
            wire.closed()


def proxy(t, address):
    return t.relay('--as-proxy', address, log=None, verbose=None, log_file=t.dir / 'log', port=harness.free_port(), wait='port')


@harness.limit(180)
def test_proxy_with_many_messages(t):
    need('smtp-source', 'smtp-sink')
    sink = t.sink()
    relay = proxy(t, sink.address)
    count = 2000
    t.run([find('smtp-source'), '-d', '-s', '20', '-m', str(count), '-l', '1000', f'127.0.0.1:{relay.port}'], seconds=120)
    relay.spool.wait_empty(120)
    equal(relay.running(), True)


@harness.limit(180)
def test_proxy_delivers_each_once(t):
    hop = t.next_hop()
    relay = proxy(t, hop.address)
    for n in range(30):
        submit(relay, 3)
    relay.spool.wait_empty(60)
    hop.wait_messages(90)
    equal(len(hop.messages), 90)
    relay.terminate()


def test_forward_on_disconnect(t):
    hop = t.next_hop()
    relay = t.relay('--forward-on-disconnect', forward_to=hop.address)
    with relay.greeted() as wire:
        wire.submit(b'x\r\n')
        wire.ask('NOOP', 250)
        equal(hop.connections, 0)
        wire.ask('QUIT', 221)
    relay.wait_log(r'info: forwarding: \[client disconnect\]$')
    relay.wait_log('info: forwarding: no more messages to send')
    relay.spool.wait_empty()
    relay.connect().close()  # also when nothing came in
    relay.wait_log(r'info: forwarding: \[client disconnect\]$', count=2)
    relay.wait_log(r'info: forwarding: no messages to send$')


def test_a_request_while_busy_is_queued(t):
    """One at most is kept, and done after the run; nothing is left behind."""
    release = harness.threading.Event()

    def slow(_):
        release.wait(30)
        return '250 ok'

    hop = t.next_hop({'MAIL': [slow, '250 ok']})
    relay = t.relay('--forward-on-disconnect', forward_to=hop.address)
    submit(relay)
    hop.wait_line('MAIL FROM:.*')
    for _ in range(3):
        submit(relay)
    relay.wait_log(r'info: forwarding: queued request \[client disconnect\]$')
    release.set()
    hop.wait_messages(4)
    relay.spool.wait_empty()
    equal(len(hop.messages), 4)


def test_forward_at_start_then_serve(t):
    hop = t.next_hop()
    spool = t.spool()
    spool.add('emailrelay.1.1.1')
    relay = t.relay('--forward', forward_to=hop.address, spool=spool)
    relay.wait_log(r'info: forwarding: \[startup\]$')
    hop.wait_messages(1)
    spool.wait_empty()
    submit(relay)
    equal(len(spool.messages()), 1)
    equal(hop.connections, 1)


def test_poll(t):
    hop = t.next_hop()
    relay = t.relay('--poll=1', forward_to=hop.address)
    for n in (1, 2, 3):
        submit(relay)
        hop.wait_messages(n)
        relay.spool.wait_empty()
    assert 'forwarding: [poll]' not in relay.output, 'not logged for short periods'


def test_poll_in_milliseconds(t):
    hop = t.next_hop()
    relay = t.relay('--poll=50ms', forward_to=hop.address)
    submit(relay)
    hop.wait_messages(1, 5)
    relay.terminate()


def test_poll_goes_on_after_failure(t):
    port = harness.free_port()
    relay = t.relay('--poll=1', forward_to=f'127.0.0.1:{port}')
    submit(relay)
    relay.wait_log(rf'warning: smtp client error: connect failure: cannot connect to 127\.0\.0\.1:{port}', count=2)
    hop = t.next_hop(port=port)
    hop.wait_messages(1)
    relay.spool.wait_empty()


def test_dont_serve_and_poll(t):
    hop = t.next_hop()
    spool = t.spool()
    relay = t.relay('--dont-serve', '--poll=1', forward_to=hop.address, spool=spool, port=None, interface=None, wait=False)
    spool.add('emailrelay.1.1.1')
    hop.wait_messages(1)
    spool.wait_empty()
    assert 'smtp server on' not in relay.output
    relay.terminate()


def test_dont_serve_and_forward(t):
    hop = t.next_hop()
    spool = t.spool()
    spool.add('emailrelay.1.1.1')
    user = ['--user=root'] if is_root() else []
    done = t.emailrelay('--dont-serve', '--forward', '--no-daemon', '--forward-to', hop.address, f'--spool-dir={spool.path}', *user)
    equal((done.returncode, done.stdout), (0, ''))
    equal(len(hop.messages), 1)
    spool.check_empty()


def test_nothing_to_do(t):
    spool = t.spool()
    user = ['--user=root'] if is_root() else []
    for options in (['--dont-serve'], ['--no-smtp'], ['--dont-serve', '--forward-to=127.0.0.1:25']):
        with t.row(' '.join(options)):
            done = t.emailrelay(*options, '--no-daemon', f'--spool-dir={spool.path}', *user)
            equal((done.returncode, done.stdout, done.stderr), (0, '', 'emailrelay: nothing to do\n'))


def test_as_server_is_a_daemon_without_stderr_log(t):
    pid_file = t.folder('run', 0o777) / 'pid'
    spool = t.spool()
    port = harness.free_port()
    done = t.emailrelay('--as-server', '--no-syslog', f'--log-file={t.dir}/log', f'--pid-file={pid_file}', f'--port={port}',
                        '--interface=127.0.0.1', f'--spool-dir={spool.path}')
    equal((done.returncode, done.stdout, done.stderr), (0, '', ''))
    pid = int(pid_file.read_text())
    with harness.Wire.tcp('127.0.0.1', port) as wire:
        wire.expect('220 .*')
    os.kill(pid, signal.SIGTERM)
    harness.until(lambda: not pid_file.exists(), 'pid file removed')


def test_nothing_is_silently_ignored(t):
    """A feature that is not there is refused at start, not accepted and ignored."""
    spool = t.spool()
    refused = []
    for option in ['--pop', '--admin=587', '--server-tls', '--filter=/bin/true', '--dnsbl=example.org',
                   '--address-verifier=/bin/true', '--client-filter=/bin/true', '--server-auth=/dev/null',
                   '--client-auth=/dev/null', '--client-tls', '--server-tls-connection', '--client-tls-connection']:
        done = t.emailrelay(option, '--dont-serve', f'--spool-dir={spool.path}', '--no-daemon', '--user=root' if is_root() else '--no-syslog')
        if 'is not available in this build yet' in done.stderr:
            with t.row(option):
                name = option.split('=')[0]
                equal((done.returncode, done.stdout, done.stderr),
                      (1, '', f'emailrelay: error: {name} is not available in this build yet\n'))
            refused.append(option)
    print('refused as not yet available:', refused)


def test_stop_in_the_middle_of_sending(t):
    """An orderly stop unlocks the message in hand (design.md section 2), or finishes it."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        with t.row(number.name):
            spool = t.spool(number.name)
            hop = t.next_hop({'.': Stall})
            spool.add('emailrelay.1.1.1')
            relay = t.relay('--forward', forward_to=hop.address, spool=spool)
            hop.wait_line('DATA')
            harness.until(lambda: spool.messages('busy'), 'message locked')
            relay.terminate(number)
            equal(spool.names(), ['emailrelay.1.1.1.content', 'emailrelay.1.1.1.envelope'])
            equal(spool.one().fields('Reason'), [])


def test_stop_while_receiving(t):
    relay = t.relay()
    with relay.greeted() as wire:
        for line in ('MAIL FROM:<a@b>', 'RCPT TO:<a@b>', 'DATA'):
            wire.ask(line)
        wire.send(b'x' * 300_000 + b'\r\n')
        harness.until(lambda: relay.spool.names(), 'content file')
        relay.terminate()
    relay.spool.check_empty()


def test_busy_left_by_a_killed_process_is_taken_up(t):
    spool = t.spool()
    hop = t.next_hop({'.': Stall})
    spool.add('emailrelay.1.1.1', b'x\r\n')
    spool.add('other.1', b'foreign\r\n', state='busy')
    relay = t.relay('--forward', forward_to=hop.address, spool=spool)
    hop.wait_line('DATA')
    relay.kill()
    equal([m.id for m in spool.messages('busy')], ['emailrelay.1.1.1', 'other.1'])
    good = t.next_hop()
    output = t.forward(good.address)
    equal([m.body for m in good.messages], [b'x\r\n'])
    equal([m.id for m in spool.messages('busy')], ['other.1'], 'a lock of another program')
    match(output, r'(?m)^emailrelay: warning: .*emailrelay\.1\.1\.1')


def test_busy_of_a_living_process_is_left(t):
    spool = t.spool()
    hop = t.next_hop({'.': Stall})
    spool.add('emailrelay.1.1.1', b'x\r\n')
    relay = t.relay('--forward', forward_to=hop.address, spool=spool)
    hop.wait_line('DATA')
    good = t.next_hop()
    spool.add('emailrelay.1.2.1', b'y\r\n')
    t.forward(good.address)
    equal([m.body for m in good.messages], [b'y\r\n'])
    equal([m.id for m in spool.messages('busy')], ['emailrelay.1.1.1'])
    relay.terminate()
    equal(spool.one().id, 'emailrelay.1.1.1')


@harness.limit(120)
def test_two_forwarders_share_a_spool(t):
    """Each message is sent once, whoever takes it."""
    spool = t.spool()
    hop = t.next_hop()
    for n in range(200):
        spool.add(f'emailrelay.1.{n}.1', b'%d\r\n' % n)
    user = ['--user=root'] if is_root() else []
    clients = [t.start([t.program, '--as-client', hop.address, f'--spool-dir={spool.path}', *user]) for _ in range(3)]
    for client in clients:
        equal(client.wait(60), 0, client.output)
    spool.check_empty()
    equal(sorted(int(m.body) for m in hop.messages), list(range(200)))


def test_admin_scripts_work_on_files(t):
    """The files are the truth: messages appear, change, fail and return by hand while the relay runs."""
    hop = t.next_hop({'RCPT': lambda line: '550 no' if 'bad@' in line else '250 ok'})
    relay = t.relay('--forward-on-disconnect', forward_to=hop.address)
    with relay.greeted() as wire:
        wire.submit(b'x\r\n', to=['bad@example.net'])
        wire.ask('QUIT')
    relay.spool.wait_count(1, 'bad')
    bad = relay.spool.one('bad')
    text = bad.envelope.replace(b'To-Remote: bad@', b'To-Remote: good@')
    bad.envelope_path.write_bytes(text)
    os.rename(bad.envelope_path, relay.spool.path / (bad.id + '.envelope'))
    relay.connect().close()
    hop.wait_messages(1)
    relay.spool.wait_empty()
    equal(hop.messages[0].recipients, ['RCPT TO:<good@example.net>'])


def test_several_instances(t):
    first, second = t.spool('in'), t.spool('out')
    hop = t.next_hop()
    relay = t.relay(f'--in-spool-dir={first.path}', '--in-port=0', '--in-interface=127.0.0.1', '--in-domain=in.example.com',
                    f'--out-spool-dir={second.path}', '--out-port=0', '--out-interface=127.0.0.1', '--out-domain=out.example.com',
                    f'--out-forward-to={hop.address}', '--out-forward-on-disconnect', '--log-format=unit',
                    spool_dir=None, port=None, interface=None, domain=None, wait=False)
    ports = {}
    for name in ('in', 'out'):
        ports[name] = int(relay.wait_log(rf'^emailrelay: info: \[{name}\] smtp server on 127\.0\.0\.1:(\d+)$').group(1))
        with harness.Wire.tcp('127.0.0.1', ports[name]) as wire:
            wire.expect(rf'220 {name}\.example\.com -- .*')
            wire.ask('EHLO x', 250)
            wire.submit(b'%s\r\n' % name.encode())
            wire.ask('QUIT', 221)
    hop.wait_messages(1)
    equal(hop.messages[0].body.splitlines()[-1], b'out')
    second.wait_empty()
    equal(first.one().body(), b'in\r\n')
    relay.wait_log(rf'^emailrelay: info: \[out\] forwarding to {re.escape(hop.address)}')
    relay.terminate()
