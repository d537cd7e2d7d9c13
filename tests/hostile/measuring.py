"""What an input costs: processor time, and memory that the process did not need before."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 2.0
BYTES = 10**9


@contextmanager
def within_bounds() -> Iterator[None]:
    """Fail if a block takes 2 s of processor time or 1 GB of memory beyond the largest so far.

    The largest memory of a process never shrinks: an input that takes as much as another before it
    is not seen, one that takes more than all before by so much is.
    """
    started, before = time.process_time(), _peak()
    yield
    assert time.process_time() - started < SECONDS
    assert _peak() - before < BYTES


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
