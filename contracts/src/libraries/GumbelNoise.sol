// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title -ln(-ln u) in exact integer steps
/// @notice The same steps as `prover/sampling.py`, which states their error; docs/sampling.md.
library GumbelNoise {
    uint256 private constant _FRACTION = 112;
    /// @dev floor(2^112 ln 2)
    int256 private constant _LN2 = 0xB17217F7D1CF79ABC9E3B39803F2;
    /// @dev 112 bits of fraction to 24.
    uint256 private constant _ROUNDED = 88;

    /// @notice floor(2^24 * -ln(-ln u) + 1/2), u = (2 * word + 1) / 2^65, `word` below 2^64.
    function gumbel(uint256 word) internal pure returns (int256) {
        unchecked {
            // Positive: for u above 2/3 no logarithm of 2 is left.
            int256 exponential = 65 * _LN2 - logarithm(2 * word + 1);
            return rounded(int256(_FRACTION) * _LN2 - logarithm(uint256(exponential)));
        }
    }

    /// @notice 2^112 ln(value), 0 < value < 2^118: value = p m, p a power of two, 2/3 <= m < 4/3, and ln m = 2 artanh z by eight terms
    ///         of its series, z = (value - p) / (value + p). What is divided or shifted is not negative.
    function logarithm(uint256 value) internal pure returns (int256) {
        unchecked {
            uint256 exponent = _highestBit(value);
            if (3 * value >= 4 << exponent) ++exponent;
            uint256 power = 1 << exponent;
            bool isAbove = value >= power;
            uint256 ratio = ((isAbove ? value - power : power - value) << _FRACTION) / (value + power);
            uint256 square = (ratio * ratio) >> _FRACTION;
            uint256 series = uint256(1 << _FRACTION) / 15;
            series = ((series * square) >> _FRACTION) + uint256(1 << _FRACTION) / 13;
            series = ((series * square) >> _FRACTION) + uint256(1 << _FRACTION) / 11;
            series = ((series * square) >> _FRACTION) + uint256(1 << _FRACTION) / 9;
            series = ((series * square) >> _FRACTION) + uint256(1 << _FRACTION) / 7;
            series = ((series * square) >> _FRACTION) + uint256(1 << _FRACTION) / 5;
            series = ((series * square) >> _FRACTION) + uint256(1 << _FRACTION) / 3;
            series = ((series * square) >> _FRACTION) + uint256(1 << _FRACTION);
            int256 doubled = int256(2 * ((series * ratio) >> _FRACTION));
            return int256(exponent) * _LN2 + (isAbove ? doubled : -doubled);
        }
    }

    /// @notice From a fraction of 112 bits to one of 24, half up.
    function rounded(int256 value) internal pure returns (int256) {
        unchecked {
            return (value + int256(1 << (_ROUNDED - 1))) >> _ROUNDED;
        }
    }

    /// @dev floor(log2(value)), 0 < value < 2^128.
    function _highestBit(uint256 value) private pure returns (uint256 bit) {
        unchecked {
            for (uint256 step = 64; step != 0; step >>= 1) {
                if (value >> step != 0) {
                    value >>= step;
                    bit += step;
                }
            }
        }
    }
}
