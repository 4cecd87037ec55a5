"""Everything that can go wrong between this program and a chain; each message says what to do."""

from __future__ import annotations

from collections.abc import Mapping

from prover.errors import BadInputError, ChainError, EnvironmentMissingError, UsageError


class BindingsError(ChainError):
    """Base of all errors of the bindings."""


class CompilerNotFound(BindingsError):
    """There is no Solidity compiler of the right version."""

    exit_code = EnvironmentMissingError.exit_code


class NpmPackagesMissing(BindingsError):
    """Something that npm installs is not there."""

    exit_code = EnvironmentMissingError.exit_code


class CompilationFailed(BindingsError):
    """The Solidity compiler rejected the sources; the message holds its diagnostics."""


class BindingsMismatch(BindingsError):
    """Python and Solidity disagree about a function, an event or a struct."""


class RpcUnavailable(BindingsError):
    """The RPC endpoint did not answer after several tries."""


class RpcRefused(BindingsError):
    """The RPC endpoint answered with an error that a retry would not change."""

    def __init__(self, method: str, message: str, data: object = None) -> None:
        super().__init__(f"The RPC endpoint refused {method}: {message}.")
        self.method = method
        self.rpc_message = message
        self.data = data


class EndpointsDisagree(BindingsError):
    """Two of the configured RPC endpoints serve different chains."""

    exit_code = UsageError.exit_code


class WrongChain(BindingsError):
    """The RPC endpoint serves another chain than the deployment's."""

    def __init__(self, expected: int, actual: int, rpc_url: str) -> None:
        super().__init__(
            f"{rpc_url} serves chain {actual}, but the deployment is on chain {expected}; "
            "correct --rpc-url (or GAINSAY_RPC_URL) or the deployment file."
        )
        self.expected = expected
        self.actual = actual


class StaleHead(BindingsError):
    """The RPC endpoint lags: its newest block is too old to act on."""

    def __init__(self, age_s: float, limit_s: float, block_number: int) -> None:
        super().__init__(
            f"The newest block ({block_number}) is {age_s:.0f} s old, more than {limit_s:.0f} s; "
            "wait until the RPC endpoint has caught up, or use another one."
        )
        self.age_s = age_s


class CodeMismatch(BindingsError):
    """The code at an address is not the code that these sources compile to."""


class DeploymentInvalid(BindingsError):
    """A deployment file is missing, unreadable or incomplete."""

    exit_code = BadInputError.exit_code


class KeyUnavailable(BindingsError):
    """The signing key cannot be used: no file, wrong password, or an account that is not unlocked."""

    exit_code = UsageError.exit_code


class SignerUnavailable(BindingsError):
    """The remote signer does not answer, or refuses."""


class SignatureWrong(BindingsError):
    """The remote signer signed something else than it was asked for; it was not used."""


class InsufficientFunds(BindingsError):
    """The sending account cannot pay for the transaction."""


class LeaseLost(BindingsError):
    """This process was silent for so long that another one took over what it held."""


class Overtaken(BindingsError):
    """Another process carried an intent on meanwhile; read it again."""


class JournalBusy(BindingsError):
    """Other processes of the account keep the journal's signing lease."""


class AlreadyRunning(BindingsError):
    """The same program runs already for this account."""

    exit_code = UsageError.exit_code


class TransactionTimedOut(BindingsError):
    """A transaction was not mined in time; it stays in the journal and is carried on at the next start."""


class ReceiptMissing(TransactionTimedOut):
    """A transaction was confirmed and its receipt is gone: a reorganisation took it back, or the endpoint is behind. Nothing is on its way
    any more; whoever wanted the effect looks at the chain afresh."""


class LogsMissing(BindingsError):
    """The RPC endpoint shows a game's state, but not the event that says what the state is about."""

    def __init__(self, event: str, game_id: int, block_number: int) -> None:
        super().__init__(
            f"The RPC endpoint shows no {event} of game {game_id} that fits the game at block {block_number}; "
            "wait until it has caught up, or use another one."
        )


class PastIncomplete(BindingsError):
    """The RPC endpoint left out events that others follow from."""

    def __init__(self, event: str, block_number: int) -> None:
        super().__init__(
            f"The RPC endpoint did not show all that came before {event} in block {block_number}; what it left out "
            "is asked for again: wait some minutes, or use another one."
        )


class ContractError(BindingsError):
    """A contract reverted with a custom error, decoded.

    `name` is the Solidity error, `arguments` its named values, `sentence` its documentation.
    """

    def __init__(self, name: str, arguments: Mapping[str, object], sentence: str, call: str = "") -> None:
        shown = ", ".join(f"{key}={_show(value)}" for key, value in arguments.items())
        where = f"{call}: " if call else ""
        super().__init__(f"{where}{name}({shown}): {sentence}" if sentence else f"{where}{name}({shown})")
        self.name = name
        self.arguments = dict(arguments)
        self.sentence = sentence
        self.call = call


def _show(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
