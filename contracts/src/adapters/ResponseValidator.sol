// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IInferenceLedger, ResponseStatus} from "../interfaces/IInferenceLedger.sol";
import {IIdentityRegistry, IValidationRegistry} from "./IValidationRegistry.sol";

/// @title Settled responses as ERC-8004 validations of the agent that gave them
/// @notice An agent names this contract as the validator of a request whose hash is `requestHash(...)`; once the response is
///         final or void anybody reports it: 100 or 0. There is no owner and no choice: the ledger's status is the report, and
///         the agent must be the response's provider, so nobody is validated for what another answered.
contract ResponseValidator {
    uint8 internal constant PASSED = 100;
    uint8 internal constant FAILED = 0;

    IInferenceLedger public immutable ledger;
    IValidationRegistry public immutable validations;

    event ResponseReported(
        uint256 indexed agentId, uint256 indexed batchId, uint256 indexed index, uint8 response
    );

    /// The response is neither final nor void; report it when it is.
    error NotSettled(uint256 batchId, uint256 index, ResponseStatus status);
    /// The agent's owner and wallet are others than the response's provider.
    error NotTheProvidersAgent(uint256 agentId, address provider);
    /// The request with this hash was made for another agent or another validator; choose another salt.
    error AnothersRequest(bytes32 requestHash);

    constructor(IInferenceLedger newLedger, IValidationRegistry newValidations) {
        ledger = newLedger;
        validations = newValidations;
    }

    /// @notice Reports a settled response. `salt` is that of the request. Repeating it reports the same.
    function report(uint256 agentId, uint256 batchId, uint256 index, bytes32 salt) external {
        bytes32 request = requestHash(agentId, batchId, index, salt);
        // What was answered before does not matter: the ledger says what is answered now.
        // slither-disable-next-line unused-return
        (address validator, uint256 requestedFor,,,,) = validations.getValidationStatus(request);
        require(validator == address(this) && requestedFor == agentId, AnothersRequest(request));
        ResponseStatus status = ledger.responseStatus(batchId, index);
        bool passed = status == ResponseStatus.Final;
        require(passed || status == ResponseStatus.Void, NotSettled(batchId, index, status));
        address provider = ledger.batch(batchId).provider;
        IIdentityRegistry identities = IIdentityRegistry(validations.getIdentityRegistry());
        require(
            identities.ownerOf(agentId) == provider || identities.getAgentWallet(agentId) == provider,
            NotTheProvidersAgent(agentId, provider)
        );
        uint8 response = passed ? PASSED : FAILED;
        emit ResponseReported(agentId, batchId, index, response);
        validations.validationResponse(request, response, "", bytes32(0), passed ? "final" : "void");
    }

    /// @notice The hash that the agent's validation request must have. The registry takes each hash once, whoever comes
    ///         first: the salt lets an agent ask again when a stranger took it.
    function requestHash(uint256 agentId, uint256 batchId, uint256 index, bytes32 salt)
        public
        view
        returns (bytes32)
    {
        return keccak256(abi.encode(block.chainid, ledger, agentId, batchId, index, salt));
    }
}
