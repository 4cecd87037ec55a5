"""What this machine can defend is measured, and a provider with more open games than that promises nothing more."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import cast

import pytest
from fastapi.testclient import TestClient

from contracts.bindings.deployment import Deployment
from contracts.bindings.openings import open_game
from contracts.protocol.parameters import DEVNET
from contracts.protocol.trace import AuditedTrace
from node.capacity import Capacity, measure
from node.receipts import fields_of
from node.records import batch_tree
from node.serving import CommittedServing
from prover.model.execute import Executor
from tests.contracts.local_chain import LocalChain

from .chain import CHALLENGER, ProviderHouse
from .test_provider_command import Command


def with_seconds(file: Path | None, clock_s: int, trace_s: float, proof_s: float | None = None) -> Capacity:
    capacity = Capacity(file, clock_s)
    capacity.note("trace", capacity.number(), trace_s)
    if proof_s is not None:
        capacity.note("proof", capacity.number(), proof_s)
    return capacity


@pytest.mark.parametrize("seconds,games", [(5.0, 6), (5.01, 5), (30.0, 1), (30.1, 0), (120.0, 0)])
def test_half_a_clock_over_the_seconds_of_a_game(seconds: float, games: int) -> None:
    capacity = with_seconds(None, 60, seconds / 2, seconds / 2)
    assert capacity.games == games
    assert capacity.reason(games) is not None
    assert games == 0 or capacity.reason(games - 1) is None


def test_nothing_is_refused_before_anything_was_measured() -> None:
    capacity = Capacity(None, 60)
    assert capacity.games is None and capacity.reason(10**6) is None
    capacity.note("trace", capacity.number(), 1.0)
    assert capacity.games is None  # a game needs a proof, too


def test_the_slowest_of_the_last_games_counts_and_old_ones_are_forgotten() -> None:
    capacity = with_seconds(None, 60, 1.0, 1.0)
    slow = capacity.number()
    for so_far in (2.0, 4.0, 9.0):  # one trace, noted again as it goes on
        capacity.note("trace", slow, so_far)
    assert capacity.seconds_per_game == 10.0
    for _ in range(31):
        capacity.note("trace", capacity.number(), 2.0)
    assert capacity.seconds_per_game == 10.0
    capacity.note("trace", capacity.number(), 2.0)
    assert capacity.seconds_per_game == 3.0


def test_one_slow_moment_does_not_end_a_node_for_good() -> None:
    capacity = with_seconds(None, 60, 1.0, 1.0)
    capacity.note("proof", capacity.number(), 100.0)
    assert capacity.games == 0
    assert capacity.reason(0) is None and capacity.reason(1) is not None
    capacity.forget()
    capacity.note("trace", capacity.number(), 100.0)
    capacity.note("proof", capacity.number(), 1.0)
    assert "provider capacity" in (capacity.reason(0) or "")
    capacity.forget()
    assert capacity.games is None and capacity.reason(0) is None


class _Prover:
    """A trace whose proofs take no time."""

    prompt_ids, output_ids = [1], [1]

    def step_kind(self, s: int) -> int:
        return s % 2

    def prove_step(self, s: int, window: int) -> bytes:
        return b""

    def prove_head_tile(self, window: int, tile: int) -> bytes:
        return b""


def test_the_first_proof_of_each_kind_makes_no_machine_slow() -> None:
    """It reads kernels and makes tables; a node that knew only such times refused all answers, whose audits would have shown others."""
    capacity, trace = with_seconds(None, 60, 1.0), cast(AuditedTrace, _Prover())
    timed = cast(AuditedTrace, capacity.timed(trace))
    for step in (0, 1):
        timed.prove_step(step, 0)
    timed.prove_head_tile(0, 0)
    assert capacity.seconds_per_game is None
    cast(AuditedTrace, capacity.timed(trace)).prove_step(2, 0)
    assert 1.0 <= (capacity.seconds_per_game or 0.0) < 2.0
    warm = with_seconds(None, 60, 1.0)
    warm.timed(trace, is_warm=True).prove_step(0, 0)
    assert warm.seconds_per_game is not None


def test_audits_share_a_window_and_the_machine() -> None:
    """Traces and proofs of all that wait, in half a window; one alone is measured by the fastest moment."""
    assert Capacity(None, 1).audit_reason(9, 99, 1) is None  # nothing was measured yet
    capacity = with_seconds(None, 60, 2.0, 1.5)
    assert capacity.audit_reason(2, 8, 32) is None  # 2 * 2 + 8 * 1.5 = 16
    assert "2 audits with 9 items" in (capacity.audit_reason(2, 9, 32) or "")
    capacity.note("proof", capacity.number(), 20.0)
    assert capacity.audit_reason(2, 8, 32) is not None
    assert capacity.audit_reason(1, 8, 32) is None
    # Nothing waits, so waiting cannot help.
    assert "provider capacity --private" in (capacity.audit_reason(1, 10, 32) or "")
    assert "wait until some" in (capacity.audit_reason(2, 8, 32) or "")
    assert capacity.seconds_per_audit(8) == 2.0 + 8 * 20.0 and Capacity(None, 1).seconds_per_audit(8) is None


def test_a_restart_remembers_and_a_spoilt_file_does_not_end_it(tmp_path: Path) -> None:
    file = tmp_path / "model" / "capacity.json"
    with_seconds(file, 60, 2.0, 3.0)
    assert Capacity(file, 60).seconds_per_game == 5.0
    for spoilt in ("", "[]", '{"trace": "x", "proof": 3}', '{"trace": [true, -1, 1e999], "proof": [null]}'):
        file.write_text(spoilt)
        assert Capacity(file, 60).games is None
    (tmp_path / "blocked").write_text("a file where the folder should be")
    assert with_seconds(tmp_path / "blocked" / "capacity.json", 60, 2.0, 3.0).games == 6


def test_a_games_work_is_measured_on_the_model_itself(house: ProviderHouse, tmp_path: Path) -> None:
    file, serving = tmp_path / "capacity.json", house.serving
    capacity = Capacity(file, DEVNET.clock)
    measure(capacity, serving.replay([1] * 40, [1]), serving.commitment.step_count)
    seconds = capacity.seconds_per_game
    assert seconds is not None and 0 < seconds < 600 and math.isfinite(seconds)
    assert set(json.loads(file.read_text())) == {"trace", "proof"}
    assert capacity.games == int(DEVNET.clock / 2 / seconds)


def test_attack_games_beyond_the_capacity_stop_new_promises_until_they_are_over(house: ProviderHouse) -> None:
    """Three games against a machine that can defend two; games that run are defended all the same."""
    provider, games = house.start(), house.contracts.game
    prompt = house.serving.model.tokenizer.encode("dispute this")
    ids = Executor(house.serving.model).generate(prompt, 3, end_ids=()).ids
    issued = [provider.desk.issue(prompt, ids, 3, "length") for _ in range(3)]
    house.pass_time(6)
    provider.follower.step()
    provider.committer.step()
    row = provider.journal.find_response(issued[0].receipt_id)
    assert row is not None
    batch, rows = provider.journal.batch(row.batch_id), provider.journal.responses_of(row.batch_id)
    assert batch is not None and batch.chain_batch_id is not None
    for kind in ("trace", "proof"):
        provider.capacity.note(kind, provider.capacity.number(), DEVNET.clock / 2 / 2 / 2)
    assert provider.capacity.games == 2
    challenger = house.other(CHALLENGER)
    numbers = []
    for number, each in enumerate(rows):
        provider.follower.step()
        reason = provider.readiness()
        if number < 2:
            assert reason is None or "games are open" not in reason
        else:
            assert reason == (
                "2 games are open, and this machine can defend 2 at once within their clocks; wait until some are over"
            )
        path = batch_tree(rows).path(each.index_in_batch)
        open_game(
            house.contracts, challenger, batch.chain_batch_id, each.index_in_batch, fields_of(each), path,
            secret=b"\2" * 32, key=f"open {each.leaf}",
        )  # fmt: skip
        numbers.append(games.game_count())
    provider.follower.step()
    body = {"model": house.serving.name, "prompt": "one more", "max_tokens": 2}
    refused = TestClient(provider.app).post("/v1/completions", json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready")
    assert "3 games are open" in refused.json()["error"]["message"]
    unready = TestClient(provider.app).get("/readyz")
    assert unready.status_code == 503 and "3 games are open" in unready.json()["reason"]
    provider.defender.play_out()
    for number in numbers:
        challenger.send(games.concede(number, games.game(number).about), f"concede {number}")
    provider.follower.step()
    reason = provider.readiness()
    assert reason is None or "games are open" not in reason


@pytest.mark.long
def test_the_command_measures_and_the_node_that_starts_then_knows(
    tmp_path: Path, local_chain: LocalChain, deployment: Deployment, serving: CommittedServing
) -> None:
    command = Command(tmp_path, local_chain, deployment, account=8)
    answer = command.run("provider", "capacity", "--model", "tiny", "--tokens", "40", "--json")
    assert answer.returncode == 0, answer.stderr
    facts = json.loads(answer.stdout)
    assert facts["clock_s"] == DEVNET.clock
    assert facts["games_at_once"] == int(DEVNET.clock / 2 / facts["seconds_per_game"])
    with command.serving():
        assert command.figure("gainsay_defendable_games") > 0  # known before the first game
    assert (tmp_path / ".gainsay" / "traces" / serving.model_id.hex() / "capacity.json").is_file()
