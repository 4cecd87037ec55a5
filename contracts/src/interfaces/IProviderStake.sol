// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ProtocolParameters} from "../libraries/Parameters.sol";
import {IGuardian} from "./IGuardian.sol";

/// @notice A provider's stake. `locked` and `exiting` are parts of `total`; a slash takes exiting stake too, so
///         afterwards they may add up to more.
/// @param total stake held
/// @param locked part that backs posted responses
/// @param exiting part that the provider has asked back
/// @param exitAvailableAt first second at which `completeExit` works; 0 without a pending exit
/// @param pausedAt when its bond was last taken; 0: never
/// @param isPaused whether it posts nothing until `resume`
/// @param openGames games open against the provider, over all its responses that are not void
struct StakeAccount {
    uint112 total;
    uint112 locked;
    uint32 openGames;
    // ---
    uint112 exiting;
    uint64 exitAvailableAt;
    uint64 pausedAt;
    bool isPaused;
}

/// @notice A key that signs a provider's receipts.
/// @param registeredAt first second at which a receipt can be dated; 0: unknown
/// @param retiredAt last second at which a receipt can be dated; 0: not retired
/// @param allowance most wei that all its receipts together can ever cost
/// @param slashed what they have cost so far
struct ReceiptSigner {
    uint64 registeredAt;
    uint64 retiredAt;
    uint256 allowance;
    uint256 slashed;
}

/// @notice Why an account was credited: stake that left, escrow that was paid out (a bond, a price or a fee), or part of
///         what somebody else lost. Only the last can be delayed by a guardian.
enum CreditReason {
    Exit,
    Escrow,
    Reward
}

/// @title The vault: stakes, bonds and fees in escrow, credits, burned ether
/// @notice All ether of the protocol is here, and only the ledger, the two games and the receipts move it. Nothing is ever
///         pushed: winners get credits and withdraw them. Burned ether stays here, counted and frozen.
///         Invariant: totalStake + totalEscrow + totalCredits + totalBurned <= balance, with equality
///         unless ether was forced in.
///         A provider is its owner's address: what deposits, exits, withdraws and names keys; any account, a contract
///         too. The operator posts and plays, receipt signers sign, and neither can do anything else.
interface IProviderStake is IGuardian {
    event Initialised(address indexed ledger, address indexed game, address indexed receipts, address audits);
    event Deposited(address indexed provider, uint256 amount, uint256 total);
    event ExitRequested(address indexed provider, uint256 amount, uint64 availableAt);
    event ExitCancelled(address indexed provider, uint256 amount);
    event ExitCompleted(address indexed provider, uint256 amount);
    event StakeLocked(address indexed provider, uint256 amount, uint256 locked);
    event StakeReleased(address indexed provider, uint256 amount, uint256 locked);
    event StakeSlashed(address indexed provider, address indexed beneficiary, uint256 reward, uint256 burned);
    event BondSlashed(address indexed provider, uint256 burned, uint64 pausedAt);
    event ProviderResumed(address indexed provider);
    event ReceiptStakeSlashed(
        address indexed provider,
        address indexed signer,
        address indexed claimant,
        uint256 reward,
        uint256 burned
    );
    event OperatorSet(address indexed provider, address indexed operator);
    event SignerRegistered(
        address indexed provider, address indexed signer, uint256 allowance, uint64 registeredAt
    );
    event SignerWasRetired(address indexed provider, address indexed signer, uint64 retiredAt);
    /// @notice `holder`: the contract on whose behalf the escrow is held.
    event EscrowReceived(address indexed holder, address indexed from, uint256 amount);
    event EscrowPaid(address indexed holder, address indexed to, uint256 amount);
    event EscrowForfeited(
        address indexed holder, address indexed beneficiary, uint256 reward, uint256 burned
    );
    event EscrowBurned(address indexed holder, uint256 amount);
    /// @notice Every credit, whatever event says where it came from.
    event Credited(address indexed account, uint256 amount, CreditReason reason);
    event Withdrawn(address indexed account, uint256 amount);

    /// Only the account that deployed the vault may wire it.
    error NotDeployer(address caller);
    /// The vault is wired already.
    error AlreadyInitialised();
    /// A wired contract must have code; deploy it first.
    error NotAContract(address account);
    /// Only the ledger (or the receipts; for escrow, the game too) may do this.
    error NotProtocol(address caller);
    /// Send some ether.
    error NothingSent();
    /// The provider has less free stake than this needs; deposit more.
    error InsufficientStake(address provider, uint256 needed, uint256 available);
    /// The provider's bond was taken; its owner deposits a new one and calls `resume`.
    error ProviderPaused(address provider);
    /// The provider is not paused.
    error NotPaused(address provider);
    /// Resume in a later second than the bond was taken.
    error ResumeTooEarly(uint64 pausedAt);
    /// Name an account.
    error InvalidSigner();
    /// A signer's allowance only rises; to lower it, retire the key and register another.
    error AllowanceOnlyRises(address signer, uint256 allowance);
    /// The signer is retired for good; register another key.
    error SignerRetired(address signer, uint64 retiredAt);
    /// The provider never registered this signer.
    error SignerUnknown(address provider, address signer);
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

