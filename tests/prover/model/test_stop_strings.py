"""Stop strings: where they end an answer, what its text is, and what a client sees of an answer that ends elsewhere."""

from __future__ import annotations

import random

import pytest

from prover.model.stop_strings import (
    LONGEST_STOP_BYTES,
    AnswerCutShortError,
    AnswerText,
    StopStringError,
    read_stops,
    require_own_end,
    stop_place,
    text_of,
)
from prover.model.tiny import tiny_tokenizer
from prover.model.token_models import CONTROL, NORMAL, byte_alphabet
from prover.model.tokenizer import Tokenizer, TokenizerSpecification

BYTES = tiny_tokenizer()  # one token per byte, then control tokens
END = BYTES.end_ids[0]


def _words() -> Tokenizer:
    """Tokens of one to four bytes, which cut characters as BPE does."""
    alphabet = byte_alphabet()
    pieces = ["ab", "abc", "bca", "aab", "\n\n", "a\nb", "é", "€", "€a"]
    encoded = [piece.encode() for piece in pieces] + [b"\xe2\x82", b"\x82\xac", b"\xacab", b"b\xe2"]
    tokens = [*alphabet.values(), *("".join(alphabet[byte] for byte in piece) for piece in encoded)]
    return Tokenizer(
        TokenizerSpecification(
            (*tokens, "<|end|>"), (NORMAL,) * len(tokens) + (CONTROL,), merges=(), eos_id=len(tokens)
        )
    )


WORDS = _words()


def ids(text: str) -> list[int]:
    return BYTES.encode(text)


def _expected(tokenizer: Tokenizer, tokens: list[int], stops: list[str]) -> tuple[str, int | None]:
    """By looking at every prefix of the bytes: the text, and the place of the token that completes a stop string."""
    seen = b""
    for place, token in enumerate(tokens):
        for byte in tokenizer.token_bytes(token):
            seen += bytes([byte])
            ends = [stop for stop in stops if seen.endswith(stop.encode())]
            if ends:
                longest = max(len(stop.encode()) for stop in ends)
                return seen[:-longest].decode("utf-8", "replace"), place
    return seen.decode("utf-8", "replace"), None


def _check(tokenizer: Tokenizer, tokens: list[int], stops: list[str]) -> None:
    text, place = _expected(tokenizer, tokens, stops)
    assert text_of(tokenizer, tokens, stops) == text
    assert stop_place(tokenizer, tokens, stops) == place
    streamed, told = AnswerText(tokenizer, stops), ""
    for token in tokens:
        told += streamed.push(token)
        assert text.startswith(told)  # nothing is told that a stop string takes back
        if streamed.stopped:
            break
    assert told + streamed.flush() == text


def _random_rounds(rounds: int, seed: int) -> None:
    draw = random.Random(seed)
    longer = list(range(256, len(WORDS)))
    plain = [WORDS.specification.tokens.index(symbol) for symbol in "abc"]
    texts = ["a", "ab", "abc", "aabaab", "ba", "€", "a€", "€ab", "é", "\n\n", "a\n", "bcab", "aaa", "€€"]
    for _ in range(rounds):
        tokens = draw.choices(longer + plain * 3, k=draw.randrange(1, 25))
        _check(WORDS, tokens, draw.sample(texts, draw.randrange(0, 5)))


def test_streams_are_cut_where_every_prefix_says() -> None:
    _random_rounds(400, 1)


@pytest.mark.long
def test_streams_are_cut_where_every_prefix_says_at_length() -> None:
    _random_rounds(200_000, 2)


def test_what_may_become_a_stop_string_is_held_back() -> None:
    text = AnswerText(BYTES, ["END"])
    assert [text.push(token) for token in ids("aENaEENx")] == ["a", "", "", "ENa", "", "E", "", "ENx"]
    text = AnswerText(BYTES, ["END"])
    assert [text.push(token) for token in ids("xEND")] == ["x", "", "", ""]
    assert text.stopped and text.flush() == ""


