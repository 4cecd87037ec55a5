"""Other arithmetics beside the integers: what they round, and that the report can tell them apart."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize
from typer.testing import CliRunner

from prover.model.cli import app
from prover.model.closeness import INTEGERS, measure_closeness
from prover.model.errors import TokenError, UnknownArithmeticError
from prover.model.float_model import FloatModel
from prover.model.float_reference import float_logits
from prover.model.library import BUILT_IN, built_in_config, built_in_model
from prover.model.other_arithmetics import ARITHMETICS, in_arithmetic, round_rows_q8_0
from prover.model.texts import SourceText
from prover.model.weights import IntegerModel

run = CliRunner().invoke
_SMALL = [name for name in BUILT_IN if built_in_config(name).hidden <= 64]


@pytest.mark.parametrize("name", _SMALL)
@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_every_family_runs_in_every_arithmetic_near_float32(name: str, arithmetic: str) -> None:
    model = built_in_model(name)
    ids = list(range(40, 80))
    exact, found = float_logits(model, ids), float_logits(in_arithmetic(model, arithmetic), ids)
    assert found.dtype == np.float32 and not np.array_equal(exact, found)
    assert (exact.argmax(axis=1) == found.argmax(axis=1)).mean() > 0.5
    assert float(np.corrcoef(exact.ravel(), found.ravel())[0, 1]) > 0.97


def test_rows_are_rounded_as_the_gguf_library_rounds_a_file() -> None:
    rows = np.random.default_rng(1).normal(size=(64, 96)).astype(np.float32)
    rows[0] = 0
    kind = GGMLQuantizationType.Q8_0
    assert np.array_equal(
        round_rows_q8_0(torch.from_numpy(rows)).numpy(), dequantize(quantize(rows, kind), kind)
    )


def test_float32_is_its_own_measure(float_model: FloatModel, model: IntegerModel) -> None:
    report = measure_closeness(float_model, model, list(ARITHMETICS), tokens=600)
    assert [row.arithmetic for row in report.rows] == [INTEGERS, *ARITHMETICS]
    assert (report.tokens, report.piece) == (600, min(512, model.config.max_positions))
    integers, *others = report.rows
    assert integers.argmax_agreement > 0.95
    for row in others:
        assert 0 < integers.divergence < row.divergence
        assert row.perplexity == pytest.approx(report.float_perplexity, rel=0.05)


def test_the_command_prints_a_row_for_each() -> None:
    options = ["fidelity", "tiny", "--tokens", "64", "--beside", "bfloat16, q8_0"]
    facts = json.loads(run(app, [*options, "--json"]).stdout)
    assert [row["arithmetic"] for row in facts["rows"]] == [INTEGERS, "bfloat16", "q8_0"]
    assert all(
        word in run(app, options).stdout for word in ("float32", "Gainsay", "bfloat16", "q8_0", "nats")
    )


def test_unknown_names_and_short_texts_are_refused(float_model: FloatModel, model: IntegerModel) -> None:
    with pytest.raises(
        UnknownArithmeticError, match="'fp4' is no arithmetic to measure beside; there are bfloat16, q8_0"
    ):
        measure_closeness(float_model, model, ["fp4"])
    with pytest.raises(TokenError, match="fewer --tokens"):
        measure_closeness(float_model, model, ["q8_0"], text=SourceText("a few words", "here"))
    with pytest.raises(TokenError, match="fewer than two tokens"):
        measure_closeness(float_model, model, [], text=SourceText("a", "here"), tokens=1)
