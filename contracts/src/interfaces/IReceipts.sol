// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IInferenceLedger} from "./IInferenceLedger.sol";
import {IProviderStake} from "./IProviderStake.sol";

/// @notice What a provider's receipt key signs (EIP-712) when it answers: the leaf's fields, and until when it is posted.
/// @param payer whose vouchers paid the fee, and who gets it back; 0 if nobody
/// @param feeToken in which token `feeWei` counts (in its smallest unit); 0 for ether
/// @param issuedAt when it was signed; the key was registered then, and not yet retired
/// @param postingDeadline last second at which the batch can be posted; issuedAt..issuedAt + postingWindow
/// @param signer the key
struct Receipt {
    address provider;
    bytes32 modelId;
    bytes32 batchSalt;
    uint256 index;
    bytes32 promptHash;
    bytes32 outputHash;
    uint256 promptLength;
    uint256 outputLength;
    uint256 maxTokens;
    bytes32 samplingHash;
    uint256 feeWei;
    bytes32 auditRoot;
    address payer;
    address feeToken;
    uint64 issuedAt;
    uint64 postingDeadline;
    address signer;
}

enum ReceiptStatus {
    None,
    Claimed,
    Answered,
    Slashed
}

/// @param index place of the leaf in the batch; of no meaning without a batch
/// @param takesStake whether it was filed in time to cost stake
/// @param answerDeadline last second at which the provider can show the leaf
/// @param bond the claimant's bond
/// @param penalty stake that the lost claim took; 0 until then
struct ReceiptClaim {
    ReceiptStatus status;
    address claimant;
    address provider;
    address signer;
    uint32 index;
    bool takesStake;
    bytes32 leaf;
    uint256 batchId;
    uint64 answerDeadline;
    uint256 bond;
    uint256 penalty;
}

/// @title Receipts: a signed promise to post an answer, and what breaking it costs
/// @notice A claim locks nothing of the provider's; a lost one takes up to `lockPerResponse` of what is there, within the
///         allowance of the key that signed.
///         EIP-712 domain: name "Gainsay", version "1", chain id, this contract.
interface IReceipts {
    event ReceiptClaimed(
        bytes32 indexed receiptId,
        address indexed claimant,
        address indexed provider,
        bytes32 leaf,
        uint256 batchId,
        uint64 answerDeadline
    );
    event ReceiptAnswered(bytes32 indexed receiptId, uint256 indexed batchId);
    event ReceiptSlashed(
        bytes32 indexed receiptId, address indexed provider, address indexed claimant, uint256 penalty
    );

    /// The signature is not the named signer's.
    error InvalidReceiptSignature(bytes32 receiptId, address signer);
    /// The provider had not registered this key at the receipt's date, or had retired it.
    error SignerNotValid(address signer, uint64 issuedAt);
    /// The posting deadline is before the date, or more than `postingWindow` after it.
    error InvalidReceiptDates(uint64 issuedAt, uint64 postingDeadline);
    /// The receipt's posting deadline has not passed.
    error PostingDeadlineNotPassed(uint64 postingDeadline);
    /// A claim on this receipt exists already.
    error ReceiptAlreadyClaimed(bytes32 receiptId);
    /// No claim on this receipt waits for an answer.
    error NoPendingClaim(bytes32 receiptId);
    /// The time to answer the claim is over.
    error AnswerWindowClosed(uint64 answerDeadline);
    /// The provider can still answer the claim.
    error AnswerWindowOpen(uint64 answerDeadline);
    /// None of the reasons for a refund holds: posted late or never, void, or slashed.
    error NotRefundable(bytes32 receiptId);

    /// @notice Claims that a receipt was not posted by its deadline. Without a batch that could hold it
    ///         the provider is slashed at once; otherwise it has `receiptAnswerWindow` to show the leaf.
    ///         `msg.value` = `receiptClaimBond`. A claim later than `receiptClaimWindow` takes no stake.
    function claimUnposted(Receipt calldata receipt, bytes calldata signature)
        external
        payable
        returns (bytes32 receiptId);

    /// @notice Shows the leaf of a claimed receipt in its batch. Anyone; the claimant's bond is lost.
    function answerClaim(bytes32 receiptId, bytes32[] calldata path) external;

    /// @notice Slashes the provider for a claim that was not answered in time. Anyone.
    function slashUnposted(bytes32 receiptId) external;

    // --- views

    function ledger() external view returns (IInferenceLedger);
    function stake() external view returns (IProviderStake);
    function receiptClaim(bytes32 receiptId) external view returns (ReceiptClaim memory);

    /// @notice The EIP-712 digest that the key signs: how the receipt is called.
    function receiptDigest(Receipt calldata receipt) external view returns (bytes32);

    /// @notice The leaf that the receipt promises.
    function receiptLeaf(Receipt calldata receipt) external view returns (bytes32);

    /// @notice The id of a receipt that the provider signed and did not honour: its response is void, it was not posted in
    ///         time (said within `receiptClaimWindow`), or a claim that took stake was lost. Reverts for any other.
    function unhonoured(Receipt calldata receipt, bytes calldata signature)
        external
        view
        returns (bytes32 receiptId);

    /// @notice The receipt's id; reverts unless signature, key and dates are valid.
    function checkedReceiptId(Receipt calldata receipt, bytes calldata signature)
        external
        view
        returns (bytes32 receiptId);
}
