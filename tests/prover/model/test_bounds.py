"""A saved model whose integers leave what the programs are made for is refused, wherever it enters."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from prover.curve.srs import SRS
from prover.model.bounds import check_bounds
from prover.model.errors import ModelFileError, QuantiseError
from prover.model.library import load_model
from prover.model.weights import MANIFEST, WEIGHTS, IntegerModel, load, save
from prover.model_commitment import commit_model

Change = Callable[[dict[str, np.ndarray], dict[str, Any]], None]


@dataclass(frozen=True)
class Broken:
    """A bound that a saved model of a built-in name breaks, and what the refusal names."""

    model: str
    change: Change
    named: str


def entry(tensor: str, value: int) -> Change:
    """One entry of a tensor."""

    def change(tensors: dict[str, np.ndarray], scales: dict[str, Any]) -> None:
        tensors[tensor].reshape(-1)[-1] = value

    return change


def shifted(by: int, shift: int | None = None) -> Change:
    """Scale and shift of a matrix, moved together."""

    def change(tensors: dict[str, np.ndarray], scales: dict[str, Any]) -> None:
        of = scales["layers"][1]["w_up"]
        of["scale"] += by
        of["shift"] = of["shift"] + by if shift is None else shift

    return change


def scale_of_the_head(value: Any) -> Change:
    def change(tensors: dict[str, np.ndarray], scales: dict[str, Any]) -> None:
        scales["head"] = value

    return change


def whole_rows(tensor: str, value: int) -> Change:
    def change(tensors: dict[str, np.ndarray], scales: dict[str, Any]) -> None:
        tensors[tensor][-1] = value

    return change


BROKEN = {
    "embedding": Broken(
        "tiny", entry("embedding", -(1 << 15)), "the embedding holds 32768, outside its 16 bits"
    ),
    "head": Broken("tiny", entry("head", -(1 << 15)), "the head holds 32768, outside its 16 bits"),
    "wide head": Broken("tiny-gemma3", entry("head", 1 << 19), "the head holds 524288, outside its 20 bits"),
    "matrix": Broken("tiny", entry("layers.1.w_key", -(1 << 15)), "w_key of layer 1 holds 32768"),
    "shift too large": Broken("tiny", shifted(8), "w_up of layer 1 has shift"),
    "shift too small": Broken("tiny", shifted(-20), "w_up of layer 1 has shift"),
    "shift of another scale": Broken("tiny", shifted(0, 3), "w_up of layer 1 was quantised for other scales"),
    "shift of no whole number": Broken("tiny", shifted(0, 12.0), "the shift of w_up of layer 1 is 12.0"),  # type: ignore[arg-type]
    "head scale of no number": Broken("tiny", scale_of_the_head("12"), "the scale of the head is '12'"),
    "bias": Broken("tiny-gpt2", entry("layers.1.up_bias", 1 << 47), "up_bias of layer 1 holds"),
    "key bias": Broken("tiny-qwen2", entry("layers.0.key_bias", -(1 << 47)), "key_bias of layer 0 holds"),
    "gain of a head": Broken(
        "tiny-qwen3", entry("layers.0.query_norm", 1 << 22), "query_norm of layer 0 holds 4194304"
    ),
    "gain of channels": Broken(
        "tiny-gemma3", entry("layers.2.post_mlp_norm", -(1 << 23)), "post_mlp_norm of layer 2 holds 8388608"
    ),
    "positions": Broken(
        "tiny-gpt2", entry("layers.0.positions", 1 << 15), "positions of layer 0 holds 32768"
    ),
}


@cache
def _built_in(name: str) -> IntegerModel:
    return load_model(name)


def broken_directory(case: Broken, folder: Path) -> Path:
    """The model on disk, changed, with a manifest that fits the changed file: what somebody else could hand on."""
    directory = save(replace(_built_in(case.model), name="broken"), folder / "broken")
    tensors = {name: array.copy() for name, array in load_file(directory / WEIGHTS).items()}
    manifest = json.loads((directory / MANIFEST).read_text())
    case.change(tensors, manifest["scales"])
    save_file(tensors, directory / WEIGHTS)
    manifest["weights_sha256"] = hashlib.sha256((directory / WEIGHTS).read_bytes()).hexdigest()
    (directory / MANIFEST).write_text(json.dumps(manifest))
    return directory


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_bound_on_disk_is_refused_on_load(name: str, tmp_path: Path) -> None:
    case = BROKEN[name]
    directory = broken_directory(case, tmp_path)
    for verify in (True, False):
        with pytest.raises(ModelFileError) as refused:
            load(directory, verify=verify)
        assert case.named in str(refused.value) and "import" in str(refused.value)


@pytest.mark.parametrize("name", [*dict.fromkeys(case.model for case in BROKEN.values())])
def test_the_same_directory_unchanged_is_loaded(name: str, tmp_path: Path) -> None:
    """The control, and no bound is met by the built-in models only just."""
    directory = broken_directory(Broken(name, lambda tensors, scales: None, ""), tmp_path)
    assert load(directory).digest == _built_in(name).digest


def test_a_row_that_float64_cannot_sum_is_refused(tmp_path: Path) -> None:
    """No built-in model is wide enough: 28-bit inputs need 2,048 of them. So the width of the unit is the lie's."""
    model = _built_in("tiny")
    config = replace(model.config, feed_forward=4096)
    layers = [dict(layer) for layer in model.weights.layers]
    for layer in layers:
        for name, shape in (("w_gate", (4096, 64)), ("w_up", (4096, 64)), ("w_down", (64, 4096))):
            layer[name] = replace(layer[name], values=np.zeros(shape, dtype=np.int16))
    wide = replace(model, config=config, weights=replace(model.weights, layers=layers))
    check_bounds(wide.config, wide.weights)
    directory = save(wide, tmp_path / "wide")
    assert load(directory).config.feed_forward == 4096
    layers[1]["w_down"].values[3, :2049] = (1 << 15) - 1
    with pytest.raises(
        ModelFileError, match="w_down of layer 1 has a row of absolute sum 67139583; times inputs"
    ):
        load(save(wide, directory))
    layers[1]["w_down"].values[3, 0] = 0  # 2^27 * 2^11 * (2^15 - 1) is below 2^53
    load(save(wide, directory))


