"""The accuracy benchmark: protocols against NumPy and published naive figures, plan, store and tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from click.testing import CliRunner

from benchmarks.accuracy import __main__ as command
from benchmarks.accuracy import snapshot
from benchmarks.accuracy.configuration import agrees, fingerprint, resolve, run_config
from benchmarks.accuracy.launch import Launcher
from benchmarks.accuracy.markdown import EMPTY, measured, printed, short, table, text
from benchmarks.accuracy.plan import Choice, Plan, read_plan, runs
from benchmarks.accuracy.protocols import classic, ett, m4_scores, run
from benchmarks.accuracy.published import PUBLISHED
from benchmarks.accuracy.store import Key, Store
from benchmarks.accuracy.tables import document
from benchmarks.accuracy.tasks import TEST, VALIDATION, Stage, task
from tsattn.config import RunConfig
from tsattn.errors import ConfigError, TsattnError

PARTS = (300, 100, 120)

Values = npt.NDArray[np.float64]


def write_ett(path: Path, rows: int, channels: int = 2) -> Values:
    """Write a file in the form of ETT: a day's swing, noise and a trend; return its values."""
    generator = np.random.default_rng(3)
    hour = np.arange(rows)[:, None]
    values = 10 + np.sin(2 * np.pi * hour / 24) * (1 + np.arange(channels)) + generator.normal(size=(rows, channels))
    values += hour / rows
    frame = pd.DataFrame(values, columns=["A", "OT"][:channels])
    frame.insert(0, "date", pd.date_range("2016-07-01", periods=rows, freq="h").strftime("%Y-%m-%d %H:%M:%S"))
    frame.to_csv(path, index=False)
    return values


def baseline(name: str, horizon: int, validation: int, **data: Any) -> RunConfig:
    """The configuration of a baseline under the ETT protocol."""
    settings = {"season": 24, "context": 30, "horizon": horizon, "validation": validation, **data}
    return RunConfig.from_dict({"model": {"name": name}, "data": settings, "training": {"refit": False}})


def by_hand(values: Values, parts: tuple[int, int, int], begin: int, end: int, horizon: int, lag: int) -> Values:
    """MSE and MAE of repeating the last ``lag`` values, window by window."""
    train = values[: parts[0]]
    scaled = (values - train.mean(axis=0)) / np.sqrt(((train - train.mean(axis=0)) ** 2).mean(axis=0))
    errors = []
    for origin in range(begin, end - horizon + 1):
        guess = np.stack([scaled[origin - lag + step % lag] for step in range(horizon)])
        errors.append(guess - scaled[origin : origin + horizon])
    return np.array([np.square(errors).mean(), np.abs(errors).mean()])


@pytest.mark.parametrize(("name", "lag"), [("naive", 1), ("seasonal_naive", 24)])
def test_ett_figures_are_those_of_numpy(name: str, lag: int, tmp_path: Path) -> None:
    values = write_ett(tmp_path / "ett.csv", sum(PARTS) + 50)
    figures = ett(tmp_path / "ett.csv", PARTS, baseline(name, 30, 100), TEST).figures
    for stage, begin, end in ((VALIDATION, 300, 400), (TEST, 400, 520)):
        expected = by_hand(values, PARTS, begin, end, 30, lag)
        assert [figures[stage]["mse"], figures[stage]["mae"]] == pytest.approx(expected, rel=1e-5)
        assert figures[stage]["windows"] == end - begin - 30 + 1


def test_ett_of_one_target(tmp_path: Path) -> None:
    values = write_ett(tmp_path / "ett.csv", sum(PARTS))
    figures = ett(tmp_path / "ett.csv", PARTS, baseline("naive", 12, 100, target="OT"), TEST).figures[TEST]
    assert figures["mse"] == pytest.approx(by_hand(values[:, 1:], PARTS, 400, 520, 12, 1)[0], rel=1e-5)


def test_the_validation_stage_needs_no_test_part(tmp_path: Path) -> None:
    write_ett(tmp_path / "ett.csv", 400)
    figures = ett(tmp_path / "ett.csv", PARTS, baseline("naive", 12, 100), VALIDATION).figures
    assert figures.keys() == {VALIDATION}
    with pytest.raises(TsattnError, match="needs 520 rows, got 400"):
        ett(tmp_path / "ett.csv", PARTS, baseline("naive", 12, 100), TEST)


