"""What a completion request may say.

An answer is greedy, or sampled by a rule that comparing two tokens can decide (docs/sampling.md): `temperature`, `seed` and
`min_p`. An option that would change the choice of tokens in another way is refused by name unless it has a neutral value:
`top_p` and `top_k` ask which tokens are the most likely ones, which no comparison of two shows. Whatever cannot change a
greedy answer is accepted with one (which tokens may be drawn does not matter to the largest logit), and null always means
absent. `stop` is refused: the committed output is the raw output up to an end token or `max_tokens`.
"""

from __future__ import annotations

import secrets
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, model_validator

from prover.sampling import MOST_TEMPERATURE, SEED_BITS, UNIT, Sampling

from .problems import ApiProblem

Count = Annotated[StrictInt, Field(ge=1, le=2**31)]
Number = StrictInt | StrictFloat
Share = Annotated[Number, Field(ge=0, le=1)]
_TOKEN_IDS = 2**32

# Option -> values that mean "one answer, plain text, as the model says".
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "length_penalty": (1,),
    "use_beam_search": (False,),
    "stop": ([], ""),
    "stop_token_ids": ([],),
    "min_tokens": (0,),
    "ignore_eos": (False,),
    "logit_bias": ({},),
    "logprobs": (False,),
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
}

# What narrows the choice when tokens are drawn -> its values that do not.
_NARROWING = {"top_p": (1,), "top_k": (-1, 0), "typical_p": (1,)}
_WHY_NARROWING = (
    "which tokens are the most likely ones cannot be shown by comparing two, so nobody could dispute it; "
    "leave it out: temperature, seed and min_p are offered"
)

_WHY = {
    "n": "an answer is the same every time; send one request for each, with a temperature and a seed of its own",
    "stop": "the committed output is the whole output; cut it on your side",
    "tools": "the prompt would be another one; describe the tools in a message",
}

# Options that cannot change a greedy answer, whatever their value: keys of caches, accounts and logs.
_WITHOUT_EFFECT = frozenset(
    {
        "user", "metadata", "store", "service_tier", "prompt_cache_key", "prompt_cache_retention",
        "prompt_cache_options", "safety_identifier", "prediction", "parallel_tool_calls", "cache_salt",
        "priority", "request_id",
    }
)  # fmt: skip


class _Request(BaseModel):
    """Null means absent, always."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, body: Any) -> Any:
        return {k: v for k, v in body.items() if v is not None} if isinstance(body, dict) else body


class StreamOptions(_Request):
    """Whether the stream ends with a chunk that holds the token counts."""

    model_config = ConfigDict(extra="ignore")

    include_usage: StrictBool = False


class _Completion(_Request):
    model: str
    max_tokens: Count | None = None
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None
    temperature: Number | None = None
    # Which of the less likely tokens may be drawn: nothing to a greedy answer, but numbers all the same.
    seed: StrictInt | None = None
    top_p: Share | None = None
    min_p: Share | None = None
    typical_p: Share | None = None
    top_k: Annotated[StrictInt, Field(ge=-1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_idle_options(cls, body: Any) -> Any:
        """Takes the options out that change nothing; raises ApiProblem (400) naming the first that would."""
        if not isinstance(body, dict):
            return body
        kept = {}
        for name, value in body.items():
            if name in _NEUTRAL:
                _require_neutral(name, value)
            elif name in cls.model_fields:
                kept[name] = value
            elif name not in _WITHOUT_EFFECT and value is not None:
                # Here and not by the schema, which would list every one of 200,000 unknown fields.
                message = f"this provider does not know the field {name!r}; leave it out"
                raise ApiProblem(400, "invalid_request", message, param=name)
        return kept

    @property
    def sampling(self) -> Sampling | None:
        """The rule; None for greedy, which is what no temperature means. A seed that is not given is drawn.

        Temperature and min_p are the nearest thousandth of what was sent. Raises ApiProblem (400) naming the field.
        """
        temperature = _thousandths("temperature", self.temperature or 0, MOST_TEMPERATURE)
        min_p = _thousandths("min_p", self.min_p or 0, UNIT)
        if temperature == 0:
            return None
        for name, neutral in _NARROWING.items():
            value = getattr(self, name)
            if value is not None and value not in neutral:
                raise _unsupported(name, value, _WHY_NARROWING)
        seed = secrets.randbits(SEED_BITS) if self.seed is None else self.seed
        if not 0 <= seed < 1 << SEED_BITS:
            raise _unsupported("seed", seed, f"send a whole number from 0 to 2^{SEED_BITS} - 1, or none")
        return Sampling(temperature, seed, min_p)

    @property
    def wants_stream(self) -> bool:
        return bool(self.stream)

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


def _require_neutral(name: str, value: Any) -> None:
    same = (
        value == neutral and isinstance(value, bool) == isinstance(neutral, bool)
        for neutral in _NEUTRAL[name]
    )
    if value is not None and not any(same):
        why = _WHY.get(name, "this provider does not support it; leave it out")
        raise _unsupported(name, value, why)


def _thousandths(name: str, value: float, most: int) -> int:
    """The nearest multiple of 1/1000, ties to even. Raises ApiProblem (400)."""
    if not 0 <= value <= most / UNIT:  # not a number is neither
        raise _unsupported(name, value, f"send a number from 0 to {most // UNIT}")
    return round(Fraction(str(value)) * UNIT)


def _unsupported(name: str, value: Any, why: str) -> ApiProblem:
    return ApiProblem(400, "unsupported_value", f"{name} = {_shown(value)}: {why}", param=name)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


class ChatRequest(_Completion):
    """Body of POST /v1/chat/completions; conversation.py reads the messages."""

    messages: Annotated[list[Any], Field(min_length=1)]
    max_completion_tokens: Count | None = None

    @property
    def limit(self) -> int | None:
        """The requested number of tokens. Raises ApiProblem when two fields disagree."""
        given = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(given) > 1:
            raise ApiProblem(
                400, "invalid_request", "max_tokens and max_completion_tokens differ; send one of them",
                param="max_completion_tokens",
            )  # fmt: skip
        return given.pop() if given else None


class TextRequest(_Completion):
    """Body of POST /v1/completions."""

    prompt: Any  # a text, a list of token ids, or a list of one of these; `single_prompt` reads it

    @property
    def limit(self) -> int | None:
        return self.max_tokens

    @property
    def single_prompt(self) -> str | list[int]:
        """The text or the token ids. Raises ApiProblem for anything else, and for several prompts in one request.

        A schema would try every alternative and keep an error for each of a million entries, which takes half a minute.
        """
        prompt, path = self.prompt, "prompt"
        if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
            if len(prompt) > 1:
                raise ApiProblem(400, "unsupported_value", "send one prompt per request", param="prompt")
            prompt, path = prompt[0], "prompt.0"
        if isinstance(prompt, str):
            return prompt
        if not isinstance(prompt, list):
            raise _wrong(path, "a text or a list of token ids is needed here")
        for place, token in enumerate(prompt):
            if type(token) is not int or not 0 <= token < _TOKEN_IDS:
                raise _wrong(f"{path}.{place}", "a token id is a whole number from 0 to 2^32 - 1")
        return prompt


def _wrong(path: str, why: str) -> ApiProblem:
    return ApiProblem(400, "invalid_request", f"{path}: {why}", param=path)
