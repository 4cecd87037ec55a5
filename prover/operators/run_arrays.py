"""The arrays that a run computes on: those of its context, or NumPy's, whose compiled passes are loaded for the first run.

A verifier has the same operators and runs none, so it loads no kernel.

REFUSED    nothing here.
"""

from __future__ import annotations

from functools import cache

from ..arrays import Arrays
from ..program import RunContext

FEW_ROWS = 32
"""From so many rows on products of matrices beat one pass over what each row sees; also how many are multiplied at a time."""


def arrays_of(context: RunContext) -> Arrays:
    """Where the rows of a context lie."""
    return own_arrays() if context.arrays is None else context.arrays


@cache
def own_arrays() -> Arrays:
    """NumPy's, in this process."""
    from .host_arrays import HOST

    return HOST
