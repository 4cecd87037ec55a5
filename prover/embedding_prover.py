"""How an embedding statement (embedding.py) is proven: one quotient, masked for a private model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .argument.commitment import commit_field
from .argument.multilinear import accumulate, to_field
from .curve.combinations import combine
from .curve.g1 import Point, point_to_bytes
from .curve.point_arrays import to_points
from .curve.srs import SRS
from .embedding import EmbeddingKey, MaskedQuotient, row_powers
from .errors import BadInputError
from .field import arrays
from .field.arrays import MODULUS
from .hiding import Blindings, blinding_base, draw_blinding, system_scalar
from .masks import Scalars
from .plan import PRIVATE
from .statement import Statement, StepKey


def prove_embedding(
    key: EmbeddingKey,
    srs: SRS,
    rows: Sequence[Point],
    window: Point,
    row_values: np.ndarray,
    window_values: np.ndarray,
    blindings: Blindings | None = None,
    scalar: Scalars = system_scalar,
) -> bytes:
    """The proof's bytes. row_values (32, d) and window_values (32, padded_d) are integers.

    Of a private key: blindings.inputs are b of the rows, 0 for a padded one, and of the window; `scalar` is where masks come from: anything
    but the system's source is for tests. Raises BadInputError when blindings are missing, or are given for a public key.
    """
    if (blindings is not None) != (key.privacy == PRIVATE):
        raise BadInputError(
            "a private statement is proven with the blindings of its commitments, a public one without any"
        )
    if blindings is None:
        z, _ = key.challenge(rows, window)
        coefficients = arrays.to_ints(_difference(key, z, row_values, window_values))
        return point_to_bytes(_quotient(srs, coefficients, z))
    blindings.check(Statement(StepKey((), ()), {}, (*rows, window)))
    constant, slope, own = scalar(), scalar(), draw_blinding(scalar)
    one, tau = to_points(np.ascontiguousarray(srs.g1[:2]))
    mask = combine([one, tau, blinding_base(srs.digest)], [constant, slope, own])
    z, transcript = key.challenge(rows, window, mask)
    value = (constant + slope * z) % MODULUS
    epsilon = transcript.challenge("embedding.epsilon", [value])
    scaled = arrays.scale(_difference(key, z, row_values, window_values), epsilon)
    coefficients = arrays.to_ints(scaled)
    coefficients[:2] = [(coefficients[0] + constant) % MODULUS, (coefficients[1] + slope) % MODULUS]
    weights = [*(-power for power in row_powers(key, z)), 1]
    total = sum(weight * b for weight, b in zip(weights, blindings.inputs, strict=True))
    blinding = (epsilon * total + own) % MODULUS
    return MaskedQuotient(mask, value, blinding, _quotient(srs, coefficients, z)).encode()


def _difference(
    key: EmbeddingKey, z: int, row_values: np.ndarray, window_values: np.ndarray
) -> arrays.FieldArray:
    """Coefficients of Q."""
    difference = to_field(window_values)
    for row, power in zip(row_values, row_powers(key, z), strict=False):
        accumulate(difference, np.ascontiguousarray(row, dtype=np.int64), -power)
    return difference


def _quotient(srs: SRS, coefficients: Sequence[int], z: int) -> Point:
    """Commitment to f / (X - z), whatever remains."""
    quotient, carry = [0] * len(coefficients), 0
    for index in range(len(coefficients) - 1, -1, -1):
        quotient[index] = carry
        carry = (coefficients[index] + z * carry) % MODULUS
    return commit_field(srs.g1, arrays.from_ints(quotient))
