"""Weights other than the step key's are refused in whichever block they lie, and so are those of a block's neighbours in a chunk.

The sizes of other small shapes are not worth a cut in chunks of 2^16; those of this one are, so that axes are cut and blocks share a chunk.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from prover.architectures.llama import LlamaConfig
from prover.block_layout import Block
from prover.committed_values import commit_step_key
from prover.errors import ProofRejectedError
from prover.plan import Plan
from prover.prove import prove
from prover.quads import QUAD
from prover.statement import Statement, VerifyingKey
from prover.verify import verify
from tests.prover.architectures.random_models import random_statement
from tests.prover.operators.random_layers import Statement as Case
from tests.prover.operators.random_layers import input_points
from tests.prover.statements import srs
from tests.tampering.malicious_prover import MaliciousProver

MU, KIND = 14, "keys_values"
SHAPE = LlamaConfig(
    layers=1,
    hidden=280,  # 256 + 24
    heads=3,
    kv_heads=3,
    head_size=40,  # ten quads, 8 + 2
    feed_forward=40,
    vocabulary=50,
    rope_base=10_000,
    norm_epsilon=1e-6,
    max_positions=128,
)
PROGRAM = SHAPE.programs[KIND]
BLOCKS = Plan(PROGRAM, chunk_bits=MU).key_layout(MU).blocks


@cache
def _true() -> tuple[VerifyingKey, Case, Statement]:
    case = random_statement(SHAPE, KIND)
    key = VerifyingKey.create(case.program, srs(MU))
    return key, case, _statement(key, case)


def _statement(key: VerifyingKey, case: Case) -> Statement:
    """What a layer with these weights makes true."""
    step_key = commit_step_key(key.plan, srs(MU), case.parameters, case.tensors)
    return Statement(step_key, case.publics, input_points(key.plan, srs(MU), case.witness(), case.publics))


def _last_entry(block: Block, *, padding: bool) -> tuple[int, ...]:
    """The index of a block's last entry, or of its last real one: of a quad the last digit."""
    sizes = [PROGRAM.real_sizes[axis] for axis in PROGRAM.tensors[block.tensor].axes]
    last = {}
    for axis, piece in zip(block.axes, block.pieces, strict=True):
        end = piece.first + (1 << piece.bits)
        end *= QUAD if axis == len(sizes) - 1 else 1
        last[axis] = (end if padding else min(end, sizes[axis])) - 1
    return tuple(last[axis] for axis in sorted(last))


LIES = [
    (number, padding)
    for number, block in enumerate(BLOCKS)
    for padding in (False, True)
    if not padding or _last_entry(block, padding=True) != _last_entry(block, padding=False)
]


def test_the_shape_has_blocks_of_every_sort() -> None:
    assert {block.tensor for block in BLOCKS} == {"w_key", "w_value"} and len(BLOCKS) > 4
    assert {block.chunks for block in BLOCKS} == {0, 1} and any(padding for _, padding in LIES)
    key, case, statement = _true()
    verify(key, statement, prove(key, srs(MU), statement, case.witness()).encode())


@pytest.mark.parametrize(
    ("number", "padding"),
    [pytest.param(*lie, marks=() if sum(lie) % 3 == 0 else pytest.mark.long) for lie in LIES],
)
def test_another_entry_of_a_block_is_refused(number: int, padding: bool) -> None:
    """The liar computes with the entry that it would like, and then claims its own output or the true one's step key."""
    key, case, statement = _true()
    block = BLOCKS[number]
    weight = case.tensors[block.tensor].copy()
    weight[_last_entry(block, padding=padding)] += 9_000
    other = replace(case, tensors={**case.tensors, block.tensor: weight})
    lies = _statement(key, other)
    assert lies.key != statement.key
    assert padding or lies.inputs != statement.inputs
    for claimed, witness in (
        (replace(lies, key=statement.key), other.witness()),  # the entry, with the true weights' key
        (replace(statement, key=lies.key), case.witness()),  # the true weights, with the entry's key
    ):
        with pytest.raises(ProofRejectedError):
            verify(key, claimed, MaliciousProver(key, srs(MU), claimed, witness).adjust().encode())
