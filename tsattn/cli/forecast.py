"""``tsattn forecast`` and ``tsattn predict``, which forecast in this process or many files in several."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tsattn.cli.command import Command, load_forecaster
from tsattn.cli.options import (
    PATH,
    PathOrUrl,
    add_options,
    config_option,
    cutoff_option,
    data_options,
    engine_options,
    file_or_folder_options,
    future_option,
    import_option,
    make_engine,
    parse_quantiles,
    quantile_options,
    verify_option,
)
from tsattn.cli.output import checked_output, count, print_schema, write_output
from tsattn.cli.screen import current_screen
from tsattn.config import DataConfig, RunConfig

if TYPE_CHECKING:
    from tsattn.batch import Partition, Source


_batch_options = engine_options(
    "Forecast the files of DATA in N processes into the folder --out, one Parquet file each; repeat the command to "
    "continue after an interruption.  [default: all of DATA in one process]"
)
"""The options of a command that calls `_forecast_files`."""


def _forecast_files(
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


@click.command(
    cls=Command,
    examples=(
        ("tsattn forecast sales.csv --horizon 14", "Two weeks ahead"),
        ("tsattn forecast sales.csv --levels 80,95 -o f.csv", "Two intervals, into a file"),
        ("tsattn forecast 'data/*.parquet' --jobs 4 -o out", "Many files, in four processes"),
    ),
)
@click.argument("data", type=PathOrUrl())
@data_options
@config_option(DataConfig, "support")
@quantile_options("80")
@add_options((*file_or_folder_options, *_batch_options))
def forecast(
    data: Path | str,
    levels: str | None,
    quantiles: str | None,
    out: Path | str | None,
    overwrite: bool,
    safe_csv: bool,
    jobs: int | None,
    ray: str | None,
    **options: Any,
) -> dict[str, Any]:
    """Forecast every series of DATA by itself, without training.

    The forecast combines a network that was trained on synthetic series with exponential smoothings, Theta, drift and
    naive methods, weighted by their errors in the history of each series. It takes a second or two. For many related
    series, long ones or covariates, `tsattn fit` trains a network.

    DATA and its options are as for `tsattn fit`.
    """
    from tsattn.data.loader import load
    from tsattn.forecasting.combination import describe_short_history, forecast_panel

    given = {name: value for name, value in options.items() if value is not None}
    wanted = parse_quantiles(levels, quantiles)
    config = RunConfig.from_dict({"data": given, **({"levels": wanted} if wanted else {})}, source="the options")
    if jobs is not None or ray is not None:
        if safe_csv:
            raise click.UsageError("--jobs and --ray: leave out --safe-csv")

        def prepare(data: Path | str) -> tuple[Source, list[Partition]]:
            from tsattn.batch import ZeroShotSource

            return ZeroShotSource.infer(data, config)

        files = _forecast_files(prepare, data, out, jobs=jobs, ray=ray, overwrite=overwrite)
        return {**files, "weights": {}}
    out = checked_output(out, overwrite=overwrite)
    screen = current_screen()
    with screen.data_warnings():
        panel, schema = load(data, config.data)
        print_schema(screen, schema, panel)
        result = forecast_panel(panel, schema, config)
    screen.note(result.summary())
    if schema.covariates or schema.static_covariates:
        screen.note("The covariates are not used: tsattn fit trains a network with them.")
    if sentence := describe_short_history(panel, schema):
        screen.note(sentence)
    return {**write_output(screen, result.frame, out, safe=safe_csv), "weights": result.weights}


@click.command(
    cls=Command,
    examples=(
        ("tsattn predict runs/sales -o forecast.csv", "After the end of the training data"),
        ("tsattn predict runs/sales new.csv", "After the end of newer data"),
        ("tsattn predict runs/sales --cutoff 2024-05-31", "As of an earlier date"),
        ("tsattn predict runs/sales 'new/*.csv' --jobs 4 -o out", "Many files, in four processes"),
    ),
)
@click.argument("run", type=PATH)
@click.argument("data", type=PathOrUrl(), required=False)
@future_option
@import_option
@verify_option
@cutoff_option
@quantile_options("as fitted")
@click.option(
    "--horizon", type=click.IntRange(1), metavar="N", help="Number of steps to forecast.  [default: as fitted]"
)
@click.option(
    "--recursive",
    is_flag=True,
    help="Allow a horizon longer than fitted: median forecasts serve as history, and intervals are too narrow.",
)
@click.option(
    "--samples",
    type=click.IntRange(1),
    metavar="N",
    help="Draw N sample paths per series, one row per step (unique_id, sample, ds, y). The run needs a model.head.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), metavar="N", default=0, help="Seed of the samples.")
@add_options((*file_or_folder_options, *_batch_options))
def predict(
    run: Path,
    verify: bool,
    data: Path | str | None,
    future: Path | None,
    cutoff: str | None,
    levels: str | None,
    quantiles: str | None,
    horizon: int | None,
    recursive: bool,
    samples: int | None,
    seed: int,
    out: Path | str | None,
    overwrite: bool,
    safe_csv: bool,
    jobs: int | None,
    ray: str | None,
) -> dict[str, Any]:
    """Forecast the steps after DATA with the forecaster in RUN.

    Without DATA, it forecasts the steps after the training data. DATA has the format of the training data; its series
    may be others, shorter, longer or with gaps. Future covariates are in the rows of DATA after the history, or in the
    file --future.
    """
    wanted = parse_quantiles(levels, quantiles)
    if samples is not None and (recursive or wanted is not None):
        raise click.UsageError("--samples draws paths over the fitted horizon: leave out --recursive and --levels")
    if jobs is not None or ray is not None:
        if future is not None or samples is not None or safe_csv:
            raise click.UsageError("--jobs and --ray: leave out --future, --samples and --safe-csv")

        def prepare(data: Path | str) -> tuple[Source, list[Partition]]:
            from tsattn.batch import FittedSource, divide_data

            source = FittedSource.read(
                run, verify=verify, levels=wanted, horizon=horizon, cutoff=cutoff, recursive=recursive
            )
            return source, divide_data(data, source.schema)

        return _forecast_files(prepare, data, out, jobs=jobs, ray=ray, overwrite=overwrite)
    out = checked_output(out, overwrite=overwrite)
    screen = current_screen()
    with screen.data_warnings():
        forecaster = load_forecaster(run, verify=verify)
        if samples is None:
            forecast = forecaster.predict(
                data, future, cutoff=cutoff, horizon=horizon, recursive=recursive, levels=wanted
            )
        else:
            forecast = forecaster.sample(data, future, samples=samples, seed=seed, cutoff=cutoff, horizon=horizon)
    return write_output(screen, forecast, out, safe=safe_csv)
