// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {
    Audit,
    AuditItem,
    AuditRequest,
    AuditTarget,
    HeadAnswer,
    IAuditGame,
    InputAnswer,
    StepAnswer
} from "./interfaces/IAuditGame.sol";
import {IDisputeGame, Outcome, Reason} from "./interfaces/IDisputeGame.sol";
import {IInferenceLedger} from "./interfaces/IInferenceLedger.sol";
import {HeadTileRules, IModelRegistry, StepRules} from "./interfaces/IModelRegistry.sol";
import {IProviderStake} from "./interfaces/IProviderStake.sol";
import {AuditStatements} from "./libraries/AuditStatements.sol";
import {Boundary} from "./libraries/Boundary.sol";
import {ProtocolParameters} from "./libraries/Parameters.sol";
import {ResponseRules} from "./libraries/ResponseRules.sol";
import {Statements} from "./libraries/Statements.sol";
import {TokenIds} from "./libraries/TokenIds.sol";
import {VerifierCall} from "./libraries/VerifierCall.sol";

/// @title Audits of private models; documented on `IAuditGame`, attacks in contracts/README.md
contract AuditGame is IAuditGame, ReentrancyGuardTransient {
    /// @dev What the ledger and the registry say of a response that an audit does not keep.
    struct Begun {
        bytes32 modelId;
        bytes32 leaf;
        uint256 stepCount;
        uint256 headTiles;
        uint256 maxPositions;
    }

    /// @dev Of an item's word: the audit's number, and this once it is proven.
    uint256 private constant _PROVEN = 1 << 255;

    /// @inheritdoc IAuditGame
    IInferenceLedger public immutable ledger;
    /// @inheritdoc IAuditGame
    IProviderStake public immutable stake;
    /// @inheritdoc IAuditGame
    IModelRegistry public immutable registry;

    uint64 private immutable _auditWindow;
    uint32 private immutable _maxAuditItems;

    /// @inheritdoc IAuditGame
    uint256 public auditCount;
    mapping(uint256 auditId => Audit) private _audits;
    mapping(bytes32 itemId => uint256) private _items;

    constructor(IInferenceLedger newLedger) {
        ledger = newLedger;
        stake = newLedger.stake();
        registry = newLedger.registry();
        ProtocolParameters memory p = newLedger.stake().parameters();
        _auditWindow = p.auditWindow;
        _maxAuditItems = p.maxAuditItems;
    }

    // --- auditor

    /// @inheritdoc IAuditGame
    // The callees are the protocol's own ledger and vault, and neither calls anybody on these paths.
    // slither-disable-next-line reentrancy-eth
    function openAudit(AuditRequest calldata request)
        external
        payable
        nonReentrant
        returns (uint256 auditId)
    {
        auditId = ++auditCount;
        Audit storage a = _audits[auditId];
        Begun memory begun = _begin(a, request);
        uint256 bond = a.bond;
        require(msg.value >= bond, IDisputeGame.WrongBond(msg.value, bond));
        emit AuditOpened(
            auditId,
            request.batchId,
            request.index,
            msg.sender,
            a.provider,
            begun.modelId,
            begun.leaf,
            request.fields
        );
        stake.receiveEscrow{value: msg.value}(msg.sender);
        if (msg.value != bond) stake.payEscrow(msg.sender, msg.value - bond);
        if (ResponseRules.isMalformed(request.fields, begun.maxPositions, true)) {
            _resolve(auditId, a, Outcome.ChallengerWon, Reason.Malformed);
            return auditId;
        }
        uint64 deadline = uint64(block.timestamp) + _auditWindow;
        a.deadline = uint40(deadline);
        a.remaining = uint8(request.items.length);
        _name(auditId, request, begun);
        emit AuditStarted(auditId, bond, deadline, request.items);
    }

    /// @inheritdoc IAuditGame
    function claimTruncated(
        uint256 auditId,
        bytes32 promptHash,
        bytes calldata outputIds,
        uint256[] calldata endTokens
    ) external nonReentrant {
        Audit storage a = _claimAboutEnd(auditId, promptHash, outputIds);
        require(
            a.isShort && !_endsAt(a, outputIds, a.outputLength - 1, endTokens), IDisputeGame.NotTruncated()
        );
        _resolve(auditId, a, Outcome.ChallengerWon, Reason.Truncated);
    }

    /// @inheritdoc IAuditGame
    function claimOverrun(
        uint256 auditId,
        bytes32 promptHash,
        bytes calldata outputIds,
        uint256[] calldata endTokens,
        uint256 place
    ) external nonReentrant {
        Audit storage a = _claimAboutEnd(auditId, promptHash, outputIds);
        require(
            place < a.outputLength - 1 && _endsAt(a, outputIds, place, endTokens), IDisputeGame.NotOverrun()
        );
        _resolve(auditId, a, Outcome.ChallengerWon, Reason.Overrun);
    }

    // --- provider

    /// @inheritdoc IAuditGame
    function proveSteps(uint256 auditId, StepAnswer[] calldata answers) external nonReentrant {
        Audit storage a = _toProve(auditId, answers.length);
        bytes32 modelId = ledger.modelOf(a.batchId);
        (uint256 stepCount,,,) = registry.sizes(modelId);
        for (uint256 i = 0; i < answers.length; ++i) {
            StepAnswer calldata answer = answers[i];
            AuditItem memory item = AuditItem(AuditTarget.Step, answer.step, answer.window);
            // One lookup for each: an audit's steps are of several kinds.
            // slither-disable-next-line calls-loop
            StepRules memory rules = registry.stepRules(modelId, answer.proof.kind);
            uint256[] memory inputs = AuditStatements.step(a, stepCount, rules, answer);
            _proven(auditId, a, item, rules.verifier, answer.proof.key, inputs, answer.proof.proof);
        }
        _settleIfDone(auditId, a);
    }

    /// @inheritdoc IAuditGame
    function proveInputs(uint256 auditId, InputAnswer[] calldata answers) external nonReentrant {
        Audit storage a = _toProve(auditId, answers.length);
        bytes32 modelId = ledger.modelOf(a.batchId);
        (uint256 stepCount,,,) = registry.sizes(modelId);
        (bytes32 rowsRoot, uint256 vocabSize, address verifier, uint256 streams) =
            registry.embeddingRules(modelId);
        for (uint256 i = 0; i < answers.length; ++i) {
            InputAnswer calldata answer = answers[i];
            Statements.checkInputRoots(streams, answer.proof.window.roots);
            uint256[] memory inputs = AuditStatements.input(a, rowsRoot, vocabSize, stepCount, answer);
            AuditItem memory item = AuditItem(AuditTarget.Input, 0, answer.window);
            _proven(auditId, a, item, verifier, "", inputs, answer.proof.proof);
        }
        _settleIfDone(auditId, a);
    }

    /// @inheritdoc IAuditGame
    function proveHeads(uint256 auditId, HeadAnswer[] calldata answers) external nonReentrant {
        Audit storage a = _toProve(auditId, answers.length);
        HeadTileRules memory rules = registry.headTileRules(ledger.modelOf(a.batchId));
        for (uint256 i = 0; i < answers.length; ++i) {
            HeadAnswer calldata answer = answers[i];
            uint256[] memory inputs = AuditStatements.head(a, rules, answer);
            AuditItem memory item = AuditItem(AuditTarget.Head, answer.tile, answer.window);
            _proven(auditId, a, item, rules.verifier, answer.key, inputs, answer.proof);
        }
        _settleIfDone(auditId, a);
    }

    /// @inheritdoc IAuditGame
    function concede(uint256 auditId, bytes32 about) external nonReentrant {
        Audit storage a = _running(auditId);
        require(about == a.idsHash, IDisputeGame.AboutSomethingElse(about, a.idsHash));
        require(stake.actsFor(msg.sender, a.provider), IDisputeGame.NotPlayer(msg.sender));
        _resolve(auditId, a, Outcome.ChallengerWon, Reason.Conceded);
    }

    // --- anyone

    /// @inheritdoc IAuditGame
    function timeout(uint256 auditId) external nonReentrant {
        Audit storage a = _running(auditId);
        require(block.timestamp > a.deadline, AuditDeadlineNotPassed(a.deadline));
        // Without items it was the auditor who had something to show.
        Outcome outcome = a.remaining == 0 ? Outcome.ProviderWon : Outcome.ChallengerWon;
        _resolve(auditId, a, outcome, Reason.TimedOut);
    }

    /// @inheritdoc IAuditGame
    function resolveVoid(uint256 auditId) external nonReentrant {
        Audit storage a = _unresolved(auditId);
        require(ledger.isVoid(a.batchId, a.index), IDisputeGame.ResponseNotVoid(a.batchId, a.index));
        _resolve(auditId, a, Outcome.ResponseVoided, Reason.VoidedElsewhere);
    }

    // --- views

    /// @inheritdoc IAuditGame
    function audit(uint256 auditId) external view returns (Audit memory) {
        return _known(auditId);
    }

    /// @inheritdoc IAuditGame
    function itemState(uint256 batchId, uint256 index, AuditItem calldata item)
        external
        view
        returns (uint256 auditId, bool isProven)
    {
        uint256 word = _items[_itemId(batchId, index, item)];
        return (word & ~_PROVEN, word & _PROVEN != 0);
    }

    // --- private: state

    // The ledger, which checks the leaf and calls nobody, says whose response it is; then the rest is written.
    // slither-disable-next-line reentrancy-no-eth
    function _begin(Audit storage a, AuditRequest calldata request) private returns (Begun memory begun) {
        uint256 count = request.items.length;
        require(count <= _maxAuditItems, WrongItemCount(count, _maxAuditItems));
        uint256 bond;
        (a.provider, begun.modelId, begun.leaf, bond) = ledger.beginGame(
            request.batchId, request.index, request.fields, request.path, msg.sender, request.secret
        );
        (begun.stepCount,, begun.maxPositions, begun.headTiles) = registry.sizes(begun.modelId);
        require(begun.headTiles != 0, ModelIsPublic(begun.modelId));
        a.batchId = uint40(request.batchId);
        a.index = uint32(request.index);
        a.promptLength = ResponseRules.cutLength(request.fields.promptLength);
        a.isShort = request.fields.outputLength < request.fields.maxTokens;
        a.auditor = msg.sender;
        a.bond = SafeCast.toUint80(count == 0 ? bond : bond * count);
        a.outputLength = ResponseRules.cutLength(request.fields.outputLength);
        a.idsHash = Statements.idsHash(request.fields.promptHash, request.fields.outputHash);
        a.auditRoot = request.fields.auditRoot;
    }

    /// @dev Every item is one of the response's, and nobody named it before.
    function _name(uint256 auditId, AuditRequest calldata request, Begun memory begun) private {
        uint256 promptLength = request.fields.promptLength;
        uint256 windows = Boundary.windows(promptLength, request.fields.outputLength);
        for (uint256 i = 0; i < request.items.length; ++i) {
            AuditItem calldata item = request.items[i];
            uint256 steps = item.target == AuditTarget.Step ? begun.stepCount : 1;
            uint256 first = 0;
            if (item.target == AuditTarget.Head) {
                (steps, first) = (begun.headTiles, (promptLength - 1) / Boundary.WINDOW);
            }
            require(
                item.step < steps && item.window >= first && item.window < windows,
                ItemOutOfRange(item, steps, first, windows)
            );
            bytes32 id = _itemId(request.batchId, request.index, item);
            require(_items[id] == 0, ItemNamedBefore(item, _items[id] & ~_PROVEN));
            _items[id] = auditId;
        }
    }

    function _known(uint256 auditId) private view returns (Audit storage a) {
        a = _audits[auditId];
        require(a.auditor != address(0), AuditUnknown(auditId));
    }

    /// @dev An audit that is not over, whatever happened to its response.
    function _unresolved(uint256 auditId) private view returns (Audit storage a) {
        a = _known(auditId);
        require(a.outcome == Outcome.Undecided, AuditOver(auditId, a.outcome));
    }

    /// @dev An audit that can be won or lost: its response is not void yet. Once it is, `resolveVoid` is the only end.
    function _running(uint256 auditId) private view returns (Audit storage a) {
        a = _unresolved(auditId);
        require(!ledger.isVoid(a.batchId, a.index), IDisputeGame.ResponseAlreadyVoid(a.batchId, a.index));
    }

    function _toProve(uint256 auditId, uint256 answers) private view returns (Audit storage a) {
        a = _running(auditId);
        require(stake.actsFor(msg.sender, a.provider), IDisputeGame.NotMover(msg.sender, a.provider));
        require(block.timestamp <= a.deadline, AuditDeadlinePassed(a.deadline));
        require(answers != 0 && answers <= a.remaining, WrongItemCount(answers, a.remaining));
    }

    /// @dev A claim of the auditor's that is conclusive by itself, at any time before the end.
    function _claimAboutEnd(uint256 auditId, bytes32 promptHash, bytes calldata outputIds)
        private
        view
        returns (Audit storage a)
    {
        a = _running(auditId);
        require(msg.sender == a.auditor, IDisputeGame.NotPlayer(msg.sender));
        AuditStatements.checkOutput(a, promptHash, outputIds);
    }

    /// @dev Whether the id at this place of the output is one of the model's end tokens.
    function _endsAt(Audit storage a, bytes calldata outputIds, uint256 place, uint256[] calldata endTokens)
        private
        view
        returns (bool)
    {
        return registry.isEnd(ledger.modelOf(a.batchId), endTokens, TokenIds.at(outputIds, place));
    }

    /// @dev The item is this audit's and not proven yet; now it is.
    function _proven(
        uint256 auditId,
        Audit storage a,
        AuditItem memory item,
        address verifier,
        bytes memory key,
        uint256[] memory inputs,
        bytes calldata proof
    ) private {
        bytes32 id = _itemId(a.batchId, a.index, item);
        uint256 word = _items[id];
        require(word & ~_PROVEN == auditId, ItemNotNamed(auditId, item));
        require(word == auditId, ItemProvenBefore(auditId, item));
        require(VerifierCall.accepts(verifier, key, inputs, proof), IDisputeGame.ProofRejected(verifier));
        _items[id] = auditId | _PROVEN;
        a.remaining -= 1;
        emit ItemProven(auditId, item, verifier, a.remaining);
    }

    function _settleIfDone(uint256 auditId, Audit storage a) private {
        if (a.remaining == 0) _resolve(auditId, a, Outcome.ProviderWon, Reason.Proven);
    }

    function _resolve(uint256 auditId, Audit storage a, Outcome outcome, Reason reason) private {
        a.deadline = 0;
        a.outcome = outcome;
        a.reason = reason;
        address winner = address(0);
        if (outcome == Outcome.ProviderWon) winner = a.provider;
        if (outcome == Outcome.ChallengerWon) winner = a.auditor;
        emit AuditResolved(auditId, outcome, reason, winner);
        ledger.endGame(a.batchId, a.index, outcome == Outcome.ChallengerWon, a.auditor);
        if (outcome == Outcome.ProviderWon) stake.forfeitEscrow(a.bond, a.provider);
        else stake.payEscrow(a.auditor, a.bond);
    }

    function _itemId(uint256 batchId, uint256 index, AuditItem memory item) private pure returns (bytes32) {
        return keccak256(abi.encode(batchId, index, item));
    }
}
