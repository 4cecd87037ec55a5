"""With challenges held fixed, each random number of a proof changes exactly the elements that it must, and hides each of them.

And with its own challenges, a second proof of the same statement shares no element with the first.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import pytest

import prover.prove
from prover.argument.transcript import Transcript
from prover.field.arrays import MODULUS
from prover.masks import MASK_CHUNKS, MaskLayout, complemented_places, mask_layout, places
from prover.proof import Proof
from prover.prove import prove
from tests.prover.private.statements import Private, private, seeded
from tests.prover.statements import MU, srs

OPENING = {"opening"}


class Fixed(Transcript):
    """Challenges that depend on their label only."""

    def challenge(self, label: str, words: Iterable[int] = (), index: int = 0) -> int:
        return random.Random(f"{label} {index}").randrange(2, MODULUS)


@pytest.fixture
def fixed_challenges(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("prover.statement.Transcript", Fixed)
    yield


@dataclass
class Draws:
    """The numbers that a proof draws, in order; one of them may be another one."""

    changed: int | None = None
    count: int = 0

    def __post_init__(self) -> None:
        self._source = seeded(77)

    def __call__(self) -> int:
        value = self._source()
        if self.count == self.changed:
            value = (value + 1) % MODULUS
        self.count += 1
        return value


def elements(proof: Proof) -> dict[str, object]:
    """Every element that is sent, by its place; the opening as one, for all of it depends on all that is opened."""
    found: dict[str, object] = {"opening": proof.opening, "blinding": proof.blinding}
    for name in ("commitments", "inverses", "evaluations"):
        found.update({f"{name}[{i}]": value for i, value in enumerate(getattr(proof, name))})
    for name in ("rounds", "reduction"):
        for i, message in enumerate(getattr(proof, name)):
            found.update({f"{name}[{i}][{d}]": value for d, value in enumerate(message)})
    return found


def _prove(case: Private, changed: int | None = None) -> tuple[Proof, int]:
    draws = Draws(changed)
    proof = prove(case.key, srs(), case.statement, case.tensors, blindings=case.blindings, scalar=draws)
    return proof, draws.count


@dataclass(frozen=True)
class Order:
    """Which draw is which: blindings of phase 1, M, A, A', blindings of the masks, blindings of phase 2."""

    first: int
    layout: MaskLayout
    rounds: int
    second: int

    @classmethod
    def of(cls, case: Private) -> Order:
        layout = mask_layout(case.key.plan)
        assert layout is not None
        first = len(case.proof.commitments) - len(MASK_CHUNKS)
        return cls(first, layout, len(case.proof.rounds), len(case.proof.inverses))

    def evaluation(self, index: int) -> int:
        return self.first + index

    def coefficient(self, round_: int, power: int) -> int:
        before = sum(self.layout.degree_of(i, self.rounds) for i in range(round_))
        return self.first + self.layout.evaluations + before + power - 1

    @property
    def chunks(self) -> int:
        return self.coefficient(self.rounds - 1, self.layout.last_degree) + 1

    def mask(self, chunk: int, entry: int) -> int:
        return self.chunks + chunk * len(complemented_places(MU)) + entry

    @property
    def mask_blindings(self) -> int:
        return self.chunks + len(complemented_places(MU)) + len(places(MU)) - 1

    @property
    def total(self) -> int:
        return self.mask_blindings + len(MASK_CHUNKS) + self.second


def _reduction(case: Private) -> set[str]:
    return {f"reduction[{i}][{d}]" for i in range(MU) for d in range(2)}


def _changed(case: Private, honest: Proof, draw: int) -> set[str]:
    before, after = elements(honest), elements(_prove(case, draw)[0])
    return {name for name in before if before[name] != after[name]}


