// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Receipt} from "../src/interfaces/IReceipts.sol";
import {Channel, IPayments, ProviderAccount, Voucher} from "../src/interfaces/IPayments.sol";
import {Parameters, ProtocolParameters} from "../src/libraries/Parameters.sol";
import {ReentrantToken, Token} from "./PaymentTokens.sol";
import {Test} from "./Vm.sol";

/// @notice Receipts that call every receipt refundable: the worst provider imaginable, signing whatever it likes.
contract CarelessReceipts {
    function unhonoured(Receipt calldata receipt, bytes calldata) external pure returns (bytes32) {
        return keccak256(abi.encode(receipt));
    }
}

/// @notice Random payers, providers and tokens; what the contract refuses is skipped, never the accounts.
contract PaymentActors is Test {
    uint256 private constant PAYERS = 3;
    uint256 private constant PROVIDERS = 2;
    IPayments public payments;
    address[3] private _tokens; // ether, one that returns nothing, one that calls back
    address[PAYERS] private _payers; // from a key, an address takes longer than all else after a call
    uint256 private _receipts;

    // Kept a second time: what left each hand, and what came back to it.
    mapping(address payer => mapping(address provider => mapping(address token => uint256))) private _paidIn;
    mapping(address payer => mapping(address provider => mapping(address token => uint256))) private
        _paidBack;
    mapping(address provider => mapping(address token => uint256)) private _earned;
    uint256 public refunds;
    uint256 public redemptions;
    uint256 public withdrawals;

    constructor(IPayments newPayments) {
        payments = newPayments;
        for (uint256 i = 0; i < PAYERS; ++i) {
            _payers[i] = vm.addr(key(i));
        }
        _tokens[1] = address(new Token());
        _tokens[2] = address(new ReentrantToken());
        ReentrantToken(_tokens[2])
            .arm(
                address(payments),
                abi.encodeCall(IPayments.completeWithdrawal, (provider(0), _tokens[2], address(this)))
            );
    }

    function key(uint256 i) private pure returns (uint256) {
        return 7000 + i % PAYERS;
    }

    function payer(uint256 i) private view returns (address) {
        return _payers[i % PAYERS];
    }

    function provider(uint256 i) private pure returns (address) {
        return address(uint160(9000 + i % PROVIDERS));
    }

    function passTime(uint256 by) external {
        vm.warp(block.timestamp + by % 400);
    }

    function deposit(uint256 who, uint256 to, uint256 which, uint256 amount) external {
        address token = _tokens[which % 3];
        amount = 1 + amount % 1000;
        if (token == address(0)) {
            vm.deal(payer(who), amount);
        } else {
            Token(token).mint(payer(who), amount);
            vm.prank(payer(who));
            Token(token).approve(address(payments), amount);
        }
        vm.prank(payer(who));
        payments.deposit{value: token == address(0) ? amount : 0}(provider(to), token, amount);
        _paidIn[payer(who)][provider(to)][token] += amount;
    }

    function redeem(uint256 who, uint256 to, uint256 which, uint256 more, bool forged) external {
        Voucher[] memory all = new Voucher[](2);
        bytes[] memory signatures = new bytes[](2);
        for (uint256 i = 0; i < 2; ++i) {
            address token = _tokens[(which >> (8 * i)) % 3];
            uint256 redeemed = payments.channel(payer(who % PAYERS + i), provider(to), token).redeemed;
            all[i] = Voucher(payer(who % PAYERS + i), provider(to), token, redeemed + more % 1500);
            signatures[i] = signed(all[i], forged && i == 0 ? 1 : key(who % PAYERS + i));
        }
        uint256[] memory paid = payments.redeem(all, signatures);
        vm.assertTrue(!forged || paid[0] == 0, "forged");
        if (paid[1] != 0) ++redemptions;
    }

    function signed(Voucher memory voucher, uint256 by) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(by, payments.voucherDigest(voucher));
        return abi.encodePacked(r, s, v);
    }

    /// @dev A receipt of any fee, honest or not.
    function refund(uint256 who, uint256 to, uint256 which, uint256 fee) external {
        Receipt memory receipt;
        (receipt.payer, receipt.provider, receipt.feeToken) = (payer(who), provider(to), _tokens[which % 3]);
        receipt.feeWei = which % 5 == 0 ? 10 ** 30 : 1 + fee % 1000;
        receipt.index = ++_receipts;
        payments.refund(receipt, "");
        vm.expectPartialRevert(IPayments.AlreadyRefunded.selector);
        payments.refund(receipt, "");
        ++refunds;
    }

    function askBack(uint256 who, uint256 to, uint256 which, uint256 amount) external {
        vm.prank(payer(who));
        payments.requestWithdrawal(provider(to), _tokens[which % 3], amount % 1000);
    }

    function takeBack(uint256 who, uint256 to, uint256 which) external {
        address token = _tokens[which % 3];
        Channel memory c = payments.channel(payer(who), provider(to), token);
        uint256 expected = c.withdrawal < c.balance ? c.withdrawal : c.balance;
        vm.prank(payer(who));
        try payments.completeWithdrawal(provider(to), token, payer(who)) {
            _paidBack[payer(who)][provider(to)][token] += expected;
        } catch {}
    }

    function collect(uint256 who, uint256 to, uint256 which) external {
        address[] memory payers = new address[](2);
        (payers[0], payers[1]) = (payer(who), payer(who % PAYERS + 1));
        payments.release(provider(to), _tokens[which % 3], payers);
        try payments.collectDebt(payer(who), provider(to), _tokens[which % 3]) {} catch {}
    }

    function withdraw(uint256 to, uint256 which) external {
        address token = _tokens[which % 3];
        vm.prank(provider(to));
        try payments.withdraw(token, address(0xCAFE)) returns (uint256 amount) {
            _earned[provider(to)][token] += amount;
            ++withdrawals;
        } catch {}
    }

    /// @dev Σ channels + Σ accounts = totalOwed <= balance; and Σ owed = debt + pot.
    function checkSolvency() external view {
        for (uint256 t = 0; t < 3; ++t) {
            uint256 sum = 0;
            for (uint256 to = 0; to < PROVIDERS; ++to) {
                ProviderAccount memory a = payments.account(provider(to), _tokens[t]);
                sum += uint256(a.balance) + a.pot;
                uint256 owed = 0;
                for (uint256 who = 0; who < PAYERS; ++who) {
                    Channel memory c = payments.channel(payer(who), provider(to), _tokens[t]);
                    sum += uint256(c.balance) + c.heldOlder + c.heldRecent;
                    owed += c.owed;
                    vm.assertTrue(c.hasCredit == (c.credit != 0), "credit flag");
                }
                vm.assertEq(owed, a.debt + a.pot, "debts");
            }
            vm.assertEq(sum, payments.totalOwed(_tokens[t]), "total");
            uint256 balance = _tokens[t] == address(0)
                ? address(payments).balance
                : Token(_tokens[t]).balanceOf(address(payments));
            vm.assertEq(balance, sum, "balance");
        }
    }

    /// @dev Every channel holds its own payer's money and nobody else's, whatever a colluding provider signs; a provider
    ///      has what was released to it and did not go back.
    function checkNobodyTakesFromOthers() external view {
        for (uint256 t = 0; t < 3; ++t) {
            for (uint256 to = 0; to < PROVIDERS; ++to) {
                uint256 released = 0;
                for (uint256 who = 0; who < PAYERS; ++who) {
                    released += _checkedRelease(payer(who), provider(to), _tokens[t]);
                }
                ProviderAccount memory a = payments.account(provider(to), _tokens[t]);
                uint256 has = _earned[provider(to)][_tokens[t]] + a.balance + a.pot;
                vm.assertEq(has, released, "a provider has what was released");
            }
        }
    }

    function _checkedRelease(address from, address to, address token)
        private
        view
        returns (uint256 released)
    {
        Channel memory c = payments.channel(from, to, token);
        released = uint256(c.released) + c.owed;
        uint256 there = uint256(c.balance) + c.heldOlder + c.heldRecent + released;
        vm.assertEq(there + _paidBack[from][to][token], _paidIn[from][to][token], "a payer's own money");
    }
}

