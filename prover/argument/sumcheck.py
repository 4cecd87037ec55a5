"""The batched sumcheck: sum over x in {0,1}^N of a sum of terms, each on its own number of variables.

A term with n < N variables is padded in front: it is multiplied by prod_{j <= N-n} (1 - x_j), so its
variables are the last n and at the final point r its value counts with prod_{j <= N-n} (1 - r_j).

Round j sends g_j(X) of degree D without its linear coefficient, which the running claim fixes:
g(0) + g(1) = claim, so c_1 = claim - 2 c_0 - c_2 - ... - c_D. Source: Thaler, section 4.1.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..field.reference import SCALAR_MODULUS as MODULUS
from .transcript import Transcript


def verify_sumcheck(
    rounds: Sequence[Sequence[int]], claim: int, transcript: Transcript, label: str
) -> tuple[list[int], int]:
    """Replay the rounds; returns the point and the final claim, which the caller must check."""
    point: list[int] = []
    for index, sent in enumerate(rounds):
        challenge = transcript.challenge(label, sent, index)
        linear = (claim - 2 * sent[0] - sum(sent[1:])) % MODULUS
        claim = evaluate_coefficients([sent[0], linear, *sent[1:]], challenge)
        point.append(challenge)
    return point, claim


def evaluate_coefficients(coefficients: Sequence[int], x: int) -> int:
    """Horner's rule."""
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * x + coefficient) % MODULUS
    return value
