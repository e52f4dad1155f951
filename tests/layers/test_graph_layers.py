"""Graph layers compared with loops in NumPy, and tasks that they can learn."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras_help import built, outputs, with_random_weights
from numpy_reference import Array

from tsattn.errors import ConfigError
from tsattn.layers import AdaptiveAdjacency, DiffusionConvolution, GraphAttention

BATCH, STEPS, NODES, SIZE = 2, 3, 4, 3

RNG = np.random.default_rng(0)
STATES = RNG.normal(size=(BATCH, STEPS, NODES, SIZE)).astype("float32")
ROADS = np.array([[0, 2, 0, 0.5], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], "float32")
CHANGING = np.maximum(RNG.normal(size=(BATCH, STEPS, NODES, NODES)), 0).astype("float32")
MASK = np.array([[1, 1, 0, 1], [1, 0, 0, 0]], bool)[:, None].repeat(STEPS, 1)


def leaky(x: Array) -> Array:
    return np.where(x > 0, x, 0.2 * x)


def attended(layer: GraphAttention, states: Array, adjacency: Array, keep: Array) -> tuple[Array, Array]:
    """Compute the formula of the paper for the nodes [nodes, features] of one step, node by node."""
    query, key, score, bias = (np.asarray(w) for w in (layer.query_kernel, layer.key_kernel, layer.score, layer.bias))
    nodes, units = len(states), layer.units
    weights, heads = np.zeros((layer.num_heads, nodes, nodes)), np.zeros((nodes, layer.num_heads, units))
    for head in range(layer.num_heads):
        part = slice(head * units, (head + 1) * units)
        for target in range(nodes):
            edges = {source: adjacency[source, target] for source in range(nodes) if keep[target] and keep[source]}
            if layer.self_loops and keep[target] and edges[target] == 0:
                edges[target] = 1
            exponentials = {
                source: weight
                * np.exp(score[head] @ leaky(states[target] @ query[:, part] + states[source] @ key[:, part]))
                for source, weight in edges.items()
                if weight > 0
            }
            for source, exponential in exponentials.items():
                weights[head, target, source] = exponential / sum(exponentials.values())
                heads[target, head] += weights[head, target, source] * (states[source] @ key[:, part])
    joined = heads.reshape(nodes, -1) if layer.concat else heads.mean(1)
    has_neighbor = weights[0].any(axis=1)
    return np.where(has_neighbor[:, None], joined + bias, 0), weights


@pytest.mark.parametrize("changing", [False, True])
@pytest.mark.parametrize("concat", [True, False])
@pytest.mark.parametrize("self_loops", [True, False])
def test_graph_attention_matches_the_paper(changing: bool, concat: bool, self_loops: bool) -> None:
    adjacency = CHANGING if changing else ROADS
    layer = GraphAttention(5, num_heads=2, concat=concat, self_loops=self_loops)
    layer = with_random_weights(built(layer, {"inputs": STATES}, {}))
    states = np.where(MASK[..., None], STATES, np.nan).astype("float32")
    result, weights = outputs(layer(states, adjacency=adjacency, mask=MASK, return_attention_scores=True))
    for row, step in np.ndindex(BATCH, STEPS):
        edges = adjacency[row, step] if changing else adjacency
        known = attended(layer, STATES[row, step], edges, MASK[row, step])
        np.testing.assert_allclose(result[row, step], known[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(weights[row, step], known[1], rtol=1e-4, atol=1e-6)
    assert not result[~MASK].any()


def test_without_an_adjacency_the_graph_is_complete() -> None:
    layer = with_random_weights(built(GraphAttention(5), {"inputs": STATES}, {}))
    known = layer(STATES, adjacency=np.ones((NODES, NODES), "float32"))
    np.testing.assert_array_equal(*(outputs(part)[0] for part in (layer(STATES), known)))


def test_a_masked_node_has_no_effect() -> None:
    layer = with_random_weights(built(GraphAttention(5, num_heads=2), {"inputs": STATES}, {}))
    valid = [0, 1, 3]
    mask = np.isin(np.arange(NODES), valid)[None, None].repeat(BATCH, 0).repeat(STEPS, 1)
    whole = outputs(layer(STATES, adjacency=ROADS, mask=mask))[0]
    alone = outputs(layer(STATES[:, :, valid], adjacency=ROADS[np.ix_(valid, valid)]))[0]
    np.testing.assert_allclose(whole[:, :, valid], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_the_ranking_of_neighbors_depends_on_the_node() -> None:
    # Each node must return the value of the source with its own kind. The original graph attention ranks sources in the
    # same order for all nodes, so at most one kind can: an error of a half if two of four are right.
    kinds, rows = 4, 256
    rng = np.random.default_rng(1)
    order = np.stack([rng.permutation(kinds) for _ in range(rows)])
    source_values = rng.normal(size=(rows, kinds)).astype("float32")
    queries = np.concatenate([np.eye(kinds), np.zeros((kinds, kinds))], -1)[None].repeat(rows, 0)
    sources = np.concatenate([np.zeros((rows, kinds, kinds)), np.eye(kinds)[order]], -1)
    values = np.concatenate([np.zeros((rows, kinds)), source_values], 1)[..., None]
    states = np.concatenate([np.concatenate([queries, sources], 1), values], -1).astype("float32")
    # Edges from the sources to the querying nodes.
    adjacency = np.zeros((2 * kinds, 2 * kinds), "float32")
    adjacency[kinds:, :kinds] = 1
    target = np.take_along_axis(source_values, np.argsort(order, 1), 1)[..., None]

    keras.utils.set_random_seed(0)
    nodes = keras.Input((2 * kinds, 2 * kinds + 1))
    graph = keras.ops.convert_to_tensor(adjacency)
    context = GraphAttention(16, num_heads=2, self_loops=False)(nodes, adjacency=graph)
    model = keras.Model(nodes, keras.layers.Dense(1)(context)[:, :kinds])
    model.compile(keras.optimizers.Adam(0.01), loss="mse", jit_compile=keras.backend.backend() == "jax")
    model.fit(states, target, batch_size=64, epochs=150, verbose=0)
    assert model.evaluate(states, target, verbose=0) < 0.05 * np.var(target)


def walked(layer: DiffusionConvolution, states: Array, walks: list[Array], keep: Array) -> Array:
    """Compute the sum over walks and their steps for the nodes of one step."""
    states = np.where(keep[:, None], states, 0)
    kernel, bias = np.asarray(layer.kernel), np.asarray(layer.bias)
    parts = [states]
    for adjacency in walks:
        edges = adjacency * keep[None, :]
        total = edges.sum(1, keepdims=True)
        transition = np.divide(edges, total, out=np.zeros_like(edges), where=total > 0)
        parts += [np.linalg.matrix_power(transition, count) @ states for count in range(1, layer.steps + 1)]
    kernels = kernel.reshape(len(parts), SIZE, layer.units)
    return np.where(keep[:, None], sum(x @ w for x, w in zip(parts, kernels, strict=True)) + bias, 0)


@pytest.mark.parametrize("changing", [False, True])
@pytest.mark.parametrize(("both_ways", "learned"), [(True, False), (False, False), (True, True)])
def test_diffusion_convolution_matches_the_sum_over_walks(changing: bool, both_ways: bool, learned: bool) -> None:
    adjacency = CHANGING if changing else ROADS
    given = {"adjacency": adjacency, **({"adaptive": ROADS.T + 0.1} if learned else {})}
    layer = DiffusionConvolution(5, steps=3, both_ways=both_ways)
    layer = with_random_weights(built(layer, {"inputs": STATES, **given}, {}))
    states = np.where(MASK[..., None], STATES, np.nan).astype("float32")
    result = outputs(layer(states, **given, mask=MASK))[0]
    for row, step in np.ndindex(BATCH, STEPS):
        edges = adjacency[row, step] if changing else adjacency
        walks = [edges, *([edges.T] if both_ways else []), *([ROADS.T + 0.1] if learned else [])]
        known = walked(layer, STATES[row, step], walks, MASK[row, step])
        np.testing.assert_allclose(result[row, step], known, rtol=1e-4, atol=1e-5)


def test_adaptive_adjacency_matches_its_formula_and_is_trained() -> None:
    layer = with_random_weights(built(AdaptiveAdjacency(3), {"inputs": STATES}, {}))
    scores = np.maximum(np.asarray(layer.leaving) @ np.asarray(layer.reached).T, 0)
    known = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(outputs(layer(STATES))[0], known, rtol=1e-5)
    # The target of a node is the value of the next one: the initial graph, nearly uniform, cannot fit it.
    values = np.random.default_rng(2).normal(size=(512, NODES, 1)).astype("float32")
    keras.utils.set_random_seed(0)
    inputs = keras.Input((NODES, 1))
    graphs = {name: AdaptiveAdjacency(8) for name in ("diffusion", "attention")}
    forecasts = {
        "diffusion": DiffusionConvolution(1, steps=1, name="diffusion")(inputs, adaptive=graphs["diffusion"](inputs)),
        "attention": GraphAttention(1, name="attention")(inputs, adjacency=graphs["attention"](inputs)),
    }
    model = keras.Model(inputs, forecasts)
    start = {name: [np.asarray(weight) for weight in graph.weights] for name, graph in graphs.items()}
    model.compile(
        keras.optimizers.Adam(0.05), dict.fromkeys(graphs, "mse"), jit_compile=keras.backend.backend() == "jax"
    )
    target = np.roll(values, -1, axis=1)
    history = model.fit(values, dict.fromkeys(graphs, target), batch_size=64, epochs=20, verbose=0).history
    for name, graph in graphs.items():
        losses = history[f"{name}_loss"]
        assert losses[-1] < 0.9 * losses[0]
        assert all(np.abs(np.asarray(w) - old).max() > 0.01 for w, old in zip(graph.weights, start[name], strict=True))


def test_invalid_shapes_and_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="units must be 1 or more"):
        GraphAttention(0)
    with pytest.raises(ConfigError, match=r"must have the shape \(batch, nodes, features\)"):
        GraphAttention(2)(np.zeros((2, 3), "float32"))
    with pytest.raises(ConfigError, match="requires an adjacency"):
        DiffusionConvolution(2)(STATES)
    with pytest.raises(ConfigError, match="known number of nodes"):
        AdaptiveAdjacency()(keras.Input((None, 3)))


@pytest.mark.parametrize(
    "make", [lambda: GraphAttention(2), lambda: DiffusionConvolution(2, 1)], ids=["attention", "diffusion"]
)
def test_the_keras_mask_is_used_together_with_an_adjacency(make: Callable[[], keras.layers.Layer]) -> None:
    states = STATES[:, 0].copy()
    states[~MASK[:, 0]] = 0
    layer = make()
    expected = layer(states, adjacency=ROADS, mask=MASK[:, 0])
    masked = keras.layers.Masking()(states)
    inputs = keras.Input((NODES, SIZE))
    model = keras.Model(inputs, layer(keras.layers.Masking()(inputs), adjacency=keras.ops.convert_to_tensor(ROADS)))
    for got in (layer(masked, adjacency=ROADS), model(states)):
        np.testing.assert_allclose(*outputs((got, expected)), atol=1e-6)
    assert (outputs(expected)[0][~MASK[:, 0]] == 0).all()


@pytest.mark.parametrize("scale", [1e5, 1e-8])
def test_edge_weights_beyond_the_range_of_half_precision(scale: float) -> None:
    for kind, options in ((GraphAttention, {"self_loops": False}), (DiffusionConvolution, {})):
        half, whole = (kind(2, dtype=dtype, **options) for dtype in ("mixed_float16", "float32"))
        states, adjacency = STATES[:, 0], ROADS * scale
        for layer in (half, whole):
            layer(states, adjacency=adjacency)
        half.set_weights(whole.get_weights())
        np.testing.assert_allclose(
            *outputs((half(states, adjacency=adjacency), whole(states, adjacency=adjacency))), atol=1e-2
        )


def test_scores_that_overflow_half_precision() -> None:
    states = np.full((1, 4, 32), 600, "float32")
    states[0, 1] = 500
    result = outputs(GraphAttention(16, kernel_initializer="ones", dtype="mixed_float16")(states))[0]
    assert np.isfinite(result).all() and (result >= 500 * 32).all() and (result <= 600 * 32).all()
