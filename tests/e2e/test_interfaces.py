"""Listening on network interfaces by name (spec/process-and-logging.md section 6), each test in a network of its own."""
import contextlib
import re
import subprocess

import harness
from harness import equal, fail, find, match

port = 10025


def ip(*words):
    done = subprocess.run([find('ip'), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        fail(f'ip {" ".join(map(str, words))}: {done.stdout.decode()}')
    return done.stdout.decode()


def interface(name='d0', *addresses):
    """A network of this test's own with one interface, which is up. Without duplicate address detection, unless an address
    is added later without `nodad`."""
    done = subprocess.run([find('ip'), 'link', 'add', name, 'type', 'veth', 'peer', 'name', name + 'x'], stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise harness.Skip(f'veth interfaces: {done.stderr.decode().strip()}')
    with contextlib.suppress(OSError):
        with open(f'/proc/sys/net/ipv6/conf/{name}/accept_dad', 'w') as f:
            f.write('0')
    for each in (name, name + 'x'):
        ip('link', 'set', each, 'up')
    for address in addresses:
        ip('address', 'add', address, 'dev', name, *(['nodad'] if ':' in address else []))


def link_local(name='d0'):
    """The address that the system gives the interface when it has come up."""
    def found():
        return re.search(r'inet6 (fe80:\S+)/64', ip('-6', 'address', 'show', 'dev', name, 'scope', 'link', '-tentative'))
    return harness.until(found, 'link-local address').group(1)


def deliver(host):
    with harness.Wire.tcp(host, port) as wire:
        wire.expect('220 .*')
        wire.ask('EHLO x', 250)
        equal(wire.submit(b'x\r\n')[0], 250)


def lines(relay, pattern):
    return [line for line in relay.lines() if re.search(pattern, line)]


def test_all_addresses(t):
    harness.private_network()
    interface('d0', '10.9.9.1/24', '10.9.9.2/24', '2001:db8::1/64')
    scoped = link_local() + '%d0'
    relay = t.relay('--remote-clients', interface='d0', port=port, wait=False)
    for address in ('10.9.9.1', '10.9.9.2', '2001:db8::1', scoped):
        with t.row(address):
            relay.wait_log(rf'info: smtp server on {re.escape(address)}[:.]{port}$')
            deliver(address)
    relay.terminate()
    with t.row('nothing else'):
        equal(len(lines(relay, 'smtp server on')), 4)


def test_one_family(t):
    harness.private_network()
    interface('d0', '10.9.9.1/24', '2001:db8::1/64')
    for name, wanted in [('d0-ipv4', [f'10.9.9.1:{port}']), ('d0-ipv6', [f'2001:db8::1.{port}', f'{link_local()}%d0.{port}'])]:
        with t.row(name):
            relay = t.relay(interface=name, port=port, wait=False)
            relay.wait_log('smtp server on', count=len(wanted))
            relay.terminate()
            equal(sorted(re.findall(r'smtp server on (.*)', relay.output)), sorted(wanted))


def test_addresses_come_and_go(t):
    harness.private_network()
    interface('d0', '10.9.9.1/24')
    relay = t.relay('--remote-clients', interface='d0', port=port, wait=False)
    relay.wait_log(rf'info: smtp server on 10\.9\.9\.1:{port}$')
    for times in (1, 2):
        for address, shown in [('10.8.8.2/24', f'10.8.8.2:{port}'), ('2001:db8::2/64', f'2001:db8::2.{port}')]:
            with t.row(f'{address}, time {times}'):
                ip('address', 'add', address, 'dev', 'd0', *(['nodad'] if ':' in address else []))
                relay.wait_log(rf'info: new smtp server on {re.escape(shown)}$', count=times)
                deliver(address.split('/')[0])
                ip('address', 'del', address, 'dev', 'd0')
                relay.wait_log(rf'info: deleting smtp server on {re.escape(shown)}$', count=times)
    with t.row('one that was there at start'):
        ip('address', 'del', '10.9.9.1/24', 'dev', 'd0')
        relay.wait_log(rf'info: deleting smtp server on 10\.9\.9\.1:{port}$')
    with t.row('all at once'):
        ip('address', 'add', '10.7.7.7/24', 'dev', 'd0')
        relay.wait_log(rf'info: new smtp server on 10\.7\.7\.7:{port}$')
        ip('link', 'del', 'd0')
        relay.wait_log(rf'info: deleting smtp server on 10\.7\.7\.7:{port}$')
    relay.terminate()
    with t.row('no warnings'):
        equal(lines(relay, 'warning|error'), [])


def test_first_address_goes(t):
    """While others stay. It is not listened on any more, and can be again."""
    harness.private_network()
    interface('d0', '10.9.9.1/24', '10.8.8.2/24', '10.7.7.3/24')
    relay = t.relay(interface='d0-ipv4', port=port, admin=10026, wait=False)
    relay.wait_log('info: smtp server on', count=3)
    relay.wait_log('info: admin server on', count=3)
    gone = ('10.7.7.3', '10.8.8.2')
    for address in gone:
        ip('address', 'del', f'{address}/24', 'dev', 'd0')
        relay.wait_log(rf'deleting smtp server on {re.escape(address)}:{port}$')
    with t.row('status'):
        relay.wait_log('deleting admin server on', count=len(gone))
        with harness.Wire.tcp('10.9.9.1', 10026) as wire:
            wire.say('status')
            wire.say('quit')
            answers = list(iter(wire.line, 'OUT started: 0'))
        equal(sorted(answers), ['LISTEN: 10.9.9.1:10025', 'LISTEN: 10.9.9.1:10026'])
    for address in gone:
        with t.row(f'{address} is back'):
            ip('address', 'add', f'{address}/24', 'dev', 'd0')
            relay.wait_log(rf'new smtp server on {re.escape(address)}:{port}$')
            deliver(address)
    relay.terminate()
    with t.row('no warnings'):
        equal(lines(relay, 'warning|error'), [])


def test_duplicate_address_detection(t):
    """A new IPv6 address cannot be bound for a second or so."""
    harness.private_network()
    interface('d0', '10.9.9.1/24')
    with open('/proc/sys/net/ipv6/conf/d0/accept_dad', 'w') as f:
        f.write('1')
    ip('address', 'add', '2001:db8::2/64', 'dev', 'd0')
    relay = t.relay('--remote-clients', interface='d0', port=port, wait=False)
    relay.wait_log(rf'smtp server on 2001:db8::2\.{port}$')
    deliver('2001:db8::2')
    ip('address', 'add', '2001:db8::3/64', 'dev', 'd0')
    relay.wait_log(rf'new smtp server on 2001:db8::3\.{port}$')
    deliver('2001:db8::3')
    relay.terminate()
    equal(lines(relay, 'warning|error'), [])


def test_nothing_there_at_start(t):
    """It waits, listens nowhere meanwhile, and follows."""
    harness.private_network()
    relay = t.relay(interface='d0', port=port, wait=False)
    relay.wait_log(r'warning: no addresses bound to named network interface "d0"$')
    relay.wait_log(r'warning: smtp server: nothing to do: waiting for interface "d0"$')
    for host in ('127.0.0.1', '::1'):
        with t.row(f'not on {host}'):
            try:
                harness.Wire.tcp(host, port)
                fail('connected')
            except ConnectionRefusedError:
                pass
    interface('d0', '10.9.9.1/24')
    relay.wait_log(rf'new smtp server on 10\.9\.9\.1:{port}$')
    deliver('10.9.9.1')
    relay.terminate()


def test_one_of_several_not_there_at_start(t):
    harness.private_network()
    relay = t.relay('--interface=d0,lo-ipv4', interface='::1', port=port, wait=False)
    relay.wait_log(rf'smtp server on 127\.0\.0\.1:{port}$')
    relay.terminate()
    equal(sorted(re.findall(r'info: smtp server on (.*)', relay.output)), [f'127.0.0.1:{port}', f'::1.{port}'])
    equal(len(lines(relay, 'warning: no addresses bound to named network interface "d0"$')), 1)
    equal(lines(relay, 'nothing to do'), [])


def test_still_nothing_there_at_the_end(t):
    harness.private_network()
    relay = t.relay(interface='smtp=d7', port=port, wait=False)
    relay.wait_log(r'nothing to do: waiting for interface "d7"$')
    relay.terminate()


def test_another_name(t):
    """An interface that gets the name is as one that appears, and the other way round."""
    harness.private_network()
    interface('d0', '10.9.9.1/24')
    relay = t.relay(interface='d5', port=port, wait=False)
    relay.wait_log('nothing to do: waiting for interface "d5"$')
    ip('link', 'set', 'd0', 'down')
    ip('link', 'set', 'd0', 'name', 'd5')
    relay.wait_log(rf'new smtp server on 10\.9\.9\.1:{port}$')
    ip('link', 'set', 'd5', 'name', 'd6')
    relay.wait_log(rf'deleting smtp server on 10\.9\.9\.1:{port}$')
    relay.terminate()


def test_privileged_port_at_run_time(t):
    """Root is regained for that, and given up again."""
    harness.private_network()
    interface('d0')
    relay = t.relay(interface='d0-ipv4', port=25, user='daemon', wait=False)
    relay.wait_log('waiting for interface "d0-ipv4"')
    ip('address', 'add', '10.9.9.1/24', 'dev', 'd0')
    relay.wait_log(r'new smtp server on 10\.9\.9\.1:25$')
    with harness.Wire.tcp('10.9.9.1', 25) as wire:
        wire.expect('220 .*')
    with open(f'/proc/{relay.pid}/status') as f:
        uids = re.search(r'Uid:\s+(\d+)\s+(\d+)', f.read())
    equal(uids.group(1), '0')
    if uids.group(2) == '0':
        fail('still root')
    relay.terminate()


def test_named_instances(t):
    harness.private_network()
    interface('d0', '10.9.9.1/24')
    relay = t.relay('--in-interface=d0-ipv4', f'--in-port={port}', f'--in-spool-dir={t.spool("in").path}',
                    '--out-interface=127.0.0.1', '--out-port=10026', f'--out-spool-dir={t.spool("out").path}',
                    interface=None, port=None, spool_dir=None, wait=False)
    relay.wait_log(rf'info: \[in\] smtp server on 10\.9\.9\.1:{port}$')
    ip('address', 'add', '10.9.8.1/24', 'dev', 'd0')
    match(relay.wait_log(r'new smtp server on .*$').group(0), 'new smtp server on 10.9.8.1')
    equal(len(lines(relay, rf'info: \[in\] new smtp server on 10\.9\.8\.1:{port}$')), 1)
    relay.terminate()


def test_as_a_daemon(t):
    harness.private_network()
    interface('d0', '10.9.9.1/24')
    log, pid_file = t.dir / 'log', t.folder('run', 0o777) / 'pid'
    done = t.emailrelay('--as-server', '--no-syslog', f'--log-file={log}', f'--pid-file={pid_file}', f'--port={port}',
                        '--interface=d0-ipv4', f'--spool-dir={t.spool().path}', '--user=root')
    equal((done.returncode, done.stdout, done.stderr), (0, '', ''))
    ip('address', 'add', '10.9.8.1/24', 'dev', 'd0')
    harness.until(lambda: f'new smtp server on 10.9.8.1:{port}\n' in log.read_text(), 'new listener')
    deliver('10.9.8.1')
