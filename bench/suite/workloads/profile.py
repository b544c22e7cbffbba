"""Where the relay's processor time goes, by thread: in the kernel and in the program with its libraries (perf, samples of the clock)."""
import shutil
import signal
import subprocess

from .. import machine
from ..clients import smtp_source

threads = {
    'emailrelay': 'first network thread, accepts',
    'net1': 'second network thread',
    'disk': 'threads that make, rename and delete files',
    'journal': 'thread that writes and flushes the journal',
}


def profile(run):
    if not shutil.which('perf'):
        run.remark('profile: not taken, perf is not installed (linux-perf)')
        return
    sink = run.counting_sink()
    accepting = run.emailrelay()
    passing = run.emailrelay('--forward-on-disconnect', f'--forward-to=127.0.0.1:{sink.port}')
    count = run.count(10_000)

    def accept():
        smtp_source(accepting.port, count, 10)

    def pass_on():
        sink.clear()
        smtp_source(passing.port, count, 10, False)
        sink.wait(count, 300)

    for title, server, work in (('W2, 10 sessions', accepting, accept), ('W5, 10 sessions', passing, pass_on)):
        shares = sampled(run, server, work)
        named = {name: shares.pop(name, (0, 0)) for name in threads} | {'others': map(sum, zip(*shares.values(), (0, 0)))}
        for name, (kernel, program) in named.items():
            run.report.add('profile', f'{title}: {threads.get(name, "other threads")}, in the kernel', '%', {'emailrelay': [kernel]})
            run.report.add('profile', f'{title}: {threads.get(name, "other threads")}, in the program', '%', {'emailrelay': [program]})


def sampled(run, server, work):
    """Per cent of all samples, thread name -> (in the kernel, elsewhere)."""
    data = run.volume.work / run.new_name('perf')
    recording = subprocess.Popen([machine.tool('perf'), 'record', '-q', '-F', '1000', '-e', 'cpu-clock', '-o', str(data), '-p',
                                  ','.join(map(str, server.pids))], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    machine.harness.until(data.exists, 'perf records')
    work()
    recording.send_signal(signal.SIGINT)
    recording.wait(60)
    text = machine.run('perf', 'report', '-i', data, '--stdio', '-q', '-F', 'overhead,comm,dso', '--field-separator', ';')
    shares = {}
    for line in text.splitlines():
        if line.count(';') == 2:
            share, thread, where = (part.strip() for part in line.split(';'))
            kernel, program = shares.get(thread, (0, 0))
            value = float(share.rstrip('%'))
            shares[thread] = (kernel + value, program) if where.startswith('[kernel') else (kernel, program + value)
    return shares
