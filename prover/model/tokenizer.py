"""Byte-level BPE tokenizer and chat template, built from what a GGUF file carries.

Decoding goes through raw bytes, so that streaming never cuts a UTF-8 character in two and the streamed pieces
concatenate to exactly what `decode` returns.
"""

from __future__ import annotations

import codecs
import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NoReturn

from eth_hash.auto import keccak
from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as BytePairTokenizer

from .errors import ChatTemplateError, TokenizerError

# Token types of GGUF (llama.cpp's llama_token_type).
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

# Tokens that end a turn whatever the metadata says; the same list that llama.cpp treats as end of generation.
_END_TEXTS = frozenset({"<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|end|>", "<|end_of_text|>", "</s>"})

_LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class TokenizerSpecification:
    """Everything that decides how text becomes ids and ids become text."""

    tokens: tuple[str, ...]
    token_types: tuple[int, ...]
    merges: tuple[str, ...]
    pre_tokenizer: str = "default"
    bos_id: int | None = None
    eos_id: int | None = None
    end_of_turn_id: int | None = None
    add_bos: bool = False
    chat_template: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TokenizerSpecification:
        lists = {key: tuple(data[key]) for key in ("tokens", "token_types", "merges")}
        return cls(**(data | lists))


class Tokenizer:
    """Text to ids and back. Immutable and safe to share between threads."""

    def __init__(self, specification: TokenizerSpecification) -> None:
        """Raises TokenizerError when the parts do not fit together."""
        _validate(specification)
        self.specification = specification
        self._encoder = _build_encoder(specification)
        self._bytes = _token_bytes(specification)
        self._special = frozenset(i for i, kind in enumerate(specification.token_types) if kind == CONTROL)

    def __len__(self) -> int:
        return len(self.specification.tokens)

    @property
    def bos_id(self) -> int | None:
        return self.specification.bos_id

    @property
    def eos_id(self) -> int | None:
        return self.specification.eos_id

    @property
    def special_ids(self) -> frozenset[int]:
        """Control tokens: recognised in text as a whole, invisible in decoded text."""
        return self._special

    @cached_property
    def end_ids(self) -> tuple[int, ...]:
        """Sorted ids after which generation stops."""
        named = {index for index in self._special if self.specification.tokens[index] in _END_TEXTS}
        declared = (self.specification.eos_id, self.specification.end_of_turn_id)
        return tuple(sorted(named | {index for index in declared if index is not None}))

    @cached_property
    def digest(self) -> bytes:
        """Keccak-256 of the canonical JSON of the specification and of the end tokens."""
        content = {**self.specification.to_json(), "end_ids": self.end_ids}
        return keccak(
            json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")
        )

    def encode(self, text: str) -> list[int]:
        """Ids of `text`. Control tokens written out in the text become their ids, as in other servers.

        Bytes without a token are left out, as the model's own tokenizer does: SmolLM2 has none for six ASCII
        control characters and for characters from U+40000 to U+BFFFF, which Unicode has not assigned.
        """
        try:
            ids = self._encoder.encode(text, add_special_tokens=False).ids
        except Exception as error:  # lone surrogates and the like come back as untyped errors
            raise TokenizerError(f"text cannot be encoded ({error}); send valid Unicode") from error
        if self.specification.add_bos and self.bos_id is not None:
            return [self.bos_id, *ids]
        return ids

    def encode_chat(
        self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = True
    ) -> list[int]:
        """Ids of a conversation rendered by the model's chat template. Raises ChatTemplateError."""
        return self.encode(self.render_chat(messages, add_generation_prompt=add_generation_prompt))

    def render_chat(
        self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = True
    ) -> str:
        """The text of a conversation: a list of {"role": str, "content": str}."""
        if not messages:
            raise ChatTemplateError("the conversation is empty; send at least one message")
        for index, message in enumerate(messages):
            if not isinstance(message.get("role"), str) or not isinstance(message.get("content"), str):
                raise ChatTemplateError(f"message {index} needs a role and a content, both text")
        try:
            return self._template.render(
                messages=[dict(message) for message in messages],
                add_generation_prompt=add_generation_prompt,
                bos_token=self._text_of(self.bos_id),
                eos_token=self._text_of(self.eos_id),
            )
        except TemplateError as error:
            raise ChatTemplateError(
                f"the model's chat template rejects this conversation: {error}"
            ) from error
        except (TypeError, ValueError, KeyError, ArithmeticError) as error:
            raise ChatTemplateError(f"the model's chat template failed: {error}") from error

    def decode(self, ids: Iterable[int], *, skip_special: bool = True) -> str:
        """Text of `ids`; bytes that are not UTF-8 become U+FFFD. Raises TokenizerError for unknown ids."""
        return b"".join(self.token_bytes(index, skip_special=skip_special) for index in ids).decode(
            "utf-8", "replace"
        )

    def stream(self, *, skip_special: bool = True) -> StreamingDecoder:
        """A decoder to push ids into one by one."""
        return StreamingDecoder(self, skip_special)

    def token_bytes(self, index: int, *, skip_special: bool = True) -> bytes:
        if not 0 <= index < len(self._bytes):
            raise TokenizerError(f"token id {index} is outside the vocabulary of {len(self._bytes)}")
        return b"" if skip_special and index in self._special else self._bytes[index]

    def _text_of(self, index: int | None) -> str:
        return "" if index is None else self.specification.tokens[index]

    @cached_property
    def _template(self) -> Any:
        if self.specification.chat_template is None:
            raise ChatTemplateError("this model has no chat template; use plain completions instead")
        # trim_blocks, lstrip_blocks, the two functions and plain tojson are what templates are written against.
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = lambda pattern: datetime.datetime.now().strftime(pattern)
        try:
            return environment.from_string(self.specification.chat_template)
        except TemplateError as error:
            raise ChatTemplateError(f"the model's chat template does not parse: {error}") from error


