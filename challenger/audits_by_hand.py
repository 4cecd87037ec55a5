"""Audits on chain by hand: stake a bond on steps of a private answer not being provable, and end what is not answered.

Opening is a commitment and, a block later, the items: nobody can copy them, and the provider cannot tell what is audited before. Every item that is
proven costs its bond; one that is not makes the response void and pays the auditor like a won game.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from contracts.bindings.audit_game import AuditRequest
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import ContractError
from contracts.bindings.events import AuditStarted
from contracts.bindings.indexer import Indexer
from contracts.bindings.openings import bond_to_send, commitment_of, is_under_way, when_committed
from contracts.bindings.results import Mined
from contracts.bindings.sender import Sender
from contracts.protocol.audits import Audit, AuditItem, AuditTarget
from contracts.protocol.ether import show_ether
from contracts.protocol.model import PUBLIC
from contracts.protocol.opening import opening_secret
from contracts.protocol.response import WINDOW_ROWS, ResponseFields
from prover.audits.head_tiles import head_windows
from prover.errors import NotFoundError, UsageError

from .disputes_by_hand import Consent, DisputeTable, NothingToDo, gas_text

#: Gas of `commitOpening` and `openAudit` with the sender's margin, without items and for each of them (snapshots/GasPerAudit.json), which
#: cannot be estimated before the commitment is there.
_OPENING_GAS = 435_000
_GAS_PER_ITEM = 34_000


@dataclass(frozen=True)
class AuditSent:
    """A transaction about an audit, on chain. `commit`: the one before it, when it was made now; `bond_wei`: what is staked."""

    audit_id: int
    move: str
    mined: Mined
    state: dict[str, Any]
    commit: Mined | None = None

    @property
    def gas(self) -> int:
        return self.mined.gas_used + (self.commit.gas_used if self.commit else 0)

    @property
    def fee_wei(self) -> int:
        return self.mined.fee_wei + (self.commit.fee_wei if self.commit else 0)

    def as_json(self) -> dict[str, Any]:
        transaction = "0x" + self.mined.transaction_hash.hex()
        cost = {"gas": self.gas, "fee_wei": str(self.fee_wei)}
        return {"move": self.move, "transaction": transaction, **cost, **self.state}


class AuditTable:
    """The audits of one deployment. `secret`: the store's, from which the secrets of openings follow."""

    def __init__(self, contracts: ProtocolContracts, table: DisputeTable, secret: bytes) -> None:
        self._contracts, self._table, self._secret = contracts, table, secret

    def open(
        self,
        sender: Sender,
        batch_id: int,
        index: int,
        items: Sequence[AuditItem],
        consent: Consent = lambda _: None,
    ) -> AuditSent:
        """Stake a bond for each item: commit, wait for the next block, open. Interrupted and typed again it goes on where it was.

        Raises `UsageError`, `NotFoundError`, `ProviderUnreachable`, `ContractError`.
        """
        contracts, batch = self._contracts, self._table.batch(batch_id)
        response = self._table.response(batch_id, index)
        self._check(batch.model_id, response.fields, items)
        secret = opening_secret(self._secret, batch.root, index)
        bond_wei = len(items) * bond_to_send(contracts, batch.provider)
        request = AuditRequest(batch_id, index, response.fields, list(response.path), secret, list(items))
        call = contracts.audits.open_audit(request, bond_wei=bond_wei)
        commitment, commit = commitment_of(contracts, sender.address, batch_id, index, secret), None
        if not is_under_way(sender, call):
            is_committed = bool(contracts.ledger.opening_block(commitment))
            expected = _OPENING_GAS + _GAS_PER_ITEM * len(items)
            cost = (
                sender.prices.forecast(call)
                if is_committed
                else sender.prices.forecast(None, more_gas=expected)
            )
            consent(
                f"auditing {len(items)} items of response {index} of batch {batch_id} stakes a bond of at most {show_ether(bond_wei)}, which is "
                f"lost if the provider proves them all, and costs {gas_text(cost)}"
            )
            if not is_committed:
                commit = sender.send_next(
                    contracts.ledger.commit_opening(commitment), f"commit {commitment.hex()}"
                )
        named = " ".join(f"{each.target.name.lower()}:{each.step}:{each.window}" for each in items)
        mined = when_committed(lambda: sender.send_by_hand(call, f"audit {response.leaf.hex()} {named}")[0])
        logs = [log for log in mined.receipt.logs if log.address == contracts.audits.address]
        # A malformed response is lost at once, and nothing of it is named.
        opened = contracts.events.decode(logs)
        number = int(opened[0].audit_id)  # type: ignore[attr-defined]
        named_items = tuple(i for event in opened if isinstance(event, AuditStarted) for i in event.items)
        return AuditSent(number, "Open", mined, self.describe(number, named_items), commit)

    def resolve(self, sender: Sender, audit_id: int) -> AuditSent:
        """End an audit of a void response, or one that was not answered in time; anyone may. Raises `NothingToDo` while neither is so."""
        audit, audits = self.audit(audit_id), self._contracts.audits
        if not audit.is_open:
            raise NothingToDo(f"audit {audit_id} is over already: {_ended(audit)}")
        if self._contracts.ledger.response(audit.batch_id, audit.index).is_void:
            move, call = "ResolveVoid", audits.resolve_void(audit_id)
        elif (left := audit.deadline - self._table.head().timestamp) < 0:
            move, call = "Timeout", audits.timeout(audit_id)
        else:
            raise NothingToDo(
                f"audit {audit_id} waits for the provider's proofs of {audit.remaining} items ({left} s left)"
            )
        mined, _ = sender.send_by_hand(call, f"{move} of audit {audit_id}")
        return AuditSent(audit_id, move, mined, self.describe(audit_id))

    def audit(self, audit_id: int) -> Audit:
        """Raises `NotFoundError`."""
        try:
            return self._contracts.audits.audit(audit_id)
        except ContractError as error:
            count = self._contracts.audits.audit_count()
            raise NotFoundError(f"there is no audit {audit_id}; there are {count}") from error

    def describe(self, audit_id: int, items: Sequence[AuditItem] | None = None) -> dict[str, Any]:
        """An audit as JSON; `items`: what it names, else they are read from the logs."""
        audit = self.audit(audit_id)
        if items is None:
            items = Indexer(self._contracts).catch_up().audits[audit_id].items
        left = audit.deadline - self._table.head().timestamp
        return {
            "audit": audit_id,
            "batch": audit.batch_id,
            "index": audit.index,
            "provider": audit.provider,
            "auditor": audit.auditor,
            "bond_wei": str(audit.bond),
            "deadline": audit.deadline if audit.is_open else None,
            "seconds_left": left if audit.is_open else None,
            "remaining": audit.remaining,
            "items": [self._item(audit_id, audit, item) for item in items],
            "outcome": audit.outcome.name.lower(),
            "reason": audit.reason.name.lower(),
        }

    def _item(self, audit_id: int, audit: Audit, item: AuditItem) -> dict[str, Any]:
        state = self._contracts.audits.item_state(audit.batch_id, audit.index, item)
        proven = {"window": item.window, "proven": state == (audit_id, True)}
        match item.target:
            case AuditTarget.HEAD:
                return {"tile": item.step, **proven}
            case AuditTarget.INPUT:
                return {"step": "input", **proven}
        return {"step": item.step, **proven}

    def _check(self, model_id: bytes, fields: ResponseFields, items: Sequence[AuditItem]) -> None:
        """What the contract would refuse, before a commitment is paid for."""
        spec, most = (
            self._contracts.registry.spec(model_id),
            self._contracts.stake.parameters().max_audit_items,
        )
        if spec.audit_stride == PUBLIC:
            raise UsageError(
                "the response is of a public model: dispute it with `gainsay dispute open` instead"
            )
        if not 1 <= len(items) <= most:
            raise UsageError(f"an audit on this chain names 1 to {most} items, not {len(items)}")
        if len(set(items)) < len(items):
            raise UsageError("an item is named twice; name it once")
        windows = range(-(-(fields.prompt_length + fields.output_length - 1) // WINDOW_ROWS))
        of_head = head_windows(fields.prompt_length, fields.output_length)
        for item in items:
            is_tile = item.target is AuditTarget.HEAD
            steps, named = (spec.head_tiles, "tile") if is_tile else (spec.step_count, "step")
            possible = of_head if is_tile else windows
            if item.step >= steps or item.window not in possible:
                only = ", those with output tokens" if is_tile else ""
                raise UsageError(
                    f"{named} {item.step}, window {item.window} does not exist; the response has {named}s 0 to "
                    f"{steps - 1} and windows {possible[0]} to {possible[-1]}{only}"
                )


def _ended(audit: Audit) -> str:
    return f"{audit.outcome.name} ({audit.reason.name})".lower().replace("_", " ")
