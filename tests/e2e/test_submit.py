"""emailrelay-submit: what it stores, prints and refuses, and that nobody can abuse it when it is set-gid
(spec/utilities.md section 1)."""
import base64
import grp
import os
import pty
import pwd
import re
import shutil
import signal
import stat
import subprocess

import harness
from harness import bin_dir, equal, fail, find, match, need, until

program = bin_dir / 'emailrelay-submit'


def submit(t, spool, *words, input=b'', status=0, **how):
    done = t.try_run([program, f'--spool-dir={spool.path}', *words], input=input, **how)
    if done.returncode != status:
        fail(f'{words}: status {done.returncode}, wanted {status}\n{done.stdout}{done.stderr}')
    return done


def stored(t, spool, *words, input=b''):
    """Submits one message and takes it out of the spool again: (content, envelope fields)."""
    for name in spool.names():
        os.unlink(spool.path / name)
    done = submit(t, spool, *words, input=input)
    equal(done.stdout + done.stderr, '')
    message = spool.one()
    equal(spool.names(), [f'{message.id}.content', f'{message.id}.envelope'])
    return message.content, message


def test_forwarded_byte_for_byte(t):
    """A running relay that polls finds what was submitted."""
    hop = t.next_hop()
    relay = t.relay('--poll=1', forward_to=hop.address)
    body = b'From: me@example.com\nTo: you@example.net\nSubject: x\n folded\n\n.\n..dots\n\xff\x00 8 bit\nlast line'
    submit(t, relay.spool, input=body)
    message = hop.wait_messages(1)[0]
    equal(message.body, body.replace(b'\n', b'\r\n') + b'\r\n')
    match(message.mail, r'MAIL FROM:<me@example\.com>')
    equal(message.recipients, ['RCPT TO:<you@example.net>'])
    relay.spool.wait_empty()


def test_envelope(t):
    spool = t.spool()
    _, message = stored(t, spool, '--from=me@x', '--auth=jo e', '--from-auth-in=a=b', '--from-auth-out=', '--to=t@y', 'w@z', r'\-odd',
                        input=b'S: x\n\nb\n')
    equal(message.envelope, b'X-MailRelay-Format: #2821.8\r\nX-MailRelay-Content: unknown\r\nX-MailRelay-From: me@x\r\n'
          b'X-MailRelay-ToCount: 3\r\nX-MailRelay-To-Remote: w@z\r\nX-MailRelay-To-Remote: -odd\r\nX-MailRelay-To-Remote: t@y\r\n'
          b'X-MailRelay-Authentication: jo+20e\r\nX-MailRelay-Client: 127.0.0.1\r\nX-MailRelay-ClientCertificate: \r\n'
          b'X-MailRelay-MailFromAuthIn: a+3Db\r\nX-MailRelay-MailFromAuthOut: <>\r\nX-MailRelay-ForwardTo: \r\n'
          b'X-MailRelay-ForwardToAddress: \r\nX-MailRelay-ClientAccountSelector: \r\nX-MailRelay-Utf8MailboxNames: 0\r\n'
          b'X-MailRelay-End: 1\r\n')
    match(message.id, rf'^emailrelay\.\d+\.\d{{10,}}\.1$')
    equal(oct(stat.S_IMODE(os.stat(message.content_path).st_mode)), oct(0o660))
    equal(oct(stat.S_IMODE(os.stat(message.envelope_path).st_mode)), oct(0o660))


def test_addresses(t):
    spool = t.spool()
    rows = {
        'To: A: a@b, "Q, R" <c@d>;\r\nCc: (x) e@f,\r\n\tg@bücher.example\nBcc: jö@x\nFrom: <me@y>\n': ('me@y', ['a@b', 'c@d', 'e@f', 'g@xn--bcher-kva.example', 'jö@x'], '1'),
        'From: a@b, c@d\nSender: s@t\n': ('s@t', [], '0'),
        'From: a@b, c@d\nTo: x@y\n': ('a@b', ['x@y'], '0'),
        'To: x@y\n': ('anonymous', ['x@y'], '0'),
        '': ('anonymous', [], '0'),
    }
    for header, (sender, to, utf8) in rows.items():
        with t.row(header):
            content, message = stored(t, spool, input=header.encode() + b'\nbody\n')
            equal((message.field('From'), message.fields('To-Remote'), message.field('Utf8MailboxNames')), (sender, to, utf8))
            equal(message.field('ToCount'), str(len(to)))
            equal(content, re.sub(rb'\r?\n', b'\r\n', header.encode()) + b'\r\nbody\r\n')
    with t.row('addresses given as arguments'):
        _, message = stored(t, spool, '-f', 'jö@x', 'a b@bücher.example', '--', '--version')
        equal((message.field('From'), message.fields('To-Remote')), ('jö@x', ['a b@bücher.example', '--', '--version']))


