// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AgreedStep, Outcome, Reason} from "../src/interfaces/IDisputeGame.sol";
import {IProviderStake} from "../src/interfaces/IProviderStake.sol";
import {Receipt} from "../src/interfaces/IReceipts.sol";
import {Curve} from "../src/libraries/Curve.sol";
import {Claimed} from "./Claimed.sol";
import {Merkle} from "./Merkle.sol";
import {Scenario} from "./Scenario.sol";

/// @notice First and last of what is checked one by one, and the exact ends of what is timed.
contract LimitsTest is Scenario {
    /// @dev The base field of BN254, as EIP-197 writes it.
    uint256 private constant Q =
        21888242871839275222246405745257275088696311157297823662689037894645226208583;

    /// @dev A game about an input with this coordinate, as the challenger claims it to be.
    function gameAtCoordinate(uint256 coordinate) private returns (uint256 gameId, AgreedStep memory agreed) {
        gameId = open();
        bytes32[] memory hashes = dueHashes(gameId, NEVER, 0);
        agreed = agreedInput();
        uint256[] memory all = agreed.sums[0];
        all[0] = coordinate;
        agreed.rootsBefore[0] = Merkle.root(leavesOf(all));
        hashes[0] = keccak256(abi.encodePacked(agreed.rootsBefore));
        postHashes(gameId, hashes);
        bytes16[] memory leaves = new bytes16[](windows());
        uint256[] memory point = new uint256[](2);
        for (uint256 w = 0; w < leaves.length; ++w) {
            (point[0], point[1]) = (all[2 * w], all[2 * w + 1]);
            leaves[w] = Claimed.leaf(hashes[0], point);
        }
        agreed.claim = Claimed.join(leaves);
        challengeInput(gameId, agreed.claim);
    }

    function test_the_largest_coordinate_is_accepted() external {
        (uint256 gameId, AgreedStep memory agreed) = gameAtCoordinate(Q - 1);
        refuteClaim(gameId, agreed);
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Refuted);
    }

    function test_the_order_of_the_field_is_no_coordinate() external {
        (uint256 gameId, AgreedStep memory agreed) = gameAtCoordinate(Q);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(Curve.CoordinateOutOfRange.selector, Q));
        game.refuteClaim(gameId, agreed);
    }

    function test_a_claim_on_a_posted_receipt_leaves_time_to_answer() external {
        Receipt memory receipt = makeReceipt(response, SALT, TARGET);
        bytes memory signature = sign(receipt, PROVIDER_KEY);
        vm.warp(receipt.postingDeadline + 1);
        vm.prank(requester);
        bytes32 id = receipts.claimUnposted{value: p.receiptClaimBond}(receipt, signature);
        vm.assertEq(receipts.receiptClaim(id).answerDeadline, block.timestamp + p.receiptAnswerWindow);
    }

    function test_the_vault_takes_contracts_of_any_size_only() external {
        address code = address(0xC0DE);
        vm.etch(code, hex"00");
        IProviderStake fresh = IProviderStake(vm.deployCode("ProviderStake.sol:ProviderStake", abi.encode(p)));
        vm.expectRevert(abi.encodeWithSelector(IProviderStake.NotAContract.selector, stranger));
        fresh.initialise(stranger, code, code, code);
        vm.expectRevert(abi.encodeWithSelector(IProviderStake.NotAContract.selector, stranger));
        fresh.initialise(code, stranger, code, code);
        vm.expectRevert(abi.encodeWithSelector(IProviderStake.NotAContract.selector, stranger));
        fresh.initialise(code, code, stranger, code);
        vm.expectRevert(abi.encodeWithSelector(IProviderStake.NotAContract.selector, stranger));
        fresh.initialise(code, code, code, stranger);
        fresh.initialise(code, code, code, code);
        vm.assertEq(fresh.game(), code);
    }
}
