"""Hugging Face directories: read exactly, and refused by name where no layer program fits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from prover.model.errors import (
    CheckpointError,
    MissingTensorError,
    TokenizerError,
    UnsupportedModelError,
)
from prover.model.hugging_face_import import import_hugging_face
from prover.model.safetensors_file import SafetensorsCheckpoint

from .hugging_face_models import save_directory, seeded_model

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return save_directory(seeded_model("llama"), tmp_path / "Small Llama")


def edit(path: Path, change: Edit) -> None:
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))


def test_shards_give_the_same_model_as_one_file(tmp_path: Path) -> None:
    model = seeded_model("qwen3")
    whole = import_hugging_face(save_directory(model, tmp_path / "whole"))
    split = save_directory(model, tmp_path / "split", max_shard_size="100KB")
    assert len(list(split.glob("model-*.safetensors"))) > 1
    parts = import_hugging_face(split)
    np.testing.assert_array_equal(parts.head, whole.head)
    for found, expected in zip(parts.layers, whole.layers, strict=True):
        for name, values in expected.tensors.items():
            np.testing.assert_array_equal(found[name], values)


def test_half_precision_is_widened_exactly(directory: Path) -> None:
    path = directory / "model.safetensors"
    halved = {name: values.to(torch.bfloat16) for name, values in load_file(path).items()}
    save_file(halved, path)
    read = import_hugging_face(directory)
    expected = halved["model.layers.1.mlp.down_proj.weight"].float().numpy()
    np.testing.assert_array_equal(read.layers[1]["w_down"], expected)


def test_the_tokenizer_does_what_the_library_does(directory: Path) -> None:
    ours, theirs = import_hugging_face(directory).tokenizer, AutoTokenizer.from_pretrained(directory)
    for text in ("Hello, wörld 🙂", "a<|end|>b", ""):
        ids = theirs.encode(text, add_special_tokens=False)
        assert ours.encode(text) == ids
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)
    chat = [{"role": "user", "content": "hi"}]
    rendered = theirs.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert ours.render_chat(chat) == rendered == "<|start|>hi<|end|>"
    assert ours.end_ids == (257,)
    assert (len(ours), len(theirs)) == (264, 258)


def test_several_end_tokens_all_end_a_text(directory: Path) -> None:
    (directory / "generation_config.json").write_text(json.dumps({"eos_token_id": [257, 65]}))
    assert import_hugging_face(directory).tokenizer.end_ids == (65, 257)


@pytest.mark.parametrize(
    ("change", "kind", "name"),
    [
        (lambda facts: facts.update(model_type="mamba"), "architecture", "'mamba'"),
        (lambda facts: facts.update(hidden_act="relu"), "option", "activation 'relu'"),
        (lambda facts: facts.update(final_logit_softcapping=30), "option", "final_logit_softcapping = 30"),
        (
            lambda facts: facts["rope_parameters"].update(rope_type="proportional"),
            "option",
            "rotary scaling 'proportional'",
        ),
        (
            lambda facts: facts.update(layer_types=["sliding_attention", "full_attention"]),
            "option",
            "sliding-window attention in a llama model",
        ),
        (
            lambda facts: facts.update(quantization_config={"bits": 4}),
            "option",
            "quantization_config = {'bits': 4}",
        ),
    ],
)
def test_what_no_layer_program_expresses_is_refused_by_name(
    directory: Path, change: Edit, kind: str, name: str
) -> None:
    edit(directory / "config.json", change)
    with pytest.raises(UnsupportedModelError) as caught:
        import_hugging_face(directory)
    assert [(finding.kind, finding.name) for finding in caught.value.findings] == [(kind, name)]
    assert caught.value.findings[0].needed


def test_every_tensor_and_encoding_without_a_place_is_named(directory: Path) -> None:
    path = directory / "model.safetensors"
    tensors = load_file(path)
    tensors["model.layers.0.mlp.router.weight"] = torch.ones(2, 2)
    tensors["model.norm.weight"] = tensors["model.norm.weight"].to(torch.int8)
    save_file(tensors, path)
    with pytest.raises(UnsupportedModelError) as caught:
        import_hugging_face(directory)
    assert {(finding.kind, finding.name) for finding in caught.value.findings} == {
        ("tensor", "layers.0.mlp.router.weight"),
        ("encoding", "I8 of model.norm.weight"),
    }


def test_a_family_that_is_often_asked_for_is_refused_with_its_reason(directory: Path) -> None:
    edit(directory / "config.json", lambda facts: facts.update(model_type="gemma2"))
    with pytest.raises(UnsupportedModelError, match=r"'gemma2'.*caps scores and logits"):
        import_hugging_face(directory)


def test_a_missing_tensor_or_setting_is_named(directory: Path) -> None:
    path = directory / "model.safetensors"
    tensors = load_file(path)
    save_file({k: v for k, v in tensors.items() if k != "model.layers.1.mlp.up_proj.weight"}, path)
    with pytest.raises(MissingTensorError, match=r"layers\.1\.mlp\.up_proj"):
        import_hugging_face(directory)
    save_file(tensors, path)
    edit(directory / "config.json", lambda facts: facts.update(rms_norm_eps=None))
    with pytest.raises(CheckpointError, match="rms_norm_eps"):
        import_hugging_face(directory)


def test_a_tied_head_that_differs_from_the_embedding_is_refused(directory: Path) -> None:
    edit(directory / "config.json", lambda facts: facts.update(tie_word_embeddings=True))
    with pytest.raises(CheckpointError, match="ties the head"):
        import_hugging_face(directory)


def test_values_that_are_not_finite_are_refused(directory: Path) -> None:
    path = directory / "model.safetensors"
    tensors = load_file(path)
    tensors["model.norm.weight"][3] = torch.nan
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"norm\.weight.*not finite"):
        import_hugging_face(directory)


def test_unsound_checkpoints_are_typed_errors(directory: Path, tmp_path: Path) -> None:
    sound = (directory / "model.safetensors").read_bytes()
    for content in (b"", b"\xff" * 8 + sound[8:], sound[:200], sound[:-50]):
        (directory / "model.safetensors").write_bytes(content)
        with pytest.raises(CheckpointError):
            SafetensorsCheckpoint(directory)
    (directory / "model.safetensors").unlink()
    (directory / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(CheckpointError, match="safetensors"):
        SafetensorsCheckpoint(directory)
    index = directory / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../../elsewhere.safetensors"}}))
    with pytest.raises(CheckpointError, match="outside"):
        SafetensorsCheckpoint(directory)


def test_a_directory_without_a_tokenizer_says_so(directory: Path) -> None:
    (directory / "tokenizer.json").unlink()
    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        import_hugging_face(directory)