/// @notice Payers, redeemers and a provider at random.
/// forge-config: deep.invariant.runs = 100
/// forge-config: deep.invariant.depth = 200
contract PaymentsInvariantTest is Test {
    PaymentActors private actors;

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function setUp() external {
        vm.warp(1_800_000_000);
        // Everything but the receipts is the real thing.
        address stake = vm.deployCode("ProviderStake.sol:ProviderStake", abi.encode(_parameters()));
        actors = new PaymentActors(
            IPayments(vm.deployCode("Payments.sol:Payments", abi.encode(new StakedReceipts(stake))))
        );
    }

    function targetContracts() external view returns (address[] memory all) {
        all = new address[](1);
        all[0] = address(actors);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory all) {
        all = new FuzzSelector[](1);
        all[0].addr = address(actors);
        all[0].selectors = new bytes4[](8);
        all[0].selectors[0] = PaymentActors.passTime.selector;
        all[0].selectors[1] = PaymentActors.deposit.selector;
        all[0].selectors[2] = PaymentActors.redeem.selector;
        all[0].selectors[3] = PaymentActors.refund.selector;
        all[0].selectors[4] = PaymentActors.askBack.selector;
        all[0].selectors[5] = PaymentActors.takeBack.selector;
        all[0].selectors[6] = PaymentActors.collect.selector;
        all[0].selectors[7] = PaymentActors.withdraw.selector;
    }

    function invariant_payments_are_solvent_and_nobody_takes_from_others() external view {
        actors.checkSolvency();
        actors.checkNobodyTakesFromOthers();
    }

    /// @dev The random play reaches what it is about.
    function test_random_payments_reach_refunds_redemptions_and_withdrawals() external {
        uint256 seed = 1;
        for (uint256 i = 0; i < 1000; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            (uint256 a, uint256 b, uint256 c, uint256 d) = (seed >> 8, seed >> 40, seed >> 72, seed >> 104);
            uint256 which = seed % 8;
            if (which == 0) actors.passTime(a);
            if (which == 1) actors.deposit(a, b, c, d);
            if (which == 2) actors.redeem(a, b, c, d, a % 4 == 0);
            if (which == 3) actors.refund(a, b, c, d);
            if (which == 4) actors.askBack(a, b, c, d);
            if (which == 5) actors.takeBack(a, b, c);
            if (which == 6) actors.collect(a, b, c);
            if (which == 7) actors.withdraw(a, b);
            actors.checkSolvency();
            actors.checkNobodyTakesFromOthers();
        }
        vm.assertGt(actors.refunds(), 10);
        vm.assertGt(actors.redemptions(), 10);
        vm.assertGt(actors.withdrawals(), 0);
    }

    function _parameters() private pure returns (ProtocolParameters memory) {
        return Parameters.devnet();
    }
}

contract StakedReceipts is CarelessReceipts {
    address public immutable stake;

    constructor(address newStake) {
        stake = newStake;
    }
}
