"""Address verifiers: programs and system accounts (spec/filters-and-verifiers.md section 7)."""
import base64
import os
import pwd
import re
import signal
import time

import harness
from harness import domain, equal, match
from helper_servers import LineServer
from test_filters import running, script, stop_orders, stopped_together

# what is printed, exit code -> reply to RCPT, reply to VRFY, (local, remote) recipients
rows = [
    (r'Full Name\nbox', 0, '250 recipient <a@b>  OK', '250 Full Name', (['box'], [])),
    (r'\nbox', 0, '250 recipient <a@b>  OK', '250', (['box'], [])),
    (r'Full\r\nbox\r\n\r\n', 0, '250 recipient <a@b>  OK', '250 Full', (['box'], [])),
    (r'one line', 0, '550 one line', '550 one line', None),
    (r'', 0, '550 mailbox unavailable', '550 mailbox unavailable', None),
    (r'x\nother@c', 1, '250 recipient <a@b> OK', '252 cannot verify but will accept: a@b', ([], ['other@c'])),
    (r'\nother@c\n', 1, '250 recipient <a@b> OK', '252 cannot verify but will accept: a@b', ([], ['other@c'])),
    (r'x\n\n', 1, '550 x', '550 x', None),
    (r'x', 1, '550 x', '550 x', None),
    (r'no\nwhy', 2, '550 no', '550 no', None),
    (r'', 2, '550 mailbox unavailable', '550 mailbox unavailable', None),
    (r'later\nwhy', 3, '450 later', '450 later', None),
    (r'no\nwhy', 4, '550 no', '550 no', None),
    (r'no\nwhy', 99, '550 no', '550 no', None),
    (r'no\nwhy', 101, '550 no', '550 no', None),
    (r'no\nwhy', 127, '550 no', '550 no', None),
    (r'450 no', 2, '550 450 no', '550 450 no', None),
    (r'tab\there', 2, '550 tab\\there', '550 tab\\there', None),
]


def test_programs(t):
    relay = t.relay(address_verifier=script(t, f'printf "$(cat {t.dir}/text)x" | head -c -1; exit $(cat {t.dir}/code)'))
    for number, (printed, code, rcpt, vrfy, recipients) in enumerate(rows):
        with t.row(f'{printed!r}, exit code {code}'):
            t.file('text', printed)
            t.file('code', str(code))
            with relay.greeted() as wire:
                wire.exact('VRFY a@b', vrfy)
                wire.ask('MAIL FROM:<s@x>', 250)
                wire.exact('RCPT TO:<a@b>', rcpt)
                if recipients is None:
                    wire.exact('DATA', '554 no valid recipients')
                    continue
                wire.ask('DATA', 354)
                wire.send(b'x\r\n.\r\n')
                equal(wire.reply(), (250, ['message processed']))
            message = relay.spool.one()
            equal((message.fields('To-Local'), message.fields('To-Remote')), recipients)
            equal(message.field('ToCount'), '1')
            os.unlink(message.envelope_path)
            os.unlink(message.content_path)
    match(relay.output, r'info: address verifier: exit code 2: \[no\] \[why\]')
    match(relay.output, r'warning: rejecting recipient "a@b": no: why')
    match(relay.output, r'warning: rejecting recipient "a@b": mailbox unavailable: exit code 2')


def test_what_it_gets(t):
    relay = t.relay(address_verifier=script(t, f'printf "%s\\n" $# "$0" "$@" >{t.dir}/seen; env >>{t.dir}/seen; echo; echo "$1"; exit 1'))
    path = str(t.dir / 'filter.sh')
    with relay.greeted() as wire:
        wire.ask('MAIL FROM:<s@x>', 250)
        wire.ask('RCPT TO:<@r:ü@bücher.example>', 250)
        client = f'127.0.0.1:{wire.local_port()}'
        lines = (t.dir / 'seen').read_text().splitlines()
        equal(lines[:8], ['6', path, 'ü@xn--bcher-kva.example', 's@x', client, domain, 'none', ''])
        equal({line.split('=')[0] for line in lines[8:] if '=' in line} - {'PWD', '_', 'SHLVL', 'OLDPWD'}, {'PATH', 'IFS'})
        wire.ask('VRFY <any thing>', 252)
        lines = (t.dir / 'seen').read_text().splitlines()
        equal(lines[2:4], ['<any thing>', ''])
    relay.wait_log(rf'info: address verifier: executing \[{path}\] \[ü@xn--bcher-kva\.example\] \[s@x\] \[{client}\] '
                   rf'\[{domain}\] \[none\] \[\]$')


