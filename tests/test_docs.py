"""The pages under docs/ do what they say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tsattn.layers
from tsattn import Forecaster

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_blocks_run(page: Path, tmp_path: Path) -> None:
    blocks = [block for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.S) if "tsattn" in block]
    assert blocks
    files = {found[1]: block for block in blocks if (found := re.match(r"# (\w+\.py)\n", block))}
    for name, block in files.items():
        (tmp_path / name).write_text(block)
    script = "\n".join(block for block in blocks if block not in files.values())
    result = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_the_server_answers_what_the_page_asks(tmp_path: Path) -> None:
    from serving.test_serve_command import serving, url

    shutil.copytree(ROOT / "datasets", tmp_path / "datasets")
    Forecaster("seasonal_naive").fit(tmp_path / "datasets" / "Airline.csv").save(tmp_path / "runs" / "airline")
    text = (ROOT / "docs" / "serving.md").read_text()
    shell = "".join(re.findall(r"```sh\n(.*?)```", text, re.S))
    commands = re.findall(r"^curl (?:.*\\\n)*.*", shell, re.M)
    with serving(tmp_path / "runs" / "airline") as (_, told):
        answers = [
            subprocess.run(
                command.replace("http://127.0.0.1:8501", url(told)),
                shell=True,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for command in commands
        ]
    assert answers[0].startswith("unique_id,ds,y,y-lo-80,y-hi-80\n") and answers[0].count("\n") == 13
    assert json.loads(answers[1])["forecast"][0]["ds"].startswith("2024-03-01")
    assert len(json.loads(answers[2])["outputs"]["forecast"][0]) == 12


def test_the_way_from_tensorflow_addons_leads_to_what_is_there() -> None:
    text = next(page for page in PAGES if "addons" in page.stem).read_text()
    rows = [line.split("|")[2] for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) > 20
    ours = {name for row in rows for name in re.findall(r"`([A-Z]\w+)\(", row)}
    assert ours - {"PolynomialDecay"} <= set(tsattn.layers.__all__)
