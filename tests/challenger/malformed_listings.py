"""Malformed listings: by hand, and by a seeded mutator over real ones."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

#: JSON texts for one value. `json.dumps` cannot write most of them.
HOSTILE_VALUES = [
    "null", "true", "false", "0", "-1", "1.0", "0.5", "1e999", "-1e999", "1e-999", "NaN", "Infinity",
    str(2**31), str(2**32 - 1), str(2**32), str(2**63), str(2**64), str(2**256 - 1), str(2**256), "1" + "0" * 400,
    "1" + "0" * 5000, "-" + "9" * 5000, '""', '"x"', '"0x"', '"0x12"', '"' + "0" * 64 + '"', '"0x' + "g" * 64 + '"',
    '"\\ud800"', '"\\u0000"', '"' + "9" * 79 + '"', '"' + "9" * 5000 + '"', '"\u0661\u0662"', '"../../v1/x"', "[]", "{}",
    "[[]]", '["a"]', "[1.5]", "[true]", "[-1]", "[4294967296]", '{"leaf": 1}', "[" * 100 + "]" * 100,
    '{"a":' * 100 + "1" + "}" * 100,
]  # fmt: skip

_MARK = "\x00HOSTILE %d\x00"


def by_hand(real: dict[str, Any]) -> list[bytes]:
    """Whole bodies: the twenty that were tried first, and more of their kinds."""
    entry = real["responses"][0]

    def with_field(name: str, value: str) -> str:
        return json.dumps({"responses": [entry | {name: "@@"}]}).replace('"@@"', value)

    deep = 200_000
    bodies = [
        "", " ", "null", "[]", "1", '"text"', "{}", '{"responses": null}', '{"responses": {}}', '{"responses": []}',
        '{"responses": ["a string"]}', '{"responses": [null]}', '{"responses": [[]]}', '{"responses": [1]}',
        '{"responses": [{}]}', "[" * deep, "[" * deep + "]" * deep, '{"a":' * deep + "1" + "}" * deep,
        '{"responses": [' * deep, '{"responses": [' + "1" * 1_000_000 + "]}", '{"responses": [NaN]}',
        json.dumps({"responses": [entry, entry]}),
        json.dumps({"responses": [entry]})[:-1] + ', "responses": [1]}',
        json.dumps({"responses": [entry]}) + "garbage",
        *(
            with_field(name, value)
            for name, values in {
                "fee_wei": [str(2**256), "-1", "1e999", "1.5", "true", '"-1"', '"1e9"', "[]", "1" + "0" * 5000],
                "max_tokens": [str(2**256), "-1", "1e999", "true", '"6"', "null", "1" + "0" * 400],
                "prompt_ids": ['"abc"', "[[]]", "[-1]", "[4294967296]", "[1.5]", "[1e999]", "[true]", "{}", "null"],
                "output_ids": ["7", "[null]", '["1"]', str([2**64]), "[" + "1," * 100_000 + "1]"],
                "latency_s": ["1" + "0" * 400, "-1e999", "NaN", "[]", '"fast"', "true", "1e308"],
                "leaf": ["null", "1", "[]", '"0x"', '"zz"', '"\\ud800"', "{}"],
                "receipt_id": ["{}", '"../../../etc/passwd"', '"\\u0000"', "1e999"],
            }.items()
            for value in values
        ),
    ]  # fmt: skip
    encoded = [body.encode() for body in bodies]
    real_body = json.dumps(real).encode()
    return [
        *encoded,
        b"\xff\xfe" + real_body,
        b"\x00" * 1000,
        real_body[:-7],
        real_body.replace(b"0x", b"0X"),
    ]


def mutations(real: dict[str, Any], seed: int) -> Iterator[bytes]:
    """Endlessly: a real listing with one to four places replaced, removed, doubled or cut, or with bytes changed."""
    random_source = random.Random(seed)
    while True:
        changed = copy.deepcopy(real)
        marks: dict[str, str] = {}
        for _ in range(random_source.randint(1, 4)):
            _change(changed, random_source, marks)
        text = json.dumps(changed)
        for mark, value in marks.items():
            text = text.replace(json.dumps(mark), value)
        body = text.encode("utf-8", "surrogatepass")
        yield _spoil(body, random_source) if random_source.random() < 0.3 else body


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


def _change(whole: dict[str, Any], random_source: random.Random, marks: dict[str, str]) -> None:
    places = list(_places(whole))
    if not places:
        return
    holder, key = random_source.choice(places)
    mark = _MARK % len(marks)

    def replace() -> None:
        holder[key] = mark
        marks[mark] = random_source.choice(HOSTILE_VALUES)

    def remove() -> None:
        del holder[key]

    def double() -> None:
        if isinstance(holder, list):
            holder.insert(key, holder[key])
        else:
            holder[f"{key}x"] = holder[key]

    def swap() -> None:
        other, other_key = random_source.choice(places)
        holder[key] = copy.deepcopy(other[other_key])

    changes: list[Callable[[], None]] = [replace, replace, replace, remove, double, swap]
    random_source.choice(changes)()


def _spoil(body: bytes, random_source: random.Random) -> bytes:
    spoiled = bytearray(body)
    for _ in range(random_source.randint(1, 8)):
        if spoiled:
            spoiled[random_source.randrange(len(spoiled))] = random_source.randrange(256)
    return bytes(
        spoiled[: random_source.randint(0, len(spoiled))] if random_source.random() < 0.3 else spoiled
    )
