"""What the relay gives up after its start (docs/security.md), and that what it works with goes on. That mail, TLS, DNS and the rest go on in
the sandbox is what the other files test: it is on for all of them."""
import ctypes
import os
import re
import shutil

import harness
from harness import equal, match
from name_server import A, Answer, NameServer
from test_filters import processed, script, submit

message = b'Subject: x\r\n\r\ntext\r\n'


def of_threads(relay, field):
    """What /proc says of each thread, each value once."""
    found = set()
    for task in os.listdir(f'/proc/{relay.pid}/task'):
        with open(f'/proc/{relay.pid}/task/{task}/status') as f:
            found.add(re.search(rf'^{field}:\s*(\d+)$', f.read(), re.M)[1])
    return found


def has_landlock():
    create_ruleset, ask_version = 444, 1
    return ctypes.CDLL(None).syscall(create_ruleset, 0, 0, ask_version) >= 2


def test_on_by_default(t):
    relay = t.relay(forward_to='127.0.0.1:9', poll=1000)
    equal(submit(relay, message), processed)
    equal(of_threads(relay, 'Seccomp'), {'2'})
    equal(of_threads(relay, 'NoNewPrivs'), {'1'})
    if has_landlock() and 'sandbox:' in relay.output:
        harness.fail('it says that something is missing')


def test_off(t):
    relay = t.relay('--no-sandbox')
    equal(submit(relay, message), processed)
    equal(of_threads(relay, 'Seccomp'), {'0'})
    equal(of_threads(relay, 'NoNewPrivs'), {'0'})


def test_programs_are_outside(t):
    """A filter and a verifier see no restriction, and write where the relay cannot."""
    def look(name):
        return f'grep -E "^(Seccomp|NoNewPrivs):" /proc/self/status >{t.dir}/{name}.new; mv {t.dir}/{name}.new {t.dir}/{name}\n'
    checker = script(t, look('verifier') + 'echo; echo "$1"; exit 1', name='verifier.sh')
    relay = t.relay(filter=script(t, look('filter')), address_verifier=checker)
    equal(submit(relay, message), processed)
    equal(of_threads(relay, 'Seccomp'), {'2'})
    for name in ('filter', 'verifier'):
        equal(re.findall(r'(\w+):\s*(\d)', (t.dir / name).read_text()), [('NoNewPrivs', '0'), ('Seccomp', '0')])


def test_mailboxes_elsewhere(t):
    """One that is a link to a directory outside of the spool is reached if it was there at the start; one that comes later is not."""
    if not has_landlock():
        raise harness.Skip('no Landlock in this kernel')
    spool = t.spool()
    for name in ('early', 'late'):
        t.folder(name, 0o777)
    os.symlink(t.dir / 'early', spool.path / 'one')
    relay = t.relay(filter='copy:', spool=spool)
    equal(submit(relay, message), processed)
    equal(len([name for name in os.listdir(t.dir / 'early') if name.endswith('.envelope')]), 1)
    os.unlink(spool.path / 'one')
    os.symlink(t.dir / 'late', spool.path / 'one')
    submit(relay, message)
    equal(os.listdir(t.dir / 'late'), [])


def test_names_behind_links(t):
    """Files of /etc that are links to elsewhere, as containers and resolvconf have them."""
    harness.private_network()
    harness.private_mounts()
    NameServer(t, {('mail.example.net', A): Answer((A, '127.0.0.2')), 'mail.example.net': Answer()}, port=53)
    files = {'resolv.conf': 'nameserver 127.0.0.1\n', 'hosts': '127.0.0.3 next.example.net\n', 'nsswitch.conf': 'hosts: files dns\n',
             'services': 'nexthop 2525/tcp\n'}
    etc = t.folder('etc')
    shutil.copytree('/etc', etc, symlinks=True, dirs_exist_ok=True)
    for name, text in files.items():
        (etc / name).unlink(missing_ok=True)
        (t.folder(f'for {name}') / name).write_text(text)
        (etc / name).symlink_to(t.dir / f'for {name}' / name)
    harness.mount_over(etc, '/etc')
    for host, address in (('next.example.net', '127.0.0.3'), ('mail.example.net', '127.0.0.2')):
        with t.row(host):
            hop = t.next_hop(host=address, port=2525)
            spool = t.spool(host)
            spool.add('emailrelay.1.1.1', message)
            t.forward(f'{host}:nexthop', spool=spool)
            equal(len(hop.messages), 1)
