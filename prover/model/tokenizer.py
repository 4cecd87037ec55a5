"""A model's tokenizer and chat template, built from what its files carry.

Decoding goes through raw bytes, so that streaming never cuts a UTF-8 character in two and the streamed pieces
concatenate to exactly what `decode` returns.
"""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal

from eth_hash.auto import keccak
from tokenizers import Tokenizer as Encoder

from . import chat_template
from .errors import ChatTemplateError, TokenizerError
from .token_models import (
    CONTROL,
    SPACE,
    UNKNOWN,
    Decoding,
    byte_level_encoder,
    described_decoding,
    described_encoder,
    sentencepiece_encoder,
    token_bytes,
)

# A batch of one text needs no threads of its own, which a process that forks later could not use.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# Tokens that end a turn whatever the metadata says; the same list that llama.cpp treats as end of generation.
_END_TEXTS = frozenset(
    {"<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|end|>", "<|end_of_text|>", "<end_of_turn>", "</s>"}
)

Style = Literal["gpt2", "sentencepiece", "tokenizer.json"]


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
    kind: Style = "gpt2"
    scores: tuple[float, ...] = ()  # sentencepiece
    space_prefix: bool = False  # sentencepiece: text starts with a space of its own
    description: str | None = None  # tokenizer.json
    more_end_ids: tuple[int, ...] = ()
    template_tokens: tuple[
        tuple[str, str], ...
    ] = ()  # name in a template, text; else those of bos_id and eos_id

    def to_json(self) -> dict[str, Any]:
        """Every field that was known from the start, and of the later ones those that say something."""
        later = ("kind", "scores", "space_prefix", "description", "more_end_ids", "template_tokens")
        idle = {f.name for f in fields(self) if f.name in later and getattr(self, f.name) == f.default}
        return {name: value for name, value in asdict(self).items() if name not in idle}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TokenizerSpecification:
        lists = ("tokens", "token_types", "merges", "scores", "more_end_ids")
        named = tuple((name, text) for name, text in data.get("template_tokens", ()))
        return cls(
            **(data | {key: tuple(data[key]) for key in lists if key in data} | {"template_tokens": named})
        )


class Tokenizer:
    """Text to ids and back. Immutable and safe to share between threads."""

    def __init__(self, specification: TokenizerSpecification) -> None:
        """Raises TokenizerError when the parts do not fit together."""
        _validate(specification)
        self.specification = specification
        if (
            specification.kind != "sentencepiece"
        ):  # ranking 500,000 merges takes seconds: done when text arrives
            _ = self._encoder
        self.decoding = _decoding(specification)
        self._bytes = token_bytes(
            specification.tokens,
            specification.token_types,
            self.decoding.style,
            described=specification.description is not None,
        )
        types = enumerate(specification.token_types)
        self._special = frozenset(index for index, kind in types if kind in (CONTROL, UNKNOWN))

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
        """Control tokens and the unknown one: recognised in text as a whole, invisible in decoded text."""
        return self._special

    @cached_property
    def _encoder(self) -> Encoder:
        return _build_encoder(self.specification)

    @cached_property
    def end_ids(self) -> tuple[int, ...]:
        """Sorted ids after which generation stops."""
        types, tokens = self.specification.token_types, self.specification.tokens
        named = {index for index in self._special if types[index] == CONTROL and tokens[index] in _END_TEXTS}
        declared = (
            self.specification.eos_id,
            self.specification.end_of_turn_id,
            *self.specification.more_end_ids,
        )
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
        ids = self._bare_ids(text)
        return [self.bos_id, *ids] if self.specification.add_bos and self.bos_id is not None else ids

    def _bare_ids(self, text: str) -> list[int]:
        try:
            # As a batch, because only then do other threads run meanwhile: two megabytes of digits take three seconds.
            ids: list[int] = self._encoder.encode_batch_fast([text], add_special_tokens=False)[0].ids
        except Exception as error:  # lone surrogates and the like come back as untyped errors
            raise TokenizerError(f"text cannot be encoded ({error}); send valid Unicode") from error
        return ids

    def encode_chat(
        self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = True
    ) -> list[int]:
        """Ids of a conversation rendered by the model's chat template. Raises ChatTemplateError.

        A tokenizer.json puts no first token before a rendered conversation, as in `transformers`, where the template
        writes it. A GGUF file does, as in llama.cpp, unless the template wrote it.
        """
        text = self.render_chat(messages, add_generation_prompt=add_generation_prompt)
        if self.specification.kind == "tokenizer.json":
            return self._bare_ids(text)
        ids = self.encode(text)
        return ids[1:] if self.specification.add_bos and ids[:2] == [self.bos_id] * 2 else ids

    def render_chat(
        self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = True
    ) -> str:
        """The text of a conversation: a list of {"role": str, "content": str}."""
        if not messages:
            raise ChatTemplateError("the conversation is empty; send at least one message")
        for index, message in enumerate(messages):
            if not isinstance(message.get("role"), str) or not isinstance(message.get("content"), str):
                raise ChatTemplateError(f"message {index} needs a role and a content, both text")
        template = self.specification.chat_template
        if template is None:
            raise ChatTemplateError("this model has no chat template; use plain completions instead")
        return chat_template.render(
            template,
            {
                **self.template_tokens,
                "messages": [dict(message) for message in messages],
                "add_generation_prompt": add_generation_prompt,
                "tools": None,
                "documents": None,
            },
        )

    @property
    def template_tokens(self) -> dict[str, str]:
        """The special tokens that a chat template knows by name; one that the tokenizer lacks is undefined there."""
        if self.specification.template_tokens:
            return dict(self.specification.template_tokens)
        ids = {"bos_token": self.bos_id, "eos_token": self.eos_id}
        return {name: self.specification.tokens[index] for name, index in ids.items() if index is not None}

    def decode(self, ids: Iterable[int], *, skip_special: bool = True, continuation: bool = False) -> str:
        """Text of `ids`; bytes that are not UTF-8 become U+FFFD. Raises TokenizerError for unknown ids.

        continuation: `ids` go on from others, so that a space at their start is part of the text.
        """
        decoder = self.stream(skip_special=skip_special, continuation=continuation)
        return "".join([*map(decoder.push, ids), decoder.flush()])

    def stream(self, *, skip_special: bool = True, continuation: bool = False) -> StreamingDecoder:
        """A decoder to push ids into one by one."""
        return StreamingDecoder(self, skip_special, continuation)

    def token_bytes(self, index: int, *, skip_special: bool = True) -> bytes:
        if not 0 <= index < len(self._bytes):
            raise TokenizerError(f"token id {index} is outside the vocabulary of {len(self._bytes)}")
        return b"" if skip_special and index in self._special else self._bytes[index]


