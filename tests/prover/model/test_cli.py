"""`gainsay model` on the tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from prover.model.cli import app
from prover.model.errors import ModelNotFoundError, QuantiseError, UnsupportedModelError
from prover.model.library import BUILT_IN, built_in_config
from prover.model.weights import IntegerModel

from .hugging_face_models import save_directory, seeded_model

run = CliRunner().invoke


def test_inspect_shows_sizes_and_digests(model: IntegerModel) -> None:
    result = run(app, ["inspect", "tiny", "--json"])
    facts = json.loads(result.stdout)
    assert facts["digest"] == model.digest.hex()
    assert (facts["layers"], facts["vocabulary"], facts["end_tokens"]) == (2, 259, [256, 258])
    assert "layers: 2" in run(app, ["inspect", "tiny"]).stdout


def test_fidelity_reports_the_figures(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Plain words, measured twice; once in floats, once in integers.")
    result = run(app, ["fidelity", "tiny", "--text", str(text), "--json"])
    facts = json.loads(result.stdout)
    assert facts["origin"] == "text.txt"
    assert abs(facts["perplexity_change"]) < 0.05
    assert "argmax agreement" in run(app, ["fidelity", "tiny", "--tokens", "40"]).stdout


@pytest.mark.parametrize("name", [n for n in BUILT_IN if built_in_config(n).hidden <= 64])
def test_fidelity_is_measured_for_every_family(name: str) -> None:
    result = run(app, ["fidelity", name, "--tokens", "100", "--json"])
    facts = json.loads(result.stdout)
    assert facts["tokens"] == 100
    assert facts["argmax_agreement"] >= 0.95 and abs(facts["perplexity_change"]) < 0.02
    mixture = "router" in built_in_config(name).kinds  # where two experts nearly tie, either may be taken
    assert 0 < facts["largest_logit_difference"] < (20 if mixture else 1)


def test_fidelity_without_the_files_that_a_model_came_from_asks_for_them(tmp_path: Path) -> None:
    directory = save_directory(seeded_model("qwen3"), tmp_path / "qwen")
    options = ["--models", str(tmp_path)]
    assert (
        run(
            app, ["import", str(directory), *options, "--name", "small", "--calibration-tokens", "32"]
        ).exit_code
        == 0
    )
    error = run(app, ["fidelity", "small", *options, "--tokens", "40"]).exception
    assert isinstance(error, ModelNotFoundError) and "--source" in str(error)
    found = run(app, ["fidelity", "small", *options, "--tokens", "40", "--source", str(directory), "--json"])
    assert json.loads(found.stdout)["argmax_agreement"] >= 0.9


def test_an_absent_model_says_what_to_run(tmp_path: Path) -> None:
    for command in (["inspect", "absent"], ["fidelity", "absent"], ["import"]):
        error = run(app, [*command, "--models", str(tmp_path)]).exception
        assert isinstance(error, ModelNotFoundError)
        assert "gainsay model" in str(error)
        assert error.exit_code == 3
    assert QuantiseError.exit_code == 4


def test_an_import_reports_operators_widths_and_head_room(tmp_path: Path) -> None:
    directory = save_directory(seeded_model("gemma3"), tmp_path / "Small Gemma 3")
    options = ["--models", str(tmp_path), "--calibration-tokens", "32"]
    facts = json.loads(run(app, ["import", str(directory), *options, "--json"]).stdout)
    assert facts["name"] == "small-gemma-3" and (tmp_path / "small-gemma-3").is_dir()
    assert facts["report"]["family"] == "gemma3"
    assert facts["report"]["operators"]["mlp"]["Activation"] == 1
    assert {"tensor", "bits", "largest", "headroom"} <= set(facts["report"]["activations"][0])
    shown = run(app, ["import", str(directory), *options, "--name", "other"]).stdout
    for text in ("other: 3 layers", "layer_kinds", "Attend", "post_mlp_norm", "head-room"):
        assert text in shown


def test_an_import_that_is_refused_lists_what_it_would_take(tmp_path: Path) -> None:
    directory = save_directory(seeded_model("llama"), tmp_path / "llama")
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(
        json.dumps(config | {"final_logit_softcapping": 30.0, "num_experts": 4})
    )
    result = run(app, ["import", str(directory), "--models", str(tmp_path / "models"), "--json"])
    assert isinstance(result.exception, UnsupportedModelError)
    assert [entry["name"] for entry in json.loads(result.stdout)["unsupported"]] == [
        "final_logit_softcapping = 30.0",
        "num_experts = 4",
    ]
    shown = run(app, ["import", str(directory), "--models", str(tmp_path / "models")]).stdout
    assert "num_experts = 4" in shown and "what it would take" in shown


def test_a_model_that_cannot_be_fetched_is_refused(tmp_path: Path) -> None:
    error = run(app, ["fetch", "--model", "absent", "--models", str(tmp_path / "models")]).exception
    assert isinstance(error, ModelNotFoundError)
    assert "smollm2-135m, gemma3-270m" in str(error)


def test_help_imports_nothing_heavy() -> None:
    code = "import prover.model.cli, sys; print({'torch', 'numba', 'tokenizers'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
