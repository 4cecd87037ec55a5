"""Windows behind the one in which a step leaves its range: what a challenger claims of them is what their statements say.

The trace runs them window after window beside one that failed; a witness computes each from the boundary in front alone.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from prover.curve.srs import SRS
from prover.errors import OutOfRangeError
from prover.model.library import load_model
from prover.model.weights import IntegerModel
from prover.model_commitment import ModelCommitment, commit_model
from prover.program import WINDOW_BITS
from prover.replay import Replay
from tests.prover.model.leaving_model import leaving

EXITS = {200: (0, "w_query"), 201: (0, "w_gate"), 202: (0, "w_key"), 203: (1, "w_up")}


@cache
def committed(step_weights: int | None) -> tuple[IntegerModel, ModelCommitment, SRS]:
    """The tiny model, whole or in tiles, with tokens that leave its range."""
    tiny, srs = load_model("tiny"), SRS.devnet(18)
    if step_weights is not None:
        tiny = replace(tiny, config=replace(tiny.config, step_weights=step_weights))
    model = leaving(tiny, EXITS)
    return model, commit_model(model, srs, cache_dir=None), srs


def replay(step_weights: int | None, places: dict[int, int], length: int = 150) -> Replay:
    """Ordinary tokens, and those of `places` (position -> token)."""
    ids = [places.get(position, 40 + (7 * position) % 90) for position in range(length)]
    return Replay(*committed(step_weights), ids, [5])


@pytest.mark.parametrize("step_weights", [None, 8_000])
@pytest.mark.parametrize("token", EXITS)
def test_every_window_that_has_a_proof_is_known(token: int, step_weights: int | None) -> None:
    """A token in windows 1 and 3 of five: 0, 2 and 4 are statements of their own, those of attention over all keys in front."""
    run = replay(step_weights, {40: token, 100: token})
    assert run.first_unprovable() is not None
    step, first = run.first_unprovable() or (0, 0)
    program, config = run._program(step), run.model.config
    assert first == 1
    known = [run.window_commitments(step + 1, number) for number in range(len(config.streams))]
    for number, stream in enumerate(config.streams):
        if stream.name not in program.writes:
            continue
        assert [window for window, point in enumerate(known[number]) if point is not None] == [0, 2, 4]
        # What was known before is as it was.
        assert known[number][:1] == run.window_points(step + 1, stream.name)
    for window in (0, 2, 4):
        bits = WINDOW_BITS + (window.bit_length() if program.has_context else 0)
        scheduled = config.schedule[step]
        witness = program.witness(
            run.step_tensors(step, window, bits),
            run.model.layer_parameters(scheduled.layer, scheduled.kind, scheduled.tile),
            {"window": window} if "window" in program.public_scalars else {},
            bits,
        )
        for number, stream in enumerate(config.streams):
            if stream.name in program.writes:
                expected = np.asarray(witness[program.writes[stream.name]])
                assert run._commit(stream, window, expected) == known[number][window], (stream, window)


def test_nothing_is_known_behind_that_step() -> None:
    run = replay(None, {40: 200})
    step, _ = run.first_unprovable() or (0, 0)
    for boundary in range(step + 1):
        for number, stream in enumerate(run.model.config.streams):
            assert run.window_commitments(boundary, number) == run.window_points(boundary, stream.name)
    with pytest.raises(OutOfRangeError):
        run.window_commitments(step + 2, 0)


def test_of_the_input_the_windows_without_an_unknown_id_are_known() -> None:
    """Nothing is run for them: the ids cannot be fed."""
    whole = replay(None, {})
    with_unknown = replay(None, {70: 10_000, 149: 259})
    expected = list(whole.window_points(0))
    assert with_unknown.window_commitments(0, 0) == [*expected[:2], None, expected[3], None]
    assert with_unknown.window_commitments(0, 1) == []
