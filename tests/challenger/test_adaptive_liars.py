"""A started challenger, and a false provider that posts boundaries of its choice and answers claims last.

The liar knows the true trace with every commitment in it, and posts what it likes beside. Once the challenger has claimed, it tries to
prove every window, refutes the claim, refutes another one, and copies a proof of another game, all in the last second of its turn.
Some answers are right: the challenger's account accuses them, and has to find what is wrong with the boundaries alone.
"""

from __future__ import annotations

import json
import secrets
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from challenger.local_models import MODELS, load_local_model
from contracts.bindings.contract import Call
from contracts.bindings.errors import ContractError
from contracts.bindings.inference_ledger import ResponseStatus
from contracts.bindings.moves import call_of, read_game_state
from contracts.bindings.openings import open_game
from contracts.bindings.sender import Sender
from contracts.protocol.game import Game, Outcome, Phase, Reason
from contracts.protocol.merkle import MerkleTree
from contracts.protocol.parameters import DEVNET
from contracts.protocol.response import response_leaf
from devnet.anvil import free_port
from devnet.lifecycle import down, up
from prover.model.library import load_model
from prover.model.weights import save
from tests.challenger.false_trace import KEYS, RESIDUAL, STEPS, VALUES, FalseTrace, Lie, drawn, lie
from tests.challenger.hostile_server import HostileServer, raw
from tests.challenger.started import PROMPT, Network, StartedChallenger, await_true
from tests.prover.model.leaving_model import leaving

_PARAMETERS = replace(DEVNET, challenge_window=6000, clock=1200, prove_extension=600, audit_window=1200)
_PROMPT = (PROMPT * 2)[:70]  # with three tokens: three windows, the last one padded
_LEAVING, _LEAVERS = "leaving-tiny", {200: (0, "w_query"), 202: (1, "w_key"), 203: (1, "w_up")}
_PATIENCE_S = 180.0

_FOLLOWED = [(RESIDUAL, 2), (KEYS, 2), (VALUES, 2)]
BY_HAND = [
    lie({1: [(KEYS, 1)]}),
    lie({1: [(VALUES, 2)]}),
    lie({1: [(VALUES, 1)], 4: [(KEYS, 2)]}),  # two wrong steps, and the truth between
    lie({1: [(KEYS, 2)], 2: _FOLLOWED[:2], 3: _FOLLOWED[:2]} | dict.fromkeys((4, 5, 6), _FOLLOWED), wrong=True),
    lie({2: [(RESIDUAL, 1)], 5: [(RESIDUAL, 2)], 6: [(RESIDUAL, 2)]}, wrong=True),
    lie({0: [(RESIDUAL, 1)]}),
    lie({0: [(RESIDUAL, 2)], 6: [(RESIDUAL, 0)]}, wrong=True),
    lie({0: [(KEYS, 0)]}, wrong=True),  # of which the input has none
    lie({3: [(KEYS, 1)]}),  # by an MLP
    lie({2: [(VALUES, 2)], 3: [(VALUES, 2)]}),  # by attention, which reads them
    lie({4: [(RESIDUAL, 2)]}),  # by keys and values
    lie({4: [(VALUES, 1)]}, wrong=True),  # and the end is the truth, from which another token follows
]  # fmt: skip
OUT_OF_RANGE = [  # in a window with others behind it, or in front
    lie({s: [(RESIDUAL, 1)] for s in range(2, 7)}, wrong=True, leaver=(200, 40)),
    lie({s: [(KEYS, 0), (VALUES, 0)] for s in range(4, 7)}, wrong=True, leaver=(202, 10)),
    lie({6: [(RESIDUAL, 2)]}, wrong=True, leaver=(203, 69)),
]


