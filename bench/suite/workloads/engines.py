"""Instructions of the parts that compute, one message of 4 KB each: they do not depend on what else the machine does."""
import re
import subprocess

from ..machine import tool

parts = {
    'server': 'SMTP server, a message from MAIL to 250',
    'client': 'SMTP client, a message',
    'client-pipelined': 'SMTP client, a message, pipelined',
    'envelope-write': 'envelope written',
    'envelope-read': 'envelope read',
    'journal-record': 'record of a message in the journal',
}


def engines(run):
    program = run.programs / 'bench_engines'
    if b'__asan_init' in program.read_bytes():
        run.remark('instructions of the engines: not counted, built with a sanitizer')
        return
    count = run.count(1000)
    for part, title in parts.items():
        run.report.add('instructions', title, 'instr.', {'emailrelay': [counted(run, program, part, count)]})


def counted(run, program, part, count):
    """For each unit: the difference of two numbers of them, so that the program's start does not count."""
    return (instructions(run, program, part, 2 * count) - instructions(run, program, part, count)) / count


def instructions(run, program, part, count):
    done = subprocess.run([tool('valgrind'), '--tool=callgrind', '--callgrind-out-file=/dev/null', str(program), part, str(count)],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    return int(re.search(r'Collected : (\d+)', done.stderr).group(1))
