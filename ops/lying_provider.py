"""A provider that lies on purpose, for drills on a devnet: one false answer per batch, listed as honest nodes list theirs."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.sender import Sender
from contracts.protocol.merkle import MerkleTree
from contracts.protocol.response import ResponseFields, response_leaf

#: The model's own next token: of a prompt's ids.
NextToken = Callable[[Sequence[int]], int]
#: Bytes are tokens of every byte-level vocabulary.
_BYTES = 200
_PROMPT_TOKENS = 12


@dataclass(frozen=True)
class Lie:
    """A posted batch whose one answer is wrong."""

    batch_id: int
    salt: bytes
    prompt_ids: list[int] = field(repr=False)
    output_ids: list[int] = field(repr=False)


class LyingProvider:
    """`sender` owns the stake. It lists its batches at `url` until `close`; it makes no move in a game by itself."""

    def __init__(
        self,
        contracts: ProtocolContracts,
        sender: Sender,
        model_id: bytes,
        next_token: NextToken,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._contracts, self._sender, self._model_id = contracts, sender, model_id
        self._next_token = next_token
        self._bodies: dict[str, bytes] = {}
        self._server = ThreadingHTTPServer((host, port), self._handler())
        self.url = f"http://{host}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, name="lying provider", daemon=True).start()

    @property
    def address(self) -> str:
        return self._sender.address

    def stake(self, lies: int) -> None:
        """Let it afford so many lost answers: resume it if it is paused, top its stake up if it is short."""
        stake, parameters = self._contracts.stake, self._contracts.stake.parameters()
        needed = parameters.provider_bond + lies * parameters.lock_per_response
        if (short := needed - stake.free_stake(self.address)) > 0:
            self._send(stake.deposit(short + parameters.provider_bond), "deposit")
        if stake.is_paused(self.address):
            self._send(stake.resume(), "resume")

    def lie(self) -> Lie:
        """Post one answer whose token is not the model's. Raises what the bindings raise."""
        contracts = self._contracts
        prompt = [secrets.randbelow(_BYTES) for _ in range(_PROMPT_TOKENS)]
        output = [(self._next_token(prompt) + 1) % _BYTES]
        salt, chain_id = secrets.token_bytes(32), contracts.chain.chain_id
        fields = ResponseFields.of(prompt, output, 1, 0)
        leaf = response_leaf(
            chain_id, contracts.ledger.address, self.address, self._model_id, salt, 0, fields
        )
        call = contracts.ledger.post_batch(self.address, MerkleTree([leaf]).root, salt, self._model_id, 1)
        shown = {"prompt_ids": prompt, "output_ids": output, "max_tokens": 1, "fee_wei": "0"}
        name = "0x" + leaf.hex()
        entry: dict[str, Any] = {"index": 0, "leaf": name, "receipt_id": name, **shown}
        self._send(call, f"batch {salt.hex()}")
        batch_id = contracts.ledger.batch_of(self.address, salt)
        self._bodies[f"/v1/batches/{batch_id}"] = json.dumps(
            {"batch_id": batch_id, "responses": [entry]}
        ).encode()
        return Lie(batch_id, salt, prompt, output)

    def is_disputed(self, lie: Lie) -> bool:
        """Whether somebody opened a game about it, or it is lost already."""
        state = self._contracts.ledger.response(lie.batch_id, 0)
        return state.disputed or state.is_void

    def concede(self, lie: Lie) -> None:
        """End every game about a lie at once, instead of letting its challengers wait for the clock."""
        games = self._contracts.game
        for number in range(games.game_count(), 0, -1):
            game = games.game(number)
            if game.batch_id != lie.batch_id:
                continue
            if not self._contracts.ledger.response(lie.batch_id, 0).is_void:
                self._send(games.concede(number, game.about), f"concede {number}")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _send(self, call: Any, what: str) -> None:
        self._sender.send(call, f"{what} {secrets.token_hex(8)}")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        bodies = self._bodies

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = bodies.get(self.path)
                self.send_response(404 if body is None else 200)
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(body or b'{"error": {"message": "not found"}}')

            def log_message(self, format: str, *arguments: Any) -> None:
                """What strangers ask for is not written down."""

        return Handler