def b64(text):
    return base64.b64encode(text.encode()).decode()


def test_input(t):
    """Every way of giving content."""
    spool = t.spool()
    file = t.file('input', 'S: file\n\nfrom a file\n')
    to = ['--from=me@x', 'you@y']
    rows = [
        ([*to], b'S: x\r\n\r\nbody\n.\nafter', b'S: x\r\n\r\nbody\r\n.\r\nafter\r\n'),
        ([*to], b'no blank line', b'no blank line\r\n\r\n'),
        ([*to], b'', b'\r\n'),
        (['-B', *to], b'S: x\n\ntext', b'\r\nS: x\r\n\r\ntext\r\n'),
        (['-x', file, *to], b'not this', b'S: file\r\n\r\nfrom a file\r\n'),
        (['--no-stdin', *to], b'not this', b'\r\n'),
        (['-N', '-C', b64('A: 1'), '-C', '=', '-C', b64('body'), *to], b'not this', b'A: 1\r\n\r\nbody\r\n'),
        (['-C', b64('A: 1'), *to], b'B: 2\n\nbody', b'A: 1\r\nB: 2\r\n\r\nbody\r\n'),
        (['-C', b64('A: 1'), '--content=', '-C', b64('first'), *to], b'B: 2\n\nbody', b'A: 1\r\nB: 2\r\n\r\nfirst\r\nbody\r\n'),
        (['-B', '-C', b64('A: 1'), *to], b'B: 2\n\nbody', b'A: 1\r\n\r\nB: 2\r\n\r\nbody\r\n'),
        (['-B', '-F', '-t', '-C', b64('From: q'), *to], b'text', b'To: you@y\r\nFrom: me@x\r\n\r\ntext\r\n'),
    ]
    for words, given, wanted in rows:
        with t.row(f'{words}'):
            equal(stored(t, spool, *words, input=given)[0], wanted)


def test_generated_headers(t):
    spool = t.spool()
    content, _ = stored(t, spool, '-f', 'me@x', '-d', '-I', '-F', '-t', 'a@b', 'c@d',
                        input=b'Subject: 1\nFrom: q\n r\nX: 2\nCc: z\nY: 3\nTo: a\nSender: s\nBcc: t\n  u\nZ: 4\n\nbody\n')
    match(content.decode(), r'\ATo: a@b,c@d\r\nFrom: me@x\r\nMessage-ID: <\d{10,}\.\d{1,6}\.\d+@local>\r\n'
          r'Date: \d{1,2} [A-Z][a-z][a-z] \d{4} \d\d:\d\d:\d\d [+-]\d{4}\r\nSubject: 1\r\nX: 2\r\nY: 3\r\nZ: 4\r\n\r\nbody\r\n\Z')
    for words in (['--content-message-id'], ['--content-message-id=local'], ['-I']):
        match(stored(t, spool, *words, 'a@b')[0].decode(), r'@local>\r\n')
    match(stored(t, spool, '--content-message-id=dom.example', 'a@b')[0].decode(), r'@dom\.example>\r\n')
    equal(stored(t, spool, '-dI', 'a@b', input=b'DATE: x\nmessage-Id: y\n\n')[0], b'DATE: x\r\nmessage-Id: y\r\n\r\n')
    equal(stored(t, spool, '-F', 'a@b', input=b'S: x\n\n')[0], b'From: anonymous:;\r\nS: x\r\n\r\n')


def test_bcc_split(t):
    spool = t.spool()
    message = b'To: a@b\nBcc: c@d, e@f\nSubject: x\n\n' + b'body\n' * 50000
    done = submit(t, spool, '-f', 'me@x', '-b', '-n', input=message)
    messages = [harness.Message(spool, name.removesuffix('.content'), '') for name in done.stdout.split()]
    equal([m.id for m in messages], sorted(m.id for m in spool.messages()))
    equal([m.fields('To-Remote') for m in messages], [['a@b'], ['c@d'], ['e@f']])
    body = b'\r\n' + b'body\r\n' * 50000
    equal([m.content == head + body for m, head in zip(messages, (b'To: a@b\r\nSubject: x\r\n', b'To: a@b\r\nbcc: c@d\r\nSubject: x\r\n',
                                                                 b'To: a@b\r\nbcc: e@f\r\nSubject: x\r\n'))], [True] * 3)
    equal(len(spool.names()), 6)
    content, one = stored(t, spool, '-f', 'me@x', '-b', input=b'To: a@b\nBcc: c@d\n\n')
    equal((content, one.fields('To-Remote')), (b'To: a@b\r\nBcc: c@d\r\n\r\n', ['a@b', 'c@d']))


