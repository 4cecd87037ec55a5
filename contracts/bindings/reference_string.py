"""Nobody stakes real money under a reference string whose secret is public, unless they say so.

Whoever knows tau proves anything: a provider that cheats would win every game about a model under such a string.
"""

from __future__ import annotations

import structlog

from prover.errors import UsageError

from .chain import Chain
from .opening import is_devnet

log = structlog.get_logger("contracts.srs")


class InsecureReferenceString(UsageError):
    """The reference string's secret is public, and the chain is not a devnet."""


def require_secure_srs(chain: Chain, *, insecure: bool, description: str, allowed: bool, act: str) -> None:
    """Raises `InsecureReferenceString` off a devnet, unless `allowed`, which is told in the log every time.

    `act` is what would be done under the string, such as "register a model".
    """
    if not insecure or is_devnet(chain):
        return
    if not allowed:
        raise InsecureReferenceString(
            f"chain {chain.chain_id} is not a devnet, and anyone can forge proofs under this reference string ({description}): "
            f"import a ceremony with `gainsay srs import` and name it with --srs (or GAINSAY_SRS); who wants to {act} all the "
            "same, with nothing to lose, says --allow-insecure-srs (or GAINSAY_ALLOW_INSECURE_SRS=true)"
        )
    log.error(
        "ANYONE CAN FORGE PROOFS: the reference string's secret is public, and this chain is not a devnet",
        chain_id=chain.chain_id,
        srs=description,
        allowed_by="allow_insecure_srs",
    )
