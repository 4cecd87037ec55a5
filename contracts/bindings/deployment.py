"""Deploy the protocol, and remember where it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from .results import Mined
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


@dataclass(frozen=True)
class Creation:
    """One contract of a deployment: the field of `Deployment` that names it, what its constructor is given (names of
    contracts that are there already, or `PARAMETERS`), and the gas that the constructor itself uses, measured."""

    field: str
    contract: str
    constructor_gas: int
    arguments: tuple[str, ...] = ()


PARAMETERS = "parameters"
#: Every deployment is made in this order, by whatever command; then the vault is told who the others are.
CREATIONS = (
    Creation("registry", "ModelRegistry", 2_000),
    Creation("stake", "ProviderStake", 240_000, (PARAMETERS,)),
    Creation("ledger", "InferenceLedger", 45_000, ("stake", "registry")),
    Creation("game", "DisputeGame", 45_000, ("ledger",)),
    Creation("receipts", "Receipts", 40_000, ("ledger",)),
    Creation("audits", "AuditGame", 45_000, ("ledger",)),
    Creation("payments", "Payments", 42_000, ("receipts",)),
)
INITIALISE = "initialise"
#: Of the whole transaction that wires the vault, measured.
INITIALISE_GAS = 123_000


def creation_data(
    creation: Creation,
    artifacts: Mapping[str, Artifact],
    placed: Mapping[str, str],
    parameters: ProtocolParameters,
) -> bytes:
    """What the transaction that makes this contract carries; `placed`: addresses by the fields of `Deployment`."""
    values = [parameters if name == PARAMETERS else placed[name] for name in creation.arguments]
    return _creation_data(artifacts[creation.contract], values)


def initialise_call(chain: Chain, artifacts: Mapping[str, Artifact], placed: Mapping[str, str]) -> Call:
    """Wires the vault to the others, once, by its deployer."""
    vault = ProviderStake(chain, placed["stake"], artifacts["ProviderStake"])
    return vault.initialise(placed["ledger"], placed["game"], placed["receipts"], placed["audits"])


def deploy_protocol(
    sender: Sender,
    parameters: ProtocolParameters,
    key: str = "deploy",
    *,
    first_block: int | None = None,
    report: Callable[[str, Mined], None] = lambda step, mined: None,
) -> Deployment:
    """Deploy and wire the contracts. Repeating it with the same `key` after a kill carries on.

    `first_block`: where it began, for whoever carries on. `report` hears of each step when it is in the chain.
    """
    artifacts = protocol_artifacts()
    chain = sender.chain
    chain.error_decoder = chain.error_decoder or ErrorDecoder(artifacts.values())
    if first_block is None:
        first_block = chain.head().number
    placed: dict[str, str] = {}
    for creation in CREATIONS:
        name = creation.contract
        call = Call(
            None, creation_data(creation, artifacts, placed, parameters), description=f"deploy {name}"
        )
        mined = sender.send(call, key=f"{key}:{name}")
        placed[creation.field] = _created(mined, name)
        report(name, mined)
    report(INITIALISE, sender.send(initialise_call(chain, artifacts, placed), key=f"{key}:{INITIALISE}"))
    return Deployment(chain.chain_id, first_block=first_block, **placed)


def deploy_contract(
    sender: Sender, artifact: Artifact, *arguments: object, key: str, spent: list[Mined] | None = None
) -> str:
    """The address of a new contract; the same one again for the same `key`. What it took is added to `spent`."""
    call = Call(None, _creation_data(artifact, arguments), description=f"deploy {artifact.name}")
    mined = sender.send(call, key=key)
    if spent is not None:
        spent.append(mined)
    return _created(mined, artifact.name)


def _creation_data(artifact: Artifact, arguments: Sequence[object]) -> bytes:
    if not artifact.creation_code:
        raise DeploymentInvalid(f"{artifact.name} is abstract and cannot be deployed.")
    return artifact.creation_code + Interface(artifact).encode_constructor(arguments)


def _created(mined: Mined, name: str) -> str:
    if mined.contract_address is None:
        raise DeploymentInvalid(f"The transaction that deploys {name} created no contract.")
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
    sender: Sender,
    artifacts: Mapping[str, Artifact],
    key: str = "verifiers",
    spent: list[Mined] | None = None,
) -> dict[str, str]:
    """Deploy the verifiers; a repeat with the same code and `key` gives the same addresses."""
    hashes = verifier_code_hashes(artifacts)
    return {
        kind: deploy_contract(sender, artifact, key=f"{key}:{kind}:{hashes[kind].hex()[:16]}", spent=spent)
        for kind, artifact in artifacts.items()
    }
