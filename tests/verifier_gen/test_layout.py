"""The last region of a verifier's memory holds the longest absorption: behind it lie values that it must not overwrite."""

from __future__ import annotations

from itertools import pairwise

import pytest

from prover.program import WINDOW_BITS
from prover.proof import ProofShape
from prover.statement import VerifyingKey, input_count
from tests.verifier_gen.golden_proofs import STATEMENTS, golden
from verifier_gen.layout import StepLayout

STEPS = [name for name, (kind, *_) in STATEMENTS.items() if kind != "embedding"]


@pytest.mark.parametrize("name", STEPS)
def test_the_longest_absorption_fits(name: str) -> None:
    kept = golden(name)
    key = kept.verifying_key
    assert isinstance(key, VerifyingKey)
    layout = StepLayout(key)
    last_window = {"window": (1 << (layout.largest_context_bits - WINDOW_BITS)) - 1}
    points = input_count(key.plan, last_window, key.chunk_bits)
    inputs = len(key.plan.program.public_scalars) + 2 * points
    assert inputs >= len(kept.inputs)
    shape = ProofShape.of(key.plan, layout.largest_context_bits, key.chunk_bits)
    last = layout.memory.regions[-1]
    assert last.name == "WORDS"
    assert last.words >= 3 + inputs
    assert last.words >= 2 * max(shape.commitments, shape.inverses)
    assert last.words >= len(key.plan.sent)
    assert layout.memory.end == last.end


@pytest.mark.parametrize("name", STEPS)
def test_products_of_n_coordinates_have_a_word_for_every_n(name: str) -> None:
    """n from none to all; the last two regions are the inputs of precompiles."""
    key = golden(name).verifying_key
    assert isinstance(key, VerifyingKey)
    layout = StepLayout(key)
    words = {region.name: region.words for region in layout.memory.regions}
    rounds = words["POINT"]
    expected = {"PADDING": rounds + 1, "EQ_RHO": rounds + 1, "EQ_ZERO": key.chunk_bits + 1}
    expected |= {"EQ_POINT": min(key.chunk_bits, rounds) + 1, "SUM": 2, "TERM": 2, "FACTOR": 3, "PAIRING": 12}
    assert {region: words[region] for region in expected} == expected
    longest = max(
        sum(part.width.resolve(layout.largest_context_bits) for part in evaluation.parts)
        for evaluation in key.plan.evaluations
    )
    assert words["CLAIM_POINT"] >= max(key.chunk_bits, longest)


@pytest.mark.parametrize("name", STEPS)
def test_regions_follow_each_other(name: str) -> None:
    key = golden(name).verifying_key
    assert isinstance(key, VerifyingKey)
    regions = StepLayout(key).memory.regions
    assert all(region.words >= 0 for region in regions)
    assert all(one.end == following.address for one, following in pairwise(regions))
