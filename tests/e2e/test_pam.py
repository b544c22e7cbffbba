"""The processes that ask PAM (docs/flow.md): outside of the sandbox that the relay is in, one for each password, and what becomes of a login
when they hang, crash or are killed. What PAM says to right and wrong passwords is in test_auth_server. The PAM here is the system's own, with a
script in the place of the module that knows passwords: pam_wrapper cannot be used by many processes at once."""
import os
import re
import signal

import harness
from harness import equal, match, until
from test_auth_server import b64, pam_right
from test_auth_tls import memory_holds
from test_bad_programs import processes, starters
from test_filters import running, script
from test_sandbox import of_threads

login = '235 authentication successful'
later = '454 .*'


def keeper_and_starter(relay):
    until(lambda: len(starters(relay.pid, 'emailrelay-pam')) == 2, 'a keeper and a starter')
    return starters(relay.pid, 'emailrelay-pam')


def below(pid):
    """All that a process has started, and so on."""
    there = processes()
    found = [one for one, (parent, state, _) in there.items() if parent == pid and state != 'Z']
    return found + [one for child in found for one in below(child)]


def relay_with(t, text=':', **options):
    """A module that runs a script: the text, and then alice comes in with her password."""
    harness.need_root('/etc/pam.d')
    harness.private_mounts()
    program = script(t, text + '\ntest "$PAM_USER" = alice && test "$(tr -d "\\000")" = wonderland', name='module.sh')
    services = t.folder('pam.d', mode=0o755)
    (services / 'emailrelay').write_text(f'auth required pam_exec.so quiet expose_authtok {program}\naccount required pam_permit.so\n')
    harness.mount_over(services, '/etc/pam.d')
    return t.relay(server_auth='pam:', **options)


def log_in(relay, reply=re.escape(login)):
    with relay.greeted() as wire:
        wire.say(pam_right)
        match(wire.line(), '^' + reply)


def hanging(t):
    """Text of a module that hangs from now on until there is a file `go`, and tells its pid."""
    return f'test -e {t.dir}/go || {{ echo $$ >{t.dir}/pid.new; mv {t.dir}/pid.new {t.dir}/pid; exec sleep 1000; }}'


def pid_of_module(t):
    until(lambda: (t.dir / 'pid').exists(), 'the module runs')
    return int((t.dir / 'pid').read_text())


def status(pid, field):
    with open(f'/proc/{pid}/status') as f:
        return re.search(rf'^{field}:\s*(.*)$', f.read(), re.M)[1]


def test_only_with_pam(t):
    equal(starters(t.relay().pid, 'emailrelay-pam'), [])


def test_outside_of_the_sandbox(t):
    """The relay is in it; PAM's modules, and what they start, are not."""
    names = 'grep -E "^(Seccomp|NoNewPrivs):" /proc/self/status'
    relay = relay_with(t, f'{names} >{t.dir}/seen.new; mv {t.dir}/seen.new {t.dir}/seen')
    log_in(relay)
    equal(of_threads(relay, 'Seccomp'), {'2'})
    equal(of_threads(relay, 'NoNewPrivs'), {'1'})
    equal(re.findall(r'(\w+):\s*(\d)', (t.dir / 'seen').read_text()), [('NoNewPrivs', '0'), ('Seccomp', '0')])
    for pid in keeper_and_starter(relay):
        equal(status(pid, 'Seccomp'), '0')


def test_what_modules_are_told(t):
    relay = relay_with(t, f'echo "$PAM_SERVICE $PAM_USER $PAM_RHOST $PAM_TYPE" >{t.dir}/told')
    log_in(relay)
    equal((t.dir / 'told').read_text(), 'emailrelay alice 127.0.0.1 auth\n')


def test_what_they_inherit(t):
    """No descriptor of the relay, at no step, and none of another check; each check has a group of its own."""
    relay = relay_with(t, hanging(t))
    with relay.greeted() as first, relay.greeted() as second:
        first.say(pam_right)
        module = pid_of_module(t)
        second.say(pam_right)
        keeper, starter = keeper_and_starter(relay)
        until(lambda: len(below(starter)) == 4, 'two checks and their modules')

        def descriptors(pid):
            names = sorted((int(number), os.readlink(f'/proc/{pid}/fd/{number}')) for number in os.listdir(f'/proc/{pid}/fd'))
            return ' '.join(name.split(':')[0] for _, name in names)
        null = '/dev/null /dev/null /dev/null '
        equal(descriptors(keeper), null + 'socket /dev/null')
        checks = [pid for pid in below(starter) if processes()[pid][0] == starter]
        equal([descriptors(pid) for pid in checks], [null + 'pipe'] * 2)
        equal([os.getpgid(pid) for pid in checks], checks)
        (t.dir / 'go').touch()
        os.kill(module, signal.SIGTERM)
        match(first.line(), '^535 ')


