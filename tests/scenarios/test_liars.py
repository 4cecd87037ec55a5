"""The liars lie as they are meant to: where they say, and nowhere else."""

from __future__ import annotations

import numpy as np

from devnet.scenarios.cheap_weights import requantised
from devnet.scenarios.wrong_answers import AnswerCache, TokenSwapper
from prover.model.execute import Executor
from prover.model.weights import IntegerModel

PROMPT = list(b"some prompt of more than a window's length")


def test_cheap_weights_differ_from_their_layer_on_only(tiny: IntegerModel) -> None:
    cheap = requantised(tiny, 1, ("w_gate",))
    for name, matrix in tiny.weights.layers[0].items():
        assert cheap.weights.layers[0][name] is matrix
    for name, matrix in tiny.weights.layers[1].items():
        same = np.array_equal(cheap.weights.layers[1][name].values, matrix.values)
        assert same == (name != "w_gate")
    assert cheap.weights.layers[1]["w_gate"].shift == tiny.weights.layers[1]["w_gate"].shift


def test_four_bits_are_fifteen_levels_per_group(tiny: IntegerModel) -> None:
    cheap = requantised(tiny, 0).weights.layers[0]["w_up"].values
    groups = cheap.reshape(cheap.shape[0], -1, 32)
    assert max(len(np.unique(group)) for row in groups for group in row) <= 15


def test_the_swapper_changes_one_token(tiny: IntegerModel) -> None:
    executor = Executor(tiny)
    right = executor.generate(PROMPT, 8).ids
    heard: list[int] = []
    swapped = TokenSwapper(tiny).generate(PROMPT, 8, on_token=heard.append)
    assert swapped.ids == heard and len(swapped.ids) <= 8
    assert executor.replay(PROMPT, right) is None
    wrong = executor.replay(PROMPT, swapped.ids)
    assert wrong == len(right) // 2
    # After the swapped token the answer is the model's again.
    assert executor.replay([*PROMPT, *swapped.ids[: wrong + 1]], swapped.ids[wrong + 1 :]) is None


def test_the_cache_gives_everybody_the_first_answer(tiny: IntegerModel) -> None:
    cache = AnswerCache(tiny)
    first = cache.generate(PROMPT, 4)
    assert cache.generate(PROMPT[::-1], 4) == first == Executor(tiny).generate(PROMPT, 4)