def test_copy(t):
    spool = t.spool()
    for name in ('alice', '.hidden', 'postmaster'):
        os.mkdir(spool.path / name)
    name = submit(t, spool, '-c', '-n', '-f', 'me@x', 'you@y', input=b'S: x\n\nbody\n').stdout.strip()
    equal(spool.names(), sorted(['alice', 'postmaster', name]))
    equal((spool.path / name).read_bytes(), b'S: x\r\n\r\nbody\r\n')
    for folder in ('alice', '.hidden', 'postmaster'):
        copies = harness.Spool(spool.path / folder)
        equal(copies.names(), [name.replace('.content', '.envelope')])
        equal(copies.messages()[0].fields('To-Remote'), ['you@y'])
    empty = t.spool('empty')
    done = submit(t, empty, '--copy', 'you@y', status=1)
    equal(done.stderr, 'emailrelay-submit: no sub-directories to copy into: check permissions\n')
    empty.check_empty()


def test_output(t):
    spool = t.spool()
    match(submit(t, spool, '-n', 'a@b').stdout, r'^emailrelay\.\d+\.\d+\.1\.content\n$')
    match(submit(t, spool, '-n', '-v', 'a@b').stdout, rf'^{re.escape(str(spool.path))}/emailrelay\.\d+\.\d+\.1\.content\n$')
    match(t.try_run([program, '-v', '-s', 'spool/', 'a@b'], input=b'').stdout, r'^spool/emailrelay\.\d+\.\d+\.1\.content\n$')
    match(submit(t, spool, '--version').stdout, r'^\d+\.\d+\.\d+\n$')
    match(submit(t, spool, '--help').stdout, r'usage: emailrelay-submit')
    match(submit(t, spool, '--help', '--verbose', '--foo').stdout, r'--content-message-id')


def test_errors(t):
    spool = t.spool()
    for words, given, wanted in [
        (['--foo', '-zq'], b'', 'error: invalid option: "--foo"\nemailrelay-submit: error: invalid option: "-q"\nemailrelay-submit: error: invalid option: "-z"'),
        (['--from'], b'', 'error: no value supplied for "--from"'),
        (['-x', 'missing', 'a@b'], b'', 'cannot open input file [missing]'),
        (['-x', '.', 'a@b'], b'', 'cannot open input file [.]'),
        (['--content=*', '--content=***', 'a@b'], b'', 'base64 encoding error'),
        ([''], b'', 'invalid recipient address: []'),
        (['a@b', 'x\nX-MailRelay-To-Remote: y'], b'', r'invalid recipient address: [x\nX-MailRelay-To-Remote: y]'),
        (['-f', 'x\r', 'a@b'], b'', r'invalid sender address: [x\r]'),
        ([], b'X: y\nTo: a@b,\n c d\n\n', 'rfc-5322/6532 parsing error: invalid address-list: line 3'),
        (['a@b'], b'From: <\n\n', 'rfc-5322/6532 parsing error: invalid address-list: line 1'),
        (['-t', '-f', 'x'], b'To: x:;\n\n', 'content-to option used but no envelope-to addresses have been defined'),
        (['-s', 'missing', '-s', 'missing'], b'', None),
    ]:
        with t.row(f'{words}'):
            done = submit(t, spool, *words, input=given, status=1)
            if wanted:
                equal((done.stdout, done.stderr), ('', f'emailrelay-submit: {wanted}\n'))
            spool.check_empty()
    done = t.try_run([program, '-s', 'missing', 'a@b'], input=b'')
    equal((done.returncode, done.stderr), (1, 'emailrelay-submit: invalid spool directory: missing: no such file or directory\n'))
    done = t.try_run([program, '-s', t.file('plain', ''), 'a@b'], input=b'')
    equal((done.returncode, done.stderr), (1, f'emailrelay-submit: invalid spool directory: {t.dir}/plain: not a directory\n'))


def test_a_terminal_ends_at_the_dot(t):
    spool = t.spool()
    ours, theirs = pty.openpty()
    process = t.start([program, '-s', spool.path, '-f', 'me@x', 'you@y'], stdin=theirs)
    os.close(theirs)
    os.write(ours, b'Subject: x\n\nhello\n..\n.\n')
    equal(process.wait(), 0)
    equal(spool.one().content, b'Subject: x\r\n\r\nhello\r\n..\r\n')
    os.close(ours)


