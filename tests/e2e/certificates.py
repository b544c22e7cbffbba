"""Authorities and certificates made with openssl while a test runs, each in a folder of its own."""
import subprocess
import zlib

from harness import find


class Authority:
    def __init__(self, bench, name='ca'):
        self.folder = bench.folder(f'certificates-{name}')
        self.certificate = self.folder / 'ca.pem'
        self.key = self.folder / 'ca.key'
        self._run('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', self.key,
                  '-out', self.certificate, '-subj', f'/CN=Test {name}', '-days', '2')

    def _run(self, *words):
        done = subprocess.run([find('openssl'), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stdout.decode()
        return done.stdout.decode()

    def issue(self, name, san=None, expired=False, rsa=False):
        """One file with key and certificate. `.key` and `.certificate` beside it hold one each."""
        base = self.folder / f'{name}{"-expired" if expired else ""}'
        key, request, certificate, extensions = (base.with_suffix(s) for s in ('.key', '.csr', '.certificate', '.ext'))
        kind = ['rsa:2048'] if rsa else ['ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
        self._run('req', '-newkey', *kind, '-nodes', '-keyout', key, '-out', request, '-subj', f'/CN={name}')
        extensions.write_text('basicConstraints=CA:FALSE\n' + (f'subjectAltName={san}\n' if san else ''))
        # One day before now to one day after, or in the past as a whole.
        (self.folder / 'index').write_text('')
        (self.folder / 'serial').write_text('%08x' % (zlib.crc32(bytes(base)) | 0x10000000))
        config = self.folder / 'config'
        config.write_text(f'[ca]\ndefault_ca=d\n[d]\ndatabase={self.folder}/index\nserial={self.folder}/serial\n'
                          f'new_certs_dir={self.folder}\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n')
        dates = ['-startdate', '20200101000000Z', '-enddate', '20210101000000Z' if expired else '20490101000000Z']
        self._run('ca', '-batch', '-notext', '-config', config, '-cert', self.certificate, '-keyfile', self.key, '-in', request,
                  '-out', certificate, '-extfile', extensions, *dates)
        both = base.with_suffix('.pem')
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
