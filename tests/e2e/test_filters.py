"""Server filters that are programs: every exit code and form of output, what they see and what they may do to a message
(spec/filters-and-verifiers.md sections 1 to 3)."""
import os
import re
import signal
import statistics
import time

import harness
from harness import equal, fail, find, limit, match, need
from helper_servers import LineServer

body = b'Subject: hello\r\n\r\ntext\r\n.dot\r\n'
processed = (250, ['message processed'])


def script(t, text, name='filter.sh', shell='#!/bin/sh'):
    path = t.file(name, f'{shell}\n{text}\n')
    os.chmod(path, 0o755)
    return path


def python(t, text, name='filter.py'):
    return script(t, text, name, '#!/usr/bin/python3')


def filtered(t, *filters, **options):
    words = [f'--filter={f}' for f in filters]
    return t.relay(*words, **options)


def submit(relay, content=body, **how):
    with relay.greeted() as wire:
        return wire.submit(content, **how)


# ---------------------------------------------------------------- what becomes of the message

# exit code: (reply, message stored, forwarding requested)
server_codes = {0: (processed, True, False), 1: ((452, ['rejected']), False, False), 2: ((452, ['rejected']), False, False),
                99: ((452, ['rejected']), False, False), 100: (processed, True, False), 101: (processed, True, False),
                102: (processed, True, True), 103: (processed, True, True), 104: ((452, ['rejected']), False, True),
                105: ((452, ['rejected']), False, False), 106: ((452, ['rejected']), False, False),
                107: ((452, ['rejected']), False, False), 108: ((452, ['rejected']), False, False),
                110: ((452, ['rejected']), False, False), 115: ((452, ['rejected']), False, False),
                116: ((452, ['rejected']), False, False), 127: ((452, ['rejected']), False, False),
                255: ((452, ['rejected']), False, False)}


def check_codes(t, program, name_of):
    """One relay; the code is the first word of the subject."""
    sink = t.next_hop({'MAIL': '450 later'})
    relay = filtered(t, program, forward_to=sink.address)
    for sessions, (code, (reply, stored, rescan)) in enumerate(server_codes.items(), 1):
        with t.row(f'exit code {code}'):
            before = len(relay.lines())
            equal(submit(relay, f'Subject: {code}\r\n\r\nx\r\n'.encode()), reply)
            found = relay.wait_log(r'smtp connection closed', count=sessions)
            state = 'bad' if rescan and stored else ''
            if stored:
                relay.spool.wait_count(1, state)
                equal(relay.spool.one(state).body(), f'Subject: {code}\r\n\r\nx\r\n'.encode())
            if rescan:
                harness.until(lambda: [line for line in relay.lines()[before:] if 'info: forwarding: [rescan]' in line], 'rescan')
            elif [line for line in relay.lines()[before:] if 'forwarding: [' in line]:
                fail('forwarding was not asked for')
            if not stored:
                relay.spool.check_empty()
            for name in relay.spool.names():
                os.unlink(relay.spool.path / name)


def test_exit_codes(t):
    program = script(t, 'exit $(sed -n "s/^Subject: //p" "$1" | tr -d "\\r")')
    check_codes(t, program, lambda code: 'filter.sh')


def test_exit_codes_of_the_built_in(t):
    for code, (reply, stored, rescan) in server_codes.items():
        with t.row(f'exit:{code}'):
            relay = filtered(t, f'exit:{code}', spool=t.spool(f'spool{code}'))
            equal(submit(relay), reply)
            equal(len(relay.spool.messages()), int(stored))
            if not stored:
                relay.wait_log(rf'info: rejected by filter: \[exit:{code}\]$')
                relay.spool.check_empty()
            relay.terminate()


def test_killed_by_a_signal(t):
    relay = filtered(t, script(t, 'kill -9 $$'))
    equal(submit(relay), (452, ['rejected']))
    relay.wait_log(r'warning: filter \[filter\.sh\] failed: exit code 137: \[rejected\]')
    relay.spool.check_empty()


