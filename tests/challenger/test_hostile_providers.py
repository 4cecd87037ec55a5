"""A started challenger, a real chain, and providers that want it to fall over, to wait, or to look elsewhere."""

from __future__ import annotations

import itertools
import json
import random
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from challenger.local_models import load_local_model
from contracts.bindings.openings import open_game
from contracts.protocol.game import Outcome, Phase
from contracts.protocol.merkle import MerkleTree
from contracts.protocol.parameters import DEVNET
from contracts.protocol.response import ResponseFields
from devnet.anvil import free_port
from devnet.lifecycle import down, up
from tests.challenger.hostile_server import HostileServer, dripped_body, dripped_head, endless_body, raw
from tests.challenger.listing_server import receipt_body
from tests.challenger.malformed_listings import by_hand, mutations
from tests.challenger.started import Network, StartedChallenger, await_true

_PARAMETERS = replace(DEVNET, challenge_window=600, lock_per_response=10**9, game_reward=10**7)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    folder = tmp_path_factory.mktemp("state")
    net = up(folder, port=free_port(), parameters=_PARAMETERS, block_time_s=None)
    yield Network(net, folder, load_local_model("tiny"))
    down(folder)


@pytest.fixture
def servers() -> Iterator[list[HostileServer]]:
    made = [HostileServer() for _ in range(3)]
    yield made
    for server in made:
        server.close()


