// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The inner layer of ERC-8274 (draft of 2026-06): is this proof valid for this input and output?
interface IProofVerifier {
    /// @param inputHash commitment to the input, as the implementation documents it
    /// @param outputHash commitment to the output, likewise
    /// @param metadata what does not change between calls of one application
    /// @param proof the evidence for this one inference
    function verify(bytes32 inputHash, bytes32 outputHash, bytes calldata metadata, bytes calldata proof)
        external
        returns (bool);

    /// @notice "{paradigm}/{variant}".
    function proofSystem() external view returns (string memory);

    /// @notice Tells this deployment apart from others of the same proof system.
    function proofProfile() external view returns (bytes32);
}
