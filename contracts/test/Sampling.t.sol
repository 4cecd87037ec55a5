// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDisputeGame, HeadProof, Outcome, Reason} from "../src/interfaces/IDisputeGame.sol";
import {HeadRules, IModelRegistry, TokenPair} from "../src/interfaces/IModelRegistry.sol";
import {ResponseFields} from "../src/interfaces/IInferenceLedger.sol";
import {GumbelNoise} from "../src/libraries/GumbelNoise.sol";
import {Sampling} from "../src/libraries/Sampling.sol";
import {Scenario} from "./Scenario.sol";

/// @dev The libraries alone; vectors are those of `prover/sampling.py`, whose Philox is NumPy's. tests/contracts/test_sampling.py
///      compares both at random points.
contract SamplingTest is Scenario {
    uint256 private constant _ZERO = 1 << 63;

    function test_noise_at_known_points() external pure {
        int256[4][8] memory known = [
            [int256(1579948266424812280), 2939, 62078, -8102114],
            [int256(14780904992460893238), 14241, 152610, -8291570],
            [int256(1736366973414412046), 5442, 113541, -14507071],
            [int256(8836936694982298082), 4338, 41874, 18098816],
            [int256(13550556714440373042), 535, 29798, 1930315],
            [int256(7216886304493965981), 14546, 135460, 345319],
            [int256(18446744073709551615), 16383, 4294967295, 29192979],
            [int256(0), 0, 0, 21679836]
        ];
        for (uint256 i = 0; i < known.length; ++i) {
            int256[4] memory k = known[i];
            vm.assertTrue(Sampling.noise(uint256(k[0]), uint256(k[1]), uint256(k[2])) == k[3]);
        }
    }

    function test_noise_at_the_ends_of_its_range() external pure {
        uint64[6] memory words = [0, 1, 2 ** 63 - 1, 2 ** 63, type(uint64).max - 1, type(uint64).max];
        int256[6] memory noises = [int256(-63885530), -63471364, 6149066, 6149066, 737458542, 755890198];
        for (uint256 i = 0; i < words.length; ++i) {
            vm.assertTrue(GumbelNoise.gumbel(words[i]) == noises[i]);
        }
    }

    /// @dev So a larger word is never a smaller chance, and bounds at the ends are bounds.
    function testFuzz_noise_grows_with_its_word(uint64 one, uint64 other) external pure {
        (uint64 smaller, uint64 larger) = one < other ? (one, other) : (other, one);
        int256 low = GumbelNoise.gumbel(smaller);
        int256 high = GumbelNoise.gumbel(larger);
        vm.assertTrue(low <= high);
        vm.assertTrue(low > -(2 ** 26) && high < 2 ** 30);
    }

    function testFuzz_logarithms_of_products_are_sums(uint64 a, uint48 b) external pure {
        vm.assume(a != 0 && b != 0);
        int256 error =
            GumbelNoise.logarithm(uint256(a) * b) - GumbelNoise.logarithm(a) - GumbelNoise.logarithm(b);
        vm.assertTrue(error < 2 ** 74 && error > -(2 ** 74)); // 2^-38
    }

    function testFuzz_a_word_is_a_rule_or_none(uint256 word, uint8 scale) external pure {
        // Most words are none, so most are made to look like one.
        if (word % 8 != 0) word = uint256(uint96(word)) | (word % 8 == 1 ? 2 : 1) << 96;
        (bool isRule, uint256 rule) = Sampling.parse(bytes32(word), scale);
        uint256 temperature = word >> 64 & 0xffff;
        bool expected = word >> 96 == 1 && temperature >= 1 && temperature <= 16_000
            && (word >> 80 & 0xffff) <= 1000 && scale >= 21 && scale <= 40;
        vm.assertTrue(isRule == expected);
        if (isRule) vm.assertTrue(rule != 0 && rule == word & type(uint96).max);
    }

    /// @dev What the statement takes (head_pair.py): factor below 2^13, |offset - 2^63| below 2^60.
    function testFuzz_pairs_keep_their_bounds(
        uint64 seed,
        uint16 temperature,
        uint16 minP,
        uint8 scale,
        uint32 chosen,
        uint32 rival
    ) external view {
        temperature = 1 + temperature % 16_000;
        minP %= 1001;
        scale = uint8(21 + scale % 20);
        uint256 rule = uint256(minP) << 80 | uint256(temperature) << 64 | seed;
        (bool isPair, uint256 factor, uint256 offset) =
            this.pair(TokenPair(rule, seed % 2 ** 14, chosen, rival, chosen), scale);
        vm.assertTrue(isPair && factor != 0 && factor < 2 ** 13);
        vm.assertTrue(offset < _ZERO + 2 ** 60 && offset > _ZERO - 2 ** 60);
        (isPair, factor, offset) = this.pair(TokenPair(rule, 1, chosen, rival, uint256(chosen) + 1), scale);
        vm.assertTrue(isPair == (minP != 0));
        if (isPair) vm.assertTrue(offset < _ZERO && offset > _ZERO - 2 ** 60);
    }

    function pair(TokenPair calldata p, uint256 scale) external pure returns (bool, uint256, uint256) {
        return Sampling.pair(p, scale);
    }

    function test_pairs_at_known_points() external view {
        uint256 rule = 50 << 80 | 700 << 64 | 12345;
        uint256[6][4] memory known = [
            [uint256(21), 8000, 9223372024254045707, 9223372001672742907, 9223372006825698408, 0],
            [uint256(24), 1000, 9223372024254045707, 9223372001672742907, 9223372006825698408, 0],
            [uint256(30), 1000, 9223371230408049407, 9223369785204670207, 9223370114993822208, 0],
            [uint256(40), 1000, 9222546235406942207, 9221066347146641407, 9221404051238289408, 0]
        ];
        for (uint256 i = 0; i < known.length; ++i) {
            uint256[6] memory k = known[i];
            expectPair(TokenPair(rule, 40, 3, 0, 3), k[0], k[1], k[2]);
            expectPair(TokenPair(rule, 40, 3, 0, 7), k[0], k[1], k[3]);
            expectPair(TokenPair(rule & type(uint80).max, 40, 3, 9, 3), k[0], k[1], k[4]);
        }
    }

    /// @dev Of seed 2 the rival's noise is larger than the chosen token's by more than min_p's cut. A challenger that names it
    ///      would win if the chosen token had to beat it: it is enough that it excludes it, as any other winner would.
    function test_attack_a_rival_with_much_noise_that_the_chosen_token_excludes() external view {
        uint256 rule = 50 << 80 | 700 << 64 | 2;
        (,, uint256 beaten) = this.pair(TokenPair(rule & type(uint80).max, 40, 3, 9, 3), 24);
        (,, uint256 excluded) = this.pair(TokenPair(rule, 40, 3, 9, 7), 24);
        vm.assertTrue(beaten < excluded);
        expectPair(TokenPair(rule, 40, 3, 9, 3), 24, 1000, excluded);
        // The other way round nothing changes: the cut bounds what noise may add.
        expectPair(TokenPair(rule, 40, 9, 3, 9), 24, 1000, 2 * _ZERO - 1 - excluded);
    }

    function expectPair(TokenPair memory p, uint256 scale, uint256 factor, uint256 offset) private view {
        (bool isPair, uint256 foundFactor, uint256 foundOffset) = this.pair(p, scale);
        vm.assertTrue(isPair);
        vm.assertEq(foundFactor, factor);
        vm.assertEq(foundOffset, offset);
    }
}

