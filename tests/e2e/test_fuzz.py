"""A short run of the end-to-end fuzzer (tests/fuzz/end_to_end.py), always the same one."""
import pathlib
import sys

import harness

sys.path.insert(0, str(pathlib.Path(harness.here).parent / 'fuzz'))


@harness.limit(300)
def test_end_to_end(t):
    import end_to_end
    totals = end_to_end.fuzz(t, 20, 1)
    assert totals['messages'] > 10, totals
