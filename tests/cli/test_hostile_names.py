"""Names with control characters and formulas, on the terminal and in tables."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest
from cli.conftest import tsattn
from rich.text import Text

from tsattn.cli.output import without_formulas, write_output, write_table
from tsattn.cli.screen import Screen, console
from tsattn.errors import DataError
from tsattn.export.client_files import _format_table, _list_names

EVIL = "\x1b[2J\x1b]0;owned\x07a\u202eb\x9b1m"
RAW = ("\x1b", "\x07", "\u202e", "\x9b")


def test_errors_tables_and_notes_have_no_raw_control_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"{EVIL}.csv"
    for command in ("forecast", "inspect", "fit"):
        result = tsattn(command, path)
        assert result.exit_code == 1 and not any(sign in result.output for sign in RAW)
        assert "\\x1b" in result.output
    pd.DataFrame({"ds": range(9), f"y{EVIL}": 1.0}).to_csv(path, index=False)
    result = tsattn("inspect", path, "--target", f"y{EVIL}")
    assert result.exit_code == 0 and "\\x1b[2J" in result.output and not any(sign in result.output for sign in RAW)
    result = tsattn("inspect", path, "--target", f"y{EVIL}", "--json")
    assert not any(sign in result.output for sign in RAW)
    assert json.loads(result.stdout)["result"]["roles"]["targets"]["columns"] == [f"y{EVIL}"]
    assert not any(sign in str(DataError(EVIL)) for sign in RAW)
    console().print(Text(EVIL))
    assert "\\x1b" in capsys.readouterr().out


def test_styles_of_a_terminal_remain() -> None:
    terminal = console()
    terminal.file, terminal._force_terminal, terminal._color_system = io.StringIO(), True, None
    terminal.print(Text("plain\ttext\nline"))
    assert terminal.file.getvalue() == "plain   text\nline\n"


def test_names_in_a_model_card_are_one_line() -> None:
    assert _list_names(("a\n# owned", "b")) == "`a # owned`, `b`"
    assert _format_table(("head",), [["a\n# owned | <b>"]]).splitlines()[-1] == "| a # owned \\| &lt;b> |"


def test_formulas_are_quoted_where_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["=1+1", "+a", "-b", "@c", "\td", "plain", "1-2"]
    frame = pd.DataFrame({"unique_id": names, "ds": pd.date_range("2024", periods=7), "y": -1.0, "=z": range(7)})
    safe = without_formulas(frame)
    assert list(safe["unique_id"]) == ["'=1+1", "'+a", "'-b", "'@c", "'\td", "plain", "1-2"]
    assert list(safe.columns) == ["unique_id", "ds", "y", "'=z"] and (safe["y"] == -1).all()
    write_table(frame, tmp_path / "raw.csv", safe=False)
    assert list(pd.read_csv(tmp_path / "raw.csv")["unique_id"]) == names
    with Screen() as screen:
        write_output(screen, frame, None, safe=True)
    assert capsys.readouterr().out.splitlines()[1].startswith("'=1+1,2024-01-01,-1.0")


def test_the_option_of_the_command(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    days = pd.date_range("2024-01-01", periods=20)
    pd.DataFrame({"unique_id": "=cmd()", "ds": days, "y": range(20)}).to_csv(path, index=False)
    for options, first in (((), "=cmd(),"), (("--safe-csv",), "'=cmd(),")):
        result = tsattn("forecast", path, "--horizon", 2, *options)
        assert result.exit_code == 0, result.output
        assert result.stdout.splitlines()[1].startswith(first)
