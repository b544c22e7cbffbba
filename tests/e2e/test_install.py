"""What `make install` puts where, and that it runs from there (docs/install.md)."""
import grp
import os
import re
import shutil
import stat

import harness
from harness import equal, find, need, need_root

build = harness.bin_dir.parent


def installed(t, name='root', before=None):
    need('cmake')
    root = t.folder(name)
    if before:
        before(root)
    t.run(['cmake', '--install', build], env={'DESTDIR': str(root)}, seconds=120)
    return root


def tree(root):
    """Each file with its type and mode, as `ls -l` shows them."""
    return {str(p.relative_to(root)): stat.filemode(p.lstat().st_mode) for p in root.rglob('*')}


def test_layout(t):
    need_root('owners')
    root = installed(t)
    found = tree(root)
    group = (root / 'var/spool/emailrelay').stat().st_gid
    equal(group, grp.getgrnam('daemon').gr_gid)
    for path, mode in {'usr/local/sbin/emailrelay': '-rwxr-xr-x',
                       'usr/local/etc/emailrelay.conf': '-rw-r--r--',
                       'usr/local/etc/emailrelay.auth': '-rw-r-----',
                       'usr/local/etc/default/emailrelay': '-rw-r--r--',
                       'usr/local/etc/pam.d/emailrelay': '-rw-r--r--',
                       'usr/local/etc/fail2ban/filter.d/emailrelay.conf': '-rw-r--r--',
                       'usr/local/etc/fail2ban/jail.d/emailrelay.conf': '-rw-r--r--',
                       'usr/local/etc/apparmor.d/usr.sbin.emailrelay': '-rw-r--r--',
                       'usr/local/libexec/emailrelay/init/emailrelay': '-rwxr-xr-x',
                       'usr/local/lib/systemd/system/emailrelay.service': '-rw-r--r--',
                       'usr/local/lib/systemd/system/emailrelay.socket': '-rw-r--r--',
                       'usr/local/lib/sysusers.d/emailrelay.conf': '-rw-r--r--',
                       'usr/local/lib/tmpfiles.d/emailrelay.conf': '-rw-r--r--',
                       'usr/local/share/doc/emailrelay/README.md': '-rw-r--r--',
                       'usr/local/share/man/man8/emailrelay.8': '-rw-r--r--',
                       'usr/local/share/man/man1/emailrelay.1': 'lrwxrwxrwx',
                       'usr/local/share/man/man5/emailrelay.conf.5': '-rw-r--r--',
                       'usr/local/share/man/man5/emailrelay-envelope.5': '-rw-r--r--',
                       'usr/local/share/man/man5/emailrelay-secrets.5': '-rw-r--r--',
                       'usr/local/share/bash-completion/completions/emailrelay': '-rw-r--r--',
                       'usr/local/share/zsh/site-functions/_emailrelay': '-rw-r--r--',
                       'usr/local/share/fish/vendor_completions.d/emailrelay.fish': '-rw-r--r--',
                       'var/spool/emailrelay': 'drwxrwsr-x'}.items():
        with t.row(path):
            equal(found.get(path), mode)
    for name in ('submit', 'sendmail'):
        path = root / f'usr/local/sbin/emailrelay-{name}'
        if path.exists():
            equal((stat.filemode(path.stat().st_mode), path.stat().st_gid), ('-rwxr-sr-x', group), name)
    equal((root / 'usr/local/etc/emailrelay.auth').stat().st_gid, group)
    for path in root.rglob('*'):
        if path.is_file() and 'share/doc' not in str(path) and path.parent.name != 'sbin':
            with t.row(f'{path}: a place that was not filled in'):
                assert b'@CMAKE' not in path.read_bytes() and b'@EMAILRELAY' not in path.read_bytes()


def test_configuration_is_left_alone(t):
    def edited(root):
        for name, text in [('emailrelay.conf', 'port 2525\n'), ('emailrelay.auth', 'mine\n')]:
            (root / 'usr/local/etc').mkdir(parents=True, exist_ok=True)
            (root / 'usr/local/etc' / name).write_text(text)
    root = installed(t, before=edited)
    equal((root / 'usr/local/etc/emailrelay.conf').read_text(), 'port 2525\n')
    equal((root / 'usr/local/etc/emailrelay.auth').read_text(), 'mine\n')


def test_not_root(t):
    """A user can install into a folder of their own, and is told what is left to do."""
    need_root('being somebody else')
    need('setpriv')
    root = t.folder('root', 0o777)
    (build / 'install_manifest.txt').touch()
    os.chmod(build / 'install_manifest.txt', 0o666)  # cmake writes it, and the folder is not theirs
    text = t.run([find('setpriv'), '--reuid=65534', '--regid=65534', '--clear-groups', 'cmake', '--install', build],
                 env={'DESTDIR': str(root)}, seconds=120)
    assert f'To be done as root: chgrp daemon {root}/var/spool/emailrelay' in text, text
    assert (root / 'usr/local/sbin/emailrelay').exists()


