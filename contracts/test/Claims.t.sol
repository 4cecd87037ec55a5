// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    AgreedStep,
    EmbeddingProof,
    Game,
    IDisputeGame,
    Outcome,
    Phase,
    Reason,
    ShownClaim,
    StepProof,
    Target
} from "../src/interfaces/IDisputeGame.sol";
import {Claims} from "../src/libraries/Claims.sol";
import {Claimed} from "./Claimed.sol";
import {Groups} from "./Groups.sol";
import {LongTraces} from "./LongTraces.sol";
import {Scenario} from "./Scenario.sol";

/// @title What a challenge claims: how long it is, what is kept of it, and what is said of it
contract ClaimsTest is Scenario {
    uint256 private constant _LONGEST = 2 ** 14;

    function hashOf(bytes calldata claim) external pure returns (bytes32) {
        return Claims.hash(claim);
    }

    function leafOf(bytes32 posted, uint256[] calldata words, uint256 from)
        external
        pure
        returns (bytes16 leaf)
    {
        uint256[] memory all = words;
        leaf = Claims.leaf(posted, all, from);
        for (uint256 i = 0; i < words.length; ++i) {
            vm.assertEq(all[i], words[i]); // what lies in front is put back
        }
        vm.assertEq(all.length, words.length);
    }

    function test_the_hash_of_a_claim_is_that_of_its_groups_of_512_bytes(uint16 leaves, bytes32 seed)
        external
        view
    {
        bytes memory claim = new bytes(16 * (1 + uint256(leaves) % 130));
        for (uint256 i = 0; i < claim.length; ++i) {
            claim[i] = bytes1(uint8(uint256(keccak256(abi.encode(seed, i)))));
        }
        vm.assertEq(this.hashOf(claim), Claimed.hash(claim));
    }

    function test_a_leaf_is_half_the_hash_of_what_was_posted_and_the_last_words(
        bytes32 posted,
        uint256[] calldata words,
        uint256 from
    ) external view {
        from %= words.length + 1;
        uint256[] memory last = new uint256[](words.length - from);
        for (uint256 i = 0; i < last.length; ++i) {
            last[i] = words[from + i];
        }
        vm.assertTrue(this.leafOf(posted, words, from) == Claimed.leaf(posted, last));
    }

    /// @dev Numbers that stand here.
    function test_a_known_claim() external view {
        uint256[] memory point = new uint256[](2);
        (point[0], point[1]) = (1, 2);
        bytes16 one = bytes16(0x143c056d5a60c4149d24c23ec9f8b100);
        vm.assertTrue(Claimed.leaf(bytes32(uint256(7)), point) == one);
        bytes memory claim = abi.encodePacked(one);
        vm.assertEq(this.hashOf(claim), keccak256(abi.encodePacked(keccak256(claim))));
        claim = abi.encodePacked(new bytes(512), one); // a group, and a leaf behind it
        vm.assertEq(
            this.hashOf(claim),
            keccak256(abi.encodePacked(keccak256(new bytes(512)), keccak256(abi.encodePacked(one))))
        );
    }

    function test_a_challenge_of_a_step_says_what_it_claims() external {
        uint256 gameId = open();
        postBoundaries(gameId, 6, 1);
        vm.expectEmit(true, true, true, true, address(game));
        emit IDisputeGame.PartChallenged(gameId, 1, 3, 6, listOf[gameId][1], listOf[gameId][2], "");
        challengeStep(gameId, 5);
        vm.assertEq(game.game(gameId).boundariesHash, listHash(listOf[gameId][1], listOf[gameId][2]));
        postBoundaries(gameId, 6, 1);
        bytes memory claim = trueClaim(5, 1);
        (bytes32 start, bytes32 end) = (listOf[gameId][2], listOf[gameId][3]);
        vm.expectEmit(true, true, true, true, address(game));
        emit IDisputeGame.PartChallenged(gameId, 2, 5, 6, start, end, claim);
        challengeStep(gameId, 5, claim);
        Game memory g = game.game(gameId);
        vm.assertTrue(g.phase == Phase.AwaitProof && g.target == Target.Step);
        vm.assertEq(g.boundariesHash, listHash(start, end, Claimed.hash(claim)));
    }

    function test_a_challenge_of_the_input_says_what_it_claims() external {
        uint256 gameId = open();
        postBoundaries(gameId, NEVER, 0);
        bytes memory claim = Claimed.but(inputClaim(), 2);
        bytes32 input = listOf[gameId][0];
        vm.expectEmit(true, true, true, true, address(game));
        emit IDisputeGame.InputChallenged(gameId, input, claim);
        challengeInput(gameId, claim);
        Game memory g = game.game(gameId);
        vm.assertTrue(g.phase == Phase.AwaitProof && g.target == Target.Embedding);
        vm.assertEq(g.boundariesHash, listHash(input, Claimed.hash(claim)));
    }

    function test_a_proof_says_which_window_it_was_about() external {
        uint256 fresh = vm.snapshotState();
        uint256 gameId = gameAtStepProof(5, 2);
        presetStep(5, 2);
        StepProof memory aboutStep = stepProof(5, 2);
        vm.expectEmit(true, true, true, true, address(game));
        emit IDisputeGame.ProofAccepted(gameId, address(verifiers[MLP]), 2);
        proveStep(gameId, aboutStep);
        vm.revertToState(fresh);
        gameId = gameAtEmbeddingProof(2);
        presetEmbedding(2);
        EmbeddingProof memory aboutInput = embeddingProof(2);
        vm.expectEmit(true, true, true, true, address(game));
        emit IDisputeGame.ProofAccepted(gameId, address(embeddingVerifier), 2);
        proveEmbedding(gameId, aboutInput);
        vm.revertToState(fresh);
        uint256 chosen = outputToken(27); // behind position 66, which is in window 2
        gameId = gameAtHeadProof(66, (chosen + 1) % VOCABULARY);
        presetHead(66, chosen, (chosen + 1) % VOCABULARY);
        vm.expectEmit(true, true, true, true, address(game));
        emit IDisputeGame.ProofAccepted(gameId, address(headVerifier), 2);
        proveHead(gameId, headProof(66, chosen, (chosen + 1) % VOCABULARY));
    }

    // --- lengths

    /// @dev A step, and the input, of a response of `length` positions; what is posted is anything.
    function checkLength(uint256 length) private {
        response = makeResponse(length, 1, 1);
        batchId = post(response, bytes32(length));
        uint256 due = 16 * ((length + 31) / 32);
        uint256 ofStep = open();
        while (game.game(ofStep).round < 2) {
            postHashes(ofStep, someHashes(ofStep));
            challengeStep(ofStep, 5, "");
        }
        postHashes(ofStep, someHashes(ofStep));
        uint256 ofInput = openAs(challenger);
        postHashes(ofInput, someHashes(ofInput));
        uint256[8] memory wrong = [0, 1, due - 16, due - 1, due + 1, due + 16, 2 * due, 32 * due];
        for (uint256 i = 0; i < wrong.length; ++i) {
            bytes memory error = abi.encodeWithSelector(IDisputeGame.WrongClaimLength.selector, wrong[i], due);
            vm.prank(challenger);
            vm.expectRevert(error);
            game.challengePart(ofStep, Groups.ofPart(listOf[ofStep], 2), 2, new bytes(wrong[i]));
            vm.prank(challenger);
            vm.expectRevert(error);
            game.challengeInput(ofInput, Groups.first(listOf[ofInput]), new bytes(wrong[i]));
        }
        challengeStep(ofStep, 5, new bytes(due));
        expectPhase(ofStep, Phase.AwaitProof);
        challengeInput(ofInput, new bytes(due));
        expectPhase(ofInput, Phase.AwaitProof);
    }

    function someHashes(uint256 gameId) private view returns (bytes32[] memory hashes) {
        uint256[] memory cuts = cutsOf(gameId);
        hashes = new bytes32[](cuts.length);
        for (uint256 i = 0; i < hashes.length; ++i) {
            hashes[i] = keccak256(abi.encode(cuts[i]));
        }
    }

    function test_attack_a_claim_of_another_length() external {
        spec.maxPositions = _LONGEST;
        modelId = register();
        uint256[9] memory lengths = [uint256(1), 31, 32, 33, 64, 65, 1024, 1025, _LONGEST];
        uint256 fresh = vm.snapshotState();
        for (uint256 i = 0; i < lengths.length; ++i) {
            checkLength(lengths[i]);
            vm.revertToState(fresh);
        }
    }

    function test_attack_a_claim_about_several_steps() external {
        uint256 gameId = open();
        postBoundaries(gameId, 6, 1);
        uint256[4] memory lengths = [uint256(1), 16, 16 * windows(), 48 * windows()];
        for (uint256 i = 0; i < lengths.length; ++i) {
            vm.prank(challenger);
            vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongClaimLength.selector, lengths[i], 0));
            game.challengePart(gameId, Groups.ofPart(listOf[gameId], 1), 1, new bytes(lengths[i]));
        }
        challengeStep(gameId, 5);
        expectPhase(gameId, Phase.AwaitBoundaries);
    }
}

