"""How many threads a parallel kernel may wake.

Waking the other threads costs microseconds on an idle machine and a scheduler's time slice (milliseconds) on
a busy one, so small inputs stay on the calling thread. The mask is Numba's and belongs to that thread alone.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numba

# Numba prefers TBB wherever a libtbb is installed, and Debian's made passes of few rows up to six times slower. Who asks for one gets it.
if "NUMBA_THREADING_LAYER_PRIORITY" not in os.environ:
    numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]


@contextmanager
def threads_for(work: int, worthwhile: int) -> Iterator[None]:
    """One thread inside the block if ``work`` is below ``worthwhile``; otherwise nothing changes."""
    if work >= worthwhile:
        yield
        return
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)
