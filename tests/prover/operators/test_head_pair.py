"""Pairs of tokens at a head with a bias: one more number per token, in the first padded channel of its row."""

from __future__ import annotations

import numpy as np
import pytest

from prover.check import Checker
from prover.field.arrays import MODULUS
from prover.operators.head_pair import BIAS_INPUT, HeadPair, RivalWins
from prover.program import Kind, Program, RunContext, Tensor
from prover.relations import Bits
from prover.sampling import UNIT, ZERO, Sampling, head_publics

HIDDEN, VOCABULARY, SCALE = 5, 7, 28
generator = np.random.default_rng(13)
N = generator.integers(-3_000, 3_000, HIDDEN)
HEAD = generator.integers(-20_000, 20_000, (VOCABULARY, HIDDEN + 1))
PROGRAM = Program(
    name="head",
    own_axes={"channel": Bits(3), "margin_limb": Bits(2)},
    inputs=tuple(Tensor(name, ("channel",), Kind.ROW) for name in ("n", "chosen", "rival")),
    operators=(HeadPair("n", "chosen", "rival", bias_channel=HIDDEN),),
    public_scalars=("factor", "offset"),
)


def logits() -> np.ndarray:
    context = RunContext(
        tensors={"n": N[None, :]}, parameters={}, matmul=lambda _, x: x @ HEAD.T, positions=np.arange(1)
    )
    PROGRAM.operators[0].run(context)
    return context.tensors["logits"][0]


def checker(chosen: int, rival: int, publics: dict[str, int] | None = None) -> Checker:
    rows = {
        "n": np.pad(N, (0, 3)),
        "chosen": np.pad(HEAD[chosen], (0, 2)),
        "rival": np.pad(HEAD[rival], (0, 2)),
    }
    publics = publics or head_publics(None, SCALE, 0, chosen, rival)
    return Checker(PROGRAM, PROGRAM.witness(rows, {}, publics, 0), {}, publics, 0)


def test_logits_hold_the_bias() -> None:
    assert np.array_equal(logits(), HEAD[:, :HIDDEN] @ N + BIAS_INPUT * HEAD[:, HIDDEN])


def test_the_argmax_beats_every_rival_and_nothing_else_does() -> None:
    values = logits()
    best = int(values.argmax())
    for rival in range(VOCABULARY):
        if rival == best:
            continue
        made = checker(best, rival)
        assert [v for relation in PROGRAM.relations if (v := made.violation(relation))] == []
        margin = values[best] - values[rival] + (best < rival)  # a tie goes to the smaller id
        with pytest.raises(RivalWins, match=f"by {margin} "):
            checker(rival, best)


def test_the_bias_decides_between_equal_rows() -> None:
    """Two tokens whose rows differ in the bias alone: the larger bias wins, by 2^15 times the difference."""
    original = HEAD[1].copy()
    try:
        HEAD[1] = HEAD[0]
        HEAD[1, HIDDEN] += 1
        checker(1, 0)
        with pytest.raises(RivalWins, match=str(BIAS_INPUT)):
            checker(0, 1)
    finally:
        HEAD[1] = original


def test_the_margin_reads_both_biases() -> None:
    values = logits()
    best, worst = int(values.argmax()), int(values.argmin())
    made = checker(best, worst)
    for name in ("chosen", "rival"):
        row = np.pad(HEAD[best if name == "chosen" else worst], (0, 2)).astype(object)
        row[HIDDEN] = (row[HIDDEN] + 1) % MODULUS
        assert [v.relation for v in made.violations_with(name, row)] == ["margin"]


@pytest.mark.parametrize(
    ("min_p", "seeds"), [(250, 4), *(pytest.param(min_p, 12, marks=pytest.mark.long) for min_p in (0, 250))]
)
def test_pairs_decide_what_is_sampled(min_p: int, seeds: int) -> None:
    """Against every rival exactly one of two: the rule's token has a proof; against the right rival no other token has."""
    values = logits()
    for seed in range(seeds):
        rule = Sampling(1500, seed, min_p)
        (token,) = map(int, rule.choose(values[None, :], 40, SCALE))
        largest = int(values.argmax())

        def provable(chosen: int, rival: int, rule: Sampling = rule) -> bool:
            for winner in range(VOCABULARY) if rule.min_p else (chosen,):
                if winner == rival:
                    continue
                publics = head_publics(rule, SCALE, 40, chosen, rival, winner)
                try:
                    made = checker(winner, rival, publics)
                except RivalWins:
                    continue
                assert [v for relation in PROGRAM.relations if (v := made.violation(relation))] == []
                return True
            return False

        for other in set(range(VOCABULARY)) - {token}:
            assert provable(token, other), (seed, token, other)
            rival = token if rule.is_candidate(values, other, SCALE) else largest
            assert not provable(other, rival), (seed, token, other)


def test_the_largest_differences_have_proofs() -> None:
    """A factor and an offset at their bounds, against the largest difference of logits that the operator's bounds allow."""
    factor, room = UNIT << 3, (1 << 60) - 1
    n, row = np.array([(1 << 17) - 1] + [0] * 7), np.zeros(8, np.int64)
    row[0] = (1 << 32) - 1  # 2^13 channels of (2^19 - 1) in one
    for sign in (1, -1):
        publics = {"factor": factor, "offset": ZERO + sign * room}
        rows = {"n": n, "chosen": row, "rival": -row}
        made = Checker(PROGRAM, PROGRAM.witness(rows, {}, publics, 0), {}, publics, 0)
        assert [v for relation in PROGRAM.relations if (v := made.violation(relation))] == []
    assert factor * ((1 << 50) - 1) + room < 1 << 64
