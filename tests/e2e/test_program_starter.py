"""The process that starts programs for the relay (docs/flow.md): it comes back when it is killed, and goes when the relay is gone."""
import os
import signal

from harness import equal, until
from test_bad_programs import processes, starters
from test_filters import processed, running, script, submit

message = b'Subject: x\r\n\r\ntext\r\n'


def gone(pid):
    return not running(pid)


def test_only_for_programs(t):
    relay = t.relay()
    equal(starters(relay.pid), [])
    relay = t.relay(filter='exit:0')
    equal(starters(relay.pid), [])
    relay = t.relay(filter=script(t, 'exit 0'))
    until(lambda: len(starters(relay.pid)) == 2, 'a keeper and a starter')


def test_killed(t):
    """The program that was running counts as killed; the next one is started."""
    relay = t.relay(filter=script(t, f'echo $$ >{t.dir}/pid.new; mv {t.dir}/pid.new {t.dir}/pid; test -e {t.dir}/go || exec sleep 1000'))
    with relay.greeted() as wire:
        wire.hand_over(message)
        until(lambda: (t.dir / 'pid').exists(), 'the filter runs')
        pid = int((t.dir / 'pid').read_text())
        keeper, starter = starters(relay.pid)
        os.kill(starter, signal.SIGKILL)
        equal(wire.reply(), (452, ['rejected']))
        until(lambda: gone(pid), 'the program gone with its starter')
        (t.dir / 'go').touch()
        equal(submit(relay, message), processed)
    equal(starters(relay.pid)[0], keeper)
    relay.terminate()


def test_without_keeper(t):
    relay = t.relay(filter=script(t, 'exit 0'))
    until(lambda: len(starters(relay.pid)) == 2, 'a keeper and a starter')
    keeper, starter = starters(relay.pid)
    os.kill(keeper, signal.SIGKILL)
    until(lambda: gone(keeper) or processes()[keeper][1] == 'Z', 'the keeper gone')
    equal(submit(relay, message), processed)
    os.kill(starter, signal.SIGKILL)
    until(lambda: gone(starter), 'the starter gone')
    equal(submit(relay, message), (452, ['rejected']))
    relay.wait_log(r'warning: filter \[filter.sh\] failed: exit code 127: \[rejected\]: program starter is gone: broken pipe')
    relay.terminate()


def test_verifier_without_starter(t):
    """Nobody is refused for ever because of it."""
    relay = t.relay(address_verifier=script(t, 'echo; echo "$1"; exit 1'))
    until(lambda: len(starters(relay.pid)) == 2, 'a keeper and a starter')
    for pid in starters(relay.pid):
        os.kill(pid, signal.SIGKILL)
        until(lambda: gone(pid), 'gone')
    with relay.greeted() as wire:
        wire.ask('MAIL FROM:<s@x>', 250)
        wire.exact('RCPT TO:<a@b>', '450 error')
    relay.terminate()


def test_relay_killed(t):
    """Nothing of it is left, also not what ignores polite signals."""
    relay = t.relay(filter=script(t, f'trap "" TERM HUP; echo $$ >{t.dir}/pid.new; mv {t.dir}/pid.new {t.dir}/pid; sleep 1000; sleep 1000'))
    with relay.greeted() as wire:
        wire.hand_over(message)
        until(lambda: (t.dir / 'pid').exists(), 'the filter runs')
        mine = starters(relay.pid) + [int((t.dir / 'pid').read_text())]
        equal(len(mine), 3)
        relay.kill()
        for pid in mine:
            until(lambda: gone(pid), f'process {pid} gone')


def test_signals_to_all(t):
    """A terminal's interrupt goes to every process; the filter in hand is still finished."""
    relay = t.relay(filter=script(t, f'touch {t.dir}/begun; while [ ! -e {t.dir}/go ]; do sleep 0.1; done'))
    with relay.greeted() as wire:
        wire.hand_over(message)
        until(lambda: (t.dir / 'begun').exists(), 'the filter runs')
        for pid in [*starters(relay.pid), relay.pid]:
            os.kill(pid, signal.SIGINT)
        (t.dir / 'go').touch()
        equal(wire.reply()[0], 250)
    equal(relay.wait(), -signal.SIGINT)
