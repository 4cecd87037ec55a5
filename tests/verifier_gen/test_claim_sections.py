"""The coefficients that generated statements add up are those of the reference's claims, at points that nobody chose.

Their Yul is read as Python. What the templates define has its meaning here, not its text: their text is what kept proofs run.
"""

from __future__ import annotations

import random
import re
from collections.abc import Hashable, Sequence
from dataclasses import replace

import pytest

from prover.architectures import ModelConfig
from prover.argument.multilinear import eq_value, index_bits
from prover.argument.reduction import chunk_coefficients
from prover.claims import Challenges, Point, combine_claims, final_form
from prover.curve.g1 import GENERATOR
from prover.field.reference import SCALAR_MODULUS
from prover.plan import Plan, PointPart, Slice
from prover.program import WINDOW_BITS
from prover.relations import Bits, FixedBits, PublicBits
from prover.statement import Statement, StepKey, VerifyingKey, input_count
from prover.verify import chunk_commitments
from tests.prover.architectures.random_models import FAMILIES
from tests.verifier_gen.golden_proofs import SEVERAL_CHUNKS, SEVERAL_CHUNKS_OF_TILES, WIDE
from tests.verifier_gen.statements import REAL
from verifier_gen.claim_products import ClaimProducts, Number, Piece, whole_point
from verifier_gen.claim_sections import ClaimSections, _shared, _SingleClaim
from verifier_gen.function import Function
from verifier_gen.layout import TOP_BITS, Region, StepLayout

R, WORD = SCALAR_MODULUS, 32
G2 = ((0, 0), (0, 0))
KEY, INPUTS, PROOF = 1 << 30, 1 << 31, 1 << 32
"""Where the parts of the calldata lie."""
THREE_PIECES = replace(REAL, hidden=896, heads=14, kv_heads=2)
"""896 = 512 + 256 + 128."""
CASES = [
    *((f"smollm2 {kind}", REAL, kind, 18, window) for kind, window in (("mlp", 0), ("attention", 5), ("keys_values", 3))),
    ("896 channels", THREE_PIECES, "attention", 18, 1),
    ("wide mlp", WIDE, "mlp", 14, 0),
    ("attention over one chunk", SEVERAL_CHUNKS, "attention", 14, 3),
    ("attention over two chunks", SEVERAL_CHUNKS, "attention", 14, 4),
    ("tile over two chunks", SEVERAL_CHUNKS_OF_TILES, "attention_tile", 14, 4),
    ("keys of two chunks come first", replace(FAMILIES["deepseek-v3-tiled"], max_positions=512), "attention_tile", 10, 9),
    *((f"{family} {kind}", config, kind, 12, 2) for family, config in FAMILIES.items() for kind in config.programs),
]  # fmt: skip


