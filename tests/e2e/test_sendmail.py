"""emailrelay-sendmail: what programs make of it that call a sendmail, and what it stores and answers
(docs/submitting.md)."""
import email
import email.policy
import os
import re
import signal
import socket
import stat
import subprocess

import harness
from harness import bin_dir, equal, fail, find, match, need, until
from test_submit import Granted

program = bin_dir / 'emailrelay-sendmail'
who = {'USER': 'tester', 'LOGNAME': 'tester', 'NAME': 'Joe Tester'}


def mail_name():
    """What is added to addresses without a domain; the rule itself is tested in test_names()."""
    try:
        with open('/etc/mailname') as f:
            return f.readline().strip()
    except OSError:
        name = socket.gethostname()
        return name if '.' in name else socket.getfqdn() if '.' in socket.getfqdn() else name


def send(t, spool, *words, input=b'', status=0, env=None, called_as=program):
    done = t.try_run([called_as, f'-OQueueDirectory={spool.path}', *words], input=input, env=who | (env or {}))
    if done.returncode != status:
        fail(f'{words}: status {done.returncode}, wanted {status}\n{done.stdout}{done.stderr}')
    return done


def stored(t, spool, *words, **how):
    for name in spool.names():
        os.unlink(spool.path / name)
    done = send(t, spool, *words, **how)
    equal(done.stdout + done.stderr, '')
    message = spool.one()
    equal(spool.names(), [f'{message.id}.content', f'{message.id}.envelope'])
    return message


def parts(message):
    """({header: value}, body) of the stored content."""
    parsed = email.message_from_bytes(message.content, policy=email.policy.default)
    return parsed, message.content.split(b'\r\n\r\n', 1)[1]


def test_missing_headers(t):
    spool = t.spool()
    message = stored(t, spool, 'you@y', input=b'Subject: x\n\nhello\n')
    match(message.content.decode(), rf'\AFrom: Joe Tester <tester@{re.escape(mail_name())}>\r\n'
          r'Date: [A-Z][a-z][a-z], \d{1,2} [A-Z][a-z][a-z] \d{4} \d\d:\d\d:\d\d [+-]\d{4}\r\n'
          rf'Message-ID: <\d+\.\d+\.\d+@{re.escape(mail_name())}>\r\nSubject: x\r\n\r\nhello\r\n\Z')
    equal(message.field('From'), f'tester@{mail_name()}')
    equal((message.field('Client'), message.field('Content')), ('127.0.0.1', 'unknown'))
    equal(oct(stat.S_IMODE(os.stat(message.content_path).st_mode)), oct(0o660))
    complete = b'Date: d\nMessage-ID: m\nFrom: f@g\n\nbody\n'
    equal(stored(t, spool, '-f', 'me@x', 'you@y', input=complete).content, complete.replace(b'\n', b'\r\n'))


def test_names(t):
    spool = t.spool()
    for words, env, wanted in [
        (['-f', 'me@x'], {}, 'From: Joe Tester <me@x>'),
        (['-F', 'A. B', '-f', 'me@x'], {}, 'From: "A. B" <me@x>'),
        (['-F', 'Jö', '-r', 'me@x'], {}, 'From: =?UTF-8?B?SsO2?= <me@x>'),
        (['-F', 'a\nBcc: x', '-f', 'me@x'], {}, 'From: me@x'),
        (['-f', 'Q <me@x>'], {'NAME': 'W"\\'}, 'From: "W\\"\\\\" <me@x>'),
        (['-f', 'me'], {'NAME': ''}, f'From: me@{mail_name()}'),
        ([], {'USER': 'a b', 'LOGNAME': 'joe', 'NAME': 'N'}, f'From: N <joe@{mail_name()}>'),
    ]:
        with t.row(f'{words} {env}'):
            equal(stored(t, spool, *words, 'you@y', env=env).content.decode().splitlines()[0], wanted)
    with t.row('/etc/mailname'):
        harness.private_mounts()
        if os.path.exists('/etc/mailname'):
            harness.mount_over(t.file('mailname', 'mail.example.org\n'), '/etc/mailname')
            message = stored(t, spool, 'root')
            equal((message.field('From'), message.field('To-Remote')), ('tester@mail.example.org', 'root@mail.example.org'))


