"""Command lines and configuration files, good and bad: texts and exit codes of spec/command-line.md."""
import re

import harness
from harness import domain, equal, match

hint = '            try "emailrelay --help --verbose" for more information\n'


def refused(t, words, *texts, prefix='error', with_hint=True):
    with t.row(' '.join(map(str, words))):
        done = t.emailrelay(*words)
        wanted = ''.join(f'emailrelay: {prefix}: {text}\n' for text in sorted(texts)) + (hint if with_hint else '')
        got = done.stderr
        if prefix == 'error':  # the order of several is free
            lines = got.splitlines(True)
            got = ''.join(sorted(lines[:len(texts)]) + lines[len(texts):])
        equal((done.returncode, done.stdout, got), (1, '', wanted))


def test_parse_errors(t):
    refused(t, ['--foo'], 'invalid option: "--foo"')
    refused(t, ['--foo=1'], 'invalid option: "--foo"')
    refused(t, ['-Z1'], 'no value supplied for -Z')
    refused(t, ['-R'], 'invalid option: "-R"')
    refused(t, ['--spool-di=/tmp'], 'invalid option: "--spool-di"')
    refused(t, ['--spool-dir'], 'no value supplied for "--spool-dir"')
    refused(t, ['-s'], 'no value supplied for -s')
    refused(t, ['-p25'], 'no value supplied for -p')
    refused(t, ['-lp', '25'], 'no value supplied for -p')
    refused(t, ['--spool-dir', '-x'],
            '"--spool-dir -x" is probably a mistake, use "--spool-dir=... -x" or "--spool-dir=-x"')
    refused(t, ['--log=maybe'], 'cannot give a value with "--log" (maybe)')
    refused(t, ['--log', '--log=no'], 'conflicting values: "--log"')
    refused(t, ['--port=1', '--port=2'], 'duplicate use of "--port"')
    refused(t, ['-p', '1', '-p', '2'], 'duplicate use of "-p"')
    refused(t, ['--foo', '--bar', '--foo'], 'invalid option: "--foo"', 'invalid option: "--bar"')
    refused(t, ['--foo', '--version'], 'invalid option: "--foo"')


def test_usage_errors(t):
    def usage(words, text):
        refused(t, words, text, prefix='usage error', with_hint=False)

    usage(['--no-syslog', '--syslog=foo'], "invalid --syslog facility: use 'mail', 'user', 'daemon', or 'local0' to 'local7'")
    usage(['--poll=0', '--forward-to=h:1'], 'invalid --poll period: try --forward-on-disconnect')
    usage(['--poll=x', '--forward-to=h:1'], 'invalid --poll period: try --forward-on-disconnect')
    usage(['--pop-port=1'], 'pop options require --pop')
    usage(['--pop'], 'the --pop option requires --pop-auth')
    usage(['--admin-terminate'], 'the --admin-terminate option requires --admin')
    usage(['--forward-to=h:1', '--as-client=h:1'], '--forward-to cannot be used with --as-client or --as-proxy')
    usage(['--forward-to=h:1', '--as-proxy=h:1'], '--forward-to cannot be used with --as-client or --as-proxy')
    usage(['--forward'], '--forward requires --forward-to')
    usage(['--forward-on-disconnect'], '--forward-on-disconnect requires --forward-to')
    usage(['--client-filter=/bin/true'], '--client-filter requires --forward-to')
    for option in ('filter=/bin/true', 'port=25', 'server-auth=/x'):
        name = option.split('=')[0]
        usage([f'--{option}', '--dont-serve'], f'the --{name} option cannot be used with --as-client or --dont-serve')
        usage([f'--{option}', '--as-client=h:1'], f'the --{name} option cannot be used with --as-client or --dont-serve')
        usage([f'--{option}', '--no-smtp'], f'the --{name} option cannot be used with --no-smtp')
    usage(['--server-auth-config=m:'], 'the --server-auth-config option requires --server-auth')
    usage(['--client-auth-config=m:'], 'the --client-auth-config option requires --client-auth')
    usage(['--verbose'], 'the --verbose option must be used with --log, --help, --as-client, --as-server or --as-proxy')
    usage(['--debug'], 'the --debug option requires --log, --as-client, --as-server or --as-proxy')
    usage(['--client-tls', '--client-tls-connection'], 'the --client-tls and --client-tls-connection options cannot be used together')
    usage(['--server-tls', '--server-tls-connection'], 'the --server-tls and --server-tls-connection options cannot be used together')
    usage(['--server-tls'], 'the --server-tls option requires --server-tls-certificate')
    usage(['--server-tls-connection'], 'the --server-tls-connection option requires --server-tls-certificate')
    usage(['--server-tls-certificate=/x'], 'the --server-tls options require either --server-tls or --server-tls-connection')
    usage(['--client-tls-required'], 'the --client-tls- options require --client-tls or --client-tls-connection')
    usage(['--client-tls', '--client-tls-verify-name=x'], 'the --client-tls-verify-name options requires --client-tls-verify')
    usage(['--server-tls-required'], '--server-tls-required requires --server-tls or --server-tls-connection')
    usage(['--interface=client=127.0.0.1'],
          'using --interface with client= is no longer supported: use --client-interface instead')
    usage(['--dnsbl=example.com'], '--dnsbl requires --remote-clients or -r')
    usage(['--client-interface=127.0.0.1', '--forward-to=/tmp/x'],
          'the --client-interface option cannot be used with a unix-domain forwarding address')
    usage(['--domain='], 'the --domain value must not be empty')


