"""The checks that every public layer goes through."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
from case_builders import Case
from keras_help import built, compiled, outputs, shapes_of, with_random_weights

Inputs = Mapping[str, Any]
Call = Callable[[Inputs], list[Any]]

TOLERANCE = 1e-5
GARBAGE = (np.nan, np.inf, 1e4)


def check_layer(case: Case, folder: Path) -> None:
    """Check config, shapes, padding, half precision, one eager training step and a `.keras` file in `folder`."""
    layer = with_random_weights(case.build())
    expected = compiled(layer, case.options)(case.inputs)
    check_config(case, layer, expected)
    check_shapes(case, expected)
    check_padding(case, traced(case, layer), expected)
    check_half_precision(case, layer, expected)
    check_training(case, run_eagerly=True)
    check_keras_file(case, layer, folder)


def check_graph_mode(case: Case, folder: Path) -> None:
    """Check one training step and a SavedModel, both of which Keras traces; slow."""
    check_training(case, run_eagerly=False)
    check_saved_model(case, with_random_weights(case.build()), folder)


def check_config(case: Case, layer: keras.layers.Layer, expected: list[Any]) -> None:
    """A layer from the config gives the same outputs and the same config."""
    config = keras.saving.serialize_keras_object(layer)
    twin = built(keras.saving.deserialize_keras_object(config), case.inputs, case.options)
    twin.set_weights(layer.get_weights())
    _assert_close(compiled(twin, case.options)(case.inputs), expected, 0)
    assert keras.saving.serialize_keras_object(twin)["config"] == config["config"]


def check_shapes(case: Case, expected: list[Any]) -> None:
    """Symbolic outputs have the shapes and dtypes of eager ones, with static and dynamic batch and time."""
    static = keras.tree.flatten(case.make()(**shapes_of(case.inputs), **case.options))
    for symbolic, eager in zip(static, expected, strict=True):
        assert (tuple(symbolic.shape), symbolic.dtype) == (eager.shape, str(eager.dtype))
    dynamic = keras.tree.flatten(case.make()(**_symbolic(case), **case.options))
    for symbolic, eager in zip(dynamic, expected, strict=True):
        assert len(symbolic.shape) == len(eager.shape)
        assert (symbolic.shape[0] is None) == case.batched
        assert all(a in (None, b) for a, b in zip(symbolic.shape, eager.shape, strict=True))


def traced(case: Case, layer: keras.layers.Layer) -> Call:
    """Return the layer as a function that TensorFlow traces once, with dynamic batch and time; elsewhere compiled."""
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


def check_training(case: Case, run_eagerly: bool) -> None:
    """One training step with NaN in the padding has a finite loss and changes every weight.

    A layer without weights follows a Dense layer, whose weights get their gradient through it.
    """
    if not case.batched:
        return
    layer = case.build()
    first = next(iter(case.inputs))
    dense = None if layer.trainable_variables else keras.layers.Dense(case.inputs[first].shape[-1])
    model = _model(case, layer, dense)
    data = _flat(case.inputs if dense else _filled(case, case.inputs, np.nan))
    # Integer outputs have no gradient.
    shapes = {name: part.shape for name, part in model(data).items() if "float" in str(part.dtype)}
    rng = np.random.default_rng(1)
    target = {name: rng.normal(size=shape).astype("float32") for name, shape in shapes.items()}
    # XLA takes longer to start on TensorFlow; on JAX it compiles the step as one program.
    jit = keras.backend.backend() == "jax" and not run_eagerly
    model.compile("adam", loss=dict.fromkeys(target, "mse"), jit_compile=jit, run_eagerly=run_eagerly)
    # Without it TensorFlow traces the step twice.
    model.optimizer.build(model.trainable_variables)
    old = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_variables]
    loss = model.fit(data, target, batch_size=len(case.inputs[first]), verbose=0).history["loss"]
    assert np.isfinite(loss).all()
    for weight, start in zip(model.trainable_variables, old, strict=True):
        new = keras.ops.convert_to_numpy(weight)
        assert np.isfinite(new).all(), weight.path
        assert not np.array_equal(new, start), f"{weight.path} was not trained"


def check_half_precision(case: Case, layer: keras.layers.Layer, expected: list[Any]) -> None:
    """Under mixed_float16 weights are float32, outputs have their documented dtypes and differ by rounding only."""
    with _policy("mixed_float16"):
        half = case.build()
        half.set_weights(layer.get_weights())
        parts = compiled(half, case.options)(case.inputs)
        symbolic = keras.tree.flatten(half(**shapes_of(case.inputs), **case.options))
    assert tuple(str(part.dtype) for part in parts) == case.half
    assert tuple(part.dtype for part in symbolic) == case.half
    assert all(weight.dtype == "float32" for weight in half.weights)
    _assert_close(parts, expected, 2e-2)


def check_keras_file(case: Case, layer: keras.layers.Layer, folder: Path) -> None:
    """A model with the layer gives the same outputs after a round trip through a `.keras` file."""
    model, data = _model(case, layer), _flat(case.inputs)
    expected = model(data)
    model.save(folder / "model.keras")
    _assert_close(keras.saving.load_model(folder / "model.keras")(data), expected, 0)


def check_saved_model(case: Case, layer: keras.layers.Layer, folder: Path) -> None:
    """On TensorFlow, a model with the layer gives the same outputs as a SavedModel, for other sizes too."""
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    model = _model(case, layer)
    model.export(str(folder / "saved_model"), verbose=False)
    loaded = tf.saved_model.load(str(folder / "saved_model"))  # its functions die with it
    for inputs in (_flat(case.inputs), keras.tree.map_structure(lambda x: x[:2], _flat(_longer(case, 2)))):
        _assert_close(loaded.serve(inputs), model(inputs), TOLERANCE)


def _assert_close(result: Any, expected: Any, tolerance: float) -> None:
    for part, other in zip(outputs(result), outputs(expected), strict=True):
        np.testing.assert_allclose(part, other, rtol=tolerance, atol=tolerance)


def _model(case: Case, layer: keras.layers.Layer, dense: keras.layers.Layer | None = None) -> keras.Model:
    symbolic = _symbolic(case)
    first = next(iter(case.inputs))
    arguments = {**symbolic, first: dense(symbolic[first])} if dense else symbolic
    parts = keras.tree.flatten(layer(**arguments, **case.options))
    # Identities name the outputs, so that each can have a loss.
    named = {f"out{i}": keras.layers.Identity(name=f"out{i}", dtype=x.dtype)(x) for i, x in enumerate(parts)}
    return keras.Model(_flat(symbolic), named)


def _flat(inputs: Inputs) -> dict[str, Any]:
    """Return nested arguments as one dict, for a model with named inputs."""
    return {"_".join(map(str, path)): part for path, part in keras.tree.flatten_with_path(dict(inputs))}


def _symbolic(case: Case) -> Any:
    """Return Keras inputs with dynamic batch, and dynamic time where the argument is masked."""
    symbolic = []
    for path, x in keras.tree.flatten_with_path(dict(case.inputs)):
        shape = x.shape[1:]
        if shape and path[0] in {*case.masks, *case.masks.values()}:
            shape = (None, *shape[1:])
        symbolic.append(keras.Input(shape, name="_".join(map(str, path)), dtype=str(x.dtype)))
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