def test_characters_and_stop_strings_are_spread_over_tokens() -> None:
    for stop in ("€", "a€b", "\U0001f600", "é\n"):
        tokens = ids(f"x{stop}y")
        assert text_of(BYTES, tokens, [stop]) == "x"
        assert stop_place(BYTES, tokens, [stop]) == len(tokens) - 2  # with the last byte, not before
    # A character that never ends is no stop string, and stays what it is in every text.
    broken = [*ids("€")[:2], *ids("x.")]
    assert text_of(BYTES, broken, ["."]) == "�x"
    assert stop_place(BYTES, broken, ["�"]) is None


def test_control_tokens_have_no_text() -> None:
    assert stop_place(BYTES, [*ids("a"), END, *ids("b")], ["<|endoftext|>"]) is None
    assert stop_place(BYTES, [*ids("a"), END, *ids("b")], ["ab"]) == 2


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (5, "stop"),
        ({"a": 1}, "stop"),
        (["a"] * 5, "stop"),
        ([""], "stop.0"),
        (["a", 3], "stop.1"),
        (["a", None], "stop.1"),
        ("\ud800", "stop"),
        (["a", "x\udfff"], "stop.1"),
        ("x" * (LONGEST_STOP_BYTES + 1), "stop"),
        ("€" * LONGEST_STOP_BYTES, "stop"),
        ("x" * 2**20, "stop"),
    ],
)
def test_what_is_no_stop_string_is_refused_by_its_path(value: object, path: str) -> None:
    with pytest.raises(StopStringError) as caught:
        read_stops(value)
    assert caught.value.path == path and len(str(caught.value)) < 200


def test_stop_strings_that_say_nothing() -> None:
    assert read_stops(None) == read_stops("") == read_stops([]) == ()
    assert read_stops("a") == read_stops(["a", "a"]) == ("a",)
    assert read_stops("x" * LONGEST_STOP_BYTES) == ("x" * LONGEST_STOP_BYTES,)


def test_a_long_stop_string_costs_every_token_the_same() -> None:
    """The worst text for a search that starts anew with every byte: that one compares sixty million times."""
    tokens = ids("a" * 60_000 + "b")
    stop = "a" * (LONGEST_STOP_BYTES - 1) + "b"
    assert stop_place(BYTES, tokens, [stop]) == len(tokens) - 1


def test_a_client_accepts_answers_that_end_where_it_said() -> None:
    require_own_end(BYTES, ids("abcd"), 4, (), 4)
    require_own_end(BYTES, [*ids("ab"), END], 9, (), 9)
    require_own_end(BYTES, ids("ab."), 3, (".",), 9)
    require_own_end(BYTES, ids("ab."), 3, (".",))
    require_own_end(BYTES, ids("ab."), 3, (".",), 3)
    require_own_end(BYTES, ids("abcd"), 4, (".",), 4)
    require_own_end(BYTES, [*ids("ab"), END], 9, (".",), 9)
    require_own_end(BYTES, ids("ab"), 2)  # a request without a limit leaves it to the provider


@pytest.mark.parametrize(
    ("text", "limit", "stops", "asked", "why"),
    [
        ("ab", 2, (), 4, "cut short"),  # the leaf's limit is not the request's
        ("ab", 2, (".",), 4, "cut short"),  # and no stop string ends it
        ("a.b", 3, (".",), 4, "should have ended there"),  # a stop string was passed over
        ("a.b.", 4, (".",), 4, "should have ended there"),
        ("abcd", 4, (), 3, "at most were asked for"),
        ("abc", 9, (), 9, "a dispute proves it"),
        ("abc", 9, (), None, "a dispute proves it"),
        ("a", 3, (), 4, "cut short"),
        ("", 1, (), 1, "no tokens"),
    ],
)  # fmt: skip
def test_a_client_sees_an_answer_that_ends_elsewhere(
    text: str, limit: int, stops: tuple[str, ...], asked: int | None, why: str
) -> None:
    with pytest.raises(AnswerCutShortError, match=why):
        require_own_end(BYTES, ids(text), limit, stops, asked)
