"""The tokenizer in a GGUF file's metadata, as llama.cpp reads it.

Every key under `tokenizer.` must be one that is read or known to change nothing: one that is not understood could
change ids or text. Defaults of absent keys are llama.cpp's.
"""

from __future__ import annotations

from typing import Any

from .errors import Finding, GgufError, TokenizerError, UnsupportedModelError
from .facts import refuse_unless
from .gguf_file import GgufFile
from .token_models import CONTROL, NORMAL, UNUSED, adds_first_token
from .tokenizer import TokenizerSpecification

_READ = frozenset(
    {
        *("model", "pre", "tokens", "token_type", "scores", "merges", "bos_token_id", "eos_token_id"),
        *("eot_token_id", "eom_token_id", "add_bos_token", "add_eos_token", "add_space_prefix"),
    }
)
# Ids that name tokens for other uses, and descriptions of the same tokenizer that llama.cpp does not read.
_IDLE = frozenset(
    {
        *(
            "unknown_token_id",
            "padding_token_id",
            "seperator_token_id",
            "separator_token_id",
            "mask_token_id",
        ),
        *("cls_token_id", "token_type_count", "prefix_token_id", "suffix_token_id", "middle_token_id"),
        *(f"fim_{part}_token_id" for part in ("pre", "suf", "mid", "pad", "rep", "sep")),
    }
)
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "add_eos_token": (False,),
    "add_sep_token": (False,),
    "precompiled_charsmap": ([],),
    "remove_extra_whitespaces": (False,),
}

# Texts that llama.cpp takes as the end of an answer, whatever type a file gives the token; it makes them control tokens.
# `</s>` is not among them: a byte-level vocabulary may have it as an ordinary piece of HTML.
_END_TEXTS = frozenset(
    {
        *(
            "<|eot_id|>",
            "<|im_end|>",
            "<|end|>",
            "<end_of_turn>",
            "<|endoftext|>",
            "<|eom_id|>",
            "<EOT>",
            "_<EOT>",
        ),
        *("<|end_of_text|>", "<end_of_utterance>"),
    }
)


def gguf_tokenizer(file: GgufFile) -> TokenizerSpecification:
    """The tokenizer that a file carries. Raises UnsupportedModelError, MissingMetadataError and TokenizerError."""
    kind = file.required("tokenizer.ggml.model", str)
    refuse_unless(
        kind in ("gpt2", "llama"),
        "option",
        f"tokenizer model {kind!r}",
        "byte-level BPE ('gpt2') or SentencePiece BPE ('llama')",
    )
    _refuse_unknown(file)
    tokens = tuple(file.required("tokenizer.ggml.tokens", list))
    stated = tuple(file.metadata.get("tokenizer.ggml.token_type", [NORMAL] * len(tokens)))
    ends = {
        index
        for index, (token, kind_of_token) in enumerate(zip(tokens, stated, strict=False))
        if token in _END_TEXTS and kind_of_token != UNUSED
    }
    types = tuple(CONTROL if index in ends else kind_of_token for index, kind_of_token in enumerate(stated))
    # llama.cpp's ids for a SentencePiece file that names none.
    first, last = (1, 2) if kind == "llama" and len(tokens) > 2 else (None, None)
    bos, eos = _id(file, "bos_token_id", first), _id(file, "eos_token_id", last)
    turn, message = _id(file, "eot_token_id", None), _id(file, "eom_token_id", None)
    named = {
        index for index in ends if tokens[index] in ("<|eom_id|>", "<EOT>", "_<EOT>", "<end_of_utterance>")
    }
    further = named | ({message} if message is not None else set())
    common: dict[str, Any] = {
        "tokens": tokens,
        "token_types": types,
        "bos_id": bos,
        "eos_id": eos,
        "end_of_turn_id": turn,
        "chat_template": file.metadata.get("tokenizer.chat_template"),
        "more_end_ids": tuple(sorted(further - {eos, turn})),
    }
    if kind == "gpt2":
        pre_tokenizer = _flag_or_text(file, "pre", str, "default")
        add_bos = _flag_or_text(file, "add_bos_token", bool, adds_first_token(pre_tokenizer))
        if add_bos and bos is None:
            raise TokenizerError(
                "the file puts a first token before texts but names none; set bos_token_id in it"
            )
        return TokenizerSpecification(
            **common,
            merges=tuple(file.required("tokenizer.ggml.merges", list)),
            pre_tokenizer=pre_tokenizer,
            add_bos=add_bos,
        )
    return TokenizerSpecification(
        **common,
        merges=(),
        kind="sentencepiece",
        scores=tuple(file.required("tokenizer.ggml.scores", list)),
        space_prefix=_flag_or_text(file, "add_space_prefix", bool, True),
        add_bos=_flag_or_text(file, "add_bos_token", bool, True),
    )


def _refuse_unknown(file: GgufFile) -> None:
    findings = []
    for key, value in sorted(file.metadata.items()):
        if not key.startswith("tokenizer."):
            continue
        if key.startswith("tokenizer.chat_template") or key == "tokenizer.huggingface.json":
            continue  # further templates by name; llama.cpp reads the default one, and no tokenizer.json
        name = key.removeprefix("tokenizer.ggml.")
        known = name in _READ | _IDLE if name not in _NEUTRAL else value in _NEUTRAL[name]
        if not known:
            shown = repr(value) if not isinstance(value, list) else f"a list of {len(value)}"
            findings.append(Finding("option", f"{key} = {shown}", "a tokenizer without it"))
    if findings:
        raise UnsupportedModelError(findings)


def _id(file: GgufFile, name: str, default: int | None) -> int | None:
    value = file.metadata.get(f"tokenizer.ggml.{name}", default)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise GgufError(f"GGUF metadata tokenizer.ggml.{name} is {value!r}; it must be a token id")
    return value


def _flag_or_text(file: GgufFile, name: str, kind: type, default: Any) -> Any:
    value = file.metadata.get(f"tokenizer.ggml.{name}", default)
    if not isinstance(value, kind):
        raise GgufError(
            f"GGUF metadata tokenizer.ggml.{name} is {value!r}; it must be of type {kind.__name__}"
        )
    return value
