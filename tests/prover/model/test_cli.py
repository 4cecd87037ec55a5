"""`gainsay model` on the tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from prover.model.cli import app
from prover.model.errors import ModelNotFoundError, QuantiseError
from prover.model.weights import IntegerModel

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


def test_an_absent_model_says_what_to_run(tmp_path: Path) -> None:
    for command in (["inspect", "absent"], ["fidelity", "absent"], ["import"]):
        error = run(app, [*command, "--models", str(tmp_path)]).exception
        assert isinstance(error, ModelNotFoundError)
        assert "gainsay model" in str(error)
        assert error.exit_code == 3
    assert QuantiseError.exit_code == 4


def test_help_imports_nothing_heavy() -> None:
    code = "import prover.model.cli, sys; print({'torch', 'numba', 'tokenizers'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
