"""Private statements are proven and checked; what only they have is bound like everything else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from prover.architectures.audit_steps import statement_programs
from prover.curve.g1 import GENERATOR, INFINITY, add, is_on_curve, multiply
from prover.errors import BadInputError, ProofRejectedError
from prover.field.arrays import MODULUS
from prover.hiding import Blindings, blind, blinding_base, draw_blinding
from prover.masks import MASK_CHUNKS, mask_layout
from prover.plan import PRIVATE, Plan
from prover.proof import ProofShape
from prover.prove import prove
from prover.statement import VerifyingKey
from prover.verify import verify
from tests.prover.architectures.random_models import FAMILIES
from tests.prover.operators.random_layers import SMALL
from tests.prover.private.statements import Private, hidden, hide, private, seeded
from tests.prover.statements import CASES, MU, proven, public_statement, srs

SEEN = ("head", "mlp")
EXTRA_BYTES = 288


def accepts(statement: Private, encoded: bytes) -> bool:
    try:
        verify(statement.key, statement.statement, encoded)
    except ProofRejectedError:
        return False
    return True


@pytest.mark.parametrize(
    ("kind", "window"),
    [
        ("head", 0),
        ("mlp", 0),
        ("keys_values", 3),
        ("attention", 2),
        ("mlp_tile", 0),
        ("attention_close", 0),
        *(pytest.param(kind, window, marks=pytest.mark.long) for kind, window in CASES),
    ],
)
def test_every_kind_of_step(kind: str, window: int) -> None:
    statement, public = private(kind, window), proven(kind, window)
    encoded = statement.proof.encode()
    assert accepts(statement, encoded)
    assert 0 < len(encoded) - len(public.proof.encode()) <= EXTRA_BYTES
    shape = ProofShape.of(statement.key.plan, statement.statement.context_bits(statement.key.plan), MU)
    assert shape.decode(encoded) == statement.proof


@pytest.mark.long
def test_a_statement_of_which_chunks_are_padding() -> None:
    """What is not committed to has no blinding either."""
    from tests.verifier_gen.statements import prove_random

    proven = prove_random("private attention", srs(12), 7, SMALL)
    plan = proven.verifying_key.plan  # type: ignore[union-attr]
    assert any(len(zone.committed(8, 12)) < zone.chunks(8, 12) for zone in plan.zones)
    assert proven.python_accepts(proven.key, proven.inputs, proven.proof)


@pytest.mark.long
@pytest.mark.parametrize(
    ("family", "kind"),
    [(family, kind) for family, config in FAMILIES.items() for kind in statement_programs(config)],
)
def test_every_family(family: str, kind: str) -> None:
    from tests.prover.architectures.proven import public_statement as of_family

    statement = hidden(*of_family(FAMILIES[family], kind, layer=0))
    assert accepts(statement, statement.proof.encode())


def test_public_and_private_keys_are_not_each_others() -> None:
    """A private proof is none of the public statement, nor the other way round; the digests differ."""
    statement, public = private("mlp"), proven("mlp")
    assert statement.key.digest != public.verifying_key.digest
    with pytest.raises(ProofRejectedError, match="bytes"):
        verify(statement.key, statement.statement, public.proof.encode())
    with pytest.raises(ProofRejectedError, match="bytes"):
        verify(public.verifying_key, public.statement, statement.proof.encode())


def test_the_page_says_how_long_masks_are() -> None:
    """Degrees of the last round and entries of M, over all families and the shortest and longest statements."""
    degrees, entries = set(), set()
    for config in FAMILIES.values():
        for program in statement_programs(config).values():
            plan = Plan(program, chunk_bits=18, privacy=PRIVATE)
            layout = mask_layout(plan)
            assert layout is not None
            degrees.add(layout.last_degree)
            entries |= {layout.entries(plan.variables(t)) for t in (5, plan.largest_context_bits)}
    page = (Path(__file__).parents[3] / "docs" / "zero-knowledge.md").read_text()
    *most, largest = sorted(degrees)
    assert f"({', '.join(map(str, most))} or {largest} for all families)" in page
    assert f"{min(entries)} to {max(entries)} numbers for the shapes of the tests" in page


def test_a_key_says_privacy() -> None:
    key = VerifyingKey.create(proven("head").verifying_key.plan.program, srs(), PRIVATE)
    assert key == private("head").key or key.digest == private("head").key.digest
    with pytest.raises(ValueError, match="privacy is 'secret'"):
        Plan(key.plan.program, privacy="secret")  # type: ignore[arg-type]


def test_every_part_of_the_masks_is_in_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verifiers that differ in where masks lie, or of which degree they are, have different digests."""
    import prover.canonical_form as form

    public = private("mlp").key
    layout = mask_layout(public.plan)
    assert layout is not None
    digests = {public.digest}
    for name, changed in (
        ("mask_layout", lambda plan: replace(layout, last_degree=layout.last_degree + 1)),
        ("mask_layout", lambda plan: replace(layout, bits=layout.bits + 1)),
        ("places", lambda bits: (0, 1)),
        ("complemented_places", lambda bits: (0, 1)),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(form, name, changed)
            digests.add(replace(public).digest)
    assert len(digests) == 5


# --- tampering ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SEEN)
def test_what_only_a_private_proof_has_is_bound(kind: str) -> None:
    """The commitments to the masks, the longer last round, every masked evaluation, b*."""
    statement, proof = private(kind), private(kind).proof
    count = len(MASK_CHUNKS)
    masks = proof.commitments[-count:]
    moved = [add(point, GENERATOR) for point in masks]
    others = [
        *(replace(proof, commitments=(*proof.commitments[:-count], *p)) for p in ((moved[0], masks[1]),)),
        replace(proof, commitments=(*proof.commitments[:-1], moved[1])),
        replace(proof, commitments=(*proof.commitments[:-count], *masks[::-1])),
        replace(proof, blinding=((proof.blinding[0] + 1) % MODULUS,)),
        replace(proof, blinding=(0,)),
    ]
    for index in range(len(proof.rounds[-1])):
        last = list(proof.rounds[-1])
        last[index] = (last[index] + 1) % MODULUS
        others.append(replace(proof, rounds=(*proof.rounds[:-1], tuple(last))))
    for index, value in enumerate(proof.evaluations):
        evaluations = list(proof.evaluations)
        evaluations[index] = (value + 1) % MODULUS
        others.append(replace(proof, evaluations=tuple(evaluations)))
    assert not any(accepts(statement, other.encode()) for other in others)
    with pytest.raises(ProofRejectedError, match=r"blinding\[0\] is not a canonical scalar"):
        verify(
            statement.key,
            statement.statement,
            replace(proof, blinding=(proof.blinding[0] + MODULUS,)).encode(),
        )


def test_the_statement_of_a_private_proof_is_bound() -> None:
    """Hiding commitments of other weights, windows or blindings are another statement."""
    case = private("mlp")
    key, inputs = case.statement.key, case.statement.inputs
    base = blinding_base(case.key.srs_digest)
    for index in range(len(inputs)):
        moved = (*inputs[:index], add(inputs[index], base), *inputs[index + 1 :])
        with pytest.raises(ProofRejectedError):
            verify(case.key, replace(case.statement, inputs=moved), case.proof.encode())
    for index in range(len(key.points)):
        points = (*key.points[:index], add(key.points[index], base), *key.points[index + 1 :])
        with pytest.raises(ProofRejectedError):
            verify(case.key, replace(case.statement, key=replace(key, points=points)), case.proof.encode())


# --- blindings ----------------------------------------------------------------------------------------------


def test_h_is_a_point_whose_logarithm_nobody_chose() -> None:
    """On the curve, another for every SRS, not the generator, with the canonical sign."""
    first, second = blinding_base(bytes(32)), blinding_base(b"\1" * 32)
    assert first != second
    for point in (first, second):
        assert is_on_curve(point) and point not in (INFINITY, GENERATOR) and point[1] % 2 == 0
    assert blind(GENERATOR, 5, first) == add(GENERATOR, multiply(first, 5))


def test_a_prover_needs_a_blinding_for_every_commitment() -> None:
    case = private("mlp")
    good = case.blindings
    for wrong, message in (
        (None, "needs the blindings"),
        (replace(good, inputs=good.inputs[:-1]), r"blindings.inputs has 1 numbers for 2"),
        (replace(good, key=()), r"blindings.key has 0 numbers"),
        (replace(good, key=(0, *good.key[1:])), r"blindings.key\[0\] is zero"),
        (replace(good, inputs=(*good.inputs[:-1], MODULUS)), "not a field element"),
    ):
        with pytest.raises(BadInputError, match=message):
            prove(case.key, srs(), case.statement, case.tensors, blindings=wrong)
    public = proven("mlp")
    with pytest.raises(BadInputError, match="a public mlp statement has no blindings"):
        prove(public.verifying_key, srs(), public.statement, public.tensors, blindings=good)


def test_a_zero_blinding_of_an_opening_row_is_refused() -> None:
    """Both rows of a head statement and its window are secret; what nobody wrote is not."""
    case = private("head")
    for index in range(3):
        zero = (*case.blindings.inputs[:index], 0, *case.blindings.inputs[index + 1 :])
        with pytest.raises(BadInputError, match=rf"inputs\[{index}\] is zero, so its commitment hides"):
            Blindings((), zero).check(case.statement)
    unwritten = replace(case.statement, inputs=(INFINITY, *case.statement.inputs[1:]))
    Blindings((), (0, *case.blindings.inputs[1:])).check(unwritten)


def test_blindings_do_not_show_when_printed() -> None:
    assert repr(private("head").blindings) == "Blindings()"


def test_a_blinding_is_never_zero() -> None:
    values = iter([0, 0, 7])
    assert draw_blinding(lambda: next(values)) == 7


def test_wrong_blindings_prove_nothing() -> None:
    """The proof is made, for nobody knows the content of a hiding commitment, and rejected."""
    case = private("head")
    wrong = replace(case.blindings, inputs=(case.blindings.inputs[0] + 1, *case.blindings.inputs[1:]))
    proof = prove(case.key, srs(), case.statement, case.tensors, blindings=wrong)
    assert not accepts(case, proof.encode())


def test_hiding_again_gives_other_points() -> None:
    key, statement, _ = public_statement("mlp")
    one, _ = hide(key, statement, seeded(5))
    other, _ = hide(key, statement, seeded(6))
    for a, b, plain in (
        (one.inputs, other.inputs, statement.inputs),
        (one.key.points, other.key.points, statement.key.points),
    ):
        assert not set(a) & set(b) and not set(a) & set(plain)
