"""Adjacency matrices, and series as nodes of a graph, compared with pandas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tsattn.data.adjacency import as_nodes, as_series, read_adjacency
from tsattn.data.loader import load
from tsattn.errors import DataError

NODES = ("a", "b", "c", "d")
MATRIX = np.array([[1, 0.5, 0, 0], [0, 1, 0.25, 0], [0, 0, 1, 0], [2, 0, 0, 1]], np.float32)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def text(matrix: object, **kwargs: object) -> str:
    return str(pd.DataFrame(matrix, NODES, NODES).to_csv(**kwargs))  # type: ignore[call-overload]


SHUFFLED = ["c", "a", "d", "b"]


@pytest.mark.parametrize(
    "content",
    [
        text(MATRIX, header=False, index=False),
        text(MATRIX),
        text(MATRIX, index=False),
        str(pd.DataFrame(MATRIX, NODES, NODES).loc[SHUFFLED, SHUFFLED[::-1]].to_csv()),
        str(pd.DataFrame(MATRIX, NODES, NODES).loc[SHUFFLED, SHUFFLED].to_csv(index=False)),
        "source,target,weight\na,a,1\nb,b,1\nc,c,1\nd,d,1\na,b,.5\nb,c,0.25\nd,a,2\n",
        "\ufefffrom, to, cost\r\nd, a, 2\r\na, a, 1\r\nb, b, 1\r\nc, c, 1\r\nd, d, 1\r\na, b, .5\r\nb, c, 0.25\r\n",
    ],
)
def test_a_graph_in_any_form(content: str, tmp_path: Path) -> None:
    found = read_adjacency(written(tmp_path / "graph.csv", content), NODES)
    np.testing.assert_array_equal(found, MATRIX)
    assert found.dtype == np.float32


def test_edges_without_weights_and_nodes_without_edges(tmp_path: Path) -> None:
    found = read_adjacency(written(tmp_path / "graph.csv", "a,b\nb,c\nc,b\n"), NODES)
    expected = np.zeros((4, 4))
    expected[0, 1] = expected[1, 2] = expected[2, 1] = 1
    np.testing.assert_array_equal(found, expected)


def test_names_that_are_numbers(tmp_path: Path, data_dir: Path) -> None:
    nodes = load(data_dir / "los_loop/los_speed.csv")[1].targets
    found = read_adjacency(data_dir / "los_loop/los_adj.csv", nodes)
    np.testing.assert_array_equal(found, pd.read_csv(data_dir / "los_loop/los_adj.csv", header=None).to_numpy("f4"))
    edges = "from,to,weight\n773869,767541,0.5\n"
    found = read_adjacency(written(tmp_path / "edges.csv", edges), nodes)
    assert found[0, 1] == 0.5 and found.sum() == 0.5


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("source,target\na,b\nb,x\n", ["got 'x'"]),
        ("source,target\na,b\na,b\n", ["line 3", "'a' to 'b'", "again"]),
        ("source,target,weight\na,b,near\n", ["line 2", "'near'"]),
        ("source,target,weight\na,b,-1\n", ["line 2", "'-1'"]),
        (text(MATRIX).replace("0.25", ""), ["line 3", "''"]),
        (text(MATRIX).replace("a", "e"), ["got 'e'"]),
        (text(MATRIX[:, [0, 1, 2, 2]]).replace(",d", ",c"), ["line 1", "got none of 'd'"]),
        (text(MATRIX).rsplit("d", 1)[0], ["as many rows as columns", "3 rows"]),
        ("1,0,0,0,0\n" * 5, ["matrix of the 4 series", "5 rows"]),
        ("1,0,0\n0,1,0\n0,0,1\n", ["got '0', '1'"]),
        ("a,b,c,d,e\n1,2,3,4,5\n", ["as many rows"]),
        ("1,2,3,4,5,6\n", ["list of edges"]),
        ("1,2\n1\n1,2,3\n", ["matrix or a list of edges"]),
        ("", ["matrix or a list of edges"]),
    ],
)
def test_a_graph_that_does_not_fit(content: str, parts: list[str], tmp_path: Path) -> None:
    path = written(tmp_path / "graph.csv", content)
    with pytest.raises(DataError) as caught:
        read_adjacency(path, NODES)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    assert [part for part in parts if part not in message] == [], message


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_adjacency(tmp_path / "none.csv", NODES)


def long() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    timestamps = pd.date_range("2024-01-01", periods=9, freq="h")
    spans = {"a": (0, 9), "b": (3, 8), "c": (2, 4)}
    parts = [
        pd.DataFrame({"unique_id": id, "ds": timestamps[low:high], "y": rng.normal(size=high - low)})
        for id, (low, high) in spans.items()
    ]
    frame = pd.concat(parts, ignore_index=True)
    return frame.drop(index=5)


def test_series_become_nodes_and_come_back() -> None:
    panel, _ = load(long())
    wide = as_nodes(panel)
    expected = long().pivot(index="ds", columns="unique_id", values="y").asfreq("h")
    np.testing.assert_array_equal(wide.series[0], expected.to_numpy(np.float32))
    assert wide.targets == ("a", "b", "c") and list(wide.times(0)) == list(expected.index)
    again = as_series(wide)
    assert again.ids == panel.ids and again.starts.tolist() == panel.starts.tolist()
    np.testing.assert_array_equal(again.series.offsets, panel.series.offsets)
    np.testing.assert_array_equal(again.values, panel.values)


def test_several_channels_per_node() -> None:
    frame = long().assign(x=lambda data: -data["y"])
    panel, _ = load(frame.rename(columns={"y": "z"}))
    wide = as_nodes(panel)
    assert wide.targets == ("a/z", "a/x", "b/z", "b/x", "c/z", "c/x")
    again = as_series(wide, panel.ids, panel.targets)
    np.testing.assert_array_equal(again.values, panel.values)
    with pytest.raises(ValueError, match="Received"):
        as_series(wide, panel.ids)
    with pytest.raises(ValueError, match="Received"):
        as_series(panel)
    none = as_series(as_nodes(panel).slice(8, np.array([9])), panel.ids, panel.targets)
    assert none.lengths.tolist() == [1, 0, 0]
