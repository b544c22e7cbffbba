"""The scripts beside the relay: each run as the relay or its administrator would run it, on messages in a spool
(spec/utilities.md sections 4 to 6)."""
import os
import re
import shutil
import stat
import subprocess

import harness
from harness import bin_dir, equal, find, match, need

examples = harness.here.parent.parent / 'examples'
# What the relay gives to filters.
environment = ['/usr/bin/env', '-i', 'PATH=/usr/bin:/bin', 'PYTHONDONTWRITEBYTECODE=1']


def filtered(t, script, message, status=0, more=()):
    """Runs a filter on a message that is being received; its output."""
    done = t.try_run([*environment, *more, script, message.content_path, message.envelope_path])
    equal((done.returncode, done.stderr), (status, ''), os.path.basename(script))
    return done.stdout


def edited(t, script, spool, **message):
    for name in spool.names():
        os.unlink(spool.path / name)
    made = spool.add('emailrelay.1.1700000000.1', state='new', **message)
    before = stat.S_IMODE(os.stat(made.content_path).st_mode)
    filtered(t, script, made)
    equal(spool.names(), ['emailrelay.1.1700000000.1.content', 'emailrelay.1.1700000000.1.envelope.new'])
    equal(stat.S_IMODE(os.stat(made.content_path).st_mode), before)
    return made


def changed(t, name, old, new):
    """A copy of an example with a setting edited."""
    folder = t.folder('examples')
    shutil.copy(examples / 'emailrelay_message.py', folder)
    text = (examples / name).read_text()
    if old not in text:
        harness.fail(f'{name} has no line {old!r}')
    path = folder / name
    path.write_text(text.replace(old, new))
    os.chmod(path, 0o755)
    return path


# ---------------------------------------------------------------- programs

def test_filter_copy(t):
    program = bin_dir / 'emailrelay-filter-copy'
    spool = t.spool()
    message = spool.add('emailrelay.1.1700000000.1', state='new')
    equal(filtered(t, program, message, status=1), '<<filter failed>>\n<<no sub-directories to copy into: check permissions>>\n')
    folders = [harness.Spool(t.folder(f'spool/{name}')) for name in ('alice', '.hidden', 'postmaster')]
    envelope = message.envelope
    equal(filtered(t, program, message, status=100), '')
    equal(spool.names(), ['alice', 'emailrelay.1.1700000000.1.content', 'postmaster'])
    for folder in folders:
        equal(folder.names(), ['emailrelay.1.1700000000.1.envelope'])
        equal(folder.one().envelope, envelope)
    with t.row('some cannot be copied into'):
        message = spool.add('emailrelay.1.1700000000.2', state='new')
        (folders[0].path / 'emailrelay.1.1700000000.2.envelope').mkdir()
        filtered(t, program, message, status=0)
        equal(len(spool.messages('new')), 1)
        os.unlink(message.envelope_path)
    with t.row('a whole directory'):
        spool.add('emailrelay.1.1700000000.3')
        spool.add('emailrelay.1.1700000000.4')
        match(t.run([program, '-v', '-d', spool.path]), r'emailrelay\.1\.1700000000\.[34]\.envelope: copied into 3 sub-directories\n')
        equal((spool.messages(), len(folders[1].messages())), ([], 4))
    with t.row('usage'):
        equal(t.try_run([program, '--help']).returncode, 1)
        equal(t.try_run([program]).returncode, 1)
        equal(t.try_run([program, 'x.envelope']).stdout, '<<filter failed>>\n<<not a content file: x.envelope>>\n')
        match(t.try_run([program, '/missing/x.content']).stdout, 'invalid spool directory')


