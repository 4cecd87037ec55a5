"""An integer model on disk: what is loaded is what was saved, and anything else is refused."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prover.model.errors import ModelFileError, ModelHashError, ModelNotFoundError
from prover.model.library import import_model, imported_models, load_model
from prover.model.tiny import tiny_model
from prover.model.weights import MANIFEST, WEIGHTS, IntegerModel, ObservedRange, load, save

from .gguf_files import write_gguf

TINY_DIGEST = "3f9c1440ee747b075b60b7d31f826fc2e5eca084a97a7bf33fe0c29a41d60b88"


def other_scales(scales: dict[str, Any]) -> dict[str, Any]:
    """The scales of a model that was quantised when a tensor of the layer program had another scale."""
    changed = copy.deepcopy(scales)
    changed["layers"][0]["w_query"]["shift"] += 1
    return changed


@pytest.fixture
def saved(tmp_path: Path, model: IntegerModel) -> Path:
    return save(replace(model, observed=(ObservedRange("up", 1, 100, 1000),)), tmp_path / "models" / "saved")


def test_the_tiny_model_is_the_same_on_every_machine(model: IntegerModel) -> None:
    assert model.digest.hex() == TINY_DIGEST


def test_another_seed_is_another_model(model: IntegerModel) -> None:
    assert IntegerModel.from_float(tiny_model(1)).digest != model.digest


def test_load_returns_what_was_saved(saved: Path, model: IntegerModel) -> None:
    loaded = load(saved)
    assert loaded.digest == model.digest
    assert loaded.config == model.config
    assert loaded.end_tokens == (256, 258)
    assert loaded.observed == (ObservedRange("up", 1, 100, 1000),)
    assert loaded.observed[0].headroom == 10
    np.testing.assert_array_equal(loaded.head, model.head)
    assert not loaded.head.flags.writeable


def test_pages_that_were_let_go_are_read_again(saved: Path, model: IntegerModel) -> None:
    loaded = load(saved)
    loaded.release_pages()
    assert loaded.digest == model.digest
    model.release_pages()  # a model that was never saved stays as it is
    assert model.digest.hex() == TINY_DIGEST


def test_saving_again_replaces_and_leaves_nothing_behind(saved: Path, model: IntegerModel) -> None:
    save(replace(model, name="second"), saved)
    assert load(saved).name == "second"
    assert [path.name for path in saved.parent.iterdir()] == ["saved"]


def test_layer_weights_and_parameters_are_named_as_in_the_programs(model: IntegerModel) -> None:
    for kind in model.config.kinds:
        program = model.config.programs[kind]
        assert set(model.layer_parameters(1, kind)) == set(program.parameters)
        assert set(model.layer_weights(1, kind)) == {weight.name for weight in program.weights}
    assert model.layer_weights(0, "mlp")["w_up"].shape == (64, 160)
    assert model.layer_weights(0, "keys_values")["w_key"].shape == (64, 32)


def test_changed_weights_are_noticed(saved: Path) -> None:
    path = saved / WEIGHTS
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelHashError):
        load(saved)


def test_absent_and_inconsistent_models_are_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        load(tmp_path / "nowhere")
    manifest = json.loads((saved / MANIFEST).read_text())
    for change in (
        {"format": "gainsay-integer-model/0"},
        {"config": manifest["config"] | {"layers": 3}},
        {"config": manifest["config"] | {"hidden": 65}},
        {"config": {"layers": 2}},
        {"tokenizer": manifest["tokenizer"] | {"tokens": ["a"]}},
        {"scales": {}},
        {"scales": other_scales(manifest["scales"])},
    ):
        (saved / MANIFEST).write_text(json.dumps(manifest | change))
        with pytest.raises(ModelFileError):
            load(saved)
    (saved / MANIFEST).write_text("{")
    with pytest.raises(ModelFileError):
        load(saved)
    (saved / MANIFEST).write_text(json.dumps(manifest))
    (saved / WEIGHTS).unlink()
    with pytest.raises(ModelFileError, match="missing"):
        load(saved)


def test_models_are_found_by_name_and_by_directory(saved: Path, model: IntegerModel) -> None:
    folder = saved.parent
    assert load_model("tiny", models=folder).digest == model.digest
    assert load_model("saved", models=folder).digest == model.digest
    assert load_model(saved, models=folder.parent).digest == model.digest
    assert imported_models(folder) == ["saved"]
    with pytest.raises(ModelNotFoundError, match=r"there are: tiny, .*, saved\)"):
        load_model("absent", models=folder)


def test_import_reads_quantises_calibrates_and_saves(tmp_path: Path) -> None:
    floats = tiny_model()
    specification = floats.tokenizer.specification
    tokens = (*specification.tokens[:-1], "Ġa")
    types = (*specification.token_types[:-1], 1)
    changed = replace(specification, tokens=tokens, token_types=types, merges=("Ġ a",), eos_id=256)
    path = write_gguf(tmp_path / "m.gguf", replace(floats, tokenizer=type(floats.tokenizer)(changed)))
    stages: set[str] = set()
    imported = import_model(
        path,
        name="mine",
        models=tmp_path,
        calibration_tokens=40,
        progress=lambda stage, done, total: stages.add(stage),
    )
    assert stages == {"read", "quantise", "calibrate"}
    assert imported.name == "mine"
    assert imported.source["file"] == "m.gguf"
    assert {entry.tensor for entry in imported.observed} >= {
        "query",
        "key",
        "keys",
        "values",
        "gate",
        "up",
        "product",
        "after",
    }
    np.testing.assert_array_equal(imported.head, IntegerModel.from_float(floats).head)
    assert load_model("mine", models=tmp_path).digest == imported.digest
