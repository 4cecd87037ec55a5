"""What must hold after any fault, from the chain alone: events as books, and the transactions of both honest accounts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from eth_hash.auto import keccak

from contracts.bindings.abi import signature
from contracts.bindings.audit import differences
from contracts.bindings.books import Books
from contracts.bindings.chain import Chain
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.indexer import Indexer
from contracts.protocol.game import Outcome

#: Selector of what may be sent again with the same words: it pays out whatever there is.
_REPEATABLE = ("withdraw",)


@dataclass(frozen=True)
class Promise:
    """A receipt that a client holds."""

    receipt_id: str
    salt: bytes
    leaf: bytes
    index: int
    posting_deadline: int
    leaves: tuple[bytes, ...] = ()  # of its whole batch, as its node lists it


@dataclass
class Findings:
    """What is wrong; all empty is what should be found."""

    lost_bonds: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    lost_receipts: list[str] = field(default_factory=list)
    missed_lies: list[str] = field(default_factory=list)
    books: list[str] = field(default_factory=list)
    wasted: int = 0  # transactions of honest accounts that were mined and reverted: gas, no more

    @property
    def sentences(self) -> list[str]:
        return [
            *self.lost_bonds, *self.doubled, *self.lost_receipts, *self.missed_lies, *self.books,
        ]  # fmt: skip


def lost_bonds(books: Books, slashes: Iterable[str], provider: str, challenger: str) -> list[str]:
    """Stake or bonds that an honest party lost. `slashes`: the providers of all slashing events."""
    found = []
    if count := sum(slashed == provider for slashed in slashes):
        found.append(f"the honest provider was slashed ({count} events)")
    for game in books.games.values():
        if game.provider == provider and game.outcome is Outcome.CHALLENGER_WON:
            found.append(f"game {game.game_id}: the honest provider lost it ({game.reason.name.lower()})")
        if game.challenger == challenger and game.outcome is Outcome.PROVIDER_WON:
            found.append(f"game {game.game_id}: the honest challenger lost it ({game.reason.name.lower()})")
    for (batch_id, index), state in books.responses.items():
        if state.is_void and books.batches[batch_id].provider == provider:
            found.append(f"response {index} of batch {batch_id} of the honest provider is void")
    for receipt in books.receipts.values():
        if receipt.provider == provider and receipt.penalty_wei:
            found.append(
                f"receipt 0x{receipt.receipt_id.hex()} cost the honest provider {receipt.penalty_wei} wei"
            )
    return found


def lost_receipts(books: Books, promises: Sequence[Promise], provider: str, tree_root: object) -> list[str]:
    """Receipts that were not posted in time. `tree_root(leaves)`: the root of a batch."""
    by_salt = {batch.salt: batch for batch in books.batches.values() if batch.provider == provider}
    found = []
    for promise in promises:
        batch = by_salt.get(promise.salt)
        if batch is None:
            found.append(f"receipt {promise.receipt_id} is not posted")
        elif batch.posted_at > promise.posting_deadline:
            found.append(f"receipt {promise.receipt_id} was posted after its deadline")
        elif promise.leaves and (
            promise.leaves[promise.index] != promise.leaf or tree_root(promise.leaves) != batch.root  # type: ignore[operator]
        ):
            found.append(f"receipt {promise.receipt_id} is not in the batch that was posted")
    return found


def doubled(sent: Iterable[tuple[str, bytes, bool]], names: dict[bytes, str]) -> list[str]:
    """Transactions `(to, calldata, succeeded)` of one account that had their effect twice; `names` of selectors.

    Empty ones have none: they free what waits behind a nonce that nobody used.
    """
    counts = Counter(
        (to, data)
        for to, data, succeeded in sent
        if succeeded and data and names.get(data[:4]) not in _REPEATABLE
    )
    return [
        f"{names.get(data[:4], data[:4].hex())} was done {count} times with the same words"
        for (_, data), count in counts.items()
        if count > 1
    ]


def doubled_games(books: Books, challenger: str) -> list[str]:
    """A second bond of the honest challenger on one response."""
    counts = Counter((g.batch_id, g.index) for g in books.games.values() if g.challenger == challenger)
    return [
        f"{n} games about response {index} of batch {batch_id}"
        for (batch_id, index), n in counts.items()
        if n > 1
    ]


class Auditor:
    """Reads the chain from the deployment on, itself, whatever the programs believe."""

    def __init__(self, contracts: ProtocolContracts, provider: str, challenger: str) -> None:
        self._contracts, self._provider, self._challenger = contracts, provider, challenger
        self._names = dict(_selectors(contracts))

    def books(self) -> Books:
        return Indexer(self._contracts).catch_up()

    def audit(self, promises: Sequence[Promise], lies: Sequence[tuple[str, bytes]]) -> Findings:
        """`lies`: provider and salt of batches whose response 0 is wrong; those that are on chain must be void."""
        from contracts.protocol.merkle import MerkleTree

        indexer = Indexer(self._contracts)
        books = indexer.catch_up()
        assert indexer.cursor is not None
        chain, last = self._contracts.chain, indexer.cursor.number
        first = self._contracts.deployment.first_block
        logs = chain.logs(self._contracts.addresses, first, last)
        events = self._contracts.events.decode(logs)
        slashed = [
            event.provider  # type: ignore[attr-defined]
            for event in events
            if type(event).__name__ in ("StakeSlashed", "BondSlashed", "ReceiptStakeSlashed")
        ]
        findings = Findings(
            lost_bonds=lost_bonds(books, slashed, self._provider, self._challenger),
            lost_receipts=lost_receipts(
                books, promises, self._provider, lambda leaves: MerkleTree(list(leaves)).root
            ),
            books=differences(books, self._contracts, last),
        )
        for account in (self._provider, self._challenger):
            sent = list(transactions_of(chain, account, first, last))
            findings.doubled += doubled(sent, self._names)
            findings.wasted += sum(not succeeded for _, _, succeeded in sent)
        findings.doubled += doubled_games(books, self._challenger)
        of_lies = set(lies)
        for number, batch in books.batches.items():
            if (batch.provider, batch.salt) in of_lies and not books.response(number, 0).is_void:
                findings.missed_lies.append(f"the lie in batch {number} was not made void")
        return findings


def transactions_of(chain: Chain, account: str, first: int, last: int) -> Iterable[tuple[str, bytes, bool]]:
    """Everything that an account sent in these blocks."""
    for number in range(first, last + 1):
        body = chain.request("eth_getBlockByNumber", [hex(number), True])
        if (
            body is None
        ):  # Anvil can lose a block, too: what was in it shows in the books, as those of all others
            continue
        for transaction in body["transactions"]:
            if transaction["from"].lower() != account.lower() or transaction.get("to") is None:
                continue
            # Anvil can lose the receipt of what a reorganisation put into another block: then it counts as done.
            receipt = chain.request("eth_getTransactionReceipt", [transaction["hash"]]) or {"status": "0x1"}
            yield (
                transaction["to"],
                bytes.fromhex(transaction["input"][2:]),
                int(receipt["status"], 16) == 1,
            )


def _selectors(contracts: ProtocolContracts) -> Iterable[tuple[bytes, str]]:
    for contract in (contracts.stake, contracts.ledger, contracts.game, contracts.receipts, contracts.audits):
        for name, entry in contract.interface.functions.items():
            yield keccak(signature(entry).encode())[:4], name
