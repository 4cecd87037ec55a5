"""The rules of one deployment: the mirror of `ProtocolParameters` in Parameters.sol."""

from __future__ import annotations

from dataclasses import dataclass

ETHER = 10**18
MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOBODY = "0x" + 40 * "0"


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
    join_window: int
    inclusion_delay: int
    guardian_delay: int
    guardian: str
    lock_per_response: int
    provider_bond: int
    challenger_bond: int
    receipt_claim_bond: int
    ask_price: int
    game_reward: int
    max_games_per_response: int
    bond_load: int
    arity: int
    audit_window: int
    max_audit_items: int


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
    join_window=20,
    inclusion_delay=0,
    guardian_delay=0,
    guardian=NOBODY,
    lock_per_response=ETHER,
    provider_bond=2 * ETHER,
    challenger_bond=ETHER // 2,
    receipt_claim_bond=ETHER // 20,
    ask_price=ETHER // 50,
    game_reward=ETHER // 20,
    max_games_per_response=8,
    bond_load=16,
    arity=128,
    audit_window=120,
    max_audit_items=8,
)

#: Ethereum: a day to challenge, hours per move, two weeks to leave; amounts at 20 gwei per gas (docs/economics.md).
L1 = ProtocolParameters(
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
    join_window=4 * HOUR,
    inclusion_delay=HOUR,
    guardian_delay=0,
    guardian=NOBODY,
    lock_per_response=ETHER // 5,
    provider_bond=32 * ETHER,
    challenger_bond=ETHER // 20,
    receipt_claim_bond=ETHER // 50,
    ask_price=6 * ETHER // 1000,
    game_reward=ETHER // 50,
    max_games_per_response=4,
    bond_load=16,
    arity=128,
    audit_window=DAY,
    max_audit_items=16,
)

#: A rollup: every window is longer than forced inclusion; amounts at 0.1 gwei per gas, data included.
L2 = ProtocolParameters(
    challenge_window=3 * DAY,
    clock=3 * DAY,
    move_extension=36 * HOUR,
    trace_extension=36 * HOUR,
    prove_extension=36 * HOUR,
    exit_delay=14 * DAY,
    posting_window=2 * DAY,
    receipt_claim_window=7 * DAY,
    receipt_answer_window=2 * DAY,
    show_window=2 * DAY,
    join_window=2 * DAY,
    inclusion_delay=DAY,
    guardian_delay=0,
    guardian=NOBODY,
    lock_per_response=ETHER // 1000,
    provider_bond=8 * ETHER,
    challenger_bond=ETHER // 2000,
    receipt_claim_bond=ETHER // 5000,
    ask_price=3 * ETHER // 100_000,
    game_reward=ETHER // 10000,
    max_games_per_response=4,
    bond_load=16,
    arity=128,
    audit_window=3 * DAY,
    max_audit_items=16,
)

#: The presets by the names that settings and commands use.
PRESETS = {"devnet": DEVNET, "l1": L1, "l2": L2}
