"""Progress, JSON and messages of every command, on a terminal and without one."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cli.conftest import DATASETS, TINY, tsattn
from rich.console import Console

from tsattn import Forecaster
from tsattn._logging import STEP, LineHandler
from tsattn.cli import COMMANDS, output
from tsattn.cli.screen import Screen

AIRLINE = DATASETS / "Airline.csv"
SCHEMA = json.loads((Path(output.__file__).with_name("document.schema.json")).read_text())


def read_document(*arguments: object, status: int = 0) -> dict[str, Any]:
    """Run a command with ``--json`` and return its document, after a check by the schema."""
    result = tsattn(*arguments, "--json")
    assert result.exit_code == status, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    jsonschema.validate(found, SCHEMA, jsonschema.Draft202012Validator)
    assert found["exit_status"] == status
    return found


def test_the_schema_has_every_command() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert set(SCHEMA["$defs"]) == set(COMMANDS) == set(SCHEMA["properties"]["command"]["enum"]) - {None}
    assert SCHEMA["properties"]["version"] == {"const": output.VERSION}


def test_commands_without_a_run_as_json(tmp_path: Path) -> None:
    found = read_document("forecast", AIRLINE, "--horizon", 2, "--levels", "80,95")
    assert found["command"] == "forecast" and len(found["result"]["rows"]) == 2 and "Weights" in found["notes"][0]
    assert {"Passengers-lo-80", "Passengers-hi-80", "Passengers-lo-95"} <= set(found["result"]["rows"][0])
    found = read_document("forecast", AIRLINE, "--horizon", 2, "--out", tmp_path / "f.csv")
    assert found["result"]["out"] == str(tmp_path / "f.csv") and found["result"]["rows"] == []
    assert read_document("inspect", AIRLINE)["result"]["layout"] == "wide"
    assert {"seq2seq", "naive"} <= {row["name"] for row in read_document("models")["result"]["models"]}
    assert read_document("models", "seq2seq")["result"]["models"][0]["options"]
    assert read_document("datasets", "airline")["result"]["path"].endswith("Airline.csv")
    assert read_document("datasets")["result"]["datasets"][0]["name"] == "airline"


def test_errors_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "two.csv").write_text("ds,y\n2024-01-01,1\n2024-01-01,2\n")
    found = read_document("forecast", tmp_path / "two.csv", status=1)
    assert found["status"] == "error" and found["error"]["options"] and found["result"] is None
    found = read_document("forecast", AIRLINE, "--horizn", 3, status=2)
    assert "--horizon" in found["error"]["message"] and found["command"] == "forecast"
    assert read_document("forecst", AIRLINE, status=2)["command"] is None

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tsattn.data.loader.load", interrupt)
    assert read_document("forecast", AIRLINE, status=130)["status"] == "interrupted"


@pytest.mark.usefixtures("without_export")
def test_fit_as_json_and_quietly(tmp_path: Path) -> None:
    found = read_document("fit", AIRLINE, "--model", "naive", "--out", tmp_path / "a")
    assert found["result"]["run"] == str(tmp_path / "a") and found["result"]["model"] == "naive"
    result = tsattn("fit", AIRLINE, "--model", "naive", "--out", tmp_path / "b", "--quiet")
    assert result.stderr == "" and result.stdout == f"{tmp_path / 'b'}\n"
    assert tsattn("fit", AIRLINE, "--model", "naive", "--out", tmp_path / "b", "-q", "-v").exit_code == 2


@pytest.mark.usefixtures("eager_training", "without_export")
def test_without_a_terminal_every_stage_and_epoch_is_a_line(noise: Path, tmp_path: Path) -> None:
    arguments = ("--season", 1, "--horizon", 5, *TINY, "--model", "attention_pooling", "-v")
    result = tsattn("fit", noise, "--out", tmp_path / "run", *arguments)
    assert result.exit_code == 0, result.output
    lines = [line.partition(" s  ")[2] for line in result.stderr.splitlines() if " s  " in line]
    known = (f"Reading {noise}", "Loading TensorFlow", "Training: preparing", "Training: epoch 1/2, loss ")
    known += ("Training: epoch 2/2, loss ", "Scoring attention_pooling", "Writing the forecast")
    assert [line for line in lines if not line.startswith(known)] == []
    assert [any(line.startswith(start) for line in lines) for start in known] == [True] * len(known)
    assert "windows/s" in lines[4] and "validation 0." in lines[4]


def test_steps_within_an_epoch_are_a_line_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now, lines = 100.0, []
    monkeypatch.setattr("tsattn._logging.monotonic", lambda: now)
    handler = LineHandler(lines.append)
    for now in range(101, 131):
        handler.emit(logging.LogRecord("tsattn", STEP, "", 0, str(now), (), None))
    assert lines == ["110", "120", "130"]


def test_terminal_has_a_status_line_until_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsattn.cli.screen.silence_native_code", nullcontext)
    printed = io.StringIO()
    terminal = Console(file=printed, force_terminal=True, width=60, soft_wrap=True, legacy_windows=False)
    monkeypatch.setattr("tsattn.cli.screen.console", lambda stderr=False: terminal)
    with Screen() as screen:
        logging.getLogger("tsattn.any").info("Loading TensorFlow")
        assert "Loading TensorFlow" in printed.getvalue()
        screen.show("a sentence that is longer than the terminal is wide is wrapped between its words")
        screen.print("the result")
        shown = len(printed.getvalue())
        assert printed.getvalue().endswith("the result\n")
        logging.getLogger("tsattn.any").debug("a detail")
        assert len(printed.getvalue()) == shown
    assert "terminal is wide is\nwrapped between" in printed.getvalue()
    assert printed.getvalue().count("Loading TensorFlow") >= 2, "it is drawn again below the sentence"


def test_python_logs_and_writes_progress(
    noise: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tsattn")
    Forecaster("naive", horizon=3).fit(noise)
    assert [record.name.split(".")[0] for record in caplog.records] == ["tsattn"] * len(caplog.records)
    assert any("Scoring naive" in record.message for record in caplog.records)
    assert capsys.readouterr() == ("", "")
    Forecaster("naive", horizon=3).fit(noise, verbose=1)
    assert capsys.readouterr().err.splitlines()[0] == f"Reading {noise}"


@pytest.mark.parametrize(
    ("options", "bounds"),
    [
        (("--levels", "80,95"), ["lo-95", "lo-80", "hi-80", "hi-95"]),
        (("--quantiles", ".05,.5,.95"), ["lo-90", "hi-90"]),
        (("--quantiles", "0.5"), []),
    ],
)
def test_intervals_by_coverage_or_quantiles(options: tuple[str, str], bounds: list[str]) -> None:
    header = tsattn("forecast", AIRLINE, *options).stdout.splitlines()[0].split(",")
    assert sorted(header[3:]) == sorted(f"Passengers-{bound}" for bound in bounds)


@pytest.mark.parametrize("options", [("--levels", "80,x"), ("--levels", "0"), ("--levels", "80", "--quantiles", ".5")])
def test_wrong_intervals(options: tuple[str, ...]) -> None:
    for command in ("forecast", "fit"):
        assert tsattn(command, AIRLINE, *options).exit_code == 2


SUGGESTIONS = [
    (("predit", "x"), "'predict'"),
    (("fit", AIRLINE, "--horizn", 3), "'--horizon'"),
    (("fit", AIRLINE, "--model", "lstm"), "seq2seq with model.rnn=lstm"),
    (("fit", AIRLINE, "--model", "seq2sek"), "'seq2seq'"),
    (("fit", AIRLINE, "--set", "model.unitz=3"), "'units'"),
    (("fit", AIRLINE, "--set", "model.epochs=3"), "'training.epochs'"),
    (("fit", AIRLINE, "--target", "Pasengers"), "'Passengers'"),
    (("datasets", "airlin"), "'airline'"),
]


@pytest.mark.parametrize(("arguments", "suggestion"), SUGGESTIONS, ids=lambda part: str(part)[-24:])
def test_mistyped_names_are_answered_with_the_nearest(arguments: tuple[object, ...], suggestion: str) -> None:
    result = tsattn(*arguments)
    assert result.exit_code in (1, 2) and "id you mean" in result.stderr and suggestion in result.stderr


def test_an_option_of_another_command_names_it() -> None:
    result = tsattn("forecast", AIRLINE, "--future", "plan.csv")
    assert result.exit_code == 2 and "It is an option of tsattn fit and tsattn predict." in result.stderr


SCRIPT = "from tsattn.cli import main; main()"


@pytest.mark.slow
def test_ctrl_c_ends_the_training_and_a_second_one_aborts(noise: Path, tmp_path: Path) -> None:
    """Processes, because signals are sent to them."""
    options = ("--model", "seq2seq", "--horizon", "5", "--set", "training.epochs=500", "--set", "training.patience=500")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    for name, signals, status in (("once", 1, 0), ("twice", 2, 130)):
        command = [sys.executable, "-c", SCRIPT, "fit", str(noise), "--out", str(tmp_path / name), *options]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stderr is not None
            lines = []
            for line in process.stderr:
                lines.append(line)
                if signals == 2 and "Ctrl-C again aborts" in line:
                    process.send_signal(signal.SIGINT)
                if "Training: epoch 2" in line and len([each for each in lines if "epoch 2/" in each]) == 1:
                    process.send_signal(signal.SIGINT)
            assert process.wait() == status, lines
        text = "".join(lines)
        assert ("Ctrl-C ended the training in epoch" in text) == (signals == 1)
        assert "Ctrl-C again aborts" in text and not any(word in text for word in ("oneDNN", "absl", "INFO", "cuda"))
    history = Forecaster.load(tmp_path / "once").history_
    assert history is not None and history.interrupted and len(history.loss) < 500
    assert not (tmp_path / "twice").exists() and "--resume" in text and text.endswith("Interrupted.\n")


@pytest.mark.slow
@pytest.mark.parametrize("code", ["from tsattn import Forecaster", SCRIPT.replace("main()", "main(['models'])")])
def test_no_message_of_tensorflow(code: str) -> None:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr == ""
