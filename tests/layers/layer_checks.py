"""The checks that every public layer goes through."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
from case_builders import BATCH, Case
from keras_help import compiled, outputs, shapes_of, with_random_weights

Inputs = Mapping[str, Any]
Call = Callable[[Inputs], list[Any]]
Layers = list[tuple[Case, keras.layers.Layer]]

TOLERANCE = 1e-5
GARBAGE = (np.nan, np.inf, 1e4)


def check_layer(case: Case, folder: Path) -> None:
    """Check shapes, padding, half precision, a `.keras` file in `folder` and one training step."""
    layer = case.make()
    model = _model([(case, layer)])
    initial = model.get_weights()
    with_random_weights(layer)
    call = compiled(layer, case.options)
    expected = call(case.inputs)
    check_dynamic_shapes(case, model, expected)
    # JAX compiles a function per shape anyway.
    check_padding(case, call if keras.backend.backend() == "jax" else traced(case, layer), expected)
    check_half_precision(case, layer, expected)
    check_keras_file(case, model, layer, expected, folder)
    model.set_weights(initial)
    check_training([(case, layer)], model, dict(zip(sorted(model.output), expected, strict=True)))


def check_graph_mode(cases: list[Case], folder: Path) -> None:
    """Check one training step and a SavedModel of a model with all these layers, both of which Keras traces."""
    layers = [(case, case.make()) for case in cases]
    model = _model(layers)
    check_training(layers, model, model(_data([case.inputs for case in cases])), run_eagerly=False)
    with_random_weights(model)
    check_saved_model(cases, model, folder)


def check_dynamic_shapes(case: Case, model: keras.Model, expected: list[Any]) -> None:
    """Symbolic outputs have the dtypes of eager ones, and their shapes but for a dynamic batch and time."""
    for symbolic, eager in zip(model.outputs, expected, strict=True):
        assert (len(symbolic.shape), symbolic.dtype) == (len(eager.shape), str(eager.dtype))
        assert (symbolic.shape[0] is None) == case.batched
        assert all(a in (None, b) for a, b in zip(symbolic.shape, eager.shape, strict=True))


def traced(case: Case, layer: keras.layers.Layer) -> Call:
    """Return the layer as a function that TensorFlow traces once, with dynamic batch and time."""
    if keras.backend.backend() != "tensorflow":
        return compiled(layer, case.options)
    import tensorflow as tf

    specs = keras.tree.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), _symbolic(case))
    call = tf.function(lambda inputs: layer(**inputs, **case.options), input_signature=[specs], autograph=False)
    return lambda inputs: outputs(call(dict(inputs)))


def check_padding(case: Case, call: Call, expected: list[Any]) -> None:
    """Content and length of the padding, and rows that are all padding, do not change valid outputs."""
    base = call(case.inputs)
    _assert_close(base, expected, TOLERANCE)
    if not case.masks:
        return
    assert all(np.isfinite(part).all() for part in base)
    for content in GARBAGE:
        _assert_close(call(_filled(case, case.inputs, content)), base, 0)
        longer = _filled(case, _longer(case, 3), content)
        for part, known in zip(call(longer), base, strict=True):
            valid = tuple(slice(size) for size in known.shape)
            np.testing.assert_allclose(part[valid], known, rtol=TOLERANCE, atol=TOLERANCE)
            padding = part.copy()
            padding[valid] = 0
            assert not padding.any(), "padded steps of the output must be 0"
        emptied = _filled(case, _emptied(case), content)
        for position, (part, known) in enumerate(zip(call(emptied), base, strict=True)):
            assert np.isfinite(part).all()
            np.testing.assert_allclose(part[1:], known[1:], rtol=TOLERANCE, atol=TOLERANCE)
            if position in case.empty_gives_zero:
                assert not part[0].any(), "a row that is all padding must give 0"


def check_training(layers: Layers, model: keras.Model, known: dict[str, Any], run_eagerly: bool = True) -> None:
    """One training step with NaN in the padding has a finite loss and changes every weight; `known` are outputs.

    A layer without weights follows a Dense layer, whose weights get their gradient through it.
    """
    if not all(case.batched for case, _ in layers):
        return
    if not all(layer.trainable_variables for _, layer in layers):
        model = _model(layers, dense=True)
    data = _data(
        [_filled(case, case.inputs, np.nan) if layer.trainable_variables else case.inputs for case, layer in layers]
    )
    # Integer outputs have no gradient.
    shapes = {name: part.shape for name, part in known.items() if "float" in str(part.dtype)}
    rng = np.random.default_rng(1)
    target = {name: rng.normal(size=shape).astype("float32") for name, shape in shapes.items()}
    # On JAX compiling the step as one program takes less than running it one operation after the other.
    jit = keras.backend.backend() == "jax"
    model.compile("adam", loss=dict.fromkeys(target, "mse"), jit_compile=jit, run_eagerly=run_eagerly and not jit)
    # Without it TensorFlow traces the step twice.
    model.optimizer.build(model.trainable_variables)
    old = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_variables]
    loss = model.fit(data, target, batch_size=BATCH, verbose=0).history["loss"]
    assert np.isfinite(loss).all()
    for weight, start in zip(model.trainable_variables, old, strict=True):
        new = keras.ops.convert_to_numpy(weight)
        assert np.isfinite(new).all(), weight.path
        assert not np.array_equal(new, start), f"{weight.path} was not trained"


def check_half_precision(case: Case, layer: keras.layers.Layer, expected: list[Any]) -> None:
    """Under mixed_float16 weights are float32, outputs have their documented dtypes and differ by rounding only.

    Symbolic outputs of a static batch and time have the shapes and dtypes of eager ones.
    """
    with _policy("mixed_float16"):
        half = case.make()
        symbolic = keras.tree.flatten(half(**shapes_of(case.inputs), **case.options))
        half.set_weights(layer.get_weights())
        parts = compiled(half, case.options)(case.inputs)
    assert tuple(str(part.dtype) for part in parts) == case.half
    assert tuple((part.shape, part.dtype) for part in symbolic) == tuple(
        (part.shape, str(part.dtype)) for part in parts
    )
    assert all(weight.dtype == "float32" for weight in half.weights)
    _assert_close(parts, expected, 2e-2)


def check_keras_file(
    case: Case, model: keras.Model, layer: keras.layers.Layer, expected: list[Any], folder: Path
) -> None:
    """A model with the layer has the same config and outputs after a round trip through a `.keras` file."""
    model.save(folder / "model.keras")
    loaded = keras.saving.load_model(folder / "model.keras")
    twin = loaded.get_layer(layer.name)
    # Tuples become lists in a file.
    configs = [json.dumps(keras.saving.serialize_keras_object(x)["config"]) for x in (twin, layer)]
    assert configs[0] == configs[1]
    _assert_close(compiled(lambda **data: loaded(data), {})(_data([case.inputs])), expected, 0)


def check_saved_model(cases: list[Case], model: keras.Model, folder: Path) -> None:
    """On TensorFlow, a model with the layers gives the same outputs as a SavedModel, for other sizes too."""
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    model.export(str(folder / "saved_model"), verbose=False)
    loaded = tf.saved_model.load(str(folder / "saved_model"))  # its functions die with it
    longer = keras.tree.map_structure(lambda x: x[:2], _data([_longer(case, 2) for case in cases]))
    for inputs in (_data([case.inputs for case in cases]), longer):
        served, known = loaded.serve(inputs), model(inputs)
        assert set(served) == set(known)
        for name, part in served.items():
            np.testing.assert_allclose(part, known[name], rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)


def _assert_close(result: Any, expected: Any, tolerance: float) -> None:
    for part, other in zip(outputs(result), outputs(expected), strict=True):
        np.testing.assert_allclose(part, other, rtol=tolerance, atol=tolerance)


def _model(layers: Layers, dense: bool = False) -> keras.Model:
    """Return a model of layers side by side; those without weights after a Dense layer if `dense`."""
    inputs, named = [], {}
    for number, (case, layer) in enumerate(layers):
        symbolic = _symbolic(case, number)
        inputs.append(symbolic)
        first = next(iter(symbolic))
        if dense and not layer.trainable_variables:
            symbolic = {**symbolic, first: keras.layers.Dense(symbolic[first].shape[-1])(symbolic[first])}
        parts = keras.tree.flatten(layer(**symbolic, **case.options))
        # Identities name the outputs, so that each can have a loss.
        names = [f"case{number}_out{position}" for position in range(len(parts))]
        for name, part in zip(names, parts, strict=True):
            named[name] = keras.layers.Identity(name=name, dtype=part.dtype)(part)
    return keras.Model(_data(inputs), named)


def _data(inputs: Sequence[Inputs]) -> dict[str, Any]:
    """Return the nested arguments of layers side by side as one dict, for a model with named inputs."""
    return {
        _name(number, path): part
        for number, arguments in enumerate(inputs)
        for path, part in keras.tree.flatten_with_path(dict(arguments))
    }


def _name(number: int, path: tuple[Any, ...]) -> str:
    return "_".join(map(str, (f"case{number}", *path)))


def _symbolic(case: Case, number: int = 0) -> Any:
    """Return Keras inputs with dynamic batch, and dynamic time where the argument is masked."""
    symbolic = []
    for path, x in keras.tree.flatten_with_path(dict(case.inputs)):
        shape = x.shape[1:]
        if shape and path[0] in {*case.masks, *case.masks.values()}:
            shape = (None, *shape[1:])
        symbolic.append(keras.Input(shape, name=_name(number, path), dtype=str(x.dtype)))
    return keras.tree.pack_sequence_as(dict(case.inputs), symbolic)


def _longer(case: Case, steps: int) -> dict[str, Any]:
    """Return the inputs with masked steps appended."""
    longer = dict(case.inputs)
    for name in {*case.masks, *case.masks.values()}:
        if np.ndim(longer[name]) > 1:
            longer[name] = np.pad(longer[name], [(0, 0), (0, steps), *[(0, 0)] * (np.ndim(longer[name]) - 2)])
    return longer


def _filled(case: Case, inputs: Inputs, content: float) -> dict[str, Any]:
    """Return inputs with `content` wherever they are masked."""
    filled = dict(inputs)
    for name, mask_name in case.masks.items():
        mask, values = np.asarray(inputs[mask_name]), inputs[name]
        if mask.ndim == 1:  # lengths
            mask = np.arange(values.shape[1]) < mask[:, None]
        keep = mask.reshape(*mask.shape, *[1] * (values.ndim - mask.ndim)) > 0
        filled[name] = np.where(keep, values, np.float32(content))
    return filled


def _emptied(case: Case) -> dict[str, Any]:
    """Return the inputs with the first row all padding."""
    emptied = dict(case.inputs)
    for name in case.masks.values():
        emptied[name] = np.array(case.inputs[name])
        emptied[name][0] = 0
    return emptied


@contextmanager
def _policy(name: str) -> Iterator[None]:
    old = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(old)