def test_recipients(t):
    spool = t.spool()
    here = mail_name()
    for words, header, wanted in [
        (['a@b', 'Joe <c@d>,e@f'], b'', ['a@b', 'c@d', 'e@f']),
        (['root', 'x@b\xc3\xbccher.example'.encode('latin-1').decode()], b'', [f'root@{here}', 'x@xn--bcher-kva.example']),
        (['-t'], b'To: a@b,\n Q: c@d;\nCc: root\nBcc: e@f\n', ['a@b', 'c@d', f'root@{here}', 'e@f']),
        (['-t', 'w@z'], b'To: a@b\n', ['w@z', 'a@b']),
        (['-t'], b'Resent-To: r@s\nResent-Bcc: h@i\nTo: a@b\n', ['r@s', 'h@i']),
        (['--', '-x@y'], b'To: a@b\n', ['-x@y']),
    ]:
        with t.row(f'{words}'):
            message = stored(t, spool, *words, input=header + b'\nbody\n')
            equal(message.fields('To-Remote'), wanted)
            if b'Bcc' in message.content:
                fail(f'Bcc is still there: {message.content}')


def test_input(t):
    """Where the header ends, and what a dot does."""
    spool = t.spool()
    for words, given, wanted in [
        ([], b'plain text\nmore: of it\n', b'plain text\r\nmore: of it\r\n'),
        ([], b'From joe Sun Nov 22 05:42:58 2026\nA: b\n\nbody\n', b'body\r\n'),
        ([], b'A: b\n\none\n.\ntwo\n', b'one\r\n'),
        (['-i'], b'A: b\n\none\n.\ntwo\n', b'one\r\n.\r\ntwo\r\n'),
        (['-oi'], b'A: b\n\n.\n..\n', b'.\r\n..\r\n'),
        (['-OIgnoreDots=True'], b'A: b\n\n.\n', b'.\r\n'),
        (['-ti'], b'To: a@b\n\n.\nx\n', b'.\r\nx\r\n'),
        ([], b'', b''),
        ([], b'A: b\r\n\r\nx\r\n\xff\0y', b'x\r\n\xff\0y\r\n'),
    ]:
        with t.row(f'{words} {given}'):
            equal(parts(stored(t, spool, *words, 'you@y', input=given))[1], wanted)


def test_options_of_others_are_accepted(t):
    spool = t.spool()
    message = stored(t, spool, '-oem', '-odb', '-om', '-v', '-n', '-U', '-m', '-G', '-h', '3', '-p', 'SMTP:x', '-L', 'tag', '-Ac', '-X', '/dev/null', '-C/etc/x',
                     '-N', 'failure,delay', '-R', 'hdrs', '-V', 'id', '-B8BITMIME', '-d', '-bm', '-O', 'Timeout=3', '-f', '<>', 'you@y')
    equal((message.field('From'), message.field('Content')), ('', '8bit'))
    equal(stored(t, spool, '-B', '7bit', 'you@y').field('Content'), '7bit')


def test_exit_codes(t):
    spool = t.spool()
    for words, status, text in [
        (['-Z'], 64, 'invalid option: -Z'),
        (['-f'], 64, 'option needs a value: -f'),
        ([], 64, 'no recipients: name them, or use -t'),
        (['-bd'], 64, 'mode not supported: -bd'),
        (['-N', 'often', 'a@b'], 64, 'invalid value of -N: often'),
        (['-B', 'x', 'a@b'], 64, 'invalid value of -B: x'),
        (['-t'], 65, 'no recipients in the headers'),
        (['a b c'], 65, 'invalid recipient address: [a b c]'),
        (['-f', 'a b', 'c@d'], 65, 'invalid sender address: [a b]'),
        (['-q'], 69, 'the relay itself sends'),
        (['-oQ/missing/spool', 'a@b'], 78, 'invalid spool directory: /missing/spool: no such file or directory'),
    ]:
        with t.row(f'{words}'):
            match(send(t, spool, *words, status=status).stderr, '^emailrelay-sendmail: ' + re.escape(text))
            spool.check_empty()
    match(send(t, spool, '-t', input=b'To: a b\n\n', status=65).stderr, 'invalid address-list: line 1')
    shell = ['/bin/sh', '-c', f'exec {program} -oQ{spool.path} a@b <&-']
    equal(t.try_run(shell).returncode, 66)
    folder = t.try_run(['/bin/sh', '-c', f'exec {program} -oQ{spool.path} a@b < /'])
    equal(folder.returncode, 66, folder.stderr)
    spool.check_empty()
    if harness.is_root():
        need('setpriv')
        os.chmod(spool.path, 0o700)
        equal(t.try_run([find('setpriv'), '--reuid=65534', '--regid=65534', '--clear-groups', program, f'-oQ{spool.path}', 'a@b'], input=b'').returncode, 77)
        harness.private_mounts()
        harness.mount_tmpfs(spool.path, 'size=100k')
        done = send(t, spool, 'a@b', input=b'x\n' * 100000, status=75)
        match(done.stderr, 'no space left on device')
        spool.check_empty()


