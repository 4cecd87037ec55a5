"""Facts as people read them: amounts in ether, moments in UTC, ids as they are."""

from __future__ import annotations

from .clock_text import show_deadline, show_time
from .ether import show_ether

#: Moments that something waits for: shown with the time that is left.
_DEADLINES = frozenset(
    {
        "deadline",
        "posting_deadline",
        "challenge_deadline",
        "answer_deadline",
        "show_deadline",
        "delayed_until",
        "withdrawable_at",
        "exit_available_at",
        "empty_until",
        "valid_until",
    }
)
_MOMENTS = frozenset({"paused_at", "posted_at", "issued_at", "registered_at", "retired_at", "claimed_at"})
_NEVER = 2**63  # the contracts' "for ever" is the largest number of its type


def show_fact(name: str, value: object, now: int) -> tuple[str, str]:
    """(name, value) for a line of text. `*_wei` is an amount, `*_deadline` and its like count seconds since 1970."""
    if name.endswith("_wei") and value is not None:
        return _words(name.removesuffix("_wei")), show_ether(int(str(value)))
    if isinstance(value, int) and not isinstance(value, bool) and (name in _DEADLINES or name in _MOMENTS):
        if not value:
            return _words(name), "-"
        if value >= _NEVER:
            return _words(name), "never"
        return _words(name), show_deadline(value, now) if name in _DEADLINES else show_time(value)
    return _words(name), str(value)


def _words(name: str) -> str:
    return name.replace("_", " ")
