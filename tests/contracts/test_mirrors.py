"""Every hash that Python computes is the one that the contracts compute."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.bindings.compiler import Artifact, compile_sources
from contracts.bindings.contract import BoundContract
from contracts.bindings.deployment import ProtocolContracts, deploy_contract
from contracts.bindings.errors import ContractError
from contracts.bindings.keys import KeystoreSigner, UnlockedSigner, create_keystore
from contracts.bindings.payments import Voucher, sign_voucher, voucher_digest
from contracts.bindings.receipts import receipt_id, receipt_signer, sign_receipt
from contracts.protocol.bisection import cuts
from contracts.protocol.merkle import MerkleTree, verify_path
from contracts.protocol.model import (
    ModelSpec,
    boundary_hash,
    end_tokens_digest,
    step_key_leaf,
    token_row_leaf,
)
from contracts.protocol.parameters import PRESETS, ProtocolParameters
from contracts.protocol.response import Receipt, ResponseFields, response_leaf
from contracts.protocol.token_ids import InvalidTokenIds, pack_token_ids, token_ids_hash, unpack_token_ids
from tests.contracts.local_chain import LocalChain

_LIBRARIES = """
pragma solidity ^0.8.28;
import {Bisection} from "contracts/src/libraries/Bisection.sol";
import {Boundary} from "contracts/src/libraries/Boundary.sol";
import {Leaves} from "contracts/src/libraries/Leaves.sol";
import {MerklePath} from "contracts/src/libraries/MerklePath.sol";
import {Parameters, ProtocolParameters} from "contracts/src/libraries/Parameters.sol";
import {TokenIds} from "contracts/src/libraries/TokenIds.sol";

contract Libraries {
    function cuts(uint256 a, uint256 b, uint256 k) external pure returns (uint256[] memory) {
        return Bisection.cuts(a, b, k);
    }
    function boundary(uint256[] calldata points) external pure returns (bytes32) { return Boundary.hash(points); }
    function stepKey(uint256 step, bytes calldata key) external pure returns (bytes32) {
        return Leaves.stepKey(step, keccak256(key));
    }
    function tokenRow(uint256 id, uint256[2] memory e, uint256[2] memory h) external pure returns (bytes32) {
        return Leaves.tokenRow(id, e, h);
    }
    function tokensMatch(bytes calldata ids, uint256 count, bytes32 hash) external pure returns (bool) {
        return TokenIds.matches(ids, count, hash);
    }
    function merkle(bytes32[] calldata path, bytes32 root, bytes32 leaf, uint256 index, uint256 count)
        external pure returns (bool)
    {
        return MerklePath.leads(path, root, leaf, index, count);
    }
    function digest(uint256[] calldata tokens) external pure returns (bytes32) {
        return keccak256(abi.encode(tokens));
    }
    function devnet() external pure returns (ProtocolParameters memory) { return Parameters.devnet(); }
    function l1() external pure returns (ProtocolParameters memory) { return Parameters.l1(); }
    function l2() external pure returns (ProtocolParameters memory) { return Parameters.l2(); }
}
"""
_POINTS = [(1, 2), (3, 4), (0, 0), (2**254, 5)]
_FIELDS = ResponseFields.of([1, 2, 70_000], [5, 6], max_tokens=16, fee_wei=10**15)
_PROVIDER = "0x" + "ab" * 20


class Libraries(BoundContract):
    """Solidity's own answers."""

    def ask(self, function: str, *arguments: object, record: type | None = None) -> object:
        return self._read(function, *arguments, record=record)


@pytest.fixture(scope="module")
def libraries(local_chain: LocalChain) -> Libraries:
    artifact: Artifact = compile_sources({"Libraries.sol": _LIBRARIES})["Libraries"]
    address = deploy_contract(local_chain.sender(9), artifact, key="libraries")
    return Libraries(local_chain.chain, address, artifact)


def test_parameters_are_the_presets_in_solidity(libraries: Libraries) -> None:
    for name, parameters in PRESETS.items():
        assert libraries.ask(name, record=ProtocolParameters) == parameters


@pytest.mark.parametrize(("start", "end", "arity"), [(0, 60, 8), (7, 15, 8), (0, 4, 8), (3, 4, 2), (0, 7, 3)])
def test_cuts(libraries: Libraries, start: int, end: int, arity: int) -> None:
    assert list(libraries.ask("cuts", start, end, arity)) == cuts(start, end, arity)  # type: ignore[call-overload]


def test_leaves_and_boundaries(libraries: Libraries) -> None:
    flat = [coordinate for point in _POINTS for coordinate in point]
    assert libraries.ask("boundary", flat) == boundary_hash(_POINTS)
    assert libraries.ask("stepKey", 7, b"a step key") == step_key_leaf(7, b"a step key")
    assert libraries.ask("tokenRow", 9, (1, 2), (3, 4)) == token_row_leaf(9, (1, 2), (3, 4))
    assert libraries.ask("digest", [2, 9]) == end_tokens_digest([9, 2])


