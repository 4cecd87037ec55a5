"""Models by name, and the report of an import."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from prover.model.calibrate import observe
from prover.model.errors import ModelNotFoundError
from prover.model.execute import Executor
from prover.model.fidelity import measure_fidelity
from prover.model.import_report import ImportReport
from prover.model.library import BUILT_IN, built_in_model, import_model, load_model, source_path
from prover.model.weights import IntegerModel

from .hugging_face_models import save_directory, seeded_model

TINY_MODELS = [name for name in BUILT_IN if name.startswith("tiny")]


@pytest.mark.parametrize("name", TINY_MODELS)
def test_every_tiny_model_is_as_good_as_its_floats(name: str) -> None:
    report = measure_fidelity(built_in_model(name), load_model(name), tokens=96)
    assert report.argmax_agreement > 0.95
    assert abs(report.perplexity_change) < 0.05


@pytest.mark.parametrize("name", TINY_MODELS)
def test_every_tiny_model_generates_and_replays(name: str) -> None:
    executor = Executor(load_model(name))
    prompt = executor.model.tokenizer.encode("Why is the sea salty?")
    generation = executor.generate(prompt, 8, end_ids=())
    assert len(set(generation.ids)) > 2
    assert executor.replay(prompt, generation.ids) is None


def test_a_directory_is_imported_calibrated_saved_and_reported(tmp_path: Path) -> None:
    directory = save_directory(seeded_model("gemma3"), tmp_path / "Small Gemma")
    model = import_model(directory, name="small", models=tmp_path / "models", calibration_tokens=64)
    assert load_model("small", models=tmp_path / "models").digest == model.digest
    assert model.source["file"] == "Small Gemma" and len(model.source["sha256"]) == 64
    report = ImportReport.of(model)
    assert report.family == "gemma3"
    assert report.architecture["layer_kinds"] == [1, 2, 1]
    assert report.operators["keys_values"]["RmsNorm"] == 2  # before, keys
    assert report.operators["attention"]["RmsNorm"] == 3  # before, queries, after
    assert report.operators["mlp"]["Activation"] == 1
    weights = {entry.tensor: entry for entry in report.weights}
    assert {"embedding", "head", "w_query", "query_norm", "post_mlp_norm"} <= set(weights)
    assert weights["w_query"].shape == (64, 64) and 2 <= weights["w_query"].bits <= 16
    assert all(entry.headroom and entry.headroom > 1 for entry in report.activations)
    headrooms = [entry.headroom for entry in report.activations]
    assert headrooms == sorted(headrooms)


def test_a_residual_scale_can_be_chosen(tmp_path: Path) -> None:
    directory = save_directory(seeded_model("llama"), tmp_path / "llama")
    model = import_model(directory, name="coarse", models=tmp_path, calibration_tokens=16, residual_scale=9)
    assert model.config.residual_scale == 9


def test_short_head_room_is_reported_and_bounded_tensors_are_not(model: IntegerModel) -> None:
    observed = observe(model, [list(b"some text")])
    tight = tuple(replace(entry, largest=entry.limit // 2) for entry in observed)
    report = ImportReport.of(replace(model, observed=tight))
    assert {entry.tensor for entry in report.activations if entry.short} == {
        entry.tensor for entry in report.activations if not entry.bounded
    }
    assert any(entry.bounded for entry in report.activations)
    assert set(report.to_json()["short_of_headroom"]).isdisjoint({"normalised", "attended"})


def test_a_source_that_is_nowhere_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="model fetch --model gemma3-270m"):
        source_path("gemma3-270m", models=tmp_path)
    with pytest.raises(ModelNotFoundError, match=r"config\.json"):
        source_path(tmp_path, models=tmp_path)
