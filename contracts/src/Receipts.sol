// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {Batch, IInferenceLedger, ResponseFields} from "./interfaces/IInferenceLedger.sol";
import {IProviderStake, ReceiptSigner} from "./interfaces/IProviderStake.sol";
import {IReceipts, Receipt, ReceiptClaim, ReceiptStatus} from "./interfaces/IReceipts.sol";
import {Leaves} from "./libraries/Leaves.sol";
import {MerklePath} from "./libraries/MerklePath.sol";
import {ProtocolParameters} from "./libraries/Parameters.sol";

/// @title Claims on receipts; documented on `IReceipts`
contract Receipts is IReceipts, EIP712, ReentrancyGuardTransient {
    bytes32 private constant RECEIPT_TYPEHASH = keccak256(
        "Receipt(address provider,bytes32 modelId,bytes32 batchSalt,uint256 index,bytes32 promptHash,bytes32 outputHash,uint256 promptLength,uint256 outputLength,uint256 maxTokens,bytes32 samplingHash,uint256 feeWei,bytes32 auditRoot,address payer,address feeToken,uint64 issuedAt,uint64 postingDeadline,address signer)"
    );

    /// @inheritdoc IReceipts
    IInferenceLedger public immutable ledger;
    /// @inheritdoc IReceipts
    IProviderStake public immutable stake;

    uint64 private immutable _postingWindow;
    uint64 private immutable _receiptClaimWindow;
    uint64 private immutable _receiptAnswerWindow;
    uint256 private immutable _lockPerResponse;
    uint256 private immutable _receiptClaimBond;

    mapping(bytes32 receiptId => ReceiptClaim) private _claims;

    constructor(IInferenceLedger newLedger) EIP712("Gainsay", "1") {
        ledger = newLedger;
        stake = newLedger.stake();
        ProtocolParameters memory p = stake.parameters();
        _postingWindow = p.postingWindow;
        _receiptClaimWindow = p.receiptClaimWindow;
        _receiptAnswerWindow = p.receiptAnswerWindow;
        _lockPerResponse = p.lockPerResponse;
        _receiptClaimBond = p.receiptClaimBond;
    }

    /// @inheritdoc IReceipts
    // The callees are the protocol's own, which call nobody on these paths.
    // slither-disable-next-line reentrancy-eth
    function claimUnposted(Receipt calldata receipt, bytes calldata signature)
        external
        payable
        nonReentrant
        returns (bytes32 receiptId)
    {
        receiptId = checkedReceiptId(receipt, signature);
        require(msg.value == _receiptClaimBond, IInferenceLedger.WrongAmount(msg.value, _receiptClaimBond));
        uint64 postingTime = stake.postingTime(receipt.postingDeadline, uint64(block.timestamp));
        require(postingTime > receipt.postingDeadline, PostingDeadlineNotPassed(receipt.postingDeadline));
        ReceiptClaim storage claim = _claims[receiptId];
        require(claim.status == ReceiptStatus.None, ReceiptAlreadyClaimed(receiptId));
        uint256 batchId = _timelyBatch(receipt);
        claim.status = ReceiptStatus.Claimed;
        claim.claimant = msg.sender;
        claim.provider = receipt.provider;
        claim.signer = receipt.signer;
        claim.index = uint32(receipt.index); // below the batch's count, or there is no batch to answer with
        claim.takesStake = postingTime <= uint256(receipt.postingDeadline) + _receiptClaimWindow;
        claim.leaf = receiptLeaf(receipt);
        claim.batchId = batchId;
        claim.answerDeadline = uint64(block.timestamp) + (batchId == 0 ? 0 : _receiptAnswerWindow);
        claim.bond = msg.value;
        emit ReceiptClaimed(
            receiptId, msg.sender, receipt.provider, claim.leaf, batchId, claim.answerDeadline
        );
        stake.receiveEscrow{value: msg.value}(msg.sender);
        // No batch could hold the leaf in time: there is nothing to answer with.
        if (batchId == 0) _slash(receiptId, claim);
    }

    /// @inheritdoc IReceipts
    function answerClaim(bytes32 receiptId, bytes32[] calldata path) external nonReentrant {
        ReceiptClaim storage claim = _claims[receiptId];
        require(claim.status == ReceiptStatus.Claimed, NoPendingClaim(receiptId));
        require(block.timestamp <= claim.answerDeadline, AnswerWindowClosed(claim.answerDeadline));
        Batch memory posted = ledger.batch(claim.batchId);
        require(
            MerklePath.leads(path, posted.root, claim.leaf, claim.index, posted.count),
            IInferenceLedger.LeafNotInBatch(claim.leaf, claim.batchId)
        );
        claim.status = ReceiptStatus.Answered;
        emit ReceiptAnswered(receiptId, claim.batchId);
        stake.forfeitEscrow(claim.bond, claim.provider);
    }

    /// @inheritdoc IReceipts
    function slashUnposted(bytes32 receiptId) external nonReentrant {
        ReceiptClaim storage claim = _claims[receiptId];
        require(claim.status == ReceiptStatus.Claimed, NoPendingClaim(receiptId));
        require(block.timestamp > claim.answerDeadline, AnswerWindowOpen(claim.answerDeadline));
        _slash(receiptId, claim);
    }

    // --- views

    /// @inheritdoc IReceipts
    function receiptClaim(bytes32 receiptId) external view returns (ReceiptClaim memory) {
        return _claims[receiptId];
    }

    /// @inheritdoc IReceipts
    function receiptDigest(Receipt calldata receipt) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(RECEIPT_TYPEHASH, receipt)));
    }

    /// @inheritdoc IReceipts
    function receiptLeaf(Receipt calldata receipt) public view returns (bytes32) {
        return Leaves.response(
            address(ledger),
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
                feeWei: receipt.feeWei,
                auditRoot: receipt.auditRoot
            })
        );
    }

    /// @inheritdoc IReceipts
    function unhonoured(Receipt calldata receipt, bytes calldata signature)
        external
        view
        returns (bytes32 receiptId)
    {
        receiptId = checkedReceiptId(receipt, signature);
        uint256 batchId = _timelyBatch(receipt);
        bool voided = batchId != 0 && ledger.isVoid(batchId, receipt.index);
        // A late claim takes no stake, and no fee: a key retired long ago can say nothing new.
        ReceiptClaim storage claim = _claims[receiptId];
        bool slashed = claim.status == ReceiptStatus.Slashed && claim.takesStake;
        uint64 postingTime = stake.postingTime(receipt.postingDeadline, uint64(block.timestamp));
        bool neverPosted = batchId == 0 && postingTime > receipt.postingDeadline
            && postingTime <= uint256(receipt.postingDeadline) + _receiptClaimWindow;
        require(neverPosted || voided || slashed, NotRefundable(receiptId));
    }

    /// @inheritdoc IReceipts
    function checkedReceiptId(Receipt calldata receipt, bytes calldata signature)
        public
        view
        returns (bytes32 receiptId)
    {
        receiptId = receiptDigest(receipt);
        require(
            _hasSigned(receipt.signer, receiptId, signature),
            InvalidReceiptSignature(receiptId, receipt.signer)
        );
        uint64 issuedAt = receipt.issuedAt;
        ReceiptSigner memory key = stake.receiptSigner(receipt.provider, receipt.signer);
        bool isRegistered = key.registeredAt != 0 && key.registeredAt <= issuedAt;
        require(
            isRegistered && (key.retiredAt == 0 || issuedAt <= key.retiredAt),
            SignerNotValid(receipt.signer, issuedAt)
        );
        require(
            issuedAt <= receipt.postingDeadline
                && receipt.postingDeadline <= uint256(issuedAt) + _postingWindow,
            InvalidReceiptDates(issuedAt, receipt.postingDeadline)
        );
    }

    // --- private

    /// @dev The key's own signature counts whatever code its account has: else a provider could take its word back by
    ///      delegating the account (EIP-7702) to code that accepts nothing.
    function _hasSigned(address signer, bytes32 receiptId, bytes calldata signature)
        private
        view
        returns (bool)
    {
        (address recovered, ECDSA.RecoverError failure,) = ECDSA.tryRecover(receiptId, signature);
        if (failure == ECDSA.RecoverError.NoError && recovered == signer) return true;
        return SignatureChecker.isValidERC1271SignatureNow(signer, receiptId, signature);
    }

    /// @dev The only batch that can hold the receipt's leaf in time, or 0: a salt is used once.
    function _timelyBatch(Receipt calldata receipt) private view returns (uint256 batchId) {
        batchId = ledger.batchOf(receipt.provider, receipt.batchSalt);
        if (batchId == 0) return 0;
        Batch memory posted = ledger.batch(batchId);
        bool isPossible = posted.modelId == receipt.modelId && receipt.index < posted.count
            && stake.postingTime(receipt.postingDeadline, posted.postedAt) <= receipt.postingDeadline;
        return isPossible ? batchId : 0;
    }

    function _slash(bytes32 receiptId, ReceiptClaim storage claim) private {
        claim.status = ReceiptStatus.Slashed;
        uint256 penalty = 0;
        if (claim.takesStake) {
            penalty = stake.slashReceipt(claim.provider, claim.signer, _lockPerResponse, claim.claimant);
        }
        claim.penalty = penalty;
        emit ReceiptSlashed(receiptId, claim.provider, claim.claimant, penalty);
        stake.payEscrow(claim.claimant, claim.bond);
    }
}
