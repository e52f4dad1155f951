"""Graph attention, diffusion and a learned graph against loops in NumPy, and what they can learn."""

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
    """The formula of the paper for the nodes [nodes, features] of one step, node by node."""
    query, key, score, bias = (np.asarray(w) for w in (layer.query_kernel, layer.key_kernel, layer.score, layer.bias))
    nodes, units = len(states), layer.units
    weights, heads = np.zeros((layer.heads, nodes, nodes)), np.zeros((nodes, layer.heads, units))
    for head in range(layer.heads):
        part = slice(head * units, (head + 1) * units)
        for taker in range(nodes):
            edges = {giver: adjacency[giver, taker] for giver in range(nodes) if keep[taker] and keep[giver]}
            if layer.self_loops and keep[taker] and edges[taker] == 0:
                edges[taker] = 1
            shares = {
                giver: weight
                * np.exp(score[head] @ leaky(states[taker] @ query[:, part] + states[giver] @ key[:, part]))
                for giver, weight in edges.items()
                if weight > 0
            }
            for giver, share in shares.items():
                weights[head, taker, giver] = share / sum(shares.values())
                heads[taker, head] += weights[head, taker, giver] * (states[giver] @ key[:, part])
    joined = heads.reshape(nodes, -1) if layer.concat else heads.mean(1)
    there = weights[0].any(axis=1)
    return np.where(there[:, None], joined + bias, 0), weights


