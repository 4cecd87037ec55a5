// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Scenario} from "./Scenario.sol";

/// @title Traces of many windows
abstract contract LongTraces is Scenario {
    /// @dev Of 64 bits: points as distinct as others, and a multiplication takes a quarter of the time.
    function factor(uint256 stream, uint256 version, uint256 window, bool isWrong)
        internal
        pure
        override
        returns (uint256)
    {
        return super.factor(stream, version, window, isWrong) >> 184;
    }
}
