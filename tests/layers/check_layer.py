"""The one check that every public layer goes through."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras_help import built, compiled, outputs, shapes_of, with_random_weights

Make = Callable[[], keras.layers.Layer]
Inputs = Mapping[str, Any]

CLOSE = 1e-5
GARBAGE = (np.nan, np.inf, 1e4)


def check_layer(
    make: Make,
    inputs: Inputs,
    folder: Path,
    *,
    mask_argument: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    half: tuple[str, ...] = ("float16",),
    empty_gives_zero: tuple[int, ...] = (),
    batched: bool = True,
) -> None:
    """Check a layer as a user meets it; the arguments are those of `case.Case`, ``folder`` an empty one."""
    masks, options = dict(mask_argument or {}), dict(options or {})
    layer = with_random_weights(built(make(), inputs, options))
    check_config(layer, inputs, options)
    check_shapes(make, inputs, masks, options, batched)
    check_padding(layer, inputs, masks, options, empty_gives_zero)
    if batched:
        check_fit(make, inputs, masks, options)
    check_half(make, inputs, options, half)
    check_saved(layer, inputs, masks, options, folder)


def check_config(layer: keras.layers.Layer, inputs: Inputs, options: Inputs) -> None:
    """The config makes the same layer again, and serializes the same."""
    config = keras.saving.serialize_keras_object(layer)
    twin = built(keras.saving.deserialize_keras_object(config), inputs, options)
    twin.set_weights(layer.get_weights())
    _assert_same(compiled(twin, options)(inputs), compiled(layer, options)(inputs), 0)
    assert keras.saving.serialize_keras_object(twin)["config"] == config["config"]


def check_shapes(make: Make, inputs: Inputs, masks: Mapping[str, str], options: Inputs, batched: bool = True) -> None:
    """What Keras is told of shapes and dtypes is what comes out, with batch and time known and unknown."""
    eager = compiled(built(make(), inputs, options), options)(inputs)
    fixed = keras.tree.flatten(make()(**shapes_of(inputs), **options))
    for shown, real in zip(fixed, eager, strict=True):
        assert (tuple(shown.shape), shown.dtype) == (real.shape, str(real.dtype))
    free = keras.tree.flatten(make()(**_symbolic(inputs, masks), **options))
    for shown, real in zip(free, eager, strict=True):
        assert len(shown.shape) == len(real.shape)
        assert (shown.shape[0] is None) == batched
        assert all(a in (None, b) for a, b in zip(shown.shape, real.shape, strict=True))


def check_padding(
    layer: keras.layers.Layer,
    inputs: Inputs,
    masks: Mapping[str, str],
    options: Inputs,
    empty_gives_zero: tuple[int, ...],
) -> None:
    """Content of the padding, more padding and a row of nothing but padding never change what is valid."""
    if not masks:
        return
    call = compiled(layer, options)
    base = call(inputs)
    assert all(np.isfinite(part).all() for part in base)
    for content in GARBAGE:
        _assert_same(call(_filled(inputs, masks, content)), base, 0)
        longer = _filled(_longer(inputs, masks, 3), masks, content)
        for part, known in zip(call(longer), base, strict=True):
            valid = tuple(slice(size) for size in known.shape)
            np.testing.assert_allclose(part[valid], known, rtol=CLOSE, atol=CLOSE)
            rest = part.copy()
            rest[valid] = 0
            assert not rest.any(), "padded steps of the output must be 0"
        emptied = _filled(_emptied(inputs, masks), masks, content)
        for position, (part, known) in enumerate(zip(call(emptied), base, strict=True)):
            assert np.isfinite(part).all()
            np.testing.assert_allclose(part[1:], known[1:], rtol=CLOSE, atol=CLOSE)
            if position in empty_gives_zero:
                assert not part[0].any(), "a row that is all padding must give 0"


def check_fit(make: Make, inputs: Inputs, masks: Mapping[str, str], options: Inputs) -> None:
    """One step of training: finite loss, and all weights move, with NaN in the padding.

    A Dense layer stands before what has no weights of its own; a gradient reaches it through the layer.
    """
    layer = built(make(), inputs, options)
    first = next(iter(inputs))
    before = None if layer.trainable_variables else keras.layers.Dense(inputs[first].shape[-1])
    model = _model(layer, inputs, masks, options, before)
    data = _flat(inputs if before else _filled(inputs, masks, np.nan))
    # Outputs of whole numbers have no gradient.
    shapes = {name: part.shape for name, part in model(data).items() if "float" in str(part.dtype)}
    rng = np.random.default_rng(1)
    target = {name: rng.normal(size=shape).astype("float32") for name, shape in shapes.items()}
    # Without XLA on TensorFlow, where it takes longer to start; on JAX it is what makes one program of the step.
    model.compile("adam", loss=dict.fromkeys(target, "mse"), jit_compile=keras.backend.backend() == "jax")
    # Or TensorFlow traces the step twice.
    model.optimizer.build(model.trainable_variables)
    old = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_variables]
    loss = model.fit(data, target, batch_size=len(inputs[first]), verbose=0).history["loss"]
    assert np.isfinite(loss).all()
    for weight, start in zip(model.trainable_variables, old, strict=True):
        moved = keras.ops.convert_to_numpy(weight)
        assert np.isfinite(moved).all(), weight.path
        assert not np.array_equal(moved, start), f"{weight.path} was not trained"


def check_half(make: Make, inputs: Inputs, options: Inputs, half: tuple[str, ...]) -> None:
    """Under mixed_float16 the layer keeps float32 weights, gives the dtypes it should, and rounds at most."""
    full = built(make(), inputs, options)
    known = compiled(full, options)(inputs)
    with _policy("mixed_float16"):
        layer = built(make(), inputs, options)
        layer.set_weights(full.get_weights())
        parts = compiled(layer, options)(inputs)
        shown = keras.tree.flatten(layer(**shapes_of(inputs), **options))
    assert tuple(str(part.dtype) for part in parts) == half
    assert tuple(part.dtype for part in shown) == half
    assert all(weight.dtype == "float32" for weight in layer.weights)
    _assert_same(parts, known, 2e-2)


def check_saved(
    layer: keras.layers.Layer, inputs: Inputs, masks: Mapping[str, str], options: Inputs, folder: Path
) -> None:
    """A model with the layer gives the same after ``.keras`` and, on TensorFlow, as a SavedModel."""
    model, data = _model(layer, inputs, masks, options), _flat(inputs)
    known = model(data)
    model.save(folder / "model.keras")
    _assert_same(keras.saving.load_model(folder / "model.keras")(data), known, 0)
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    model.export(str(folder / "saved_model"), verbose=False)
    loaded = tf.saved_model.load(str(folder / "saved_model"))  # its functions die with it
    _assert_same(loaded.serve(data), known, CLOSE)
    # The signature is dynamic: other sizes of batch and, where it is padded, of time.
    other = keras.tree.map_structure(lambda x: x[:2], _flat(_longer(inputs, masks, 2)))
    _assert_same(loaded.serve(other), model(other), CLOSE)


def _assert_same(result: Any, known: Any, tolerance: float) -> None:
    for part, other in zip(outputs(result), outputs(known), strict=True):
        np.testing.assert_allclose(part, other, rtol=tolerance, atol=tolerance)


def _model(
    layer: keras.layers.Layer,
    inputs: Inputs,
    masks: Mapping[str, str],
    options: Inputs,
    before: keras.layers.Layer | None = None,
) -> keras.Model:
    symbolic = _symbolic(inputs, masks)
    first = next(iter(inputs))
    arguments = {**symbolic, first: before(symbolic[first])} if before else symbolic
    parts = keras.tree.flatten(layer(**arguments, **options))
    # Named through identities, so that losses can be told apart.
    named = {f"out{i}": keras.layers.Identity(name=f"out{i}", dtype=x.dtype)(x) for i, x in enumerate(parts)}
    return keras.Model(_flat(symbolic), named)


def _flat(inputs: Inputs) -> dict[str, Any]:
    """Nested arguments as one dict, as a model with named inputs takes them."""
    return {"_".join(map(str, path)): part for path, part in keras.tree.flatten_with_path(dict(inputs))}


def _symbolic(inputs: Inputs, masks: Mapping[str, str]) -> Any:
    """Keras inputs of the same kinds, with the time of what is padded left open."""
    symbolic = []
    for path, x in keras.tree.flatten_with_path(dict(inputs)):
        shape = x.shape[1:]
        if shape and path[0] in {*masks, *masks.values()}:
            shape = (None, *shape[1:])
        symbolic.append(keras.Input(shape, name="_".join(map(str, path)), dtype=str(x.dtype)))
    return keras.tree.pack_sequence_as(dict(inputs), symbolic)


def _longer(inputs: Inputs, masks: Mapping[str, str], steps: int) -> dict[str, Any]:
    """Inputs with masked steps appended."""
    longer = dict(inputs)
    for name in {*masks, *masks.values()}:
        if np.ndim(longer[name]) > 1:
            longer[name] = np.pad(longer[name], [(0, 0), (0, steps), *[(0, 0)] * (np.ndim(longer[name]) - 2)])
    return longer


def _filled(inputs: Inputs, masks: Mapping[str, str], content: float) -> dict[str, Any]:
    """Inputs with ``content`` wherever they are masked."""
    filled = dict(inputs)
    for name, mask_name in masks.items():
        mask, values = np.asarray(inputs[mask_name]), inputs[name]
        if mask.ndim == 1:  # lengths
            mask = np.arange(values.shape[1]) < mask[:, None]
        keep = mask.reshape(*mask.shape, *[1] * (values.ndim - mask.ndim)) > 0
        filled[name] = np.where(keep, values, np.float32(content))
    return filled


def _emptied(inputs: Inputs, masks: Mapping[str, str]) -> dict[str, Any]:
    """Inputs whose first row is all padding."""
    emptied = dict(inputs)
    for name in masks.values():
        emptied[name] = np.array(inputs[name])
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
