"""JSON that ends or fools a careless reader: deep, long, with numbers beyond any type, or not quite JSON."""

from __future__ import annotations

HOSTILE: dict[str, bytes] = {
    "deep arrays": b"[" * 200_000,
    "deep objects": b'{"a":' * 200_000,
    "deep and closed": b"[" * 200_000 + b"]" * 200_000,
    "just too deep": b"[" * 65 + b"]" * 65,
    "deep below a field": b'{"model":"tiny","prompt":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "an integer of a million digits": b'{"model":"tiny","prompt":[' + b"9" * 1_000_000 + b"]}",
    "10^400": b'{"responses":[{"latency_s":1' + b"0" * 400 + b"}]}",
    "a float beyond doubles": b'{"model":"tiny","prompt":"a","top_p":1e999}',
    "NaN": b'{"model":"tiny","prompt":"a","top_p":NaN}',
    "-Infinity": b"[-Infinity]",
    "a key twice": b'{"model":"tiny","prompt":"a","prompt":"b"}',
    "half a surrogate pair": b'{"model":"tiny","prompt":"\\ud800"}',
    "not UTF-8": b'{"model":"tiny","prompt":"\xff"}',
    "UTF-16": '{"model":"tiny","prompt":"a"}'.encode("utf-16"),
    "a lone quote": b'"',
}