class Liar:
    """A batch of answers with a lie about each, and the games about them."""

    def __init__(self, network: Network, server: HostileServer, lies: Sequence[Lie]) -> None:
        self._contracts, self._provider, model = network.contracts, network.provider, network.tiny
        self.games, self.ledger = network.contracts.game, network.contracts.ledger
        self.chain, self._rules = network.contracts.chain, model.rules(_PARAMETERS.arity)
        salt, shown, leaves, self.traces = secrets.token_bytes(32), [], [], list[FalseTrace]()
        place = self.chain.chain_id, self.ledger.address, self._provider.address, network.model_id, salt
        replay = cache(lambda prompt, output: model.replay(prompt, output, None))
        right: list[int] = []
        for position in range(len(_PROMPT) - 1, len(_PROMPT) + 2):
            right.append(replay(tuple(_PROMPT), (*right, 0)).argmax(position) or 0)
        for index, told in enumerate(lies):
            prompt, output = list(_PROMPT), [*right[:2], (right[2] + told.wrong) % 256]
            if told.leaver is not None:
                prompt[told.leaver[1]] = told.leaver[0]
            truth = replay(tuple(prompt), tuple(output))
            self.traces.append(FalseTrace(truth, model.commitment, self._rules, told))
            leaves.append(response_leaf(*place, index, self.traces[-1].fields))
            name = "0x" + leaves[-1].hex()
            shown.append(
                {"index": index, "leaf": name, "receipt_id": name, "prompt_ids": prompt, "output_ids": output}
                | {"max_tokens": len(output), "fee_wei": "0"}
            )
        self.tree = MerkleTree(leaves)
        call = self.ledger.post_batch(place[2], self.tree.root, salt, network.model_id, len(lies))
        self._provider.send(call, key="batch")
        self.batch_id = self.ledger.batch_of(place[2], salt)
        listing = json.dumps({"batch_id": self.batch_id, "responses": shown}).encode()
        server.answers[f"/v1/batches/{self.batch_id}"] = raw(200, listing)

    def have_right_answers_disputed(self, challenger: Sender) -> None:
        """By the challenger's account, which its program would not use for that."""
        for index, trace in enumerate(self.traces):
            if not trace.told.wrong:
                path, secret = self.tree.path(index), secrets.token_bytes(32)
                about = self.batch_id, index, trace.fields, path
                open_game(self._contracts, challenger, *about, secret=secret, key=f"open {index}")

    def found(self) -> list[Game]:
        """From the one with number 1 on."""
        return [self.games.game(1 + number) for number in range(self.games.game_count())]

    def all_are(self, phase: Phase) -> bool:
        return [game.phase for game in self.found()] == [phase] * len(self.traces)

    def post_boundaries(self) -> None:
        moves = defaultdict(list)
        for game_id, game in enumerate(self.found(), start=1):
            hashes = [self.traces[game.index].boundary_hash(s) for s in range(STEPS + 1)]
            moves[game.deadline].append((self.games.post_boundaries(game_id, game.about, hashes), ""))
        self._in_the_last_second(moves)

    def answer_claims(self) -> None:
        """Also with the first proof of the game before, if that was about something else, under the number of this one."""
        moves, copied, before = defaultdict[int, list[tuple[Call, str]]](list), b"", b""
        for game_id, game in enumerate(self.found(), start=1):
            trace, state = self.traces[game.index], read_game_state(self._contracts, game_id, self._rules)
            tried = [
                (call_of(action, seen, self._contracts, trace, trace.model), error)  # type: ignore[arg-type]
                for seen, action, error in trace.attempts(state)
            ]
            if before not in (b"", game.about):
                data = copied[:4] + game_id.to_bytes(32, "big") + copied[36:]
                tried.append(
                    (replace(tried[0][0], data=data), "WrongPreimage WrongTarget WrongTokenIds StreamMoved")
                )
            copied, before = tried[0][0].data, game.about
            moves[game.deadline] += tried
        self._in_the_last_second(moves)

    def _in_the_last_second(self, moves: Mapping[int, list[tuple[Call, str]]]) -> None:
        """By deadline: calls, and with which errors they are refused; they are mined all the same."""
        request, sender = self.chain.request, self._provider.address
        request("evm_setAutomine", [False])
        for deadline, due in sorted(moves.items()):
            for call, errors in due:
                assert call.to is not None
                try:
                    self.chain.call(call.to, call.data, sender=sender)
                    assert not errors, f"{call.description} is accepted, not {errors}"
                except ContractError as refused:
                    assert refused.name in errors.split(), refused
                body = {"from": sender, "to": call.to, "data": "0x" + call.data.hex(), "gas": hex(3_000_000)}
                request("eth_sendTransaction", [body])
            request("evm_setNextBlockTimestamp", [deadline])
            request("evm_mine", [])
        request("evm_setAutomine", [True])
        request("evm_mine", [])  # what the challenger sent meanwhile


