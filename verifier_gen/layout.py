"""Where everything lies: calldata offsets, and the memory plan of a generated verifier.

Nothing else in the generator knows a number that is an address. Memory regions get names that become constants
of the contract. The verifier owns memory from 0x80 on: it is entered with Solidity's free memory pointer there,
checks that, and moves the pointer behind its last region.

Sizes are known when the verifier is generated, except those that depend on t (context bits): such a size is a
`Bits`, regions are made for the largest t, and Yul computes the actual size from the local `t`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from prover.evaluations import Evaluation, PointPart, Slice
from prover.masks import MASK_CHUNKS, mask_layout
from prover.program import WINDOW_BITS, WINDOW_ROWS, Program
from prover.relations import Bits, ParameterBits, PublicBits
from prover.statement import VerifyingKey
from prover.token_forms import TOKENS

WORD = 32
POINT = 2 * WORD
MEMORY_START = 0x80
MOST_WORDS = 8
"""Of a message whose length does not depend on the statement: six scalars and a point of the opening, or a round."""
TOP_BITS = 3
"""Leading coordinates of q whose eq table is made once: tensors of 2^(mu - 3) entries and more need no other."""

# Words of the opening, relative to its start (prover.argument.mercury.MercuryOpening, in field order).
OPENING = {
    "h": 0,
    "q": POINT,
    "g": 2 * POINT,
    "s": 3 * POINT,
    "d": 4 * POINT,
    "scalars": 5 * POINT,
    "quotient": 5 * POINT + 6 * WORD,
    "w": 6 * POINT + 6 * WORD,
    "w_prime": 7 * POINT + 6 * WORD,
}
OPENING_BYTES = 8 * POINT + 6 * WORD


def width(bits: Bits) -> str:
    """Yul for fixed + context * t."""
    if bits.context == 0:
        return str(bits.fixed)
    scaled = "t" if abs(bits.context) == 1 else f"mul({abs(bits.context)}, t)"
    if bits.context > 0:
        if bits.fixed == 0:
            return scaled
        return f"add({scaled}, {bits.fixed})" if bits.fixed > 0 else f"sub({scaled}, {-bits.fixed})"
    return f"sub({bits.fixed}, {scaled})"


def words_after(base: str, bits: Bits) -> str:
    """Yul for base + 32 * bits."""
    if bits == Bits():
        return base
    return (
        f"add({base}, {hex(WORD * bits.fixed)})"
        if bits.context == 0
        else f"add({base}, shl(5, {width(bits)}))"
    )


def words_before(base: str, bits: Bits) -> str:
    """Yul for base - 32 * bits."""
    return (
        f"sub({base}, {hex(WORD * bits.fixed)})"
        if bits.context == 0
        else f"sub({base}, shl(5, {width(bits)}))"
    )


def largest(widths: Sequence[Bits]) -> str:
    """Yul for the maximum of widths."""
    best: dict[int, int] = {}
    for bits in widths:
        best[bits.context] = max(bits.fixed, best.get(bits.context, bits.fixed))
    texts = [width(Bits(fixed, context)) for context, fixed in sorted(best.items())]
    result = texts[0]
    for text in texts[1:]:
        result = f"maximum({result}, {text})"
    return result


@dataclass(frozen=True)
class Region:
    """A named piece of memory."""

    name: str
    address: int
    words: int
    meaning: str

    def at(self, index: int) -> int:
        """Address of a word."""
        return self.address + WORD * index

    @property
    def end(self) -> int:
        """Address behind the last word."""
        return self.at(self.words)


@dataclass
class Memory:
    """Allocates regions one behind the other."""

    regions: list[Region] = field(default_factory=list)
    end: int = MEMORY_START

    def allocate(self, name: str, words: int, meaning: str) -> Region:
        """A region of so many words."""
        region = Region(name, self.end, words, meaning)
        self.regions.append(region)
        self.end += WORD * words
        return region

    def temporary(self) -> str:
        """The address of one more word, as Yul. Temporaries come behind all regions."""
        self.end += WORD
        return hex(self.end - WORD)

    def constants(self) -> str:
        """The contract's constants, one per region; none for coefficients of which there are none."""
        return "\n".join(
            f"    uint256 private constant {region.name} = {region.address:#06x};"
            + (f" // {region.meaning}" if region.meaning else "")
            for region in self.regions
            if region.words or not region.name.startswith("C_")
        )


