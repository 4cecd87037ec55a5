"""Mixtures of experts as integers: tiles, rows that are not routed, ties, bounds; and what an import refuses."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from prover.architectures.config import Sliced
from prover.model.bounds import check_bounds, sums_exactly
from prover.model.errors import MissingTensorError, QuantiseError, UnsupportedModelError
from prover.model.execute import Executor
from prover.model.hugging_face_import import import_hugging_face
from prover.model.layouts import HUGGING_FACE_LAYOUTS
from prover.model.library import load_model
from prover.model.seeded import CONFIGURATIONS
from prover.model.trace import Trace
from prover.model.weights import IntegerModel
from prover.program import OutOfRange

from .hugging_face_models import save_directory, seeded_model

MODELS = ("tiny-mixtral", "tiny-qwen3-moe")
IDS = [(7 * index) % 256 for index in range(40)]


def tiled(model: IntegerModel, most: int) -> IntegerModel:
    return replace(model, config=replace(model.config, step_weights=most))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("most", [1 << 20, 1 << 12, 1])
def test_tiles_of_experts_give_the_integers_of_whole_ones(name: str, most: int) -> None:
    """One step per expert, several with padding in the last, and one per channel."""
    model = load_model(name)
    whole, ids = Trace(model, IDS), IDS if most > 1 else IDS[:2]
    cut = tiled(model, most)
    assert cut.config.steps["expert_tile"].tiles != model.config.steps["expert_tile"].tiles or most > 1 << 12
    trace = Trace(cut, ids)
    rows = slice(0, len(ids))
    for stream in ("residual", "gates", "normalised"):
        found = trace.stream(trace.steps, stream)
        assert np.array_equal(found[rows], whole.stream(whole.steps, stream)[rows])


@pytest.mark.parametrize("name", MODELS)
def test_every_row_has_as_many_experts_as_the_model_says(name: str) -> None:
    model = load_model(name)
    trace, used = Trace(model, IDS), model.config.experts_per_token  # type: ignore[attr-defined]
    for step, scheduled in enumerate(model.config.schedule):
        if scheduled.kind == "router":
            gates = trace.stream(step + 1, "gates")
            assert ((gates > 0).sum(axis=1) == used).all() and (gates >= 0).all()
            assert (np.abs(gates.sum(axis=1) - (1 << 14)) <= used / 2).all()
            assert (gates > 0).any(axis=0).all()  # every expert has rows


def test_equal_experts_are_taken_from_the_front() -> None:
    """A router of zeros: all logits are zero, in every row."""
    model = load_model("tiny-mixtral")
    layers = [
        layer | {"w_router": replace(layer["w_router"], values=np.zeros_like(layer["w_router"].values))}
        for layer in model.weights.layers
    ]
    trace = Trace(replace(model, weights=replace(model.weights, layers=layers)), IDS)
    assert (trace.stream(trace.steps, "gates") == [1 << 13, 1 << 13, 0, 0]).all()


@pytest.mark.parametrize("name", MODELS)
def test_weights_of_experts_without_rows_are_not_looked_at(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One token: the experts that it is routed to, and no other."""
    read: Counter[tuple[int, int]] = Counter()
    original = IntegerModel.layer_weight

    def counting(self: IntegerModel, layer: int, kind: str, tile: int, weight: str) -> np.ndarray:
        read[layer, tile] += kind == "expert_tile"
        return original(self, layer, kind, tile, weight)

    monkeypatch.setattr(IntegerModel, "layer_weight", counting)
    model = load_model(name)
    executor = Executor(model)
    executor.feed([17], executor.start())
    per_expert = model.config.expert_tiles.per_expert  # type: ignore[attr-defined]
    tiles = {(layer, tile) for (layer, tile), times in read.items() if times}
    assert len(tiles) == 2 * model.config.experts_per_token * per_expert  # type: ignore[attr-defined]
    experts = {(layer, tile // per_expert) for layer, tile in tiles}
    assert len(experts) == 2 * model.config.experts_per_token  # type: ignore[attr-defined]


def test_a_tile_belongs_to_one_expert() -> None:
    """Blocks of 12 in tiles of 8: eight, then four and padding."""
    cut = Sliced(0, 8, 12)
    assert [cut.entries(tile) for tile in range(4)] == [
        slice(0, 8),
        slice(8, 12),
        slice(12, 20),
        slice(20, 24),
    ]
    assert Sliced(1, 8).entries(3) == slice(24, 32)
    model = load_model("tiny-qwen3-moe")
    config, matrix = model.config, model.weights.layers[1]["w_up"].values
    tiles = config.expert_tiles  # type: ignore[attr-defined]
    assert (tiles.size, tiles.per_expert, tiles.count) == (64, 2, 12)
    for tile in range(tiles.count):
        weights = model.layer_weights(1, "expert_tile", tile)
        first = 96 * (tile // 2) + 64 * (tile % 2)
        real = 32 if tile % 2 else 64
        assert np.array_equal(weights["w_up"][:, :real], matrix[first : first + real].T)
        assert not weights["w_up"][:, real:].any() and not weights["w_down"][real:].any()
        assert model.layer_parameters(1, "expert_tile", tile)["expert"] == 1 + tile // 2
        assert {name: w.shape for name, w in weights.items()} == {
            "w_gate": (64, 64), "w_up": (64, 64), "w_down": (64, 64)
        }  # fmt: skip


def test_what_leaves_its_range_in_an_expert_is_named_with_its_position() -> None:
    """Rows behind one that is routed elsewhere: their numbers among the expert's own rows are others. The others' rows stay."""
    model = load_model("tiny-mixtral")
    trace = Trace(model, IDS)
    router = model.config.number_of("router", 0)
    gates = trace.stream(router + 1, "gates")
    expert, position = next(
        (e, int(np.flatnonzero(gates[:, e])[0])) for e in range(4) if gates[0, e] == 0 and gates[:, e].any()
    )
    layer = model.weights.layers[0]
    up, values = layer["w_up"], layer["w_up"].values.copy()
    values[48 * expert : 48 * (expert + 1)] = 32_767 * np.sign(
        trace.stream(router + 1, "normalised")[position]
    )
    layers = [layer | {"w_up": replace(up, values=values, shift=up.shift - 6)}, *model.weights.layers[1:]]
    broken = replace(model, weights=replace(model.weights, layers=layers))
    executor = Executor(broken)
    with pytest.raises(OutOfRange, match="tensor up") as caught:
        executor.feed(IDS, executor.start())
    own = set(np.flatnonzero(gates[:, expert]))
    assert caught.value.position in own and caught.value.position >= position > 0
    refused = Trace(broken, IDS).refusal
    assert refused is not None and refused.step == router + 1 + expert
    assert refused.window == min(own) // 32


def test_sums_are_bounded_over_the_experts_of_one_row() -> None:
    """The two largest of three blocks count: 3 + 4, times 2^49 - that is less than 2^52, of which three are not."""
    values = np.array([[1, -2, 0, 1, 4, 0], [0, 0, 0, 0, 0, 1]], dtype=np.int16)
    assert sums_exactly(values, 51, 3, 2) and not sums_exactly(values, 52, 3, 2)
    assert sums_exactly(values, 50) and not sums_exactly(values, 51)
    model = load_model("tiny-mixtral")
    rule = model.config.matrix_rules["w_down"]
    assert (rule.blocks, rule.used, rule.inputs) == (4, 2, 4 * 48)
    check_bounds(model.config, model.weights)
    values = np.full_like(model.weights.layers[1]["w_down"].values, 32_767)
    wide = replace(model.weights.layers[1]["w_down"], values=np.repeat(values, 1, axis=1))
    layers = [model.weights.layers[0], model.weights.layers[1] | {"w_down": wide}]
    check_bounds(model.config, replace(model.weights, layers=layers))
    with pytest.raises(QuantiseError, match="w_down of layer 1 was quantised for other scales"):
        changed = replace(wide, shift=wide.shift + 1)
        layers = [model.weights.layers[0], model.weights.layers[1] | {"w_down": changed}]
        check_bounds(model.config, replace(model.weights, layers=layers))


# --- import -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["mixtral", "qwen3-moe"])
def directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_directory(seeded_model(request.param), tmp_path_factory.mktemp(request.param))


@pytest.fixture
def copied(directory: Path, tmp_path: Path) -> Iterator[Path]:
    for file in directory.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    yield tmp_path


def restate(path: Path, **settings: Any) -> None:
    facts = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(facts | settings))


def expert_name(path: Path, expert: int) -> str:
    layout = HUGGING_FACE_LAYOUTS[json.loads((path / "config.json").read_text())["model_type"]]
    return "model." + layout.experts["w_down"].format(layer=1, expert=expert)


def test_a_missing_expert_is_named(copied: Path) -> None:
    tensors = load_file(copied / "model.safetensors")
    name = expert_name(copied, 2)
    del tensors[name]
    save_file(tensors, copied / "model.safetensors", {"format": "pt"})
    with pytest.raises(MissingTensorError, match=name.removeprefix("model.").replace(".", r"\.")):
        import_hugging_face(copied)


def test_an_expert_too_many_is_refused_by_name(copied: Path) -> None:
    tensors = load_file(copied / "model.safetensors")
    name = expert_name(copied, 17)
    tensors[name] = tensors[expert_name(copied, 1)]
    save_file(tensors, copied / "model.safetensors", {"format": "pt"})
    with pytest.raises(UnsupportedModelError, match=r"experts\.17"):
        import_hugging_face(copied)


def test_experts_lie_side_by_side(directory: Path) -> None:
    model = import_hugging_face(directory)
    tensors, size = load_file(directory / "model.safetensors"), model.config.feed_forward  # type: ignore[attr-defined]
    found = model.layers[1]["w_down"]
    for expert in range(model.config.experts):  # type: ignore[attr-defined]
        own = found[:, size * expert : size * (expert + 1)]
        assert np.array_equal(own, tensors[expert_name(directory, expert)])


def test_the_older_name_of_the_number_of_experts_is_read(copied: Path) -> None:
    facts = json.loads((copied / "config.json").read_text())
    if facts["model_type"] == "mixtral":
        restate(copied, num_experts=2)
        with pytest.raises(UnsupportedModelError, match="num_experts = 2"):
            import_hugging_face(copied)
        return
    facts["num_experts"] = facts.pop("num_local_experts")
    (copied / "config.json").write_text(json.dumps(facts))
    assert import_hugging_face(copied).config.experts == facts["num_experts"]  # type: ignore[attr-defined]


CHANGES = [
    {"norm_topk_prob": False},
    {"mlp_only_layers": [1]},
    {"decoder_sparse_step": 2},
    {"use_sliding_window": True, "sliding_window": 32},
    {"hidden_act": "gelu"},
    {"num_experts_per_tok": 7},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_what_changes_the_model_and_is_not_expressed_is_refused_by_name(
    change: dict[str, Any], tmp_path: Path
) -> None:
    path = save_directory(_qwen(), tmp_path)
    restate(path, **change)
    named = {"hidden_act": "activation 'gelu'", "num_experts_per_tok": "7 of 6 entries"}
    with pytest.raises(UnsupportedModelError, match=named.get(next(iter(change)), next(iter(change)))):
        import_hugging_face(path)


_qwen = partial(seeded_model, "qwen3-moe")


def test_small_models_of_both_families_are_built_in() -> None:
    assert {name for name in CONFIGURATIONS if hasattr(CONFIGURATIONS[name](), "experts")} == {
        *MODELS,
        "tiny-deepseek-v3",
    }
