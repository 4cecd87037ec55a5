// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

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
        p.auditWindow = uint64(LONGEST);
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
        _limits(23, "auditWindow", 60, LONGEST);
        // Nearly as long as the longest exit delay, which outlasts it.
        _accepts(_base(), 8, 1);
        _accepts(_base(), 8, LONGEST - 181);
        _refuses(_base(), 8, LONGEST - 180, "exitDelay");
        _refuses(_base(), 8, 0, "receiptAnswerWindow");
        _refuses(_base(), 8, LONGEST + 1, "receiptAnswerWindow");
        _limits(9, "showWindow", 1, LONGEST);
        _limits(10, "joinWindow", 1, LONGEST);
    }

    /// @dev Where a sequencer can keep transactions out for 7 s, 7 s are too short for whoever has to act.
    function test_every_window_outlasts_the_sequencer() external {
        uint8[7] memory fields = [0, 2, 7, 8, 9, 10, 11];
        string[7] memory names = [
            "challengeWindow",
            "moveExtension",
            "receiptClaimWindow",
            "receiptAnswerWindow",
            "showWindow",
            "joinWindow",
            "inclusionDelay"
        ];
        for (uint256 i = 0; i < 6; ++i) {
            ProtocolParameters memory p = _base();
            p.postingWindow = 0;
            p.inclusionDelay = 7;
            _accepts(p, fields[i], 8);
            _refuses(p, fields[i], 7, names[i]);
        }
        _accepts(_base(), 11, 19);
        _refuses(_base(), 11, 20, names[1]);
        _refuses(_base(), 11, LONGEST + 1, names[6]);
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
        _limits(5, "exitDelay", 60 + 120 + 60 + 1, LONGEST);
        ProtocolParameters memory p = _base();
        p.challengeWindow = uint64(LONGEST);
        _accepts(p, 6, 0);
        _accepts(p, 6, LONGEST - 181);
        _refuses(p, 6, LONGEST - 180, "exitDelay");
        _refuses(p, 6, LONGEST, "exitDelay");
        _refuses(p, 6, LONGEST + 1, "postingWindow");
        _accepts(_base(), 7, 1);
        _accepts(_base(), 7, LONGEST - 121);
        _refuses(_base(), 7, 0, "receiptClaimWindow");
        _refuses(_base(), 7, LONGEST - 120, "exitDelay");
        _refuses(_base(), 7, LONGEST, "exitDelay");
        _refuses(_base(), 7, LONGEST + 1, "receiptClaimWindow");
    }

    function test_amounts() external {
        _accepts(_base(), 14, 1 ether);
        _accepts(_base(), 14, RICHEST);
        _refuses(_base(), 14, 0, "lockPerResponse");
        _refuses(_base(), 14, RICHEST + 1, "lockPerResponse");
        _limits(15, "providerBond", 1, RICHEST);
        _limits(17, "receiptClaimBond", 1, RICHEST);
        ProtocolParameters memory p = _base();
        p.askPrice = 1;
        _accepts(p, 16, 2);
        _accepts(p, 16, 2 ** 72 - 1);
        _refuses(p, 16, 0, "challengerBond");
        _refuses(p, 16, 2 ** 72, "challengerBond");
    }

    function test_looking_is_cheaper_than_accusing() external {
        _limits(18, "askPrice", 1, 0.5 ether - 1);
        _refuses(_base(), 16, Parameters.devnet().askPrice, "askPrice");
    }

    function test_whoever_waits_for_the_posting_deadline_can_still_ask() external {
        ProtocolParameters memory p = _base();
        _accepts(p, 6, 60);
        _refuses(p, 6, 61, "challengeWindow");
        p.challengeWindow = 61;
        _accepts(p, 6, 61);
    }

    function test_games_and_arity() external {
        _accepts(_base(), 20, 1);
        _refuses(_base(), 20, 0, "maxGamesPerResponse");
        _accepts(_base(), 21, 1);
        _accepts(_base(), 21, type(uint32).max);
        _refuses(_base(), 21, 0, "bondLoad");
        _limits(22, "arity", 2, 128);
    }

    /// @dev 8 games, 0.05 ether each, are two fifths of a lock of 1 ether.
    function test_three_fifths_of_a_lock_are_burned() external {
        _limits(19, "gameReward", 1, 0.05 ether);
        _refuses(_base(), 20, 9, "gameReward");
        _refuses(_base(), 20, type(uint32).max, "gameReward");
        _refuses(_base(), 14, 1 ether - 1, "gameReward");
        _refuses(_base(), 19, 0, "gameReward");
        _refuses(_base(), 19, RICHEST + 1, "gameReward");
    }

    function test_a_guardian_has_time_and_time_has_a_guardian() external {
        _refuses(_base(), 12, 1, "guardian");
        _refuses(_base(), 13, 1, "guardian");
        ProtocolParameters memory p = _base();
        p.guardian = address(1);
        _accepts(p, 12, 1 hours);
        _refuses(p, 12, 1 hours - 1, "guardianDelay");
        _accepts(p, 12, 30 days);
        _refuses(p, 12, 30 days + 1, "guardianDelay");
        // The least delay is longer than the chain can keep a transaction out.
        p.inclusionDelay = 19;
        _refuses(p, 12, 1 hours + 18, "guardianDelay");
        _accepts(p, 12, 1 hours + 19);
    }

    function test_stake_outlasts_the_receipts_that_wait_for_a_guardian() external {
        ProtocolParameters memory p = _base();
        p.guardian = address(1);
        p.guardianDelay = 2 hours;
        _refuses(p, 5, 60 + 120 + 60 + 4 hours, "exitDelay");
        _accepts(p, 5, 60 + 120 + 60 + 4 hours + 1);
    }

    /// @dev Every contract reads them from the stake, which refuses what does not work.
    function test_nothing_is_deployed_with_other_parameters() external {
        ProtocolParameters memory p = _base();
        vm.deployCode("ProviderStake.sol:ProviderStake", abi.encode(p));
        p.clock = 0;
        bytes memory creation = abi.encodePacked(vm.getCode("ProviderStake.sol:ProviderStake"), abi.encode(p));
        vm.expectRevert(abi.encodeWithSelector(Parameters.InvalidParameter.selector, "clock"));
        assembly {
            pop(create(0, add(creation, 0x20), mload(creation)))
        }
    }
}