def test_surplus_words(t):
    file = t.file('a.conf', 'log\n')
    with t.row('two words'):
        done = t.emailrelay(file, 'more')
        equal((done.returncode, done.stderr), (1, 'emailrelay: usage error: too many non-option arguments\n' + hint))
    with t.row('option behind the file'):
        done = t.emailrelay(file, '--log')
        equal((done.returncode, done.stderr), (1, 'emailrelay: usage error: too many non-option arguments\n' + hint))


def test_help_and_version(t):
    done = t.emailrelay('--help')
    equal((done.returncode, done.stderr), (0, ''))
    match(done.stdout, r'^E-MailRelay V\d[^\n]*\n\nabbreviated usage: emailrelay \[')
    match(done.stdout, r'For complete usage information run "emailrelay --help --verbose"')
    assert all(len(line) <= 79 for line in done.stdout.splitlines()), done.stdout
    for words in (['--help', '--verbose'], ['-hv'], ['-h', '--foo', '--verbose']):
        with t.row(str(words)):
            done = t.emailrelay(*words)
            equal((done.returncode, done.stderr), (0, ''))
            for heading in ('Basic', 'SMTP client', 'SMTP server', 'POP server', 'Admin server', 'Authentication', 'TLS',
                            'Process', 'Logging'):
                match(done.stdout, rf'(?m)^{heading} options')
    done = t.emailrelay('--version')
    equal((done.returncode, done.stderr), (0, ''))
    match(done.stdout, r'^E-MailRelay V\d')
    assert 'threading' not in done.stdout
    for words in (['--version', '--verbose'], ['-Vv']):
        with t.row(str(words)):
            done = t.emailrelay(*words)
            equal(done.returncode, 0)
            match(done.stdout, r'threading:.*enabled')
            match(done.stdout, r'Unix domain sockets: enabled')


def serves(t, *words, name=domain, **how):
    """The relay started with these words listens on 127.0.0.1; the connection's first line."""
    relay = t.relay(*words, **how)
    with relay.connect() as wire:
        line = wire.expect(rf'220 {re.escape(name)} -- .*')
    relay.terminate()
    return relay


def test_forms_that_are_accepted(t):
    spool = t.spool()
    base = ['-t', '-l', '-n', '--user=root'] if harness.is_root() else ['-t', '-l', '-n']
    for words in (['-s', str(spool.path), '-p', '0', '-I', '127.0.0.1', '-D', domain],
                  ['--spool-dir', str(spool.path), '--port', '0', '--interface', '127.0.0.1', '--domain', domain],
                  ['--spool-dir=' + str(spool.path), '--port=0', '--port=0', '--interface=127.0.0.1', '-D', domain],
                  ['--spool-dir=' + str(spool.path), '-p', '0', '--interface=127.0.0.1', '-D', domain, '--verbose=no'],
                  ['--spool-dir=' + str(spool.path), '-p', '0', '--interface=127.0.0.1', '-D', domain, '--log=Yes', '--anonymous=', '-gv']):
        with t.row(' '.join(words)):
            serves(t, *base, *words, no_daemon=None, log=None, verbose=None, no_syslog=None, spool_dir=None, interface=None,
                   port=None, domain=None, user=None)


def test_bad_numbers_give_the_default(t):
    """--port=abc listens on 25."""
    harness.private_network()
    relay = t.relay(port='abc')
    equal(relay.port, 25)
    relay.terminate()
    done = t.emailrelay('--no-daemon', '--port=70000', f'--spool-dir={t.spool().path}', '--interface=127.0.0.1')
    match(done.stderr, r'emailrelay: error: address error: port number too big')
    assert done.returncode in (1, 2)


