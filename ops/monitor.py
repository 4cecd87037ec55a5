"""What a deployment looks like from outside, and what somebody must do something about.

Independent of both sides: from the chain's events and views alone, and, where URLs are given, from what nodes say about
themselves. It holds no key and sends nothing. Each alert has a rule of the same name in `monitoring/alerts.yml`
and an entry in `monitoring/runbook.md`.
"""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from contracts.bindings.books import Books, GameBook
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import BindingsError
from contracts.bindings.indexer import Indexer
from contracts.bindings.provider_stake import VaultTotals
from contracts.bindings.receipt_claims import ReceiptStatus
from contracts.protocol.ether import show_ether
from contracts.protocol.game import MOVER_OF_PHASE, Phase, Side

from .forecasts import Forecast, forecast

CRITICAL, WARNING = "critical", "warning"
_NODE_GAUGES = ("gainsay_posting_seconds_left", "gainsay_stake_shortfall_ether")
_LONGEST_PAGE = 2**20


@dataclass(frozen=True)
class Watched:
    """Whom it is about; nobody named means everybody. `urls`: of nodes, whose readiness and figures are read."""

    providers: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    least_ether_wei: int = 5 * 10**16
    longest_silence_s: float = 60.0

    def cares_for(self, *addresses: str) -> bool:
        named = {address.lower() for address in (*self.providers, *self.accounts)}
        return not named or any(address.lower() in named for address in addresses)


@dataclass(frozen=True)
class OpenGame:
    """A running game; `mover`: who has to move, in `seconds_left` (negative: anybody may end it)."""

    game_id: int
    provider: str
    challenger: str
    mover: Side
    seconds_left: int
    forecast: Forecast | None = None

    @property
    def mover_address(self) -> str:
        return self.provider if self.mover is Side.PROVIDER else self.challenger


@dataclass(frozen=True)
class Demand:
    """A claim on a receipt or an ask for a response, which its provider must answer in time or lose a lock."""

    kind: str  # "receipt" or "ask"
    name: str
    provider: str
    seconds_left: int


@dataclass(frozen=True)
class Account:
    """Of a provider: stake in wei. `balance_wei`: ether of whoever sends for it."""

    address: str
    stake_wei: int = 0
    locked_wei: int = 0
    free_wei: int = 0
    credits_wei: int = 0
    paused: bool = False
    operator: str = ""
    balance_wei: int = 0
    operator_balance_wei: int | None = None


@dataclass(frozen=True)
class Node:
    """What a node says about itself; `reason` why it is not ready, figures NaN where it does not say."""

    url: str
    reason: str | None
    figures: Mapping[str, float]


@dataclass(frozen=True)
class Observation:
    """One look, at block `head`."""

    head: int
    head_age_s: float
    games: tuple[OpenGame, ...]
    demands: tuple[Demand, ...]
    ended: Mapping[tuple[str, str], int]  # games by outcome and reason
    batches: int
    overdue_batches: int  # whose locks could be released
    providers: tuple[Account, ...]
    others: tuple[Account, ...]
    totals: VaultTotals
    surplus_wei: int
    disagreements: tuple[str, ...]
    nodes: tuple[Node, ...]
    head_time: int = 0
    taken_at: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Alert:
    """`name` is the rule's; `subject` tells alerts of one name apart."""

    name: str
    severity: str
    subject: str
    sentence: str


