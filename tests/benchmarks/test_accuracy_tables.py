"""Tables of the accuracy benchmark."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from example_plan import example_plan

from benchmarks.accuracy.configuration import fingerprint, resolve
from benchmarks.accuracy.markdown import EMPTY, figures_cell, format_figure, format_table, parse_cell, text_cell
from benchmarks.accuracy.plan import Plan
from benchmarks.accuracy.published import PUBLISHED
from benchmarks.accuracy.tables import render_tables
from benchmarks.accuracy.tasks import get_task


@pytest.fixture
def result() -> Callable[..., dict[str, Any]]:
    """Return a function that makes results."""

    def make(
        name: str, seed: int, mse: float, mae: float, settings: tuple[str, ...] = (), **more: Any
    ) -> dict[str, Any]:
        configuration = resolve(get_task(name), settings)
        values = {
            "task": name,
            "hash": fingerprint(configuration),
            "seed": seed,
            "commit": "new1234",
            "committed": "2026-02-01T00:00:00+00:00",
            "date": "2026-02-02T00:00:00+00:00",
            "test": {"mse": mse, "mae": mae},
            "seconds": 100.0,
            "peak_memory_mb": 1536,
            "jobs": 1,
            "cores_used_by_others": 0.0,
            "machine": {"cores": 2, "processor": None, "architecture": "x86_64", "memory_gb": 8},
            "accelerators": [],
            "configuration": configuration,
        }
        return {**values, **more}

    return make


def line(text: str, name: str) -> list[str]:
    """Return the cells of a row."""
    (found,) = [row for row in text.splitlines() if row.startswith(f"| {name} ")]
    return [cell.strip() for cell in found.strip("|").split("|")][1:]


def test_tables_from_results(result: Callable[..., dict[str, Any]]) -> None:
    naive = ("model.name=seasonal_naive", "data.season=24")
    results = [
        result("etth1-96", 0, 0.340, 0.380),
        result("etth1-96", 1, 0.342, 0.384, jobs=2),
        result("etth1-192", 0, 0.380, 0.400),
        result("etth1-192", 1, 0.382, 0.404, peak_memory_mb=2048, seconds=300.0),
        result("etth1-96", 0, 0.512, 0.433, naive),
    ]
    shown = render_tables(example_plan(), results)
    assert line(shown, "default") == [
        "**.341±.001**/**.382±.003**",
        "**.381±.001**/**.402±.003**",
        "**.361±.001**/**.392±.003**",
        "2",
        "150 s\\*",
        "2.0 GB",
        "new1234",
    ]
    assert line(shown, "SegRNN (L 720)")[:2] == [".351/.392", ".392/.414"]
    assert line(shown, "seasonal naive") == [".512/.433", "", "", "", "100 s", "1.5 GB", "new1234"]
    assert "small" not in shown, "it has no results"
    assert (
        "\\* measured while other work ran" in shown
        and "Lin et al., SegRNN" in shown
        and "2 cores, x86_64, 8 GB" in shown
    )
    rows = [row for row in shown.splitlines() if row.startswith("|")]
    assert len({len(row) for row in rows}) == 1, "aligned"


def test_an_average_is_over_the_seeds_that_all_have(result: Callable[..., dict[str, Any]]) -> None:
    results = [result("etth1-96", seed, 0.3 + seed, 0.4 + seed) for seed in (0, 1, 2)]
    results += [result("etth1-192", seed, 0.5, 0.6) for seed in (1, 3)]
    assert line(render_tables(example_plan(), results), "default")[2] == ".900/1.000"
    assert line(render_tables(example_plan(), results[:1] + results[3:]), "default")[2] == ""


def test_sections_without_results_of_variants_are_left_out(result: Callable[..., dict[str, Any]]) -> None:
    naive = result("etth1-96", 0, 0.512, 0.433, ("model.name=seasonal_naive", "data.season=24"))
    assert "##" not in render_tables(example_plan(), [naive])


def test_the_newest_of_the_commits_with_the_most_seeds_is_shown(result: Callable[..., dict[str, Any]]) -> None:
    older = {"commit": "old1234", "committed": "2026-01-01T00:00:00+00:00"}
    results = [
        result("etth1-96", 0, 0.9, 0.9, **older),
        result("etth1-96", 0, 0.1, 0.1),
        result("etth1-192", 0, 0.2, 0.2, **older),
        result("etth1-192", 1, 0.2, 0.2, **older),
        result("etth1-192", 0, 0.3, 0.3),
    ]
    cells = line(render_tables(example_plan(), results), "default")
    assert cells[:2] == ["**.100**/**.100**", "**.200±.000**/**.200±.000**"] and cells[-1] == "new1234, old1234"


def test_differences_to_the_default(result: Callable[..., dict[str, Any]]) -> None:
    plan = example_plan(chosen=True)
    plan = plan.model_copy(update={"table": (plan.table[0].model_copy(update={"kind": "difference"}),)})
    results = [result("etth1-96", 0, 0.350, 0.390), result("etth1-96", 0, 0.355, 0.389, ("model.units=8",))]
    shown = render_tables(plan, results)
    assert line(shown, "default")[0] == "**.350**/.390"
    assert line(shown, "small")[0] == ".355/**.389** (+.005/-.001)"


def test_cold_starts_by_seasons_of_history(result: Callable[..., dict[str, Any]]) -> None:
    shown = {
        "name": "cold",
        "title": "Cold",
        "kind": "cold",
        "tasks": ["etth1-96"],
        "baselines": ["seasonal_naive"],
    }
    plan = Plan.model_validate({"seeds": [0], "table": [{**shown, "variants": [{"name": "default"}]}]})
    naive = ("model.name=seasonal_naive", "data.season=24")
    known = {"cold_1": 0.5, "cold_2": 0.4, "cold_4": 0.3, "cold_8": 0.3, "cold_16": 0.3}
    results = [
        result("etth1-96", 0, 0, 0, test=known),
        result("etth1-96", 0, 0, 0, naive, test={name: 0.45 for name in known}),
        result("etth1-96", 0, 0, 0, commit="without", committed="2027-01-01T00:00:00+00:00"),
    ]
    text = render_tables(plan, results)
    assert "etth1-96, 16" in text
    assert line(text, "default")[:5] == [".500", "**.400**", "**.300**", "**.300**", "**.300**"]
    assert line(text, "seasonal naive")[0] == "**.450**"


def test_classic_files_have_a_geometric_mean(result: Callable[..., dict[str, Any]]) -> None:
    shown = {"name": "classic", "title": "Files", "kind": "file", "tasks": ["classic-a", "classic-b"]}
    plan = Plan.model_validate({"seeds": [0], "table": [{**shown, "variants": [{"name": "default"}]}]})
    results = []
    for name, relative in (("classic-a", 0.5), ("classic-b", 2.0)):
        figures = {"relative_mase": relative, "best_naive": "seasonal_naive", "best_naive_mase": 1.5, "horizon": 12}
        results.append(result(name, 0, 0, 0, test=figures))
    text = render_tables(plan, results)
    assert line(text, "a") == ["12", "seasonal naive", "1.500", ".500"]
    assert line(text, "geometric mean") == ["", "", "", "1.000"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.3514, ".351"), (1.0849, "1.085"), (-0.0031, "-.003"), (10.5, "10.500"), (0.9996, "1.000")],
)
def test_format_figure(value: float, expected: str) -> None:
    assert format_figure(value) == expected


def test_best_displayed_figure_is_bold() -> None:
    rows = [
        [text_cell("a"), parse_cell(".351/.392")],
        [text_cell("b"), figures_cell([[0.35079, 0.35219], [0.4]])],
        [text_cell("c"), EMPTY],
    ]
    assert "**.351**/**.392**" in format_table(["", "x"], rows) and "**.351±.001**/.400" in format_table(
        ["", "x"], rows
    )


def test_published_cells() -> None:
    def cell(name: str, row: str, column: str) -> str:
        return next(found for found in PUBLISHED[name] if found.name == row).cells[column]

    assert cell("etth1", "SegRNN (L 720)", "etth1-96") == ".351/.392"
    assert cell("etth1", "plain GRU (L 720)", "etth1-720") == "1.089/.822"
    assert cell("etth1-l96", "iTransformer", "etth1-336") == ".487/.458"
    assert cell("ettm1", "P-sLSTM (L 336)", "ettm1-336") == ".362"
    assert cell("ettm1-l96", "TQNet", "ettm1-720") == ".452/.440"
    assert cell("etth1-ot", "NLinear", "etth1-ot-192") == ".069/.204"
    assert cell("ettm1-ot", "NLinear", "ettm1-ot-720") == ".073/.207"
    assert cell("lstm", "LSTMa (Bahdanau)", "etth1-168") == "1.212/.867"
    assert cell("m4", "FFORMA (second)", "mase") == ".819"
    assert cell("m4", "Doornik, Castle and Hendry", "mase") == ".801"
    assert cell("m4", "Doornik, Castle and Hendry", "owa") == ".410"
    assert cell("architectures", "Doornik, Castle and Hendry", "m4-hourly") == ".410"
    assert cell("los-loop", "T-GCN", "rmse_3") == "5.126"
    assert cell("m4", "N-BEATS (180 models)", "smape") == "8.2"
    assert [len(rows) for rows in PUBLISHED.values()] == [5, 4, 5, 2, 1, 1, 4, 1, 12, 2]
