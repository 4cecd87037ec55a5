"""What a deployment will cost, and whether what lies on chain is it: the constructors themselves say both.

A contract's code on chain is what its constructor returned, immutables included. So the code that must be at an address
is what `eth_call` of this release's creation code returns, with the deployer as sender, its nonce of that time (some
constructors write their own address down) and the contracts that the constructor reads. These are compared in the order of their creation, so that each constructor reads only
contracts that were found right before. What constructors and `initialise` wrote to storage (parameters, wiring) is
read and compared beside it. As everywhere, what the RPC endpoint says is believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from eth_hash.auto import keccak
from eth_utils.address import to_checksum_address

from ..protocol.parameters import ProtocolParameters
from .chain import Chain
from .compiler import Artifact
from .deployment import (
    CREATIONS,
    INITIALISE,
    INITIALISE_GAS,
    PARAMETERS,
    Creation,
    Deployment,
    ProtocolContracts,
    creation_data,
    initialise_call,
)
from .errors import BindingsError, ContractError, RpcRefused

_CREATION_GAS, _CODE_BYTE_GAS, _WORD_GAS = 53_000, 200, 2


@dataclass(frozen=True)
class Finding:
    """One comparison; `detail` says what differs and what to do, or what was found."""

    what: str
    right: bool
    detail: str


@dataclass(frozen=True)
class PlannedTransaction:
    """One transaction of a deployment, in order; `address`: of the contract that it makes."""

    name: str
    address: str | None
    data_bytes: int
    gas: int


@dataclass(frozen=True)
class DeploymentForecast:
    """`refusal`: why the contracts refuse the parameters, decoded; None when they accept them."""

    transactions: tuple[PlannedTransaction, ...]
    refusal: ContractError | None

    @property
    def gas(self) -> int:
        return sum(transaction.gas for transaction in self.transactions)


def forecast_deployment(
    chain: Chain, deployer: str, parameters: ProtocolParameters, artifacts: Mapping[str, Artifact]
) -> DeploymentForecast:
    """What deploying would do from now on; nothing is sent. Only the vault's constructor refuses anything, and it is run.

    gas = 53,000 + data + 2 per word of the creation code + 200 per byte of the code + what the constructor uses
    (EIP-2028, EIP-3860, EIP-170's yellow-paper price); the last term is measured. Rollups add a fee for the data.
    """
    nonce = chain.nonce(deployer)
    placed = {
        creation.field: created_address(deployer, nonce + number) for number, creation in enumerate(CREATIONS)
    }
    refusal, planned = None, []
    for creation in CREATIONS:
        data = creation_data(creation, artifacts, placed, parameters)
        if creation.arguments == (PARAMETERS,):
            refusal = _refusal(chain, deployer, data, creation.contract)
        gas = _CREATION_GAS + _data_gas(data) + _WORD_GAS * (-(-len(data) // 32)) + creation.constructor_gas
        gas += _CODE_BYTE_GAS * len(artifacts[creation.contract].runtime_code)
        planned.append(PlannedTransaction(creation.contract, placed[creation.field], len(data), gas))
    wiring = initialise_call(chain, artifacts, placed)
    planned.append(PlannedTransaction(INITIALISE, None, len(wiring.data), INITIALISE_GAS))
    return DeploymentForecast(tuple(planned), refusal)


def _refusal(chain: Chain, deployer: str, data: bytes, name: str) -> ContractError | None:
    try:
        chain.request("eth_call", [{"from": deployer, "data": "0x" + data.hex()}, "latest"])
    except RpcRefused as error:
        if (refusal := chain.decode_revert(error, name)) is None:
            raise
        return refusal
    return None


def compare_deployment(
    chain: Chain,
    deployment: Deployment,
    parameters: ProtocolParameters,
    deployer: str,
    artifacts: Mapping[str, Artifact],
) -> list[Finding]:
    """Every contract's code, byte for byte, then the parameters and the wiring. Raises `RpcUnavailable`."""
    block = chain.head().number
    placed = {creation.field: str(getattr(deployment, creation.field)) for creation in CREATIONS}
    found = [
        _compare_code(chain, creation, placed, parameters, deployer, artifacts, block)
        for creation in CREATIONS
    ]
    contracts = ProtocolContracts(chain, deployment, artifacts)
    try:
        found += _compare_storage(contracts, parameters)
    except BindingsError as error:
        found.append(Finding("parameters", False, f"they cannot be read: {error}"))
    return found


def created_address(sender: str, nonce: int) -> str:
    """Where the contract is that this transaction of `sender` makes: keccak(rlp([sender, nonce]))."""
    import rlp

    return str(to_checksum_address(keccak(rlp.encode([bytes.fromhex(sender[2:]), nonce]))[12:]))


def _compare_code(
    chain: Chain,
    creation: Creation,
    placed: Mapping[str, str],
    parameters: ProtocolParameters,
    deployer: str,
    artifacts: Mapping[str, Artifact],
    block: int,
) -> Finding:
    address = placed[creation.field]
    actual = bytes.fromhex(chain.request("eth_getCode", [address, hex(block)])[2:])
    if not actual:
        return Finding(
            creation.contract, False, f"there is no contract at {address}; correct the record or --rpc-url"
        )
    data = creation_data(creation, artifacts, placed, parameters)
    nonce = _nonce_of(chain, deployer, address)
    if nonce is None:
        return Finding(creation.contract, False, f"{deployer} did not deploy {address}; correct the record")
    # Constructors read other contracts, never who pays or the time: any block since the deployment gives the same.
    body = {"from": deployer, "data": "0x" + data.hex()}
    then = {deployer: {"nonce": hex(nonce)}, address: {"nonce": "0x0", "code": "0x", "state": {}}}
    try:
        expected = bytes.fromhex(chain.request("eth_call", [body, hex(block), then])[2:])
    except RpcRefused as error:
        why = chain.decode_revert(error) or error
        return Finding(
            creation.contract,
            False,
            f"its constructor does not run with the record's values ({why}); it needs an endpoint that takes state overrides",
        )
    if actual != expected:
        return Finding(creation.contract, False, _difference(address, actual, expected))
    return Finding(
        creation.contract, True, f"{len(actual)} bytes at {address}, keccak 0x{keccak(actual).hex()}"
    )


def _nonce_of(chain: Chain, deployer: str, address: str) -> int | None:
    """With which transaction of `deployer` the contract was made."""
    made = chain.nonce(deployer)
    return next((n for n in range(made) if created_address(deployer, n).lower() == address.lower()), None)


def _difference(address: str, actual: bytes, expected: bytes) -> str:
    if len(actual) != len(expected):
        what = f"{len(actual)} bytes, not {len(expected)}"
    else:
        places = [number for number in range(len(actual)) if actual[number] != expected[number]]
        what = f"{len(places)} of {len(actual)} bytes differ, the first at {places[0]}"
    return (
        f"the code at {address} is not what this release compiles ({what}); use the release that deployed it, or "
        "correct the record"
    )


def _compare_storage(contracts: ProtocolContracts, parameters: ProtocolParameters) -> list[Finding]:
    stored = contracts.stake.parameters()
    differing = [
        f"{field.name} is {getattr(stored, field.name)}, not {getattr(parameters, field.name)}"
        for field in fields(parameters)
        if getattr(stored, field.name) != getattr(parameters, field.name)
    ]
    found = [
        Finding(
            "parameters", not differing, "; ".join(differing) or f"all {len(fields(parameters))} as recorded"
        )
    ]
    stake = contracts.stake
    wired = (stake.ledger(), stake.game(), stake.receipts(), stake.audits())
    parts = (contracts.ledger, contracts.game, contracts.receipts, contracts.audits)
    wanted = [part.address for part in parts]
    right = [address.lower() for address in wired] == [address.lower() for address in wanted]
    detail = "the vault knows the ledger, the game, the receipts and the audits"
    if not right:
        detail = f"the vault is wired to {', '.join(wired)}, not to {', '.join(wanted)}; nobody can change that: deploy again"
    return [*found, Finding("wiring", right, detail)]


def _data_gas(data: bytes) -> int:
    zeros = data.count(0)
    return 4 * zeros + 16 * (len(data) - zeros)
