"""The README does what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tsattn import Forecaster

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder with what the README's commands read, so that nothing is written into the project."""
    for name in ("datasets", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.slow
def test_python_blocks_run_one_after_the_other(workplace: Path) -> None:
    script = "\n".join(re.findall(r"```python\n(.*?)```", TEXT, re.S))
    result = subprocess.run([sys.executable, "-c", script], cwd=workplace, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "y-lo-80" in result.stdout and "(1, 12, 1, 3)" in result.stdout


@pytest.mark.slow
def test_shell_lines_run(workplace: Path) -> None:
    lines = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.S) for line in block.splitlines()]
    commands = [line.partition("#")[0].split()[1:] for line in lines if line.startswith("tsattn ")]
    assert len(commands) >= 6
    for command in commands:
        if command[0] == "serve":
            continue
        result = subprocess.run(
            [sys.executable, "-c", "from tsattn.cli import main; main()", *command],
            cwd=workplace,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, (command, result.stderr)
        assert "arning" not in result.stderr, (command, result.stderr)


@pytest.mark.slow
def test_the_server_answers_what_the_readme_asks(workplace: Path) -> None:
    from serving.test_serve_command import serving, url

    lines = [line.partition("  #")[0] for line in TEXT.splitlines() if line.startswith(("tsattn serve ", "curl "))]
    assert [line.split()[0] for line in lines] == ["tsattn", "curl"]
    Forecaster("seasonal_naive").fit(workplace / "datasets" / "Airline.csv").save(workplace / "runs" / "air")
    with serving(workplace / lines[0].split()[2]) as (_, told):
        command = lines[1].replace("http://127.0.0.1:8501", url(told))
        answer = subprocess.run(command, shell=True, cwd=workplace, capture_output=True, text=True, check=True).stdout
    assert answer.startswith("unique_id,ds,y,y-lo-80,y-hi-80\n") and answer.count("\n") > 10


def test_files_that_it_names_are_there() -> None:
    prose = re.sub(r"```.*?```", "", TEXT, flags=re.S)
    for name in re.findall(r"\]\(([^)#]+)\)", prose):
        assert (ROOT / name).exists(), name
