"""What is not even a statement, a key, an opening or a transcript label is refused by name, at its exact limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace

import pytest

from prover.argument.mercury import MercuryOpening, MercuryRejected, check_points, verify_mercury
from prover.argument.transcript import Transcript, label_word
from prover.curve.g1 import GENERATOR, multiply
from prover.curve.srs import SRS
from prover.embedding import EmbeddingKey, verify_embedding
from prover.errors import BadInputError, ProofRejectedError
from prover.field.arrays import MODULUS
from prover.field.reference import BASE_MODULUS
from prover.program import LARGEST_SHIFT
from prover.proof import ProofShape, check_opening
from prover.statement import Statement, StepKey, VerifyingKey
from prover.tables import LARGEST_TABLE_BITS
from prover.verify import verify
from tests.prover.operators.random_layers import SMALL
from tests.verifier_gen.golden_proofs import golden

OFF_CURVE = (1, 1)
WINDOWS = 8  # SMALL has 256 positions


def _points(words: list[int]) -> tuple[tuple[int, int], ...]:
    return tuple((words[i], words[i + 1]) for i in range(0, len(words), 2))


def _kept(name: str) -> tuple[VerifyingKey, Statement, bytes]:
    """A true statement, taken apart."""
    kept = golden(name)
    key = kept.verifying_key
    assert isinstance(key, VerifyingKey)
    names = key.plan.program.public_scalars
    publics = dict(zip(names, kept.inputs, strict=False))
    step_key = StepKey.decode(kept.key, key.plan, key.chunk_bits)
    return key, Statement(step_key, publics, _points(kept.inputs[len(names) :])), kept.proof


# --- statements ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "publics"),
    [
        ("mlp", {"window": 0}),
        ("head", {"row": 5}),
        ("head", {"row": 5, "factor": 3, "offset": 0, "window": 0}),
        ("head", {"row": 32, "factor": 3, "offset": 0}),
        ("head", {"row": -1, "factor": 3, "offset": 0}),
        ("head", {"row": 5, "factor": 1 << 13, "offset": 0}),
        ("head", {"row": 5, "factor": 3, "offset": 1 << 64}),
        ("head", {"row": 5, "factor": 3, "offset": -1}),
        ("attention of window 2", {}),
        ("attention of window 2", {"window": WINDOWS}),
        ("attention of window 2", {"window": -1}),
    ],
)
def test_public_integers_out_of_range_are_no_statement(name: str, publics: Mapping[str, int]) -> None:
    key, statement, proof = _kept(name)
    with pytest.raises(BadInputError, match="public integer"):
        verify(key, replace(statement, publics=publics), proof)


@pytest.mark.parametrize(
    "changed",
    [
        {"row": 0},
        {"row": 31},
        {"factor": 2},
        {"factor": (1 << 13) - 1},
        {"offset": 0},
        {"offset": (1 << 64) - 1},
    ],
)
def test_public_integers_at_their_limits_are_another_statement(changed: Mapping[str, int]) -> None:
    """Not malformed, only not what the proof is about."""
    key, statement, proof = _kept("head")
    with pytest.raises(ProofRejectedError):
        verify(key, replace(statement, publics={**statement.publics, **changed}), proof)


def test_the_last_window_is_a_statement() -> None:
    """Another one than the proof is about."""
    key, statement, proof = _kept("attention of window 2")
    with pytest.raises(ProofRejectedError):
        verify(key, replace(statement, publics={"window": WINDOWS - 1}), proof)


@pytest.mark.parametrize("name", ["mlp", "head", "attention of window 0", "attention of window 2"])
def test_the_number_of_commitments_is_exact(name: str) -> None:
    key, statement, proof = _kept(name)
    for inputs in (statement.inputs[:-1], (*statement.inputs, statement.inputs[-1])):
        with pytest.raises(BadInputError, match="commitments"):
            verify(key, replace(statement, inputs=inputs), proof)


@pytest.mark.parametrize("name", ["mlp", "head", "attention of window 2"])
def test_every_input_must_be_a_point(name: str) -> None:
    key, statement, proof = _kept(name)
    for index, (x, y) in enumerate(statement.inputs):
        for other in (OFF_CURVE, (x + BASE_MODULUS, y), (x, y + BASE_MODULUS), (-x, y)):
            inputs = (*statement.inputs[:index], other, *statement.inputs[index + 1 :])
            with pytest.raises(ProofRejectedError, match=f"input {index}:"):
                verify(key, replace(statement, inputs=inputs), proof)


@pytest.mark.parametrize("name", ["mlp", "head", "attention of window 2"])
def test_the_number_of_points_of_a_step_key_is_exact(name: str) -> None:
    key, statement, proof = _kept(name)
    points = statement.key.points
    for other in ((*points, (0, 0)), (*points, *statement.inputs[:1]), *([points[:-1]] if points else [])):
        with pytest.raises(
            BadInputError, match=f"the step key has {len(other)} commitments; .* has {len(points)}"
        ):
            verify(key, replace(statement, key=replace(statement.key, points=other)), proof)


@pytest.mark.parametrize("name", ["mlp", "attention of window 2"])
def test_every_point_of_a_step_key_must_be_a_point(name: str) -> None:
    """Decoding refuses them too; here the key is an object that nobody decoded."""
    key, statement, proof = _kept(name)
    points = statement.key.points
    for index, (x, y) in enumerate(points):
        for other in (OFF_CURVE, (x + BASE_MODULUS, y), (x, y + BASE_MODULUS), (-x, y), (x + (1 << 256), y)):
            changed = (*points[:index], other, *points[index + 1 :])
            with pytest.raises(ProofRejectedError, match=f"step key: point {index}:"):
                verify(key, replace(statement, key=replace(statement.key, points=changed)), proof)


def _with_shift(key: StepKey, index: int, shift: int) -> StepKey:
    return replace(key, parameters=(*key.parameters[:index], shift, *key.parameters[index + 1 :]))


@pytest.mark.parametrize("name", ["mlp", "attention of window 2"])
def test_shifts_have_limits(name: str) -> None:
    key, statement, proof = _kept(name)
    for index in range(len(statement.key.parameters)):
        for shift in (0, LARGEST_SHIFT + 1):
            with pytest.raises(
                BadInputError, match=rf"has {key.plan.program.parameters[index]} = {shift}; .* 1\.\.16"
            ):
                verify(key, replace(statement, key=_with_shift(statement.key, index, shift)), proof)
        for shift in (1, LARGEST_SHIFT):
            if shift != statement.key.parameters[index]:
                with pytest.raises(ProofRejectedError):
                    verify(key, replace(statement, key=_with_shift(statement.key, index, shift)), proof)
    shorter = replace(statement.key, parameters=statement.key.parameters[1:])
    with pytest.raises(BadInputError, match="must have the integers"):
        verify(key, replace(statement, key=shorter), proof)


# --- step keys ----------------------------------------------------------------------------------------------


def test_a_step_key_is_decoded_strictly() -> None:
    kept = golden("mlp")
    key = kept.verifying_key
    assert isinstance(key, VerifyingKey)
    parsed = StepKey.decode(kept.key, key.plan, key.chunk_bits)
    assert parsed.encode() == kept.key
    for encoded in (b"", kept.key[:-1], kept.key + b"\0", kept.key[32:]):
        with pytest.raises(BadInputError, match="bytes"):
            StepKey.decode(encoded, key.plan, key.chunk_bits)
    for index in range(len(parsed.parameters)):
        for shift in (0, LARGEST_SHIFT + 1):
            with pytest.raises(BadInputError, match=r"must be in 1\.\.16"):
                StepKey.decode(_with_shift(parsed, index, shift).encode(), key.plan, key.chunk_bits)
        for shift in (1, LARGEST_SHIFT):
            changed = _with_shift(parsed, index, shift)
            assert StepKey.decode(changed.encode(), key.plan, key.chunk_bits) == changed
    for index in range(len(parsed.points)):
        broken = replace(parsed, points=(*parsed.points[:index], OFF_CURVE, *parsed.points[index + 1 :]))
        with pytest.raises(BadInputError, match="invalid point"):
            StepKey.decode(broken.encode(), key.plan, key.chunk_bits)


def test_a_step_key_of_several_points_is_read_back() -> None:
    """In chunks that are shorter than those of kept statements, whose keys have one point."""
    plan = _kept("mlp")[0].plan
    bits = next(bits for bits in range(18, 0, -1) if plan.key_layout(bits).chunks > 2)
    points = tuple(multiply(GENERATOR, 2 + place) for place in range(plan.key_layout(bits).chunks))
    key = StepKey(tuple(1 for _ in plan.program.parameters), points)
    assert StepKey.decode(key.encode(), plan, bits) == key


# --- verifying keys -----------------------------------------------------------------------------------------


def test_a_table_has_as_many_commitments_as_chunks() -> None:
    program = replace(SMALL, activation_bits=12).programs["mlp"]
    for mu, chunks in ((12, 1), (10, 4)):
        assert len(VerifyingKey.create(program, SRS.devnet(mu)).constants) == chunks


def test_a_table_of_a_hostile_shape_is_refused_before_it_is_made() -> None:
    """2^23 entries of a rotary table."""
    program = replace(SMALL, head_size=128, max_positions=1 << 15).programs["keys_values"]
    assert LARGEST_TABLE_BITS == 22
    with pytest.raises(BadInputError, match=r"rotation has 2\^23 entries.*take fewer positions"):
        VerifyingKey.create(program, SRS.devnet(18))


def test_the_group_of_a_tile_has_a_limit_of_its_own() -> None:
    """Group 3 of two runs would read keys beyond those that there are."""
    key, statement, proof = _kept("attention_tile of window 3")
    index = key.plan.program.parameters.index("group")
    assert statement.key.parameters[index] == 2
    verify(key, statement, proof)
    for group in (0, 3, 16):
        with pytest.raises(BadInputError, match=rf"has group = {group}; it must be in 1\.\.2"):
            verify(key, replace(statement, key=_with_shift(statement.key, index, group)), proof)
    with pytest.raises(ProofRejectedError):
        verify(key, replace(statement, key=_with_shift(statement.key, index, 1)), proof)


def test_every_part_of_a_verifying_key_is_in_its_digest() -> None:
    """A proof for one key is none for a key that differs in anything a verifier computes with."""
    key = golden("mlp").verifying_key
    assert isinstance(key, VerifyingKey)
    program = key.plan.program

    def digest(**changes: object) -> bytes:
        return VerifyingKey.digest.func(replace(key, plan=type(key.plan)(replace(program, **changes))))  # type: ignore[attr-defined]

    digests = {
        key.digest,
        replace(key, chunk_bits=20).digest,
        replace(key, constants=(("activation_second", (1, 2)),)).digest,
        digest(name="mlp2"),
        digest(real_sizes={**program.real_sizes, "hidden": 41}),
        digest(public_scalars={"row": 32}),
        digest(public_scalars={"row": 31}),
        digest(writes={}),
        digest(reads={"normalised": "before"}),
        digest(resets=("sum",)),
        digest(parameter_limits={"gate_shift": 15}),
        digest(own_axes={**program.own_axes, "spare": program.own_axes["row"]}),
    }
    assert len(digests) == 12


# --- embeddings ---------------------------------------------------------------------------------------------


def test_an_embedding_statement_has_32_rows_of_points() -> None:
    kept = golden("embedding")
    key = kept.verifying_key
    assert isinstance(key, EmbeddingKey)
    *rows, window = _points(kept.inputs)
    verify_embedding(key, rows, window, kept.proof)
    for wrong in (rows[:-1], [*rows, (0, 0)], []):
        with pytest.raises(BadInputError, match="32 rows"):
            verify_embedding(key, wrong, window, kept.proof)
    for index in range(len(rows)):
        with pytest.raises(ProofRejectedError, match=f"input {index}:"):
            verify_embedding(key, [*rows[:index], OFF_CURVE, *rows[index + 1 :]], window, kept.proof)
    with pytest.raises(ProofRejectedError, match="input 32:"):
        verify_embedding(key, rows, OFF_CURVE, kept.proof)
    for encoded in (b"", kept.proof[:-1], kept.proof + b"\0"):
        with pytest.raises(ProofRejectedError, match="64"):
            verify_embedding(key, rows, window, encoded)
    with pytest.raises(ProofRejectedError, match="quotient"):
        verify_embedding(key, rows, window, b"".join(c.to_bytes(32, "big") for c in OFF_CURVE))


# --- proofs ---------------------------------------------------------------------------------------------------


def _with_word(encoded: bytes, place: int, word: int) -> bytes:
    return encoded[: 32 * place] + word.to_bytes(32, "big") + encoded[32 * (place + 1) :]


@pytest.mark.parametrize("name", ["head", "mlp", "attention of window 2"])
def test_the_modulus_itself_is_no_scalar_and_no_coordinate(name: str) -> None:
    """It would be a second encoding of zero. r - 1 and q - 1 are read; other checks reject them."""
    key, statement, proof = _kept(name)
    shape = ProofShape.of(key.plan, statement.context_bits(key.plan), key.chunk_bits)
    kinds = ["q"] * 2 * (shape.commitments + shape.inverses)
    opening = [kind for f in fields(MercuryOpening) for kind in (("q", "q") if f.type == "Point" else ("r",))]
    kinds += ["r"] * (shape.words - len(kinds) - len(opening)) + opening
    for place, kind in enumerate(kinds):
        modulus, reason = {"q": (BASE_MODULUS, "not below q"), "r": (MODULUS, "not a canonical scalar")}[kind]
        with pytest.raises(ProofRejectedError, match=reason):
            verify(key, statement, _with_word(proof, place, modulus))
        if place % 5 == 0:
            with pytest.raises(ProofRejectedError) as rejected:
                verify(key, statement, _with_word(proof, place, modulus - 1))
            assert reason not in str(rejected.value)


def test_zero_is_a_scalar() -> None:
    for opening in _openings():
        zeros = {f.name: 0 for f in fields(opening) if f.type == "int"}
        assert len(zeros) == 6
        check_opening(replace(opening, **zeros))


# --- openings and transcripts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zeta", "alpha"), [(0, 5), (1, 5), (MODULUS - 1, 5), (7, 7), (7, pow(7, -1, MODULUS))]
)
def test_degenerate_challenges_are_rejected(zeta: int, alpha: int) -> None:
    with pytest.raises(MercuryRejected, match="degenerate"):
        check_points(zeta, alpha)


class _ChosenZeta(Transcript):
    """A transcript that hits one of the values that nobody can hit on purpose."""

    def __init__(self, zeta: int) -> None:
        super().__init__("test")
        self.zeta = zeta

    def challenge(self, label: str, words: Iterable[int] = (), index: int = 0) -> int:
        value = super().challenge(label, words, index)
        return self.zeta if label == "mercury.zeta" else value


@pytest.mark.parametrize("zeta", [0, 1, MODULUS - 1])
def test_an_opening_under_a_degenerate_challenge_is_rejected(zeta: int) -> None:
    key = golden("head").verifying_key
    (opening, *_) = _openings()
    with pytest.raises(MercuryRejected, match="degenerate"):
        verify_mercury((1, 2), [5] * 18, 7, opening, key.g2_one, key.g2_tau, _ChosenZeta(zeta))


def test_other_challenges_are_not_degenerate() -> None:
    for zeta, alpha in ((7, 5), (2, 0), (2, 1), (MODULUS - 2, MODULUS - 1)):
        check_points(zeta, alpha)


def _openings() -> Iterator[MercuryOpening]:
    for name in ("mlp", "head"):
        key, statement, proof = _kept(name)
        shape = ProofShape.of(key.plan, statement.context_bits(key.plan), key.chunk_bits)
        yield shape.decode(proof).opening


def test_an_opening_and_its_words_are_the_same() -> None:
    for opening in _openings():
        assert MercuryOpening.from_words(opening.words()) == opening
        assert len(opening.words()) == 2 * sum(f.type == "Point" for f in fields(opening)) + 6


def test_a_label_has_28_characters_at_most() -> None:
    assert label_word("a" * 28) >> 32 == int.from_bytes(b"a" * 28, "big")
    assert label_word("a", (1 << 32) - 1) - label_word("a") == (1 << 32) - 1
    for label, index in (("a" * 29, 0), ("a", 1 << 32), ("a", -1)):
        with pytest.raises(ValueError, match="does not fit"):
            label_word(label, index)


def test_every_challenge_depends_on_label_index_words_and_all_that_came_before() -> None:
    """And the record of calls says what was absorbed."""

    def challenge(*calls: tuple[str, tuple[int, ...], int], domain: str = "d") -> int:
        transcript = Transcript(domain)
        values = [transcript.challenge(label, words, index) for label, words, index in calls]
        assert transcript.sites == [(label, index, len(words)) for label, words, index in calls]
        return values[-1]

    seen = [
        challenge(("a", (), 0)),
        challenge(("a", (), 0), domain="e"),
        challenge(("b", (), 0)),
        challenge(("a", (), 1)),
        challenge(("a", (0,), 0)),
        challenge(("a", (1,), 0)),
        challenge(("a", (0, 1), 0)),
        challenge(("a", (1, 0), 0)),
        challenge(("a", (), 0), ("a", (), 0)),
        challenge(("a", (1,), 0), ("a", (), 0)),
    ]
    assert len(set(seen)) == len(seen)
    assert all(0 <= value < MODULUS for value in seen)
    drawn = Transcript("d").challenges("a", 3)
    assert len(drawn) == 3
    assert drawn[0] == seen[0]
    assert drawn[1] == challenge(("a", (), 0), ("a", (), 1))
