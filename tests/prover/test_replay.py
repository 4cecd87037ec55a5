"""A replay whose trace ends early knows what it can prove, and says where nobody can."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from eth_hash.auto import keccak

from prover.architectures.config import Scales
from prover.architectures.llama import LlamaConfig
from prover.argument.commitment import commit_integers
from prover.model.library import load_model
from prover.model.weights import IntegerModel
from prover.model_commitment import ModelCommitment, commit_model
from prover.program import OutOfRange
from prover.prove import StatementFalseError
from prover.replay import Replay, RivalWins
from prover.stream_commitments import NO_WINDOWS, stream_root
from prover.verify import verify
from tests.prover.model.leaving_model import leaving
from tests.prover.statements import MU, srs

LEAVER, OTHER = 200, 7
PROMPT = [40 + (7 * position) % 90 for position in range(60)]


@pytest.fixture(scope="module")
def model() -> IntegerModel:
    return leaving(load_model("tiny"), {LEAVER: (1, "w_query")})


@pytest.fixture(scope="module")
def commitment(model: IntegerModel) -> ModelCommitment:
    return commit_model(model, srs(), cache_dir=None)


@pytest.fixture(scope="module")
def replay(model: IntegerModel, commitment: ModelCommitment) -> Replay:
    """The leaver at position 62: attention of layer 1 (step 4), in the second window of two."""
    return Replay(model, commitment, srs(), PROMPT, [1, OTHER, LEAVER, OTHER, OTHER, OTHER])


def test_it_knows_every_boundary_up_to_the_failing_step(replay: Replay) -> None:
    assert replay.windows == 3
    assert replay.first_unprovable() == (4, 1)
    assert [len(replay.stream_points(index, 0)) for index in range(7)] == [3, 3, 3, 3, 3, 1, 0]
    assert [len(replay.stream_points(index, 1)) for index in range(7)] == [0, 3, 3, 3, 3, 3, 3]
    assert all(len(replay.boundary_hash(index)) == 32 for index in range(5))
    for index in (5, 6):
        with pytest.raises(OutOfRange, match="query of layer 1 at position 62"):
            replay.boundary_hash(index)


def test_what_is_known_is_what_a_complete_trace_has(
    replay: Replay, model: IntegerModel, commitment: ModelCommitment
) -> None:
    """Causality: the windows in front are those of a sequence that ends before."""
    shorter = Replay(model, commitment, srs(), PROMPT[:32], [1])
    assert shorter.first_unprovable() is None
    for index in range(1, 6):
        for stream in range(3):
            assert replay.stream_points(index, stream)[0] == shorter.stream_points(index, stream)[0]


def test_boundaries_are_hashes_of_streams(replay: Replay) -> None:
    """Roots of what the model wrote, from the integers: committed where their window lies in its chunk."""
    streams = replay.model.config.streams
    assert [(stream.name, stream.placed) for stream in streams] == [
        ("residual", False),
        ("keys", True),
        ("values", True),
    ]
    assert replay.stream_roots(0)[1:] == (NO_WINDOWS, NO_WINDOWS)
    chunks = {}
    for number, stream in enumerate(streams):
        entries = 1 << stream.window_bits
        sums = replay.stream_points(3, number)
        for window in range(3):
            rows = replay.padded_window(3, window, stream.name).reshape(-1)
            place = window % (1 << MU - stream.window_bits) if stream.placed else 0
            assert len(rows) == entries
            chunk = chunks.setdefault(
                number if stream.placed else (number, window), np.zeros(1 << MU, np.int64)
            )
            chunk[place * entries : (place + 1) * entries] = rows
            assert sums[window] == commit_integers(srs().g1, chunk)
        assert replay.stream_roots(3)[number] == stream_root(sums)
    assert replay.boundary_hash(3) == keccak(b"".join(replay.stream_roots(3)))


def test_it_proves_what_is_in_front_and_nothing_else(replay: Replay) -> None:
    proof = replay.prove_step(4, 0)
    verify(replay.system.verifying_key("attention"), replay.step_statement(4, 0), proof)
    for step, window in ((4, 1), (4, 2), (5, 0)):
        with pytest.raises(OutOfRange):
            replay.prove_step(step, window)
    with pytest.raises(OutOfRange):
        replay.first_wrong_output()


@dataclass(frozen=True, kw_only=True)
class NarrowHead(LlamaConfig):
    """The last norm's rows have thirteen bits: a row with one large channel (8.0 at scale 10) leaves them."""

    scales: ClassVar[Scales] = Scales(head_normalised_bits=13)


def test_a_row_that_leaves_the_heads_range_has_no_token() -> None:
    """All steps are provable; at some position the head is not, and any rival wins there."""
    tiny = load_model("tiny")
    narrow = NarrowHead.from_json({k: v for k, v in tiny.config.to_json().items() if k != "family"})
    embedding = np.array(tiny.weights.embedding)
    embedding[LEAVER] = 0
    embedding[LEAVER, 5] = 32_000  # one channel holds nearly all of the row's length
    layers = [dict(layer) for layer in tiny.weights.layers]
    for layer in layers:
        for name in ("w_output", "w_down"):
            layer[name] = replace(layer[name], values=layer[name].values >> 6)
    weights = replace(tiny.weights, embedding=embedding, layers=layers)
    model = replace(tiny, config=narrow, weights=weights)
    commitment = commit_model(model, srs(), cache_dir=None)
    probe = Replay(model, commitment, srs(), PROMPT[:9], [1])
    first = probe.argmax(8)
    assert first is not None and first != LEAVER
    assert probe.first_wrong_output() == (8, first)

    right_then_leaver = Replay(model, commitment, srs(), [*PROMPT[:9], LEAVER], [0, OTHER])
    assert right_then_leaver.first_unprovable() is None
    assert right_then_leaver.argmax(9) is None
    assert right_then_leaver.first_wrong_output() == (9, 1)  # the committed token is 0
    other = Replay(model, commitment, srs(), [*PROMPT[:9], LEAVER], [OTHER])
    assert other.first_wrong_output() == (9, 0)
    assert other.predictions == [None]
    failures = set()
    for rival in (token for token in range(0, 259, 3) if token != OTHER):
        with pytest.raises((StatementFalseError, RivalWins)) as failed:
            other.prove_head(9, rival)
        failures.add(failed.type)
        if failed.type is StatementFalseError:
            break
    assert StatementFalseError in failures  # no pair, not even one with a smaller logit
