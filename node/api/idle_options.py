"""Options that change nothing: which values they may have, and why others are refused.

Clients send many fields of OpenAI's API, of vLLM's and of llama.cpp's by themselves. What cannot change a token of the
answer is accepted; an option that would is accepted with the value that asks for nothing, and refused by name otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .problems import ApiProblem

# Option -> values that mean "plain text, as the model says".
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "repeat_penalty": (1,),
    "length_penalty": (1,),
    "use_beam_search": (False,),
    "stop_token_ids": ([],),
    "include_stop_str_in_output": (False,),
    "min_tokens": (0,),
    "ignore_eos": (False,),
    "bad_words": ([],),
    "mirostat": (0,),
    "tfs_z": (1,),
    "xtc_probability": (0,),
    "dry_multiplier": (0,),
    "dynatemp_range": (0,),
    "logit_bias": ({},),
    "top_logprobs": (0,),
    "echo": (False,),
    "suffix": ("",),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "reasoning_effort": ("none",),
    "verbosity": ("medium",),
    "skip_special_tokens": (True,),
    "add_generation_prompt": (True,),
    "detokenize": (True,),
}

_NO_PLACE = (
    "the rule of an answer on chain has no place for it (docs/sampling.md), so nobody could dispute how it was applied; "
    "leave it out: temperature, seed and min_p are offered"
)
_PENALTY = ("presence_penalty", "frequency_penalty", "repetition_penalty", "repeat_penalty", "dry_multiplier")
_WHY = {
    "tools": "the prompt would be another one; describe the tools in a message",
    "response_format": "the text is what the model says; describe the format in a message, and check it on your side",
    "stop_token_ids": "send the token's text in `stop`; the model's own end tokens always end an answer",
    "echo": "the answer is the model's own text; put the prompt before it on your side",
    "suffix": "the model reads what stands before its answer only; put the text into the prompt",
    "logit_bias": _NO_PLACE,
    **dict.fromkeys(_PENALTY, _NO_PLACE),
}

# Options that cannot change an answer, whatever their value: keys of caches, accounts and logs.
_WITHOUT_EFFECT = frozenset(
    {
        "user", "metadata", "store", "service_tier", "prompt_cache_key", "prompt_cache_retention",
        "prompt_cache_options", "safety_identifier", "prediction", "parallel_tool_calls", "cache_salt",
        "priority", "request_id", "cache_prompt", "id_slot",
    }
)  # fmt: skip


def without_idle_options(body: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """`body` without the options that change nothing; `known`: the fields that are read elsewhere.

    Raises ApiProblem (400) naming the first that would change something, or that nobody knows.
    """
    kept = {}
    for name, value in body.items():
        if name in known:
            kept[name] = value
        elif name in _NEUTRAL:
            _require_neutral(name, value)
        elif name not in _WITHOUT_EFFECT and value is not None:
            # Here and not by the schema, which would list every one of 200,000 unknown fields.
            raise ApiProblem(
                400, "invalid_request", f"this provider does not know the field {shown(name)}; leave it out",
                param=name[:80],
            )  # fmt: skip
    return kept


def _require_neutral(name: str, value: Any) -> None:
    if name == "logit_bias" and isinstance(value, dict) and all(_is_zero(bias) for bias in value.values()):
        return
    same = (
        value == neutral and isinstance(value, bool) == isinstance(neutral, bool)
        for neutral in _NEUTRAL[name]
    )
    if value is not None and not any(same):
        raise unsupported(name, value, _WHY.get(name, "this provider does not support it; leave it out"))


def _is_zero(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == 0


def unsupported(name: str, value: Any, why: str) -> ApiProblem:
    """A value that this provider does not take."""
    return ApiProblem(400, "unsupported_value", f"{name} = {shown(value)}: {why}", param=name)


def shown(value: Any) -> str:
    """A foreign value in a message, short."""
    # Never the whole of it: a list of a million entries would take a second to write.
    if isinstance(value, str):
        value = value[:80]
    elif isinstance(value, list | dict):
        return f"a list of {len(value)}" if isinstance(value, list) else f"an object of {len(value)}"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
