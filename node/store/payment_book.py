"""Vouchers that the provider holds, and what they were used for: each change is one transaction.

Of a payer in a token:    due with the next request = max(spent + price, published + 1) <= cumulative of its voucher
`spent` grows by the price before any work begins (a *hold*), and shrinks again when no answer came of it. The hold
goes in the transaction that places the answer, so after a kill every hold that is left belongs to no answer. A voucher that
went into a transaction is public: whoever shows it again need not be the payer, so credit below it takes a larger one.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, delete, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from contracts.bindings.lease import changed_rows
from contracts.bindings.payments import Voucher

from ..errors import NotReadyError, VoucherTooLowError
from .tables import PaymentAccountRow, PaymentHoldRow

_TRIES = 3


@dataclass(frozen=True)
class Standing:
    """A payer's sums with this provider in a token, in the token's smallest unit."""

    cumulative: int = 0
    spent: int = 0
    published: int = 0

    @property
    def credit(self) -> int:
        """Promised by vouchers and not used up."""
        return self.cumulative - self.spent

    def after(self, redeemed: int) -> Standing:
        """With what the chain knows: more was redeemed than any voucher here says, so another journal used it up."""
        more = max(0, redeemed - self.cumulative)
        return Standing(self.cumulative + more, self.spent + more, max(self.published, redeemed))

    def due(self, price: int) -> int:
        """What the voucher of the next request must be over."""
        return max(self.spent + price, self.published + 1)


class PaymentBook:
    """Safe to share between threads, and between processes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writing = (
            threading.Lock()
        )  # SQLite has one writer: its others would wait in steps of milliseconds

    def _session(self) -> Session:
        return Session(self._engine, expire_on_commit=False)

    def standing(self, payer: str, token: str) -> Standing:
        """Zero for who never paid."""
        with self._session() as session:
            row = session.get(PaymentAccountRow, (payer, token))
            return Standing() if row is None else _standing(row)

    def reserve(self, voucher: Voucher, signature: bytes, key: str, price: int, redeemed: int) -> str:
        """Keep the voucher if it is the best of its payer, and take one price of it; a hold's id.

        `redeemed`: what the chain has settled of this payer's vouchers. Raises VoucherTooLowError, and then keeps nothing.
        """
        for attempt in range(_TRIES):
            try:
                return self._reserve(voucher, signature, key, price, redeemed)
            except IntegrityError:  # another process opened the payer's account at this moment
                if attempt + 1 == _TRIES:
                    raise
        raise AssertionError("unreachable")

    def _reserve(self, voucher: Voucher, signature: bytes, key: str, price: int, redeemed: int) -> str:
        with self._writing, self._session() as session:
            account = _locked_account(session, voucher.payer, voucher.token)
            if account is None:
                account = PaymentAccountRow(payer=voucher.payer, token=voucher.token)
            before = _standing(account)
            now = before.after(redeemed)
            due = now.due(price)
            if voucher.cumulative < due:
                raise VoucherTooLowError(voucher.cumulative, due)
            if voucher.cumulative > now.cumulative:
                account.signature, account.key = "0x" + signature.hex(), key
            elif now.cumulative > before.cumulative:
                account.signature = account.key = ""
            account.cumulative = str(max(voucher.cumulative, now.cumulative))
            account.spent = str(now.spent + price)
            account.redeemed = str(max(redeemed, int(account.redeemed)))
            hold = PaymentHoldRow(
                id=uuid.uuid4().hex, payer=voucher.payer, token=voucher.token, amount=str(price)
            )
            session.add(account)
            session.add(hold)
            session.commit()
            return hold.id

    def give_back(self, hold: str) -> bool:
        """No answer came of it: its price pays for the payer's next request. False when it was settled before."""
        with self._writing, self._session() as session:
            row = session.get(PaymentHoldRow, hold)
            if row is None or not _delete_hold(session, hold):
                return False
            account = _locked_account(session, row.payer, row.token)
            assert account is not None
            account.spent = str(int(account.spent) - int(row.amount))
            session.add(account)
            session.commit()
            return True

    def keep(self, hold: str) -> None:
        """The price is used up although no answer was placed."""
        with self._writing, self._session() as session:
            _delete_hold(session, hold)
            session.commit()

    def give_all_back(self) -> int:
        """At the start, when nothing is under way: the holds of requests that the last stop cut off."""
        with self._session() as session:
            left = list(session.exec(select(PaymentHoldRow.id)))
        return sum(self.give_back(hold) for hold in left)

    def unredeemed(self) -> list[PaymentAccountRow]:
        """Accounts whose best voucher is worth more than the chain has settled, the largest difference first."""
        with self._session() as session:
            rows = session.exec(
                select(PaymentAccountRow)
                .where(PaymentAccountRow.signature != "")
                .where(col(PaymentAccountRow.cumulative) != col(PaymentAccountRow.redeemed))
            ).all()
        left = [row for row in rows if open_amount(row) > 0]
        return sorted(left, key=open_amount, reverse=True)

    def accounts(self) -> list[PaymentAccountRow]:
        with self._session() as session:
            return list(session.exec(select(PaymentAccountRow)))

    def note_published(self, rows: Sequence[PaymentAccountRow]) -> None:
        """To be called before a transaction with these accounts' vouchers is sent."""
        with self._writing, self._session() as session:
            for row in sorted(
                rows, key=lambda row: (row.payer, row.token)
            ):  # no two programs lock each other out
                account = _locked_account(session, row.payer, row.token)
                assert account is not None
                account.published = str(max(int(account.published), int(row.cumulative)))
                session.add(account)
            session.commit()

    def note_redeemed(self, payer: str, token: str, redeemed: int) -> None:
        """What the chain says was settled of this payer's vouchers."""
        with self._writing, self._session() as session:
            if (account := _locked_account(session, payer, token)) is not None:
                account.redeemed = str(redeemed)
                session.add(account)
                session.commit()


def open_amount(account: PaymentAccountRow) -> int:
    """What redeeming the best voucher brings."""
    return int(account.cumulative) - int(account.redeemed)


def settle_hold(session: Session, hold: str) -> None:
    """An answer used the hold up. Raises NotReadyError when it was given back before."""
    if not _delete_hold(session, hold):
        raise NotReadyError("the payment of this answer went back to its payer, because it took too long")


def _standing(row: PaymentAccountRow) -> Standing:
    return Standing(int(row.cumulative), int(row.spent), int(row.published))


def _locked_account(session: Session, payer: str, token: str) -> PaymentAccountRow | None:
    """The account, as nobody else can change it before this transaction ends: writing first takes the lock. None: there was none to write
    to; an account that another process opened since then is nobody's to read, for it is not locked, and opening it again fails."""
    mine = (col(PaymentAccountRow.payer) == payer, col(PaymentAccountRow.token) == token)
    if not changed_rows(session, update(PaymentAccountRow).where(*mine).values(token=token)):
        return None
    return session.exec(select(PaymentAccountRow).where(*mine)).one()


def _delete_hold(session: Session, hold: str) -> bool:
    return changed_rows(session, delete(PaymentHoldRow).where(col(PaymentHoldRow.id) == hold)) == 1
