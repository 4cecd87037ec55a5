"""For shapes of all families that nobody chose, a generated verifier multiplies every commitment with the number that the reference has.

Between the last challenge and the first precompile a verifier is arithmetic: it is run as Python (yul.py), without a proof, at random
challenges. Coefficients of chunks whose commitment happens to be infinity are compared too, which no proof can do.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from contracts.bindings.compiler import compile_sources
from prover.architectures import ModelConfig
from prover.architectures.llama import LlamaConfig
from prover.argument.reduction import chunk_coefficients
from prover.claims import Challenges, Point, combine_claims
from prover.committed_values import commit_step_key
from prover.curve.g1 import GENERATOR, add, negate
from prover.errors import GainsayError
from prover.field.arrays import MODULUS
from prover.hidden_points import hide
from prover.masks import MASK_CHUNKS
from prover.operators.head_pair import RivalWins
from prover.plan import PRIVATE, PUBLIC, Plan
from prover.prove import prove
from prover.statement import TABLES, WEIGHTS, Statement, StepKey, VerifyingKey
from prover.zones import Gaps, Zone
from tests.prover.architectures.random_models import FAMILIES, random_statement
from tests.prover.operators.random_layers import input_points
from tests.prover.private.statements import seeded
from tests.prover.statements import srs
from tests.verifier_gen.evm import ACCEPTED, Evm
from tests.verifier_gen.golden_proofs import SEVERAL_CHUNKS, SEVERAL_CHUNKS_OF_TILES, WIDE
from tests.verifier_gen.random_shapes import Drawn, random_plans
from tests.verifier_gen.statements import REAL, Proven
from tests.verifier_gen.yul import Contract, Unwritten
from verifier_gen import CONTRACTS
from verifier_gen.generator import TEMPLATES, step_verifier

LARGEST_CODE = 24_576
_NO_POINT = ((0, 0), (0, 0))
FAR_PIECES = LlamaConfig(
    layers=1,
    hidden=96,
    heads=1,
    kv_heads=1,
    head_size=4,
    feed_forward=273,
    vocabulary=50,
    rope_base=10_000,
    norm_epsilon=1e-6,
    max_positions=128,
)
"""273 = 256 + 16 + 1: the last piece of a hidden axis has one entry, and all nine of its coordinates are in front."""


THREE_PIECES = replace(REAL, hidden=896, heads=14, kv_heads=2)
"""896 = 512 + 256 + 128."""
CASES = [
    *((f"smollm2 {kind}", REAL, kind, 18, window) for kind, window in (("mlp", 0), ("attention", 5), ("keys_values", 3))),
    ("896 channels", THREE_PIECES, "attention", 18, 1),
    ("wide mlp", WIDE, "mlp", 14, 0),
    ("attention over one chunk", SEVERAL_CHUNKS, "attention", 14, 3),
    ("attention over two chunks", SEVERAL_CHUNKS, "attention", 14, 4),
    ("heads of four chunks", REAL, "attention", 14, 40),
    ("tile over two chunks", SEVERAL_CHUNKS_OF_TILES, "attention_tile", 14, 4),
    ("keys of two chunks come first", replace(FAMILIES["deepseek-v3-tiled"], max_positions=512), "attention_tile", 10, 9),
    *((f"{family} {kind}", config, kind, 12, 2) for family, config in FAMILIES.items() for kind in config.programs),
]  # fmt: skip


def key_without_srs(plan: Plan, chunk_bits: int) -> VerifyingKey:
    """A verifying key of which only points are missing."""
    tables = (GENERATOR,) * plan.table_layout(chunk_bits).chunks
    return VerifyingKey(plan, chunk_bits, bytes(32), _NO_POINT, _NO_POINT, tables)


class Both:
    """A generated verifier and the reference, with the same statement and the same challenges, none of which anybody chose."""

    def __init__(self, drawn: Drawn) -> None:
        draw = random.Random(str(drawn))
        self.plan, self.mu = drawn.plan, drawn.chunk_bits
        program, key = self.plan.program, key_without_srs(drawn.plan, drawn.chunk_bits)
        publics = {name: draw.randrange(bound) for name, bound in program.public_scalars.items()}
        if "window" in publics:
            publics["window"] = drawn.window
        parameters = [draw.randrange(1, program.parameter_limit(name) + 1) for name in program.parameters]
        self.statement = Statement(StepKey(tuple(parameters), ()), publics, ())
        self.context_bits = self.statement.context_bits(self.plan)
        rounds = self.plan.variables(self.context_bits)

        def vector(length: int) -> list[int]:
            return [draw.randrange(MODULUS) for _ in range(length)]

        rho, r, q, sent = vector(rounds), vector(rounds), vector(self.mu), vector(len(self.plan.sent))
        beta, gamma, alpha, eta, final = vector(5)
        point = Point(self.plan, self.statement, self.context_bits, Challenges(beta, gamma, alpha, rho, r))
        values = dict(zip(self.plan.sent, sent, strict=True))
        claims, self.value = combine_claims(key, point, final, values, eta)
        self.expected = {chunk: value for chunk, value in chunk_coefficients(claims, q).items() if value}

        contract = self.contract = Contract(step_verifier(key, insecure=True))
        contract.write("MODULUS", MODULUS)
        contract.write("CONTEXT_BITS", self.context_bits)
        contract.write("ROUNDS", rounds)
        for name, value in publics.items():
            contract.write(f"PUBLIC_{name.upper()}", value)
        for name, value in zip(program.parameters, parameters, strict=True):
            contract.write(f"PARAMETER_{name.upper()}", value)
        etas = (contract.constants["OPENED"] - contract.constants["ETA_POWERS"]) // 32
        contract.write("ALPHA_POWERS", *(pow(alpha, k, MODULUS) for k in range(self.plan.powers)))
        contract.write("ETA_POWERS", *(pow(eta, k, MODULUS) for k in range(etas)))
        contract.write("BETA", beta)
        contract.write("GAMMA", gamma)
        contract.write("RHO_END", *rho, end=True)
        contract.write("POINT_END", *r, end=True)
        contract.write("REDUCED", *q)
        contract.write("EVALUATIONS", *sent)
        contract["multiply_point_products"](rounds)
        self.found = contract["combined_value"](final)
        contract["multiply_reduced_products"](rounds)

    @property
    def steps(self) -> list[str]:
        """The functions that make coefficients, in the order in which the verifier calls them."""
        calls = self.contract.calls
        return calls[calls.index("prepare_slots") : calls.index("combine_commitments")]

    def coefficients(self) -> dict[Hashable, int]:
        """What they left in memory, by chunk."""
        plan, mu = self.plan, self.mu
        regions: list[tuple[str, Hashable, int]] = [
            ("C_STEP_KEY", WEIGHTS, plan.key_layout(mu).chunks),
            ("C_TABLES", TABLES, plan.table_layout(mu).chunks),
        ]
        for tensor in plan.program.inputs:
            count = plan.input_points(tensor, self.statement.publics, mu)
            regions.append((f"C_{tensor.name.upper()}", tensor.name, count))
        found: dict[Hashable, int] = {
            (source, index): self.contract.read(region, index)
            for region, source, count in regions
            for index in range(count)
        }
        for number, zone in enumerate(plan.zones):
            for index in zone.committed(self.context_bits, mu):
                found[number, index] = self.contract.read(f"C_ZONE_{number}", index)
        if plan.privacy == PRIVATE:
            found |= {chunk: self.contract.read("C_MASKS", n) for n, chunk in enumerate(MASK_CHUNKS)}
        return found


def compare(plans: Iterable[Drawn]) -> Counter[str]:
    """How much was compared: statements, coefficients that are not zero, and the ways in which weights lie."""
    seen: Counter[str] = Counter()
    for drawn in plans:
        both = Both(drawn)
        assert both.found == both.value, drawn
        for name in both.steps:
            both.contract[name]()
        found = both.coefficients()
        assert {chunk: value for chunk, value in found.items() if value} == both.expected, drawn
        for zone in drawn.plan.zones:
            if zone.gaps is not None:
                committed = len(zone.committed(both.context_bits, both.mu))
                assert both.contract["count_filled"](zone.gaps.filled, zone.gaps.run_bits) == committed, drawn
                seen["chunks left out"] += zone.chunks(both.context_bits, both.mu) - committed
        layout = drawn.plan.key_layout(drawn.chunk_bits)
        seen["statements"] += 1
        seen["coefficients"] += len(both.expected)
        for block in layout.blocks:
            seen["shared" if not block.chunks else "one" if block.chunks == 1 else "several"] += 1
        for blocks in layout.by_tensor.values():
            for pieces in zip(*(block.pieces for block in blocks), strict=True):
                seen[f"cut in {len(set(pieces))}"] += 1
    return seen


_ACCUMULATE = """
function accumulate(data, coefficients, count) -> next {
    next := add(data, shl(6, count))
    for {} lt(data, next) { data := add(data, 0x40) } {
        mstore(data, coefficients)
        coefficients := add(coefficients, 0x20)
    }
}
"""
"""Instead of the points of calldata: which coefficient each of them is multiplied with."""


@given(
    runs=st.integers(1, 256),
    bits=st.integers(0, 16),
    t=st.integers(5, 19),
    mu=st.sampled_from((8, 12, 14, 18, 20)),
    draw=st.randoms(use_true_random=False),
)
def test_points_of_a_zone_with_gaps_meet_their_coefficients(
    runs: int, bits: int, t: int, mu: int, draw: random.Random
) -> None:
    """For windows and zones that no proof of a test is long enough for: several runs in a chunk, the last ones too few to fill it,
    and several chunks in a run."""
    assume(runs << (bits + t) >> mu <= 1024)
    filled = draw.getrandbits(runs) & draw.getrandbits(runs) | 1
    zone = Zone(1, True, (("only", 0, bits), ("last", runs - 1 << bits, bits)), Gaps(bits, filled))
    text = (TEMPLATES / "commitments.yul").read_text(encoding="utf-8")
    functions = text[text.index("function walk") : text.index("/// SUM += coefficient * (x, y).")]
    constants = f"uint256 private constant CONTEXT_BITS = 0x80;\nuint256 private constant MU = {mu};\n"
    contract = Contract(f'{constants}assembly ("memory-safe") {{ {_ACCUMULATE}{functions} }}')
    contract.write("CONTEXT_BITS", t)
    committed = zone.committed(t, mu)
    assert contract["count_filled"](filled, bits) == len(committed)
    end = contract["accumulate_filled"](0x100000, 0x100, filled, bits)
    met = [contract.memory.load(data) for data in range(0x100000, end, 0x40)]
    assert met == [0x100 + 0x20 * chunk for chunk in committed]


def _drawn(seeds: Iterable[int]) -> Iterator[Drawn]:
    return (drawn for seed in seeds for drawn in random_plans(seed))


@pytest.mark.parametrize(
    ("config", "kind", "mu", "window"), [pytest.param(*case, id=name) for name, *case in CASES]
)
def test_coefficients_of_known_shapes_are_those_of_the_reference(
    config: ModelConfig, kind: str, mu: int, window: int
) -> None:
    plan = Plan(config.programs[kind], chunk_bits=mu)
    assert compare([Drawn(config, kind, plan, mu, window)])["coefficients"]


def test_every_coefficient_is_that_of_the_reference() -> None:
    seen = compare(_drawn((3, 15, 16, 18, 32)))
    assert min(seen[f"cut in {pieces}"] for pieces in (1, 2, 3)) >= 3
    assert min(seen[kind] for kind in ("shared", "one", "several")) >= 5
    assert seen["chunks left out"]


@pytest.mark.long
def test_every_coefficient_of_many_shapes_is_that_of_the_reference() -> None:
    """About a minute and a half."""
    assert compare(_drawn(range(1000, 1080)))["statements"] > 400


def test_what_a_weight_needs_of_another_is_not_read_before_it_is_written() -> None:
    """In another order than the verifier's own, the memory of which says so."""
    plan = Plan(FAR_PIECES.programs["mlp"], chunk_bits=12)
    both = Both(Drawn(FAR_PIECES, "mlp", plan, 12, 0))
    weights = [name for name in both.steps if name.startswith("combine_blocks_of_w_")]
    assert len(weights) > 1
    for name in both.steps:
        if name not in weights:
            both.contract[name]()
    with pytest.raises(Unwritten):
        for name in reversed(weights):
            both.contract[name]()


