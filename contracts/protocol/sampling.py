"""A response's `samplingHash`: keccak256("greedy"), or the sampling rule itself in one word. Mirror of Sampling.sol.

    1 << 96 | min_p << 80 | temperature << 64 | seed        temperature, min_p in thousandths

A word that is no rule of the model makes the response malformed.
"""

from __future__ import annotations

from eth_hash.auto import keccak

from prover.sampling import SEED_BITS, UNIT, Sampling, SamplingError, check_scale

GREEDY = keccak(b"greedy")
_VERSION = 1
_FIELD = (1 << 16) - 1


def sampling_word(sampling: Sampling | None) -> bytes:
    """What a leaf says of the rule, 32 bytes; None is greedy."""
    if sampling is None:
        return GREEDY
    return (_VERSION << 96 | _packed(sampling)).to_bytes(32, "big")


def sampling_of(word: bytes, logit_scale: int | None = None) -> Sampling | None:
    """The rule; None for greedy. Raises SamplingError for a word that is none of a model whose logits have this scale (None: of any)."""
    if word == GREEDY:
        return None
    value = int.from_bytes(word, "big")
    if value >> 96 != _VERSION:
        raise SamplingError(f"0x{word.hex()} is no sampling rule")
    if logit_scale is not None:
        check_scale(logit_scale)
    return unpack_sampling(value & ((1 << 96) - 1))


def unpack_sampling(packed: int) -> Sampling | None:
    """The rule that a game keeps in 96 bits, 0 for greedy. Raises SamplingError."""
    if packed == 0:
        return None
    seed = packed & ((1 << SEED_BITS) - 1)
    return Sampling(temperature=packed >> SEED_BITS & _FIELD, seed=seed, min_p=packed >> 80)


def describe_sampling(sampling: Sampling | None) -> str:
    """The rule as people write it: "temperature=0.7 seed=42 min_p=0.05"; "greedy"."""
    if sampling is None:
        return "greedy"
    min_p = f" min_p={sampling.min_p / UNIT:g}" if sampling.min_p else ""
    return f"temperature={sampling.temperature / UNIT:g} seed={sampling.seed}{min_p}"


def _packed(sampling: Sampling) -> int:
    return sampling.min_p << 80 | sampling.temperature << SEED_BITS | sampling.seed
