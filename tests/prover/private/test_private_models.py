"""A private model on its provider's machine: what is committed once, what opens it, and what is kept of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prover import private_model
from prover.blindings_file import LOWEST_COST, BlindingsFile, BlindingsFileError
from prover.commitment_file import CommitmentFileError, load_published, save_published
from prover.curve.g1 import INFINITY, add, negate, point_to_bytes
from prover.curve.srs import SRS
from prover.errors import BadInputError, NotFoundError
from prover.hiding import blind, blinding_base
from prover.model.library import load_model
from prover.model.trace import Trace
from prover.model.weights import IntegerModel
from prover.model_blindings import ModelBlindings, ResponseBlindings, context_of
from prover.model_commitment import ModelCommitment, commit_hiding, commit_model, decode_step_key
from prover.operators.head_pair import RivalWins
from prover.plan import PRIVATE
from prover.private_model import PrivateModel, commit_private
from prover.program import OutOfRange
from prover.proof_system import ProofSystem
from prover.prove import StatementFalseError, prove
from prover.replay import Replay
from prover.verify import verify
from tests.prover.private.statements import private
from tests.prover.statements import srs as shared_srs

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def srs() -> SRS:
    return SRS.devnet(18)


@pytest.fixture(scope="module")
def tiny() -> IntegerModel:
    """With a head matrix of zeros in its first layer's MLP, and two tokens that have the rows of others."""
    model = load_model("tiny")
    embedding, head = np.array(model.embedding), np.array(model.head)
    embedding[5], head[5], embedding[6] = embedding[4], head[4], 0
    return dataclasses.replace(
        model, weights=dataclasses.replace(model.weights, embedding=embedding, head=head)
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("private")


def commit(
    model: IntegerModel, srs: SRS, folder: Path, password: str = PASSWORD, **more: object
) -> PrivateModel:
    return commit_private(
        model, srs, lambda new: password, models=folder / "models", commitments=folder / "commitments",
        cost=LOWEST_COST, **more,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.fixture(scope="module")
def own(tiny: IntegerModel, srs: SRS, folder: Path) -> PrivateModel:
    return commit(tiny, srs, folder)


@pytest.fixture(scope="module")
def public(tiny: IntegerModel, srs: SRS) -> ModelCommitment:
    return commit_model(tiny, srs, cache_dir=None)


def _points(commitment: ModelCommitment, system: ProofSystem) -> list[bytes]:
    keys = [decode_step_key(system, commitment, step).points for step in range(commitment.step_count)]
    rows = [commitment.rows[i : i + 64] for i in range(0, len(commitment.rows), 64)]
    return [*(point_to_bytes(point) for key in keys for point in key), *rows]


# --- commitments --------------------------------------------------------------------------------------------


def test_every_point_is_the_public_one_with_its_own_blinding(
    own: PrivateModel, public: ModelCommitment, srs: SRS, tiny: IntegerModel
) -> None:
    base = blinding_base(srs.digest)
    system = ProofSystem.shared(tiny.config, srs)
    for step in range(public.step_count):
        plain = decode_step_key(system, public, step)
        hidden = decode_step_key(own.system, own.commitment, step)
        assert hidden.parameters == plain.parameters
        expected = [blind(p, b, base) for p, b in zip(plain.points, own.blindings_of(step), strict=True)]
        assert list(hidden.points) == expected
    for token in (0, 4, 5, 6, 258):
        expected = [
            blind(p, b, base) for p, b in zip(public.row(token), own.blindings_of_row(token), strict=True)
        ]
        assert list(own.commitment.row(token)) == expected
    assert own.commitment.privacy == PRIVATE
    assert own.commitment.architecture_digest != public.architecture_digest


def test_nothing_that_is_equal_looks_equal(
    own: PrivateModel, public: ModelCommitment, srs: SRS, tiny: IntegerModel
) -> None:
    """Rows that occur twice, a row of zeros, chunks of padding; another commitment of the same model; the public one."""
    points = _points(own.commitment, own.system)
    assert len(set(points)) == len(points) and point_to_bytes(INFINITY) not in points
    plain = _points(public, ProofSystem.shared(tiny.config, srs))
    assert len(set(plain)) < len(plain) and point_to_bytes(INFINITY) in plain
    other = commit_hiding(
        tiny, srs, ModelBlindings.draw(context_of(tiny, srs, own.system.architecture_digest))
    )
    assert not set(points) & set(_points(other, own.system)) and not set(points) & set(plain)
    # nor do differences of two commitments show which rows agree
    first, second = own.commitment, other
    differences = {
        add(a, negate(b))
        for token in range(first.vocabulary)
        for a, b in zip(first.row(token), second.row(token), strict=True)
    }
    assert len(differences) == 2 * first.vocabulary


def test_one_seed_under_two_contents_gives_unrelated_blindings(tiny: IntegerModel, srs: SRS) -> None:
    seed = bytes(range(32))
    contexts = [context_of(tiny, srs, bytes([i]) * 32) for i in range(2)]
    one, other = (ModelBlindings(seed, context) for context in contexts)
    assert one.identity != other.identity
    numbers = [
        b
        for blindings in (one, other)
        for b in (
            *blindings.of_step(0, 3), *blindings.of_step(1, 3), *blindings.of_row(0), *blindings.of_row(1),
            *(ResponseBlindings(blindings, bytes([nonce]) * 32).of_window(step, stream, window)
              for nonce in (0, 1) for step in (0, 1) for stream in (0, 1) for window in (0, 1)),
        )
    ]  # fmt: skip
    assert len(set(numbers)) == len(numbers)
    assert one.of_rows("embedding", 1, 2) == [one.of_row(token)[0] for token in (1, 2)]
    assert one.of_rows("head", 1, 2) == [one.of_row(token)[1] for token in (1, 2)]
    with pytest.raises(ValueError, match="draw 32"):
        one.of_response(b"short")


def test_the_seed_is_nowhere_to_be_read(own: PrivateModel, folder: Path) -> None:
    seed, some = own.blindings.seed, own.blindings_of(0)[0]
    shown = repr(own) + repr(own.blindings.of_response(bytes(32)))
    for path in folder.rglob("*"):
        if path.is_file():
            shown += path.read_bytes().decode("latin-1")
    for secret in (seed, seed.hex(), repr(seed), str(some), hex(some)[2:]):
        text = secret.decode("latin-1") if isinstance(secret, bytes) else secret
        assert text not in shown


# --- the file with the blindings ----------------------------------------------------------------------------


def test_a_repeated_commit_is_the_same_model(
    own: PrivateModel, tiny: IntegerModel, srs: SRS, folder: Path
) -> None:
    again = commit(tiny, srs, folder)
    assert again.commitment.step_keys_root == own.commitment.step_keys_root
    assert again.commitment.rows == own.commitment.rows and again.blindings == own.blindings
    own.published.rename(folder / "kept")
    try:
        made = commit(tiny, srs, folder)
        assert made.commitment.step_keys == own.commitment.step_keys
        assert made.published.read_bytes() == (folder / "kept").read_bytes()
    finally:
        (folder / "kept").replace(own.published)


def test_the_blindings_are_kept_before_anything_is_committed(
    tiny: IntegerModel, srs: SRS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []

    def stop(model: IntegerModel, srs: SRS, blindings: ModelBlindings, *_: object) -> ModelCommitment:
        (file,) = (tmp_path / "models").iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
        seen.append(blindings.seed)
        raise KeyboardInterrupt

    monkeypatch.setattr(private_model, "commit_hiding", stop)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            commit(tiny, srs, tmp_path)
    assert seen[0] == seen[1]


def test_the_file_is_never_overwritten(own: PrivateModel, tiny: IntegerModel, srs: SRS) -> None:
    content = own.secret.read_bytes()
    with pytest.raises(BlindingsFileError, match="never overwritten"):
        BlindingsFile(own.secret).create(tiny, srs, own.system.architecture_digest, PASSWORD, LOWEST_COST)
    assert own.secret.read_bytes() == content
    assert [path.name for path in own.secret.parent.iterdir()] == [own.secret.name]


def _changed(*place: str) -> Callable[[dict[str, object]], None]:
    def change(body: dict[str, object]) -> None:
        part: dict[str, object] = body
        for name in place[:-1]:
            part = part[name]  # type: ignore[assignment]
        value = part[place[-1]]
        assert isinstance(value, str)
        part[place[-1]] = ("0" if value[0] != "0" else "1") + value[1:]

    return change


def _cheaper(body: dict[str, object]) -> None:
    body["kdf"]["n"] = 2 * LOWEST_COST  # type: ignore[index]


def _dearer(body: dict[str, object]) -> None:
    body["kdf"]["n"] = 1 << 40  # type: ignore[index]


def test_a_public_part_without_keys_of_its_tiles_is_refused(
    own: PrivateModel, tiny: IntegerModel, srs: SRS, tmp_path: Path
) -> None:
    """Tokens of a tile without a key would be compared with nothing. The keys are the last leaves under the root of step keys."""
    commitment = own.commitment
    assert (commitment.head_tiles, commitment.tile_key_path(0)) == (1, commitment.step_key_path(6))
    path = tmp_path / "tileless.commitment"
    save_published(path, "tileless", tiny.config, dataclasses.replace(commitment, tile_keys=()))
    with pytest.raises(CommitmentFileError, match="it has 6 keys and 259 token rows for a shape of 7"):
        load_published(path, srs)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (_changed("secret"), "does not open"),
        (_changed("cipher", "tag"), "does not open"),
        (_changed("cipher", "nonce"), "does not open"),
        (_changed("kdf", "salt"), "does not open"),
        (_cheaper, "does not open"),
        (_dearer, "damaged"),
        (_changed("format"), "not of format"),
        (lambda body: body.pop("secret"), "not of format"),
        (lambda body: body.update(secret=""), "damaged"),
        (lambda body: body.update(secret="no hex"), "damaged"),
        (lambda body: body.update(more=1), "not of format"),
    ],
)
def test_a_changed_file_does_not_open(
    own: PrivateModel,
    tiny: IntegerModel,
    srs: SRS,
    tmp_path: Path,
    change: Callable[[dict[str, object]], None],
    match: str,
) -> None:
    body = json.loads(own.secret.read_text())
    change(body)
    path = tmp_path / "b"
    path.write_text(json.dumps(body))
    with pytest.raises(BlindingsFileError, match=match) as refused:
        BlindingsFile(path).open(tiny, srs, own.system.architecture_digest, PASSWORD)
    assert own.blindings.seed.hex() not in str(refused.value) and refused.value.__cause__ is None


def test_wrong_files_and_passwords_are_told_apart(
    own: PrivateModel, tiny: IntegerModel, srs: SRS, folder: Path, tmp_path: Path
) -> None:
    content = own.secret.read_bytes()
    with pytest.raises(BlindingsFileError, match="password is wrong"):
        commit(tiny, srs, folder, "wrong")
    for cut in (b"", content[:-1], content[: len(content) // 2]):
        (tmp_path / "cut").write_bytes(cut)
        with pytest.raises(BlindingsFileError, match="damaged"):
            commit(tiny, srs, folder, file=tmp_path / "cut")
    with pytest.raises(BlindingsFileError, match="another model or ceremony"):
        commit(load_model("tiny"), srs, folder)
    with pytest.raises(BlindingsFileError, match="is missing; restore"):
        commit(tiny, srs, tmp_path, create=False)
    with pytest.raises(BlindingsFileError, match="not empty"):
        commit(tiny, srs, tmp_path, "")
    own.secret.rename(tmp_path / "lost")
    try:
        with pytest.raises(BlindingsFileError, match="was committed with it"):
            commit(tiny, srs, folder)
        assert not own.secret.exists()
    finally:
        (tmp_path / "lost").rename(own.secret)


# --- the public part ----------------------------------------------------------------------------------------


def test_a_client_reads_what_was_committed(own: PrivateModel, tiny: IntegerModel, srs: SRS) -> None:
    published = load_published(own.published, srs)
    assert (published.name, published.config) == (tiny.name, tiny.config)
    for field in dataclasses.fields(ModelCommitment):
        mine, theirs = (getattr(c, field.name) for c in (own.commitment, published.commitment))
        if field.name.endswith("_tree"):
            mine, theirs = mine.levels, theirs.levels
        assert mine == theirs, field.name
    content = own.published.read_bytes()
    for digest in (tiny.digest, own.blindings.context):
        assert digest not in content and digest.hex().encode() not in content


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda content: content[:-1], "damaged"),
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "damaged"),
        (lambda content: content.replace(b'"private"', b'"public "'), "damaged"),
        (lambda content: content.replace(b"model/2", b"model/1"), "its format must be"),
        (lambda content: b"", "not the public part"),
        (lambda content: b"{" * 5000 + b"\n", "not the public part"),
    ],
)
def test_a_damaged_public_part_is_refused(
    own: PrivateModel, srs: SRS, tmp_path: Path, change: Callable[[bytes], bytes], match: str
) -> None:
    (tmp_path / "p").write_bytes(change(own.published.read_bytes()))
    with pytest.raises(CommitmentFileError, match=match):
        load_published(tmp_path / "p", srs)


