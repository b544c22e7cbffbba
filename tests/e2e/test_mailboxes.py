"""The built-in filters that copy, deliver, split and complete messages (spec/filters-and-verifiers.md section 6,
spec/spool.md section 8), and their durability."""
import grp
import mailbox
import os
import pwd
import re
import stat

import harness
import recorder
from harness import domain, equal, fail, limit, match, need
from mail_servers import DovecotMailboxes
from test_filters import script

body = b'Subject: hello\r\n\r\ntext\r\n'
processed = (250, ['message processed'])
to_local = 'case $1 in l*) echo; echo "$1" | sed "s/@.*//"; exit 0;; esac; echo; echo "$1"; exit 1'


def submit(relay, content=body, **how):
    with relay.greeted() as wire:
        return wire.submit(content, **how)


def names(folder):
    return sorted(n for n in os.listdir(folder) if not n.startswith('.emailrelay-'))


def maildir(path):
    for name in ('tmp', 'cur', 'new'):
        os.makedirs(path / name, exist_ok=True)
        os.chmod(path / name, 0o777)
    return path


def pair(folder):
    """Envelope and content of the only message in a folder."""
    found = names(folder)
    if len(found) != 2:
        fail(f'{folder}: {found}')
    content, envelope = found
    assert content.endswith('.content') and envelope.endswith('.envelope'), found
    equal(content[:-len('.content')], envelope[:-len('.envelope')])
    return (folder / envelope).read_bytes(), (folder / content).read_bytes()


# ---------------------------------------------------------------- copy:

def test_copy(t):
    for given, kept, linked in [('copy:', False, False), ('copy:hardlink', False, True), ('copy:h', False, True), ('copy:nodelete', True, False),
                                ('copy:n;h', True, True), ('copy:no_delete', True, False)]:
        with t.row(given):
            spool = t.spool(f'spool-{given[5:]}')
            folders = [t.folder(f'{spool.path.name}/{n}', 0o777) for n in ('alice', 'bob')]
            for name in ('.hidden', 'postmaster'):
                t.folder(f'{spool.path.name}/{name}', 0o777)
            box = maildir(t.folder(f'{spool.path.name}/dir', 0o777))
            relay = t.relay(spool=spool, filter=given)
            equal(submit(relay), processed)
            for folder in folders:
                envelope, content = pair(folder)
                assert content.endswith(body), content
                match(envelope.decode(), r'X-MailRelay-To-Remote: you@example\.net\r\n')
            (delivered,) = names(box / 'new')
            match(delivered, r'^\d+\.\d{6}\.\d+\.[^./]+\.\d+$')
            assert (box / 'new' / delivered).read_bytes().endswith(body)
            equal(names(box / 'tmp') + names(box / 'cur'), [])
            equal(names(spool.path / 'postmaster') + names(spool.path / '.hidden'), [])
            own = [n for n in spool.names() if n.startswith('emailrelay.')]
            equal(len(own), 2 if kept else 0)
            links = os.stat(box / 'new' / delivered).st_nlink
            equal(links, (3 + kept) if linked else 1, 'links')
            relay.terminate()
            equal(len([n for n in names(spool.path) if n.startswith('emailrelay.')]), 2 if kept else 0)


def test_copy_for_pop(t):
    """Envelopes only; the content stays where it was, also after a restart."""
    spool = t.spool()
    folder = t.folder('spool/alice', 0o777)
    box = maildir(t.folder('spool/dir', 0o777))
    relay = t.relay(spool=spool, filter='copy:pop')
    equal(submit(relay), processed)
    (envelope,) = names(folder)
    content = envelope.replace('.envelope', '.content')
    assert (spool.path / content).read_bytes().endswith(body)
    equal(len(names(box / 'new')), 1)
    relay.kill()
    t.relay(spool=spool).terminate()
    equal([n for n in spool.names() if n.startswith('emailrelay.')], [content])