@pytest.mark.parametrize("horizon", [24, 96, 192, 336, 720])
def test_no_window_is_dropped(horizon: int, tmp_path: Path) -> None:
    of = task(f"etth1-{horizon}")
    write_ett(tmp_path / "ett.csv", sum(of.parts), channels=1)
    figures = ett(tmp_path / "ett.csv", of.parts, baseline("naive", horizon, of.parts[1]), TEST).figures
    assert figures[TEST]["windows"] == figures[VALIDATION]["windows"] == 2880 - horizon + 1


def test_ettm1_has_four_steps_an_hour() -> None:
    assert task("ettm1-96").parts == (34560, 11520, 11520)
    assert task("ettm1-ot-96").settings()["data.validation"] == "11520"


def test_m4_scores_by_hand() -> None:
    history = [np.tile([1.0, 3.0], 24), np.arange(48.0)]
    actual, forecast = np.array([[10.0, 20.0], [50.0, 50.0]]), np.array([[30.0, 20.0], [50.0, 26.0]])
    history[0][24:] += 2.0
    scores = m4_scores(history, actual, forecast)
    # Scales 2 and 24; errors 20, 0 and 0, 24.
    assert scores["mase"] == pytest.approx((10 / 2 + 12 / 24) / 2)
    assert scores["smape"] == pytest.approx((100 + 0 + 0 + 200 * 24 / 76) / 4)
    assert scores["owa"] == pytest.approx((scores["smape"] / 18.383 + scores["mase"] / 2.395) / 2)


def test_m4_seasonal_naive_is_the_published_one(data_dir: Path) -> None:
    config = RunConfig.from_dict(resolve(task("m4-hourly"), ["model.name=seasonal_naive"]))
    scores = run(task("m4-hourly"), config, TEST, data_dir).figures[TEST]
    assert scores["series"] == 414
    assert scores["smape"] == pytest.approx(13.912, abs=5e-4)
    assert scores["mase"] == pytest.approx(1.193, abs=5e-4)
    assert scores["owa"] == pytest.approx(0.627, abs=1e-3)


def test_m4_validation_forecasts_the_last_steps_of_the_training_file(data_dir: Path) -> None:
    config = RunConfig.from_dict(resolve(task("m4-hourly"), ["model.name=naive"]))
    scores = run(task("m4-hourly"), config, VALIDATION, data_dir).figures[VALIDATION]
    rows = pd.read_csv(data_dir / "M4" / "Hourly-train.csv").iloc[:, 1:].to_numpy(float)
    errors = []
    for row in rows:
        values = row[np.isfinite(row)]
        known, actual = values[:-48], values[-48:]
        errors.append(np.abs(actual - known[-1]).mean() / np.abs(known[24:] - known[:-24]).mean())
    assert scores["mase"] == pytest.approx(np.mean(errors), rel=1e-5)


@pytest.mark.parametrize(
    ("horizon", "mse", "mae"), [(24, 0.424, 0.389), (48, 0.465, 0.407), (336, 0.650, 0.501), (720, 0.655, 0.514)]
)
def test_etth1_seasonal_naive_is_the_known_one(horizon: int, mse: float, mae: float, data_dir: Path) -> None:
    of = task(f"etth1-{horizon}")
    config = RunConfig.from_dict(resolve(of, ["model.name=seasonal_naive", "data.season=24", "data.context=48"]))
    figures = run(of, config, TEST, data_dir).figures[TEST]
    assert [figures["mse"], figures["mae"]] == pytest.approx([mse, mae], abs=5.1e-4)


@pytest.mark.parametrize("stage", [TEST, VALIDATION])
def test_a_classic_file_is_held_against_the_best_baseline(stage: Stage, tmp_path: Path) -> None:
    month = np.arange(144)
    frame = pd.DataFrame({"month": pd.date_range("2001-01-01", periods=144, freq="MS"), "y": month % 12 + month / 12})
    frame.to_csv(tmp_path / "made.csv", index=False)
    config = RunConfig.from_dict({"model": {"name": "naive"}, "data": {"horizon": 12}})
    figures = classic(tmp_path / "made.csv", config, stage).figures[stage]
    assert figures["best_naive"] == "seasonal_naive"
    assert figures["relative_mase"] == pytest.approx(figures["mase"] / figures["best_naive_mase"])


