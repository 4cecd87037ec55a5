// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ProtocolParameters} from "../libraries/Parameters.sol";

/// @notice A provider's stake. `locked` and `exiting` are parts of `total`; they may overlap, because a
///         claim on a receipt may lock stake that is on its way out.
/// @param total stake held
/// @param locked part that backs posted responses and pending receipt claims
/// @param exiting part that the provider has asked back
/// @param exitAvailableAt first second at which `completeExit` works; 0 without a pending exit
struct StakeAccount {
    uint256 total;
    uint256 locked;
    uint256 exiting;
    uint64 exitAvailableAt;
}

/// @title The vault: stakes, bonds and fees in escrow, credits, burned ether
/// @notice All ether of the protocol is here, and only the ledger and the game move it. Nothing is ever
///         pushed: winners get credits and withdraw them. Burned ether stays here, counted and frozen.
///         Invariant: totalStake + totalEscrow + totalCredits + totalBurned <= balance, with equality
///         unless ether was forced in.
interface IProviderStake {
    event Initialised(address indexed ledger, address indexed game);
    event Deposited(address indexed provider, uint256 amount, uint256 total);
    event ExitRequested(address indexed provider, uint256 amount, uint64 availableAt);
    event ExitCancelled(address indexed provider, uint256 amount);
    event ExitCompleted(address indexed provider, uint256 amount);
    event StakeLocked(address indexed provider, uint256 amount, uint256 locked);
    event StakeReleased(address indexed provider, uint256 amount, uint256 locked);
    event StakeSlashed(address indexed provider, address indexed beneficiary, uint256 reward, uint256 burned);
    event EscrowReceived(address indexed from, uint256 amount);
    event EscrowPaid(address indexed to, uint256 amount);
    event EscrowForfeited(address indexed beneficiary, uint256 reward, uint256 burned);
    event EscrowBurned(uint256 amount);
    event Withdrawn(address indexed account, uint256 amount);

    /// Only the account that deployed the vault may wire it.
    error NotDeployer(address caller);
    /// The vault is wired already.
    error AlreadyInitialised();
    /// A wired contract must have code; deploy it first.
    error NotAContract(address account);
    /// Only the ledger (or, for escrow, the ledger and the game) may do this.
    error NotProtocol(address caller);
    /// Send some ether.
    error NothingSent();
    /// The provider has less free stake than this needs; deposit more.
    error InsufficientStake(address provider, uint256 needed, uint256 available);
    /// An exit is pending; complete or cancel it first.
    error ExitPending(uint64 availableAt);
    /// There is no pending exit; request one first.
    error NoExitPending();
    /// The exit delay is not over yet.
    error ExitNotReady(uint64 availableAt);
    /// There are no credits to withdraw.
    error NothingToWithdraw();
    /// The account refused the ether; withdraw to another address with `withdrawTo`.
    error TransferFailed(address to);

    /// @notice Wires the vault to the ledger and the game; once, by the deployer.
    function initialise(address newLedger, address newGame) external;

    // --- providers

    /// @notice Adds the sent ether to the caller's stake.
    function deposit() external payable;

    /// @notice Asks `amount` of free stake back; it can no longer back new responses, but stays slashable.
    function requestExit(uint256 amount) external;

    /// @notice Takes a pending exit back.
    function cancelExit() external;

    /// @notice After the exit delay: turns the exiting stake, less what is locked, into credits.
    function completeExit() external;

    // --- everyone

    /// @notice Sends the caller's credits to the caller.
    function withdraw() external;

    /// @notice Sends the caller's credits to `to` (for contracts that cannot receive ether).
    function withdrawTo(address payable to) external;

    // --- the ledger and the game only

    /// @notice Locks free stake; reverts with `InsufficientStake`.
    function lock(address provider, uint256 amount) external;

    /// @notice Locks up to `amount` of stake that is not locked, exiting stake included.
    function lockUpTo(address provider, uint256 amount) external returns (uint256 locked);

    /// @notice Gives locked stake free again.
    function release(address provider, uint256 amount) external;

    /// @notice Takes locked stake away: `kept` into the caller's escrow (`StakeSlashed` names the caller), the rest burned.
    function slash(address provider, uint256 amount, uint256 kept) external;

    /// @notice Takes locked stake away: half to `beneficiary`, the rest burned.
    function slashHalf(address provider, uint256 amount, address beneficiary) external;

    /// @notice Takes the sent ether (a bond or a fee) into escrow for the caller.
    function receiveEscrow(address from) external payable;

    /// @notice Turns escrow of the calling contract into credits of `to`.
    function payEscrow(address to, uint256 amount) external;

    /// @notice A lost bond: half becomes credits of `beneficiary`, the rest is burned.
    function forfeitEscrow(uint256 amount, address beneficiary) external;

    /// @notice Burns escrow of the calling contract.
    function burnEscrow(uint256 amount) external;

    // --- views

    function parameters() external view returns (ProtocolParameters memory);
    function deployer() external view returns (address);
    function ledger() external view returns (address);
    function game() external view returns (address);
    function account(address provider) external view returns (StakeAccount memory);

    /// @notice Stake that can back new responses: total - locked - exiting, or 0.
    function freeStake(address provider) external view returns (uint256);
    function credits(address owner) external view returns (uint256);

    /// @notice Escrow held for the ledger or the game.
    function escrowOf(address holder) external view returns (uint256);
    function totalStake() external view returns (uint256);
    function totalEscrow() external view returns (uint256);
    function totalCredits() external view returns (uint256);
    function totalBurned() external view returns (uint256);
}
