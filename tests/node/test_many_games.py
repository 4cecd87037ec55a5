"""Many games, a false claim for every receipt and a failing game at once: nothing delays a game that runs."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from contracts.bindings.moves import posted_boundaries
from contracts.bindings.openings import open_game
from contracts.protocol.claims import LEAF_BYTES, claim_of, leaves_of_step
from contracts.protocol.game import ModelRules, Outcome, Phase
from node.receipts import fields_of
from node.records import batch_tree
from node.remembered_trace import BoundaryFiles, RememberedTrace
from prover.model.execute import Executor
from prover.replay import Replay

from .chain import CHALLENGER, ProviderHouse

_GAMES = 8


def test_attack_many_games_are_played_at_once(house: ProviderHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight games; one proof takes as long as the test wants, one response is lost: all other moves come."""
    provider, games = house.start(), house.contracts.game
    prompt = house.serving.model.tokenizer.encode("dispute this, in two windows of a prompt")
    ids = Executor(house.serving.model).generate(prompt, 3, end_ids=()).ids
    issued = [provider.desk.issue(prompt, ids, 3, "length") for _ in range(_GAMES)]
    house.pass_time(6)
    provider.follower.step()
    provider.committer.step()
    row = provider.journal.find_response(issued[0].receipt_id)
    assert row is not None
    batch, rows = provider.journal.batch(row.batch_id), provider.journal.responses_of(row.batch_id)
    assert batch is not None and batch.chain_batch_id is not None
    challenger = house.other(CHALLENGER)
    numbers = []
    for each in rows:
        path = batch_tree(rows).path(each.index_in_batch)
        open_game(
            house.contracts, challenger, batch.chain_batch_id, each.index_in_batch, fields_of(each), path,
            secret=b"\0" * 32, key=f"open {each.leaf}",
        )  # fmt: skip
        numbers.append(games.game_count())
    first, *others = numbers

    def phases() -> list[Phase]:
        return [games.game(number).phase for number in others]

    def posted(number: int) -> tuple[bytes, ...]:
        return posted_boundaries(house.contracts, number)

    provider.follower.step()
    provider.defender.play_out()
    assert set(phases()) == {Phase.AWAIT_CHALLENGE}
    something_else = bytes(LEAF_BYTES * games.game(first).windows)
    challenger.send(games.challenge_part(first, posted(first), 2, something_else), f"part {first}")

    proving, release = threading.Event(), threading.Event()
    prove = RememberedTrace.prove_step

    def slowly(self: RememberedTrace, s: int, window: int) -> bytes:
        proving.set()
        assert release.wait(60)
        return prove(self, s, window)

    monkeypatch.setattr(RememberedTrace, "prove_step", slowly)
    provider.defender.step()
    assert proving.wait(20)
    serving = house.serving
    truth = Replay(serving.model, serving.commitment, serving.srs, prompt, ids)
    access = ModelRules.of(serving.commitment, 10).step_access(truth.step_kind(2))
    as_posted = claim_of(leaves_of_step(truth, access, 2, truth.boundary_hash(3)))
    for number in others:
        challenger.send(games.challenge_part(number, posted(number), 2, as_posted), f"part {number}")
    started = time.monotonic()
    while Phase.AWAIT_PROOF in phases():
        provider.defender.step()
        assert time.monotonic() - started < 30
        time.sleep(0.02)
    assert games.game(first).outcome is Outcome.UNDECIDED  # its proof still is not there
    release.set()
    while games.game(first).outcome is Outcome.UNDECIDED:
        provider.defender.step()
        assert time.monotonic() - started < 60
        time.sleep(0.02)
    assert games.game(first).outcome is Outcome.PROVIDER_WON


def test_boundaries_come_back_from_disk_and_never_wrong(tmp_path: Path, house: ProviderHouse) -> None:
    serving = house.serving
    prompt, started = [65, 66, 67], []

    def start(prompt_ids, output_ids, sampling=None):  # type: ignore[no-untyped-def]
        started.append(1)
        return Replay(serving.model, serving.commitment, serving.srs, list(prompt_ids), list(output_ids))

    def trace(files: BoundaryFiles) -> RememberedTrace:
        return RememberedTrace("0x" + "ab" * 32, prompt, [68, 69], files, serving.commitment, start)

    files = BoundaryFiles(tmp_path / "traces", serving.model_id)
    right = start(prompt, [68, 69])
    assert trace(files).boundary_hash(1) == right.boundary_hash(1) and len(started) == 2
    assert trace(files).boundary_hash(1) == right.boundary_hash(1) and len(started) == 2
    assert [tuple(point) for point in trace(files).stream_points(1, 0)] == list(right.stream_points(1, 0))
    (file,) = [path for path in (tmp_path / "traces").rglob("1") if path.is_file()]
    whole = file.read_bytes()
    for spoilt in (b"", whole[:-64], whole[:40] + bytes([whole[40] ^ 1]) + whole[41:]):
        file.write_bytes(spoilt)
        before = len(started)
        assert trace(files).boundary_hash(1) == right.boundary_hash(1) and len(started) == before + 1
    file.rename(file.with_name("2"))  # another boundary's place
    assert trace(files).boundary_hash(2) == right.boundary_hash(2) != right.boundary_hash(1)

    small = BoundaryFiles(tmp_path / "small", serving.model_id, largest_bytes=3 * len(whole))
    for boundary in range(5):
        trace(small).boundary_hash(boundary)
    kept = [path for path in (tmp_path / "small").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in kept) <= 3 * len(whole)
    (tmp_path / "blocked").write_text("a file where the folder should be")
    assert trace(BoundaryFiles(tmp_path / "blocked", serving.model_id)).boundary_hash(
        1
    ) == right.boundary_hash(1)