def test_a_block_far_along_its_axis_compiles() -> None:
    """The compiler's stack is shorter than the coordinates in front of such a block are many."""
    plan = Plan(FAR_PIECES.programs["mlp"], chunk_bits=12)
    layout = plan.key_layout(12)
    fronts = [
        front.width.fixed
        for evaluation in plan.evaluations
        for block in layout.by_tensor.get(evaluation.tensor, ())
        for front, _ in plan.in_block(evaluation, block)[0]
    ]
    assert max(fronts) == 9
    artifacts = compile_sources({"Mlp.sol": step_verifier(key_without_srs(plan, 12), insecure=True)})
    assert 0 < len(artifacts["MlpVerifier"].runtime_code) <= LARGEST_CODE


# --- with proofs, on a chain ------------------------------------------------------------------------------


def prove_drawn(drawn: Drawn) -> Proven | None:
    """A random true statement of a plan, if there is one whose chosen token wins."""
    program, ours = drawn.plan.program, srs(drawn.chunk_bits)
    case = random_statement(drawn.config, drawn.kind, drawn.window)
    try:
        tensors = case.witness()
    except RivalWins:
        return None
    key = VerifyingKey.create(program, ours, drawn.plan.privacy)
    step_key = commit_step_key(key.plan, ours, case.parameters, case.tensors)
    points = input_points(key.plan, ours, tensors, case.publics)
    statement, blindings = Statement(step_key, case.publics, points), None
    if drawn.plan.privacy != PUBLIC:
        statement, blindings = hide(key, statement, seeded(1))
    proof = prove(key, ours, statement, tensors, blindings=blindings, scalar=seeded(2)).encode()
    words = [case.publics[name] for name in program.public_scalars]
    words += [coordinate for point in statement.inputs for coordinate in point]
    return Proven(drawn.kind, key, statement.key.encode(), words, proof)


