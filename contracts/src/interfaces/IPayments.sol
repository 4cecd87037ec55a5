// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IReceipts, Receipt} from "./IReceipts.sol";

/// @notice What a payer signs (EIP-712): everything that it owes the provider in this token, ever.
/// @param token an ERC-20, or 0 for ether
/// @param cumulative the sum of all payments up to now, in the token's smallest unit; only the increase is paid
struct Voucher {
    address payer;
    address provider;
    address token;
    uint256 cumulative;
}

/// @notice One payer's money for one provider in one token.
/// @param balance deposited and not redeemed; the payer can ask for it back
/// @param redeemed how much of the payer's vouchers was settled, paid or waived
/// @param epoch the hold period (since 1970) in which something was redeemed or released last
/// @param heldOlder redeemed in the hold period before `epoch`
/// @param heldRecent redeemed in the hold period `epoch`
/// @param hasCredit whether `credit` is not zero
/// @param released left the hold for the provider and never came back to the payer
/// @param credit refunds of what was not redeemed yet: the next redemptions are waived up to it
/// @param withdrawal what the payer asked back
/// @param withdrawableAt from when on it gets it; 0 without a request
/// @param owed refunds that the provider's account could not pay
struct Channel {
    uint112 balance;
    uint112 redeemed;
    uint32 epoch;
    uint112 heldOlder;
    uint112 heldRecent;
    bool hasCredit;
    uint112 released;
    uint112 credit;
    uint112 withdrawal;
    uint64 withdrawableAt;
    uint112 owed;
}

/// @notice A provider's money in one token.
/// @param balance free for withdrawal
/// @param pot set aside for channels to which the provider owes refunds
/// @param debt what it owes them beyond the pot: Σ owed = debt + pot
struct ProviderAccount {
    uint128 balance;
    uint128 pot;
    uint256 debt;
}

enum SkipReason {
    InvalidSignature,
    NothingNew,
    NothingDeposited
}

/// @title Prepaid deposits, cumulative vouchers, and refunds of what was not delivered
/// @notice Every amount of a token is in exactly one channel (free or held) or provider account (free or set aside):
///         Σ = `totalOwed(token)` <= this contract's balance.
///         EIP-712 domain: name "Gainsay Payments", version "1", chain id, this contract.
interface IPayments {
    event ChannelFunded(
        address indexed payer,
        address indexed provider,
        address indexed token,
        uint256 amount,
        uint256 balance
    );
    event WithdrawalRequested(
        address indexed payer,
        address indexed provider,
        address indexed token,
        uint256 amount,
        uint64 withdrawableAt
    );
    event DepositWithdrawn(
        address indexed payer, address indexed provider, address indexed token, address to, uint256 amount
    );
    event VoucherRedeemed(
        address indexed payer,
        address indexed provider,
        address indexed token,
        uint256 redeemed,
        uint256 paid,
        uint256 waived
    );
    event VoucherSkipped(
        address indexed payer,
        address indexed provider,
        address indexed token,
        uint256 place,
        SkipReason reason
    );
    event HoldReleased(
        address indexed payer, address indexed provider, address indexed token, uint256 amount, uint256 toPot
    );
    event EarningsWithdrawn(address indexed provider, address indexed token, address to, uint256 amount);
    event FeeRefunded(
        bytes32 indexed receiptId,
        address indexed payer,
        address indexed provider,
        address token,
        uint256 returned,
        uint256 owed,
        uint256 credited
    );
    event DebtCollected(
        address indexed payer, address indexed provider, address indexed token, uint256 amount
    );
    event VoucherKeySet(address indexed payer, address indexed key, uint64 validUntil);

