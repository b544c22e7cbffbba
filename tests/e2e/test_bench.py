"""The bench in its smallest form: every workload runs to its end, all mail arrives, and the report has its figures."""
import json
import sys

import harness
from harness import equal, fail, limit, need

bench_folder = harness.here.parent.parent / 'bench'


def run_bench(t, *words, seconds, status=0):
    need('smtp-source', 'smtp-sink')
    if not (harness.bin_dir / 'bench_sink').exists():
        raise harness.Skip('built without EMAILRELAY_BENCH')
    return t.run([sys.executable, bench_folder / words[0], '--program', harness.bin_dir / 'emailrelay', *words[1:]], seconds=seconds,
                 status=status)


def smoke(t, *workloads):
    json_file, page = t.dir / 'bench.json', t.file('page.md', 'before\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nafter\n')
    run_bench(t, 'bench.py', '--smoke', '--only', ','.join(workloads), '--folder', t.dir, '--json', json_file, '--markdown', page,
              seconds=280)
    rows = json.loads(json_file.read_text())['rows']
    for row in rows:
        if any(len(values) == 0 for values in row['figures'].values()) or 'emailrelay' not in row['figures']:
            fail(f'no figures: {row}')
    text = page.read_text()
    equal(text.startswith('before\n<!-- figures: begin -->\n'), True, text)
    equal(text.endswith('<!-- figures: end -->\nafter\n'), True, text)
    for row in rows:
        if f'| {row["title"]} |' not in text:
            fail(f'not on the page: {row["title"]}')
    return [row['title'] for row in rows]


@limit(300)
def test_accepting(t):
    equal(len(smoke(t, 'w1', 'w2', 'w3')), 8)


@limit(300)
def test_forwarding(t):
    equal(len(smoke(t, 'w4', 'w4-latency', 'w5', 'w5-latency')), 11)


@limit(300)
def test_sessions(t):
    equal(len(smoke(t, 'w6', 'w7', 'noop')), 10)


@limit(300)
def test_the_rest(t):
    titles = smoke(t, 'w8', 'costs', 'profile', 'filters', 'pop', 'instances')
    harness.match('\n'.join(titles), '100,000|in the spool')
    harness.match('\n'.join(titles), 'POP')


@limit(300)
def test_soak(t):
    output = run_bench(t, 'soak.py', '--minutes', '0.2', '--any-memory', '--folder', t.dir, seconds=280)
    harness.match(output, r'messages accepted')


@limit(120)
def test_engines(t):
    if not (harness.bin_dir / 'bench_engines').exists():
        raise harness.Skip('built without EMAILRELAY_BENCH')
    for part in ('server', 'client', 'client-pipelined', 'envelope-write', 'envelope-read', 'journal-record'):
        t.run([harness.bin_dir / 'bench_engines', part, '20'])
