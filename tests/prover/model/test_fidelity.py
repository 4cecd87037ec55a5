"""The fidelity report, on the tiny model and on texts that ship with Python."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prover.model.calibrate import (
    bounded_by_construction,
    declared_limits,
    observe,
    short_of_headroom,
    worst_headroom,
)
from prover.model.errors import TokenError
from prover.model.fidelity import measure_fidelity, perplexity
from prover.model.float_model import FloatModel
from prover.model.texts import CALIBRATION_CHAPTERS, FIDELITY_CHAPTERS, SourceText, python_prose
from prover.model.weights import IntegerModel


def test_perplexity_of_a_uniform_guess_is_the_vocabulary() -> None:
    assert perplexity(np.zeros((5, 7)), [0, 1, 2, 3, 4]) == pytest.approx(7)


def test_perplexity_of_certainty_is_one() -> None:
    assert perplexity(1000 * np.eye(4)[[1, 2, 3, 0]], [0, 1, 2, 3]) == pytest.approx(1)


@pytest.mark.parametrize("chapters", [FIDELITY_CHAPTERS, CALIBRATION_CHAPTERS])
def test_the_texts_are_long_clean_prose(chapters: tuple[str, ...]) -> None:
    source = python_prose(chapters)
    assert len(source.text) > 6000
    assert not any(mark in source.text for mark in ("::=", "**", "====", "`"))
    assert source.text.count(". ") > 40
    assert len(source.sha256) == 64


def test_the_report_compares_both_models(float_model: FloatModel, model: IntegerModel) -> None:
    stages: set[str] = set()
    report = measure_fidelity(
        float_model, model, tokens=128, progress=lambda stage, done, total: stages.add(stage)
    )
    assert report.tokens == 128
    assert abs(report.perplexity_change) < 0.05
    assert report.argmax_agreement > 0.95
    assert report.to_json()["worst_ranges"][0]["headroom"] > 1
    assert stages == {"float reference", "integer model", "calibrate"}


def test_a_text_of_one_token_is_refused(float_model: FloatModel, model: IntegerModel) -> None:
    with pytest.raises(TokenError):
        measure_fidelity(float_model, model, text=SourceText("a", "here"))


def test_every_checked_tensor_of_every_layer_is_observed(model: IntegerModel) -> None:
    names = set(declared_limits(model.config))
    observed = observe(model, [list(b"some text")])
    assert {(entry.tensor, entry.layer) for entry in observed} == {
        (name, layer) for name in names for layer in (0, 1)
    }
    assert set(worst_headroom(observed)) == names
    measured = replace(model, observed=observed)
    assert {entry.tensor for entry in short_of_headroom(measured)} == {
        e.tensor for e in observed if e.headroom < 4 and e.tensor not in bounded_by_construction(model.config)
    }
