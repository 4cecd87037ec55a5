"""Which responses are worth re-running.

Every choice is drawn from a secret of this challenger, so that a provider cannot know beforehand which of its
responses will be looked at, and the same response is never drawn twice.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from contracts.protocol.ether import AmountError, parse_wei

from .errors import PolicyError

_NGRAM = 4


@dataclass(frozen=True)
class Candidate:
    """What is known of a response before it is re-run.

    `repeats` is how many other responses with another prompt had exactly this output; `latency_s` is None when
    the provider does not say.
    """

    leaf: bytes
    provider: str
    fee_wei: int
    locked_stake_wei: int
    prompt_ids: Sequence[int]
    output_ids: Sequence[int]
    repeats: int = 0
    latency_s: float | None = None


class Policy(Protocol):
    def share(self, candidate: Candidate) -> float:
        """Probability with which this response should be re-run."""
        ...


def drawn(share: float, leaf: bytes, secret: bytes) -> bool:
    """True with probability `share`, always the same for the same leaf and secret."""
    ticket = int.from_bytes(hmac.new(secret, leaf, sha256).digest()[:8], "big")
    return ticket < share * 2**64


def ticket_of(leaf: bytes, secret: bytes) -> int:
    """The leaf's place (63 bits) in an order that nobody without the secret can foresee."""
    return int.from_bytes(hmac.new(secret, b"order" + leaf, sha256).digest()[:8], "big") >> 1


@dataclass(frozen=True)
class RandomShare:
    """The same share of everything; 1 is "all"."""

    probability: float

    def share(self, candidate: Candidate) -> float:
        return self.probability


@dataclass(frozen=True)
class ByFee:
    """Everything that paid at least so much; otherwise a base share."""

    least_fee_wei: int
    base: float = 0.0

    def share(self, candidate: Candidate) -> float:
        return 1.0 if candidate.fee_wei >= self.least_fee_wei else self.base


@dataclass(frozen=True)
class ByStake:
    """Everything of providers that lock at most so much stake in all: they have the least to lose."""

    most_locked_wei: int
    base: float = 0.0

    def share(self, candidate: Candidate) -> float:
        return 1.0 if candidate.locked_stake_wei <= self.most_locked_wei else self.base


@dataclass(frozen=True)
class BySuspicion:
    """The more a response looks cached, degenerate or too fast, the more likely it is re-run.

    share = max(base, 1 - (1 - cached)(1 - repetitive)(1 - fast)); a liar whose responses look normal is still
    drawn with the base share.
    """

    base: float = 0.05
    least_s_per_token: float = 0.0

    def share(self, candidate: Candidate) -> float:
        innocent = (
            (1 - cached(candidate.repeats))
            * (1 - repetitive(candidate.output_ids))
            * (1 - too_fast(candidate, self.least_s_per_token))
        )
        return max(self.base, 1 - innocent)


def cached(repeats: int) -> float:
    """0, 1/2, 2/3, ... for an output that 0, 1, 2, ... other prompts got too."""
    return repeats / (repeats + 1)


def repetitive(output_ids: Sequence[int]) -> float:
    """Share of the output's 4-grams that occurred before in it; 0 for short outputs."""
    grams = [tuple(output_ids[i : i + _NGRAM]) for i in range(len(output_ids) - _NGRAM + 1)]
    if len(grams) < 2 * _NGRAM:
        return 0.0
    return 1 - len(set(grams)) / len(grams)


def too_fast(candidate: Candidate, least_s_per_token: float) -> float:
    """How far the answer's time per output token is below what the model needs at least."""
    if candidate.latency_s is None or least_s_per_token <= 0 or not candidate.output_ids:
        return 0.0
    per_token = candidate.latency_s / len(candidate.output_ids)
    return max(0.0, 1 - per_token / least_s_per_token)


def parse_policy(text: str) -> Policy:
    """`all`, `random:0.1`, `fee:WEI[:BASE]`, `stake:WEI[:BASE]`, `suspicion[:BASE[:SECONDS_PER_TOKEN]]`."""
    name, *arguments = text.strip().lower().split(":")
    makers: dict[str, Callable[..., Policy]] = {
        "all": lambda: RandomShare(1.0),
        "random": lambda share: RandomShare(_share(share)),
        "fee": lambda least, base="0": ByFee(parse_wei(least, "wei"), _share(base)),
        "stake": lambda most, base="0": ByStake(parse_wei(most, "wei"), _share(base)),
        "suspicion": lambda base="0.05", least="0": BySuspicion(_share(base), float(least)),
    }
    try:
        return makers[name](*arguments)
    except (AmountError, KeyError, TypeError, ValueError) as error:
        raise PolicyError(
            f"{text!r} is no policy; use all, random:SHARE, fee:WEI[:BASE], stake:WEI[:BASE] or "
            "suspicion[:BASE[:SECONDS_PER_TOKEN]] with shares in 0..1"
        ) from error


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError(f"{text} is not in 0..1")
    return value
