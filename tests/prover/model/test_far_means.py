"""A last norm subtracts the mean of a row, however far it lies from zero: such a token is served, so it must be provable."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prover.curve.srs import SRS
from prover.model.execute import Executor
from prover.model.library import load_model
from prover.model.trace import Trace
from prover.model.weights import IntegerModel
from prover.model_commitment import commit_model
from prover.replay import Replay
from prover.verify import verify

PROMPT = [72, 101, 108, 108, 111]


def with_a_far_mean(model: IntegerModel, mean: int) -> IntegerModel:
    """The last layer adds `mean` to every channel, by the bias of its last matrix: well within that bias' width."""
    *vectors, last = model.weights.vectors
    shift = model.weights.layers[-1]["w_down"].shift
    bias = last["down_bias"] + (mean << shift)
    return replace(model, weights=replace(model.weights, vectors=[*vectors, {**last, "down_bias": bias}]))


@pytest.mark.parametrize("mean", [1 << 27, -(1 << 29)])
def test_a_token_behind_a_row_with_a_far_mean_is_proven(mean: int) -> None:
    """The square of the row's sum exceeds 64 bits: a head statement has one row, and its sum is a number, not an array."""
    model, srs = with_a_far_mean(load_model("tiny-gpt2"), mean), SRS.devnet(18)
    output = Executor(model).generate(PROMPT, 1, end_ids=()).ids
    rows = Trace(model, PROMPT).stream(len(model.config.schedule))
    assert (rows.sum(axis=1).astype(object) ** 2 > 1 << 63).all()
    replay = Replay(model, commit_model(model, srs, cache_dir=None), srs, PROMPT, output)
    assert replay.first_unprovable() is None and replay.first_wrong_output() is None
    position, rival = len(PROMPT) - 1, int(output[0] == 0)
    proof = replay.prove_head(position, rival)
    verify(replay.system.verifying_key("head"), replay.head_statement(position, rival), proof)


def test_the_mean_does_not_change_the_token() -> None:
    """What an attacker would look for: nothing in the answers shows it."""
    model = load_model("tiny-gpt2")
    near, far = (
        Executor(m).generate(PROMPT, 8, end_ids=()).ids for m in (model, with_a_far_mean(model, 1 << 27))
    )
    assert np.array_equal(near, far)