@pytest.mark.parametrize("changing", [False, True])
@pytest.mark.parametrize("concat", [True, False])
@pytest.mark.parametrize("self_loops", [True, False])
def test_graph_attention_is_the_papers(changing: bool, concat: bool, self_loops: bool) -> None:
    adjacency = CHANGING if changing else ROADS
    layer = GraphAttention(5, heads=2, concat=concat, self_loops=self_loops)
    layer = with_random_weights(built(layer, {"inputs": STATES}, {}))
    states = np.where(MASK[..., None], STATES, np.nan).astype("float32")
    made, weights = outputs(layer(states, adjacency=adjacency, mask=MASK, return_attention_scores=True))
    for row, step in np.ndindex(BATCH, STEPS):
        here = adjacency[row, step] if changing else adjacency
        known = attended(layer, STATES[row, step], here, MASK[row, step])
        np.testing.assert_allclose(made[row, step], known[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(weights[row, step], known[1], rtol=1e-4, atol=1e-6)
    assert not made[~MASK].any()


def test_without_a_graph_every_node_attends_to_all() -> None:
    layer = with_random_weights(built(GraphAttention(5), {"inputs": STATES}, {}))
    known = layer(STATES, adjacency=np.ones((NODES, NODES), "float32"))
    np.testing.assert_array_equal(*(outputs(part)[0] for part in (layer(STATES), known)))


def test_a_masked_node_changes_nothing() -> None:
    layer = with_random_weights(built(GraphAttention(5, heads=2), {"inputs": STATES}, {}))
    kept = [0, 1, 3]
    mask = np.isin(np.arange(NODES), kept)[None, None].repeat(BATCH, 0).repeat(STEPS, 1)
    whole = outputs(layer(STATES, adjacency=ROADS, mask=mask))[0]
    alone = outputs(layer(STATES[:, :, kept], adjacency=ROADS[np.ix_(kept, kept)]))[0]
    np.testing.assert_allclose(whole[:, :, kept], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_which_neighbour_counts_more_depends_on_the_node() -> None:
    # Each node shall take what the node of its own kind says. The first graph attention scores givers in one order for
    # all takers, so that at most one kind gets its own; half of them right would be an error of a half.
    kinds, rows = 4, 256
    rng = np.random.default_rng(1)
    order = np.stack([rng.permutation(kinds) for _ in range(rows)])
    said = rng.normal(size=(rows, kinds)).astype("float32")
    asks = np.concatenate([np.eye(kinds), np.zeros((kinds, kinds))], -1)[None].repeat(rows, 0)
    tells = np.concatenate([np.zeros((rows, kinds, kinds)), np.eye(kinds)[order]], -1)
    values = np.concatenate([np.zeros((rows, kinds)), said], 1)[..., None]
    states = np.concatenate([np.concatenate([asks, tells], 1), values], -1).astype("float32")
    # Those that tell lead to those that ask.
    adjacency = np.zeros((2 * kinds, 2 * kinds), "float32")
    adjacency[kinds:, :kinds] = 1
    wanted = np.take_along_axis(said, np.argsort(order, 1), 1)[..., None]

    keras.utils.set_random_seed(0)
    nodes = keras.Input((2 * kinds, 2 * kinds + 1))
    graph = keras.ops.convert_to_tensor(adjacency)
    taken = GraphAttention(16, heads=2, self_loops=False)(nodes, adjacency=graph)
    model = keras.Model(nodes, keras.layers.Dense(1)(taken)[:, :kinds])
    model.compile(keras.optimizers.Adam(0.01), loss="mse", jit_compile=keras.backend.backend() == "jax")
    model.fit(states, wanted, batch_size=64, epochs=150, verbose=0)
    assert model.evaluate(states, wanted, verbose=0) < 0.05 * np.var(wanted)


def walked(layer: DiffusionConvolution, states: Array, walks: list[Array], keep: Array) -> Array:
    """The sum over walks and their steps for the nodes of one step."""
    states = np.where(keep[:, None], states, 0)
    kernel, bias = np.asarray(layer.kernel), np.asarray(layer.bias)
    parts = [states]
    for adjacency in walks:
        shares = adjacency * keep[None, :]
        total = shares.sum(1, keepdims=True)
        shares = np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)
        parts += [np.linalg.matrix_power(shares, count) @ states for count in range(1, layer.steps + 1)]
    kernels = kernel.reshape(len(parts), SIZE, layer.units)
    return np.where(keep[:, None], sum(x @ w for x, w in zip(parts, kernels, strict=True)) + bias, 0)


@pytest.mark.parametrize("changing", [False, True])
@pytest.mark.parametrize(("both_ways", "learned"), [(True, False), (False, False), (True, True)])
def test_diffusion_is_the_sum_over_walks(changing: bool, both_ways: bool, learned: bool) -> None:
    adjacency = CHANGING if changing else ROADS
    given = {"adjacency": adjacency, **({"adaptive": ROADS.T + 0.1} if learned else {})}
    layer = DiffusionConvolution(5, steps=3, both_ways=both_ways)
    layer = with_random_weights(built(layer, {"inputs": STATES, **given}, {}))
    states = np.where(MASK[..., None], STATES, np.nan).astype("float32")
    made = outputs(layer(states, **given, mask=MASK))[0]
    for row, step in np.ndindex(BATCH, STEPS):
        here = adjacency[row, step] if changing else adjacency
        walks = [here, *([here.T] if both_ways else []), *([ROADS.T + 0.1] if learned else [])]
        known = walked(layer, STATES[row, step], walks, MASK[row, step])
        np.testing.assert_allclose(made[row, step], known, rtol=1e-4, atol=1e-5)


def test_a_learned_graph_is_its_formula_and_is_trained() -> None:
    layer = with_random_weights(built(AdaptiveAdjacency(3), {"inputs": STATES}, {}))
    scores = np.maximum(np.asarray(layer.leaving) @ np.asarray(layer.reached).T, 0)
    known = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(outputs(layer(STATES))[0], known, rtol=1e-5)
    # Every node becomes what the one after it was: better than with the graph of the beginning, which is about even.
    values = np.random.default_rng(2).normal(size=(512, NODES, 1)).astype("float32")
    keras.utils.set_random_seed(0)
    inputs = keras.Input((NODES, 1))
    for mix in (DiffusionConvolution(1, steps=1), GraphAttention(1)):
        graph = AdaptiveAdjacency(8)
        edges = graph(inputs)
        mixed = mix(inputs, adaptive=edges) if isinstance(mix, DiffusionConvolution) else mix(inputs, adjacency=edges)
        model = keras.Model(inputs, mixed)
        start = [np.asarray(weight) for weight in graph.weights]
        model.compile(keras.optimizers.Adam(0.05), loss="mse", jit_compile=keras.backend.backend() == "jax")
        losses = model.fit(values, np.roll(values, -1, axis=1), batch_size=64, epochs=20, verbose=0).history["loss"]
        assert losses[-1] < 0.9 * losses[0]
        assert all(np.abs(np.asarray(w) - old).max() > 0.01 for w, old in zip(graph.weights, start, strict=True))


def test_wrong_shapes_and_options_are_told() -> None:
    with pytest.raises(ConfigError, match="units and heads must be 1 or more"):
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
def test_the_mask_that_keras_attached_counts_beside_an_adjacency(make: Callable[[], keras.layers.Layer]) -> None:
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
def test_weights_of_edges_have_no_bounds_of_half_precision(scale: float) -> None:
    for kind, options in ((GraphAttention, {"self_loops": False}), (DiffusionConvolution, {})):
        half, whole = (kind(2, dtype=dtype, **options) for dtype in ("mixed_float16", "float32"))
        states, adjacency = STATES[:, 0], ROADS * scale
        for layer in (half, whole):
            layer(states, adjacency=adjacency)
        half.set_weights(whole.get_weights())
        np.testing.assert_allclose(
            *outputs((half(states, adjacency=adjacency), whole(states, adjacency=adjacency))), atol=1e-2
        )


def test_scores_that_are_infinite_in_half_precision() -> None:
    states = np.full((1, 4, 32), 600, "float32")
    states[0, 1] = 500
    taken = outputs(GraphAttention(16, kernel_initializer="ones", dtype="mixed_float16")(states))[0]
    assert np.isfinite(taken).all() and (taken >= 500 * 32).all() and (taken <= 600 * 32).all()
