"""Which models can be defended on a chain: every move about them must fit a transaction.

A step that is computed rightly and proven loses all the same when its proof cannot be sent. The longest moves are

    proveStep        both boundaries' roots, the step key with its path, the running sums read and written with theirs, a group of
                     the challenger's claim, and the proof: for the last window of the longest sequence
    refuteClaim      both boundaries' roots, the step key's path, the running sums of every stream that the step writes, and the
                     challenger's claim
    proveHeads       of a private model: the output's ids, two windows and a tile's key, each with its path, and the proof
    claimOverrun     the ids of the longest output, and all end tokens (claimTruncated is a word shorter)

    size   below 128 KiB, which nodes take
    gas    below 2^24 (EIP-7825): 16 per byte, 6,700 per commitment (ecMul, ecAdd and its bookkeeping) and 600,000, which is more
           than generated verifiers and the game use (verifier_gen/README.md, docs/growth.md)

A model commitment is made only of what fits, so provider and challenger refuse a registration of anything else.
"""

from __future__ import annotations

from collections.abc import Sequence

from .architectures.audit_steps import HEAD_TILE, audit_schedule
from .errors import TransactionSizeError
from .plan import PRIVATE
from .program import WINDOW_BITS, WINDOW_ROWS
from .proof import ProofShape
from .proof_system import ProofSystem
from .statement import WORD, VerifyingKey, input_count
from .stream_commitments import CLAIM_GROUP, CLAIM_LEAF_BYTES
from .streams import Stream

MOST_BYTES = 128 * 1024 - 512
"""Calldata; the rest is for the signature and the transaction's other fields."""
MOST_GAS = 1 << 24
_GAS_PER_BYTE, _GAS_PER_POINT, _GAS_OTHERWISE = 16, 6_700, 600_000
_GAS_OF_MASKS = 45_000
_SELECTOR = 4
_POINT = 2 * WORD


def check_transactions(system: ProofSystem, end_tokens: Sequence[int]) -> None:
    """Raise TransactionSizeError when a move about some response of the model does not fit a transaction."""
    config = system.config
    positions = config.max_positions
    for kind in config.kinds:
        size = prove_step_bytes(system, kind, positions)
        points = _points(system.verifying_key(kind), positions)
        gas = _GAS_PER_BYTE * size + _GAS_PER_POINT * points + _GAS_OTHERWISE
        gas += _GAS_OF_MASKS if system.privacy == PRIVATE else 0
        if size > MOST_BYTES or gas > MOST_GAS:
            raise TransactionSizeError(
                f"the proof of one {kind} step takes a transaction of {size} bytes and about {gas} gas, but a chain takes"
                f" {MOST_BYTES} and {MOST_GAS}, so a right answer could not be defended: import the ceremony again with a"
                f" larger --mu than {system.srs.mu}, or the model with fewer than {positions} positions"
            )
        size = refute_claim_bytes(system, kind, positions)
        if size > MOST_BYTES:
            raise TransactionSizeError(
                f"the windows that a {kind} step writes take a transaction of {size} bytes, but a chain takes {MOST_BYTES}:"
                f" import the model with fewer than {positions} positions"
            )
    if system.privacy == PRIVATE and (size := prove_head_bytes(system, positions)) > MOST_BYTES:
        raise TransactionSizeError(
            f"the proof of one tile of the head takes a transaction of {size} bytes, but a chain takes {MOST_BYTES}: import the"
            f" model with fewer than {positions} positions"
        )
    size = claim_overrun_bytes(positions, len(end_tokens))
    if size > MOST_BYTES:
        raise TransactionSizeError(
            f"a claim about an output's end lists the model's {len(end_tokens)} end tokens and takes a transaction of {size}"
            f" bytes, but a chain takes {MOST_BYTES}: import the model with fewer end tokens"
        )