/// @dev Responses that were sampled: what a proof must be about, and which rules make a response void.
contract SampledResponseTest is Scenario {
    uint256 private constant _SEED = 12345;
    uint256 private constant _POSITION = 39;

    function word(uint256 minP, uint256 temperature, uint256 seed) private pure returns (bytes32) {
        return bytes32(1 << 96 | minP << 80 | temperature << 64 | seed);
    }

    function sampled(bytes32 samplingHash) private {
        response.fields.samplingHash = samplingHash;
        batchId = post(response, samplingHash);
    }

    /// @dev Of the response's fields with another rule, which are in order but for it.
    function parsed(bytes32 id, bytes32 samplingHash) private view returns (bool isRule, uint256 rule) {
        ResponseFields memory fields = response.fields;
        fields.samplingHash = samplingHash;
        bool isMalformed;
        (,, isMalformed, rule) = registry.responseRules(id, fields);
        return (!isMalformed, rule);
    }

    function rulesOf(bytes32 samplingHash, uint256 rivalId, uint256 winnerId)
        private
        view
        returns (HeadRules memory)
    {
        (bool isRule, uint256 rule) = parsed(modelId, samplingHash);
        vm.assertTrue(isRule && rule != 0);
        return registry.headRules(modelId, TokenPair(rule, _POSITION, outputToken(0), rivalId, winnerId));
    }

    function preset(HeadRules memory rules, uint256 winnerId, uint256 rivalId) private {
        presetPair(_POSITION, winnerId, rivalId, rules.factor, rules.offset);
    }

    function test_a_sampled_token_is_proven_with_its_noise() external {
        bytes32 rule = word(0, 700, _SEED);
        sampled(rule);
        uint256 chosen = outputToken(0);
        uint256 gameId = gameAtHeadProof(_POSITION, 9);
        vm.assertEq(game.game(gameId).sampling, uint96(uint256(rule)));
        // A proof of the greedy comparison says nothing about this response.
        presetHead(_POSITION, chosen, 9);
        HeadProof memory proof = headProof(_POSITION, chosen, 9);
        vm.prank(provider);
        vm.expectPartialRevert(IDisputeGame.ProofRejected.selector);
        game.proveHead(gameId, proof);
        preset(rulesOf(rule, 9, chosen), chosen, 9);
        proveHead(gameId, proof);
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
    }

    function test_attack_noise_of_another_seed_temperature_or_position() external {
        bytes32 rule = word(0, 700, _SEED);
        sampled(rule);
        uint256 chosen = outputToken(0);
        uint256 gameId = gameAtHeadProof(_POSITION, 9);
        HeadProof memory proof = headProof(_POSITION, chosen, 9);
        HeadRules memory right = rulesOf(rule, 9, chosen);
        HeadRules[4] memory others = [
            rulesOf(word(0, 700, _SEED + 1), 9, chosen),
            rulesOf(word(0, 701, _SEED), 9, chosen),
            rulesOf(word(0, 700, _SEED ^ 1 << 63), 9, chosen),
            registry.headRules(modelId, TokenPair(uint96(uint256(rule)), _POSITION + 1, chosen, 9, chosen))
        ];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.assertTrue(others[i].offset != right.offset);
            preset(others[i], chosen, 9);
            vm.prank(provider);
            vm.expectPartialRevert(IDisputeGame.ProofRejected.selector);
            game.proveHead(gameId, proof);
        }
    }

    function test_a_rival_that_min_p_excludes_is_answered_by_the_token_that_excludes_it() external {
        bytes32 rule = word(50, 700, _SEED);
        sampled(rule);
        uint256 chosen = outputToken(0);
        uint256 gameId = gameAtHeadProof(_POSITION, 9);
        HeadProof memory proof = headProof(_POSITION, chosen, 9);
        (proof.winnerId, proof.winner) = (12, tokenRow(12));
        HeadRules memory rules = rulesOf(rule, 9, 12);
        vm.assertTrue(rules.offset < 1 << 63);
        preset(rules, 12, 9);
        proveHead(gameId, proof);
        expectOutcome(gameId, Outcome.ProviderWon, Reason.Proven);
    }

    function test_attack_another_winner_without_min_p() external {
        sampled(word(0, 700, _SEED));
        attackWithAnotherWinner();
    }

    function test_attack_another_winner_of_a_greedy_response() external {
        attackWithAnotherWinner();
    }

    function attackWithAnotherWinner() private {
        uint256 chosen = outputToken(0);
        uint256 gameId = gameAtHeadProof(_POSITION, 9);
        HeadProof memory proof = headProof(_POSITION, chosen, 9);
        (proof.winnerId, proof.winner) = (12, tokenRow(12));
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.WrongWinner.selector, 12, chosen));
        game.proveHead(gameId, proof);
        // Nor with the row of one and the name of another.
        proof.winnerId = chosen;
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongTokenRow.selector, chosen));
        game.proveHead(gameId, proof);
    }

    function test_attack_a_winner_beyond_the_vocabulary() external {
        sampled(word(50, 700, _SEED));
        uint256 gameId = gameAtHeadProof(_POSITION, 9);
        HeadProof memory proof = headProof(_POSITION, outputToken(0), 9);
        proof.winnerId = VOCABULARY;
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IDisputeGame.WrongTokenRow.selector, VOCABULARY));
        game.proveHead(gameId, proof);
    }

    function test_attack_what_is_no_rule_loses_at_once() external {
        bytes32[8] memory bad = [
            bytes32(0),
            word(0, 0, _SEED), // greedy has another word
            word(0, 16_001, _SEED),
            word(1001, 700, _SEED),
            bytes32(uint256(word(0, 700, _SEED)) + (1 << 96)), // another version
            bytes32(uint256(word(0, 700, _SEED)) | 1 << 255),
            bytes32(uint256(word(0, 700, _SEED)) ^ 1 << 96),
            keccak256("beam")
        ];
        for (uint256 i = 0; i < bad.length; ++i) {
            (bool isRule,) = parsed(modelId, bad[i]);
            vm.assertFalse(isRule);
        }
        sampled(bad[2]);
        uint256 gameId = open();
        expectOutcome(gameId, Outcome.ChallengerWon, Reason.Malformed);
    }

    function test_a_model_of_another_scale_has_greedy_responses_only() external {
        uint8[4] memory scales = [20, 21, 40, 41];
        for (uint256 i = 0; i < scales.length; ++i) {
            spec.logitScale = scales[i];
            bytes32 id = register();
            (bool isRule,) = parsed(id, word(0, 700, _SEED));
            vm.assertTrue(isRule == (i == 1 || i == 2));
            (isRule,) = parsed(id, keccak256("greedy"));
            vm.assertTrue(isRule);
        }
    }
}
