"""What happened, as books: accounts, keys, batches, responses, asks, games, receipts and totals from events alone.

Nothing here asks a chain. What the contracts' views say after the last event is what the books say, to the wei;
`audit.py` compares them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..protocol.audits import AuditItem
from ..protocol.game import Outcome, Phase, Reason
from ..protocol.parameters import NOBODY, ProtocolParameters
from . import events as logs
from .inference_ledger import Batch, ResponseState, RewardPot
from .provider_stake import ReceiptSigner, StakeAccount, VaultTotals
from .receipt_claims import ReceiptStatus

#: A response that nobody asked for and that never had a game.
UNTOUCHED = ResponseState(0, 0, False, False, False, False, 0, 0, NOBODY)
_EMPTY = StakeAccount(0, 0, 0, 0, 0, 0, False)
_UNKNOWN_KEY = ReceiptSigner(0, 0, 0, 0)


@dataclass(frozen=True)
class AccountBook:
    """Stake (its open games are in `Books.open_games`), and credits of which `delayable_wei` are rewards (0 where there is no guardian)."""

    stake: StakeAccount = _EMPTY
    credits_wei: int = 0
    delayable_wei: int = 0
    withdrawn_wei: int = 0


@dataclass(frozen=True)
class ModelBook:
    registrant: str
    deprecated: bool = False


@dataclass(frozen=True)
class AskBook:
    """`end`: "open", "shown", "not shown", or "void" when the response was lost otherwise before."""

    batch_id: int
    index: int
    asker: str
    show_deadline: int
    end: str = "open"


@dataclass(frozen=True)
class GameBook:
    """A game by its last event. `deadline` is 0 when it is resolved."""

    game_id: int
    batch_id: int
    index: int
    provider: str
    challenger: str
    model_id: bytes
    opened_in_block: int
    phase: Phase = Phase.NONE
    deadline: int = 0
    outcome: Outcome = Outcome.UNDECIDED
    reason: Reason = Reason.NONE


@dataclass(frozen=True)
class AuditBook:
    """An audit by its last event. `deadline` is 0 when it is over; of a malformed response nothing was named."""

    audit_id: int
    batch_id: int
    index: int
    provider: str
    auditor: str
    model_id: bytes
    opened_in_block: int
    bond_wei: int = 0
    deadline: int = 0
    items: tuple[AuditItem, ...] = ()
    proven: tuple[AuditItem, ...] = ()
    outcome: Outcome = Outcome.UNDECIDED
    reason: Reason = Reason.NONE


@dataclass(frozen=True)
class ReceiptBook:
    """A receipt that somebody claimed was not posted."""

    receipt_id: bytes
    claimant: str
    provider: str
    leaf: bytes
    batch_id: int
    answer_deadline: int
    status: ReceiptStatus = ReceiptStatus.CLAIMED
    penalty_wei: int = 0


@dataclass(frozen=True)
class GamePage:
    """Part of a list of games, oldest first, and how many there are in all."""

    total: int
    games: tuple[GameBook, ...]


@dataclass
class Books:
    """Apply every event of a deployment, in order, from its first block on."""

    parameters: ProtocolParameters
    accounts: dict[str, AccountBook] = field(default_factory=dict)
    escrow: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    burned_wei: int = 0
    operators: dict[str, str] = field(default_factory=dict)
    signers: dict[tuple[str, str], ReceiptSigner] = field(default_factory=dict)
    models: dict[bytes, ModelBook] = field(default_factory=dict)
    batches: dict[int, Batch] = field(default_factory=dict)
    responses: dict[tuple[int, int], ResponseState] = field(default_factory=dict)
    pots: dict[tuple[int, int], RewardPot] = field(default_factory=dict)
    open_games: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    asks: list[AskBook] = field(default_factory=list)
    games: dict[int, GameBook] = field(default_factory=dict)
    audits: dict[int, AuditBook] = field(default_factory=dict)
    receipts: dict[bytes, ReceiptBook] = field(default_factory=dict)
    delayed_until: int = 0
    delay_left: int = 0
    unreadable: list[logs.Unreadable] = field(default_factory=list)
    _of_response: dict[tuple[int, int], list[int]] = field(default_factory=lambda: defaultdict(list))
    _of_provider: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    _of_challenger: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self.delay_left = self.parameters.guardian_delay

    # --- questions

    def account(self, address: str) -> AccountBook:
        return self.accounts.get(address, AccountBook())

    def signer(self, provider: str, signer: str) -> ReceiptSigner:
        """What a provider let a receipt key cost; all zero for a key that it never registered."""
        return self.signers.get((provider, signer), _UNKNOWN_KEY)

    def response(self, batch_id: int, index: int) -> ResponseState:
        return self.responses.get((batch_id, index), UNTOUCHED)

    def totals(self) -> VaultTotals:
        return VaultTotals(
            stake=sum(book.stake.total for book in self.accounts.values()),
            escrow=sum(self.escrow.values()),
            credits=sum(book.credits_wei for book in self.accounts.values()),
            burned=self.burned_wei,
        )

    def games_of_response(self, batch_id: int, index: int, first: int = 0, limit: int = 50) -> GamePage:
        """Games about one response; `first`: how many to leave out at the beginning."""
        return self._page(self._of_response.get((batch_id, index), []), first, limit)

    def games_of_provider(self, provider: str, first: int = 0, limit: int = 50) -> GamePage:
        """Games against one provider."""
        return self._page(self._of_provider.get(provider, []), first, limit)

    def games_of_challenger(self, challenger: str, first: int = 0, limit: int = 50) -> GamePage:
        """Games that one challenger opened."""
        return self._page(self._of_challenger.get(challenger, []), first, limit)

    def all_games(self, first: int = 0, limit: int = 50) -> GamePage:
        return self._page(list(self.games), first, limit)

    def _page(self, numbers: Sequence[int], first: int, limit: int) -> GamePage:
        chosen = numbers[first : first + limit]
        return GamePage(len(numbers), tuple(self.games[number] for number in chosen))

    # --- events

    def apply(self, event: logs.Event) -> None:
        """Enter one event; those that say nothing about the books change nothing."""
        match event:
            case logs.Unreadable():
                self.unreadable.append(event)
            case logs.ModelRegistered():
                self.models[event.model_id] = ModelBook(event.registrant)
            case logs.ModelDeprecated():
                self.models[event.model_id] = replace(self.models[event.model_id], deprecated=True)
            case logs.DelayChanged():
                self.delayed_until, self.delay_left = event.until, event.left
            case logs.ReceiptClaimed() | logs.ReceiptAnswered() | logs.ReceiptSlashed():
                self._receipt(event)
            case logs.GameOpened() | logs.TurnStarted() | logs.GameResolved():
                self._game(event)
            case logs.AuditOpened() | logs.AuditStarted() | logs.ItemProven() | logs.AuditResolved():
                self._audit(event)
            case logs.OperatorSet():
                self.operators[event.provider] = event.operator
            case logs.SignerRegistered() | logs.SignerWasRetired():
                self._key(event)
            case _:
                self._money(event)
                self._batch(event)
                self._ask(event)
                self._pot(event)

    def _money(self, event: logs.Event) -> None:
        match event:
            case logs.Deposited():
                self._stake(event.provider, total=event.total)
            case logs.ExitRequested():
                self._stake(event.provider, exiting=event.amount, exit_available_at=event.available_at)
            case logs.ExitCancelled():
                self._stake(event.provider, exiting=0, exit_available_at=0)
            case logs.ExitCompleted():
                total = self.account(event.provider).stake.total - event.amount
                self._stake(event.provider, total=total, exiting=0, exit_available_at=0)
            case logs.StakeLocked() | logs.StakeReleased():
                self._stake(event.provider, locked=event.locked)
            case logs.StakeSlashed():
                stake, amount = self.account(event.provider).stake, event.reward + event.burned
                self._stake(event.provider, total=stake.total - amount, locked=stake.locked - amount)
                self.burned_wei += event.burned
            case logs.BondSlashed():
                total = self.account(event.provider).stake.total - event.burned
                self._stake(event.provider, total=total, paused_at=event.paused_at, is_paused=True)
                self.burned_wei += event.burned
            case logs.ProviderResumed():
                self._stake(event.provider, is_paused=False)
            case logs.ReceiptStakeSlashed():
                stake, amount = self.account(event.provider).stake, event.reward + event.burned
                self._stake(event.provider, total=stake.total - amount)
                key = self.signer(event.provider, event.signer)
                self.signers[event.provider, event.signer] = replace(key, slashed=key.slashed + amount)
                self.burned_wei += event.burned
            case logs.EscrowReceived():
                self.escrow[event.holder] += event.amount
            case logs.EscrowPaid():
                self.escrow[event.holder] -= event.amount
            case logs.EscrowForfeited():
                self.escrow[event.holder] -= event.reward + event.burned
                self.burned_wei += event.burned
            case logs.EscrowBurned():
                self.escrow[event.holder] -= event.amount
                self.burned_wei += event.amount
            case logs.Credited():
                self._credit(event)
            case logs.Withdrawn():
                self._withdraw(event)

    def _stake(self, provider: str, **changes: int) -> None:
        book = self.account(provider)
        self.accounts[provider] = replace(book, stake=replace(book.stake, **changes))  # type: ignore[arg-type]

    def _key(self, event: logs.SignerRegistered | logs.SignerWasRetired) -> None:
        key = self.signer(event.provider, event.signer)
        match event:
            case logs.SignerRegistered():
                key = replace(key, registered_at=event.registered_at, allowance=event.allowance)
            case logs.SignerWasRetired():
                key = replace(key, retired_at=event.retired_at)
        self.signers[event.provider, event.signer] = key

    def _credit(self, event: logs.Credited) -> None:
        book = self.account(event.account)
        rewarded = event.reason is logs.CreditReason.REWARD and self.parameters.guardian != NOBODY
        self.accounts[event.account] = replace(
            book,
            credits_wei=book.credits_wei + event.amount,
            delayable_wei=book.delayable_wei + (event.amount if rewarded else 0),
        )

    def _withdraw(self, event: logs.Withdrawn) -> None:
        book = self.account(event.account)
        # Everything, or everything but rewards while a guardian delays them.
        kept = 0 if event.amount == book.credits_wei else book.delayable_wei
        self.accounts[event.account] = replace(
            book,
            credits_wei=book.credits_wei - event.amount,
            delayable_wei=kept,
            withdrawn_wei=book.withdrawn_wei + event.amount,
        )

    def _batch(self, event: logs.Event) -> None:
        match event:
            case logs.BatchPosted():
                self.batches[event.batch_id] = Batch(
                    provider=event.provider,
                    model_id=event.model_id,
                    root=event.root,
                    salt=event.salt,
                    count=event.count,
                    disputed_count=0,
                    posted_at=event.deadline - self.parameters.challenge_window,
                    deadline=event.deadline,
                    finalised=False,
                )
            case logs.BatchFinalised():
                self.batches[event.batch_id] = replace(self.batches[event.batch_id], finalised=True)
            case logs.ResponseDisputed():
                self.open_games[self.batches[event.batch_id].provider] += 1
                self._touch(event.batch_id, event.index, open_games=event.open_games)
            case logs.DisputeEnded():
                if not self.response(event.batch_id, event.index).is_void:
                    self.open_games[self.batches[event.batch_id].provider] -= 1
                self._touch(event.batch_id, event.index, open_games=event.open_games)
            case logs.ChallengeWindowExtended():
                self._touch(event.batch_id, event.index, challenge_deadline=event.challenge_deadline)
            case logs.PlaceFreed():
                self._touch(event.batch_id, event.index, empty_until=event.empty_until)
            case logs.ResponseVoided():
                self.open_games[event.provider] -= self.response(event.batch_id, event.index).open_games
                self._touch(event.batch_id, event.index, is_void=True, asker=NOBODY)
                self._end_ask(event.batch_id, event.index, "void")
            case logs.ResponseFinalised():
                self._touch(event.batch_id, event.index, released=True)

    def _touch(self, batch_id: int, index: int, **changes: int | str) -> None:
        """The first game or ask takes a response out of its batch's books."""
        state, batch = self.response(batch_id, index), self.batches[batch_id]
        if not state.disputed:
            state = replace(state, disputed=True, challenge_deadline=batch.deadline)
            self.batches[batch_id] = replace(batch, disputed_count=batch.disputed_count + 1)
        self.responses[batch_id, index] = replace(state, **changes)  # type: ignore[arg-type]

    def _ask(self, event: logs.Event) -> None:
        match event:
            case logs.ResponseAsked():
                self._touch(event.batch_id, event.index, asker=event.asker, show_deadline=event.show_deadline)
                self.asks.append(AskBook(event.batch_id, event.index, event.asker, event.show_deadline))
            case logs.ResponseShown():
                self._touch(event.batch_id, event.index, asker=NOBODY, shown=True)
                self._end_ask(event.batch_id, event.index, "shown")
            case logs.ResponseNotShown():
                self._touch(event.batch_id, event.index, asker=NOBODY)
                self._end_ask(event.batch_id, event.index, "not shown")

    def _end_ask(self, batch_id: int, index: int, end: str) -> None:
        for place in reversed(range(len(self.asks))):
            ask = self.asks[place]
            if (ask.batch_id, ask.index, ask.end) == (batch_id, index, "open"):
                self.asks[place] = replace(ask, end=end)
                return

    def _pot(self, event: logs.Event) -> None:
        match event:
            case logs.RewardsSetAside():
                self.pots[event.batch_id, event.index] = RewardPot(
                    event.at.block_number, event.join_deadline, event.places_left
                )
            case logs.OpeningJoined():
                pot = self.pots[event.batch_id, event.index]
                self.pots[event.batch_id, event.index] = replace(pot, places_left=pot.places_left - 1)
            case logs.RewardsClosed():
                pot = self.pots[event.batch_id, event.index]
                self.pots[event.batch_id, event.index] = replace(pot, places_left=0)

    def _receipt(self, event: logs.ReceiptClaimed | logs.ReceiptAnswered | logs.ReceiptSlashed) -> None:
        match event:
            case logs.ReceiptClaimed():
                self.receipts[event.receipt_id] = ReceiptBook(
                    event.receipt_id,
                    event.claimant,
                    event.provider,
                    event.leaf,
                    event.batch_id,
                    event.answer_deadline,
                )
            case logs.ReceiptAnswered():
                known = self.receipts[event.receipt_id]
                self.receipts[event.receipt_id] = replace(known, status=ReceiptStatus.ANSWERED)
            case logs.ReceiptSlashed():
                known = self.receipts[event.receipt_id]
                self.receipts[event.receipt_id] = replace(
                    known, status=ReceiptStatus.SLASHED, penalty_wei=event.penalty
                )

    def _game(self, event: logs.GameOpened | logs.TurnStarted | logs.GameResolved) -> None:
        """The only place that reads events of games."""
        number = event.game_id
        match event:
            case logs.GameOpened():
                self.games[number] = GameBook(
                    game_id=number,
                    batch_id=event.batch_id,
                    index=event.index,
                    provider=event.provider,
                    challenger=event.challenger,
                    model_id=event.model_id,
                    opened_in_block=event.at.block_number,
                )
                self._of_response[event.batch_id, event.index].append(number)
                self._of_provider[event.provider].append(number)
                self._of_challenger[event.challenger].append(number)
            case logs.TurnStarted():
                self.games[number] = replace(self.games[number], phase=event.phase, deadline=event.deadline)
            case logs.GameResolved():
                self.games[number] = replace(
                    self.games[number],
                    phase=Phase.RESOLVED,
                    deadline=0,
                    outcome=event.outcome,
                    reason=event.reason,
                )

    def _audit(
        self, event: logs.AuditOpened | logs.AuditStarted | logs.ItemProven | logs.AuditResolved
    ) -> None:
        number = event.audit_id
        match event:
            case logs.AuditOpened():
                self.audits[number] = AuditBook(
                    audit_id=number,
                    batch_id=event.batch_id,
                    index=event.index,
                    provider=event.provider,
                    auditor=event.auditor,
                    model_id=event.model_id,
                    opened_in_block=event.at.block_number,
                )
            case logs.AuditStarted():
                self.audits[number] = replace(
                    self.audits[number], bond_wei=event.bond, deadline=event.deadline, items=event.items
                )
            case logs.ItemProven():
                known = self.audits[number]
                self.audits[number] = replace(known, proven=(*known.proven, event.item))
            case logs.AuditResolved():
                self.audits[number] = replace(
                    self.audits[number], deadline=0, outcome=event.outcome, reason=event.reason
                )
