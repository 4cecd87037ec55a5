// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IIdentityRegistry, IValidationRegistry} from "../src/adapters/IValidationRegistry.sol";

/// @title What ERC-8004's registries do, as far as validations are concerned (after the text of the standard)
contract AgentRegistries is IIdentityRegistry, IValidationRegistry {
    struct Status {
        address validator;
        uint256 agentId;
        uint8 response;
        bytes32 responseHash;
        string tag;
        uint256 lastUpdate;
    }

    mapping(uint256 agentId => address) public ownerOf;
    mapping(uint256 agentId => address) public getAgentWallet;
    mapping(bytes32 requestHash => Status) private _statuses;
    uint256 public responses;

    function register(uint256 agentId, address wallet) external {
        ownerOf[agentId] = msg.sender;
        getAgentWallet[agentId] = wallet;
    }

    function validationRequest(address validator, uint256 agentId, string calldata, bytes32 requestHash)
        external
    {
        require(_statuses[requestHash].validator == address(0), "exists");
        require(ownerOf[agentId] == msg.sender, "Not authorized");
        _statuses[requestHash] = Status(validator, agentId, 0, 0, "", block.timestamp);
    }

    function validationResponse(
        bytes32 requestHash,
        uint8 response,
        string calldata,
        bytes32 responseHash,
        string calldata tag
    ) external {
        Status storage status = _statuses[requestHash];
        require(status.validator == msg.sender, "not validator");
        require(response <= 100, "resp>100");
        (status.response, status.responseHash, status.tag) = (response, responseHash, tag);
        responses++;
    }

    function getValidationStatus(bytes32 requestHash)
        external
        view
        returns (address, uint256, uint8, bytes32, string memory, uint256)
    {
        Status storage s = _statuses[requestHash];
        require(s.validator != address(0), "unknown");
        return (s.validator, s.agentId, s.response, s.responseHash, s.tag, s.lastUpdate);
    }

    function getIdentityRegistry() external view returns (address) {
        return address(this);
    }
}