def test_copy_for_pop_and_forward(t):
    """The original is forwarded and goes; those who fetch their mail have its content all the same."""
    for given in ('copy:pop;nodelete', 'copy:n;p'):
        with t.row(given):
            hop = t.next_hop()
            spool = t.spool(f'spool-{given[5:]}')
            folders = [t.folder(f'{spool.path.name}/{n}', 0o777) for n in ('alice', 'bob')]
            relay = t.relay('--forward-on-disconnect', spool=spool, filter=given, forward_to=hop.address)
            equal(submit(relay), processed)
            assert hop.wait_messages(1)[0].body.endswith(body)
            relay.wait_log(r'no more messages to send$')
            relay.terminate()
            equal([n for n in spool.names() if n.startswith('emailrelay.')], [])
            for folder in folders:
                assert pair(folder)[1].endswith(body)
                equal([os.stat(folder / n).st_nlink for n in names(folder) if n.endswith('.content')], [2], 'links')


def test_copy_to_nobody(t):
    relay = t.relay(filter='copy:')
    equal(submit(relay), processed)
    relay.wait_log(rf'warning: copy filter: no sub-directories of \[{relay.spool.path}\] to copy in to$')
    equal(relay.spool.one().body(), body)


def test_copy_that_fails(t):
    spool = t.spool()
    box = t.folder('spool/alice')
    for name in ('tmp', 'cur', 'new'):
        (box / name).mkdir()
    (box / 'new').rmdir()
    os.symlink('/no/where', box / 'new')
    os.rename(box, spool.path / 'bob')
    bob = spool.path / 'bob'
    harness.need_root('a folder that cannot be written')
    harness.private_mounts()
    harness.mount_tmpfs(bob, 'size=4k,nr_inodes=2')
    relay = t.relay(spool=spool, filter='copy:')
    equal(submit(relay), (452, ['failed']))
    equal([n for n in spool.names() if n != 'bob'], [])


def test_parameters_that_are_none(t):
    """A slip of the pen is told of: it may be all that keeps the originals."""
    relay = t.relay('--filter=copy:nodelet;pop', '--filter=deliver:h;soft', '--filter=split:raw;99999')
    for name, word in (('copy', 'nodelet'), ('deliver', 'soft'), ('split', '99999')):
        relay.wait_log(rf'warning: invalid {name} filter configuration: ignoring \[{word}\]$')
    equal(submit(relay, to=['you@example.net']), processed)
    equal(relay.spool.one().field('ForwardTo'), 'example.net')


def test_copy_as_client_filter(t):
    hop = t.next_hop()
    spool = t.spool()
    folder = t.folder('spool/alice', 0o777)
    spool.add('emailrelay.1.1.1', body)
    t.forward(hop.address, spool=spool, client_filter='copy:')
    equal(pair(folder)[1], body)
    equal(hop.messages, [])
    equal(spool.names(), ['alice'])


# ---------------------------------------------------------------- deliver:

def delivering(t, given='deliver:', **options):
    return t.relay(filter=given, address_verifier=script(t, to_local, 'verifier.sh'), **options)


def test_deliver(t):
    for given, linked, kept in [('deliver:', False, False), ('deliver:hardlink', True, False), ('deliver:h;nodelete', True, True),
                                ('deliver:pop', False, False)]:
        with t.row(given):
            where = t.folder(f'mail-{given[8:]}', 0o777)
            relay = delivering(t, given, delivery_dir=where, spool=t.spool(f'spool-{given[8:]}'))
            equal(submit(relay, to=['lisa@x', 'l@x', 'lisa@y']), processed)
            equal(names(where), ['l', 'lisa'])
            for name in ('l', 'lisa'):
                envelope, content = pair(where / name)
                assert content.endswith(body)
                equal(re.findall(rb'To-Local: (\S+)', envelope), [b'lisa', b'l', b'lisa'])
                equal(os.stat(next((where / name).glob('*.content'))).st_nlink, (2 + kept) if linked else 1)
                equal(stat.S_IMODE(os.stat(where / name).st_mode) & 0o777, 0o770)
            equal(len(relay.spool.names()), 2 if kept else 0)
            # what is for others stays to be forwarded
            equal(submit(relay, to=['lisa@x', 'you@example.net']), processed)
            equal(len(names(where / 'lisa')), 4)
            equal(len(relay.spool.messages()), 2 if kept else 1)
            # nobody local: nothing is done
            equal(submit(relay), processed)
            equal(len(relay.spool.messages()), 3 if kept else 2)
            relay.terminate()


