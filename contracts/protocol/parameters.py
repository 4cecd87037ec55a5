"""The rules of one deployment: the mirror of `ProtocolParameters` in Parameters.sol."""

from __future__ import annotations

from dataclasses import dataclass

ETHER = 10**18
HOUR = 3600
DAY = 24 * HOUR


@dataclass(frozen=True)
class ProtocolParameters:
    """Times in seconds, amounts in wei; the fields' meaning is documented in Parameters.sol."""

    challenge_window: int
    clock: int
    move_extension: int
    trace_extension: int
    prove_extension: int
    exit_delay: int
    posting_window: int
    receipt_claim_window: int
    receipt_answer_window: int
    show_window: int
    lock_per_response: int
    challenger_bond: int
    receipt_claim_bond: int
    ask_price: int
    max_games_per_response: int
    arity: int


#: For a local chain: everything happens within minutes.
DEVNET = ProtocolParameters(
    challenge_window=60,
    clock=120,
    move_extension=20,
    trace_extension=60,
    prove_extension=60,
    exit_delay=300,
    posting_window=60,
    receipt_claim_window=120,
    receipt_answer_window=60,
    show_window=60,
    lock_per_response=ETHER,
    challenger_bond=ETHER // 2,
    receipt_claim_bond=ETHER // 20,
    ask_price=ETHER // 50,
    max_games_per_response=8,
    arity=8,
)

#: A day to challenge, hours per move, two weeks to leave.
MAINNET_LIKE = ProtocolParameters(
    challenge_window=DAY,
    clock=12 * HOUR,
    move_extension=2 * HOUR,
    trace_extension=4 * HOUR,
    prove_extension=6 * HOUR,
    exit_delay=14 * DAY,
    posting_window=DAY,
    receipt_claim_window=7 * DAY,
    receipt_answer_window=DAY,
    show_window=DAY,
    lock_per_response=ETHER,
    challenger_bond=ETHER // 2,
    receipt_claim_bond=ETHER // 20,
    ask_price=ETHER // 50,
    max_games_per_response=8,
    arity=8,
)