    /// @notice Wires the vault to the ledger, the game, the receipts and the audits; once, by the deployer.
    function initialise(address newLedger, address newGame, address newReceipts, address newAudits) external;

    // --- providers

    /// @notice Adds the sent ether to the caller's stake.
    function deposit() external payable;

    /// @notice Asks `amount` of unlocked stake back; it can no longer back new responses, but stays slashable. While
    ///         anything is locked, `providerBond` stays.
    function requestExit(uint256 amount) external;

    /// @notice Takes a pending exit back.
    function cancelExit() external;

    /// @notice After the exit delay: turns the exiting stake into credits, as far as locks and the bond allow.
    function completeExit() external;

    /// @notice Ends a pause, with the whole bond here again.
    function resume() external;

    /// @notice Names who posts batches and plays games for the caller; 0: the caller alone. Works at once.
    function setOperator(address newOperator) external;

    /// @notice Registers a key that signs the caller's receipts from now on, or raises its allowance.
    function registerSigner(address signer, uint256 allowance) external;

    /// @notice Receipts dated later are void; those dated until now stay claimable.
    function retireSigner(address signer) external;

    // --- everyone

    /// @notice Sends the caller's credits to the caller; while a guardian delays rewards, all credits but those.
    function withdraw() external;

    /// @notice Sends the caller's credits to `to` (for contracts that cannot receive ether).
    function withdrawTo(address payable to) external;

    // --- the ledger and the game only

    /// @notice Locks free stake behind new responses; reverts with `InsufficientStake` or `ProviderPaused`, and with
    ///         `PostingDelayed` while a guardian delays.
    function lock(address provider, uint256 amount) external;

    /// @notice One more game is open against a provider; how many were open before.
    function addGame(address provider) external returns (uint256 before);

    /// @notice So many games against a provider are over, or their response is void.
    function removeGames(address provider, uint256 number) external;

    /// @notice Gives locked stake free again.
    function release(address provider, uint256 amount) external;

    /// @notice Takes locked stake away: `kept` into the caller's escrow (`StakeSlashed` names the caller), the rest burned.
    function slash(address provider, uint256 amount, uint256 kept) external;

    /// @notice A response posted at `postedAt` is void: unless the bond was taken since, burns it, as far as it is
    ///         there, exiting stake included, and pauses the provider.
    function slashBond(address provider, uint64 postedAt) external;

    /// @notice For the receipts only: takes up to `amount` of unlocked stake, exiting stake and the bond included, within
    ///         the signer's allowance; two fifths to `claimant`, the rest burned.
    function slashReceipt(address provider, address signer, uint256 amount, address claimant)
        external
        returns (uint256 penalty);

    /// @notice Takes the sent ether (a bond or a fee) into escrow for the caller.
    function receiveEscrow(address from) external payable;

    /// @notice Turns escrow of the calling contract into credits of `to`.
    function payEscrow(address to, uint256 amount) external;

    /// @notice The same, for what somebody else lost: a guardian can delay it.
    function payReward(address to, uint256 amount) external;

    /// @notice A lost bond: half becomes credits of `beneficiary`, the rest is burned.
    function forfeitEscrow(uint256 amount, address beneficiary) external;

    /// @notice Burns escrow of the calling contract.
    function burnEscrow(uint256 amount) external;

    // --- views

    function parameters() external view returns (ProtocolParameters memory);
    function deployer() external view returns (address);
    function ledger() external view returns (address);
    function game() external view returns (address);
    function receipts() external view returns (address);
    function audits() external view returns (address);
    function account(address provider) external view returns (StakeAccount memory);

    /// @notice Stake that can back new responses: `backing` less the bond, or 0; 0 while paused.
    function freeStake(address provider) external view returns (uint256);

    /// @notice Stake that is neither locked nor exiting, the bond included.
    function backing(address provider) external view returns (uint256);
    function isPaused(address provider) external view returns (bool);

    /// @notice Who acts beside the owner; 0: nobody.
    function operatorOf(address provider) external view returns (address);

    /// @notice Whether the account may post and play for the provider: owner or operator.
    function actsFor(address who, address provider) external view returns (bool);
    function receiptSigner(address provider, address signer) external view returns (ReceiptSigner memory);

    /// @notice What a new receipt of this signer could cost the provider at most: the allowance left, or the backing.
    function receiptBacking(address provider, address signer) external view returns (uint256);
    function credits(address owner) external view returns (uint256);

    /// @notice The part of an account's credits that a guardian's delay concerns: its rewards. 0 where there is no guardian.
    function delayableCredits(address owner) external view returns (uint256);

    /// @notice Escrow held for the ledger or the game.
    function escrowOf(address holder) external view returns (uint256);
    function totalStake() external view returns (uint256);
    function totalEscrow() external view returns (uint256);
    function totalCredits() external view returns (uint256);
    function totalBurned() external view returns (uint256);
}
