// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IInferenceLedger} from "./interfaces/IInferenceLedger.sol";
import {IOpenings, RewardPot} from "./interfaces/IOpenings.sol";
import {IProviderStake} from "./interfaces/IProviderStake.sol";
import {ProtocolParameters} from "./libraries/Parameters.sol";

/// @title The part of the ledger about openings, bonds and rewards; documented on `IOpenings`
abstract contract Openings is IOpenings, ReentrancyGuardTransient {
    IProviderStake private immutable _vault;
    uint64 private immutable _joinWindow;
    uint256 private immutable _challengerBond;
    uint256 private immutable _bondLoad;
    uint256 private immutable _gameReward;
    uint32 internal immutable _maxGamesPerResponse;

    /// @inheritdoc IOpenings
    mapping(bytes32 commitment => uint256 blockNumber) public openingBlock;
    mapping(uint256 batchId => mapping(uint256 index => RewardPot)) private _pots;

    constructor(IProviderStake vault) {
        _vault = vault;
        ProtocolParameters memory p = vault.parameters();
        _joinWindow = p.joinWindow;
        _challengerBond = p.challengerBond;
        _bondLoad = p.bondLoad;
        _gameReward = p.gameReward;
        _maxGamesPerResponse = p.maxGamesPerResponse;
    }

    /// @inheritdoc IOpenings
    function commitOpening(bytes32 commitment) external {
        // Whoever copies a commitment from the mempool only makes it older, so nothing reverts here.
        if (openingBlock[commitment] != 0) return;
        openingBlock[commitment] = block.number;
        emit OpeningCommitted(commitment, msg.sender);
    }

    /// @inheritdoc IOpenings
    function join(uint256 batchId, uint256 index, bytes32 secret) external nonReentrant {
        RewardPot storage pot = _pots[batchId][index];
        require(pot.voidBlock != 0, NothingToJoin(batchId, index));
        address provider = _providerOf(batchId);
        require(msg.sender != provider, IInferenceLedger.ProviderCannotChallenge(provider));
        require(block.timestamp <= pot.joinDeadline, JoinWindowClosed(pot.joinDeadline));
        require(pot.placesLeft != 0, NoRewardLeft(batchId, index));
        _useOpening(msg.sender, batchId, index, secret, pot.voidBlock);
        pot.placesLeft -= 1;
        emit OpeningJoined(batchId, index, msg.sender);
        _payReward(batchId, index, msg.sender);
    }

    /// @inheritdoc IOpenings
    function closeRewards(uint256 batchId, uint256 index) external nonReentrant {
        RewardPot storage pot = _pots[batchId][index];
        require(pot.voidBlock != 0, NothingToJoin(batchId, index));
        require(block.timestamp > pot.joinDeadline, JoinWindowOpen(pot.joinDeadline));
        require(pot.placesLeft != 0, NoRewardLeft(batchId, index));
        uint256 left = pot.placesLeft * _gameReward;
        pot.placesLeft = 0;
        emit RewardsClosed(batchId, index, left);
        _vault.burnEscrow(left);
    }

    /// @inheritdoc IOpenings
    function openingCommitment(address challenger, uint256 batchId, uint256 index, bytes32 secret)
        public
        view
        returns (bytes32)
    {
        return keccak256(abi.encode(block.chainid, address(this), challenger, batchId, index, secret));
    }

    /// @inheritdoc IOpenings
    function openGamesOf(address provider) public view returns (uint256) {
        return _vault.account(provider).openGames;
    }

    /// @inheritdoc IOpenings
    function bondFor(address provider) external view returns (uint256) {
        return _bondAfter(openGamesOf(provider));
    }

    /// @inheritdoc IOpenings
    function rewardPot(uint256 batchId, uint256 index) external view returns (RewardPot memory) {
        return _pots[batchId][index];
    }

    // --- for the ledger

    function _providerOf(uint256 batchId) internal view virtual returns (address);

    /// @dev An opening works once, and only if it was committed before block `before`.
    function _useOpening(address challenger, uint256 batchId, uint256 index, bytes32 secret, uint256 before)
        internal
    {
        bytes32 commitment = openingCommitment(challenger, batchId, index, secret);
        uint256 committedAt = openingBlock[commitment];
        require(committedAt != 0, OpeningNotCommitted(commitment));
        require(committedAt < before, OpeningCommittedLate(committedAt, before));
        delete openingBlock[commitment];
    }

    /// @dev The bond that a new game owes; the next one's is higher.
    function _addGame(address provider) internal returns (uint256 bond) {
        bond = _bondAfter(_vault.addGame(provider));
    }

    function _bondAfter(uint256 openGames) private view returns (uint256) {
        return _challengerBond + _challengerBond * openGames / _bondLoad;
    }

    /// @dev Takes the lock of a response that becomes void: the rewards into escrow, the rest is burned. `places` have
    ///      claims already.
    function _setAside(uint256 batchId, uint256 index, address provider, uint256 lockedAmount, uint256 places)
        internal
    {
        uint64 joinDeadline = uint64(block.timestamp) + _joinWindow;
        uint32 left = uint32(_maxGamesPerResponse - places);
        _pots[batchId][index] = RewardPot(uint64(block.number), joinDeadline, left);
        emit RewardsSetAside(batchId, index, joinDeadline, left);
        _vault.slash(provider, lockedAmount, _maxGamesPerResponse * _gameReward);
    }

    function _payReward(uint256 batchId, uint256 index, address to) internal {
        emit RewardPaid(batchId, index, to, _gameReward);
        _vault.payReward(to, _gameReward);
    }

    function _joinTime() internal view returns (uint64) {
        return _joinWindow;
    }
}
