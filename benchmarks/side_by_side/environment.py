"""The virtual environment of the peers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tsattn.errors import TsattnError

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
FOLDER = Path(__file__).parents[1] / ".peers"


def requirements() -> list[str]:
    """Return the requirements of the peers in the order of installation."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def is_installed(folder: Path) -> bool:
    """Return whether a folder contains the environment with the current requirements."""
    installed = folder / REQUIREMENTS.name
    return installed.exists() and installed.read_text(encoding="utf-8") == REQUIREMENTS.read_text(encoding="utf-8")


def ensure_python(folder: Path) -> Path:
    """Return the interpreter of the environment in a folder, which is created if needed.

    Raises:
        TsattnError: A requirement cannot be installed.
    """
    python = folder / "bin" / "python"
    if not is_installed(folder):
        print(f"Installing the peers into {folder} (a few minutes, once)", file=sys.stderr, flush=True)
        _run([sys.executable, "-m", "venv", str(folder)])
        for requirement in requirements():
            _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement])
        (folder / REQUIREMENTS.name).write_text(REQUIREMENTS.read_text(encoding="utf-8"), encoding="utf-8")
    # Not resolved: the target of the link is outside the environment.
    return python.absolute()


def _run(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise TsattnError(f"{' '.join(command)} failed: {result.stderr.strip()[-500:]}")
