"""Ids, ends and text of a model directory beside `transformers` and `tokenizers`, over a grid of settings.

The right answer is always the library's; a directory whose files say something that cannot be served is refused.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Encoder
from transformers import AutoTokenizer

from prover.model.decoding_check import SAMPLES, check_decoding
from prover.model.errors import CheckpointError, TokenizerError
from prover.model.hugging_face_import import hugging_face_tokenizer
from prover.model.token_models import byte_alphabet
from prover.model.tokenizer import Tokenizer

VOCABULARY = 400
CHAT = "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
TEXTS = [
    *SAMPLES,
    "",
    " ",
    "  a",
    "a<s>b</s> c",
    "<s> the  the\n\n    he",
    "▁ literal",
    "<0x41>",
    "ab\n    he<|im_end|>ab",
]

_PIECES = [*"▁abcdefghiklmnorstuwyz!,.\n()=*#123", "▁a", "ab", "he", "th", "the", "▁the", "▁▁", "▁▁▁▁"]
_MERGES = [
    ("▁", "a"),
    ("a", "b"),
    ("h", "e"),
    ("t", "h"),
    ("th", "e"),
    ("▁", "the"),
    ("▁", "▁"),
    ("▁▁", "▁▁"),
]


def byte_level() -> Encoder:
    alphabet = byte_alphabet()
    vocabulary = {alphabet[byte]: byte for byte in range(256)} | {"th": 256, "the": 257, "Ġthe": 258}
    encoder = Encoder(models.BPE(vocab=vocabulary, merges=[("t", "h"), ("th", "e"), ("Ġ", "the")]))
    encoder.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    encoder.decoder = decoders.ByteLevel()
    encoder.add_special_tokens(["<s>", "</s>"])
    return encoder


def byte_fallback(decoder: Any, *, prepend: bool = False, metaspace: str | None = None) -> Encoder:
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *_PIECES]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    encoder = Encoder(
        models.BPE(vocab=vocabulary, merges=_MERGES, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    if metaspace:
        encoder.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=metaspace, split=False)
    else:
        spaces = normalizers.Replace(" ", "▁")
        encoder.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), spaces]) if prepend else spaces
    encoder.decoder = decoder
    encoder.add_special_tokens(["<unk>", "<s>", "</s>"])
    return encoder


_MARKS = decoders.Replace("▁", " ")
_FALLBACK, _FUSE = decoders.ByteFallback(), decoders.Fuse()
PIPELINES: dict[str, Callable[[], Encoder]] = {
    "byte level": byte_level,
    "Gemma's": lambda: byte_fallback(decoders.Sequence([_MARKS, _FALLBACK, _FUSE])),
    "Llama 2's": lambda: byte_fallback(
        decoders.Sequence([_MARKS, _FALLBACK, _FUSE, decoders.Strip(" ", 1, 0)]), prepend=True
    ),
    "two spaces stripped": lambda: byte_fallback(
        decoders.Sequence([_FALLBACK, _MARKS, _FUSE, decoders.Strip(" ", 2, 0)]), prepend=True
    ),
    "no fuse": lambda: byte_fallback(decoders.Sequence([_MARKS, _FALLBACK])),
    **{
        f"Metaspace {scheme}": lambda scheme=scheme: byte_fallback(
            decoders.Sequence([_FALLBACK, decoders.Metaspace(prepend_scheme=scheme, split=False)]),
            metaspace=scheme,
        )
        for scheme in ("always", "first", "never")
    },
}


def _runs_of_spaces(encoder: Encoder, settings: dict[str, Any]) -> None:
    encoder.add_tokens([AddedToken("▁▁▁", normalized=False), AddedToken("\n\n", normalized=False)])


def _first_token(encoder: Encoder, settings: dict[str, Any]) -> None:
    encoder.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", encoder.token_to_id("<s>"))]
    )


def _truncated(encoder: Encoder, settings: dict[str, Any]) -> None:
    encoder.enable_truncation(3)


def _padded(encoder: Encoder, settings: dict[str, Any]) -> None:
    encoder.enable_padding(length=50, pad_token="</s>", pad_id=encoder.token_to_id("</s>"))


def _stripping(encoder: Encoder, settings: dict[str, Any]) -> None:
    encoder.add_special_tokens([AddedToken("<|im_end|>", lstrip=True, rstrip=True)])


def _listed_elsewhere(encoder: Encoder, settings: dict[str, Any]) -> None:
    settings["added_tokens_decoder"] = {"390": {"content": "<|im_end|>", "special": True, "lstrip": False}}


def _named_elsewhere(encoder: Encoder, settings: dict[str, Any]) -> None:
    settings["pad_token"] = {"__type": "AddedToken", "content": "<|im_end|>", "lstrip": True, "special": True}


def _extra_elsewhere(encoder: Encoder, settings: dict[str, Any]) -> None:
    settings["additional_special_tokens"] = ["<|im_end|>", "<|more|>"]


SETTINGS: dict[str, Callable[[Encoder, dict[str, Any]], None]] = {
    "plain": lambda encoder, settings: None,
    "runs of spaces": _runs_of_spaces,
    "a first token": _first_token,
    "truncation": _truncated,
    "padding": _padded,
    "a token that strips": _stripping,
    "a token in added_tokens_decoder": _listed_elsewhere,
    "a named token": _named_elsewhere,
    "extra special tokens": _extra_elsewhere,
}
FLAGS: list[dict[str, Any]] = [{}, {"add_bos_token": True}, {"add_bos_token": False, "add_eos_token": False}]


def directory(folder: Path, encoder: Encoder, settings: dict[str, Any], **files: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    encoder.save(str(folder / "tokenizer.json"))
    named = {"bos_token": "<s>", "eos_token": "</s>", "clean_up_tokenization_spaces": False}
    stated = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": CHAT} | named | settings
    for name, content in {"tokenizer_config": stated, "config": {"model_type": "llama"}, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def ours(folder: Path) -> Tokenizer:
    facts = json.loads((folder / "config.json").read_text())
    tokenizer = Tokenizer(hugging_face_tokenizer(folder, facts, VOCABULARY))
    check_decoding(tokenizer)
    return tokenizer


def compare(folder: Path) -> None:
    """Everything that the library says about a tokenizer."""
    found, expected = ours(folder), AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        ids = expected(text).input_ids
        assert found.encode(text) == ids, text
        for cut in {0, 1, len(ids) // 2}:
            for skip in (True, False):
                wanted = expected.decode(ids[cut:], skip_special_tokens=skip)
                if "�" in wanted:  # cut inside a character: the library marks every byte of its run
                    continue
                assert found.decode(ids[cut:], skip_special=skip) == wanted, (text, cut, skip)
        stream = found.stream()
        assert "".join(map(stream.push, ids)) + stream.flush() == found.decode(ids)
    messages = [{"role": "user", "content": "the  he"}, {"role": "assistant", "content": " ab"}]
    assert found.render_chat(messages) == expected.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True
    )
    assert found.encode_chat(messages) == expected.apply_chat_template(
        messages, tokenize=True, return_dict=False, add_generation_prompt=True
    )
    assert expected.eos_token_id in found.end_ids


def _grid() -> list[Any]:
    """The whole grid; all but every seventh point is run by make test-long."""
    points = itertools.product(PIPELINES, SETTINGS, range(len(FLAGS)))
    return [
        pytest.param(*point, marks=[] if number % 7 == 0 else pytest.mark.long)
        for number, point in enumerate(points)
    ]


@pytest.mark.parametrize(("pipeline", "setting", "flags"), _grid())
def test_a_tokenizer_does_what_the_library_does(
    tmp_path: Path, pipeline: str, setting: str, flags: int
) -> None:
    encoder, settings = PIPELINES[pipeline](), dict(FLAGS[flags])
    SETTINGS[setting](encoder, settings)
    compare(directory(tmp_path, encoder, settings))


def test_tokens_and_special_tokens_of_older_files(tmp_path: Path) -> None:
    files = {
        "added_tokens": {"<|im_end|>": 270, "plain": 271},
        "special_tokens_map": {"eos_token": {"content": "<|im_end|>", "lstrip": False}, "pad_token": "<pad>"},
    }
    compare(directory(tmp_path, byte_level(), {}, **files))
    assert ours(tmp_path).template_tokens["eos_token"] == "<|im_end|>"


def test_older_files_say_nothing_beside_added_tokens_of_the_configuration(tmp_path: Path) -> None:
    listed = {"259": {"content": "<s>", "special": True}, "260": {"content": "</s>", "special": True}}
    files = {"added_tokens": {"<|im_end|>": 261}, "special_tokens_map": {"eos_token": "<|im_end|>"}}
    compare(directory(tmp_path, byte_level(), {"added_tokens_decoder": listed}, **files))


def test_a_hole_in_the_added_ids_shifts_them_as_in_the_library(tmp_path: Path) -> None:
    folder = directory(tmp_path, byte_level(), {})
    path = folder / "tokenizer.json"
    facts = json.loads(path.read_text())
    facts["added_tokens"].append(dict(facts["added_tokens"][-1], id=300, content="<pad>"))
    path.write_text(json.dumps(facts))
    compare(folder)


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    path = folder / "tokenizer.json"
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))
    return folder


@pytest.mark.parametrize(
    ("pipeline", "change", "named"),
    [
        ("byte level", lambda t: t.update(vocoder={}), "'vocoder'"),
        ("byte level", lambda t: t["decoder"].update(errors="strict"), "'errors'|decoder.errors"),
        ("byte level", lambda t: t["pre_tokenizer"].update(keep_case=True), r"pre_tokenizer\.keep_case"),
        ("byte level", lambda t: t["model"].update(vocabulary_limit=3), r"model\.vocabulary_limit"),
        ("byte level", lambda t: t["model"].update(dropout=0.5), "dropout 0.5"),
        ("byte level", lambda t: t["added_tokens"][0].update(hidden=True), r"added_tokens\.hidden"),
        ("byte level", lambda t: t.update(decoder=None), "no decoder"),
        ("Gemma's", lambda t: t["normalizer"].update(fold=True), r"normalizer\.fold"),
        ("Gemma's", lambda t: t["decoder"]["decoders"][0].update(content="_"), "Replace"),
        ("Gemma's", lambda t: t["decoder"]["decoders"][0].update(pattern={"Regex": "▁"}), "Replace"),
        (
            "Gemma's",
            lambda t: t["decoder"]["decoders"].append(
                {"type": "Strip", "content": " ", "start": 1, "stop": 1}
            ),
            "Strip",
        ),
        (
            "Gemma's",
            lambda t: t["decoder"]["decoders"].insert(
                0, {"type": "Strip", "content": " ", "start": 1, "stop": 0}
            ),
            "Strip before Fuse",
        ),
        (
            "Gemma's",
            lambda t: t["decoder"]["decoders"].append(
                {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
            ),
            "no single step",
        ),
        ("Metaspace always", lambda t: t["decoder"]["decoders"][1].update(replacement="_"), "Metaspace"),
        (
            "Gemma's",
            lambda t: t["decoder"]["decoders"].append(
                {"type": "CTC", "pad_token": "a", "word_delimiter_token": "|", "cleanup": True}
            ),
            "CTC",
        ),
    ],
)
def test_sections_steps_and_arguments_that_are_not_known_are_refused_by_name(
    tmp_path: Path, pipeline: str, change: Callable[[dict[str, Any]], Any], named: str
) -> None:
    folder = edit(directory(tmp_path, PIPELINES[pipeline](), {}), change)
    with pytest.raises((TokenizerError, CheckpointError), match=named):
        ours(folder)


def test_a_token_behind_a_text_is_refused(tmp_path: Path) -> None:
    encoder = byte_level()
    encoder.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 260)])
    with pytest.raises(TokenizerError, match="only one in front"):
        ours(directory(tmp_path, encoder, {}))


def test_a_token_beyond_the_vocabulary_is_named(tmp_path: Path) -> None:
    folder = directory(tmp_path, byte_level(), {"pad_token": "<pad>"})
    with pytest.raises(TokenizerError, match="<pad>"):
        hugging_face_tokenizer(folder, {"model_type": "llama"}, 261)


def test_a_description_is_kept_word_for_word_where_nothing_is_added(tmp_path: Path) -> None:
    folder = directory(tmp_path, byte_level(), {})
    assert ours(folder).specification.description == (folder / "tokenizer.json").read_text()


@pytest.mark.parametrize("pipeline", ["Llama 2's", "Metaspace always", "Metaspace first"])
def test_a_continuation_keeps_its_first_space(tmp_path: Path, pipeline: str) -> None:
    tokenizer = ours(directory(tmp_path, PIPELINES[pipeline](), {}))
    ids = tokenizer.encode("he the ab")
    assert tokenizer.decode(ids) == "he the ab"
    for cut in range(1, len(ids)):
        start, rest = tokenizer.decode(ids[:cut]), tokenizer.decode(ids[cut:], continuation=True)
        assert start + rest == "he the ab"
        stream = tokenizer.stream(continuation=True)
        assert "".join(map(stream.push, ids[cut:])) + stream.flush() == rest


def test_the_familys_own_end_holds_where_no_file_names_one(tmp_path: Path) -> None:
    folder = directory(tmp_path, byte_level(), {"eos_token": None})
    assert ours(folder).end_ids == (2, 260)  # a Llama's, and "</s>", a control token that always ends
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [65]}))
    assert ours(folder).end_ids == (65, 260)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "eos_token_id": None}))
    (folder / "generation_config.json").unlink()
    assert ours(folder).end_ids == (260,)
