"""What the chain says about an account: stake, locks, credits, and the keys that act for a provider."""

from __future__ import annotations

from typing import Any

from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.events import SignerRegistered
from contracts.bindings.log_reader import Cursor, LogReader


def account_facts(contracts: ProtocolContracts, address: str) -> dict[str, Any]:
    """Stake, locks, credits and balance of an account."""
    account = contracts.stake.account(address)
    return {
        "address": address,
        "stake_wei": str(account.total),
        "locked_wei": str(account.locked),
        "exiting_wei": str(account.exiting),
        "exit_available_at": account.exit_available_at,
        "free_wei": str(contracts.stake.free_stake(address)),
        "credits_wei": str(contracts.stake.credits(address)),
        "delayable_wei": str(contracts.stake.delayable_credits(address)),
        "delayed_until": contracts.stake.delayed_until(),
        "balance_wei": str(contracts.chain.balance_wei(address)),
    }


def key_facts(contracts: ProtocolContracts, provider: str) -> dict[str, Any]:
    """A provider's bond, pause, operator, and every receipt key that was ever registered for it, from events."""
    stake = contracts.stake
    account, bond = stake.account(provider), stake.parameters().provider_bond
    return {
        "bond_wei": str(min(bond, stake.backing(provider))),
        "bond_needed_wei": str(bond),
        "paused": account.is_paused,
        "paused_at": account.paused_at,
        "operator": stake.operator_of(provider),
        "signers": [_signer_facts(contracts, provider, signer) for signer in _signers(contracts, provider)],
    }


def _signers(contracts: ProtocolContracts, provider: str) -> list[str]:
    reader = LogReader(contracts)
    cursors: list[Cursor] = []
    found: dict[str, None] = {}  # in the order of their registration
    while (reading := reader.read(cursors)) is not None:
        cursors = [reading.cursor]
        for event in reading.events:
            if isinstance(event, SignerRegistered) and event.provider == provider:
                found[event.signer] = None
    return list(found)


def _signer_facts(contracts: ProtocolContracts, provider: str, signer: str) -> dict[str, Any]:
    key = contracts.stake.receipt_signer(provider, signer)
    return {
        "signer": signer,
        "allowance_wei": str(key.allowance),
        "left_wei": str(key.allowance - key.slashed),
        "registered_at": key.registered_at,
        "retired_at": key.retired_at,
    }
