"""The HTML report: sections, tables, escaping and embedded images."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from frames import many, series
from matplotlib.figure import Figure

from tsattn.report.html import Picture, write_report
from tsattn.scoring.comparison import ValidationExample, ValidationSummary
from tsattn.timeseries.schema import InferredSetting

SETTINGS = (
    InferredSetting(field="time", value="ds", given=False, reason="'ds' is the only column with dates"),
    InferredSetting(field="season", value="24", given=True, reason="hours of a day"),
)
SCORES = pd.DataFrame(
    {
        "model": ["seq2seq", "seasonal_naive", "drift", "naive"],
        "mase": [0.71249, 0.931, 2.3, np.nan],
        "skill": [0.2347, 0.0, -1.4705, np.nan],
        "smape": [12.3, 14.1, 30.0, 31.0],
        "mae": [231.21, 310.4, 901.2, 1023.1],
        "rmse": [401.2, 512.9, 1200.5, 1301.3],
        "wql": [0.05, 0.07, 0.2, 0.21],
        "coverage-80": [0.79, 0.95, 0.6, 0.55],
    }
)
METRICS = ["Model", "MASE", "Skill", "sMAPE", "MAE", "RMSE", "WQL", "Coverage"]
LOSSES = pd.DataFrame({"epoch": [1, 2, 3], "loss": [3.0, 2.0, 1.0], "val_loss": [3.0, 2.5, 2.7]})
LOSSES["best"] = LOSSES["epoch"] == 2
NO_LOSSES = pd.DataFrame(columns=["epoch", "loss", "val_loss", "best"])


class Page(HTMLParser):
    """Checks that tags balance, and collects text, attributes and table cells."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.tables: list[list[list[str]]] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "source"):
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open or "script" in self.open:
            return
        self.text += data
        if "tr" in self.open:
            self.tables[-1][-1][-1] += data

    @property
    def headings(self) -> list[str]:
        return re.findall("<h2>(.*?)</h2>", self.source)


def report(path: Path, frames: tuple[pd.DataFrame, ...] | None = None, **changes: Any) -> Page:
    past, ahead = frames or series(pd.date_range("2024-01-01", periods=200, freq="h"), 48)
    arguments = {
        "title": "Sales, 48 hours ahead",
        "inferred_settings": SETTINGS,
        "scores": SCORES,
        "losses": LOSSES,
        "history": past,
        "forecast": ahead,
        "config": '[model]\nname = "seq2seq"\n',
        "model": "seq2seq",
        "season": 24,
        "summary": "seq2seq beats every baseline.",
    }
    file = path / "report.html"
    write_report(file, **{**arguments, **changes})
    return Page(file.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return report(tmp_path_factory.mktemp("report"))


def test_page_has_all_sections(page: Page) -> None:
    assert page.source.startswith("<!DOCTYPE html>")
    assert ("html", {"lang": "en"}) in page.tags
    assert any(tag == "meta" and attributes.get("name") == "viewport" for tag, attributes in page.tags)
    assert "<title>Sales, 48 hours ahead</title>" in page.source
    assert "seq2seq beats every baseline." in page.text
    assert 'name = "seq2seq"' in page.text
    assert page.headings == [
        "Forecast",
        "Comparison with naive baselines",
        "Training",
        "How the data were read",
        "Configuration",
    ]


def test_page_loads_no_external_resources(page: Page) -> None:
    assert not re.search(r"https?://|url\([^#]|@import|<link|fetch\(|import\(", page.source)
    names = ("src", "srcset", "href", "xlink:href")
    addresses = {str(attributes[name]) for _, attributes in page.tags for name in names if name in attributes}
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in addresses)
    ids = re.findall(r'\bid="([^"]*)"', page.source)
    assert len(ids) == len(set(ids)) and {address[1:] for address in addresses if address[0] == "#"} <= set(ids)
    assert set(re.findall(r"url\(#(.*?)\)", page.source)) <= set(ids)


def test_charts_have_the_colours_of_the_page(page: Page) -> None:
    charts = re.findall("<svg.*?</svg>", page.source, re.S)
    assert len(charts) == 3, "wide and narrow, and the losses"
    for chart in charts:
        assert set(re.findall(r"#[0-9a-f]{6}", chart)) == set(), "no fixed colour"
        assert "var(--chart-ink)" in chart and "var(--chart-accent)" in chart
    assert "fill-opacity: 0.20" in charts[0] and ">sales" not in charts[0]
    assert ">ds<" in charts[0] and ">y<" in charts[0], "axes have names"


def test_charts_of_the_validation_part(tmp_path: Path) -> None:
    past, ahead = series(np.arange(90), 6)
    known = pd.concat([past, ahead[["unique_id", "ds", "y"]]])
    errors = pd.DataFrame({"step": range(1, 7), "seq2seq": 0.5, "seasonal_naive": 1.0})
    coverage = pd.DataFrame({"level": [0.1, 0.5, 0.9], "fraction": [0.2, 0.5, 0.8]})
    example = ValidationExample("good", 0.25, known, ahead)
    validation = ValidationSummary("MASE", errors, coverage, (example,))
    page = report(
        tmp_path, validation=validation, commands=[("tsattn predict runs/a b.csv", "Forecast from newer data")]
    )
    assert "good: sales from 84, MASE 0.25" in page.text and "Error by step" in page.text
    assert page.headings[:3] == ["Forecast", "Next", "Comparison with naive baselines"]
    assert "tsattn predict runs/a b.csv" in page.text
    assert "error (MASE)" in page.text and "values below it" in page.text