def test_who_asks(t):
    """The client's address of either family; how and as whom it has logged in, or the word for its trusted address."""
    seen = t.dir / 'seen'
    verifier = script(t, f'printf "%s|%s|%s\\n" "$3" "$5" "$6" >>{seen}; echo; echo "$1"; exit 1')
    server = LineServer(t, lambda line, n: '1|\n')
    secrets = t.file('auth', 'server plain alice wonderland\nserver none 127.0.0.2/32 trusted-word\n')
    for given in (verifier, f'net:{server.address}'):
        relay = t.relay(address_verifier=given, server_auth=secrets, interface='127.0.0.1,::1', spool=t.spool(f'spool{len(t.processes)}'))
        for host, login in (('127.0.0.1', ('plain', 'alice')), ('::1', ('plain', 'alice')), ('127.0.0.2', ('none', 'trusted-word'))):
            with t.row(f'{host} {given}'):
                port = next(int(p) for h, p in relay_addresses(relay) if (':' in h) == (':' in host))
                with harness.Wire.tcp('::1' if ':' in host else '127.0.0.1', port, source=(host, 0)) as wire:
                    wire.expect('220 .*')
                    wire.ask('EHLO x', 250)
                    if login[0] != 'none':
                        wire.ask('AUTH PLAIN ' + base64.b64encode(b'\0alice\0wonderland').decode(), 235)
                    wire.ask('MAIL FROM:<s@x>', 250)
                    wire.ask('RCPT TO:<a@b>', 250)
                    client = f'{host}{"." if ":" in host else ":"}{wire.local_port()}'
                last = seen.read_text().splitlines()[-1] if given == verifier else '|'.join(server.lines[-1][1].split('|')[i] for i in (2, 4, 5))
                equal(last, '|'.join([client, *login]))


def relay_addresses(relay):
    return re.findall(r'smtp server on (\S+?)[.:](\d+)$', relay.output, re.M)


def test_only_so_much_is_read(t):
    """Of 1024 octets; what comes behind them does not count."""
    relay = t.relay(address_verifier=script(t, f'head -c $(cat {t.dir}/count) /dev/zero | tr "\\0" "x"; echo; echo box; exit 0'))
    for count, reply in ((1000, '250 .*'), (1030, '550 x{1024}')):
        t.file('count', str(count))
        with relay.greeted() as wire:
            wire.ask('MAIL FROM:<s@x>', 250)
            wire.say('RCPT TO:<a@b>')
            wire.expect(reply)


def test_abort(t):
    """Closed at once, without a reply."""
    relay = t.relay(address_verifier=script(t, 'exit 100'))
    for verb in ('RCPT TO:<a@b>', 'VRFY a@b'):
        with relay.greeted() as wire:
            wire.ask('MAIL FROM:<s@x>', 250)
            wire.say(verb)
            wire.closed()
    relay.wait_log(r'smtp connection closed: address verifier abort', count=2)
    relay.spool.check_empty()


def test_not_to_be_started(t):
    relay = t.relay(address_verifier='/no/such/program')
    match(relay.output, r'warning: verifier program does not exist: /no/such/program')
    with relay.greeted() as wire:
        wire.ask('MAIL FROM:<s@x>', 250)
        wire.exact('RCPT TO:<a@b>', '550 error')


def test_timeout(t):
    relay = t.relay(address_verifier=script(t, f'echo $$ >{t.dir}/pid; exec sleep 1000'), filter_timeout=1)
    with relay.greeted() as wire:
        wire.ask('MAIL FROM:<s@x>', 250)
        wire.exact('RCPT TO:<a@b>', '450 timeout')
        pid = int((t.dir / 'pid').read_text())
        harness.until(lambda: not running(pid), 'program gone')


def test_stopped_with_it(t):
    """Its end is not its verdict."""
    for order in stop_orders:
        with t.row(order):
            relay = t.relay(address_verifier=script(t, f'echo no; echo $$ >{t.dir}/pid; exec sleep 1000'), spool=t.spool(order[0]))
            wire = relay.greeted()
            wire.ask('MAIL FROM:<s@x>', 250)
            wire.send(b'RCPT TO:<a@b>\r\n')
            stopped_together(t, relay, order)
            equal(wire.reply(), (450, ['error']))
            equal(relay.wait(), -signal.SIGTERM)


def test_waits_its_turn(t):
    """A program that cannot be started for want of processes is started when there are some: nobody is refused for that."""
    # Counted for each process: the first of the relay makes the starter's keeper, the first of that the starter. Outside of
    # the sandbox threads are made by another call.
    shortage = ['-e', 'trace=clone', '-e', 'inject=clone:error=EAGAIN:when=2..3', '-o', t.dir / 'trace']
    relay = t.relay(no_sandbox=True, address_verifier=script(t, 'echo; echo "$1"; exit 1'), prefix=[harness.find('strace'), '-D', '-f', *shortage])
    with relay.greeted() as wire:
        wire.ask('MAIL FROM:<s@x>', 250)
        wire.exact('RCPT TO:<a@b>', '250 recipient <a@b> OK')
        wire.exact('RCPT TO:<c@d>', '250 recipient <c@d> OK')
    match((t.dir / 'trace').read_text(), r'clone\(.*EAGAIN.*INJECTED')
    relay.terminate()
    relay = t.relay(no_sandbox=True, address_verifier=script(t, 'echo; echo "$1"; exit 1'), filter_timeout=1,
                    prefix=[harness.find('strace'), '-D', '-f', *shortage[:3], 'inject=clone:error=EAGAIN:when=2+', *shortage[4:]])
    with relay.greeted() as wire:
        wire.ask('MAIL FROM:<s@x>', 250)
        wire.exact('RCPT TO:<a@b>', '250 recipient <a@b> OK')
        wire.exact('RCPT TO:<c@d>', '450 timeout')