def usable_chat(specification: TokenizerSpecification) -> tuple[Tokenizer, tuple[str, ...]]:
    """The tokenizer, without a chat template that cannot render one question; and a note that says so.

    A model is worth serving without its chats, and a template that never renders would fail with every request.
    """
    tokenizer = Tokenizer(specification)
    if specification.chat_template is None:
        return tokenizer, ()
    try:
        tokenizer.encode_chat([{"role": "user", "content": "Hello"}])
    except TokenizerError as error:
        without = replace(specification, chat_template=None)
        return Tokenizer(without), (f"the model has no chat, only completions: {error}",)
    return tokenizer, ()


class StreamingDecoder:
    """Turns ids into text as they arrive, holding back the bytes of an unfinished UTF-8 character."""

    def __init__(self, tokenizer: Tokenizer, skip_special: bool, continuation: bool) -> None:
        self._tokenizer, self._skip_special = tokenizer, skip_special
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        decoding = tokenizer.decoding
        self._spaces = 0 if continuation else decoding.leading_spaces
        self._first_mark = decoding.first_mark and not continuation

    def push(self, index: int) -> str:
        """Text that is complete after this id; may be empty."""
        content = self._tokenizer.token_bytes(index, skip_special=self._skip_special)
        if self._first_mark and not (self._skip_special and index in self._tokenizer.special_ids):
            self._first_mark = False
            if SPACE in (token := self._tokenizer.specification.tokens[index]):
                content = token.replace(SPACE, "").encode("utf-8")
        while self._spaces and content:
            if not content.startswith(b" "):
                self._spaces = 0
                break
            content, self._spaces = content[1:], self._spaces - 1
        return self._decoder.decode(content)

    def flush(self) -> str:
        """What is left at the end: U+FFFD if a character was never finished, else nothing."""
        return self._decoder.decode(b"", final=True)


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
    if specification.kind == "sentencepiece" and len(specification.scores) != count:
        raise TokenizerError(
            f"{len(specification.scores)} scores for {count} tokens; convert the model again"
        )
    ids = {name: getattr(specification, name) for name in ("bos_id", "eos_id", "end_of_turn_id")}
    ids |= {f"end token {index!r}": index for index in specification.more_end_ids}
    for field, index in ids.items():
        if index is not None and not (isinstance(index, int) and 0 <= index < count):
            raise TokenizerError(f"{field} {index!r} is outside the vocabulary of {count}")
    if specification.chat_template is not None and not isinstance(specification.chat_template, str):
        raise TokenizerError("the chat template is not text; convert the model again")


def _build_encoder(specification: TokenizerSpecification) -> Encoder:
    tokens, types = specification.tokens, specification.token_types
    if specification.kind == "gpt2":
        return byte_level_encoder(tokens, types, specification.merges, specification.pre_tokenizer)
    if specification.kind == "sentencepiece":
        return sentencepiece_encoder(
            tokens, types, specification.scores, space_prefix=specification.space_prefix
        )
    if specification.kind == "tokenizer.json" and specification.description is not None:
        return described_encoder(specification.description)
    raise TokenizerError(f"a tokenizer of kind {specification.kind!r} is not read; import the model again")


def _decoding(specification: TokenizerSpecification) -> Decoding:
    """How tokens are written, and what the start of a whole text loses."""
    if specification.description is not None:
        return described_decoding(specification.description)
    return Decoding(specification.kind, leading_spaces=int(specification.space_prefix))