class Machine:
    """Memory, and what functions of the templates do to it."""

    def __init__(self, key: VerifyingKey, layout: StepLayout, point: Point, q: list[int]) -> None:
        self.mu, self.q, self.r = key.chunk_bits, q, point.challenges.r
        self.context_bits = point.context_bits
        self.memory: dict[int, int] = {}
        self.points: dict[tuple[int, int], int] = {}
        self.regions = {region.name: region for region in layout.memory.regions}
        rho = point.challenges.rho
        self.write("RHO_END", rho, -len(rho))
        self.write("POINT_END", self.r, -len(self.r))
        self.write("REDUCED", q)
        self.write("ROUNDS", [len(self.r)])
        for name, place in (("KEY_DATA", KEY), ("INPUT_DATA", INPUTS), ("PROOF_DATA", PROOF)):
            self.write(name, [place])
        for name, value in point.statement.publics.items():
            self.write(layout.publics[name].name, [value])
        for name, value in zip(key.plan.program.parameters, point.statement.key.parameters, strict=True):
            self.write(layout.parameters[name].name, [value])
        n = range(self.mu + 1)
        self.write("EQ_ZERO", [self.slot_eq(0, self.mu - i) for i in n])
        self.write(
            "EQ_POINT", [eq_value(self.r[len(self.r) - i :], q[self.mu - i :]) for i in n if i <= len(self.r)]
        )
        self.write("EQ_TOP", [0, *(self.slot_eq(i, k) for k in range(TOP_BITS + 1) for i in range(1 << k))])

    def write(self, region: str, words: Sequence[int], start: int = 0) -> None:
        self.store(self.regions[region].at(start), words)

    def store(self, place: int, words: Sequence[int]) -> None:
        self.memory.update((place + WORD * index, word) for index, word in enumerate(words))

    def load(self, place: int, count: int) -> list[int]:
        return [self.memory.get(place + WORD * index, 0) for index in range(count)]

    def read(self, region: Region) -> list[int]:
        return self.load(region.address, region.words)

    def run(self, function: Function) -> None:
        """Statements one after the other; none of them branches."""
        names: dict[str, object] = {name: region.address for name, region in self.regions.items()}
        names |= {name: getattr(self, name) for name in dir(self)}
        names |= {"r": R, "t": self.context_bits, "MU": self.mu, "minimum": min}
        names |= {
            "mload": lambda place: self.load(place, 1)[0],
            "mstore": lambda place, value: self.store(place, [value]),
            "add": lambda a, b: a + b,
            "sub": lambda a, b: a - b,
            "shl": lambda bits, value: value << bits,
            "shr": lambda bits, value: value >> bits,
            "or": lambda a, b: a | b,
            "addmod": lambda a, b, n: (a + b) % n,
            "mulmod": lambda a, b, n: a * b % n,
            "calldatasize": int,
            "calldatacopy": lambda place, _, size: self.store(place, [0] * (size // WORD)),
        }
        for line in function.lines:
            code = line.partition("//")[0].strip()
            if code.startswith("let ") and ":=" not in code:
                continue
            code = re.sub(r"\b(and|or)\(", r"bitwise_\1(", code.removeprefix("let "))
            code = re.sub(r"^if (.*) \{ (.*) \}$", r"if \1: \2", code)
            exec(code.replace(":=", "="), names)

    def value(self, text: str) -> int:
        """Of an expression."""
        self.run(Function("value()", "", [f"mstore(SUM, {text})"]))
        return self.read(self.regions["SUM"])[0]

    # --- the templates' functions ------------------------------------------------------------------------

    @staticmethod
    def bitwise_and(a: int, b: int) -> int:
        return a & b

    @staticmethod
    def bitwise_or(a: int, b: int) -> int:
        return a | b

    def slot_eq(self, slot: int, bits: int) -> int:
        return eq_value(index_bits(slot, bits), self.q[:bits])

    def eq_bits(self, place: int, integer: int, count: int) -> int:
        return eq_value(index_bits(integer, count), self.load(place, count))

    def eq_slices(self, left: int, right: int, count: int) -> int:
        return eq_value(self.load(left, count), self.load(right, count))

    def product_of_complements(self, place: int, count: int) -> int:
        return self.eq_bits(place, 0, count)

    def append(self, place: int, start: int, count: int) -> int:
        self.store(place, self.load(start, count))
        return place + WORD * count

    def append_bits(self, place: int, integer: int, count: int) -> int:
        self.store(place, index_bits(integer, count))
        return place + WORD * count

    def flip_last(self, end: int) -> None:
        self.store(end - WORD, [(1 - self.memory[end - WORD]) % R])

    def claim_eq(self, end: int, shared: int) -> tuple[int, int]:
        start = self.regions["CLAIM_POINT"].address
        point = self.load(start, (end - start) // WORD)
        low = min(len(point), self.mu)
        shared = min(shared, low)
        assert point[len(point) - shared :] == self.r[len(self.r) - shared :]
        return eq_value([0] * (self.mu - low) + point[len(point) - low :], self.q), len(point) - low

    def fill_eq_table(self, weight: int, place: int, end: int) -> None:
        self.write("SCRATCH", [weight * value % R for value in self._table(place, (end - place) // WORD)])

    def spread_table(self, factor: int, count: int, coefficients: int) -> None:
        scratch = self.regions["SCRATCH"]
        self._add(coefficients, [factor * value for value in self.load(scratch.address, count)])

    def spread(self, weight: int, top: int, count: int, coefficients: int) -> None:
        table = self._table(self.regions["CLAIM_POINT"].address, top)
        self._add(coefficients, [weight * value for value in table[:count]])

    def begin_sum(self, data: int, coefficient: int) -> int:
        self.accumulate_point(data, 0, coefficient)
        return data + 2 * WORD

    def accumulate(self, data: int, place: int, count: int) -> int:
        for index, coefficient in enumerate(self.load(place, count)):
            self.accumulate_point(data + 2 * WORD * index, 0, coefficient)
        return data + 2 * WORD * count

    def accumulate_point(self, x: int, y: int, coefficient: int) -> None:
        assert (x, y) not in self.points
        self.points[x, y] = coefficient

    def place_moving(self, factor: int, own: int, first: int, coefficients: int) -> None:
        variables, place = own + self.context_bits, first << self.context_bits
        coordinates = self.r[len(self.r) - variables :]
        low = min(variables, self.mu)
        factor *= self.slot_eq((place & (1 << self.mu) - 1) >> low, self.mu - low)
        factor *= eq_value(coordinates[variables - low :], self.q[self.mu - low :])
        table = [
            eq_value(index_bits(i, variables - low), coordinates[: variables - low])
            for i in range(1 << variables - low)
        ]
        self._add(coefficients + WORD * (place >> self.mu), [factor * value for value in table])

    def _table(self, place: int, variables: int) -> list[int]:
        return [self.eq_bits(place, index, variables) for index in range(1 << variables)]

    def _add(self, place: int, terms: Sequence[int]) -> None:
        known = self.load(place, len(terms))
        self.store(place, [(a + b) % R for a, b in zip(known, terms, strict=True)])


def labels(start: int, count: int, y: int = 0) -> tuple[tuple[int, int], ...]:
    """Stand for points: where in the calldata they lie."""
    return tuple((start + 2 * WORD * index, y) for index in range(count))


@pytest.mark.parametrize(
    ("config", "kind", "mu", "window"), [pytest.param(*case, id=name) for name, *case in CASES]
)
def test_statements_add_up_to_the_coefficients_of_the_reference(
    config: ModelConfig, kind: str, mu: int, window: int
) -> None:
    draw = random.Random(f"{kind} {mu} {window}")
    program = config.programs[kind]
    plan = Plan(program, chunk_bits=mu)
    publics = {name: draw.randrange(limit) for name, limit in program.public_scalars.items()}
    if "window" in publics:
        publics["window"] = window
    parameters = tuple(draw.randrange(1, program.parameter_limit(name) + 1) for name in program.parameters)
    key = VerifyingKey(plan, mu, bytes(32), G2, G2, labels(0, plan.table_layout(mu).chunks, y=1))
    context_bits = WINDOW_BITS + (window.bit_length() if program.has_context else 0)
    step_key = StepKey(parameters, labels(KEY + WORD * len(parameters), plan.key_layout(mu).chunks))
    inputs = labels(INPUTS + WORD * len(publics), input_count(plan, publics, mu))
    statement = Statement(step_key, publics, inputs)
    assert statement.context_bits(plan) == context_bits

    def elements(count: int) -> list[int]:
        return [draw.randrange(R) for _ in range(count)]

    rho, r = (elements(plan.variables(context_bits)) for _ in range(2))
    beta, gamma, alpha, eta = elements(4)
    point = Point(plan, statement, context_bits, Challenges(beta, gamma, alpha, rho, r))
    q, sent = elements(mu), dict(zip(plan.sent, elements(len(plan.sent)), strict=True))
    claims, _ = combine_claims(key, point, 0, sent, eta)
    expected: dict[Hashable, int] = chunk_coefficients(claims, q)

    layout = StepLayout(key)
    sections = ClaimSections(key, layout)
    functions = [sections.packed_claims(), sections.single_claims(), *sections.block_claims()]
    machine = Machine(key, layout, point, q)
    machine.write("ETA_POWERS", [pow(eta, k, R) for k in range(layout.eta_powers.words)])
    coefficients = final_form(point, sent).coefficients
    machine.write("OPENED", [coefficients[evaluation] for evaluation in plan.opened])
    for function in (sections.slots.prepare(), *functions, sections.commitments()):
        machine.run(function)
    counts = [sum(z.chunks(context_bits, mu) for z in plan.zones if z.phase == phase) for phase in (1, 2)]
    for phase, count in zip((1, 2), counts, strict=True):
        assert sum(machine.value(text) for text, _ in sections.chunks(phase)) == count
    proof = labels(PROOF, sum(counts))
    commitments = chunk_commitments(key, statement, proof[: counts[0]], proof[counts[0] :])
    found = {place: coefficient for place, coefficient in machine.points.items() if coefficient}
    assert found == {
        commitments[chunk]: coefficient for chunk, coefficient in expected.items() if coefficient
    }


def test_what_lies_behind_the_last_chunk_of_a_weight_adds_nothing() -> None:
    """It is zero, and the next coefficient is another weight's."""
    plan = Plan(REAL.programs["keys_values"], chunk_bits=18)
    key = VerifyingKey(plan, 18, bytes(32), G2, G2, (GENERATOR,) * plan.table_layout(18).chunks)
    sections = ClaimSections(key, StepLayout(key))
    group = next(group for group in sections._groups if "C_STEP_KEY" in group.members[0].place)
    assert group.point is not None and group.point.chunk == 0 and group.members[0].count == "1"
    for chunk, is_added in ((0, True), (1, False)):
        lines = sections._group_lines(replace(group, point=replace(group.point, chunk=chunk)))
        assert any("C_STEP_KEY" in line for line in lines) == is_added


def test_a_point_that_is_composed_at_run_time_has_all_its_parts() -> None:
    """Bits of its slot and of its place, slices of both vectors, one of them flipped, and an index between them."""
    plan = Plan(REAL.programs["keys_values"], chunk_bits=18)
    key = VerifyingKey(plan, 18, bytes(32), G2, G2, (GENERATOR,) * plan.table_layout(18).chunks)
    layout = StepLayout(key)
    sections = ClaimSections(key, layout)
    rho, r = list(range(100, 112)), list(range(200, 212))
    parameters = (1,) * len(plan.program.parameters)
    statement = Statement(StepKey(parameters, ()), {"window": 0b110101}, ())
    point = Point(plan, statement, 11, Challenges(0, 0, 0, rho, r))
    parts = (
        Slice("rho", Bits(9), Bits(3)),
        FixedBits(5, Bits(4)),
        Slice("r", Bits(6), Bits(2), True),
        PublicBits("window", Bits(2)),
        Slice("r", Bits(1), Bits(1)),
    )
    own = [103, 104, 105, 0, 1, 0, 1, 206, (1 - 207) % R, 0, 1, 211]
    for slot, place_bits, front in (((2, 2), 3, [1, 0, 1, 0, 1]), ((0, 0), 3, [1, 0, 1]), ((0, 0), 0, [])):
        claim = _SingleClaim(plan.evaluations[0], slot, place_bits, parts, (), "", "1", False)
        machine = Machine(key, layout, point, [0] * 18)
        machine.run(Function("compose()", "", [*sections._point(claim), "mstore(TERM, end)"]))
        start, end = machine.value("CLAIM_POINT"), machine.value("mload(TERM)")
        assert machine.load(start, (end - start) // WORD) == front + own


def test_a_number_takes_the_last_bits_of_what_follows() -> None:
    number = Number(1, 1).followed_by("13", 2)
    assert number == Number(0b101, 3)
    text = "and(mload(A), 0x3)"
    number = number.followed_by("mload(A)", 2)
    assert number == Number(0b101, 3, text, 2) and number.bits == 5
    assert number.followed_by("6", 3) == Number(0b101, 3, f"or(shl(3, {text}), and(6, 0x7))", 5)
    assert number.of_bits(4) == Number(0b01, 2, text, 2)
    assert number.of_bits(7) == Number(0b101, 5, text, 2)


@pytest.mark.parametrize(
    ("number", "length", "is_whole"),
    [
        (Number(0, 2, "w", 3), 3, True),
        (Number(0, 3, "w", 3), 3, False),  # which chunk it is, is known at run time
        (Number(7, 6), 3, True),
        (Number(0, 0), 9, True),
        (Number(0, 1), 9, False),  # bits in front of coordinates that select chunks
    ],
)
def test_a_point_is_known_beforehand_where_its_chunks_are(
    number: Number, length: int, is_whole: bool
) -> None:
    point = whole_point(number, [Slice("r", Bits(length), Bits(length))], 8)
    assert (point is not None) == is_whole


@pytest.mark.parametrize(
    ("parts", "shared"),
    [
        ([Slice("r", Bits(5), Bits(5))], Bits(5)),
        ([Slice("r", Bits(7), Bits(2)), Slice("r", Bits(5), Bits(5))], Bits(7)),
        ([Slice("r", Bits(2, 1), Bits(0, 1)), Slice("r", Bits(2), Bits(2))], Bits(2, 1)),
        ([Slice("r", Bits(9), Bits(2)), Slice("r", Bits(5), Bits(5))], Bits(5)),
        ([Slice("r", Bits(7), Bits(5))], Bits()),
        ([Slice("r", Bits(5), Bits(5), True)], Bits()),
        ([Slice("rho", Bits(5), Bits(5))], Bits()),
        ([Slice("r", Bits(7), Bits(2)), FixedBits(1, Bits(5))], Bits()),
    ],
)
def test_shared_coordinates_are_the_last_ones_of_r(parts: list[PointPart], shared: Bits) -> None:
    assert _shared(parts) == shared


@pytest.mark.parametrize(
    ("parts", "shared", "pieces"),
    [
        ([("r", 5, 2), ("r", 3, 3)], 5, []),
        ([("r", 3, 3)], 3, []),
        ([("rho", 3, 3)], 0, [("rho", 3, 3, 0)]),
        ([("r", 4, 3)], 0, [("r", 4, 3, 0)]),
        ([("r", 5, 2), ("rho", 3, 3)], 0, [("rho", 3, 3, 0), ("r", 5, 2, 3)]),
        ([("r", 7, 2), ("r", 3, 3)], 3, [("r", 7, 2, 3)]),
        ([("r", 4, 1, True)], 0, [("r", 4, 1, 0, True)]),
        ([("r", 4, 2, True)], 0, [("r", 3, 1, 0, True), ("r", 4, 1, 1)]),
        ([("r", 3, 3, True)], 0, [("r", 1, 1, 0, True), ("r", 3, 2, 1)]),
        ([("rho", 9, 6), ("r", 4, 4)], 4, [("rho", 7, 4, 4)]),  # two coordinates select chunks
    ],
)
def test_pieces_are_what_is_not_shared(parts: list[tuple], shared: int, pieces: list[tuple]) -> None:  # type: ignore[type-arg]
    slices = [Slice(vector, Bits(start), Bits(width), *flip) for vector, start, width, *flip in parts]
    point = whole_point(Number(0, 0), slices, 8)
    assert point is not None and point.shared == shared
    assert point.pieces == tuple(Piece(vector, Bits(start), *rest) for vector, start, *rest in pieces)


def test_coordinates_that_select_chunks_are_flipped_where_the_last_of_their_slice_is_among_them() -> None:
    own = Slice("r", Bits(7), Bits(7))
    for top, is_flipped in ((3, True), (2, False)):
        flipped = Slice("rho", Bits(9), Bits(3), True)
        plain = Slice("rho", Bits(9), Bits(3))
        append = f"end := append(CLAIM_POINT, sub(RHO_END, 0x120), {top})"
        for part, behind in ((flipped, ["flip_last(end)"] if is_flipped else []), (plain, [])):
            point = whole_point(Number(0, 0), [part, own], 10 - top)
            assert point is not None and point.top == top
            assert ClaimProducts._top(point) == [append, *behind]
