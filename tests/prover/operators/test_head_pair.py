"""A head with a bias: one more number per token, in the first padded channel of its row."""

from __future__ import annotations

import numpy as np
import pytest

from prover.check import Checker
from prover.field.arrays import MODULUS
from prover.operators.head_pair import BIAS_INPUT, HeadPair, RivalWins
from prover.program import Kind, Program, RunContext, Tensor
from prover.relations import Bits

HIDDEN, VOCABULARY = 5, 7
generator = np.random.default_rng(13)
N = generator.integers(-3_000, 3_000, HIDDEN)
HEAD = generator.integers(-20_000, 20_000, (VOCABULARY, HIDDEN + 1))
PROGRAM = Program(
    name="head",
    own_axes={"channel": Bits(3), "margin_limb": Bits(2)},
    inputs=tuple(Tensor(name, ("channel",), Kind.ROW) for name in ("n", "chosen", "rival")),
    operators=(HeadPair("n", "chosen", "rival", bias_channel=HIDDEN),),
    public_scalars=("strict",),
)


def logits() -> np.ndarray:
    context = RunContext(
        tensors={"n": N[None, :]}, parameters={}, matmul=lambda _, x: x @ HEAD.T, positions=np.arange(1)
    )
    PROGRAM.operators[0].run(context)
    return context.tensors["logits"][0]


def checker(chosen: int, rival: int) -> Checker:
    rows = {
        "n": np.pad(N, (0, 3)),
        "chosen": np.pad(HEAD[chosen], (0, 2)),
        "rival": np.pad(HEAD[rival], (0, 2)),
    }
    publics = {"strict": int(rival < chosen)}
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
