// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {VerifierCall} from "../src/libraries/VerifierCall.sol";
import {Test} from "./Vm.sol";

/// @notice Answers every call with the bytes it was made with.
contract Answering {
    bytes private _answer;
    bool private immutable _reverts;

    constructor(bytes memory answer, bool reverts) {
        _answer = answer;
        _reverts = reverts;
    }

    fallback() external {
        bytes memory answer = _answer;
        bool reverts = _reverts;
        assembly {
            if reverts { revert(add(answer, 0x20), mload(answer)) }
            return(add(answer, 0x20), mload(answer))
        }
    }
}

contract VerifierCallTest is Test {
    function accepts(address verifier) public view returns (bool) {
        return this.call(verifier, "proof");
    }

    function call(address verifier, bytes calldata proof) external view returns (bool) {
        return VerifierCall.accepts(verifier, "key", new uint256[](3), proof);
    }

    function test_only_one_word_that_is_one_is_acceptance() external {
        vm.assertTrue(accepts(address(new Answering(abi.encode(uint256(1)), false))));
        vm.assertFalse(accepts(address(new Answering(abi.encode(uint256(0)), false))));
        vm.assertFalse(accepts(address(new Answering(abi.encode(uint256(2)), false))));
        vm.assertFalse(accepts(address(new Answering(abi.encode(type(uint256).max), false))));
        vm.assertFalse(accepts(address(new Answering("", false))));
        vm.assertFalse(accepts(address(new Answering(hex"01", false))));
        vm.assertFalse(accepts(address(new Answering(abi.encode(uint256(1), uint256(1)), false))));
        vm.assertFalse(accepts(address(new Answering(abi.encode(uint256(1)), true))));
        vm.assertFalse(accepts(address(0xDEAD)));
    }

    function test_attack_a_return_bomb_is_not_copied() external {
        address bomb = address(new Answering(new bytes(20_000), false));
        uint256 before = gasleft();
        vm.assertFalse(accepts(bomb));
        // Reading the 20,000 bytes costs the callee about 1.4M; copying them would cost again.
        vm.assertLt(before - gasleft(), 2_500_000);
    }
}