def test_signal(t):
    spool = t.spool()
    process = t.start([program, f'-oQ{spool.path}', 'a@b'], stdin=subprocess.PIPE)
    process.process.stdin.write(b'hello\n')
    process.process.stdin.flush()
    until(lambda: spool.names(), 'content begun')
    process.signal(signal.SIGINT)
    equal(process.wait(), -signal.SIGINT)
    spool.check_empty()


def dialogue(t, spool, text, status=0):
    return send(t, spool, '-bs', input=text.replace('\n', '\r\n').encode(), status=status).stdout.splitlines()


def test_smtp_on_the_standard_streams(t):
    spool = t.spool()
    replies = dialogue(t, spool, 'EHLO me\nMAIL FROM:<a@b>\nRCPT TO:<root>\nRCPT TO:<c@d>\nDATA\nSubject: x\n\n..dot\n.\nRSET\nMAIL FROM:<>\nRCPT TO:<e@f>\nDATA\n\nsecond\n.\nQUIT\n')
    equal([r[:3] for r in replies if r[3] == ' '], ['220', '250', '250', '250', '250', '354', '250', '250', '250', '250', '354', '250', '221'])
    first, second = spool.messages()
    equal((first.field('From'), first.fields('To-Remote'), first.body()), ('a@b', [f'root@{mail_name()}', 'c@d'], b'Subject: x\r\n\r\n.dot\r\n'))
    equal((second.field('From'), second.body()), ('', b'\r\nsecond\r\n'))
    for name in spool.names():
        os.unlink(spool.path / name)
    for rest in ('', 'half a message\n', '.x\n'):
        dialogue(t, spool, 'EHLO me\nMAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA\n' + rest)
        spool.check_empty()


def test_smtp_disk_full(t):
    harness.private_mounts()
    spool = t.spool()
    harness.mount_tmpfs(spool.path, 'size=100k')
    replies = dialogue(t, spool, 'EHLO me\nMAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA\n' + 'x' * 200 + '\n' + 'y\n' * 100000 + '.\nMAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA\nsmall\n.\nQUIT\n')
    equal([r[:3] for r in replies if r[3] == ' '], ['220', '250', '250', '250', '354', '452', '250', '250', '354', '250', '221'])
    equal(spool.one().body(), b'small\r\n')


def test_swaks_through_a_pipe(t):
    need('swaks')
    spool = t.spool()
    t.run([find('swaks'), '--pipe', f'{program} -bs -oQ{spool.path}', '--from', 'a@b', '--to', 'c@d', '--helo', 'me', '--header', 'Subject: piped', '--body', 'text'])
    match(spool.one().content.decode(), r'Subject: piped\r\n')
    equal((spool.one().field('From'), spool.one().fields('To-Remote')), ('a@b', ['c@d']))


