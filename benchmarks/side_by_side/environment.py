"""The virtual environment of the peers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tsattn.errors import TsattnError

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
FOLDER = Path(__file__).parents[1] / ".peers"


def requirements() -> list[str]:
    """Return what the peers need, in the order in which it is installed."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def installed(folder: Path) -> bool:
    """Tell whether the environment in a folder holds what is required."""
    stamp = folder / REQUIREMENTS.name
    return stamp.exists() and stamp.read_text(encoding="utf-8") == REQUIREMENTS.read_text(encoding="utf-8")


def python(folder: Path) -> Path:
    """Return the interpreter of the environment in a folder, made and filled where it is not there yet.

    Raises:
        TsattnError: something cannot be installed.
    """
    found = folder / "bin" / "python"
    if not installed(folder):
        print(f"Installing the peers into {folder} (some minutes, once)", file=sys.stderr, flush=True)
        _run([sys.executable, "-m", "venv", str(folder)])
        for requirement in requirements():
            _run([str(found), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement])
        (folder / REQUIREMENTS.name).write_text(REQUIREMENTS.read_text(encoding="utf-8"), encoding="utf-8")
    # Not resolved: what it links to does not know the environment.
    return found.absolute()


def _run(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise TsattnError(f"{' '.join(command)} failed: {result.stderr.strip()[-500:]}")
