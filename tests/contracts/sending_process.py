"""A process of its own that sends deposits of one wei: `python -m tests.contracts.sending_process DATABASE RPC STAKE
ACCOUNT MODE`, with the vault's address and one of

    recover         carry on whatever the journal holds, for ever (what a running node and bot do)
    hand:COUNT      COUNT commands by hand, one after the other; prints a line after each
    key:A,B,...     one deposit under each of these keys
"""

from __future__ import annotations

import sys
import time

from contracts.bindings.chain import Chain
from contracts.bindings.compiler import protocol_artifacts
from contracts.bindings.keys import UnlockedSigner
from contracts.bindings.provider_stake import ProviderStake
from contracts.bindings.sender import open_sender


def main() -> None:
    database, rpc_url, vault, account, mode = sys.argv[1:]
    chain = Chain(rpc_url)
    sender = open_sender(chain, UnlockedSigner(chain, chain.unlocked_accounts()[int(account)]), database)
    call = ProviderStake(chain, vault, protocol_artifacts()["ProviderStake"]).deposit(1)
    print("ready", flush=True)
    name, _, rest = mode.partition(":")
    while name == "recover":
        sender.recover()
        time.sleep(0.05)
    if name == "hand":
        for _ in range(int(rest)):
            _, carried_on = sender.send_by_hand(call, "deposit 1")
            print("carried on" if carried_on else "sent", flush=True)
    for key in rest.split(",") if name == "key" else ():
        sender.send(call, key)
        print("sent", flush=True)


if __name__ == "__main__":
    main()
