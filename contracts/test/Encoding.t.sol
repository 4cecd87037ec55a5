// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Boundary} from "../src/libraries/Boundary.sol";
import {Leaves} from "../src/libraries/Leaves.sol";
import {TokenIds} from "../src/libraries/TokenIds.sol";
import {ResponseFields} from "../src/interfaces/IInferenceLedger.sol";
import {Test} from "./Vm.sol";

contract EncodingTest is Test {
    function at(bytes calldata ids, uint256 position) external pure returns (uint256) {
        return TokenIds.at(ids, position);
    }

    function matches(bytes calldata ids, uint256 count, bytes32 digest) external pure returns (bool) {
        return TokenIds.matches(ids, count, digest);
    }

    function hash(bytes32[] calldata roots) external pure returns (bytes32) {
        return Boundary.hash(roots);
    }

    function testFuzz_token_ids_are_big_endian_words_of_four_bytes(uint32[8] calldata ids) external view {
        bytes memory packed;
        for (uint256 i = 0; i < 8; ++i) {
            packed = abi.encodePacked(packed, ids[i]);
        }
        for (uint256 i = 0; i < 8; ++i) {
            vm.assertEq(this.at(packed, i), ids[i]);
        }
        vm.assertTrue(this.matches(packed, 8, keccak256(packed)));
        vm.assertFalse(this.matches(packed, 7, keccak256(packed)));
        vm.assertFalse(this.matches(packed, 8, keccak256("other")));
    }

    function test_windows_at_the_edges() external pure {
        vm.assertEq(Boundary.windows(1, 1), 1); // T = 1
        vm.assertEq(Boundary.windows(1, 31), 1); // T = 31
        vm.assertEq(Boundary.windows(2, 31), 1); // T = 32
        vm.assertEq(Boundary.windows(2, 32), 2); // T = 33
        vm.assertEq(Boundary.windows(33, 32), 2); // T = 64
        vm.assertEq(Boundary.windows(34, 32), 3); // T = 65
    }

    function testFuzz_boundary_hash_is_keccak_of_the_roots(bytes32[4] calldata words) external view {
        bytes32[] memory roots = new bytes32[](4);
        for (uint256 i = 0; i < 4; ++i) {
            roots[i] = words[i];
        }
        vm.assertEq(this.hash(roots), keccak256(abi.encode(words)));
    }

    function testFuzz_response_leaf_is_the_agreed_encoding(
        address ledger,
        bytes32 salt,
        uint256 index,
        ResponseFields memory f
    ) external view {
        bytes memory place = abi.encode(
            Leaves.RESPONSE_TYPEHASH, block.chainid, ledger, address(0xB0B), bytes32("model"), salt, index
        );
        bytes memory said = abi.encode(
            f.promptHash,
            f.outputHash,
            f.promptLength,
            f.outputLength,
            f.maxTokens,
            f.samplingHash,
            f.feeWei,
            f.auditRoot
        );
        vm.assertEq(
            Leaves.response(ledger, address(0xB0B), "model", salt, index, f),
            keccak256(bytes.concat(keccak256(bytes.concat(place, said))))
        );
    }

    function testFuzz_model_leaves_are_the_agreed_encoding(uint256 position, uint256[5] memory w)
        external
        pure
    {
        vm.assertEq(
            Leaves.stepKey(position, w[1], bytes32(w[0])),
            keccak256(bytes.concat(keccak256(abi.encode(position, w[1], bytes32(w[0])))))
        );
        vm.assertEq(
            Leaves.window(position, w[0], w[1]),
            keccak256(bytes.concat(keccak256(abi.encode(position, w[0], w[1]))))
        );
        vm.assertEq(
            Leaves.tokenRow(position, [w[0], w[1]], [w[2], w[3]]),
            keccak256(bytes.concat(keccak256(abi.encode(position, w[0], w[1], w[2], w[3]))))
        );
    }
}
