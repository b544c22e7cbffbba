"""What the Dockerfile says about running: its entry point, variables and health check, as a container would run them."""
import json
import os
import re
import shutil
import signal

import harness
from harness import equal, need_root, until
from test_bad_programs import processes, starters
from test_filters import script, submit

dockerfile = (harness.here.parent.parent / 'Dockerfile').read_text().replace('\\\n', ' ')
final = dockerfile[dockerfile.rindex('\nFROM '):]


def words(name):
    return json.loads(re.search(rf'{name} .*?(\[.*\])$', final, re.M).group(1))


def test_entry_point_and_health_check(t):
    """Not root, without a capability, with a root file system that is read-only but for the spool."""
    need_root('another user, mounts')
    harness.private_network()
    harness.private_mounts()
    harness.need('setpriv', 'bash')
    user, group = re.search(r'^USER (\d+):(\d+)$', final, re.M).groups()
    variables = dict(pair.split('=', 1) for pair in re.search(r'^ENV (.*)$', final, re.M).group(1).split())
    spool = t.spool()
    os.chown(spool.path, int(user), int(group))
    os.chmod(spool.path, 0o2770)
    program = shutil.copy(t.program, t.dir / 'emailrelay')  # outside of folders that the user cannot enter
    entry = words('ENTRYPOINT')
    equal(entry[0], '/usr/sbin/emailrelay')
    kubernetes = {'EMAILRELAY_PORT': 'tcp://10.96.0.5:25', 'EMAILRELAY_PORT_25_TCP_ADDR': '10.96.0.5', 'EMAILRELAY_SERVICE_HOST': '10.96.0.5'}
    environment = {**variables, **kubernetes, 'EMAILRELAY_SPOOL_DIR': str(spool.path), 'EMAILRELAY_FORWARD_TO': '127.0.0.1:26', 'EMAILRELAY_FORWARD_ON_DISCONNECT': 'yes'}
    root = t.folder('root')
    t.run(['mount', '--bind', '/', root])
    t.run(['mount', '-o', 'remount,ro,bind', root])
    if not (root / str(t.dir).lstrip('/')).is_dir():
        raise harness.Skip(f'{t.dir} is not on the root file system')
    for place in ('/proc', '/dev', spool.path, t.reports):  # the last is for the sanitizers
        t.run(['mount', '--bind', place, f'{root}{place}'])
    in_container = ['chroot', root, harness.find('setpriv'), f'--reuid={user}', f'--regid={group}', '--clear-groups', '--bounding-set=-all', '--no-new-privs']
    relay = harness.Relay(t, [*in_container, program, *entry[1:]], name='container', env=environment)
    relay.wait_log(r'smtp server on 0\.0\.0\.0:10025$')
    health = words('HEALTHCHECK')
    equal(health[0], 'bash')
    port = re.search(r'^EXPOSE (\d+)$', final, re.M).group(1)
    equal(t.try_run(health, env=environment, cwd='/').returncode, 0)
    next_hop = t.next_hop(port=26)
    wire = harness.Wire.tcp('127.0.0.1', int(port))
    wire.expect('220 .*')
    wire.ask('EHLO x', 250)
    equal(wire.submit(b'x\r\n')[0], 250)
    wire.close()
    next_hop.wait_messages(1)
    relay.terminate()
    assert t.try_run(health, env=environment, cwd='/').returncode != 0, 'healthy without a relay'


def zombies_of(pid):
    return [one for one, (parent, state, _) in processes().items() if parent == pid and state == 'Z']


def test_as_the_first_process(t):
    """It inherits what filters leave running, and leaves no zombies of it; its own processes it knows all the same."""
    need_root('own process namespace')
    harness.need('unshare')
    own = [harness.find('unshare'), '--pid', '--fork', '--kill-child', '--mount-proc', '--']
    if t.try_run([*own, 'true']).returncode != 0:
        raise harness.Skip('no process namespaces')
    relay = t.relay(prefix=own, filter=script(t, f'(sleep 0.1; echo x >>{t.dir}/orphans) >/dev/null &\nexit 0'))
    pid = next(one for one, (parent, _, name) in processes().items() if parent == relay.pid and name == 'emailrelay')
    orphans = t.file('orphans', '')
    for number in range(1, 4):
        equal(submit(relay)[0], 250)
        until(lambda: orphans.read_text() == 'x\n' * number, 'the orphan at its end')
    until(lambda: not zombies_of(pid), 'no zombie')
    keeper, starter = starters(pid)
    os.kill(starter, signal.SIGKILL)
    until(lambda: set(starters(pid)) - {keeper, starter}, 'another starter')
    equal(submit(relay)[0], 250)
    os.kill(pid, signal.SIGTERM)
    equal(relay.wait(), 128 + signal.SIGTERM)
    equal(len(relay.spool.messages()), 4)


def test_packages_of_programs(t):
    harness.need('dpkg-query')
    found = t.run([harness.here.parent.parent / 'scripts/runtime-packages', t.program]).split()
    assert {'libc6', 'libfmt9', 'libc-ares2', 'libidn12'} <= set(found), found
