"""Forecasts of partitions: one function from an Arrow table of whole series to an Arrow table of their forecasts."""

from __future__ import annotations

import json
import logging
import time
import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pa_parquet

from tsattn.batch.partitions import Partition, divide, file_system_errors, list_files, open_file_system, write_file
from tsattn.config import RunConfig
from tsattn.data.loader import load
from tsattn.data.table import FILE, FRAME
from tsattn.engines import Engine, LocalProcesses
from tsattn.errors import DataError, DataWarning, RunError
from tsattn.timeseries.characteristics import combined_seasons
from tsattn.timeseries.schema import Schema

PLAN = "_plan.json"
"""File in the output folder that names data and partitions, by which an interrupted command continues."""

_logger = logging.getLogger(__name__)

TableFunction = Callable[[pa.Table], pa.Table]


class Source(Hashable, Protocol):
    """A forecaster that is sent to each process and opened there once. Sources can be hashed and pickled."""

    open_seconds: ClassVar[float]
    """Seconds that a new process takes to open it, about; docs/scale.md has measurements."""

    @property
    def schema(self) -> Schema:
        """How the series are read."""
        ...

    def open(self) -> TableFunction:
        """Return the function from whole series to their forecasts, both as rows of an Arrow table."""
        ...


@dataclass(frozen=True)
class FittedSource:
    """The forecaster of a run directory that every worker can read.

    Args:
        run: The run directory.
        schema_text: Its schema as JSON.
        hashes: Hashes of its files as JSON.
        levels: Quantile levels; None for those of the run.
        horizon: Steps to forecast; None for the horizon of the run.
        cutoff: Last timestamp of the history; None for the end of the data.
        recursive: Whether the horizon may be longer than that of the run.
        modules: Module that registers the model, if it is a custom one.
    """

    open_seconds: ClassVar[float] = 6.0

    run: str
    schema_text: str
    hashes: str
    levels: tuple[float, ...] | None = None
    horizon: int | None = None
    cutoff: str | None = None
    recursive: bool = False
    modules: tuple[str, ...] = ()

    @classmethod
    def read(cls, run: Path, *, verify: bool = True, **request: Any) -> FittedSource:
        """Return the source of a run directory.

        Raises:
            ConfigError: The model is registered in a script, which other processes cannot import.
            RunError: The run is missing, incomplete or changed.
        """
        from tsattn.forecasting.run_metadata import RunMetadata
        from tsattn.models.registry import registering_modules

        metadata = RunMetadata.read(run, verify=verify)
        hashes = json.dumps(metadata.manifest, sort_keys=True)
        modules = registering_modules([str(metadata.config.model["name"])])
        return cls(str(run.resolve()), metadata.schema.to_json(), hashes, modules=modules, **request)

    @property
    def schema(self) -> Schema:
        """How the series are read."""
        return Schema.from_json(self.schema_text)

    def open(self) -> TableFunction:
        """Return the function from whole series to their forecasts."""
        from tsattn.forecasting.fitted import read_run
        from tsattn.forecasting.prediction import PredictionRequest, predict
        from tsattn.models.registry import import_modules

        import_modules(self.modules)
        fitted = read_run(Path(self.run), verify=False)
        request = PredictionRequest(
            levels=self.levels, horizon=self.horizon, cutoff=self.cutoff, recursive=self.recursive
        )
        return lambda table: _to_arrow(predict(fitted, table.to_pandas(), request).frame)


@dataclass(frozen=True)
class ZeroShotSource:
    """Forecasts without training.

    Args:
        schema_text: How the series are read, as JSON.
        config_text: The configuration as JSON.
        seasons: Season lengths.
    """

    open_seconds: ClassVar[float] = 1.0

    schema_text: str
    config_text: str
    seasons: tuple[int, ...]

    @classmethod
    def infer(cls, data: Path | str, config: RunConfig) -> tuple[ZeroShotSource, list[Partition]]:
        """Infer from the first files how all are read; two of them show whether each file is a series.

        Args:
            data: A folder or a pattern of files, or a URL of an fsspec file system with Parquet files.
            config: The configuration.

        Returns:
            The source and the partitions of the data.

        Raises:
            DataError: They cannot be read as series.
        """
        files, options = list_files(data), config.data.read_options
        source = cls._infer(divide(files[:2], (), options), config)
        partitions = divide(files, source.schema.id, options)
        # If series have rows in several files, a file holds only a part of a history.
        if partitions[0].column is not None:
            source = cls._infer(partitions[:1], config)
        return source, partitions

    @classmethod
    def _infer(cls, partitions: list[Partition], config: RunConfig) -> ZeroShotSource:
        frames = [partition.read(config.data.read_options) for partition in partitions]
        frame = (
            pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0].drop(columns=FILE, errors="ignore")
        )
        panel, schema = load(frame, config.data)
        seasons = combined_seasons(panel, schema, given=config.data.season is not None)
        return cls(schema.to_json(), config.model_dump_json(), seasons)

    @property
    def schema(self) -> Schema:
        """How the series are read."""
        return Schema.from_json(self.schema_text)

    def open(self) -> TableFunction:
        """Return the function from whole series to their forecasts."""
        from tsattn.forecasting.combination import forecast_panel

        schema, config = self.schema, RunConfig.model_validate_json(self.config_text)

        def forecast(table: pa.Table) -> pa.Table:
            panel, _ = load(table.to_pandas(), schema=schema)
            return _to_arrow(forecast_panel(panel, schema, config, self.seasons).frame)

        return forecast


