"""The commands and the code of the README and of the pages under docs/ run as they are shown."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pytest
from cli.conftest import tsattn
from run_files import without_export

from tsattn import Forecaster, forecast, layers, tune
from tsattn.cli import main
from tsattn.config import DataConfig, RunConfig
from tsattn.models import MODELS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {page.stem: page.read_text() for page in PAGES}
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```", re.S | re.M)
RUNS = ("runs/air", "runs/airline")
LINKING = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "examples" / "README.md"]
"""Pages whose links are checked."""
OTHER_OPTIONS = {
    *("--data-binary", "--no-cache-dir", "--no-deps"),
    *("--batching_parameters_file", "--enable_batching", "--model_config_file"),
}
"""Options of curl, pip and TensorFlow Serving."""
NOT_RUN = {
    ("CONTRIBUTING", "bash"),
    ("deploy", "dockerfile"),
    ("scikit-learn", "py"),  # MLflow, which is not installed
    ("own-models", "toml"),
}
"""Blocks that no test runs, by page and language."""
OTHER_TESTS = {"own-models": "tests/models/test_own_models.py"}
"""Pages whose commands another test runs, each in a new process."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages read: the bundled data, counts of 140 days, three sensors and their edges, and two runs."""
    folder = tmp_path_factory.mktemp("pages")
    for name in ("datasets", "configs"):
        shutil.copytree(ROOT / name, folder / name)
    sold = np.random.default_rng(0).poisson(5 + 2 * np.sin(np.arange(140) * 2 * np.pi / 7))
    data = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=140), "sold": sold})
    data.to_csv(folder / "data.csv", index=False)
    data.assign(a=sold, b=np.roll(sold, 1), c=np.roll(sold, 2)).drop(columns="sold").to_csv(
        folder / "sensors.csv", index=False
    )
    pd.DataFrame({"source": ["a", "b"], "target": ["b", "c"]}).to_csv(folder / "roads.csv", index=False)
    forecaster = Forecaster("seasonal_naive").fit(folder / "datasets" / "Airline.csv")
    for name in RUNS:
        forecaster.save(folder / name)
    return folder