def test_mailq(t):
    spool = t.spool()
    os.symlink(program, t.dir / 'mailq')
    os.symlink(program, t.dir / 'newaliases')
    queue = t.dir / 'mailq'
    equal(send(t, spool, called_as=queue).stdout, 'Mail queue is empty\n')
    spool.add('emailrelay.1.1700000000.1', b'x' * 2000, sender='', to=['a@b', 'c@d'])
    spool.add('emailrelay.1.1600000000.1', state='busy')
    spool.add('emailrelay.1.1800000000.1', state='bad', sender='evil\x1b[2J@x', more='X-MailRelay-Reason: no such user\r\nX-MailRelay-ReasonCode: 550\r\n')
    spool.write('odd.envelope', b'rubbish')
    before = {name: (spool.path / name).read_bytes() for name in spool.names()}
    for text in (send(t, spool, called_as=queue).stdout, send(t, spool, '-bp').stdout):
        lines = [' '.join(line.split()) for line in text.splitlines()]
        match(lines[0], '-Queue ID-')
        match(lines[1], r'^emailrelay\.1\.1600000000\.1\* 21 Sun Sep 13 \d\d:\d\d:40 me@example\.com$')
        match(lines[4], r'^emailrelay\.1\.1700000000\.1 2000 Tue Nov 14 \d\d:\d\d:20 <>$')
        equal(lines[5:8], ['a@b', 'c@d', ''])
        match(lines[8], r'^emailrelay\.1\.1800000000\.1! 21 Fri Jan 15 \d\d:\d\d:00 evil\\x1[bB]\[2J@x$')
        equal(lines[9:11], ['(no such user)', 'you@example.net'])
        match(lines[12], r'^odd 0')
        equal(lines[13], '(envelope cannot be read)')
        equal(lines[-1], '-- 2 Kbytes in 4 Requests.')
    equal(before, {name: (spool.path / name).read_bytes() for name in spool.names()})
    equal(send(t, spool, called_as=t.dir / 'newaliases').stdout, '')
    equal(send(t, spool, '-bi').stdout + send(t, spool, '-I').stdout, '')


def test_relayed(t):
    """Stored while no relay runs, sent on byte for byte by one that polls."""
    spool = t.spool()
    body = b'From: me@example.com\nDate: d\nMessage-ID: m\nSubject: x\n\n.\n\xff 8 bit\nlast'
    send(t, spool, '-i', '-f', 'me@example.com', 'you@example.net', input=body)
    hop = t.next_hop()
    t.relay('--poll=1', forward_to=hop.address, spool=spool)
    message = hop.wait_messages(1)[0]
    equal(message.body, body.replace(b'\n', b'\r\n') + b'\r\n')
    equal((message.mail.split(' BODY')[0], message.recipients), ('MAIL FROM:<me@example.com>', ['RCPT TO:<you@example.net>']))
    spool.wait_empty()


def test_set_gid(t):
    installed = Granted(t, 'emailrelay-sendmail')
    words = [installed.program, f'-oQ{installed.spool.path}']
    done = t.try_run(installed.words(*words, 'you@y'), input=b'hello\n', env=who)
    equal((done.returncode, done.stderr), (0, ''))
    info = os.stat(installed.spool.one().content_path)
    equal((info.st_uid, info.st_gid, oct(stat.S_IMODE(info.st_mode))), (installed.user.pw_uid, installed.group.gr_gid, oct(0o660)))
    match(t.try_run(installed.words(*words, '-bp')).stdout, r'tester@')
    other = t.folder('other')
    os.chown(other, installed.group.gr_gid, 0)
    os.chmod(other, 0o700)
    equal(t.try_run(installed.words(installed.program, f'-oQ{other}', 'you@y'), input=b'').returncode, 77)


# ---------------------------------------------------------------- real callers

def wrapper(t, spool):
    """A sendmail as others call it, which stores here."""
    path = t.file('sendmail', f'#!/bin/sh\nexec {program} -oQ{spool.path} "$@"\n')
    os.chmod(path, 0o755)
    return path


def test_cron_like(t):
    """As cron does: -i -FCronDaemon -B8BITMIME -oem, the recipient alone."""
    spool = t.spool()
    message = stored(t, spool, '-i', '-FCronDaemon', '-B8BITMIME', '-oem', 'root',
                     input='From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@host> éà\nContent-Type: text/plain; charset=UTF-8\n\nout\n'.encode())
    equal((message.field('Content'), message.fields('To-Remote')), ('8bit', [f'root@{mail_name()}']))
    match(message.content.decode(), r'\ADate: .*\r\nMessage-ID: .*\r\nFrom: root \(Cron Daemon\)\r\n')


