// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

import {
    Batch,
    IInferenceLedger,
    Receipt,
    ReceiptClaim,
    ReceiptStatus,
    ResponseFields,
    ResponseState,
    ResponseStatus
} from "./interfaces/IInferenceLedger.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {IProviderStake} from "./interfaces/IProviderStake.sol";
import {Leaves} from "./libraries/Leaves.sol";
import {MerklePath} from "./libraries/MerklePath.sol";
import {ProtocolParameters} from "./libraries/Parameters.sol";
import {TokenIds} from "./libraries/TokenIds.sol";

/// @title Batches, finality and receipts; documented on `IInferenceLedger`
contract InferenceLedger is IInferenceLedger, EIP712, ReentrancyGuard {
    bytes32 private constant RECEIPT_TYPEHASH = keccak256(
        "Receipt(address provider,bytes32 modelId,bytes32 batchSalt,uint256 index,bytes32 promptHash,bytes32 outputHash,uint256 promptLength,uint256 outputLength,uint256 maxTokens,bytes32 samplingHash,uint256 feeWei,address payer,address feeToken,uint64 postingDeadline)"
    );

    /// @inheritdoc IInferenceLedger
    IProviderStake public immutable stake;
    /// @inheritdoc IInferenceLedger
    IModelRegistry public immutable registry;

    uint64 private immutable _challengeWindow;
    uint64 private immutable _receiptClaimWindow;
    uint64 private immutable _receiptAnswerWindow;
    uint64 private immutable _showWindow;
    uint256 private immutable _lockPerResponse;
    uint256 private immutable _receiptClaimBond;
    uint256 private immutable _askPrice;
    uint32 private immutable _maxGamesPerResponse;

    /// @inheritdoc IInferenceLedger
    uint256 public batchCount;
    /// @inheritdoc IInferenceLedger
    mapping(address provider => mapping(bytes32 salt => uint256 batchId)) public batchOf;

    mapping(uint256 batchId => Batch) private _batches;
    mapping(uint256 batchId => mapping(uint256 index => ResponseState)) private _responses;
    mapping(bytes32 receiptId => ReceiptClaim) private _claims;

    modifier onlyGame() {
        require(msg.sender == stake.game(), NotGame(msg.sender));
        _;
    }

    constructor(IProviderStake newStake, IModelRegistry newRegistry) EIP712("Gainsay", "1") {
        stake = newStake;
        registry = newRegistry;
        ProtocolParameters memory p = newStake.parameters();
        _challengeWindow = p.challengeWindow;
        _receiptClaimWindow = p.receiptClaimWindow;
        _receiptAnswerWindow = p.receiptAnswerWindow;
        _showWindow = p.showWindow;
        _lockPerResponse = p.lockPerResponse;
        _receiptClaimBond = p.receiptClaimBond;
        _askPrice = p.askPrice;
        _maxGamesPerResponse = p.maxGamesPerResponse;
    }

    // --- batches

    /// @inheritdoc IInferenceLedger
    function postBatch(bytes32 root, bytes32 salt, bytes32 modelId, uint32 count)
        external
        nonReentrant
        returns (uint256 batchId)
    {
        require(root != bytes32(0) && count != 0, InvalidBatch());
        require(registry.isRegistered(modelId), IModelRegistry.ModelUnknown(modelId));
        require(batchOf[msg.sender][salt] == 0, SaltUsed(salt));
        batchId = ++batchCount;
        batchOf[msg.sender][salt] = batchId;
        uint64 deadline = uint64(block.timestamp) + _challengeWindow;
        _batches[batchId] = Batch({
            provider: msg.sender,
            modelId: modelId,
            root: root,
            salt: salt,
            count: count,
            disputedCount: 0,
            postedAt: uint64(block.timestamp),
            deadline: deadline,
            finalised: false
        });
        emit BatchPosted(batchId, msg.sender, modelId, root, salt, count, deadline);
        stake.lock(msg.sender, count * _lockPerResponse);
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
        require(state.asker != address(0), NobodyAsked(batchId, index));
        require(!state.isVoid, ResponseIsVoid(batchId, index));
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
        _extendChallengeWindow(batchId, index, state);
        stake.payEscrow(posted.provider, _askPrice);
    }

    /// @inheritdoc IInferenceLedger
    // The callee is the protocol's own vault, which calls nobody on these paths.
    // slither-disable-next-line reentrancy-eth
    function claimNotShown(uint256 batchId, uint256 index) external nonReentrant {
        ResponseState storage state = _responses[batchId][index];
        address asker = state.asker;
        require(asker != address(0), NobodyAsked(batchId, index));
        state.asker = address(0);
        if (!state.isVoid) {
            require(block.timestamp > state.showDeadline, ShowWindowOpen(state.showDeadline));
            emit ResponseNotShown(batchId, index, asker);
            _void(batchId, index, state, asker);
        }
        stake.payEscrow(asker, _askPrice);
    }

    // --- receipts

    /// @inheritdoc IInferenceLedger
    // The callee is the protocol's own vault, which calls nobody on these paths.
    // slither-disable-next-line reentrancy-eth
    function claimUnposted(Receipt calldata receipt, bytes calldata signature)
        external
        payable
        nonReentrant
        returns (bytes32 receiptId)
    {
        receiptId = _checkedReceiptId(receipt, signature);
        require(msg.value == _receiptClaimBond, WrongAmount(msg.value, _receiptClaimBond));
        require(block.timestamp > receipt.postingDeadline, PostingDeadlineNotPassed(receipt.postingDeadline));
        require(_claims[receiptId].status == ReceiptStatus.None, ReceiptAlreadyClaimed(receiptId));
        uint256 batchId = _timelyBatch(
            receipt.provider, receipt.modelId, receipt.batchSalt, receipt.index, receipt.postingDeadline
        );
        ReceiptClaim storage claim = _claims[receiptId];
        claim.status = ReceiptStatus.Claimed;
        claim.claimant = msg.sender;
        claim.provider = receipt.provider;
        claim.index = uint32(receipt.index); // below the batch's count, or there is no batch to answer with
        claim.leaf = _receiptLeaf(receipt);
        claim.batchId = batchId;
        claim.answerDeadline = uint64(block.timestamp) + (batchId == 0 ? 0 : _receiptAnswerWindow);
        claim.bond = msg.value;
        emit ReceiptClaimed(
            receiptId, msg.sender, receipt.provider, claim.leaf, batchId, claim.answerDeadline
        );
        stake.receiveEscrow{value: msg.value}(msg.sender);
        if (block.timestamp <= uint256(receipt.postingDeadline) + _receiptClaimWindow) {
            claim.penalty = stake.lockUpTo(receipt.provider, _lockPerResponse);
        }
        // No batch could hold the leaf in time: there is nothing to answer with.
        if (batchId == 0) _slashReceipt(receiptId, claim);
    }

    /// @inheritdoc IInferenceLedger
    function answerClaim(bytes32 receiptId, bytes32[] calldata path) external nonReentrant {
        ReceiptClaim storage claim = _claims[receiptId];
        require(claim.status == ReceiptStatus.Claimed, NoPendingClaim(receiptId));
        require(block.timestamp <= claim.answerDeadline, AnswerWindowClosed(claim.answerDeadline));
        Batch storage posted = _batches[claim.batchId];
        require(
            MerklePath.leads(path, posted.root, claim.leaf, claim.index, posted.count),
            LeafNotInBatch(claim.leaf, claim.batchId)
        );
        claim.status = ReceiptStatus.Answered;
        emit ReceiptAnswered(receiptId, claim.batchId);
        if (claim.penalty != 0) stake.release(claim.provider, claim.penalty);
        stake.forfeitEscrow(claim.bond, claim.provider);
    }

    /// @inheritdoc IInferenceLedger
    function slashUnposted(bytes32 receiptId) external nonReentrant {
        ReceiptClaim storage claim = _claims[receiptId];
        require(claim.status == ReceiptStatus.Claimed, NoPendingClaim(receiptId));
        require(block.timestamp > claim.answerDeadline, AnswerWindowOpen(claim.answerDeadline));
        _slashReceipt(receiptId, claim);
    }

    // --- the game only

    /// @inheritdoc IInferenceLedger
    function beginGame(
        uint256 batchId,
        uint256 index,
        ResponseFields calldata fields,
        bytes32[] calldata path,
        address challenger
    ) external onlyGame returns (address provider, bytes32 modelId, bytes32 leaf) {
        Batch storage posted = _existing(batchId);
        provider = posted.provider;
        modelId = posted.modelId;
        require(challenger != provider, ProviderCannotChallenge(provider));
        leaf = _checkedLeaf(batchId, posted, index, fields, path);
        ResponseState storage state = _disputable(batchId, posted, index);
        require(state.openGames < _maxGamesPerResponse, TooManyGames(_maxGamesPerResponse));
        state.openGames += 1;
        emit ResponseDisputed(batchId, index, leaf, state.openGames);
    }

    /// @inheritdoc IInferenceLedger
    function endGame(uint256 batchId, uint256 index, bool challengerWon, address challenger)
        external
        onlyGame
    {
        ResponseState storage state = _responses[batchId][index];
        require(!challengerWon || !state.isVoid, ResponseIsVoid(batchId, index));
        bool wasFull = state.openGames == _maxGamesPerResponse;
        state.openGames -= 1;
        emit DisputeEnded(batchId, index, challengerWon || state.isVoid, state.openGames);
        if (challengerWon) {
            _void(batchId, index, state, challenger);
        } else if (wasFull && !state.isVoid) {
            // All places were taken until now, perhaps by friends of the provider: whoever was kept out gets a
            // whole challenge window.
            _extendChallengeWindow(batchId, index, state);
        }
    }

    // --- views

    /// @inheritdoc IInferenceLedger
    function batch(uint256 batchId) external view returns (Batch memory) {
        return _existing(batchId);
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
    function unhonoured(Receipt calldata receipt, bytes calldata signature)
        external
        view
        returns (bytes32 receiptId)
    {
        receiptId = _checkedReceiptId(receipt, signature);
        uint256 batchId = _timelyBatch(
            receipt.provider, receipt.modelId, receipt.batchSalt, receipt.index, receipt.postingDeadline
        );
        bool neverPosted = batchId == 0 && block.timestamp > receipt.postingDeadline;
        bool voided = batchId != 0 && _responses[batchId][receipt.index].isVoid;
        bool slashed = _claims[receiptId].status == ReceiptStatus.Slashed;
        require(neverPosted || voided || slashed, NotRefundable(receiptId));
    }

    /// @inheritdoc IInferenceLedger
    function receiptClaim(bytes32 receiptId) external view returns (ReceiptClaim memory) {
        return _claims[receiptId];
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

    /// @inheritdoc IInferenceLedger
    function receiptDigest(Receipt calldata receipt) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(RECEIPT_TYPEHASH, receipt)));
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

    function _receiptLeaf(Receipt calldata receipt) private view returns (bytes32) {
        return Leaves.response(
            address(this),
            receipt.provider,
            receipt.modelId,
            receipt.batchSalt,
            receipt.index,
            ResponseFields({
                promptHash: receipt.promptHash,
                outputHash: receipt.outputHash,
                promptLength: receipt.promptLength,
                outputLength: receipt.outputLength,
                maxTokens: receipt.maxTokens,
                samplingHash: receipt.samplingHash,
                feeWei: receipt.feeWei
            })
        );
    }

    function _checkedReceiptId(Receipt calldata receipt, bytes calldata signature)
        private
        view
        returns (bytes32 receiptId)
    {
        receiptId = receiptDigest(receipt);
        address signer = ECDSA.recover(receiptId, signature);
        require(signer == receipt.provider, InvalidReceiptSignature(signer, receipt.provider));
    }

    /// @dev The only batch that can hold a leaf of this provider and salt in time, or 0: a salt is used once.
    function _timelyBatch(
        address provider,
        bytes32 modelId,
        bytes32 salt,
        uint256 index,
        uint64 postingDeadline
    ) private view returns (uint256 batchId) {
        batchId = batchOf[provider][salt];
        if (batchId == 0) return 0;
        Batch storage posted = _batches[batchId];
        bool possible =
            posted.modelId == modelId && index < posted.count && posted.postedAt <= postingDeadline;
        return possible ? batchId : 0;
    }

    function _slashReceipt(bytes32 receiptId, ReceiptClaim storage claim) private {
        claim.status = ReceiptStatus.Slashed;
        emit ReceiptSlashed(receiptId, claim.provider, claim.claimant, claim.penalty);
        if (claim.penalty != 0) stake.slash(claim.provider, claim.penalty, claim.claimant);
        stake.payEscrow(claim.claimant, claim.bond);
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

    /// @dev The provider lost a response; its lock goes to whoever showed it, and is burned.
    function _void(uint256 batchId, uint256 index, ResponseState storage state, address winner) private {
        state.isVoid = true;
        address provider = _batches[batchId].provider;
        emit ResponseVoided(batchId, index, provider, winner);
        stake.slash(provider, _lockPerResponse, winner);
    }

    /// @dev A whole challenge window from now on.
    function _extendChallengeWindow(uint256 batchId, uint256 index, ResponseState storage state) private {
        uint64 deadline = uint64(block.timestamp) + _challengeWindow;
        if (deadline > state.challengeDeadline) {
            state.challengeDeadline = deadline;
            emit ChallengeWindowExtended(batchId, index, deadline);
        }
    }
}
