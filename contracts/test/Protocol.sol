// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDisputeGame} from "../src/interfaces/IDisputeGame.sol";
import {IInferenceLedger} from "../src/interfaces/IInferenceLedger.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {IPayments} from "../src/interfaces/IPayments.sol";
import {IProviderStake} from "../src/interfaces/IProviderStake.sol";
import {IReceipts} from "../src/interfaces/IReceipts.sol";
import {ProtocolParameters} from "../src/libraries/Parameters.sol";
import {Test} from "./Vm.sol";

/// @title The contracts of one deployment
abstract contract Protocol is Test {
    IModelRegistry internal registry;
    IProviderStake internal stake;
    IInferenceLedger internal ledger;
    IDisputeGame internal game;
    IReceipts internal receipts;
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
        stake.initialise(address(ledger), address(game), address(receipts));
        payments = IPayments(vm.deployCode("Payments.sol:Payments", abi.encode(receipts)));
    }
}