def test_signals_leave_nothing(t):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM, signal.SIGUSR1):
        with t.row(number.name):
            spool = t.spool(number.name)
            process = t.start([program, '-s', spool.path, 'you@y'], stdin=subprocess.PIPE)
            process.process.stdin.write(b'S: x\n\nbody\n')
            process.process.stdin.flush()
            until(lambda: spool.names(), 'content begun')
            process.signal(number)
            equal(process.wait(), -number)
            spool.check_empty()


def test_disk_full(t):
    harness.private_mounts()
    spool = t.spool()
    harness.mount_tmpfs(spool.path, 'size=200k')
    done = submit(t, spool, 'you@y', input=b'S: x\n\n' + b'0123456789\n' * 40000, status=1)
    match(done.stderr, r'^emailrelay-submit: write emailrelay\.\d+\.\d+\.1\.content: no space left on device\n$')
    spool.check_empty()
    submit(t, spool, 'you@y', input=b'S: x\n\nsmall\n')
    equal(len(spool.names()), 2)


def test_flushed_before_it_is_done(t):
    need('strace')
    spool = t.spool()
    trace = t.dir / 'trace'
    t.run([find('strace'), '-y', '-o', trace, '-e', 'trace=fsync,rename,renameat,renameat2,exit_group', program, '-s', spool.path, 'you@y'], input=b'S: x\n\nbody\n')
    calls = [re.sub(r'emailrelay\.\d+\.\d+\.1', 'ID', line) for line in trace.read_text().splitlines() if not line.startswith(('---', '+++'))]
    wanted = [r'^fsync\(\d+<.*/ID\.content>\) += 0', r'^fsync\(\d+<.*/ID\.envelope\.new>\) += 0', rf'^fsync\(\d+<{re.escape(str(spool.path))}>\) += 0',
              r'^renameat2\(.*"ID\.envelope\.new".*"ID\.envelope"', rf'^fsync\(\d+<{re.escape(str(spool.path))}>\) += 0', r'^exit_group\(0\)']
    equal(len(calls), len(wanted), f'{calls}')
    for line, pattern in zip(calls, wanted):
        match(line, pattern)


@harness.limit(120)
def test_many_at_once(t):
    spool = t.spool()
    processes = [t.start([program, '-s', spool.path, '-N', '-C', b64(f'N: {i}'), '-f', 'me@x', f'{i}@y']) for i in range(40)]
    for process in processes:
        equal((process.wait(), process.output), (0, ''))
    equal(sorted((m.fields('To-Remote')[0], m.content.decode()) for m in spool.messages()),
          sorted((f'{i}@y', f'N: {i}\r\n\r\n') for i in range(40)))


# ---------------------------------------------------------------- set-gid

class Granted:
    """The program as it is installed, and a user who has no other way into the spool."""

    def __init__(self, t, name='emailrelay-submit', group='daemon'):
        harness.need_root('set-gid installation')
        need('setpriv')
        self.t = t
        self.user, self.group = pwd.getpwnam('nobody'), grp.getgrnam(group)
        self.program = t.dir / name
        shutil.copy(bin_dir / name, self.program)
        os.chown(self.program, 0, self.group.gr_gid)
        os.chmod(self.program, 0o2755)
        self.spool = t.spool()
        os.chown(self.spool.path, 0, self.group.gr_gid)
        os.chmod(self.spool.path, 0o2770)
        if os.statvfs(t.dir).f_flag & os.ST_NOSUID:
            raise harness.Skip('set-gid programs do not work here')

    def words(self, *words):
        return [find('setpriv'), f'--reuid={self.user.pw_uid}', f'--regid={self.user.pw_gid}', '--clear-groups', *words]

    def run(self, *words, spool=None, input=b'S: x\n\nbody\n', prefix=(), status=0, **how):
        done = self.t.try_run(self.words(*prefix, self.program, '-s', spool or self.spool.path, *words), input=input, **how)
        equal(done.returncode, status, f'{words}: {done.stderr}')
        return done


def test_set_gid(t):
    installed = Granted(t)
    done = installed.run('-n', 'you@y', prefix=['/bin/sh', '-c', 'umask 0; exec "$@"', 'sh'])
    message = installed.spool.one()
    equal(done.stdout, message.id + '.content\n')
    for path in (message.content_path, message.envelope_path):
        info = os.stat(path)
        equal((info.st_uid, info.st_gid, oct(stat.S_IMODE(info.st_mode))), (installed.user.pw_uid, installed.group.gr_gid, oct(0o660)), path.name)
    without = t.try_run(installed.words(program, '-s', installed.spool.path, 'you@y'), input=b'')
    match(without.stderr, r'invalid spool directory: .*: permission denied')


