"""An executor that guesses nothing.

How often a guess at the next tokens is right is a matter of the text; a benchmark's repeats itself, so that it nearly always is.
"""

from __future__ import annotations

from prover.model.execute import Executor


class RowByRow(Executor):
    """One pass for every token, as llama.cpp takes it."""

    looks_ahead = False
