"""A minimal Debian of its own, for tests of packages and images. As root, with the mounts of a private namespace."""
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import time

top = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(top / 'tests/e2e'))
import harness  # noqa: E402,F401

mirror = 'http://deb.debian.org/debian'
begin = time.monotonic()
mounted = []
started = []


def note(text):
    print(f'{time.monotonic() - begin:6.1f} s  {text}', flush=True)


def run(*words, check=True, **how):
    done = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **how)
    if check and done.returncode != 0:
        sys.exit(f'{shlex.join(map(str, words))}: status {done.returncode}\n{done.stdout}')
    return done


def archive():
    """Fetched once and unpacked from then on."""
    folder = top / 'build/package'
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / 'bookworm.tar'
    if not kept.exists():
        fresh = folder / 'fresh'
        shutil.rmtree(fresh, ignore_errors=True)
        run('debootstrap', '--variant=minbase', 'bookworm', fresh, mirror)
        run('tar', '-C', fresh, '-cf', folder / 'bookworm.tar.new', '.')
        (folder / 'bookworm.tar.new').rename(kept)
        shutil.rmtree(fresh)
    return kept

boot_script = '''set -e
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -t sysfs sysfs sys
for place in run dev sys/fs/cgroup; do mount -t tmpfs -o mode=755 tmpfs $place; done
for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
mkdir -p dev/pts dev/shm sys/fs/cgroup/systemd sys/fs/cgroup/unified
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs tmpfs dev/shm
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mount -t cgroup2 cgroup2 sys/fs/cgroup
else
  mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
  mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
fi
ip link set lo up
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$1" /lib/systemd/systemd
'''


class System:
    def __init__(self, root):
        self.root = root
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        run('tar', '-C', root, '-xf', archive())
        (root / 'usr/sbin/policy-rc.d').write_text('#!/bin/sh\nexit 101\n')
        (root / 'usr/sbin/policy-rc.d').chmod(0o755)
        shutil.copy('/etc/resolv.conf', root / 'etc/resolv.conf')
        for kind, where in (('proc', 'proc'), ('tmpfs', 'run')):
            run('mount', '-t', kind, kind, root / where)
            mounted.append(root / where)
        run('mount', '--bind', '/dev', root / 'dev')
        mounted.append(root / 'dev')

    def environment(self, more):
        return {'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'DEBIAN_FRONTEND': 'noninteractive', 'LC_ALL': 'C.UTF-8', **(more or {})}

    def inside(self, *words, check=True, env=None):
        return run('chroot', self.root, *words, check=check, env=self.environment(env))

    def start(self, *words, env=None):
        """A program that is killed at the end; the words before `--` run outside."""
        before, inside = (words[:words.index('--')], words[words.index('--') + 1:]) if '--' in words else ((), words)
        process = subprocess.Popen([*before, 'chroot', str(self.root), *inside], env=self.environment(env), stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
        started.append(process)
        return process

    def boot(self):
        """systemd as the first process of namespaces of its own; what runs words there."""
        process = subprocess.Popen(['unshare', '--mount', '--uts', '--ipc', '--net', '--pid', '--fork', '--kill-child', '--cgroup', 'sh', '-c', boot_script,
                                    'boot', str(self.root)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        started.append(process)
        children = pathlib.Path(f'/proc/{process.pid}/task/{process.pid}/children')
        harness.until(lambda: process.poll() is not None or children.read_text(), 'first process')

        def there(*words, check=True):
            first = children.read_text().split()[0]
            return run('nsenter', '-t', first, '-m', '-u', '-i', '-n', '-p', '-r', '-w', *words, check=check, env=self.environment(None))
        harness.until(lambda: there('systemctl', 'is-system-running', check=False).stdout.strip() in ('running', 'degraded'), 'system running', seconds=60)
        return there


def clean_up():
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
    for where in reversed(mounted):
        subprocess.run(['umount', '-l', where])
    mounted.clear()