class StepLayout:
    """The memory plan of the verifier of one layer program."""

    def __init__(self, key: VerifyingKey) -> None:
        plan, mu = key.plan, key.chunk_bits
        program = plan.program
        self.mu = mu
        t = self.largest_context_bits = plan.largest_context_bits
        self.memory = Memory()
        allocate = self.memory.allocate
        rounds = plan.variables(t)
        last = {"window": (1 << (t - WINDOW_BITS)) - 1}

        # --- scalars of the statement and of the protocol
        for name, meaning in _SCALARS:
            allocate(name, 1, meaning)
        self.publics = {
            name: allocate(f"PUBLIC_{name.upper()}", 1, "public integer") for name in program.public_scalars
        }
        self.parameters = {
            name: allocate(f"PARAMETER_{name.upper()}", 1, "of the step key") for name in program.parameters
        }
        # --- challenges
        self.alpha_powers = allocate("ALPHA_POWERS", plan.powers, "alpha^0, alpha^1, ...")
        self.eta_powers = allocate(
            "ETA_POWERS",
            eta_count(key),
            "[k + 1]: factor of evaluation k that is sent; then: of the outputs that are shorter than a chunk",
        )
        self.opened = allocate("OPENED", len(plan.opened), "factors of the evaluations that are not sent")
        self.rho = allocate("RHO", rounds, "rho, ends at RHO_END")
        self.rho_end = allocate("RHO_END", 0, "")
        self.point = allocate("POINT", rounds, "r, ends at POINT_END")
        self.point_end = allocate("POINT_END", 0, "")
        self.reduced = allocate("REDUCED", mu, "q, ends at REDUCED_END")
        self.reduced_end = allocate("REDUCED_END", 0, "")
        # --- products over coordinates, indexed by the number n of coordinates behind or in front
        self.padding = allocate(
            "PADDING", rounds + 1, "[n]: prod (1 - r_j) over all but the last n coordinates"
        )
        self.eq_rho = allocate("EQ_RHO", rounds + 1, "[n]: prod eq(rho_j, r_j) over the last n coordinates")
        self.eq_zero = allocate("EQ_ZERO", mu + 1, "[n]: prod (1 - q_j) over all but the last n coordinates")
        self.eq_point = allocate(
            "EQ_POINT", min(mu, rounds) + 1, "[n]: prod eq(r_j, q_j) over the last n coordinates"
        )
        self.eq_top = allocate(
            "EQ_TOP", 2 << TOP_BITS, "[2^k + i]: eq of the first k coordinates of q and the bits of i"
        )
        # --- coefficients of the commitments
        self.coefficients = allocate("COEFFICIENTS", 0, "of every commitment, from here to COEFFICIENTS_END")
        self.weight_coefficients = allocate("C_STEP_KEY", plan.key_layout(mu).chunks, "step key")
        self.input_coefficients = {
            tensor.name: allocate(
                f"C_{tensor.name.upper()}", plan.input_points(tensor, last, mu), "public input"
            )
            for tensor in program.inputs
        }
        self.table_coefficients = allocate("C_TABLES", plan.table_layout(mu).chunks, "public tables")
        self.zone_coefficients = [
            allocate(f"C_ZONE_{index}", zone.chunks(t, mu), f"committed in phase {zone.phase}")
            for index, zone in enumerate(plan.zones)
        ]
        masks = mask_layout(plan)
        if masks:
            allocate("C_MASKS", len(MASK_CHUNKS), "masks, committed last in phase 1")
        self.coefficients_end = allocate("COEFFICIENTS_END", 0, "")
        if masks:
            allocate(
                "MASK_EQ", 1 << masks.block_bits, "eq of the last coordinates of q and the places in a block"
            )
        # --- the point of one claim, and scratch
        lengths = [self._claim_length(key, evaluation, t) for evaluation in plan.evaluations]
        allocate("CLAIM_POINT", max([mu, *lengths]), "coordinates of the claim at hand")
        blocks = masks.bits - masks.block_bits if masks else 0
        allocate("SCRATCH", 1 << max(0, blocks, *(length - mu for length in lengths)), "tables of eq")
        if reads_tokens(program):
            allocate("TOKEN_ROWS", WINDOW_ROWS, "eq of a row's coordinates and every row")
        # --- precompiles
        allocate("SUM", 2, "the running combination; SUM and TERM are the input of ecAdd")
        allocate("TERM", 2, "")
        allocate("FACTOR", 3, "point and scalar: the input of ecMul")
        allocate("PAIRING", 12, "input of the pairing; of modexp before")
        # --- evaluations that the proof sends
        self.evaluations = allocate(
            "EVALUATIONS", 0, "from here to EVALUATIONS_END, in the order of the proof"
        )
        self.evaluation_regions = self._evaluation_regions(key)
        allocate("EVALUATIONS_END", 0, "")
        # --- transcript, last because its longest absorption is long
        points = sum(len(zone.committed(t, mu)) for zone in plan.zones) + (len(MASK_CHUNKS) if masks else 0)
        inputs = len(program.public_scalars) + 2 * sum(
            region.words for region in self.input_coefficients.values()
        )
        allocate("STATE", 1, "transcript: state, label, absorbed words")
        allocate("LABEL", 1, "")
        allocate("WORDS", max(8, 2 * points, 3 + inputs, len(plan.sent)), "")

    def _claim_length(self, key: VerifyingKey, evaluation: Evaluation, t: int) -> int:
        """Coordinates of a single claim, its slot included."""
        zone, tensor = key.plan.zone_of(evaluation.tensor), key.plan.tensors[evaluation.tensor]
        slot_bits = 0 if zone is None else key.plan.zones[zone].slot(evaluation.tensor)[1]
        if "context" not in tensor.axes:
            slot_bits += key.plan.place_bits(tensor, key.chunk_bits)
        return slot_bits + sum(part.width.resolve(t) for part in evaluation.parts)

    def _evaluation_regions(self, key: VerifyingKey) -> list[Region]:
        """One named word per evaluation that is sent: E_<tensor>, numbered when a tensor has more than one."""
        seen: dict[str, int] = {}
        regions = []
        for evaluation in key.plan.sent:
            count = seen[evaluation.tensor] = seen.get(evaluation.tensor, 0) + 1
            name = f"E_{evaluation.tensor.upper()}" + (f"_{count}" if count > 1 else "")
            regions.append(self.memory.allocate(name, 1, describe(evaluation.parts)))
        return regions


