"""`gainsay bench model`: every family decodes, and the float decoder is the family's float reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from devnet.bench_cli import app
from devnet.benchmarks import model
from devnet.benchmarks.model import FloatDecoder
from prover.model.errors import SequenceTooLongError, UnknownDeviceError
from prover.model.execute import Executor
from prover.model.float_reference import float_logits
from prover.model.library import BUILT_IN, TINY, built_in_config, built_in_model, load_model

SMALL = [name for name in BUILT_IN if built_in_config(name).hidden <= 64]


def test_every_family_is_measured_here() -> None:
    assert {built_in_config(name).family for name in SMALL} == {
        built_in_config(name).family for name in BUILT_IN
    }


@pytest.mark.parametrize("name", SMALL)
def test_the_float_decoder_says_what_the_float_reference_says(name: str) -> None:
    """Each token is the argmax of a pass over all tokens before it, beyond the reach of local layers too."""
    floats, prompt, heard = built_in_model(name), [1, *range(30)], list[int]()
    produced = FloatDecoder(floats).generate(prompt, 12, heard.append)
    assert heard == produced and len(produced) == 12
    logits = float_logits(floats, prompt + produced[:-1])[len(prompt) - 1 :]
    top = np.sort(logits, axis=1)[:, -2:]
    assert (top[:, 1] - top[:, 0]).min() > 1e-3  # no tie that rounding could break
    assert logits.argmax(axis=1).tolist() == produced


@pytest.mark.parametrize("name", SMALL)
def test_the_command_measures_both(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "_CHECKED_OUTPUT", 3)
    result = CliRunner().invoke(app, ["model", name, "--tokens", "3", "--json"])
    assert result.exit_code == 0, result.exception
    facts, _ = json.JSONDecoder().raw_decode(result.stdout)
    assert facts["model"] == name and facts["tokens"] == 3
    assert facts["integer_tokens_per_s"] > 0 and facts["float32_torch_tokens_per_s"] > 0
    ratio = facts["integer_tokens_per_s"] / facts["float32_torch_tokens_per_s"]
    assert facts["integer_to_float"] == pytest.approx(ratio, rel=0.05)
    assert facts["check_cpu_s"] >= 0 and facts["generate_cpu_s"] > 0 and facts["generate_guessing_cpu_s"] > 0


def test_tokens_are_measured_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Right guesses give several in a pass: the middle one of the times between them would be next to nothing."""
    rows: list[int] = []
    feed = Executor.feed

    def noted(self: Executor, ids: list[int], *arguments: Any, **named: Any) -> np.ndarray:
        rows.append(len(ids))
        return feed(self, ids, *arguments, **named)

    monkeypatch.setattr(Executor, "feed", noted)
    monkeypatch.setattr(model, "measure_checking", lambda *_: {})
    model.measure_model("tiny-gemma3", Path("models"), 40, commit=False)
    assert rows.count(1) >= 39 and set(rows) == {1, 16}
    Executor(load_model("tiny-gemma3")).generate(list(range(1, 17)), 40, end_ids=())
    assert set(rows) > {1, 16}  # where guesses are, they are fed too


def test_the_command_measures_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "_CHECKED_OUTPUT", 3)
    result = CliRunner().invoke(app, ["model", TINY, "--tokens", "3", "--device", "cpu", "--json"])
    assert result.exit_code == 0, result.exception
    assert json.JSONDecoder().raw_decode(result.stdout)[0]["device"] == "cpu"
    result = CliRunner().invoke(app, ["model", TINY, "--device", "gpu"])
    assert isinstance(result.exception, UnknownDeviceError) and "'gpu'" in str(result.exception)


def test_more_tokens_than_positions_are_refused() -> None:
    result = CliRunner().invoke(app, ["model", TINY, "--tokens", "400"])
    assert isinstance(result.exception, SequenceTooLongError) and "256" in str(result.exception)
