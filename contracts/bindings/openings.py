"""Both steps of opening a game, one after the other: commit, wait for the next block, open."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ..protocol.audits import AuditItem
from ..protocol.opening import opening_commitment
from ..protocol.response import ResponseFields
from .audit_game import AuditRequest
from .contract import Call
from .deployment import ProtocolContracts
from .errors import ContractError
from .results import Mined
from .sender import Sender

#: What may be sent beyond the bond that is due now, in games that others may open in the same block; it comes back as
#: credit.
RACE_GAMES = 4
#: The chain's next block may be some time away; a node may judge a transaction by its newest block alone.
_TOO_EARLY = "OpeningCommittedLate"
_LOOK_AGAIN_S = 0.25


def commitment_of(
    contracts: ProtocolContracts, challenger: str, batch_id: int, index: int, secret: bytes
) -> bytes:
    return opening_commitment(
        contracts.chain.chain_id, contracts.ledger.address, challenger, batch_id, index, secret
    )


def bond_to_send(contracts: ProtocolContracts, provider: str) -> int:
    """The bond that is due now, in wei, and what it rises by when others open `RACE_GAMES` games first."""
    parameters = contracts.stake.parameters()
    allowance = parameters.challenger_bond * RACE_GAMES // parameters.bond_load
    return contracts.ledger.bond_for(provider) + allowance


def open_game(
    contracts: ProtocolContracts,
    sender: Sender,
    batch_id: int,
    index: int,
    fields: ResponseFields,
    path: Sequence[bytes],
    *,
    secret: bytes,
    key: str,
    timeout_s: float = 120.0,
) -> Mined:
    """Commit under `key` and open. What was done before a kill is not done again. Raises `ContractError`."""
    commitment = commitment_of(contracts, sender.address, batch_id, index, secret)
    sender.send(contracts.ledger.commit_opening(commitment), key=f"commit {key}", timeout_s=timeout_s)
    bond_wei = bond_to_send(contracts, contracts.ledger.batch(batch_id).provider)
    call = contracts.game.open(batch_id, index, fields, path, secret, bond_wei=bond_wei)
    return when_committed(lambda: sender.send(call, key=key, timeout_s=timeout_s), timeout_s)


def open_audit(
    contracts: ProtocolContracts,
    sender: Sender,
    batch_id: int,
    index: int,
    fields: ResponseFields,
    path: Sequence[bytes],
    items: Sequence[AuditItem],
    *,
    secret: bytes,
    key: str,
    timeout_s: float = 120.0,
) -> Mined:
    """Commit under `key` and open an audit, with a bond for every item, as `open_game` does a game."""
    commitment = commitment_of(contracts, sender.address, batch_id, index, secret)
    sender.send(contracts.ledger.commit_opening(commitment), key=f"commit {key}", timeout_s=timeout_s)
    bond_wei = max(1, len(items)) * bond_to_send(contracts, contracts.ledger.batch(batch_id).provider)
    request = AuditRequest(batch_id, index, fields, list(path), secret, list(items))
    call = contracts.audits.open_audit(request, bond_wei=bond_wei)
    return when_committed(lambda: sender.send(call, key=key, timeout_s=timeout_s), timeout_s)


def when_committed(send: Callable[[], Mined], timeout_s: float = 120.0) -> Mined:
    """Send an opening, again while its commitment is of the newest block. Raises what `send` raises."""
    until = time.monotonic() + timeout_s
    while True:
        try:
            return send()
        except ContractError as error:
            if error.name != _TOO_EARLY or time.monotonic() > until:
                raise
            time.sleep(_LOOK_AGAIN_S)


def is_under_way(sender: Sender, call: Call) -> bool:
    """Whether the journal holds this transaction (whatever bond it carries) unfinished."""
    return any(
        intent.call.to == call.to and intent.call.data == call.data for intent in sender.journal.unfinished()
    )
