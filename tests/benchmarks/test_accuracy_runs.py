"""What the accuracy benchmark runs: configurations, plan and store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from made_plan import made_plan

from benchmarks.accuracy import __main__ as command
from benchmarks.accuracy import snapshot
from benchmarks.accuracy.configuration import agrees, fingerprint, resolve, run_config
from benchmarks.accuracy.launch import Launcher
from benchmarks.accuracy.plan import Choice, Table, read_plan, runs
from benchmarks.accuracy.protocols import classic
from benchmarks.accuracy.published import PUBLISHED
from benchmarks.accuracy.store import Key, Store
from benchmarks.accuracy.tasks import TEST, VALIDATION, Stage, task
from tsattn.errors import ConfigError, TsattnError


def test_resolved_configuration_has_defaults_and_no_seed() -> None:
    configuration = resolve(task("etth1-96"), ["model.units=7"])
    assert configuration["model"]["units"] == 7 and "dropout" in configuration["model"]
    assert configuration["training"]["refit"] is False and configuration["data"]["validation"] == 2880
    assert "seed" not in configuration
    default = resolve(task("etth1-96"))["model"]["dropout"]
    same = resolve(task("etth1-96"), [f"model.dropout={default}"])
    assert fingerprint(same) == fingerprint(resolve(task("etth1-96"))) != fingerprint(configuration)


@pytest.mark.slow
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


def test_a_result_from_before_an_option_that_is_now_in_use_is_one_without_it() -> None:
    of = task("etth1-96")
    earlier = resolve(of, ["training.history_truncation=0"])
    del earlier["model"]["mean_reversion"]
    assert agrees(earlier, of, resolve(of, ["training.history_truncation=0", "model.mean_reversion=false"]))
    assert not agrees(earlier, of, resolve(of, ["training.history_truncation=0"]))


def test_a_result_with_former_option_names_agrees() -> None:
    of = task("etth1-96")
    earlier = resolve(of)
    earlier["model"]["members"] = earlier["model"].pop("ensemble_size")
    earlier["init"] = earlier.pop("init_from")
    assert agrees(earlier, of, resolve(of)) and fingerprint(earlier) == fingerprint(resolve(of))
    assert not agrees(earlier, of, resolve(of, ["model.ensemble_size=2"]))


def test_how_models_are_trained_is_nothing_to_a_naive_one() -> None:
    of = task("etth1-96")
    earlier, naive, drift = (
        resolve(of, settings)
        for settings in (
            ["model.name=naive", "training.epochs=3"],
            ["model.name=naive"],
            ["model.name=drift"],
        )
    )
    assert agrees(earlier, of, naive) and not agrees(earlier, of, drift)


def test_settings_of_a_table_go_before_those_of_its_rows() -> None:
    ours = {"name": "ours", "settings": ["model.units=8"]}
    table = Table.model_validate(
        {
            "name": "t",
            "title": "T",
            "tasks": ["etth1-96"],
            "baselines": ["naive"],
            "settings": ["model.units=4", "model.dropout=0"],
            "variants": [ours],
        }
    )
    naive, row = (variant.configuration(task("etth1-96"))["model"] for variant in table.rows())
    assert naive == {"name": "naive"} and (row["units"], row["dropout"]) == (8, 0)


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


def test_results_tell_no_place_of_the_machine() -> None:
    found = [path.name for path in Store().folder.rglob("*.json") if '": "/' in path.read_text()]
    assert not found