@pytest.fixture
def network(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Network]:
    """Its time goes by blocks, not by the clock: every block is a second after the last one. The parameter: its model."""
    folder, name = tmp_path / "state", request.param
    if name == _LEAVING:
        save(leaving(load_model("tiny"), _LEAVERS), folder / MODELS / name)
    model = load_local_model(name, models=folder / MODELS)
    made = Network(up(folder, port=free_port(), parameters=_PARAMETERS, block_time_s=None), folder, model)
    made.contracts.chain.request("anvil_setBlockTimestampInterval", [1])
    made.contracts.chain.request("evm_setBlockGasLimit", [hex(10**9)])
    yield made
    down(folder)


@pytest.mark.parametrize(
    ("network", "lies"),
    [
        pytest.param("tiny", BY_HAND, id="by hand", marks=pytest.mark.long),
        pytest.param(_LEAVING, OUT_OF_RANGE, id="out of range", marks=pytest.mark.long),
        pytest.param("tiny", drawn(seed=1, number=24), id="drawn", marks=pytest.mark.long),
    ],
    indirect=["network"],
)
def test_whatever_boundaries_are_posted_a_started_challenger_wins(
    network: Network, tmp_path: Path, lies: list[Lie]
) -> None:
    """Killed once, when the first of its claims are on chain."""
    server, own = HostileServer(), network.net.accounts["challenger"]
    liar, lives = Liar(network, server, lies), list[StartedChallenger]()

    def start() -> None:
        options = () if network.tiny.name == "tiny" else ("--model", network.tiny.name)
        lives.append(StartedChallenger(network, tmp_path / "challenger.sqlite", [server.url], *options))

    def wealth_wei() -> int:
        return liar.chain.balance_wei(own) + network.contracts.stake.credits(own)

    had_wei = wealth_wei()
    liar.have_right_answers_disputed(network.net.sender("challenger", chain=liar.chain))
    start()
    try:
        await_true(lambda: liar.all_are(Phase.AWAIT_BOUNDARIES), _PATIENCE_S, "all are disputed")
        liar.post_boundaries()
        await_true(lambda: any(g.phase is Phase.AWAIT_PROOF for g in liar.found()), _PATIENCE_S, "a claim")
        lives[0].kill()
        start()
        await_true(lambda: liar.all_are(Phase.AWAIT_PROOF), _PATIENCE_S, "every claim")
        liar.answer_claims()
        await_true(lambda: liar.all_are(Phase.RESOLVED), _PATIENCE_S, "all are over")
        assert lives[1].runs and lives[1].stop() == 0
    finally:
        for life in lives:
            life.kill()
        server.close()
    for game in liar.found():
        told, place = lies[game.index], (game.target, game.range_start)
        assert (game.outcome, game.reason) == (Outcome.CHALLENGER_WON, Reason.TIMED_OUT), told
        assert place in told.places and game.challenger == own, told
        assert liar.ledger.response_status(liar.batch_id, game.index) is ResponseStatus.VOID
    assert wealth_wei() > had_wei
    assert not any(word in life.text for life in lives for word in ("Traceback", "move refused"))
