"""The one reader for foreign JSON: what it refuses, that it says where, and that it reads the rest as Python does."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prover.errors import BadInputError
from prover.foreign_json import ForeignJsonError, Limits, read_json, read_json_file
from tests.hostile_json import HOSTILE

_NUMBERS = st.integers(-(2**255), 2**255) | st.floats(allow_nan=False, allow_infinity=False)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
_VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXTS,
    lambda below: st.lists(below) | st.dictionaries(_TEXTS, below),
)


@given(_VALUES)
def test_what_it_accepts_it_reads_as_python_does(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False).encode()):
        assert read_json(text, what="it") == json.loads(text)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_one_short_sentence_with_place_and_fix(name: str) -> None:
    with pytest.raises(ForeignJsonError) as refused:
        read_json(HOSTILE[name], what="the body")
    message = str(refused.value)
    assert message.startswith("the body ") and ";" in message and message.isprintable()
    assert len(message) < 300 and (" at " in message)
    assert refused.value.exit_code == BadInputError.exit_code


@given(st.binary(max_size=200) | st.text(st.sampled_from('[]{}",:0123456789.eE+-\\u dtrfnNI'), max_size=60))
def test_no_text_raises_anything_else(text: bytes | str) -> None:
    try:
        read_json(text, what="it", limits=Limits(depth=3, digits=5))
    except ForeignJsonError:
        return


def test_limits_are_exact() -> None:
    limits = Limits(bytes=20, depth=3, digits=4)
    read_json(b"[[[9999,-9999]]]", what="it", limits=limits)
    for text in (b"[[[[]]]]", b"[[[{}]]]", b"10000", b"-10000", b" " * 20 + b"1", "é" * 11):
        with pytest.raises(ForeignJsonError):
            read_json(text, what="it", limits=limits)
    with pytest.raises(ForeignJsonError, match=r"4 digits at \$\.a\[1\]\.b"):
        read_json(b'{"a":[1,{"b":12345}]}', what="it", limits=Limits(digits=4))
    with pytest.raises(ValueError, match="depth"):
        Limits(depth=200)


def test_a_file_without_end_is_not_read_to_its_end() -> None:
    started = time.monotonic()
    with pytest.raises(ForeignJsonError, match="longer than 1000 bytes"):
        read_json_file(Path("/dev/zero"), limits=Limits(bytes=1000))
    assert time.monotonic() - started < 5


def test_importing_py_ecc_leaves_the_recursion_limit_alone() -> None:
    import subprocess
    import sys

    for first in ("contracts.bindings.chain", "contracts.bindings.receipts", "eth_account"):
        program = (
            f"import sys, {first}, contracts.bindings, py_ecc, eth_account; print(sys.getrecursionlimit())"
        )
        answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert int(answer.stdout) == 1000, first
