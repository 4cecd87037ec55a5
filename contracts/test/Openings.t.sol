// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Outcome, Reason} from "../src/interfaces/IDisputeGame.sol";
import {ResponseStatus} from "../src/interfaces/IInferenceLedger.sol";
import {IOpenings} from "../src/interfaces/IOpenings.sol";
import {Scenario} from "./Scenario.sol";

/// @notice Openings are committed a block before they are revealed.
contract OpeningsTest is Scenario {
    function tryToOpen(address who, bytes32 secret, bytes4 refusal) private {
        bytes32[] memory path = batchPath();
        uint256 bond = ledger.bondFor(provider);
        vm.prank(who);
        vm.expectPartialRevert(refusal);
        game.open{value: bond}(batchId, TARGET, response.fields, path, secret);
    }

    function test_an_opening_works_from_the_block_after_its_commitment_on_and_once() external {
        tryToOpen(challenger, bytes32("never"), IOpenings.OpeningNotCommitted.selector);
        bytes32 secret = commitAs(challenger);
        bytes32 commitment = ledger.openingCommitment(challenger, batchId, TARGET, secret);
        vm.assertEq(ledger.openingBlock(commitment), block.number);
        tryToOpen(challenger, secret, IOpenings.OpeningCommittedLate.selector);
        vm.roll(block.number + 1);
        bytes32[] memory path = batchPath();
        vm.prank(challenger);
        game.open{value: p.challengerBond}(batchId, TARGET, response.fields, path, secret);
        vm.assertEq(ledger.openingBlock(commitment), 0);
        tryToOpen(challenger, secret, IOpenings.OpeningNotCommitted.selector);
    }

    function test_the_commitment_binds_chain_ledger_challenger_place_and_secret() external view {
        bytes memory all =
            abi.encode(block.chainid, address(ledger), challenger, uint256(3), uint256(5), bytes32("secret"));
        vm.assertEq(ledger.openingCommitment(challenger, 3, 5, "secret"), keccak256(all));
    }

    /// @dev Whoever sends the same commitment, before or after, changes nothing for its owner.
    function test_attack_committing_again_or_in_front_neither_renews_nor_blocks() external {
        bytes32 commitment = ledger.openingCommitment(challenger, batchId, TARGET, "mine");
        vm.prank(copycat);
        ledger.commitOpening(commitment);
        uint256 first = block.number;
        vm.roll(first + 5);
        vm.prank(challenger);
        ledger.commitOpening(commitment);
        vm.assertEq(ledger.openingBlock(commitment), first);
        bytes32[] memory path = batchPath();
        vm.prank(challenger);
        game.open{value: p.challengerBond}(batchId, TARGET, response.fields, path, "mine");
    }

    /// @dev A leaf that loses at once: whoever sees the opening in the mempool cannot be there in the same block, and is
    ///      too late in the next one.
    function test_attack_copying_an_opening_from_the_mempool() external {
        response.fields.samplingHash = keccak256("beam");
        batchId = post(response, "malformed");
        bytes32 secret = readyAs(challenger);
        // The copycat reads it all, secret included, and is in front of it in its block.
        tryToOpen(copycat, secret, IOpenings.OpeningNotCommitted.selector);
        bytes32 late = commitAs(copycat);
        tryToOpen(copycat, late, IOpenings.OpeningCommittedLate.selector);
        bytes32[] memory path = batchPath();
        vm.prank(challenger);
        uint256 gameId = game.open{value: p.challengerBond}(batchId, TARGET, response.fields, path, secret);
        expectOutcome(gameId, Outcome.ChallengerWon, Reason.Malformed);
        expectStatus(ResponseStatus.Void);
        vm.roll(block.number + 1);
        vm.prank(copycat);
        vm.expectPartialRevert(IOpenings.OpeningCommittedLate.selector);
        ledger.join(batchId, TARGET, late);
        vm.assertEq(stake.credits(challenger), p.challengerBond + p.gameReward);
        vm.assertEq(stake.credits(copycat), 0);
    }

    /// @dev A commitment for one place is none for another, nor another's.
    function test_attack_using_a_commitment_for_another_place() external {
        bytes32 secret = readyAs(challenger);
        uint256 first = batchId;
        batchId = post(response, "another batch");
        tryToOpen(challenger, secret, IOpenings.OpeningNotCommitted.selector);
        batchId = first;
        batchLeaves = leavesOf(response, SALT);
        tryToOpen(stranger, secret, IOpenings.OpeningNotCommitted.selector);
    }
}
