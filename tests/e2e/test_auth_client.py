"""We log in to others: scripted servers for each row, Postfix with Cyrus SASL and with Dovecot, and a relay of our own."""
import base64
import os
import pwd

import harness
import mail_servers
from certificates import Authority
from harness import equal, find, match, need, until

body = b'Subject: a test\r\n\r\nHello.\r\n'
secret = 'wonder land'
file = 'client plain alice wonder+20land\n'


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


plain = b64('\0alice\0' + secret)


def server(t, offer='PLAIN LOGIN', **script):
    ehlo = '250-next.example.net\r\n250-8BITMIME\r\n' + (f'250 AUTH {offer}' if offer else '250 HELP')
    script.setdefault('EHLO', ehlo)
    return t.next_hop({'AUTH': '235 ok', **script})


def said_to(hop):
    return [line for line in hop.verbs() if line.split(' ')[0] not in ('EHLO', 'RCPT', 'DATA', 'QUIT')]


def no_secret(text):
    for one in (secret, b64(secret), plain):
        if one in text:
            harness.fail(f'{one!r} in the log')


def forward(t, hop, status=0, **options):
    said = t.forward(hop.address, status=status, debug=True, **options)
    no_secret(said)
    return said


def test_plain(t):
    hop = server(t)
    t.spool().add('emailrelay.1.1.1')
    said = forward(t, hop, client_auth=t.file('auth', file))
    equal(said_to(hop), ['AUTH PLAIN ' + plain, 'MAIL FROM:<me@example.com> AUTH=alice'])
    match(said, r'tx>>: "AUTH PLAIN \[not logged\]"')
    match(said, r'successful authentication with remote server using mechanism \[plain\] and plaintext secret for \[alice\] from line 1\n')
    t.spool().check_empty()


def test_inline_secret(t):
    hop = server(t)
    t.spool().add('emailrelay.1.1.1')
    said = forward(t, hop, client_auth=f'plain:{b64("alice")}:{b64(secret)}')
    equal(said_to(hop)[0], 'AUTH PLAIN ' + plain)
    match(said, r'and plaintext secret for \[alice\]\n')
    result = t.try_run([t.program, '--as-client', hop.address, f'--spool-dir={t.spool().path}', '--client-auth=plain:!:x',
                        *(['--user=root'] if harness.is_root() else [])])
    equal((result.returncode, result.stderr), (1, 'emailrelay: error: invalid client account details\n'))


def test_falls_through_and_fails(t):
    hop = server(t, 'CRAM-MD5 PLAIN LOGIN', AUTH=['535 no', '535 no', '535 go\taway'])
    spool = t.spool()
    spool.add('emailrelay.1.1.1')
    said = forward(t, hop, status=1, client_auth=t.file('auth', file))
    equal(said_to(hop), ['AUTH CRAM-MD5', 'AUTH PLAIN ' + plain, 'AUTH LOGIN ' + b64('alice')])
    wanted = r'authentication failed using mechanism [login] and plaintext secret for [alice] from line 1: [go\taway]'
    bad = spool.one('bad')
    match(bad.field('Reason'), '^authentication failed using mechanism ')
    equal(bad.field('ReasonCode'), '')
    if 'warning: smtp client error: ' + wanted not in said:
        harness.fail(said)


def test_configuration(t):
    for config, wanted in (('login', ['AUTH LOGIN ' + b64('alice')]), ('m:login', ['AUTH LOGIN ' + b64('alice')]),
                           ('x:plain', ['AUTH LOGIN ' + b64('alice')]), ('a:plain', ['AUTH PLAIN ' + plain])):
        with t.row(config):
            hop = server(t)
            t.spool(config.replace(':', '')).add('emailrelay.1.1.1')
            forward(t, hop, client_auth=t.file('auth', file), client_auth_config=config, spool=t.spool(config.replace(':', '')))
            equal(said_to(hop)[:1], wanted)


def test_accounts(t):
    hop = server(t)
    spool = t.spool()
    spool.add('emailrelay.1.1.1', ClientAccountSelector='work')
    spool.add('emailrelay.1.1.2', ClientAccountSelector='quiet')
    spool.add('emailrelay.1.1.3')
    forward(t, hop, client_auth=t.file('auth', file + 'client plain bob builder work\nclient plain:b = = quiet\n'))
    equal(said_to(hop), ['AUTH PLAIN ' + b64('\0bob\0builder'), 'MAIL FROM:<me@example.com> AUTH=bob',
                         'MAIL FROM:<me@example.com>',
                         'AUTH PLAIN ' + plain, 'MAIL FROM:<me@example.com> AUTH=alice'])
    spool.add('emailrelay.1.1.4', ClientAccountSelector='nobody')
    said = forward(t, hop, status=1, client_auth=t.dir / 'auth')
    match(said, r'warning: smtp client error: no client authentication account: selector \[nobody\]\n')
    equal(spool.one('bad').field('Reason'), 'no client authentication account: selector [nobody]')


