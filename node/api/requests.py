"""What a completion request may say.

An answer is greedy, or sampled by a rule that comparing two tokens can decide (docs/sampling.md): `temperature`, `seed` and
`min_p`. An option that would change the choice of tokens in another way is refused by name unless it has a neutral value:
`top_p` and `top_k` ask which tokens are the most likely ones, which no comparison of two shows. Whatever cannot change a
greedy answer is accepted with one (which tokens may be drawn does not matter to the largest logit), and null always means
absent. What changes nothing at all is in `idle_options`.
"""

from __future__ import annotations

import secrets
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, model_validator

from prover.model.stop_strings import StopStringError, read_stops
from prover.sampling import MOST_TEMPERATURE, SEED_BITS, UNIT, Sampling

from ..logprobs import MOST_TOP
from .idle_options import unsupported, without_idle_options
from .problems import ApiProblem

Count = Annotated[StrictInt, Field(ge=1, le=2**31)]
Number = StrictInt | StrictFloat
Share = Annotated[Number, Field(ge=0, le=1)]
_TOKEN_IDS = 2**32

# What narrows the choice when tokens are drawn -> its values that do not.
_NARROWING = {"top_p": (1,), "top_k": (-1, 0), "typical_p": (1,)}
_WHY_NARROWING = (
    "which tokens are the most likely ones cannot be shown by comparing two, so nobody could dispute it; "
    "leave it out: temperature, seed and min_p are offered"
)


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
    stop: Any = None  # `stops` reads it
    n: Count | None = None
    best_of: Count | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_idle_options(cls, body: Any) -> Any:
        """Takes the options out that change nothing; raises ApiProblem (400) naming the first that would."""
        if not isinstance(body, dict):
            return body
        return without_idle_options(body, cls.model_fields)

    def sampling(self, choice: int = 0) -> Sampling | None:
        """The rule of a prompt's choice; None for greedy, which is what no temperature means.

        A seed that is not given is drawn, for every choice; one that is given is the first choice's, and the next ones have the
        next seeds. Temperature and min_p are the nearest thousandth of what was sent. Raises ApiProblem (400) naming the field.
        """
        temperature = _thousandths("temperature", self.temperature or 0, MOST_TEMPERATURE)
        min_p = _thousandths("min_p", self.min_p or 0, UNIT)
        if temperature == 0:
            return None
        for name, neutral in _NARROWING.items():
            value = getattr(self, name)
            if value is not None and value not in neutral:
                raise unsupported(name, value, _WHY_NARROWING)
        seed = secrets.randbits(SEED_BITS) if self.seed is None else self.seed
        if not 0 <= seed < 1 << SEED_BITS:
            raise unsupported("seed", seed, f"send a whole number from 0 to 2^{SEED_BITS} - 1, or none")
        return Sampling(temperature, (seed + choice) % (1 << SEED_BITS), min_p)

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings. Raises ApiProblem (400) naming the first that cannot be one."""
        try:
            return read_stops(self.stop)
        except StopStringError as error:
            raise ApiProblem(400, "invalid_request", str(error), param=error.path) from None

    def choices(self, most: int) -> int:
        """Answers per prompt. Raises ApiProblem (400)."""
        answers = self.n or 1
        if self.best_of is not None and self.best_of != answers:
            raise unsupported("best_of", self.best_of, "no answer is thrown away; leave it out, and send n")
        require_few("n", answers, most)
        return answers

    @property
    def wants_stream(self) -> bool:
        return bool(self.stream)

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


def _thousandths(name: str, value: float, most: int) -> int:
    """The nearest multiple of 1/1000, ties to even. Raises ApiProblem (400)."""
    if not 0 <= value <= most / UNIT:  # not a number is neither
        raise unsupported(name, value, f"send a number from 0 to {most // UNIT}")
    return round(Fraction(str(value)) * UNIT)


class ChatRequest(_Completion):
    """Body of POST /v1/chat/completions; conversation.py reads the messages."""

    messages: Annotated[list[Any], Field(min_length=1)]
    max_completion_tokens: Count | None = None
    logprobs: StrictBool | None = None
    top_logprobs: StrictInt | None = None

    @property
    def likely(self) -> int | None:
        """How many of the most likely tokens stand beside each chosen one; None: no likelihoods. Raises ApiProblem."""
        top = _few("top_logprobs", self.top_logprobs or 0)
        if top and not self.logprobs:
            raise unsupported("top_logprobs", top, "send logprobs = true with it")
        return top if self.logprobs else None

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

    prompt: Any  # a text, a list of token ids, or a list of these; `prompts` reads it
    # None: no likelihoods; else how many of the most likely tokens beside the chosen one. False is what OpenAI's default means.
    logprobs: StrictInt | StrictBool | None = None

    @property
    def limit(self) -> int | None:
        return self.max_tokens

    @property
    def likely(self) -> int | None:
        if self.logprobs is None or self.logprobs is False:
            return None
        return _few("logprobs", self.logprobs)

    def prompts(self, most: int) -> list[str | list[int]]:
        """Texts or token ids, at most `most`. Raises ApiProblem (400) with the path of the first mistake.

        A schema would try every alternative and keep an error for each of a million entries, which takes half a minute.
        """
        if isinstance(self.prompt, list) and self.prompt and isinstance(self.prompt[0], str | list):
            require_few("prompt", len(self.prompt), most)
            return [_prompt(prompt, f"prompt.{place}") for place, prompt in enumerate(self.prompt)]
        return [_prompt(self.prompt, "prompt")]


def require_few(param: str, answers: int, most: int) -> None:
    """Raise ApiProblem (400) for more answers than one request may ask for."""
    if answers > most:
        message = (
            f"{answers} answers in one request; this provider gives at most {most}: send several requests"
        )
        raise ApiProblem(400, "unsupported_value", message, param=param)


def _few(name: str, value: int | bool) -> int:
    if isinstance(value, bool) or not 0 <= value <= MOST_TOP:
        raise unsupported(name, value, f"send a whole number from 0 to {MOST_TOP}")
    return value


def _prompt(prompt: Any, path: str) -> str | list[int]:
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
