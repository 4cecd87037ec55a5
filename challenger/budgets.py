"""What a challenger may risk: bonds, gas and trust in itself. Nothing here ends a game that runs; it keeps new ones from beginning.

| limit | is about |
| --- | --- |
| gas price | openings and asks wait while the chain's base fee is above it |
| gas per day | what mined transactions cost in the last 24 hours, reverted or not, and what finishing the open games will cost |
| bonds at a time | bonds of open games and of openings on their way |
| bonds per day | bonds staked in the last 24 hours, won back or not |
| lost games | an honest challenger loses none: so many mean that this one is wrong, or is being deceived |

Days are the chain's. Everything is in the database, so that a restart forgets neither bonds nor lost games.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from sqlalchemy import func
from sqlmodel import Session, col, delete, select

from contracts.bindings.chain import Block, TransactionReceipt
from contracts.bindings.contract import Call
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import ContractError
from contracts.bindings.events import GameOpened, ResponseDisputed
from contracts.bindings.journal import Intent
from contracts.bindings.results import Mined
from contracts.protocol.ether import show_ether

from .errors import OverBudget
from .store import Store
from .tables import FactRow, GameRow, SpendingRow

log = structlog.get_logger(__name__)
DAY_S = 86_400
#: What a challenger sends in one game, opening included (docs/economics.md).
GAS_OF_A_GAME = 500_000
_NUMBERS = re.compile(r"[0-9.]+")
_LOST = "provider_won"
_ACCEPTED = "lost games accepted"
#: Begins the journal keys of transactions that end what others left.
TENDING = "tend "
#: What they may take of the day's gas: others decide how much of it there is to do.
_TENDING_SHARE = 4


@dataclass(frozen=True)
class Limits:
    """None: unlimited. Amounts in wei; `gas_price_wei` is per gas."""

    gas_price_wei: int | None = None
    gas_per_day_wei: int | None = None
    bonds_wei: int | None = None
    bonds_per_day_wei: int | None = None
    lost_games: int | None = None


NO_LIMITS = Limits()


@dataclass(frozen=True)
class Spent:
    """What counts against the limits now; `lost_games` since somebody last said that they are accepted; gas of tending is
    part of the day's."""

    bonds_at_risk_wei: int
    bonds_of_day_wei: int
    gas_of_day_wei: int
    tending_gas_of_day_wei: int
    open_games: int
    lost_games: int