@harness.limit(120)
def test_slow_ones_hold_nobody_up(t):
    """Twenty checks hang, others pass; those that hang are killed with their sessions."""
    relay = relay_with(t, f'echo x >>{t.dir}/begun; test "$PAM_USER" = slow && exec sleep 1000', threads=1)
    slow = [relay.greeted() for _ in range(20)]
    for wire in slow:
        wire.say('AUTH PLAIN ' + b64('\0slow\0x'))
    until(lambda: (t.dir / 'begun').exists() and len((t.dir / 'begun').read_text()) == 40, 'twenty hang')
    log_in(relay)
    log_in(relay)
    _, starter = keeper_and_starter(relay)
    mine = below(starter)
    equal(len(mine), 40)
    relay.terminate()
    match(slow[0].line(), later)
    for pid in mine:
        until(lambda: not running(pid), f'process {pid} gone')


@harness.limit(240)
def test_many_at_once(t):
    """More than are checked at a time: they wait for their turn."""
    relay = relay_with(t, threads=2)
    wires = [relay.greeted() for _ in range(80)]
    for n, wire in enumerate(wires):
        wire.say(pam_right if n % 4 else 'AUTH PLAIN ' + b64('\0alice\0guess'))
    for n, wire in enumerate(wires):
        match(wire.line(), '^235 ' if n % 4 else '^535 ')


def test_crash(t):
    """Of a module: that login fails for now, and says nothing about the password."""
    relay = relay_with(t, f'test -e {t.dir}/go || {{ kill -ABRT $PPID; sleep 1000; }}')
    log_in(relay, later)
    relay.wait_log(r'warning: pam error: a module was ended by signal 6$')
    (t.dir / 'go').touch()
    log_in(relay)


def test_killed(t):
    """The starter: the check in hand fails for now, nothing of it is left, and the next one is made by its successor."""
    relay = relay_with(t, hanging(t))
    with relay.greeted() as wire:
        wire.say(pam_right)
        pid_of_module(t)
        keeper, starter = keeper_and_starter(relay)
        check, = [pid for pid in below(starter) if processes()[pid][0] == starter]
        os.kill(starter, signal.SIGKILL)
        match(wire.line(), later)
    relay.wait_log(r'warning: pam error: a module was ended by signal 9$')
    until(lambda: not running(check), 'the check gone')
    (t.dir / 'go').touch()
    log_in(relay)
    equal(keeper_and_starter(relay)[0], keeper)
    equal(of_threads(relay, 'Seccomp'), {'2'})


def test_without_keeper(t):
    """Nobody can make them anew: logins fail for now, the log says why, and all else goes on."""
    relay = relay_with(t)
    keeper, starter = keeper_and_starter(relay)
    for pid in (keeper, starter):
        os.kill(pid, signal.SIGKILL)
        until(lambda: not running(pid), 'gone')
    with relay.greeted() as wire:
        wire.say(pam_right)
        match(wire.line(), later)
        relay.wait_log(r'warning: pam error: process for PAM is gone: broken pipe$')
        wire.exact('NOOP', '250 noop')
    relay.terminate()


def test_relay_killed(t):
    relay = relay_with(t, hanging(t))
    with relay.greeted() as wire:
        wire.say(pam_right)
        pid_of_module(t)
        keeper, starter = keeper_and_starter(relay)
        mine = [keeper, starter, *below(starter)]
        equal(len(mine), 4)
        relay.kill()
        for pid in mine:
            until(lambda: not running(pid), f'process {pid} gone')


def test_no_password_stays_in_memory(t):
    """Of none of the processes that outlast the check."""
    relay = relay_with(t)
    guesses = [f'guess-{os.urandom(8).hex()}' for _ in range(3)]
    for guess in guesses:
        with relay.greeted() as wire:
            wire.ask('AUTH PLAIN ' + b64('\0alice\0' + guess), 535)
    log_in(relay)
    relay.wait_log('smtp connection closed: ', count=4)
    keeper, starter = keeper_and_starter(relay)
    for pid in (relay.pid, keeper, starter):
        equal(memory_holds(pid, ['--server-auth=pam:']), {'--server-auth=pam:'}, 'a text that is there')
        equal(memory_holds(pid, [*guesses, 'wonderland']), set())


def test_signals_to_all(t):
    """A terminal's interrupt, or a service manager's end, goes to every process: those of PAM go when the relay has gone."""
    relay = relay_with(t)
    both_of_them = keeper_and_starter(relay)
    for pid in both_of_them:
        os.kill(pid, signal.SIGTERM)
    log_in(relay)
    equal(keeper_and_starter(relay), both_of_them)
    relay.terminate()
    for pid in both_of_them:
        until(lambda: not running(pid), 'gone')
