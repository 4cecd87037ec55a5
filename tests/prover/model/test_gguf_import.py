"""Reading GGUF files: sound ones exactly, unsound ones with an error that names what is wrong."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Encoding

from prover.model.errors import (
    CheckpointError,
    GgufError,
    MissingMetadataError,
    MissingTensorError,
    UnsupportedModelError,
    UnsupportedTensorError,
)
from prover.model.float_model import FloatModel
from prover.model.gguf_file import GgufFile
from prover.model.gguf_import import import_gguf

from .gguf_files import write_gguf


@pytest.fixture(scope="module")
def mergeable(float_model: FloatModel) -> FloatModel:
    """The tiny model with one merge, since a GGUF tokenizer lists at least one."""
    specification = float_model.tokenizer.specification
    tokens = (*specification.tokens[:-1], "Ġa")
    changed = replace(
        specification,
        tokens=tokens,
        token_types=(*specification.token_types[:-1], 1),
        merges=("Ġ a",),
        eos_id=256,
    )
    return replace(float_model, tokenizer=type(float_model.tokenizer)(changed))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, mergeable: FloatModel) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", mergeable)


def test_a_float32_file_round_trips_exactly(sound: Path, mergeable: FloatModel) -> None:
    read = import_gguf(sound)
    assert read.config == mergeable.config
    assert read.name == mergeable.name
    assert read.tokenizer.digest == mergeable.tokenizer.digest
    np.testing.assert_array_equal(read.embedding, mergeable.embedding)
    np.testing.assert_array_equal(read.head, mergeable.head)
    np.testing.assert_array_equal(read.final_norm, mergeable.final_norm)
    for found, expected in zip(read.layers, mergeable.layers, strict=True):
        assert set(found.tensors) == set(expected.tensors)
        for name, values in expected.tensors.items():
            np.testing.assert_array_equal(found[name], values)


def test_a_tied_head_is_the_embedding(tmp_path: Path, mergeable: FloatModel) -> None:
    read = import_gguf(write_gguf(tmp_path / "tied.gguf", mergeable, tied=True))
    assert read.head is read.embedding


@pytest.mark.parametrize(
    ("encoding", "tolerance"),
    [
        (Encoding.F16, 1e-3),
        (Encoding.BF16, 8e-3),
        (Encoding.Q8_0, 0.01),
        (Encoding.Q4_0, 0.15),
        (Encoding.Q4_1, 0.1),
        (Encoding.Q5_0, 0.08),
        (Encoding.Q5_1, 0.05),
    ],
)
def test_block_encodings_are_decoded(
    tmp_path: Path, mergeable: FloatModel, encoding: Encoding, tolerance: float
) -> None:
    read = import_gguf(write_gguf(tmp_path / "encoded.gguf", mergeable, encoding=encoding))
    assert np.abs(read.layers[0]["w_down"] - mergeable.layers[0]["w_down"]).max() < tolerance


@pytest.mark.parametrize(
    "encoding", [Encoding.Q2_K, Encoding.Q3_K, Encoding.Q4_K, Encoding.Q5_K, Encoding.Q6_K]
)
def test_k_quants_are_decoded_by_the_same_formula_as_the_reference(
    tmp_path: Path, encoding: Encoding
) -> None:
    """The writer cannot make K-quants from floats, so random blocks are read back through both readers."""
    block, size = gguf.GGML_QUANT_SIZES[encoding]
    raw = np.random.default_rng(1).integers(0, 256, (4, 2 * size), dtype=np.uint8)
    scale = np.float16(0.01).tobytes()
    at = {Encoding.Q2_K: (size - 4, size - 2), Encoding.Q3_K: (size - 2,), Encoding.Q6_K: (size - 2,)}.get(
        encoding, (0, 2)
    )
    for start in range(0, 2 * size, size):
        for offset in at:
            raw[:, start + offset : start + offset + 2] = np.frombuffer(scale, dtype=np.uint8)
    writer = gguf.GGUFWriter(tmp_path / "k.gguf", "llama")
    writer.add_tensor("t", raw, raw_dtype=encoding)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with GgufFile(tmp_path / "k.gguf") as file:
        read = file.read("t", (4, 2 * block))
    np.testing.assert_array_equal(read, gguf.quants.dequantize(raw, encoding))


def test_an_unsupported_encoding_names_tensor_and_type(tmp_path: Path) -> None:
    block, size = gguf.GGML_QUANT_SIZES[Encoding.IQ4_NL]
    writer = gguf.GGUFWriter(tmp_path / "iq.gguf", "llama")
    writer.add_tensor("blk.0.attn_q.weight", np.zeros((2, size), dtype=np.uint8), raw_dtype=Encoding.IQ4_NL)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with (
        GgufFile(tmp_path / "iq.gguf") as file,
        pytest.raises(UnsupportedTensorError, match=r"attn_q.*IQ4_NL"),
    ):
        file.read("blk.0.attn_q.weight", (2, block))


def test_a_missing_tensor_is_named(tmp_path: Path, mergeable: FloatModel) -> None:
    name = "blk.1.ffn_up.weight"
    path = write_gguf(tmp_path / "missing.gguf", mergeable, leave_out=frozenset({name}))
    with pytest.raises(MissingTensorError, match=name):
        import_gguf(path)


def test_a_tensor_that_would_be_ignored_is_refused(tmp_path: Path, mergeable: FloatModel) -> None:
    path = write_gguf(tmp_path / "bias.gguf", mergeable, extra={"blk.0.attn_q.bias": np.ones(64, np.float32)})
    with pytest.raises(UnsupportedModelError, match=r"attn_q\.bias"):
        import_gguf(path)


def test_another_architecture_is_refused(tmp_path: Path, mergeable: FloatModel) -> None:
    with pytest.raises(UnsupportedModelError, match=r"'mamba'.*gemma3, gpt2, granite, llama") as caught:
        import_gguf(write_gguf(tmp_path / "other.gguf", mergeable, architecture="mamba"))
    assert [finding.kind for finding in caught.value.findings] == ["architecture"]


def test_an_architecture_that_is_often_asked_for_is_refused_with_its_reason(
    tmp_path: Path, mergeable: FloatModel
) -> None:
    with pytest.raises(UnsupportedModelError, match=r"'gemma2'.*caps scores and logits"):
        import_gguf(write_gguf(tmp_path / "other.gguf", mergeable, architecture="gemma2"))


def test_everything_unsupported_is_named_at_once(tmp_path: Path, mergeable: FloatModel) -> None:
    path = write_gguf(
        tmp_path / "strange.gguf",
        mergeable,
        extra={
            "blk.0.attn_q.bias": np.ones(64, np.float32),
            "blk.1.ffn_router.weight": np.ones((2, 2), np.float32),
        },
        metadata={"llama.attention.logit_softcapping": 30.0},
    )
    with pytest.raises(UnsupportedModelError) as caught:
        import_gguf(path)
    assert [(f.kind, f.name) for f in caught.value.findings] == [
        ("option", "llama.attention.logit_softcapping = 30.0")
    ]
    tensors = write_gguf(
        tmp_path / "tensors.gguf",
        mergeable,
        extra={
            "blk.0.attn_q.bias": np.ones(64, np.float32),
            "blk.1.ffn_router.weight": np.ones((2, 2), np.float32),
        },
    )
    with pytest.raises(UnsupportedModelError) as caught:
        import_gguf(tensors)
    assert [f.name for f in caught.value.findings] == ["blk.0.attn_q.bias", "blk.1.ffn_router.weight"]
    assert all(f.kind == "tensor" and "operator" in f.needed for f in caught.value.findings)


def test_a_wrong_shape_is_refused(tmp_path: Path, mergeable: FloatModel) -> None:
    wrong = replace(mergeable, final_norm=np.ones(32, np.float32))
    with pytest.raises(GgufError, match="output_norm"):
        import_gguf(write_gguf(tmp_path / "shape.gguf", wrong))


def test_infinite_weights_are_refused(tmp_path: Path, mergeable: FloatModel) -> None:
    infinite = mergeable.final_norm.copy()
    infinite[3] = np.inf
    with pytest.raises(GgufError, match="not finite"):
        import_gguf(write_gguf(tmp_path / "infinite.gguf", replace(mergeable, final_norm=infinite)))


def test_missing_metadata_is_named(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "bare.gguf", "llama")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(MissingMetadataError, match="lacks"):
        import_gguf(tmp_path / "bare.gguf")


def test_files_that_are_not_gguf_are_refused(tmp_path: Path, sound: Path) -> None:
    content = sound.read_bytes()
    for name, data in {
        "empty": b"",
        "text": b"hello, I am not a model",
        "magic": b"GGML" + content[4:],
        "version": content[:4] + b"\x09\0\0\0" + content[8:],
        "big-endian": content[:4] + b"\0\0\0\x03" + content[8:],
    }.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(GgufError):
            import_gguf(path)


def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path, sound: Path) -> None:
    content = sound.read_bytes()
    path = tmp_path / "truncated.gguf"
    lengths = [5, 12, 20, 30, 100, 500, 1000, 4000, 9000, len(content) // 2, len(content) - 64]
    for length in lengths:
        path.write_bytes(content[:length])
        with pytest.raises(GgufError):
            import_gguf(path)


def test_hostile_lengths_fail_at_once(tmp_path: Path, sound: Path) -> None:
    """Counts near 2^64 must be compared with the bytes left, not looped over."""
    content = sound.read_bytes()
    path = tmp_path / "hostile.gguf"
    for offset in (8, 16, 24):  # tensor count, metadata count, length of the first key
        path.write_bytes(content[:offset] + b"\xff" * 7 + b"\x7f" + content[offset + 8 :])
        with pytest.raises(GgufError):
            GgufFile(path)


def test_flipped_header_bytes_never_escape_as_untyped_errors(tmp_path: Path, sound: Path) -> None:
    content = bytearray(sound.read_bytes())
    path = tmp_path / "flipped.gguf"
    generator = np.random.default_rng(7)
    for offset in generator.integers(4, 1200, 60):
        changed = bytearray(content)
        changed[offset] ^= int(generator.integers(1, 256))
        path.write_bytes(changed)
        with contextlib.suppress(CheckpointError):
            GgufFile(path).close()
