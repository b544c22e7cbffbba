"""milter: with the daemons that people use, and with the same ones behind Postfix: the same answers and the same message
(spec/filters-and-verifiers.md, docs/filters.md)."""
import os
import re

from harness import Wire, domain, equal, fail, find, free_port, limit, match, mount_over, need, private_mounts, private_network, until, connects
from helper_servers import debian_python, heard, milter, need_module
from mail_servers import Postfix
from name_server import nsd

header = b'From: Me <me@good.example>\r\nTo: you@example.net\r\nSubject:  odd   blanks\r\n\tfolded\r\n' \
         b'Date: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-Id: <1@good.example>\r\nX-Same: 1\r\nX-Same: 2\r\n'
plain = header + b'\r\n.dots\r\n\r\nand an end without more\r\n\r\n'


class Both:
    """A relay and a Postfix, each with the same milters."""

    def __init__(self, t, *addresses):
        self.hop = t.next_hop()
        # The same name, since milters show it.
        self.postfix = Postfix(t, more={'smtpd_milters': ' '.join(f'inet:{a}' for a in addresses), 'milter_default_action': 'tempfail',
                                        'myhostname': domain, 'smtpd_delay_reject': 'no'})
        self.relay = t.relay(*[f'--filter=milter:{a}' for a in addresses], '--forward-on-disconnect', forward_to=self.hop.address)
        self.filed = set()

    def send(self, content, sender='me@good.example', to=('you@example.net',)):
        """What each says to the end of the message, and what comes out, None if nothing does: it must be the same."""
        arrived = len(self.hop.messages)
        with self.relay.greeted('client.example.org') as wire:
            reply = wire.submit(content, sender=sender, to=to)
            wire.ask('QUIT', 221)
        with Wire.tcp('127.0.0.1', self.postfix.port) as wire:
            wire.expect('220 .*')
            wire.ask('EHLO client.example.org', 250)
            theirs = wire.submit(content, sender=sender, to=to)
            wire.ask('QUIT', 221)
        if theirs[0] == 250:
            theirs = (250, ['message processed'])  # its own words for that
        equal(reply, theirs, 'the answer, against that of Postfix')
        if reply[0] != 250:
            self.relay.spool.check_empty()
            return reply, None
        got = self.hop.wait_messages(arrived + 1)[-1]
        (theirs,) = until(lambda: [m for m in self.postfix.mail() if m not in self.filed], 'filed by Postfix')
        self.filed.add(theirs)
        equal(shape(got.body), shape(theirs), 'the message, against that of Postfix')
        return reply, got.body


def shape(message):
    """Header fields in their order and the body, without what differs from run to run and from server to server."""
    text = message.replace(b'\r\n', b'\n').decode('utf-8', 'surrogateescape')
    head, body = text.split('\n\n', 1)
    fields = []
    for field in re.split(r'\n(?![ \t])', head):
        name, value = field.split(':', 1)
        if name in ('Return-Path', 'X-Original-To', 'Delivered-To'):
            continue
        if name == 'Received':
            value = ''
        if name == 'DKIM-Signature':
            value = re.sub(r'\b([bt])=[^;]*', r'\1=', value)
        value = re.sub(r'emailrelay\.\d+\.\d+\.\d+|\b[0-9A-F]{9,12}\b', 'ID', value)
        fields.append((name, value))
    return fields, body


def names_of(message):
    return [name for name, _ in shape(message)[0]]


def daemon(t, words, port, name, seconds=60):
    process = t.start(words, name=name)
    until(lambda: not process.running() or connects('127.0.0.1', port), f'{name} listening', seconds)
    if not process.running():
        fail(f'{name} ended: {process.output}')
    return f'127.0.0.1:{port}'


def signing_key(t, bits=2048):
    """(file of the private key, its DNS record as text)"""
    need('opendkim-genkey')
    keys = t.folder('keys')
    t.run([find('opendkim-genkey'), '-D', keys, '-d', 'good.example', '-s', 'sel', '-b', str(bits)])
    return keys / 'sel.private', ''.join(re.findall(r'"([^"]*)"', (keys / 'sel.txt').read_text()))