def test_set_gid_reads_files_as_the_caller(t):
    installed = Granted(t)
    secret = t.file('secret', 'password\n')
    os.chown(secret, 0, installed.group.gr_gid)
    os.chmod(secret, 0o640)
    done = installed.run('-x', secret, 'you@y', status=1)
    equal(done.stderr, f'emailrelay-submit: cannot open input file [{secret}]\n')
    installed.spool.check_empty()
    own = t.file('own', 'S: mine\n\n')
    installed.run('-x', own, 'you@y')
    equal(installed.spool.one().content, b'S: mine\r\n\r\n')


def test_set_gid_is_for_the_spool_only(t):
    """Directories of other groups are used with the caller's own rights, also where the granted group could write."""
    installed = Granted(t)
    other = t.folder('other')
    os.chown(other, installed.group.gr_gid, 0)
    os.chmod(other, 0o700)
    match(installed.run('you@y', spool=other, status=1).stderr, r'invalid spool directory: .*: permission denied')
    mine = t.folder('mine')
    os.chown(mine, installed.user.pw_uid, installed.user.pw_gid)
    installed.run('you@y', spool=mine)
    for message in harness.Spool(mine).messages():
        equal(os.stat(message.content_path).st_gid, installed.user.pw_gid)
    public = t.folder('public', mode=0o1777)
    installed.run('you@y', spool=public)
    for message in harness.Spool(public).messages():
        equal(os.stat(message.content_path).st_gid, installed.user.pw_gid)


def test_set_gid_with_a_hostile_environment(t):
    installed = Granted(t)
    with t.row('closed descriptors'):
        installed.run('-f', 'bad\nsender', 'you@y', prefix=['/bin/sh', '-c', 'exec "$@" <&- >&- 2>&-', 'sh'], status=1)
        installed.spool.check_empty()
        installed.run('you@y', prefix=['/bin/sh', '-c', 'exec "$@" <&- >&- 2>&-', 'sh'], status=1)
        installed.spool.check_empty()
        installed.run('-N', '-v', 'you@y', prefix=['/bin/sh', '-c', 'exec "$@" <&- >&- 2>&-', 'sh'])
        equal(installed.spool.one().content, b'\r\n')
    for name in installed.spool.names():
        os.unlink(installed.spool.path / name)
    with t.row('limit on the size of files'):
        need('prlimit')
        done = installed.run('you@y', prefix=[find('prlimit'), '--fsize=5000'], input=b'S: x\n\n' + b'x\n' * 20000, status=1)
        match(done.stderr, r'file too large')
        installed.spool.check_empty()
    with t.row('limit on descriptors'):
        installed.run('you@y', prefix=[find('prlimit'), '--nofile=4'], status=1)
        installed.spool.check_empty()
    with t.row('blocked signals'):
        process = t.start(installed.words(find('python3'), '-c', 'import signal, os, sys; signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32)); '
                                          'signal.alarm(1000); os.execv(sys.argv[1], sys.argv[1:])', installed.program, '-s', installed.spool.path, 'you@y'),
                          stdin=subprocess.PIPE)
        process.process.stdin.write(b'S: x\n\nbody\n')
        process.process.stdin.flush()
        until(lambda: installed.spool.names(), 'content begun')
        process.signal(signal.SIGTERM)
        equal(process.wait(), -signal.SIGTERM)
        installed.spool.check_empty()
    with t.row('variables'):
        done = installed.run('-h', env={'COLUMNS': '9' * 5000, 'TZ': '/etc/shadow', 'LC_ALL': '../../x'})
        match(done.stdout, 'usage')
        installed.run('-d', '-v', 'you@y', env={'TZ': ':/proc/self/mem'})
        match(installed.spool.one().content.decode(), r'\ADate: ')


def test_root_gives_its_messages_the_group_of_the_spool(t):
    harness.need_root('groups')
    spool = t.spool()
    os.chown(spool.path, 0, grp.getgrnam('daemon').gr_gid)
    os.chmod(spool.path, 0o770)
    submit(t, spool, 'you@y')
    for path in (spool.one().content_path, spool.one().envelope_path):
        equal((os.stat(path).st_uid, os.stat(path).st_gid), (0, grp.getgrnam('daemon').gr_gid))