def _to_arrow(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False)


@lru_cache(1)
def _open(source: Source) -> TableFunction:
    """Open a source; a process that forecasts many partitions opens it once."""
    return source.open()


@dataclass(frozen=True)
class Task:
    """A partition to forecast.

    Args:
        source: The forecaster.
        partition: The series.
        out: Folder for the forecasts, a path or a URL.
    """

    source: Source
    partition: Partition
    out: str

    @property
    def file(self) -> str:
        """The file with the forecasts."""
        return f"{self.out.rstrip('/')}/{self.partition.name}.parquet"


@dataclass(frozen=True)
class Report:
    """What a task has written.

    Args:
        rows: Rows of forecasts.
        warnings: Warnings on the data.
    """

    rows: int
    warnings: tuple[str, ...]


def forecast_partition(task: Task) -> Report:
    """Forecast the series of a partition and write its file, whole or not at all."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", DataWarning)
        try:
            frame = task.partition.read(task.source.schema.read_options)
            forecasts = _open(task.source)(_to_arrow(frame))
        except DataError as error:
            message = error.message.removeprefix(f"{FRAME}: ")
            raise DataError(f"{task.partition.files[0]}: {message}", *error.hints) from None
    write_file(task.file, lambda file: pa_parquet.write_table(forecasts, file))
    return Report(forecasts.num_rows, tuple(dict.fromkeys(str(warning.message) for warning in caught)))


@dataclass(frozen=True)
class Summary:
    """What `forecast_partitions` has written.

    Args:
        partitions: Number of files.
        skipped: Number of them that an earlier call had written.
        rows: Rows of forecasts, without those of the skipped files.
        warnings: Warnings on the data, with the number of files that each belongs to.
    """

    partitions: int
    skipped: int
    rows: int
    warnings: dict[str, int]


def forecast_partitions(
    source: Source, partitions: Sequence[Partition], out: Path | str, engine: Engine, *, overwrite: bool = False
) -> Summary:
    """Forecast the series of all partitions into a folder of Parquet files.

    Files that an interrupted call has written are skipped. This process forecasts the first two partitions, and the
    others as well where that takes less time than to start the engine.

    Args:
        source: The forecaster.
        partitions: The series.
        out: Folder for the forecasts.
        engine: Where partitions are forecast.
        overwrite: Whether to replace the forecasts in the folder.

    Raises:
        DataError: The data cannot be read as the schema says.
        RunError: The folder holds other files, or forecasts of other data or options.
    """
    plan = {"source": asdict(source), "partitions": [asdict(partition) for partition in partitions]}  # type: ignore[call-overload]
    text = json.dumps(plan, sort_keys=True, indent=1)
    folder = _Folder(str(out))
    with file_system_errors(str(out)):
        folder.prepare(text, overwrite=overwrite)
    tasks = [Task(source, partition, str(out)) for partition in partitions]
    complete = folder.list()
    left = [task for task in tasks if f"{task.partition.name}.parquet" not in complete]
    if len(left) < len(tasks):
        _logger.info("%d of %d files are complete", len(tasks) - len(left), len(tasks))
    rows, found, done = 0, Counter[str](), len(tasks) - len(left)
    for report in _forecast_tasks(left, engine):
        done += 1
        rows += report.rows
        found.update(report.warnings)
        _logger.info("Forecast %d of %d files", done, len(tasks))
    return Summary(len(tasks), len(tasks) - len(left), rows, dict(found))


def _forecast_tasks(tasks: Sequence[Task], engine: Engine) -> Iterator[Report]:
    """Yield the reports of tasks, from the engine if it saves time.

    The second task gives the time per task, since the first also loads the forecaster.
    """
    if not engine.start_seconds:
        yield from engine.map(forecast_partition, tasks)
        return
    seconds = 0.0
    for task in tasks[:2]:
        start = time.perf_counter()
        yield forecast_partition(task)
        seconds = time.perf_counter() - start
    if not (left := tasks[2:]):
        return
    # Two processes save half of the time that is left, at most.
    if seconds * len(left) / 2 < engine.start_seconds + tasks[0].source.open_seconds:
        _logger.info("Forecasting in one process: others would take longer to start than they save")
        engine = LocalProcesses()
    yield from engine.map(forecast_partition, left)


class _Folder:
    """The output folder."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._files, self._root = open_file_system(path)

    def list(self) -> set[str]:
        """Return the names of the files."""
        if not self._files.exists(self._root):
            return set()
        return {name.rstrip("/").rpartition("/")[2] for name in self._files.ls(self._root, detail=False)}

    def prepare(self, plan: str, *, overwrite: bool) -> None:
        """Write the plan; if it is that of the folder, an interrupted call continues.

        Raises:
            RunError: The folder holds something else, which is not to be replaced.
        """
        names = self.list()
        if names and PLAN not in names:
            raise RunError(f"{self._path}: the folder holds other files", "choose another {out}")
        known = PLAN in names and self._files.cat_file(f"{self._root}/{PLAN}").decode() == plan
        if names and not known and not overwrite:
            what = "forecasts of other data or with other options"
            raise RunError(f"{self._path}: the folder holds {what}", "choose another {out}", "set {overwrite}")
        if overwrite:
            # The user may have put other files there.
            for name in names:
                if name == PLAN or name.endswith(".parquet"):
                    self._files.rm(f"{self._root}/{name}")
        self._files.makedirs(self._root, exist_ok=True)
        write_file(f"{self._path}/{PLAN}", lambda file: file.write(plan.encode()))