def name_server(t, record, more=''):
    """A network of its own with a name server that knows the key."""
    private_network()
    private_mounts()
    mount_over(t.file('resolv.conf', 'nameserver 127.0.0.1\n'), '/etc/resolv.conf')
    pieces = ' '.join(f'"{record[i:i + 200]}"' for i in range(0, len(record), 200))
    nsd(t, f'''$ORIGIN example.
$TTL 60
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
sel._domainkey.good TXT {pieces}
_dmarc.good TXT "v=DMARC1; p=reject"
_dmarc.strict TXT "v=DMARC1; p=reject"
_dmarc.lax TXT "v=DMARC1; p=none"
''', port=53)


def opendkim(t, mode, key):
    need('opendkim')
    port = free_port()
    config = t.file(f'opendkim-{mode}.conf', f'Syslog no\nDomain good.example\nSelector sel\nKeyFile {key}\nRequireSafeKeys no\nMode {mode}\n'
                                             f'Canonicalization relaxed/simple\nSocket inet:{port}@127.0.0.1\nPidFile {t.dir}/opendkim-{mode}.pid\n'
                                             f'InternalHosts {"127.0.0.1" if mode == "s" else "192.0.2.1"}\nNameservers 127.0.0.1\n'
                                             f'AuthservID {domain}\n')
    return daemon(t, [find('opendkim'), '-f', '-x', config], port, f'opendkim-{mode}')


def opendmarc(t):
    need('opendmarc')
    port = free_port()
    ignored = t.file('ignored', '192.0.2.1\n')
    config = t.file('opendmarc.conf', f'Syslog no\nSocket inet:{port}@127.0.0.1\nPidFile {t.dir}/opendmarc.pid\nAuthservID {domain}\nTrustedAuthservIDs {domain}\n'
                                      f'RejectFailures true\nIgnoreHosts {ignored}\nRequiredHeaders false\n')
    return daemon(t, [find('opendmarc'), '-f', '-c', config], port, 'opendmarc')


def rspamd(t):
    need('rspamd')
    port = free_port()
    folder = t.folder('rspamd', 0o777)
    rule = t.file('rspamd/rule.lua', '''
rspamd_config:register_symbol({name = 'SEEN', type = 'postfilter', callback = function(task)
  task:set_milter_reply({add_headers = {['X-Seen'] = 'by rspamd'}, remove_headers = {['X-Same'] = 1}})
end})
''')
    config = t.file('rspamd.conf', f'''
options {{ pidfile = "{folder}/pid"; filters = ""; tempdir = "{folder}"; hs_cache_dir = "{folder}";
  dns {{ nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; }}
  history_file = "{folder}/history"; cache_file = "{folder}/cache"; }}
logging {{ type = "console"; level = "warning"; }}
actions {{ reject = 15; }}
lua = "{rule}";
worker "rspamd_proxy" {{ bind_socket = "127.0.0.1:{port}"; milter = yes; count = 1; timeout = 60s;
  upstream "local" {{ default = yes; self_scan = yes; }} }}
''')
    return daemon(t, [find('rspamd'), '-f', '-i', '-c', config], port, 'rspamd', 120)


@limit(180)
def test_opendkim_signs(t):
    """The same signature as behind Postfix, in the same place, and it is good by the key in the DNS."""
    need_module('dkim', 'python3-dkim')
    need_module('dns', 'python3-dnspython')
    key, record = signing_key(t)
    name_server(t, record)
    both = Both(t, opendkim(t, 's', key))
    verify = 'import dkim, sys; sys.exit(not dkim.verify(sys.stdin.buffer.read()))'
    for content in (plain, header + b'\r\n', header.replace(b'\r\n\tfolded', b'') + b'\r\n' + b'x' * 100_000 + b'\r\n'):
        reply, message = both.send(content)
        equal(reply[0], 250)
        equal(names_of(message).count('DKIM-Signature'), 1)
        t.run([debian_python, '-c', verify], input=message)
        equal(t.try_run([debian_python, '-c', verify], input=message.replace(b'blanks', b'blinks').replace(b'Me <', b'My <')).returncode, 1, 'a changed message')


