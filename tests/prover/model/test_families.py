"""Every family: imported from both formats, beside `transformers`, as floats and as integers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from prover.model.execute import Executor
from prover.model.fidelity import integer_logits, perplexity
from prover.model.float_model import FloatModel
from prover.model.float_reference import KeyValueCache, final_rows, float_logits
from prover.model.gguf_import import import_gguf
from prover.model.hugging_face_import import MODEL_TYPES, import_hugging_face
from prover.model.weights import IntegerModel, load, save

from .hugging_face_models import (
    FAMILIES,
    GGUF_NAMES,
    MODELS,
    VARIANTS,
    logits,
    random_ids,
    save_directory,
    seeded_model,
    write_gguf_of,
)
from .near_ties import integer_choices, logits_of_the_same_choices

FEW = [*FAMILIES, *(pytest.param(name, marks=pytest.mark.long) for name in VARIANTS)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, FloatModel]]:
    @cache
    def make(family: str) -> tuple[Any, FloatModel]:
        model = seeded_model(family)
        directory = save_directory(model, tmp_path_factory.mktemp(family))
        return model, import_hugging_face(directory)

    return make


@pytest.mark.parametrize("family", MODELS)
def test_the_float_reference_agrees_with_the_library_the_family_comes_from(made: Any, family: str) -> None:
    model, floats = made(family)
    assert floats.config.family == MODEL_TYPES[model.config.model_type]
    expected = logits(model, random_ids())
    found = float_logits(floats, random_ids())
    assert np.abs(expected).max() > 3
    assert np.abs(found - expected).max() < 1e-4


@pytest.mark.parametrize("family", FEW)
def test_floats_in_parts_are_the_floats_of_one_pass(made: Any, family: str) -> None:
    """Beyond the 32 positions that local layers see: positions, masks and kept keys go on where they were."""
    _, floats = made(family)
    ids, cache = random_ids(), KeyValueCache()
    whole = final_rows(floats, ids)
    parts = [final_rows(floats, part, cache=cache) for part in (ids[:7], ids[7:8], ids[8:41], ids[41:])]
    assert cache.length == len(ids)
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-4)
    alone = final_rows(floats, ids[41:])
    assert not torch.allclose(alone, whole[41:], atol=1e-2)


@pytest.mark.parametrize("family", GGUF_NAMES)
def test_both_formats_give_the_same_model(made: Any, family: str, tmp_path: Path) -> None:
    model, floats = made(family)
    read = import_gguf(write_gguf_of(model, family, tmp_path / "model.gguf"))
    factors, expected_factors = (getattr(m.config, "rope_divisors", ()) for m in (read, floats))
    assert factors == pytest.approx(expected_factors, rel=1e-6)  # one is stored, the other computed
    scaled = ("llama", "llama-longrope", "qwen3-yarn", "phi3-partial", "deepseek-v3-yarn")
    assert (len(set(factors)) > 2) == (family in scaled)
    assert read.config.to_json() | {"rope_divisors": 0} == floats.config.to_json() | {"rope_divisors": 0}
    for found, expected in zip(read.layers, floats.layers, strict=True):
        assert set(found.tensors) == set(expected.tensors)
        for name, values in expected.tensors.items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)
    for name in ("embedding", "head", "final_norm", "final_norm_bias", "positions"):
        np.testing.assert_array_equal(getattr(read, name), getattr(floats, name), err_msg=name)


@pytest.mark.parametrize("family", MODELS)
def test_the_integers_say_what_the_floats_say(
    made: Any, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, floats = made(family)
    model, ids = IntegerModel.from_float(floats), random_ids()
    expected, found = float_logits(floats, ids), integer_logits(model, ids)
    same = expected
    if floats.config.family == "deepseek_v3":  # scores of its experts are often nearly tied
        same = logits_of_the_same_choices(floats, ids, integer_choices(model, ids), monkeypatch)
    assert np.abs(found - same).max() < 0.02 * np.abs(expected).max()
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.95
    assert perplexity(found, ids) == pytest.approx(perplexity(expected, ids), rel=0.02)


@pytest.mark.parametrize("family", FEW)
def test_decoding_token_by_token_gives_the_integers_of_one_pass(made: Any, family: str) -> None:
    model, ids = IntegerModel.from_float(made(family)[1]), random_ids(40)
    executor = Executor(model)
    whole = executor.feed(ids, executor.start())
    decoding = executor.start()
    parts = [executor.feed(part, decoding) for part in (ids[:7], ids[7:8], ids[8:33], ids[33:])]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("family", FEW)
def test_a_saved_model_is_the_same_model(made: Any, family: str, tmp_path: Path) -> None:
    model = IntegerModel.from_float(made(family)[1])
    loaded = load(save(model, tmp_path / family))
    assert loaded.digest == model.digest
    assert loaded.config == model.config
    for layer in range(model.config.layers):
        for kind in model.config.kinds_of(layer):
            assert loaded.layer_parameters(layer, kind) == model.layer_parameters(layer, kind)
            for name, values in model.layer_weights(layer, kind).items():
                np.testing.assert_array_equal(loaded.layer_weights(layer, kind)[name], values)
