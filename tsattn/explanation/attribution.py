"""The inputs on which a forecast depends: attention over past steps with a faithfulness check, permuted covariates.

`attention_maps` returns the attention weights of every layer of a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn.forecasting.fitted import FittedForecaster
from tsattn.layers import GraphAttention, TransformerDecoderBlock, TransformerEncoderBlock
from tsattn.layers.ops import Tensor
from tsattn.models import resolve_options
from tsattn.models.combination import COMBINATION_LAYER
from tsattn.models.options import ZeroShotOptions
from tsattn.models.transformer import DecoderAttention, TransformerDecoder
from tsattn.pretrained.features import CANDIDATES
from tsattn.pretrained.zero_shot import NetworkWeights, network_weights
from tsattn.scoring.comparison import batch_rows
from tsattn.timeseries.calendar import calendar_feature_names
from tsattn.timeseries.frames import series_names
from tsattn.timeseries.panel import WIDE_ID, Panel
from tsattn.timeseries.ragged import Floats, Ints
from tsattn.timeseries.windows import (
    ATTENTION,
    FUTURE_COVARIATES,
    KEY_STEPS,
    OBSERVED,
    PAST,
    PAST_COVARIATES,
    QUANTILES,
    QUERY_STEPS,
    TARGET,
    TARGET_OBSERVED,
    WEIGHTS,
    Batch,
    Windows,
    WindowSpec,
    gather,
)

ATTENTION_LAYERS = (TransformerEncoderBlock, TransformerDecoderBlock, GraphAttention)
"""Layers that return their attention weights after their output."""


MAX_SERIES = 6
"""Series whose attention is returned."""
MASKED_FRACTION = 0.2
"""Fraction of the keys that the faithfulness check masks."""
DRAWS = 10
"""Random choices of as many keys."""
_MAX_CHECKED = 16
"""Series on which the check is made."""


def _outputs_of(model: keras.Model, spec: WindowSpec, batch: Batch, names: Sequence[str]) -> Batch:
    """Return some outputs of an inference model, computed in parts of bounded memory."""
    rows, size = len(next(iter(batch.values()))), batch_rows(model, spec)
    parts = []
    for begin in range(0, rows, size):
        outputs = model({name: values[begin : begin + size] for name, values in batch.items()}, training=False)
        parts.append({name: keras.ops.convert_to_numpy(outputs[name]) for name in names})
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def _history_spread(batch: Batch) -> Floats:
    """Return the standard deviation of the observed history, [windows, targets]; 1 where it is 0."""
    seen = batch[OBSERVED] > 0
    count = np.maximum(seen.sum(axis=1), 1)
    mean = batch[PAST].sum(axis=1, where=seen) / count
    spread = np.sqrt(((batch[PAST] - mean[:, None]) ** 2).sum(axis=1, where=seen) / count)
    return np.asarray(np.where(spread > 0, spread, 1.0))


def first_series(panel: Panel) -> Panel:
    """Return the series of a panel whose attention is returned."""
    return panel.take(np.arange(min(len(panel), MAX_SERIES)))


def attention_of(fitted: FittedForecaster, panel: Panel, pretrained: NetworkWeights | None) -> pd.DataFrame | None:
    """Return the attention weights of the forecasts that follow a panel.

    Args:
        fitted: The forecaster.
        panel: A few series.
        pretrained: Result of `pretrained_weights`, whose attention is that of a model without another one.

    Returns:
        One row per series, forecast step, head and past steps that a key covers: ``unique_id``, ``ds``, ``head`` (from
        1), ``first`` and ``last`` (timestamps of the past steps), ``steps_back`` (from the forecast origin to the last
        of them, 1 for the last observed step), ``weight``. The weights of a step and head have the sum 1. None for a
        model without attention over past steps.
    """
    if ATTENTION not in fitted.model.output:
        return None if pretrained is None else _pretrained_attention(fitted, panel, pretrained)
    outputs = _outputs_of(fitted.model, fitted.spec, _window(fitted, panel), (ATTENTION, KEY_STEPS, QUERY_STEPS))
    by_target = outputs[ATTENTION].shape[1] == len(fitted.spec.targets)
    weights = outputs[ATTENTION][:, :MAX_SERIES]
    channels = weights.shape[1]
    start = panel.lengths - np.minimum(panel.lengths, fitted.spec.context)
    keys = outputs[KEY_STEPS]
    keys = np.where(keys >= 0, keys + start[:, None, None], -1)
    names = series_names(panel) if by_target else panel.ids
    names = ("all targets",) if names == (WIDE_ID,) else names
    names = tuple(np.reshape(names, (len(panel), -1))[:, :channels].ravel())
    return _frame(panel, names, np.repeat(np.arange(len(panel)), channels), weights, keys, outputs[QUERY_STEPS][0])


def pretrained_weights(fitted: FittedForecaster, panel: Panel) -> NetworkWeights | None:
    """Return the weights of the pretrained network, if the forecast combines it; else None."""
    options = resolve_options(fitted.config.model)[1]
    if WEIGHTS not in fitted.model.output or not isinstance(options, ZeroShotOptions):
        return None
    recent = panel.tail(fitted.spec.context)
    series = [recent.series[index][:, channel] for index in range(len(panel)) for channel in range(len(panel.targets))]
    variables = fitted.model.get_layer(COMBINATION_LAYER).network.network.named_variables()
    weights = {name: keras.ops.convert_to_numpy(variable) for name, variable in variables.items()}
    return network_weights(series, fitted.spec.horizon, options.seasons(fitted.spec.season), weights)


def forecasters_of(panel: Panel, found: NetworkWeights) -> pd.DataFrame:
    """Return the weights of the candidate forecasts in the median of the pretrained network, before its residual.

    Args:
        panel: A few series.
        found: Result of `pretrained_weights` for them.

    Returns:
        One row per series, forecast step and candidate: ``unique_id``, ``ds``, ``forecaster``, ``weight``.
    """
    count, horizon, _ = found.candidates.shape
    series = np.repeat(np.arange(len(panel)), len(panel.targets))
    frame = _steps_frame(panel, series_names(panel), series, horizon, len(CANDIDATES))
    frame = frame.assign(forecaster=np.tile(CANDIDATES, count * horizon), weight=found.candidates.ravel())
    # A candidate that cannot be computed, as of a second season, has no weight anywhere.
    return frame[np.tile((found.candidates > 0).any(axis=(0, 1)), count * horizon)].reset_index(drop=True)


def check_faithfulness(fitted: FittedForecaster, panel: Panel, seed: int = 0) -> pd.DataFrame | None:
    """Mask the most attended past steps, and as many random ones, and compare how far the forecast moves.

    A fifth of the keys is masked: the values that they cover count as missing. The attention of a model explains its
    forecast as far as the forecast moves more than for random keys (Jain and Wallace 2019; DeYoung et al. 2020).

    Returns:
        ``masked`` ("most attended" or "random"), ``change`` (mean absolute change of the median, in standard deviations
        of the history), ``spread`` (standard deviation over the random draws). None without attention.
    """
    if ATTENTION not in fitted.model.output:
        return None
    panel = panel.take(np.arange(min(len(panel), _MAX_CHECKED)))
    batch = _window(fitted, panel)
    found = _outputs_of(fitted.model, fitted.spec, batch, (QUANTILES, ATTENTION, KEY_STEPS))
    keys = found[KEY_STEPS]
    importance = found[ATTENTION].mean(axis=(2, 3))
    importance = np.broadcast_to(importance, (len(panel), len(fitted.spec.targets), importance.shape[-1]))
    valid = np.broadcast_to((keys[..., 0] >= 0)[:, None], importance.shape)
    rng = np.random.default_rng(seed)
    orders = [np.where(valid, importance, -1.0)]
    orders += [np.where(valid, rng.random(importance.shape), -1.0) for _ in range(DRAWS)]
    masked = [_mask(batch, _chosen_steps(order, valid, keys, fitted.spec.context)) for order in orders]
    whole = {name: np.concatenate([part[name] for part in masked]) for name in batch}
    median = fitted.spec.median
    moved = _outputs_of(fitted.model, fitted.spec, whole, (QUANTILES,))[QUANTILES][..., median]
    change = np.abs(moved.reshape(len(orders), *found[QUANTILES].shape[:-1]) - found[QUANTILES][..., median])
    by_order = (change.mean(axis=2) / _history_spread(batch)).mean(axis=(1, 2))
    return pd.DataFrame(
        {
            "masked": ["most attended", "random"],
            "change": [by_order[0], by_order[1:].mean()],
            "spread": [0.0, by_order[1:].std()],
        }
    )


def _window(fitted: FittedForecaster, panel: Panel) -> Batch:
    return gather(panel, fitted.spec, np.arange(len(panel), dtype=np.int64), panel.lengths, target=False)


def _chosen_steps(order: Floats, valid: npt.NDArray[np.bool_], keys: Ints, context: int) -> npt.NDArray[np.bool_]:
    """Return the steps of the keys that come first, [series, context, targets]."""
    count = np.maximum(np.round(MASKED_FRACTION * valid.sum(axis=2)), 1)
    rank = np.argsort(np.argsort(-order, axis=2), axis=2)
    chosen = (rank < count[..., None]) & valid
    steps = np.arange(context)
    covered = (steps >= keys[..., :1]) & (steps <= keys[..., 1:]) & (keys[..., :1] >= 0)
    return np.asarray(np.einsum("nck,nkt->ntc", chosen, covered), dtype=np.bool_)


def _mask(batch: Batch, steps: npt.NDArray[np.bool_]) -> Batch:
    return {**batch, PAST: np.where(steps, 0, batch[PAST]), OBSERVED: np.where(steps, 0, batch[OBSERVED])}


def _pretrained_attention(fitted: FittedForecaster, panel: Panel, found: NetworkWeights) -> pd.DataFrame:
    layout, channels = found.layout, len(panel.targets)
    ends = np.asarray(layout.ends)
    steps = np.stack([ends - layout.patch + 1, ends], axis=-1) - layout.length
    keys = panel.lengths[:, None, None] + steps
    keys = np.where(keys[..., 1:] < 0, -1, np.maximum(keys, 0))
    weights = found.attention.reshape(len(panel), channels, *found.attention.shape[1:])
    queries = np.tile(np.arange(fitted.spec.horizon)[:, None], (1, 2))
    return _frame(panel, series_names(panel), np.repeat(np.arange(len(panel)), channels), weights, keys, queries)


def _frame(
    panel: Panel, names: tuple[str, ...], series: Ints, weights: Floats, keys: Ints, queries: Ints
) -> pd.DataFrame:
    """Return attention weights [series, channels, heads, queries, keys] as a long frame."""
    rows, channels, heads, _, width = weights.shape
    query_of = np.concatenate([np.full(last - first + 1, number) for number, (first, last) in enumerate(queries)])
    by_step = weights[:, :, :, query_of].swapaxes(2, 3)
    horizon = len(query_of)
    frame = _steps_frame(panel, names, series, horizon, heads * width)
    starts = panel.starts[:, None, None] + np.maximum(keys, 0)
    shape = (rows, channels, horizon, heads, width)
    first, last = (
        panel.grid.times(np.broadcast_to(starts[:, None, None, None, :, end], shape).ravel()) for end in (0, 1)
    )
    head = np.broadcast_to(np.arange(1, heads + 1)[:, None], shape).ravel()
    back = np.broadcast_to((panel.lengths[:, None] - keys[..., 1])[:, None, None, None], shape).ravel()
    frame = frame.assign(head=head, first=first, last=last, steps_back=back, weight=by_step.ravel())
    valid = np.broadcast_to((keys[..., 0] >= 0)[:, None, None, None], shape).ravel()
    return frame[valid].reset_index(drop=True)


def _steps_frame(panel: Panel, names: tuple[str, ...], series: Ints, horizon: int, repeats: int) -> pd.DataFrame:
    """Return ``unique_id`` and ``ds`` of the steps ahead of each channel, ``repeats`` rows for each step."""
    ends = (panel.starts + panel.lengths)[series]
    times = panel.grid.times(np.repeat((ends[:, None] + np.arange(horizon)).ravel(), repeats))
    ids: Any = pd.Series(np.repeat(np.asarray(names, dtype=object), horizon * repeats), dtype="str")
    return pd.DataFrame({"unique_id": ids, "ds": times})


REPEATS = 5
"""Permutations of each covariate."""
MAX_WINDOWS = 64
_MIN_WINDOWS = 4

Permute = Callable[[Batch, Ints], Batch]


def covariate_importance(fitted: FittedForecaster, panel: Panel, seed: int = 0) -> pd.DataFrame | None:
    """Permute each covariate between the windows at the end of a panel, and compare the errors of the forecasts.

    This is the permutation importance of Breiman 2001 (Random Forests), by windows: past and future values of a
    covariate are replaced by those of another window. The windows are the last two horizons of each series, or the
    validation part if that is longer. The features of the calendar are one covariate.

    Returns:
        ``covariate``, ``increase`` (of the mean absolute error of the median, relative to that with the true values;
        the mean over the permutations), ``spread`` (its standard deviation), ``windows``; largest first. None without
        covariates or windows.
    """
    spec = fitted.spec
    groups = dict(_groups(fitted, panel))
    steps = max(2 * spec.horizon, fitted.config.data.validation or 0)
    windows = Windows.in_last_steps(panel, spec, steps, MAX_WINDOWS)
    index = np.arange(min(len(windows), 2 * MAX_WINDOWS), dtype=np.int64)
    if not groups or len(index) < _MIN_WINDOWS:
        return None
    batch = windows.gather(index)
    target, known = batch.pop(TARGET), batch.pop(TARGET_OBSERVED) > 0
    if not known.any():
        return None

    def errors(batch: Batch) -> Floats:
        """Return the error of each copy of the windows, each series relative to the spread of its history."""
        median = _outputs_of(fitted.model, spec, batch, (QUANTILES,))[QUANTILES][..., spec.median]
        relative = np.abs(median.reshape(-1, *target.shape) - target) / spread[:, None]
        return np.asarray(np.where(known, relative, 0).sum(axis=(1, 2, 3)) / known.sum())

    spread = _history_spread(batch)
    rng = np.random.default_rng(seed)
    orders = np.concatenate([rng.permutation(len(index)) for _ in range(REPEATS)])
    copies = {name: np.concatenate([values] * REPEATS) for name, values in batch.items()}
    base, rows = float(errors(batch)[0]), []
    for name, permute in groups.items():
        increase = errors(permute(copies, orders)) / max(base, 1e-12) - 1
        rows.append({"covariate": name, "increase": increase.mean(), "spread": increase.std()})
    frame = pd.DataFrame(rows).assign(windows=len(index))
    return frame.sort_values("increase", ascending=False, ignore_index=True)


def _groups(fitted: FittedForecaster, panel: Panel) -> Iterator[tuple[str, Permute]]:
    """Yield the name of each covariate and a function that permutes it between windows."""
    spec, schema = fitted.spec, fitted.schema
    columns = {name: schema.feature_names(name) for name in schema.covariates}
    for name, features in {**columns, "calendar": calendar_feature_names(schema)}.items():
        chosen = [number for number, feature in enumerate(spec.past_covariates) if feature in features]
        if chosen:
            yield name, _permute_features(chosen, len(spec.future_covariates))
    for static in spec.static if len(panel) > 1 else ():
        yield static.name, _permute_static(static.input)


def _permute_features(chosen: list[int], futures: int) -> Permute:
    def permute(batch: Batch, order: Ints) -> Batch:
        past = batch[PAST_COVARIATES].copy()
        past[..., chosen] = past[order][..., chosen]
        changed = {**batch, PAST_COVARIATES: past}
        ahead = [number for number in chosen if number < futures]
        if ahead:
            future = batch[FUTURE_COVARIATES].copy()
            future[..., ahead] = future[order][..., ahead]
            changed[FUTURE_COVARIATES] = future
        return changed

    return permute


def _permute_static(name: str) -> Permute:
    return lambda batch, order: {**batch, name: batch[name][order]}


def attention_maps(model: keras.Model) -> keras.Model:
    """Return a model with the same inputs and weights whose outputs are the attention weights of every layer.

    The outputs are lists of maps `(rows, heads, queries, keys)` by layer name: the self-attention of a Transformer
    encoder block; the self-attention and cross-attention of a decoder block; the attention between nodes of graph
    attention. `rows` is batch times context scales, for a Transformer also times independent channels. Names of
    ensemble members are prefixed, `member/layer`, as are the blocks of an autoregressive decoder, `decoder/block_0`.
    """
    maps: dict[str, list[Tensor]] = {}

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, keras.Model):
            inner = attention_maps(layer)
            maps.update({f"{layer.name}/{name}": weights for name, weights in inner(*args, **kwargs).items()})
        outputs = layer(*args, **kwargs)
        if isinstance(layer, TransformerDecoder):
            arguments = {name: kwargs[name] for name in ("features", "memory_mask") if name in kwargs}
            inner = DecoderAttention(layer)(outputs[0], *args, **arguments)
            maps.update({f"{layer.name}/block_{number}": list(pair) for number, pair in enumerate(inner)})
        if isinstance(layer, ATTENTION_LAYERS) and isinstance(outputs, list | tuple):
            maps[layer.name] = list(outputs[1:])
        return outputs

    clone = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
    return keras.Model(clone.input, maps, name=f"{model.name}_maps")
