"""Files that complete or contradict each other, that are only notes of files, or that say what changes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from prover.model.cli import app
from prover.model.errors import CheckpointError, GgufError, ModelNotFoundError, UnsupportedModelError
from prover.model.float_reference import float_logits
from prover.model.gguf_import import import_gguf
from prover.model.hugging_face_import import import_hugging_face
from prover.model.library import source_path

from . import hugging_face_models
from .hugging_face_models import logits, random_ids, save_directory, seeded_model, write_gguf_of

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 1000\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return save_directory(seeded_model("llama"), tmp_path / "model")


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def write_shards(directory: Path, tensors: dict[str, torch.Tensor], *, whole: bool = True) -> None:
    halves = [dict(list(tensors.items())[::2]), dict(list(tensors.items())[1::2])]
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for name, half in zip(names, halves, strict=True):
        if whole or name == names[0]:
            save_file(half, directory / name, metadata={"format": "pt"})
    weight_map = {tensor: name for name, half in zip(names, halves, strict=True) for tensor in half}
    (directory / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": weight_map})
    )


# --- weights of a directory -------------------------------------------------------------------------------------


def test_a_single_file_and_shards_of_another_model_are_refused(directory: Path) -> None:
    tensors = load_file(directory / "model.safetensors")
    write_shards(directory, tensors | {"model.norm.weight": tensors["model.norm.weight"] + 1})
    with pytest.raises(CheckpointError, match=r"two models.*model\.norm\.weight"):
        import_hugging_face(directory)


def test_a_single_file_is_read_beside_shards_that_say_the_same_or_are_gone(directory: Path) -> None:
    expected = import_hugging_face(directory)
    write_shards(directory, load_file(directory / "model.safetensors"))
    for _ in range(2):
        read = import_hugging_face(directory)
        np.testing.assert_array_equal(read.head, expected.head)
        assert len(read.notes) == 1 and "model.safetensors was read" in read.notes[0]
        (directory / "model-00002-of-00002.safetensors").unlink(missing_ok=True)


def test_a_missing_shard_is_named(directory: Path) -> None:
    write_shards(directory, load_file(directory / "model.safetensors"), whole=False)
    (directory / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002.*download the missing shard"):
        import_hugging_face(directory)


def test_a_tensor_in_two_shards_is_refused(directory: Path) -> None:
    tensors = load_file(directory / "model.safetensors")
    write_shards(directory, tensors)
    save_file(tensors, directory / "model-00002-of-00002.safetensors", metadata={"format": "pt"})
    (directory / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="another shard both hold"):
        import_hugging_face(directory)


def test_a_tensor_with_and_without_the_prefix_is_refused(directory: Path) -> None:
    path = directory / "model.safetensors"
    save_file(load_file(path) | {"norm.weight": torch.ones(64)}, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"both 'norm\.weight' and 'model\.norm\.weight'"):
        import_hugging_face(directory)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "tokenizer.json", "config.json", "tokenizer_config.json"]
)
def test_a_git_lfs_pointer_is_called_one(directory: Path, name: str) -> None:
    (directory / name).write_bytes(POINTER)
    with pytest.raises(CheckpointError, match=r"Git LFS pointer.*git lfs pull"):
        import_hugging_face(directory)


def test_a_gguf_that_is_a_git_lfs_pointer_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(POINTER)
    with pytest.raises(CheckpointError, match=r"Git LFS pointer"):
        import_gguf(tmp_path / "x.gguf")


@pytest.mark.parametrize(
    "change",
    [
        {"rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0}, "rope_theta": 20_000.0},
        {"rope_parameters": {"rope_theta": 10_000.0}, "rope_scaling": {"rope_type": "linear", "factor": 4.0}},
        {
            "rope_parameters": None,
            "rope_theta": 1.5e4,
            "rope_scaling": {"type": "linear", "factor": 2, "rope_theta": 1e4},
        },
    ],
)
def test_two_forms_of_rotary_settings_that_differ_are_refused(
    directory: Path, change: dict[str, Any]
) -> None:
    edit(directory / "config.json", **change)
    with pytest.raises(CheckpointError, match="leave out the one"):
        import_hugging_face(directory)


@pytest.mark.parametrize(
    ("rotary", "named"),
    [
        ({"rope_type": "linear", "factor": "four"}, r"factor .*'four'"),
        ({"rope_type": "linear", "factor": None}, r"factor .*None"),
        ({"rope_type": "linear", "factor": -1}, r"factor .*positive"),
        ({"rope_type": "linear"}, r"factor"),
        ({"rope_type": "default", "rope_theta": "big"}, r"rope_theta .*'big'"),
        ([1], r"must be an object"),
        (
            {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 4.0},
            r"frequency factors",
        ),
    ],
)
def test_rotary_numbers_that_are_none_are_named(directory: Path, rotary: Any, named: str) -> None:
    edit(directory / "config.json", rope_parameters=rotary)
    with pytest.raises(CheckpointError, match=named):
        import_hugging_face(directory)


def test_one_line_per_kind_of_tensor(directory: Path) -> None:
    path = directory / "model.safetensors"
    routers = {f"model.layers.{layer}.mlp.router.weight": torch.ones(2) for layer in (0, 1)}
    save_file(load_file(path) | routers, path, metadata={"format": "pt"})
    with pytest.raises(UnsupportedModelError) as caught:
        import_hugging_face(directory)
    assert [finding.name for finding in caught.value.findings] == ["layers.*.mlp.router.weight (2 tensors)"]


# --- a directory with more than one answer ----------------------------------------------------------------------


def test_a_configuration_is_taken_before_a_gguf_beside_it(directory: Path) -> None:
    write_gguf_of(seeded_model("qwen2"), "qwen2", directory / "other.gguf")
    assert source_path(directory) == directory
    assert any(
        "other.gguf" in note and "config.json" in note for note in import_hugging_face(directory).notes
    )


def test_a_directory_of_one_gguf_is_that_file_and_of_several_a_question(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        source_path(tmp_path)
    one = write_gguf_of(seeded_model("qwen2"), "qwen2", tmp_path / "a.gguf")
    assert source_path(tmp_path) == one
    shutil.copy(one, tmp_path / "b.gguf")
    with pytest.raises(CheckpointError, match=r"2 GGUF files \(a\.gguf, b\.gguf\); name one"):
        source_path(tmp_path)


def test_the_command_says_what_an_import_left_out(directory: Path, tmp_path: Path) -> None:
    (directory / "chat_template.jinja").write_text("{% for %}")
    arguments = [
        "import",
        str(directory),
        "--name",
        "small",
        "--models",
        str(tmp_path),
        "--calibration-tokens",
        "20",
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "note: the model has no chat" in result.output
    manifest = json.loads((tmp_path / "small" / "manifest.json").read_text())
    assert "no chat" in manifest["source"]["notes"][0] and manifest["tokenizer"]["chat_template"] is None


# --- GGUF -------------------------------------------------------------------------------------------------------


def stored(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[gguf.GGUFWriter], Any] = lambda writer: None,
    *,
    family: str = "llama",
    tokenizer: Callable[[gguf.GGUFWriter], None] | None = None,
) -> Path:
    """A GGUF file of a small model with further metadata, or another tokenizer."""
    usual = tokenizer or hugging_face_models._write_tokenizer

    def further(writer: gguf.GGUFWriter) -> None:
        usual(writer)
        write(writer)

    with monkeypatch.context() as patch:
        patch.setattr(hugging_face_models, "_write_tokenizer", further)
        return write_gguf_of(seeded_model(family), family, path)


@pytest.mark.parametrize("number", [0, 1])
def test_a_part_of_a_split_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def parts(writer: gguf.GGUFWriter) -> None:
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", 2)

    path = stored(tmp_path / "x.gguf", monkeypatch, parts)
    with pytest.raises(GgufError, match=rf"part {number + 1} of 2.*llama-gguf-split --merge"):
        import_gguf(path)


def test_fewer_tensors_than_promised_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stored(tmp_path / "x.gguf", monkeypatch, lambda w: w.add_int32("split.tensors.count", 99))
    with pytest.raises(GgufError, match="promises 99 tensors"):
        import_gguf(path)


NEUTRAL: list[tuple[str, Callable[[gguf.GGUFWriter], Any]]] = [
    ("llama", lambda w: w.add_uint32("llama.expert_count", 0)),
    ("llama", lambda w: w.add_uint32("llama.expert_used_count", 0)),
    ("llama", lambda w: w.add_float32("llama.logit_scale", 1.0)),
    ("llama", lambda w: w.add_bool("llama.attention.causal", True)),
    ("llama", lambda w: w.add_uint32("llama.attention.sliding_window", 4096)),
    ("llama", lambda w: w.add_float32("llama.attention.scale", 0.25)),
    ("llama", lambda w: w.add_float32("llama.final_logit_softcapping", 0.0)),
    ("qwen2", lambda w: w.add_bool("tokenizer.ggml.add_eos_token", False)),
    ("qwen2", lambda w: w.add_uint16("split.count", 1)),
    ("qwen2", lambda w: w.add_uint32("tokenizer.ggml.padding_token_id", 258)),
    ("qwen2", lambda w: w.add_string("tokenizer.chat_template.tool_use", "x")),
    ("gpt2", lambda w: w.add_bool("gpt2.use_parallel_residual", False)),
    ("granite", lambda w: w.add_bool("granite.rope.scaling.finetuned", True)),
    ("llama", lambda w: w.add_float32("llama.rope.scaling.yarn_beta_fast", 32.0)),
]
CHANGING: list[tuple[str, str, Callable[[gguf.GGUFWriter], Any]]] = [
    ("llama", "expert_used_count = 2", lambda w: w.add_uint32("llama.expert_used_count", 2)),
    ("llama", "logit_scale = 0.5", lambda w: w.add_float32("llama.logit_scale", 0.5)),
    ("llama", "attention.causal = False", lambda w: w.add_bool("llama.attention.causal", False)),
    ("llama", "attention.scale = 0.5", lambda w: w.add_float32("llama.attention.scale", 0.5)),
    ("gemma3", "attention.scale = 0.5", lambda w: w.add_float32("gemma3.attention.scale", 0.5)),
    ("granite", "rope.scaling.finetuned = False", lambda w: w.add_bool("granite.rope.scaling.finetuned", False)),
    ("smollm3", "logit_scale = 0.5", lambda w: w.add_float32("smollm3.logit_scale", 0.5)),
    ("llama", "embedding_scale = 2", lambda w: w.add_float32("llama.embedding_scale", 2.0)),
    ("qwen3", "yarn_beta_fast = 16", lambda w: w.add_float32("qwen3.rope.scaling.yarn_beta_fast", 16.0)),
    ("gemma3", "a rotation that multiplies", lambda w: w.add_float32("gemma3.rope.scaling.attn_factor", 1.5)),
    ("llama", "tokenizer.ggml.lowercase", lambda w: w.add_bool("tokenizer.ggml.lowercase", True)),
    ("llama", "tokenizer.ggml.add_eos_token = True", lambda w: w.add_bool("tokenizer.ggml.add_eos_token", True)),
    ("llama", "split.secret", lambda w: w.add_bool("split.secret", True)),
    ("llama", "adapter.type", lambda w: w.add_string("adapter.type", "lora")),
    ("llama", "general.type", lambda w: w.add_type("mmproj")),
]  # fmt: skip


@pytest.mark.parametrize(("family", "write"), NEUTRAL)
def test_values_that_change_nothing_are_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, write: Any
) -> None:
    read, ids = import_gguf(stored(tmp_path / "x.gguf", monkeypatch, write, family=family)), random_ids()
    assert np.abs(float_logits(read, ids) - logits(seeded_model(family), ids)).max() < 1e-3


@pytest.mark.parametrize(("family", "named", "write"), CHANGING)
def test_values_that_change_something_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, named: str, write: Any
) -> None:
    with pytest.raises(UnsupportedModelError, match=named):
        import_gguf(stored(tmp_path / "x.gguf", monkeypatch, write, family=family))


def test_a_window_that_readers_mask_differently_ends_the_positions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to its end every reader means the same."""
    whole = import_gguf(stored(tmp_path / "whole.gguf", monkeypatch)).config.max_positions
    write = lambda w: w.add_uint32("llama.attention.sliding_window", 32)  # noqa: E731
    assert import_gguf(stored(tmp_path / "x.gguf", monkeypatch, write)).config.max_positions == 32 < whole