/// @title What a provider may prove against a claim
contract AgainstClaimsTest is Scenario {
    function refuse(uint256 gameId, StepProof memory proof, ShownClaim memory shown, bytes memory error)
        private
    {
        vm.prank(provider);
        vm.expectRevert(error);
        game.proveStep(gameId, proof, shown);
    }

    function refuse(uint256 gameId, EmbeddingProof memory proof, ShownClaim memory shown, bytes memory error)
        private
    {
        vm.prank(provider);
        vm.expectRevert(error);
        game.proveEmbedding(gameId, proof, shown);
    }

    function asClaimed(uint256 window) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IDisputeGame.AsClaimed.selector, window);
    }

    /// @dev The end is wrong in one window, of which there is no proof; of all others there is one.
    function test_attack_a_wrong_end_against_a_right_claim() external {
        uint256 fresh = vm.snapshotState();
        for (uint256 step = 0; step < 6; ++step) {
            for (uint256 wrong = 0; wrong < windows(); ++wrong) {
                uint256 gameId = gameAtStepProof(step, wrong);
                for (uint256 window = 0; window < windows(); ++window) {
                    StepProof memory proof = stepProof(step, window, Lie(step + 1, wrong));
                    bytes memory error = abi.encodeWithSelector(
                        IDisputeGame.ProofRejected.selector, address(verifiers[kindOf(step)])
                    );
                    if (window != wrong) {
                        uint256[] memory inputs = stepInputs(step, window, Lie(step + 1, wrong));
                        verifiers[kindOf(step)].preset(stepKey(step), inputs, PROOF);
                        error = asClaimed(window);
                    }
                    refuse(gameId, proof, shownOf(gameId, window), error);
                }
                AgreedStep memory agreed = agreedStep(step, wrong);
                agreed.claim = claimOf[gameId];
                vm.prank(provider);
                vm.expectRevert(abi.encodeWithSelector(IDisputeGame.NotAsClaimed.selector, wrong));
                game.refuteClaim(gameId, agreed);
                expectLostByTime(gameId);
                vm.revertToState(fresh);
            }
        }
    }

    /// @dev A wrong window of keys is in all later running sums of its chunk, but in no later window.
    function test_attack_a_right_window_behind_a_wrong_one_of_a_placed_stream() external {
        dispute(250, 7); // eight windows: two chunks
        uint256 fresh = vm.snapshotState();
        for (uint256 window = 1; window < windows(); ++window) {
            uint256 gameId = gameAtStepProof(6, 0);
            (uint256 x,) = sum(1, 7, window, Lie(7, 0));
            (uint256 honest,) = sum(1, 7, window, Lie(NEVER, 0));
            vm.assertTrue((x == honest) == (window >= 4), "the sum of the chunk is another one");
            uint256[] memory inputs = stepInputs(6, window, Lie(NEVER, 0));
            verifiers[KEYS_VALUES].preset(stepKey(6), inputs, PROOF);
            StepProof memory proof = stepProof(6, window, Lie(7, 0));
            refuse(gameId, proof, shownOf(gameId, window), asClaimed(window));
            expectLostByTime(gameId);
            vm.revertToState(fresh);
        }
    }

    function test_attack_a_proof_of_a_window_as_claimed() external {
        uint256 gameId = gameAtStepProof(5, 1);
        for (uint256 window = 0; window < windows(); ++window) {
            if (window == 1) continue;
            verifiers[MLP].preset(stepKey(5), stepInputs(5, window, Lie(6, 1)), PROOF);
            refuse(gameId, stepProof(5, window, Lie(6, 1)), shownOf(gameId, window), asClaimed(window));
        }
        presetStep(5, 1);
        proveStep(gameId, stepProof(5, 1));
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
    }

    function test_attack_a_proof_of_a_window_of_the_input_as_claimed() external {
        uint256 gameId = gameAtEmbeddingProof(1);
        for (uint256 window = 0; window < windows(); ++window) {
            if (window == 1) continue;
            presetEmbedding(window);
            refuse(gameId, embeddingProof(window), shownOf(gameId, window), asClaimed(window));
        }
        presetEmbedding(1);
        proveEmbedding(gameId, embeddingProof(1));
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
    }

    /// @dev A false claim about several windows: the provider proves any of them.
    function test_any_window_that_is_another_one_than_claimed_is_proven() external {
        uint256 fresh = vm.snapshotState();
        for (uint256 window = 0; window < windows(); ++window) {
            uint256 gameId = open();
            narrow(gameId, 5, NEVER, Claimed.butAll(stepClaim(5, Lie(NEVER, 0))));
            verifiers[MLP].preset(stepKey(5), stepInputs(5, window, Lie(NEVER, 0)), PROOF);
            StepProof memory proof = stepProof(5, window, Lie(NEVER, 0));
            vm.prank(provider);
            game.proveStep(gameId, proof, shownOf(gameId, window));
            expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
            vm.revertToState(fresh);
        }
    }

    function test_attack_a_proof_against_another_claim() external {
        uint256 gameId = gameAtStepProof(5, 1);
        bytes memory other = Claimed.but(claimOf[gameId], 0);
        StepProof memory proof = stepProof(5, 0, Lie(6, 1));
        verifiers[MLP].preset(stepKey(5), stepInputs(5, 0, Lie(6, 1)), PROOF);
        bytes32 start = keccak256(abi.encodePacked(proof.rootsBefore));
        bytes32 end = keccak256(abi.encodePacked(proof.rootsAfter));
        bytes memory error = abi.encodeWithSelector(
            IDisputeGame.WrongPreimage.selector,
            listHash(start, end, Claimed.hash(other)),
            listHash(start, end, Claimed.hash(claimOf[gameId]))
        );
        refuse(gameId, proof, Claimed.shown(other, 0), error);
        ShownClaim memory shown = shownOf(gameId, 0);
        shown.leaves = other;
        refuse(gameId, proof, shown, abi.encodeWithSelector(IDisputeGame.WrongClaim.selector));
        shown.leaves = "";
        refuse(gameId, proof, shown, abi.encodeWithSelector(IDisputeGame.WrongClaim.selector));
        shown.groups = new bytes32[](0);
        error = abi.encodeWithSelector(
            IDisputeGame.WrongPreimage.selector,
            listHash(start, end, keccak256("")),
            listHash(start, end, Claimed.hash(claimOf[gameId]))
        );
        refuse(gameId, proof, shown, error);
        expectLostByTime(gameId);
    }

    function test_attack_a_proof_of_the_input_against_another_claim() external {
        uint256 gameId = gameAtEmbeddingProof(1);
        bytes memory other = Claimed.but(claimOf[gameId], 0);
        presetEmbedding(0);
        EmbeddingProof memory proof = embeddingProof(0);
        bytes32 input = listOf[gameId][0];
        bytes memory error = abi.encodeWithSelector(
            IDisputeGame.WrongPreimage.selector,
            listHash(input, Claimed.hash(other)),
            listHash(input, Claimed.hash(claimOf[gameId]))
        );
        refuse(gameId, proof, Claimed.shown(other, 0), error);
        ShownClaim memory shown = shownOf(gameId, 0);
        shown.leaves = other;
        refuse(gameId, proof, shown, abi.encodeWithSelector(IDisputeGame.WrongClaim.selector));
    }

    /// @dev The last group has no leaf there, so that zeros would be claimed, which nothing is.
    function test_attack_a_window_beyond_the_last() external {
        uint256 count = windows();
        uint256[4] memory beyond = [count, count + 1, 32, type(uint256).max];
        uint256 ofStep = gameAtStepProof(5, 1);
        StepProof memory aboutStep = stepProof(5, 1);
        presetStep(5, 1);
        uint256 ofInput = gameAtEmbeddingProof(1);
        EmbeddingProof memory aboutInput = embeddingProof(1);
        presetEmbedding(1);
        for (uint256 i = 0; i < beyond.length; ++i) {
            bytes memory error =
                abi.encodeWithSelector(IDisputeGame.WindowOutOfRange.selector, beyond[i], count);
            refuse(ofStep, aboutStep, shownOf(ofStep, beyond[i]), error);
            refuse(ofInput, aboutInput, shownOf(ofInput, beyond[i]), error);
        }
    }
}