@pytest.mark.parametrize(
    ("victims", "looks"),
    [pytest.param(24, 60, marks=pytest.mark.long), pytest.param(6, 8, marks=pytest.mark.long)],
)
def test_no_listing_ends_the_challenger_not_even_after_a_restart(
    network: Network, servers: list[HostileServer], tmp_path: Path, victims: int, looks: int
) -> None:
    server, other, _ = servers
    database = tmp_path / "challenger.sqlite"
    batches = [network.post(wrong=()) for _ in range(victims)]
    batches += [network.post(count_on_chain=count) for count in (2**20, 2**32 - 1, 10_000)]
    for number, batch in enumerate(batches):
        # A new malformed listing with every look.
        hostile = [*by_hand(batch.body), *itertools.islice(mutations(batch.body, seed=number), 200)]
        random.Random(number).shuffle(hostile)
        bodies = iter(hostile)
        server.answers[batch.path] = lambda bodies=bodies: raw(200, next(bodies))()
    lie = network.post()
    server.answers[lie.path] = raw(200, lie.json)
    for _ in range(1 + victims // 24):
        challenger = StartedChallenger(network, database, [server.url, other.url])
        try:
            await_true(lambda: bool(network.games_about(lie)), 90, challenger.text)  # noqa: B023
            asked = len(server.requests)
            await_true(lambda: len(server.requests) > asked + looks, 120, challenger.text)  # noqa: B023
            assert challenger.runs, challenger.text
            # What no listing can do, a damaged disk can: rows that nothing here can decode.
            poison(database)
        finally:
            challenger.kill()
        lie = network.post()
        server.answers[lie.path] = raw(200, lie.json)
    challenger = StartedChallenger(network, database, [server.url])
    try:
        await_true(lambda: bool(network.games_about(lie)), 90, challenger.text)
        assert challenger.stop() == 0
    finally:
        challenger.kill()


def poison(database: Path) -> None:
    """A copy of every response with fields, path and ids that make no sense, first in every order."""
    with sqlite3.connect(database, timeout=30) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(challenger_response)")]
        changed = {
            "id": "NULL", '"index"': '"index" + 1000 + abs(random() % 1000000)', "fields_json": "'[1e999, \"'",
            "path_nodes": "x'00'", "prompt_packed": "x'ff'", "output_packed": "x'ff'", "state": "'pending'",
            "ticket": "0", "positions": "-5", "why": "x'ff'",
        }  # fmt: skip
        names = ['"index"' if name == "index" else name for name in columns]
        values = [changed.get(name, name) for name in names]
        connection.execute(
            f"INSERT INTO challenger_response ({', '.join(names)}) SELECT {', '.join(values)} FROM challenger_response"
        )


def test_slow_providers_cost_no_game(network: Network, servers: list[HostileServer], tmp_path: Path) -> None:
    slow, slower, honest = servers
    slow.fallback, slower.fallback = dripped_body(2.0), dripped_head(2.0)
    endless = network.post()
    slow.answers[endless.path] = endless_body()
    for _ in range(5):
        network.post()  # each is asked at the slow ones, too
    lie = network.post()
    honest.answers[lie.path] = raw(200, lie.json)
    challenger = StartedChallenger(
        network, tmp_path / "challenger.sqlite", [honest.url, slow.url, slower.url]
    )
    try:
        await_true(lambda: bool(network.games_about(lie)), 180, challenger.text)
        (game_id,) = network.games_about(lie)
        answered_s = []
        while network.game(game_id).outcome is Outcome.UNDECIDED:
            if network.defend_once(game_id, lie):
                answered_s.append(
                    await_true(
                        lambda: network.game(game_id).phase is not Phase.AWAIT_CHALLENGE,
                        DEVNET.move_extension,
                        challenger.text,
                    )
                )
        assert network.game(game_id).outcome is Outcome.CHALLENGER_WON
        assert max(answered_s) < 10
        assert slow.requests and slower.requests
        assert challenger.stop() == 0
    finally:
        challenger.kill()


@pytest.mark.long
def test_both_of_two_bare_urls_are_asked(
    network: Network, servers: list[HostileServer], tmp_path: Path
) -> None:
    first, second, _ = servers
    lies = [network.post(), network.post()]
    for server, lie in zip((first, second), lies, strict=True):
        server.answers[lie.path] = raw(200, lie.json)
    challenger = StartedChallenger(network, tmp_path / "challenger.sqlite", [first.url, second.url])
    try:
        await_true(lambda: all(network.games_about(lie) for lie in lies), 60, challenger.text)
    finally:
        challenger.kill()


@pytest.mark.long
def test_attack_a_batch_that_is_listed_nowhere_is_asked_for_by_a_started_challenger(
    network: Network, tmp_path: Path
) -> None:
    """The lie is shown in the last seconds, its neighbour never: a killed and restarted challenger gets both."""
    ledger, chain = network.contracts.ledger, network.contracts.chain

    def pass_time(seconds: int) -> None:
        chain.request("evm_increaseTime", [seconds])
        chain.request("anvil_mine", ["0x1"])

    pass_time(_PARAMETERS.challenge_window + 1)  # what other tests left is over
    database = tmp_path / "challenger.sqlite"
    lie = network.post(2)
    options = ("http://127.0.0.1:9",), "--ask"
    challenger = StartedChallenger(network, database, *options)
    try:
        pass_time(_PARAMETERS.challenge_window // 2 + 1)
        await_true(
            lambda: all(ledger.response(lie.batch_id, index).is_asked_for for index in range(2)),
            60,
            "both are asked for",
        )
        challenger.kill()
        deadline = ledger.response(lie.batch_id, 0).show_deadline
        pass_time(deadline - chain.head().timestamp - 2)
        leaves = [bytes.fromhex(entry["leaf"][2:]) for entry in lie.body["responses"]]
        fields, path = ResponseFields.of(*lie.ids[0], 1, 0), MerkleTree(leaves).path(0)
        call = ledger.show(lie.batch_id, 0, fields, path, *lie.ids[0])
        network.provider.send(call, key=f"show {lie.batch_id}")
        pass_time(_PARAMETERS.show_window)
        challenger = StartedChallenger(network, database, *options)
        await_true(lambda: network.games_about(lie, 0) != [], 60, "a game about the lie")
        await_true(lambda: ledger.is_void(lie.batch_id, 1), 30, "what was not shown is void")
        assert challenger.stop() == 0, challenger.text
    finally:
        if challenger.runs:
            challenger.kill()


@pytest.mark.long
def test_attack_what_friends_left_is_ended_by_a_started_challenger(
    network: Network, servers: list[HostileServer], tmp_path: Path
) -> None:
    """Friends hold all places about one lie and the only ask for its neighbour, which is hidden, and do nothing more. A
    challenger with no options, killed in between, loses the neighbour for the provider and gets into the house."""
    ledger, game, chain = network.contracts.ledger, network.contracts.game, network.contracts.chain
    friend, own = network.net.sender("client", chain=chain), network.net.accounts["challenger"]

    def pass_time(seconds: int) -> None:
        chain.request("evm_increaseTime", [seconds])
        chain.request("anvil_mine", ["0x1"])

    lie = network.post(2, wrong=(0, 1))
    seen, unseen = lie.body["responses"]
    hidden = {name: unseen[name] for name in ("index", "leaf", "receipt_id")}
    servers[0].answers[lie.path] = raw(200, json.dumps({**lie.body, "responses": [seen, hidden]}).encode())
    body = {"receipt": receipt_body(ResponseFields.of(*lie.ids[1], 1, 0))}
    servers[0].answers[f"/v1/receipts/{unseen['leaf']}"] = raw(200, json.dumps(body).encode())
    leaves = [bytes.fromhex(entry["leaf"][2:]) for entry in lie.body["responses"]]
    fields, path = ResponseFields.of(*lie.ids[0], 1, 0), MerkleTree(leaves).path(0)
    for number in range(_PARAMETERS.max_games_per_response):
        secret, key = number.to_bytes(32, "big"), f"friend {lie.batch_id} {number}"
        open_game(network.contracts, friend, lie.batch_id, 0, fields, path, secret=secret, key=key)
    friends = network.games_about(lie)
    assert all(network.defend_once(game_id, lie) for game_id in friends)
    friend.send(ledger.ask(lie.batch_id, 1, _PARAMETERS.ask_price), f"ask {lie.batch_id}")
    database = tmp_path / "challenger.sqlite"
    challenger = StartedChallenger(network, database, [servers[0].url])
    try:
        await_true(lambda: "TooManyGames" in challenger.text, 60, "it is kept out")
        challenger.kill()
        pass_time(_PARAMETERS.clock + _PARAMETERS.trace_extension + 1)
        challenger = StartedChallenger(network, database, [servers[0].url])
        await_true(lambda: ledger.is_void(lie.batch_id, 1), 60, "the hidden one is lost")
        await_true(
            lambda: all(game.game(game_id).outcome is Outcome.PROVIDER_WON for game_id in friends),
            60,
            "the house is empty",
        )
        pass_time(_PARAMETERS.join_window + 1)
        await_true(lambda: len(network.games_about(lie)) > len(friends), 60, "a game of its own")
        assert network.game(network.games_about(lie)[-1]).challenger == own
        assert challenger.stop() == 0, challenger.text
    finally:
        if challenger.runs:
            challenger.kill()