def test_a_public_part_for_others_is_refused(
    own: PrivateModel, public: ModelCommitment, tmp_path: Path
) -> None:
    with pytest.raises(CommitmentFileError, match="another ceremony"):
        load_published(own.published, SRS.devnet(8))
    with pytest.raises(NotFoundError, match="there is no"):
        load_published(tmp_path / "none", SRS.devnet(8))


# --- responses ----------------------------------------------------------------------------------------------


def test_proofs_are_about_the_registered_points(own: PrivateModel, tiny: IntegerModel, srs: SRS) -> None:
    """A step that reads a context, and a head pair, of one response; the same windows again only with the same nonce."""
    prompt, last = list(range(40)), 39
    hidden = ResponseBlindings.draw(own.blindings)
    chosen = Replay(tiny, own.commitment, srs, prompt, [0], blindings=hidden).argmax(last)
    assert chosen is not None
    replay = Replay(tiny, own.commitment, srs, prompt, [chosen], blindings=hidden)
    step, window = tiny.config.number_of("attention", 1), 1
    statement = replay.step_statement(step, window)
    assert statement.key.encode() == own.commitment.step_keys[step]
    verify(own.system.verifying_key("attention"), statement, replay.prove_step(step, window))
    rival = (chosen + 1) % tiny.config.vocabulary
    head = replay.head_statement(last, rival)
    assert head.inputs[:2] == tuple(own.commitment.row(token)[1] for token in (chosen, rival))
    verify(own.system.verifying_key("head"), head, replay.prove_head(last, rival))
    again = Replay(
        tiny, own.commitment, srs, prompt, [chosen], blindings=own.blindings.of_response(hidden.nonce)
    )
    other = Replay(
        tiny, own.commitment, srs, prompt, [chosen], blindings=ResponseBlindings.draw(own.blindings)
    )
    mine, same, fresh = (r.window_points(0) for r in (replay, again, other))
    assert mine == same and not set(mine) & set(fresh)


