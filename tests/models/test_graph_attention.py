"""The forecaster over a graph: what edges carry and what they do not, from a file to a served graph."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cli.conftest import TINY, tsattn
from numpy_reference import Array
from small_models import SPEC, Histories, histories, make_graph, window

from tsattn import Forecaster
from tsattn.data.loader import load
from tsattn.errors import ConfigError, DataError
from tsattn.explanation.attribution import attention_maps
from tsattn.models import resolve_options
from tsattn.models.defaults import DataSummary, fill_options
from tsattn.scoring.comparison import predict_windows
from tsattn.timeseries.windows import OBSERVED, PAST, QUANTILES

NODES = ("a", "b", "c", "d", "e")
GIVEN = histories([10, 7, 4], channels=5)
# a -> b -> c, and d -> e apart from them.
CHAIN = np.zeros((5, 5), "float32")
CHAIN[[0, 1, 3], [1, 2, 4]] = [1.0, 0.5, 2.0]


def make(edges: Array, **options: Any) -> Any:
    graph = make_graph({"name": "graph_attention", "adjacency": "given", **options}, replace(SPEC, targets=NODES))
    graph.set_adjacency(edges)
    return graph.inference()


def quantiles(model: Any, given: Histories) -> Array:
    return np.asarray(model(window(given, replace(SPEC, targets=NODES)))[QUANTILES])


def moved_by_each(model: Any) -> list[str]:
    """For each node the nodes whose forecast its history changes; the other forecasts are bit-identical."""
    # One call for all nodes, side by side in a batch, because most of the time goes into calls.
    changed = np.stack([GIVEN.past] * len(NODES))
    for node in range(len(NODES)):
        changed[node, :, :, node] *= 1 + np.random.default_rng(0).random(GIVEN.past.shape[:2])
    length = np.tile(GIVEN.length, len(NODES))
    pasts = np.concatenate([GIVEN.past] * len(NODES)), np.concatenate(changed)
    known, result = (quantiles(model, Histories(past, length)) for past in pasts)
    moved = (result != known).reshape(len(NODES), -1, *known.shape[1:]).any(axis=(1, 2, 4))
    return ["".join(np.array(NODES)[row]) for row in moved]


@pytest.mark.parametrize("temporal", ["gru", "tcn"])
def test_what_no_edge_leads_to_stays_as_it_is(temporal: str) -> None:
    one, two = (make(CHAIN, layers=layers, temporal=temporal, ensemble_size=layers) for layers in (1, 2))
    assert moved_by_each(one) == ["ab", "bc", "c", "de", "e"]
    assert moved_by_each(two) == ["abc", "bc", "c", "de", "e"]
    nothing = make(np.zeros((5, 5)), temporal=temporal)
    assert moved_by_each(nothing) == list(NODES)
    without = make(CHAIN, adjacency="none", temporal=temporal)
    assert moved_by_each(without) == list(NODES)


def test_diffusion_goes_two_edges_along_and_against_them() -> None:
    model = make(CHAIN, mixing="diffusion", layers=1)
    assert moved_by_each(model) == ["abc", "abc", "abc", "de", "de"]


@pytest.mark.parametrize("options", [{}, {"mixing": "diffusion"}, {"adjacency": "both"}])
def test_nodes_have_all_others_for_neighbours_where_all_are(options: dict[str, Any]) -> None:
    assert moved_by_each(make(np.ones((5, 5)), **options)) == ["abcde"] * 5


def test_a_learned_graph_needs_no_given_one() -> None:
    model = make_graph({"name": "graph_attention"}, replace(SPEC, targets=NODES)).inference()
    assert moved_by_each(model) == ["abcde"] * 5


def test_attention_maps_between_nodes() -> None:
    graph = make_graph({"name": "graph_attention", "adjacency": "both", "heads": 3}, replace(SPEC, targets=NODES))
    graph.set_adjacency(CHAIN)
    model = attention_maps(graph.inference())
    maps = {name: np.asarray(found[0]) for name, found in model(window(GIVEN, replace(SPEC, targets=NODES))).items()}
    assert set(maps) == {f"attention_{kind}_{number}" for kind in ("given", "learned") for number in range(2)}
    reached = (CHAIN.T > 0) | np.eye(5, dtype=bool)
    for name, weights in maps.items():
        assert weights.shape == (3, 3, 5, 5)
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
        np.testing.assert_array_equal(weights > 0, np.broadcast_to(reached | ("learned" in name), weights.shape))


@pytest.mark.parametrize("mixing", ["attention", "diffusion"])
def test_a_node_without_any_history_counts_as_one_without_edges(mixing: str) -> None:
    full = np.random.default_rng(1).random((5, 5)).astype("float32")
    cut = full.copy()
    cut[1], cut[:, 1] = 0, 0
    given = window(GIVEN, replace(SPEC, targets=NODES))
    given[OBSERVED][:, :, 1] = 0
    made = []
    whole = make(full, mixing=mixing)
    for model, content in ((whole, 0.0), (whole, np.nan), (make(cut, mixing=mixing), 0.0)):
        given[PAST][:, :, 1] = content
        made.append(np.asarray(model(given)[QUANTILES]))
    assert np.isfinite(made[0]).all()
    np.testing.assert_array_equal(made[1], made[0])
    others = [0, 2, 3, 4]
    np.testing.assert_allclose(made[2][:, :, others], made[0][:, :, others], rtol=1e-5)


@pytest.mark.parametrize(("graph", "expected"), [(True, "both"), (False, "learned")])
def test_a_given_graph_is_used_together_with_a_learned_one(graph: bool, expected: str) -> None:
    options = resolve_options({"name": "graph_attention"})[1]
    known = DataSummary(values=10_000, horizons=100, horizon=24, context=96, graph=graph)
    assert fill_options(options, 24, known).adjacency == expected
    asked = resolve_options({"name": "graph_attention", "adjacency": "none"})[1]
    assert fill_options(asked, 24, known).adjacency == "none"


HORIZON = 4


def following(steps: int = 900) -> pd.DataFrame:
    """Three columns of noise; b repeats a with a delay of one horizon, which the history of b does not predict."""
    rng = np.random.default_rng(0)
    noise = rng.normal(50, 5, (steps, 3))
    noise[HORIZON:, 1] = noise[:-HORIZON, 0] + rng.normal(0, 0.3, steps - HORIZON)
    times = pd.date_range("2024-01-01", periods=steps, freq="h")
    return pd.DataFrame(noise, columns=["a", "b", "c"]).assign(ds=times)


@cache
def errors_without_edges() -> dict[str, float]:
    """Errors of the model that uses no edge."""
    return errors(None, adjacency="none")


def errors(graph: Path | str | None, **options: Any) -> dict[str, float]:
    """Mean absolute error by column in the last steps, which were not trained on."""
    data = following()
    forecaster = Forecaster(
        "graph_attention",
        HORIZON,
        season=HORIZON,
        context=12,
        graph=graph,
        options={"units": 32, "dropout": 0.0, "block_dropout": 0.0, "context_scales": 1, "layers": 1, **options},
        training={"epochs": 6, "learning_rate": 5e-3, "refit": False},
    ).fit(data)
    panel = load(data)[0]
    origins = np.arange(len(data) - 100, len(data) - HORIZON, dtype=np.int64)
    made = predict_windows(forecaster.model_, forecaster.spec_, panel, np.zeros_like(origins), origins)[..., 1]
    truth = np.stack([panel.values[origin : origin + HORIZON] for origin in origins])
    return dict(zip(panel.targets, np.abs(made - truth).mean(axis=(0, 1)), strict=True))


@pytest.fixture
def edges(tmp_path: Path) -> Path:
    (tmp_path / "edges.csv").write_text("source,target,weight\na,b,1\n")
    return tmp_path / "edges.csv"


@pytest.mark.parametrize(
    "options",
    [
        {"adjacency": "given"},
        {"temporal": "tcn", "mixing": "diffusion"},
        {"adjacency": "learned"},
    ],
)
@pytest.mark.slow
def test_a_column_that_follows_another_is_forecast_by_the_graph_alone(options: dict[str, Any], edges: Path) -> None:
    without, with_graph = errors_without_edges(), errors(edges, **options)
    assert without["b"] > 3.5, "the mean of the noise is as good as it gets"
    assert with_graph["b"] < 0.4 * without["b"]
    assert with_graph["a"] > 3.5 and with_graph["c"] > 3.5, "nothing is known of these"


@pytest.mark.slow
def test_from_a_file_to_a_served_graph_which_needs_it_no_more(edges: Path, tmp_path: Path) -> None:
    import tensorflow as tf

    data, run = following(200), tmp_path / "run"
    data.to_csv(tmp_path / "wide.csv", index=False)
    small = ("--set", "model.units=8", "--set", "model.heads=2", "--horizon", HORIZON)
    result = tsattn(
        "fit", tmp_path / "wide.csv", "--model", "graph_attention", "--graph", edges, "--out", run, *TINY, *small
    )
    assert result.exit_code == 0, result.output
    edges.unlink()
    forecaster = Forecaster.load(run)
    assert forecaster.config_.data.graph == str(edges) and forecaster.config_.model["adjacency"] == "both"
    weights = {weight.path: np.asarray(weight) for weight in forecaster.model_.weights}
    given = next(values for path, values in weights.items() if "given_adjacency" in path)
    np.testing.assert_array_equal(given, [[0, 1, 0], [0, 0, 0], [0, 0, 0]])
    known = forecaster.predict()
    # In a new process, which knows only the layers that the model brings.
    script = f"from tsattn.cli import main; main(['predict', {str(run)!r}])"
    written = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert written.returncode == 0, written.stderr
    assert len(written.stdout.splitlines()) == 1 + len(known)
    np.testing.assert_allclose(forecaster.predict(data)["y"], known["y"], rtol=1e-6)
    served = tf.saved_model.load(run / "saved_model" / "1").signatures["serving_default"]
    past = data[["a", "b", "c"]].to_numpy("float32")[None]
    answer = served(past=tf.constant(past), length=tf.constant([len(data)]))["forecast"].numpy()
    np.testing.assert_allclose(answer[0].T.ravel(), known["y"], atol=1e-5 * past.std())
    again = tsattn("fit", tmp_path / "wide.csv", "--config", run / "config.toml", "--out", tmp_path / "again")
    assert again.exit_code == 1 and "edges.csv: there is no such file" in again.output


@pytest.mark.usefixtures("eager_training")
def test_a_backtest_takes_the_graph(edges: Path, tmp_path: Path) -> None:
    following(120).to_csv(tmp_path / "wide.csv", index=False)
    short = ("--set", "training.epochs=1", "--set", "training.steps_per_epoch=1")
    options = ("units=4", "layers=1", "context_scales=1", "adjacency=given")
    small = (*(part for option in options for part in ("--set", f"model.{option}")), "--horizon", HORIZON, "--folds", 2)
    result = tsattn("backtest", tmp_path / "wide.csv", "--model", "graph_attention", "--graph", edges, *short, *small)
    assert result.exit_code == 0 and "graph_attention" in result.output, result.output


def refused(error: type[Exception], data: pd.DataFrame, model: str | None, *parts: str, **given: Any) -> None:
    with pytest.raises(error, match=".*".join(map(re.escape, parts))):
        Forecaster(model, HORIZON, **given).fit(data)


def test_what_fits_no_graph_is_refused_before_anything_is_trained(edges: Path, tmp_path: Path) -> None:
    data = following(60)
    for model in (None, "seq2seq", "tcn", "naive"):
        refused(
            ConfigError, data, model, "edges.csv", "needs a model that takes a graph", "graph_attention", graph=edges
        )
    for adjacency in ("given", "both"):
        refused(
            ConfigError,
            data,
            "graph_attention",
            f"adjacency={adjacency}",
            "give its file with graph=",
            options={"adjacency": adjacency},
        )
    refused(DataError, data, "graph_attention", "nowhere.csv: there is no such file", graph=tmp_path / "nowhere.csv")
    refused(
        DataError, data.drop(columns="a"), "graph_attention", "edges.csv", "the series 'b', 'c'", "'a'", graph=edges
    )
    long = data.melt("ds", var_name="unique_id", value_name="y")
    refused(
        DataError,
        long,
        "graph_attention",
        "3 series of the one target 'y'",
        "provide one column per series",
        graph=edges,
    )
    refused(DataError, data[["ds", "a"]], "graph_attention", "1 series of the one target 'a'")
    refused(ConfigError, data, "graph_attention", "channels", "independent", options={"channels": "joint"})


def test_the_command_line_refuses_the_same_before_it_reads_the_data(edges: Path) -> None:
    for command in ("fit", "backtest"):
        result = tsattn(command, "nowhere.csv", "--graph", edges)
        assert result.exit_code == 2 and "graph_attention" in result.output and "Traceback" not in result.output
        result = tsattn(command, "nowhere.csv", "--model", "graph_attention", "--set", "model.adjacency=given")
        assert result.exit_code == 2 and "model.adjacency=learned" in result.output
