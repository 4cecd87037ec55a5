"""A started challenger that lost too often leaves with a sentence, again after every restart, until a person lets it go on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlmodel import Session

import gainsay
from challenger.local_models import load_local_model
from challenger.tables import GameRow, open_engine
from contracts.protocol.parameters import DEVNET
from devnet.anvil import free_port
from devnet.lifecycle import down, state_file, up
from tests.challenger.hostile_server import HostileServer, raw
from tests.challenger.started import Network, StartedChallenger, await_true


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    folder = tmp_path_factory.mktemp("state")
    parameters = replace(DEVNET, challenge_window=600, lock_per_response=10**18)
    net = up(folder, port=free_port(), parameters=parameters, block_time_s=None)
    yield Network(net, folder, load_local_model("tiny"))
    down(folder)


def lost_a_game(database: Path) -> None:
    engine = open_engine(database)
    with Session(engine) as session:
        session.add(
            GameRow(game_id=10**6, block_number=0, batch_id=0, index=0, model_id=b"", outcome="provider_won")
        )
        session.commit()
    engine.dispose()


def command(network: Network, database: Path, name: str, capsys: pytest.CaptureFixture[str]) -> str:
    of = ["--deployment", str(state_file(network.folder)), "--database", str(database)]
    of += ["--account", network.net.accounts["challenger"]]
    with pytest.raises(SystemExit) as left:
        gainsay.main(["challenger", name, *of])
    said = capsys.readouterr()
    assert left.value.code == 0, said.err
    return said.out


@pytest.mark.long
def test_it_leaves_until_somebody_says_that_it_may_go_on(
    network: Network,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    database = tmp_path / "challenger.sqlite"
    lost_a_game(database)
    monkeypatch.setenv("GAINSAY_STOP_AFTER_LOST_GAMES", "1")
    monkeypatch.setenv("GAINSAY_LOG_FORMAT", "json")
    server = HostileServer()
    lie = network.post()
    server.answers[lie.path] = raw(200, lie.json)
    try:
        for _ in range(2):
            stopped = StartedChallenger(network, database, [server.url])
            await_true(lambda: not stopped.runs, 60, stopped.text)  # noqa: B023
            assert "gainsay: the challenger stopped itself: 1 games were lost" in stopped.text
            assert "Traceback" not in stopped.text
        assert network.games_about(lie) == []
        assert "no new games: 1 games were lost" in command(network, database, "budgets", capsys)
        assert "1 lost games are accepted" in command(network, database, "resume", capsys)
        assert "new games are opened" in command(network, database, "budgets", capsys)
        resumed = StartedChallenger(network, database, [server.url])
        try:
            await_true(lambda: bool(network.games_about(lie)), 60, resumed.text)
            await_true(lambda: '"event": "disputed"' in resumed.text, 30, resumed.text)
            assert resumed.stop() == 0
            lines = [json.loads(line) for line in resumed.text.splitlines() if line.startswith("{")]
            said = {(line["level"], line["event"]) for line in lines}
            assert {("info", "batch posted"), ("info", "verdict"), ("info", "disputed")} <= said
        finally:
            resumed.kill()
    finally:
        server.close()
