"""What a completion request may say.

Only greedy decoding can be re-run and disputed, so every option that would change the choice of tokens is refused
by name unless it has its neutral value. Options that cannot change a greedy answer (seed, top_p, user) are
accepted. `stop` is refused: the committed output is the raw greedy output up to an end token or `max_tokens`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from .problems import ApiProblem

Count = Annotated[StrictInt, Field(ge=1, le=2**31)]
TokenId = Annotated[StrictInt, Field(ge=0, lt=2**32)]

# Field -> values that mean "greedy, one answer"; null always does.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "temperature": (0,),
    "n": (1,),
    "best_of": (1,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "stop": ([], ""),
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
    "store": (False,),
}

_WHY = {
    "temperature": "answers are greedy so that anyone can check them; send temperature 0 or leave it out",
    "n": "a greedy answer is the same every time; ask for one",
    "stop": "the committed output is the whole greedy output; cut it on your side",
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StreamOptions(_Strict):
    """Whether the stream ends with a chunk that holds the token counts."""

    include_usage: StrictBool = False
    include_obfuscation: Any = None


class TextPart(_Strict):
    """A piece of a message; only text can be answered."""

    type: Literal["text"]
    text: str


class Message(_Strict):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = None

    def plain(self) -> dict[str, str]:
        """Role and text as chat templates take them; "developer" is the newer name of "system"."""
        content = self.content
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class _Completion(_Strict):
    model: str
    max_tokens: Count | None = None
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None
    # Accepted: they cannot change a greedy answer.
    seed: StrictInt | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    # Accepted with their neutral value only; see _NEUTRAL.
    temperature: Any = None
    n: Any = None
    presence_penalty: Any = None
    frequency_penalty: Any = None
    stop: Any = None
    logit_bias: Any = None
    logprobs: Any = None

    def refuse_unsupported(self) -> None:
        """Raises ApiProblem 400 naming the first option that would make the answer something else."""
        for name, neutral in _NEUTRAL.items():
            value = getattr(self, name, None)
            if value is not None and value not in neutral:
                why = _WHY.get(name, "this provider does not support it; leave it out")
                raise ApiProblem(400, "unsupported_value", f"{name} = {value!r}: {why}", param=name)

    @property
    def wants_stream(self) -> bool:
        return bool(self.stream)

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


class ChatRequest(_Completion):
    """Body of POST /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Count | None = None
    top_logprobs: Any = None
    tools: Any = None
    tool_choice: Any = None
    parallel_tool_calls: StrictBool | None = None
    functions: Any = None
    function_call: Any = None
    response_format: Any = None
    modalities: Any = None
    store: Any = None

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

    prompt: str | list[str] | list[TokenId] | list[list[TokenId]]
    best_of: Any = None
    echo: Any = None
    suffix: Any = None

    @property
    def limit(self) -> int | None:
        return self.max_tokens

    @property
    def single_prompt(self) -> str | list[int]:
        """The text or the token ids. Raises ApiProblem for several prompts in one request."""
        prompt: Any = self.prompt
        if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
            if len(prompt) > 1:
                raise ApiProblem(400, "unsupported_value", "send one prompt per request", param="prompt")
            prompt = prompt[0]
        return prompt if isinstance(prompt, str) else list(prompt)
