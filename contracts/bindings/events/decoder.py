"""Logs to events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..abi import Interface, build_record
from ..chain import RawLog
from . import audit_game, dispute_game, inference_ledger, model_registry, payments, provider_stake, receipts
from .base import Event, LogPosition

_CONTRACTS = (model_registry, provider_stake, inference_ledger, receipts, dispute_game, audit_game, payments)

EVENTS: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in Event.__subclasses__()
    if kind.__module__ in {of.__name__ for of in _CONTRACTS}
}


@dataclass(frozen=True)
class Unreadable(Event):
    """A log of a known event that does not say what this program expects: it is told, and stops nobody."""

    name: str
    why: str


#: Solidity names that cannot be the name of a field here.
_RENAMED = {"from": "from_"}


class EventDecoder:
    """Logs of known contracts to events; logs of anybody else are left out, what cannot be read is `Unreadable`."""

    def __init__(self, contracts: Iterable[tuple[str, Interface]]) -> None:
        self._known: dict[tuple[str, bytes], tuple[Interface, str]] = {
            (address, topic): (interface, name)
            for address, interface in contracts
            for name, topic in interface.topics.items()
            if name in EVENTS
        }

    def decode(self, logs: Iterable[RawLog]) -> list[Event]:
        events: list[Event] = []
        for log in logs:
            if not log.topics or (log.address, log.topics[0]) not in self._known:
                continue
            interface, name = self._known[(log.address, log.topics[0])]
            events.append(_event(interface, name, log))
        return events


def _event(interface: Interface, name: str, log: RawLog) -> Event:
    event: Event
    try:
        arguments = interface.decode_event(name, log.topics, log.data)
        event = build_record(
            EVENTS[name], {_RENAMED.get(key, key): value for key, value in arguments.items()}
        )
    except Exception as error:  # whatever it is: the events behind it must still be read
        event = Unreadable(name, f"{type(error).__name__}: {error}")
    position = LogPosition(log.address, log.block_number, log.block_hash, log.transaction_hash, log.log_index)
    object.__setattr__(event, "at", position)  # frozen for users; set once, here
    return event
