"""What a response that nobody disputes costs: gas of posting and finalising batches of several sizes, by real transactions."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from contracts.bindings.deployment import ProtocolContracts, deploy_protocol
from contracts.bindings.keys import UnlockedSigner
from contracts.bindings.sender import Sender, open_sender
from contracts.protocol.model import PUBLIC, ModelSpec, StepKindSpec
from contracts.protocol.parameters import DEVNET
from contracts.protocol.streams import access_word, pack_streams

from .gas import own_chain

SIZES = (1, 16, 256, 4096)


@dataclass(frozen=True)
class PostingCost:
    """Gas of the two transactions about one batch. Only its root is posted, so what it holds costs nothing by itself."""

    responses: int
    post_gas: int
    finalise_gas: int

    @property
    def gas_per_response(self) -> float:
        return (self.post_gas + self.finalise_gas) / self.responses


def measure_posting(sizes: Sequence[int] = SIZES) -> Iterator[PostingCost]:
    """Each size once, on an Anvil and a deployment of its own, by a provider that has other answers waiting."""
    with tempfile.TemporaryDirectory() as folder, own_chain() as chain:
        signer = UnlockedSigner(chain, chain.unlocked_accounts()[1])
        sender = open_sender(chain, signer, f"sqlite:///{folder}/journal.sqlite")
        contracts = ProtocolContracts(chain, deploy_protocol(sender, DEVNET))
        model_id = _register(sender, contracts)
        _post(sender, contracts, model_id, secrets.token_bytes(32), 1)  # stays open: locks never fall to zero
        for size in sizes:
            yield _cost(sender, contracts, model_id, size)


def _register(sender: Sender, contracts: ProtocolContracts) -> bytes:
    """A model that nobody can run: posting needs a registered id, and nothing else of it."""
    code = contracts.chain.code_hash(contracts.registry.address)
    none = bytes(32)
    kind = StepKindSpec(code, access_word(writes=[0]))
    spec = ModelSpec(
        none, none, none, none, none, 2, 2, 1, 0, none, pack_streams([0]), (kind,), PUBLIC, 0, code, code
    )
    place = contracts.registry.address
    sender.send(contracts.registry.register(spec, [place], place, place), key="register")
    return spec.model_id


def _cost(sender: Sender, contracts: ProtocolContracts, model_id: bytes, size: int) -> PostingCost:
    ledger, salt = contracts.ledger, secrets.token_bytes(32)
    post_gas = _post(sender, contracts, model_id, salt, size)
    contracts.chain.request("evm_increaseTime", [DEVNET.challenge_window + 1])
    contracts.chain.request("anvil_mine", ["0x1"])
    batch_id = ledger.batch_of(sender.address, salt)
    finalised = sender.send(ledger.finalise_batch(batch_id), key=f"finalise {salt.hex()}")
    return PostingCost(size, post_gas, finalised.gas_used)


def _post(sender: Sender, contracts: ProtocolContracts, model_id: bytes, salt: bytes, size: int) -> int:
    """Gas of posting, with the stake that it locks."""
    needed = size * DEVNET.lock_per_response + DEVNET.provider_bond
    missing = needed - contracts.stake.backing(sender.address)
    if missing > 0:
        sender.send(contracts.stake.deposit(missing), key=f"deposit {salt.hex()}")
    call = contracts.ledger.post_batch(sender.address, secrets.token_bytes(32), salt, model_id, size)
    return sender.send(call, key=f"post {salt.hex()}").gas_used
