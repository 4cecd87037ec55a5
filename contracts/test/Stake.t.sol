// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IProviderStake, StakeAccount} from "../src/interfaces/IProviderStake.sol";
import {Parameters, ProtocolParameters} from "../src/libraries/Parameters.sol";
import {Scenario} from "./Scenario.sol";

/// @notice Withdraws and tries to withdraw again from inside; or refuses ether.
contract Recipient {
    IProviderStake private immutable _stake;
    bool public refuses;
    bool public reenters;
    uint256 public received;

    constructor(IProviderStake stake, bool newRefuses, bool newReenters) {
        _stake = stake;
        refuses = newRefuses;
        reenters = newReenters;
    }

    function depositAndExit() external payable {
        _stake.deposit{value: msg.value}();
        _stake.requestExit(msg.value);
    }

    function completeExit() external {
        _stake.completeExit();
    }

    function withdraw() external {
        _stake.withdraw();
    }

    function withdrawTo(address payable to) external {
        _stake.withdrawTo(to);
    }

    receive() external payable {
        if (refuses) revert("no, thanks");
        received += msg.value;
        if (reenters) _stake.withdraw();
    }
}

/// @notice Forces ether into a contract.
contract Forcer {
    constructor(address payable target) payable {
        selfdestruct(target);
    }
}