def test_each_mask_changes_what_it_must(fixed_challenges: None) -> None:
    case = private("head")
    order, (honest, count) = Order.of(case), _prove(case)
    assert count == order.total, "a number is drawn that this test does not know"
    masks, last = len(case.proof.commitments) - 2, order.rounds - 1
    reduction = _reduction(case)
    coefficients = {f"rounds[{last}][{d}]" for d in range(order.layout.last_degree)}

    def check(draw: int, wanted: set[str], possible: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        found = _changed(case, honest, draw)
        assert wanted <= found <= wanted | possible, (draw, wanted ^ found)

    # a blinding: its commitment and b*
    check(0, {"commitments[0]", "blinding"})
    check(order.mask_blindings, {f"commitments[{masks}]", "blinding"})
    check(order.mask_blindings + 1, {f"commitments[{masks + 1}]", "blinding"})
    check(order.total - 1, {f"inverses[{order.second - 1}]", "blinding"})
    # a quadratic: its evaluation, the last round, all that is about A or A', whose claim it enters, and coefficients of
    # evaluations that are not sent, which multiply this one, hence b*
    for index in (0, order.layout.evaluations - 1):
        wanted = {f"commitments[{masks}]", f"commitments[{masks + 1}]", f"evaluations[{index}]", "opening"}
        check(order.evaluation(index), wanted, {*reduction, *coefficients, "blinding"})
        assert _changed(case, honest, order.evaluation(index)) & coefficients
    # a univariate: its round, and the constant of every later one
    for round_ in (0, 3, last):
        degree = order.layout.degree_of(round_, order.rounds)
        for power in (1, degree):
            later = {f"rounds[{i}][0]" for i in range(round_, order.rounds)}
            own = {f"rounds[{round_}][{power - 1}]"} if power > 1 else set()
            wanted = {f"commitments[{masks}]", f"commitments[{masks + 1}]", "opening", *later, *own}
            check(order.coefficient(round_, power), wanted, reduction)
    # an entry of a mask chunk, which A' makes up for
    check(order.mask(0, 5), {f"commitments[{masks}]", f"commitments[{masks + 1}]", "opening"}, reduction)
    check(order.mask(1, 5), {f"commitments[{masks + 1}]", "opening"}, reduction)
    assert _changed(case, honest, order.mask(0, 5)) & reduction == reduction


@pytest.mark.parametrize("kind", ["head", "mlp"])
def test_the_same_witness_twice_shares_no_element(kind: str) -> None:
    """Not even a coordinate or a coefficient; with the operating system's randomness, as provers have it."""
    case = private(kind)

    @cache
    def words(number: int) -> list[int]:
        proof = prove(case.key, srs(), case.statement, case.tensors, blindings=case.blindings)
        encoded = proof.encode()
        return [int.from_bytes(encoded[i : i + 32], "big") for i in range(0, len(encoded), 32)]

    assert len(set(words(0))) == len(words(0))
    assert not set(words(0)) & set(words(1))


Breakage = Callable[[pytest.MonkeyPatch], None]


def _deterministic_commitments(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(prover.prove, "blind", lambda point, blinding, base: point)
    patch.setattr(prover.prove, "draw_blinding", lambda scalar: 0)


def _one_commitment_forgotten(patch: pytest.MonkeyPatch) -> None:
    true: Callable[..., int] = prover.prove.draw_blinding
    seen: list[Callable[[], int]] = []

    def draw(scalar: Callable[[], int]) -> int:
        """Zero for the first commitment of a proof."""
        if scalar in seen:
            return true(scalar)
        seen.append(scalar)
        return 0

    patch.setattr(prover.prove, "draw_blinding", draw)


@pytest.mark.parametrize("breakage", [_deterministic_commitments, _one_commitment_forgotten])
def test_a_commitment_without_blinding_shows(breakage: Breakage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The field's known bug, made on purpose: the test above would notice it."""
    breakage(monkeypatch)
    case = private("head")
    first, second = (
        prove(case.key, srs(), case.statement, case.tensors, blindings=case.blindings, scalar=seeded(seed))
        for seed in (1, 2)
    )
    assert set(first.commitments) & set(second.commitments)


def test_public_proofs_are_deterministic() -> None:
    """What masks change: without them the same statement has one proof, by which it is known again."""
    from tests.prover.statements import proven

    public = proven("head")
    again = prove(public.verifying_key, srs(), public.statement, public.tensors)
    assert again == public.proof
