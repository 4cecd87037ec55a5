"""Mixtures of experts from GGUF files: the integers are those of the Hugging Face directory of the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from prover.model.errors import CheckpointError, GgufError, UnsupportedModelError
from prover.model.float_model import FloatModel, Stack
from prover.model.gguf_file import GgufFile
from prover.model.gguf_import import import_gguf, opened_gguf
from prover.model.hugging_face_import import opened_hugging_face
from prover.model.quantise import quantise

from .hugging_face_models import save_directory, seeded_model, write_gguf_of

MIXTURES = ("mixtral", "qwen3-moe-plain", "deepseek-v3")
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


Change = Callable[[dict[str, Any], dict[str, np.ndarray]], Any]


def says(key: str, value: Any, kind: gguf.GGUFValueType = gguf.GGUFValueType.UINT32) -> Change:
    """Metadata of another value; None for none."""

    def change(metadata: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
        metadata.pop(key, None)
        if value is not None:
            metadata[key] = gguf.gguf_writer.GGUFValue(value, kind)

    return change


def holds(name: str, shape: tuple[int, ...] | None) -> Change:
    """A tensor of another shape; None for none."""

    def change(metadata: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
        tensors.pop(name, None)
        if shape is not None:
            tensors[name] = np.ones(shape, dtype=np.float32)

    return change


def assert_same_integers(found: FloatModel, expected: FloatModel) -> None:
    assert found.config == expected.config
    one, other = quantise(found), quantise(expected)
    assert np.array_equal(one.embedding, other.embedding) and np.array_equal(one.head, other.head)
    for first, second in zip(one.layers, other.layers, strict=True):
        assert first.keys() == second.keys()
        for name, matrix in first.items():
            assert (matrix.scale, matrix.shift) == (second[name].scale, second[name].shift)
            np.testing.assert_array_equal(matrix.values, second[name].values, err_msg=name)
    for vectors, others in zip(one.vectors, other.vectors, strict=True):
        assert all(np.array_equal(vectors[name], others[name]) for name in vectors)


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        *((name, "BF16") for name in MIXTURES),
        *(pytest.param(name, other, marks=pytest.mark.long) for name in MIXTURES for other in ("F32", "F16")),
    ],
)
def test_both_formats_give_the_same_integers(name: str, encoding: str, tmp_path: Path) -> None:
    model = seeded_model(name).to(DTYPES[encoding])
    path = write_gguf_of(model, name, tmp_path / "model.gguf", matrices=encoding)
    directory = save_directory(model, tmp_path / "directory")
    with opened_gguf(path) as found, opened_hugging_face(directory) as expected:
        assert_same_integers(found, expected)


def test_matrices_of_heads_may_lie_in_one_tensor(tmp_path: Path) -> None:
    """As converters stored them at first."""
    model = seeded_model("deepseek-v3")
    together = write_gguf_of(model, "deepseek-v3", tmp_path / "a.gguf", heads_apart=False)
    found, expected = (
        import_gguf(together),
        import_gguf(write_gguf_of(model, "deepseek-v3", tmp_path / "b.gguf")),
    )
    assert found.config == expected.config
    for index, layer in enumerate(expected.layers):
        for name in layer.tensors:
            np.testing.assert_array_equal(found.layers[index][name], layer[name], err_msg=name)


def test_experts_are_read_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one tensor of a GGUF, in tensors of their own of a directory: what is quantised is never more than an expert."""
    model = seeded_model("qwen3-moe-plain")
    path = write_gguf_of(model, "qwen3-moe-plain", tmp_path / "model.gguf")
    read: list[tuple[str, int | None]] = []
    original = GgufFile.read

    def noted(self: GgufFile, name: str, shape: tuple[int, ...], part: int | None = None) -> np.ndarray:
        read.append((name, part))
        return original(self, name, shape, part)

    monkeypatch.setattr(GgufFile, "read", noted)
    with opened_gguf(path) as opened:
        layer = opened.layers[1]
        assert not [name for name, part in read if "exps" in name]
        stack = layer.tensors["w_down"]
        assert isinstance(stack, Stack) and stack.shape == (64, 6 * 40)
        blocks = list(layer.blocks("w_down"))
        assert [values.shape for _, values in blocks] == [(64, 40)] * 6
        assert read[-6:] == [("blk.1.ffn_down_exps.weight", number) for number in range(6)]
        for place, values in blocks:
            np.testing.assert_array_equal(layer["w_down"][place], values)
    with opened_hugging_face(save_directory(model, tmp_path / "directory")) as opened:
        assert [values.shape for _, values in opened.layers[1].blocks("w_up")] == [(40, 64)] * 6