def prove_step_bytes(system: ProofSystem, kind: str, positions: int) -> int:
    """Calldata of proveStep about the last window of a sequence of so many positions, at most."""
    config, key = system.config, system.verifying_key(kind)
    program, windows = config.programs[kind], -(-positions // WINDOW_ROWS)
    height = (windows - 1).bit_length()
    sums = siblings = 0
    for name, tensor in (*program.reads.items(), *program.writes.items()):
        bits = _streams(system)[name].chunk_windows_bits(system.srs.mu)
        if "context" in program.tensors[tensor].axes:
            chunks = -(-windows >> bits)
            sums += chunks
            siblings += chunks * min(bits, height) + max(0, height - bits)
        else:
            sums += 1 + (bits > 0)  # with the window before, of which this one's commitment is the difference
            siblings += height * (1 + (bits > 0))
    roots = WORD * len(config.streams)
    path = WORD * (len(config.schedule) - 1).bit_length()
    proof = WORD * _shape(key, positions).words
    groups = WORD * -(-windows // CLAIM_GROUP)
    leaves = _whole_words(CLAIM_LEAF_BYTES * min(windows, CLAIM_GROUP))
    parts = (roots, roots, _key_bytes(key), path, _POINT * sums, WORD * siblings, proof, groups, leaves)
    return _SELECTOR + 5 * WORD + sum(2 * WORD + part for part in parts)  # an offset and a length for each


def refute_claim_bytes(system: ProofSystem, kind: str, positions: int) -> int:
    """Calldata of refuteClaim about a step of this kind in a sequence of so many positions, at most."""
    config, windows = system.config, -(-positions // WINDOW_ROWS)
    roots = WORD * len(config.streams)
    path = WORD * (len(config.schedule) - 1).bit_length()
    written = len(config.programs[kind].writes) * (2 * WORD + _POINT * windows)
    parts = (path, roots, roots, written, _whole_words(CLAIM_LEAF_BYTES * windows))
    return _SELECTOR + 4 * WORD + sum(2 * WORD + part for part in parts)


def _whole_words(size: int) -> int:
    return -(-size // WORD) * WORD


def prove_head_bytes(system: ProofSystem, positions: int) -> int:
    """Calldata of proveHeads about one tile and the last window of an output of so many ids, at most."""
    config, key = system.config, system.verifying_key(HEAD_TILE)
    windows, steps = -(-positions // WINDOW_ROWS), config.step_count + len(audit_schedule(config))
    boundary, window = (config.step_count + 1).bit_length(), (windows - 1).bit_length()
    siblings = 2 * boundary + 2 * window + (steps - 1).bit_length()
    roots, ids = len(config.streams) + 1, -(-4 * positions // WORD)
    words = siblings + roots + ids + 2 * 2 + _key_bytes(key) // WORD + _shape(key, positions).words
    return _SELECTOR + WORD * (words + 26)  # numbers, offsets and lengths


def _streams(system: ProofSystem) -> dict[str, Stream]:
    return {stream.name: stream for stream in system.config.streams}


def claim_overrun_bytes(output: int, end_tokens: int) -> int:
    """Calldata of claimOverrun about an output of so many ids."""
    return _SELECTOR + 7 * WORD + _whole_words(4 * output) + WORD * end_tokens


def _shape(key: VerifyingKey, positions: int) -> ProofShape:
    window = -(-positions // WINDOW_ROWS) - 1
    bits = WINDOW_BITS + (window.bit_length() if key.plan.program.has_context else 0)
    return ProofShape.of(key.plan, bits, key.chunk_bits)


def _key_bytes(key: VerifyingKey) -> int:
    plan = key.plan
    return WORD * len(plan.program.parameters) + _POINT * plan.key_layout(key.chunk_bits).chunks


def _points(key: VerifyingKey, positions: int) -> int:
    """Commitments that the verifier multiplies."""
    shape = _shape(key, positions)
    inputs = input_count(key.plan, {"window": -(-positions // WINDOW_ROWS) - 1}, key.chunk_bits)
    return _key_bytes(key) // _POINT + len(key.constants) + inputs + shape.commitments + shape.inverses


__all__ = [
    "MOST_BYTES",
    "check_transactions",
    "claim_overrun_bytes",
    "prove_head_bytes",
    "prove_step_bytes",
    "refute_claim_bytes",
]
