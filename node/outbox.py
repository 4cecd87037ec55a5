"""Sending a transaction whose effect the chain does not show yet.

The sender makes a key happen once. An effect can still be missing afterwards: the transaction reverted in a race,
or its block was reorganised away deeper than the confirmation depth. Then the same thing is sent under the next
number of its name.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from contracts.bindings.contract import Call
from contracts.bindings.fees import Forecast
from contracts.bindings.lease import running_alone
from contracts.bindings.results import Mined
from contracts.bindings.sender import Sender


class Outbox:
    """One account's sender, with names for what is sent; `provider` is for whom (None: for itself)."""

    def __init__(self, sender: Sender, timeout_s: float = 120.0, provider: str | None = None) -> None:
        self._sender, self._timeout_s = sender, timeout_s
        self.provider = provider or sender.address
        self.sent_by_hand: list[tuple[str, Mined]] = []  # what this command sent, and what it cost

    @property
    def address(self) -> str:
        """The account that sends: the provider's owner or operator."""
        return self._sender.address

    def send(self, call: Call, name: str) -> Mined:
        """Send `call` under `name`, or wait for it if it is on its way.

        Only to be used when the chain's present state lacks the effect, and when the contract itself refuses to
        have it twice: another process may make it between that look and now. Raises what `Sender.send` raises.
        """
        return self._sender.send_next(call, name, timeout_s=self._timeout_s)

    def send_by_hand(self, call: Call, name: str) -> tuple[Mined, bool]:
        """What a person's command asks for; True when it carried on an interrupted one (`Sender.send_by_hand`)."""
        mined, carried_on = self._sender.send_by_hand(call, name, timeout_s=self._timeout_s)
        self.sent_by_hand.append((call.description, mined))
        return mined, carried_on

    def forecast(self, call: Call) -> Forecast:
        """What sending `call` would cost now. Raises `ContractError` when the chain would refuse it."""
        return self._sender.prices.forecast(call)

    def submit(self, call: Call, name: str) -> int:
        """Like `send`, but without waiting; a number for `wait`."""
        return self._sender.submit_next(call, name)

    def under_way(self, name: str) -> int | None:
        """The number of what was sent under `name` and has not ended, perhaps before the last stop."""
        found = (i for i in self._sender.journal.unfinished() if i.key.rpartition("#")[0] == name)
        return next((intent.id for intent in found), None)

    def wait(self, number: int, timeout_s: float | None = None) -> Mined:
        """Until what `submit` began is confirmed. Raises what `Sender.wait` raises."""
        return self._sender.wait(number, timeout_s=self._timeout_s if timeout_s is None else timeout_s)

    def recover(self) -> None:
        """Carry on what the last stop left unfinished."""
        self._sender.recover()

    def running_alone(self) -> AbstractContextManager[None]:
        """While it lasts no other node can run for this provider. Raises `AlreadyRunning`."""
        return running_alone(self._sender.journal.leases, "provider", self.provider)