contract StakeTest is Scenario {
    function account() private view returns (StakeAccount memory) {
        return stake.account(provider);
    }

    function test_deposit_adds_to_the_stake() external {
        vm.prank(provider);
        stake.deposit{value: 5 ether}();
        vm.assertEq(account().total, 25 ether);
        vm.assertEq(stake.freeStake(provider), 25 ether - 3 * p.lockPerResponse - p.providerBond);
        expectSolvent();
    }

    function test_deposit_of_nothing_is_refused() external {
        vm.expectRevert(IProviderStake.NothingSent.selector);
        stake.deposit();
    }

    function test_exit_takes_the_delay_and_pays_credits() external {
        vm.prank(provider);
        stake.requestExit(10 ether);
        uint64 availableAt = account().exitAvailableAt;
        vm.assertEq(availableAt, block.timestamp + p.exitDelay);
        vm.warp(availableAt - 1);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IProviderStake.ExitNotReady.selector, availableAt));
        stake.completeExit();
        vm.warp(availableAt);
        vm.prank(provider);
        stake.completeExit();
        vm.assertEq(stake.credits(provider), 10 ether);
        uint256 before = provider.balance;
        vm.prank(provider);
        stake.withdraw();
        vm.assertEq(provider.balance - before, 10 ether);
        expectSolvent();
    }

    function test_attack_exit_with_stake_that_backs_responses() external {
        uint256 free = stake.freeStake(provider);
        vm.prank(provider);
        vm.expectRevert(
            abi.encodeWithSelector(IProviderStake.InsufficientStake.selector, provider, free + 1, free)
        );
        stake.requestExit(free + 1);
    }

    function test_attack_exiting_stake_backs_no_new_response() external {
        uint256 free = stake.freeStake(provider);
        vm.startPrank(provider);
        stake.requestExit(free);
        vm.expectPartialRevert(IProviderStake.InsufficientStake.selector);
        ledger.postBatch(provider, "root", "another salt", modelId, 1);
        stake.cancelExit();
        ledger.postBatch(provider, "root", "another salt", modelId, 1);
        vm.stopPrank();
    }

    function test_attack_several_responses_on_one_stake() external {
        uint32 most = uint32(stake.freeStake(provider) / p.lockPerResponse);
        vm.startPrank(provider);
        vm.expectPartialRevert(IProviderStake.InsufficientStake.selector);
        ledger.postBatch(provider, "root", "another salt", modelId, most + 1);
        ledger.postBatch(provider, "root", "another salt", modelId, most);
        vm.expectPartialRevert(IProviderStake.InsufficientStake.selector);
        ledger.postBatch(provider, "root", "a third salt", modelId, 1);
        vm.stopPrank();
    }

    function test_one_exit_at_a_time() external {
        vm.startPrank(provider);
        vm.expectRevert(IProviderStake.NoExitPending.selector);
        stake.completeExit();
        vm.expectRevert(IProviderStake.NoExitPending.selector);
        stake.cancelExit();
        stake.requestExit(1);
        vm.expectPartialRevert(IProviderStake.ExitPending.selector);
        stake.requestExit(1);
        vm.stopPrank();
    }

    function test_attack_reentrant_withdrawal() external {
        Recipient thief = new Recipient(stake, false, true);
        thief.depositAndExit{value: 3 ether}();
        vm.warp(block.timestamp + p.exitDelay);
        thief.completeExit();
        vm.expectPartialRevert(IProviderStake.TransferFailed.selector);
        thief.withdraw();
        vm.assertEq(stake.credits(address(thief)), 3 ether);
        expectSolvent();
    }

    function test_attack_reverting_recipient_only_hurts_itself() external {
        Recipient stubborn = new Recipient(stake, true, false);
        stubborn.depositAndExit{value: 3 ether}();
        vm.warp(block.timestamp + p.exitDelay);
        stubborn.completeExit();
        vm.expectRevert(abi.encodeWithSelector(IProviderStake.TransferFailed.selector, address(stubborn)));
        stubborn.withdraw();
        uint256 before = stranger.balance;
        stubborn.withdrawTo(payable(stranger));
        vm.assertEq(stranger.balance - before, 3 ether);
        vm.expectRevert(IProviderStake.NothingToWithdraw.selector);
        stubborn.withdraw();
        expectSolvent();
    }

    function test_attack_forced_ether_belongs_to_nobody() external {
        uint256 owed = address(stake).balance;
        new Forcer{value: 7 ether}(payable(address(stake)));
        vm.assertEq(address(stake).balance, owed + 7 ether);
        vm.assertEq(
            stake.totalStake() + stake.totalEscrow() + stake.totalCredits() + stake.totalBurned(), owed
        );
        (bool sent,) = address(stake).call{value: 1}("");
        vm.assertFalse(sent);
    }

    function test_only_the_protocol_moves_ether() external {
        vm.startPrank(stranger);
        vm.expectPartialRevert(IProviderStake.NotProtocol.selector);
        stake.lock(provider, 1);
        vm.expectPartialRevert(IProviderStake.NotProtocol.selector);
        stake.slashBond(provider, 1);
        vm.expectPartialRevert(IProviderStake.NotProtocol.selector);
        stake.slashReceipt(provider, provider, 1, stranger);
        vm.expectPartialRevert(IProviderStake.NotProtocol.selector);
        stake.release(provider, 1);
        vm.expectPartialRevert(IProviderStake.NotProtocol.selector);
        stake.slash(provider, 1, 1);
        vm.expectPartialRevert(IProviderStake.NotProtocol.selector);
        stake.receiveEscrow{value: 1}(stranger);
        vm.expectPartialRevert(IProviderStake.NotProtocol.selector);
        stake.payEscrow(stranger, 1);
        vm.expectPartialRevert(IProviderStake.NotProtocol.selector);
        stake.forfeitEscrow(1, stranger);
        vm.expectPartialRevert(IProviderStake.NotProtocol.selector);
        stake.burnEscrow(1);
        vm.stopPrank();
        // The game may hold bonds, but stake is the ledger's business.
        vm.prank(address(game));
        vm.expectPartialRevert(IProviderStake.NotProtocol.selector);
        stake.slash(provider, 1, 1);
    }

    function test_wiring_happens_once_and_by_the_deployer() external {
        vm.prank(stranger);
        vm.expectPartialRevert(IProviderStake.NotDeployer.selector);
        stake.initialise(stranger, stranger, stranger, stranger);
        vm.expectRevert(IProviderStake.AlreadyInitialised.selector);
        stake.initialise(address(ledger), address(game), address(receipts), address(audits));
        IProviderStake fresh = IProviderStake(vm.deployCode("ProviderStake.sol:ProviderStake", abi.encode(p)));
        vm.expectRevert(abi.encodeWithSelector(IProviderStake.NotAContract.selector, stranger));
        fresh.initialise(stranger, address(game), address(receipts), address(audits));
    }

    function validate(ProtocolParameters memory parameters) external pure {
        Parameters.validate(parameters);
    }

    function test_presets_are_valid_and_a_short_exit_delay_is_not() external {
        this.validate(Parameters.devnet());
        this.validate(Parameters.l1());
        this.validate(Parameters.l2());
        ProtocolParameters memory bad = Parameters.devnet();
        bad.exitDelay = bad.postingWindow + bad.receiptClaimWindow + bad.receiptAnswerWindow;
        vm.expectRevert(abi.encodeWithSelector(Parameters.InvalidParameter.selector, "exitDelay"));
        this.validate(bad);
        bad = Parameters.devnet();
        bad.arity = 1;
        vm.expectRevert(abi.encodeWithSelector(Parameters.InvalidParameter.selector, "arity"));
        this.validate(bad);
    }
}
