"""The POP clients that people use read the messages and delete them: in clear, with STLS, with TLS from the first octet, by every
mechanism that they have."""
import base64
import contextlib
import mailbox
import os
import poplib
import re

import harness
from certificates import Authority
from harness import equal, match, need
from test_auth_server import both, pam_relay
from test_pop import start
from test_pop_tls import certificate_of
from test_tls import context

contents = {'m1': b'From: me@example.com\r\nSubject: one\r\n\r\n.dot\r\n..two dots\r\nFrom here\r\n',
            'm2': b'From: me@example.com\r\nSubject: two\r\n\r\n' + b'0123456789 abcdefghijklm\r\n' * 8000,
            'm3': b'From: me@example.com\r\nSubject: three\r\n\r\n\xc3\xa4 and \xe4\r\n\r\n.\r\n\r\nend\r\n'}
ways = ['clear', 'stls', 'pop3s']


def filled(t, name):
    spool = t.spool(name)
    for id, content in contents.items():
        spool.add(id, content=content)
    return spool


class Site:
    """A relay for each way, with three messages anew for each row."""

    def __init__(self, t):
        self.t, self.authority, self.relays = t, Authority(t), {}
        self.certificate = certificate_of(self.authority)
        self.rows = 0

    def relay(self, way):
        if way not in self.relays:
            words = [] if way == 'clear' else ['--server-tls', f'--server-tls-certificate={self.certificate}', '--server-tls-required']
            if way == 'pop3s':
                words.append('--pop-tls-connection')
            self.relays[way] = start(self.t, *words, spool=self.t.spool(way), name=way)
        relay = self.relays[way]
        for id, content in contents.items():
            relay.spool.add(id, content=content)
        return relay

    def folder(self):
        self.rows += 1
        return self.t.folder(f'row{self.rows}', 0o700)


def lf(text):
    return text.replace(b'\r\n', b'\n')


def bodies(messages):
    return sorted(m.split(b'\n\n', 1)[1].rstrip(b'\n') for m in map(lf, messages))


def check_bodies(got):
    """Headers are the clients' to add to, and so are line ends at the end."""
    equal(bodies(got) == bodies(contents.values()), True, f'what came: {[m[:300] for m in got]}')


def check_mechanism(relay, name):
    relay.wait_log(rf'successful authentication of remote client using mechanism \[{name}\] and plaintext secret for \[bob\]')


def test_poplib(t):
    site = Site(t)

    def auth(client, mechanism):
        if mechanism == 'user':
            client.user('bob')
            client.pass_('secret')
        elif mechanism == 'apop':
            client.apop('bob', 'secret')
        else:
            client._shortcmd('AUTH PLAIN ' + base64.b64encode(b'\0bob\0secret').decode())
    for way in ways:
        for mechanism in ('user', 'apop', 'plain'):
            if (way, mechanism) == ('stls', 'apop'):
                continue  # there was no challenge in the greeting, as there is no login in clear
            with t.row(f'{way} {mechanism}'):
                relay = site.relay(way)
                if way == 'pop3s':
                    client = poplib.POP3_SSL('127.0.0.1', relay.pop_port, timeout=harness.patience, context=context())
                else:
                    client = poplib.POP3('127.0.0.1', relay.pop_port, timeout=harness.patience)
                if way == 'stls':
                    client.stls(context())
                auth(client, mechanism)
                equal(client.stat(), (3, sum(map(len, contents.values()))))
                equal([line.split()[1].decode() for line in client.uidl()[1]], [f'{id}.content' for id in contents])
                for number, content in enumerate(contents.values(), 1):
                    equal(b'\r\n'.join(client.retr(number)[1]) + b'\r\n', content)
                    client.dele(number)
                client.quit()
                relay.spool.check_empty()


def test_curl(t):
    """Deletes too: any command may be given."""
    need('curl')
    site = Site(t)
    for way in ways:
        for mechanism in ('PLAIN', 'LOGIN', 'CRAM-MD5', '+APOP'):
            if (way, mechanism) == ('stls', '+APOP'):
                continue
            with t.row(f'{way} {mechanism}'):
                relay = site.relay(way)
                url = f'{"pop3s" if way == "pop3s" else "pop3"}://localhost:{relay.pop_port}/'
                usual = ['curl', '-sS', '--connect-to', f'localhost:{relay.pop_port}:127.0.0.1:{relay.pop_port}', '--login-options',
                         f'AUTH={mechanism}', '-u', 'bob:secret']
                usual += [] if way == 'clear' else ['--ssl-reqd', '--cacert', site.authority.certificate]
                for number, content in enumerate(contents.values(), 1):
                    kept = site.folder() / 'message'
                    t.run([*usual, '-o', kept, url + str(number)])
                    equal(kept.read_bytes() == content, True, 'content')
                for _ in contents:
                    t.run([*usual, '--head', '-X', 'DELE 1', url])
                relay.spool.check_empty()
                check_mechanism(relay, mechanism.lower().strip('+'))


