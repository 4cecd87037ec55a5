"""The three ways in which a tokenizer cuts text into tokens, and what bytes each token stands for.

gpt2            byte-level BPE: vocabulary, merges, and a named pre-tokenizer
sentencepiece   BPE over characters, "▁" for a space, merges ranked by the scores of their results, unknown
                characters as bytes
tokenizer.json  whatever pipeline the file describes, run by the library that the format belongs to; its decoder
                must be one of the two kinds above, since streaming needs the bytes of each token
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Encoder

from ..foreign_json import MODEL_FILE, ForeignJsonError, read_json
from .errors import TokenizerError

# Token types of GGUF (llama.cpp's llama_token_type).
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

SPACE = "▁"

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")

# Llama 3 and Qwen differ only in how many digits stay together.
_WORDS_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3_PATTERN = _WORDS_PATTERN.format(digits=r"\p{N}{1,3}")
_QWEN2_PATTERN = _WORDS_PATTERN.format(digits=r"\p{N}")

_GPT2 = frozenset({"default", "gpt-2", "gpt2"})
_DIGITS_APART = frozenset({"smollm", "starcoder", "refact", "command-r"})
_LLAMA3 = frozenset({"llama3", "llama-bpe", "llama-v3"})
_QWEN2 = frozenset({"qwen2", "deepseek-r1-qwen"})


def byte_alphabet() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = {byte: chr(byte) for byte in printable}
    others = [byte for byte in range(256) if byte not in alphabet]
    return alphabet | {byte: chr(0x100 + offset) for offset, byte in enumerate(others)}


def byte_level_encoder(
    tokens: Sequence[str], types: Sequence[int], merges: Sequence[str], pre_tokenizer: str
) -> Encoder:
    """Byte-level BPE. Raises TokenizerError for merges that join nothing and bytes without a token."""
    vocabulary = {token: index for index, token in enumerate(tokens)}
    pairs = []
    for merge in merges:
        pair = tuple(str(merge).split(" "))
        if len(pair) != 2 or any(part not in vocabulary for part in (*pair, "".join(pair))):
            raise TokenizerError(
                f"merge {merge!r} does not join two tokens into a third; convert the model again"
            )
        pairs.append(pair)
    missing = [byte for byte, symbol in byte_alphabet().items() if symbol not in vocabulary]
    if any(0x20 <= byte < 0x7F or byte == 0x0A for byte in missing):
        raise TokenizerError(
            f"the vocabulary has no token for byte {min(missing):#04x}; convert the model again"
        )
    encoder = Encoder(
        models.BPE(
            vocab=vocabulary,
            merges=pairs,
            unk_token=_unknown(tokens, types),
            # Llama 3 takes a word that is a token as it is, even where no merges lead to it.
            ignore_merges=pre_tokenizer in _LLAMA3,
        )
    )
    if pre_tokenizer in _QWEN2:
        encoder.normalizer = normalizers.NFC()
    encoder.pre_tokenizer = _pre_tokenizer(pre_tokenizer)
    encoder.decoder = decoders.ByteLevel()
    _add_tokens(encoder, tokens, types, normalized=False)
    return encoder


def sentencepiece_encoder(
    tokens: Sequence[str], types: Sequence[int], scores: Sequence[float], *, space_prefix: bool
) -> Encoder:
    """BPE of a SentencePiece model. `space_prefix`: text starts with a space of its own.

    A pair of tokens may be merged if the result is a token; the pair whose result has the highest score goes first.
    """
    vocabulary = {token: index for index, token in enumerate(tokens)}
    mergeable = {token for token, kind in zip(tokens, types, strict=True) if kind == NORMAL}
    merges = []
    ranked = sorted(
        (i for i, kind in enumerate(types) if kind == NORMAL), key=lambda i: scores[i], reverse=True
    )
    for index in ranked:
        token = tokens[index]
        for cut in range(len(token) - 1, 0, -1):
            left, right = token[:cut], token[cut:]
            if left in mergeable and right in mergeable:
                merges.append((left, right))
    bytes_known = all(f"<0x{byte:02X}>" in vocabulary for byte in range(256))
    encoder = Encoder(
        models.BPE(
            vocab=vocabulary,
            merges=merges,
            unk_token=_unknown(tokens, types),
            fuse_unk=True,
            byte_fallback=bytes_known,
        )
    )
    spaces = normalizers.Replace(" ", SPACE)
    encoder.normalizer = (
        normalizers.Sequence([normalizers.Prepend(SPACE), spaces]) if space_prefix else spaces
    )
    # Runs of spaces are tokens of their own, found after spaces were replaced; a prefix would become part of them.
    _add_tokens(encoder, tokens, types, normalized=not space_prefix)
    return encoder


def described_encoder(description: str) -> Encoder:
    """The pipeline of a tokenizer.json. Raises TokenizerError."""
    _facts(description)  # its nesting is bounded before the library recurses into it
    try:
        return Encoder.from_str(description)
    except Exception as error:  # the library raises untyped errors
        raise TokenizerError(
            f"tokenizer.json cannot be read ({error}); save it again with its library"
        ) from error


def described_tokens(description: str, vocabulary: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Tokens of a tokenizer.json by id, with their types; ids below `vocabulary` without a token are unused.

    Raises TokenizerError when it has more tokens than the model.
    """
    encoder, facts = described_encoder(description), _facts(description)
    by_id = {index: token for token, index in encoder.get_vocab(with_added_tokens=True).items()}
    if by_id and max(by_id) >= vocabulary:
        raise TokenizerError(
            f"the tokenizer has ids up to {max(by_id)} but the model only {vocabulary} tokens; use the model's own"
        )
    style = decoding_style(description)
    types = {index: NORMAL for index in by_id}
    if style == "sentencepiece":
        types |= {index: BYTE for index, token in by_id.items() if _BYTE_TOKEN.fullmatch(token)}
    for added in facts.get("added_tokens") or ():
        types[int(added["id"])] = CONTROL if added.get("special") else USER_DEFINED
    tokens = tuple(by_id.get(index, f"<no token {index}>") for index in range(vocabulary))
    return tokens, tuple(types.get(index, UNUSED) for index in range(vocabulary))


