// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {Guardian} from "./Guardian.sol";
import {CreditReason, IProviderStake, ReceiptSigner, StakeAccount} from "./interfaces/IProviderStake.sol";
import {Parameters, ProtocolParameters} from "./libraries/Parameters.sol";

/// @title The vault of the protocol; documented on `IProviderStake`
contract ProviderStake is IProviderStake, Guardian, ReentrancyGuardTransient {
    // Of a lost receipt's penalty the claimant gets two fifths; the rest is burned, whoever the claimant is.
    uint256 private constant _CLAIMANT_FIFTHS = 2;

    /// @inheritdoc IProviderStake
    address public immutable deployer;

    /// @inheritdoc IProviderStake
    address public ledger;
    /// @inheritdoc IProviderStake
    address public game;
    /// @inheritdoc IProviderStake
    address public receipts;
    /// @inheritdoc IProviderStake
    address public audits;

    // Sums over everybody share slots with what is seldom zero or changes with them: 2^128 wei are more than all ether there is.
    uint128 private _totalStake;
    uint128 private _totalCredits;
    // ---
    uint128 private _gameEscrow;
    uint128 private _totalBurned;
    // ---
    uint128 private _ledgerEscrow;
    uint128 private _receiptsEscrow;
    // ---
    uint128 private _auditsEscrow;

    /// @inheritdoc IProviderStake
    mapping(address owner => uint256) public credits;
    /// @inheritdoc IProviderStake
    mapping(address owner => uint256) public delayableCredits;

    /// @inheritdoc IProviderStake
    mapping(address provider => address) public operatorOf;

    // Written in the constructor only; a struct cannot be `immutable`.
    ProtocolParameters private _parameters;
    mapping(address provider => StakeAccount) private _accounts;
    mapping(address provider => mapping(address signer => ReceiptSigner)) private _signers;

    modifier onlyLedger() {
        require(msg.sender == ledger, NotProtocol(msg.sender));
        _;
    }

    modifier onlyProtocol() {
        bool isOurs =
            msg.sender == game || msg.sender == ledger || msg.sender == receipts || msg.sender == audits;
        require(isOurs, NotProtocol(msg.sender));
        _;
    }

    constructor(ProtocolParameters memory newParameters) Guardian(newParameters) {
        Parameters.validate(newParameters);
        _parameters = newParameters;
        deployer = msg.sender;
    }

    /// @inheritdoc IProviderStake
    function initialise(address newLedger, address newGame, address newReceipts, address newAudits) external {
        require(msg.sender == deployer, NotDeployer(msg.sender));
        require(ledger == address(0), AlreadyInitialised());
        require(newLedger.code.length != 0, NotAContract(newLedger));
        require(newGame.code.length != 0, NotAContract(newGame));
        require(newReceipts.code.length != 0, NotAContract(newReceipts));
        require(newAudits.code.length != 0, NotAContract(newAudits));
        ledger = newLedger;
        game = newGame;
        receipts = newReceipts;
        audits = newAudits;
        emit Initialised(newLedger, newGame, newReceipts, newAudits);
    }

    // --- providers

    /// @inheritdoc IProviderStake
    function deposit() external payable {
        require(msg.value != 0, NothingSent());
        StakeAccount storage stake = _accounts[msg.sender];
        stake.total += uint112(msg.value);
        _totalStake += uint128(msg.value);
        emit Deposited(msg.sender, msg.value, stake.total);
    }

    /// @inheritdoc IProviderStake
    function requestExit(uint256 amount) external {
        StakeAccount storage stake = _accounts[msg.sender];
        require(stake.exitAvailableAt == 0, ExitPending(stake.exitAvailableAt));
        uint256 most = _exitable(stake);
        require(amount != 0 && amount <= most, InsufficientStake(msg.sender, amount, most));
        stake.exiting = uint112(amount);
        stake.exitAvailableAt = uint64(block.timestamp) + _parameters.exitDelay;
        emit ExitRequested(msg.sender, amount, stake.exitAvailableAt);
    }

    /// @inheritdoc IProviderStake
    function cancelExit() external {
        StakeAccount storage stake = _accounts[msg.sender];
        require(stake.exitAvailableAt != 0, NoExitPending());
        emit ExitCancelled(msg.sender, stake.exiting);
        stake.exiting = 0;
        stake.exitAvailableAt = 0;
    }

    /// @inheritdoc IProviderStake
    function completeExit() external {
        StakeAccount storage stake = _accounts[msg.sender];
        require(stake.exitAvailableAt != 0, NoExitPending());
        require(block.timestamp >= stake.exitAvailableAt, ExitNotReady(stake.exitAvailableAt));
        uint256 most = _exitable(stake);
        uint256 amount = stake.exiting < most ? stake.exiting : most;
        stake.exiting = 0;
        stake.exitAvailableAt = 0;
        stake.total -= uint112(amount);
        _totalStake -= uint128(amount);
        emit ExitCompleted(msg.sender, amount);
        _credit(msg.sender, amount, CreditReason.Exit);
    }

    /// @inheritdoc IProviderStake
    function resume() external {
        StakeAccount storage stake = _accounts[msg.sender];
        require(stake.isPaused, NotPaused(msg.sender));
        // A batch of the second of the slash was posted before it.
        require(block.timestamp > stake.pausedAt, ResumeTooEarly(stake.pausedAt));
        uint256 here = backing(msg.sender);
        require(
            here >= _parameters.providerBond, InsufficientStake(msg.sender, _parameters.providerBond, here)
        );
        stake.isPaused = false;
        emit ProviderResumed(msg.sender);
    }

    /// @inheritdoc IProviderStake
    function setOperator(address newOperator) external {
        operatorOf[msg.sender] = newOperator;
        emit OperatorSet(msg.sender, newOperator);
    }

    /// @inheritdoc IProviderStake
    function registerSigner(address signer, uint256 allowance) external {
        require(signer != address(0), InvalidSigner());
        ReceiptSigner storage key = _signers[msg.sender][signer];
        require(key.retiredAt == 0, SignerRetired(signer, key.retiredAt));
        // What stands behind receipts that clients hold already is never lowered.
        require(allowance > key.allowance, AllowanceOnlyRises(signer, key.allowance));
        if (key.registeredAt == 0) key.registeredAt = uint64(block.timestamp);
        key.allowance = allowance;
        emit SignerRegistered(msg.sender, signer, allowance, key.registeredAt);
    }

    /// @inheritdoc IProviderStake
    function retireSigner(address signer) external {
        ReceiptSigner storage key = _signers[msg.sender][signer];
        require(key.registeredAt != 0, SignerUnknown(msg.sender, signer));
        require(key.retiredAt == 0, SignerRetired(signer, key.retiredAt));
        key.retiredAt = uint64(block.timestamp);
        emit SignerWasRetired(msg.sender, signer, key.retiredAt);
    }

    // --- everyone

    /// @inheritdoc IProviderStake
    function withdraw() external {
        _withdraw(payable(msg.sender));
    }

    /// @inheritdoc IProviderStake
    function withdrawTo(address payable to) external {
        _withdraw(to);
    }

    // --- the ledger and the game only

    /// @inheritdoc IProviderStake
    function lock(address provider, uint256 amount) external onlyLedger {
        require(!_isDelayed(), PostingDelayed(delayedUntil));
        StakeAccount storage stake = _accounts[provider];
        require(!stake.isPaused, ProviderPaused(provider));
        uint256 free = freeStake(provider);
        require(amount <= free, InsufficientStake(provider, amount, free));
        stake.locked += SafeCast.toUint112(amount);
        emit StakeLocked(provider, amount, stake.locked);
    }

    /// @inheritdoc IProviderStake
    function release(address provider, uint256 amount) external onlyLedger {
        StakeAccount storage stake = _accounts[provider];
        stake.locked -= SafeCast.toUint112(amount);
        emit StakeReleased(provider, amount, stake.locked);
    }

    /// @inheritdoc IProviderStake
    function addGame(address provider) external onlyLedger returns (uint256 before) {
        before = _accounts[provider].openGames;
        _accounts[provider].openGames = SafeCast.toUint32(before + 1);
    }

    /// @inheritdoc IProviderStake
    function removeGames(address provider, uint256 number) external onlyLedger {
        _accounts[provider].openGames -= SafeCast.toUint32(number);
    }

    /// @inheritdoc IProviderStake
    function slash(address provider, uint256 amount, uint256 kept) external onlyLedger {
        _takeLocked(provider, amount);
        _ledgerEscrow += uint128(kept);
        _totalBurned += uint128(amount - kept);
        emit StakeSlashed(provider, msg.sender, kept, amount - kept);
        emit EscrowReceived(msg.sender, provider, kept);
    }

    /// @inheritdoc IProviderStake
    function slashBond(address provider, uint64 postedAt) external onlyLedger {
        StakeAccount storage stake = _accounts[provider];
        // Posted before the bond was taken: it was one bond that stood behind it.
        if (postedAt <= stake.pausedAt) return;
        uint256 unlocked = stake.total - stake.locked;
        uint256 amount = _parameters.providerBond < unlocked ? _parameters.providerBond : unlocked;
        stake.isPaused = true;
        stake.pausedAt = uint64(block.timestamp);
        stake.total -= uint112(amount);
        _totalStake -= uint128(amount);
        _totalBurned += uint128(amount);
        emit BondSlashed(provider, amount, stake.pausedAt);
    }

    /// @inheritdoc IProviderStake
    function slashReceipt(address provider, address signer, uint256 amount, address claimant)
        external
        returns (uint256 penalty)
    {
        require(msg.sender == receipts, NotProtocol(msg.sender));
        ReceiptSigner storage key = _signers[provider][signer];
        StakeAccount storage stake = _accounts[provider];
        penalty = Math.min(amount, Math.min(key.allowance - key.slashed, stake.total - stake.locked));
        key.slashed += penalty;
        stake.total -= uint112(penalty);
        _totalStake -= uint128(penalty);
        uint256 reward = penalty * _CLAIMANT_FIFTHS / 5;
        _totalBurned += uint128(penalty - reward);
        emit ReceiptStakeSlashed(provider, signer, claimant, reward, penalty - reward);
        _reward(claimant, reward);
    }

    /// @inheritdoc IProviderStake
    function receiveEscrow(address from) external payable onlyProtocol {
        if (msg.sender == game) _gameEscrow += uint128(msg.value);
        else if (msg.sender == ledger) _ledgerEscrow += uint128(msg.value);
        else if (msg.sender == receipts) _receiptsEscrow += uint128(msg.value);
        else _auditsEscrow += uint128(msg.value);
        emit EscrowReceived(msg.sender, from, msg.value);
    }

    /// @inheritdoc IProviderStake
    function payEscrow(address to, uint256 amount) external onlyProtocol {
        _takeEscrow(amount);
        emit EscrowPaid(msg.sender, to, amount);
        _credit(to, amount, CreditReason.Escrow);
    }

    /// @inheritdoc IProviderStake
    function payReward(address to, uint256 amount) external onlyLedger {
        _takeEscrow(amount);
        emit EscrowPaid(msg.sender, to, amount);
        _reward(to, amount);
    }

    /// @inheritdoc IProviderStake
    function forfeitEscrow(uint256 amount, address beneficiary) external onlyProtocol {
        _takeEscrow(amount);
        uint256 reward = amount / 2;
        emit EscrowForfeited(msg.sender, beneficiary, reward, amount - reward);
        _totalBurned += uint128(amount - reward);
        _reward(beneficiary, reward);
    }

    /// @inheritdoc IProviderStake
    function burnEscrow(uint256 amount) external onlyProtocol {
        _takeEscrow(amount);
        _totalBurned += uint128(amount);
        emit EscrowBurned(msg.sender, amount);
    }

    // --- views

    /// @inheritdoc IProviderStake
    function parameters() external view returns (ProtocolParameters memory) {
        return _parameters;
    }

    /// @inheritdoc IProviderStake
    function escrowOf(address holder) external view returns (uint256) {
        if (holder == game) return _gameEscrow;
        if (holder == ledger) return _ledgerEscrow;
        if (holder == receipts) return _receiptsEscrow;
        return holder == audits ? _auditsEscrow : 0;
    }

    /// @inheritdoc IProviderStake
    function totalStake() external view returns (uint256) {
        return _totalStake;
    }

    /// @inheritdoc IProviderStake
    function totalEscrow() external view returns (uint256) {
        return uint256(_gameEscrow) + _ledgerEscrow + _receiptsEscrow + _auditsEscrow;
    }

    /// @inheritdoc IProviderStake
    function totalCredits() external view returns (uint256) {
        return _totalCredits;
    }

    /// @inheritdoc IProviderStake
    function totalBurned() external view returns (uint256) {
        return _totalBurned;
    }

    /// @inheritdoc IProviderStake
    function account(address provider) external view returns (StakeAccount memory) {
        return _accounts[provider];
    }

    /// @inheritdoc IProviderStake
    function freeStake(address provider) public view returns (uint256) {
        if (_accounts[provider].isPaused) return 0;
        return Math.saturatingSub(backing(provider), _parameters.providerBond);
    }

    /// @inheritdoc IProviderStake
    function backing(address provider) public view returns (uint256) {
        StakeAccount storage stake = _accounts[provider];
        // What is slashed may have been exiting: the parts may then exceed the total.
        return Math.saturatingSub(stake.total, uint256(stake.locked) + stake.exiting);
    }

    /// @inheritdoc IProviderStake
    function isPaused(address provider) external view returns (bool) {
        return _accounts[provider].isPaused;
    }

    /// @inheritdoc IProviderStake
    function actsFor(address who, address provider) external view returns (bool) {
        return who == provider || (who != address(0) && who == operatorOf[provider]);
    }

    /// @inheritdoc IProviderStake
    function receiptSigner(address provider, address signer) external view returns (ReceiptSigner memory) {
        return _signers[provider][signer];
    }

    /// @inheritdoc IProviderStake
    function receiptBacking(address provider, address signer) external view returns (uint256) {
        ReceiptSigner storage key = _signers[provider][signer];
        return Math.min(key.allowance - key.slashed, backing(provider));
    }

    // --- private

    // Ether goes to accounts of any kind; the result is checked, the books are settled before.
    // slither-disable-next-line low-level-calls
    function _withdraw(address payable to) private nonReentrant {
        uint256 amount = credits[msg.sender];
        uint256 held = delayableCredits[msg.sender];
        if (held != 0) {
            if (_isDelayed()) {
                amount -= held;
                require(amount != 0, RewardsDelayed(delayedUntil));
            } else {
                delayableCredits[msg.sender] = 0;
            }
        }
        require(amount != 0, NothingToWithdraw());
        credits[msg.sender] -= amount;
        _totalCredits -= uint128(amount);
        emit Withdrawn(msg.sender, amount);
        (bool sent,) = to.call{value: amount}("");
        require(sent, TransferFailed(to));
    }

    /// @dev What can leave: all that is not locked, but the bond only once nothing is locked any more.
    function _exitable(StakeAccount storage stake) private view returns (uint256) {
        uint256 kept = stake.locked == 0 ? 0 : stake.locked + _parameters.providerBond;
        return Math.saturatingSub(stake.total, kept);
    }

    /// @dev Nobody takes more than it holds: the game cannot spend the ledger's bonds.
    function _takeEscrow(uint256 amount) private {
        uint128 taken = SafeCast.toUint128(amount);
        if (msg.sender == game) _gameEscrow -= taken;
        else if (msg.sender == ledger) _ledgerEscrow -= taken;
        else if (msg.sender == receipts) _receiptsEscrow -= taken;
        else _auditsEscrow -= taken;
    }

    function _takeLocked(address provider, uint256 amount) private {
        StakeAccount storage stake = _accounts[provider];
        uint112 taken = SafeCast.toUint112(amount);
        stake.locked -= taken;
        stake.total -= taken;
        _totalStake -= uint128(amount);
    }

    function _credit(address to, uint256 amount, CreditReason reason) private {
        credits[to] += amount;
        _totalCredits += uint128(amount);
        emit Credited(to, amount, reason);
    }

    /// @dev What somebody else lost. Without a guardian nothing can delay it, and nobody needs to know how much it is.
    function _reward(address to, uint256 amount) private {
        if (guardian != address(0)) delayableCredits[to] += amount;
        _credit(to, amount, CreditReason.Reward);
    }
}
