"""Which sizes of a chunk a statement can be proven in: 2^mu coefficients, the first powers of tau of the SRS.

    mu even               Mercury reads 2^mu coefficients as b rows of length b. For an odd mu there is no such b: its equations
                          then hold for a combination of the coefficients that is not the value at the point.
    no window of two      the argument gives a window of an input or an output one chunk, or a place in one. Of a longer window
                          it would take the first 2^mu coefficients for the whole, and nothing would be said of the rest.
    coordinates of rho    the claim that an output's chunk is zero outside the output takes one for each of its variables
                          that the output does not have.
    room for masks        those of a private plan that are one short tensor lie in front of those that are sparse.

Only keys are checked: they fix mu, and no proof or statement can change it.
"""

from __future__ import annotations

from .curve.srs import check_square
from .errors import ChunkSizeError
from .masks import mask_layout
from .plan import Plan
from .program import WINDOW_BITS, Kind


def check_window(row_bits: int, chunk_bits: int) -> None:
    """Raise ChunkSizeError for an odd mu, or where 32 rows of 2^row_bits entries are longer than a chunk."""
    check_square(chunk_bits)
    window_bits = WINDOW_BITS + row_bits
    if window_bits > chunk_bits:
        raise ChunkSizeError(
            f"a window of 32 rows has 2^{window_bits} entries, but the SRS keeps only 2^{chunk_bits} powers of tau:"
            f" import the ceremony again with --mu {window_bits + window_bits % 2}"
        )


def check_chunk_size(plan: Plan, chunk_bits: int) -> None:
    """Raise ChunkSizeError unless the plan's statements can be proven in chunks of 2^chunk_bits coefficients."""
    check_square(chunk_bits)
    masks = mask_layout(plan)
    if masks is not None and not masks.check_room(chunk_bits):
        raise ChunkSizeError(
            f"the masks of a private {plan.program.name} statement take 2^{masks.bits} places, too many for chunks of"
            f" 2^{chunk_bits}: use an SRS of at least 2^{masks.bits + 3 + masks.bits % 2} powers of tau"
        )
    for tensor in plan.program.inputs:
        if tensor.kind is Kind.BOUNDARY:
            check_window(plan.window_bits(tensor) - WINDOW_BITS, chunk_bits)
    coordinates = plan.variables(WINDOW_BITS)
    for output in plan.outputs:
        bits = plan.output_bits(output)
        if chunk_bits - bits > coordinates:
            raise ChunkSizeError(
                f"the output {output.tensor} of a {plan.program.name} step has 2^{bits} entries, too few for chunks of"
                f" 2^{chunk_bits}: use a smaller SRS, of at most 2^{bits + coordinates} powers of tau"
            )


__all__ = ["check_chunk_size", "check_window"]
