"""What comes from npm (the Solidity compiler, OpenZeppelin's sources, Anvil), and where it is.

In a checkout `make setup` installs it beside the sources. A program installed from a wheel has none of it:
GAINSAY_NODE_MODULES names the folder where it was installed by hand.
"""

from __future__ import annotations

import os
from pathlib import Path

from .errors import NpmPackagesMissing

PROJECT_ROOT = Path(__file__).resolve().parents[2]
#: The releases of package.json, which a wheel does not contain.
RELEASES = {"@foundry-rs/anvil": "1.7.1", "@openzeppelin/contracts": "5.4.0", "solc": "0.8.34"}
VARIABLE = "GAINSAY_NODE_MODULES"


def is_checkout() -> bool:
    """Whether this program runs from its sources rather than from an installed wheel."""
    return (PROJECT_ROOT / "pyproject.toml").is_file()


def node_modules() -> Path:
    """The folder of npm packages, whether it exists or not."""
    named = os.environ.get(VARIABLE)
    return Path(named).resolve() if named else PROJECT_ROOT / "node_modules"


def how_to_install() -> str:
    """What to do about a missing package, as the end of a sentence."""
    if is_checkout():
        return f"run `npm ci` (or `make setup`) in {PROJECT_ROOT.name}, the project's folder"
    packages = " ".join(f"{name}@{release}" for name, release in RELEASES.items())
    return f"install Node.js 20, run `npm install --prefix FOLDER {packages}` and set {VARIABLE}=FOLDER/node_modules"


def missing(what: str) -> NpmPackagesMissing:
    """The error about something that npm would install."""
    return NpmPackagesMissing(f"{what} is not installed; {how_to_install()}.")
