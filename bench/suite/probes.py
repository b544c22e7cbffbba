"""What a server costs, from /proc and /sys: numbers before and after, and their difference."""
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import time

from . import machine

ticks = os.sysconf('SC_CLK_TCK')


def _stat(pid):
    with open(f'/proc/{pid}/stat') as f:
        return f.read().rsplit(')', 1)[1].split()


def family(pids):
    """`pids` and all their descendants."""
    children = {}
    for entry in os.listdir('/proc'):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                children.setdefault(int(_stat(entry)[1]), []).append(int(entry))
    found, more = [], list(pids)
    while more:
        found.append(more.pop())
        more += children.get(found[-1], [])
    return found


def processor_time(pids):
    """Seconds in user mode and in the kernel so far, of the processes, of what they started and of what has ended among that."""
    user = system = 0
    for pid in family(pids):
        with contextlib.suppress(OSError):
            values = _stat(pid)
            user += int(values[11]) + int(values[13])
            system += int(values[12]) + int(values[14])
    return user / ticks, system / ticks


def _sum_of(pids, file, field):
    total = 0
    for pid in family(pids):
        with contextlib.suppress(OSError):
            with open(f'/proc/{pid}/{file}') as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith(field))
    return total


def memory(pids):
    """KiB, of shared pages each process's part."""
    return _sum_of(pids, 'smaps_rollup', 'Pss:')


def resident(pids):
    """KiB as the kernel counts them for limits: cheap to read."""
    return _sum_of(pids, 'status', 'VmRSS:')


def descriptors(pids, but='\0'):
    """How many they have open, files with `but` in their names not counted."""
    total = 0
    for pid in family(pids):
        for name in pathlib.Path(f'/proc/{pid}/fd').glob('*'):
            with contextlib.suppress(OSError):
                total += but not in os.readlink(name)
    return total


def wake_ups(pids):
    """Times that a thread of theirs has waited for something, so far."""
    total = 0
    for pid in family(pids):
        for status in pathlib.Path(f'/proc/{pid}/task').glob('*/status'):
            with contextlib.suppress(OSError):
                total += sum(int(n) for n in re.findall(r'^voluntary_ctxt_switches:\s+(\d+)', status.read_text(), re.M))
    return total


def device(volume):
    """Octets written to it and flushes so far; None without a device of its own."""
    if not volume.device:
        return None
    values = [int(v) for v in volume.device.read_text().split()]
    return values[6] * 512, values[15]


def costs(volume, pids, messages, work):
    """What work(), which handles `messages`, costs for each: processor µs, KiB written, flushes. Dirty pages of before are written
    first, those of it when it is over: what was deleted meanwhile never reaches the device."""
    volume.write_back()
    before, disk_before = processor_time(pids), device(volume)
    work()
    volume.write_back()
    after, disk_after = processor_time(pids), device(volume)
    found = {'user': (after[0] - before[0]) * 1e6 / messages, 'system': (after[1] - before[1]) * 1e6 / messages}
    if disk_before:
        found['written'] = (disk_after[0] - disk_before[0]) / 1024 / messages
        found['flushes'] = (disk_after[1] - disk_before[1]) / messages
    return found


class SystemCalls:
    """Counts them while it is open; slows the processes down. `count` and `by_name` are there afterwards."""

    def __init__(self, pids, file):
        self.pids, self.file = pids, file

    def __enter__(self):
        words = [machine.tool('strace'), '-f', '-c', '-qq', '-o', str(self.file)]
        for pid in family(self.pids):
            words += ['-p', str(pid)]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        machine.harness.until(self._attached, 'strace attached')
        return self

    def _attached(self):
        for pid in self.pids:
            for status in pathlib.Path(f'/proc/{pid}/task').glob('*/status'):
                if f'TracerPid:\t{self.process.pid}\n' not in status.read_text():
                    return False
        return True

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        self.by_name = {}
        for line in self.file.read_text().splitlines():
            found = re.match(r'\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$', line)
            if found and found.group(2) != 'total':
                self.by_name[found.group(2)] = int(found.group(1))
        self.count = sum(self.by_name.values())


def over(seconds, *probes):
    """How much each probe's number grows while nothing is asked of the servers."""
    before = [p() for p in probes]
    time.sleep(seconds)
    return [p() - b for p, b in zip(probes, before)]
