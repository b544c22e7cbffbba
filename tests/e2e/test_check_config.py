"""--check-config and --env."""
import os

import harness
import test_filters
from certificates import Authority
from harness import equal, is_root, match

user = ['--user=root'] if is_root() else []


def test_correct(t):
    spool = t.spool()
    conf = t.file('conf', f'spool-dir {spool.path}\ninterface 127.0.0.1,smtp={t.dir}/socket\nport 2525\nadmin 2526\nremote-clients\ndnsbl bl.example.org,1\nforward-to smtp.example.com:25\npoll 60\nlog\n')
    done = t.emailrelay('--check-config', *user, conf)
    equal((done.returncode, done.stderr), (0, ''))
    equal(done.stdout, f'''The configuration is correct.
It would run in the background.
Log to syslog: mail

Spool: {spool.path}
SMTP server: 127.0.0.1 port 2525, {t.dir}/socket
Clients: any address
Block lists: bl.example.org
Admin server: 127.0.0.1 port 2526
Forwarding to: smtp.example.com:25
Forwarding every 60000 ms
''')
    equal(spool.names(), [])


def test_what_would_run_is_told(t):
    """Files, certificates, mechanisms, filters and addresses of every part."""
    authority = Authority(t)
    server = authority.issue('mail.example.com', rsa=True)
    client = authority.issue('client.example.com', expired=True)
    secrets = t.file('secrets', 'server plain bob secret\nclient plain bob secret\n')
    masked = t.file('masked', 'server md5 bob qeD38fvADIqBu6rDlXMbVs07p96q1uXKI0SLpC43l0c=\n')
    spool = t.spool()
    filter = test_filters.script(t, 'exit 0')
    conf = t.file('conf', f'''spool-dir {spool.path}
interface 127.0.0.1
port 2525
server-auth {secrets}
server-auth-config m:plain,cram-md5;a:plain
server-tls
server-tls-certificate {server}
server-tls-verify {authority.certificate}
address-verifier {filter}
filter {filter},msgid:,exit:0,sleepms:5,net:127.0.0.1:1,spam:127.0.0.1:2,milter:127.0.0.1:3
pop
pop-port 110
pop-auth {masked}
pop-by-name
pop-no-delete
pop-tls-connection
forward-to smtp.example.com:25
client-filter exit:0
client-tls
client-tls-required
client-tls-certificate {client}
client-tls-verify {authority.certificate}
client-auth plain:Ym9i:c2VjcmV0
log
''')
    done = t.emailrelay('--check-config', *user, conf)
    equal((done.returncode, done.stderr), (0, ''))
    equal(done.stdout, f'''The configuration is correct.
It would run in the background.
Log to syslog: mail

Spool: {spool.path}
SMTP server: 127.0.0.1 port 2525
Clients: local addresses
Accounts of SMTP clients: {secrets}
Mechanisms without TLS: CRAM-MD5 PLAIN
Mechanisms with TLS: PLAIN
Address verifier: {filter}
Filters: {filter}, msgid:, exit:0, sleepms:5, net:127.0.0.1:1, spam:127.0.0.1:2, milter:127.0.0.1:3
POP server: 127.0.0.1 port 110
POP speaks TLS from the first octet
Accounts of POP clients: {masked}
Mechanisms with TLS: none
Each POP user has a mailbox
POP clients delete nothing
Clients are offered STARTTLS
Certificate: {server}
Its subject: /CN=mail.example.com
It is good until: 2049-01-01 00:00:00 UTC
Clients' certificates are checked by: {authority.certificate}
Forwarding to: smtp.example.com:25
Forwarding with STARTTLS where it is offered
Nothing is forwarded without TLS
Certificate: {client}
Its subject: /CN=client.example.com
It has expired: 2021-01-01 00:00:00 UTC
Servers' certificates are checked by: {authority.certificate}
Accounts for forwarding: plain:...
Filters before forwarding: exit:0
''')
    equal('c2VjcmV0' in done.stdout, False, 'a secret')


def test_files_that_are_wrong(t):
    spool = t.spool()
    rubbish = t.file('rubbish', 'x\n')
    rows = [(['--server-auth=/no/where'], 'cannot read secrets file: /no/where'), ([f'--server-auth={rubbish}'], 'invalid secrets file'),
            (['--pop', '--pop-auth=/no/where'], 'cannot read secrets file: /no/where'),
            (['--pop', f'--pop-auth={rubbish}', '--pop-port=70000'], 'address error: port number too big'),
            (['--server-tls', '--server-tls-certificate=/no/where'], r'tls error: .*: file=\[/no/where\]'),
            (['--server-tls', f'--server-tls-certificate={rubbish}'], r'tls error: .*: file=\[' + str(rubbish) + r'\]')]
    for words, wanted in rows:
        with t.row(' '.join(words)):
            done = t.emailrelay('--check-config', f'--spool-dir={spool.path}', *user, *words)
            equal((done.returncode, done.stdout), (1, ''))
            match(done.stderr, '(?m)^emailrelay: error: ' + wanted + '$')


def test_nothing_is_opened_or_changed(t):
    """It can be asked beside the running relay, with the same options."""
    relay = t.relay(pid_file=t.folder('run', 0o777) / 'pid')
    before = sorted(os.listdir(relay.spool.path))
    done = t.emailrelay('--check-config', f'--spool-dir={relay.spool.path}', '--interface=127.0.0.1', f'--port={relay.port}',
                        f'--pid-file={t.dir}/run/pid', *user)
    equal((done.returncode, done.stderr), (0, ''))
    equal(sorted(os.listdir(relay.spool.path)), before)
    relay.terminate()


