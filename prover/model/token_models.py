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
from dataclasses import dataclass
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

# llama.cpp's for files that name no pre-tokenizer, one after the other: punctuation, GPT-2's words, digits by threes.
_DEFAULT_PATTERNS = (
    r"[\p{P}\$\+<=>\^~\|]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"\p{N}+",
    r"[0-9][0-9][0-9]",
)

_DEFAULT = "default"
_GPT2 = frozenset({"gpt-2", "gpt2"})
_DIGITS_APART = frozenset({"smollm", "starcoder", "refact", "command-r"})
_LLAMA3 = frozenset({"llama3", "llama-bpe", "llama-v3"})
_QWEN2 = frozenset({"qwen2", "deepseek-r1-qwen"})


@dataclass(frozen=True)
class Decoding:
    """How ids become text: what a token stands for, and what the start of a whole text loses."""

    style: str  # "gpt2" or "sentencepiece"
    leading_spaces: int = 0  # taken off the text
    first_mark: bool = False  # every "▁" of the first token is taken off, instead of being a space


def adds_first_token(pre_tokenizer: str) -> bool:
    """Whether llama.cpp puts a first token before texts when a byte-level file does not say."""
    return pre_tokenizer in _LLAMA3


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
    """The pipeline of a tokenizer.json, which cuts and fills no text. Raises TokenizerError."""
    _facts(description)  # its nesting is bounded before the library recurses into it
    try:
        encoder = Encoder.from_str(description)
    except Exception as error:  # the library raises untyped errors
        raise TokenizerError(
            f"tokenizer.json cannot be read ({error}); save it again with its library"
        ) from error
    # Both sections are of training batches: `transformers` applies neither to a prompt.
    encoder.no_truncation()
    encoder.no_padding()
    return encoder