/// @title Claims of several groups
contract ManyGroupsTest is LongTraces {
    uint256 private constant STEP = 5;

    function setUp() public override {
        super.setUp();
        spec.maxPositions = 2 ** 12;
        modelId = register();
    }

    /// @dev A response of so many windows.
    function disputeWindows(uint256 count) private {
        response = makeResponse(32 * count, 1, 1);
        batchId = post(response, bytes32(count));
        vm.assertEq(windows(), count);
    }

    function prove(uint256 window) private {
        uint256 gameId = gameAtStepProof(STEP, window);
        presetStep(STEP, window);
        proveStep(gameId, stepProof(STEP, window));
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
    }

    function proveInput(uint256 window) private {
        uint256 gameId = gameAtEmbeddingProof(window);
        presetEmbedding(window);
        proveEmbedding(gameId, embeddingProof(window));
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
    }

    function check(uint256 count) private {
        disputeWindows(count);
        uint256 fresh = vm.snapshotState();
        uint256[4] memory some = [0, count > 31 ? 31 : count - 1, count > 32 ? 32 : 0, count - 1];
        for (uint256 i = 0; i < some.length; ++i) {
            prove(some[i]);
            vm.revertToState(fresh);
            proveInput(some[i]);
            vm.revertToState(fresh);
        }
        uint256 gameId = gameAtRefutation(STEP, count - 1);
        refuteClaim(gameId, agreedStep(STEP, count - 1));
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Refuted);
        vm.revertToState(fresh);
        gameId = gameAtRefutation(6, count - 1); // keys and values
        refuteClaim(gameId, agreedStep(6, count - 1));
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Refuted);
        vm.revertToState(fresh);
    }

    function test_claims_of_31_windows() external {
        check(31);
    }

    function test_claims_of_32_windows() external {
        check(32);
    }

    function test_claims_of_33_windows() external {
        check(33);
    }

    function test_claims_of_64_windows() external {
        check(64);
    }

    function test_claims_of_65_windows() external {
        check(65);
    }

    function refuse(uint256 gameId, StepProof memory proof, ShownClaim memory shown, bytes4 error) private {
        vm.prank(provider);
        vm.expectPartialRevert(error);
        game.proveStep(gameId, proof, shown);
    }

    /// @dev A window as claimed has another leaf at its place in another group.
    function test_attack_another_group_of_the_claim() external {
        disputeWindows(65);
        uint256 gameId = gameAtStepProof(STEP, 3);
        uint256 window = 35; // the same place in the next group
        verifiers[MLP].preset(stepKey(STEP), stepInputs(STEP, window, Lie(STEP + 1, 3)), PROOF);
        StepProof memory proof = stepProof(STEP, window, Lie(STEP + 1, 3));
        ShownClaim memory shown = shownOf(gameId, window);
        refuse(gameId, proof, shown, IDisputeGame.AsClaimed.selector);
        bytes memory claim = claimOf[gameId];
        bytes memory right = shown.leaves;
        for (uint256 number = 0; number < 3; number += 2) {
            shown.leaves = Claimed.group(claim, number);
            refuse(gameId, proof, shown, IDisputeGame.WrongClaim.selector);
        }
        shown.leaves = claim; // all of it
        refuse(gameId, proof, shown, IDisputeGame.WrongClaim.selector);
        // The groups in another order, one of them changed, one left out.
        shown.leaves = Claimed.group(claim, 0);
        (shown.groups[0], shown.groups[1]) = (shown.groups[1], shown.groups[0]);
        refuse(gameId, proof, shown, IDisputeGame.WrongPreimage.selector);
        shown = shownOf(gameId, window);
        shown.leaves = Claimed.but(right, 3);
        refuse(gameId, proof, shown, IDisputeGame.WrongClaim.selector);
        shown.groups[1] = keccak256(shown.leaves);
        refuse(gameId, proof, shown, IDisputeGame.WrongPreimage.selector);
        bytes32[] memory fewer = new bytes32[](2);
        (fewer[0], fewer[1]) = (shown.groups[0], shown.groups[2]);
        shown.groups = fewer;
        refuse(gameId, proof, shown, IDisputeGame.WrongPreimage.selector);
        // A window that no group has.
        shown = shownOf(gameId, 64);
        shown.window = 65;
        refuse(gameId, proof, shown, IDisputeGame.WindowOutOfRange.selector);
        shown.window = 96;
        refuse(gameId, proof, shown, IDisputeGame.WindowOutOfRange.selector);
        presetStep(STEP, 3);
        proveStep(gameId, stepProof(STEP, 3));
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
    }

    /// @dev The first difference in the last group is one as well.
    function test_attack_refuting_a_claim_that_is_another_one_in_a_later_group() external {
        disputeWindows(65);
        uint256 fresh = vm.snapshotState();
        uint256[4] memory some = [uint256(0), 31, 32, 64];
        for (uint256 i = 0; i < some.length; ++i) {
            uint256 gameId = open();
            narrow(gameId, STEP, 64, Claimed.but(stepClaim(STEP, Lie(STEP + 1, 64)), some[i]));
            AgreedStep memory agreed = agreedStep(STEP, 64);
            agreed.claim = claimOf[gameId];
            vm.prank(provider);
            vm.expectRevert(abi.encodeWithSelector(IDisputeGame.NotAsClaimed.selector, some[i]));
            game.refuteClaim(gameId, agreed);
            vm.revertToState(fresh);
        }
    }
}
