// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ILayerVerifier} from "../interfaces/ILayerVerifier.sol";

/// @title Asking a verifier, whatever it answers
library VerifierCall {
    /// @notice True iff the verifier returns exactly one word, and that word is 1. A revert, no code, short
    ///         or long return data and any other word mean "not proven"; none of them is copied to memory.
    // Only assembly can make a call without copying what it returns.
    // slither-disable-next-line assembly
    function accepts(address verifier, bytes memory key, uint256[] memory inputs, bytes calldata proof)
        internal
        view
        returns (bool accepted)
    {
        bytes memory callData = abi.encodeCall(ILayerVerifier.verify, (key, inputs, proof));
        assembly ("memory-safe") {
            // Scratch space takes the one word; anything longer is cut off and rejected by its size.
            let success := staticcall(gas(), verifier, add(callData, 0x20), mload(callData), 0x00, 0x20)
            accepted := and(and(success, eq(returndatasize(), 0x20)), eq(mload(0x00), 1))
        }
    }
}
