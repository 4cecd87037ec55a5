// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAuditGame} from "../src/interfaces/IAuditGame.sol";
import {Game, IDisputeGame, Phase} from "../src/interfaces/IDisputeGame.sol";
import {IInferenceLedger} from "../src/interfaces/IInferenceLedger.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {IPayments} from "../src/interfaces/IPayments.sol";
import {IProviderStake} from "../src/interfaces/IProviderStake.sol";
import {IReceipts} from "../src/interfaces/IReceipts.sol";
import {Bisection} from "../src/libraries/Bisection.sol";
import {Boundary} from "../src/libraries/Boundary.sol";
import {ProtocolParameters} from "../src/libraries/Parameters.sol";
import {Test} from "./Vm.sol";

/// @title The contracts of one deployment
abstract contract Protocol is Test {
    IModelRegistry internal registry;
    IProviderStake internal stake;
    IInferenceLedger internal ledger;
    IDisputeGame internal game;
    IReceipts internal receipts;
    IAuditGame internal audits;
    IPayments internal payments;
    ProtocolParameters internal p;

    function deployProtocol(ProtocolParameters memory parameters) internal {
        p = parameters;
        registry = IModelRegistry(vm.deployCode("ModelRegistry.sol:ModelRegistry"));
        stake = IProviderStake(vm.deployCode("ProviderStake.sol:ProviderStake", abi.encode(p)));
        ledger = IInferenceLedger(
            vm.deployCode("InferenceLedger.sol:InferenceLedger", abi.encode(stake, registry))
        );
        game = IDisputeGame(vm.deployCode("DisputeGame.sol:DisputeGame", abi.encode(ledger)));
        receipts = IReceipts(vm.deployCode("Receipts.sol:Receipts", abi.encode(ledger)));
        audits = IAuditGame(vm.deployCode("AuditGame.sol:AuditGame", abi.encode(ledger)));
        stake.initialise(address(ledger), address(game), address(receipts), address(audits));
        payments = IPayments(vm.deployCode("Payments.sol:Payments", abi.encode(receipts)));
    }

    /// @dev Who has to move; nobody once a game is resolved.
    function moverOf(uint256 gameId) internal view returns (address) {
        Game memory g = game.game(gameId);
        if (g.phase == Phase.Resolved) return address(0);
        return g.phase == Phase.AwaitChallenge ? g.challenger : g.provider;
    }

    /// @dev What a move in a game says it is about, from the game's slots: a call would take the place of the one that is pranked, or
    ///      expected to revert.
    function aboutOf(uint256 gameId) internal view returns (bytes32 about) {
        uint256 slot = uint256(keccak256(abi.encode(gameId, 1)));
        about = vm.load(address(game), bytes32(slot + 4));
        if (about == 0) about = idsOf(gameId);
    }

    /// @dev The same before any boundaries were posted.
    function idsOf(uint256 gameId) internal view returns (bytes32) {
        return vm.load(address(game), bytes32(uint256(keccak256(abi.encode(gameId, 1))) + 2));
    }

    /// @dev The same of an audit.
    function idsOfAudit(uint256 auditId) internal view returns (bytes32) {
        return vm.load(address(audits), bytes32(uint256(keccak256(abi.encode(auditId, 1))) + 2));
    }

    /// @dev The cuts of the range that the next or last boundaries are about.
    function cutsOf(uint256 gameId) internal view returns (uint256[] memory) {
        Game memory g = game.game(gameId);
        return Bisection.cuts(g.rangeStart, g.rangeEnd, p.arity);
    }

    function windowsOf(uint256 gameId) internal view returns (uint256) {
        Game memory g = game.game(gameId);
        return Boundary.windows(g.promptLength, g.outputLength);
    }
}
