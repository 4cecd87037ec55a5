"""Random actors on a chain: they do whatever the contracts offer, in time or late, allowed or refused."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from contracts.bindings.contract import Call
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.keys import UnlockedSigner
from contracts.bindings.moves import call_of, read_game_state
from contracts.bindings.openings import commitment_of
from contracts.bindings.receipt_claims import ReceiptStatus
from contracts.bindings.receipts import receipt_id, sign_receipt
from contracts.protocol.actions import Action
from contracts.protocol.game import ModelRules, Phase, Side
from contracts.protocol.honest_player import next_action
from contracts.protocol.merkle import MerkleTree
from contracts.protocol.parameters import NOBODY, ProtocolParameters
from contracts.protocol.response import Receipt, ResponseFields, response_leaf
from tests.contracts.local_chain import LocalChain
from tests.contracts.synthetic import NotProvable, SyntheticModel, SyntheticTrace

_PROMPT = [(7 * position) % 20 for position in range(40)]
_STRANGER = 8
_OPERATOR = 9


@dataclass
class Posted:
    """A batch of three, at first only promised: `batch_id` is 0 until it is on chain."""

    provider: int
    salt: bytes
    fields: list[ResponseFields]
    tree: MerkleTree
    receipt: Receipt
    signature: bytes
    batch_id: int = 0


@dataclass
class RandomPlay:
    """Accounts 1 and 2 provide, 3 to 5 challenge, 6 is the guardian, 7 registers the model, 9 operates for providers."""

    local_chain: LocalChain
    contracts: ProtocolContracts
    parameters: ProtocolParameters
    model: SyntheticModel
    model_id: bytes
    seed: int
    done: Counter[str] = field(default_factory=Counter)
    batches: list[Posted] = field(default_factory=list)
    committed: list[tuple[int, Posted, int, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._accounts = self.contracts.chain.unlocked_accounts()
        self._output = self.model.generate(_PROMPT, 4)

    def run(self, actions: int) -> None:
        """So many actions. Refused ones count too: they must leave no trace in the books."""
        kinds: list[Callable[[], None]] = [
            self.promise,
            self.post,
            self.post,
            self.commit,
            self.commit,
            self.join,
            self.close_rewards,
            self.open,
            self.open,
            self.open,
            self.play,
            self.play,
            self.play,
            self.end,
            self.ask,
            self.settle_ask,
            self.finalise,
            self.claim,
            self.claim,
            self.settle_claim,
            self.settle_claim,
            self.stake,
            self.keys,
            self.withdraw,
            self.guard,
            self.pass_time,
        ]
        for _ in range(actions):
            self._random.choice(kinds)()

    def send(self, account: int, call: Call, name: str) -> bool:
        """Whether the contract took it."""
        chain = self.contracts.chain
        body = {
            "from": self._accounts[account],
            "to": call.to,
            "data": "0x" + call.data.hex(),
            "value": hex(call.value_wei),
            "gas": hex(10_000_000),
        }
        sent = chain.request("eth_sendTransaction", [body])
        while (receipt := chain.request("eth_getTransactionReceipt", [sent])) is None:
            time.sleep(0.005)
        taken: bool = receipt["status"] == "0x1"
        self.done[name if taken else f"refused: {name}"] += 1
        return taken

    # --- providers

    def promise(self) -> None:
        provider, salt = self._random.choice([1, 2]), self._random.randbytes(32)
        ledger, chain_id = self.contracts.ledger.address, self.contracts.chain.chain_id
        fields = ResponseFields.of(_PROMPT, self._output, 4, 0)
        leaves = [
            response_leaf(chain_id, ledger, self._accounts[provider], self.model_id, salt, index, fields)
            for index in range(3)
        ]
        now = self.contracts.chain.head().timestamp
        receipt = Receipt.of(
            self._accounts[provider],
            self.model_id,
            salt,
            self._random.choice([0, 2, 3]),  # 3 is in no batch
            fields,
            issued_at=now,
            posting_deadline=now + self.parameters.posting_window,
        )
        signer = UnlockedSigner(self.contracts.chain, receipt.signer)
        signature = sign_receipt(signer, receipt, chain_id, self.contracts.receipts.address)
        self.batches.append(Posted(provider, salt, [fields] * 3, MerkleTree(leaves), receipt, signature))

    def post(self) -> None:
        if waiting := [batch for batch in self.batches if not batch.batch_id]:
            batch = self._random.choice(waiting)
            provider, ledger = self._accounts[batch.provider], self.contracts.ledger
            call = ledger.post_batch(provider, batch.tree.root, batch.salt, self.model_id, 3)
            if self.send(self._random.choice([batch.provider, batch.provider, _OPERATOR]), call, "post"):
                batch.batch_id = ledger.batch_of(provider, batch.salt)

    def stake(self) -> None:
        stake, provider = self.contracts.stake, self._random.choice([1, 2])
        account = stake.account(self._accounts[provider])
        kind = self._random.choice(["deposit", "deposit", "exit", "cancel", "complete", "resume", "resume"])
        calls = {
            "deposit": lambda: stake.deposit(self._random.randrange(1, 4 * 10**18)),
            "exit": lambda: stake.request_exit(1 + self._random.randrange(account.total + 1)),
            "cancel": stake.cancel_exit,
            "complete": stake.complete_exit,
            "resume": stake.resume,
        }
        self.send(provider, calls[kind](), kind)

    def keys(self) -> None:
        stake, provider = self.contracts.stake, self._random.choice([1, 2])
        own, spare = self._accounts[provider], self._accounts[_STRANGER]
        allowed = stake.receipt_signer(own, own).allowance
        match self._random.choice(["operator", "own key", "own key", "spare key", "retire"]):
            case "operator":
                operator = self._random.choice([self._accounts[_OPERATOR], NOBODY])
                self.send(provider, stake.set_operator(operator), "set operator")
            case "own key":
                allowance = allowed + self._random.choice([0, 10**17, 10**18])
                self.send(provider, stake.register_signer(own, allowance), "register key")
            case "spare key":
                allowance = self._random.randrange(1, 10**18)
                self.send(provider, stake.register_signer(spare, allowance), "register key")
            case _:
                self.send(provider, stake.retire_signer(spare), "retire key")

    # --- games

    def commit(self) -> None:
        if batch := self._posted():
            index = self._random.choice([0, 0, 0, 1, 2])  # several games on one response
            self._commit(self._random.choice([3, 4, 5]), batch, index)

    def open(self) -> None:
        if self.committed:
            self._open(*self._random.choice(self.committed[-6:]))

    def open_at_once(self, account: int, batch: Posted, index: int) -> None:
        """Commit and open, both of which must be taken."""
        self._commit(account, batch, index)
        assert self._open(*self.committed[-1])

    def _commit(self, account: int, batch: Posted, index: int) -> None:
        secret = self._random.randbytes(32)
        commitment = commitment_of(self.contracts, self._accounts[account], batch.batch_id, index, secret)
        self.send(account, self.contracts.ledger.commit_opening(commitment), "commit")
        self.committed.append((account, batch, index, secret))

    def _open(self, account: int, batch: Posted, index: int, secret: bytes) -> bool:
        call = self.contracts.game.open(
            batch.batch_id,
            index,
            batch.fields[index],
            batch.tree.path(index),
            secret,
            bond_wei=2 * self.parameters.challenger_bond,  # what is not due comes back
        )
        return self.send(account, call, "open")

    def join(self) -> None:
        if self.committed:
            account, batch, index, secret = self._random.choice(self.committed)
            self.send(account, self.contracts.ledger.join(batch.batch_id, index, secret), "join")

    def close_rewards(self) -> None:
        if batch := self._posted():
            index = self._random.choice([0, 0, 1, 2])
            self.send(_STRANGER, self.contracts.ledger.close_rewards(batch.batch_id, index), "close rewards")

    def play(self) -> None:
        if game_id := self._game():
            game = self.contracts.game.game(game_id)
            side = self._random.choice([Side.PROVIDER, Side.CHALLENGER])
            lies = (2, 0) if (side is Side.PROVIDER) is bool(game_id % 2) else None
            trace = SyntheticTrace(self.model, _PROMPT, self._output, lies)
            rules = ModelRules.of(self.model, self.parameters.arity)
            state = read_game_state(self.contracts, game_id, rules)
            action = next_action(state, side, trace, self.contracts.chain.head().timestamp)
            if action is None:
                return
            try:
                call = call_of(action, state, self.contracts, trace, self.model)
            except NotProvable:
                return
            sender = game.provider if side is Side.PROVIDER else game.challenger
            self.send(self._accounts.index(sender), call, _name(action))

    def end(self) -> None:
        if game_id := self._game():
            game, view = self.contracts.game, self.contracts.game.game(game_id)
            kind = self._random.choice(["timeout", "provider concedes", "challenger concedes"])
            if self.contracts.ledger.is_void(view.batch_id, view.index):
                kind = self._random.choice([kind, "void", "void", "void"])
            match kind:
                case "timeout":
                    self.send(_STRANGER, game.timeout(game_id), kind)
                case "void":
                    self.send(_STRANGER, game.resolve_void(game_id), kind)
                case "provider concedes":
                    self.send(
                        self._accounts.index(view.provider),
                        game.concede(game_id, game.game(game_id).about),
                        kind,
                    )
                case _:
                    self.send(
                        self._accounts.index(view.challenger),
                        game.concede(game_id, game.game(game_id).about),
                        kind,
                    )

    # --- what is hidden, finality, receipts, money

    def ask(self) -> None:
        if batch := self._posted():
            call = self.contracts.ledger.ask(
                batch.batch_id, self._random.randrange(3), self.parameters.ask_price
            )
            self.send(self._random.choice([3, 4]), call, "ask")

    def settle_ask(self) -> None:
        asked = [
            (batch, index)
            for batch in self.batches
            if batch.batch_id
            for index in range(3)
            if self.contracts.ledger.response(batch.batch_id, index).is_asked_for
        ]
        if not asked:
            return
        batch, index = self._random.choice(asked)
        ledger = self.contracts.ledger
        if self._random.random() < 0.4:
            path = batch.tree.path(index)
            call = ledger.show(batch.batch_id, index, batch.fields[index], path, _PROMPT, self._output)
            self.send(batch.provider, call, "show")
        else:
            self.send(_STRANGER, ledger.claim_not_shown(batch.batch_id, index), "not shown")

    def finalise(self) -> None:
        if batch := self._posted():
            self.send(_STRANGER, self.contracts.ledger.finalise_batch(batch.batch_id), "finalise batch")
            for index in range(3):
                call = self.contracts.ledger.finalise_response(batch.batch_id, index)
                self.send(_STRANGER, call, "finalise response")

    def claim(self) -> None:
        if self.batches:
            batch = self._random.choice(self.batches)
            call = self.contracts.receipts.claim_unposted(
                batch.receipt, batch.signature, self.parameters.receipt_claim_bond
            )
            self.send(5, call, "claim receipt")

    def settle_claim(self) -> None:
        receipts = self.contracts.receipts
        for batch in self.batches[-12:]:
            number = receipt_id(batch.receipt, self.contracts.chain.chain_id, receipts.address)
            if receipts.receipt_claim(number).status is not ReceiptStatus.CLAIMED:
                continue
            if self._random.random() < 0.6:
                path = batch.tree.path(batch.receipt.index % 3)
                self.send(batch.provider, receipts.answer_claim(number, path), "answer claim")
            else:
                self.send(_STRANGER, receipts.slash_unposted(number), "slash receipt")

    def withdraw(self) -> None:
        self.send(self._random.randrange(1, 6), self.contracts.stake.withdraw(), "withdraw")

    def guard(self) -> None:
        if self._random.random() < 0.9:  # or hardly anything would ever be posted
            return
        until = self.contracts.chain.head().timestamp + self._random.choice([60, 3_700, 7_300])
        self.send(6, self.contracts.stake.delay_until(until), "delay")

    def pass_time(self) -> None:
        self.local_chain.pass_time(self._random.choice([1, 20, 45, 61, 130, 3_600, 3_600]))

    def _posted(self) -> Posted | None:
        posted = [batch for batch in self.batches if batch.batch_id][-4:]
        return self._random.choice(posted) if posted else None

    def _game(self) -> int | None:
        game = self.contracts.game
        running = [
            number
            for number in range(max(1, game.game_count() - 7), game.game_count() + 1)
            if game.game(number).phase is not Phase.RESOLVED
        ]
        return self._random.choice(running) if running else None


def _name(action: Action) -> str:
    return f"move: {type(action).__name__}"
