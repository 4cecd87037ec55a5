"""Stop strings: where they end an answer, what its text is then, and how a client sees that it was not cut elsewhere.

An answer with stop strings is all ids up to the first one with which a stop string is complete; its text ends in front of
that string. In the leaf it is an ordinary answer whose `max_tokens` is its length, so no rule on chain knows about stop
strings: a provider that stops too early or too late loses no dispute. The client finds out by `require_own_end`, from
the ids in its receipt and what it asked for.

Strings are compared as UTF-8 bytes, byte by byte in the order in which tokens bring them: a string may begin and end
inside tokens, and a character may be spread over several. No character's bytes occur inside another's, so nothing but
whole characters match. Control tokens have no text, and no stop string sees them.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence

from ..errors import BadInputError, ProofRejectedError
from .tokenizer import Tokenizer

MOST_STOPS = 4
LONGEST_STOP_BYTES = 1024
"""Clients send some ten; a longer one costs every token time and holds the text of a stream back."""


class StopStringError(BadInputError):
    """No answer can end with these stop strings. path: the part at fault, such as "stop.1"."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path


class AnswerCutShortError(ProofRejectedError):
    """An answer does not end where its request said; its provider cannot be held to that on chain, only avoided."""


def read_stops(value: object) -> tuple[str, ...]:
    """The stop strings of a request: a text, or a list of up to four. None, "" and [] mean none. Raises StopStringError."""
    if value is None or value == "":
        return ()
    if not isinstance(value, str | list | tuple):
        raise StopStringError("stop", "send a text or a list of texts")
    stops = [value] if isinstance(value, str) else value
    if len(stops) > MOST_STOPS:
        raise StopStringError("stop", f"{len(stops)} strings were sent; send at most {MOST_STOPS}")
    for place, stop in enumerate(stops):
        path = "stop" if isinstance(value, str) else f"stop.{place}"
        if not isinstance(stop, str) or not stop:
            raise StopStringError(path, "a stop string is a text of at least one character")
        try:
            length = len(stop.encode("utf-8"))
        except UnicodeEncodeError:
            raise StopStringError(path, "it holds half a surrogate pair; send valid Unicode") from None
        if length > LONGEST_STOP_BYTES:
            raise StopStringError(path, f"it has {length} bytes of UTF-8; send at most {LONGEST_STOP_BYTES}")
    return tuple(dict.fromkeys(stops))


class AnswerText:
    """The text of an answer as its ids come, without the stop string that ends it.

    What may become part of a stop string is held back until that is decided, and so are the bytes of an unfinished
    character: the pieces join to `text_of` all ids.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        # Longest first: of two that are complete with the same byte, the one that begins earlier.
        patterns = sorted((stop.encode("utf-8") for stop in stops), key=len, reverse=True)
        self._patterns = [_Pattern(pattern) for pattern in patterns]
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = bytearray()
        self.stopped = False
        """Whether a stop string is complete: nothing may be pushed any more."""

    def push(self, token: int) -> str:
        """Text that is certain after this id; may be empty. Raises TokenizerError."""
        content = self._tokenizer.token_bytes(token)
        for number, byte in enumerate(content):
            for pattern in self._patterns:
                if pattern.push(byte):
                    self._held += content[: number + 1]
                    del self._held[len(self._held) - len(pattern.bytes) :]
                    self.stopped = True
                    return self._release(len(self._held))
        self._held += content
        return self._release(len(self._held) - max((p.matched for p in self._patterns), default=0))

    def flush(self) -> str:
        """What is left at the end; U+FFFD for a character that was never finished."""
        return self._release(len(self._held)) + self._decoder.decode(b"", final=True)

    def _release(self, count: int) -> str:
        certain = bytes(self._held[:count])
        del self._held[:count]
        return self._decoder.decode(certain)


def text_of(tokenizer: Tokenizer, ids: Iterable[int], stops: Sequence[str] = ()) -> str:
    """The text of an answer, without the stop string that ends it. Raises TokenizerError."""
    text, pieces = AnswerText(tokenizer, stops), []
    for token in ids:
        pieces.append(text.push(token))
        if text.stopped:
            break
    return "".join([*pieces, text.flush()])


def stop_place(tokenizer: Tokenizer, ids: Iterable[int], stops: Sequence[str]) -> int | None:
    """Index of the first id with which a stop string is complete; None if there is none."""
    text = AnswerText(tokenizer, stops)
    for place, token in enumerate(ids):
        text.push(token)
        if text.stopped:
            return place
    return None


def require_own_end(
    tokenizer: Tokenizer,
    output_ids: Sequence[int],
    leaf_max_tokens: int,
    stops: Sequence[str] = (),
    asked_max_tokens: int | None = None,
) -> None:
    """A client's check that an answer ends where its request said: with an end token, its own stop string, or its limit.

    output_ids, leaf_max_tokens: what the receipt is about. stops, asked_max_tokens: what the request said; without a limit of
    its own a request leaves the length to the provider, and only the stop strings are checked.
    Raises AnswerCutShortError; TokenizerError for ids outside the vocabulary.
    """
    length, place = len(output_ids), stop_place(tokenizer, output_ids, stops)
    if not length:
        raise AnswerCutShortError("the answer has no tokens; ask somebody else")
    if place is not None and place < length - 1:
        raise AnswerCutShortError(
            f"a stop string is complete with token {place}, but the answer has {length}: it should have ended there"
        )
    if asked_max_tokens is not None and length > asked_max_tokens:
        raise AnswerCutShortError(
            f"the answer has {length} tokens, but {asked_max_tokens} at most were asked for"
        )
    if place is not None:
        return
    if asked_max_tokens is not None and leaf_max_tokens != asked_max_tokens:
        raise AnswerCutShortError(
            f"{asked_max_tokens} tokens were asked for, but the receipt says a limit of {leaf_max_tokens}, and no stop string "
            "of the request ends the answer: it was cut short, and nobody can dispute that; ask somebody else"
        )
    if length < leaf_max_tokens and output_ids[-1] not in tokenizer.end_ids:
        raise AnswerCutShortError(
            f"the answer has {length} tokens of {leaf_max_tokens} and ends with no end token: it was cut short, and a "
            "dispute proves it (`gainsay dispute open`)"
        )


class _Pattern:
    """One string, and how much of it the bytes so far end with (Knuth, Morris and Pratt 1977)."""

    def __init__(self, pattern: bytes) -> None:
        self.bytes, self.matched = pattern, 0
        # Longest proper prefix of pattern[:i + 1] that is also its end.
        self._borders = [0] * len(pattern)
        for place in range(1, len(pattern)):
            self._borders[place] = self._after(self._borders[place - 1], pattern[place])

    def push(self, byte: int) -> bool:
        """Whether the string is complete with this byte."""
        self.matched = self._after(self.matched, byte)
        return self.matched == len(self.bytes)

    def _after(self, matched: int, byte: int) -> int:
        while matched and self.bytes[matched] != byte:
            matched = self._borders[matched - 1]
        return matched + 1 if self.bytes[matched] == byte else 0
