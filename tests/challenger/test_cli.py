"""`gainsay challenger` from the command line: a devnet, the tiny model, a provider that cheats."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from challenger.cli import app
from challenger.local_models import LocalModel, load_local_model
from contracts.bindings.deployment import verifier_artifacts
from contracts.bindings.moves import call_of, move_key, read_game_state
from contracts.bindings.registration import register_model
from contracts.bindings.settings import SettingsError
from contracts.protocol.game import Outcome, Side
from contracts.protocol.honest_player import next_action
from contracts.protocol.merkle import MerkleTree
from contracts.protocol.parameters import DEVNET
from contracts.protocol.response import Receipt, ResponseFields
from devnet.anvil import free_port
from devnet.lifecycle import Devnet, down, state_file, up
from tests.challenger.listing_server import ListingServer
from tests.contracts.chain_game import PostedBatch
from tests.contracts.synthetic import seal_verifier_sources

_PROMPT = [72, 101, 108, 108, 111] * 8


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Devnet, Path]]:
    folder = tmp_path_factory.mktemp("state")
    yield up(folder, port=free_port(), block_time_s=None), folder
    down(folder)


@pytest.fixture(scope="module")
def tiny() -> LocalModel:
    return load_local_model("tiny")


def test_a_cheating_provider_is_disputed_from_the_command_line(
    devnet: tuple[Devnet, Path], tiny: LocalModel
) -> None:
    net, folder = devnet
    chain = net.chain()
    contracts = net.contracts(chain)
    provider = net.sender("provider", chain=chain)
    provider.send(contracts.stake.deposit(10**19), key="stake")
    model_id = register_model(
        provider, contracts, tiny.commitment, verifier_artifacts(seal_verifier_sources())
    )

    right = tiny.replay(_PROMPT, [0]).argmax(len(_PROMPT) - 1)
    cheat = (right + 1) % 200
    fields = ResponseFields.of(_PROMPT, [cheat], 1, 0)
    salt = secrets.token_bytes(32)
    receipt = Receipt.of(provider.address, model_id, salt, 0, fields, 0, 2**40)
    tree = MerkleTree([receipt.leaf(chain.chain_id, contracts.ledger.address)])
    provider.send(contracts.ledger.post_batch(provider.address, tree.root, salt, model_id, 1), key="batch")
    batch = PostedBatch(contracts.ledger.batch_of(provider.address, salt), salt, tree, [fields])

    server = ListingServer()
    server.show(batch, [(_PROMPT, [cheat])])
    options = ["--deployment", str(state_file(folder)), "--rpc-url", net.rpc_url]
    options += ["--database", str(folder / "challenger.sqlite")]

    def challenge(*more: str) -> None:
        arguments = ["run", "--once", "--model", "tiny", "--provider", server.url, *options, *more]
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output

    # Its verifiers are not those that this program generates: no bond, unless somebody answers for them.
    challenge("--database", str(folder / "careful.sqlite"))
    assert contracts.game.game_count() == 0
    options += ["--trust", "0x" + model_id.hex()]
    challenge()
    game_id = contracts.game.game_count()
    assert contracts.game.game(game_id).challenger == net.accounts["challenger"]
    # The provider defends itself with its true trace; at the head it finds that it cannot win.
    trace = tiny.replay(_PROMPT, [cheat])
    for _ in range(6):
        state = read_game_state(contracts, game_id, tiny.rules(DEVNET.arity))
        action = next_action(state, Side.PROVIDER, trace, chain.head().timestamp)
        if action is not None:
            call = call_of(action, state, contracts, trace, tiny.commitment)
            provider.send(call, key=move_key(state, action))
        challenge()
        if contracts.game.game(game_id).outcome is not Outcome.UNDECIDED:
            break
    assert contracts.game.game(game_id).outcome is Outcome.CHALLENGER_WON
    assert contracts.stake.credits(net.accounts["challenger"]) == 0  # withdrawn
    del options[-2:]
    listed = CliRunner().invoke(app, ["list", "--json", *options], catch_exceptions=False)
    (row,) = json.loads(listed.output)
    assert row["state"] == "invalid"
    assert [game["outcome"] for game in row["games"]] == ["challenger_won"]
    assert "invalid" in CliRunner().invoke(app, ["list", *options], catch_exceptions=False).output
    server.close()


def test_mistakes_are_named(devnet: tuple[Devnet, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    _, folder = devnet
    missing = CliRunner().invoke(app, ["run", "--once", "--deployment", str(folder / "nothing.json")])
    assert "gainsay devnet up" in str(missing.exception)
    monkeypatch.setenv("GAINSAY_POLL_S", "never")
    wrong = CliRunner().invoke(app, ["run", "--once"])
    assert isinstance(wrong.exception, SettingsError)
    assert "poll_s" in str(wrong.exception)


def test_help_is_light() -> None:
    program = (
        "import sys, challenger.cli, challenger.dispute_cli, devnet.cli;"
        "heavy = {'web3', 'torch', 'numba', 'sqlalchemy', 'httpx'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