def test_resubmit(t):
    program = bin_dir / 'emailrelay-resubmit'
    spool = t.spool()
    reason = 'X-MailRelay-Reason: no\r\nX-MailRelay-ReasonCode: 550\r\n'
    for n in range(7):
        spool.add(f'emailrelay.1.1700000000.{n + 1}', state='bad', more=reason * n)
    spool.add('foreign', state='bad')
    spool.add('emailrelay.1.1700000000.9')
    t.run([program, spool.path])
    equal([m.id[-1] for m in spool.messages()], ['1', '2', '3', '4', '5', '9'])
    equal([m.id for m in spool.messages('bad')], ['emailrelay.1.1700000000.6', 'emailrelay.1.1700000000.7', 'foreign'])
    equal(spool.messages()[2].envelope.count(b'X-MailRelay-Reason:'), 2)
    t.run([program, t.spool('empty').path])
    done = t.try_run([program, '/missing'])
    equal((done.returncode, done.stderr), (1, 'emailrelay-resubmit: invalid spool directory: /missing\n'))
    match(t.run([program, '--version']), r'^\d+\.\d+\.\d+\n$')


def test_resubmit_names_what_it_cannot_read(t):
    """The others are renamed all the same."""
    program = shutil.copy(bin_dir / 'emailrelay-resubmit', t.dir)
    spool = t.spool()
    for n in range(3):
        spool.add(f'emailrelay.1.1700000000.{n + 1}', state='bad')
    unreadable = spool.path / 'emailrelay.1.1700000000.2.envelope.bad'
    unreadable.chmod(0)
    words = [program, spool.path]
    if harness.is_root():
        need('setpriv')
        spool.path.chmod(0o777)
        for n in (1, 3):
            (spool.path / f'emailrelay.1.1700000000.{n}.envelope.bad').chmod(0o666)
        words = [find('setpriv'), '--reuid=65534', '--regid=65534', '--clear-groups', *words]
    done = t.try_run(words)
    equal((done.returncode, done.stderr), (1, f'emailrelay-resubmit: cannot read: {unreadable}\n'))
    equal([m.id[-1] for m in spool.messages()], ['1', '3'])
    equal([m.id[-1] for m in spool.messages('bad')], ['2'])


# ---------------------------------------------------------------- sh

def test_notify(t):
    spool = t.spool()
    outgoing = t.spool('outgoing')
    sendmail = t.file('sendmail', f'#!/bin/sh\nexec {bin_dir}/emailrelay-sendmail -oQ{outgoing.path} "$@"\n')
    os.chmod(sendmail, 0o755)
    spool.add('emailrelay.1.1700000000.1', b'Subject: original\r\n\r\n.\r\ntext\r\n', sender='me@example.com', state='bad',
              more='X-MailRelay-Reason: first\r\nX-MailRelay-ReasonCode: 450\r\nX-MailRelay-Reason: no such user\r\nX-MailRelay-ReasonCode: 550\r\n')
    spool.add('emailrelay.1.1700000000.2', sender='', state='bad')
    spool.add('emailrelay.1.1700000000.3')
    env = {'SENDMAIL': str(sendmail), 'EMAILRELAY_NOTIFY_FROM': 'postmaster@example.org'}
    t.run([examples / 'emailrelay-notify.sh', spool.path], env=env)
    equal(spool.names(), ['emailrelay.1.1700000000.3.content', 'emailrelay.1.1700000000.3.envelope'])
    notice = outgoing.one()
    equal((notice.field('From'), notice.fields('To-Remote')), ('', ['me@example.com']))
    text = notice.content.decode()
    for part in ('From: Mail delivery <postmaster@example.org>\r\n', 'To: me@example.com\r\n', '    you@example.net\r\n', '    no such user\r\n',
                 'message/rfc822\r\n\r\nSubject: original\r\n\r\n.\r\ntext\r\n'):
        match(text, re.escape(part))
    with t.row('a message whose notice cannot be sent stays'):
        spool.add('emailrelay.1.1700000000.4', state='bad')
        done = t.try_run([examples / 'emailrelay-notify.sh', spool.path], env={'SENDMAIL': '/bin/false'})
        equal(done.returncode, 1)
        equal(len(spool.messages('bad')), 1)
    equal(t.try_run([examples / 'emailrelay-notify.sh', '/missing']).returncode, 1)