class Budgets:
    """Asked before anything new begins, and told what every transaction cost. Only the game loop takes and notes; others read."""

    def __init__(
        self, contracts: ProtocolContracts, store: Store, limits: Limits, now: Callable[[], int]
    ) -> None:
        """`now` is the chain's time."""
        self._contracts, self._store, self.limits, self._now = contracts, store, limits, now
        self._least_bond_wei = contracts.stake.parameters().challenger_bond
        self._said: str | None = None

    def spent(self) -> Spent:
        """Read from the database."""
        since = self._now() - DAY_S
        with Session(self._store.engine) as session:
            rows = session.exec(select(SpendingRow)).all()
            ended = {
                game_id: outcome is not None
                for game_id, outcome in session.exec(select(GameRow.game_id, GameRow.outcome)).all()
            }
            lost = session.exec(select(func.count()).where(col(GameRow.outcome) == _LOST)).one()
            accepted = session.get(FactRow, _ACCEPTED)
        # A game that is not seen here after a day was taken back by a reorganisation.
        at_risk = sum(
            int(row.bond_wei)
            for row in rows
            if (row.game_id in ended and not ended[row.game_id])
            or (row.game_id not in ended and row.at > since)
        )
        today = [row for row in rows if row.at > since]
        return Spent(
            bonds_at_risk_wei=at_risk,
            bonds_of_day_wei=sum(int(row.bond_wei) for row in today),
            gas_of_day_wei=sum(int(row.gas_wei) for row in today),
            tending_gas_of_day_wei=sum(int(row.gas_wei) for row in today if row.key.startswith(TENDING)),
            open_games=sum(not over for over in ended.values()),
            lost_games=lost - (int.from_bytes(accepted.value, "big") if accepted is not None else 0),
        )

    def held_back(self, head: Block) -> str | None:
        """Why no game may be opened and nothing asked for now, or None. Says so in the log when it changes."""
        spent = self.spent()
        reason = self.stopped(spent) or self._gas_reason(spent, head) or self._bond_reason(spent, 0)
        said = None if reason is None else _NUMBERS.sub("", reason)  # they change with every block
        if said != self._said:
            if reason is None:
                log.info("games may be opened again")
            elif self.stopped(spent) is not None:
                log.error("no new games", because=reason)
            else:
                log.warning("no new games", because=reason)
            self._said = said
        return reason

    def tending_held_back(self, head: Block) -> str | None:
        """Why what others left is not ended now, or None: it takes no more than a quarter of the day's gas."""
        spent, budget = self.spent(), self.limits.gas_per_day_wei
        if budget is not None and spent.tending_gas_of_day_wei > budget // _TENDING_SHARE:
            return f"a quarter of gas_budget_per_day_wei, {show_ether(budget)}, is spent on what others left"
        return self.stopped(spent) or self._gas_reason(spent, head)

    def stopped(self, spent: Spent | None = None) -> str | None:
        """Why this challenger stopped itself, or None."""
        lost, limit = (spent or self.spent()).lost_games, self.limits.lost_games
        if limit is None or lost < limit:
            return None
        return (
            f"{lost} games were lost, and stop_after_lost_games is {limit}; find out whether model, software or chain "
            "are wrong here, then run `gainsay challenger resume`"
        )

    def take(self, key: str, call: Call) -> None:
        """Count the bond of a call before it is sent, once per journal key. Raises OverBudget."""
        if call.to != self._contracts.game.address or call.value_wei == 0:
            return
        with Session(self._store.engine) as session:
            if session.get(SpendingRow, key) is not None:
                return
        if (reason := self._bond_reason(self.spent(), call.value_wei)) is not None:
            raise OverBudget(reason)
        with Session(self._store.engine) as session:
            session.merge(SpendingRow(key=key, at=self._now(), bond_wei=str(call.value_wei)))
            session.commit()

    def paid(self, intent: Intent, receipt: TransactionReceipt) -> None:
        """Count the gas of a mined transaction, whatever became of it; once, however often it is told."""
        fee_wei = receipt.gas_used * receipt.effective_gas_price_wei
        key = f"gas of {receipt.transaction_hash.hex()}"
        if intent.key.startswith(TENDING):
            key = TENDING + key
        with Session(self._store.engine) as session:
            session.merge(SpendingRow(key=key, at=self._now(), gas_wei=str(fee_wei)))
            session.commit()
        if not receipt.succeeded:
            log.warning("gas for nothing", transaction=intent.key, wei=fee_wei)

    def ended(self, key: str, result: Mined | ContractError) -> None:
        """Note which game the bond of a transaction is in; a refused or reverted one staked nothing."""
        with Session(self._store.engine) as session:
            row = session.get(SpendingRow, key)
            if row is not None and isinstance(result, ContractError):
                session.delete(row)
            elif row is not None and not isinstance(result, ContractError):
                for event in self._contracts.events.decode(result.receipt.logs):
                    if isinstance(event, GameOpened):
                        row.game_id = event.game_id
                    elif isinstance(event, ResponseDisputed):
                        row.bond_wei = str(event.bond)  # what was sent beyond it came back
                session.add(row)
            old = col(SpendingRow.at) < self._now() - DAY_S
            over = select(GameRow.game_id).where(col(GameRow.outcome).is_not(None))
            without_game = col(SpendingRow.game_id).is_(None) | col(SpendingRow.game_id).in_(over)
            session.exec(delete(SpendingRow).where(old, without_game))
            session.commit()

    def accept_lost_games(self) -> int:
        """Begin to count anew; the number of games that were lost so far."""
        with Session(self._store.engine) as session:
            lost = session.exec(select(func.count()).where(col(GameRow.outcome) == _LOST)).one()
            session.merge(FactRow(name=_ACCEPTED, value=lost.to_bytes(8, "big")))
            session.commit()
        return lost

    def _gas_reason(self, spent: Spent, head: Block) -> str | None:
        limit = self.limits.gas_price_wei
        if limit is not None and head.base_fee_wei > limit:
            return (
                f"the chain's base fee of {head.base_fee_wei / 1e9:g} gwei is above open_below_gas_price_wei, "
                f"{limit / 1e9:g} gwei"
            )
        budget = self.limits.gas_per_day_wei
        if budget is None:
            return None
        price_wei = head.base_fee_wei + self._contracts.chain.priority_fee_wei()
        coming = (spent.open_games + 1) * GAS_OF_A_GAME * price_wei
        if spent.gas_of_day_wei + coming > budget:
            return (
                f"gas of {show_ether(spent.gas_of_day_wei)} in 24 hours and {show_ether(coming)} for games to finish "
                f"exceed gas_budget_per_day_wei, {show_ether(budget)}"
            )
        return None

    def _bond_reason(self, spent: Spent, bond_wei: int) -> str | None:
        bond_wei = max(bond_wei, self._least_bond_wei)
        for used, limit, name in (
            (spent.bonds_at_risk_wei, self.limits.bonds_wei, "bond_budget_wei"),
            (spent.bonds_of_day_wei, self.limits.bonds_per_day_wei, "bond_budget_per_day_wei"),
        ):
            if limit is not None and used + bond_wei > limit:
                return (
                    f"a bond of {show_ether(bond_wei)} beside {show_ether(used)} exceeds {name}, "
                    f"{show_ether(limit)}"
                )
        return None
