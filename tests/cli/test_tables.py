"""Tables, text and help at any width: nothing is cut, split within a word or printed twice."""

from __future__ import annotations

import io
import re

import click
import pandas as pd
import pytest
from cli.conftest import DATASETS, tsattn
from rich.console import Console

from tsattn.cli import COMMANDS, main
from tsattn.cli.output import grouped_scores_table, schema_table, scores_table, text_table
from tsattn.cli.screen import Column, DataTable, fit_status, wrap
from tsattn.config import DataConfig
from tsattn.data.datasets import DATASETS as KNOWN
from tsattn.data.loader import load
from tsattn.models import MODELS

WIDTHS = (60, 80, 120, 200)

METRICS = {"mase": 0.571, "skill": 0.685, "smape": 3.68, "mae": 16.3, "rmse": 203.5, "wql": 0.023, "coverage-80": 0.98}


def scores(**keys: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame({"model": ["seq2seq + combination", "seasonal_naive", "drift"], **keys})
    return frame.assign(**METRICS)


def all_tables() -> dict[str, DataTable]:
    """Every table of the command line, without training."""
    long_name = pd.DataFrame({"unique_id": ["Zürich 気温 station", "b"], "model": "drift"}).assign(**METRICS)
    trials = (
        Column("rank", ["1", "2"], "name"),
        Column("MASE", ["0.9071", "0.92"], "figure"),
        Column("changed options", ["units=128, attention=normalized_additive, copy_heads=8", "the default"]),
    )
    return {
        "schema": schema_table(load(DATASETS / "co2.csv", DataConfig())[1], load(DATASETS / "co2.csv")[0]),
        "scores": scores_table(scores(), ["drift"]),
        "by series": grouped_scores_table(long_name, "drift"),
        "models": text_table(("model", "description"), [(it.name, it.summary) for it in MODELS.values()]),
        "options": text_table(
            ("option", "default", "description"),
            [(name, "by rule", it.description) for name, it in MODELS["seq2seq"].options.model_fields.items()],
        ),
        "datasets": text_table(
            ("name", "description", "columns", "licence"),
            [(it.name, f"{it.description}\n{it.url}", it.shape, it.licence) for it in KNOWN.values()],
        ),
        "trials": DataTable(trials, "The best trials: MASE on the validation part, lower is better", frozenset({0})),
    }


def rendered(table: DataTable, width: int) -> list[str]:
    terminal = Console(file=io.StringIO(), width=width, soft_wrap=True, markup=False, highlight=False)
    terminal.print(table)
    assert isinstance(terminal.file, io.StringIO)
    return terminal.file.getvalue().splitlines()


@pytest.mark.parametrize("width", WIDTHS)
def test_tables_hold_every_word_once_within_the_width(width: int) -> None:
    for name, table in all_tables().items():
        lines = rendered(table, width)
        words = [word for line in lines for word in line.replace("─", "").replace(",", " ").split()]
        cells = [cell for column in table.columns for cell in column.cells]
        wanted = [word for text in (table.title, *cells) for word in text.replace(",", " ").split()]
        assert not set(wanted) - set(words), (name, width)
        for line in lines:
            if len(line) > width:
                assert len(line.split()) == 1, (name, line)
        figures = [cell for column in table.columns if column.kind == "figure" for cell in column.cells]
        assert all(any(figure in line for line in lines) for figure in figures), name
        firsts = table.columns[0].cells
        for first in firsts:
            found = [line for line in lines if line == f"  {first}" or line.startswith(f"  {first}  ")]
            assert len(found) == firsts.count(first), (name, first, width)


def test_a_table_that_does_not_fit_is_a_list() -> None:
    table = scores_table(scores(), ["drift"])
    assert any(line.startswith("  model ") for line in rendered(table, 100))
    narrow = rendered(table, 60)
    assert not any(line.startswith("  model ") for line in narrow)
    assert "  seq2seq + combination" in narrow and any(
        line.startswith("    MASE 0.571, skill % 68.5,") for line in narrow
    )


def test_text_is_wrapped_between_words_by_the_cells_of_the_terminal() -> None:
    assert wrap("a half-year of data", 12) == ["a half-year", "of data"]
    assert wrap("  indented text goes on", 14) == ["  indented", "  text goes on"]
    assert wrap("気温 気温 気温", 9) == ["気温 気温", "気温"]
    assert wrap("/a/path/longer/than/the/line is whole", 10)[0] == "/a/path/longer/than/the/line"


def test_status_line_leaves_out_parts_that_do_not_fit() -> None:
    text = "Training: epoch 3/30, loss 0.1234, up to 12 s left, validation 0.2345, 5310 windows/s"
    assert fit_status(text, 200) == text
    assert fit_status(text, 60) == "Training: epoch 3/30, loss 0.1234, up to 12 s left"
    assert fit_status(text, 10) == "Training: epoch 3/30"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_the_terminal(command: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    result = tsattn(*([command] if command else []), "--help")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert all(len(line) < width or len(line.split()) == 1 for line in lines), lines
    assert "Examples:" in result.stdout and "Usage: " in lines[0]
    wide = " ".join(result.stdout.split())
    if not command:
        assert "Exit status:" in result.stdout and all(it.summary in wide for it in COMMANDS.values())
        return
    found = main.get_command(click.Context(main), command)
    assert found is not None and found.get_short_help_str(1000) == COMMANDS[command].summary
    texts = [found.help, *(parameter.help for parameter in found.params if isinstance(parameter, click.Option))]
    assert [text for text in texts if " ".join((text or "").split()) not in wide] == []
    listed = re.split(r"\n(?:Options|Model|Messages):\n", result.stdout, maxsplit=1)[1]
    options = re.findall(r"^  (?:-\w, )?(--[\w-]+)", listed, re.MULTILINE)
    assert len(options) == len(set(options)) and {"--json", "--quiet", "--verbose"} <= set(options)
