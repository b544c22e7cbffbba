"""A Postfix of one's own beside whatever the machine has: configuration, queue and data in folders of the caller's, mail taken
at one port of 127.0.0.1. Needs root. Used by the tests (mail_servers.py) and by bench/bench.py."""
import contextlib
import os
import pwd
import subprocess

settings = {
    'compatibility_level': '3.6',
    'command_directory': '/usr/sbin',
    'daemon_directory': '/usr/lib/postfix/sbin',
    'mail_owner': 'postfix',
    'setgid_group': 'postdrop',
    'inet_interfaces': '127.0.0.1',
    'inet_protocols': 'ipv4',
    'mydestination': '',
    'mynetworks': '127.0.0.0/8',
    'smtpd_relay_restrictions': 'permit_mynetworks, reject',
    'smtpd_peername_lookup': 'no',
    'smtpd_client_connection_count_limit': '0',
    'local_recipient_maps': '',
    'alias_maps': '',
    'smtp_dns_support_level': 'disabled',
    'smtp_host_lookup': 'native',
}
services = '''
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
'''


class Instance:
    """`more`: settings beside or instead of those above. `program`: where postfix is; `how`: for subprocess.run."""

    def __init__(self, program, config, queue, data, port, more, **how):
        self.config, self.queue, self.how = config, queue, how
        self.words = [str(program), '-c', str(config)]
        for path in (config, queue, data):
            path.mkdir()
        owner = pwd.getpwnam('postfix')
        os.chown(data, owner.pw_uid, owner.pw_gid)
        chosen = {**settings, 'queue_directory': queue, 'data_directory': data, **more}
        (config / 'main.cf').write_text(''.join(f'{name} = {value}\n' for name, value in chosen.items()))
        (config / 'master.cf').write_text(f'127.0.0.1:{port} inet n - n - - smtpd' + services)

    def command(self, *words):
        """postfix start, stop, reload, flush. A failure's output is in the exception."""
        subprocess.run([*self.words, *words], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       **self.how)

    def stop(self):
        """Told to; wait until it is not running() any more."""
        subprocess.run([*self.words, 'stop'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self.how)

    def running(self):
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.queue / 'pid/master.pid').read_text())
            with open(f'/proc/{pid}/stat') as f:
                return f.read().rsplit(')', 1)[1].split()[0] != 'Z'
        return False
