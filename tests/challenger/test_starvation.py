"""A provider, or many together, that keep the challenger's one judge busy while a lie's window closes.

The judge and the store are real; a replay takes as long as it says on a clock that the test owns.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pytest
from sqlalchemy import update
from sqlmodel import Session, col
from structlog.testing import capture_logs

from challenger.judging import Judge
from challenger.local_models import Asked, LocalModel
from challenger.policies import ticket_of
from challenger.schedule import Demand, choose, first_shortage
from challenger.store import BatchRow, ResponseRow, Store, Unjudged, open_engine
from challenger.tables import encode_fields
from contracts.bindings.log_reader import Cursor
from contracts.protocol.response import ResponseFields
from contracts.protocol.token_ids import pack_token_ids
from contracts.protocol.trace import OwnTrace
from tests.contracts.synthetic import SyntheticModel, SyntheticTrace

_MODEL = SyntheticModel()
_MODEL_ID = b"m" * 32
_S_PER_POSITION = 0.1


@dataclass
class World:
    """Batches appear in it, and time passes while responses are re-run."""

    now: float = 0.0
    store: Store = field(default_factory=lambda: Store(open_engine(None)))
    order: list[tuple[int, int]] = field(default_factory=list)
    undecidable: set[int] = field(default_factory=set)
    together: bool = False  # whether the model can re-run several in one pass, at a tenth of the time
    passes: list[list[int]] = field(default_factory=list)  # positions of what was re-run together
    idle_s: float = 1  # that pass when nothing is to be done
    _batches: int = 0

    def __post_init__(self) -> None:
        self._secret = self.store.secret()
        together = self._replay_together if self.together else None
        model = LocalModel("synthetic", _MODEL, self._replay, replay_together=together)
        finder = type("Finder", (), {"find": lambda _, model_id: model if model_id == _MODEL_ID else None})()
        self.judge = Judge(self.store, finder, 8, lambda: int(self.now), 0, lambda *_: None, lambda: self.now)

    def post(
        self,
        provider: str,
        lengths: Sequence[int],
        lies: Iterable[int] = (),
        *,
        window: int,
        model_id: bytes = _MODEL_ID,
    ) -> int:
        """A listed batch of responses with so many positions; its number."""
        self._batches += 1
        number, lies = self._batches, set(lies)
        deadline = int(self.now) + window
        batch = BatchRow(
            batch_id=number, block_number=number, provider=provider, model_id=model_id,
            root=number.to_bytes(32, "big"), salt=b"s" * 32, count=len(lengths), deadline=deadline,
        )  # fmt: skip
        self.store.advance(Cursor(number, b"h" * 32), None, [batch], {})
        rows = []
        for index, length in enumerate(lengths):
            prompt = [number % 20, index % 20] + [3] * (length - 2)
            right = _MODEL.next_token(prompt)
            output = [(right + 1) % 20 if index in lies else right]
            fields = ResponseFields.of(prompt, output, 1, 0)
            leaf = number.to_bytes(16, "big") + index.to_bytes(16, "big")
            rows.append(
                ResponseRow(
                    batch_id=number,
                    index=index,
                    provider=provider,
                    model_id=model_id,
                    deadline=deadline,
                    positions=fields.positions,
                    ticket=ticket_of(leaf, self._secret),
                    leaf=leaf,
                    fields_json=encode_fields(fields),
                    path_nodes=b"",
                    prompt_packed=pack_token_ids(prompt),
                    output_packed=pack_token_ids(output),
                    output_hash=fields.output_hash,
                    prompt_hash=fields.prompt_hash,
                )
            )
        self.store.add_responses(batch, rows)
        return number

    def _replay(self, prompt_ids: Sequence[int], output_ids: Sequence[int], _sampling: object) -> OwnTrace:
        self.now += _S_PER_POSITION * len(prompt_ids)
        if len(prompt_ids) in self.undecidable:
            raise MemoryError
        return SyntheticTrace(_MODEL, prompt_ids, output_ids)

    def _replay_together(self, asked: Sequence[Asked]) -> list[OwnTrace]:
        self.passes.append([len(prompt) for prompt, _, _ in asked])
        self.now += _S_PER_POSITION * sum(self.passes[-1]) / 10
        if self.undecidable & set(self.passes[-1]):
            raise MemoryError
        return [SyntheticTrace(_MODEL, prompt, output) for prompt, output, _ in asked]

    def run(self, until: float) -> None:
        while self.now < until:
            if not self.judge.step():
                self.now += self.idle_s

    def state(self, batch: int, index: int) -> str:
        row = self.store.response(batch, index)
        assert row is not None
        return row.state


def test_four_undecidable_responses_do_not_hide_a_lie() -> None:
    world = World(undecidable={50})
    world.post("0xa", [50, 50, 50, 50], window=60)
    lie = world.post("0xa", [20], [0], window=60)
    world.run(55)
    assert world.state(lie, 0) == "invalid"


@pytest.mark.parametrize("length", [10, 100, 500])
def test_another_providers_flood_does_not_hide_a_lie(length: int) -> None:
    """The flood is posted first and lasts for hours; the lie is posted later, with a window of a minute."""
    world = World()
    world.post("0xflood", [length] * 300, window=120)
    world.run(30)
    lie = world.post("0xliar", [20], [0], window=60)
    started = world.now
    world.run(started + 2 * _S_PER_POSITION * length + 10)
    assert world.state(lie, 0) == "invalid"


def test_fifty_providers_that_flood_do_not_hide_the_lie_of_one() -> None:
    world = World()
    lies = [world.post(f"0x{number}", [10] * 20, window=900) for number in range(50)]
    lie = world.post("0xliar", [10], [0], window=900)
    world.run(52.0)  # a turn of each, of one second
    assert world.state(lie, 0) == "invalid"
    assert sum(world.state(batch, index) == "valid" for batch in lies for index in range(20)) <= 52


def test_a_lie_at_the_end_of_a_huge_batch_is_found_as_often_as_any() -> None:
    """Its provider alone floods the judge. Nobody can foresee which third is re-run."""
    found = 0
    for _ in range(24):
        world = World()
        batch = world.post("0xliar", [10] * 60, [59], window=20)
        world.run(20)
        found += world.state(batch, 59) == "invalid"
    assert 2 <= found <= 16  # of 24, expected 8


def test_what_can_be_done_in_time_is_done_in_time() -> None:
    """Long ones with late windows are posted before short ones with early windows: every single one is judged."""
    world = World()
    slack = random.Random(3)
    posted = [world.post("0xlong", [200] * 3, window=200), world.post("0xshort", [5] * 4, window=20)]
    for provider in range(6):
        world.run(world.now + 4)
        posted.append(world.post(f"0x{provider}", [slack.randint(5, 30)] * 3, [2], window=60))
    world.run(250)
    with_lies = [world.state(batch, 2) for batch in posted[2:]]
    assert with_lies == ["invalid"] * 6
    assert not [row for row, _ in world.store.all_responses() if row.state in ("missed", "pending")]


def test_a_shortage_is_loud_before_the_window_closes() -> None:
    world = World()
    batch = world.post("0xflood", [100] * 30, window=100)
    with capture_logs() as logs:
        world.run(50)
    assert any("replay capacity is short" in entry["event"] for entry in logs)
    waiting = [row for row, _ in world.store.all_responses() if row.state == "pending"]
    assert waiting and all("at risk" in row.why for row in waiting)
    with capture_logs() as logs:
        world.run(120)
    assert [entry["responses"] for entry in logs if "missed" in entry["event"]]
    assert {world.state(batch, index) for index in range(30)} == {"valid", "missed"}


def test_a_foreign_model_costs_nothing() -> None:
    world = World()
    foreign = world.post("0xflood", [500] * 200, window=60, model_id=b"f" * 32)
    lie = world.post("0xflood", [10], [0], window=60)
    world.run(5)
    assert world.state(lie, 0) == "invalid"
    assert world.state(foreign, 0) == "unknown"


def test_the_undecided_are_tried_again_ever_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(undecidable={50}, idle_s=5)
    batch = world.post("0xa", [50], window=4000)
    monkeypatch.setattr("challenger.judging.time.time", lambda: 1e9 + world.now)
    world.run(1000)
    row = world.store.response(batch, 0)
    assert row is not None
    assert 4 <= row.tries <= 9
    world.undecidable.clear()
    world.run(1700)
    assert world.state(batch, 0) == "valid"


def test_a_pass_over_several_finds_every_lie_and_saves_their_time() -> None:
    world = World(together=True)
    batch = world.post("0xa", [50] * 40, [0, 17, 39], window=100)
    world.run(30)  # 200 s one by one
    assert [i for i in range(40) if world.state(batch, i) == "invalid"] == [0, 17, 39]
    assert all(world.state(batch, i) == "valid" for i in range(40) if i not in (0, 17, 39))
    assert [len(lengths) for lengths in world.passes] == [20, 20], "at most 1,024 positions"
    assert world.judge.metrics.verdicts.labels("invalid")._value.get() == 3


def test_one_that_takes_its_pass_with_it_makes_no_other_unknown() -> None:
    world = World(together=True, undecidable={51})
    batch = world.post("0xa", [50, 51, 50, 50], [3], window=400)
    world.run(100)
    assert [world.state(batch, i) for i in range(4)] == ["valid", "unknown", "valid", "invalid"]


def test_a_long_one_goes_alone_and_passes_are_of_one_provider() -> None:
    world = World(together=True)
    long = world.post("0xa", [500, 500, 500, 20, 20], window=800)
    other = world.post("0xb", [20] * 8, [7], window=800)
    world.run(150)
    assert all(sum(lengths) <= 1024 for lengths in world.passes)
    assert [lengths for lengths in world.passes if len(lengths) == 8] == [[20] * 8]
    assert world.state(other, 7) == "invalid"
    assert all(world.state(long, i) == "valid" for i in range(5))


def test_the_backlog_is_a_figure_and_what_closes_undecided_is_an_alert() -> None:
    world = World(undecidable={30})
    world.post("0xa", [30], window=20)
    waiting = world.post("0xb", [60] * 5, window=100)
    with capture_logs() as logs:
        world.judge.step()
        assert world.judge.metrics.backlog.responses == 6 and world.judge.metrics.backlog.left_s == 20
        world.run(60)
    assert world.judge.metrics.unjudged.labels("undecided")._value.get() == 1
    assert [entry["log_level"] for entry in logs if "without a verdict" in entry["event"]] == ["error"]
    assert any(entry["event"] == "backlog" for entry in logs)
    assert all(world.state(waiting, i) == "valid" for i in range(5))


def test_what_is_skipped_because_its_ids_or_its_model_are_not_here_is_told() -> None:
    """Once, when the window closes; what the policy did not draw is nobody's business."""
    world = World()
    world.post("0xa", [30], window=20, model_id=b"f" * 32)
    batch = world.post("0xb", [30] * 3, window=20)
    with Session(world.store.engine) as session:
        for index, state in enumerate(("withheld", "withheld", "skipped")):
            here = (col(ResponseRow.batch_id) == batch, col(ResponseRow.index) == index)
            session.execute(update(ResponseRow).where(*here).values(state=state, prompt_packed=None))
        session.commit()
    with capture_logs() as logs:
        world.run(60)
    counted = {why: world.judge.metrics.unjudged.labels(why)._value.get() for why in Unjudged}
    assert counted == {Unjudged.WITHHELD: 2, Unjudged.MODEL_NOT_HERE: 1, Unjudged.UNDECIDED: 0}
    told = [
        (entry["log_level"], entry["because"], entry["responses"])
        for entry in logs
        if "verdict" in entry["event"]
    ]
    assert sorted(told) == [("error", "ids withheld", 2), ("warning", "model not here", 1)]


def test_the_schedule_is_by_deadline_while_time_suffices() -> None:
    demands = [Demand("b", b"", 100, 10, 1), Demand("a", b"", 50, 10, 1)]
    choice = choose(demands, lambda demand: demand.positions, {"a": 1000.0}, 0)
    assert choice is not None and (choice.provider, choice.by_ticket, choice.shortage) == ("a", False, None)
    short = first_shortage(demands, lambda demand: 30, 30, 1)
    assert short is not None and (short.deadline, short.needed_s, short.left_s) == (50, 30, 20)
