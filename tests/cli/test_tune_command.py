"""`tsattn tune`: output, files, errors, resuming, several processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tomllib
from pathlib import Path
from time import monotonic, sleep

import pandas as pd
import pytest
from cli.conftest import TINY, in_new_process, tsattn
from click.testing import Result
from tuning.conftest import small_model
from tuning.small import QUICK, days

from tsattn.cli.options import Duration

__all__ = ["small_model"]

pytestmark = pytest.mark.usefixtures("eager_training")

QUICKLY = tuple(part for key, value in QUICK.items() for part in ("--set", f"training.{key}={value}"))
SMALL = ("--import", "tuning.small", "--model", "small", "--horizon", 7, "--context", 28, "--set", "model.odd=false")
SMALL = (*SMALL, *QUICKLY)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Daily data with a weekly season, in the working directory."""
    monkeypatch.chdir(tmp_path)
    days().to_csv("days.csv", index=False)
    return Path("days.csv")


def tuned(data: Path, *arguments: object) -> Result:
    result = tsattn("tune", data, *SMALL, *arguments)
    assert result.exit_code == 0, result.output
    return result


def test_best_trials_are_printed_and_the_best_one_is_written(data: Path) -> None:
    result = tuned(data, "--trials", 3)
    assert "The best trials: MASE on the validation part" in result.stdout and "the default" in result.stdout
    assert "3 trials: 3 trained." in result.stdout and "MASE on the validation part: default " in result.stdout
    assert "The best naive baseline is " in result.stdout
    assert "Written: days-tuned.toml. Fit with it: tsattn fit days.csv --config days-tuned.toml" in result.stderr
    assert {path.name for path in Path().iterdir()} == {"days.csv", "days-tuned.toml", "days-tuned.journal"}
    written = Path("days-tuned.toml").read_text()
    assert written.startswith("# Found by tsattn tune, 3 trials. MASE on the validation part: default ")
    config = tomllib.loads(written)
    assert config["model"]["name"] == "small" and config["training"]["learning_rate"] == QUICK["learning_rate"]
    again = tsattn("tune", data, *SMALL)
    assert again.exit_code == 1 and "--overwrite" in again.stderr and "1 series" not in again.stderr
    again = tuned(data, "--trials", 3, "--overwrite")
    assert "Resumed: 3 trials of 3 are done." in again.stderr and again.stdout == result.stdout
    assert Path("days-tuned.toml").read_text() == written


def test_journal_of_other_data_or_options_is_refused(data: Path) -> None:
    tuned(data, "--time-limit", "1s", "-o", "a.toml", "--journal", "search.journal")
    assert {path.name for path in Path().iterdir()} == {"days.csv", "a.toml", "search.journal"}
    days(130).to_csv("more.csv", index=False)
    for arguments, message in (
        (("more.csv", *SMALL, "--journal", "search.journal"), "of other data"),
        ((data, *SMALL, "--journal", "search.journal", "--seed", 4), "with seed=0"),
        ((data, *SMALL, "--journal", data), "expected a journal"),
        ((data, *SMALL, "--journal", "nowhere/search.journal"), "cannot be used as a journal"),
    ):
        result = tsattn("tune", *arguments, "-o", "b.toml")
        assert result.exit_code == 1 and message in result.stderr.splitlines()[-1], result.output
    assert {path.name for path in Path().iterdir()} == {"days.csv", "more.csv", "a.toml", "search.journal"}


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("30s", 30), ("20m", 1200), ("1.5h", 5400), (".5m", 30), ("2 h", 7200)]
)
def test_durations(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--time-limit", "soon"), "20m or 1.5h"),
        (("--time-limit", "0s"), "expected a duration"),
        (("--time-limit", "-5m"), "expected a duration"),
        (("--trials", "0"), "trials"),
        (("--model", "naive"), "options to tune"),
        (("--model", "auto"), "expected models to search"),
        (("--model", "tcn,prophet"), "prophet"),
        (("--model", "tcn,seq2seq", "--set", "model.rnn=gru"), "rnn"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], named: str, data: Path) -> None:
    result = tsattn("tune", data, *arguments)
    assert result.exit_code == 2 and named in " ".join(result.output.split()), result.output
    assert [path.name for path in Path().iterdir()] == ["days.csv"]