def test_pictures_of_what_the_forecast_rests_on(tmp_path: Path) -> None:
    def draw(figure: Figure) -> None:
        figure.subplots().set_xlabel("steps before the forecast")

    page = report(tmp_path, pictures=[Picture("Attention", draw)], findings=["It attends to a & b."])
    assert "What the forecast rests on" in page.headings and "It attends to a & b." in page.text
    assert "steps before the forecast" in page.text


def test_score_table_lists_models_and_marks_the_fitted_one(page: Page) -> None:
    head, *rows = page.tables[1]
    assert [re.split("lower|higher|best", cell)[0] for cell in head] == METRICS
    assert [row[0].split()[0] for row in rows] == list(SCORES["model"])
    assert rows[0][1:] == ["0.712", "23.5 %", "12.30", "231.2", "401.2", "0.050", "79.0 %"]
    assert rows[3][1] == rows[3][2] == "\N{EN DASH}" and rows[2][2] == "\N{MINUS SIGN}147.0 %"
    [ours] = re.findall('<tr class="ours">(.*?)</tr>', page.source)
    assert "seq2seq" in ours and "this model" in ours
    assert head[2].endswith("higher is better") and head[7].endswith("best at 80 %")


def test_settings_of_the_data_are_listed(page: Page) -> None:
    rows = page.tables[2][1:]
    assert rows == [
        ["time", "ds", "inferred", "'ds' is the only column with dates"],
        ["season", "24", "given", "hours of a day"],
    ]


def test_forecast_values_are_rounded_and_rows_counted(page: Page) -> None:
    head, *rows = page.tables[0]
    assert head == ["unique_id", "ds", "y", "y-lo-80", "y-hi-80"]
    assert len(rows) == 40
    assert rows[0][:2] == ["sales", "2024-01-07 08:00"]
    assert all(re.fullmatch(r"\d+\.\d", cell) for cell in rows[0][2:])
    assert "All 48 rows are in forecast.csv." in page.text


def test_baseline_has_no_training_section(tmp_path: Path) -> None:
    page = report(tmp_path, losses=NO_LOSSES, model="drift")
    assert "Training" not in page.headings and "epoch" not in page.text
    [ours] = re.findall('<tr class="ours">(.*?)</tr>', page.source)
    assert "drift" in ours


def test_weights_of_the_methods(tmp_path: Path, page: Page) -> None:
    assert "What the forecast rests on" not in page.headings
    steps = [1, 2, 3]
    parts = {"seq2seq": [0.6, 0.5, 0.4], "theta": [0.39, 0.49, 0.59], "naive": [0.005] * 3}
    one = pd.concat(
        [
            pd.DataFrame({"unique_id": "a", "ds": steps, "method": name, "weight": values})
            for name, values in parts.items()
        ]
    )
    other = one.assign(unique_id="b", weight=one["weight"].where(one["method"] != "seq2seq", one["weight"] - 0.1))
    page = report(tmp_path, weights=pd.concat([one, other]))
    assert page.headings.index("What the forecast rests on") == page.headings.index("Training") - 1
    table = next(rows for rows in page.tables if rows[0][0] == "Method")
    assert table[1:] == [["theta", "49%", "39%", "59%", "49% to 49%"], ["seq2seq", "45%", "55%", "35%", "40% to 50%"]]


def test_training_without_validation_has_one_curve(tmp_path: Path) -> None:
    page = report(tmp_path, losses=LOSSES.assign(val_loss=None, best=False))
    legend = page.source.split("<h2>Training</h2>")[1].split("</ul>")[0]
    assert "training" in legend and "validation" not in legend


def test_markup_in_the_data_is_escaped(tmp_path: Path) -> None:
    nasty = "<script>alert('x')</script> & \"co\"\\x1b\\u202e"
    raw = nasty.replace("\\x1b", "\x1b").replace("\\u202e", "\u202e")
    page = report(
        tmp_path,
        series(np.arange(40), 5, raw),
        title=raw,
        summary=raw,
        inferred_settings=(InferredSetting(field=raw, value=raw, given=False, reason=raw),),
        scores=SCORES.assign(model=[raw, *SCORES["model"][1:]]),
        config=f"# {raw}\n",
    )
    assert "\x1b" not in page.source and "\u202e" not in page.source
    assert page.source.count("<script") == 1 and "<script>alert" not in page.source
    assert page.text.count(nasty) >= 7
    assert page.tables[2][1] == [nasty, nasty, "inferred", nasty]


def test_first_series_of_many_are_shown_and_counted(tmp_path: Path) -> None:
    page = report(tmp_path, many(414))
    assert "6 of 414 series" in page.text
    assert sum(tag == "figure" for tag, _ in page.tags) == 7
    assert {row[0] for row in page.tables[0][1:]} == {f"H{number}" for number in range(1, 7)}
    assert "All 2,070 rows are in forecast.csv." in page.text


@pytest.mark.parametrize("levels", [(), (80, 95)])
def test_coverage_and_legend_follow_the_intervals(tmp_path: Path, levels: tuple[int, ...]) -> None:
    scores = SCORES.rename(columns={"coverage-80": "coverage-95"}) if levels else SCORES.drop(columns="coverage-80")
    page = report(tmp_path, series(np.arange(60), 5, levels=levels), scores=scores)
    assert ("best at 95 %" in page.text) == bool(levels)
    assert ("80 % interval" in page.text) == bool(levels)


def test_time_zone_is_shown(tmp_path: Path) -> None:
    times = pd.date_range("2024-03-30 20:00", periods=60, freq="h", tz="Europe/Berlin")
    page = report(tmp_path, series(times, 5))
    assert "Times are in Europe/Berlin." in page.text
