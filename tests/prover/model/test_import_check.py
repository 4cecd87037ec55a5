"""Imports beside `transformers`: a configuration is read as the library reads it, or it is refused.

The models are small, seeded and saved by the library itself; then their files are changed. Whatever a change means to
the library it must mean to us, so no expectation about it is written here.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import transformers
from typer.testing import CliRunner

from prover.errors import BadInputError
from prover.model.cli import app
from prover.model.errors import ImportCheckError, MissingReferenceError, UnusableReferenceError
from prover.model.family_defaults import FAMILY_DEFAULTS
from prover.model.float_model import FloatModel
from prover.model.hugging_face_import import import_hugging_face
from prover.model.import_check import check_import

from .hugging_face_models import MODELS, save_directory, seeded_model


class _NoValue(Enum):
    """A key that is left out. Its text is the same in every process, as the names of tests must be."""

    LEFT_OUT = "left out"


_NO_VALUE = _NoValue.LEFT_OUT
Change = dict[str, Any]

# Changes of config.json that say the same to the library, so that they must be imported.
_SAME: dict[str, list[Change]] = {
    "llama": [
        {"attention_bias": False},
        {"hidden_act": "swish"},
        {"num_key_value_heads": 2, "use_sliding_window": False},
        {"sliding_window": 4096},
    ],
    "qwen2": [
        {"attention_bias": True},
        {"layer_types": _NO_VALUE, "use_sliding_window": True, "sliding_window": 32, "max_window_layers": 2},
        {"layer_types": _NO_VALUE, "use_sliding_window": True, "sliding_window": 256, "max_window_layers": 0},
        {"layer_types": _NO_VALUE, "use_sliding_window": True, "sliding_window": None},
        {"rope_parameters": _NO_VALUE, "rope_theta": 5000.0},
        {"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 2.0}},
    ],
    "qwen3": [{"max_window_layers": 1}, {"rope_parameters": {"rope_type": "linear", "factor": 4}}],
    "gemma3": [
        {"rope_parameters": _NO_VALUE},
        {"rope_parameters": _NO_VALUE, "rope_theta": 20_000.0, "rope_local_base_freq": 5000.0},
        {"rope_parameters": _NO_VALUE, "rope_scaling": {"rope_type": "linear", "factor": 8.0}},
        {"rope_parameters": {"full_attention": {"rope_type": "default"}}},
        {"query_pre_attn_scalar": _NO_VALUE},
        {"layer_types": _NO_VALUE, "sliding_window_pattern": 2},
        {"layer_types": _NO_VALUE},
    ],
    "mistral": [
        {"sliding_window": 64},
        {"sliding_window": 90},
        {"sliding_window": None},
        {"sliding_window": 4096},
        {"attention_bias": True, "mlp_bias": True},
        {"layer_types": ["sliding_attention"] * 2},
    ],
    "smollm3": [
        {"no_rope_layers": [0, 1, 1, 0]},
        {"no_rope_layers": [1] * 9},
        {"no_rope_layers": None, "no_rope_layer_interval": 2},
        {"use_sliding_window": True, "sliding_window": 32, "layer_types": None},
        {"use_sliding_window": True, "sliding_window": 32, "layer_types": ["sliding_attention"] * 4},
    ],
    "granite": [
        {"embedding_multiplier": 3.0},
        {"residual_multiplier": 1},
        {"attention_multiplier": 0.25},
        {"logits_scaling": 0.3},
    ],
    "phi3": [
        {"sliding_window": 32},
        {"sliding_window": None},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}, "partial_rotary_factor": 0.75},
    ],
    "phi3-partial": [
        {"original_max_position_embeddings": 128},
        {"rope_parameters": {"rope_type": "longrope", "short_factor": [1.5] * 8, "long_factor": [9.0] * 8}},
    ],
    "gpt2": [
        {"n_inner": 160, "hidden_size": 64},
        {"scale_attn_weights": True},
        {"activation_function": "gelu_pytorch_tanh"},
    ],
}
# Changes that may be refused, but never misread.
_OTHERS: list[Change] = [
    {"rope_theta": 20_000.0},
    {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    {"rope_scaling": {"type": "linear", "factor": 4.0, "rope_theta": 7000.0}},
    {
        "rope_parameters": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
        }
    },
    {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.5}},
    {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 300.0}}},
    {"rope_parameters": {}},
    {"partial_rotary_factor": 0.5},
    {"tie_word_embeddings": True},
    {"tie_word_embeddings": False},
    {"attention_bias": True},
    {"mlp_bias": True},
    {"layer_types": ["full_attention"] * 2},
    {"layer_types": ["sliding_attention", "full_attention"]},
    {"use_sliding_window": True},
    {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1},
    {"sliding_window": 16},
    {"rms_norm_eps": 1e-3, "layer_norm_epsilon": 1e-3},
    {"hidden_act": "gelu", "activation_function": "gelu", "hidden_activation": "gelu"},
    {"final_logit_softcapping": 30.0},
    {"query_pre_attn_scalar": 64},
    {"head_dim": 8},
    {"num_key_value_heads": 4},
    {"num_key_value_heads": 1},
    {"scale_attn_by_inverse_layer_idx": True},
    {"scale_attn_weights": False},
    {"reorder_and_upcast_attn": True},
    {"no_rope_layers": [0] * 4},
    {"no_rope_layers": [0]},
    {"no_rope_layers": ["x"] * 4},
    {"no_rope_layer_interval": 1},
    {"layer_types": ["sliding_attention"] * 4, "sliding_window": 16},
    {"layer_types": ["sliding_attention"] * 2, "sliding_window": 32, "use_sliding_window": True},
    {"embedding_multiplier": 0.5, "residual_multiplier": 0.5},
    {"attention_multiplier": 0.5, "logits_scaling": 2.0},
    {"rope_parameters": {"rope_type": "yarn", "factor": 4.0}},
    {"rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}},
    {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}},
    {"original_max_position_embeddings": 64},
    {"eos_token_id": [256, 257]},
    {"eos_token_id": "257"},
    {"max_position_embeddings": 64, "n_positions": 64},
    {"max_position_embeddings": "256"},
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A directory of every family, as the library saves it."""
    folder = tmp_path_factory.mktemp("saved")
    return {family: save_directory(seeded_model(family), folder / family) for family in MODELS}