@limit(180)
def test_opendkim_and_opendmarc_judge(t):
    """A chain of two: what the first has added decides the verdict of the second."""
    need_module('dkim', 'python3-dkim')
    key, record = signing_key(t)
    name_server(t, record)
    both = Both(t, opendkim(t, 'v', key), opendmarc(t))
    for how in ('relaxed', 'simple'):
        with t.row(f'a good signature, {how}'):
            sign = 'import dkim, sys; m = sys.stdin.buffer.read(); sys.stdout.buffer.write(dkim.sign(' \
                   f'm, b"sel", b"good.example", open("{key}", "rb").read(), canonicalize=(b"{how}", b"{how}")) + m)'
            signed = t.run([debian_python, '-c', sign], input=plain).encode()
            reply, message = both.send(signed)
            equal(reply[0], 250)
            results = [value for name, value in shape(message)[0] if name == 'Authentication-Results']
            equal(len(results), 2)
            match(' '.join(results), r'dkim=pass')
            match(' '.join(results), r'dmarc=pass \(p=reject')
    with t.row('a signature of something else'):
        reply, message = both.send(signed.replace(b'.dots', b'.d0ts'))
        equal(reply, (550, ['5.7.1 rejected by DMARC policy for good.example']))
    with t.row('none, and a domain that insists'):
        reply, message = both.send(plain.replace(b'me@good.example', b'me@strict.example'))
        equal(reply, (550, ['5.7.1 rejected by DMARC policy for strict.example']))
    with t.row('none, and a domain that does not mind'):
        reply, message = both.send(plain.replace(b'me@good.example', b'me@lax.example'))
        match(str(shape(message)[0]), r'dmarc=fail \(p=none')


@limit(240)
def test_rspamd(t):
    both = Both(t, rspamd(t))
    pattern = b'XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n'
    with t.row('no spam'):
        reply, message = both.send(plain)
        equal(reply[0], 250)
        match(message.decode(), r'(?m)^X-Seen: by rspamd\r$')
        equal([v for n, v in shape(message)[0] if n == 'X-Same'], [' 2'])
    with t.row('spam'):
        reply, message = both.send(header + b'\r\n' + pattern)
        equal(reply, (554, ['5.7.1 Gtube pattern']))


def clamav(t, signature):
    """clamav-milter and clamd with a data base of one signature."""
    need('clamav-milter', 'clamd')
    database = t.folder('clamav')
    (database / 'test.ndb').write_text(f'Test.Bad:0:*:{signature.hex()}\n')
    os.chmod(database / 'test.ndb', 0o644)
    clamd_socket = t.dir / 'clamd.sock'
    config = t.file('clamd.conf', f'DatabaseDirectory {database}\nLocalSocket {clamd_socket}\nForeground yes\nUser root\n')
    t.start([find('clamd'), '-c', config], name='clamd')
    until(lambda: os.path.exists(clamd_socket), 'clamd listening', seconds=120)
    port = free_port()
    config = t.file('clamav-milter.conf', f'MilterSocket inet:{port}@127.0.0.1\nClamdSocket unix:{clamd_socket}\nForeground yes\nOnInfected Reject\n'
                                          f'RejectMsg infected by %v\nAddHeader Add\nUser root\n')
    return daemon(t, [find('clamav-milter'), '-c', config], port, 'clamav-milter')


@limit(240)
def test_clamav(t):
    signature = b'a-very-bad-thing-indeed'
    both = Both(t, clamav(t, signature))
    with t.row('clean'):
        reply, message = both.send(plain)
        match(message.decode(), r'(?m)^X-Virus-Status: Clean')
    with t.row('infected'):
        reply, message = both.send(header + b'\r\n' + signature + b'\r\n')
        equal(reply, (550, ['5.7.1 infected by Test.Bad.UNOFFICIAL']))


