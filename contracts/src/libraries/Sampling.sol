// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {TokenPair} from "../interfaces/IModelRegistry.sol";
import {GumbelNoise} from "./GumbelNoise.sol";
import {Philox} from "./Philox.sol";

/// @title How a token is chosen, and what a pair of tokens must show
/// @notice A response's `samplingHash` is keccak256("greedy"), or the rule itself in one word (docs/sampling.md):
///         1 << 96 | min_p << 80 | temperature << 64 | seed, temperature and min_p in thousandths. Nothing has to be shown of it
///         later, so nothing can be withheld. Inside the contracts greedy is 0, a rule its lower 96 bits.
///         The statement of a pair is factor * (logit(chosen) - logit(rival)) + offset - 2^63 >= 0; factor 1 for greedy.
library Sampling {
    bytes32 internal constant GREEDY = keccak256("greedy");
    uint256 internal constant MOST_TEMPERATURE = 16_000;
    uint256 internal constant LEAST_SCALE = 21;
    uint256 internal constant MOST_SCALE = 40;

    uint256 private constant _VERSION = 1;
    uint256 private constant _UNIT = 1000;
    uint256 private constant _NOISE_BITS = 24;
    int256 private constant _ZERO = 1 << 63;
    /// @dev "gainsay"
    uint256 private constant _KEY_WORD = 0x6761696e736179;

    /// @notice Whether this says how to choose among logits of this scale, and how: 0 for greedy.
    function parse(bytes32 word, uint256 logitScale) internal pure returns (bool isRule, uint256 rule) {
        if (word == GREEDY) return (true, 0);
        rule = uint96(uint256(word));
        uint256 temperature = _temperature(rule);
        isRule = uint256(word) >> 96 == _VERSION && temperature != 0 && temperature <= MOST_TEMPERATURE
            && _minP(rule) <= _UNIT && logitScale >= LEAST_SCALE && logitScale <= MOST_SCALE;
    }

    /// @notice What must be shown of two tokens, by a rule that `parse` took. Where another one than the chosen wins: that it
    ///         excludes the rival by min_p. The chosen one may do either: the larger room stands for both.
    /// @dev No operation here can overflow: |noise| < 2^30, factors below 2^30, min_p's cut below 2^27.
    function pair(TokenPair calldata p, uint256 logitScale)
        internal
        pure
        returns (bool isPair, uint256 factor, uint256 offset)
    {
        int256 strict = p.rivalId < p.chosenId ? int256(1) : int256(0);
        if (p.sampling == 0) return (p.winnerId == p.chosenId, 1, uint256(_ZERO - strict));
        int256 noiseFactor;
        (factor, noiseFactor) = factors(p.sampling, logitScale);
        uint256 minP = _minP(p.sampling);
        int256 most = minP == 0 ? type(int256).max : noiseFactor * cut(minP);
        int256 least = -most - 1;
        if (p.winnerId != p.chosenId) return (minP != 0, factor, minP == 0 ? 0 : uint256(_ZERO + least));
        int256 room = noise(p.sampling, p.position, p.chosenId) - noise(p.sampling, p.position, p.rivalId);
        room = noiseFactor * room - strict;
        if (room > most) room = most;
        // A rival that the chosen token itself excludes may have any noise.
        if (room < least) room = least;
        return (true, factor, uint256(_ZERO + room));
    }

    /// @notice A and D: the score is A * logit + D * noise.
    function factors(uint256 rule, uint256 logitScale)
        internal
        pure
        returns (uint256 logitFactor, int256 noiseFactor)
    {
        logitFactor = _UNIT << (logitScale < _NOISE_BITS ? _NOISE_BITS - logitScale : 0);
        noiseFactor = int256(_temperature(rule) << (logitScale > _NOISE_BITS ? logitScale - _NOISE_BITS : 0));
    }

    /// @notice Noise of a token after a position, in units of 2^-24.
    function noise(uint256 rule, uint256 position, uint256 tokenId) internal pure returns (int256) {
        uint256 word = Philox.word(tokenId / 4 + 1, position, uint64(rule), _KEY_WORD, tokenId % 4);
        return GumbelNoise.gumbel(word);
    }

    /// @notice K = ln(1000 / minP), in the units of noise.
    function cut(uint256 minP) internal pure returns (int256) {
        return GumbelNoise.rounded(GumbelNoise.logarithm(_UNIT) - GumbelNoise.logarithm(minP));
    }

    function _temperature(uint256 rule) private pure returns (uint256) {
        return uint16(rule >> 64);
    }

    function _minP(uint256 rule) private pure returns (uint256) {
        return uint16(rule >> 80);
    }
}
