"""The command lines of the documentation, as they stand there.

Every indented block is marked: <!-- run --> is run to its end, which must be good; of <!-- run: serve --> the emailrelay
command is started and must take a message, and send it on if it says so, between the commands in front of it and those behind it;
<!-- run: forward --> sends a message of the spool on. <!-- sample --> is text that is no command; with a path behind it, a file that the
commands use. <!-- not run: why --> is run elsewhere. They run in a network and with an /etc of their own, where the names of the
documentation lead to servers of the test, each in a folder with a spool and a configuration.
"""
import os
import poplib
import re
import shlex
import shutil
import smtplib
import ssl

import certificates
import harness
import helper_servers
import test_socks
from harness import equal, fail
from name_server import A, AAAA, MX, Answer, NameServer

docs = harness.here.parent.parent / 'docs'
office, smarthost = '192.168.1.1', '192.0.2.25'


def blocks():
    """(file:line, kind, argument, text) of each indented block; without a mark the kind is ''."""
    found = []
    for path in [*sorted(docs.glob('*.md')), docs.parent / 'README.md']:
        text = path.read_text()
        for match in re.finditer(r'(?:(?<=\n\n)|(?<=-->\n))((?: {4}.*\n|\n(?= {4}))+)', text):
            mark = re.search(r'<!-- (not run|run|sample)(?:: (.*))? -->\n$', text[:match.start()])
            kind, argument = mark.groups() if mark else ('', None)
            found.append((f'{path.name}:{text[:match.start()].count(chr(10)) + 1}', kind, argument,
                          re.sub(r'^ {4}', '', match.group(1), flags=re.M).strip()))
    return found


def test_every_block_is_marked(t):
    kinds = []
    for where, kind, argument, text in blocks():
        with t.row(where):
            assert kind and (kind != 'not run' or argument), f'no mark: {text}'
            kinds.append((kind, argument))
    assert kinds.count(('run', 'serve')) >= 15 and kinds.count(('run', 'forward')) >= 3 and kinds.count(('run', None)) >= 3, kinds


# ---------------------------------------------------------------- the world of the documentation

def private_world(t):
    """Network, /etc, /run and /var/spool as the documentation has them."""
    harness.private_mounts()
    etc = t.dir / 'etc'
    shutil.copytree('/etc', etc, symlinks=True)
    (etc / 'hosts').write_text(f'127.0.0.1 localhost\n{smarthost} smtp.example.com smtp.example.net\n')
    (etc / 'resolv.conf').unlink()
    (etc / 'resolv.conf').write_text('nameserver 127.0.0.1\n')
    for where, kind, path, text in blocks():
        if kind == 'sample' and path:
            file = etc / path.removeprefix('/etc/')
            file.parent.mkdir(exist_ok=True)
            with file.open('a') as f:
                f.write(text + '\n')
            file.chmod(0o755 if text.startswith('#!') else 0o600)
    authority = certificates.Authority(t)
    trusted = etc / 'ssl/certs/ca-certificates.crt'
    trusted.unlink(missing_ok=True)
    shutil.copy(authority.certificate, trusted)
    harness.mount_over(etc, '/etc')
    for path in ('/run', '/var/spool'):
        harness.mount_tmpfs(path, 'mode=755')
    os.mkdir('/run/emailrelay')
    os.mkdir('/run/clamav')
    os.mkdir('/var/spool/emailrelay')
    for path in ('/run/emailrelay', '/run/clamav', '/var/spool/emailrelay'):
        os.chmod(path, 0o777)
    return authority


class Servers:
    """What the commands of the documentation talk to. The smarthost is another host: here every port is the commands' own."""

    def __init__(self, t, authority):
        ip = harness.find('ip')
        harness.private_network()
        t.run([ip, 'addr', 'add', smarthost, 'dev', 'lo'])
        self.plain = t.next_hop(host=smarthost, port=25)
        self.strict = t.spool('strict')  # of a smarthost that wants TLS and a login
        secrets = t.file('strict-auth', 'server plain me pass+20word\n')
        certificate = authority.issue('smtp.example.com', san='DNS:smtp.example.com,DNS:smtp.example.net')
        there = t.relay('--server-tls', '--server-tls-required', '--remote-clients', interface=smarthost, port=587, spool=self.strict,
                        server_auth=secrets, server_tls_certificate=certificate, name='smarthost')

        harness.private_network()
        t.run([ip, 'link', 'add', 'here', 'type', 'veth', 'peer', 'name', 'there', 'netns', str(there.process.pid)])
        for where, name, address in (([], 'here', '192.0.2.1/24'), (['nsenter', '-n', '-t', str(there.process.pid)], 'there', '192.0.2.2/24')):
            t.run([*where, ip, 'addr', 'add', address, 'dev', name])
            t.run([*where, ip, 'link', 'set', name, 'up'])
        t.run([ip, 'addr', 'add', office, 'dev', 'lo'])
        self.behind_socks = t.next_hop()
        test_socks.SocksServer(t, test_socks.granted, relay_to=self.behind_socks.port, port=9050)
        mail = {'example.net': smarthost, 'example.org': smarthost}
        zone = {(name, MX): Answer((MX, (10, 'mail.' + name))) for name in mail}
        zone.update({('mail.' + name, A): Answer((A, address)) for name, address in mail.items()})
        zone.update({('mail.' + name, AAAA): Answer() for name in mail})
        NameServer(t, zone, port=53)
        helper_servers.milter(t, port=8891)
        helper_servers.milter(t, socket='/run/clamav/milter.sock')
        os.chmod('/run/clamav/milter.sock', 0o777)
        helper_servers.spamd(t, port=783)

    def arrived(self):
        return len(self.plain.messages) + len(self.behind_socks.messages) + len(self.strict.messages())


