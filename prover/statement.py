"""Statements, verifying keys and step keys: everything public about one step proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from eth_hash.auto import keccak

from .argument.transcript import Transcript
from .canonical_form import encode, step_form
from .chunk_size import check_chunk_size
from .curve.g1 import Point, PointError, point_from_bytes, point_to_bytes
from .curve.srs import SRS
from .errors import BadInputError
from .kept_reference import commit_table
from .plan import PUBLIC, Plan, Privacy
from .program import WINDOW_BITS, Kind, Program
from .tables import LARGEST_TABLE_BITS

WEIGHTS, TABLES = "step key", "public tables"
"""Name chunks, as a tensor's name those of an input."""
BLOCKS = {Kind.WEIGHT: WEIGHTS, Kind.CONSTANT: TABLES}
"""Kinds of tensors that lie in blocks (block_layout.py)."""
TRANSCRIPT_DOMAIN = "gainsay.step.3"
WORD = 32


@dataclass(frozen=True)
class StepKey:
    """What a step takes from the model: requantisation shifts and weight chunk commitments.

    Encoding: one word per parameter, in program order, then two words per point, in the order of `Plan.key_layout`.
    """

    parameters: tuple[int, ...]
    points: tuple[Point, ...]

    def encode(self) -> bytes:
        """Parameters, then points."""
        words = b"".join(p.to_bytes(WORD, "big") for p in self.parameters)
        return words + b"".join(point_to_bytes(point) for point in self.points)

    @classmethod
    def decode(cls, encoded: bytes, plan: Plan, chunk_bits: int) -> StepKey:
        """Strict inverse for the given plan."""
        count = len(plan.program.parameters)
        points = plan.key_layout(chunk_bits).chunks
        if len(encoded) != WORD * (count + 2 * points):
            raise BadInputError(
                f"the step key has {len(encoded)} bytes; this step needs {WORD * (count + 2 * points)}"
            )
        parameters = tuple(int.from_bytes(encoded[WORD * i : WORD * (i + 1)], "big") for i in range(count))
        check_parameters(plan.program, parameters)
        offset = WORD * count
        try:
            decoded = tuple(
                point_from_bytes(encoded[offset + 64 * i : offset + 64 * (i + 1)]) for i in range(points)
            )
        except PointError as error:
            raise BadInputError(f"the step key has an invalid point: {error}") from error
        return cls(parameters, decoded)


def check_parameters(program: Program, parameters: Sequence[int]) -> None:
    """Raise BadInputError unless a step key has as many integers as its program, each from 1 up to its limit."""
    if len(parameters) != len(program.parameters):
        raise BadInputError(f"the step key must have the integers {program.parameters}")
    for name, value in zip(program.parameters, parameters, strict=True):
        limit = program.parameter_limit(name)
        if not 1 <= value <= limit:
            raise BadInputError(f"the step key has {name} = {value}; it must be in 1..{limit}")


@dataclass(frozen=True)
class VerifyingKey:
    """A plan under an SRS. constants: commitments of the program's public tables, in the order of `Plan.table_layout`."""

    plan: Plan
    chunk_bits: int
    srs_digest: bytes
    g2_one: tuple[tuple[int, int], tuple[int, int]]
    g2_tau: tuple[tuple[int, int], tuple[int, int]]
    constants: tuple[Point, ...]

    @classmethod
    def create(cls, program: Program, srs: SRS, privacy: Privacy = PUBLIC) -> VerifyingKey:
        """Commit the program's public tables. Raises ChunkSizeError when the SRS's size does not suit the program."""
        plan = Plan(program, chunk_bits=srs.mu, privacy=privacy)
        check_chunk_size(plan, srs.mu)
        tables = {}
        for tensor in plan.constants:
            assert tensor.values is not None
            bits = plan.width(tensor.axes).fixed
            if (
                bits > LARGEST_TABLE_BITS
            ):  # before the table is made: the architecture may come from a hostile file
                raise BadInputError(
                    f"table {tensor.name} has 2^{bits} entries; a verifier holds at most 2^{LARGEST_TABLE_BITS}:"
                    " take fewer positions"
                )
            tables[tensor.name] = tensor.values()
        constants: list[Point] = []
        for chunk in plan.table_layout(srs.mu).pack(tables):  # each kept by itself: several programs have it
            constants += commit_table(srs, [chunk])
        return cls(plan, srs.mu, srs.digest, srs.g2_one, srs.g2_tau, tuple(constants))

    @cached_property
    def digest(self) -> bytes:
        """Keccak of the canonical form of everything that the verifier does (canonical_form.py)."""
        return keccak(encode(step_form(TRANSCRIPT_DOMAIN, self.plan, self.chunk_bits, self.constants)))


@dataclass(frozen=True)
class Statement:
    """One public claim: this step maps the windows that it reads to those that it writes.

    inputs: commitments in the order of the program's inputs, one per window, or one per chunk of what is read from
    window 0 on: the sum of the commitments of the chunk's windows up to w.
    """

    key: StepKey
    publics: Mapping[str, int]
    inputs: tuple[Point, ...]

    def context_bits(self, plan: Plan) -> int:
        """t: 5 plus the bits that number the windows 0..window."""
        if not plan.program.has_context:
            return WINDOW_BITS
        return WINDOW_BITS + int(self.publics["window"]).bit_length()

    def integers(self, plan: Plan) -> dict[str, int]:
        """Public and step-key integers by name."""
        parameters = zip(plan.program.parameters, self.key.parameters, strict=True)
        return {**self.publics, **dict(parameters)}

    def header(self, verifying_key: VerifyingKey) -> list[int]:
        """The words that the transcript starts with."""
        return [
            int.from_bytes(verifying_key.digest, "big"),
            int.from_bytes(verifying_key.srs_digest, "big"),
            int.from_bytes(keccak(self.key.encode()), "big"),
            *(self.publics[name] for name in verifying_key.plan.program.public_scalars),
            *(coordinate for point in self.inputs for coordinate in point),
        ]

    def transcript(self, verifying_key: VerifyingKey) -> Transcript:
        """A transcript that has absorbed the statement."""
        transcript = Transcript(TRANSCRIPT_DOMAIN)
        transcript.challenge("statement", self.header(verifying_key))
        return transcript


def input_count(plan: Plan, publics: Mapping[str, int], chunk_bits: int) -> int:
    """Number of commitments among the public inputs."""
    return sum(plan.input_points(tensor, publics, chunk_bits) for tensor in plan.program.inputs)


def input_chunks(plan: Plan, publics: Mapping[str, int], chunk_bits: int) -> list[tuple[str, int]]:
    """(tensor, number of its chunk) for every commitment among the public inputs, in order."""
    return [
        (tensor.name, index)
        for tensor in plan.program.inputs
        for index in range(plan.input_points(tensor, publics, chunk_bits))
    ]