def test_pipelined(t):
    relay = t.relay(address_verifier=script(t, 'case $1 in bad*) echo no; exit 2;; esac; echo; echo "$1"; exit 1'))
    with relay.greeted() as wire:
        wire.send('MAIL FROM:<s@x>\r\nRCPT TO:<one@x>\r\nRCPT TO:<bad@x>\r\nRCPT TO:<two@x>\r\nDATA\r\n')
        equal([wire.reply()[0] for _ in range(5)], [250, 250, 550, 250, 354])
        wire.send(b'x\r\n.\r\n')
        equal(wire.reply()[0], 250)
    equal(relay.spool.one().fields('To-Remote'), ['one@x', 'two@x'])


def test_many_at_once(t):
    """Checks of many sessions wait for each other; another session goes on meanwhile."""
    gate = t.folder('gate', 0o777)
    relay = t.relay(threads=1, address_verifier=script(t, f'touch {gate}/$$; while [ ! -e {t.dir}/go ]; do sleep 0.1; done; echo; echo "$1"; exit 1'))
    count = 50
    wires = [relay.greeted() for _ in range(count)]
    for wire in wires:
        wire.ask('MAIL FROM:<s@x>', 250)
        wire.say('RCPT TO:<a@b>')
    harness.until(lambda: len(os.listdir(gate)) == count, 'all running at once')
    with relay.greeted() as other:
        other.ask('NOOP', 250)
    t.file('go', '')
    for wire in wires:
        equal(wire.line(), '250 recipient <a@b> OK')


def test_built_in_exit(t):
    for code, reply in [(0, '550 mailbox unavailable'), (2, '550 mailbox unavailable'), (3, '450 mailbox unavailable')]:
        with t.row(f'exit:{code}'):
            relay = t.relay(address_verifier=f'exit:{code}', spool=t.spool(f'spool{code}'))
            with relay.greeted() as wire:
                wire.ask('MAIL FROM:<s@x>', 250)
                wire.exact('RCPT TO:<a@b>', reply)


# ---------------------------------------------------------------- account:

def reply_to(relay, recipient):
    with relay.greeted() as wire:
        wire.ask('MAIL FROM:<s@x>', 250)
        wire.say(f'RCPT TO:<{recipient}>')
        return wire.line()


def test_accounts(t):
    daemon = pwd.getpwnam('daemon')
    local, remote = '250 recipient <{}>  OK', '250 recipient <{}> OK'
    no = '550 rejected'
    rows = [
        ('account:', 'root@' + domain, no, r'uid 0 is not in the range 1000-32767'),
        ('account:', 'nosuchuser@' + domain, no, r'\[nosuchuser\] is not a valid account name'),
        ('account:', 'daemon@elsewhere', no, rf'\[elsewhere\] does not match \[{re.escape(domain)}\]'),
        ('account:', 'daemon', no, rf'\[\] does not match \[{re.escape(domain)}\]'),
        ('account:', 'postmaster', local, None),
        ('account:', 'Postmaster', no, None),
        (f'account:{daemon.pw_uid}', 'daemon@' + domain, local, None),
        (f'account:0-100', 'daemon@' + domain.upper(), local, None),
        (f'account:0-100', 'DAEMON@' + domain, local, None),
        (f'account:0-100', '"daemon"@' + domain, local, None),
        (f'account:0-100;remote', 'daemon@' + domain, remote, None),
        (f'account:0-100;r', 'daemon@' + domain, remote, None),
        (f'account:0-100;check', 'nosuchuser@' + domain, remote, None),
        (f'account:0-100;c', 'x@elsewhere', remote, None),
        (f'account:check', 'root@' + domain, remote, None),
        (f'account:0-100;lowercase', 'DAEMON@' + domain, local, None),
    ]
    for number, (given, recipient, wanted, reason) in enumerate(rows):
        with t.row(f'{given} {recipient}'):
            relay = t.relay(address_verifier=given, spool=t.spool(f'spool{number}'))
            equal(reply_to(relay, recipient), wanted.format(recipient))
            if reason:
                relay.wait_log(rf'warning: rejecting recipient "{re.escape(recipient)}": rejected: {reason}$')
            relay.terminate()


def test_account_mailbox(t):
    relay = t.relay(address_verifier='account:0-100')
    with relay.greeted() as wire:
        equal(wire.submit(b'x\r\n', to=['DAEMON@' + domain, 'postmaster']), (250, ['message processed']))
    message = relay.spool.one()
    equal((message.fields('To-Local'), message.fields('To-Remote')), (['daemon', 'postmaster'], []))