def described_tokens(description: str, vocabulary: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Tokens of a tokenizer.json by the ids in use, with their types; ids below `vocabulary` without one are unused.

    An added token states an id of its own, but the library counts on from the vocabulary: a hole shifts it.
    Raises TokenizerError when it has more tokens than the model.
    """
    encoder = described_encoder(description)
    by_id = {index: token for token, index in encoder.get_vocab(with_added_tokens=True).items()}
    if by_id and (last := max(by_id)) >= vocabulary:
        raise TokenizerError(
            f"the tokenizer has ids up to {last} (token {by_id[last]!r}) but the model only {vocabulary} tokens; "
            f"use the model's own"
        )
    types = {index: NORMAL for index in by_id}
    if described_decoding(description).style == "sentencepiece":
        types |= {index: BYTE for index, token in by_id.items() if _BYTE_TOKEN.fullmatch(token)}
    for index, added in encoder.get_added_tokens_decoder().items():
        types[index] = CONTROL if added.special else USER_DEFINED
    tokens = tuple(by_id.get(index, f"<no token {index}>") for index in range(vocabulary))
    return tokens, tuple(types.get(index, UNUSED) for index in range(vocabulary))


def described_decoding(description: str) -> Decoding:
    """How the decoder of a tokenizer.json turns tokens into text.

    Raises TokenizerError for any step or argument that is not known, since streaming needs the bytes of each token.
    """
    decoder = _facts(description).get("decoder")
    steps = decoder.get("decoders") if _kind(decoder) == "Sequence" else [decoder]
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise _unknown_decoder([decoder], "no decoder")
    kinds = [_kind(step) for step in steps]
    if kinds == ["ByteLevel"]:
        _refuse_arguments(steps[0], {"add_prefix_space", "trim_offsets", "use_regex"})
        return Decoding("gpt2")
    if "ByteFallback" not in kinds or len(set(kinds)) != len(kinds):
        raise _unknown_decoder(steps, "an order of steps that is not known")
    marks = [kind for kind in kinds if kind in ("Replace", "Metaspace")]
    if len(marks) != 1:
        raise _unknown_decoder(steps, 'no single step that turns "▁" into a space')
    leading, first_mark = 0, False
    for at, step in enumerate(steps):
        match kinds[at]:
            case "Replace":
                _refuse_arguments(step, {"pattern", "content"})
                if step.get("pattern") != {"String": SPACE} or step.get("content") != " ":
                    raise _unknown_decoder(
                        steps, f"Replace of {step.get('pattern')} by {step.get('content')!r}"
                    )
            case "Metaspace":
                _refuse_arguments(
                    step, {"replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep"}
                )
                scheme = step.get(
                    "prepend_scheme", "always" if step.get("add_prefix_space", True) else "never"
                )
                if step.get("replacement") != SPACE or scheme not in ("always", "first", "never"):
                    raise _unknown_decoder(
                        steps, f"Metaspace with {step.get('replacement')!r} and {scheme!r}"
                    )
                if "Fuse" in kinds[:at]:
                    raise _unknown_decoder(steps, "Metaspace behind Fuse")
                first_mark = scheme != "never"
            case "Strip":
                _refuse_arguments(step, {"content", "start", "stop"})
                leading = step.get("start", 0)
                if step.get("content") != " " or step.get("stop", 0) != 0 or not isinstance(leading, int):
                    raise _unknown_decoder(steps, f"Strip with {step}")
                if "Fuse" not in kinds[:at]:
                    raise _unknown_decoder(steps, "Strip before Fuse")
            case "ByteFallback" | "Fuse":
                _refuse_arguments(step, set())
            case kind:
                raise _unknown_decoder(steps, f"the step {kind}")
    return Decoding("sentencepiece", leading, first_mark)


def token_bytes(tokens: Sequence[str], types: Sequence[int], style: str, *, described: bool) -> list[bytes]:
    """The bytes each token stands for.

    described: by a tokenizer.json, whose library decodes added tokens as all others; in a GGUF those of a byte-level
    vocabulary are literal text, and a SentencePiece piece writes "▁" for a space even where it is user-defined.
    """
    to_byte = {symbol: byte for byte, symbol in byte_alphabet().items()}
    table = []
    for token, kind in zip(tokens, types, strict=True):
        if kind == UNUSED:
            table.append(b"")
        elif style == "sentencepiece":
            found = _BYTE_TOKEN.fullmatch(token) if kind == BYTE or described else None
            plain = token if kind in (CONTROL, UNKNOWN) and not described else token.replace(SPACE, " ")
            table.append(bytes([int(found[1], 16)]) if found else plain.encode("utf-8"))
        elif (kind in (CONTROL, USER_DEFINED) and not described) or any(
            symbol not in to_byte for symbol in token
        ):
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


def _kind(step: Any) -> str:
    return str(step.get("type")) if isinstance(step, dict) else "none"


def _refuse_arguments(step: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(step) - known - {"type"}):
        raise _unknown_decoder([step], f"argument {unknown[0]!r} of {_kind(step)}")


def _unknown_decoder(steps: Sequence[Any], reason: str) -> TokenizerError:
    return TokenizerError(
        f"decoder {'+'.join(map(_kind, steps))} of tokenizer.json is not supported ({reason}); byte-level and "
        f"byte-fallback decoders are, since streaming needs the bytes of each token"
    )


def _add_tokens(encoder: Encoder, tokens: Sequence[str], types: Sequence[int], *, normalized: bool) -> None:
    """Tokens that are found in text as a whole, before any merging."""
    kinds = list(zip(tokens, types, strict=True))
    encoder.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t, k in kinds if k in (CONTROL, UNKNOWN)]
    )
    encoder.add_tokens([AddedToken(t, normalized=normalized) for t, k in kinds if k == USER_DEFINED])


def _unknown(tokens: Sequence[str], types: Sequence[int]) -> str | None:
    unknown = [token for token, kind in zip(tokens, types, strict=True) if kind == UNKNOWN]
    return unknown[0] if unknown else None


def _pre_tokenizer(kind: str) -> pre_tokenizers.PreTokenizer:
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    bytes_alone = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    if kind == _DEFAULT:
        splits = [pre_tokenizers.Split(Regex(pattern), behavior="isolated") for pattern in _DEFAULT_PATTERNS]
        return pre_tokenizers.Sequence([*splits, bytes_alone])
    if kind in _GPT2:
        return byte_level
    if kind in _DIGITS_APART:
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    if kind in _LLAMA3 | _QWEN2:
        pattern = _LLAMA3_PATTERN if kind in _LLAMA3 else _QWEN2_PATTERN
        split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
        return pre_tokenizers.Sequence([split, bytes_alone])
    known = ", ".join(sorted({_DEFAULT} | _GPT2 | _DIGITS_APART | _LLAMA3 | _QWEN2))
    raise TokenizerError(f"pre-tokenizer {kind!r} is not known; known: {known}")