def test_python(t):
    spool = t.spool()
    script = t.file('script.py', f'''
import email.message, subprocess
m = email.message.EmailMessage()
m['To'] = 'Jö <you@example.net>'; m['Bcc'] = 'hidden@example.net'; m['Subject'] = 'ümlaut'
m.set_content('text\\n.\\nmore\\n')
subprocess.run([{str(wrapper(t, spool))!r}, '-t', '-oi', '-f', 'me@example.com'], input=m.as_bytes(), check=True)
''')
    t.run([find('python3'), script])
    message = spool.one()
    equal((message.field('From'), message.fields('To-Remote')), ('me@example.com', ['you@example.net', 'hidden@example.net']))
    parsed, body = parts(message)
    equal((parsed['Subject'], parsed['Bcc'], body), ('ümlaut', None, b'text\r\n.\r\nmore\r\n'))


def test_git_send_email(t):
    need('git')
    if not os.path.exists('/usr/lib/git-core/git-send-email'):
        raise harness.Skip('git-email is not installed')
    spool = t.spool()
    folder = t.folder('repository')
    env = {'HOME': str(t.dir), 'GIT_CONFIG_NOSYSTEM': '1'}

    def git(*words):
        return t.run([find('git'), '-c', 'user.name=Joe', '-c', 'user.email=joe@example.com', *words], cwd=folder, env=env)

    git('init', '-q')
    (folder / 'file').write_text('.\nline\n')
    git('add', 'file')
    git('commit', '-q', '-m', 'subject: ü\n\nbody')
    git('send-email', '--confirm=never', '--quiet', '--envelope-sender=auto', '--to=you@example.net', '--cc=cc@example.net', f'--smtp-server={wrapper(t, spool)}', '-1')
    message = spool.one()
    equal((message.field('From'), sorted(message.fields('To-Remote'))), ('joe@example.com', ['cc@example.net', 'joe@example.com', 'you@example.net']))
    match(message.content.decode(), r'\r\n\+\.\r\n\+line\r\n')


def test_s_nail(t):
    mailx = find('s-nail')
    spool = t.spool()
    t.run([mailx, '-n', '-s', 'from s-nail', '-c', 'cc@example.net', '-b', 'bcc@example.net', '-r', 'me@example.com', '-S', f'sendmail={wrapper(t, spool)}', '-S',
           f'mta={wrapper(t, spool)}', 'you@example.net'], input=b'text\n.\nmore\n', env={'HOME': str(t.dir), 'MAILRC': '/dev/null'})
    message = spool.one()
    equal((message.field('From'), sorted(message.fields('To-Remote'))), ('me@example.com', ['bcc@example.net', 'cc@example.net', 'you@example.net']))
    match(message.content.decode(), r'Subject: from s-nail\r\n')
    match(message.content.decode(), r'\r\n\r\ntext\r\n\.\r\nmore\r\n\Z')


def test_bsd_mailx(t):
    mailx = find('bsd-mailx')
    spool = t.spool()
    t.run([mailx, '-n', '-s', 'from mailx', 'you@example.net'], input=b'text\n', env={'HOME': str(t.dir), 'MAILRC': t.file('rc', f'set sendmail={wrapper(t, spool)}\n')})
    until(spool.messages, 'message')
    match(spool.one().content.decode(), r'Subject: from mailx\r\n')
    equal(spool.one().fields('To-Remote'), ['you@example.net'])


def test_mutt(t):
    mutt = find('mutt')
    spool = t.spool()
    rc = t.file('muttrc', f'set sendmail="{wrapper(t, spool)} -oem -oi"\nset from=me@example.com\nset use_envelope_from=yes\nset record=""\nset sendmail_wait=30\n')
    t.run([mutt, '-n', '-F', rc, '-s', 'from mutt', '-b', 'bcc@example.net', 'you@example.net'], input=b'text\n.\nmore\n', env={'HOME': str(t.dir)})
    message = spool.one()
    equal((message.field('From'), sorted(message.fields('To-Remote'))), ('me@example.com', ['bcc@example.net', 'you@example.net']))
    match(message.content.decode(), r'\r\n\r\ntext\r\n\.\r\nmore\r\n\Z')
