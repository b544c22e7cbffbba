"""Authorities and certificates made with openssl while a test runs, each in a folder of its own."""
import subprocess
import zlib

import harness
from harness import find


class Authority:
    """`under`: another authority, which vouches for this one; then the certificates made here have it behind them."""

    def __init__(self, bench, name='ca', under=None):
        self.folder = bench.folder(f'certificates-{name}')
        self.certificate = self.folder / 'ca.pem'
        self.key = self.folder / 'ca.key'
        self.chain = ''
        if under:
            made = under.issue(f'Test {name}', extensions='basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n')
            self.key.write_text(made.with_suffix('.key').read_text())
            self.certificate.write_text(made.with_suffix('.certificate').read_text())
            self.chain = self.certificate.read_text()
            return
        self._run('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', self.key,
                  '-out', self.certificate, '-subj', f'/CN=Test {name}', '-days', '2')

    def _run(self, *words):
        done = subprocess.run([find('openssl'), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stdout.decode()
        return done.stdout.decode()

    def issue(self, name, san=None, expired=False, early=False, rsa=False, extensions=None):
        """One file with key and certificate. `.key` and `.certificate` beside it hold one each. `early`: not valid yet."""
        base = name.replace(' ', '-') + ('-expired' if expired else '') + ('-early' if early else '')
        key, request, certificate, extra, both = (self.folder / (base + s) for s in ('.key', '.csr', '.certificate', '.ext', '.pem'))
        kind = ['rsa:2048'] if rsa else ['ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
        self._run('req', '-newkey', *kind, '-nodes', '-keyout', key, '-out', request, '-subj', f'/CN={name}')
        extra.write_text((extensions or 'basicConstraints=CA:FALSE\n') + (f'subjectAltName={san}\n' if san else ''))
        (self.folder / 'index').write_text('')
        (self.folder / 'serial').write_text('%08x' % (zlib.crc32(bytes(both)) | 0x10000000))
        config = self.folder / 'config'
        config.write_text(f'[ca]\ndefault_ca=d\n[d]\ndatabase={self.folder}/index\nserial={self.folder}/serial\n'
                          f'new_certs_dir={self.folder}\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n')
        dates = ['-startdate', '20480101000000Z' if early else '20200101000000Z',
                 '-enddate', '20210101000000Z' if expired else '20490101000000Z']
        self._run('ca', '-batch', '-notext', '-config', config, '-cert', self.certificate, '-keyfile', self.key, '-in', request,
                  '-out', certificate, '-extfile', extra, *dates)
        both.write_text(key.read_text() + certificate.read_text() + self.chain)
        both.chmod(0o600)
        return both

    def self_signed(self, name, san=None):
        """As issue(), but nobody vouches for it."""
        key, certificate, both = (self.folder / f'{name}-self-signed{s}' for s in ('.key', '.certificate', '.pem'))
        self._run('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key, '-out', certificate,
                  '-subj', f'/CN={name}', '-days', '2', *(['-addext', f'subjectAltName={san}'] if san else []))
        both.write_text(key.read_text() + certificate.read_text())
        both.chmod(0o600)
        return both

    def hashed(self):
        """A directory with this authority under its hashed name."""
        folder = self.folder / 'hashed'
        folder.mkdir(exist_ok=True)
        name = self._run('x509', '-in', self.certificate, '-noout', '-hash').strip()
        (folder / f'{name}.0').write_text(self.certificate.read_text())
        return folder

    def becomes_the_system(self):
        """From here on, for this test, the system believes this authority alone."""
        (self.hashed() / 'ca-certificates.crt').write_text(self.certificate.read_text())
        harness.private_mounts()
        harness.mount_over(self.hashed(), '/etc/ssl/certs')
