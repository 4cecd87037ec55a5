"""Do the events tell the whole story? The books beside what the contracts' views say at the same block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from .books import Books
from .deployment import ProtocolContracts


def differences(books: Books, contracts: ProtocolContracts, block: int) -> list[str]:
    """Every place in which books and contracts disagree at a block, in words; none is what should be found."""
    found = [f"a log of {event.name} cannot be read: {event.why}" for event in books.unreadable]
    for what, told, stored in _pairs(books, contracts, block):
        if told != stored:
            found.append(f"{what}: the events say {told}, the contract says {stored}")
    return found


def _pairs(books: Books, contracts: ProtocolContracts, block: int) -> Iterator[tuple[str, object, object]]:
    stake, ledger = contracts.stake, contracts.ledger
    yield "totals", books.totals(), stake.totals(block=block)
    for holder in sorted(_holders(books, contracts)):
        yield f"escrow of {holder}", books.escrow.get(holder, 0), stake.escrow_of(holder, block=block)
    yield "delayed until", books.delayed_until, stake.delayed_until(block=block)
    yield "delay left", books.delay_left, stake.delay_left(block=block)
    for address, account in books.accounts.items():
        told_stake = replace(account.stake, open_games=books.open_games.get(address, 0))
        yield f"stake of {address}", told_stake, stake.account(address, block=block)
        yield f"credits of {address}", account.credits_wei, stake.credits(address, block=block)
        delayable = stake.delayable_credits(address, block=block)
        yield f"rewards of {address}", account.delayable_wei, delayable
    for provider, operator in books.operators.items():
        yield f"operator of {provider}", operator, stake.operator_of(provider, block=block)
    for (provider, signer), key in books.signers.items():
        stored_key = stake.receipt_signer(provider, signer, block=block)
        yield f"receipt key {signer} of {provider}", key, stored_key
    for model_id, model in books.models.items():
        marked = contracts.registry.is_deprecated(model_id, block=block)
        yield f"mark of model 0x{model_id.hex()}", model.deprecated, marked
        registrant = contracts.registry.registrant_of(model_id, block=block)
        yield f"registrant of model 0x{model_id.hex()}", model.registrant, registrant
    yield "batches", len(books.batches), ledger.batch_count(block=block)
    for number, batch in books.batches.items():
        yield f"batch {number}", batch, ledger.batch(number, block=block)
    for (number, index), state in books.responses.items():
        yield f"response {index} of batch {number}", state, ledger.response(number, index, block=block)
    for (number, index), pot in books.pots.items():
        yield (
            f"rewards of response {index} of batch {number}",
            pot,
            ledger.reward_pot(number, index, block=block),
        )
    for provider, count in books.open_games.items():
        yield f"open games of {provider}", count, ledger.open_games_of(provider, block=block)
    for receipt_id, receipt in books.receipts.items():
        claim = contracts.receipts.receipt_claim(receipt_id, block=block)
        told = (receipt.status, receipt.claimant, receipt.provider, receipt.leaf, receipt.batch_id)
        stored = (claim.status, claim.claimant, claim.provider, claim.leaf, claim.batch_id)
        yield f"receipt 0x{receipt_id.hex()}", told, stored
        told_end = (receipt.answer_deadline, receipt.penalty_wei)
        yield f"answer to 0x{receipt_id.hex()}", told_end, (claim.answer_deadline, claim.penalty)
    yield "games", len(books.games), contracts.game.game_count(block=block)
    for number, game in books.games.items():
        view = contracts.game.game(number, block=block)
        told_game = (game.batch_id, game.index, game.provider, game.challenger)
        yield f"game {number}", told_game, (view.batch_id, view.index, view.provider, view.challenger)
        told_state = (game.phase, game.deadline, game.outcome, game.reason)
        stored_state = (view.phase, view.deadline, view.outcome, view.reason)
        yield f"state of game {number}", told_state, stored_state
    yield "audits", len(books.audits), contracts.audits.audit_count(block=block)
    for number, audit in books.audits.items():
        seen = contracts.audits.audit(number, block=block)
        told_audit = (audit.batch_id, audit.index, audit.provider, audit.auditor)
        yield f"audit {number}", told_audit, (seen.batch_id, seen.index, seen.provider, seen.auditor)
        # What a malformed response was audited for was never started.
        started = audit.bond_wei != 0
        told_audit_state = (audit.deadline, audit.outcome, audit.reason)
        yield f"state of audit {number}", told_audit_state, (seen.deadline, seen.outcome, seen.reason)
        left = (audit.bond_wei, len(audit.items) - len(audit.proven)) if started else (seen.bond, 0)
        yield f"items of audit {number}", left, (seen.bond, seen.remaining)


def _holders(books: Books, contracts: ProtocolContracts) -> set[str]:
    """Whoever may have something in escrow."""
    ours = (contracts.ledger, contracts.game, contracts.receipts, contracts.audits)
    return {contract.address for contract in ours} | set(books.escrow)