def decoding_style(description: str) -> str:
    """How a tokenizer.json turns tokens into bytes: "gpt2" or "sentencepiece". Raises TokenizerError for neither."""
    facts = _facts(description)
    kinds = _decoder_kinds(facts.get("decoder"))
    if kinds == ["ByteLevel"]:
        return "gpt2"
    if "ByteFallback" in kinds and set(kinds) <= {"Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"}:
        return "sentencepiece"
    raise TokenizerError(
        f"decoder {'+'.join(kinds) or 'none'} of tokenizer.json is not supported; byte-level and byte-fallback "
        f"decoders are, since streaming needs the bytes of each token"
    )


def strips_leading_space(description: str) -> bool:
    """Whether a tokenizer.json's decoder takes off one space at the start of a text."""
    decoder = _facts(description).get("decoder") or {}
    return any(
        step.get("type") == "Strip" and step.get("start", 0) > 0 for step in decoder.get("decoders", ())
    )


def token_bytes(tokens: Sequence[str], types: Sequence[int], style: str) -> list[bytes]:
    """The bytes each token stands for. Control and user-defined tokens are literal text."""
    to_byte = {symbol: byte for byte, symbol in byte_alphabet().items()}
    table = []
    for token, kind in zip(tokens, types, strict=True):
        if kind == UNUSED:
            table.append(b"")
        elif kind in (CONTROL, USER_DEFINED):
            table.append(token.encode("utf-8"))
        elif style == "sentencepiece":
            found = _BYTE_TOKEN.fullmatch(token) if kind == BYTE else None
            table.append(bytes([int(found[1], 16)]) if found else token.replace(SPACE, " ").encode("utf-8"))
        elif any(symbol not in to_byte for symbol in token):
            table.append(token.encode("utf-8"))
        else:
            table.append(bytes(to_byte[symbol] for symbol in token))
    return table


def _facts(description: str) -> Any:
    """The parsed tokenizer.json. Raises TokenizerError."""
    try:
        return read_json(description, what="tokenizer.json", limits=MODEL_FILE)
    except ForeignJsonError as error:
        raise TokenizerError(str(error)) from error


def _decoder_kinds(decoder: Mapping[str, Any] | None) -> list[str]:
    if decoder is None:
        return []
    if decoder.get("type") == "Sequence":
        return [str(step.get("type")) for step in decoder.get("decoders", ())]
    return [str(decoder.get("type"))]


def _add_tokens(encoder: Encoder, tokens: Sequence[str], types: Sequence[int], *, normalized: bool) -> None:
    """Tokens that are found in text as a whole, before any merging."""
    kinds = list(zip(tokens, types, strict=True))
    encoder.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t, k in kinds if k == CONTROL]
    )
    encoder.add_tokens([AddedToken(t, normalized=normalized) for t, k in kinds if k == USER_DEFINED])


def _unknown(tokens: Sequence[str], types: Sequence[int]) -> str | None:
    unknown = [token for token, kind in zip(tokens, types, strict=True) if kind == UNKNOWN]
    return unknown[0] if unknown else None


def _pre_tokenizer(kind: str) -> pre_tokenizers.PreTokenizer:
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if kind in _GPT2:
        return byte_level
    if kind in _DIGITS_APART:
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    if kind in _LLAMA3 | _QWEN2:
        pattern = _LLAMA3_PATTERN if kind in _LLAMA3 else _QWEN2_PATTERN
        split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
        return pre_tokenizers.Sequence(
            [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
    known = ", ".join(sorted(_GPT2 | _DIGITS_APART | _LLAMA3 | _QWEN2))
    raise TokenizerError(f"pre-tokenizer {kind!r} is not known; known: {known}")
