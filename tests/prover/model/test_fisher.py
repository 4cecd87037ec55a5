"""Fisher information per step: beside its definition, in tiles, and as a file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from prover.model import fisher
from prover.model.errors import ModelNotFoundError, ProfileError, TokenError
from prover.model.fisher import FisherProfile, measure_fisher
from prover.model.float_model import FloatLayer, FloatModel
from prover.model.float_reference import final_rows
from prover.model.library import built_in_model
from prover.model.texts import SourceText
from prover.model.tiny import tiny_model

DIGEST = bytes(32)
TEXT = SourceText("ab", "a test")


def test_the_information_is_the_mean_squared_derivative_over_what_the_model_says() -> None:
    model = tiny_model()
    ids = model.tokenizer.encode(TEXT.text)
    weight = torch.from_numpy(model.layers[1]["w_down"].copy()).requires_grad_()
    layers = [model.layers[0], FloatLayer({**model.layers[1].tensors, "w_down": weight})]  # type: ignore[dict-item]
    logits = final_rows(replace(model, layers=layers), ids) @ torch.from_numpy(model.head).T
    logarithms = (logits / model.config.head_rule.divisor).log_softmax(-1)
    exact = 0.0
    for row in logarithms:
        for logarithm in row:
            (slope,) = torch.autograd.grad(logarithm, weight, retain_graph=True)
            exact += float((logarithm.exp() * (slope * weight).square().sum()).detach())
    found = _estimate_of_w_down(model, ids)
    assert found == pytest.approx(exact / len(ids), rel=0.1)


def _estimate_of_w_down(model: FloatModel, ids: list[int]) -> float:
    """What the module estimates for this weight alone, the mean of many draws."""
    totals = []
    owners = fisher._owners
    for seed in range(300):
        total = np.zeros(len(model.config.schedule))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fisher, "_owners", lambda config: {(1, "w_down"): owners(config)[1, "w_down"]})
            watched = fisher._differentiable(model, total)
        fisher._surprise(watched, ids, torch.Generator().manual_seed(seed)).backward()  # type: ignore[no-untyped-call]
        totals.append(total.sum() / len(ids))
    return float(np.mean(totals))


def test_tiles_share_what_a_whole_step_has() -> None:
    whole = tiny_model()
    cut = replace(whole, config=replace(whole.config, step_weights=4096))
    text = SourceText("The steps of a model. " * 8, "a test")
    of_whole, of_tiles = (
        measure_fisher(model, DIGEST, text=text, sequences=2, length=32) for model in (whole, cut)
    )
    assert len(of_tiles.information) > len(of_whole.information)
    assert sum(of_tiles.information) == pytest.approx(sum(of_whole.information), rel=1e-5)
    assert sum(of_whole.shares) == pytest.approx(1)
    for number, scheduled in enumerate(cut.config.schedule):
        has_weights = bool(cut.config.programs[scheduled.kind].weights)
        assert (of_tiles.information[number] > 0) == has_weights, scheduled


def test_learned_positions_and_experts_count() -> None:
    for name in ("tiny-gpt2", "tiny-mixtral"):
        model = built_in_model(name)
        profile = measure_fisher(model, DIGEST, sequences=1, length=32)
        for number, scheduled in enumerate(model.config.schedule):
            if model.config.programs[scheduled.kind].weights and "expert" not in scheduled.kind:
                assert profile.information[number] > 0, scheduled


def test_a_profile_is_kept_and_read_for_its_own_model_only(tmp_path: Path) -> None:
    model = tiny_model()
    with pytest.raises(TokenError, match="need 99;"):
        measure_fisher(model, DIGEST, text=TEXT, sequences=3, length=33)
    profile = measure_fisher(model, DIGEST, sequences=1, length=16)
    path, steps = tmp_path / "fisher.json", len(profile.information)
    profile.save(path)
    assert FisherProfile.load(path, digest=DIGEST, steps=steps) == profile
    with pytest.raises(ProfileError, match="another model"):
        FisherProfile.load(path, digest=b"\1" * 32, steps=steps)
    with pytest.raises(ModelNotFoundError, match="gainsay model fisher"):
        FisherProfile.load(tmp_path / "none.json", digest=DIGEST, steps=steps)
    stored = json.loads(path.read_text())
    for wrong in ([], [0.0] * steps, [-1.0] * steps, [True] * steps, "x", [1e400] * steps):
        path.write_text(json.dumps({**stored, "information": wrong}))
        with pytest.raises(ProfileError, match="gainsay model fisher"):
            FisherProfile.load(path, digest=DIGEST, steps=steps)
    path.write_text("[]")
    with pytest.raises(ProfileError, match="no Fisher profile"):
        FisherProfile.load(path, digest=DIGEST, steps=steps)
