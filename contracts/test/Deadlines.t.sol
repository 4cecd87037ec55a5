// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDisputeGame, Phase} from "../src/interfaces/IDisputeGame.sol";
import {IInferenceLedger} from "../src/interfaces/IInferenceLedger.sol";
import {IOpenings} from "../src/interfaces/IOpenings.sol";
import {IProviderStake} from "../src/interfaces/IProviderStake.sol";
import {IReceipts, Receipt, ReceiptStatus} from "../src/interfaces/IReceipts.sol";
import {Parameters, ProtocolParameters} from "../src/libraries/Parameters.sol";
import {Merkle} from "./Merkle.sol";
import {Scenario} from "./Scenario.sol";
import {Groups} from "./Groups.sol";

/// @notice Every deadline of the contracts at t - 1, t and t + 1.
contract DeadlinesTest is Scenario {
    /// @dev Whether a call is allowed one second before, at and one second after a time.
    struct Allowed {
        bool before;
        bool at;
        bool afterwards;
    }

    function _untilAndAt() private pure returns (Allowed memory) {
        return Allowed(true, true, false);
    }

    function _afterOnly() private pure returns (Allowed memory) {
        return Allowed(false, false, true);
    }

    function _always() private pure returns (Allowed memory) {
        return Allowed(true, true, true);
    }

    /// @dev Makes the call at the three times, each from the present state.
    function check(
        address caller,
        address target,
        uint256 value,
        bytes memory data,
        uint256 time,
        Allowed memory allowed,
        bytes4 refusal
    ) private {
        bool[3] memory expected = [allowed.before, allowed.at, allowed.afterwards];
        for (uint256 i = 0; i < 3; ++i) {
            uint256 here = vm.snapshotState();
            vm.warp(time - 1 + i);
            vm.prank(caller);
            (bool done, bytes memory why) = target.call{value: value}(data);
            vm.assertTrue(done == expected[i], string.concat("allowed at t", ["-1", "", "+1"][i]));
            if (!done) vm.assertTrue(bytes4(why) == refusal, "the reason of the refusal");
            vm.revertToState(here);
        }
    }

    /// @dev A turn: its move until the deadline, the timeout after it, never both.
    function checkTurn(uint256 gameId, Phase phase, address mover, bytes memory move) private {
        expectPhase(gameId, phase);
        uint256 time = game.game(gameId).deadline;
        check(mover, address(game), 0, move, time, _untilAndAt(), IDisputeGame.TurnOver.selector);
        bytes memory timeout = abi.encodeCall(IDisputeGame.timeout, (gameId));
        check(stranger, address(game), 0, timeout, time, _afterOnly(), IDisputeGame.TurnNotOver.selector);
        // Giving up has no deadline: it only makes the loss sooner.
        bytes memory concede = abi.encodeCall(IDisputeGame.concede, (gameId, aboutOf(gameId)));
        check(mover, address(game), 0, concede, time, _always(), "");
    }

    // --- DisputeGame: the deadline of every turn

    function test_deadline_of_postBoundaries() external {
        uint256 gameId = open();
        bytes memory move =
            abi.encodeCall(IDisputeGame.postBoundaries, (gameId, aboutOf(gameId), dueHashes(gameId, 6, 1)));
        checkTurn(gameId, Phase.AwaitBoundaries, provider, move);
        postBoundaries(gameId, 6, 1);
        challengeStep(gameId, 5);
        move = abi.encodeCall(IDisputeGame.postBoundaries, (gameId, aboutOf(gameId), dueHashes(gameId, 6, 1)));
        checkTurn(gameId, Phase.AwaitBoundaries, provider, move); // the second round
    }

    function test_deadline_of_every_challenge() external {
        uint256 gameId = open();
        postBoundaries(gameId, NEVER, 0);
        bytes[3] memory moves = [
            abi.encodeCall(IDisputeGame.challengePart, (gameId, Groups.ofPart(listOf[gameId], 3), 3, "")),
            abi.encodeCall(IDisputeGame.challengeInput, (gameId, Groups.first(listOf[gameId]), inputClaim())),
            abi.encodeCall(
                IDisputeGame.challengeHead,
                (
                    gameId,
                    Groups.last(listOf[gameId]),
                    response.fields.promptLength - 1,
                    outputToken(0) + 1,
                    response.fields.promptHash,
                    response.outputIds
                )
            )
        ];
        for (uint256 i = 0; i < moves.length; ++i) {
            checkTurn(gameId, Phase.AwaitChallenge, challenger, moves[i]);
        }
    }

    function test_deadline_of_a_challenge_of_one_step() external {
        uint256 gameId = open();
        postBoundaries(gameId, 6, 1);
        challengeStep(gameId, 5);
        postBoundaries(gameId, 6, 1); // of the steps 3, 4 and 5
        bytes memory move = abi.encodeCall(
            IDisputeGame.challengePart, (gameId, Groups.ofPart(listOf[gameId], 2), 2, trueClaim(5, 1))
        );
        checkTurn(gameId, Phase.AwaitChallenge, challenger, move);
    }

    function test_deadline_of_refuteClaim() external {
        uint256 gameId = gameAtRefutation(5, 1);
        bytes memory move = abi.encodeCall(IDisputeGame.refuteClaim, (gameId, agreedStep(5, 1)));
        checkTurn(gameId, Phase.AwaitProof, provider, move);
        gameId = open();
        postBoundaries(gameId, NEVER, 0);
        challengeInput(gameId, inputClaim());
        move = abi.encodeCall(IDisputeGame.refuteClaim, (gameId, agreedInput()));
        checkTurn(gameId, Phase.AwaitProof, provider, move);
    }

    function test_deadline_of_every_proof() external {
        uint256 fresh = vm.snapshotState();
        uint256 gameId = gameAtStepProof(5, 1);
        presetStep(5, 1);
        bytes memory move = abi.encodeCall(IDisputeGame.proveStep, (gameId, stepProof(5, 1), shownOf(gameId)));
        checkTurn(gameId, Phase.AwaitProof, provider, move);
        vm.revertToState(fresh);
        gameId = gameAtEmbeddingProof(2);
        presetEmbedding(2);
        move = abi.encodeCall(IDisputeGame.proveEmbedding, (gameId, embeddingProof(2), shownOf(gameId)));
        checkTurn(gameId, Phase.AwaitProof, provider, move);
        vm.revertToState(fresh);
        uint256 position = response.fields.promptLength - 1;
        gameId = gameAtHeadProof(position, outputToken(0) + 1);
        presetHead(position, outputToken(0), outputToken(0) + 1);
        move = abi.encodeCall(
            IDisputeGame.proveHead, (gameId, headProof(position, outputToken(0), outputToken(0) + 1))
        );
        checkTurn(gameId, Phase.AwaitProof, provider, move);
    }

    function test_deadline_of_claimTruncated_is_the_challengers_own_turn() external {
        response = makeResponse(40, 20, 30);
        batchId = post(response, "cut short");
        uint256 gameId = open();
        bytes memory claim = abi.encodeCall(
            IDisputeGame.claimTruncated, (gameId, response.fields.promptHash, response.outputIds, endTokens())
        );
        uint256 time = game.game(gameId).deadline;
        check(challenger, address(game), 0, claim, time, _always(), ""); // the provider's turn
        postBoundaries(gameId, NEVER, 0);
        checkTurn(gameId, Phase.AwaitChallenge, challenger, claim);
    }

    function test_deadline_of_claimOverrun_is_the_challengers_own_turn() external {
        response = makeResponse(40, 20, 20);
        for (uint256 i = 0; i < 4; ++i) {
            response.outputIds[i] = bytes4(uint32(END_TOKEN))[i];
        }
        response.fields.outputHash = keccak256(response.outputIds);
        batchId = post(response, "runs on");
        uint256 gameId = open();
        bytes memory claim = abi.encodeCall(
            IDisputeGame.claimOverrun,
            (gameId, response.fields.promptHash, response.outputIds, endTokens(), 0)
        );
        uint256 time = game.game(gameId).deadline;
        check(challenger, address(game), 0, claim, time, _always(), ""); // the provider's turn
        postBoundaries(gameId, NEVER, 0);
        checkTurn(gameId, Phase.AwaitChallenge, challenger, claim);
    }

    // --- InferenceLedger

    function test_deadline_of_the_challenge_window() external {
        uint256 time = ledger.batch(batchId).deadline;
        check(
            challenger,
            address(game),
            p.challengerBond,
            openData(readyAs(challenger)),
            time,
            _untilAndAt(),
            windowClosed()
        );
        check(
            stranger,
            address(ledger),
            0,
            abi.encodeCall(IInferenceLedger.finaliseBatch, (batchId)),
            time,
            _afterOnly(),
            IInferenceLedger.ChallengeWindowOpen.selector
        );
    }

    function test_deadline_of_a_challenge_window_that_opened_again() external {
        uint256[] memory games = new uint256[](p.maxGamesPerResponse);
        for (uint256 i = 0; i < games.length; ++i) {
            games[i] = openAs(copycat);
        }
        vm.warp(ledger.batch(batchId).deadline);
        for (uint256 i = 0; i < games.length; ++i) {
            vm.prank(copycat);
            game.concede(games[i], aboutOf(games[i]));
        }
        uint256 time = ledger.response(batchId, TARGET).challengeDeadline;
        vm.assertEq(time, uint256(ledger.batch(batchId).deadline) + p.joinWindow + p.challengeWindow);
        check(
            challenger,
            address(game),
            p.challengerBond,
            openData(readyAs(challenger)),
            time,
            _untilAndAt(),
            windowClosed()
        );
        bytes memory finalise = abi.encodeCall(IInferenceLedger.finaliseResponse, (batchId, TARGET));
        check(stranger, address(ledger), 0, finalise, time, _afterOnly(), notFinal());
    }

    function test_deadline_of_a_place_that_stays_empty() external {
        uint256 first = open();
        for (uint256 i = 1; i < p.maxGamesPerResponse; ++i) {
            openAs(copycat);
        }
        vm.prank(challenger);
        game.concede(first, aboutOf(first));
        uint256 time = ledger.response(batchId, TARGET).emptyUntil;
        vm.assertEq(time, block.timestamp + p.joinWindow);
        bytes memory data = openData(readyAs(stranger));
        uint256 bond = ledger.bondFor(provider);
        check(stranger, address(game), bond, data, time, _afterOnly(), IOpenings.PlaceStaysEmpty.selector);
    }

    function test_deadline_of_joining_a_void_response() external {
        uint256 gameId = open();
        bytes32 secret = readyAs(stranger);
        vm.prank(provider);
        game.concede(gameId, aboutOf(gameId));
        uint256 time = ledger.rewardPot(batchId, TARGET).joinDeadline;
        vm.assertEq(time, block.timestamp + p.joinWindow);
        bytes memory join = abi.encodeCall(IOpenings.join, (batchId, TARGET, secret));
        check(stranger, address(ledger), 0, join, time, _untilAndAt(), IOpenings.JoinWindowClosed.selector);
        bytes memory close = abi.encodeCall(IOpenings.closeRewards, (batchId, TARGET));
        bytes4 stillOpen = IOpenings.JoinWindowOpen.selector;
        check(stranger, address(ledger), 0, close, time, _afterOnly(), stillOpen);
    }

    function test_deadline_of_asking_for_a_response() external {
        uint256 time = ledger.batch(batchId).deadline;
        bytes memory ask = abi.encodeCall(IInferenceLedger.ask, (batchId, TARGET));
        check(challenger, address(ledger), p.askPrice, ask, time, _untilAndAt(), windowClosed());
    }

    function test_deadline_of_showing_a_response() external {
        vm.prank(challenger);
        ledger.ask{value: p.askPrice}(batchId, TARGET);
        uint256 time = ledger.response(batchId, TARGET).showDeadline;
        bytes memory show = abi.encodeCall(
            IInferenceLedger.show,
            (batchId, TARGET, response.fields, batchPath(), response.promptIds, response.outputIds)
        );
        bytes4 closed = IInferenceLedger.ShowWindowClosed.selector;
        check(provider, address(ledger), 0, show, time, _untilAndAt(), closed);
        bytes memory claim = abi.encodeCall(IInferenceLedger.claimNotShown, (batchId, TARGET));
        bytes4 stillOpen = IInferenceLedger.ShowWindowOpen.selector;
        check(stranger, address(ledger), 0, claim, time, _afterOnly(), stillOpen);
    }

    function test_deadline_of_posting() external {
        Receipt memory receipt = makeReceipt(response, "not posted", TARGET);
        bytes memory claim = abi.encodeCall(IReceipts.claimUnposted, (receipt, sign(receipt, PROVIDER_KEY)));
        bytes4 early = IReceipts.PostingDeadlineNotPassed.selector;
        uint256 time = receipt.postingDeadline;
        check(requester, address(receipts), p.receiptClaimBond, claim, time, _afterOnly(), early);
        bytes memory refund = abi.encodeCall(IReceipts.unhonoured, (receipt, sign(receipt, PROVIDER_KEY)));
        bytes4 kept = IReceipts.NotRefundable.selector;
        check(requester, address(receipts), 0, refund, time, _afterOnly(), kept);
        // A batch of that salt is in time at t - 1 and t: then the fee is earned, else it goes back.
        for (uint256 i = 0; i < 3; ++i) {
            uint256 here = vm.snapshotState();
            vm.warp(time - 1 + i);
            batchId = post(response, "not posted");
            vm.warp(uint256(ledger.batch(batchId).deadline) + 1);
            (bool refunded,) = address(receipts).call(refund);
            vm.assertTrue(refunded == (i == 2));
            vm.revertToState(here);
        }
    }

    function test_deadline_of_a_receipt_claim_that_takes_stake() external {
        Receipt memory receipt = makeReceipt(response, "not posted", TARGET);
        bytes memory signature = sign(receipt, PROVIDER_KEY);
        for (uint256 i = 0; i < 3; ++i) {
            uint256 here = vm.snapshotState();
            vm.warp(uint256(receipt.postingDeadline) + p.receiptClaimWindow - 1 + i);
            vm.prank(requester);
            bytes32 id = receipts.claimUnposted{value: p.receiptClaimBond}(receipt, signature);
            vm.assertTrue(receipts.receiptClaim(id).status == ReceiptStatus.Slashed);
            vm.assertEq(receipts.receiptClaim(id).penalty, i < 2 ? p.lockPerResponse : 0);
            vm.revertToState(here);
        }
    }

    function test_deadline_of_an_answer_to_a_receipt_claim() external {
        Receipt memory receipt = makeReceipt(response, SALT, TARGET);
        bytes memory signature = sign(receipt, PROVIDER_KEY);
        vm.warp(uint256(receipt.postingDeadline) + 1);
        vm.prank(requester);
        bytes32 id = receipts.claimUnposted{value: p.receiptClaimBond}(receipt, signature);
        uint256 time = receipts.receiptClaim(id).answerDeadline;
        bytes memory answer = abi.encodeCall(IReceipts.answerClaim, (id, batchPath()));
        bytes4 closed = IReceipts.AnswerWindowClosed.selector;
        check(provider, address(receipts), 0, answer, time, _untilAndAt(), closed);
        bytes memory slash = abi.encodeCall(IReceipts.slashUnposted, (id));
        bytes4 stillOpen = IReceipts.AnswerWindowOpen.selector;
        check(stranger, address(receipts), 0, slash, time, _afterOnly(), stillOpen);
    }

    // --- ProviderStake

    function test_deadline_of_the_exit_delay() external {
        vm.prank(provider);
        stake.requestExit(1 ether);
        uint256 time = stake.account(provider).exitAvailableAt;
        bytes memory complete = abi.encodeCall(IProviderStake.completeExit, ());
        Allowed memory fromThen = Allowed(false, true, true);
        check(provider, address(stake), 0, complete, time, fromThen, IProviderStake.ExitNotReady.selector);
    }

    // --- calls

    function openData(bytes32 secret) private view returns (bytes memory) {
        return abi.encodeCall(IDisputeGame.open, (batchId, TARGET, response.fields, batchPath(), secret));
    }

    function windowClosed() private pure returns (bytes4) {
        return IInferenceLedger.ChallengeWindowClosed.selector;
    }

    function notFinal() private pure returns (bytes4) {
        return IInferenceLedger.ResponseNotFinal.selector;
    }
}

/// @notice The same with days and hours.
contract MainnetDeadlinesTest is DeadlinesTest {
    function _parameters() internal pure override returns (ProtocolParameters memory made) {
        made = Parameters.l2();
        made.arity = 4;
    }
}
