"""Every hash that Python computes is the one that the contracts compute."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.bindings.compiler import Artifact, compile_sources
from contracts.bindings.contract import BoundContract
from contracts.bindings.deployment import ProtocolContracts, deploy_contract
from contracts.bindings.dispute_game import ShownClaim, StepProof, flat_points
from contracts.bindings.errors import ContractError
from contracts.bindings.keys import KeystoreSigner, UnlockedSigner, create_keystore
from contracts.bindings.payments import Voucher, sign_voucher, voucher_digest
from contracts.bindings.receipts import receipt_id, receipt_signer, sign_receipt
from contracts.protocol.audits import boundary_leaf
from contracts.protocol.bisection import boundaries_hash, cuts, list_hash
from contracts.protocol.claims import LEAF_BYTES, claim_hash, leaf
from contracts.protocol.merkle import MerkleTree, verify_path
from contracts.protocol.model import (
    PRIVATE,
    ModelSpec,
    StepKindSpec,
    end_tokens_digest,
    step_key_leaf,
    token_row_leaf,
)
from contracts.protocol.parameters import PRESETS, ProtocolParameters
from contracts.protocol.response import Receipt, ResponseFields, response_leaf
from contracts.protocol.streams import (
    NAMES_WINDOW,
    Point,
    StepAccess,
    Use,
    access_problem,
    boundary_hash,
    pack_streams,
    running_sums,
    stream_root,
    window_commitment,
    window_leaf,
)
from contracts.protocol.token_ids import InvalidTokenIds, pack_token_ids, token_ids_hash, unpack_token_ids
from tests.contracts.local_chain import LocalChain
from tests.contracts.synthetic import generator_multiple

_LIBRARIES = """
pragma solidity ^0.8.28;
import {Bisection} from "contracts/src/libraries/Bisection.sol";
import {Game, ShownClaim, StepProof} from "contracts/src/interfaces/IDisputeGame.sol";
import {StepRules} from "contracts/src/interfaces/IModelRegistry.sol";
import {Boundary} from "contracts/src/libraries/Boundary.sol";
import {Claims} from "contracts/src/libraries/Claims.sol";
import {Curve} from "contracts/src/libraries/Curve.sol";
import {Leaves} from "contracts/src/libraries/Leaves.sol";
import {MerklePath} from "contracts/src/libraries/MerklePath.sol";
import {Parameters, ProtocolParameters} from "contracts/src/libraries/Parameters.sol";
import {Statements} from "contracts/src/libraries/Statements.sol";
import {Streams} from "contracts/src/libraries/Streams.sol";
import {TokenIds} from "contracts/src/libraries/TokenIds.sol";