def test_the_installed_relay_runs(t):
    """With the configuration as installed."""
    harness.private_network()
    root = installed(t)
    conf = t.file('emailrelay.conf', (root / 'usr/local/etc/emailrelay.conf').read_text()
                  .replace('/var/spool/emailrelay', str(root / 'var/spool/emailrelay')))
    spool = harness.Spool(root / 'var/spool/emailrelay')
    relay = harness.Relay(t, [root / 'usr/local/sbin/emailrelay', '--no-daemon', '--log', '--no-syslog', conf], name='installed')
    relay.wait_log(r'info: smtp server on 127\.0\.0\.1:25$')
    wire = harness.Wire.tcp('127.0.0.1', 25)
    wire.expect('220 .*')
    wire.ask('EHLO x', 250)
    equal(wire.submit(b'x\r\n')[0], 250)
    wire.close()
    message = spool.one()
    group = os.stat(spool.path).st_gid
    equal((stat.S_IMODE(message.content_path.stat().st_mode), message.content_path.stat().st_gid), (0o660, group))
    relay.terminate()


def system_v(t, root):
    """The script of an installation in a folder, as it would be in `/`."""
    text = (root / 'usr/local/libexec/emailrelay/init/emailrelay').read_text()
    for path in ('/usr/local/', '/var/spool/', '/run/emailrelay'):
        text = text.replace(path, f'{root}{path}')
    script = t.file('init', text)
    os.chmod(script, 0o755)
    conf = root / 'usr/local/etc/emailrelay.conf'
    conf.write_text(conf.read_text().replace('/var/spool', f'{root}/var/spool') + 'no-syslog\n')
    (root / 'run').mkdir()
    return script, root / 'usr/local/etc/default/emailrelay'


def test_system_v(t):
    need_root('starting a service')
    harness.private_network()
    script, default = system_v(t, installed(t))
    pid_file = t.dir / 'root/run/emailrelay/emailrelay.pid'

    def call(word, status):
        done = t.try_run([script, word])
        equal(done.returncode, status, f'{word}: {done.stdout}{done.stderr}')
        return done.stdout + done.stderr
    call('status', 32)
    assert 'EMAILRELAY_ENABLED is not 1' in call('start', 0)
    call('status', 32)
    default.write_text(default.read_text().replace('EMAILRELAY_ENABLED=0', 'EMAILRELAY_ENABLED=1'))
    call('start', 0)
    first = pid_file.read_text().strip()
    equal(call('status', 0), f'emailrelay: running, pid {first}\n')
    assert harness.connects('127.0.0.1', 25)
    equal(call('start', 0), 'emailrelay: already running\n')
    call('restart', 0)
    second = pid_file.read_text().strip()
    assert second != first and harness.connects('127.0.0.1', 25)
    call('force-reload', 0)
    call('reload', 3)
    call('try-restart', 3)
    call('stop', 0)
    call('stop', 0)
    call('status', 32)
    assert not pid_file.exists()
    match = call('nonsense', 2)
    assert 'usage:' in match
    # a start that fails says so
    (t.dir / 'root/usr/local/etc/emailrelay.conf').write_text('nonsense\n')
    call('start', 1)


def test_system_v_setup(t):
    need_root('owners')
    root = installed(t)
    script, _ = system_v(t, root)
    shutil.rmtree(root / 'var/spool/emailrelay')
    (root / 'usr/local/etc/emailrelay.auth').unlink()
    mine = (root / 'usr/local/etc/emailrelay.conf').read_text()
    t.run([script, 'setup'])
    equal(stat.filemode((root / 'var/spool/emailrelay').stat().st_mode), 'drwxrwsr-x')
    equal(stat.filemode((root / 'run/emailrelay').stat().st_mode), 'drwxrwxr-x')
    equal(stat.filemode((root / 'usr/local/etc/emailrelay.auth').stat().st_mode), '-rw-r-----')
    equal((root / 'usr/local/etc/emailrelay.conf').read_text(), mine)


def test_scripts_are_clean(t):
    root = installed(t)
    need('shellcheck')
    t.run(['shellcheck', '-s', 'sh', '-e', 'SC1090,SC1091', root / 'usr/local/libexec/emailrelay/init/emailrelay'])


def test_the_package_knows_what_it_is_built_with(t):
    """debian/control names each library that scripts/install-deps --build does."""
    top = harness.here.parent.parent
    wanted = set(re.search(r'^build=\((.*?)\)', (top / 'scripts/install-deps').read_text(), re.S | re.M).group(1).split())
    control = (top / 'debian/control').read_text().split('\n\n')[0]
    named = set(re.findall(r'[a-z][a-z0-9.+-]+-dev', control))
    equal({name for name in wanted if name.endswith('-dev')} - {'libgtest-dev', 'libgmock-dev'}, named)
