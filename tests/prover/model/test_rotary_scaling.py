"""Scaled rotary positions: every number of a scaling shows, and where its meaning ends, so do the positions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prover.model.errors import CheckpointError, UnsupportedModelError
from prover.model.facts import yarn_divisors, yarn_factor
from prover.model.float_reference import float_logits
from prover.model.hugging_face_import import hugging_face_config, import_hugging_face
from prover.model.import_check import check_import

from .hugging_face_models import random_ids, save_directory, seeded_model
from .test_import_check import changed

_CHANGES: dict[str, list[dict[str, Any]]] = {
    "qwen3-yarn": [
        {"factor": 8.0},
        {"original_max_position_embeddings": 128},
        {"beta_fast": 4.0},
        {"beta_slow": 3.0},
        {"attention_factor": 1.5},
        {"mscale": 2.0, "mscale_all_dim": 0.5},
        {"truncate": False},
        {"rope_theta": 5000.0},
    ],
    "llama-longrope": [
        {"short_factor": [1.0, 1.05, 1.1, 1.25, 1.5, 2.0, 3.0, 9.0]},
        {"attention_factor": 1.5},
        {"factor": 16.0},
        {"original_max_position_embeddings": 128},
    ],
}
_CASES = [(model, change) for model, changes in _CHANGES.items() for change in changes]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("saved")
    return {name: save_directory(seeded_model(name), folder / name) for name in (*_CHANGES, "llama-dynamic")}


def rescaled(directory: Path, target: Path, **numbers: Any) -> Path:
    rotary = json.loads((directory / "config.json").read_text())["rope_parameters"]
    return changed(directory, {"rope_parameters": rotary | numbers}, target)


@pytest.mark.parametrize(("model", "change"), _CASES, ids=str)
def test_every_number_of_a_scaling_is_read_as_the_library_reads_it(
    saved: dict[str, Path], tmp_path: Path, model: str, change: dict[str, Any]
) -> None:
    """And none is ignored: the logits are others than before."""
    directory = rescaled(saved[model], tmp_path / "model", **change)
    check_import(directory, import_hugging_face)
    before, after = (
        float_logits(import_hugging_face(path), random_ids()) for path in (saved[model], directory)
    )
    assert np.abs(before - after).max() > 1e-2


def test_a_dynamic_scaling_is_none_up_to_the_length_at_which_it_begins(
    saved: dict[str, Path], tmp_path: Path
) -> None:
    """And no longer sequence is served, whatever the factor is."""
    config = import_hugging_face(saved["llama-dynamic"]).config
    assert (config.max_positions, config.rope_divisors, config.rope_factor) == (256, (), 1.0)  # type: ignore[attr-defined]
    other = import_hugging_face(rescaled(saved["llama-dynamic"], tmp_path / "model", factor=40.0)).config
    assert other == config


def test_long_factors_are_never_reached(saved: dict[str, Path], tmp_path: Path) -> None:
    config = import_hugging_face(saved["llama-longrope"]).config
    assert config.max_positions == 96
    other = rescaled(saved["llama-longrope"], tmp_path / "model", long_factor=[5.0] * 8)
    assert import_hugging_face(other).config == config


@pytest.mark.parametrize(
    ("rotary", "named"),
    [
        ({"rope_type": "yarn", "factor": "four"}, r"factor .*'four'"),
        ({"rope_type": "yarn"}, "factor"),
        ({"rope_type": "yarn", "factor": 4.0, "beta_fast": 1.0, "beta_slow": 2.0}, "no numbers of a YaRN"),
        ({"rope_type": "yarn", "factor": 4.0, "truncate": "no"}, "truncate"),
        ({"rope_type": "yarn", "factor": 4.0, "attention_factor": -1}, "no numbers of a YaRN"),
        ({"rope_type": "dynamic"}, "factor"),
        ({"rope_type": "longrope", "factor": 4.0}, "short_factor"),
        ({"rope_type": "longrope", "short_factor": [1.0] * 3}, "list of 64 numbers"),
        (
            {"rope_type": "longrope", "short_factor": [1.0] * 64, "original_max_position_embeddings": 1},
            "more",
        ),
    ],
)
def test_numbers_that_are_none_are_named(rotary: dict[str, Any], named: str) -> None:
    with pytest.raises(CheckpointError, match=named):
        hugging_face_config({"model_type": "llama", "rope_parameters": rotary})


def test_a_scaling_that_would_speed_a_pair_up_is_refused() -> None:
    rotary = {"rope_type": "longrope", "short_factor": [0.5] * 64}
    with pytest.raises(UnsupportedModelError, match=r"divisor of 0\.5"):
        hugging_face_config({"model_type": "llama", "rope_parameters": rotary})


def test_yarn_keeps_fast_pairs_and_divides_slow_ones() -> None:
    """By the paper: pairs that turn 32 times or more keep their frequency, those that do not turn once are divided."""
    divisors = yarn_divisors(10_000.0, 128, factor=4.0, fast=32, slow=1, original=4096)
    turns = [4096 / (2 * np.pi * 10_000 ** (2 * pair / 128)) for pair in range(64)]
    assert all(d == 1 for d, turn in zip(divisors, turns, strict=True) if turn > 33)
    assert all(d == 4 for d, turn in zip(divisors, turns, strict=True) if turn < 0.85)
    assert list(divisors) == sorted(divisors) and len(set(divisors)) > 10
    assert yarn_factor(4.0) == pytest.approx(1.1386294) and yarn_factor(0.5) == 1.0
