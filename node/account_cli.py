"""`gainsay provider deposit | exit | status | ...`: the stake that backs answers, and the keys that act for its owner."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from contracts.bindings.command_options import (
    Account,
    AsJson,
    DeploymentFile,
    Devnet,
    Keystore,
    RpcUrl,
)

from .by_hand import by_hand, chain_side, costs, tell_costs
from .command_settings import ProviderAddress, ether_amount, settings_of


def deposit(
    ether: Annotated[
        int,
        typer.Argument(
            parser=ether_amount, metavar="AMOUNT", help="Amount to add to the stake: 1.5, or '20 gwei'."
        ),
    ],
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """Add ether to the stake that backs answers."""
    access, outbox = chain_side(devnet, rpc_url, deployment, keystore, account)
    by_hand(outbox, access.contracts.stake.deposit(ether), f"deposit {ether}")
    _print_account(access, outbox.address, as_json, outbox)


def request_exit(
    ether: Annotated[
        int | None,
        typer.Argument(
            parser=ether_amount, metavar="AMOUNT", help="Amount to take out (default: all free stake)."
        ),
    ] = None,
    complete: Annotated[bool, typer.Option("--complete", help="Finish an exit whose delay is over.")] = False,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Take the request back: the stake backs answers again.")
    ] = False,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """Ask stake back; after the exit delay, `--complete` turns it into credits to withdraw."""
    from prover.errors import UsageError

    if complete + cancel + (ether is not None) > 1:
        raise UsageError("an amount, --complete and --cancel are three different things; give one of them")
    access, outbox = chain_side(devnet, rpc_url, deployment, keystore, account)
    stake = access.contracts.stake
    if complete:
        by_hand(outbox, stake.complete_exit(), "complete exit")
    elif cancel:
        by_hand(outbox, stake.cancel_exit(), "cancel exit")
    else:
        unpromised = _unpromised_wei(
            access, outbox.address, settings_of(devnet, rpc_url, deployment, keystore, account)
        )
        amount = unpromised if ether is None else ether
        _require_unpromised(amount, unpromised)
        name = "request exit of all" if ether is None else f"request exit of {amount}"
        by_hand(outbox, stake.request_exit(amount), name)
    _print_account(access, outbox.address, as_json, outbox)


def status(
    provider: ProviderAddress = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """Show a provider's stake, locks, bond, keys, credits and balance; with --provider it needs no key."""
    from .chain_access import open_chain, open_signer
    from .keys import provider_of

    settings = settings_of(devnet, rpc_url, deployment, keystore, account, provider=provider)
    access = open_chain(settings)
    address = provider_of(settings, "") or open_signer(settings, access.chain).address
    _print_account(access, address, as_json)


def set_operator(
    address: Annotated[str, typer.Argument(help="Who posts and plays from now on; 'none' takes it away.")],
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """Name the account that posts and plays for the owner; the one before can do nothing any more."""
    from .keys import NOBODY, checksum

    operator = NOBODY if address == "none" else checksum(address)
    access, outbox = chain_side(devnet, rpc_url, deployment, keystore, account)
    by_hand(outbox, access.contracts.stake.set_operator(operator), f"operator {operator}")
    _print_account(access, outbox.address, as_json, outbox)


def add_signer(
    address: Annotated[str, typer.Argument(help="A key that signs receipts.")],
    allowance: Annotated[
        int,
        typer.Option(
            parser=ether_amount,
            metavar="AMOUNT",
            help="What all its receipts together may cost: 10, or '500 gwei'.",
        ),
    ],
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """Register a key for receipts, or raise the allowance of one; an allowance is never lowered."""
    from .keys import checksum

    signer = checksum(address)
    access, outbox = chain_side(devnet, rpc_url, deployment, keystore, account)
    by_hand(outbox, access.contracts.stake.register_signer(signer, allowance), f"signer {signer} {allowance}")
    _print_account(access, outbox.address, as_json, outbox)


def retire_signer(
    address: Annotated[str, typer.Argument(help="The key whose receipts end.")],
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """End a key for ever: receipts dated later than now are void."""
    from .keys import checksum

    signer = checksum(address)
    access, outbox = chain_side(devnet, rpc_url, deployment, keystore, account)
    by_hand(outbox, access.contracts.stake.retire_signer(signer), f"retire signer {signer}")
    _print_account(access, outbox.address, as_json, outbox)


def resume(
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """End the pause that followed a lost response; the whole bond must be there again."""
    access, outbox = chain_side(devnet, rpc_url, deployment, keystore, account)
    by_hand(outbox, access.contracts.stake.resume(), "resume")
    _print_account(access, outbox.address, as_json, outbox)


def _unpromised_wei(access: Any, address: str, settings: Any) -> int:
    """Free stake that no answer waits for: what is answered and not posted yet will need its lock."""
    from contracts.bindings.settings import STATE

    from .chain_access import default_database
    from .store import Journal, open_engine

    url = settings.database_url or default_database(
        access.chain, access.contracts.ledger.address, address, STATE / "provider"
    )
    promised = Journal(open_engine(url)).pending_response_count() * access.parameters.lock_per_response
    return max(0, int(access.contracts.stake.free_stake(address)) - int(promised))


def _require_unpromised(amount_wei: int, unpromised_wei: int) -> None:
    """Raises UsageError when an exit would take what unposted answers need."""
    from contracts.protocol.ether import show_ether
    from prover.errors import UsageError

    if amount_wei > unpromised_wei:
        raise UsageError(
            f"answers that are not on chain yet need the rest of the free stake: take out at most "
            f"{show_ether(unpromised_wei)}, or wait until they are posted"
        )


def _print_account(access: Any, address: str, as_json: bool, outbox: Any = None) -> None:
    from contracts.protocol.fact_text import show_fact

    from .accounts import account_facts, key_facts

    values = account_facts(access.contracts, address) | key_facts(access.contracts, address)
    if as_json:
        typer.echo(json.dumps(values | (costs(outbox) if outbox else {})))
        return
    from contracts.protocol.clock_text import show_time
    from contracts.protocol.ether import show_ether

    if outbox:
        tell_costs(outbox)
    signers, now = values.pop("signers"), access.chain.head().timestamp
    for name, value in values.items():
        typer.echo("{:<18}{}".format(*show_fact(name, value, now)))
    for key in signers:
        state = (
            f"retired at {show_time(key['retired_at'])}"
            if key["retired_at"]
            else f"{show_ether(int(key['left_wei']))} of its allowance left"
        )
        typer.echo(f"{'receipt key':<18}{key['signer']}, {state}")
