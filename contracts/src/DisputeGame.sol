// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {
    AgreedStep,
    EmbeddingProof,
    Game,
    HeadProof,
    IDisputeGame,
    Outcome,
    Phase,
    Reason,
    ShownClaim,
    ShownGroup,
    StepProof,
    Target
} from "./interfaces/IDisputeGame.sol";
import {IInferenceLedger, ResponseFields} from "./interfaces/IInferenceLedger.sol";
import {HeadRules, IModelRegistry, StepRules, TokenPair} from "./interfaces/IModelRegistry.sol";
import {IProviderStake} from "./interfaces/IProviderStake.sol";
import {Bisection} from "./libraries/Bisection.sol";
import {Boundary} from "./libraries/Boundary.sol";
import {ChessClock} from "./libraries/ChessClock.sol";
import {Claims} from "./libraries/Claims.sol";
import {ProtocolParameters} from "./libraries/Parameters.sol";
import {ResponseRules} from "./libraries/ResponseRules.sol";
import {Statements} from "./libraries/Statements.sol";
import {TokenIds} from "./libraries/TokenIds.sol";
import {VerifierCall} from "./libraries/VerifierCall.sol";

/// @title The dispute game; documented on `IDisputeGame`, state table in contracts/README.md
contract DisputeGame is IDisputeGame, ReentrancyGuardTransient {
    /// @dev What the ledger says of a response that a game does not keep.
    struct Begun {
        bytes32 modelId;
        bytes32 leaf;
    }

    /// @inheritdoc IDisputeGame
    IInferenceLedger public immutable ledger;
    /// @inheritdoc IDisputeGame
    IProviderStake public immutable stake;
    /// @inheritdoc IDisputeGame
    IModelRegistry public immutable registry;

    uint64 private immutable _clock;
    uint64 private immutable _moveExtension;
    uint64 private immutable _traceExtension;
    uint64 private immutable _proveExtension;
    uint32 private immutable _arity;

    /// @inheritdoc IDisputeGame
    uint256 public gameCount;
    mapping(uint256 gameId => Game) private _games;

    constructor(IInferenceLedger newLedger) {
        ledger = newLedger;
        stake = newLedger.stake();
        registry = newLedger.registry();
        ProtocolParameters memory p = newLedger.stake().parameters();
        _clock = p.clock;
        _moveExtension = p.moveExtension;
        _traceExtension = p.traceExtension;
        _proveExtension = p.proveExtension;
        _arity = p.arity;
    }

    // --- opening

    /// @inheritdoc IDisputeGame
    // The callees are the protocol's own ledger and vault, and neither calls anybody on these paths.
    // slither-disable-next-line reentrancy-eth
    function open(
        uint256 batchId,
        uint256 index,
        ResponseFields calldata fields,
        bytes32[] calldata path,
        bytes32 secret
    ) external payable nonReentrant returns (uint256 gameId) {
        gameId = ++gameCount;
        Game storage g = _games[gameId];
        Begun memory begun = _begin(g, batchId, index, fields, path, secret);
        uint256 bond = g.bond;
        require(msg.value >= bond, WrongBond(msg.value, bond));
        emit GameOpened(gameId, batchId, index, msg.sender, g.provider, begun.modelId, begun.leaf, fields);
        stake.receiveEscrow{value: msg.value}(msg.sender);
        if (msg.value != bond) stake.payEscrow(msg.sender, msg.value - bond);
        (uint256 stepCount, bool isPrivate, bool isMalformed, uint256 sampling) =
            registry.responseRules(begun.modelId, fields);
        require(!isPrivate, ModelIsPrivate(begun.modelId));
        if (isMalformed) {
            _resolve(gameId, g, Outcome.ChallengerWon, Reason.Malformed);
            return gameId;
        }
        if (sampling != 0) g.sampling = uint96(sampling);
        uint40 startedAt = uint40(block.timestamp);
        uint40 deadline = uint40(ChessClock.deadline(startedAt, _clock, _traceExtension));
        g.phase = Phase.AwaitBoundaries;
        g.deadline = deadline;
        g.turnStartedAt = startedAt;
        g.providerClock = uint32(_clock);
        g.challengerClock = uint32(_clock);
        g.rangeEnd = uint24(stepCount);
        g.round = 1;
        emit TurnStarted(gameId, Phase.AwaitBoundaries, deadline);
    }

    // --- provider's moves

    /// @inheritdoc IDisputeGame
    function postBoundaries(uint256 gameId, bytes32 about, bytes32[] calldata hashes) external nonReentrant {
        Game storage g = _turn(gameId, Phase.AwaitBoundaries);
        Statements.checkAbout(g, about);
        uint256 expected = Bisection.partCount(g.rangeEnd - g.rangeStart, _arity) + 1;
        require(hashes.length == expected, WrongHashCount(hashes.length, expected));
        // Later rounds inherit both ends, so the start stays agreed and the end stays disputed.
        if (g.round != 1) Statements.checkBoundaries(g, Boundary.hashOfTwo(hashes[0], hashes[expected - 1]));
        g.boundariesHash = Boundary.listHash(hashes);
        emit BoundariesPosted(gameId, g.round, g.rangeStart, g.rangeEnd, hashes);
        _nextTurn(gameId, g, Phase.AwaitChallenge);
    }

    /// @inheritdoc IDisputeGame
    function proveStep(uint256 gameId, StepProof calldata stepProof, ShownClaim calldata shown)
        external
        nonReentrant
    {
        Game storage g = _turnToProve(gameId, Target.Step);
        StepRules memory rules = registry.stepRules(_modelOf(g), stepProof.kind);
        uint256[] memory inputs = Statements.step(g, rules, stepProof, shown);
        _settleByProof(gameId, g, shown.window, rules.verifier, stepProof.key, inputs, stepProof.proof);
    }

    /// @inheritdoc IDisputeGame
    function proveEmbedding(uint256 gameId, EmbeddingProof calldata embeddingProof, ShownClaim calldata shown)
        external
        nonReentrant
    {
        Game storage g = _turnToProve(gameId, Target.Embedding);
        (bytes32 rowsRoot, uint256 vocabSize, address verifier, uint256 streams) =
            registry.embeddingRules(_modelOf(g));
        Statements.checkInputRoots(streams, embeddingProof.window.roots);
        uint256[] memory inputs = Statements.embedding(g, rowsRoot, vocabSize, embeddingProof, shown);
        _settleByProof(gameId, g, shown.window, verifier, "", inputs, embeddingProof.proof);
    }

    /// @inheritdoc IDisputeGame
    function refuteClaim(uint256 gameId, AgreedStep calldata agreed) external nonReentrant {
        Game storage g = _turnToEnd(gameId);
        require(g.target != Target.Head, WrongTarget(g.target));
        uint256 windows = Boundary.windows(g.promptLength, g.outputLength);
        bool isStep = g.target == Target.Step;
        Statements.checkPreimage(g, registry.agreedHash(_modelOf(g), isStep, g.rangeStart, windows, agreed));
        emit ClaimRefuted(gameId);
        _resolve(gameId, g, Outcome.ProviderWon, Reason.Refuted);
    }

    /// @inheritdoc IDisputeGame
    function proveHead(uint256 gameId, HeadProof calldata headProof) external nonReentrant {
        Game storage g = _turnToProve(gameId, Target.Head);
        HeadRules memory rules = registry.headRules(
            _modelOf(g), TokenPair(g.sampling, g.position, g.chosenId, g.rivalId, headProof.winnerId)
        );
        uint256[] memory inputs = Statements.head(g, rules, headProof);
        uint256 window = g.position / Boundary.WINDOW;
        _settleByProof(gameId, g, window, rules.verifier, "", inputs, headProof.proof);
    }

    // --- challenger's moves

    /// @inheritdoc IDisputeGame
    function challengeInput(uint256 gameId, ShownGroup calldata shown, bytes calldata claim)
        external
        nonReentrant
    {
        (Game storage g, bytes32[] calldata boundaries) = _turnInFirstRound(gameId, shown, 0);
        Statements.checkClaimLength(g, claim, true);
        bytes32 input = boundaries[0];
        g.target = Target.Embedding;
        g.rangeEnd = 0;
        g.boundariesHash = Boundary.hashOfTwo(input, Claims.hash(claim));
        emit InputChallenged(gameId, input, claim);
        _nextTurn(gameId, g, Phase.AwaitProof);
    }

    /// @inheritdoc IDisputeGame
    function challengePart(uint256 gameId, ShownGroup calldata shown, uint256 part, bytes calldata claim)
        external
        nonReentrant
    {
        Game storage g = _turn(gameId, Phase.AwaitChallenge);
        (uint256 start, uint256 end) = Bisection.part(g.rangeStart, g.rangeEnd, _arity, part);
        (bytes32 startHash, bytes32 endHash) = Statements.endsOf(g, shown, part);
        bool isStep = end - start == 1;
        Statements.checkClaimLength(g, claim, isStep);
        g.rangeStart = uint24(start);
        g.rangeEnd = uint24(end);
        emit PartChallenged(gameId, part, uint32(start), uint32(end), startHash, endHash, claim);
        if (isStep) {
            g.target = Target.Step;
            g.boundariesHash = Boundary.hashOfThree(startHash, endHash, Claims.hash(claim));
            _nextTurn(gameId, g, Phase.AwaitProof);
        } else {
            g.round += 1;
            g.boundariesHash = Boundary.hashOfTwo(startHash, endHash);
            _nextTurn(gameId, g, Phase.AwaitBoundaries);
        }
    }

    /// @inheritdoc IDisputeGame
    function challengeHead(
        uint256 gameId,
        ShownGroup calldata shown,
        uint256 position,
        uint256 rivalId,
        bytes32 promptHash,
        bytes calldata outputIds
    ) external nonReentrant {
        (Game storage g, bytes32[] calldata boundaries) =
            _turnInFirstRound(gameId, shown, shown.groups.length - 1);
        uint256 first = uint256(g.promptLength) - 1;
        uint256 last = Boundary.positions(g.promptLength, g.outputLength) - 1;
        require(position >= first && position <= last, PositionOutOfRange(position, first, last));
        Statements.checkOutput(g, promptHash, outputIds);
        uint256 chosenId = TokenIds.at(outputIds, position - first);
        (, uint256 vocabSize,,) = registry.sizes(_modelOf(g));
        require(rivalId < vocabSize && rivalId != chosenId, InvalidRival(rivalId, chosenId, vocabSize));
        g.target = Target.Head;
        g.position = uint16(position);
        g.chosenId = uint32(chosenId);
        g.rivalId = uint32(rivalId);
        g.rangeStart = g.rangeEnd;
        bytes32 endHash = boundaries[boundaries.length - 1];
        g.boundariesHash = Boundary.hashOfOne(endHash);
        emit HeadChallenged(gameId, position, chosenId, rivalId, endHash);
        _nextTurn(gameId, g, Phase.AwaitProof);
    }

    /// @inheritdoc IDisputeGame
    function claimTruncated(
        uint256 gameId,
        bytes32 promptHash,
        bytes calldata outputIds,
        uint256[] calldata endTokens
    ) external nonReentrant {
        Game storage g = _claimAboutEnd(gameId, promptHash, outputIds);
        require(g.isShort && !_endsAt(g, outputIds, g.outputLength - 1, endTokens), NotTruncated());
        _resolve(gameId, g, Outcome.ChallengerWon, Reason.Truncated);
    }

    /// @inheritdoc IDisputeGame
    function claimOverrun(
        uint256 gameId,
        bytes32 promptHash,
        bytes calldata outputIds,
        uint256[] calldata endTokens,
        uint256 place
    ) external nonReentrant {
        Game storage g = _claimAboutEnd(gameId, promptHash, outputIds);
        require(place < g.outputLength - 1 && _endsAt(g, outputIds, place, endTokens), NotOverrun());
        _resolve(gameId, g, Outcome.ChallengerWon, Reason.Overrun);
    }

    // --- ending

    /// @inheritdoc IDisputeGame
    function timeout(uint256 gameId) external nonReentrant {
        Game storage g = _running(gameId);
        require(ChessClock.isOver(g.deadline, block.timestamp), TurnNotOver(g.deadline));
        Outcome outcome = _isProvidersTurn(g.phase) ? Outcome.ChallengerWon : Outcome.ProviderWon;
        _resolve(gameId, g, outcome, Reason.TimedOut);
    }

    /// @inheritdoc IDisputeGame
    function concede(uint256 gameId, bytes32 about) external nonReentrant {
        Game storage g = _running(gameId);
        Statements.checkAbout(g, about);
        // A challenger whom the provider names as its operator still speaks for itself.
        bool isChallenger = msg.sender == g.challenger;
        require(isChallenger || stake.actsFor(msg.sender, g.provider), NotPlayer(msg.sender));
        Outcome outcome = isChallenger ? Outcome.ProviderWon : Outcome.ChallengerWon;
        _resolve(gameId, g, outcome, Reason.Conceded);
    }

    /// @inheritdoc IDisputeGame
    function resolveVoid(uint256 gameId) external nonReentrant {
        Game storage g = _unresolved(gameId);
        require(ledger.isVoid(g.batchId, g.index), ResponseNotVoid(g.batchId, g.index));
        _resolve(gameId, g, Outcome.ResponseVoided, Reason.VoidedElsewhere);
    }

    // --- views

    /// @inheritdoc IDisputeGame
    function game(uint256 gameId) external view returns (Game memory) {
        require(_games[gameId].phase != Phase.None, GameUnknown(gameId));
        return _games[gameId];
    }

    // --- private: turns

    // The ledger, which checks the leaf and calls nobody, says whose response it is; then the rest is written.
    // slither-disable-next-line reentrancy-no-eth
    function _begin(
        Game storage g,
        uint256 batchId,
        uint256 index,
        ResponseFields calldata fields,
        bytes32[] calldata path,
        bytes32 secret
    ) private returns (Begun memory begun) {
        uint80 bond;
        address provider;
        (provider, begun.modelId, begun.leaf, bond) =
            ledger.beginGame(batchId, index, fields, path, msg.sender, secret);
        uint16 promptLength = ResponseRules.cutLength(fields.promptLength);
        uint16 outputLength = ResponseRules.cutLength(fields.outputLength);
        g.batchId = uint40(batchId);
        g.index = uint32(index);
        g.provider = provider;
        g.promptLength = promptLength;
        g.isShort = fields.outputLength < fields.maxTokens;
        g.challenger = msg.sender;
        g.bond = bond;
        g.outputLength = outputLength;
        g.idsHash = Statements.idsHash(fields.promptHash, fields.outputHash);
    }

    /// @dev A game that is not over, whatever happened to its response.
    function _unresolved(uint256 gameId) private view returns (Game storage g) {
        g = _games[gameId];
        require(g.phase != Phase.None, GameUnknown(gameId));
        require(g.phase != Phase.Resolved, WrongPhase(g.phase));
    }

    /// @dev A game that can be won or lost: its response is not void yet. Once it is, `resolveVoid` is the only end.
    function _running(uint256 gameId) private view returns (Game storage g) {
        g = _unresolved(gameId);
        _requireNotVoid(g);
    }

    function _requireNotVoid(Game storage g) private view {
        require(!ledger.isVoid(g.batchId, g.index), ResponseAlreadyVoid(g.batchId, g.index));
    }

    /// @dev A move of the caller: right phase, right side, in time. Those that end a game ask the ledger, too, whether the
    ///      response is void; for the others that would be a call and a slot in vain, because a game about a void response
    ///      ends in the same way wherever it stands.
    function _turn(uint256 gameId, Phase expected) private view returns (Game storage g) {
        g = _unresolved(gameId);
        require(g.phase == expected, WrongPhase(g.phase));
        bool isProviders = _isProvidersTurn(expected);
        address player = isProviders ? g.provider : g.challenger;
        require(
            msg.sender == player || (isProviders && stake.actsFor(msg.sender, player)),
            NotMover(msg.sender, player)
        );
        require(!ChessClock.isOver(g.deadline, block.timestamp), TurnOver(g.deadline));
    }

    /// @dev A claim of the challenger's that is conclusive by itself: on its own turn in time, else at any time. The
    ///      ids are the response's.
    function _claimAboutEnd(uint256 gameId, bytes32 promptHash, bytes calldata outputIds)
        private
        view
        returns (Game storage g)
    {
        g = _running(gameId);
        require(msg.sender == g.challenger, NotPlayer(msg.sender));
        require(
            _isProvidersTurn(g.phase) || !ChessClock.isOver(g.deadline, block.timestamp), TurnOver(g.deadline)
        );
        Statements.checkOutput(g, promptHash, outputIds);
    }

    /// @dev Whether the id at this place of the output is one of the model's end tokens.
    function _endsAt(Game storage g, bytes calldata outputIds, uint256 place, uint256[] calldata endTokens)
        private
        view
        returns (bool)
    {
        return registry.isEnd(_modelOf(g), endTokens, TokenIds.at(outputIds, place));
    }

    /// @dev A challenge of an end of the whole trace, which a later round no longer shows.
    function _turnInFirstRound(uint256 gameId, ShownGroup calldata shown, uint256 number)
        private
        view
        returns (Game storage g, bytes32[] calldata boundaries)
    {
        g = _turn(gameId, Phase.AwaitChallenge);
        boundaries = Statements.groupOf(g, shown, number);
        require(g.round == 1, OnlyInFirstRound());
    }

    /// @dev A provider's move that ends the game.
    function _turnToEnd(uint256 gameId) private view returns (Game storage g) {
        g = _turn(gameId, Phase.AwaitProof);
        _requireNotVoid(g);
    }

    function _turnToProve(uint256 gameId, Target expected) private view returns (Game storage g) {
        g = _turnToEnd(gameId);
        require(g.target == expected, WrongTarget(g.target));
    }

    // All that changes is in one slot, and written in one piece.
    function _nextTurn(uint256 gameId, Game storage g, Phase phase) private {
        uint40 timestamp = uint40(block.timestamp);
        (uint32 providerClock, uint32 challengerClock) = (g.providerClock, g.challengerClock);
        if (_isProvidersTurn(g.phase)) {
            providerClock = uint32(ChessClock.remaining(providerClock, g.turnStartedAt, timestamp));
        } else {
            challengerClock = uint32(ChessClock.remaining(challengerClock, g.turnStartedAt, timestamp));
        }
        uint64 budget = _isProvidersTurn(phase) ? providerClock : challengerClock;
        uint40 deadline = uint40(ChessClock.deadline(timestamp, budget, _extension(phase, g.round)));
        g.phase = phase;
        g.deadline = deadline;
        g.turnStartedAt = timestamp;
        g.providerClock = providerClock;
        g.challengerClock = challengerClock;
        emit TurnStarted(gameId, phase, deadline);
    }

    /// @dev The least time that a phase's action can need. In round 1 both sides may have to compute the
    ///      whole trace: the provider to post it, a challenger who just got the ids to compare with it.
    // Rounds count from 1 and nobody sends one.
    // slither-disable-next-line incorrect-equality
    function _extension(Phase phase, uint32 round) private view returns (uint64) {
        if (phase == Phase.AwaitProof) return _proveExtension;
        bool needsTrace = phase == Phase.AwaitBoundaries || phase == Phase.AwaitChallenge;
        return needsTrace && round == 1 ? _traceExtension : _moveExtension;
    }

    function _isProvidersTurn(Phase phase) private pure returns (bool) {
        return phase != Phase.AwaitChallenge;
    }

    /// @dev No slot of the game: a batch's model never changes, and few moves ask for it.
    function _modelOf(Game storage g) private view returns (bytes32) {
        return ledger.modelOf(g.batchId);
    }

    // --- private: resolution

    function _settleByProof(
        uint256 gameId,
        Game storage g,
        uint256 window,
        address verifier,
        bytes memory key,
        uint256[] memory inputs,
        bytes calldata proof
    ) private {
        require(VerifierCall.accepts(verifier, key, inputs, proof), ProofRejected(verifier));
        emit ProofAccepted(gameId, verifier, window);
        _resolve(gameId, g, Outcome.ProviderWon, Reason.Proven);
    }

    function _resolve(uint256 gameId, Game storage g, Outcome outcome, Reason reason) private {
        g.phase = Phase.Resolved;
        g.deadline = 0;
        g.outcome = outcome;
        g.reason = reason;
        address winner = address(0);
        if (outcome == Outcome.ProviderWon) winner = g.provider;
        if (outcome == Outcome.ChallengerWon) winner = g.challenger;
        emit GameResolved(gameId, outcome, reason, winner);
        ledger.endGame(g.batchId, g.index, outcome == Outcome.ChallengerWon, g.challenger);
        if (outcome == Outcome.ProviderWon) stake.forfeitEscrow(g.bond, g.provider);
        else stake.payEscrow(g.challenger, g.bond);
    }
}