def with_other_keys(case: Proven) -> list[bytes]:
    """Step keys of which one point is another one."""
    assert isinstance(case.verifying_key, VerifyingKey)
    plan = case.verifying_key.plan
    key = StepKey.decode(case.key, plan, case.verifying_key.chunk_bits)
    others = []
    for index, point in enumerate(key.points):
        for other in (negate(point), add(point, GENERATOR), (0, 0), key.points[index - 1]):
            points = (*key.points[:index], other, *key.points[index + 1 :])
            if points != key.points:
                others.append(StepKey(key.parameters, points).encode())
    return others


@pytest.mark.long
def test_random_shapes_on_a_chain(evm: Evm) -> None:
    """True proofs are accepted, and those under another step key refused, by both verifiers. About two minutes."""
    plans = [
        drawn
        for seed in range(3000, 3008)
        for drawn in random_plans(seed, most=100, sizes=(12, 14))
        if drawn.window < 2 and drawn.plan.program.weights
    ]
    cases = [case for drawn in plans if (case := prove_drawn(drawn)) is not None]
    sources = {}
    for number, case in enumerate(cases):
        assert isinstance(case.verifying_key, VerifyingKey)
        contract = f"contract {CONTRACTS[case.kind]} "
        text = step_verifier(case.verifying_key, insecure=True)
        assert text.count(contract) == 1
        sources[f"Drawn{number}.sol"] = text.replace(contract, f"contract Drawn{number} ")
    with tempfile.TemporaryDirectory() as folder:  # too large to be kept
        artifacts = compile_sources(sources, cache=Path(folder))
    draw = random.Random(1)
    for number, case in enumerate(cases):
        artifact = artifacts[f"Drawn{number}"]
        assert len(artifact.runtime_code) <= LARGEST_CODE
        verifier = evm.deploy(artifact.creation_code)
        assert verifier.verdict(case.key, case.inputs, case.proof) == ACCEPTED
        case.verify(case.key, case.inputs, case.proof)
        others = with_other_keys(case)
        for key in draw.sample(others, min(3, len(others))):
            assert verifier.verdict(key, case.inputs, case.proof) != ACCEPTED
            with pytest.raises(GainsayError):
                case.verify(key, case.inputs, case.proof)
