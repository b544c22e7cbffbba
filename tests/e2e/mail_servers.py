"""Other people's mail servers, each with configuration, queue and mailboxes of its own in the test's folder.

Postfix and Exim take mail for anybody at their `port`. With `relayhost` (a port of this machine) it sends all of it on there, else it
files it in a mailbox: `mail()` is what has come, as bytes with LF line ends and the server's own header lines in front."""
import contextlib
import imaplib
import os

import harness
import postfix
from harness import find, need

unpacked = harness.here.parent.parent / 'build/unpacked'


class Maildir:
    """The new/ folder of a mailbox."""

    def __init__(self, path):
        self.path = path / 'new'

    def read(self):
        with contextlib.suppress(FileNotFoundError):
            return [(self.path / name).read_bytes() for name in sorted(os.listdir(self.path))]
        return []


class Postfix:
    def __init__(self, bench, relayhost=None, more=None):
        harness.need_root('a Postfix of our own')
        need('postfix', 'postconf')
        self.port = harness.free_port()
        self.address = f'127.0.0.1:{self.port}'
        folder = bench.folder(f'postfix-{self.port}')
        boxes = bench.folder(f'{folder.name}/boxes', 0o777)
        self.log = folder / 'log'
        bench.log_files.append(self.log)
        self.box = Maildir(boxes / 'all')
        self.postfix = postfix.Instance(find('postfix'), folder / 'etc', folder / 'queue', folder / 'data', self.port, {
            'import_environment': 'MAIL_CONFIG MAIL_LOGTAG LANG=C EMAILRELAY_TEST',
            'maillog_file': self.log,
            'maillog_file_prefixes': folder,
            'myhostname': 'postfix.example.net',
            'local_header_rewrite_clients': '',
            'default_transport': f'smtp:[127.0.0.1]:{relayhost}' if relayhost else 'virtual:',
            'smtp_line_length_limit': 0,
            'virtual_mailbox_domains': '',
            'virtual_mailbox_base': boxes,
            'virtual_mailbox_maps': 'static:all/',
            'virtual_uid_maps': 'static:65534',
            'virtual_gid_maps': 'static:65534',
            'minimal_backoff_time': '1s',
            'queue_run_delay': '1s',
            'transport_retry_time': '1s',
            'service_throttle_time': '1s',
            **(more or {}),
        }, env=bench.environment())

        def stop():
            self.postfix.stop()
            harness.until(lambda: not self.postfix.running(), 'postfix stopped', 10)

        self.postfix.command('start')
        bench.on_end(stop)
        # A connection would be one more visit for its milters, which ends when Postfix gets round to it.
        harness.until(lambda: harness.listens(self.port), 'postfix listening')

    def flush(self):
        """Has it try all that it keeps now, whatever its timetable."""
        self.postfix.command('flush')

    def mail(self):
        return self.box.read()


class DovecotProcess:
    """A Dovecot with settings beside those that each needs; `listening` says when it is ready."""

    def __init__(self, bench, settings, listening):
        harness.need_root('a Dovecot of our own')
        need('dovecot')
        folder = bench.folder('dovecot')
        self.log = folder / 'log'
        bench.log_files.append(self.log)
        config = bench.file('dovecot/dovecot.conf', f'''
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {self.log}
import_environment = EMAILRELAY_TEST
ssl = no
disable_plaintext_auth = no
{settings}''')
        self.process = bench.start([find('dovecot'), '-F', '-c', config], name='dovecot')

        def is_up():
            if not self.process.running():
                harness.fail(f'dovecot ended: {self.process.output}')
            return listening()
        harness.until(is_up, 'dovecot listening')