def test_deliver_into_the_spool(t):
    relay = delivering(t)
    equal(submit(relay, to=['lisa@x']), processed)
    equal(relay.spool.names(), ['lisa'])
    pair(relay.spool.path / 'lisa')


def test_deliver_into_a_maildir(t):
    """As a mail reader finds it."""
    where = t.folder('mail', 0o777)
    maildir(t.folder('mail/lisa', 0o777))
    relay = delivering(t, delivery_dir=where)
    for n in range(3):
        equal(submit(relay, b'Subject: %d\r\n\r\ntext %d\r\n' % (n, n), to=['lisa@x']), processed)
    box = mailbox.Maildir(where / 'lisa', create=False)
    equal(sorted(m['Subject'] for m in box), ['0', '1', '2'])
    equal(names(where / 'lisa' / 'tmp'), [])
    equal([n for n in names(where / 'lisa' / 'new') if '.envelope' in n], [])


@limit(120)
def test_dovecot_reads_what_was_delivered(t):
    """Every octet of every message; new ones also while the mailbox is open; flags and removal are Dovecot's to write."""
    harness.need_root('files of several users')
    where = t.folder('mail', 0o777)
    spool = t.spool()
    gid = grp.getgrnam('daemon').gr_gid
    os.chown(spool.path, 0, gid)
    for user in ('lisa', 'lou'):
        maildir(t.folder(f'mail/{user}', 0o777))
    box = where / 'lisa'
    dovecot = DovecotMailboxes(t, where, 'daemon')
    contents = [b'Subject: plain\r\n\r\ntext\r\n', b'Subject: =?utf-8?q?=C3=BC?=\r\n\r\n.dot\r\n..dots\r\n\r\n\r\n',
                b'Subject: eight bits\r\n\r\n' + bytes(range(128, 256)) + b'\r\n', b'\r\nno header\r\n',
                b'Subject: long\r\n\r\n' + b'x' * 5000 + b'\r\n' + b'0123456789abcdef\r\n' * 20_000]
    relay = delivering(t, spool=spool, user='daemon', delivery_dir=where)
    for content in contents:
        equal(submit(relay, content, to=['lisa@x', 'lou@x']), processed)
    stored = sorted((box / 'new' / n).read_bytes() for n in os.listdir(box / 'new'))
    imap = dovecot.login('lisa')
    equal(imap.select('INBOX'), ('OK', [b'%d' % len(contents)]))

    def fetched(number):
        return imap.fetch(str(number), '(BODY.PEEK[])')[1][0][1]
    equal(sorted(fetched(n + 1) for n in range(len(contents))) == stored, True, 'what Dovecot reads is what was stored')
    received = sorted(fetched(n + 1).split(b'\r\n', 1)[1] for n in range(len(contents)))
    equal(received == sorted(contents), True, 'and that is what was sent')
    equal(names(box / 'new') + names(box / 'tmp'), [])
    equal(len(names(box / 'cur')), len(contents))
    equal(submit(relay, b'Subject: later\r\n\r\n', to=['lisa@x']), processed)
    imap.noop()
    equal(imap.response('EXISTS')[1][-1:], [b'%d' % (len(contents) + 1)])
    imap.store('1', '+FLAGS', r'(\Seen \Flagged)')
    imap.store('2', '+FLAGS', r'(\Deleted)')
    imap.expunge()
    equal(sorted(re.sub('^[^:]*', '', n) for n in names(box / 'cur')), sorted([':2,FS'] + [':2,'] * (len(contents) - 1)))
    imap.logout()
    other = dovecot.login('lou')
    equal(other.select('INBOX'), ('OK', [b'%d' % len(contents)]))
    equal(len(other.search(None, 'SUBJECT', 'plain')[1][0].split()), 1)
    other.logout()