def test_submit_script(t):
    spool = t.spool()
    for name in ('alice', 'bob', 'postmaster'):
        t.spool(f'spool/{name}')
    env = {'EMAILRELAY_SPOOL': str(spool.path), 'EMAILRELAY_SUBMIT': str(bin_dir / 'emailrelay-submit')}

    def counts(header):
        for name in ('alice', 'bob', 'postmaster'):
            for file in harness.Spool(spool.path / name).names():
                os.unlink(spool.path / name / file)
        t.run([examples / 'emailrelay-submit.sh'], input=header + b'Subject: x\n\nTo: bob@z\n', env=env)
        return [len(harness.Spool(spool.path / name).messages()) for name in ('alice', 'bob', 'postmaster')]

    equal(counts(b'To: Info <INFO@example.com>\n'), [1, 1, 0])
    equal(counts(b'From: bob@x\nTo: "Q, R" <x@y>,\n Alice <alice@example.com>\nCc: bob@x\n'), [1, 0, 0])
    equal(counts(b'To: x@y\n'), [0, 0, 1])
    equal(counts(b''), [0, 0, 1])
    equal(harness.Spool(spool.path / 'postmaster').one().content, b'Subject: x\r\n\r\nTo: bob@z\r\n')


def test_multicast(t):
    spool = t.spool()
    script = examples / 'emailrelay-multicast.sh'
    message = spool.add('emailrelay.1.1700000000.1', state='new')
    equal(filtered(t, script, message), '')
    equal(len(spool.names()), 2)
    folders = [harness.Spool(t.folder(f'spool/{name}')) for name in ('alice', 'bob')]
    content = message.content
    filtered(t, script, message, status=100)
    equal(spool.names(), ['alice', 'bob'])
    for folder in folders:
        equal((folder.one().content, folder.one().field('From')), (content, 'me@example.com'))
    message = spool.add('emailrelay.1.1700000000.2', state='new')
    (folders[1].path / 'emailrelay.1.1700000000.2.envelope.new').mkdir()
    (folders[1].path / 'emailrelay.1.1700000000.2.content').mkdir()
    (folders[1].path / 'emailrelay.1.1700000000.2.content/emailrelay.1.1700000000.2.content').mkdir()
    match(filtered(t, script, message, status=1), r'^<<multicast failed>>\n<<cannot copy into .*/bob>>\n$')
    equal(len(spool.messages('new')), 1)


# ---------------------------------------------------------------- Python

def test_bcc_check(t):
    spool = t.spool()
    script = examples / 'emailrelay-bcc-check.py'
    edited(t, script, spool)
    edited(t, script, spool, content=b'bcc: X <YOU@example.net>\r\n\r\nbody\r\n')
    for header in (b'Bcc: you@example.net, x@y\r\n', b'BCC:\r\n other@example.net\r\n'):
        message = spool.add('emailrelay.1.1700000000.2', header + b'\r\n', state='new')
        match(filtered(t, script, message, status=1), r'^<<unexpected Bcc header>>\n<<')


def test_check_ipaddress(t):
    spool = t.spool()
    script = examples / 'emailrelay-check-ipaddress.py'
    for client in ('127.0.0.1', '192.168.3.4', '::1', '::ffff:10.1.2.3', 'fe80::1%eth0', '/run/socket'):
        with t.row(client):
            edited(t, script, spool, Client=client)
    for client in ('8.8.8.8', '2001:db8::1', '', 'rubbish'):
        with t.row(client):
            message = spool.add('emailrelay.1.1700000000.1', state='new', Client=client)
            equal(filtered(t, script, message, status=100), '')
            spool.check_empty()


def test_set_from(t):
    spool = t.spool()
    script = changed(t, 'emailrelay-set-from.py', "name = ''", "name = 'The Office'")
    message = edited(t, script, spool, content=b'Subject: x\r\nFrom: Joe\r\n <joe@x>\r\nSender: s@x\r\nTo: you@y\r\n\r\nFrom: body\r\n')
    equal(message.content, b'From: The Office <office@example.com>\r\nReply-To: joe@x\r\nSubject: x\r\nTo: you@y\r\n\r\nFrom: body\r\n')
    equal(message.field('From'), 'office@example.com')
    equal(message.field('To-Remote'), 'you@example.net')


