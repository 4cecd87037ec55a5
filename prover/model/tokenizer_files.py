"""The tokenizer of a Hugging Face directory: one pipeline out of up to four files, as `transformers` puts it together.

    tokenizer.json            the pipeline; its sections and their arguments must all be known to the library that runs it
    tokenizer_config.json     special tokens by name, and further added tokens
    special_tokens_map.json   the same names in older directories; read where the configuration lists no added tokens
    added_tokens.json         further added tokens, likewise

What the files add is added to the pipeline, which is kept word for word where they add nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as Encoder

from .errors import CheckpointError, TokenizerError
from .model_files import read_json_object, read_text
from .token_models import described_encoder

TOKENIZER = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
SPECIAL = "special_tokens_map.json"
ADDED = "added_tokens.json"
TEMPLATE = "chat_template.jinja"

# The names by which `transformers` knows special tokens.
_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_SECTIONS = frozenset(
    {
        *(
            "version",
            "truncation",
            "padding",
            "added_tokens",
            "normalizer",
            "pre_tokenizer",
            "post_processor",
        ),
        *("decoder", "model"),
    }
)
_CHECKED = ("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder", "model")
# Arguments of older files that the library reads, or that never had an effect.
_FORMER = {"Metaspace": {"add_prefix_space", "str_rep"}}


class TokenizerFiles:
    """What a directory says about its tokenizer."""

    def __init__(self, directory: Path) -> None:
        """Raises CheckpointError and TokenizerError."""
        self.directory = directory
        self.settings = read_json_object(directory / SETTINGS, default={})
        path = directory / TOKENIZER
        if not path.is_file():
            raise TokenizerError(f"{path} is not there; save the model's fast tokenizer beside its weights")
        text = read_text(path)
        stated = read_json_object(path)
        _refuse_unknown_sections(stated)
        encoder = described_encoder(text)
        _refuse_unknown_arguments(stated, json.loads(encoder.to_str()))
        self._former = {} if "added_tokens_decoder" in self.settings else self._former_names()
        self._special = dict(self._named())
        self.named = {name: str(_text(value)) for name, value in self._special.items()}
        self.description = self._completed(text, encoder)
        if self.settings.get("clean_up_tokenization_spaces") is True and self._model_kind() != "BPE":
            raise TokenizerError(
                f"{SETTINGS} cleans up spaces of a {self._model_kind()} tokenizer's texts, which streaming cannot; "
                f"set clean_up_tokenization_spaces to false"
            )

    def token(self, name: str) -> str | None:
        """The special token of a name such as "eos_token", or None."""
        return self.named.get(name)

    def first_token(self) -> int | None:
        """The one token put before every text, or None. Raises TokenizerError for anything else around a text.

        The pipeline's post-processor alone says so: `transformers` reads add_bos_token only where there is no pipeline.
        """
        encoder = described_encoder(self.description)
        added = encoder.encode("", add_special_tokens=True).ids
        with_text = encoder.encode("a", add_special_tokens=True).ids
        bare = encoder.encode("a", add_special_tokens=False).ids
        if len(added) > 1 or with_text != [*added, *bare]:
            raise TokenizerError(
                f"{TOKENIZER} adds tokens {added} around a text; only one in front is supported"
            )
        return added[0] if added else None

    def chat_template(self) -> str | None:
        """The template in its own file, or the one in the settings; of several the one called default."""
        separate = self.directory / TEMPLATE
        if separate.is_file():
            return read_text(separate)
        template = self.settings.get("chat_template")
        if isinstance(template, list):  # several, by name
            named = [
                entry for entry in template if isinstance(entry, dict) and entry.get("name") == "default"
            ]
            template = named[-1].get("template") if named else None
        if template is not None and not isinstance(template, str):
            raise TokenizerError(f"chat_template of {SETTINGS} is not text; save the tokenizer again")
        return template

    def _former_names(self) -> dict[str, Any]:
        return read_json_object(self.directory / SPECIAL, default={})

    def _named(self) -> Iterator[tuple[str, Any]]:
        """Every special token by name; also the model's own ones, such as image_token."""
        stated = {**self.settings, **self._former}
        further = stated.get("extra_special_tokens")
        stated |= further if isinstance(further, dict) else {}
        for name in dict.fromkeys([*_NAMED, *stated]):
            if name.endswith("_token") and _text(stated.get(name)) is not None:
                yield name, stated[name]

    def _completed(self, text: str, encoder: Encoder) -> str:
        """The pipeline with the tokens that the other files add. The library counts their ids on from its own."""
        before = _added(encoder)
        try:
            self._add(encoder)
        except (TypeError, ValueError) as error:
            raise TokenizerError(
                f"a special or added token of {self.directory} cannot be added ({error}); save the tokenizer again"
            ) from error
        return text if _added(encoder) == before else str(encoder.to_str())

    def _add(self, encoder: Encoder) -> None:
        if listed := list(self._added_tokens()):
            encoder.add_tokens(listed)
        known = {token.content for token in encoder.get_added_tokens_decoder().values()}
        special = [*self._special.values(), *self._further()]
        if missing := [token for token in special if _text(token) not in known]:
            encoder.add_tokens([_special_token(token) for token in missing])

    def _added_tokens(self) -> Iterator[AddedToken]:
        """Added tokens that the other files list, in the order of their ids."""
        listed = self.settings.get("added_tokens_decoder")
        if listed is not None:
            if not isinstance(listed, dict) or not all(isinstance(entry, dict) for entry in listed.values()):
                raise TokenizerError(
                    f"added_tokens_decoder of {SETTINGS} is no table of tokens; save it again"
                )
            for _, entry in sorted(listed.items(), key=lambda item: _number(item[0])):
                try:
                    yield AddedToken(**entry)
                except TypeError as error:
                    raise TokenizerError(
                        f"added_tokens_decoder of {SETTINGS} has a token {entry} that is not known ({error})"
                    ) from error
            return
        special = {*self.named.values(), *map(_text, self._further())}
        former = read_json_object(self.directory / ADDED, default={})
        for content, _ in sorted(former.items(), key=lambda item: _number(item[1])):
            yield AddedToken(content, special=content in special, normalized=content not in special)

    def _further(self) -> list[Any]:
        """Special tokens without a name."""
        found: list[Any] = []
        for source in (self.settings, self._former):
            listed = source.get("extra_special_tokens") or source.get("additional_special_tokens") or ()
            if isinstance(listed, list):
                found += [entry for entry in listed if _text(entry) is not None]
        return found

    def _model_kind(self) -> str:
        return str(json.loads(self.description)["model"].get("type", "BPE"))