def test_names_that_are_none(t):
    """No name leads out of the directory, and nothing is delivered when one is bad."""
    where = t.folder('mail', 0o777)
    verifier = script(t, f'echo; cat {t.dir}/name; exit 0', 'verifier.sh')
    relay = t.relay(filter='deliver:', address_verifier=verifier, delivery_dir=where)
    for name in ('../x', '/etc', 'a/b', '.', '..', 'a\\b', 'a\tb', '\x7f', 'x' * 300, '.emailrelay-journal.x'):
        with t.row(repr(name)):
            t.file('name', name + '\n')
            equal(submit(relay, to=['a@b']), (452, ['failed']))
            equal(names(where), [])
    relay.spool.check_empty()


def test_deliver_without_its_directory(t):
    relay = delivering(t, delivery_dir=t.dir / 'none')
    equal(submit(relay, to=['lisa@x']), (452, ['failed']))
    relay.spool.check_empty()


def test_a_name_that_is_taken(t):
    """Another message of that name in the mailbox stays."""
    hop = t.next_hop()
    where = t.folder('mail', 0o777)
    spool = t.spool()
    other = harness.Spool(t.folder('mail/lisa', 0o777))
    other.add('emailrelay.1.1.1', b'another\r\n')
    spool.add('emailrelay.1.1.1', body, local=['lisa'])
    t.forward(hop.address, spool=spool, client_filter='deliver:', delivery_dir=where)
    equal(sorted(m.content for m in other.messages()), sorted([b'another\r\n', body]))
    equal([m.body for m in hop.messages], [body])


def test_files_of_root(t):
    """Started as root: mailboxes and copies are root's with the group of the user; filters are the user's altogether."""
    harness.need_root('other users')
    where = t.folder('mail', 0o777)
    spool = t.spool()
    os.chmod(spool.path, 0o770)
    gid, uid = grp.getgrnam('daemon').gr_gid, pwd.getpwnam('daemon').pw_uid
    os.chown(spool.path, 0, gid)
    os.chown(where, 0, gid)
    seen = t.file('seen', '')
    os.chmod(seen, 0o666)
    program = script(t, f'grep -E "^(Uid|Gid|Groups|CapPrm|CapEff)" /proc/self/status >{seen}; umask >>{seen}; test -w "$1"')
    relay = t.relay(f'--filter={program},deliver:', spool=spool, user='daemon', address_verifier=script(t, to_local, 'verifier.sh'), delivery_dir=where)
    equal(submit(relay, to=['lisa@x']), processed)
    fields = dict(line.split(':', 1) for line in seen.read_text().splitlines()[:-1])
    equal(fields['Uid'].split(), [str(uid)] * 4)
    equal(fields['Gid'].split(), [str(gid)] * 4)
    equal(fields['Groups'].split(), [])
    equal((int(fields['CapPrm'], 16), int(fields['CapEff'], 16)), (0, 0))
    equal(seen.read_text().splitlines()[-1], '0077')
    for path in [where / 'lisa', *(where / 'lisa').iterdir()]:
        about = os.stat(path)
        equal((about.st_uid, about.st_gid, stat.S_IMODE(about.st_mode)), (0, gid, 0o770 if path.is_dir() else 0o660), str(path))


def test_group_of_links(t):
    """A link in a set-gid directory belongs to the directory's group."""
    harness.need_root('another group')
    where = t.folder('mail', 0o777)
    box = t.folder('mail/lisa')
    os.chown(box, 0, 1)
    os.chmod(box, 0o2777)
    relay = delivering(t, 'deliver:h', delivery_dir=where)
    equal(submit(relay, to=['lisa@x']), processed)
    equal({os.stat(box / n).st_gid for n in names(box)}, {1})


# ---------------------------------------------------------------- msgid:

def test_message_id(t):
    relay = t.relay(filter='msgid:', anonymous='content')
    added = rf'Message-ID: <\d+\.\d+\.\d+\.\d+@{re.escape(domain)}>\r\n'
    rows = [(b'Subject: x\r\n\r\ntext\r\n', True), (b'', True), (b'Subject: x\r\n', True), (b'\r\nMessage-ID: <in@body>\r\n', True),
            (b'X-Message-ID: <x>\r\n\r\n', True), (b'Subject: a\r\n Message-ID: <folded>\r\n\r\n', True),
            (b'Subject: ' + b'x' * 70000 + b'\r\n\r\ntext\r\n', True), (b'x' * 600000 + b'\r\n', True),
            (b'message-id: <own>\r\n\r\n', False), (b'Subject: x\r\nMESSAGE-ID:<own>\r\n\r\ntext\r\n', False),
            (b'A: b\r\n' * 20000 + b'Message-ID: <own>\r\n\r\n', False)]
    for content, wanted in rows:
        with t.row(repr(content[:60])):
            equal(submit(relay, content), processed)
            message = relay.spool.one()
            got = message.content
            equal(bool(re.match(added.encode(), got)), wanted)
            equal(got[got.index(b'\n') + 1:] == content if wanted else got == content, True, 'the rest')
            equal(relay.spool.names(), sorted([message.content_path.name, message.envelope_path.name]))
            os.unlink(message.content_path)
            os.unlink(message.envelope_path)


# ---------------------------------------------------------------- split:

def test_split(t):
    relay = t.relay(filter='split:2525', address_verifier=script(t, to_local, 'verifier.sh'))
    recipients = ['a@Two.net', 'b@one.net', 'lisa@here', 'c@two.NET', 'plain', '"x@three.net"@one.net']
    equal(submit(relay, to=recipients), processed)
    groups = {}
    ids = set()
    for m in relay.spool.messages():
        groups[m.field('ForwardTo')] = (m.fields('To-Local'), m.fields('To-Remote'))
        equal((m.field('SplitGroupCount'), m.field('ToCount')), ('3', str(len(m.fields('To-Local') + m.fields('To-Remote')))))
        ids.add(tuple(m.fields('SplitGroup')))
        equal(m.body(), body)
        equal(m.field('From'), 'me@example.com')
    equal(groups, {'': (['lisa'], ['plain']), 'one.net:2525': ([], ['b@one.net', '"x@three.net"@one.net']),
                   'Two.net:2525': ([], ['a@Two.net', 'c@two.NET'])})
    equal(len(ids), 1)
    equal(sorted(ids.pop()), sorted(m.id for m in relay.spool.messages()))
    equal({os.stat(m.content_path).st_nlink for m in relay.spool.messages()}, {3})


def test_split_in_few(t):
    for number, (given, recipients, wanted) in enumerate([('raw', ['a@x', 'b@x'], ['x']), ('raw', ['a@x', 'b@X'], ['X', 'x']),
                                                          ('raw;2525', ['a@x', 'b@X'], ['X:2525', 'x:2525']), ('', ['a@x', 'b@X'], ['x'])]):
        relay = t.relay(filter=f'split:{given}', spool=t.spool(f'spool{number}'))
        equal(submit(relay, to=recipients), processed)
        equal(sorted(m.field('ForwardTo') for m in relay.spool.messages()), wanted)
        equal({m.field('SplitGroupCount') for m in relay.spool.messages()}, {None if len(wanted) == 1 else '2'})
        for name in relay.spool.names():
            os.unlink(relay.spool.path / name)


def test_split_in_many(t):
    relay = t.relay(filter='split:')
    for number, answer in ((501, (452, ['failed'])), (500, processed)):
        equal(submit(relay, to=[f'a@{n}.example' for n in range(number)]), answer)
    equal(len(relay.spool.messages()), 500)
    relay.wait_log('too many domains: 501, 500 at most')


def test_split_goes_on_although_the_chain_fails(t):
    relay = t.relay('--filter=split:,exit:1')
    equal(submit(relay, to=['a@x', 'b@y']), (452, ['rejected']))
    equal([m.field('ForwardTo') for m in relay.spool.messages()], ['y'])
    equal(len(relay.spool.names()), 2)
    equal(relay.spool.one().body(), body)