def test_errors(t):
    rows = (('', 'authentication is not supported by the remote smtp server'),
            ('NTLM', 'cannot do authentication: check for a compatible client secret'))
    for offer, reason in rows:
        with t.row(offer):
            hop = server(t, offer)
            spool = t.spool('spool' + offer)
            spool.add('emailrelay.1.1.1')
            forward(t, hop, status=1, client_auth=t.file('auth', file), spool=spool)
            equal(spool.one('bad').field('Reason'), reason)
            equal(hop.verbs()[1:2], [])


def test_xoauth2(t):
    token = 'user=alice\x01auth=Bearer abc\x01\x01'
    hop = server(t, 'XOAUTH2', AUTH='334 ' + b64('{"status":"400"}'), NOOP='535 no')
    hop.script[''] = '535 no'
    spool = t.spool()
    spool.add('emailrelay.1.1.1')
    forward(t, hop, status=1, client_auth=t.file('auth', f'client oauth alice {b64(token)}\n'))
    equal(said_to(hop), ['AUTH XOAUTH2 ' + b64(token), ''])
    match(spool.one('bad').field('Reason'), r'mechanism \[xoauth2\] and oauth secret for \[alice\] from line 1')


def asking_postfix(t, **more):
    """Postfix that takes mail from those alone who have logged in."""
    return mail_servers.Postfix(t, more={'smtpd_sasl_auth_enable': 'yes', 'smtpd_sasl_security_options': 'noanonymous',
                                         'mynetworks': '192.0.2.1/32',
                                         'smtpd_relay_restrictions': 'permit_sasl_authenticated, reject', **more})


def cyrus_postfix(t, **more):
    """With the library's own list of accounts: alice is the only one."""
    harness.need_root('a Postfix of our own')
    need('postfix', 'saslpasswd2')
    if not os.path.exists('/etc/sasldb2'):
        raise harness.Skip('/etc/sasldb2 is not there to be mounted over')
    database = t.folder('sasl') / 'sasldb2'
    t.run(['saslpasswd2', '-p', '-c', '-f', database, '-u', 'postfix.example.net', 'alice'], input=secret)
    owner = pwd.getpwnam('postfix')
    os.chown(database, owner.pw_uid, owner.pw_gid)
    harness.private_mounts()
    harness.mount_over(database, '/etc/sasldb2')
    return asking_postfix(t, smtpd_sasl_path='smtpd', smtpd_sasl_local_domain='postfix.example.net', **more)


def dovecot_postfix(t, **more):
    dovecot = mail_servers.Dovecot(t, {'alice': secret}, common)
    return asking_postfix(t, smtpd_sasl_type='dovecot', smtpd_sasl_path=dovecot.path, **more)


common = ('plain', 'login', 'cram-md5', 'scram-sha-256')


def check_postfix(t, postfix):
    """Each mechanism in turn, in clear."""
    auth = t.file('auth', file)
    for count, mechanism in enumerate(common, 1):
        with t.row(mechanism):
            spool = t.spool(mechanism)
            spool.add('emailrelay.1.1.1')
            said = t.forward(postfix.address, client_auth=auth, client_auth_config='m:' + mechanism, spool=spool)
            match(said, rf'successful authentication with remote server using mechanism \[{mechanism}\]')
            no_secret(said)
            spool.check_empty()
            until(lambda: len(postfix.mail()) == count, 'delivered')
    with t.row('wrong password'):
        spool = t.spool('wrong')
        spool.add('emailrelay.1.1.1')
        t.forward(postfix.address, client_auth=t.file('wrong-auth', 'client plain alice guess\n'), spool=spool, status=1)
        match(spool.one('bad').field('Reason'), '^authentication failed using mechanism ')


@harness.limit(180)
def test_postfix_with_cyrus(t):
    check_postfix(t, cyrus_postfix(t))


@harness.limit(180)
def test_postfix_with_dovecot(t):
    check_postfix(t, dovecot_postfix(t))


def check_postfix_over_tls(t, make):
    """Postfix offers logging in under TLS alone. Each mechanism with each library."""
    authority = Authority(t)
    certificate = authority.issue('postfix.example.net', san='DNS:postfix.example.net')
    postfix = make(t, smtpd_tls_chain_files=certificate, smtpd_tls_security_level='may', smtpd_tls_auth_only='yes')
    auth = t.file('auth', file)
    count = 0
    for library in ('openssl', 'mbedtls'):
        for mechanism in common:
            count += 1
            with t.row(f'{library} {mechanism}'):
                spool = t.spool(f'{library}-{mechanism}')
                spool.add('emailrelay.1.1.1')
                said = t.forward(postfix.address, '--client-tls', '--client-tls-required', client_auth=auth, client_auth_config='m:' + mechanism,
                                 client_tls_verify=authority.certificate, client_tls_verify_name='postfix.example.net',
                                 tls_config=library, spool=spool)
                match(said, rf'successful authentication with remote server over tls using mechanism \[{mechanism}\]')
                no_secret(said)
                spool.check_empty()
                until(lambda: len(postfix.mail()) == count, 'delivered')
    with t.row('in clear'):
        spool = t.spool('clear')
        spool.add('emailrelay.1.1.1')
        t.forward(postfix.address, client_auth=auth, spool=spool, status=1)
        equal(spool.one('bad').field('Reason'), 'authentication is not supported by the remote smtp server')


