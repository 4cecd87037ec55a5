// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {Guardian} from "./Guardian.sol";
import {CreditReason, IProviderStake, StakeAccount} from "./interfaces/IProviderStake.sol";
import {Parameters, ProtocolParameters} from "./libraries/Parameters.sol";

/// @title The vault of the protocol; documented on `IProviderStake`
contract ProviderStake is IProviderStake, Guardian, ReentrancyGuardTransient {
    /// @inheritdoc IProviderStake
    address public immutable deployer;

    /// @inheritdoc IProviderStake
    address public ledger;
    /// @inheritdoc IProviderStake
    address public game;

    /// @inheritdoc IProviderStake
    uint256 public totalStake;
    /// @inheritdoc IProviderStake
    uint256 public totalEscrow;
    /// @inheritdoc IProviderStake
    uint256 public totalCredits;
    /// @inheritdoc IProviderStake
    uint256 public totalBurned;

    /// @inheritdoc IProviderStake
    mapping(address owner => uint256) public credits;
    /// @inheritdoc IProviderStake
    mapping(address owner => uint256) public delayableCredits;
    /// @inheritdoc IProviderStake
    mapping(address holder => uint256) public escrowOf;

    // Written in the constructor only; a struct cannot be `immutable`.
    ProtocolParameters private _parameters;
    mapping(address provider => StakeAccount) private _accounts;

    modifier onlyLedger() {
        require(msg.sender == ledger, NotProtocol(msg.sender));
        _;
    }

    modifier onlyProtocol() {
        require(msg.sender == ledger || msg.sender == game, NotProtocol(msg.sender));
        _;
    }

    constructor(ProtocolParameters memory newParameters) Guardian(newParameters) {
        Parameters.validate(newParameters);
        _parameters = newParameters;
        deployer = msg.sender;
    }

    /// @inheritdoc IProviderStake
    function initialise(address newLedger, address newGame) external {
        require(msg.sender == deployer, NotDeployer(msg.sender));
        require(ledger == address(0), AlreadyInitialised());
        require(newLedger.code.length != 0, NotAContract(newLedger));
        require(newGame.code.length != 0, NotAContract(newGame));
        ledger = newLedger;
        game = newGame;
        emit Initialised(newLedger, newGame);
    }

    // --- providers

    /// @inheritdoc IProviderStake
    function deposit() external payable {
        require(msg.value != 0, NothingSent());
        StakeAccount storage stake = _accounts[msg.sender];
        stake.total += msg.value;
        totalStake += msg.value;
        emit Deposited(msg.sender, msg.value, stake.total);
    }

    /// @inheritdoc IProviderStake
    function requestExit(uint256 amount) external {
        StakeAccount storage stake = _accounts[msg.sender];
        require(stake.exitAvailableAt == 0, ExitPending(stake.exitAvailableAt));
        uint256 free = freeStake(msg.sender);
        require(amount != 0 && amount <= free, InsufficientStake(msg.sender, amount, free));
        stake.exiting = amount;
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
        uint256 unlocked = stake.total - stake.locked;
        uint256 amount = stake.exiting < unlocked ? stake.exiting : unlocked;
        stake.exiting = 0;
        stake.exitAvailableAt = 0;
        stake.total -= amount;
        totalStake -= amount;
        emit ExitCompleted(msg.sender, amount);
        _credit(msg.sender, amount, CreditReason.Exit);
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
        uint256 free = freeStake(provider);
        require(amount <= free, InsufficientStake(provider, amount, free));
        _lock(provider, amount);
    }

    /// @inheritdoc IProviderStake
    function lockUpTo(address provider, uint256 amount) external onlyLedger returns (uint256 locked) {
        StakeAccount storage stake = _accounts[provider];
        uint256 unlocked = stake.total - stake.locked;
        locked = amount < unlocked ? amount : unlocked;
        _lock(provider, locked);
    }

    /// @inheritdoc IProviderStake
    function release(address provider, uint256 amount) external onlyLedger {
        StakeAccount storage stake = _accounts[provider];
        stake.locked -= amount;
        emit StakeReleased(provider, amount, stake.locked);
    }

    /// @inheritdoc IProviderStake
    function slash(address provider, uint256 amount, uint256 kept) external onlyLedger {
        _takeLocked(provider, amount);
        escrowOf[msg.sender] += kept;
        totalEscrow += kept;
        totalBurned += amount - kept;
        emit StakeSlashed(provider, msg.sender, kept, amount - kept);
        emit EscrowReceived(msg.sender, provider, kept);
    }

    /// @inheritdoc IProviderStake
    function slashHalf(address provider, uint256 amount, address beneficiary) external onlyLedger {
        _takeLocked(provider, amount);
        uint256 reward = amount / 2;
        emit StakeSlashed(provider, beneficiary, reward, amount - reward);
        _reward(beneficiary, reward);
        totalBurned += amount - reward;
    }

    /// @inheritdoc IProviderStake
    function receiveEscrow(address from) external payable onlyProtocol {
        escrowOf[msg.sender] += msg.value;
        totalEscrow += msg.value;
        emit EscrowReceived(msg.sender, from, msg.value);
    }

    /// @inheritdoc IProviderStake
    function payEscrow(address to, uint256 amount) external onlyProtocol {
        escrowOf[msg.sender] -= amount;
        totalEscrow -= amount;
        emit EscrowPaid(msg.sender, to, amount);
        _credit(to, amount, CreditReason.Escrow);
    }

    /// @inheritdoc IProviderStake
    function payReward(address to, uint256 amount) external onlyLedger {
        escrowOf[msg.sender] -= amount;
        totalEscrow -= amount;
        emit EscrowPaid(msg.sender, to, amount);
        _reward(to, amount);
    }

    /// @inheritdoc IProviderStake
    function forfeitEscrow(uint256 amount, address beneficiary) external onlyProtocol {
        escrowOf[msg.sender] -= amount;
        totalEscrow -= amount;
        uint256 reward = amount / 2;
        emit EscrowForfeited(msg.sender, beneficiary, reward, amount - reward);
        _reward(beneficiary, reward);
        totalBurned += amount - reward;
    }

    /// @inheritdoc IProviderStake
    function burnEscrow(uint256 amount) external onlyProtocol {
        escrowOf[msg.sender] -= amount;
        totalEscrow -= amount;
        totalBurned += amount;
        emit EscrowBurned(msg.sender, amount);
    }

    // --- views

    /// @inheritdoc IProviderStake
    function parameters() external view returns (ProtocolParameters memory) {
        return _parameters;
    }

    /// @inheritdoc IProviderStake
    function account(address provider) external view returns (StakeAccount memory) {
        return _accounts[provider];
    }

    /// @inheritdoc IProviderStake
    function freeStake(address provider) public view returns (uint256) {
        StakeAccount storage stake = _accounts[provider];
        // A receipt claim may have locked stake that is exiting: the parts then overlap.
        uint256 used = stake.locked + stake.exiting;
        return used < stake.total ? stake.total - used : 0;
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
        totalCredits -= amount;
        emit Withdrawn(msg.sender, amount);
        (bool sent,) = to.call{value: amount}("");
        require(sent, TransferFailed(to));
    }

    function _lock(address provider, uint256 amount) private {
        StakeAccount storage stake = _accounts[provider];
        stake.locked += amount;
        emit StakeLocked(provider, amount, stake.locked);
    }

    function _takeLocked(address provider, uint256 amount) private {
        StakeAccount storage stake = _accounts[provider];
        stake.locked -= amount;
        stake.total -= amount;
        totalStake -= amount;
    }

    function _credit(address to, uint256 amount, CreditReason reason) private {
        credits[to] += amount;
        totalCredits += amount;
        emit Credited(to, amount, reason);
    }

    /// @dev What somebody else lost. Without a guardian nothing can delay it, and nobody needs to know how much it is.
    function _reward(address to, uint256 amount) private {
        if (guardian != address(0)) delayableCredits[to] += amount;
        _credit(to, amount, CreditReason.Reward);
    }
}