@pytest.mark.parametrize("name", ["gain of a head", "matrix"])
def test_nothing_is_committed_of_a_model_in_memory_that_breaks_a_bound(name: str, tmp_path: Path) -> None:
    case = BROKEN[name]
    model = _built_in(case.model)
    weights = replace(
        model.weights,
        layers=[
            {n: replace(m, values=m.values.copy()) for n, m in layer.items()}
            for layer in model.weights.layers
        ],
        vectors=[{n: v.copy() for n, v in vectors.items()} for vectors in model.weights.vectors],
    )
    tensors = {
        f"layers.{i}.{n}": m.values for i, layer in enumerate(weights.layers) for n, m in layer.items()
    }
    tensors |= {f"layers.{i}.{n}": v for i, vectors in enumerate(weights.vectors) for n, v in vectors.items()}
    case.change(tensors, {})
    with pytest.raises(QuantiseError, match=case.named):
        commit_model(replace(model, weights=weights), SRS.devnet(18), cache_dir=tmp_path)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command",
    [
        ["model", "inspect"],
        [
            "prove",
            "--step",
            "mlp",
            "--layer",
            "0",
            "--window",
            "0",
            "--prompt",
            "a",
            "--out",
            "proof.json",
            "--model",
        ],
    ],
)
def test_a_started_program_names_tensor_layer_and_fix(command: list[str], tmp_path: Path) -> None:
    directory = broken_directory(BROKEN["gain of a head"], tmp_path)
    result = subprocess.run(
        [sys.executable, "-m", "gainsay", *command, str(directory)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert result.returncode == 4, result.stderr
    assert "query_norm of layer 0 holds 4194304, outside its 19 bits" in result.stderr
    assert "Traceback" not in result.stderr