def test_set_message_id(t):
    spool = t.spool()
    script = examples / 'emailrelay-set-message-id.py'
    match(edited(t, script, spool).content.decode(), r'\AMessage-ID: <[^ <>@]+@example\.com>\r\nSubject: x\r\n\r\nhello\r\n\Z')
    content = b'message-id: <x@y>\r\n\r\n'
    equal(edited(t, script, spool, content=content).content, content)


def test_rot13(t):
    spool = t.spool()
    script = examples / 'emailrelay-rot13.py'
    content = b'Subject: Hello\r\n\r\nHello, World! \xff\x00\r\n'
    message = edited(t, script, spool, content=content)
    equal(message.content, b'Subject: Hello\r\n\r\nUryyb, Jbeyq! \xff\x00\r\n')
    filtered(t, script, message)
    equal(message.content, content)


def test_edit_content(t):
    message = edited(t, examples / 'emailrelay-edit-content.py', t.spool(), content=b'X-Mailer: z\r\nSubject: a\r\n b\r\nTo: c\r\n\r\n\xff\r\n')
    equal(message.content, b'X-Relayed: yes\r\nSubject: [relayed] a\r\n b\r\nTo: c\r\n\r\n\xff\r\n')


def test_edit_envelope(t):
    spool = t.spool()
    script = examples / 'emailrelay-edit-envelope.py'
    message = edited(t, script, spool, Authentication='joe+20x')
    equal((message.field('MailFromAuthOut'), message.field('MailFromAuthIn'), message.field('End')), ('joe+20x', '', '1'))
    equal(edited(t, script, spool).field('MailFromAuthOut'), '<>')


def test_deliver(t):
    spool = t.spool()
    script = examples / 'emailrelay-deliver.py'
    message = spool.add('emailrelay.1.1700000000.1', state='new', to=(), local=('alice', 'bob'))
    content = message.content
    equal(filtered(t, script, message, status=100), '')
    equal(spool.names(), ['alice', 'bob'])
    for name in ('alice', 'bob'):
        folder = harness.Spool(spool.path / name)
        equal((folder.one().content, folder.one().fields('To-Local')), (content, ['alice', 'bob']))
        equal(oct(stat.S_IMODE(os.stat(folder.one().content_path).st_mode)), oct(0o660))
    message = spool.add('emailrelay.1.1700000000.2', state='new', local=('alice',))
    filtered(t, script, message)
    equal((len(spool.messages('new')), len(harness.Spool(spool.path / 'alice').messages())), (1, 2))
    message = spool.add('emailrelay.1.1700000000.3', state='new', local=('alice', '../outside'))
    match(filtered(t, script, message, status=1), r'^<<local delivery failed>>\n')
    equal((len(harness.Spool(spool.path / 'alice').messages()), os.path.exists(t.dir / 'outside')), (2, False))


def test_dkim_signer(t):
    need('openssl')
    try:
        import dkim  # noqa: F401
        python = find('python3')
    except ImportError:
        python = '/usr/bin/python3'
        if subprocess.run([python, '-c', 'import dkim'], stderr=subprocess.DEVNULL).returncode:
            raise harness.Skip('python3-dkim is not installed')
    spool = t.spool()
    key = t.dir / 'key'
    t.run([find('openssl'), 'genrsa', '-out', key, '2048'])
    record = ''.join(t.run([find('openssl'), 'rsa', '-in', key, '-pubout']).split('-----BEGIN PUBLIC KEY-----')[1].split('-----END')[0].split())
    settings = t.file('dkim.conf', f'# ours\nselector here\nkey {key}\n')
    content = b'From: me@example.com\r\nTo: you@example.net\r\nSubject: x\r\n y\r\n\r\ntext\r\n\r\n'
    message = spool.add('emailrelay.1.1700000000.1', content, state='new')
    filtered(t, examples / 'emailrelay-dkim-signer.py', message, more=[f'EMAILRELAY_DKIM_CONF={settings}'])
    match(message.content.decode(), r'\ADKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example\.com;\s+[^\0]*s=here;')
    equal(message.content.endswith(content), True)
    check = t.file('check.py', f'import dkim, sys; m = open(sys.argv[1], "rb").read(); names = []\n'
                   f'ok = dkim.verify(m, dnsfunc=lambda name, timeout=5: names.append(name) or b"v=DKIM1; k=rsa; p={record}")\n'
                   f'print(ok, names[0].decode() if names else "", dkim.verify(m.replace(b"text", b"texts"), dnsfunc=lambda name, timeout=5: b"v=DKIM1; k=rsa; p={record}"))\n')
    equal(t.run([python, check, message.content_path]), 'True here._domainkey.example.com. False\n')
    t.file('dkim.conf', 'key /missing\n')
    match(filtered(t, examples / 'emailrelay-dkim-signer.py', message, status=1, more=[f'EMAILRELAY_DKIM_CONF={settings}']), r'^<<cannot sign>>\n<<dkim: .*No such file')


