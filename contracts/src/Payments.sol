// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {Channel, IPayments, ProviderAccount, SkipReason, Voucher} from "./interfaces/IPayments.sol";
import {IReceipts, Receipt} from "./interfaces/IReceipts.sol";
import {ProtocolParameters} from "./libraries/Parameters.sol";

/// @title Prepaid deposits, vouchers, and refunds; documented on `IPayments`
contract Payments is IPayments, EIP712, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    bytes32 private constant VOUCHER_TYPEHASH =
        keccak256("Voucher(address payer,address provider,address token,uint256 cumulative)");
    /// @dev A payer's contract that checks a signature gets no more: it cannot eat the gas of a bulk.
    uint256 private constant _SIGNATURE_GAS = 150_000;
    uint64 private constant _FOR_EVER = type(uint64).max;

    /// @inheritdoc IPayments
    IReceipts public immutable receipts;
    /// @inheritdoc IPayments
    uint64 public immutable withdrawalDelay;
    /// @inheritdoc IPayments
    uint64 public immutable holdPeriod;

    /// @inheritdoc IPayments
    mapping(address token => uint256) public totalOwed;
    /// @inheritdoc IPayments
    mapping(bytes32 receiptId => bool) public refunded;
    /// @inheritdoc IPayments
    mapping(address payer => mapping(address key => uint64)) public voucherKeyValidUntil;

    mapping(bytes32 channelId => Channel) private _channels;
    mapping(address provider => mapping(address token => ProviderAccount)) private _accounts;

    constructor(IReceipts newReceipts) EIP712("Gainsay Payments", "1") {
        receipts = newReceipts;
        ProtocolParameters memory p = newReceipts.stake().parameters();
        withdrawalDelay = p.challengeWindow + p.inclusionDelay;
        // Until a response can be void, or a claim on its receipt be lost; a guardian's delay stops the clock of posting.
        uint64 game = p.challengeWindow + p.showWindow + 2 * p.clock;
        uint64 claim = p.receiptAnswerWindow + p.inclusionDelay;
        holdPeriod = p.postingWindow + 2 * p.guardianDelay + (game > claim ? game : claim);
    }

    // --- the payer

    /// @inheritdoc IPayments
    function deposit(address provider, address token, uint256 amount) external payable nonReentrant {
        require(provider != address(0) && provider != msg.sender, InvalidParty(provider));
        uint256 total = totalOwed[token] + amount;
        // No sum in this contract is larger than a token's total, so none overflows.
        require(amount != 0 && total <= type(uint112).max, InvalidAmount(amount));
        totalOwed[token] = total;
        Channel storage c = _channels[_id(msg.sender, provider, token)];
        uint112 balance = c.balance + uint112(amount);
        c.balance = balance;
        emit ChannelFunded(msg.sender, provider, token, amount, balance);
        uint256 expectedEther = token == address(0) ? amount : 0;
        require(msg.value == expectedEther, WrongEther(msg.value, expectedEther));
        if (token != address(0)) _pull(IERC20(token), amount);
    }

    /// @inheritdoc IPayments
    function requestWithdrawal(address provider, address token, uint256 amount) external nonReentrant {
        require(amount <= type(uint112).max, InvalidAmount(amount));
        Channel storage c = _channels[_id(msg.sender, provider, token)];
        c.withdrawal = uint112(amount);
        c.withdrawableAt = amount == 0 ? 0 : uint64(block.timestamp) + withdrawalDelay;
        emit WithdrawalRequested(msg.sender, provider, token, amount, c.withdrawableAt);
    }

    /// @inheritdoc IPayments
    function completeWithdrawal(address provider, address token, address to) external nonReentrant {
        Channel storage c = _channels[_id(msg.sender, provider, token)];
        uint64 withdrawableAt = c.withdrawableAt;
        require(withdrawableAt != 0, NoWithdrawalRequested());
        require(block.timestamp > withdrawableAt, WithdrawalTooEarly(withdrawableAt));
        uint256 amount = Math.min(c.withdrawal, c.balance);
        c.withdrawal = 0;
        c.withdrawableAt = 0;
        c.balance -= uint112(amount);
        totalOwed[token] -= amount;
        emit DepositWithdrawn(msg.sender, provider, token, to, amount);
        _send(token, to, amount);
    }

    /// @inheritdoc IPayments
    function authoriseVoucherKey(address key) external nonReentrant {
        require(key != address(0) && key != msg.sender, InvalidParty(key));
        voucherKeyValidUntil[msg.sender][key] = _FOR_EVER;
        emit VoucherKeySet(msg.sender, key, _FOR_EVER);
    }

    /// @inheritdoc IPayments
    function revokeVoucherKey(address key) external nonReentrant {
        require(voucherKeyValidUntil[msg.sender][key] == _FOR_EVER, InvalidParty(key));
        uint64 validUntil = uint64(block.timestamp) + withdrawalDelay;
        voucherKeyValidUntil[msg.sender][key] = validUntil;
        emit VoucherKeySet(msg.sender, key, validUntil);
    }

    // --- the provider

    /// @inheritdoc IPayments
    function redeem(Voucher[] calldata vouchers, bytes[] calldata signatures)
        external
        nonReentrant
        returns (uint256[] memory paid)
    {
        require(vouchers.length == signatures.length, LengthsDiffer(vouchers.length, signatures.length));
        paid = new uint256[](vouchers.length);
        for (uint256 i = 0; i < vouchers.length; ++i) {
            paid[i] = _redeem(i, vouchers[i], signatures[i]);
        }
    }

    /// @inheritdoc IPayments
    function release(address provider, address token, address[] calldata payers) external nonReentrant {
        for (uint256 i = 0; i < payers.length; ++i) {
            _release(payers[i], provider, token, _channels[_id(payers[i], provider, token)]);
        }
    }

    /// @inheritdoc IPayments
    function withdraw(address token, address to) external nonReentrant returns (uint256 amount) {
        ProviderAccount storage owner = _accounts[msg.sender][token];
        amount = owner.balance;
        require(amount != 0, NothingToWithdraw());
        owner.balance = 0;
        totalOwed[token] -= amount;
        emit EarningsWithdrawn(msg.sender, token, to, amount);
        _send(token, to, amount);
    }

    // --- refunds

    /// @inheritdoc IPayments
    // The callee is the protocol's own, asked by a view.
    // slither-disable-next-line reentrancy-no-eth
    function refund(Receipt calldata receipt, bytes calldata signature) external nonReentrant {
        bytes32 receiptId = receipts.unhonoured(receipt, signature);
        require(receipt.payer != address(0) && receipt.feeWei != 0, NothingPaid(receiptId));
        require(!refunded[receiptId], AlreadyRefunded(receiptId));
        refunded[receiptId] = true;
        Channel storage c = _channels[_id(receipt.payer, receipt.provider, receipt.feeToken)];
        _release(receipt.payer, receipt.provider, receipt.feeToken, c);
        (uint256 returned, uint256 owed, uint256 credited) =
            _giveBack(c, _accounts[receipt.provider][receipt.feeToken], receipt.feeWei);
        emit FeeRefunded(
            receiptId, receipt.payer, receipt.provider, receipt.feeToken, returned, owed, credited
        );
    }

    /// @inheritdoc IPayments
    function collectDebt(address payer, address provider, address token) external nonReentrant {
        Channel storage c = _channels[_id(payer, provider, token)];
        ProviderAccount storage debtor = _accounts[provider][token];
        uint112 amount = uint112(Math.min(c.owed, debtor.pot));
        require(amount != 0, NothingToWithdraw());
        c.owed -= amount;
        debtor.pot -= amount;
        c.balance += amount;
        emit DebtCollected(payer, provider, token, amount);
    }

    // --- views

    /// @inheritdoc IPayments
    function channel(address payer, address provider, address token) external view returns (Channel memory) {
        return _channels[_id(payer, provider, token)];
    }

    /// @inheritdoc IPayments
    function account(address provider, address token) external view returns (ProviderAccount memory) {
        return _accounts[provider][token];
    }

    /// @inheritdoc IPayments
    function isSigned(Voucher calldata voucher, bytes calldata signature) public view returns (bool) {
        bytes32 digest = voucherDigest(voucher);
        (address signer, ECDSA.RecoverError failure,) = ECDSA.tryRecover(digest, signature);
        if (failure == ECDSA.RecoverError.NoError) {
            // The key of an account counts even if code was put there meanwhile (EIP-7702): it would unsay its vouchers.
            if (signer == voucher.payer) return true;
            if (block.timestamp <= voucherKeyValidUntil[voucher.payer][signer]) return true;
        }
        return voucher.payer.code.length != 0 && _contractAccepts(voucher.payer, digest, signature);
    }

    /// @inheritdoc IPayments
    function voucherDigest(Voucher calldata voucher) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(VOUCHER_TYPEHASH, voucher)));
    }

    // --- private

    function _id(address payer, address provider, address token) private pure returns (bytes32) {
        return keccak256(abi.encode(payer, provider, token));
    }

    function _redeem(uint256 place, Voucher calldata voucher, bytes calldata signature)
        private
        returns (uint256 paid)
    {
        Channel storage c = _channels[_id(voucher.payer, voucher.provider, voucher.token)];
        uint256 redeemed = c.redeemed;
        uint256 cumulative = Math.min(voucher.cumulative, type(uint112).max);
        if (cumulative <= redeemed) return _skip(place, voucher, SkipReason.NothingNew);
        uint256 waived = c.hasCredit ? Math.min(cumulative - redeemed, c.credit) : 0;
        paid = Math.min(cumulative - redeemed - waived, c.balance);
        if (paid + waived == 0) return _skip(place, voucher, SkipReason.NothingDeposited);
        if (!isSigned(voucher, signature)) return _skip(place, voucher, SkipReason.InvalidSignature);
        _release(voucher.payer, voucher.provider, voucher.token, c);
        c.redeemed = uint112(redeemed + waived + paid);
        c.balance -= uint112(paid);
        c.heldRecent += uint112(paid);
        if (waived != 0) {
            c.credit -= uint112(waived);
            c.hasCredit = c.credit != 0;
        }
        emit VoucherRedeemed(
            voucher.payer, voucher.provider, voucher.token, redeemed + waived + paid, paid, waived
        );
    }

    function _skip(uint256 place, Voucher calldata voucher, SkipReason reason) private returns (uint256) {
        emit VoucherSkipped(voucher.payer, voucher.provider, voucher.token, place, reason);
        return 0;
    }

    /// @dev Brings a channel to the present hold period; what was redeemed two periods ago or earlier becomes the provider's.
    function _release(address payer, address provider, address token, Channel storage c) private {
        uint32 epoch = uint32(block.timestamp / holdPeriod);
        uint32 last = c.epoch;
        if (last == epoch) return;
        c.epoch = epoch;
        bool isNext = last + 1 == epoch;
        uint112 freed = isNext ? c.heldOlder : c.heldOlder + c.heldRecent;
        uint112 stillHeld = isNext ? c.heldRecent : 0;
        c.heldOlder = stillHeld;
        c.heldRecent = 0;
        if (freed == 0) return;
        c.released += freed;
        ProviderAccount storage owner = _accounts[provider][token];
        uint112 toPot = uint112(Math.min(freed, owner.debt));
        owner.debt -= toPot;
        owner.pot += toPot;
        owner.balance += freed - toPot;
        emit HoldReleased(payer, provider, token, freed, toPot);
    }

    /// @dev What the payer paid and the provider cannot have spent, what it can have spent, and what was not paid yet.
    function _giveBack(Channel storage c, ProviderAccount storage debtor, uint256 fee)
        private
        returns (uint256 returned, uint256 owed, uint256 credited)
    {
        credited = Math.min(fee, type(uint112).max);
        uint256 older = Math.min(credited, c.heldOlder);
        credited -= older;
        uint256 recent = Math.min(credited, c.heldRecent);
        credited -= recent;
        uint256 released = Math.min(credited, c.released);
        credited -= released;
        uint256 free = Math.min(released, debtor.balance);
        owed = released - free;
        returned = older + recent + free;
        debtor.balance -= uint128(free);
        debtor.debt += owed;
        c.heldOlder -= uint112(older);
        c.heldRecent -= uint112(recent);
        c.released -= uint112(released);
        c.owed += uint112(owed);
        c.balance += uint112(returned);
        c.credit = uint112(Math.min(uint256(c.credit) + credited, type(uint112).max));
        c.hasCredit = c.credit != 0;
    }

    function _pull(IERC20 token, uint256 amount) private {
        // A call to an address without code would succeed and move nothing.
        require(address(token).code.length != 0, UnexpectedAmount(address(token), amount, 0));
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = token.balanceOf(address(this)) - before;
        require(received == amount, UnexpectedAmount(address(token), amount, received));
    }

    function _send(address token, address to, uint256 amount) private {
        if (token == address(0)) {
            // The caller's own money, off the books already, to wherever it says.
            // slither-disable-next-line arbitrary-send-eth,low-level-calls
            (bool sent,) = to.call{value: amount}("");
            require(sent, EtherRefused(to));
        } else {
            IERC20(token).safeTransfer(to, amount);
        }
    }

    /// @dev ERC-1271 with bounded gas, and without copying whatever comes back.
    function _contractAccepts(address payer, bytes32 digest, bytes calldata signature)
        private
        view
        returns (bool)
    {
        bytes memory data = abi.encodeCall(IERC1271.isValidSignature, (digest, signature));
        bool success;
        uint256 size;
        bytes32 word;
        assembly ("memory-safe") {
            success := staticcall(_SIGNATURE_GAS, payer, add(data, 0x20), mload(data), 0x00, 0x20)
            size := returndatasize()
            word := mload(0x00)
        }
        return success && size >= 32 && word == bytes32(IERC1271.isValidSignature.selector);
    }
}
