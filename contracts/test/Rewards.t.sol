// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Outcome, Reason} from "../src/interfaces/IDisputeGame.sol";
import {IInferenceLedger, ResponseStatus} from "../src/interfaces/IInferenceLedger.sol";
import {IOpenings, RewardPot} from "../src/interfaces/IOpenings.sol";
import {Scenario} from "./Scenario.sol";

/// @notice Whoever's game was decisive, every one that was open is paid the same; most of the lock is burned.
contract RewardsTest is Scenario {
    function total(address who) private view returns (uint256) {
        return who.balance + stake.credits(who);
    }

    function pot() private view returns (uint256) {
        return p.maxGamesPerResponse * p.gameReward;
    }

    function concedeTo(uint256 gameId) private {
        vm.prank(provider);
        game.concede(gameId, aboutOf(gameId));
    }

    function joinAs(address who, bytes32 secret) private {
        vm.prank(who);
        ledger.join(batchId, TARGET, secret);
    }

    function closeLater() private {
        vm.warp(uint256(ledger.rewardPot(batchId, TARGET).joinDeadline) + 1);
        ledger.closeRewards(batchId, TARGET);
    }

    function test_three_fifths_are_burned_at_once_and_the_rest_unless_claimed() external {
        uint256 gameId = open();
        uint256 staked = stake.totalStake();
        concedeTo(gameId);
        vm.assertEq(staked - stake.totalStake(), p.lockPerResponse + p.providerBond);
        vm.assertEq(stake.totalBurned(), p.providerBond + p.lockPerResponse - pot());
        vm.assertGe(stake.totalBurned(), p.providerBond + 3 * p.lockPerResponse / 5);
        vm.assertEq(stake.escrowOf(address(ledger)), pot() - p.gameReward);
        RewardPot memory left = ledger.rewardPot(batchId, TARGET);
        vm.assertEq(left.placesLeft, p.maxGamesPerResponse - 1);
        vm.assertEq(left.voidBlock, block.number);
        closeLater();
        vm.assertEq(stake.totalBurned(), p.providerBond + p.lockPerResponse - p.gameReward);
        vm.assertEq(stake.escrowOf(address(ledger)), 0);
        vm.expectPartialRevert(IOpenings.NoRewardLeft.selector);
        ledger.closeRewards(batchId, TARGET);
        expectSolvent();
    }

    /// @dev The provider concedes to a friend before the honest challenger wins. The challenger is paid all the same, and
    ///      the friend one reward: with all the other places a friend's, at most (max - 1) / max of two fifths are saved.
    function test_attack_conceding_to_a_friend_first() external {
        uint256 honest = open();
        uint256 bond = game.game(honest).bond;
        uint256[] memory friends = new uint256[](p.maxGamesPerResponse - 1);
        for (uint256 i = 0; i < friends.length; ++i) {
            friends[i] = openAs(copycat);
        }
        concedeTo(friends[0]);
        for (uint256 i = 1; i < friends.length; ++i) {
            game.resolveVoid(friends[i]);
        }
        game.resolveVoid(honest);
        vm.assertEq(stake.credits(challenger), bond + p.gameReward);
        uint256 saved = total(copycat) - 1000 ether;
        vm.assertEq(saved, pot() - p.gameReward);
        vm.assertEq(saved, 0.35 ether); // 7 / 8 of 40 % of a lock of 1 ether
        vm.assertEq(stake.totalBurned(), p.providerBond + 0.6 ether);
        vm.assertEq(stake.escrowOf(address(ledger)), 0);
        expectStatus(ResponseStatus.Void);
        expectSolvent();
    }

    /// @dev Friends had all places before anybody else came: the outsider loses its gas, the provider three fifths.
    function test_attack_friends_that_fill_all_places_save_two_fifths() external {
        uint256[] memory friends = new uint256[](p.maxGamesPerResponse);
        for (uint256 i = 0; i < friends.length; ++i) {
            friends[i] = openAs(copycat);
        }
        bytes32 secret = readyAs(challenger);
        concedeTo(friends[0]);
        for (uint256 i = 1; i < friends.length; ++i) {
            game.resolveVoid(friends[i]);
        }
        vm.prank(challenger);
        vm.expectPartialRevert(IOpenings.NoRewardLeft.selector);
        ledger.join(batchId, TARGET, secret);
        vm.assertEq(total(copycat) - 1000 ether, 0.4 ether);
        vm.assertEq(total(challenger), 1000 ether);
        vm.assertEq(stake.totalBurned(), p.providerBond + 0.6 ether);
        expectSolvent();
    }

    /// @dev The opening was committed; then, before it is mined, the provider concedes to a friend.
    function test_attack_conceding_while_an_opening_is_on_its_way() external {
        uint256 friends = openAs(copycat);
        bytes32 secret = readyAs(challenger);
        concedeTo(friends);
        bytes32[] memory path = batchPath();
        vm.prank(challenger);
        vm.expectPartialRevert(IInferenceLedger.ResponseIsVoid.selector);
        game.open{value: p.challengerBond}(batchId, TARGET, response.fields, path, secret);
        joinAs(challenger, secret);
        vm.assertEq(total(challenger), 1000 ether + p.gameReward); // no bond was needed
        expectSolvent();
    }

    /// @dev Friends' openings wait as well, and join in the provider's own transaction: as if they had had all places.
    function test_attack_friends_whose_openings_wait_join_first() external {
        uint256 friends = openAs(copycat);
        bytes32[] memory secrets = new bytes32[](p.maxGamesPerResponse - 1);
        for (uint256 i = 0; i < secrets.length; ++i) {
            secrets[i] = commitAs(copycat);
        }
        bytes32 honest = readyAs(challenger);
        concedeTo(friends);
        for (uint256 i = 0; i < secrets.length; ++i) {
            joinAs(copycat, secrets[i]);
        }
        vm.prank(challenger);
        vm.expectPartialRevert(IOpenings.NoRewardLeft.selector);
        ledger.join(batchId, TARGET, honest);
        vm.assertEq(total(copycat) - 1000 ether, 0.4 ether);
        vm.assertEq(total(challenger), 1000 ether);
        expectStatus(ResponseStatus.Void);
        expectSolvent();
    }

    /// @dev A game that is open is another matter: whoever joins, its place is kept.
    function test_attack_no_number_of_joins_takes_the_place_of_an_open_game() external {
        uint256 friends = openAs(copycat);
        uint256 honest = open();
        bytes32[] memory secrets = new bytes32[](p.maxGamesPerResponse - 1);
        for (uint256 i = 0; i < secrets.length; ++i) {
            secrets[i] = readyAs(copycat);
        }
        concedeTo(friends);
        for (uint256 i = 0; i < secrets.length - 1; ++i) {
            joinAs(copycat, secrets[i]);
        }
        vm.prank(copycat);
        vm.expectPartialRevert(IOpenings.NoRewardLeft.selector);
        ledger.join(batchId, TARGET, secrets[secrets.length - 1]);
        game.resolveVoid(honest);
        vm.assertEq(stake.credits(challenger), game.game(honest).bond + p.gameReward);
        vm.assertEq(total(copycat) - 1000 ether, 0.35 ether);
    }

    function test_attack_joining_with_a_late_commitment() external {
        uint256 gameId = open();
        bytes32 sameBlock = commitAs(copycat);
        concedeTo(gameId);
        vm.prank(copycat);
        vm.expectRevert(
            abi.encodeWithSelector(IOpenings.OpeningCommittedLate.selector, block.number, block.number)
        );
        ledger.join(batchId, TARGET, sameBlock);
        bytes32 later = readyAs(stranger);
        vm.prank(stranger);
        vm.expectPartialRevert(IOpenings.OpeningCommittedLate.selector);
        ledger.join(batchId, TARGET, later);
        vm.prank(stranger);
        vm.expectPartialRevert(IOpenings.OpeningNotCommitted.selector);
        ledger.join(batchId, TARGET, sameBlock); // another's
    }

    function test_attack_joining_twice_from_one_commitment() external {
        uint256 gameId = open();
        bytes32 secret = readyAs(copycat);
        concedeTo(gameId);
        joinAs(copycat, secret);
        vm.prank(copycat);
        vm.expectPartialRevert(IOpenings.OpeningNotCommitted.selector);
        ledger.join(batchId, TARGET, secret);
        // Committed again it is a new commitment, and too late.
        bytes32 commitment = ledger.openingCommitment(copycat, batchId, TARGET, secret);
        ledger.commitOpening(commitment);
        vm.roll(block.number + 1);
        vm.prank(copycat);
        vm.expectPartialRevert(IOpenings.OpeningCommittedLate.selector);
        ledger.join(batchId, TARGET, secret);
        vm.assertEq(stake.credits(copycat), p.gameReward);
    }

    /// @dev The opening that a game used does not join as well.
    function test_attack_joining_with_the_opening_of_a_game() external {
        bytes32 secret = readyAs(challenger);
        bytes32[] memory path = batchPath();
        vm.prank(challenger);
        uint256 gameId = game.open{value: p.challengerBond}(batchId, TARGET, response.fields, path, secret);
        concedeTo(gameId);
        vm.prank(challenger);
        vm.expectPartialRevert(IOpenings.OpeningNotCommitted.selector);
        ledger.join(batchId, TARGET, secret);
    }

    /// @dev Any number of commitments, one rewards' worth of places: games that are open have theirs kept.
    function test_attack_drawing_more_from_the_pot_than_it_holds() external {
        uint256 gameId = open();
        uint256 kept = openAs(stranger);
        uint256 keptBond = game.game(kept).bond;
        bytes32[] memory secrets = new bytes32[](p.maxGamesPerResponse + 2);
        for (uint256 i = 0; i < secrets.length; ++i) {
            secrets[i] = readyAs(copycat);
        }
        concedeTo(gameId);
        for (uint256 i = 0; i < secrets.length; ++i) {
            vm.prank(copycat);
            if (i >= p.maxGamesPerResponse - 2) vm.expectPartialRevert(IOpenings.NoRewardLeft.selector);
            ledger.join(batchId, TARGET, secrets[i]);
        }
        vm.assertEq(stake.credits(copycat), pot() - 2 * p.gameReward);
        vm.warp(block.timestamp + 365 days); // however late
        vm.expectPartialRevert(IOpenings.NoRewardLeft.selector);
        ledger.closeRewards(batchId, TARGET);
        game.resolveVoid(kept);
        vm.assertEq(stake.credits(stranger), keptBond + p.gameReward);
        vm.assertEq(stake.escrowOf(address(ledger)), 0);
        expectSolvent();
    }

    function test_the_place_of_an_open_game_is_kept_when_the_rest_was_closed() external {
        uint256 gameId = open();
        uint256 second = openAs(copycat);
        concedeTo(gameId);
        closeLater();
        vm.assertEq(stake.escrowOf(address(ledger)), p.gameReward);
        game.resolveVoid(second);
        expectOutcome(second, Outcome.ResponseVoided, Reason.VoidedElsewhere);
        vm.assertEq(stake.escrowOf(address(ledger)), 0);
        expectSolvent();
    }

    function test_nothing_can_be_joined_or_closed_before_the_response_is_void() external {
        bytes32 secret = readyAs(challenger);
        vm.prank(challenger);
        vm.expectPartialRevert(IOpenings.NothingToJoin.selector);
        ledger.join(batchId, TARGET, secret);
        vm.expectPartialRevert(IOpenings.NothingToJoin.selector);
        ledger.closeRewards(batchId, TARGET);
    }

    function test_attack_a_provider_that_joins_its_own_loss() external {
        uint256 gameId = open();
        bytes32 secret = readyAs(provider);
        concedeTo(gameId);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.ProviderCannotChallenge.selector, provider));
        ledger.join(batchId, TARGET, secret);
    }

    // --- who asked

    function askAs(address who) private {
        vm.prank(who);
        ledger.ask{value: p.askPrice}(batchId, TARGET);
    }

    /// @dev Who asked has a place of its own: games cannot take it.
    function test_attack_filling_the_house_to_cheat_who_asked() external {
        askAs(stranger);
        for (uint256 i = 1; i < p.maxGamesPerResponse; ++i) {
            openAs(copycat);
        }
        bytes32[] memory path = batchPath();
        bytes32 secret = readyAs(copycat);
        uint256 bond = ledger.bondFor(provider);
        vm.prank(copycat);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.TooManyGames.selector, p.maxGamesPerResponse));
        game.open{value: bond}(batchId, TARGET, response.fields, path, secret);
        vm.warp(uint256(ledger.response(batchId, TARGET).showDeadline) + 1);
        ledger.claimNotShown(batchId, TARGET);
        vm.assertEq(stake.credits(stranger), p.askPrice + p.gameReward);
        for (uint256 gameId = 1; gameId < p.maxGamesPerResponse; ++gameId) {
            game.resolveVoid(gameId);
        }
        vm.assertEq(stake.escrowOf(address(ledger)), 0);
        vm.assertEq(stake.totalBurned(), p.providerBond + p.lockPerResponse - pot());
        expectSolvent();
    }

    /// @dev Asked for when all places were taken: the price comes back, and nothing more is promised or paid.
    function test_who_asks_at_a_full_house_gets_the_price_back_alone() external {
        for (uint256 i = 0; i < p.maxGamesPerResponse; ++i) {
            openAs(copycat);
        }
        askAs(stranger);
        vm.warp(uint256(ledger.response(batchId, TARGET).showDeadline) + 1);
        ledger.claimNotShown(batchId, TARGET);
        vm.assertEq(stake.credits(stranger), p.askPrice);
        for (uint256 gameId = 1; gameId <= p.maxGamesPerResponse; ++gameId) {
            game.resolveVoid(gameId);
        }
        vm.assertEq(stake.escrowOf(address(ledger)), 0);
        expectSolvent();
    }

    /// @dev Unless a place has come free by then: nobody else can have it while somebody waits.
    function test_who_asked_at_a_full_house_takes_the_first_place_that_comes_free() external {
        for (uint256 i = 0; i < p.maxGamesPerResponse; ++i) {
            openAs(copycat);
        }
        askAs(stranger);
        vm.prank(copycat);
        game.concede(1, aboutOf(1));
        vm.warp(uint256(ledger.response(batchId, TARGET).showDeadline) + 1);
        ledger.claimNotShown(batchId, TARGET);
        vm.assertEq(stake.credits(stranger), p.askPrice + p.gameReward);
        expectSolvent();
    }

    /// @dev The pot holds for every number of games, with and without somebody who asked, and every number of joins.
    function testFuzz_the_pot_is_used_up_to_the_wei(uint256 games, bool isAsked, uint256 joins) external {
        games = 1 + games % p.maxGamesPerResponse;
        joins = joins % (p.maxGamesPerResponse + 2);
        if (isAsked && games < p.maxGamesPerResponse) askAs(stranger);
        else isAsked = false;
        for (uint256 i = 0; i < games; ++i) {
            openAs(copycat);
        }
        bytes32[] memory secrets = new bytes32[](joins);
        for (uint256 i = 0; i < joins; ++i) {
            secrets[i] = readyAs(challenger);
        }
        concedeTo(1);
        uint256 places = p.maxGamesPerResponse - games - (isAsked ? 1 : 0);
        for (uint256 i = 0; i < joins; ++i) {
            vm.prank(challenger);
            if (i >= places) vm.expectPartialRevert(IOpenings.NoRewardLeft.selector);
            ledger.join(batchId, TARGET, secrets[i]);
        }
        uint256 joined = joins < places ? joins : places;
        if (joined < places) closeLater();
        for (uint256 i = 2; i <= games; ++i) {
            game.resolveVoid(i);
        }
        vm.assertEq(stake.credits(challenger), joined * p.gameReward);
        vm.assertEq(stake.escrowOf(address(ledger)) + stake.escrowOf(address(game)), 0);
        vm.assertEq(
            stake.totalBurned(), p.providerBond + p.lockPerResponse - pot() + (places - joined) * p.gameReward
        );
        expectSolvent();
    }
}