def test_resolved_configuration_has_defaults_and_no_seed() -> None:
    configuration = resolve(task("etth1-96"), ["model.units=7"])
    assert configuration["model"]["units"] == 7 and "dropout" in configuration["model"]
    assert configuration["training"]["refit"] is False and configuration["data"]["validation"] == 2880
    assert "seed" not in configuration
    default = resolve(task("etth1-96"))["model"]["dropout"]
    same = resolve(task("etth1-96"), [f"model.dropout={default}"])
    assert fingerprint(same) == fingerprint(resolve(task("etth1-96"))) != fingerprint(configuration)


def test_a_classic_file_is_forecast_by_the_default_as_a_user_has_it(tmp_path: Path) -> None:
    values = np.random.default_rng(8).normal(50, 2, 120)
    frame = pd.DataFrame({"ds": pd.date_range("2024-03-01", periods=120), "y": values})
    frame.to_csv(tmp_path / "noise.csv", index=False)
    settings = ["training.epochs=1", "training.steps_per_epoch=5", "data.horizon=5", "data.season=1"]
    default, named = (resolve(task("classic-noise"), [*settings, *more]) for more in ([], ["model.name=seq2seq"]))
    assert default["model"] == named["model"] and fingerprint(default) != fingerprint(named)
    assert not agrees(named, task("classic-noise"), default) and not agrees(default, task("classic-noise"), named)
    for configuration, kept in ((default, "seasonal_mean"), (named, "seq2seq")):
        figures = classic(tmp_path / "noise.csv", run_config(configuration, 0), TEST).figures[TEST]
        assert figures["kept"] == kept
        assert (figures["mase"] == figures["best_naive_mase"]) == (kept == figures["best_naive"])


def test_elsewhere_the_default_is_its_network() -> None:
    assert run_config(resolve(task("etth1-96")), 0).model["name"] == "seq2seq"


@pytest.mark.parametrize("setting", ["seed=3", "data.horizon=24", "training.refit=true"])
def test_a_variant_cannot_change_the_protocol(setting: str) -> None:
    with pytest.raises(ConfigError, match="decided by the protocol or the plan"):
        resolve(task("etth1-96"), [setting])


def test_a_result_from_before_an_option_was_there_is_one_with_its_default() -> None:
    of = task("etth1-96")
    earlier = resolve(of)
    del earlier["model"]["dropout"]
    assert agrees(earlier, of, resolve(of))
    assert not agrees(earlier, of, resolve(of, ["model.dropout=0.1"]))
    assert not agrees(earlier, of, resolve(of, ["model.units=8"]))


@pytest.mark.parametrize("name", ["etth2-96", "etth1", "etth1-0", "m4", "nile"])
def test_unknown_task(name: str) -> None:
    with pytest.raises(ValueError, match="expected a task such as"):
        task(name)


def test_the_plan_can_be_run() -> None:
    plan = read_plan()
    test = runs(plan, TEST, Choice())
    assert len({(run.task.name, run.hash, run.seed) for run in test}) == len(test)
    assert [run.seed for run in test] == sorted(run.seed for run in test)
    assert {table.name for table in plan.table} >= PUBLISHED.keys()
    for shown in plan.table:
        for row in PUBLISHED.get(shown.name, ()):
            names = task(shown.tasks[0]).metrics if shown.kind == "metric" else shown.tasks
            assert row.cells.keys() <= set(names), row.name


def made_plan(**variant: Any) -> Plan:
    """A plan of one table: a naive row, the default, and one variant."""
    variants = ({"name": "default", "chosen": True}, {"name": "small", "settings": ["model.units=8"], **variant})
    shown = {"name": "etth1", "title": "ETTh1", "tasks": ["etth1-96", "etth1-192"], "variants": variants}
    return Plan.model_validate({"seeds": [0, 1], "table": [{**shown, "baselines": ["seasonal_naive"]}]})