def _refuse_unknown_sections(stated: Mapping[str, Any]) -> None:
    if unknown := sorted(set(stated) - _SECTIONS):
        raise TokenizerError(
            f"section {unknown[0]!r} of {TOKENIZER} is not known; save the tokenizer with a current library"
        )


def _refuse_unknown_arguments(stated: Mapping[str, Any], understood: Mapping[str, Any]) -> None:
    """Every argument must be one that the library kept when it read the file: it drops others silently."""
    for section in _CHECKED:
        for path in _dropped(stated.get(section), understood.get(section), section):
            raise TokenizerError(
                f"{path} of {TOKENIZER} is not known to its library; update tokenizers, or leave it out"
            )
    dropout = (stated.get("model") or {}).get("dropout")
    if dropout:
        raise TokenizerError(
            f"{TOKENIZER} drops merges at random (dropout {dropout}); set model.dropout to null"
        )


def _dropped(stated: Any, understood: Any, path: str) -> Iterator[str]:
    if isinstance(stated, dict) and isinstance(understood, dict):
        former = _FORMER.get(str(stated.get("type")), set())
        for key, value in stated.items():
            if path == "model" and key in ("vocab", "merges"):
                continue
            if path.endswith("post_processor.special_tokens"):  # by the tokens' own names
                continue
            if key not in understood:
                if key not in former and value is not None:
                    yield f"{path}.{key}"
            else:
                yield from _dropped(value, understood[key], f"{path}.{key}")
    elif isinstance(stated, list) and isinstance(understood, list) and len(stated) == len(understood):
        for one, other in zip(stated, understood, strict=True):
            yield from _dropped(one, other, path)


def _added(encoder: Encoder) -> dict[int, str]:
    return {index: repr(token) for index, token in encoder.get_added_tokens_decoder().items()}


def _text(token: Any) -> str | None:
    """A special token is a text, or an object that holds one."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None


def _special_token(token: Any) -> AddedToken:
    flags = token if isinstance(token, dict) else {}
    names = ("single_word", "lstrip", "rstrip", "normalized")
    return AddedToken(str(_text(token)), special=True, **{n: flags[n] for n in names if n in flags})


def _number(index: Any) -> int:
    try:
        return int(index)
    except (TypeError, ValueError, OverflowError):
        raise CheckpointError(
            f"a file lists an added token under {index!r}, which is no id; save it again"
        ) from None