def test_ldap_verify(t):
    """Against a stand-in for ldapsearch that shows what is asked."""
    folder = t.folder('bin')
    path = folder / 'ldapsearch'
    path.write_text('#!/bin/sh\nfor last; do filter=$asked; asked=$last; done\n'
                    f'printf "%s\\n" "$filter" >> {t.dir}/asked\n'
                    'case $filter in "(mail=you@example.net)") echo "dn: uid=you,dc=example,dc=com" ;; "(mail=down@x)") exit 255 ;; esac\n')
    os.chmod(path, 0o755)

    def verify(address):
        done = t.try_run(['/usr/bin/env', '-i', f'PATH={folder}:/usr/bin:/bin', examples / 'emailrelay-ldap-verify.py', address, '', '127.0.0.1:1', 'd', 'none', ''])
        return done.returncode, done.stdout, done.stderr

    equal(verify('you@example.net'), (1, '\nyou@example.net\n', ''))
    equal(verify('other@example.net'), (2, 'mailbox unavailable\nnot in the directory\n', ''))
    equal(verify('down@x'), (3, 'directory not available\nldapsearch failed\n', ''))
    equal(verify('*)(cn=\\ü'), (2, 'mailbox unavailable\nnot in the directory\n', ''))
    equal((t.dir / 'asked').read_text().splitlines()[-1], r'(mail=\2a\29\28cn=\5c\c3\bc)')


def test_examples_are_sound(t):
    """Every script is executable and has help for whoever opens it; shells agree with them."""
    for path in sorted(examples.iterdir()):
        if path.name.startswith('emailrelay-'):
            with t.row(path.name):
                equal(bool(os.stat(path).st_mode & 0o111), True)
                match(path.read_text(), r'\A#!/(bin/sh|usr/bin/python3)\n')
    need('shellcheck')
    t.run([find('shellcheck'), *sorted(examples.glob('*.sh')), bin_dir / 'emailrelay-resubmit'])
    t.run([find('python3'), '-m', 'py_compile', *sorted(examples.glob('*.py'))], env={'PYTHONPYCACHEPREFIX': str(t.dir)})


# ---------------------------------------------------------------- in the relay

def test_as_filters_of_a_relay(t):
    """A chain of them, run by the relay itself; the message comes out as they left it."""
    hop = t.next_hop()
    chain = ','.join(str(examples / name) for name in ('emailrelay-bcc-check.py', 'emailrelay-set-message-id.py', 'emailrelay-rot13.py'))
    relay = t.relay(f'--filter={chain}', '--forward-on-disconnect', '--anonymous=content', forward_to=hop.address)
    with relay.greeted() as wire:
        equal(wire.submit(b'Subject: x\r\n\r\nHello\r\n')[0], 250)
        equal(wire.submit(b'Bcc: a@b, c@d\r\n\r\nHello\r\n'), (452, ['unexpected Bcc header']))
        wire.ask('QUIT', 221)
    match(hop.wait_messages(1)[0].body.decode(), r'\AMessage-ID: <.*@example\.com>\r\nSubject: x\r\n\r\nUryyb\r\n\Z')
    relay.spool.wait_empty()