def byte_level(*further: tuple[str, int], pre: str | None = "gpt-2", merges: list[str] | None = None) -> Any:
    """A writer of a byte-level tokenizer with further (token, type)s."""

    def write(writer: gguf.GGUFWriter) -> None:
        alphabet = hugging_face_models.byte_alphabet()
        tokens = [*((alphabet[byte], 1) for byte in range(256)), ("<|start|>", 3), ("<|stop|>", 3), *further]
        tokens += [] if merges else [("zz", 1)]  # a GGUF tokenizer lists at least one merge
        tokens += [(f"[PAD{index}]", 5) for index in range(len(tokens), hugging_face_models.VOCABULARY)]
        writer.add_tokenizer_model("gpt2")
        if pre is not None:
            writer.add_tokenizer_pre(pre)
        writer.add_token_list([token for token, _ in tokens])
        writer.add_token_types([kind for _, kind in tokens])
        writer.add_token_merges(merges or ["z z"])
        writer.add_bos_token_id(256)
        writer.add_eos_token_id(257)

    return write


@pytest.mark.parametrize("kind", [1, 3, 4])
@pytest.mark.parametrize("text", ["<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|eom_id|>", "<EOT>"])
def test_an_end_of_turn_is_found_by_its_text_whatever_its_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, kind: int
) -> None:
    tokenizer = import_gguf(
        stored(tmp_path / "x.gguf", monkeypatch, tokenizer=byte_level((text, kind)))
    ).tokenizer
    assert tokenizer.end_ids == (257, 258)
    assert tokenizer.encode(f"a{text}b") == [97, 258, 98]
    assert tokenizer.decode([97, 258, 98]) == "ab"


