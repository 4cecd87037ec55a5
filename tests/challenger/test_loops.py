"""The challenger as it runs: its loops in threads, on a real chain; none of them can hold up the games."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from challenger.bot import Challenger, Options
from challenger.local_models import LocalModel, LocalModels
from challenger.policies import RandomShare
from challenger.provider_client import provider_book
from challenger.store import Store, open_engine
from challenger.trace_files import StoredTrace, TraceFiles, TraceNeeded, trace_name
from contracts.bindings.keys import UnlockedSigner
from contracts.bindings.log_reader import Cursor
from contracts.bindings.moves import read_game_state
from contracts.bindings.sender import sender_on_engine
from contracts.protocol.claims import claimed_leaf, leaves_of_input, leaves_of_step
from contracts.protocol.game import Outcome, Phase, Reason, Side
from contracts.protocol.response import ResponseFields
from prover.errors import OutOfRangeError
from prover.sampling import Sampling
from tests.challenger.hostile_server import HostileServer, dripped_head
from tests.challenger.listing_server import ListingServer
from tests.challenger.started import await_true
from tests.contracts.chain_game import Arena, PostedBatch
from tests.contracts.synthetic import SyntheticModel, SyntheticTrace

_MAX_TOKENS = 4
_OWN_TURNS = (Phase.AWAIT_CHALLENGE,)
_QUICK = [[4 + number] * 40 for number in range(4)]
_SLOW = [[9 + number] * 70 for number in range(4)]


@dataclass
class Running:
    """A challenger in threads. Replays of prompts in `slow` wait until the event is set."""

    arena: Arena
    folder: Path
    server: Any = field(default_factory=ListingServer)
    released: threading.Event = field(default_factory=threading.Event)
    replays: list[int] = field(default_factory=list)
    slow_replays: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Store(open_engine(self.folder / "challenger.sqlite"))
        head = self.arena.contracts.chain.head()
        self.store.advance(Cursor(head.number, head.hash), None, [], {})
        self.start()

    def start(self) -> None:
        self.stop_asked = threading.Event()
        chain = self.arena.contracts.chain
        signer = UnlockedSigner(chain, chain.unlocked_accounts()[5])
        self.bot = Challenger(
            self.arena.contracts,
            sender_on_engine(chain, signer, self.store.engine),
            self.store,
            LocalModels(
                [LocalModel("synthetic", self.arena.model, self._replay)],
                self.arena.contracts.registry,
                [self.arena.model_id],
            ),
            provider_book([self.server.url]),
            RandomShare(1.0),
            Options(poll_s=0.05),
            TraceFiles(self.folder / "traces"),
        )
        self._thread = threading.Thread(target=self.bot.run, args=(self.stop_asked,))
        self._thread.start()

    def stop(self) -> None:
        self.stop_asked.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _replay(
        self, prompt_ids: Sequence[int], output_ids: Sequence[int], _sampling: object
    ) -> SyntheticTrace:
        self.replays.append(len(prompt_ids))
        if len(prompt_ids) == 70:
            self.slow_replays.append(prompt_ids[0])
            self.released.wait(60)
        return SyntheticTrace(self.arena.model, prompt_ids, output_ids)

    def post(self, *prompts: Sequence[int], lie: bool = True) -> PostedBatch:
        ids = []
        for prompt in prompts:
            output = self.arena.model.generate(prompt, _MAX_TOKENS)
            ids.append((prompt, [*output[:-1], (output[-1] + lie) % self.arena.model.vocabulary]))
        batch = self.arena.post([ResponseFields.of(p, o, max(_MAX_TOKENS, len(o)), 0) for p, o in ids])
        self.server.show(batch, ids)
        return batch

    def game(self, batch: PostedBatch) -> int:
        found: list[int] = []

        def opened() -> bool:
            found.extend(g.game_id for g in self.store.games() if g.batch_id == batch.batch_id)
            return bool(found)

        await_true(opened, 20, "the game is opened")
        return found[0]

    def play_out(self, game_id: int, prompt: Sequence[int], wrong_from: tuple[int, int]) -> float:
        """Until the provider cannot go on; the longest time that the challenger took for a move."""
        output = self.arena.model.generate(prompt, _MAX_TOKENS)
        output[-1] = (output[-1] + 1) % self.arena.model.vocabulary
        trace, longest_s = SyntheticTrace(self.arena.model, prompt, output, wrong_from), 0.0
        game = self.arena.contracts.game
        while game.game(game_id).phase is not Phase.AWAIT_PROOF:
            if self.arena.move(game_id, Side.PROVIDER, trace):
                took_s = await_true(
                    lambda: game.game(game_id).phase not in _OWN_TURNS, 20, "the challenger moves"
                )
                longest_s = max(longest_s, took_s)
        return longest_s


@pytest.fixture
def running(arena: Arena, tmp_path: Path) -> Iterator[Running]:
    running = Running(arena, tmp_path)
    yield running
    running.released.set()
    running.stop()
    running.server.close()


def test_somebody_elses_long_replays_cost_no_game(running: Running) -> None:
    lie = running.post(_QUICK[0])
    game_id = running.game(lie)
    running.post(*_SLOW, lie=False)
    await_true(lambda: bool(running.slow_replays), 20, "a long replay runs")
    assert running.play_out(game_id, _QUICK[0], (3, 1)) < 5
    assert not running.released.is_set() and len(running.slow_replays) == 1


def test_a_game_whose_trace_has_to_be_made_does_not_hold_up_another(running: Running) -> None:
    """After a restart both traces are gone; one takes long to make again."""
    running.released.set()
    slow, quick = running.post(_SLOW[0]), running.post(_QUICK[1])
    slow_game, quick_game = running.game(slow), running.game(quick)
    running.stop()
    for file in (running.folder / "traces").glob("*"):
        file.unlink()
    running.released.clear()
    running.slow_replays.clear()
    running.start()
    slow_trace = SyntheticTrace(running.arena.model, _SLOW[0], wrong_output(running, _SLOW[0]), (2, 0))
    running.arena.move(quick_game, Side.PROVIDER, SyntheticTrace(
        running.arena.model, _QUICK[1], wrong_output(running, _QUICK[1]), (3, 1)
    ))  # fmt: skip
    await_true(
        lambda: running.arena.contracts.game.game(quick_game).phase is not Phase.AWAIT_CHALLENGE,
        10,
        "it moves",
    )
    running.arena.move(slow_game, Side.PROVIDER, slow_trace)
    await_true(lambda: bool(running.slow_replays), 20, "the long trace is being made")
    assert running.play_out(quick_game, _QUICK[1], (3, 1)) < 8 and not running.released.is_set()
    running.released.set()
    running.play_out(slow_game, _SLOW[0], (2, 0))


def wrong_output(running: Running, prompt: Sequence[int]) -> list[int]:
    output = running.arena.model.generate(prompt, _MAX_TOKENS)
    return [*output[:-1], (output[-1] + 1) % running.arena.model.vocabulary]


def test_after_a_restart_moves_come_from_the_disk(running: Running) -> None:
    lie = running.post(_QUICK[2])
    game_id = running.game(lie)
    await_true(lambda: bool(list((running.folder / "traces").glob("*.trace"))), 20, "the trace is stored")
    running.stop()
    running.replays.clear()
    running.start()
    running.play_out(game_id, _QUICK[2], (4, 1))
    assert running.replays == []


def test_damaged_traces_are_made_again(running: Running) -> None:
    lie = running.post(_QUICK[1])
    game_id = running.game(lie)
    await_true(lambda: bool(list((running.folder / "traces").glob("*.trace"))), 20, "the trace is stored")
    running.stop()
    for file in (running.folder / "traces").glob("*.trace"):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    running.start()
    running.play_out(game_id, _QUICK[1], (4, 1))


def test_a_locked_database_ends_nothing(
    arena: Arena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("challenger.tables._BUSY_S", 0.2)
    running = Running(arena, tmp_path)
    try:
        lie = running.post(_QUICK[0])
        with (
            capture_logs() as logs,
            sqlite3.connect(tmp_path / "challenger.sqlite", timeout=30) as connection,
        ):
            connection.execute("BEGIN EXCLUSIVE")
            running.post(_QUICK[0])  # an event that the watcher has to keep, whatever the judge is busy with
            await_true(lambda: any("locked" in str(entry) for entry in logs), 60, "a loop finds it locked")
            time.sleep(2)
        game_id = running.game(lie)
        running.play_out(game_id, _QUICK[0], (3, 1))
        assert arena.contracts.game.game(game_id).outcome is Outcome.UNDECIDED
    finally:
        running.stop()
        running.server.close()


def test_a_stop_joins_every_loop(arena: Arena, tmp_path: Path) -> None:
    running = Running(arena, tmp_path)
    names = {"watch", "games", "judge", "trace", "unseen", f"list {running.server.url}"}
    await_true(lambda: names <= {t.name for t in threading.enumerate()}, 20, "all loops run")
    running.stop()
    assert not names & {thread.name for thread in threading.enumerate()}
    running.server.close()


def test_a_stop_waits_for_no_slow_provider(arena: Arena, tmp_path: Path) -> None:
    slow = HostileServer(dripped_head(1.0))
    running = Running(arena, tmp_path, slow)
    running.arena.post([ResponseFields.of([1], [2], 1, 0)])
    await_true(lambda: bool(slow.requests), 20, "the slow provider is asked")
    started = time.monotonic()
    running.stop()
    assert time.monotonic() - started < 5
    assert f"list {slow.url}" not in {thread.name for thread in threading.enumerate()}
    slow.close()


def test_a_restart_while_a_proof_is_due_loses_nothing(running: Running) -> None:
    game_id = running.game(running.post(_QUICK[0]))
    running.play_out(game_id, _QUICK[0], (3, 1))
    running.stop()
    for file in (running.folder / "traces").glob("*"):
        file.unlink()
    running.start()
    running.arena.local_chain.pass_time(10_000)
    game = running.arena.contracts.game
    await_true(lambda: game.game(game_id).phase is Phase.RESOLVED, 20, "the game is ended")
    assert (game.game(game_id).outcome, game.game(game_id).reason) == (
        Outcome.CHALLENGER_WON,
        Reason.TIMED_OUT,
    )


def test_of_an_input_with_an_unknown_id_the_other_windows_are_claimed(running: Running) -> None:
    """The provider could prove each of them; the window of the id is anything."""
    arena = running.arena
    prompts = ([*[fill] * 40, 999, *[(3 * position) % 20 for position in range(50)]] for fill in range(20))
    prompt = next(
        p for p in prompts if not {1, 2} & set(arena.model.generate(p, _MAX_TOKENS))
    )  # no end token
    game_id, output = running.game(running.post(prompt)), wrong_output(running, prompt)
    assert arena.move(game_id, Side.PROVIDER, SyntheticTrace(arena.model, prompt, output))
    game = arena.contracts.game
    await_true(lambda: game.game(game_id).phase is Phase.AWAIT_PROOF, 20, "the challenger moves")
    claim = read_game_state(arena.contracts, game_id, arena.rules).claim
    assert claim is not None
    trace = SyntheticTrace(arena.model, prompt, output)
    right = leaves_of_input(trace, trace.boundary_hash(0))
    unknown = prompt.index(999) // 32
    assert right[unknown] is None and len(right) > 2
    for window, own in enumerate(right):
        assert (claimed_leaf(claim, window) == own) is (window != unknown)


# --- files


_FILED = SyntheticModel()
_IDS = ((1, 2, 3), (4, 5))


def a_trace(boundaries: int = 3) -> tuple[bytes, StoredTrace]:
    streams = {s: (((s, 2**256 - 1),), ((s, 1),), ((s, 2),), ()) for s in range(boundaries)}
    return trace_name(b"m" * 32, *_IDS), StoredTrace(*_IDS, 1, _FILED, streams, (True, (3, 7)))


def test_a_stored_trace_is_read_as_it_was_written(tmp_path: Path) -> None:
    files, (name, trace) = TraceFiles(tmp_path), a_trace()
    files.save(name, trace)
    read = files.load(name, *_IDS, _FILED)
    assert read == trace
    with pytest.raises(TraceNeeded):
        read.stream_points(3, 0)
    assert read.stream_points(2, 1) == ((2, 1),) and read.step_kind(2) == _FILED.kind(2)
    for ask in (read.first_unprovable, lambda: read.argmax(3)):
        with pytest.raises(TraceNeeded):
            ask()


def test_a_stored_trace_that_ends_early_is_read_as_it_was_written(tmp_path: Path) -> None:
    """What its last step writes has the windows in front of the one that leaves its range, and no boundary behind is whole."""
    ids = (tuple(range(60)), (4, 5))
    residual = ((1, 2), (3, 4))
    streams = {0: (residual, (), (), ()), 1: (residual, ((5, 6),), ((7, 8),), ()), 2: ((), (), (), ())}
    name, files = trace_name(b"m" * 32, *ids), TraceFiles(tmp_path)
    for end in ((1, 1), None):
        last = (((1, 2), None), (None, (9, 9)), (None, (8, 8)), ())
        trace = StoredTrace(*ids, 2, _FILED, streams, end=(True, end), partial={2: last} if end else {})
        files.save(name, trace)
        read = files.load(name, *ids, _FILED)
        assert read == trace and read.first_unprovable() == end
        assert read.stream_points(1, 0) == residual and read.stream_points(1, 1) == ((5, 6),)
        assert len(read.stream_roots(0)) == 4
    assert trace.partial == {} and read.window_commitments(0, 0) == list(residual)
    early = StoredTrace(*ids, 2, _FILED, streams, end=(True, (0, 1)))
    assert early.stream_roots(0) == read.stream_roots(0)
    with pytest.raises(OutOfRangeError):
        early.stream_roots(1)


def test_no_damaged_file_is_believed(tmp_path: Path) -> None:
    files, (name, trace) = TraceFiles(tmp_path), a_trace()
    files.save(name, trace)
    (path,) = tmp_path.glob("*.trace")
    whole = path.read_bytes()
    for at in range(0, len(whole), 5):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        assert files.load(name, *_IDS, _FILED).streams == {}
        path.write_bytes(whole[:at])
        assert files.load(name, *_IDS, _FILED).streams == {}


def test_what_a_challenge_claims_is_read_from_the_file(tmp_path: Path) -> None:
    """Commitments follow from running sums; behind the step where the trace ends they are kept with the windows that have none."""
    model, prompt = _FILED, [(7 * position) % 20 for position in range(220)]
    name, files = trace_name(b"m" * 32, prompt, (1,)), TraceFiles(tmp_path)
    for end in (None, (1, 2)):
        truth = SyntheticTrace(model, prompt, [1], ends_at=end, also_out=(4,))
        last = model.step_count if end is None else end[0]
        streams = range(len(model.chunk_bits))
        known = {s: tuple(tuple(truth.stream_points(s, k)) for k in streams) for s in range(last + 1)}
        stored = StoredTrace(prompt, (1,), truth.windows, model, known, end=(True, end))
        if end is not None:
            with pytest.raises(TraceNeeded):
                stored.window_commitments(last + 1, 0)
            stored.partial[last + 1] = tuple(tuple(truth.window_commitments(last + 1, k)) for k in streams)
        files.save(name, stored)
        read = files.load(name, prompt, (1,), model)
        for step in range(last + (end is not None)):
            of_step = [leaves_of_step(each, model.access(step), step, b"") for each in (read, truth)]
            assert of_step[0] == of_step[1]
        assert leaves_of_input(read, b"") == leaves_of_input(truth, b"")


def test_a_file_of_an_earlier_version_is_made_again(tmp_path: Path) -> None:
    files, (name, trace) = TraceFiles(tmp_path), a_trace()
    files.save(name, trace)
    (path,) = tmp_path.glob("*.trace")
    body = path.read_bytes()[:-32].replace(b"gainsay trace 4", b"gainsay trace 3")
    path.write_bytes(body + sha256(body).digest())
    assert files.load(name, *_IDS, _FILED).streams == {}


@pytest.mark.parametrize("on_disk", [True, False])
def test_the_folder_is_bounded_and_keeps_what_is_needed(tmp_path: Path, on_disk: bool) -> None:
    files = TraceFiles(tmp_path if on_disk else None, limit_bytes=2_000)
    names = [trace_name(b"m" * 32, (1, 2, 3), (4, number)) for number in range(20)]
    # The same ids under another rule are another trace: its first wrong token is another one.
    rules = (None, Sampling(700, 1), Sampling(700, 2))
    assert len({trace_name(b"m" * 32, (1, 2, 3), (4, 0), rule) for rule in rules}) == 3
    for name in names:
        files.save(name, StoredTrace(*_IDS, 1, _FILED, {0: (((1, 2),), (), (), ())}), keep=names[:2])
        time.sleep(0.002)
    kept = [name for name in names if files.load(name, *_IDS, _FILED).streams]
    assert kept[:2] == names[:2] and kept[-1] == names[-1] and len(kept) < 15
