"""Programs, and the volume that spools and queues live on."""
import os
import pathlib
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

top = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(top / 'tests/e2e'))
import harness  # noqa: E402  (the tests' own tools are used here too)

address = '127.0.0.1'
is_root = os.geteuid() == 0


def tool(name):
    try:
        return harness.find(name)
    except harness.Skip as e:
        raise SystemExit(f'bench: {e}: run scripts/install-deps --bench')


def run(*words, **how):
    """A program's output; its failure is an exception that has it."""
    settings = {'check': True, 'stdin': subprocess.DEVNULL, 'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True, **how}
    return subprocess.run([str(w) for w in words], **settings).stdout


def raise_file_limit():
    """As many descriptors as are allowed, for this process and all that it starts. How many."""
    limit = min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    return limit


class Volume:
    """A journalled ext4 in a file, mounted for the run (as root), else a folder of what there is. An ext4 without a journal, as virtual
    machines have for their root, is slow for minutes after many deletions."""

    def __init__(self, folder, gibibytes=8):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix='emailrelay-bench-', dir=folder))
        os.chmod(self.work, 0o755)
        self.dir = self.work / 'volume'
        self.dir.mkdir()
        self.mounted, self.device, self.text = False, None, f'the file system of {folder or tempfile.gettempdir()}'
        if is_root and all(shutil.which(p, path=os.environ['PATH'] + ':/usr/sbin:/sbin') for p in ('mkfs.ext4', 'mount')):
            self._mount(gibibytes)

    def _mount(self, gibibytes):
        image = self.work / 'image'
        with open(image, 'wb') as f:
            f.truncate(gibibytes << 30)
        try:
            run(tool('mkfs.ext4'), '-q', '-F', '-i', 8192, '-E', 'lazy_itable_init=0,lazy_journal_init=0,nodiscard', image)
            run(tool('mount'), '-o', 'loop', image, self.dir)
        except subprocess.CalledProcessError as e:
            print(f'bench: no loop mount ({e.stderr.strip()}): measuring on {self.text}', file=sys.stderr)
            return
        self.mounted, self.text = True, 'a journalled ext4 in a file, loop-mounted'
        number = os.stat(self.dir).st_dev
        self.device = pathlib.Path(f'/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat')

    def flushes(self, count, rate=None):
        """Milliseconds that each of `count` fdatasyncs of 4 KB, written in place, takes: `rate` in a second, or one after the other."""
        name = self.dir / 'probe'
        f = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
        os.write(f, bytes(1 << 20))
        os.fsync(f)
        took = []
        for n in range(count):
            if rate:
                time.sleep(1 / rate)
            os.pwrite(f, os.urandom(4096), n * 4096 % (1 << 20))
            start = time.perf_counter()
            os.fdatasync(f)
            took.append((time.perf_counter() - start) * 1e3)
        os.close(f)
        name.unlink()
        return took

    def write_back(self):
        """All that is dirty is on the device: what the next measurement finds is its own."""
        f = os.open(self.dir, os.O_RDONLY)
        try:
            harness.libc.syncfs(f)
        finally:
            os.close(f)

    def close(self):
        if self.mounted:
            for _ in range(100):
                if subprocess.run([tool('umount'), str(self.dir)], stderr=subprocess.DEVNULL).returncode == 0:
                    break
                time.sleep(0.1)
            else:
                print(f'bench: cannot unmount {self.dir}', file=sys.stderr)
                return
        shutil.rmtree(self.work, ignore_errors=True)


def description(volume, program):
    """What is measured on, for the report."""
    with open('/proc/cpuinfo') as f:
        models = [line.split(':', 1)[1].strip() for line in f if line.startswith('model name')]
    with open('/proc/meminfo') as f:
        memory = int(f.readline().split()[1]) / (1 << 20)
    load = os.getloadavg()[0]
    return {
        'time': time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime()),
        'program': run(program, '--version').splitlines()[0],
        'processor': f'{os.cpu_count()} × {models[0] if models else platform.machine()}',
        'memory': f'{memory:.0f} GiB',
        'kernel': platform.release(),
        'file system': volume.text,
        'flush': f'{statistics.median(volume.flushes(100)):.2f} ms',
        'load at the start': f'{load:.1f}' + (', the machine has other work: rates are too low' if load > os.cpu_count() else ''),
    }
