"""Who lives around the programs: clients that ask, a challenger that accuses honest answers, somebody who claims and asks on chain."""

from __future__ import annotations

import random
import secrets
import threading
import time
from dataclasses import dataclass
from typing import Any

import httpx

from challenger.local_models import LocalModel
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import BindingsError
from contracts.bindings.moves import posted_boundaries
from contracts.bindings.openings import open_game
from contracts.bindings.sender import Sender
from contracts.protocol.bisection import cuts
from contracts.protocol.claims import LEAF_BYTES, claim_of, leaves_of_input, leaves_of_step
from contracts.protocol.game import Game, Phase, Target
from contracts.protocol.merkle import MerkleTree
from contracts.protocol.response import ResponseFields

RECEIPT_HEADER = "x-gainsay-receipt"


class Clients:
    """Ask the node again and again while it is well and while it is not; every receipt that came is kept."""

    def __init__(self, url: str, rng: random.Random) -> None:
        self._url, self._rng = url, rng
        self.receipts: list[str] = []
        self.refused = 0
        self._asking, self._ending = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="clients", daemon=True)
        self._thread.start()

    def ask(self) -> None:
        self._asking.set()

    def pause(self) -> None:
        self._asking.clear()

    def close(self) -> None:
        self._ending.set()
        self._asking.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._ending.is_set():
            self._asking.wait()
            if self._ending.is_set():
                return
            words = "".join(self._rng.choice("abcdefghij ") for _ in range(self._rng.randint(3, 40)))
            body = {"model": "tiny", "prompt": words, "max_tokens": self._rng.randint(1, 4)}
            try:
                answer = httpx.post(f"{self._url}/v1/completions", json=body, timeout=20)
            except httpx.HTTPError:
                self.refused += 1
                time.sleep(0.5)
                continue
            if answer.status_code == 200:
                self.receipts.append(answer.headers[RECEIPT_HEADER])
            else:
                self.refused += 1
            time.sleep(self._rng.uniform(0.1, 0.8))


@dataclass(frozen=True)
class Listed:
    """A posted answer of the honest provider, as its node lists it."""

    batch_id: int
    index: int
    fields: ResponseFields
    path: list[bytes]
    ids: tuple[list[int], list[int]]


def listed(url: str, batch_id: int, index: int) -> Listed:
    """Raises what httpx raises, and KeyError or IndexError where it is not listed."""
    answer = httpx.get(f"{url}/v1/batches/{batch_id}", timeout=10)
    answer.raise_for_status()
    entries: list[dict[str, Any]] = answer.json()["responses"]
    entry = entries[index]
    tree = MerkleTree([bytes.fromhex(e["leaf"][2:]) for e in entries])
    ids = entry["prompt_ids"], entry["output_ids"]
    fields = ResponseFields.of(*ids, entry["max_tokens"], int(entry["fee_wei"]))
    return Listed(batch_id, index, fields, list(tree.path(index)), ids)


class Accuser:
    """Accuses a right answer of being wrong in a place that it draws, and may leave in the middle of the game."""

    def __init__(
        self,
        contracts: ProtocolContracts,
        sender: Sender,
        about: Listed,
        model: LocalModel,
        rng: random.Random,
    ) -> None:
        """`model`: the answer's, to run it again: nobody else knows the commitments behind what is posted."""
        self._contracts, self._sender, self._about, self._model = contracts, sender, about, model
        self._aim = rng.choice([Target.EMBEDDING, Target.STEP, Target.STEP, Target.HEAD])
        self._step = rng.randrange(model.commitment.step_count)
        self._claims_what_was_posted = rng.random() < 0.5
        self._output = rng.randrange(len(about.ids[1]))
        self._leaves_after = rng.choice([0, 1, 2, 99, 99, 99])
        self._moves = 0
        self.game_id = 0

    def open(self) -> None:
        """Raises what the bindings raise."""
        about = self._about
        open_game(
            self._contracts, self._sender, about.batch_id, about.index, about.fields, about.path,
            secret=secrets.token_bytes(32), key=f"open {secrets.token_hex(8)}", timeout_s=30,
        )  # fmt: skip
        self.game_id = self._find()

    def step(self) -> None:
        """Move if it is its turn, and it has not left. A reorganisation may take its game back: nothing is tried again."""
        if self._moves >= self._leaves_after or not self.game_id:
            return
        try:
            game = self._contracts.game.game(self.game_id)
            if game.challenger != self._sender.address:
                return
            if game.phase is Phase.AWAIT_CHALLENGE:
                self._send(self._challenge())
        except (BindingsError, ValueError):
            return  # the chain moved on in between

    def _challenge(self) -> Any:
        moves, about = self._contracts.game, self._about
        game = moves.game(self.game_id)
        boundaries = posted_boundaries(self._contracts, self.game_id)
        if game.round <= 1 and self._aim is Target.EMBEDDING:
            return moves.challenge_input(self.game_id, boundaries, self._claim(game, boundaries[0], None))
        if game.round <= 1 and self._aim is Target.HEAD:
            prompt, output = about.ids
            position = len(prompt) - 1 + self._output
            rival = (output[self._output] + 1) % 200
            return moves.challenge_head(self.game_id, boundaries, position, rival, prompt, output)
        arity = self._contracts.stake.parameters().arity
        ends = cuts(game.range_start, game.range_end, arity)
        part = next(number for number, end in enumerate(ends[1:]) if self._step < end)
        is_step = ends[part + 1] - ends[part] == 1
        claim = self._claim(game, boundaries[part + 1], self._step) if is_step else b""
        return moves.challenge_part(self.game_id, boundaries, part, claim)

    def _claim(self, game: Game, posted: bytes, step: int | None) -> bytes:
        """Of every window something else, so that any proof answers it, or all as it was posted, so that nothing but a
        refutation does. `step`: None for the input."""
        if not self._claims_what_was_posted:
            return secrets.token_bytes(LEAF_BYTES * game.windows)
        trace = self._model.replay(*self._about.ids, None)
        if step is None:
            return claim_of(leaves_of_input(trace, posted))
        rules = self._model.rules(self._contracts.stake.parameters().arity)
        return claim_of(leaves_of_step(trace, rules.step_access(trace.step_kind(step)), step, posted))

    def _send(self, call: Any) -> None:
        self._moves += 1
        self._sender.send(call, key=f"move {secrets.token_hex(8)}", timeout_s=30)

    def _find(self) -> int:
        games = self._contracts.game
        for number in range(games.game_count(), 0, -1):
            game = games.game(number)
            ours = game.challenger == self._sender.address
            if ours and (game.batch_id, game.index) == (self._about.batch_id, self._about.index):
                return number
        return 0
