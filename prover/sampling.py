"""Seeded sampling as a function of integers: the Gumbel-max rule, decided by pairs of tokens (docs/sampling.md).

MEANING    next token = argmax over the candidates v of  A * logit(v) + D * noise(v),  ties to the smaller id.
           T = temperature / 1000 and the logits' scale s (logit(v) stands for logit(v) * 2^-s) give, with 24 bits of noise,
               A = 1000 * 2^max(0, 24 - s),   D = temperature * 2^max(0, s - 24):   score = A * 2^max(s, 24) * (real logit + T * g).
           noise(v) = floor(2^24 g + 1/2), g = -ln(-ln u) by the exact steps of `fixed_logarithm`; u = (2x + 1) / 2^65, and
           x is word v % 4 of Philox4x64-10 at counter (v // 4 + 1, position, 0, 0) under the key (seed, `KEY_WORD`).
           Candidates: all tokens; with min_p m / 1000 those with A * (largest logit - logit(v)) <= D * K,
           K = floor(2^24 ln(1000 / m) + 1/2): the tempered probability is at least min_p times the largest one.
PAIRS      c is the rule's token if and only if for every other v one of two differences is not negative, room + 2^63 = offset:
               A * (logit(c) - logit(v)) + min(D * (noise(c) - noise(v)) - [v < c], D * K with min_p)   c beats v, and v does not exclude c
               A * (logit(w) - logit(v)) - D * K - 1, for some w                                        w excludes v (only with min_p)
           Where w is c itself one statement stands for both lines, with the larger of their rooms.
           Greedy is A = 1, no noise: logit(c) - logit(v) - [v < c].
BOUNDS     |logit(c) - logit(v)| < 2^50 (operators/head_pair.py), A < 2^13, -2^26 <= noise < 2^30, D < 2^30: differences of
           less than 2^63 + 2^60, which four limbs of 16 bits hold.
REFUSED    a temperature, seed or min_p out of range; a model whose logits have a scale outside 21..40.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from .errors import BadInputError

UNIT = 1000
"""Temperature and min_p are thousandths."""
MOST_TEMPERATURE = 16 * UNIT
SEED_BITS = 64
NOISE_BITS = 24
SCALES = range(21, 41)
"""Scales of logits with which every difference is provable."""
ZERO = 1 << 63
"""The offset that a head statement names for a room of 0."""
KEY_WORD = 0x6761696E736179
"""The second word of Philox's key: "gainsay"."""

_WORD = (1 << 64) - 1
_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_ROUNDS = 10
_FRACTION = 112
_LN2 = 0xB17217F7D1CF79ABC9E3B39803F2
"""floor(2^112 ln 2)."""
_TERMS = 8
# Noise by floating point is within 2^-23 of the exact one, a score within 2^-50 of itself (`_floating_noise`, `choose`).
_NOISE_MARGIN, _SCORE_MARGIN = 2.0**-21, 2.0**-48


class SamplingError(BadInputError):
    """No answer is sampled like this."""