def test_split_when_names_are_taken(t):
    """By another relay on the same spool, in this process or in a container where it has the same pid."""
    for suffix in ('content', 'envelope.new'):
        with t.row(suffix):
            take = script(t, f'''id=$(basename "$1" .content); number=${{id##*.}}; rest=${{id%.*}}; second=${{rest##*.}}; rest=${{rest%.*}}
for later in $(seq 0 100); do echo other > "${{1%/*}}/$rest.$((second + later)).$((number + 1)).{suffix}"; done''', f'take-{suffix}.sh')
            relay = t.relay(spool=t.spool(f'spool-{suffix}'), filter=f'{take},split:')
            equal(submit(relay, to=['a@one.net', 'b@two.net']), processed)
            relay.terminate()
            names_now = relay.spool.names()
            ids = [n[:-len('.envelope')] for n in names_now if n.endswith('.envelope')]
            equal(len(ids), 2, names_now)
            for id in ids:
                assert (relay.spool.path / f'{id}.content').read_bytes().endswith(body)
                envelope = (relay.spool.path / f'{id}.envelope').read_text()
                equal(re.findall(r'SplitGroup: (.*)', envelope), sorted(ids, key=lambda each: int(each.rsplit('.', 1)[1])))
            others = [n for n in names_now if n.rsplit('.envelope', 1)[0].rsplit('.content', 1)[0] not in ids]
            equal((len(others), {(relay.spool.path / n).read_text() for n in others}), (101, {'other\n'}))


def test_split_and_route(t):
    """One message to three domains reaches three next hops."""
    hops = {name: t.next_hop() for name in ('one.net', 'two.net', 'three.net')}
    lines = '\n'.join(f'{name}) a={hop.address};;' for name, hop in hops.items())
    route = script(t, f'''d=$(sed -n "s/^X-MailRelay-ForwardTo: //p" "$2" | tr -d "\\r")
case $d in
{lines}
esac
sed -i "s/^X-MailRelay-ForwardToAddress:.*/X-MailRelay-ForwardToAddress: $a\\r/" "$2"''', 'route.sh')
    relay = t.relay('--forward-on-disconnect', filter='split:', forward_to='127.0.0.1:1', client_filter=route)
    equal(submit(relay, to=[f'{n}@{d}' for d in hops for n in ('a', 'b')]), processed)
    for name, hop in hops.items():
        hop.wait_messages(1)
        equal(hop.messages[0].recipients, [f'RCPT TO:<{n}@{name}>' for n in ('a', 'b')])
        assert hop.messages[0].body.endswith(body)
    relay.spool.wait_empty()


# ---------------------------------------------------------------- durability

def check_durable(t, record, port, token, nth=1):
    at = record.reply_time(port, b'250 message processed', nth)
    disk = record.durable_octets(at)
    for what in token:
        if what.encode() not in disk:
            fail(f'{what!r} was not on disk when 250 was sent')


def recorded(t, *words, watch=None, **options):
    need('strace')
    folder = t.dir / f'trace{len(t.processes)}'
    relay = t.relay(*words, prefix=recorder.prefix(folder), **options)
    return relay, lambda: (relay.terminate(), recorder.Record(folder, str(watch or relay.spool.path)))[1]