    /// Send exactly the named amount, in ether only if the token is 0.
    error WrongEther(uint256 sent, uint256 expected);
    /// The amount is 0, or the token's deposits would exceed 2^112 - 1.
    error InvalidAmount(uint256 amount);
    /// The provider and a voucher key are addresses other than 0 and the payer.
    error InvalidParty(address party);
    /// The token moved another amount than it was told to (it takes a fee, or worse): this contract does not take it.
    error UnexpectedAmount(address token, uint256 expected, uint256 received);
    /// There is no request to withdraw; call `requestWithdrawal` first.
    error NoWithdrawalRequested();
    /// The provider can still redeem vouchers.
    error WithdrawalTooEarly(uint64 withdrawableAt);
    /// Nothing is free for withdrawal; the hold may not be over.
    error NothingToWithdraw();
    /// As many signatures as vouchers.
    error LengthsDiffer(uint256 vouchers, uint256 signatures);
    /// The receipt names no payer or no fee.
    error NothingPaid(bytes32 receiptId);
    /// This receipt was refunded before.
    error AlreadyRefunded(bytes32 receiptId);
    /// The recipient refused the ether.
    error EtherRefused(address to);

    // --- the payer

    /// @notice Adds to the caller's channel with `provider`; ether (`token` = 0) comes as `msg.value`.
    function deposit(address provider, address token, uint256 amount) external payable;

    /// @notice Asks for money of the channel back, in `withdrawalDelay`; 0 takes the request back, another one replaces it.
    ///         The provider can redeem all of the channel until it is gone.
    function requestWithdrawal(address provider, address token, uint256 amount) external;

    /// @notice Sends what was asked for, or what is left.
    function completeWithdrawal(address provider, address token, address to) external;

    /// @notice Lets `key` sign the caller's vouchers. Its vouchers count for `withdrawalDelay` after `revokeVoucherKey`, so
    ///         that a provider that was paid by it has time to redeem.
    function authoriseVoucherKey(address key) external;

    /// @notice Takes the authorisation back after `withdrawalDelay`.
    function revokeVoucherKey(address key) external;

    // --- the provider; anyone may do it

    /// @notice Moves the increase of every voucher, as far as the deposit reaches, to the provider: held for at least
    ///         `holdPeriod`. A voucher that is wrong or brings nothing is skipped (`VoucherSkipped`) and blocks no other.
    /// @return paid what each voucher brought
    function redeem(Voucher[] calldata vouchers, bytes[] calldata signatures)
        external
        returns (uint256[] memory paid);

    /// @notice Frees what was held long enough in these payers' channels; debts of the provider are served first.
    function release(address provider, address token, address[] calldata payers) external;

    /// @notice Sends all that is free to `to`. The provider only.
    function withdraw(address token, address to) external returns (uint256 amount);

    // --- refunds; anyone, to the payer's channel

    /// @notice Gives the fee of a receipt back that was not honoured (`IReceipts.unhonoured`), once: out of what the
    ///         channel's hold has, then the provider's free money, then as its debt; never more than this payer paid in this
    ///         channel. The rest of the fee was not redeemed yet, and will be waived.
    function refund(Receipt calldata receipt, bytes calldata signature) external;

    /// @notice Pays what is owed to a channel, as far as the provider's pot reaches.
    function collectDebt(address payer, address provider, address token) external;

    // --- views

    function receipts() external view returns (IReceipts);

    /// @notice Seconds between asking for a deposit and getting it back: challengeWindow + inclusionDelay.
    function withdrawalDelay() external view returns (uint64);

    /// @notice Least seconds for which redeemed money is held, at most twice as long:
    ///         postingWindow + challengeWindow + showWindow + both clocks.
    function holdPeriod() external view returns (uint64);
    function channel(address payer, address provider, address token) external view returns (Channel memory);
    function account(address provider, address token) external view returns (ProviderAccount memory);
    function totalOwed(address token) external view returns (uint256);
    function refunded(bytes32 receiptId) external view returns (bool);

    /// @notice Last second at which vouchers signed by `key` for `payer` are redeemed; 0: never.
    function voucherKeyValidUntil(address payer, address key) external view returns (uint64);

    /// @notice Whether the payer, or a key that it authorised, signed the voucher.
    function isSigned(Voucher calldata voucher, bytes calldata signature) external view returns (bool);

    /// @notice The EIP-712 digest that the payer signs.
    function voucherDigest(Voucher calldata voucher) external view returns (bytes32);
}
