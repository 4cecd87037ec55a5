"""The one reader for JSON that somebody else wrote: requests, listings, RPC answers, proof files, model files.

The standard library's reader calls itself for every nesting, converts numbers of any length, takes `NaN`, keeps the
last of two equal keys and passes lone surrogates on, so a text that costs nothing to send can end a process, or mean
one thing here and another elsewhere. This one is `jiter`, which refuses a nesting of 200 by itself, duplicate keys,
`NaN`, `Infinity` and text that is not UTF-8; what it accepts is then walked, without recursion, against `Limits`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiter

from .errors import BadInputError

_PARSER_DEPTH = 200
"""At this nesting `jiter` itself refuses."""
_PLACE = re.compile(r"^(?P<reason>.*?) at (?P<place>line \d+ column \d+)$", re.DOTALL)


class ForeignJsonError(BadInputError):
    """A text is not JSON, or JSON beyond its limits; the message names the text, the place and the fix."""


@dataclass(frozen=True)
class Limits:
    """bytes: length of the UTF-8 text. depth: arrays and objects inside one another. digits: of any integer.

    Values take up to some 25 times the bytes of their text, so `bytes` bounds memory, too.
    """

    bytes: int = 8 * 2**20
    depth: int = 64
    digits: int = 100

    def __post_init__(self) -> None:
        if not 1 <= self.depth < _PARSER_DEPTH:
            raise ValueError(f"depth must be in 1..{_PARSER_DEPTH - 1}, not {self.depth}")


MODEL_FILE = Limits(bytes=256 * 2**20)
"""What a model's configuration, tokenizer, index or manifest may take; Gemma 3's tokenizer.json has 33 MB."""


def read_json(text: bytes | str, *, what: str, limits: Limits = Limits()) -> Any:
    """The JSON value of `text`: None, bool, int, finite float, str, list or dict.

    what: how the error names the text, such as "the body" or a file's path.
    Raises ForeignJsonError for a text that is not UTF-8 or not JSON, for one longer, deeper or with longer integers
    than `limits`, for floats beyond the range of a double, NaN and infinities, duplicate keys and lone surrogates.
    """
    if len(text) > limits.bytes:  # a str has at most as many characters as bytes
        raise _too_long(what, limits)
    if isinstance(text, str):
        try:
            text = text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ForeignJsonError(
                f"{what} holds a lone surrogate at character {error.start}; write it as UTF-8"
            ) from None
        if len(text) > limits.bytes:
            raise _too_long(what, limits)
    try:
        value = jiter.from_json(text, allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError as error:
        raise _refusal(what, str(error), limits) from None
    if not _within(value, limits):
        raise ForeignJsonError(f"{what} {_first_offence(value, limits)}")
    return value


def read_json_file(path: Path, *, what: str | None = None, limits: Limits = Limits()) -> Any:
    """`read_json` of a file, of which never more than `limits.bytes` are read; `what` is its path by default.

    Raises OSError when the file cannot be read, and ForeignJsonError.
    """
    with path.open("rb") as file:
        text = file.read(limits.bytes + 1)
    return read_json(text, what=what or str(path), limits=limits)


def _too_long(what: str, limits: Limits) -> ForeignJsonError:
    return ForeignJsonError(f"{what} is longer than {limits.bytes} bytes; shorten it")


def _refusal(what: str, message: str, limits: Limits) -> ForeignJsonError:
    found = _PLACE.match(message)
    reason, place = (found["reason"], found["place"]) if found else (message, "its start")
    lowered = _short(reason if reason[1:2].isupper() else reason[:1].lower() + reason[1:])
    if "recursion limit" in lowered:
        return ForeignJsonError(
            f"{what} nests more than {limits.depth} arrays and objects at {place}; flatten it"
        )
    if "number out of range" in lowered:
        return ForeignJsonError(
            f"{what} holds a number of more than {limits.digits} digits at {place}; shorten it"
        )
    if "duplicate key" in lowered:
        return ForeignJsonError(f"{what} has a {lowered.removeprefix('detected ')} at {place}; keep one")
    if "hex escape" in lowered:
        return ForeignJsonError(
            f"{what} holds half of a surrogate pair at {place}; write the whole character"
        )
    return ForeignJsonError(f"{what} is not JSON: {lowered} at {place}; correct it there")


def _within(value: Any, limits: Limits) -> bool:
    """Whether depth and numbers are within the limits: level by level, since recursion is what they are about."""
    largest, depth = 10**limits.digits, 0
    level = [value]
    while level:
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is dict:
                below.extend(item.values())
            elif kind is list:
                below.extend(item)
            elif (kind is int and not -largest < item < largest) or (
                kind is float and not math.isfinite(item)
            ):
                return False
        if any(type(item) in (dict, list) for item in level):
            depth += 1
            if depth > limits.depth:
                return False
        level = below
    return True


def _first_offence(value: Any, limits: Limits) -> str:
    """What `_within` refused, where, and what to do; only called when there is something."""
    largest = 10**limits.digits
    waiting: list[tuple[str, int, Any]] = [("$", 0, value)]
    while waiting:
        path, depth, item = waiting.pop()
        if isinstance(item, dict | list):
            if depth >= limits.depth:
                return f"nests more than {limits.depth} arrays and objects at {_short(path)}; flatten it"
            named = (
                [(f".{key}", entry) for key, entry in item.items()]
                if isinstance(item, dict)
                else [(f"[{index}]", entry) for index, entry in enumerate(item)]
            )
            waiting.extend((path + name, depth + 1, entry) for name, entry in reversed(named))
        elif isinstance(item, int) and not -largest < item < largest:
            return f"holds an integer of more than {limits.digits} digits at {_short(path)}; shorten it"
        elif isinstance(item, float) and not math.isfinite(item):
            return f"holds a number beyond the range of a double at {_short(path)}; make it smaller"
    raise AssertionError("a value is refused for a reason")


def _short(text: str) -> str:
    """In one line of printable ASCII, however the foreign text made it."""
    shown = text if len(text) <= 80 else text[:77] + "..."
    return shown.encode("unicode_escape").decode("ascii")
