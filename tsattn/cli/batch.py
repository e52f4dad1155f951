"""Options of commands that can use several processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tsattn.cli.output import count
from tsattn.cli.screen import current_screen

if TYPE_CHECKING:
    from tsattn.batch import Partition, Source
    from tsattn.engines import Engine


def engine_options(jobs: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the options --jobs, with its help, and --ray."""
    ray = "As --jobs, on the workers of a Ray cluster: its address, auto for the running one, or local for one on this "
    return (
        click.option("--jobs", type=click.IntRange(1), metavar="N", help=jobs),
        click.option("--ray", metavar="ADDRESS", help=f"{ray}machine."),
    )


batch_options = engine_options(
    "Forecast the files of DATA in N processes into the folder --out, one Parquet file each; repeat the command to "
    "continue after an interruption.  [default: all of DATA in one process]"
)
"""The options of a command that calls `forecast_files`."""


def make_engine(jobs: int | None, ray: str | None) -> Engine:
    """Return the engine of --jobs and --ray."""
    from tsattn.engines import LocalProcesses, RayCluster

    return LocalProcesses(jobs or 1) if ray is None else RayCluster(ray, jobs)


def forecast_files(
    prepare: Callable[[Path | str], tuple[Source, list[Partition]]],
    data: Path | str | None,
    out: Path | str | None,
    *,
    jobs: int | None,
    ray: str | None,
    overwrite: bool,
) -> dict[str, Any]:
    """Forecast the files of DATA into a folder and return the parts of the JSON document.

    Args:
        prepare: Returns the forecaster and the partitions of DATA.
        data: Pattern or folder of files.
        out: Folder of the forecasts.
        jobs: Number of processes, or of workers of a local cluster.
        ray: Address of a Ray cluster; None for processes of this machine.
        overwrite: Whether to replace the files in the folder.
    """
    from tsattn.batch import forecast_partitions

    if data is None or out is None or str(out) == "-":
        raise click.UsageError("--jobs and --ray need DATA, and a folder for the forecasts: -o FOLDER")
    engine = make_engine(jobs, ray)
    screen = current_screen()
    source, partitions = prepare(data)
    summary = forecast_partitions(source, partitions, out, engine, overwrite=overwrite)
    for text, files in summary.warnings.items():
        screen.warn(f"{text} ({count(files, 'file')})")
    skipped = f", {summary.skipped} of them by an earlier command" if summary.skipped else ""
    screen.show(f"Written: {out}, {count(summary.partitions, 'file')}{skipped}")
    return {"out": str(out), "rows": [], "files": summary.partitions, "skipped": summary.skipped}
