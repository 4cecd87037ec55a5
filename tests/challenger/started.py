"""`gainsay challenger run` as a process of its own, beside a devnet and providers that a test plays."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from challenger.local_models import LocalModel
from contracts.bindings.deployment import ProtocolContracts, verifier_artifacts
from contracts.bindings.moves import call_of, move_key, read_game_state
from contracts.bindings.registration import register_model
from contracts.bindings.sender import Sender
from contracts.protocol.game import Game, Side
from contracts.protocol.honest_player import next_action
from contracts.protocol.merkle import MerkleTree
from contracts.protocol.response import ResponseFields, response_leaf
from devnet.lifecycle import Devnet, state_file
from tests.contracts.chain_game import resume_provider
from tests.contracts.synthetic import seal_verifier_sources

ROOT = Path(__file__).parents[2]
PROMPT = [72, 101, 108, 108, 111] * 8


def await_true(what: Callable[[], bool], within_s: float, why: str) -> float:
    """Seconds until it was."""
    started = time.monotonic()
    while not what():
        assert time.monotonic() - started < within_s, f"not within {within_s} s: {why}"
        time.sleep(0.1)
    return time.monotonic() - started


@dataclass
class Posted:
    batch_id: int
    ids: list[tuple[list[int], list[int]]]
    body: dict[str, Any]

    @property
    def path(self) -> str:
        return f"/v1/batches/{self.batch_id}"

    @property
    def json(self) -> bytes:
        return json.dumps(self.body).encode()


@dataclass
class Network:
    """A devnet on which the tiny model is registered, and its provider, played by the test."""

    net: Devnet
    folder: Path
    tiny: LocalModel
    contracts: ProtocolContracts = field(init=False)
    provider: Sender = field(init=False)
    model_id: bytes = field(init=False)

    def __post_init__(self) -> None:
        chain = self.net.chain()
        self.contracts = self.net.contracts(chain)
        self.provider = self.net.sender("provider", chain=chain)
        self.provider.send(self.contracts.stake.deposit(1000 * 10**18), key="stake")
        self.model_id = register_model(
            self.provider, self.contracts, self.tiny.commitment, verifier_artifacts(seal_verifier_sources())
        )

    def post(
        self, count: int = 1, *, wrong: Sequence[int] = (0,), count_on_chain: int | None = None
    ) -> Posted:
        """One batch; the responses in `wrong` lie. Resumes before if an earlier loss paused the provider."""
        if self.contracts.stake.is_paused(self.provider.address):
            resume_provider(self.contracts, self.provider)
        chain_id, ledger = self.contracts.chain.chain_id, self.contracts.ledger.address
        salt = secrets.token_bytes(32)
        ids, entries, leaves = [], [], []
        for index in range(count):
            prompt = [*PROMPT, index % 100]
            right = self.tiny.replay(prompt, [0]).argmax(len(prompt) - 1)
            output = [(right + 1) % 200 if index in wrong else right]
            fields = ResponseFields.of(prompt, output, 1, 0)
            leaf = response_leaf(chain_id, ledger, self.provider.address, self.model_id, salt, index, fields)
            leaves.append(leaf)
            ids.append((prompt, output))
            shown = {"prompt_ids": prompt, "output_ids": output, "max_tokens": 1, "fee_wei": "0"}
            entries.append(
                {"index": index, "leaf": "0x" + leaf.hex(), "receipt_id": "0x" + leaf.hex()} | shown
            )
        call = self.contracts.ledger.post_batch(
            self.provider.address, MerkleTree(leaves).root, salt, self.model_id, count_on_chain or count
        )
        self.provider.send(call, key=f"batch {salt.hex()}")
        batch_id = self.contracts.ledger.batch_of(self.provider.address, salt)
        return Posted(batch_id, ids, {"batch_id": batch_id, "responses": entries})

    def games_about(self, posted: Posted, index: int = 0) -> list[int]:
        games = self.contracts.game
        numbers = range(1, games.game_count() + 1)
        return [n for n in numbers if (g := games.game(n)).batch_id == posted.batch_id and g.index == index]

    def defend_once(self, game_id: int, posted: Posted, index: int = 0) -> bool:
        """The provider's honest move; whether it had one."""
        trace = self.tiny.replay(*posted.ids[index])
        parameters = self.contracts.stake.parameters()
        state = read_game_state(self.contracts, game_id, self.tiny.rules(parameters.arity))
        action = next_action(state, Side.PROVIDER, trace, self.contracts.chain.head().timestamp)
        if action is None:
            return False
        call = call_of(action, state, self.contracts, trace, self.tiny.commitment)
        self.provider.send(call, key=move_key(state, action))
        return True

    def game(self, game_id: int) -> Game:
        return self.contracts.game.game(game_id)


class StartedChallenger:
    """The process. What it writes is kept in `log`."""

    def __init__(self, network: Network, database: Path, providers: Sequence[str], *options: str) -> None:
        self.log = database.with_suffix(f".{time.time_ns()}.log")
        command = [sys.executable, "-m", "gainsay", "challenger", "run", "--model", "tiny"]
        command += ["--deployment", str(state_file(network.folder)), "--rpc-url", network.net.rpc_url]
        # Its verifiers check seals instead of proofs: not those that a challenger builds itself.
        command += ["--trust", "0x" + network.model_id.hex()]
        command += ["--database", str(database), *options]
        for url in providers:
            command += ["--provider", url]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "GAINSAY_POLL_S": "0.2"}
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                command, cwd=network.folder, env=environment, stdout=output, stderr=subprocess.STDOUT
            )

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self, within_s: float = 30.0) -> int:
        """Ctrl-C; its exit code."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(within_s)
