"""A model whose moves do not fit a transaction loses right answers, so nobody commits to it.

The attacker registers a small model that answers quickly and whose proofs, or whose list of end tokens, are long: then it
disputes a right answer that nobody can send the proof of, or truncates one and nobody can send the claim.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil, log2

import pytest

from contracts.bindings.abi import Interface
from contracts.bindings.compiler import protocol_artifacts
from contracts.bindings.dispute_game import AgreedStep, ShownClaim, flat_points
from contracts.bindings.moves import step_proof
from contracts.protocol.claims import LEAF_BYTES
from contracts.protocol.game import ModelRules
from contracts.protocol.token_ids import pack_token_ids
from prover.architectures.gpt2 import Gpt2Config
from prover.architectures.llama import LlamaConfig
from prover.curve.srs import SRS
from prover.errors import TransactionSizeError
from prover.model.library import built_in_model, load_model
from prover.model.seeded import seeded_model
from prover.model.tokenizer import Tokenizer
from prover.model.weights import IntegerModel
from prover.model_commitment import commit_model
from prover.proof_system import ProofSystem
from prover.replay import Replay
from prover.transaction_size import (
    MOST_BYTES,
    check_transactions,
    claim_overrun_bytes,
    prove_step_bytes,
    refute_claim_bytes,
)

NODES_TAKE = 128 * 1024

LONG = Gpt2Config(
    layers=2, hidden=256, heads=256, feed_forward=64, vocabulary=259, norm_epsilon=1e-5, max_positions=1 << 14
)
"""Eight megabytes of weights. In its last window, 2^27 score digits of each kind are committed to."""
LLAMA_70B = LlamaConfig(
    layers=80,
    hidden=8192,
    heads=64,
    kv_heads=8,
    head_size=128,
    feed_forward=28_672,
    vocabulary=32_000,
    rope_base=10_000,
    norm_epsilon=1e-5,
    max_positions=1 << 14,
)
WIDE = Gpt2Config(
    layers=80,
    hidden=8128,
    heads=64,
    feed_forward=130_048,
    vocabulary=50_257,
    norm_epsilon=1e-5,
    max_positions=1024,
    step_weights=1 << 32,
)


@pytest.fixture(scope="module")
def srs() -> SRS:
    return SRS.devnet(18)


@pytest.fixture(scope="module")
def encode() -> Callable[..., bytes]:
    interface = Interface(protocol_artifacts()["DisputeGame"])
    return lambda function, *arguments: interface.encode_call(function, list(arguments))


def with_end_tokens(model: IntegerModel, count: int) -> IntegerModel:
    """Tokens that no text has and no run says, each of which would end an answer."""
    known = model.tokenizer.specification
    first = len(known.tokens)
    specification = replace(
        known,
        tokens=(*known.tokens, *(f"<end {index}>" for index in range(count))),
        token_types=(*known.token_types, *(5 for _ in range(count))),
        more_end_ids=tuple(range(first, first + count)),
    )
    return replace(model, tokenizer=Tokenizer(specification))


def test_a_model_whose_proofs_are_too_long_is_not_committed(srs: SRS) -> None:
    model = IntegerModel.from_float(seeded_model("long", LONG, built_in_model("tiny").tokenizer))
    assert prove_step_bytes(ProofSystem.shared(LONG, srs), "attention", 1 << 14) > NODES_TAKE
    with pytest.raises(TransactionSizeError, match=r"attention step .* fewer than 16384 positions"):
        commit_model(model, srs, cache_dir=None)


def test_a_model_with_very_many_end_tokens_is_not_committed(srs: SRS, encode: Callable[..., bytes]) -> None:
    model = with_end_tokens(load_model("tiny"), 5_000)
    claim = encode("claimTruncated", 1, bytes(32), pack_token_ids([1]), model.end_tokens)
    assert len(claim) > NODES_TAKE
    with pytest.raises(TransactionSizeError, match="5002 end tokens"):
        commit_model(model, srs, cache_dir=None)


def test_a_wide_model_in_tiles_fits(srs: SRS) -> None:
    check_transactions(ProofSystem.shared(LLAMA_70B, srs), (2,))


def test_a_wide_model_whose_steps_are_whole_needs_larger_chunks(srs: SRS) -> None:
    """Nothing of it is run or committed to find out."""
    with pytest.raises(TransactionSizeError, match=r"mlp step .* larger --mu than 18"):
        check_transactions(ProofSystem.shared(WIDE, srs), (2,))


def test_sizes_are_those_of_the_moves(srs: SRS, encode: Callable[..., bytes]) -> None:
    """A whole move about the last window of a response, and a claim about its end."""
    model = load_model("tiny")
    commitment = commit_model(model, srs, cache_dir=None)
    replay = Replay(model, commitment, srs, [(7 * i) % 256 for i in range(70)], [5])
    rules, system = ModelRules.of(commitment, 8), replay.system
    for kind in model.config.kinds:
        step = model.config.number_of(kind, 1)
        proof = step_proof(rules, replay, commitment, step, 2)
        assert len(proof.key_path) <= ceil(log2(commitment.step_count))
        claim = bytes(LEAF_BYTES * replay.windows)
        sent = len(encode("proveStep", 1, proof, ShownClaim.of(claim, 2)))
        # Where paths are shorter than the longest.
        assert sent <= prove_step_bytes(system, kind, 70) <= sent + 12 * 32
        written = [
            replay.stream_points(step + 1, s) for s in rules.step_access(commitment.kind(step)).written
        ]
        roots = replay.stream_roots(step), replay.stream_roots(step + 1)
        agreed = AgreedStep(
            0, bytes(32), proof.key_path, *roots, [flat_points(points) for points in written], claim
        )
        refuted = len(encode("refuteClaim", 1, agreed))
        assert refuted <= refute_claim_bytes(system, kind, 70) <= refuted + 4 * 32
    for output, ends in ((70, 2), (1, 0), (17, 40)):
        claim = encode("claimOverrun", 1, bytes(32), pack_token_ids([9] * output), list(range(ends)), 0)
        assert len(claim) == claim_overrun_bytes(output, ends)
    assert MOST_BYTES < NODES_TAKE