contract Libraries {
    function cuts(uint256 a, uint256 b, uint256 k) external pure returns (uint256[] memory) {
        return Bisection.cuts(a, b, k);
    }
    function boundary(bytes32[] calldata roots) external pure returns (bytes32) { return Boundary.hash(roots); }
    function list(bytes32[] calldata hashes) external pure returns (bytes32) { return Boundary.listHash(hashes); }
    function listOfOne(bytes32 boundary_) external pure returns (bytes32) { return Boundary.hashOfOne(boundary_); }
    function listOfTwo(bytes32 start, bytes32 end) external pure returns (bytes32) {
        return Boundary.hashOfTwo(start, end);
    }
    function stepKey(uint256 step, uint256 kind, bytes calldata key) external pure returns (bytes32) {
        return Leaves.stepKey(step, kind, keccak256(key));
    }
    function window(uint256 place, uint256 x, uint256 y) external pure returns (bytes32) {
        return Leaves.window(place, x, y);
    }
    function boundaryLeaf(uint256 place, bytes32 hash) external pure returns (bytes32) {
        return Leaves.boundary(place, hash);
    }
    function streamRoot(uint256[] calldata sums) external pure returns (bytes32) { return Streams.root(sums); }
    function areStreams(uint256 streams) external pure returns (bool) { return Streams.areValid(streams); }
    function isAccess(uint256 access, uint256 number) external pure returns (bool) {
        return Streams.isAccess(access, number);
    }
    function namesWindow(uint256 access) external pure returns (bool) {
        return Streams.namesWindow(access);
    }
    function sizes(uint256 streams, uint256 access, uint256 window_) external pure
        returns (uint256, uint256, uint256)
    {
        return Streams.sizes(streams, access, window_);
    }
    function minus(uint256 x, uint256 y, uint256 minusX, uint256 minusY) external view
        returns (uint256, uint256)
    {
        return Curve.minus(x, y, minusX, minusY);
    }

    Game private _game;

    /// The statement about the only step of a model, step 0 of kind 0 with an empty key.
    function statement(
        uint256 streams,
        uint256 access,
        bytes calldata claim,
        StepProof calldata proof,
        ShownClaim calldata shown
    ) external returns (uint256[] memory) {
        _game.boundariesHash = Boundary.hashOfThree(
            Boundary.hash(proof.rootsBefore), Boundary.hash(proof.rootsAfter), Claims.hash(claim)
        );
        (_game.promptLength, _game.outputLength) = (uint16(32 * (claim.length / Claims.LEAF)), 1);
        bytes32 root = Leaves.stepKey(0, 0, keccak256(""));
        return Statements.step(_game, StepRules(root, 1, streams, access, address(0)), proof, shown);
    }
    function claimHash(bytes calldata claim) external pure returns (bytes32) {
        return Claims.hash(claim);
    }
    function claimLeaf(bytes32 posted, uint256[] calldata words) external pure returns (bytes16) {
        return Claims.leaf(posted, words, 0);
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
_FIELDS = ResponseFields.of([1, 2, 70_000], [5, 6], max_tokens=16, fee_wei=10**15)
_PROVIDER = "0x" + "ab" * 20


class Libraries(BoundContract):
    """Solidity's own answers."""

    def ask(self, function: str, *arguments: object, record: type | None = None) -> object:
        return self._read(function, *arguments, record=record)


@pytest.fixture(scope="module")
def libraries(local_chain: LocalChain, contracts: ProtocolContracts) -> Libraries:
    assert contracts.chain.error_decoder is not None  # knows the libraries' errors
    artifact: Artifact = compile_sources({"Libraries.sol": _LIBRARIES})["Libraries"]
    address = deploy_contract(local_chain.sender(9), artifact, key="libraries")
    return Libraries(local_chain.chain, address, artifact)


def test_parameters_are_the_presets_in_solidity(libraries: Libraries) -> None:
    for name, parameters in PRESETS.items():
        assert libraries.ask(name, record=ProtocolParameters) == parameters


@pytest.mark.parametrize(
    ("start", "end", "arity"),
    [
        (0, 91, 10),
        (0, 60, 8),
        (7, 15, 8),
        (0, 4, 8),
        (3, 4, 2),
        (0, 7, 3),
        (0, 90, 128),
        (0, 640, 128),
        (5, 20_005, 100),
    ],
)
def test_cuts(libraries: Libraries, start: int, end: int, arity: int) -> None:
    assert list(libraries.ask("cuts", start, end, arity)) == cuts(start, end, arity)  # type: ignore[call-overload]


def test_leaves_and_boundaries(libraries: Libraries) -> None:
    for windows in range(1, 10):
        sums = [(number, 2**253 + number) for number in range(windows)]
        assert libraries.ask("streamRoot", flat_points(sums)) == stream_root(sums)
    roots = [bytes([number]) * 32 for number in range(4)]
    assert libraries.ask("boundary", roots) == boundary_hash(roots) == boundaries_hash(roots)
    for length in (2, 3, 11, 12, 21, 22, 91, 129):
        posted = [bytes([number]) * 32 for number in range(length)]
        assert libraries.ask("list", posted) == list_hash(posted)
    assert libraries.ask("listOfOne", roots[0]) == boundaries_hash(roots[:1])
    assert libraries.ask("listOfTwo", *roots[:2]) == boundaries_hash(roots[:2])
    assert libraries.ask("window", 7, 5, 6) == window_leaf(7, (5, 6))
    assert libraries.ask("stepKey", 7, 3, b"a step key") == step_key_leaf(7, 3, b"a step key")
    assert libraries.ask("tokenRow", 9, (1, 2), (3, 4)) == token_row_leaf(9, (1, 2), (3, 4))
    assert libraries.ask("boundaryLeaf", 7, roots[1]) == boundary_leaf(7, roots[1])
    assert libraries.ask("digest", [2, 9]) == end_tokens_digest([9, 2])


_WINDOWS = 11
_BITS = st.sampled_from([0, 0, 1, 2, 3, 5])


@st.composite
def _steps(draw: st.DrawFn) -> tuple[StepAccess, int, list[bool]]:
    """A step that a model can have, a window of a response of eleven, and which streams have windows before it."""
    chunk_bits = (0, *draw(st.lists(_BITS, max_size=4)))
    uses = [draw(st.sampled_from([0, 1, 2, 4, 5, 6, 8, 9, 10])) for _ in chunk_bits]
    uses[draw(st.integers(0, len(uses) - 1))] |= Use.WRITES
    word = sum((use & ~Use.RESETS if use & Use.WRITES else use) << (4 * s) for s, use in enumerate(uses))
    word |= NAMES_WINDOW if draw(st.booleans()) else 0
    exists = [True, *(draw(st.booleans()) for _ in chunk_bits[1:])]
    return StepAccess(chunk_bits, word), draw(st.integers(0, _WINDOWS - 1)), exists


@settings(max_examples=40, deadline=None)
@given(step=_steps(), seed=st.integers(1, 1000))
def test_the_statement_of_a_step_is_the_one_that_the_contract_rebuilds(
    libraries: Libraries, step: tuple[StepAccess, int, list[bool]], seed: int
) -> None:
    """Any streams, any access, every window: the same inputs, from the sums and siblings that Python shows."""
    access, window, exists = step
    streams = pack_streams(access.chunk_bits)

    def sums(stream: int, side: int) -> list[Point]:
        factors = [1 + (seed + 7 * w + 31 * stream + 101 * side) % 97 for w in range(_WINDOWS)]
        return running_sums([generator_multiple(f) for f in factors], access.chunk_bits[stream])

    before = [sums(stream, 0) if there else [] for stream, there in enumerate(exists)]
    after = [
        sums(stream, 1)
        if stream in access.written
        else []
        if Use.RESETS in access.use(stream)
        else before[stream]
        for stream in range(len(exists))
    ]
    shown = access.shown_windows(window, before, after)
    proof = StepProof(
        kind=0,
        roots_before=[stream_root(points) for points in before],
        roots_after=[stream_root(points) for points in after],
        key=b"",
        key_path=[],
        sums=flat_points(shown.sums),
        siblings=shown.siblings,
        proof=b"",
    )
    inputs = access.statement_inputs(window, before, after)
    own = inputs[len(inputs) - 2 * len(access.written) :]
    claim = bytes(LEAF_BYTES * _WINDOWS)
    arguments, about = (streams, access.word, claim), ShownClaim.of(claim, window)
    assert list(libraries.ask("statement", *arguments, proof, about)) == inputs  # type: ignore[call-overload]
    posted = boundary_hash(proof.roots_after)
    right = bytes(LEAF_BYTES * window) + leaf(posted, zip(own[::2], own[1::2], strict=True))
    right += bytes(LEAF_BYTES * (_WINDOWS - 1 - window))
    with pytest.raises(ContractError, match=rf"AsClaimed\(.*{window}"):
        libraries.ask("statement", streams, access.word, right, proof, ShownClaim.of(right, window))
    assert libraries.ask("sizes", streams, access.word, window) == (
        len(inputs),
        2 * len(access.written),
        len(shown.sums),
    )
    assert libraries.ask("namesWindow", access.word) is access.names_window
    for wrong in (
        replace(proof, sums=proof.sums[:-2]),
        replace(proof, sums=[*proof.sums, 0, 0]),
        replace(proof, siblings=proof.siblings[:-1]),
        replace(proof, siblings=[*proof.siblings, bytes(32)]),
        replace(proof, sums=[*proof.sums[:-2], 1, 3]),
    ):
        with pytest.raises(ContractError, match=r"WrongSumCount|WrongSiblingCount|WrongWindow"):
            libraries.ask("statement", *arguments, wrong, about)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 100), st.lists(st.integers(1, 50), min_size=1, max_size=4))
