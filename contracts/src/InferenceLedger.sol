// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {Openings} from "./Openings.sol";
import {
    Batch,
    IInferenceLedger,
    ResponseFields,
    ResponseState,
    ResponseStatus
} from "./interfaces/IInferenceLedger.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {IProviderStake} from "./interfaces/IProviderStake.sol";
import {IReceipts, Receipt, ReceiptStatus} from "./interfaces/IReceipts.sol";
import {Leaves} from "./libraries/Leaves.sol";
import {MerklePath} from "./libraries/MerklePath.sol";
import {ProtocolParameters} from "./libraries/Parameters.sol";
import {TokenIds} from "./libraries/TokenIds.sol";

/// @title Batches and finality; documented on `IInferenceLedger`
contract InferenceLedger is IInferenceLedger, Openings {
    /// @inheritdoc IInferenceLedger
    IProviderStake public immutable stake;
    /// @inheritdoc IInferenceLedger
    IModelRegistry public immutable registry;

    uint64 private immutable _challengeWindow;
    uint64 private immutable _showWindow;
    uint256 private immutable _lockPerResponse;
    uint256 private immutable _askPrice;

    /// @inheritdoc IInferenceLedger
    uint256 public batchCount;
    /// @inheritdoc IInferenceLedger
    mapping(address provider => mapping(bytes32 salt => uint256 batchId)) public batchOf;

    mapping(uint256 batchId => Batch) private _batches;
    mapping(uint256 batchId => mapping(uint256 index => ResponseState)) private _responses;

    modifier onlyGame() {
        require(msg.sender == stake.game() || msg.sender == stake.audits(), NotGame(msg.sender));
        _;
    }

    constructor(IProviderStake newStake, IModelRegistry newRegistry) Openings(newStake) {
        stake = newStake;
        registry = newRegistry;
        ProtocolParameters memory p = newStake.parameters();
        _challengeWindow = p.challengeWindow;
        _showWindow = p.showWindow;
        _lockPerResponse = p.lockPerResponse;
        _askPrice = p.askPrice;
    }

    // --- batches

    /// @inheritdoc IInferenceLedger
    function postBatch(address provider, bytes32 root, bytes32 salt, bytes32 modelId, uint32 count)
        external
        nonReentrant
        returns (uint256 batchId)
    {
        require(stake.actsFor(msg.sender, provider), NotOperator(msg.sender, provider));
        require(root != bytes32(0) && count != 0, InvalidBatch());
        require(registry.isRegistered(modelId), IModelRegistry.ModelUnknown(modelId));
        require(batchOf[provider][salt] == 0, SaltUsed(salt));
        batchId = ++batchCount;
        batchOf[provider][salt] = batchId;
        uint64 deadline = uint64(block.timestamp) + _challengeWindow;
        _batches[batchId] = Batch({
            provider: provider,
            modelId: modelId,
            root: root,
            salt: salt,
            count: count,
            disputedCount: 0,
            postedAt: uint64(block.timestamp),
            deadline: deadline,
            finalised: false
        });
        emit BatchPosted(batchId, provider, modelId, root, salt, count, deadline);
        stake.lock(provider, count * _lockPerResponse);
    }

    /// @inheritdoc IInferenceLedger
    function finaliseBatch(uint256 batchId) external nonReentrant {
        Batch storage posted = _existing(batchId);
        require(block.timestamp > posted.deadline, ChallengeWindowOpen(posted.deadline));
        require(!posted.finalised, AlreadyFinalised());
        posted.finalised = true;
        // A first game needs the window to be open, so the number of disputed responses is settled.
        uint256 undisputed = posted.count - posted.disputedCount;
        emit BatchFinalised(batchId, undisputed);
        stake.release(posted.provider, undisputed * _lockPerResponse);
    }

    /// @inheritdoc IInferenceLedger
    function finaliseResponse(uint256 batchId, uint256 index) external nonReentrant {
        Batch storage posted = _existing(batchId);
        ResponseState storage state = _responses[batchId][index];
        require(state.disputed, ResponseNotDisputed(batchId, index));
        require(responseStatus(batchId, index) == ResponseStatus.Final, ResponseNotFinal(batchId, index));
        require(!state.released, AlreadyFinalised());
        state.released = true;
        emit ResponseFinalised(batchId, index);
        stake.release(posted.provider, _lockPerResponse);
    }

    // --- looking at what is hidden

    /// @inheritdoc IInferenceLedger
    function ask(uint256 batchId, uint256 index) external payable nonReentrant {
        Batch storage posted = _existing(batchId);
        require(index < posted.count, IndexOutOfRange(index, posted.count));
        require(msg.sender != posted.provider, ProviderCannotChallenge(posted.provider));
        require(msg.value == _askPrice, WrongAmount(msg.value, _askPrice));
        ResponseState storage state = _disputable(batchId, posted, index);
        require(state.asker == address(0), AlreadyAsked(batchId, index));
        require(!state.shown, AlreadyShown(batchId, index));
        state.asker = msg.sender;
        state.showDeadline = uint64(block.timestamp) + _showWindow;
        emit ResponseAsked(batchId, index, msg.sender, state.showDeadline);
        stake.receiveEscrow{value: msg.value}(msg.sender);
    }

    /// @inheritdoc IInferenceLedger
    function show(
        uint256 batchId,
        uint256 index,
        ResponseFields calldata fields,
        bytes32[] calldata path,
        bytes calldata promptIds,
        bytes calldata outputIds
    ) external nonReentrant {
        ResponseState storage state = _responses[batchId][index];
        require(!state.isVoid, ResponseIsVoid(batchId, index));
        require(state.asker != address(0), NobodyAsked(batchId, index));
        require(block.timestamp <= state.showDeadline, ShowWindowClosed(state.showDeadline));
        Batch storage posted = _batches[batchId];
        bytes32 leaf = _checkedLeaf(batchId, posted, index, fields, path);
        require(
            TokenIds.matches(promptIds, fields.promptLength, fields.promptHash)
                && TokenIds.matches(outputIds, fields.outputLength, fields.outputHash),
            WrongTokenIds(batchId, index)
        );
        state.asker = address(0);
        state.shown = true;
        emit ResponseShown(batchId, index, leaf, fields, path, promptIds, outputIds);
        _extendChallengeWindow(batchId, index, state, uint64(block.timestamp));
        stake.payEscrow(posted.provider, _askPrice);
    }

    /// @inheritdoc IInferenceLedger
    function claimNotShown(uint256 batchId, uint256 index) external nonReentrant {
        ResponseState storage state = _responses[batchId][index];
        address asker = state.asker;
        require(asker != address(0), NobodyAsked(batchId, index));
        require(block.timestamp > state.showDeadline, ShowWindowOpen(state.showDeadline));
        emit ResponseNotShown(batchId, index, asker);
        _void(batchId, index, state, state.openGames, asker);
    }

    // --- the game only

    /// @inheritdoc IInferenceLedger
    function beginGame(
        uint256 batchId,
        uint256 index,
        ResponseFields calldata fields,
        bytes32[] calldata path,
        address challenger,
        bytes32 secret
    ) external onlyGame returns (address provider, bytes32 modelId, bytes32 leaf, uint80 bond) {
        Batch storage posted = _existing(batchId);
        provider = posted.provider;
        modelId = posted.modelId;
        require(challenger != provider, ProviderCannotChallenge(provider));
        leaf = _checkedLeaf(batchId, posted, index, fields, path);
        ResponseState storage state = _disputable(batchId, posted, index);
        require(_placesTaken(state) < _maxGamesPerResponse, TooManyGames(_maxGamesPerResponse));
        require(block.timestamp > state.emptyUntil, PlaceStaysEmpty(state.emptyUntil));
        _useOpening(challenger, batchId, index, secret, block.number);
        state.openGames += 1;
        bond = SafeCast.toUint80(_addGame(provider));
        emit ResponseDisputed(batchId, index, leaf, state.openGames, bond);
    }

    /// @inheritdoc IInferenceLedger
    function endGame(uint256 batchId, uint256 index, bool challengerWon, address challenger)
        external
        onlyGame
    {
        ResponseState storage state = _responses[batchId][index];
        require(!challengerWon || !state.isVoid, ResponseIsVoid(batchId, index));
        uint32 games = state.openGames;
        bool wasFull = _placesTaken(state) >= _maxGamesPerResponse;
        state.openGames = games - 1;
        emit DisputeEnded(batchId, index, challengerWon || state.isVoid, games - 1);
        if (challengerWon) _void(batchId, index, state, games, challenger);
        if (state.isVoid) {
            _payReward(batchId, index, challenger);
            return;
        }
        if (wasFull) {
            // All places were taken until now, perhaps by friends of the provider, which could take this one again in
            // the same transaction: it stays empty for a while, then whoever was kept out gets a whole challenge window.
            state.emptyUntil = uint64(block.timestamp) + _joinTime();
            emit PlaceFreed(batchId, index, state.emptyUntil);
            _extendChallengeWindow(batchId, index, state, state.emptyUntil);
        }
        stake.removeGames(_batches[batchId].provider, 1);
    }

    // --- views

    /// @inheritdoc IInferenceLedger
    function batch(uint256 batchId) external view returns (Batch memory) {
        return _existing(batchId);
    }

    /// @inheritdoc IInferenceLedger
    function modelOf(uint256 batchId) external view returns (bytes32) {
        return _batches[batchId].modelId;
    }

    /// @inheritdoc IInferenceLedger
    function response(uint256 batchId, uint256 index) external view returns (ResponseState memory) {
        return _responses[batchId][index];
    }

    /// @inheritdoc IInferenceLedger
    function isVoid(uint256 batchId, uint256 index) external view returns (bool) {
        return _responses[batchId][index].isVoid;
    }

    /// @inheritdoc IInferenceLedger
    function responseLeaf(
        address provider,
        bytes32 modelId,
        bytes32 batchSalt,
        uint256 index,
        ResponseFields calldata fields
    ) external view returns (bytes32) {
        return Leaves.response(address(this), provider, modelId, batchSalt, index, fields);
    }

    /// @inheritdoc IInferenceLedger
    function responseStatus(uint256 batchId, uint256 index) public view returns (ResponseStatus) {
        Batch storage posted = _batches[batchId];
        // `count` of an unknown batch is 0.
        if (index >= posted.count) return ResponseStatus.Unknown;
        ResponseState storage state = _responses[batchId][index];
        if (state.isVoid) return ResponseStatus.Void;
        if (state.openGames != 0 || state.asker != address(0)) return ResponseStatus.Disputed;
        uint64 deadline = state.disputed ? state.challengeDeadline : posted.deadline;
        return block.timestamp > deadline ? ResponseStatus.Final : ResponseStatus.Pending;
    }

    // --- private

    function _existing(uint256 batchId) private view returns (Batch storage posted) {
        posted = _batches[batchId];
        require(posted.count != 0, BatchUnknown(batchId));
    }

    function _checkedLeaf(
        uint256 batchId,
        Batch storage posted,
        uint256 index,
        ResponseFields calldata fields,
        bytes32[] calldata path
    ) private view returns (bytes32 leaf) {
        require(index < posted.count, IndexOutOfRange(index, posted.count));
        leaf = Leaves.response(address(this), posted.provider, posted.modelId, posted.salt, index, fields);
        require(MerklePath.leads(path, posted.root, leaf, index, posted.count), LeafNotInBatch(leaf, batchId));
    }

    /// @dev The state of a response that can be disputed now; the first dispute takes it out of its batch's books.
    function _disputable(uint256 batchId, Batch storage posted, uint256 index)
        private
        returns (ResponseState storage state)
    {
        state = _responses[batchId][index];
        require(!state.isVoid, ResponseIsVoid(batchId, index));
        if (!state.disputed) {
            require(block.timestamp <= posted.deadline, ChallengeWindowClosed(posted.deadline));
            state.disputed = true;
            state.challengeDeadline = posted.deadline;
            posted.disputedCount += 1;
        }
        require(block.timestamp <= state.challengeDeadline, ChallengeWindowClosed(state.challengeDeadline));
    }

    /// @dev The provider lost a response: its lock becomes rewards and is burned, and every open game on it is over but
    ///      for `resolveVoid`. `games` have a place, the decisive one included; whoever asked for it and waits is paid like
    ///      a game, if a place is left.
    function _void(uint256 batchId, uint256 index, ResponseState storage state, uint32 games, address winner)
        private
    {
        address provider = _providerOf(batchId);
        address asker = state.asker;
        bool paysAsker = asker != address(0) && games < _maxGamesPerResponse;
        state.isVoid = true;
        state.asker = address(0);
        emit ResponseVoided(batchId, index, provider, winner);
        _setAside(batchId, index, provider, _lockPerResponse, paysAsker ? games + 1 : games);
        stake.removeGames(provider, games);
        stake.slashBond(provider, _batches[batchId].postedAt);
        if (paysAsker) _payReward(batchId, index, asker);
        if (asker != address(0)) stake.payEscrow(asker, _askPrice);
    }

    /// @dev Open games, and whoever asked and waits: what the rewards must suffice for.
    function _placesTaken(ResponseState storage state) private view returns (uint256) {
        return state.asker == address(0) ? state.openGames : uint256(state.openGames) + 1;
    }

    function _providerOf(uint256 batchId) internal view override returns (address) {
        return _batches[batchId].provider;
    }

    /// @dev A whole challenge window from `start` on.
    function _extendChallengeWindow(uint256 batchId, uint256 index, ResponseState storage state, uint64 start)
        private
    {
        uint64 deadline = start + _challengeWindow;
        if (deadline > state.challengeDeadline) {
            state.challengeDeadline = deadline;
            emit ChallengeWindowExtended(batchId, index, deadline);
        }
    }
}
