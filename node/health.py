"""Why the node cannot back an answer now, most basic reason first, in one sentence that says what to do."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import structlog

from contracts.bindings.fees import FeePolicy
from contracts.protocol.clock_text import show_deadline, show_time
from contracts.protocol.ether import show_ether

from .backing import Backing
from .chain_follower import ChainFollower, ChainState
from .errors import DatabaseError
from .store import Journal

log = structlog.get_logger("node.health")

# What posting a batch costs at a high gas price, in wei: below this the node stops answering.
LEAST_BALANCE_WEI = 10**16
# A round of the follower asks some twenty questions; longer than this it does not take.
_CHAIN_SILENCE_S = 8.0
_ALERT_EVERY_S = 10.0


class Health:
    """Judges the newest look at the chain, the journal and the last round of the background workers."""

    def __init__(
        self,
        journal: Journal,
        follower: ChainFollower,
        backing: Backing,
        *,
        failure_of: Callable[[str], str | None],
        lock_wei: int,
        bond_wei: int,
        posting_window_s: int,
        poll_s: float,
        max_head_age_s: float | None,
    ) -> None:
        """`failure_of` gives the sentence with which the last round of a worker ended, or None."""
        self._journal, self._follower, self._backing = journal, follower, backing
        self._failure_of, self._posting_window_s = failure_of, posting_window_s
        self._silence_s, self._max_head_age_s = _CHAIN_SILENCE_S + 2 * poll_s, max_head_age_s
        self._lock_wei, self._bond_wei = lock_wei, bond_wei
        self._alerted_at = -math.inf

    def reason(self) -> str | None:
        """Why no answer can be backed, or None. Touches the database, never the chain."""
        try:
            return (
                self._chain_reason()
                or self._key_reason()
                or self._pause_reason()
                or self._delay_reason()
                or self._posting_reason()
                or self._stake_reason()
            )
        except DatabaseError as error:
            return str(error)

    def posting_seconds_left(self) -> float:
        """Until the earliest posting deadline of a receipt that is not on chain; negative when it is over, NaN if none."""
        deadline = self._journal.next_posting_deadline()
        return math.nan if deadline is None else float(deadline - self._follower.clock.now())

    def _chain_reason(self) -> str | None:
        if (failure := self._failure_of("follower")) is not None:
            return failure
        state = self._follower.state
        if state is None or time.monotonic() - state.seen_at > self._silence_s:
            return "the chain does not answer; check the RPC endpoint"
        if self._max_head_age_s is not None and time.time() - state.head.timestamp > self._max_head_age_s:
            return "the chain's newest block is too old; check that the RPC endpoint keeps up"
        return self._gas_reason(state)

    def _gas_reason(self, state: ChainState) -> str | None:
        limit = FeePolicy().highest_fee_wei
        if state.head.base_fee_wei > limit:
            return (
                f"the chain's base fee of {state.head.base_fee_wei / 1e9:.0f} gwei is above the limit of "
                f"{limit / 1e9:.0f} gwei, so nothing can be posted until it falls"
            )
        if state.balance_wei < LEAST_BALANCE_WEI:
            return (
                f"its account has too little ether for gas; send it at least {show_ether(LEAST_BALANCE_WEI)}"
            )
        return None

    def _key_reason(self) -> str | None:
        if (state := self._follower.state) is None:
            return None
        return state.keys.account_reason() or state.keys.receipt_reason(self._lock_wei)

    def _pause_reason(self) -> str | None:
        """A lost response burned the bond: nothing is posted before the owner has made it whole and resumed."""
        state = self._follower.state
        if state is None or not state.account.is_paused:
            return None
        account, needed = state.account, self._bond_wei + self._backing.shortfall_wei()
        missing = max(0, needed - max(0, account.total - account.locked - account.exiting))
        mend = f"deposit {show_ether(missing)} and run" if missing else "run"
        reason = f"paused: a response was lost; {mend} `gainsay provider resume`"
        deadline = self._journal.next_posting_deadline()
        if deadline is not None:
            left = deadline - self._follower.clock.now()
            reason += f" by {show_deadline(deadline, deadline - left)}, or receipts that are not on chain yet can be slashed"
            self._alert(reason, left, missing)
        return reason

    def _delay_reason(self) -> str | None:
        state = self._follower.state
        if state is None or state.delayed_until <= self._follower.clock.now():
            return None
        return (
            "the guardian of this deployment delays new batches until "
            f"{show_time(state.delayed_until)}; answers that are not on chain yet "
            "are posted then, and their receipts' deadlines wait as well"
        )

    def _posting_reason(self) -> str | None:
        deadline = self._journal.next_posting_deadline()
        if deadline is None:
            return None
        left, short = deadline - self._follower.clock.now(), self._backing.shortfall_wei()
        until = show_deadline(deadline, deadline - left)
        reason = None
        if short:
            reason = (
                f"answers that are not on chain yet need {show_ether(short)} more of free stake; "
                f"run `gainsay provider deposit {show_ether(short).removesuffix(' ETH')}` by {until}, or their receipts can be slashed"
            )
        elif left < self._posting_window_s / 3:
            why = self._failure_of("poster") or "the last attempt has not ended yet"
            reason = f"answers must be on chain by {until} and are not: {why}"
        if reason is not None:
            self._alert(reason, left, short)
        return reason

    def _alert(self, reason: str, seconds_left: int, shortfall_wei: int) -> None:
        if time.monotonic() - self._alerted_at > _ALERT_EVERY_S:
            self._alerted_at = time.monotonic()
            log.error(
                "receipts are in danger",
                reason=reason,
                seconds_left=seconds_left,
                shortfall_wei=str(shortfall_wei),
            )

    def _stake_reason(self) -> str | None:
        if self._backing.available() < 1:
            return "its free stake is used up until earlier answers are final"
        return None
