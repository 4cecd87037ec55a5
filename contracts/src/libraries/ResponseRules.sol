// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ResponseFields} from "../interfaces/IInferenceLedger.sol";
import {Boundary} from "./Boundary.sol";

/// @title What a response must be, whatever the model computes
library ResponseRules {
    bytes32 internal constant SAMPLING_GREEDY = keccak256("greedy");

    /// @notice A leaf that no honest provider posts; there is nothing to prove about it.
    function isMalformed(ResponseFields calldata fields, uint256 maxPositions, bool isPrivate)
        internal
        pure
        returns (bool)
    {
        uint256 limit = type(uint32).max;
        if (fields.promptLength == 0 || fields.promptLength > limit) return true;
        if (fields.outputLength == 0 || fields.outputLength > limit) return true;
        if (fields.maxTokens < fields.outputLength || fields.maxTokens > limit) return true;
        // The head's audit is about the largest logit, so a private model's answers are greedy.
        if (isPrivate && fields.samplingHash != SAMPLING_GREEDY) return true;
        // A public model's boundaries are everybody's; a private one's are committed, or no step could be audited.
        if ((fields.auditRoot != 0) != isPrivate) return true;
        return Boundary.positions(fields.promptLength, fields.outputLength) > maxPositions;
    }

    /// @notice A length in 16 bits. One that no model has is cut: it is that of a malformed response.
    function cutLength(uint256 value) internal pure returns (uint16) {
        return value > type(uint16).max ? type(uint16).max : uint16(value);
    }
}
