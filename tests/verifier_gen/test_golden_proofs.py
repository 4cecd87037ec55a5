"""Generated verifiers accept the kept proofs, and reject what is changed in them as the Python verifier does.

The kept statements need no prover, and the contracts of the tests that run are compiled together: a change of a template
or of the generator is noticed within seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache

import pytest

from contracts.bindings.compiler import compile_sources
from prover.architectures.steps import GLOBAL, LOCAL
from prover.argument.mercury import MercuryOpening
from prover.field.reference import BASE_MODULUS, SCALAR_MODULUS
from prover.program import WINDOW_BITS
from prover.proof import ProofShape
from prover.statement import VerifyingKey
from tests.verifier_gen.evm import ACCEPTED, FALSE, Evm, Verifier
from tests.verifier_gen.gas_snapshot import compile_verifiers, snapshot
from tests.verifier_gen.golden_proofs import FAMILY_STATEMENTS, LIES, STATEMENTS, golden, golden_lie
from tests.verifier_gen.statements import Proven
from verifier_gen.generator import step_verifier

WORD = 32
_EVERY_RUN = ("gpt2 positions", "gemma3 attention of window 2", "mixtral")
_SLOW_TO_COMPILE = (
    "over two chunks",
    "in small chunks",
    "of window 40",
    "over one chunk",
    "from normalised rows",
)
_LIKE_OTHERS = ("query_tile", "query_close", "mlp_norm", "mlp_close", "attention_norm")
ALL = [
    pytest.param(name, marks=() if name.startswith(_EVERY_RUN) else pytest.mark.long)
    for name in FAMILY_STATEMENTS
]
"""Each has a contract of its own to compile: one of every kind in every run, all families in `make test-long`."""
OWN = [
    pytest.param(
        name,
        marks=pytest.mark.long if name.endswith(_SLOW_TO_COMPILE) or name.startswith(_LIKE_OTHERS) else (),
    )
    for name in STATEMENTS
]
LARGEST = (1 << 256) - 1


@pytest.fixture(scope="module")
def golden_verifier(evm: Evm, request: pytest.FixtureRequest) -> Callable[[str], Verifier]:
    """The deployed verifier of a kept statement; statements with one key share it."""
    tests = (item for item in request.session.items if isinstance(item, pytest.Function))
    ours = (
        item for item in tests if item.module is request.module and "golden_verifier" in item.fixturenames
    )
    names = {
        item.callspec.params.get("name", "head") if hasattr(item, "callspec") else "head" for item in ours
    }
    codes = compile_verifiers(sorted(names))
    deployed = cache(lambda key: evm.deploy(codes[key]))
    return lambda name: deployed(golden(name).verifying_key)


def _words(encoded: bytes) -> list[int]:
    return [int.from_bytes(encoded[i : i + WORD], "big") for i in range(0, len(encoded), WORD)]


def _bytes(words: list[int]) -> bytes:
    return b"".join(word.to_bytes(WORD, "big") for word in words)


def _spread(count: int) -> list[int]:
    """Every word of a short list; of a long one the first, the last ones (the opening) and some between."""
    return [i for i in range(count) if count <= 24 or i % 9 < 2 or i >= count - 22]


def _changes(kept: Proven) -> Iterator[tuple[str, bytes, list[int], bytes]]:
    """(what, key, inputs, proof): a word one more, or the same value modulo r or q."""
    for part in ("key", "inputs", "proof"):
        words = kept.inputs if part == "inputs" else _words(getattr(kept, part))
        for place in _spread(len(words)):
            for by in (1, SCALAR_MODULUS, BASE_MODULUS):
                if words[place] + by > LARGEST or (by != 1 and place % 3):
                    continue
                changed = [*words[:place], words[place] + by, *words[place + 1 :]]
                yield (
                    f"{part}[{place}] + {by}",
                    _bytes(changed) if part == "key" else kept.key,
                    changed if part == "inputs" else kept.inputs,
                    _bytes(changed) if part == "proof" else kept.proof,
                )


@pytest.mark.parametrize("name", [*OWN, *ALL])
def test_a_kept_proof_is_accepted(golden_verifier: Callable[[str], Verifier], name: str) -> None:
    kept = golden(name)
    assert golden_verifier(name).verdict(kept.key, kept.inputs, kept.proof) == ACCEPTED


@pytest.mark.parametrize("name", snapshot())
def test_a_kept_proof_costs_what_the_snapshot_says(
    golden_verifier: Callable[[str], Verifier], name: str
) -> None:
    """Exactly; after a change that should: python -m tests.verifier_gen.gas_snapshot"""
    kept = golden(name)
    assert golden_verifier(name).gas_used(kept.key, kept.inputs, kept.proof) == snapshot()[name]


@pytest.mark.parametrize("lie", LIES)
def test_a_kept_lie_is_false(golden_verifier: Callable[[str], Verifier], lie: str) -> None:
    """Each fails one check only, the final one of the sumcheck or the opening: the verifier has both."""
    kept = golden_lie(lie)
    assert golden_verifier("head").verdict(kept.key, kept.inputs, kept.proof) == FALSE


@pytest.mark.parametrize("name", [*OWN, *ALL])
def test_a_changed_word_is_rejected(golden_verifier: Callable[[str], Verifier], name: str) -> None:
    kept, verifier = golden(name), golden_verifier(name)
    for what, key, inputs, proof in _changes(kept):
        assert verifier.verdict(key, inputs, proof) != ACCEPTED, what


@pytest.mark.parametrize("name", OWN)
def test_another_point_is_rejected(golden_verifier: Callable[[str], Verifier], name: str) -> None:
    """Inputs that are points of the curve, exchanged with their neighbours."""
    kept, verifier = golden(name), golden_verifier(name)
    scalars = len(kept.inputs) % 2 if name != "head" else 3
    for place in range(scalars, len(kept.inputs) - 2, 2):
        one, other = kept.inputs[place : place + 2], kept.inputs[place + 2 : place + 4]
        changed = [*kept.inputs[:place], *other, *one, *kept.inputs[place + 4 :]]
        if one != other:
            assert verifier.verdict(kept.key, changed, kept.proof) == FALSE, place


@pytest.mark.parametrize("name", [*OWN, *ALL])
def test_what_is_no_point_is_refused_by_its_name(
    golden_verifier: Callable[[str], Verifier], name: str
) -> None:
    """In place of the last point of the proof: off the curve, and the same point with a coordinate too large."""
    kept, verifier = golden(name), golden_verifier(name)
    *words, x, y = _words(kept.proof)
    for point in ((1, 1), (x, y ^ 1), (x + BASE_MODULUS, y), (x, y + BASE_MODULUS)):
        assert verifier.verdict(kept.key, kept.inputs, _bytes([*words, *point])) == "InvalidPoint", point


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("point", [(0, 5), (5, 0)])
def test_infinity_has_one_encoding(
    golden_verifier: Callable[[str], Verifier], name: str, point: tuple[int, int]
) -> None:
    """As an input: half of a point at infinity is none."""
    kept, verifier = golden(name), golden_verifier(name)
    inputs = [*kept.inputs[:-4], *point, *kept.inputs[-2:]]
    assert verifier.verdict(kept.key, inputs, kept.proof) == "InvalidPoint"


@pytest.mark.parametrize("name", [name for name in FAMILY_STATEMENTS if "gemma3 attention" in name])
def test_another_kind_of_layer_is_not_this_one(golden_verifier: Callable[[str], Verifier], name: str) -> None:
    kept, verifier = golden(name), golden_verifier(name)
    assert isinstance(kept.verifying_key, VerifyingKey)
    words = _words(kept.key)
    place = kept.verifying_key.plan.program.parameters.index("layer_kind")
    assert words[place] in (LOCAL, GLOBAL)
    words[place] ^= LOCAL ^ GLOBAL
    assert verifier.verdict(_bytes(words), kept.inputs, kept.proof) == FALSE


@pytest.mark.parametrize("name", OWN)
def test_lengths_are_exact(golden_verifier: Callable[[str], Verifier], name: str) -> None:
    kept, verifier = golden(name), golden_verifier(name)
    for proof in (b"", kept.proof[:-1], kept.proof[:-WORD], kept.proof + b"\0", kept.proof + bytes(WORD)):
        assert verifier.verdict(kept.key, kept.inputs, proof) == "WrongLength"
    for inputs in ([], kept.inputs[:-1], kept.inputs[:-2], [*kept.inputs, 0], [*kept.inputs, 0, 0]):
        assert verifier.verdict(kept.key, inputs, kept.proof) == "WrongLength"
    for key in (kept.key[:-1], kept.key[:-64], kept.key + b"\0", kept.key + bytes(64)):
        if key != kept.key:
            assert verifier.verdict(key, kept.inputs, kept.proof) == "WrongLength"


# --- exact limits -----------------------------------------------------------------------------------------------


def _scalar_places(kept: Proven) -> list[int]:
    """Words of the proof that are scalars, from its shape."""
    key = kept.verifying_key
    assert isinstance(key, VerifyingKey)
    context_bits = WINDOW_BITS + (kept.inputs[0].bit_length() if key.plan.program.has_context else 0)
    shape = ProofShape.of(key.plan, context_bits, key.chunk_bits)
    kinds = ["q"] * 2 * (shape.commitments + shape.inverses)
    opening = [kind for f in fields(MercuryOpening) for kind in (("q", "q") if f.type == "Point" else ("r",))]
    kinds += ["r"] * (shape.words - len(kinds) - len(opening)) + opening
    return [place for place, kind in enumerate(kinds) if kind == "r"]


@pytest.mark.parametrize("name", ["head", "mlp", "attention of window 2", "private mlp"])
def test_the_order_of_the_field_is_no_scalar(golden_verifier: Callable[[str], Verifier], name: str) -> None:
    """It would be a second encoding of zero. What comes after a wrong final value is not even read."""
    kept, verifier = golden(name), golden_verifier(name)
    places, words = _scalar_places(kept), _words(kept.proof)
    verdicts = []
    for place in places:
        changed = [*words[:place], SCALAR_MODULUS, *words[place + 1 :]]
        verdicts.append(verifier.verdict(kept.key, kept.inputs, _bytes(changed)))
    assert set(verdicts) == {"NotCanonical"}
    changed = [*words[: places[0]], SCALAR_MODULUS - 1, *words[places[0] + 1 :]]
    assert verifier.verdict(kept.key, kept.inputs, _bytes(changed)) == FALSE


@pytest.mark.parametrize(
    ("name", "index", "largest"),
    [
        ("head", 0, 31),
        ("head", 1, (1 << 13) - 1),
        ("head", 2, (1 << 64) - 1),
        ("attention of window 2", 0, 7),
        ("keys and values of window 5", 0, 7),
    ],
)
def test_public_integers_have_limits(
    golden_verifier: Callable[[str], Verifier], name: str, index: int, largest: int
) -> None:
    kept, verifier = golden(name), golden_verifier(name)
    for value in (largest + 1, LARGEST):
        inputs = [*kept.inputs[:index], value, *kept.inputs[index + 1 :]]
        assert verifier.verdict(kept.key, inputs, kept.proof) == "OutOfRange"
    inputs = [*kept.inputs[:index], largest, *kept.inputs[index + 1 :]]
    expected = ACCEPTED if inputs == kept.inputs else FALSE
    assert verifier.verdict(kept.key, inputs, kept.proof) == expected


@pytest.mark.parametrize("name", ["mlp", "attention of window 2"])
def test_shifts_have_limits(golden_verifier: Callable[[str], Verifier], name: str) -> None:
    kept, verifier = golden(name), golden_verifier(name)
    assert isinstance(kept.verifying_key, VerifyingKey)
    for index in range(len(kept.verifying_key.plan.program.parameters)):
        for shift, expected in ((0, "OutOfRange"), (17, "OutOfRange"), (LARGEST, "OutOfRange"), (1, FALSE)):
            words = _words(kept.key)
            words[index] = shift
            assert verifier.verdict(_bytes(words), kept.inputs, kept.proof) == expected, (index, shift)
        words = _words(kept.key)
        expected = ACCEPTED if words[index] == 16 else FALSE
        words[index] = 16
        assert verifier.verdict(_bytes(words), kept.inputs, kept.proof) == expected


# --- challenges that nobody will ever draw ----------------------------------------------------------------------

HALF = pow(2, -1, SCALAR_MODULUS)
DEGENERATE = [(2, 0), (2, 1), (2, SCALAR_MODULUS - 1), (5, 5), (2, HALF)]
"""(alpha, zeta): zeta = 0, zeta^2 = 1, zeta = alpha, zeta = 1/alpha."""


def test_degenerate_challenges_are_refused(evm: Evm) -> None:
    """In contracts whose challenges are constants; with others than the drawn ones, the opening is merely false."""
    kept = golden("head")
    assert isinstance(kept.verifying_key, VerifyingKey)
    source = step_verifier(kept.verifying_key, insecure=True)
    drawn = {
        name: f"challenge(LABEL_MERCURY_{name}, {size})"
        for name, size in (("ALPHA", "0x40"), ("ZETA", "0x80"))
    }
    assert all(source.count(text) == 1 for text in drawn.values())
    sources = {}
    for number, values in enumerate([*DEGENERATE, (2, 3)]):
        text = source.replace("contract HeadVerifier", f"contract Fixed{number}")
        for name, value in zip(drawn, values, strict=True):
            text = text.replace(drawn[name], hex(value))
        sources[f"Fixed{number}.sol"] = text
    artifacts = compile_sources(sources)
    verdicts = [
        evm.deploy(artifacts[f"Fixed{number}"].creation_code).verdict(kept.key, kept.inputs, kept.proof)
        for number in range(len(sources))
    ]
    assert verdicts == ["DegenerateChallenge"] * len(DEGENERATE) + [FALSE]
