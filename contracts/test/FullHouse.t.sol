// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDisputeGame, Outcome, Reason} from "../src/interfaces/IDisputeGame.sol";
import {ResponseStatus} from "../src/interfaces/IInferenceLedger.sol";
import {IOpenings} from "../src/interfaces/IOpenings.sol";
import {Scenario} from "./Scenario.sol";

/// @notice Places that a challenger's loss frees, and bonds that rise with load.
contract FullHouseTest is Scenario {
    function fill() private returns (uint256[] memory games) {
        games = new uint256[](p.maxGamesPerResponse);
        for (uint256 i = 0; i < games.length; ++i) {
            games[i] = openAs(copycat);
        }
    }

    function giveUp(uint256 gameId) private {
        vm.prank(copycat);
        game.concede(gameId, aboutOf(gameId));
    }

    function tryToOpen(address who, bytes4 refusal) private {
        bytes32 secret = readyAs(who);
        bytes32[] memory path = batchPath();
        uint256 bond = ledger.bondFor(provider);
        vm.prank(who);
        vm.expectPartialRevert(refusal);
        game.open{value: bond}(batchId, TARGET, response.fields, path, secret);
    }

    /// @dev Friends hold all places and lose one of them: it stays empty for them, too, and then an outsider gets in.
    function test_attack_refilling_a_freed_place_in_one_transaction() external {
        uint256[] memory games = fill();
        bytes32 kept = readyAs(copycat);
        bytes32[] memory path = batchPath();
        uint256 bond = ledger.bondFor(provider);
        vm.startPrank(copycat); // one transaction of a friend's contract
        game.concede(games[0], aboutOf(games[0]));
        uint256 emptyUntil = block.timestamp + p.joinWindow;
        vm.expectRevert(abi.encodeWithSelector(IOpenings.PlaceStaysEmpty.selector, emptyUntil));
        game.open{value: bond}(batchId, TARGET, response.fields, path, kept);
        vm.stopPrank();
        // Losing more frees nothing sooner, nor does it keep the place shut for longer.
        vm.warp(emptyUntil);
        giveUp(games[1]);
        vm.assertEq(ledger.response(batchId, TARGET).emptyUntil, emptyUntil);
        tryToOpen(challenger, IOpenings.PlaceStaysEmpty.selector);
        vm.warp(emptyUntil + 1);
        uint256 outsider = open();
        vm.prank(provider);
        game.concede(outsider, aboutOf(outsider));
        expectOutcome(outsider, Outcome.ChallengerWon, Reason.Conceded);
        expectStatus(ResponseStatus.Void);
        expectSolvent();
    }

    /// @dev However often friends fill the house: for the response to become final a last loss must be followed by a whole
    ///      window in which the place is free, and every round costs them half a bond, with its load.
    function test_attack_refilling_again_and_again_leaves_a_whole_window_at_the_end() external {
        uint256[] memory games = fill();
        uint256 burned = stake.totalBurned();
        for (uint256 round = 0; round < 3; ++round) {
            giveUp(games[0]);
            vm.warp(uint256(ledger.response(batchId, TARGET).emptyUntil) + 1);
            games[0] = openAs(copycat);
        }
        uint256 dearest = p.challengerBond + p.challengerBond * (p.maxGamesPerResponse - 1) / p.bondLoad;
        vm.assertGe(stake.totalBurned() - burned, (p.challengerBond + 2 * dearest) / 2);
        // The last round: all games are given up, and nobody takes the places again.
        for (uint256 i = 0; i < games.length; ++i) {
            giveUp(games[i]);
        }
        uint256 opens = uint256(ledger.response(batchId, TARGET).emptyUntil) + 1;
        uint256 closes = ledger.response(batchId, TARGET).challengeDeadline;
        vm.assertEq(closes, opens - 1 + p.challengeWindow);
        vm.warp(closes);
        open();
    }

    /// @dev Among free places a loss frees nothing special.
    function test_a_loss_in_a_house_that_is_not_full_keeps_nobody_out() external {
        uint256 first = openAs(copycat);
        giveUp(first);
        vm.assertEq(ledger.response(batchId, TARGET).emptyUntil, 0);
        open();
    }

    /// @dev Who asked and waits counts: with it the house is full one game sooner.
    function test_who_asked_and_waits_fills_a_place() external {
        vm.prank(stranger);
        ledger.ask{value: p.askPrice}(batchId, TARGET);
        for (uint256 i = 1; i < p.maxGamesPerResponse; ++i) {
            openAs(copycat);
        }
        giveUp(1);
        vm.assertEq(ledger.response(batchId, TARGET).emptyUntil, block.timestamp + p.joinWindow);
    }

    // --- load

    function test_bonds_rise_with_the_games_open_against_a_provider_and_fall_again() external {
        uint256[] memory games = fill();
        for (uint256 k = 0; k < games.length; ++k) {
            vm.assertEq(game.game(games[k]).bond, p.challengerBond + p.challengerBond * k / p.bondLoad);
        }
        // Over all its responses.
        uint256 k = games.length;
        vm.assertEq(ledger.bondFor(provider), p.challengerBond + p.challengerBond * k / p.bondLoad);
        batchId = post(response, "another");
        uint256 elsewhere = open();
        vm.assertEq(game.game(elsewhere).bond, p.challengerBond + p.challengerBond * k / p.bondLoad);
        vm.assertEq(ledger.openGamesOf(provider), k + 1);
        vm.assertEq(ledger.bondFor(stranger), p.challengerBond); // another provider's
        giveUp(games[0]);
        vm.assertEq(ledger.openGamesOf(provider), k);
        // Games that a void response made moot weigh no more, resolved or not.
        vm.prank(provider);
        game.concede(games[1], aboutOf(games[1]));
        vm.assertEq(ledger.openGamesOf(provider), 1);
        for (uint256 i = 2; i < games.length; ++i) {
            game.resolveVoid(games[i]);
        }
        vm.assertEq(ledger.openGamesOf(provider), 1);
        vm.assertEq(stake.escrowOf(address(game)), game.game(elsewhere).bond);
        expectSolvent();
    }

    /// @dev Two openers of one block both send what the bond was before: the second is refused, unless it sent a little more.
    function test_an_allowance_wins_the_race_for_the_next_bond() external {
        bytes32 second = commitAs(stranger);
        uint256 due = ledger.bondFor(provider);
        open();
        bytes32[] memory path = batchPath();
        uint256 dearer = ledger.bondFor(provider);
        vm.startPrank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongBond.selector, due, dearer));
        game.open{value: due}(batchId, TARGET, response.fields, path, second);
        game.open{value: due + due / 4}(batchId, TARGET, response.fields, path, second);
        vm.stopPrank();
        vm.assertEq(stake.credits(stranger), due + due / 4 - dearer);
    }

    /// @dev k games cost more than k bonds: what drowning a provider burns grows with the square.
    function test_attack_drowning_a_provider_costs_more_with_every_game() external {
        uint256 games = 0;
        uint256 sum = 0;
        for (uint256 batch = 0; batch < 4; ++batch) {
            batchId = post(response, keccak256(abi.encode("drown", batch)));
            for (uint256 i = 0; i < p.maxGamesPerResponse; ++i) {
                sum += ledger.bondFor(provider);
                openAs(copycat);
                games++;
            }
        }
        uint256 flat = games * p.challengerBond;
        uint256 rising = p.challengerBond * (games * (games - 1) / 2) / p.bondLoad;
        vm.assertEq(sum, flat + rising); // 32 games: 16 + 15.5 bonds' worth of ether
        vm.assertEq(stake.escrowOf(address(game)), sum);
        uint256 before = stake.credits(provider);
        for (uint256 id = 1; id <= games; ++id) {
            giveUp(id);
        }
        vm.assertEq(stake.credits(provider) - before, sum / 2);
        vm.assertEq(stake.totalBurned(), sum / 2);
        vm.assertEq(ledger.bondFor(provider), p.challengerBond);
        expectSolvent();
    }
}
