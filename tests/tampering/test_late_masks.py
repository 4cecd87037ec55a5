"""A prover of a private false statement that chooses a mask last, so that it makes up for the lie, is rejected.

Each attack is shown to be real first: under a transcript that does not absorb the commitments to the masks, and with the mask
changed once the challenge is known that the lie must survive, the reference verifier accepts it. With the true transcript
the changed commitment changes every challenge.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from prover.argument.commitment import commit_field
from prover.argument.reduction import AnyClaim
from prover.argument.transcript import Transcript
from prover.claims import Point as SymbolicPoint
from prover.claims import combine_claims, final_form
from prover.curve.g1 import add
from prover.errors import ProofRejectedError
from prover.evaluations import Evaluation
from prover.field import arrays
from prover.field.arrays import MODULUS
from prover.masks import MASK_COORDINATES, bump_at, complemented_places, eq_at, mask_layout
from prover.proof import Proof
from prover.statement import VerifyingKey
from prover.verify import verify
from tests.prover.private.statements import hide, private_key, seeded
from tests.prover.statements import srs
from tests.tampering.lies import Case, rival_wins
from tests.tampering.malicious_prover import MaliciousProver

LATE = ("mask of an evaluation", "coefficient of a round", "mask chunk")


class LateProver(MaliciousProver):
    """Changes one entry of A after eta, so that the verifier's claims are true of what it then says it committed to."""

    late = ""

    def _evaluations(self, point: SymbolicPoint, values: Any) -> dict[Evaluation, int]:
        self._truth = {**super(MaliciousProver, self)._evaluations(point, values)}
        if self.late == "coefficient of a round":
            self._adjusts = False
        return super()._evaluations(point, values)

    def _true_claims(self, *arguments: Any) -> tuple[list[AnyClaim], int]:  # type: ignore[override]
        key, point, _, sent, eta = arguments
        claims, value = combine_claims(key, point, self._final, sent, eta)
        plan, r, alpha = self.plan, point.challenges.r, point.challenges.alpha
        layout, masks = mask_layout(plan), self.masks
        assert layout is not None and masks is not None
        mistakes = [(i, (sent[e] - self._truth[e]) % MODULUS) for i, e in enumerate(plan.sent)]
        wrong = [(i, difference) for i, difference in mistakes if difference]
        if self.late == "coefficient of a round":
            assert not wrong
            form = final_form(point, sent)
            opened = sum(c * self._truth[e] for e, c in form.coefficients.items())
            excess = self._claim - form.constant - opened
            place, half = layout.last_round, pow(2, -1, MODULUS)
            scale = pow(alpha, plan.mask_power, MODULUS) * (r[-1] - half)
            change = excess * pow(scale, -1, MODULUS) % MODULUS
        else:
            ((index, difference),) = wrong
            if self.late == "mask of an evaluation":
                place, change = index, difference * pow(bump_at(r[-1]), -1, MODULUS) % MODULUS
            else:
                place = complemented_places(self.srs.mu)[3]
                last = len(plan.sent) + len(plan.short_outputs(self.srs.mu)) + 1
                weight = pow(eta, last, MODULUS) * eq_at(place, MASK_COORDINATES[0], self.srs.mu)
                change = pow(eta, index + 1, MODULUS) * difference * pow(weight, -1, MODULUS) % MODULUS
        if place < 1 << layout.bits:  # the masks' own claim is about all of A
            self._repair(masks.chunks, place, change)
        masks.chunks[0][place] = (masks.chunks[0].get(place, 0) + change) % MODULUS
        self.changes[0] = [(place, change)]
        return claims, value

    def _repair(self, chunks: tuple[dict[int, int], dict[int, int]], place: int, change: int) -> None:
        """Keep A(2, .., 2) + A'(3, .., 3) zero."""
        mu, (c, d) = self.srs.mu, MASK_COORDINATES
        amount = -change * eq_at(place, c, mu) * pow(eq_at(0, d, mu), -1, MODULUS) % MODULUS
        chunks[1][0] = (chunks[1][0] + amount) % MODULUS
        self.changes[1] = [(0, amount)]

    def attack(self, late: str) -> Proof:
        """The proof, with the commitments that its masks have in the end."""
        self.late, self.changes = late, dict[int, list[tuple[int, int]]]()
        proof = self._complete()
        points = list(proof.commitments)
        for chunk, changes in self.changes.items():
            places = [place for place, _ in changes]
            bases = np.ascontiguousarray(self.srs.g1[places])
            moved = commit_field(bases, arrays.from_ints([change for _, change in changes]))
            points[len(points) - 2 + chunk] = add(points[len(points) - 2 + chunk], moved)
        return replace(proof, commitments=tuple(points))


class DeafToMasks(Transcript):
    """Does not absorb the commitments to A and A'."""

    def challenge(self, label: str, words: Iterable[int] = (), index: int = 0) -> int:
        listed = list(words)
        return super().challenge(label, listed[:-4] if label == "beta" else listed, index)


@dataclass
class Lie:
    case: Case
    key: VerifyingKey

    @classmethod
    def about_the_head(cls) -> Lie:
        case = Case.true("head")
        rival_wins(case)
        return cls(case, private_key(case.key))

    def prover(self) -> LateProver:
        self.statement, blindings = hide(self.key, self.case.statement, seeded(3))
        return LateProver(self.key, srs(), self.statement, self.case.tensors, blindings=blindings)

    def accepted(self, proof: Proof) -> bool:
        try:
            verify(self.key, self.statement, proof.encode())
        except ProofRejectedError:
            return False
        return True


@pytest.mark.parametrize("late", LATE)
def test_a_mask_that_is_chosen_last_makes_up_for_nothing(late: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lie = Lie.about_the_head()
    proof = lie.prover().attack(late)
    assert not lie.accepted(proof)
    monkeypatch.setattr("prover.statement.Transcript", DeafToMasks)
    proof = lie.prover().attack(late)
    assert lie.accepted(proof), "the attack is not one: this test could not fail"


def test_a_private_lie_without_more_is_rejected() -> None:
    """Masks that were committed in time do not help, nor does another b*."""
    lie = Lie.about_the_head()
    liar = lie.prover()
    proofs = MaliciousProver(
        lie.key, srs(), lie.statement, lie.case.tensors, blindings=liar._of_statement
    ).cheat()
    for proof in proofs.values():
        assert not lie.accepted(proof)
        for blinding in (0, 1, (proof.blinding[0] + 1) % MODULUS, -proof.blinding[0] % MODULUS):
            assert not lie.accepted(replace(proof, blinding=(blinding,)))


def test_the_malicious_prover_proves_what_is_true_of_private_statements() -> None:
    """The control: without a lie the same machinery is accepted."""
    case = Case.true("head")
    key = private_key(case.key)
    statement, blindings = hide(key, case.statement, seeded(3))
    for proof in MaliciousProver(key, srs(), statement, case.tensors, blindings=blindings).cheat().values():
        verify(key, statement, proof.encode())
