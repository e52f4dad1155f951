"""Configurations, plan and store of the accuracy benchmark."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from example_plan import example_plan

from benchmarks.accuracy import __main__ as command
from benchmarks.accuracy import snapshot
from benchmarks.accuracy.configuration import fingerprint, is_equivalent, make_run_config, resolve
from benchmarks.accuracy.launch import Launcher
from benchmarks.accuracy.plan import RunFilter, Table, list_runs, read_plan
from benchmarks.accuracy.published import PUBLISHED
from benchmarks.accuracy.store import Key, Store
from benchmarks.accuracy.tasks import TEST, VALIDATION, Stage, get_task
from tsattn.errors import ConfigError, TsattnError


def test_resolved_configuration_has_defaults_and_no_seed() -> None:
    configuration = resolve(get_task("etth1-96"), ["model.units=7"])
    assert configuration["model"]["units"] == 7 and "dropout" in configuration["model"]
    assert configuration["training"]["refit"] is False and configuration["data"]["validation"] == 2880
    assert "seed" not in configuration
    named = resolve(get_task("etth1-96"), ["model.name=seq2seq"])
    same = resolve(get_task("etth1-96"), [f"model.dropout={named['model']['dropout']}"])
    assert fingerprint(same) == fingerprint(named) != fingerprint(configuration)


def test_the_default_names_no_model() -> None:
    of = get_task("etth1-96")
    default, named = (resolve(of, settings) for settings in ([], ["model.name=seq2seq"]))
    assert default["model"] == named["model"] and fingerprint(default) != fingerprint(named)
    assert not is_equivalent(named, of, default) and not is_equivalent(default, of, named)
    assert make_run_config(default, 0).model == {} and make_run_config(named, 0).model["name"] == "seq2seq"


@pytest.mark.parametrize("setting", ["seed=3", "data.horizon=24", "training.refit=true"])
def test_a_variant_cannot_change_the_protocol(setting: str) -> None:
    with pytest.raises(ConfigError, match="decided by the protocol or the plan"):
        resolve(get_task("etth1-96"), [setting])


def test_a_result_from_before_an_option_existed_has_its_default() -> None:
    of = get_task("etth1-96")
    earlier = resolve(of)
    del earlier["model"]["dropout"]
    assert is_equivalent(earlier, of, resolve(of))
    assert not is_equivalent(earlier, of, resolve(of, ["model.dropout=0.1"]))
    assert not is_equivalent(earlier, of, resolve(of, ["model.units=8"]))


def test_a_result_from_before_an_option_that_is_now_on_has_its_former_behaviour() -> None:
    of = get_task("etth1-96")
    settings = ["model.name=seq2seq", "training.history_truncation=0"]
    earlier = resolve(of, settings)
    del earlier["model"]["mean_reversion"]
    assert is_equivalent(earlier, of, resolve(of, [*settings, "model.mean_reversion=false"]))
    assert not is_equivalent(earlier, of, resolve(of, settings))


def test_a_result_with_former_option_names_is_equivalent() -> None:
    of = get_task("etth1-96")
    earlier = resolve(of)
    earlier["model"]["members"] = earlier["model"].pop("ensemble_size")
    earlier["init"] = earlier.pop("init_from")
    assert is_equivalent(earlier, of, resolve(of)) and fingerprint(earlier) == fingerprint(resolve(of))
    assert not is_equivalent(earlier, of, resolve(of, ["model.ensemble_size=2"]))


def test_training_options_are_ignored_for_naive_baselines() -> None:
    of = get_task("etth1-96")
    earlier, naive, drift = (
        resolve(of, settings)
        for settings in (
            ["model.name=naive", "training.epochs=3"],
            ["model.name=naive"],
            ["model.name=drift"],
        )
    )
    assert is_equivalent(earlier, of, naive) and not is_equivalent(earlier, of, drift)


def test_settings_of_a_variant_override_those_of_its_table() -> None:
    variant = {"name": "variant", "settings": ["model.units=8"]}
    table = Table.model_validate(
        {
            "name": "t",
            "title": "T",
            "tasks": ["etth1-96"],
            "baselines": ["naive"],
            "settings": ["model.units=4", "model.dropout=0"],
            "variants": [variant],
        }
    )
    naive, row = (variant.configuration(get_task("etth1-96"))["model"] for variant in table.rows())
    assert naive == {"name": "naive"} and (row["units"], row["dropout"]) == (8, 0)


@pytest.mark.parametrize("name", ["etth2-96", "etth1", "etth1-0", "m4", "nile"])
def test_unknown_task(name: str) -> None:
    with pytest.raises(ValueError, match="expected a task such as"):
        get_task(name)


def test_the_plan_is_valid() -> None:
    plan = read_plan()
    test = list_runs(plan, TEST, RunFilter())
    assert len({(run.task.name, run.hash, run.seed) for run in test}) == len(test)
    assert [run.seed for run in test] == sorted(run.seed for run in test)
    assert {table.name for table in plan.table} >= PUBLISHED.keys()
    for shown in plan.table:
        for row in PUBLISHED.get(shown.name, ()):
            names = get_task(shown.tasks[0]).metrics if shown.kind == "metric" else shown.tasks
            assert row.cells.keys() <= set(names), row.name


def test_only_chosen_variants_are_tested() -> None:
    def names(stage: Stage, **variant: Any) -> set[str]:
        return {run.variant for run in list_runs(example_plan(**variant), stage, RunFilter())}

    assert names(TEST) == {"seasonal naive", "default"}
    assert names(TEST, chosen=True) == names(VALIDATION) == {"seasonal naive", "default", "small"}
    with pytest.raises(ConfigError, match="marked 'chosen'"):
        list_runs(example_plan(), TEST, RunFilter(settings=("model.units=8",)))
    with pytest.raises(ConfigError, match="try --stage validation"):
        list_runs(example_plan(), TEST, RunFilter(variants=("small",)))


def test_naive_rows_have_one_seed() -> None:
    found = list_runs(example_plan(), VALIDATION, RunFilter(tasks=("etth1-96",)))
    assert [(run.variant, run.seed) for run in found] == [
        ("seasonal naive", 0),
        ("default", 0),
        ("small", 0),
        ("default", 1),
        ("small", 1),
    ]


def test_store_finds_results(tmp_path: Path) -> None:
    store, key = Store(tmp_path), Key("etth1-96", "0123abcd", 1, "abc1234")
    later = Key("etth1-96", "0123abcd", 1, "def5678")
    assert store.find(TEST, key) is None
    path = store.write(TEST, key, {"test": {"mse": 1.0}})
    assert path.name == "etth1-96_0123abcd_seed1_abc1234.json" and list(path.parent.iterdir()) == [path]
    assert store.find(TEST, key) == path
    assert store.find(VALIDATION, key) is None, "no figures of the validation part"
    assert store.find(TEST, later) is None and store.find(TEST, later, any_commit=True) == path
    store.write(TEST, key, {"test": {"mse": 1.0}, "validation": {"mse": 2.0}})
    assert store.find(VALIDATION, key) == path
    assert len(store.results(VALIDATION)) == len(store.results(TEST)) == 1


def test_an_interrupted_benchmark_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, int]] = []

    def pretend(launcher: Launcher, request: dict[str, Any], answer: Path, log: Path) -> dict[str, Any]:
        if (request["task"], request["seed"]) == broken:
            raise TsattnError("exit 1: out of memory")
        done.append((request["task"], request["seed"]))
        answer.write_text(json.dumps({"test": {"mse": 0.5, "mae": 0.5}, "accelerators": []}))
        return {"seconds": 1.0, "peak_memory_mb": 100, "cores_used_by_others": 0.0}

    monkeypatch.setattr(Launcher, "_measure", pretend)
    monkeypatch.setattr(snapshot, "last_commit", lambda: ("abc1234", "2026-01-01T00:00:00+00:00"))
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


def test_a_snapshot_without_results_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "last_commit", lambda: ("abc1234", "2026-01-01T00:00:00+00:00"))
    with snapshot.take_snapshot() as code:
        line = [sys.executable, "-P", "-c", "import benchmarks.accuracy.configuration as m; print(m.__file__)"]
        environment = {**os.environ, "PYTHONPATH": str(code.folder)}
        found = subprocess.run(line, env=environment, cwd=code.folder, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith(str(code.folder))


def test_results_contain_no_absolute_paths() -> None:
    found = [path.name for path in Store().folder.rglob("*.json") if '": "/' in path.read_text()]
    assert not found