def fetchmail(t, site, way, relay, protocol, auth):
    folder = site.folder()
    box = folder / 'box'
    box.mkdir()
    tls = {'clear': 'sslproto ""', 'stls': 'sslproto "TLS1.2+"', 'pop3s': 'ssl sslproto "TLS1.2+"'}[way]
    checked = '' if way == 'clear' else f'sslcertck sslcertfile {site.authority.certificate}'
    config = folder / 'fetchmailrc'
    config.write_text(f'poll localhost via 127.0.0.1 port {relay.pop_port} proto {protocol} {auth} user bob pass secret {tls} {checked} '
                      f'sslcommonname localhost mda "cat > {box}/$$"\n')
    config.chmod(0o600)
    t.run(['fetchmail', '-f', config, '-a', '--nosyslog', '--idfile', folder / 'ids', '--pidfile', folder / 'pid', '-v', '-v'],
          env={'HOME': str(folder), 'FETCHMAILHOME': str(folder)})
    return [p.read_bytes() for p in sorted(box.iterdir())]


def test_fetchmail(t):
    need('fetchmail')
    site = Site(t)
    for way in ways:
        for protocol, auth, mechanism in (('pop3', 'auth password', 'plain'), ('apop', '', 'apop'), ('pop3', 'auth cram-md5', 'cram-md5')):
            if (way, protocol) == ('stls', 'apop'):
                continue
            with t.row(f'{way} {protocol} {auth}'):
                relay = site.relay(way)
                check_bodies(fetchmail(t, site, way, relay, protocol, auth))
                relay.spool.check_empty()
                check_mechanism(relay, mechanism)


def test_mpop(t):
    need('mpop')
    site = Site(t)
    for way in ways:
        for auth in ('user', 'apop', 'plain', 'login', 'cram-md5'):
            if (way, auth) == ('stls', 'apop'):
                continue
            with t.row(f'{way} {auth}'):
                relay = site.relay(way)
                folder = site.folder()
                for part in ('box', 'box/cur', 'box/new', 'box/tmp'):
                    (folder / part).mkdir()
                tls = 'tls off' if way == 'clear' else f'tls on\ntls_trust_file {site.authority.certificate}\n' \
                                                       f'tls_starttls {"on" if way == "stls" else "off"}'
                config = folder / 'mpoprc'
                config.write_text(f'account default\nhost localhost\nport {relay.pop_port}\nuser bob\npassword secret\nauth {auth}\n{tls}\n'
                                  f'delivery maildir {folder}/box\nkeep off\nuidls_file {folder}/uidls\n')
                config.chmod(0o600)
                t.run(['mpop', '-C', config], env={'HOME': str(folder)})
                check_bodies([m.as_bytes() for m in mailbox.Maildir(folder / 'box', create=False)])
                relay.spool.check_empty()
                check_mechanism(relay, 'plain' if auth == 'user' else auth)


def test_getmail(t):
    need('getmail')
    site = Site(t)
    for way, kind, apop in (('clear', 'SimplePOP3Retriever', False), ('clear', 'SimplePOP3Retriever', True),
                            ('pop3s', 'SimplePOP3SSLRetriever', False), ('pop3s', 'SimplePOP3SSLRetriever', True)):
        with t.row(f'{way} apop={apop}'):
            relay = site.relay(way)
            folder = site.folder()
            for part in ('box', 'box/cur', 'box/new', 'box/tmp'):
                (folder / part).mkdir()
            trusted = '' if way == 'clear' else f'ca_certs = {site.authority.certificate}\n'
            (folder / 'getmailrc').write_text(
                f'[retriever]\ntype = {kind}\nserver = localhost\nport = {relay.pop_port}\nusername = bob\npassword = secret\n'
                f'use_apop = {apop}\n{trusted}[destination]\ntype = Maildir\npath = {folder}/box/\n[options]\ndelete = true\n'
                'delivered_to = false\nreceived = false\n')
            # It does not run as root.
            user = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] if harness.is_root() else []
            for path in (t.dir, folder, folder / 'box', *(folder / 'box').iterdir(), folder / 'getmailrc', site.authority.certificate.parent,
                         site.authority.certificate):
                if harness.is_root() and path not in (t.dir, site.authority.certificate.parent, site.authority.certificate):
                    os.chown(path, 65534, 65534)
                os.chmod(path, 0o755)
            t.run([*user, 'getmail', f'--getmaildir={folder}', '--rcfile=getmailrc', '-v'], env={'HOME': str(folder)})
            check_bodies([m.as_bytes() for m in mailbox.Maildir(folder / 'box', create=False)])
            relay.spool.check_empty()
            check_mechanism(relay, 'apop' if apop else 'plain')