@harness.limit(240)
def test_postfix_with_cyrus_over_tls(t):
    check_postfix_over_tls(t, cyrus_postfix)


@harness.limit(240)
def test_postfix_with_dovecot_over_tls(t):
    check_postfix_over_tls(t, dovecot_postfix)


def comes_in_by_postfix(t, relay, **more):
    passwords = t.file('sasl_passwd', f'[127.0.0.1]:{relay.port} alice:{secret}\n')
    postfix = mail_servers.Postfix(t, relayhost=relay.port, more={'smtp_sasl_auth_enable': 'yes', 'smtp_sasl_security_options': 'noanonymous',
                                                                  'smtp_sasl_password_maps': f'texthash:{passwords}', **more})
    with harness.Wire.tcp('127.0.0.1', postfix.port) as wire:
        wire.expect('220 .*')
        wire.ask('EHLO x', 250)
        equal(wire.submit(body)[0], 250)
    relay.spool.wait_count(1)
    message = relay.spool.one()
    equal(message.field('Authentication'), 'alice')
    for name in relay.spool.names():
        (relay.spool.path / name).unlink()
    return message


@harness.limit(120)
def test_postfix_logs_in_to_us(t):
    need('postfix')
    comes_in_by_postfix(t, t.relay(server_auth=t.file('auth', 'server plain alice wonder+20land\n')))


@harness.limit(240)
def test_postfix_logs_in_to_us_over_tls(t):
    """It wants a good certificate, and logs in under TLS alone."""
    need('postfix')
    authority = Authority(t)
    certificate = authority.issue('127.0.0.1', san='IP:127.0.0.1,DNS:relay.example.net')
    for library in ('openssl', 'mbedtls'):
        relay = t.relay('--server-tls', '--server-tls-required', f'--server-tls-certificate={certificate}', tls_config=library,
                        server_auth=t.file('auth', 'server plain alice wonder+20land\n'), name=library, spool=t.spool(library),
                        server_auth_config='m:;a:' + ','.join(common))
        for mechanism in common:
            with t.row(f'{library} {mechanism}'):
                comes_in_by_postfix(t, relay, smtp_tls_security_level='secure', smtp_tls_CAfile=authority.certificate,
                                    smtp_tls_secure_cert_match='relay.example.net', smtp_sasl_mechanism_filter=mechanism,
                                    smtp_sasl_security_options='noanonymous', smtp_sasl_tls_security_options='noanonymous')
                relay.wait_log(rf'successful authentication of remote client using mechanism \[{mechanism}\]')


@harness.limit(120)
def test_two_relays(t):
    """Each mechanism that both sides have, with plain secrets and masked ones."""
    masked = t.run([harness.bin_dir / 'emailrelay-passwd', '--hash=sha512'], input=secret).strip()
    relay = t.relay(server_auth=t.file('server', f'server plain alice wonder+20land\nserver sha512 bob {masked}\n'),
                    server_auth_config='m:scram-sha-256,cram-sha512,cram-sha256,cram-sha1,cram-md5,plain,login')
    for name, line in (('alice', file), ('bob', f'client sha512 bob {masked}\n')):
        mechanisms = ('scram-sha-256', 'cram-sha512', 'cram-sha256', 'cram-sha1', 'cram-md5', 'plain', 'login')
        for mechanism in mechanisms if name == 'alice' else ('cram-sha512',):
            with t.row(f'{name} {mechanism}'):
                spool = t.spool(f'{name}-{mechanism}')
                spool.add('emailrelay.1.1.1')
                said = t.forward(f'127.0.0.1:{relay.port}', client_auth=t.file('client', line),
                                 client_auth_config=mechanism, spool=spool)
                no_secret(said)
                equal(relay.spool.one().field('Authentication'), name)
                equal(relay.spool.one().field('MailFromAuthIn'), name)
                for left in relay.spool.names():
                    (relay.spool.path / left).unlink()
    no_secret(relay.output)


def test_one_file_for_both_sides(t):
    hop = server(t)
    auth = t.file('auth', file + 'server plain carol x\nserver plain\n')
    result = t.try_run([t.program, '--as-proxy', hop.address, '--no-daemon', '--port=0', f'--spool-dir={t.spool().path}',
                        *(['--user=root'] if harness.is_root() else []), f'--server-auth={auth}', f'--client-auth={auth}'])
    match(result.stderr, rf'warning: problems reading secrets file \[{auth}\]\.\.\.\n')
    auth.write_text(file + 'server plain carol x\n')
    relay = t.relay('--forward-on-disconnect', server_auth=auth, client_auth=auth, forward_to=hop.address)
    with relay.greeted() as wire:
        wire.ask('AUTH PLAIN ' + b64('\0carol\0x'), 235)
        equal(wire.submit(body), (250, ['message processed']))
    hop.wait_messages(1)
    equal(said_to(hop)[0], 'AUTH PLAIN ' + plain)