def test_an_expert_of_a_quantised_tensor_is_what_the_library_decodes(tmp_path: Path) -> None:
    """Blocks of 32 along the inputs: an expert's rows are whole blocks."""
    values = np.random.default_rng(5).normal(size=(3, 4, 64)).astype(np.float32)
    for kind in ("Q8_0", "Q4_1", "F16"):
        writer = gguf.GGUFWriter(tmp_path / kind, "llama")
        packed = gguf.quants.quantize(values, gguf.GGMLQuantizationType[kind])
        writer.add_tensor("x", packed, raw_dtype=gguf.GGMLQuantizationType[kind])
        for write in (
            writer.write_header_to_file,
            writer.write_kv_data_to_file,
            writer.write_tensors_to_file,
        ):
            write()
        writer.close()
        with GgufFile(tmp_path / kind) as file:
            whole = gguf.quants.dequantize(packed, gguf.GGMLQuantizationType[kind]).astype(np.float32)
            np.testing.assert_array_equal(file.read("x", (3, 4, 64)), whole)
            for number in range(3):
                np.testing.assert_array_equal(file.read("x", (3, 4, 64), number), whole[number])


FLOAT, TEXT, TRUTH = gguf.GGUFValueType.FLOAT32, gguf.GGUFValueType.STRING, gguf.GGUFValueType.BOOL
REFUSED: list[tuple[str, str, Change]] = [
    ("mixtral", "expert_shared_count = 1", says("llama.expert_shared_count", 1)),
    ("mixtral", "expert_weights_scale = 2.5", says("llama.expert_weights_scale", 2.5, FLOAT)),
    ("mixtral", "expert_group_count = 2", says("llama.expert_group_count", 2)),
    ("mixtral", "9 of 4 entries", says("llama.expert_used_count", 9)),
    ("mixtral", r"blk\.0\.ffn_gate_up_exps", holds("blk.0.ffn_gate_up_exps.weight", (4, 96, 64))),
    ("qwen3-moe-plain", "expert_weights_norm = False", says("qwen3moe.expert_weights_norm", False, TRUTH)),
    ("qwen3-moe-plain", "expert_gating_func = 2", says("qwen3moe.expert_gating_func", 2)),
    ("qwen3-moe-plain", r"blk\.1\.attn_q\.bias", holds("blk.1.attn_q.bias", (128,))),
    ("deepseek-v3", "nextn_predict_layers = 1", says("deepseek2.nextn_predict_layers", 1)),
    ("deepseek-v3", "attn_factor", says("deepseek2.rope.scaling.attn_factor", 2.0, FLOAT)),
    ("deepseek-v3", "rotary scaling 'linear'", says("deepseek2.rope.scaling.type", "linear", TEXT)),
    ("deepseek-v3", "yarn_log_multiplier = 0", says("deepseek2.rope.scaling.type", "yarn", TEXT)),
    ("deepseek-v3", "epsilon = 1e-05", says("deepseek2.attention.layer_norm_rms_epsilon", 1e-5, FLOAT)),
    ("deepseek-v3", "without expert_gating_func", says("deepseek2.expert_gating_func", None)),
    ("deepseek-v3", "expert_gating_func = 1", says("deepseek2.expert_gating_func", 1)),
    ("deepseek-v3", "expert_weights_norm = True", says("deepseek2.expert_weights_norm", None)),
    ("deepseek-v3", "expert_weights_scale = 4", says("deepseek2.expert_weights_scale", 4.0, FLOAT)),
    ("deepseek-v3", "used_count = 4 of 3", says("deepseek2.expert_group_used_count", 4)),
    ("deepseek-v3", "lengths of 28 and 12", says("deepseek2.attention.value_length", 12)),
    ("deepseek-v3", r"blk\.1\.attn_kv_b", holds("blk.1.attn_kv_b.weight", (112, 20))),
]


