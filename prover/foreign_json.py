"""One reader for JSON that a stranger wrote: bounded in size, depth and the length of a number."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NoReturn

from .errors import GainsayError


class ForeignJsonError(GainsayError):
    """A stranger's JSON is malformed or exceeds its limits."""

    exit_code = 4


@dataclass(frozen=True)
class Limits:
    """The most that one document may have."""

    largest_bytes: int = 64 * 2**20
    depth: int = 32
    number_length: int = 100


def read_json(text: bytes | str, *, what: str, limits: Limits = Limits()) -> Any:
    """The value of a JSON text. Raises `ForeignJsonError`, whatever the text is."""

    def bounded(digits: str) -> str:
        if len(digits) > limits.number_length:
            raise ForeignJsonError(f"{what} has a number of {len(digits)} characters; shorten it")
        return digits

    def refuse(constant: str) -> NoReturn:
        raise ForeignJsonError(f"{what} contains {constant}, which is not JSON; remove it")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(read := dict(pairs)) != len(pairs):
            raise ForeignJsonError(f"{what} repeats a key; name each once")
        return read

    if len(text) > limits.largest_bytes:
        raise ForeignJsonError(f"{what} is longer than {limits.largest_bytes} bytes; shorten it")
    depth = 0
    quoted = escaped = False
    for byte in text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text:
        if quoted:
            quoted, escaped = escaped or byte != 0x22, not escaped and byte == 0x5C
        elif byte == 0x22:
            quoted = True
        elif byte in b"[{":
            depth += 1
            if depth > limits.depth:
                raise ForeignJsonError(f"{what} is nested deeper than {limits.depth}; flatten it")
        elif byte in b"]}":
            depth -= 1
    try:
        return json.loads(
            text,
            parse_int=lambda digits: int(bounded(digits)),
            parse_float=lambda digits: float(bounded(digits)),
            parse_constant=refuse,
            object_pairs_hook=unique,
        )
    except (ValueError, RecursionError) as error:
        raise ForeignJsonError(f"{what} is not JSON: {error}") from error
