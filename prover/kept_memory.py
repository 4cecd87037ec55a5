"""Memory that was freed stays with the process.

A pass allocates arrays of a megabyte, again and again, and glibc gives such memory back to the system as it is freed: every page has to be
mapped and zeroed anew, which took a fifth of the time of a prompt. As mallopt(3) says, when a block is freed that had its own mapping,
blocks up to that size no longer get one, and twice as much may stay free at the end of a heap. Whoever sets one of malloc's environment
variables keeps what they chose, and other allocators see an array that is made and freed.
"""

from __future__ import annotations

import numpy as np

KEPT_BYTES = 31 << 20
"""The largest size of which glibc learns is 32 MiB."""


def keep_freed_memory() -> None:
    """Costs two system calls, since no page of the block is touched; again nothing once it has worked."""
    np.empty(KEPT_BYTES, dtype=np.uint8)