# what is printed -> reply code, reply text, reason
outputs = [
    (r'', 452, 'rejected', 'rejected'),
    (r'<<no>>', 452, 'no', 'no'),
    (r'[[no]]', 452, 'no', 'no'),
    (r'<<no>> rest', 452, 'no', 'no'),
    (r' <<no>>', 452, 'rejected', 'rejected'),
    (r'<<no]]', 452, 'rejected', 'rejected'),
    (r'noise\n<<no>>\nnoise\n<<because>>\n<<third>>', 452, 'no', 'because'),
    (r'<<a>b>>', 452, 'a>b', 'a>b'),
    (r'<<>>\n<<because>>', 452, 'rejected', 'because'),
    (r'<<550 no>>', 550, 'no', 'no'),
    (r'<<550\tno>>\n[[why]]', 550, 'no', 'why'),
    (r'[[450]]', 450, '', ''),
    (r'<<399 no>>', 452, '399 no', '399 no'),
    (r'<<600 no>>', 452, '600 no', '600 no'),
    (r'<<499x>>', 452, '499x', '499x'),
    (r'<<599 x>>\r<<y>>\r\n', 599, 'x', 'y'),
    (r'x\r<<y>>', 452, 'y', 'y'),
    (r'<<a\tb\033c>>', 452, 'a\\tb\\x1bc', 'a\\tb\\x1bc'),
    ('x' * 1015 + r'\n<<late>>', 452, 'late', 'late'),
    ('x' * 1024 + r'\n<<too late>>', 452, 'rejected', 'rejected'),
]


def test_output(t):
    relay = filtered(t, script(t, f'printf "$(cat {t.dir}/output)"; exit 1'))
    with relay.greeted() as wire:
        for number, (printed, code, text, reason) in enumerate(outputs, 1):
            with t.row(repr(printed[-60:])):
                t.file('output', printed)
                wire.say('MAIL FROM:<a@b>')
                wire.expect('250 .*')
                wire.ask('RCPT TO:<c@d>', 250)
                wire.ask('DATA', 354)
                wire.send(b'x\r\n.\r\n')
                equal(wire.line(), f'{code} {text}' if text else f'{code}')
                found = relay.wait_log(r'info: rejected by filter: \[(.*)\]$', count=number)
                equal(found.group(1), reason)
    relay.spool.check_empty()


def test_output_of_one_that_agrees(t):
    relay = filtered(t, script(t, 'echo "<<550 no>>"'))
    equal(submit(relay), processed)
    relay.wait_log(r'info: filter \[filter\.sh\]: \[emailrelay\.\S+\]: ok response=\[\]$')


# ---------------------------------------------------------------- what a program gets

look = r'''
import os, sys, resource
out = open('%s', 'w')
print(sys.argv, file=out)
print(sorted(os.environ.items()), file=out)
print(sorted((int(n), os.readlink('/proc/self/fd/' + n)) for n in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + n)), file=out)
print(os.getcwd(), file=out)
print(oct(os.umask(0)), file=out)
print(os.getpgid(0) == os.getpid(), file=out)
status = dict(line.rstrip('\n').split(':\t', 1) for line in open('/proc/self/status') if ':\t' in line)
print([status[n] for n in ('SigBlk', 'Uid', 'Gid', 'CapEff', 'CapPrm')], file=out)
print(status['SigIgn'], file=out)
print([os.path.exists(a) for a in sys.argv[1:]], file=out)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], file=out)
out.close()
'''