def test_configuration_file(t):
    spool = t.spool()
    user = 'user root\n' if harness.is_root() else ''
    rows = {
        'plain': f'log\nno-daemon\nno-syslog\nspool-dir {spool.path}\nport 0\ninterface 127.0.0.1\ndomain {domain}\n{user}',
        'other forms': f'''
# a comment
   # another
  log = yes
no-daemon=1
no-syslog   true\t
spool-dir="{spool.path}"
port=0
interface\t127.0.0.1
domain = "{domain}"
verbose no
{user}''',
        'CR-LF': f'log\r\nno-daemon\r\nno-syslog\r\nspool-dir {spool.path}\r\nport 0\r\ninterface 127.0.0.1\r\ndomain {domain}\r\n{user}',
        'dashes in front': f'--log\n--no-daemon\n--no-syslog\n--spool-dir {spool.path}\n--port 0\n--interface 127.0.0.1\n--domain {domain}\n{user}',
    }
    none = dict(no_daemon=None, log=None, verbose=None, no_syslog=None, spool_dir=None, interface=None, port=None, domain=None, user=None)
    for name, text in rows.items():
        with t.row(name):
            serves(t, t.file('relay.conf', text), **none)
    with t.row('behind --'):
        serves(t, '--', t.file('relay.conf', rows['plain']), **none)
    with t.row('# in a value'):
        serves(t, t.file('relay.conf', rows['plain'].replace(domain, 'a#b.c')), name='a#b.c', **none)
    with t.row('merged with the command line'):
        serves(t, '--port=0', '--log', t.file('relay.conf', rows['plain'].replace('log\n', '', 1)), **none)


def test_configuration_from_a_pipe(t):
    """As of `emailrelay <(generate)`: it can be read once."""
    spool = t.spool()
    text = f'user root\nspool-dir {spool.path}\nport 2599\n'
    conf = t.file('relay.conf', text)
    for name, command, env in [('substitution', f'"$@" <(cat {conf})', {}), ('standard input', f'cat {conf} | "$@" /dev/stdin', {}),
                               ('of a variable', f'"$@" --env --user=root --spool-dir={spool.path} 5< <(echo 2599)',
                                {'EMAILRELAY_PORT_FILE': '/dev/fd/5'})]:
        with t.row(name):
            done = t.try_run(['bash', '-c', command, 'bash', t.program, '--check-config'], env=env)
            equal(done.returncode, 0, done.stderr)
            match(done.stdout, f'(?m)^Spool: {spool.path}\nSMTP server: .* port 2599')


def test_bad_configuration_files(t):
    missing = t.dir / 'none.conf'
    nul = t.file('nul.conf', b'log\nport 2\x005\n')
    for words, text in [([missing], f'error reading configuration file: {missing}'),
                        (['--', missing], f'error reading configuration file: {missing}'),
                        ([nul], f'invalid character in configuration file: {nul}')]:
        with t.row(text):
            done = t.emailrelay(*words)
            equal((done.returncode, done.stdout, done.stderr.splitlines()[:1]), (1, '', [f'emailrelay: error: {text}']))
    refused(t, [t.file('a.conf', 'foo\n')], 'invalid option: "--foo"')
    refused(t, [t.file('b.conf', 'gui-x 1\n')], 'invalid option: "--gui-x"')
    refused(t, [t.file('c.conf', 'p 25\n')], 'invalid option: "--p"')
    refused(t, [t.file('d.conf', 'port\n')], 'no value supplied for "--port"')
    refused(t, ['--port=2', t.file('f.conf', 'port 1\n')], 'duplicate use of "--port"')
    refused(t, [t.file('g.conf', 'log perhaps\n')], 'cannot give a value with "--log" (perhaps)')


def test_prefixes(t):
    refused(t, ['--in-port=1'], 'invalid option: "--in-port"')


def test_warnings(t):
    relay = t.relay('--server-smtp-config=foo,chunkin', '--client-smtp-config=bar')
    for item in ('foo', 'chunkin', 'bar'):
        relay.wait_log(rf'^emailrelay: warning: unknown smtp-config item \[{item}\]$')
    relay.terminate()


def test_several_instances_from_a_file(t):
    first, second = t.spool('a'), t.spool('b')
    text = f'log\nno-daemon\nno-syslog\nin-spool-dir {first.path}\nin-port 0\nin-interface 127.0.0.1\n' \
           f'out-spool-dir {second.path}\nout-port 0\nout-interface 127.0.0.1\n'
    none = dict(no_daemon=None, log=None, verbose=None, no_syslog=None, spool_dir=None, interface=None, port=None, domain=None,
                user='root' if harness.is_root() else None)
    relay = t.relay(t.file('two.conf', text), wait=False, **none)
    relay.wait_log(r'\[in\] smtp server on')
    relay.wait_log(r'\[out\] smtp server on')
    relay.terminate()


def test_path_of_the_executable(t):
    """@app is the folder of the program."""
    relay = t.relay(spool_dir='@app/../nonexistent-spool', wait=False)
    equal(relay.wait(), 1)
    match(relay.output, rf'emailrelay: error: invalid spool directory: .*/nonexistent-spool: no such file')
    assert '@app' not in relay.output