def test_only_what_was_chosen_is_tested() -> None:
    def names(stage: Stage, **variant: Any) -> set[str]:
        return {run.variant for run in runs(made_plan(**variant), stage, Choice())}

    assert names(TEST) == {"seasonal naive", "default"}
    assert names(TEST, chosen=True) == names(VALIDATION) == {"seasonal naive", "default", "small"}
    with pytest.raises(ConfigError, match="marked 'chosen'"):
        runs(made_plan(), TEST, Choice(settings=("model.units=8",)))
    with pytest.raises(ConfigError, match="try --stage validation"):
        runs(made_plan(), TEST, Choice(variants=("small",)))


def test_naive_rows_have_one_seed() -> None:
    found = runs(made_plan(), VALIDATION, Choice(tasks=("etth1-96",)))
    assert [(run.variant, run.seed) for run in found] == [
        ("seasonal naive", 0),
        ("default", 0),
        ("small", 0),
        ("default", 1),
        ("small", 1),
    ]


def test_store_gives_back_what_is_there(tmp_path: Path) -> None:
    store, key = Store(tmp_path), Key("etth1-96", "0123abcd", 1, "abc1234")
    later = Key("etth1-96", "0123abcd", 1, "def5678")
    assert store.find(TEST, key) is None
    path = store.write(TEST, key, {"test": {"mse": 1.0}})
    assert path.name == "etth1-96_0123abcd_seed1_abc1234.json" and list(path.parent.iterdir()) == [path]
    assert store.find(TEST, key) == path
    assert store.find(VALIDATION, key) is None, "it has no figures of the validation part"
    assert store.find(TEST, later) is None and store.find(TEST, later, any_commit=True) == path
    store.write(TEST, key, {"test": {"mse": 1.0}, "validation": {"mse": 2.0}})
    assert store.find(VALIDATION, key) == path
    assert len(store.results(VALIDATION)) == len(store.results(TEST)) == 1


def test_a_run_that_was_cut_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, int]] = []

    def pretend(launcher: Launcher, request: dict[str, Any], answer: Path, log: Path) -> dict[str, Any]:
        if (request["task"], request["seed"]) == broken:
            raise TsattnError("exit 1: out of memory")
        done.append((request["task"], request["seed"]))
        answer.write_text(json.dumps({"test": {"mse": 0.5, "mae": 0.5}, "accelerators": []}))
        return {"seconds": 1.0, "peak_memory_mb": 100, "cores_used_by_others": 0.0}

    monkeypatch.setattr(Launcher, "_measure", pretend)
    monkeypatch.setattr(snapshot, "commit", lambda: ("abc1234", "2026-01-01T00:00:00+00:00"))
    monkeypatch.setenv("TSATTN_DATA_DIR", str(tmp_path))
    arguments = ["run", "--results", str(tmp_path / "accuracy"), "--table", "etth1", "--variant", "tsattn"]
    broken = ("etth1-192", 1)
    first = CliRunner().invoke(command.main, [*arguments, "--seeds", "0,1"])
    assert first.exit_code == 1 and "failed: exit 1: out of memory" in first.output
    assert len(done) == 7
    broken = ("", 0)
    second = CliRunner().invoke(command.main, [*arguments, "--seeds", "0,1"])
    assert second.exit_code == 0 and "7 of 8 runs are done" in second.output
    assert len(done) == 8 and done[-1] == ("etth1-192", 1)