def test_dovecot(t):
    """Dovecot's client side: a mailbox of its own that is ours. In clear: under TLS version 2.3.19 often goes to sleep, with
    Dovecot's own server as well."""
    need('doveadm')
    site = Site(t)
    relay = site.relay('clear')
    folder = site.folder()
    for part in ('home', 'run', 'state'):
        (folder / part).mkdir()
        os.chmod(folder / part, 0o777)
    os.chmod(folder, 0o755)
    config = folder / 'dovecot.conf'
    user = 'nobody' if harness.is_root() else 'root'
    group = 'nogroup' if harness.is_root() else 'root'
    config.write_text(f'base_dir = {folder}/run\nstate_dir = {folder}/state\nlog_path = {folder}/log\nmail_uid = {user}\nmail_gid = {group}\n'
                      f'mail_home = {folder}/home\nmail_location = pop3c:\npop3c_host = 127.0.0.1\npop3c_port = {relay.pop_port}\n'
                      f'pop3c_user = bob\npop3c_password = secret\npop3c_ssl = no\n'
                      'first_valid_uid = 1\nprotocols =\n')
    # Names are looked up by a process of Dovecot's own, addresses too.
    t.start([harness.find('dovecot'), '-F', '-c', config], name='dovecot')
    harness.until((folder / 'run' / 'dns-client').exists, "Dovecot's processes")
    doveadm = ['doveadm', '-c', config]
    environment = {'HOME': str(folder), 'USER': user, 'LOGNAME': user}
    got = t.run([*doveadm, '-f', 'flow', 'fetch', 'text', 'mailbox', 'INBOX', 'all'], env=environment)
    for content in contents.values():
        wanted = lf(content).decode('utf-8', 'backslashreplace').rstrip('\n')
        equal(wanted in got.replace('\r\n', '\n'), True, f'{wanted[:100]!r} in {got[:2000]!r}')
    t.run([*doveadm, 'expunge', 'mailbox', 'INBOX', 'all'], env=environment)
    relay.spool.check_empty()


def test_by_pam(t):
    relay = pam_relay(t, both, pop=True, pop_auth='pam:', pop_port=0)
    relay.pop_port = int(relay.wait_log(r'pop server on .*[:.](\d+)$').group(1))
    match(poplib.POP3('127.0.0.1', relay.pop_port, timeout=harness.patience).getwelcome().decode(), r'^\+OK POP3 server ready$')
    for way in ('user', 'plain'):
        with t.row(way):
            for id, content in contents.items():
                relay.spool.add(id, content=content)
            client = poplib.POP3('127.0.0.1', relay.pop_port, timeout=harness.patience)
            equal(client.capa().get('SASL'), ['PLAIN'])
            with contextlib.suppress(poplib.error_proto):
                client.apop('alice', 'wonderland')
                harness.fail('APOP without a challenge')
            for password, welcome in (('guess', False), ('wonderland', True)):
                try:
                    if way == 'user':
                        client.user('alice')
                        client.pass_(password)
                    else:
                        client._shortcmd('AUTH PLAIN ' + base64.b64encode(f'\0alice\0{password}'.encode()).decode())
                    entered = True
                except poplib.error_proto:
                    entered = False
                equal(entered, welcome)
            for number in range(1, 4):
                client.retr(number)
                client.dele(number)
            client.quit()
            relay.spool.check_empty()
    relay.wait_log(r'warning: pam error: pam_authenticate: 7: Authentication failure$', count=2)
    relay.wait_log(r'successful authentication of remote client using mechanism \[plain\] and pam secret for \[alice\]', count=2)
    relay.wait_log(r'pop authentication of alice connected from 127\.0\.0\.1:\d+$')
    if re.search('wonderland|guess', relay.output):
        harness.fail('a password in the log')