def test_a_piece_of_html_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stored(tmp_path / "x.gguf", monkeypatch, tokenizer=byte_level(("</s>", 1)))
    assert import_gguf(path).tokenizer.end_ids == (257,)


def test_the_end_of_a_message_ends_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stored(
        tmp_path / "x.gguf",
        monkeypatch,
        lambda writer: writer.add_uint32("tokenizer.ggml.eom_token_id", 258),
        tokenizer=byte_level(("<|pause|>", 3)),
    )
    assert import_gguf(path).tokenizer.end_ids == (257, 258)


@pytest.mark.parametrize(
    ("pre", "stated", "first"),
    [
        ("llama-bpe", None, True), ("llama3", None, True), ("llama-bpe", False, False), ("qwen2", None, False),
        ("gpt-2", None, False), ("smollm", None, False), (None, None, False), ("gpt-2", True, True),
    ],
)  # fmt: skip
def test_whether_a_first_token_is_added_has_a_default_per_pre_tokenizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pre: str | None, stated: bool | None, first: bool
) -> None:
    def state(writer: gguf.GGUFWriter) -> None:
        if stated is not None:
            writer.add_add_bos_token(stated)

    path = stored(
        tmp_path / "x.gguf", monkeypatch, state, tokenizer=byte_level(("ab", 1), pre=pre, merges=["a b"])
    )
    assert import_gguf(path).tokenizer.encode("ab") == ([256, 258] if first else [258])