@limit(240)
def test_changes_as_behind_postfix(t):
    """Every kind of change to header and body, alone and together, through libmilter."""
    rows = [
        [['addheader', 'X-New', 'at the end']],
        [['addheader', 'X-New', 'folded\n\tvalue']],
        [['addheader', 'X-New', 'at 0', 0]], [['addheader', 'X-New', 'at 1', 1]], [['addheader', 'X-New', 'at 2', 2]],
        [['addheader', 'X-New', 'at 50', 50]],
        [['addheader', 'X-One', 'a', 1], ['addheader', 'X-Two', 'b', 1], ['addheader', 'X-Three', 'c', 3], ['addheader', 'X-Last', 'd']],
        [['chgheader', 'Subject', 1, 'changed']], [['chgheader', 'X-Same', 2, 'changed']], [['chgheader', 'x-same', 1, '']],
        [['chgheader', 'X-Same', 3, 'there was none']], [['chgheader', 'X-Other', 1, 'new by a change']],
        [['chgheader', 'X-Same', 1, ''], ['chgheader', 'X-Same', 1, 'the second one now']],
        [['addheader', 'X-New', 'x', 1], ['chgheader', 'X-New', 1, 'changed again']],
        [['replacebody', 'new\r\n\r\n.body\r\n']], [['replacebody', 70_000]],
        [['chgheader', 'Subject', 1, ''], ['addheader', 'Subject', 'other', 1], ['replacebody', 'x\r\n']],
        [['chgfrom', '<new@example.com>'], ['addheader', 'X-From', 'new']],
    ]
    program, address = milter(t)
    both = Both(t, address)
    for changes in rows:
        with t.row(str(changes)):
            program.plan(changes=changes)
            reply, message = both.send(plain)
            equal(reply[0], 250)


@limit(120)
def test_hears_what_it_hears_behind_postfix(t):
    """Every step but the parameters of MAIL: the relay tells the size unasked."""
    program, address = milter(t)
    both = Both(t, address)
    contents = [plain, b'X-Tight:value\r\nX-Two:  blanks\r\nX-Tab:\ttab\r\nX-Empty:\r\nX-Blank: \r\nX-Blanks:   \r\nX-End: blanks  \r\n'
                       b'X-Folded:\r\n at once\r\nX-Folds: a\r\n  b\r\n\t\tc \r\n\td\r\n\r\nbody\r\n',
                b'X-Eight: \xc3\xbc \xff\r\n\r\n\xe4\r\n', b'Subject: no body\r\n\r\n', b'Subject: large\r\n\r\n' + b'0123456789abcdef\r\n' * 10_000]
    for content in contents:
        with t.row(repr(content[:50])):
            before = len(heard(program))
            both.send(content)
            until(lambda: sum(h[0] == 'close' for h in heard(program)[before:]) == 2, 'both have said all')
            said = [h for h in heard(program)[before:] if h[0] not in ('close', 'connect', 'mail', 'body')]
            half = len(said) // 2
            for step in said:
                if step[0] == 'eom':
                    step[1] = None
            equal(said[:half], said[half:])
            sizes = [sum(h[1] for h in part if h[0] == 'body') for part in halves(heard(program)[before:])]
            equal(sizes[0], sizes[1], 'octets of the body')


def halves(said):
    end = next(n for n, h in enumerate(said) if h[0] == 'close')
    return said[:end], said[end:]


@limit(240)
def test_answers_as_behind_postfix(t):
    program, address = milter(t)
    both = Both(t, address)
    for step in ('eoh', 'body', 'eom'):
        for how in ({'say': 'reject'}, {'say': 'tempfail'}, {'say': 'reject', 'reply': ['554', '5.7.9', 'no 100%% today']},
                    {'say': 'tempfail', 'reply': ['450', '4.2.0', 'greylisted']}):
            with t.row(f'{step}: {how}'):
                program.plan(at=step, **how)
                reply, message = both.send(plain)
                equal(message, None)