def test_token_ids(libraries: Libraries) -> None:
    ids = [0, 1, 49_151, 2**32 - 1]
    assert libraries.ask("tokensMatch", pack_token_ids(ids), 4, token_ids_hash(ids)) is True
    assert unpack_token_ids(pack_token_ids(ids)) == ids
    with pytest.raises(InvalidTokenIds):
        pack_token_ids([2**32])
    with pytest.raises(InvalidTokenIds):
        unpack_token_ids(b"12345")


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 11])
def test_merkle_paths_are_accepted_on_chain(libraries: Libraries, count: int) -> None:
    tree = MerkleTree([token_ids_hash([index]) for index in range(count)])
    for index in {0, count // 2, count - 1}:
        path, leaf = tree.path(index), tree.levels[0][index]
        for place, size in {
            (index, count),
            (index + 1, count),
            (index ^ 1, count),
            (index, count + 1),
            (0, 1),
        }:
            mirrored = verify_path(tree.root, leaf, path, place, size)
            assert libraries.ask("merkle", path, tree.root, leaf, place, size) is mirrored
            assert mirrored or (place, size) != (index, count)
        assert libraries.ask("merkle", path, tree.root, token_ids_hash([99]), index, count) is False
        assert libraries.ask("merkle", [*path, leaf], tree.root, leaf, index, count) is False


@given(st.integers(1, 40), st.data())
def test_every_leaf_has_a_path(count: int, data: st.DataObject) -> None:
    tree = MerkleTree([token_ids_hash([index]) for index in range(count)])
    index = data.draw(st.integers(0, count - 1))
    assert verify_path(tree.root, tree.levels[0][index], tree.path(index), index, count)


def test_the_leaf_of_a_response(contracts: ProtocolContracts) -> None:
    chain_id, ledger = contracts.chain.chain_id, contracts.ledger.address
    mine = response_leaf(chain_id, ledger, _PROVIDER, b"\1" * 32, b"\2" * 32, 3, _FIELDS)
    assert mine == contracts.ledger.response_leaf(_PROVIDER, b"\1" * 32, b"\2" * 32, 3, _FIELDS)
    for name, value in [("prompt_length", 4), ("fee_wei", 0), ("output_hash", b"\3" * 32)]:
        changed = replace(_FIELDS, **{name: value})
        assert mine != response_leaf(chain_id, ledger, _PROVIDER, b"\1" * 32, b"\2" * 32, 3, changed)


def test_the_id_of_a_model(contracts: ProtocolContracts) -> None:
    digests = [bytes([value]) * 32 for value in range(1, 11)]
    spec = ModelSpec(*digests[:5], 4, 259, 2048, *digests[5:])
    assert spec.model_id == contracts.registry.model_id_of(spec)


def test_receipts_signed_by_a_keystore_and_by_a_node(
    contracts: ProtocolContracts, local_chain: LocalChain
) -> None:
    chain_id, receipts = contracts.chain.chain_id, contracts.receipts.address
    path = local_chain.directory / "key.json"
    address = create_keystore(path, "a password")
    unlocked = UnlockedSigner(contracts.chain, contracts.chain.unlocked_accounts()[3])
    issued_at = contracts.chain.head().timestamp
    for signer in (KeystoreSigner(path, "a password"), unlocked):
        receipt = Receipt.of(signer.address, b"\1" * 32, b"\2" * 32, 0, _FIELDS, issued_at, issued_at + 60)
        assert receipt_id(receipt, chain_id, receipts) == contracts.receipts.receipt_digest(receipt)
        signature = sign_receipt(signer, receipt, chain_id, receipts)
        assert receipt_signer(receipt, signature, chain_id, receipts) == signer.address
    # The contract accepts it too, from the second on in which the key is registered.
    owner = local_chain.sender(3)
    owner.send(contracts.stake.register_signer(unlocked.address, 1), key="a key for receipts")
    registered_at = contracts.stake.receipt_signer(unlocked.address, unlocked.address).registered_at
    for early in (0, 1):
        receipt = Receipt.of(
            unlocked.address, b"\1" * 32, b"\2" * 32, 0, _FIELDS, registered_at - early, registered_at
        )
        signature = sign_receipt(unlocked, receipt, chain_id, receipts)
        if early:
            with pytest.raises(ContractError, match="SignerNotValid"):
                contracts.receipts.checked_receipt_id(receipt, signature)
        else:
            identity = contracts.receipts.checked_receipt_id(receipt, signature)
            assert identity == receipt_id(receipt, chain_id, receipts)
            with pytest.raises(
                ContractError, match="NotRefundable"
            ):  # it only says that its time has not passed
                contracts.receipts.unhonoured(receipt, signature)
    assert address == KeystoreSigner(path, "a password").address


def test_vouchers_signed_by_a_keystore_and_by_a_node(
    contracts: ProtocolContracts, local_chain: LocalChain
) -> None:
    payments = contracts.payments
    domain = contracts.chain.chain_id, payments.address
    path = local_chain.directory / "payer.json"
    create_keystore(path, "a password")
    unlocked = UnlockedSigner(contracts.chain, contracts.chain.unlocked_accounts()[3])
    for signer in (KeystoreSigner(path, "a password"), unlocked):
        voucher = Voucher(signer.address, _PROVIDER, "0x" + 40 * "0", 5)
        assert voucher_digest(voucher, *domain) == payments.voucher_digest(voucher)
        signature = sign_voucher(signer, voucher, *domain)
        assert payments.is_signed(voucher, signature)
        assert not payments.is_signed(replace(voucher, cumulative=6), signature)
    sender = local_chain.sender(3)
    sender.send(payments.deposit(_PROVIDER, voucher.token, 3), key="deposit")
    sender.send(payments.redeem([(voucher, signature)]), key="redeem")
    channel = payments.channel(voucher.payer, _PROVIDER)
    assert (channel.redeemed, channel.balance, channel.held_recent) == (3, 0, 3)