def test_what_it_gets(t):
    """Arguments, environment, descriptors, directory, umask, group, signals."""
    seen = t.dir / 'seen'
    seen.touch()
    extra = os.open('/dev/zero', os.O_RDONLY)
    os.set_inheritable(extra, True)
    # Started without Python's own changes to signals and locale: through a shell that replaces itself.
    program = python(t, look % seen)
    relay = filtered(t, program, pass_fds=(extra,), env={'SECRET': 'x'})
    equal(submit(relay), processed)
    lines = seen.read_text().splitlines()
    message = relay.spool.one()
    equal(eval(lines[0]), [str(program), str(message.content_path), str(message.envelope_path) + '.new'])
    wanted = {('IFS', ' \t\n'), ('PATH', '/usr/bin:/bin')}
    equal({item for item in eval(lines[1]) if item[0] not in ('LC_CTYPE',)}, wanted)  # the one is Python's own
    descriptors = dict(eval(lines[2]))
    out = descriptors.pop(3, None)  # Python's own open file
    equal((descriptors.pop(0), descriptors.pop(2)), ('/dev/null', '/dev/null'))
    match(descriptors.pop(1), r'^(pipe|socket):')
    equal(descriptors, {})
    equal(lines[3], str(t.dir))
    equal(lines[4], '0o77')
    equal(lines[5], 'True')
    equal(eval(lines[6])[0], '0000000000000000')
    equal(int(lines[7], 16) & ~(1 << 12 | 1 << 24), 0, 'ignored signals')  # Python ignores SIGPIPE and SIGXFSZ
    equal(eval(lines[8]), [True, True])
    import resource
    equal(int(lines[9]), resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def test_a_binary(t):
    """Started without a shell, under the path that was configured; with --user=root it is root's. Here the message is the program."""
    relay = filtered(t, '/usr/bin/python3', anonymous='content')
    program = f'import os\nopen("{t.dir}/seen", "wb").write(open("/proc/self/cmdline", "rb").read() + str(os.getresuid()).encode())\nos._exit(103)\n'
    equal(submit(relay, program.replace('\n', '\r\n').encode()), processed)
    message = relay.spool.one()
    me = (os.geteuid(),) * 3
    equal((t.dir / 'seen').read_bytes(), f'/usr/bin/python3\0{message.content_path}\0{message.envelope_path}.new\0{me}'.encode())
    relay.wait_log(r'filter \[python3\]: \[\S+\]: ok\+rescan response')


def test_a_relative_spool_directory(t):
    """Programs are told paths as the directory was given; servers, which may be elsewhere, absolute ones."""
    program = script(t, f'printf "%s\\n" "$@" >{t.dir}/seen; test -f "$1" && test -f "$2"')
    server = LineServer(t, lambda line, n: 'ok\n')
    for given, told in (('spool', 'spool'), ('./spool/', './spool'), ('../{top}/spool', '../{top}/spool')):
        with t.row(given):
            spool = t.spool()
            given, told = (x.format(top=t.dir.name) for x in (given, told))
            relay = t.relay(f'--filter={program},net:{server.address}', spool=spool, spool_dir=given)
            equal(submit(relay), processed)
            message = spool.one()
            equal((t.dir / 'seen').read_text().splitlines(), [f'{told}/{message.content_path.name}', f'{told}/{message.envelope_path.name}.new'])
            heard = server.lines[-1][1]
            equal((heard[0], os.path.realpath(heard)), ('/', str(message.content_path)))
            relay.terminate()
            hop = t.next_hop()
            t.run([t.program, f'--as-client={hop.address}', f'--spool-dir={given}', f'--client-filter={program}', *(['--user=root'] if harness.is_root() else [])])
            equal((t.dir / 'seen').read_text().splitlines(), [f'{told}/{message.content_path.name}', f'{told}/{message.envelope_path.name}.busy'])
            equal(len(hop.messages), 1)


def test_edits_are_what_is_stored(t):
    """Content and envelope, edited in place and replaced; the stored message has them byte for byte."""
    rows = {'in place': 'printf "more\\r\\n" >>"$1"\nperl -pi -e "s/you\\@/they\\@/" "$2"',
            'replaced': 'cat "$1" "$1" >"$1.x"; mv "$1.x" "$1"; sed -i "s/^X-MailRelay-From: .*/X-MailRelay-From: new@x\\r/" "$2"',
            'large': 'head -c 400000 /dev/zero | tr "\\0" "x" >>"$1"'}
    contents = {}
    for name, text in rows.items():
        with t.row(name):
            keep = t.folder(f'keep-{name.replace(" ", "")}', 0o777)
            program = script(t, f'{text}\ncp "$1" {keep}/content; cp "$2" {keep}/envelope', name=f'{name.replace(" ", "")}.sh')
            relay = filtered(t, program, spool=t.spool(f'spool-{name.replace(" ", "")}'))
            equal(submit(relay), processed)
            message = relay.spool.one()
            equal(message.content == (keep / 'content').read_bytes(), True, 'content')
            equal(message.envelope, (keep / 'envelope').read_bytes())
            equal(relay.spool.names(), sorted([message.content_path.name, message.envelope_path.name]))
            relay.terminate()
            equal(message.content == (keep / 'content').read_bytes(), True, 'content after the end')


def test_files_gone_or_broken(t):
    """(what the filter does, exit code) -> reply, files left"""
    rows = [('rm "$1" "$2"', 0, (452, ['rejected']), 0), ('rm "$1"', 0, (452, ['rejected']), 0),
            ('rm "$2"', 0, (452, ['rejected']), 0), ('echo rubbish >"$2"', 0, (452, ['rejected']), 0),
            (': >"$2"', 0, (452, ['rejected']), 0),
            ('rm "$1"; mkdir "$1"; exit 0', 0, (452, ['rejected']), None),
            ('rm "$2"; ln -s /etc/passwd "$2"', 0, (452, ['rejected']), 0),
            ('rm "$1" "$2"', 100, processed, 0), ('rm "$2"', 100, processed, 1), ('rm "$1"', 100, processed, 1),
            ('rm "$1" "$2"', 1, (452, ['rejected']), 0)]
    for number, (text, code, reply, left) in enumerate(rows):
        with t.row(f'{text}; exit {code}'):
            relay = filtered(t, script(t, f'{text}; exit {code}', f'{number}.sh'), spool=t.spool(f'spool{number}'))
            equal(submit(relay), reply)
            if left is not None:
                equal(len(relay.spool.names()), left, f'{relay.spool.names()}')
            if code == 0:
                relay.wait_log(r'warning: filter exception: ')
            equal(submit(relay, b'again\r\n')[0], reply[0])
            relay.terminate()


def test_not_to_be_started(t):
    plain = t.file('plain', 'exit 0\n')
    rubbish = t.file('rubbish', b'\0\1\2')
    os.chmod(rubbish, 0o755)
    bad_interpreter = t.file('bad', '#!/no/such/shell\n')
    os.chmod(bad_interpreter, 0o755)
    for path, why in [('/no/such/program', 'no such file or directory'), (plain, 'permission denied'), (t.dir, 'permission denied'),
                      (rubbish, 'exec format error'), (bad_interpreter, 'no such file or directory')]:
        with t.row(str(path)):
            relay = filtered(t, path, spool=t.spool(f'spool-{os.path.basename(path)}'))
            equal(submit(relay), (452, ['rejected']))
            relay.wait_log(rf'info: rejected by filter: \[filter exec error: {why}\]$')
            relay.spool.check_empty()
            relay.terminate()


# ---------------------------------------------------------------- time

def test_timeout(t):
    """The whole group ends, those too that do not listen to SIGTERM."""
    pids = t.dir / 'pids'
    program = script(t, f'''trap "" TERM
sh -c 'trap "" TERM; echo $$ >>{pids}; while :; do sleep 1; done' &
echo $$ >>{pids}
while :; do sleep 1; done''')
    relay = filtered(t, program, filter_timeout=1)
    began = time.monotonic()
    equal(submit(relay), (452, ['error']))
    took = time.monotonic() - began
    assert 0.9 < took < 20, took
    relay.wait_log(r'warning: filter \[filter\.sh\] timed out after 1s')
    relay.wait_log(r'filter \[filter\.sh\]: \[emailrelay\.\S+\]: failed response=\[error\] reason=\[timeout\]')
    relay.spool.check_empty()
    for pid in pids.read_text().split():
        harness.until(lambda: not running(int(pid)), f'process {pid} gone')


def test_no_time_limit(t):
    """--filter-timeout=0: it may take as long as it likes."""
    relay = filtered(t, script(t, f'while [ ! -e {t.dir}/go ]; do sleep 0.05; done'), filter_timeout=0)
    with relay.greeted() as wire:
        wire.ask('MAIL FROM:<a@b>', 250)
        wire.ask('RCPT TO:<c@d>', 250)
        wire.ask('DATA', 354)
        wire.send(b'x\r\n.\r\n')
        wire.silent(1.5)
        t.file('go', '')
        equal(wire.reply(), processed)


def running(pid):
    try:
        with open(f'/proc/{pid}/stat') as f:
            return f.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except OSError:
        return False


def test_grandchild_holds_the_output(t):
    """The result comes when it lets go; at the time limit it is killed."""
    relay = filtered(t, script(t, f'(while [ ! -e {t.dir}/go ]; do sleep 0.05; done) &\nexit 0'))
    with relay.greeted() as wire, relay.greeted() as other:
        wire.ask('MAIL FROM:<a@b>', 250)
        wire.ask('RCPT TO:<c@d>', 250)
        wire.ask('DATA', 354)
        wire.send(b'x\r\n.\r\n')
        wire.silent(0.5)
        other.ask('NOOP', 250)
        t.file('go', '')
        equal(wire.reply(), processed)
    relay.terminate()
    holding = filtered(t, script(t, 'sleep 1000 &\nexit 0', 'hold.sh'), filter_timeout=1, spool=t.spool('second'))
    equal(submit(holding), (452, ['error']))


def test_daemon_that_lets_go_lives_on(t):
    relay = filtered(t, script(t, f'(exec >/dev/null; echo $$ >{t.dir}/pid; sleep 0.5; touch {t.dir}/lived) & exit 0'))
    equal(submit(relay), processed)
    harness.until(lambda: (t.dir / 'lived').exists(), 'the background process has lived on')


def test_flood(t):
    """A program that prints for ever is ended; others do not notice."""
    relay = filtered(t, script(t, 'exec yes'), threads=1)
    with relay.greeted() as wire:
        equal(submit(relay), (452, ['error']))
        wire.ask('NOOP', 250)
    relay.spool.check_empty()


def test_many_at_once(t):
    """200 messages in filters that wait for each other; beside them a session goes on as if nothing were."""
    count = 200
    gate = t.folder('gate', 0o777)
    program = script(t, f'touch {gate}/$$\nwhile [ ! -e {t.dir}/go ]; do sleep 0.2; done')
    relay = filtered(t, program, threads=1, verbose=None)
    wires = []
    for _ in range(count):
        wire = relay.greeted()
        wire.send('MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n')
        for code in (250, 250, 354):
            equal(wire.reply()[0], code)
        wire.send(b'x\r\n.\r\n')
        wires.append(wire)
    harness.until(lambda: len(os.listdir(gate)) == count, 'all filters running at once', 50)
    with relay.greeted() as other:
        for _ in range(20):
            other.ask('NOOP', 250)
    t.file('go', '')
    for wire in wires:
        equal(wire.reply(), processed)
    relay.spool.wait_count(count)


test_many_at_once.limit = 120


def fifty_at_once(t, relay):
    """smtp-source with 50 sessions of one message each, through a filter that takes a second: together they take far less than one
    after the other, and a session without content is answered as ever."""
    need('smtp-source')
    with relay.greeted() as idle:
        began = time.monotonic()
        source = t.start([find('smtp-source'), '-s', '50', '-m', '50', '-l', '4096', '-f', 'me@example.com', '-t', 'you@example.net',
                          f'127.0.0.1:{relay.port}'], name='smtp-source')
        waits = []
        while source.running():
            asked = time.monotonic()
            idle.ask('NOOP', 250)
            waits.append(time.monotonic() - asked)
            time.sleep(0.02)
        took = time.monotonic() - began
    equal((source.wait(), source.output), (0, ''))
    relay.spool.wait_count(50)
    if not 1 <= took < 25:
        fail(f'{took:.1f} s for 50 messages')
    if len(waits) < 10 or statistics.median(waits) > 0.25:
        fail(f'{len(waits)} answers to NOOP, the median after {statistics.median(waits):.3f} s')


@limit(180)
def test_fifty_at_once(t):
    fifty_at_once(t, filtered(t, script(t, 'exec sleep 1'), max_idle_commands=0))


@limit(180)
def test_fifty_at_once_on_one_thread(t):
    fifty_at_once(t, filtered(t, script(t, 'exec sleep 1'), threads=1, max_idle_commands=0))


@limit(180)
def test_descriptors_are_kept_for_filters(t):
    """As many clients are let in as can be served with a filter each: of 150 at once some are told to come again, all others get their 250."""
    relay = filtered(t, script(t, f'touch {t.folder("gate", 0o777)}/$$; while [ ! -e {t.dir}/go ]; do sleep 0.2; done'), verbose=None,
                     prefix=[find('prlimit'), '--nofile=400:400'])
    wires, turned_away = [], 0
    for _ in range(150):
        wire = relay.connect()
        if wire.line() == '421 too many connections':
            turned_away += 1
        else:
            wires.append(wire)
    if len(wires) < 50 or turned_away < 20:
        fail(f'{len(wires)} let in, {turned_away} turned away')
    for wire in wires:
        wire.send('EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n')
        equal([wire.reply()[0] for _ in range(4)], [250, 250, 250, 354])
        wire.send(b'x\r\n.\r\n')
    harness.until(lambda: len(os.listdir(t.dir / 'gate')) == len(wires), 'a filter for each')
    t.file('go', '')
    for wire in wires:
        equal(wire.reply(), processed)
    relay.spool.wait_count(len(wires))


def test_idle_time_runs_on(t):
    relay = filtered(t, script(t, 'exec sleep 1000'), idle_timeout=1)
    with relay.greeted() as wire:
        wire.ask('MAIL FROM:<a@b>', 250)
        wire.ask('RCPT TO:<c@d>', 250)
        wire.ask('DATA', 354)
        wire.send(b'x\r\n.\r\n')
        wire.closed()
    relay.wait_log(r'smtp connection closed: idle timeout: no activity after 1s')
    relay.spool.wait_empty()


def test_client_gone_meanwhile(t):
    """Nobody learns that the message was taken, so it is not."""
    relay = filtered(t, script(t, f'touch {t.dir}/runs\nwhile [ ! -e {t.dir}/go ]; do sleep 0.05; done'))
    wire = relay.greeted()
    wire.ask('MAIL FROM:<a@b>', 250)
    wire.ask('RCPT TO:<c@d>', 250)
    wire.ask('DATA', 354)
    wire.send(b'x\r\n.\r\n')
    harness.until(lambda: (t.dir / 'runs').exists(), 'filter running')
    wire.close()
    t.file('go', '')
    relay.wait_log(r'smtp connection closed: peer disconnected')
    relay.spool.wait_empty()


def test_pipelined_behind_the_dot(t):
    """240000 octets of commands behind the end of the message, and QUIT: all answered after it."""
    relay = filtered(t, script(t, 'sleep 0.5'), max_idle_commands=0)
    count = 40000
    with relay.greeted() as wire:
        wire.ask('MAIL FROM:<a@b>', 250)
        wire.ask('RCPT TO:<c@d>', 250)
        wire.ask('DATA', 354)
        wire.send(b'x\r\n.\r\n' + b'NOOP\r\n' * count + b'QUIT\r\n')
        equal(wire.reply(), processed)
        for _ in range(count):
            equal(wire.line(), '250 noop')
        equal(wire.line(), '221 OK')
    equal(len(relay.spool.messages()), 1)


# ---------------------------------------------------------------- chains

def test_chain(t):
    """In order; the first that does not agree ends it and gives the result; special flags add up."""
    order = t.dir / 'order'
    one, two, three = (script(t, f'echo {n} >>{order}; exit {c}', f'{n}.sh') for n, c in (('one', 0), ('two', 103), ('three', 0)))
    bad = script(t, f'echo bad >>{order}; echo "<<550 no>>"; exit 1', 'bad.sh')
    sink = t.next_hop()
    relay = filtered(t, f'{one},{two}', three, forward_to=sink.address)
    equal(submit(relay), processed)
    equal(order.read_text().split(), ['one', 'two', 'three'])
    relay.wait_log(r'filter \[one\.sh,two\.sh,three\.sh\]: \[\S+\]: ok\+rescan response=\[\]')
    sink.wait_messages(1)
    relay.terminate()
    order.unlink()
    relay = filtered(t, f'{one},{bad},{three}', spool=t.spool('second'))
    equal(submit(relay), (550, ['no']))
    equal(order.read_text().split(), ['one', 'bad'])


def test_sleepms(t):
    relay = filtered(t, 'sleepms:300')
    began = time.monotonic()
    equal(submit(relay), processed)
    assert time.monotonic() - began >= 0.3


# ---------------------------------------------------------------- the end of the process

def test_stop_while_a_filter_runs(t):
    """The filter ends with the relay, and nothing is left."""
    relay = filtered(t, script(t, f'echo $$ >{t.dir}/pid; exec sleep 1000'))
    wire = relay.greeted()
    wire.ask('MAIL FROM:<a@b>', 250)
    wire.ask('RCPT TO:<c@d>', 250)
    wire.ask('DATA', 354)
    wire.send(b'x\r\n.\r\n')
    pid = int(harness.until(lambda: (t.dir / 'pid').exists() and (t.dir / 'pid').read_text().strip(), 'filter running'))
    relay.terminate()
    harness.until(lambda: not running(pid), 'filter gone')
    relay.spool.check_empty()


def stopped_together(t, relay, order):
    """The program that has written t.dir/pid, and the relay, get TERM, as from a service manager that signals every process."""
    pid = int(harness.until(lambda: (t.dir / 'pid').exists() and (t.dir / 'pid').read_text().strip(), 'program running'))
    (t.dir / 'pid').unlink()
    for which in order:
        os.kill({'program': pid, 'relay': relay.pid}[which], signal.SIGTERM)


stop_orders = [('program', 'relay'), ('relay', 'program')]


def test_stopped_with_its_filter(t):
    """The filter's end is not its verdict."""
    for order in stop_orders:
        with t.row(order):
            relay = filtered(t, script(t, f'echo "<<550 no>>"; echo $$ >{t.dir}/pid; exec sleep 1000'), spool=t.spool(order[0]))
            wire = relay.greeted()
            wire.ask('MAIL FROM:<a@b>', 250)
            wire.ask('RCPT TO:<c@d>', 250)
            wire.ask('DATA', 354)
            wire.send(b'x\r\n.\r\n')
            stopped_together(t, relay, order)
            equal(wire.reply(), (452, ['error']))
            equal(relay.wait(), -signal.SIGTERM)
            relay.spool.check_empty()


def test_ended_by_somebody(t):
    """A signal to the filter alone is its verdict, as ever."""
    relay = filtered(t, script(t, 'echo "<<550 no>>"; kill $$'))
    equal(submit(relay), (550, ['no']))
    relay.wait_log(r'warning: filter \[filter\.sh\] failed: exit code 143: \[no\]')
    relay.spool.check_empty()


def test_killed_while_a_filter_runs(t):
    """kill -9: nothing is accepted by halves, and the next start removes what is left."""
    relay = filtered(t, script(t, f'touch "$1.tmp" "$2.tmp"; echo $$ >>{t.dir}/pids; exec sleep 1000'))
    for size in (100, 100_000, 600_000):
        wire = relay.greeted()
        wire.ask('MAIL FROM:<a@b>', 250)
        wire.ask('RCPT TO:<c@d>', 250)
        wire.ask('DATA', 354)
        wire.send(b'x' * size + b'\r\n.\r\n')
    harness.until(lambda: (t.dir / 'pids').exists() and len((t.dir / 'pids').read_text().split()) == 3, 'filters running')
    relay.kill()
    equal(len(relay.spool.names()), 12)
    again = t.relay(spool=relay.spool)
    relay.spool.check_empty()
    again.terminate()