def prepare(t, where):
    folder = t.folder(where.replace(':', '-'), 0o777)
    for spool in ('spool', 'in', 'out'):
        (folder / spool).mkdir()
        os.chmod(folder / spool, 0o777)
    (folder / 'emailrelay.conf').write_text('spool-dir spool\ninterface 127.0.0.1\nlog\n')
    (folder / 'bin').mkdir()
    for program in harness.bin_dir.glob('emailrelay*'):
        (folder / 'bin' / program.name).symlink_to(program)
    return folder


def environment(folder):
    return {'PATH': f'{folder}/bin:{os.environ["PATH"]}'}


def shell(t, command, folder):
    done = t.try_run(['bash', '-ec', command], cwd=folder, env=environment(folder))
    if done.returncode != 0:
        fail(f'{command}: status {done.returncode}\n{done.stdout}{done.stderr}')


def submit(host, port, given, recipient):
    """A message, by a client that does what the options ask for."""
    with smtplib.SMTP(host, port, local_hostname='client', timeout=harness.patience, source_address=(host, 0)) as client:
        client.ehlo()
        if '--server-tls' in given:
            trusting = ssl.create_default_context()
            trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
            client.starttls(context=trusting)
            client.ehlo()
        if '--server-auth' in given:
            client.login('alice', 'pass word')
        client.sendmail('me@example.com', [recipient], b'Subject: x\r\n\r\nhello\r\n')


def serve(t, servers, where, block, folder):
    commands = re.sub(r'\\\n', ' ', block).split('\n')
    at = next(i for i, command in enumerate(commands) if command.startswith('emailrelay --'))
    if commands[:at]:
        shell(t, '\n'.join(commands[:at]), folder)
    given = shlex.split(commands[at])[1:]
    log = folder / 'log'
    log.touch()
    os.chmod(log, 0o666)
    relay = harness.Relay(t, [t.program, *given, '--no-daemon', '--verbose', '--no-syslog', f'--log-file={log}'], name=where, cwd=folder,
                          env=environment(folder))
    harness.until(lambda: not relay.running() or 'smtp server on' in log.read_text(), 'listening')
    if not relay.running():
        fail(relay.output)
    host, port = re.search(r'smtp server on ([0-9.]+):(\d+)$', log.read_text(), re.M).groups()
    host = '127.0.0.1' if host == '0.0.0.0' else host
    before = servers.arrived()
    submit(host, int(port), given, 'you@example.net')
    if {'--as-proxy', '--in-forward-to'} & set(given):
        harness.until(lambda: servers.arrived() == before + 1, f'message sent on; {log.read_text()}')
    if '--pop' in given:
        if '--domain' in given:
            submit(host, int(port), given, 'alice@office.example')
        box = poplib.POP3(host, 110, timeout=harness.patience)
        box.apop('alice', 'pass word')
        equal(box.stat()[0], 1, 'messages in the mailbox')
        assert b'hello' in box.retr(1)[1], box
        box.quit()
    if commands[at + 1:]:
        shell(t, '\n'.join(commands[at + 1:]), folder)
    relay.terminate()


def forward(t, servers, block, folder):
    for spool in (folder / 'spool', '/var/spool/emailrelay'):
        harness.Spool(spool).add('emailrelay.1.1.1')
    before = servers.arrived()
    shell(t, block, folder)
    equal(servers.arrived(), before + 1, 'messages arrived')


@harness.limit(300)
def test_commands(t):
    servers = Servers(t, private_world(t))
    for where, kind, how, block in blocks():
        if kind != 'run':
            continue
        with t.row(where):
            folder = prepare(t, where)
            for left in os.listdir('/var/spool/emailrelay'):
                path = os.path.join('/var/spool/emailrelay', left)
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
            try:
                if how == 'serve':
                    serve(t, servers, where, block, folder)
                elif how == 'forward':
                    forward(t, servers, block, folder)
                else:
                    equal(how, None)
                    shell(t, block, folder)
            except (smtplib.SMTPException, poplib.error_proto) as e:
                fail(repr(e))


def test_links_lead_somewhere(t):
    for path in [*sorted(docs.glob('*.md')), docs.parent / 'README.md', docs.parent / 'CHANGELOG.md']:
        for link in re.findall(r'\]\(([^)#]+)(?:#[^)]*)?\)', path.read_text()):
            if '://' not in link:
                with t.row(f'{path.name}: {link}'):
                    assert (path.parent / link).exists()
