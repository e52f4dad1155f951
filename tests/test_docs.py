"""The pages under docs/ do what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import tsattn.layers

PAGES = sorted((Path(__file__).parents[1] / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_blocks_run(page: Path) -> None:
    blocks = [block for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.S) if "tsattn" in block]
    assert blocks
    result = subprocess.run([sys.executable, "-c", "\n".join(blocks)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_way_from_tensorflow_addons_leads_to_what_is_there() -> None:
    text = next(page for page in PAGES if "addons" in page.stem).read_text()
    rows = [line.split("|")[2] for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) > 20
    ours = {name for row in rows for name in re.findall(r"`([A-Z]\w+)\(", row)}
    assert ours - {"PolynomialDecay"} <= set(tsattn.layers.__all__)