def changed(directory: Path, change: Change, target: Path) -> Path:
    """The same model with other settings in config.json; weights are linked."""
    shutil.copytree(directory, target, copy_function=os.link)
    path = target / "config.json"
    facts = json.loads(path.read_text()) | change
    path.unlink()
    path.write_text(json.dumps({key: value for key, value in facts.items() if value is not _NO_VALUE}))
    return target


def agrees_or_refuses(directory: Path) -> bool:
    """Whether it was imported; then it must be the library's model."""
    try:
        import_hugging_face(directory)
    except BadInputError:
        return False
    try:
        check_import(directory, import_hugging_face)
    except UnusableReferenceError:  # it means nothing to the library, so that nothing can be misread
        return False
    return True


@pytest.mark.parametrize("family", MODELS)
def test_what_the_library_saves_is_read_as_it_reads_it(saved: dict[str, Path], family: str) -> None:
    checked = check_import(saved[family], import_hugging_face)
    assert checked.reference == f"transformers {transformers.__version__}"
    assert (checked.logit_rows, checked.conversations) == (64, 3)
    assert checked.texts >= 10


@pytest.mark.parametrize(
    ("family", "change"),
    [(family, change) for family, changes in _SAME.items() for change in changes],
    ids=str,
)
def test_settings_that_the_library_knows_are_imported(
    saved: dict[str, Path], tmp_path: Path, family: str, change: Change
) -> None:
    check_import(changed(saved[family], change, tmp_path / "model"), import_hugging_face)


def _each_key(directory: Path) -> Iterator[Change]:
    """Every setting that the importer reads, left out and null."""
    for key in FAMILY_DEFAULTS[json.loads((directory / "config.json").read_text())["model_type"]]:
        yield {key: _NO_VALUE}
        yield {key: None}


@pytest.mark.parametrize(
    "family", [pytest.param(m, marks=pytest.mark.long if i % 3 else ()) for i, m in enumerate(MODELS)]
)
def test_no_setting_that_is_left_out_is_misread(saved: dict[str, Path], tmp_path: Path, family: str) -> None:
    for number, change in enumerate(_each_key(saved[family])):
        if list(change.values()) == [_NO_VALUE]:
            agrees_or_refuses(changed(saved[family], change, tmp_path / str(number)))


@pytest.mark.long
@pytest.mark.parametrize("family", MODELS)
def test_no_change_of_a_configuration_is_misread(saved: dict[str, Path], tmp_path: Path, family: str) -> None:
    changes = [*_each_key(saved[family]), *_OTHERS]
    changes += [one | other for one in _OTHERS[:12] for other in _OTHERS[:12] if one is not other]
    imported, misread = 0, []
    for number, change in enumerate(changes):
        try:
            imported += agrees_or_refuses(changed(saved[family], change, tmp_path / str(number)))
        except ImportCheckError as error:
            misread.append(f"{change}: {error}")
    assert misread == []
    assert imported >= 10


def test_a_misread_setting_is_seen(saved: dict[str, Path]) -> None:
    def misread(directory: Path | str) -> FloatModel:
        model = import_hugging_face(directory)
        return replace(model, config=replace(model.config, rope_base=9900))

    with pytest.raises(ImportCheckError, match="logits differ"):
        check_import(saved["qwen3"], misread)


def test_weights_that_the_library_would_make_up_are_no_reference(
    saved: dict[str, Path], tmp_path: Path
) -> None:
    directory = changed(saved["gpt2"], {"add_cross_attention": True}, tmp_path / "model")
    with pytest.raises(UnusableReferenceError, match="makes them up"):
        check_import(directory, lambda _: import_hugging_face(saved["gpt2"]))


def test_without_the_library_the_command_says_what_to_install(
    saved: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    result = CliRunner().invoke(
        app, ["import", str(saved["llama"]), "--name", "small", "--check", "--models", str(tmp_path)]
    )
    assert isinstance(result.exception, MissingReferenceError)
    assert "pip install transformers" in str(result.exception)
    assert not (tmp_path / "small").exists()


def test_the_command_reports_what_it_compared(saved: dict[str, Path], tmp_path: Path) -> None:
    arguments = ["import", str(saved["qwen2"]), "--name", "small", "--check", "--calibration-tokens", "20"]
    result = CliRunner().invoke(app, [*arguments, "--models", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout[result.stdout.index("{") :])
    assert facts["check"]["conversations"] == 3 and facts["check"]["largest_logit_difference"] < 1e-3


def test_a_gguf_file_cannot_be_checked(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    with pytest.raises(ImportCheckError, match="directory that it was made from"):
        check_import(tmp_path / "x.gguf", import_hugging_face)