def test_claims_are_hashed_the_same_in_both_languages(
    libraries: Libraries, windows: int, factors: list[int]
) -> None:
    """Of one group or several, whole ones and not."""
    points = [generator_multiple(factor) for factor in factors]
    assert libraries.ask("claimLeaf", b"\5" * 32, flat_points(points)) == leaf(b"\5" * 32, points)
    claim = b"".join(leaf(b"", [generator_multiple(window + 1)]) for window in range(windows))
    assert libraries.ask("claimHash", claim) == claim_hash(claim)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**20 - 1), st.integers(1, 4))
def test_what_a_kind_can_do_is_the_same_in_both_languages(
    libraries: Libraries, word: int, count: int
) -> None:
    assert libraries.ask("isAccess", word, count) is (access_problem(word, count) is None)


def test_streams_are_the_same_word_in_both_languages(libraries: Libraries) -> None:
    for chunk_bits in [(0,), (0, 2, 2, 0), (0, *[254] * 14)]:
        assert libraries.ask("areStreams", pack_streams(chunk_bits)) is True
    for word in (0, 2, 0x0100, 0x010001, 1 << 128 | 1, sum(1 << (8 * s) for s in range(16))):
        assert libraries.ask("areStreams", word) is False


def test_points_are_subtracted_as_in_the_precompile(libraries: Libraries) -> None:
    for left, right in [(8, 3), (3, 8), (5, 5)]:
        commitments = [generator_multiple(left), generator_multiple(right)]
        assert libraries.ask("minus", *commitments[0], *commitments[1]) == window_commitment(
            [commitments[1], commitments[0]], 1, 1
        )
    assert libraries.ask("minus", *generator_multiple(5), 0, 0) == generator_multiple(5)
    for off in [(1, 3), (0, 1), (1, 0)]:
        for arguments in ((*off, 1, 2), (1, 2, *off)):
            with pytest.raises(ContractError, match="NotOnCurve"):
                libraries.ask("minus", *arguments)


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
    for name, value in [
        ("prompt_length", 4),
        ("fee_wei", 0),
        ("output_hash", b"\3" * 32),
        ("audit_root", b"\4" * 32),
    ]:
        changed = replace(_FIELDS, **{name: value})
        assert mine != response_leaf(chain_id, ledger, _PROVIDER, b"\1" * 32, b"\2" * 32, 3, changed)


def test_the_id_of_a_model(contracts: ProtocolContracts) -> None:
    digests = [bytes([value]) * 32 for value in range(1, 11)]
    kinds = (StepKindSpec(digests[8], 0x6), StepKindSpec(digests[9], 0x5))
    spec = ModelSpec(
        *digests[:5], 4, 259, 2048, 24, digests[5], pack_streams([0, 2]), kinds, PRIVATE, 3, *digests[6:8]
    )
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