@dataclass(frozen=True)
class Sampling:
    """How a response was sampled; greedy ones have None in its place. temperature, min_p: thousandths; min_p 0: none."""

    temperature: int
    seed: int
    min_p: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.temperature <= MOST_TEMPERATURE:
            raise SamplingError(
                f"temperature {self.temperature}/{UNIT} is not in 1/{UNIT}..{MOST_TEMPERATURE // UNIT}; 0 is greedy, without sampling"
            )
        if not 0 <= self.seed < 1 << SEED_BITS:
            raise SamplingError(f"seed {self.seed} is not in 0..2^{SEED_BITS} - 1")
        if not 0 <= self.min_p <= UNIT:
            raise SamplingError(f"min_p {self.min_p}/{UNIT} is not in 0..1")

    def factors(self, scale: int) -> tuple[int, int]:
        """(A, D) for logits of this scale."""
        check_scale(scale)
        return UNIT << max(0, NOISE_BITS - scale), self.temperature << max(0, scale - NOISE_BITS)

    @cached_property
    def cut(self) -> int:
        """K: how far below the largest a candidate may be, in units of noise."""
        return round_noise(fixed_logarithm(UNIT) - fixed_logarithm(self.min_p)) if self.min_p else 0

    def room(self, scale: int, position: int, chosen: int, rival: int) -> int:
        """What may be added to A * (logit(chosen) - logit(rival)), and must then not be negative."""
        _, factor = self.factors(scale)
        room = factor * (self.noise(position, chosen) - self.noise(position, rival)) - (rival < chosen)
        # A rival that the chosen token itself excludes may have any noise.
        return max(min(room, factor * self.cut), self.exclusion(scale)) if self.min_p else room

    def exclusion(self, scale: int) -> int:
        """The room of w against v where w excludes v: min_p leaves v out because of w."""
        if not self.min_p:
            raise SamplingError("without min_p every token is a candidate")
        return -self.factors(scale)[1] * self.cut - 1

    def noise(self, position: int, token: int) -> int:
        """The noise of one token after a position."""
        block = philox((token // 4 + 1, position, 0, 0), (self.seed, KEY_WORD))
        return gumbel(block[token % 4])

    def choose(self, logits: np.ndarray, first_position: int, scale: int) -> np.ndarray:
        """The rule's token for each row of logits, (rows, vocabulary) int64 -> (rows,) int64."""
        rows = (self._choose(row, first_position + i, scale) for i, row in enumerate(logits))
        return np.fromiter(rows, np.int64, len(logits))

    def is_candidate(self, logits: np.ndarray, token: int, scale: int) -> bool:
        """Whether min_p leaves a token in, given all logits."""
        factor, noise_factor = self.factors(scale)
        gap = int(logits.max()) - int(logits[token])
        return not self.min_p or factor * gap <= noise_factor * self.cut

    def _choose(self, logits: np.ndarray, position: int, scale: int) -> int:
        """All scores by floating point, then exactly those that may be the largest.

        An error that matters is at most a quarter of the margin: so the largest exact score is among those looked at.
        """
        factor, noise_factor = self.factors(scale)
        scores = logits * (factor / (noise_factor << NOISE_BITS)) + self._floating_noise(
            position, len(logits)
        )
        if self.min_p:
            gaps = factor * (logits.max() - logits)  # below 2^63
            scores[gaps > noise_factor * self.cut] = -np.inf
        largest = scores.max()
        margin = _NOISE_MARGIN + _SCORE_MARGIN * float(np.abs(logits).max()) * factor / (
            noise_factor << NOISE_BITS
        )
        near = np.flatnonzero(scores >= largest - margin).tolist()
        if len(near) == 1:
            return int(near[0])
        exact = {v: factor * int(logits[v]) + noise_factor * self.noise(position, v) for v in near}
        return int(min(near, key=lambda v: (-exact[v], v)))

    def _floating_noise(self, position: int, count: int) -> np.ndarray:
        """-ln(-ln u) of tokens 0..count-1, float64: within 2^-40 of the real number, so within 2^-23 of the integer one."""
        words = self.words(position, count)
        exponentials = -np.log((words.astype(np.float64) + 0.5) * 2.0**-64)
        # Next to u = 1 float64 has no room for 1 - u: these few are computed from there.
        few = np.flatnonzero(exponentials < 2.0**-10)
        beyond = (np.uint64(_WORD) - words[few]).astype(np.float64) + 0.5
        exponentials[few] = -np.log1p(-beyond * 2.0**-64)
        return np.asarray(-np.log(exponentials))

    def words(self, position: int, count: int) -> np.ndarray:
        """Philox's words of tokens 0..count-1, uint64."""
        # NumPy's generator counts up before it makes the first block: that is the 1 in the counter.
        generator = np.random.Philox(
            counter=np.array([0, position, 0, 0], np.uint64), key=np.array([self.seed, KEY_WORD], np.uint64)
        )
        return generator.random_raw(count)


def check_scale(scale: int) -> None:
    """Raise SamplingError for logits of a scale with which not every pair could be proven."""
    if scale not in SCALES:
        raise SamplingError(
            f"this model's logits have scale {scale}; answers can be sampled for {SCALES[0]}..{SCALES[-1]}: ask for temperature 0"
        )


def head_publics(
    sampling: Sampling | None, scale: int, position: int, chosen: int, rival: int, winner: int | None = None
) -> dict[str, int]:
    """The public integers factor and offset of a pair; `winner`: the token that is shown instead of `chosen` because it
    excludes the rival."""
    if sampling is None:
        return {"factor": 1, "offset": ZERO - (rival < chosen)}
    room = (
        sampling.room(scale, position, chosen, rival)
        if winner in (None, chosen)
        else sampling.exclusion(scale)
    )
    return {"factor": sampling.factors(scale)[0], "offset": ZERO + room}


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """One block of Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011)."""
    a, b, c, d = counter
    k, m = key
    for _ in range(_ROUNDS):
        left, right = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = right >> 64 ^ b ^ k, right & _WORD, left >> 64 ^ d ^ m, left & _WORD
        k, m = k + _WEYL[0] & _WORD, m + _WEYL[1] & _WORD
    return a, b, c, d


@lru_cache(maxsize=1 << 12)
def gumbel(word: int) -> int:
    """floor(2^24 * -ln(-ln u) + 1/2) up to an error of 2^-38 in front of the rounding, u = (2 * word + 1) / 2^65."""
    exponential = 65 * _LN2 - fixed_logarithm(
        2 * word + 1
    )  # positive: for u above 2/3 no logarithm of 2 is left
    return round_noise(_FRACTION * _LN2 - fixed_logarithm(exponential))


def fixed_logarithm(value: int) -> int:
    """2^112 ln(value), 0 < value < 2^118, in exact integer steps.

    value = p m with p a power of two and 2/3 <= m < 4/3; ln m = 2 artanh z with z = (value - p) / (value + p), |z| <= 1/5,
    by eight terms of its series. Every division and shift rounds towards zero, sign apart, so that small logarithms keep their
    leading digits: the error is below 2^-40 of ln m.
    """
    exponent = value.bit_length() - 1
    if 3 * value >= 4 << exponent:
        exponent += 1
    power = 1 << exponent
    ratio = (abs(value - power) << _FRACTION) // (value + power)
    square = ratio * ratio >> _FRACTION
    series = 0
    for term in range(_TERMS - 1, -1, -1):
        series = (series * square >> _FRACTION) + (1 << _FRACTION) // (2 * term + 1)
    doubled = 2 * (series * ratio >> _FRACTION)
    return exponent * _LN2 + (doubled if value >= power else -doubled)


def round_noise(value: int) -> int:
    """From a fraction of 112 bits to one of 24, half up."""
    shift = _FRACTION - NOISE_BITS
    return (value + (1 << (shift - 1))) >> shift