class Monitor:
    """Looks at a deployment. `look` raises what the bindings raise; the next look goes on where this one stopped."""

    def __init__(self, contracts: ProtocolContracts, watched: Watched, *, confirmations: int = 0) -> None:
        self._contracts, self._watched = contracts, watched
        self._indexer = Indexer(contracts, confirmations=confirmations)
        self.parameters = contracts.stake.parameters()

    @property
    def books(self) -> Books:
        """As of the last look."""
        return self._indexer.books

    def look(self) -> Observation:
        chain, stake = self._contracts.chain, self._contracts.stake
        books = self._indexer.catch_up()
        head = chain.head()
        now = max(int(time.time()), head.timestamp)
        games = tuple(self._open_games(books, now))
        providers = self._watched.providers or tuple(
            sorted(address for address, account in books.accounts.items() if account.stake.total)
        )
        totals = stake.totals()
        return Observation(
            head=head.number,
            head_age_s=max(0.0, time.time() - head.timestamp),
            games=games,
            demands=tuple(self._demands(books, now)),
            ended=_ended(books),
            batches=len(books.batches),
            overdue_batches=sum(not b.finalised and b.deadline < now for b in books.batches.values()),
            providers=tuple(self._provider(books, address) for address in providers),
            others=tuple(Account(a, balance_wei=chain.balance_wei(a)) for a in self._watched.accounts),
            totals=totals,
            surplus_wei=chain.balance_wei(stake.address)
            - (totals.stake + totals.escrow + totals.credits + totals.burned),
            disagreements=tuple(self._disagreements(books)),
            nodes=tuple(ask_node(url) for url in self._watched.urls),
            head_time=head.timestamp,
        )

    def _open_games(self, books: Books, now: int) -> Iterator[OpenGame]:
        for game in books.games.values():
            if game.phase in MOVER_OF_PHASE and not self._is_void(books, game):
                mover = MOVER_OF_PHASE[game.phase]
                yield OpenGame(
                    game.game_id, game.provider, game.challenger, mover, game.deadline - now, self._forecast(game.game_id, now)
                )  # fmt: skip

    def _forecast(self, game_id: int, now: int) -> Forecast | None:
        try:
            game = self._contracts.game.game(game_id)
        except BindingsError:
            return None  # the next look may know
        return forecast(game, self.parameters.clock, self.parameters.arity, now)

    @staticmethod
    def _is_void(books: Books, game: GameBook) -> bool:
        """Then nobody has to move any more: the game only waits to be closed."""
        return books.response(game.batch_id, game.index).is_void

    def _demands(self, books: Books, now: int) -> Iterator[Demand]:
        for ask in books.asks:
            if ask.end == "open":
                name = f"response {ask.index} of batch {ask.batch_id}"
                yield Demand("ask", name, books.batches[ask.batch_id].provider, ask.show_deadline - now)
        for receipt in books.receipts.values():
            if receipt.status is ReceiptStatus.CLAIMED:
                name = "0x" + receipt.receipt_id.hex()
                yield Demand("receipt", name, receipt.provider, receipt.answer_deadline - now)

    def _provider(self, books: Books, address: str) -> Account:
        chain, book = self._contracts.chain, books.account(address)
        operator = books.operators.get(address, "")
        has_operator = bool(operator) and int(operator, 16) != 0
        return Account(
            address,
            book.stake.total,
            book.stake.locked,
            self._contracts.stake.free_stake(address),
            book.credits_wei,
            book.stake.is_paused,
            operator if has_operator else "",
            chain.balance_wei(address),
            chain.balance_wei(operator) if has_operator else None,
        )

    def _disagreements(self, books: Books) -> Iterator[str]:
        """Events against views, as of the block up to which the events were read."""
        if (cursor := self._indexer.cursor) is None:
            return
        try:
            stored = self._contracts.stake.totals(block=cursor.number)
        except BindingsError:
            return  # the endpoint does not keep that state; nothing can be said
        if stored != books.totals():
            yield f"at block {cursor.number} the events say {books.totals()}, the vault says {stored}"
        yield from (f"a log of {event.name} cannot be read: {event.why}" for event in books.unreadable)


def alerts_of(seen: Observation, watched: Watched, margins: Mapping[str, int]) -> list[Alert]:
    """What somebody must do something about. `margins`: seconds before a deadline of a game ("game"), an ask ("ask"), a claim
    ("receipt") and an unposted receipt ("posting") from which on it is near."""
    return [
        *_of_deadlines(seen, watched, margins),
        *_of_accounts(seen, watched),
        *_of_nodes(seen.nodes, margins.get("posting", 0)),
        *_of_the_chain(seen, watched),
    ]


def _of_deadlines(seen: Observation, watched: Watched, margins: Mapping[str, int]) -> Iterator[Alert]:
    for game in seen.games:
        if watched.cares_for(game.mover_address) and game.seconds_left < margins["game"]:
            who = f"{game.mover.name.lower()} {game.mover_address}"
            left = f"has {game.seconds_left} s left to move" if game.seconds_left >= 0 else "is out of time"
            yield Alert(
                "GainsayGameNearDeadline",
                CRITICAL,
                f"game {game.game_id}",
                f"{who} {left} in game {game.game_id}",
            )
        ahead = game.forecast
        is_told = game.seconds_left < margins["game"]  # then there is nothing to forecast
        if watched.cares_for(game.mover_address) and ahead is not None and ahead.is_short and not is_told:
            yield Alert(
                "GainsayGameTooSlow",
                WARNING,
                f"game {game.game_id}",
                f"{ahead.side.name.lower()} {game.mover_address} may have {ahead.moves} moves left in game {game.game_id}, took {ahead.pace_s:.0f} s "
                f"for each so far, and has {ahead.left_s} s",
            )
    for demand in seen.demands:
        if watched.cares_for(demand.provider) and demand.seconds_left < margins[demand.kind]:
            name = "GainsayAskNearDeadline" if demand.kind == "ask" else "GainsayClaimNearDeadline"
            what = "show" if demand.kind == "ask" else "answer the claim on receipt"
            yield Alert(
                name, CRITICAL, demand.name,
                f"provider {demand.provider} has {demand.seconds_left} s left to {what} {demand.name}, or loses a lock",
            )  # fmt: skip