@pytest.mark.parametrize(("name", "named", "change"), REFUSED)
def test_what_is_not_expressed_is_refused_by_name(
    tmp_path: Path, name: str, named: str, change: Change
) -> None:
    path = write_gguf_of(seeded_model(name), name, tmp_path / "x.gguf", change=change)
    with pytest.raises(UnsupportedModelError, match=named):
        import_gguf(path)


WRONG: list[tuple[str, str, Change]] = [
    ("mixtral", r"ffn_up_exps.* has shape \(4, 48, 63\)", holds("blk.1.ffn_up_exps.weight", (4, 48, 63))),
    ("mixtral", r"ffn_up_exps.* has shape \(3, 48, 64\)", holds("blk.1.ffn_up_exps.weight", (3, 48, 64))),
    ("qwen3-moe-plain", r"blk\.1\.ffn_gate_inp", holds("blk.1.ffn_gate_inp.weight", None)),
    ("deepseek-v3", r"blk\.2\.ffn_down_exps", holds("blk.2.ffn_down_exps.weight", None)),
    ("deepseek-v3", r"blk\.2\.attn_k_b.* has shape", holds("blk.2.attn_k_b.weight", (4, 16, 20))),
    ("deepseek-v3", r"blk\.1\.exp_probs_b", holds("blk.1.exp_probs_b.bias", None)),
    ("deepseek-v3", "8 channels of which 8 turn", says("deepseek2.attention.key_length_mla", 8)),
    ("deepseek-v3", "expert_group_count is -1", says("deepseek2.expert_group_count", -1, gguf.GGUFValueType.INT32)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "named", "change"), WRONG)
def test_what_does_not_fit_is_named(tmp_path: Path, name: str, named: str, change: Change) -> None:
    path = write_gguf_of(seeded_model(name), name, tmp_path / "x.gguf", change=change)
    with pytest.raises(CheckpointError, match=named), opened_gguf(path):
        pass


def test_a_file_without_groups_has_none_and_its_owner_is_told(tmp_path: Path) -> None:
    def change(metadata: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
        for key in ("group_count", "group_used_count"):
            del metadata[f"deepseek2.expert_{key}"]

    model = seeded_model("deepseek-v3")
    read = import_gguf(write_gguf_of(model, "deepseek-v3", tmp_path / "x.gguf", change=change))
    assert read.config.expert_groups == read.config.groups_per_token == 1  # type: ignore[attr-defined]
    assert any("says nothing of groups" in note for note in read.notes)
    assert not import_gguf(write_gguf_of(model, "deepseek-v3", tmp_path / "y.gguf")).notes


def test_a_value_that_is_not_finite_is_named_when_its_expert_is_read(tmp_path: Path) -> None:
    def change(metadata: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
        tensors["blk.1.ffn_up_exps.weight"][2, 3, 3] = np.nan

    path = write_gguf_of(seeded_model("mixtral"), "mixtral", tmp_path / "x.gguf", change=change)
    with opened_gguf(path) as opened:
        layer = opened.layers[1]
        stack = layer.tensors["w_up"]
        assert isinstance(stack, Stack) and np.isfinite(stack.read(1)).all()
        with pytest.raises(GgufError, match=r"blk\.1\.ffn_up_exps.*not finite"):
            quantise(opened)
