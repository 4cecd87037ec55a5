"""Checks against the chain: record, endpoints, clocks, code, key, ether, reference string, model, stake."""

from __future__ import annotations

import time

from contracts.protocol.duration import show_duration
from contracts.protocol.ether import show_ether
from contracts.protocol.parameters import DEVNET

from .doctor import Doubtful, Known, Wrong

_LAG_S = 30.0
_SLOW_S = 0.5


def record(known: Known) -> str:
    """The deployment's file."""
    from contracts.bindings.deployment import Deployment

    path = known["settings"].deployment
    known["deployment"] = Deployment.load(path)
    return f"{path}, chain {known['deployment'].chain_id}"


def endpoints(known: Known) -> str:
    """Each endpoint answers, in time, for the deployment's chain."""
    from contracts.bindings.chain import Chain

    found, deployment = known["settings"], known["deployment"]
    urls = [found.rpc_url, *found.rpc_urls]
    told, slow = [], False
    for url in urls:
        chain = Chain(url, expected_chain_id=deployment.chain_id, attempts=2, timeout_s=5.0)
        started = time.monotonic()
        head = chain.head()
        seconds = time.monotonic() - started
        if chain.request("eth_syncing", []):
            raise Wrong(f"{url} is still syncing at block {head.number}", "wait, or use another endpoint")
        told.append(f"block {head.number} in {1000 * seconds:.0f} ms")
        slow |= seconds > _SLOW_S
    known["chain"] = Chain(urls, expected_chain_id=deployment.chain_id, attempts=2, timeout_s=5.0)
    if slow:
        raise Doubtful(f"slow: {', '.join(told)}", "use a nearer endpoint: moves have clocks")
    return ", ".join(told)


def clocks(known: Known) -> str:
    """This machine's clock against the chain's."""
    from contracts.bindings.opening import is_devnet

    chain, found = known["chain"], known["settings"]
    age = time.time() - chain.head().timestamp
    if is_devnet(chain):
        return f"the newest block is {age:.0f} s old (a devnet's clock may differ)"
    if -age > (getattr(found, "max_clock_lag_s", None) or _LAG_S):
        raise Wrong(f"this machine's clock is {-age:.0f} s behind the chain's newest block", "set it (NTP)")
    if age > (found.max_head_age_s or 120):
        raise Wrong(
            f"the newest block is {age:.0f} s old by this machine's clock",
            "set the clock (NTP), wait until the endpoint has caught up, or raise max_head_age_s for a slow chain",
        )
    return f"the newest block is {age:.0f} s old"


def code(known: Known) -> str:
    """What lies on chain is what this release compiles: byte for byte where the record says from what it was made."""
    from contracts.bindings.compiler import protocol_artifacts
    from contracts.bindings.deployment import ProtocolContracts
    from contracts.bindings.errors import DeploymentInvalid

    from .deploying import Record, verify

    chain, artifacts = known["chain"], protocol_artifacts()
    known["contracts"] = ProtocolContracts(chain, known["deployment"], artifacts)
    known["contracts"].check()
    try:
        stored = Record.load(known["settings"].deployment)
    except DeploymentInvalid:
        known["parameters"] = known["contracts"].stake.parameters()
        raise Doubtful(
            "the contracts belong together, but the record does not say from what they were made",
            "use the record that `gainsay deploy run` wrote",
        ) from None
    known["parameters"] = stored.parameters
    if wrong := [finding for finding in verify(chain, stored, artifacts) if not finding.right]:
        found, _, todo = wrong[0].detail.rpartition("; ")
        raise Wrong(f"{wrong[0].what}: {found or todo}", todo or "use the matching release")
    return "every contract is this release's, byte for byte, with the record's parameters"


def parameters(known: Known) -> str:
    """Rules of a real deployment, where the chain is one."""
    from contracts.bindings.opening import is_devnet

    rules = known["parameters"]
    told = f"{show_duration(rules.challenge_window)} to challenge, clocks of {show_duration(rules.clock)}"
    if not is_devnet(known["chain"]) and rules.clock <= DEVNET.clock:
        raise Doubtful(f"{told}: those of a devnet, on a real chain", "deploy with the preset l1 or l2")
    return told