class StreamingDecoder:
    """Turns ids into text as they arrive, holding back the bytes of an unfinished UTF-8 character."""

    def __init__(self, tokenizer: Tokenizer, skip_special: bool) -> None:
        self._tokenizer, self._skip_special = tokenizer, skip_special
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, index: int) -> str:
        """Text that is complete after this id; may be empty."""
        return self._decoder.decode(self._tokenizer.token_bytes(index, skip_special=self._skip_special))

    def flush(self) -> str:
        """What is left at the end: U+FFFD if a character was never finished, else nothing."""
        return self._decoder.decode(b"", final=True)


def byte_alphabet() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = {byte: chr(byte) for byte in printable}
    others = [byte for byte in range(256) if byte not in alphabet]
    return alphabet | {byte: chr(0x100 + offset) for offset, byte in enumerate(others)}


def _validate(specification: TokenizerSpecification) -> None:
    tokens, count = specification.tokens, len(specification.tokens)
    if not tokens or not all(isinstance(token, str) for token in tokens):
        raise TokenizerError("the tokenizer's tokens are not a list of texts; convert the model again")
    if len(set(tokens)) != count:
        raise TokenizerError("the tokenizer lists a token twice; convert the model again")
    if len(specification.token_types) != count:
        raise TokenizerError(
            f"{len(specification.token_types)} token types for {count} tokens; convert again"
        )
    for field in ("bos_id", "eos_id", "end_of_turn_id"):
        index = getattr(specification, field)
        if index is not None and not (isinstance(index, int) and 0 <= index < count):
            raise TokenizerError(f"{field} {index!r} is outside the vocabulary of {count}")
    if specification.chat_template is not None and not isinstance(specification.chat_template, str):
        raise TokenizerError("the chat template is not text; convert the model again")


def _build_encoder(specification: TokenizerSpecification) -> BytePairTokenizer:
    vocabulary = {token: index for index, token in enumerate(specification.tokens)}
    pairs = []
    for merge in specification.merges:
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
    encoder = BytePairTokenizer(models.BPE(vocab=vocabulary, merges=pairs, unk_token=_unknown(specification)))
    encoder.pre_tokenizer = _pre_tokenizer(specification.pre_tokenizer)
    encoder.decoder = decoders.ByteLevel()
    kinds = specification.token_types
    encoder.add_special_tokens(
        [
            AddedToken(t, special=True, normalized=False)
            for t, k in zip(specification.tokens, kinds, strict=True)
            if k == CONTROL
        ]
    )
    encoder.add_tokens(
        [
            AddedToken(t, normalized=False)
            for t, k in zip(specification.tokens, kinds, strict=True)
            if k == USER_DEFINED
        ]
    )
    return encoder


def _unknown(specification: TokenizerSpecification) -> str | None:
    unknown = [
        t for t, kind in zip(specification.tokens, specification.token_types, strict=True) if kind == UNKNOWN
    ]
    return unknown[0] if unknown else None


def _pre_tokenizer(kind: str) -> pre_tokenizers.PreTokenizer:
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if kind in ("default", "gpt-2", "gpt2"):
        return byte_level
    if kind in ("smollm", "starcoder", "refact", "command-r"):
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    if kind in ("llama3", "llama-bpe", "llama-v3"):
        split = pre_tokenizers.Split(Regex(_LLAMA3_PATTERN), behavior="isolated")
        return pre_tokenizers.Sequence(
            [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
    raise TokenizerError(
        f"pre-tokenizer {kind!r} is not known; known: default, gpt-2, smollm, starcoder, llama-bpe"
    )


def _token_bytes(specification: TokenizerSpecification) -> list[bytes]:
    """The bytes each token stands for. Control and user-defined tokens are literal text."""
    to_byte = {symbol: byte for byte, symbol in byte_alphabet().items()}
    table = []
    for token, kind in zip(specification.tokens, specification.token_types, strict=True):
        if kind in (CONTROL, USER_DEFINED) or any(symbol not in to_byte for symbol in token):
            table.append(token.encode("utf-8"))
        else:
            table.append(bytes(to_byte[symbol] for symbol in token))
    return table


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
