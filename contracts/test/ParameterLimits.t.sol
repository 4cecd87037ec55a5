// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ProviderStake} from "../src/ProviderStake.sol";
import {Parameters, ProtocolParameters} from "../src/libraries/Parameters.sol";
import {Test} from "./Vm.sol";

/// @notice Both ends of every parameter, exactly.
contract ParameterLimitsTest is Test {
    uint256 private constant LONGEST = 3650 days;
    uint256 private constant RICHEST = 2 ** 96 - 1;

    function validate(ProtocolParameters memory p) external pure {
        Parameters.validate(p);
    }

    /// @dev Every duration as long as the others allow, so that each can be moved alone.
    function _base() private pure returns (ProtocolParameters memory p) {
        p = Parameters.devnet();
        p.moveExtension = 20;
        p.postingWindow = 60;
        p.receiptClaimWindow = 120;
        p.exitDelay = uint64(LONGEST);
    }

    /// @dev The fields of a struct in memory are words, in order.
    function _set(ProtocolParameters memory p, uint256 field, uint256 value) private pure {
        assembly {
            mstore(add(p, mul(0x20, field)), value)
        }
    }

    function _accepts(ProtocolParameters memory p, uint256 field, uint256 value) private view {
        _set(p, field, value);
        this.validate(p);
    }

    function _refuses(ProtocolParameters memory p, uint256 field, uint256 value, string memory name) private {
        _set(p, field, value);
        vm.expectRevert(abi.encodeWithSelector(Parameters.InvalidParameter.selector, name));
        this.validate(p);
    }

    function _limits(uint256 field, string memory name, uint256 low, uint256 high) private {
        _accepts(_base(), field, low);
        _accepts(_base(), field, high);
        if (low != 0) _refuses(_base(), field, low - 1, name);
        _refuses(_base(), field, high + 1, name);
    }

    function test_durations() external {
        _limits(0, "challengeWindow", 60, LONGEST);
        _limits(1, "clock", 1, LONGEST);
        _limits(3, "traceExtension", 20, LONGEST);
        _limits(4, "proveExtension", 20, LONGEST);
        _limits(8, "receiptAnswerWindow", 1, LONGEST);
        _limits(9, "showWindow", 1, LONGEST);
    }

    function test_a_move_takes_no_longer_than_a_trace_or_a_proof() external {
        ProtocolParameters memory p = _base();
        p.traceExtension = uint64(LONGEST);
        p.proveExtension = uint64(LONGEST);
        _accepts(p, 2, 1);
        _accepts(p, 2, LONGEST);
        _refuses(p, 2, 0, "moveExtension");
        _refuses(p, 2, LONGEST + 1, "moveExtension");
    }

    function test_stake_outlasts_the_claims_on_it() external {
        _limits(5, "exitDelay", 60 + 120 + 1, LONGEST);
        ProtocolParameters memory p = _base();
        p.challengeWindow = uint64(LONGEST);
        _accepts(p, 6, 0);
        _accepts(p, 6, LONGEST - 121);
        _refuses(p, 6, LONGEST - 120, "exitDelay");
        _refuses(p, 6, LONGEST, "exitDelay");
        _refuses(p, 6, LONGEST + 1, "postingWindow");
        _accepts(_base(), 7, 1);
        _accepts(_base(), 7, LONGEST - 61);
        _refuses(_base(), 7, 0, "receiptClaimWindow");
        _refuses(_base(), 7, LONGEST - 60, "exitDelay");
        _refuses(_base(), 7, LONGEST, "exitDelay");
        _refuses(_base(), 7, LONGEST + 1, "receiptClaimWindow");
    }

    function test_amounts() external {
        _limits(10, "lockPerResponse", 1, RICHEST);
        _limits(12, "receiptClaimBond", 1, RICHEST);
        ProtocolParameters memory p = _base();
        p.askPrice = 1;
        _accepts(p, 11, 2);
        _accepts(p, 11, RICHEST);
        _refuses(p, 11, 0, "challengerBond");
        _refuses(p, 11, RICHEST + 1, "challengerBond");
    }

    function test_looking_is_cheaper_than_accusing() external {
        _limits(13, "askPrice", 1, 0.5 ether - 1);
        _refuses(_base(), 11, Parameters.devnet().askPrice, "askPrice");
    }

    function test_whoever_waits_for_the_posting_deadline_can_still_ask() external {
        ProtocolParameters memory p = _base();
        _accepts(p, 6, 60);
        _refuses(p, 6, 61, "challengeWindow");
        p.challengeWindow = 61;
        _accepts(p, 6, 61);
    }

    function test_games_and_arity() external {
        _accepts(_base(), 14, 1);
        _accepts(_base(), 14, type(uint32).max);
        _refuses(_base(), 14, 0, "maxGamesPerResponse");
        _limits(15, "arity", 2, 128);
    }

    /// @dev Every contract reads them from the stake, which refuses what does not work.
    function test_nothing_is_deployed_with_other_parameters() external {
        ProtocolParameters memory p = _base();
        vm.deployCode("ProviderStake.sol:ProviderStake", abi.encode(p));
        p.clock = 0;
        vm.expectRevert(abi.encodeWithSelector(Parameters.InvalidParameter.selector, "clock"));
        new ProviderStake(p);
    }
}