def test_time_column_can_be_named(data: Path) -> None:
    frame = days().rename(columns={"ds": "when"}).assign(then=days()["ds"] + pd.Timedelta(days=1))
    frame.to_csv("two.csv", index=False)
    result = tsattn("inspect", "two.csv", "--time", "when")
    assert result.exit_code == 0 and "when" in result.stdout
    assert tsattn("tune", "two.csv", *SMALL, "--trials", 1, "--time", "when").exit_code == 0


def start_process(*arguments: object) -> subprocess.Popen[str]:
    """Start the command in a new process."""
    return subprocess.Popen(**in_new_process(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_a_trial(journal: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a journal contains a finished trial."""
    end = monotonic() + 300
    while not (journal.exists() and re.search(r'"op_code":6[^\n]*"state":[12]', journal.read_text())):
        assert process.poll() is None and monotonic() < end, process.communicate()
        sleep(0.05)


@pytest.mark.slow
@pytest.mark.usefixtures("without_export")
def test_fit_takes_the_written_configuration(data: Path) -> None:
    result = tuned(data, "--trials", 3)
    fitted = tsattn("fit", data, "--import", "tuning.small", "--config", "days-tuned.toml", "--out", "run")
    assert fitted.exit_code == 0, fitted.output
    rows = {row["model"]: row for row in json.loads(Path("run/metrics.json").read_text())["scores"]}
    (first,) = (line.split() for line in result.stdout.splitlines() if line.split()[:1] == ["1"])
    assert f"{rows['small']['mase']:.4g}" == first[1]


@pytest.mark.slow
def test_killed_search_resumes(data: Path) -> None:
    command = ("tune", data, *SMALL, "--trials", 5)
    process = start_process(*command)
    wait_for_a_trial(Path("days-tuned.journal"), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not Path("days-tuned.toml").exists()
    result = tsattn(*command)
    assert result.exit_code == 0, result.output
    assert "Resumed: " in result.stderr and "5 trials: " in result.stdout
    assert "failed" not in result.stdout and "running" not in result.stdout
    assert tomllib.loads(Path("days-tuned.toml").read_text())["model"]["name"] == "small"
    ended = [json.loads(line) for line in Path("days-tuned.journal").read_text().splitlines()]
    finished = [line["trial_id"] for line in ended if line["op_code"] == 6 and line["state"] in (1, 2)]
    assert len(finished) == len(set(finished)) == 5


@pytest.mark.slow
def test_two_commands_divide_the_trials(data: Path) -> None:
    command = ("tune", data, *SMALL, "--trials", 6)
    processes = [start_process(*command), start_process(*command)]
    for process in processes:
        output, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors and "MASE on the validation part" in output
    result = tuned(data, "--trials", 6, "--overwrite")
    assert "Resumed: 6 trials of 6 are done." in result.stderr and "6 trials: " in result.stdout


@pytest.mark.slow
def test_workers_of_ray_divide_the_trials(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tests = str(Path(__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")]))
    result = tsattn("tune", data, *SMALL, "--trials", 4, "--ray", "local", "--jobs", 2)
    assert result.exit_code == 0, result.output
    assert "4 trials: " in result.stdout
    resumed = tuned(data, "--trials", 4, "--overwrite")
    assert "Resumed: 4 trials of 4 are done." in resumed.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("without_export")
def test_the_default_network(data: Path) -> None:
    result = tsattn("tune", data, *TINY, "--trials", 2, "--jobs", 2, "--model", "seq2seq,attention_pooling")
    assert result.exit_code == 0, result.output
    assert "seq2seq" in result.stdout and "attention_pooling" in result.stdout
    assert tsattn("fit", data, "--config", "days-tuned.toml", "--out", "run").exit_code == 0
