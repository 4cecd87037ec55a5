"""`gainsay dispute` by hand, for both sides, on a devnet with the tiny model."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from challenger.dispute_cli import app
from challenger.disputes_by_hand import NothingToDo
from challenger.local_models import load_local_model
from contracts.bindings.consent import NotAgreed
from contracts.bindings.deployment import verifier_artifacts
from contracts.bindings.errors import ContractError
from contracts.bindings.registration import register_model
from contracts.protocol.merkle import MerkleTree
from contracts.protocol.parameters import DEVNET
from contracts.protocol.response import ResponseFields, response_leaf
from devnet.anvil import free_port
from devnet.lifecycle import Devnet, down, state_file, up
from node.settlements import response_states
from prover.errors import BadInputError, NotFoundError, UsageError
from tests.challenger.listing_server import ListingServer
from tests.contracts.chain_game import PostedBatch, resume_provider
from tests.contracts.synthetic import seal_verifier_sources

_PROMPT = [72, 105, 33] * 11  # two windows


class Table:
    """The command line as each side types it."""

    def __init__(self, net: Devnet, folder: Path, server: ListingServer) -> None:
        self.net, self.folder, self.server = net, folder, server
        chain = net.chain()
        self.contracts, self.provider = net.contracts(chain), net.sender("provider", chain=chain)
        tiny = load_local_model("tiny")
        self.provider.send(self.contracts.stake.deposit(10**19), key="stake")
        self.model_id = register_model(
            self.provider, self.contracts, tiny.commitment, verifier_artifacts(seal_verifier_sources())
        )
        token = tiny.replay(_PROMPT, [0]).argmax(len(_PROMPT) - 1)
        assert token is not None
        self.ids = _PROMPT, [token]
        self.batch = self.post(1)
        server.show(self.batch, [self.ids])

    def post(self, count: int) -> PostedBatch:
        """A batch that nobody lists. Resumes before if an earlier loss paused the provider."""
        if self.contracts.stake.is_paused(self.provider.address):
            resume_provider(self.contracts, self.provider)
        fields, salt = ResponseFields.of(*self.ids, 1, 0), secrets.token_bytes(32)
        ledger, provider, model_id = self.contracts.ledger, self.provider, self.model_id
        place = self.contracts.chain.chain_id, ledger.address, provider.address, model_id, salt
        tree = MerkleTree([response_leaf(*place, index, fields) for index in range(count)])
        provider.send(
            ledger.post_batch(provider.address, tree.root, salt, model_id, count), key=f"batch {salt.hex()}"
        )
        return PostedBatch(ledger.batch_of(provider.address, salt), salt, tree, [fields] * count)

    def type(self, *words: str, side: str | None = None) -> Any:
        options = ["--deployment", str(state_file(self.folder)), "--rpc-url", self.net.rpc_url, "--json"]
        if side is not None:
            options += ["--devnet", "--as", side]
        if words[0] in ("open", "move"):
            options += ["--yes"]
        result = CliRunner().invoke(app, [*words, *options])
        if result.exception is not None:
            raise result.exception
        self.said = result.stderr
        return json.loads(result.stdout)

    def read(self, *words: str, input: str | None = None) -> str:
        """As a person reads it."""
        result = CliRunner().invoke(app, [*words, "--deployment", str(state_file(self.folder))], input=input)
        if result.exception is not None:
            raise result.exception
        return result.output


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    folder = tmp_path_factory.mktemp("state")
    net = up(folder, port=free_port(), block_time_s=None)
    server = ListingServer()
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr("challenger.startup.STATE", folder)
    yield Table(net, folder, server)
    monkeypatch.undo()
    server.close()
    down(folder)


def test_a_dispute_by_hand(table: Table) -> None:
    batch, url = str(table.batch.batch_id), ["--provider", table.server.url]
    before = table.contracts.chain.nonce(table.net.accounts["challenger"])
    with pytest.raises(NotAgreed, match=r"stakes a bond of .* ETH, .*costs about [0-9,]+ gas, .* say --yes"):
        table.read("open", batch, "0", *url, "--devnet")
    assert table.contracts.chain.nonce(table.net.accounts["challenger"]) == before
    with pytest.raises(UsageError, match="say --devnet"):
        table.read("open", batch, "0", *url, "--as", "challenger")
    opened = table.type("open", batch, "0", *url, side="challenger")
    assert "stakes a bond of" in table.said and opened["gas"] > 10**5 > opened["commit"]["gas"] > 0
    assert int(opened["fee_wei"]) > 0
    game = str(opened["game"])
    assert table.type("show", game)["phase"] == "await_boundaries"
    with pytest.raises(NothingToDo, match="provider's move"):
        table.type("move", game, side="challenger")
    with pytest.raises(NotAgreed, match=r"PostBoundaries in game 1 costs about .* say --yes"):
        table.read("move", game, "--model", "tiny", *url, "--devnet", "--as", "provider")
    posted = table.type("move", game, "--model", "tiny", *url, side="provider")
    assert posted["move"] == "PostBoundaries" and "PostBoundaries in game 1 costs about" in table.said
    # The challenger is wrong about part 1; both go on by hand.
    for named in (
        ("--part", "1"),
        ("--input",),
    ):  # what it claims is computed, from ids that only the provider shows
        with pytest.raises(NotFoundError, match="ids are not known; name --provider"):
            table.type("move", game, *named, "--model", "tiny", side="challenger")
    with pytest.raises(ContractError, match="PartOutOfRange"):
        table.type("move", game, "--part", "99", *url, side="challenger")
    claimed = table.type("move", game, "--part", "1", "--model", "tiny", *url, side="challenger")
    assert claimed["move"] == "ChallengePart"
    shown = table.type("show", game)
    assert (shown["phase"], shown["contested"]) == ("await_proof", {"step": 1})
    assert re.search(r"deadline +20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC \(.* left\)", table.read("show", game))
    with pytest.raises(NothingToDo, match="left"):
        table.type("resolve", game, side="client")
    table.net.chain().request("evm_increaseTime", [DEVNET.clock + DEVNET.prove_extension + 1])
    table.net.chain().request("anvil_mine", ["0x1"])
    over = f"`gainsay dispute resolve {game}` ends"
    assert over in table.read("show", game) and over in table.read("list")
    with pytest.raises(NothingToDo, match=f"gainsay dispute resolve {game}"):
        table.type("prove", game, "--model", "tiny", side="provider")
    assert table.type("resolve", game, side="client")["move"] == "Timeout"
    (listed,) = table.type("list")
    assert (listed["outcome"], listed["reason"]) == ("challenger_won", "timed_out")
    assert table.type("list", "--open") == []
    with pytest.raises(NothingToDo, match="over already"):
        table.type("resolve", game, side="client")


def test_asking_by_hand(table: Table) -> None:
    batch = table.post(2)
    number, ledger = str(batch.batch_id), table.contracts.ledger
    asked = table.type("ask", number, "0", side="client")
    assert (asked["status"], asked["asker"], asked["shown"]) == (
        "disputed",
        table.net.accounts["client"],
        False,
    )
    assert asked["show_deadline"] == ledger.response(batch.batch_id, 0).show_deadline
    with pytest.raises(ContractError, match="AlreadyAsked"):
        table.type("ask", number, "0", side="challenger")
    table.type("ask", number, "1", side="client")
    with pytest.raises(ContractError, match="ShowWindowOpen"):
        table.type("claim-not-shown", number, "1", side="challenger")
    table.provider.send(
        ledger.show(batch.batch_id, 0, batch.fields[0], batch.tree.path(0), *table.ids), key=f"show {number}"
    )
    # Nobody lists the batch: what the game needs is on chain.
    game = str(table.type("open", number, "0", side="challenger")["game"])
    assert table.type("show", game)["response"]["shown"] is True
    with pytest.raises(NotFoundError, match="not among the named ones"):
        table.type("move", game, "--model", "tiny-gpt2", side="provider")
    posted = table.type(
        "move", game, side="provider"
    )  # the disputed model is found among those on this machine
    assert posted["move"] == "PostBoundaries"
    assert table.type("move", game, "--model", "tiny", side="challenger")["move"] == "Concede"
    table.net.chain().request("evm_increaseTime", [DEVNET.show_window + 1])
    table.net.chain().request("anvil_mine", ["0x1"])
    ended = table.type("claim-not-shown", number, "1", side="challenger")
    assert (ended["status"], ended["asker"]) == ("void", None)
    credits = table.contracts.stake.credits(table.net.accounts["client"])
    assert credits == DEVNET.ask_price + DEVNET.game_reward
    assert response_states(table.contracts, batch.batch_id) == ["final, shown on chain", "void"]


def test_asking_by_a_receipt(table: Table, tmp_path: Path) -> None:
    """A client whose answer is posted and shown to nobody needs nothing but its receipt."""
    batch, file = table.post(3), tmp_path / "receipt.json"
    place = {"provider": table.provider.address.lower(), "batch_salt": "0x" + batch.salt.hex(), "index": 2}
    file.write_text(json.dumps({"receipt": place, "signature": "0x"}))
    asked = table.type("ask", "--receipt", str(file), side="client")
    assert (asked["batch"], asked["index"], asked["status"]) == (batch.batch_id, 2, "disputed")
    file.write_text(json.dumps(place | {"index": 3}))
    with pytest.raises(NotFoundError, match="in no batch"):
        table.type("ask", "--receipt", str(file), side="client")
    file.write_text("[]")
    with pytest.raises(BadInputError, match="no receipt"):
        table.type("ask", "--receipt", str(file), side="client")
    with pytest.raises(UsageError, match="--receipt"):
        table.type("ask", side="client")
    with pytest.raises(NotFoundError, match="cannot be read"):
        table.type("ask", "--receipt", str(tmp_path / "none"), side="client")


def test_what_does_not_exist_is_named(table: Table) -> None:
    with pytest.raises(NotFoundError, match="no game 99"):
        table.type("show", "99")
    with pytest.raises(NotFoundError, match="no batch 99"):
        table.type("open", "99", "0", side="challenger")
    with pytest.raises(NothingToDo, match="no proof is due"):
        table.type("prove", "1", "--model", "tiny", side="provider")
