"""Training on synthetic series: ``python -m tsattn.training.pretraining FOLDER``.

The batch of a step is a function of the seed and the step alone, so that an interrupted training continues where its
last checkpoint was written. The learning rate is constant after a short warm-up, and falls to zero over the last
``--decay`` steps before ``--steps``.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import keras
import numpy as np

from tsattn.layers.pretrained_network import PretrainedNetwork
from tsattn.pretrained.features import Array, Layout
from tsattn.synthetic import GENERATORS, generate
from tsattn.training.fine_tuning import training_example, training_network, weighted_pinball

GROUPS, GROUP = 8, 64
"""Groups of series with the same seasons that are drawn together, and series in a group."""
BATCHES = 4
"""Batches into which the groups are divided, each with a part of every group."""
ORIGINS, STEPS = 8, 6
"""Forecast origins in a series, and steps ahead at each."""
LENGTHS = (16, 48)
"""Lengths of a history, in patches."""
SEASONS: tuple[tuple[tuple[int, int], float], ...] = (
    ((1, 0), 0.22),
    ((4, 0), 0.10),
    ((7, 0), 0.06),
    ((12, 0), 0.18),
    ((24, 0), 0.05),
    ((24, 168), 0.12),
    ((52, 0), 0.04),
    ((48, 336), 0.03),
    ((96, 0), 0.03),
    ((96, 672), 0.05),
    ((288, 0), 0.02),
    ((5, 0), 0.02),
    ((0, 0), 0.08),  # any other
)
MISTAKEN = 0.06
"""Fraction of groups whose series have another season than stated, or none."""
NETWORK = "pretrained_network"
"""Name of the layer in the model that is trained."""
CHECKPOINT_MINUTES = 4
WARM_UP = 300


def draw_layout(rng: np.random.Generator, patches: int) -> Layout:
    """Return random seasons, origins and steps of a group."""
    choice = rng.choice(len(SEASONS), p=[weight for _, weight in SEASONS])
    season, second = SEASONS[choice][0]
    if season == 0:
        season = int(np.exp(rng.uniform(np.log(2), np.log(64))))
    if season >= 96:
        patches = min(patches, int(rng.choice(LENGTHS, p=[0.7, 0.3])))
    longest = int(rng.choice([12, 48])) if season == 1 else min(max(season * int(rng.choice([1, 2, 4])), 8), 240)
    # Few observations are as common as many, but a second season needs a long history.
    early = np.unique(np.floor(np.exp(rng.uniform(0, np.log(patches), 6 * ORIGINS))).astype(int) - 1)
    uniform = rng.permutation(patches)
    origins = list(dict.fromkeys([patches - 1, *rng.permutation(early)[: 0 if second else ORIGINS // 2], *uniform]))[
        :ORIGINS
    ]
    steps = np.exp(rng.uniform(0, np.log(longest + 1), (ORIGINS, STEPS)))
    return Layout(
        season=season,
        second=second,
        patches=patches,
        origins=tuple(sorted(int(origin) for origin in origins)),
        steps=np.minimum(np.floor(steps), longest).astype(int),
        phase=int(rng.integers(0, max(season, second))),
    )


def draw_group(
    rng: np.random.Generator, layout: Layout, size: int, generators: Sequence[str]
) -> tuple[dict[str, Array], Array]:
    """Return inputs and targets of random series; see `training_example`."""
    length = layout.length
    seasons = tuple(season for season in (layout.season, layout.second) if season > 1)
    if rng.random() < MISTAKEN:
        seasons = () if rng.random() < 0.5 else (int(rng.integers(2, 40)),)
    start = layout.phase  # the generators put the first phase at step 0
    series = generate(size, start + length + int(layout.steps.max()), seasons, seed=rng, generators=generators)[
        :, start:
    ]
    observed = np.ones(series.shape, bool)
    missing = (rng.random((size, 1)) < 0.12) & (rng.random(series.shape) < rng.uniform(0, 0.3, (size, 1)))
    observed[missing] = False
    # The history begins somewhere in the first patch.
    observed[np.arange(series.shape[1])[None] < rng.integers(0, layout.patch, (size, 1))] = False
    return training_example(series, observed, layout)


def draw_batches(
    seed: int, number: int, generators: Sequence[str] = tuple(GENERATORS)
) -> list[tuple[dict[str, Array], Array]]:
    """Return `BATCHES` batches: inputs, and targets and weights `(batch, origins, steps, 2)`."""
    rng = np.random.default_rng([seed, number])
    patches = int(rng.choice(LENGTHS, p=[0.6, 0.4]))
    groups: list[tuple[dict[str, Array], Array]] = []
    while len(groups) < GROUPS:
        layout = draw_layout(rng, patches)
        if layout.patches == patches and 2 * layout.second <= layout.length:
            groups.append(draw_group(rng, layout, GROUP, generators))
    inputs = {name: np.concatenate([group[0][name] for group in groups]) for name in groups[0][0]}
    targets = np.concatenate([targets for _, targets in groups])
    parts = [slice(first, None, BATCHES) for first in range(BATCHES)]
    return [({name: value[part] for name, value in inputs.items()}, targets[part]) for part in parts]


def batches(
    seed: int, first: int, generators: Sequence[str] = tuple(GENERATORS)
) -> Iterator[tuple[dict[str, Array], Array]]:
    """Yield the batches from a step on, which a thread prepares."""
    ready: queue.Queue[Any] = queue.Queue(maxsize=8)

    def produce() -> None:
        step = first
        while True:
            for batch in draw_batches(seed, step // BATCHES, generators)[step % BATCHES :]:
                ready.put(batch)
                step += 1

    threading.Thread(target=produce, daemon=True).start()
    while True:
        yield ready.get()


def learning_rate(step: int, peak: float, steps: int, decay: int) -> float:
    """Return the rate of a step: warm-up, constant, linear decay over the last ``decay`` steps."""
    return peak * min(1.0, (step + 1) / WARM_UP) * min(1.0, max(steps - step, 0) / max(decay, 1))


def network_weights(model: keras.Model) -> dict[str, Array]:
    """Return the moving averages of the weights by name, float16, as the forecasts with NumPy read them."""
    names = model.get_layer(NETWORK).named_variables()
    averages = model.optimizer._model_variables_moving_average
    return {name: np.asarray(average).astype("float16") for name, average in zip(names, averages, strict=True)}


def _save(folder: Path, model: keras.Model) -> None:
    """Write the checkpoint and the weights; a file is replaced as a whole."""
    model.save(folder / "checkpoint.new.keras")
    np.savez_compressed(folder / "weights.new.npz", allow_pickle=False, **network_weights(model))
    os.replace(folder / "checkpoint.new.keras", folder / "checkpoint.keras")
    os.replace(folder / "weights.new.npz", folder / "weights.npz")


def _read_losses(file: Path, step: int) -> list[dict[str, float]]:
    """Return the loss curve until a step; the steps after the last checkpoint are computed again."""
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [line for line in lines if line["step"] <= step]


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--steps", default=12_000, show_default=True, help="Steps of the whole training.")
@click.option("--decay", default=3_000, show_default=True, help="Last steps, over which the rate falls to zero.")
@click.option("--width", default=128, show_default=True, help="Units of every layer.")
@click.option("--rate", default=1.5e-3, show_default=True, help="Learning rate.")
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--without", multiple=True, type=click.Choice(list(GENERATORS)), help="Leave a generator out; repeatable."
)
def main(folder: Path, steps: int, decay: int, width: int, rate: float, seed: int, without: tuple[str, ...]) -> None:
    """Train the network, or continue a training in FOLDER.

    FOLDER gets the checkpoint, the loss curve and weights.npz, float16.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "checkpoint.keras").exists():
        model = keras.saving.load_model(folder / "checkpoint.keras")
    else:
        keras.utils.set_random_seed(seed)
        model = training_network(PretrainedNetwork(width, name=NETWORK))
        optimizer = keras.optimizers.AdamW(
            rate, weight_decay=1e-3, global_clipnorm=1.0, use_ema=True, ema_momentum=0.999
        )
        model.compile(optimizer, weighted_pinball)
    first = int(model.optimizer.iterations)
    curve = _read_losses(folder / "loss.jsonl", first)
    seconds = curve[-1]["seconds"] if curve else 0.0
    click.echo(f"{model.count_params()} parameters, from step {first}")
    saved = shown = time.monotonic()
    losses: list[float] = []
    drawn = batches(seed, first, [name for name in GENERATORS if name not in without])
    for step, (batch, targets) in enumerate(itertools.islice(drawn, max(steps - first, 0)), first + 1):
        model.optimizer.learning_rate.assign(learning_rate(step - 1, rate, steps, decay))
        losses.append(float(model.train_on_batch(batch, targets)))
        now = time.monotonic()
        if now - shown > 60 or step == steps:
            seconds, shown = seconds + now - shown, now
            curve.append({"step": step, "seconds": round(seconds), "loss": round(float(np.mean(losses)), 5)})
            click.echo(curve[-1])
            losses = []
            (folder / "loss.jsonl").write_text("".join(json.dumps(line) + "\n" for line in curve))
        if now - saved > 60 * CHECKPOINT_MINUTES or step == steps:
            _save(folder, model)
            saved = now


if __name__ == "__main__":
    main()
