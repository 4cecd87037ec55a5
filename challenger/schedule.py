"""Whose response is re-run next: a pure function of what waits, so that nobody can be starved.

While everything that waits can be re-run before its window closes, the first deadline goes first. Earliest deadline
first loses nothing that any order could save, and since later batches have later deadlines, nobody who posts later
pushes back what was posted before.

When not everything can be, whatever order could be foreseen would be exploited (cheap ones in front, long ones in
front, a lie at the end). Then providers take turns by the replay time spent on each; within one provider, its
responses are taken by deadline while its share of the time suffices for them, and otherwise in an order that only
this challenger's secret tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Demand:
    """What waits of one provider under one model until one moment."""

    provider: str
    model_id: bytes
    deadline: int
    positions: int
    count: int


@dataclass(frozen=True)
class Shortage:
    """The replay time does not suffice: `needed_s` until `deadline`, but only `left_s` are left."""

    needed_s: float
    left_s: float
    deadline: int
    providers: int


@dataclass(frozen=True)
class Choice:
    """Re-run one of this provider's responses: the first due, or the first in the secret order."""

    provider: str
    by_ticket: bool
    shortage: Shortage | None


def choose(
    demands: Sequence[Demand],
    cost_s: Callable[[Demand], float],
    served_s: Mapping[str, float],
    now: int,
) -> Choice | None:
    """The next one. `served_s`: replay time spent so far per provider (missing: none)."""
    if not demands:
        return None
    shortage = first_shortage(demands, cost_s, now, 1)
    if shortage is None:
        return Choice(min(demands, key=lambda demand: demand.deadline).provider, False, None)
    providers = {demand.provider for demand in demands}
    provider = min(sorted(providers), key=lambda address: served_s.get(address, 0.0))
    own = [demand for demand in demands if demand.provider == provider]
    too_much = first_shortage(own, cost_s, now, len(providers)) is not None
    return Choice(provider, too_much, shortage)


def first_shortage(
    demands: Iterable[Demand], cost_s: Callable[[Demand], float], now: int, sharers: int
) -> Shortage | None:
    """The first deadline by which, in order of deadlines and with 1/`sharers` of the time, the work is not done."""
    needed_s = 0.0
    listed = sorted(demands, key=lambda demand: demand.deadline)
    for demand in listed:
        needed_s += sharers * cost_s(demand)
        left_s = demand.deadline - now
        if needed_s > left_s:
            return Shortage(needed_s, left_s, demand.deadline, len({each.provider for each in listed}))
    return None
