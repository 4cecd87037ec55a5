"""Deploy the protocol, and remember where it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePath

from prover.foreign_json import ForeignJsonError, read_json_file

from ..protocol.model import verifier_name
from ..protocol.parameters import ProtocolParameters
from .abi import ErrorDecoder, Interface
from .audit_game import AuditGame
from .chain import Chain
from .compiler import Artifact, compile_sources, protocol_artifacts
from .contract import Call
from .dispute_game import DisputeGame
from .errors import CodeMismatch, DeploymentInvalid
from .events import EventDecoder
from .inference_ledger import InferenceLedger
from .model_registry import ModelRegistry
from .payments import Payments
from .provider_stake import ProviderStake
from .receipt_claims import Receipts
from .sender import Sender


@dataclass(frozen=True)
class Deployment:
    """Addresses of one deployment; `first_block` is where to start reading logs."""

    chain_id: int
    registry: str
    stake: str
    ledger: str
    game: str
    receipts: str
    audits: str
    payments: str
    first_block: int

    @classmethod
    def load(cls, path: Path) -> Deployment:
        """From JSON that has (at least) these fields; raises `DeploymentInvalid`."""
        try:
            stored = read_json_file(path)
            return cls(**{field.name: stored[field.name] for field in fields(cls)})
        except (OSError, ForeignJsonError, KeyError, TypeError) as error:
            raise DeploymentInvalid(
                f"{path} is no deployment file ({error}); run `gainsay devnet up` or name the right one."
            ) from error

    def as_json(self) -> dict[str, object]:
        return asdict(self)


class ProtocolContracts:
    """The contracts of a deployment on a chain."""

    def __init__(
        self, chain: Chain, deployment: Deployment, artifacts: Mapping[str, Artifact] | None = None
    ) -> None:
        artifacts = artifacts or protocol_artifacts()
        chain.error_decoder = ErrorDecoder(artifacts.values())
        self.chain = chain
        self.deployment = deployment
        self.registry = ModelRegistry(chain, deployment.registry, artifacts["ModelRegistry"])
        self.stake = ProviderStake(chain, deployment.stake, artifacts["ProviderStake"])
        self.ledger = InferenceLedger(chain, deployment.ledger, artifacts["InferenceLedger"])
        self.game = DisputeGame(chain, deployment.game, artifacts["DisputeGame"])
        self.receipts = Receipts(chain, deployment.receipts, artifacts["Receipts"])
        self.audits = AuditGame(chain, deployment.audits, artifacts["AuditGame"])
        self.payments = Payments(chain, deployment.payments, artifacts["Payments"])
        self._artifacts = artifacts
        self.events = EventDecoder(
            (contract.address, contract.interface)
            for contract in (
                self.registry,
                self.stake,
                self.ledger,
                self.game,
                self.receipts,
                self.audits,
                self.payments,
            )
        )

    @property
    def addresses(self) -> list[str]:
        contracts = (
            self.registry,
            self.stake,
            self.ledger,
            self.game,
            self.receipts,
            self.audits,
            self.payments,
        )
        return [contract.address for contract in contracts]

    def check(self) -> None:
        """Raises `CodeMismatch` unless these contracts are this program's, wired to each other."""
        from eth_hash.auto import keccak

        # The registry has no immutables, so its code is known; the others are known by their wiring.
        self.chain.require_code_hash(
            self.registry.address, keccak(self._artifacts["ModelRegistry"].runtime_code), "ModelRegistry"
        )
        wired = (self.stake.ledger(), self.stake.game(), self.stake.receipts(), self.stake.audits())
        ours = (self.ledger.address, self.game.address, self.receipts.address, self.audits.address)
        if wired != ours:
            raise CodeMismatch(
                f"The vault at {self.stake.address} belongs to another ledger, game, receipts or audits {wired}; "
                "correct the deployment file."
            )
        if self.payments.receipts() != self.receipts.address:
            raise CodeMismatch(
                f"The payments at {self.payments.address} belong to other receipts; correct the deployment file."
            )


def deploy_protocol(sender: Sender, parameters: ProtocolParameters, key: str = "deploy") -> Deployment:
    """Deploy and wire the contracts. Repeating it with the same `key` after a kill carries on."""
    artifacts = protocol_artifacts()
    chain = sender.chain
    chain.error_decoder = chain.error_decoder or ErrorDecoder(artifacts.values())
    first_block = chain.head().number

    def deployed(name: str, *arguments: object) -> str:
        return deploy_contract(sender, artifacts[name], *arguments, key=f"{key}:{name}")

    registry = deployed("ModelRegistry")
    stake = deployed("ProviderStake", parameters)
    ledger = deployed("InferenceLedger", stake, registry)
    game = deployed("DisputeGame", ledger)
    receipts = deployed("Receipts", ledger)
    audits = deployed("AuditGame", ledger)
    payments = deployed("Payments", receipts)
    deployment = Deployment(
        chain_id=chain.chain_id,
        registry=registry,
        stake=stake,
        ledger=ledger,
        game=game,
        receipts=receipts,
        audits=audits,
        payments=payments,
        first_block=first_block,
    )
    vault = ProtocolContracts(chain, deployment, artifacts).stake
    sender.send(vault.initialise(ledger, game, receipts, audits), key=f"{key}:initialise")
    return deployment


def deploy_contract(sender: Sender, artifact: Artifact, *arguments: object, key: str) -> str:
    """The address of a new contract; the same one again for the same `key`."""
    if not artifact.creation_code:
        raise DeploymentInvalid(f"{artifact.name} is abstract and cannot be deployed.")
    data = artifact.creation_code + Interface(artifact).encode_constructor(arguments)
    mined = sender.send(Call(None, data, description=f"deploy {artifact.name}"), key=key)
    if mined.contract_address is None:
        raise DeploymentInvalid(f"The transaction that deploys {artifact.name} created no contract.")
    return mined.contract_address


def verifier_artifacts(sources: Mapping[str, str]) -> dict[str, Artifact]:
    """The generated verifiers, compiled from `verifier_gen.generate_sources`' files, by the names of what they verify:
    kinds of step, the embedding, the head."""
    kinds = {verifier_name(kind): kind for kind in map(_kind_of_file, sources)}
    return {kinds[name]: artifact for name, artifact in compile_sources(sources).items() if name in kinds}


def _kind_of_file(name: str) -> str:
    """`KeysValuesVerifier.sol` verifies keys_values."""
    stem = PurePath(name).stem.removesuffix("Verifier")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in stem).lstrip("_")


def verifier_code_hashes(artifacts: Mapping[str, Artifact]) -> dict[str, bytes]:
    """Code hashes that the deployed verifiers will have: part of the model's id."""
    from eth_hash.auto import keccak

    return {kind: keccak(artifact.runtime_code) for kind, artifact in artifacts.items()}


def deploy_verifiers(
    sender: Sender, artifacts: Mapping[str, Artifact], key: str = "verifiers"
) -> dict[str, str]:
    """Deploy the verifiers; a repeat with the same code and `key` gives the same addresses."""
    hashes = verifier_code_hashes(artifacts)
    return {
        kind: deploy_contract(sender, artifact, key=f"{key}:{kind}:{hashes[kind].hex()[:16]}")
        for kind, artifact in artifacts.items()
    }