def reads_tokens(program: Program) -> bool:
    """Whether a statement is about the tokens of rows (templates/token_forms.yul)."""
    return TOKENS[0] in program.public_scalars


def eta_count(key: VerifyingKey) -> int:
    """How many powers of eta there are, the zeroth included."""
    masks = 1 if mask_layout(key.plan) else 0
    return 1 + len(key.plan.sent) + len(key.plan.short_outputs(key.chunk_bits)) + masks


def describe(parts: Sequence[PointPart]) -> str:
    """A symbolic point for a comment, such as (r[15:10], rho[11:0]) counted from the end."""
    texts = []
    for part in parts:
        if isinstance(part, Slice):
            last = part.start - part.width
            flip = " flipped" if part.flip else ""
            texts.append(f"{part.vector}[{_bits(part.start)}:{_bits(last)}]{flip}")
        elif isinstance(part, PublicBits):
            texts.append(f"bits of {part.name}")
        elif isinstance(part, ParameterBits):
            texts.append(f"bits of {part.name} - 1")
        else:
            texts.append(f"bits of {part.value}")
    return "at (" + ", ".join(texts) + ")"


def _bits(bits: Bits) -> str:
    if bits.context == 0:
        return str(bits.fixed)
    return (
        "t"
        if bits.fixed == 0 and bits.context == 1
        else f"{bits.context}t+{bits.fixed}".replace("1t", "t", 1)
    )


_SCALARS = (
    ("MODULUS", "R"),
    ("KEY_DATA", "calldata offset of the step key"),
    ("INPUT_DATA", "calldata offset of the public inputs"),
    ("PROOF_DATA", "calldata offset of the proof"),
    ("ROUND_DATA", "calldata offset of the rounds of the batched sumcheck"),
    ("EVALUATION_DATA", "calldata offset of the evaluations"),
    ("REDUCTION_DATA", "calldata offset of the rounds of the claim reduction"),
    ("OPENING_DATA", "calldata offset of the opening"),
    ("CONTEXT_BITS", "t"),
    ("ROUNDS", "N, rounds of the batched sumcheck"),
    ("FIRST_POINTS", "number of commitments before beta and gamma"),
    ("SECOND_POINTS", "number of commitments after them"),
    ("BETA", "challenge"),
    ("GAMMA", "challenge"),
    ("MERCURY_ALPHA", "challenge"),
    ("MERCURY_GAMMA", "challenge"),
    ("MERCURY_ZETA", "challenge"),
    ("MERCURY_BETA", "challenge"),
    ("MERCURY_Z", "challenge"),
    ("MERCURY_D", "challenge"),
    ("G_ZETA", "opening: g(zeta)"),
    ("G_INVERSE", "opening: g(1/zeta)"),
    ("H_ZETA", "opening: h(zeta)"),
    ("H_INVERSE", "opening: h(1/zeta)"),
    ("S_ZETA", "opening: S(zeta)"),
    ("S_INVERSE", "opening: S(1/zeta)"),
    ("ZETA_INVERSE", "1/zeta"),
    ("INVERSE_A", "1/(zeta - 1/zeta)"),
    ("INVERSE_B", "1/(zeta - alpha)"),
    ("INVERSE_C", "1/(1/zeta - alpha)"),
    ("ZETA_POWER", "zeta^b"),
    ("H_ALPHA", "h(alpha)"),
    ("BATCH_CONSTANT", "sum of weights times interpolations at z"),
)