def key(known: Known) -> str:
    """The account's key opens."""
    from contracts.bindings.keys import UnlockedSigner
    from contracts.bindings.opening import is_devnet, open_signer

    if getattr(known["settings"], "watch_only", False):
        known["account"] = None
        return "none is needed: it only watches"
    signer = open_signer(known["settings"], known["chain"], known["fallback"])
    known["signer"], known["account"] = signer, signer.address
    if isinstance(signer, UnlockedSigner) and not is_devnet(known["chain"]):
        raise Doubtful(
            f"{signer.address} is unlocked at the RPC endpoint, for whoever reaches it",
            "use a keystore (`gainsay key new`) or a remote signer",
        )
    return f"{signer.address} ({type(signer).__name__.removesuffix('Signer').lower()})"


def receipt_key(known: Known) -> str:
    """The receipts' key opens."""
    from node.keys import open_receipt_key

    known["receipt_signer"] = open_receipt_key(known["settings"], known["chain"], known["signer"])
    return str(known["receipt_signer"].address)


def ether(known: Known) -> str:
    """Gas, and a challenger's bond."""
    from node.health import LEAST_BALANCE_WEI

    if known["account"] is None:
        return "none is needed"
    least = LEAST_BALANCE_WEI
    if known["role"] == "challenger":
        least += known["parameters"].challenger_bond
    held = known["chain"].balance_wei(known["account"])
    if held < least:
        raise Wrong(
            f"{known['account']} holds {show_ether(held)}", f"send it at least {show_ether(least - held)}"
        )
    return f"{known['account']} holds {show_ether(held)}"


def reference_string(known: Known) -> str:
    """The SRS loads, and nobody knows its secret where that matters."""
    from contracts.bindings.reference_string import require_secure_srs
    from prover.curve.srs import DEVNET_BITS, SRS

    found = known["settings"]
    srs = SRS.load(found.srs) if found.srs is not None else SRS.devnet(DEVNET_BITS)
    known["srs"] = srs
    require_secure_srs(
        known["chain"], insecure=srs.insecure, description=srs.description, allowed=False, act="run"
    )  # fmt: skip
    return f"{srs.description}, digest 0x{srs.digest.hex()[:16]}…"


def models(known: Known) -> str:
    """Each model is here, committed, and registered with the verifiers that this release makes."""
    from contracts.bindings.registration import built_model_id
    from node.chain_access import find_model_id
    from prover.model.library import load_model
    from prover.model_commitment import commit_model
    from verifier_gen import generate_sources

    found, told = known["settings"], []
    names = [found.model] if known["role"] == "provider" else found.models
    for name in names:
        model = load_model(name, models=found.models_dir)
        commitment = commit_model(
            model, known["srs"], progress=known["progress"], cache_dir=found.commitments_dir
        )
        built = built_model_id(commitment, generate_sources(model.config, known["srs"]))
        wanted = getattr(found, "model_id", None)
        identity = find_model_id(known["contracts"], commitment, built, wanted)
        told.append(f"{name} (0x{identity.hex()[:12]}…)")
    return ", ".join(told) + " registered"


def stake(known: Known) -> str:
    """The provider's keys, bond and free stake."""
    from node.keys import KeyState, provider_of

    contracts, rules = known["contracts"], known["parameters"]
    owner = provider_of(known["settings"], known["account"])
    keys = KeyState.read(contracts, owner, known["account"], known["receipt_signer"].address)
    if (reason := keys.account_reason()) is not None:
        raise _wrong(reason)
    account, free = contracts.stake.account(owner), contracts.stake.free_stake(owner)
    if account.is_paused:
        raise Wrong(
            f"{owner} is paused: a response was lost", "make the bond whole, then `gainsay provider resume`"
        )
    if free < rules.lock_per_response and not account.locked:
        raise Wrong(
            f"{owner} has {show_ether(free)} of free stake, less than one lock",
            f"gainsay provider deposit {show_ether(rules.provider_bond + 100 * rules.lock_per_response).removesuffix(' ETH')}",
        )
    registers_itself = keys.is_owner and not keys.receipt_signer.registered_at  # at the first start
    reason = None if registers_itself else keys.receipt_reason(rules.lock_per_response)
    if reason is not None:
        raise _wrong(reason)
    return f"{show_ether(free)} are free, for {free // rules.lock_per_response} answers; {show_ether(account.locked)} are locked"


def _wrong(reason: str) -> Wrong:
    found, _, todo = reason.partition("; ")
    return Wrong(found, todo or "correct that")
