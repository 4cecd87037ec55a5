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
from prover.architectures.gemma3 import Gemma3Config
from prover.architectures.gpt2 import Gpt2Config
from prover.architectures.granite import GraniteConfig
from prover.architectures.llama import LlamaConfig
from prover.architectures.olmo2 import Olmo2Config
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
from prover.streams import SUM, SUMS

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
_OF_EVERY_FAMILY = ("layers", "hidden", "feed_forward", "vocabulary", "norm_epsilon", "max_positions")
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
    "olmo2": Olmo2Config(**_SHAPE),
    "gemma3": Gemma3Config(
        **_SHAPE, local_rope_base=1_000, sliding_window=32, layer_kinds=(1, 2), attention_scale=0.25
    ),
    "gpt2": Gpt2Config(**{name: _SHAPE[name] for name in _OF_EVERY_FAMILY} | {"heads": 6}),
}
SIZES = {10_000: (2, 1), 6_144: (2, 2), 3_072: (3, 3), 800: (9, 11), 100: (9, 44)}
"""Weights of a step -> tiles of attention and of the MLP: two groups and one that is padding, a group, a head; one channel."""
KINDS = ("keys_values_tile", "query_tile", "attention_tile", "mlp_tile")
COUNTS = {
    ("gemma3", 6_144): {"attention_tile": 2, "mlp_tile": 2},
    ("gemma3", 800): {"keys_values_tile": 6, "attention_tile": 9, "mlp_tile": 11},
    ("gpt2", 4_000): {"keys_values_tile": 3, "attention_tile": 2, "mlp_tile": 2},
    ("gpt2", 700): {"keys_values_tile": 12, "attention_tile": 6, "mlp_tile": 11},
    ("olmo2", 3_800): {"query_tile": 3, "attention_tile": 3, "mlp_tile": 3},
    ("olmo2", 2_500): {"keys_values_tile": 2, "query_tile": 3, "attention_tile": 9, "mlp_tile": 3},
}
"""Where keys and values, or the queries of a norm over all heads, are cut too: by their inputs."""
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
    *(
        (family, 6_144)
        for family in CONFIGS
        if (family, 6_144) not in COUNTS and family not in ("llama", "gpt2", "olmo2")
    ),
    *COUNTS,
    ("qwen3", 800),
    ("smollm3", 800),
]


@pytest.mark.parametrize(("family", "size"), CASES)
def test_tiles_compute_what_the_whole_layer_computes(family: str, size: int) -> None:
    model, expected = tiled(family, size), Trace(whole(family), IDS)
    config, known = model.config, whole(family).config
    tiles = {kind: config.steps[kind].tiles for kind in KINDS if kind in config.steps}
    known_sizes = dict(zip(KINDS[2:], SIZES.get(size, ()), strict=False))
    counts = COUNTS.get((family, size), {kind: n for kind, n in known_sizes.items() if n > 1})
    assert {kind: n for kind, n in tiles.items() if kind in counts or (family, size) in COUNTS} == counts
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


@pytest.mark.parametrize(("family", "size"), [("gpt2", 700), ("olmo2", 2_500)])
def test_slices_of_inputs_are_the_matrix(family: str, size: int) -> None:
    model, config = tiled(family, size), tiled(family, size).config
    names = {"keys_values_tile": ("w_key", "w_value"), "query_tile": ("w_query",)}
    for kind in names.keys() & config.steps.keys():
        for name in names[kind]:
            tiles = range(config.steps[kind].tiles)
            joined = np.concatenate([model.layer_weights(1, kind, tile)[name] for tile in tiles])
            np.testing.assert_array_equal(joined[:48], model.weights.layers[1][name].values.T)
            assert not joined[48:].any()
            integers = [model.layer_parameters(1, kind, tile)["inputs"] for tile in tiles]
            assert integers == [1 + tile for tile in tiles]


@pytest.mark.parametrize(
    ("family", "size"), [("llama", 800), ("smollm3", 800), ("gemma3", 800), ("olmo2", 2_500)]
)
def test_prefill_and_decoding_agree(family: str, size: int) -> None:
    executor = Executor(tiled(family, size))
    decoding = executor.start()
    rows = np.concatenate([executor.feed([token], decoding) for token in IDS[:40]])
    np.testing.assert_array_equal(rows, trace(family, size).stream(len(executor.model.config.schedule))[:40])
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


@pytest.mark.parametrize(("family", "size"), [("gpt2", 700), ("olmo2", 2_500)])
def test_sums_of_inputs_that_are_computed_again_are_those_of_the_run(family: str, size: int) -> None:
    """Two sums at once, and one that follows another's close; asked for in any order."""
    executor, expected = Executor(tiled(family, size)), {}
    rows = np.zeros((96, executor.model.config.hidden), dtype=np.int64)
    rows[: len(IDS)] = executor.embed(IDS)
    executor.feed_rows(
        rows,
        executor.start(),
        on_step=lambda step, written: expected.update(
            {(step, name): part for name, part in written.items() if name in SUMS}
        ),
    )
    found = Trace(tiled(family, size), IDS)
    assert {name for _, name in expected} == {s.name for s in executor.model.config.streams} & set(SUMS)
    asked = list(expected)
    for number in PERMUTED.permutation(len(asked)):
        step, name = asked[number]
        np.testing.assert_array_equal(found.stream(step + 1, name), expected[step, name])
        assert len(found._sums) <= 2


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