def test_all_that_is_wrong_is_said(t):
    file = t.file('file', '')
    rows = [([f'--spool-dir={t.dir}/missing'], [f'invalid spool directory: {t.dir}/missing: no such file or directory']),
            ([f'--spool-dir={file}'], [f'invalid spool directory: {file}: not a directory']),
            ([f'--spool-dir={t.spool().path}', '--port=70000'], ['address error: port number too big']),
            ([f'--spool-dir={t.spool().path}', '--interface=foo/bar'], ['invalid address or interface name: foo/bar']),
            ([f'--spool-dir={t.spool().path}', f'--log-file={t.dir}/no/where', '--log'], [f'no directory for the log file: {t.dir}/no/where']),
            ([f'--spool-dir={t.spool().path}', f'--pid-file={t.dir}/no/where/pid'], [f'no directory for the pid file: {t.dir}/no/where/pid']),
            ([f'--a-spool-dir={t.dir}/m1', f'--b-spool-dir={t.dir}/m2', '--b-interface=x/y'],
             [f'invalid spool directory: {t.dir}/m1: no such file or directory', f'invalid spool directory: {t.dir}/m2: no such file or directory',
              'invalid address or interface name: x/y']),
            ([f'--spool-dir={t.spool().path}', '--forward-to=nonsense', '--forward'], None)]
    for words, wanted in rows:
        with t.row(' '.join(words)):
            done = t.emailrelay('--check-config', *user, *words)
            equal((done.returncode, done.stdout), (1, ''))
            if wanted is not None:
                equal(done.stderr.splitlines(), [f'emailrelay: error: {text}' for text in wanted])


def test_user(t):
    harness.need_root('becoming another user')
    done = t.emailrelay('--check-config', f'--spool-dir={t.spool().path}', '--user=nobody-of-this-name')
    equal((done.returncode, done.stderr), (1, 'emailrelay: error: no such user: nobody-of-this-name\n'))
    done = t.emailrelay('--check-config', f'--spool-dir={t.spool().path}')
    equal(done.returncode, 0)
    assert 'Root would be given up for the user daemon.' in done.stdout


def test_a_spool_that_may_not_be_written(t):
    harness.need_root('becoming another user')
    harness.need('setpriv')
    spool = t.folder('theirs', 0o755)
    done = t.try_run([harness.find('setpriv'), '--reuid=65534', '--regid=65534', '--clear-groups', t.program, '--check-config', f'--spool-dir={spool}'])
    equal((done.returncode, done.stderr), (1, f'emailrelay: error: invalid spool directory: {spool}: permission denied\n'))


def test_usage_errors_come_as_ever(t):
    done = t.emailrelay('--check-config', '--nonsense')
    equal(done.returncode, 1)
    assert 'invalid option: "--nonsense"' in done.stderr


def test_nothing_to_do(t):
    done = t.emailrelay('--check-config', '--dont-serve', f'--spool-dir={t.spool().path}', *user)
    equal(done.returncode, 0)
    assert 'There would be nothing to do.' in done.stdout


# ---------------------------------------------------------------- --env

def test_environment(t):
    """A relay whose options are all variables, as in a container."""
    spool = t.spool()
    domain = t.file('domain', 'from.a.file\n')
    env = {'EMAILRELAY_NO_DAEMON': 'yes', 'EMAILRELAY_LOG': '1', 'EMAILRELAY_VERBOSE': '1', 'EMAILRELAY_NO_SYSLOG': 'true', 'EMAILRELAY_INTERFACE': '127.0.0.1',
           'EMAILRELAY_PORT': '0', 'EMAILRELAY_SPOOL_DIR': str(spool.path), 'EMAILRELAY_DOMAIN_FILE': str(domain),
           'EMAILRELAY_USER': 'root' if is_root() else ''}
    relay = harness.Relay(t, [t.program, '--env'], name='emailrelay', env=env)
    port = relay.wait_log(r'smtp server on 127\.0\.0\.1:(\d+)$').group(1)
    wire = harness.Wire.tcp('127.0.0.1', int(port))
    wire.expect(r'220 from\.a\.file -- .*')
    relay.terminate()


def test_the_environment_comes_last(t):
    conf = t.file('conf', f'env\nlog\nno-syslog\nno-daemon\ninterface 127.0.0.1\nport 0\nspool-dir {t.spool().path}\n')
    env = {'EMAILRELAY_PORT': '1', 'EMAILRELAY_INTERFACE': '127.0.0.9', 'EMAILRELAY_DOMAIN': 'from.environment'}
    relay = harness.Relay(t, [t.program, *user, conf], name='emailrelay', env=env)
    port = relay.wait_log(r'smtp server on 127\.0\.0\.1:(\d+)$').group(1)
    harness.Wire.tcp('127.0.0.1', int(port)).expect(r'220 from\.environment -- .*')
    relay.terminate()


def test_without_the_option_the_environment_means_nothing(t):
    relay = t.relay(env={'EMAILRELAY_DOMAIN': 'from.environment', 'EMAILRELAY_PORT_FILE': '/nowhere'})
    relay.connect().expect(rf'220 {harness.domain} -- .*')
    relay.terminate()


def test_mistakes_in_the_environment(t):
    done = t.emailrelay('--env', env={'EMAILRELAY_LOG': 'maybe', 'EMAILRELAY_PORT_FILE': '/nowhere', 'EMAILRELAY_SIZE': '1', 'EMAILRELAY_SIZE_FILE': '/x'})
    equal(done.returncode, 1)
    equal(done.stderr.splitlines()[:3], ['emailrelay: error: EMAILRELAY_SIZE and EMAILRELAY_SIZE_FILE cannot be used together',
                                         'emailrelay: error: cannot give a value with "--log" (maybe)',
                                         'emailrelay: error: cannot read the file of EMAILRELAY_PORT_FILE: /nowhere'])