class Dovecot(DovecotProcess):
    """Its authentication service alone, at the socket `path`, for those who may log in: name and password."""

    def __init__(self, bench, accounts, mechanisms):
        self.path = bench.folder('dovecot') / 'run/asked'
        users = bench.file('dovecot/users', ''.join(f'{name}:{{PLAIN}}{password}\n' for name, password in accounts.items()))
        super().__init__(bench, f'''
protocols =
auth_mechanisms = {' '.join(mechanisms)}
passdb {{
  driver = passwd-file
  args = {users}
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}}
service auth {{
  unix_listener {self.path} {{
    mode = 0666
  }}
}}
''', self.path.exists)


class DovecotMailboxes(DovecotProcess):
    """IMAP for the maildirs in a folder, one for each user; everybody's password is "pw". It reads and changes them as a member of
    `group`."""

    def __init__(self, bench, mailboxes, group):
        self.port = harness.free_port()
        homes = bench.folder('dovecot/home', 0o777)
        super().__init__(bench, f'''
protocols = imap
listen = 127.0.0.1
mail_location = maildir:{mailboxes}/%u
first_valid_gid = 1
passdb {{
  driver = static
  args = password=pw
}}
userdb {{
  driver = static
  args = uid=nobody gid={group} home={homes}/%u allow_all_users=yes
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {self.port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
''', lambda: harness.connects('127.0.0.1', self.port))

    def login(self, user):
        connection = imaplib.IMAP4('127.0.0.1', self.port, timeout=harness.patience)
        connection.login(user, 'pw')
        return connection


class Exim:
    """The Debian program, unpacked by scripts/install-deps since it cannot be installed beside Postfix."""

    def __init__(self, bench, relayhost=None, more=''):
        program = unpacked / 'exim4-daemon-light/usr/sbin/exim4'
        if not program.exists():
            raise harness.Skip(f'{program} is not there: scripts/install-deps unpacks it')
        harness.private_mounts()
        self.port = harness.free_port()
        self.address = f'127.0.0.1:{self.port}'
        name = f'exim-{self.port}'
        folder = bench.folder(name, 0o777)
        # It insists on a user of this name.
        for file, line in (('passwd', 'Debian-exim:x:1:1::/:/bin/false\n'), ('group', 'Debian-exim:x:1:\n')):
            with open(f'/etc/{file}') as f:
                harness.mount_over(bench.file(f'{name}/{file}', f.read() + line), f'/etc/{file}')
        for part in ('spool', 'box'):
            os.chown(bench.folder(f'{name}/{part}'), 1, 1)
        self.box = Maildir(folder / 'box')
        onward = f'''
begin routers
onward:
  driver = manualroute
  transport = onward
  route_list = * 127.0.0.1
  self = send
begin transports
onward:
  driver = smtp
  port = {relayhost}
  allow_localhost
  hosts_avoid_tls = *
  message_linelength_limit = 1000000
begin retry
* * F,1h,1s
'''
        filing = f'''
begin routers
all:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  directory = {folder}/box
  maildir_format
  user = Debian-exim
'''
        config = bench.file(f'{name}/configure', f'''
primary_hostname = exim.example.net
local_interfaces = 127.0.0.1
daemon_smtp_ports = {self.port}
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
pid_file_path = {folder}/spool/pid
keep_environment = EMAILRELAY_TEST
deliver_drop_privilege
tls_advertise_hosts =
host_lookup =
chunking_advertise_hosts = *
smtputf8_advertise_hosts = *
acl_smtp_rcpt = accept
acl_smtp_data = accept
dns_ipv4_lookup = *
smtp_accept_queue_per_connection = 0
smtp_accept_max = 0
received_headers_max = 100
{more}
{onward if relayhost else filing}''')
        os.chmod(config, 0o644)
        os.chown(config, 0, 0)
        self.process = bench.start([program, '-C', config, '-bdf', '-q1s'], name='exim')

        def listening():
            if not self.process.running():
                harness.fail(f'exim ended: {self.process.output}')
            return harness.connects('127.0.0.1', self.port)
        harness.until(listening, 'exim listening')

    def mail(self):
        return self.box.read()