def _of_accounts(seen: Observation, watched: Watched) -> Iterator[Alert]:
    for account in seen.providers:
        if account.paused:
            yield Alert(
                "GainsayProviderPaused", CRITICAL, account.address,
                f"provider {account.address} lost a response and is paused; its bond must be made whole, then `gainsay provider resume`",
            )  # fmt: skip
    sends = [(a.operator or a.address, a.balance_wei if a.operator_balance_wei is None else a.operator_balance_wei) for a in seen.providers]  # fmt: skip
    sends += [(account.address, account.balance_wei) for account in seen.others]
    for address, held in dict(sends).items():
        if held < watched.least_ether_wei:
            yield Alert(
                "GainsayEtherLow", WARNING, address,
                f"{address} holds {show_ether(held)}, less than {show_ether(watched.least_ether_wei)}: soon it cannot pay for gas",
            )  # fmt: skip


def _of_nodes(nodes: Iterable[Node], posting_margin_s: int) -> Iterator[Alert]:
    for node in nodes:
        left = node.figures.get("gainsay_posting_seconds_left", float("nan"))
        if left < posting_margin_s:  # never of NaN, when nothing waits
            yield Alert(
                "GainsayPostingNearDeadline", CRITICAL, node.url,
                f"{node.url} holds receipts that are not on chain, with {left:.0f} s left: {node.reason or 'it is ready, but does not post'}",
            )  # fmt: skip
        if node.reason is not None:
            yield Alert("GainsayNodeNotReady", CRITICAL, node.url, f"{node.url} is not ready: {node.reason}")
        short = node.figures.get("gainsay_stake_shortfall_ether", 0.0)
        if short > 0:
            yield Alert(
                "GainsayCannotPost", CRITICAL, node.url,
                f"{node.url} needs {short:g} ETH more of free stake to post what it promised, with {left:.0f} s left",
            )  # fmt: skip


def _of_the_chain(seen: Observation, watched: Watched) -> Iterator[Alert]:
    if seen.head_age_s > watched.longest_silence_s:
        yield Alert(
            "GainsayChainSilent", CRITICAL, "chain",
            f"the newest block ({seen.head}) is {seen.head_age_s:.0f} s old",
        )  # fmt: skip
    if seen.surplus_wei < 0:
        yield Alert(
            "GainsayVaultShort",
            CRITICAL,
            "vault",
            f"the vault owes {show_ether(-seen.surplus_wei)} more than it holds",
        )
    for what in seen.disagreements:
        yield Alert("GainsayBooksDisagree", CRITICAL, "books", what)


def ask_node(url: str, timeout_s: float = 5.0) -> Node:
    """`/readyz` and `/metrics` of a node. Never raises."""
    try:
        reason = _readiness(url, timeout_s)
        figures = _figures(_get(f"{url.rstrip('/')}/metrics", timeout_s))
    except (OSError, ValueError) as error:
        return Node(url, f"it does not answer ({' '.join(str(error).split())})", {})
    return Node(url, reason, figures)


def _readiness(url: str, timeout_s: float) -> str | None:
    from prover.foreign_json import ForeignJsonError, read_json

    try:
        _get(f"{url.rstrip('/')}/readyz", timeout_s)
    except urllib.error.HTTPError as error:
        try:
            said = read_json(error.read(_LONGEST_PAGE), what=url)
        except ForeignJsonError:
            said = None
        reason = said.get("reason") if isinstance(said, dict) else None
        return str(reason)[:500] if reason else f"HTTP status {error.code}"
    return None


def _get(url: str, timeout_s: float) -> str:
    with urllib.request.urlopen(url, timeout=timeout_s) as answer:
        return str(answer.read(_LONGEST_PAGE).decode("utf-8", "replace"))


def _figures(page: str) -> dict[str, float]:
    lines = (line.split() for line in page.splitlines())
    return {line[0]: float(line[1]) for line in lines if len(line) == 2 and line[0] in _NODE_GAUGES}


def _ended(books: Books) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for game in books.games.values():
        if game.phase is Phase.RESOLVED:
            ended = (game.outcome.name.lower(), game.reason.name.lower())
            found[ended] = found.get(ended, 0) + 1
    return found


def new_and_over(before: Sequence[Alert], now: Sequence[Alert]) -> tuple[list[Alert], list[Alert]]:
    """Which alerts came, and which went; an alert is known by its name and subject."""
    old, new = ({(alert.name, alert.subject): alert for alert in alerts} for alerts in (before, now))
    return [new[key] for key in new if key not in old], [old[key] for key in old if key not in new]
