"""Cutting text into tokens: each kind of tokenizer beside an independent one."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Encoder

from prover.model.errors import TokenizerError
from prover.model.token_models import (
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    byte_alphabet,
    described_tokens,
)
from prover.model.tokenizer import Tokenizer, TokenizerSpecification

TEXTS = [
    "",
    "the theatre is there",
    "  two  spaces and a\ttab\n\n\nlines",
    "naïve café 数字 🙂",
    "<s>control</s> is one token",
    "hehehe theththe ▁ literal",
]
_PIECES = [
    "▁",
    "t",
    "h",
    "e",
    "r",
    "a",
    "i",
    "s",
    "n",
    "d",
    "o",
    "l",
    "c",
    "w",
    "p",
    "u",
    "m",
    "k",
    "b",
    "f",
    "v",
    "g",
]
_MERGED = [
    "th",
    "he",
    "▁t",
    "the",
    "▁the",
    "er",
    "re",
    "ea",
    "there",
    "at",
    "is",
    "▁▁",
    "atr",
    "hehe",
    "an",
    "▁a",
]


def sentencepiece(space_prefix: bool) -> TokenizerSpecification:
    """A small SentencePiece vocabulary: control, bytes, runs of line breaks, merged pieces by falling score, characters."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "\n\n", *_MERGED, *_PIECES]
    types = (
        [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [USER_DEFINED] + [NORMAL] * (len(_MERGED) + len(_PIECES))
    )
    scores = [0.0] * 260 + [-float(rank) for rank in range(len(_MERGED) + len(_PIECES))]
    return TokenizerSpecification(
        tokens=tuple(tokens),
        token_types=tuple(types),
        merges=(),
        bos_id=1,
        eos_id=2,
        kind="sentencepiece",
        scores=tuple(scores),
        space_prefix=space_prefix,
    )


def merged_by_score(text: str, specification: TokenizerSpecification) -> list[int]:
    """SentencePiece's rule written out: join the neighbours whose result scores highest, the leftmost on a tie."""
    index = {token: i for i, token in enumerate(specification.tokens)}
    result: list[int] = []
    for part in _split(text, ["<s>", "</s>", "\n\n"]):
        if part in ("<s>", "</s>", "\n\n"):
            result.append(index[part])
            continue
        symbols = list((" " + part if specification.space_prefix else part).replace(" ", "▁"))
        while True:
            pairs = [
                (specification.scores[index[a + b]], -at)
                for at, (a, b) in enumerate(itertools.pairwise(symbols))
                if a + b in index
            ]
            if not pairs:
                break
            at = -max(pairs)[1]
            symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
        for symbol in symbols:
            known = [index[symbol]] if symbol in index else [index[f"<0x{b:02X}>"] for b in symbol.encode()]
            result += known
    return result


def _split(text: str, separators: list[str]) -> list[str]:
    for separator in separators:
        if separator in text:
            before, after = text.split(separator, 1)
            return [*_split(before, separators), separator, *_split(after, separators)]
    return [text] if text else []


@pytest.mark.parametrize("space_prefix", [False, True])
@pytest.mark.parametrize("text", TEXTS)
def test_sentencepiece_merges_by_score(text: str, space_prefix: bool) -> None:
    specification = sentencepiece(space_prefix)
    assert Tokenizer(specification).encode(text) == merged_by_score(text, specification)


def test_sentencepiece_merges_random_texts_by_score() -> None:
    specification = sentencepiece(False)
    tokenizer, generator = Tokenizer(specification), np.random.default_rng(5)
    for _ in range(200):
        text = "".join(generator.choice(list("ttthhheeear is\n"), generator.integers(1, 30)))
        assert tokenizer.encode(text) == merged_by_score(text, specification), text


@pytest.mark.parametrize("space_prefix", [False, True])
@pytest.mark.parametrize("text", [text for text in TEXTS if "<s>" not in text and "▁" not in text])
def test_sentencepiece_text_survives(text: str, space_prefix: bool) -> None:
    tokenizer = Tokenizer(sentencepiece(space_prefix))
    if space_prefix:
        text = text.replace("\n\n", " ")  # every stretch between whole tokens starts with a space of its own
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    stream = tokenizer.stream()
    assert "".join(map(stream.push, ids)) + stream.flush() == text


def test_a_first_token_is_not_doubled_by_a_template_that_writes_it() -> None:
    template = "{{ bos_token }}{{ messages[0]['content'] }}"
    tokenizer = Tokenizer(replace(sentencepiece(False), add_bos=True, chat_template=template))
    assert tokenizer.encode("the")[0] == 1
    assert tokenizer.encode_chat([{"role": "user", "content": "the"}]) == tokenizer.encode("the")


def test_missing_scores_are_refused() -> None:
    with pytest.raises(TokenizerError, match="scores"):
        Tokenizer(replace(sentencepiece(False), scores=(1.0,)))


def _byte_level() -> Encoder:
    alphabet = byte_alphabet()
    vocabulary = {alphabet[byte]: byte for byte in range(256)} | {"th": 256, "the": 257}
    encoder = Encoder(models.BPE(vocab=vocabulary, merges=[("t", "h"), ("th", "e")]))
    encoder.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    encoder.decoder = decoders.ByteLevel()
    encoder.add_special_tokens([AddedToken("<end>", special=True)])
    return encoder


def _byte_fallback() -> Encoder:
    vocabulary = {"<unk>": 0} | {f"<0x{byte:02X}>": byte + 1 for byte in range(256)}
    vocabulary |= {token: 257 + i for i, token in enumerate(("▁", "t", "h", "e", "th", "the", "▁the"))}
    encoder = Encoder(
        models.BPE(
            vocab=vocabulary,
            merges=[("t", "h"), ("th", "e"), ("▁", "the")],
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    encoder.normalizer = normalizers.Replace(" ", "▁")
    encoder.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    encoder.add_special_tokens([AddedToken("<end>", special=True)])
    return encoder


def described(encoder: Encoder, vocabulary: int) -> TokenizerSpecification:
    tokens, types = described_tokens(encoder.to_str(), vocabulary)
    return TokenizerSpecification(
        tokens, types, merges=(), kind="tokenizer.json", description=encoder.to_str()
    )


@pytest.mark.parametrize("make", [_byte_level, _byte_fallback])
@pytest.mark.parametrize("text", TEXTS[:5])
def test_a_described_tokenizer_does_what_its_library_does(make: object, text: str) -> None:
    encoder = make()  # type: ignore[operator]
    tokenizer = Tokenizer(described(encoder, 300))
    ids = encoder.encode(text, add_special_tokens=False).ids
    assert tokenizer.encode(text) == ids
    assert tokenizer.decode(ids) == encoder.decode(ids, skip_special_tokens=True) == text
    assert len(tokenizer) == 300


def test_ids_without_a_token_say_nothing() -> None:
    specification = described(_byte_level(), 300)
    assert specification.token_types[258:] == (CONTROL,) + (UNUSED,) * 41
    assert Tokenizer(specification).decode([116, 299, 104]) == "th"


def test_more_tokens_than_the_model_has_are_refused() -> None:
    with pytest.raises(TokenizerError, match="258"):
        described_tokens(_byte_level().to_str(), 200)


def test_a_decoder_without_bytes_is_refused_by_name() -> None:
    encoder = _byte_level()
    encoder.decoder = decoders.WordPiece()
    with pytest.raises(TokenizerError, match="WordPiece"):
        described_tokens(encoder.to_str(), 300)


def test_a_specification_survives_json() -> None:
    for specification in (sentencepiece(True), described(_byte_level(), 300)):
        again = TokenizerSpecification.from_json(json.loads(json.dumps(specification.to_json())))
        assert again == specification
        assert Tokenizer(again).digest == Tokenizer(specification).digest


def test_a_byte_level_specification_says_nothing_of_later_fields() -> None:
    """So tokenizers that were committed before these fields existed keep their digest."""
    plain = TokenizerSpecification(("a",), (NORMAL,), ())
    assert set(plain.to_json()) == {
        *("tokens", "token_types", "merges", "pre_tokenizer", "bos_id", "eos_id", "end_of_turn_id"),
        *("add_bos", "chat_template"),
    }


@pytest.mark.parametrize(
    ("kind", "digits"),
    [("llama-bpe", ["123", "45"]), ("qwen2", ["1", "2", "3", "4", "5"]), ("gpt-2", ["12345"])],
)
def test_pre_tokenizers_differ_in_how_digits_stay_together(kind: str, digits: list[str]) -> None:
    alphabet = byte_alphabet()
    runs = ("12", "123", "45", "1234", "12345")
    merges = ("1 2", "12 3", "4 5", "123 4", "1234 5")
    tokens = (*(alphabet[byte] for byte in range(256)), *runs)
    specification = TokenizerSpecification(tokens, (NORMAL,) * len(tokens), merges, pre_tokenizer=kind)
    tokenizer = Tokenizer(specification)
    found = [tokenizer.decode([index]) for index in tokenizer.encode("12345")]
    assert found == (digits if kind != "gpt-2" else _joined(merges, "12345"))


def _joined(merges: tuple[str, ...], text: str) -> list[str]:
    symbols = list(text)
    for merge in merges:
        a, b = merge.split(" ")
        for at in range(len(symbols) - 1):
            if symbols[at : at + 2] == [a, b]:
                symbols[at : at + 2] = [a + b]
                break
    return symbols
