"""Which sizes of a chunk a statement can be proven in: 2^mu coefficients, the first powers of tau of the SRS.

    mu even               Mercury reads 2^mu coefficients as b rows of length b. For an odd mu there is no such b: its equations
                          then hold for a combination of the coefficients that is not the value at the point.
    one chunk per window  the argument gives an input and an output one commitment per window. Of a longer window it
                          would take the first 2^mu coefficients for the whole, and nothing would be said of the rest.
    coordinates of rho    the claim that the output's chunk is zero beyond the output takes one for each of its variables
                          that the output does not have.

Only keys are checked: they fix mu, and no proof or statement can change it.
"""

from __future__ import annotations

from .curve.srs import check_square
from .errors import ChunkSizeError
from .plan import Plan
from .program import WINDOW_BITS, Kind


def check_window(channel_bits: int, chunk_bits: int) -> None:
    """Raise ChunkSizeError for an odd mu, or where 32 rows of 2^channel_bits entries are longer than a chunk."""
    check_square(chunk_bits)
    window_bits = WINDOW_BITS + channel_bits
    if window_bits > chunk_bits:
        raise ChunkSizeError(
            f"a window of 32 rows has 2^{window_bits} entries, but the SRS keeps only 2^{chunk_bits} powers of tau:"
            f" import the ceremony again with --mu {window_bits + window_bits % 2}"
        )


def check_chunk_size(plan: Plan, chunk_bits: int) -> None:
    """Raise ChunkSizeError unless the plan's statements can be proven in chunks of 2^chunk_bits coefficients."""
    check_square(chunk_bits)
    for tensor in plan.program.inputs:
        if tensor.kind is Kind.BOUNDARY:
            check_window(plan.axes["channel"].fixed, chunk_bits)
    coordinates = plan.variables(WINDOW_BITS)
    if plan.output is not None and chunk_bits - plan.output_bits > coordinates:
        raise ChunkSizeError(
            f"the output of a {plan.program.name} step has 2^{plan.output_bits} entries, too few for chunks of"
            f" 2^{chunk_bits}: use a smaller SRS, of at most 2^{plan.output_bits + coordinates} powers of tau"
        )


__all__ = ["check_chunk_size", "check_window"]
