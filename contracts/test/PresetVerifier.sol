// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ILayerVerifier} from "../src/interfaces/ILayerVerifier.sol";

/// @title A verifier that accepts exactly one statement and proof
/// @notice Tests preset what the contracts must rebuild; any other key, input or proof is refused. So a
///         passing test shows that every public input has the right value in the right place.
contract PresetVerifier is ILayerVerifier {
    bytes32 private _accepted;

    function preset(bytes memory key, uint256[] memory inputs, bytes memory proof) external {
        _accepted = keccak256(abi.encode(key, inputs, proof));
    }

    function verify(bytes calldata key, uint256[] calldata inputs, bytes calldata proof)
        external
        view
        returns (bool)
    {
        return keccak256(abi.encode(key, inputs, proof)) == _accepted;
    }
}