def test_replays_take_the_blindings_of_their_commitment(
    own: PrivateModel, public: ModelCommitment, tiny: IntegerModel, srs: SRS
) -> None:
    foreign = ResponseBlindings.draw(ModelBlindings.draw(own.blindings.context))
    hidden = ResponseBlindings.draw(own.blindings)
    for commitment, blindings in ((own.commitment, None), (own.commitment, foreign), (public, hidden)):
        with pytest.raises(BadInputError, match="blindings that it was committed with"):
            Replay(tiny, commitment, srs, [1], [2], blindings=blindings)


# --- what errors tell ---------------------------------------------------------------------------------------


def _all_text(error: BaseException) -> str:
    """What a log would hold: the message, those of whatever it came from, and their attributes."""
    text = ""
    seen: BaseException | None = error
    while seen is not None:
        text += f"{seen} {seen.args} {vars(seen)}"
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return text


def test_a_false_private_statement_names_no_value() -> None:
    """The public one names the row of the table and the entry (tests/prover/test_lookups.py)."""
    case = private("mlp")
    name = next(lookup.name for lookups in case.key.plan.lookups.values() for lookup in lookups)
    broken = {**case.tensors}
    tensor = name.removesuffix("_range")
    broken[tensor] = broken[tensor].copy()
    broken[tensor].flat[3] = -76_543
    with pytest.raises(StatementFalseError) as told:
        prove(case.key, shared_srs(), case.statement, broken, blindings=case.blindings)
    assert str(told.value) == f"lookup {name}: an entry is in no table"
    assert "76543" not in _all_text(told.value)


def test_a_private_run_that_leaves_its_range_names_no_value(
    own: PrivateModel, tiny: IntegerModel, srs: SRS, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = list(range(9))
    replay = Replay(tiny, own.commitment, srs, prompt, [1], blindings=ResponseBlindings.draw(own.blindings))
    best = replay.argmax(8)
    assert best is not None and best != 1
    with pytest.raises(RivalWins) as lost:
        replay.prove_head(8, best)
    assert not any(character.isdigit() for character in _all_text(lost.value))

    def leave(*_: object) -> None:
        raise OutOfRange("up", 5, -76_543, "[-9, 9)", 1)

    monkeypatch.setattr(Trace, "window", leave)
    monkeypatch.setattr(Trace, "require", leave)
    for ask in (lambda: replay.step_statement(0, 0), lambda: replay.stream_roots(1)):
        with pytest.raises(OutOfRange, match="change the prompt") as told:
            ask()
        assert "76543" not in _all_text(told.value) and "up" not in _all_text(told.value)
