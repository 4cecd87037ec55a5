"""What stands in the generated text itself, and shows with few proofs only, or with none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from prover.curve.srs import SRS
from prover.field.reference import SCALAR_MODULUS
from tests.verifier_gen.golden_proofs import golden
from tests.verifier_gen.statements import small_sources
from verifier_gen import generator
from verifier_gen.called_functions import without_uncalled_functions
from verifier_gen.errors import GeneratorError
from verifier_gen.generator import TEMPLATES, embedding_verifier

MULTIPLE_OF_R = re.compile(r"sub\(mul\((\d+), r\), ")


def _argument(text: str, start: int) -> str:
    """The argument that starts here, to the bracket that closes its call."""
    depth = 0
    for end in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        if depth < 0:
            return text[start:end]
    raise ValueError("the call is not closed")


def _differences() -> Iterator[tuple[int, str]]:
    """(k, subtrahend) of every sub(mul(k, r), subtrahend) of the templates."""
    for path in sorted(TEMPLATES.glob("*.yul")):
        text = path.read_text(encoding="utf-8")
        for found in MULTIPLE_OF_R.finditer(text):
            yield int(found[1]), _argument(text, found.end())


def test_a_difference_of_words_never_wraps() -> None:
    """k r is at least the sum of k reduced values, and at most 2^256: k = 6 is wrong for one sum in hundreds only."""
    differences = list(_differences())
    assert differences
    for multiple, subtrahend in differences:
        summands = [name for name in re.findall(r"\w+", subtrahend) if name != "add"]
        assert multiple == len(summands), subtrahend
        assert multiple * SCALAR_MODULUS < 1 << 256, subtrahend


def test_the_memory_of_an_embedding_verifier_ends_behind_what_it_absorbs() -> None:
    source = embedding_verifier(golden("embedding").verifying_key, insecure=True)  # type: ignore[arg-type]
    constants = dict(re.findall(r"uint256 private constant (\w+) = (\w+);", source))
    absorbed = re.search(r"keccak256\(STATE, (\w+)\)", source)
    assert absorbed
    assert int(constants["STATE"], 16) + int(absorbed[1], 16) == int(constants["MEMORY_END"], 16)
    sizes = {"SUM": 2, "TERM": 2, "FACTOR": 3, "PAIRING": 12, "STATE": 1, "LABEL": 1}
    places = [int(constants[name], 16) for name in (*sizes, "WORDS")]
    assert [after - before for before, after in pairwise(places)] == [32 * words for words in sizes.values()]


def test_rounds_of_another_degree_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    key = golden("head").verifying_key
    monkeypatch.setattr(generator, "ROUND_DEGREE", generator.ROUND_DEGREE + 1)
    with pytest.raises(GeneratorError, match="rounds of degree"):
        generator.step_verifier(key, insecure=True)  # type: ignore[arg-type]


def test_an_odd_number_of_variables_is_refused() -> None:
    key = golden("head").verifying_key
    with pytest.raises(GeneratorError, match="even mu"):
        generator.step_verifier(replace(key, chunk_bits=17), insecure=True)  # type: ignore[type-var]


def test_a_verifier_has_the_functions_that_it_calls_and_no_other(srs: SRS) -> None:
    for source in small_sources(srs).values():
        if "layer program" not in source:
            continue
        code = re.sub(r"//.*", "", source)
        defined = re.findall(r"function (\w+)\(", code.partition("assembly")[2])
        assert len(defined) == len(set(defined)) > 20
        for name in defined:
            assert len(re.findall(rf"\b{name}\(", code)) > 1, name


def test_functions_are_dropped_with_their_comments_and_what_only_they_call() -> None:
    block = """
    {
            use(1)
            // --- first ---
            /// What is used.
            function use(a) { pass_on(a) }

            /// Called by what is used; twice(x) in a comment is no call.
            function pass_on(a) {
                mstore(0, a)
            }

            /// Nobody calls it but itself and what nobody calls.
            function twice(a) {
                if a { once(a) }
                twice(a)
            }
            /// Called by what nobody calls.
            function once(a) { twice(a) }
            // --- second ---
    }"""
    left = without_uncalled_functions(block)
    assert re.findall(r"function (\w+)", left) == ["use", "pass_on"]
    assert (
        "--- first" in left
        and "--- second" in left
        and "Nobody" not in left
        and "Called by what nobody" not in left
    )
    assert without_uncalled_functions(left) == left