@pytest.mark.parametrize("pre", ["default", None])
def test_a_file_without_a_pre_tokenizer_is_cut_by_llama_cpps_four_patterns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pre: str | None
) -> None:
    """Punctuation apart from its space, digits by threes; where GPT-2 keeps both together."""
    pieces = [("12", 1), ("123", 1), ("1234", 1), ("Ġ(", 1), ("ab", 1), ("Ġab", 1)]
    merges = ["1 2", "12 3", "123 4", "Ġ (", "a b", "Ġ ab"]
    path = stored(tmp_path / "x.gguf", monkeypatch, tokenizer=byte_level(*pieces, pre=pre, merges=merges))
    tokenizer = import_gguf(path).tokenizer
    tokens = tokenizer.specification.tokens
    assert [tokens[index] for index in tokenizer.encode("1234 (ab ab")] == ["123", "4", "Ġ", "(", "ab", "Ġab"]


def sentencepiece(*, bos: bool = True, prefix: bool | None = None) -> Callable[[gguf.GGUFWriter], None]:
    def write(writer: gguf.GGUFWriter) -> None:
        plain = [(token, 1) for token in ("▁", "a", "b", "▁a")]
        pieces = [("<unk>", 2), ("<s>", 3), ("</s>", 3), ("▁▁", 4), *plain]
        pieces += [(f"<0x{byte:02X}>", 6) for byte in range(256)]
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_list([token for token, _ in pieces])
        writer.add_token_types([kind for _, kind in pieces])
        writer.add_token_scores([-float(index) for index in range(len(pieces))])
        if bos:
            writer.add_bos_token_id(1)
            writer.add_eos_token_id(2)
        if prefix is not None:
            writer.add_add_space_prefix(prefix)

    return write


@pytest.mark.parametrize("named", [True, False])
def test_a_sentencepiece_file_has_the_usual_ids_unless_it_names_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    tokenizer = import_gguf(
        stored(tmp_path / "x.gguf", monkeypatch, tokenizer=sentencepiece(bos=named))
    ).tokenizer
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.end_ids) == (1, 2, (2,))
    assert tokenizer.encode("a b") == [1, 7, 4, 6]
    assert tokenizer.decode(tokenizer.encode("a b")) == "a b"
    assert tokenizer.decode([4, 6], continuation=True) == " b"
    assert tokenizer.decode([0, 6]) == "b", (
        "the unknown token is invisible, as in llama.cpp and in transformers"
    )
    assert tokenizer.decode([5, 3, 6]) == "a  b", "runs of spaces are spaces"


def test_a_token_beyond_the_embedding_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def one_more(writer: gguf.GGUFWriter) -> None:
        byte_level(*((f"<{index}>", 4) for index in range(6)))(writer)

    path = stored(tmp_path / "x.gguf", monkeypatch, tokenizer=one_more)
    with pytest.raises(GgufError, match=r"265 tokens but the embedding only 264 rows: token 264 \('zz'\)"):
        import_gguf(path)