@pytest.fixture
def result() -> Callable[..., dict[str, Any]]:
    """Makes results by hand."""

    def make(
        name: str, seed: int, mse: float, mae: float, settings: tuple[str, ...] = (), **more: Any
    ) -> dict[str, Any]:
        configuration = resolve(task(name), settings)
        made = {
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
        return {**made, **more}

    return make


def line(text: str, name: str) -> list[str]:
    """The cells of a row."""
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
    shown = document(made_plan(), results)
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
    assert "\\* beside other work" in shown and "Lin et al., SegRNN" in shown and "2 cores, x86_64, 8 GB" in shown
    rows = [row for row in shown.splitlines() if row.startswith("|")]
    assert len({len(row) for row in rows}) == 1, "aligned"


def test_sections_without_results_of_ours_are_left_out(result: Callable[..., dict[str, Any]]) -> None:
    naive = result("etth1-96", 0, 0.512, 0.433, ("model.name=seasonal_naive", "data.season=24"))
    assert "##" not in document(made_plan(), [naive])


def test_an_older_commit_is_shown_only_where_there_is_none_of_the_newest(
    result: Callable[..., dict[str, Any]],
) -> None:
    older = {"commit": "old1234", "committed": "2026-01-01T00:00:00+00:00"}
    results = [
        result("etth1-96", 0, 0.9, 0.9, **older),
        result("etth1-96", 1, 0.9, 0.9, **older),
        result("etth1-96", 0, 0.1, 0.1),
        result("etth1-192", 0, 0.2, 0.2, **older),
    ]
    cells = line(document(made_plan(), results), "default")
    assert cells[:2] == ["**.100**/**.100**", "**.200**/**.200**"] and cells[-1] == "new1234, old1234"


def test_differences_to_the_default(result: Callable[..., dict[str, Any]]) -> None:
    plan = made_plan(chosen=True)
    plan = plan.model_copy(update={"table": (plan.table[0].model_copy(update={"kind": "difference"}),)})
    results = [result("etth1-96", 0, 0.350, 0.390), result("etth1-96", 0, 0.355, 0.389, ("model.units=8",))]
    shown = document(plan, results)
    assert line(shown, "default")[0] == "**.350**/.390"
    assert line(shown, "small")[0] == ".355/**.389** (+.005/-.001)"


def test_classic_files_have_a_geometric_mean(result: Callable[..., dict[str, Any]]) -> None:
    shown = {"name": "classic", "title": "Files", "kind": "file", "tasks": ["classic-a", "classic-b"]}
    plan = Plan.model_validate({"seeds": [0], "table": [{**shown, "variants": [{"name": "default"}]}]})
    results = []
    for name, relative in (("classic-a", 0.5), ("classic-b", 2.0)):
        figures = {"relative_mase": relative, "best_naive": "seasonal_naive", "best_naive_mase": 1.5, "horizon": 12}
        results.append(result(name, 0, 0, 0, test=figures))
    text = document(plan, results)
    assert line(text, "a") == ["12", "seasonal naive", "1.500", ".500"]
    assert line(text, "geometric mean") == ["", "", "", "1.000"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.3514, ".351"), (1.0849, "1.085"), (-0.0031, "-.003"), (10.5, "10.500"), (0.9996, "1.000")],
)
def test_short(value: float, expected: str) -> None:
    assert short(value) == expected


def test_best_figure_is_bold_as_printed() -> None:
    rows = [[text("a"), printed(".351/.392")], [text("b"), measured([0.35149, 0.4], [0.001, None])], [text("c"), EMPTY]]
    assert "**.351**/**.392**" in table(["", "x"], rows) and "**.351±.001**/.400" in table(["", "x"], rows)


def test_published_cells() -> None:
    def cell(name: str, row: str, column: str) -> str:
        return next(found for found in PUBLISHED[name] if found.name == row).cells[column]

    assert cell("etth1", "SegRNN (L 720)", "etth1-96") == ".351/.392"
    assert cell("etth1", "plain GRU (L 720)", "etth1-720") == "1.089/.822"
    assert cell("etth1-l96", "iTransformer", "etth1-336") == ".487/.458"
    assert cell("ettm1", "P-sLSTM (L 336)", "ettm1-336") == ".362"
    assert cell("ettm1", "TQNet (L 96)", "ettm1-720") == ".452/.440"
    assert cell("etth1-ot", "NLinear", "etth1-ot-192") == ".069/.204"
    assert cell("ettm1-ot", "NLinear", "ettm1-ot-720") == ".073/.207"
    assert cell("lstm", "LSTMa (Bahdanau)", "etth1-168") == "1.212/.867"
    assert cell("m4", "FFORMA (second)", "mase") == ".819"
    assert cell("m4", "N-BEATS (180 models)", "smape") == "8.2"
    assert [len(rows) for rows in PUBLISHED.values()] == [5, 4, 7, 1, 1, 1, 11]