def test_edits_are_durable(t):
    """What a filter has written is on disk when the 250 goes out: small edits and large ones, and the envelope's."""
    for size in (10, 500_000):
        with t.row(f'{size} octets'):
            program = script(t, f'head -c {size} /dev/zero | tr "\\0" "e" >>"$1"; echo end-of-edit-{size} >>"$1"; sed -i "s/you@/edited@/" "$2"', f'{size}.sh')
            relay, done = recorded(t, filter=program, spool=t.spool(f'spool{size}'))
            with relay.greeted() as wire:
                equal(wire.submit(body), processed)
                port = wire.local_port()
            message = relay.spool.one()
            content, envelope = message.content, message.envelope
            record = done()
            at = record.reply_time(port, b'250 message processed', 1)
            if size < 100_000:
                disk = record.durable_octets(at)
                for what in (f'end-of-edit-{size}', 'edited@example.net'):
                    if what.encode() not in disk:
                        fail(f'{what!r} was not on disk when 250 was sent')
            else:
                flushed = [os.path.basename(path) for _, end, path in record.flush_calls if end <= at]
                # A file is known by its first name: sed edits a copy.
                for name in (re.escape(message.content_path.name), 'sed.*'):
                    if not any(re.fullmatch(name, f) for f in flushed):
                        fail(f'{name} was not flushed before the 250: {flushed}')
            equal((message.content == content, message.envelope), (True, envelope))


edits = {
    'in place': '''
import os, sys
for path, text in zip(sys.argv[1:], texts):
    f = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.write(f, text)
    os.close(f)
''',
    'replaced': '''
import os, sys
for path, text in zip(sys.argv[1:], texts):
    whole = open(path, 'rb').read() + text
    f = os.open(path + '.x', os.O_WRONLY | os.O_CREAT)
    os.write(f, whole)
    os.close(f)
    os.rename(path + '.x', path)
'''}


@limit(180)
def test_edits_of_client_filters_are_durable(t):
    """They are on disk when the message goes on: of both kinds, small ones and large ones, in place and in new files."""
    route = script(t, 'sed -i "s/^X-MailRelay-ForwardTo:.*/X-MailRelay-ForwardTo: example.net\\r/" "$2"', 'route.sh')
    for number, (kind, how, size) in enumerate((k, h, n) for k in ('client', 'routing') for h in edits for n in (10, 500_000)):
        with t.row(f'{kind} filter, {how}, {size} octets'):
            program = t.file(f'{number}.py', f'#!/usr/bin/python3\ntexts = (b"e" * {size} + b"end-of-edit", b"X-Note: end-of-note\\r\\n")\n{edits[how]}')
            os.chmod(program, 0o755)
            hop = t.next_hop()
            relay, done = recorded(t, '--forward-on-disconnect', forward_to=hop.address, client_filter=program, spool=t.spool(f'spool{number}'),
                                   **({'filter': route} if kind == 'routing' else {}))
            with relay.greeted() as wire:
                equal(wire.submit(body), processed)
                wire.ask('QUIT', 221)
            assert hop.wait_messages(1)[0].body.endswith(b'end-of-edit\r\n')
            match(relay.output, f'{kind}-filter')
            record = done()
            disk = record.durable_octets(record.reply_time(hop.port, b'MAIL FROM'))
            for what in ('end-of-edit', 'end-of-note'):
                if what.encode() not in disk:
                    fail(f'{what!r} was not on disk when the message was sent on')


def test_copies_are_durable(t):
    """A delivered copy is flushed, and its directory, before the originals go and before the 250."""
    for given in ('deliver:', 'deliver:h'):
        with t.row(given):
            where = t.folder(f'mail-{given[8:]}', 0o777)
            box = maildir(t.folder(f'mail-{given[8:]}/lmaildir', 0o777))
            relay, done = recorded(t, filter=given, spool=t.spool(f"spool-{given[8:]}"), delivery_dir=where, watch=t.dir,
                                   address_verifier=script(t, to_local, 'verifier.sh'))
            with relay.greeted() as wire:
                equal(wire.submit(body, to=['lisa@x', 'lmaildir@x']), processed)
                port = wire.local_port()
            record = done()
            at = record.reply_time(port, b'250 message processed', 1)
            flushed = [path for _, end, path in record.flush_calls if end <= at]
            for what in (r'/lisa/[^/]*\.envelope(\.new)?$', r'/lisa$', r'/lmaildir/new$', rf'/{where.name}$', r'\.content$|/tmp/[^/]+$'):
                if not any(re.search(what, path) for path in flushed):
                    fail(f'nothing like {what} was flushed before the 250: {flushed}')
