"""Whatever JSON value a setting has, an import works or says which setting is at fault; it never fails untyped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prover.errors import GainsayError
from prover.model.family_defaults import FAMILY_DEFAULTS
from prover.model.hugging_face_import import hugging_face_config, hugging_face_tokenizer

from .hugging_face_models import VOCABULARY, save_directory, seeded_model

VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 7, 10**400, 1e308, 0.5, -0.5, float("inf"), float("nan")),
    *(
        "",
        "x",
        "7",
        "\ud800",
        [],
        [[]],
        [1],
        ["full_attention"] * 2,
        {},
        {"full_attention": 3},
        {"content": 3},
    ),
    *({"rope_type": []}, {"rope_type": "llama3", "factor": float("nan")}, {"rope_theta": 10**400}),
    *(
        {"rope_type": "linear", "factor": 1e308},
        {"content": "\ud800"},
        {"__type": "AddedToken"},
        [{"name": []}],
    ),
]


def tried(work: Any) -> None:
    try:
        work()
    except GainsayError as error:
        assert len(str(error)) < 2000


@pytest.mark.parametrize("model_type", FAMILY_DEFAULTS)
def test_any_value_of_a_configuration(model_type: str) -> None:
    rotary = ("rope_parameters", "rope_scaling", "original_max_position_embeddings", "partial_rotary_factor")
    for key in [*FAMILY_DEFAULTS[model_type], *rotary, "num_experts", "quantization_config", "model_type"]:
        for value in VALUES:
            tried(lambda key=key, value=value: hugging_face_config({"model_type": model_type, key: value}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_directory(seeded_model("qwen2"), tmp_path_factory.mktemp("saved") / "model")


def read_tokenizer(folder: Path) -> None:
    facts = json.loads((folder / "config.json").read_text())
    tried(lambda: hugging_face_tokenizer(folder, facts, VOCABULARY))


def test_any_value_of_a_tokenizers_settings(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    sound = path.read_text()
    for key in ("eos_token", "added_tokens_decoder", "extra_special_tokens", "chat_template"):
        for value in VALUES:
            path.write_text(json.dumps(json.loads(sound) | {key: value}))
            read_tokenizer(folder)
    path.write_text(sound)


@pytest.mark.long
def test_any_value_in_the_other_files(folder: Path) -> None:
    for name in ("special_tokens_map.json", "added_tokens.json", "generation_config.json"):
        for value in VALUES:
            for content in (value, {"<x>": value}, {"eos_token_id": value, "eos_token": value}):
                (folder / name).write_text(json.dumps(content))
                read_tokenizer(folder)
        (folder / name).unlink()
