"""State of a training at the beginning of an epoch, and the files that hold it.

A training that continues from a checkpoint has the same results, bit for bit, as one that was never interrupted: the
state holds the weights, the states of the random generators, the optimizer with its averaged weights, the best weights
so far and the losses. The order of the batches depends on the seed and the epoch alone.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from tsattn.atomic_io import READ_ERRORS, write_durably
from tsattn.errors import RunError
from tsattn.training.batches import is_first_process

Arrays = list[npt.NDArray[Any]]


@dataclass(frozen=True)
class TrainingState:
    """State of a training.

    Args:
        epoch: Number of finished epochs.
        variables: Variables of the model and the optimizer. Those of a finished training are the result.
        best_weights: Weights after the best epoch, if there are validation windows.
        losses: Training loss of each epoch.
        val_losses: Validation loss of each epoch.
        best: Lowest validation loss; None before the first epoch.
        wait: Epochs since the lowest validation loss.
        lowered: Epochs from which the training was repeated with a lower learning rate, counted from 0.
        finished: Whether the training is over.
        best_epoch: Number of epochs after which the weights of a finished training were best.
        out_of_time: Whether the time limit ended the training.
        interrupted: Whether Ctrl-C ended it.
    """

    epoch: int
    variables: Arrays
    best_weights: Arrays = field(default_factory=list)
    losses: tuple[float, ...] = ()
    val_losses: tuple[float, ...] = ()
    best: float | None = None
    wait: int = 0
    lowered: tuple[int, ...] = ()
    finished: bool = False
    best_epoch: int = 0
    out_of_time: bool = False
    interrupted: bool = False

    def restore(self, model: keras.Model) -> None:
        """Set the variables of a compiled model whose optimizer is built."""
        for variable, value in zip(_variables(model), self.variables, strict=True):
            variable.assign(value)


def _variables(model: keras.Model) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]


def get_variables(model: keras.Model) -> Arrays:
    """Return copies of the variables of a compiled model and its optimizer."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in _variables(model)]


class Checkpoint:
    """The file with the state of one training.

    Args:
        path: The file; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> TrainingState | None:
        """Return the stored state, or None without a stored state or if it is damaged."""
        try:
            with self._path.open("rb") as file, np.load(file) as stored:
                fields = json.loads(str(stored["fields"]))
                groups = {name: [stored[f"{name}{i}"] for i in range(fields.pop(name))] for name in _GROUPS}
                lists = {name: tuple(fields[name]) for name in ("losses", "val_losses", "lowered")}
                return TrainingState(**{**fields, **groups, **lists})
        except READ_ERRORS:
            return None

    def write(self, state: TrainingState) -> None:
        """Replace the stored state; it is on the disk when this returns. Of several processes, the first one writes.

        Raises:
            RunError: It cannot be written.
        """
        if not is_first_process():
            return
        groups = {name: getattr(state, name) for name in _GROUPS}
        fields = asdict(replace(state, variables=[], best_weights=[])) | {name: len(groups[name]) for name in _GROUPS}
        arrays = {f"{name}{i}": value for name, values in groups.items() for i, value in enumerate(values)}
        write_durably(self._path, lambda file: np.savez(file, fields=np.array(json.dumps(fields)), **arrays))


_GROUPS = ("variables", "best_weights")


class Checkpoints:
    """The checkpoints of all trainings of one fit.

    Args:
        folder: An existing folder.
        resume: Whether stored states are continued; otherwise they are replaced.
    """

    def __init__(self, folder: Path, *, resume: bool = False) -> None:
        self._folder = folder
        self._resume = resume
        self._found = False

    def stored(self) -> bool:
        """Return whether there is a state to continue."""
        return any(self._folder.glob("*.npz"))

    def of(self, *parts: object) -> Checkpoint:
        """Return the checkpoint of the training that some values identify, such as its configuration and its data.

        Raises:
            RunError: The states in the folder are those of other trainings.
        """
        path = self._folder / f"{sha256(chr(0).join(map(str, parts)).encode()).hexdigest()[:16]}.npz"
        if not self._resume:
            path.unlink(missing_ok=True)
        elif not (self._found or path.exists()):
            raise RunError(
                f"{self._folder}: holds an interrupted training with other data or options",
                "give the same data and options",
                "leave out {resume} to train from the beginning",
            )
        self._found = True
        return Checkpoint(path)


class StateRecorder(keras.callbacks.Callback):
    """Records the state of a training at the beginning of each epoch, and restores what early stopping knew.

    It ends an epoch whose loss is not finite.

    It has to come after `keras.callbacks.SwapEMAWeights` and early stopping in the list of callbacks.

    Args:
        state: State that the training starts from.
        stopping: Early stopping of the training, if any.
        checkpoint: Stores each state; None keeps it in memory only.
    """

    def __init__(
        self, state: TrainingState, stopping: keras.callbacks.EarlyStopping | None, checkpoint: Checkpoint | None
    ) -> None:
        super().__init__()
        self.state = state
        self._stopping = stopping
        self._checkpoint = checkpoint
        self._losses, self._val_losses = list(state.losses), list(state.val_losses)

    @property
    def losses(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Training and validation losses of all epochs."""
        return tuple(self._losses), tuple(self._val_losses)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._stopping is not None and self.state.best is not None:
            self._stopping.best, self._stopping.wait = self.state.best, self.state.wait
            self._stopping.best_weights = self.state.best_weights

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if epoch == self.state.epoch and epoch > 0:
            return  # the state that the training starts from
        variables, stopping = get_variables(self.model), self._stopping
        if not all(np.isfinite(value).all() for value in variables):
            return  # the loss will not be finite, and the training returns to the former state
        self.state = replace(
            self.state,
            epoch=epoch,
            variables=variables,
            best_weights=list(stopping.best_weights or []) if stopping is not None else [],
            losses=tuple(self._losses),
            val_losses=tuple(self._val_losses),
            best=None if stopping is None else stopping.best,
            wait=0 if stopping is None else stopping.wait,
        )
        if self._checkpoint is not None and epoch > 0:
            self._checkpoint.write(self.state)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if not np.isfinite(float((logs or {}).get("loss", 0.0))):
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        self._losses.append(float(logs["loss"]))
        if "val_loss" in logs:
            self._val_losses.append(float(logs["val_loss"]))
