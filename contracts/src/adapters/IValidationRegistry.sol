// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title What the adapter uses of ERC-8004's Validation Registry (contract version 1.1.0: `tag` is a string)
interface IValidationRegistry {
    /// @notice By the validator that the request named: `response` from 0 (failed) to 100 (passed).
    function validationResponse(
        bytes32 requestHash,
        uint8 response,
        string calldata responseURI,
        bytes32 responseHash,
        string calldata tag
    ) external;

    function getValidationStatus(bytes32 requestHash)
        external
        view
        returns (
            address validatorAddress,
            uint256 agentId,
            uint8 response,
            bytes32 responseHash,
            string memory tag,
            uint256 lastUpdate
        );

    function getIdentityRegistry() external view returns (address);
}

/// @title What the adapter uses of ERC-8004's Identity Registry
interface IIdentityRegistry {
    /// @notice The owner of an agent (ERC-721).
    function ownerOf(uint256 agentId) external view returns (address);

    /// @notice The account that an agent's owner proved to hold for it; zero for none.
    function getAgentWallet(uint256 agentId) external view returns (address);
}
