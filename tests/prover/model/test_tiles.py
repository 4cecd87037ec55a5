"""A layer cut into tiles computes the integers of the whole one, whatever the tiles are and in whatever order they add."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from prover.architectures import ModelConfig
from prover.architectures.granite import GraniteConfig
from prover.architectures.llama import LlamaConfig
from prover.architectures.phi3 import Phi3Config
from prover.architectures.qwen2 import Qwen2Config
from prover.architectures.qwen3 import Qwen3Config
from prover.architectures.smollm3 import SmolLM3Config
from prover.model.execute import Executor
from prover.model.seeded import seeded_model
from prover.model.tiny import tiny_model, tiny_tokenizer
from prover.model.trace import Trace
from prover.model.weights import IntegerModel
from prover.program import OutOfRange
from prover.streams import SUM

from .leaving_model import leaving

_SHAPE = {
    "layers": 2,
    "hidden": 48,
    "heads": 9,
    "kv_heads": 3,
    "head_size": 8,
    "feed_forward": 44,
    "vocabulary": 259,
    "rope_base": 10_000,
    "norm_epsilon": 1e-5,
    "max_positions": 128,
}
"""Nothing divides: three groups of three heads, and hidden channels that are no multiple of a tile."""
CONFIGS: dict[str, ModelConfig] = {
    "llama": LlamaConfig(
        **_SHAPE, attention_bias=True, mlp_bias=True, sliding_window=32, layer_kinds=(1, 2), rope_factor=1.25
    ),
    "qwen2": Qwen2Config(**_SHAPE),
    "qwen3": Qwen3Config(**_SHAPE),
    "smollm3": SmolLM3Config(**_SHAPE, rotary_kinds=(2, 1)),
    "granite": GraniteConfig(
        **_SHAPE,
        embedding_multiplier=12.0,
        residual_multiplier=0.25,
        attention_scale=0.125,
        logits_divisor=8.0,
    ),
    "phi3": Phi3Config(**_SHAPE, rotated_channels=6),
}
SIZES = {10_000: (2, 1), 6_144: (2, 2), 3_072: (3, 3), 800: (9, 11), 100: (9, 44)}
"""Weights of a step -> tiles of attention and of the MLP: two groups and one that is padding, a group, a head; one channel."""
IDS = list(range(1, 71))
PERMUTED = np.random.default_rng(5)


@cache
def whole(family: str) -> IntegerModel:
    return IntegerModel.from_float(seeded_model(family, CONFIGS[family], tiny_tokenizer()))


@cache
def tiled(family: str = "llama", size: int = 6_144) -> IntegerModel:
    model = whole(family)
    return replace(model, config=replace(model.config, step_weights=size))


@cache
def trace(family: str = "llama", size: int = 6_144) -> Trace:
    found = Trace(tiled(family, size), IDS)
    assert found.refusal is None
    return found


def _last(config: ModelConfig, layer: int, sub_layer: str) -> int:
    """The boundary behind a sub-layer."""
    kind = sub_layer if sub_layer in config.kinds else f"{sub_layer}_close"
    return config.number_of(kind, layer) + 1


CASES = [
    *(("llama", size) for size in SIZES),
    *((family, 6_144) for family in CONFIGS if family != "llama"),
    ("qwen3", 800),
    ("smollm3", 800),
]


@pytest.mark.parametrize(("family", "size"), CASES)
def test_tiles_compute_what_the_whole_layer_computes(family: str, size: int) -> None:
    model, expected = tiled(family, size), Trace(whole(family), IDS)
    config, known = model.config, whole(family).config
    tiles = [config.steps[kind].tiles for kind in ("attention_tile", "mlp_tile") if kind in config.steps]
    assert tiles == [count for count in SIZES[size] if count > 1]
    assert expected.refusal is None
    for layer in range(config.layers):
        for sub_layer in ("attention", "mlp"):
            ours, theirs = _last(config, layer, sub_layer), _last(known, layer, sub_layer)
            np.testing.assert_array_equal(trace(family, size).stream(ours), expected.stream(theirs))
            for stream in ("keys", "values"):
                np.testing.assert_array_equal(
                    trace(family, size).stream(ours, stream), expected.stream(theirs, stream)
                )
    assert trace(family, size).stream(len(config.schedule)).any()


@pytest.mark.parametrize("size", [6_144, 800])
@pytest.mark.parametrize("kind", ["attention_tile", "mlp_tile"])
def test_tiles_add_in_any_order(kind: str, size: int) -> None:
    model, found = tiled(size=size), trace(size=size)
    config = model.config
    numbers = [config.number_of(kind, 1, tile) for tile in range(config.steps[kind].tiles)]
    start = {name: found.stream(numbers[0], name) for name in ("residual", "normalised", "keys", "values")}
    expected = found.stream(numbers[-1] + 1, SUM)
    for order in (numbers[::-1], [int(number) for number in PERMUTED.permutation(numbers)]):
        state = dict(start)
        for number in order:
            state |= Executor(model).run_step(number, state, Executor(model).start())
        np.testing.assert_array_equal(state[SUM], expected)
    assert expected.any()


def test_the_missing_weights_of_a_last_tile_are_zero_and_nothing_else_is_lost() -> None:
    """The slices of all tiles are the matrix; what the last one has beyond it is zero."""
    model, config = tiled(), tiled().config
    for kind, step in config.steps.items():
        for name, cut in step.sliced.items():
            parts = [model.layer_weights(1, kind, tile)[name] for tile in range(step.tiles)]
            assert all(part.shape[cut.axis] == cut.size for part in parts)
            joined = np.concatenate(parts, axis=cut.axis)
            matrix = model.weights.layers[1].get(name)
            entire = model.weights.vectors[1][name] if matrix is None else matrix.values.T
            length = entire.shape[cut.axis]
            assert joined.shape[cut.axis] > length
            kept, missing = np.split(joined, [length], axis=cut.axis)
            np.testing.assert_array_equal(kept, entire)
            assert not missing.any()
    sliced = {name for step in config.steps.values() for name in step.sliced}
    assert sliced == {"w_query", "query_bias", "w_output", "w_gate", "gate_bias", "w_up", "up_bias", "w_down"}


@pytest.mark.parametrize("family", ["llama", "smollm3"])
def test_prefill_and_decoding_agree(family: str) -> None:
    executor = Executor(tiled(family, 800))
    decoding = executor.start()
    rows = np.concatenate([executor.feed([token], decoding) for token in IDS[:40]])
    np.testing.assert_array_equal(rows, trace(family, 800).stream(len(executor.model.config.schedule))[:40])
    assert (
        executor.generate(IDS[:40], 4, end_ids=()).ids
        == Executor(whole(family)).generate(IDS[:40], 4, end_ids=()).ids
    )


@pytest.mark.long
def test_the_number_of_threads_changes_nothing() -> None:
    """Of the libraries that multiply, which read it when they start."""
    program = (
        "from tests.prover.model.test_tiles import tiled, trace;"
        "print(trace().stream(len(tiled().config.schedule)).tolist())"
    )
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, **dict.fromkeys(names, threads), "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(found) == 1


# --- partial sums -------------------------------------------------------------------------------------------


def _sums(model: IntegerModel, ids: list[int]) -> dict[int, np.ndarray]:
    """What every tile writes in one run of whole windows."""
    found: dict[int, np.ndarray] = {}
    executor = Executor(model)
    rows = np.zeros((-(-len(ids) // 32) * 32, model.config.hidden), dtype=np.int64)
    rows[: len(ids)] = executor.embed(ids)
    with suppress(OutOfRange):
        executor.feed_rows(
            rows,
            executor.start(),
            on_step=lambda step, written: found.update({step: written[SUM]} if SUM in written else {}),
        )
    return found


@pytest.mark.parametrize("size", [10_000, 6_144, 3_072, 800])
def test_sums_that_are_computed_again_are_those_of_the_run(size: int) -> None:
    """Asked for in any order, sub-layers mixed."""
    found, expected = Trace(tiled(size=size), IDS), _sums(tiled(size=size), IDS)
    assert len(expected) == 2 * sum(count for count in SIZES[size] if count > 1)
    for step in PERMUTED.permutation(list(expected)):
        np.testing.assert_array_equal(found.stream(int(step) + 1, SUM), expected[int(step)])
        np.testing.assert_array_equal(found.window(int(step) + 1, 2, SUM), expected[int(step)][64:])
    assert all(not np.array_equal(a, b) for a, b in pairwise(expected.values()))


def test_a_sum_has_windows_between_its_first_tile_and_its_close_only() -> None:
    found, config = trace(), tiled().config
    for index in range(len(config.schedule) + 1):
        before = config.schedule[index - 1].kind if index else ""
        written = before.endswith("_tile")
        assert found.version(index, SUM) == (index - 1 if written else None)
        assert found.known_windows(index, SUM) == (3 if written else 0)
        if not written:
            with pytest.raises(ValueError, match="sum has no windows"):
                found.stream(index, SUM)


def test_the_first_tile_adds_to_nothing() -> None:
    model, found = tiled(), trace()
    for kind in ("attention_tile", "mlp_tile"):
        first = model.config.number_of(kind, 0)
        state = {name: found.stream(first, name) for name in ("residual", "normalised", "keys", "values")}
        nothing = np.zeros_like(state["residual"])
        for known in (state, state | {SUM: nothing}):
            written = Executor(model).run_step(first, known, Executor(model).start())
            np.testing.assert_array_equal(written[SUM], found.stream(first + 1, SUM))
        more = Executor(model).run_step(first, state | {SUM: nothing + 7}, Executor(model).start())
        np.testing.assert_array_equal(more[SUM], found.stream(first + 1, SUM) + 7)


# --- a value that leaves its range inside a tile --------------------------------------------------------------

FIRST, LAST, UP, QUERY = 200, 201, 202, 203
EXITS = {
    FIRST: (0, "w_gate", 0),
    LAST: (0, "w_up", 159),
    UP: (1, "w_up", 70),
    QUERY: (1, "w_query", 40),
}
TILES = {
    FIRST: (0, "mlp_tile", 0),
    LAST: (0, "mlp_tile", 4),
    UP: (1, "mlp_tile", 2),
    QUERY: (1, "attention_tile", 1),
}


@cache
def leaver() -> IntegerModel:
    tiny = IntegerModel.from_float(tiny_model())
    return leaving(replace(tiny, config=replace(tiny.config, step_weights=8_000)), EXITS)


def _with(token: int, position: int) -> list[int]:
    return [token if at == position else 40 + (7 * at) % 90 for at in range(90)]


@pytest.mark.parametrize("position", [5, 40, 89])
@pytest.mark.parametrize("token", EXITS)
def test_a_trace_ends_inside_a_sub_layer(token: int, position: int) -> None:
    """All sums of the tiles before are there, in all windows; of the tile's own, the windows in front."""
    ids, config = _with(token, position), leaver().config
    layer, kind, tile = TILES[token]
    step, window = config.number_of(kind, layer, tile), position // 32
    found, expected = Trace(leaver(), ids), _sums(leaver(), ids)
    assert found.refusal is not None
    assert (found.refusal.step, found.refusal.window) == (step, window)
    assert found.refusal.error.position == position
    assert max(expected, default=-1) < step
    for number, rows in expected.items():
        np.testing.assert_array_equal(found.stream(number + 1, SUM), rows)
    assert found.known_windows(step + 1, SUM) == window
    if window:
        before = Trace(leaver(), ids[: 32 * window])
        assert before.refusal is None
        for known in range(window):
            np.testing.assert_array_equal(
                found.window(step + 1, known, SUM), before.window(step + 1, known, SUM)
            )
    for unknown in (
        lambda: found.window(step + 1, window, SUM),
        lambda: found.stream(step + 1, SUM),
        lambda: found.require(step + 1),
        lambda: found.stream(len(config.schedule)),
    ):
        with pytest.raises(OutOfRange, match=f"position {position}"):
            unknown()


def test_few_sums_are_kept_at_once_whatever_is_asked_for_in_which_order() -> None:
    """A dispute asks for any of them: all of a sub-layer would not fit into memory for a wide one."""
    tiny = IntegerModel.from_float(tiny_model())
    model = replace(tiny, config=replace(tiny.config, step_weights=4096))
    trace, fresh = Trace(model, list(range(1, 40))), Trace(model, list(range(1, 40)))
    last = model.config.step_count
    asked = [n for n in range(1, last + 1) if trace.version(n, SUM) is not None]
    inside = {n: fresh.stream(n, SUM) for n in asked}
    for order in (asked, asked[::-1], asked[::3] + asked[1::3]):
        for number in order:
            np.testing.assert_array_equal(trace.stream(number, SUM), inside[number])
            assert len(trace._sums) <= 2
