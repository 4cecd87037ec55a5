"""Log-probabilities of tokens, from a row of exact integer logits.

    logprob(v) = (logit(v) - largest) 2^-s - ln sum over w of exp((logit(w) - largest) 2^-s),      s = the logits' scale

It is the model's distribution: a temperature, a seed and min_p choose among its tokens and do not change it. Differences of
logits are below 2^50, so they are exact in float64; what remains is the rounding of `exp` and `ln`, below 2^-40. The
integers themselves are given, too: they are the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST_TOP = 20
"""Of the most likely tokens, as at OpenAI."""


@dataclass(frozen=True)
class Likelihood:
    """One token: its exact logit, and its log-probability."""

    token: int
    logit: int
    logprob: float


@dataclass(frozen=True)
class TokenLikelihoods:
    """The chosen token, and the most likely ones: the largest first, ties to the smaller id."""

    chosen: Likelihood
    top: tuple[Likelihood, ...]


def likelihoods(logits: np.ndarray, chosen: int, top: int, scale: int) -> TokenLikelihoods:
    """Of one row of logits, (vocabulary,) int64."""
    logits = np.asarray(logits, dtype=np.int64)
    largest = int(logits.max())
    normaliser = float(np.log(np.exp(np.ldexp((logits - largest).astype(np.float64), -scale)).sum()))

    def likelihood(token: int) -> Likelihood:
        logit = int(logits[token])
        # Adding 0.0 makes the -0.0 of a certain token a plain zero.
        return Likelihood(token, logit, float(np.ldexp(float(logit - largest), -scale)) - normaliser + 0.0)

    return TokenLikelihoods(
        likelihood(chosen), tuple(likelihood(token) for token in _largest(logits, min(top, len(logits))))
    )


def _largest(logits: np.ndarray, count: int) -> list[int]:
    """Ids of the largest logits in order; of equal ones the smaller ids."""
    if count == 0:
        return []
    least = np.partition(logits, len(logits) - count)[len(logits) - count]
    near = np.flatnonzero(logits >= least).tolist()
    return sorted(near, key=lambda token: (-int(logits[token]), token))[:count]