@pytest.fixture
def workspace(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the files as working folder, so that nothing is written into the project."""
    folder, models = tmp_path / "workspace", dict(MODELS)
    shutil.copytree(files, folder)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    yield folder
    MODELS.clear()
    MODELS.update(models)
    sys.modules.pop("my_models", None)


def run_shell(block: str) -> None:
    """Run the commands of a block, but those that serve, without an exported model; a search has two trials."""
    for line in block.replace("\\\n", " ").splitlines():
        program, *arguments = shlex.split(line, comments=True) or [""]
        if program != "tsattn" or arguments[0] == "serve":
            continue
        with without_export():
            result = tsattn(*shlex.split(re.sub(r"--trials \d+", "--trials 2", shlex.join(arguments))))
        assert result.exit_code == 0, (line, result.output, result.exception)
        # Warnings of the program, on missing covariates for instance, are allowed, and those of libraries are not.
        others = [text for text in result.stderr.splitlines() if not text.startswith("Warning: ")]
        assert not any("arning" in text for text in others), (line, result.stderr)


@pytest.mark.slow
@pytest.mark.usefixtures("short_training", "eager_training")
@pytest.mark.parametrize("page", [name for name, text in TEXTS.items() if BLOCK.search(text)])
def test_blocks_run_one_after_the_other(page: str, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = TEXTS[page]
    for run in RUNS:
        if re.search(rf"""(--out |save\("){run}\b""", text):
            shutil.rmtree(workspace / run)
    names: dict[str, Any] = {}
    for language, block in BLOCK.findall(text):
        if language == "sh":
            if page not in OTHER_TESTS:
                run_shell(block)
        elif found := re.match(r"# (\w+\.py)\n", block):
            (workspace / found[1]).write_text(block)
        elif "tfa." not in block:
            # Only the README reads the exported model of a run.
            with nullcontext() if page == README.stem else without_export():
                exec(compile(block, f"{page}.md", "exec"), names)
    if page == README.stem:
        printed = capsys.readouterr().out
        assert "Passengers-lo-80" in printed and "(1, 12, 1, 3)" in printed


@pytest.mark.slow
def test_the_server_answers_what_the_pages_and_the_client_ask(workspace: Path) -> None:
    from serving.test_serve_command import serving, url

    shell = "".join(block for text in TEXTS.values() for language, block in BLOCK.findall(text) if language == "sh")
    commands = dict.fromkeys(re.findall(r"^curl (?:.*\\\n)*.*", shell, re.M))
    with serving(workspace / "runs" / "airline") as (_, line):
        answers = [
            subprocess.run(
                command.replace("http://127.0.0.1:8501", url(line)),
                shell=True,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for command in commands
        ]
        address = f"{url(line)}/v1/models/airline:predict"
        client = [sys.executable, ROOT / "examples" / "serving_client.py", "datasets/Airline.csv", address]
        from_client = subprocess.run(client, capture_output=True, text=True, check=True).stdout
    assert answers[0].startswith("unique_id,ds,y,y-lo-80,y-hi-80\n") and answers[0].count("\n") == 13
    assert json.loads(answers[1])["forecast"][0]["ds"].startswith("2024-03-01")
    assert len(json.loads(answers[2])["outputs"]["forecast"][0]) == 12
    last_year = " ".join(map(str, pd.read_csv("datasets/Airline.csv")["Passengers"].tail(12)))
    assert from_client.count(last_year) == 2


def test_every_other_block_is_listed() -> None:
    found = {
        (page.stem, language)
        for page in LINKING
        for language in re.findall(r"^ *```(\w+)\n", page.read_text(), re.M)
        if page not in PAGES or language not in ("python", "sh")
    }
    chinese = {("README.zh-CN", "python"), ("README.zh-CN", "sh")}  # compared with README.md
    assert found == NOT_RUN | chinese | {("configuration", "toml")}
    configuration = (ROOT / "docs" / "reference" / "configuration.md").read_text()
    (block,) = re.findall(r"^```toml\n(.*?)^```", configuration, re.S | re.M)
    assert RunConfig.from_dict(tomllib.loads(block), source="page").model["units"] == 64


def test_linked_files_exist() -> None:
    for page in LINKING:
        prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
        for name in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose):
            assert (page.parent / name).exists(), (page.name, name)


def test_the_readme_is_short_and_has_the_same_code_in_chinese() -> None:
    chinese = (ROOT / "README.zh-CN.md").read_text()
    fences = re.compile(r"^```.*?^```$", re.S | re.M)
    assert fences.findall(TEXTS["README"]) == fences.findall(chinese)
    titles, tables = (re.compile(pattern, re.M) for pattern in (r"^#+ ", r"^\|"))
    for pattern in (titles, tables):
        assert len(pattern.findall(TEXTS["README"])) == len(pattern.findall(chinese))
    assert "(README.zh-CN.md)" in TEXTS["README"] and "(README.md)" in chinese
    assert len(TEXTS["README"].splitlines()) <= 150


def test_every_layer_and_model_is_in_the_reference() -> None:
    reference = ROOT / "docs" / "reference"
    assert set(re.findall(r"tsattn\.layers\.(\w+)", (reference / "layers.md").read_text())) == set(layers.__all__)
    titles = re.findall(r"^### (\w+)$", (reference / "configuration.md").read_text(), re.M)
    assert set(titles) == {
        name for name, entry in MODELS.items() if entry.module is None and entry.options.model_fields
    }


def test_options_and_arguments_of_the_pages_exist() -> None:
    context = click.Context(main)
    commands = [main.get_command(context, name) for name in main.list_commands(context)]
    options = {text for it in commands if it for option in it.params for text in (*option.opts, *option.secondary_opts)}
    options |= {"--help", "--version", *OTHER_OPTIONS}
    for page in LINKING:
        assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", page.read_text())) <= options, page.name

    known = {"Forecaster": Forecaster, "tune": tune, "forecast": forecast}
    rows = re.findall(r"^\|.*?\| (.*)\|$", TEXTS["coming-from-other-libraries"], re.M)
    calls = [
        node for row in rows for code in re.findall(r"`([^`]+\))[^`]*`", row) for node in ast.walk(ast.parse(code))
    ]
    seen = 0
    for call in (node for node in calls if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
        function = known.get(name) or getattr(Forecaster, name)
        arguments = set(inspect.signature(function).parameters) | DataConfig.model_fields.keys()
        assert {keyword.arg for keyword in call.keywords} <= arguments, ast.unparse(call)
        seen += 1
    assert seen > 25


def test_the_way_from_tensorflow_addons_leads_to_public_layers() -> None:
    text = next(text for name, text in TEXTS.items() if "addons" in name)
    rows = [line.split("|")[2] for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) > 20
    ours = {name for row in rows for name in re.findall(r"`([A-Z]\w+)\(", row)}
    assert ours - {"PolynomialDecay"} <= set(layers.__all__)
