"""The protocol's events as dataclasses, and their decoding from logs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

from ..protocol.audits import AuditItem
from ..protocol.game import Outcome, Phase, Reason
from ..protocol.model import ModelSpec
from ..protocol.response import ResponseFields
from .abi import Interface, build_record
from .chain import RawLog


@dataclass(frozen=True)
class LogPosition:
    """Where in the chain an event is."""

    contract: str
    block_number: int
    block_hash: bytes
    transaction_hash: bytes
    log_index: int


_NOWHERE = LogPosition("", 0, b"", b"", 0)


@dataclass(frozen=True)
class Event:
    """Base of all events; `at` says where it was emitted."""

    at: LogPosition = field(default=_NOWHERE, kw_only=True, compare=False)


# --- ModelRegistry


@dataclass(frozen=True)
class ModelRegistered(Event):
    model_id: bytes
    registrant: str
    spec: ModelSpec
    step_verifiers: tuple[str, ...]
    embedding_verifier: str
    head_verifier: str


@dataclass(frozen=True)
class ModelDeprecated(Event):
    model_id: bytes
    registrant: str


# --- ProviderStake


class CreditReason(IntEnum):
    """Why an account was credited; only a reward can be delayed by a guardian."""

    EXIT = 0
    ESCROW = 1
    REWARD = 2


@dataclass(frozen=True)
class DelayChanged(Event):
    since: int
    until: int
    left: int


@dataclass(frozen=True)
class Initialised(Event):
    ledger: str
    game: str
    receipts: str
    audits: str


@dataclass(frozen=True)
class Deposited(Event):
    provider: str
    amount: int
    total: int


@dataclass(frozen=True)
class ExitRequested(Event):
    provider: str
    amount: int
    available_at: int


@dataclass(frozen=True)
class ExitCancelled(Event):
    provider: str
    amount: int


@dataclass(frozen=True)
class ExitCompleted(Event):
    provider: str
    amount: int


@dataclass(frozen=True)
class StakeLocked(Event):
    provider: str
    amount: int
    locked: int


@dataclass(frozen=True)
class StakeReleased(Event):
    provider: str
    amount: int
    locked: int


@dataclass(frozen=True)
class StakeSlashed(Event):
    provider: str
    beneficiary: str
    reward: int
    burned: int


@dataclass(frozen=True)
class BondSlashed(Event):
    provider: str
    burned: int
    paused_at: int


@dataclass(frozen=True)
class ProviderResumed(Event):
    provider: str


@dataclass(frozen=True)
class ReceiptStakeSlashed(Event):
    provider: str
    signer: str
    claimant: str
    reward: int
    burned: int


@dataclass(frozen=True)
class OperatorSet(Event):
    provider: str
    operator: str


@dataclass(frozen=True)
class SignerRegistered(Event):
    provider: str
    signer: str
    allowance: int
    registered_at: int


@dataclass(frozen=True)
class SignerWasRetired(Event):
    provider: str
    signer: str
    retired_at: int


@dataclass(frozen=True)
class EscrowReceived(Event):
    holder: str
    from_: str
    amount: int


@dataclass(frozen=True)
class EscrowPaid(Event):
    holder: str
    to: str
    amount: int


@dataclass(frozen=True)
class EscrowForfeited(Event):
    holder: str
    beneficiary: str
    reward: int
    burned: int


@dataclass(frozen=True)
class EscrowBurned(Event):
    holder: str
    amount: int


@dataclass(frozen=True)
class Credited(Event):
    account: str
    amount: int
    reason: CreditReason


@dataclass(frozen=True)
class Withdrawn(Event):
    account: str
    amount: int


# --- InferenceLedger


@dataclass(frozen=True)
class BatchPosted(Event):
    batch_id: int
    provider: str
    model_id: bytes
    root: bytes
    salt: bytes
    count: int
    deadline: int


@dataclass(frozen=True)
class BatchFinalised(Event):
    batch_id: int
    released_responses: int


@dataclass(frozen=True)
class ResponseDisputed(Event):
    batch_id: int
    index: int
    leaf: bytes
    open_games: int
    bond: int


@dataclass(frozen=True)
class DisputeEnded(Event):
    batch_id: int
    index: int
    response_void: bool
    open_games: int


@dataclass(frozen=True)
class ResponseAsked(Event):
    batch_id: int
    index: int
    asker: str
    show_deadline: int


@dataclass(frozen=True)
class ResponseShown(Event):
    batch_id: int
    index: int
    leaf: bytes
    fields: ResponseFields
    path: tuple[bytes, ...]
    prompt_ids: bytes
    output_ids: bytes


@dataclass(frozen=True)
class ResponseNotShown(Event):
    batch_id: int
    index: int
    asker: str


@dataclass(frozen=True)
class ChallengeWindowExtended(Event):
    batch_id: int
    index: int
    challenge_deadline: int


@dataclass(frozen=True)
class ResponseVoided(Event):
    batch_id: int
    index: int
    provider: str
    winner: str


@dataclass(frozen=True)
class OpeningCommitted(Event):
    commitment: bytes
    sender: str


@dataclass(frozen=True)
class PlaceFreed(Event):
    batch_id: int
    index: int
    empty_until: int


@dataclass(frozen=True)
class RewardsSetAside(Event):
    batch_id: int
    index: int
    join_deadline: int
    places_left: int


@dataclass(frozen=True)
class RewardPaid(Event):
    batch_id: int
    index: int
    to: str
    amount: int


@dataclass(frozen=True)
class OpeningJoined(Event):
    batch_id: int
    index: int
    challenger: str


@dataclass(frozen=True)
class RewardsClosed(Event):
    batch_id: int
    index: int
    burned: int


@dataclass(frozen=True)
class ResponseFinalised(Event):
    batch_id: int
    index: int


# --- Receipts


@dataclass(frozen=True)
class ReceiptClaimed(Event):
    receipt_id: bytes
    claimant: str
    provider: str
    leaf: bytes
    batch_id: int
    answer_deadline: int


@dataclass(frozen=True)
class ReceiptAnswered(Event):
    receipt_id: bytes
    batch_id: int


@dataclass(frozen=True)
class ReceiptSlashed(Event):
    receipt_id: bytes
    provider: str
    claimant: str
    penalty: int


# --- DisputeGame


@dataclass(frozen=True)
class GameOpened(Event):
    game_id: int
    batch_id: int
    index: int
    challenger: str
    provider: str
    model_id: bytes
    leaf: bytes
    fields: ResponseFields


@dataclass(frozen=True)
class TurnStarted(Event):
    game_id: int
    phase: Phase
    deadline: int


@dataclass(frozen=True)
class BoundariesPosted(Event):
    game_id: int
    round: int
    range_start: int
    range_end: int
    hashes: tuple[bytes, ...]


@dataclass(frozen=True)
class InputChallenged(Event):
    game_id: int
    boundary_hash: bytes
    claim: bytes


@dataclass(frozen=True)
class PartChallenged(Event):
    game_id: int
    part: int
    range_start: int
    range_end: int
    start_hash: bytes
    end_hash: bytes
    claim: bytes


@dataclass(frozen=True)
class HeadChallenged(Event):
    game_id: int
    position: int
    chosen_id: int
    rival_id: int
    boundary_hash: bytes


@dataclass(frozen=True)
class ProofAccepted(Event):
    game_id: int
    verifier: str
    window: int


@dataclass(frozen=True)
class ClaimRefuted(Event):
    game_id: int


@dataclass(frozen=True)
class GameResolved(Event):
    game_id: int
    outcome: Outcome
    reason: Reason
    winner: str


# --- AuditGame


@dataclass(frozen=True)
class AuditOpened(Event):
    audit_id: int
    batch_id: int
    index: int
    auditor: str
    provider: str
    model_id: bytes
    leaf: bytes
    fields: ResponseFields


@dataclass(frozen=True)
class AuditStarted(Event):
    audit_id: int
    bond: int
    deadline: int
    items: tuple[AuditItem, ...]


@dataclass(frozen=True)
class ItemProven(Event):
    audit_id: int
    item: AuditItem
    verifier: str
    remaining: int


@dataclass(frozen=True)
class AuditResolved(Event):
    audit_id: int
    outcome: Outcome
    reason: Reason
    winner: str


# --- Payments


@dataclass(frozen=True)
class ChannelFunded(Event):
    payer: str
    provider: str
    token: str
    amount: int
    balance: int


@dataclass(frozen=True)
class WithdrawalRequested(Event):
    payer: str
    provider: str
    token: str
    amount: int
    withdrawable_at: int


@dataclass(frozen=True)
class DepositWithdrawn(Event):
    payer: str
    provider: str
    token: str
    to: str
    amount: int


@dataclass(frozen=True)
class VoucherRedeemed(Event):
    payer: str
    provider: str
    token: str
    redeemed: int
    paid: int
    waived: int


@dataclass(frozen=True)
class VoucherSkipped(Event):
    payer: str
    provider: str
    token: str
    place: int
    reason: int


@dataclass(frozen=True)
class HoldReleased(Event):
    payer: str
    provider: str
    token: str
    amount: int
    to_pot: int


@dataclass(frozen=True)
class EarningsWithdrawn(Event):
    provider: str
    token: str
    to: str
    amount: int


@dataclass(frozen=True)
class FeeRefunded(Event):
    receipt_id: bytes
    payer: str
    provider: str
    token: str
    returned: int
    owed: int
    credited: int


@dataclass(frozen=True)
class DebtCollected(Event):
    payer: str
    provider: str
    token: str
    amount: int


@dataclass(frozen=True)
class VoucherKeySet(Event):
    payer: str
    key: str
    valid_until: int


EVENTS: dict[str, type[Event]] = {kind.__name__: kind for kind in Event.__subclasses__()}


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
