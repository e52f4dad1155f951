"""Commands that do not train, errors and wrong usage."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pandas as pd
import pytest
from cli.conftest import DATASETS, tsattn

from tsattn.cli import COMMANDS, flag, main
from tsattn.config import RunConfig, override
from tsattn.models import resolve_options


def test_tensorflow_is_not_imported() -> None:
    commands = [
        ["--help"],
        *([name, "--help"] for name in ("fit", "backtest", "tune", "evaluate")),
        ["models"],
        ["models", "seq2seq"],
        ["inspect", str(DATASETS / "co2.csv")],
        ["forecast", str(DATASETS / "Airline.csv")],
    ]
    script = (
        "import sys; from tsattn.cli import main\n"
        f"for arguments in {commands!r}:\n"
        "    try: main(arguments)\n"
        "    except SystemExit as end: assert not end.code, arguments\n"
        "    found = {'tensorflow', 'keras', 'torch', 'jax', 'statsforecast', 'optuna'} & set(sys.modules)\n"
        "    assert not found, (arguments, found)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_command_line_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "tsattn", "no_such"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2 and "Usage: python -m tsattn" in result.stderr


def test_models_lists_options_and_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert "attention_pooling" in tsattn("models").output
    options = tsattn("models", "seq2seq").output
    assert "patch_length" in options and "autoregressive" in options
    assert "copy_heads" in options and "true | false" in options and "False" not in options
    assert "softmax | local | monotonic | coverage | hardmax" in options
    assert all(score in options for score in ("normalized_additive |", "concat |", "cosine |"))
    assert "typing" not in options
    assert tsattn("models", "naive").exit_code == 0


@pytest.mark.parametrize("name", ["seq2seq", "attention_pooling", "tcn", "graph_attention", "transformer"])
def test_example_setting_of_models_is_valid(name: str) -> None:
    shown = tsattn("models", name).output.strip().splitlines()[-1]
    settings = shown.split("--set ")[1:]
    config = RunConfig.from_dict(override({"model": {"name": name}}, settings), source="test")
    assert settings and resolve_options(config.model)[0].name == name


def test_inspect_prints_inferred_and_given_settings() -> None:
    result = tsattn("inspect", DATASETS / "co2.csv", "--horizon", 4)
    assert result.exit_code == 0
    assert "W-SAT" in result.stdout and "52" in result.stdout and "given" in result.stdout


def test_inspect_reads_the_future_as_fit_does(tmp_path: Path) -> None:
    days = pd.Series(pd.date_range("2024-01-01", periods=100))
    data = pd.DataFrame({"day": days, "sold": [step % 7 for step in range(100)], "promo": [0.0, 1.0] * 50})
    data[:90].to_csv(tmp_path / "sales.csv", index=False)
    data[90:].drop(columns="sold").to_csv(tmp_path / "plan.csv", index=False)
    result = tsattn("inspect", tmp_path / "sales.csv", "--future", tmp_path / "plan.csv", "--json")
    roles = json.loads(result.stdout)["result"]["roles"]
    assert (roles["targets"]["columns"], roles["future_covariates"]["columns"]) == (["sold"], ["promo"])


def test_forecast_reports_covariates_that_it_does_not_use(tmp_path: Path) -> None:
    data = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=60), "sold": range(60), "promo": 0.0})
    data.to_csv(tmp_path / "sales.csv", index=False)
    columns = ("--target", "sold", "--future-covariates", "promo")
    assert "The covariates are not used" in tsattn("forecast", tmp_path / "sales.csv", *columns).stderr
    assert "covariates are not used" not in tsattn("forecast", tmp_path / "sales.csv", "--target", "sold").stderr


WRONG_USAGE = [
    (("fit", "x.csv", "--target", "a", "b"), "commas"),
    (("fit",), "DATA"),
    (("fit", "x.csv", "--horizon", "0"), "horizon"),
    (("fit", "x.csv", "--horizon", "soon"), "horizon"),
    (("fit", "x.csv", "--model", "prophet"), "seasonal_naive"),
    (("fit", "x.csv", "--set", "model.units=wide"), "units"),
    (("fit", "x.csv", "--set", "model.unitz=3"), "unitz"),
    (("fit", "x.csv", "--set", "colour=red"), "colour"),
    (("fit", "x.csv", "--set", "horizon"), "key=value"),
    (("fit", "x.csv", "--set", "levels=[0.1,0.9]"), "0.5"),
    (("fit", "x.csv", "--config", "nowhere.toml"), "nowhere.toml"),
    (("fit", "x.csv", "--set", "model=seq2seq"), "model.name=seq2seq"),
    (("fit", "x.csv", "--set", "training.epoch=1"), "steps_per_epoch"),
    (("fit", "x.csv", "--config", "."), "cannot be read"),
    (("fit", str(DATASETS / "Airline.csv"), "--freq", "nonsense"), "nonsense"),
    (("backtest",), "DATA"),
    (("backtest", "x.csv", "--folds", "0"), "folds"),
    (("backtest", "x.csv", "--refit", "sometimes"), "every"),
    (("backtest", "x.csv", "--set", "model.unitz=3"), "unitz"),
    (("models", "prophet"), "seq2seq"),
    (("paint",), "paint"),
]


@pytest.mark.parametrize(("arguments", "named"), WRONG_USAGE, ids=lambda part: " ".join(part)[:40])
def test_wrong_usage_gives_exit_code_2(
    arguments: tuple[str, ...], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = tsattn(*arguments)
    assert result.exit_code == 2, result.output
    assert named in result.output and "Traceback" not in result.output
    assert not list(tmp_path.iterdir())


BAD_DATA = {
    "missing file": (None, (), ["data.csv"]),
    "empty file": ("", (), ["data.csv"]),
    "only a header": ("ds,y\n", (), ["data.csv"]),
    "two time columns": (
        "start,end,y\n" + "".join(f"2024-01-0{d},2024-02-0{d},{d}\n" for d in range(1, 9)),
        (),
        ["start", "end", "--time"],
    ),
    "text among numbers": ("ds,y\n2024-01-01,1\n2024-01-02,many\n2024-01-03,3\n", (), ["y", "line 3", "many"]),
    "a duplicate timestamp": ("ds,y\n2024-01-01,1\n2024-01-02,2\n2024-01-02,3\n2024-01-03,3\n", (), ["line 4"]),
    "an invalid timestamp": ("ds,y\n2024-01-01,1\n2024-01-02,2\nsoon,3\n", ("--time", "ds"), ["line 4", "soon"]),
    "too few rows": ("ds,y\n2024-01-01,1\n2024-01-02,2\n2024-01-03,4\n", ("--horizon", 5), ["horizon", "3"]),
    "a target that is all missing": (
        "ds,y\n" + "".join(f"2024-01-{d:02},\n" for d in range(1, 30)),
        ("--target", "y"),
        ["y"],
    ),
    "an unknown column": ("ds,y\n2024-01-01,1\n2024-01-02,2\n", ("--target", "sales"), ["sales", "y"]),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_gives_one_line_and_exit_code_1(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content, options, named = BAD_DATA[case]
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("data.csv").write_text(content)
    result = tsattn("fit", "data.csv", *options)
    assert result.exit_code == 1, result.output
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ") and all(part in last for part in named), last
    assert "Traceback" not in result.output
    assert {path.name for path in tmp_path.iterdir()} <= {"data.csv"}


def test_unwritable_directory_is_reported_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = tsattn("fit", DATASETS / "Airline.csv", "--out", tmp_path / "file" / "run")
    assert result.exit_code == 1 and "cannot be written" in result.stderr
    assert "1 series" not in result.stderr


def test_blank_rows_to_be_filled_by_the_forecast(tmp_path: Path) -> None:
    rows = [f"2024-{1 + day // 28:02}-{1 + day % 28:02},{day % 7 if day < 140 else ''}" for day in range(168)]
    (tmp_path / "data.csv").write_text("ds,y\n" + "\n".join(rows) + "\n")
    result = tsattn("fit", tmp_path / "data.csv", "--out", tmp_path / "run", "--freq", "D", "--horizon", 14)
    assert result.exit_code == 1 and "remove the rows that lie in the future" in result.stderr
    assert not (tmp_path / "run").exists()


def hinted_options() -> set[str]:
    """Return the names of the options in the hints of all errors."""
    names: set[str] = set()
    for path in (Path(__file__).parents[2] / "tsattn").rglob("*.py"):
        for part in ast.walk(ast.parse(path.read_text())):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                names.update(re.findall(r"(?<= )\{([a-z_]+)\}", part.value))
    return names


def test_options_in_hints_are_flags_of_a_command() -> None:
    flags: set[str] = set()
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        flags |= {option for parameter in command.params for option in parameter.opts}
    hinted = hinted_options()
    assert {"on_duplicate", "init_from", "last_steps"} <= hinted
    assert {flag(name) for name in hinted} <= flags


def test_inspect_as_json(tmp_path: Path) -> None:
    days = pd.date_range("2024-01-01", periods=60)
    frame = pd.DataFrame({"id": range(500, 560), "date": days, "sales": [float(n * 7 % 19) for n in range(60)]})
    frame.to_csv(tmp_path / "good.csv", index=False)
    result = tsattn("inspect", tmp_path / "good.csv", "--json", "--horizon", 4)
    document = json.loads(result.stdout)
    assert result.exit_code == 0 and (document["version"], document["status"], document["warnings"]) == (1, "ok", [])
    found = document["result"]
    assert found["roles"]["targets"]["columns"] == ["sales"] and found["left_out"] == ["id"]
    assert found["frequency"] == {"freq": "D", "time_zone": None, "season": 7, "horizon": 4}
    assert found["counts"]["rows"] == 60 and found["counts"]["last"] == "2024-02-29" and found["counts"]["missing"] == 0

    frame["date"] = range(45292, 45352)
    frame.to_csv(tmp_path / "serial.csv", index=False)
    result = tsattn("inspect", tmp_path / "serial.csv", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 3 and found["status"] == "warnings" and "2024-01-01" in found["warnings"][0]
    shown = tsattn("inspect", tmp_path / "serial.csv")
    assert shown.exit_code == 3 and shown.stdout.startswith("1 column will be forecast: sales")
    assert "Warning: 45292 and the others are read as days of a spreadsheet: 2024-01-01" in shown.stdout

    frame["date"] = [f"{day:%d/%m/%y}" for day in days[:60]]
    frame.iloc[:9].to_csv(tmp_path / "doubt.csv", index=False)
    result = tsattn("inspect", tmp_path / "doubt.csv", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 1 and found["status"] == "error" and found["error"]["options"] == ["--time-format"]
    given = tsattn("inspect", tmp_path / "doubt.csv", "--json", "--time-format", "%d/%m/%y", "--support", "positive")
    assert given.exit_code == 0 and json.loads(given.stdout)["result"]["counts"]["last"] == "2024-01-09"


def test_an_interruption_ends_with_status_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def interrupt(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tsattn.data.loader.load", interrupt)
    monkeypatch.setattr("tsattn.forecasting.warm_start.load", interrupt)
    for command in ("forecast", "fit"):
        result = tsattn(command, DATASETS / "Airline.csv")
        assert result.exit_code == 130 and result.stderr == "Interrupted.\n"
    assert list(tmp_path.iterdir()) == []
