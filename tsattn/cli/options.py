"""Options that several commands have, most of them made from the fields of the configuration."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, get_args, get_origin

import click
from pydantic import BaseModel

from tsattn.cli import flag
from tsattn.config import AUTO, DataConfig, RunConfig, get_group, override, read_toml
from tsattn.errors import ConfigError

if TYPE_CHECKING:
    from tsattn.engines import Engine


F = TypeVar("F", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)


class PathOrUrl(click.ParamType):  # type: ignore[type-arg]
    """A path, or a URL of an fsspec file system such as s3://bucket/folder as text."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | str:
        """Return the path or the URL."""
        return value if isinstance(value, Path) or "://" in value else Path(value)


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    """A duration in seconds: 90, 30s, 20m or 1.5h."""

    name = "duration"
    _seconds: ClassVar = {"": 1, "s": 1, "m": 60, "h": 3600}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the duration in seconds."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+) ?([smh]?)", str(value).strip())
        seconds = float(found[1]) * self._seconds[found[2]] if found else 0.0
        if not seconds:
            self.fail(f"expected a duration such as 90, 30s, 20m or 1.5h, got {value!r}", param, ctx)
        return seconds


_METAVARS = {
    "time": "COLUMN[,...]",
    "time_format": "FORMAT",
    "id": "COLUMN",
    "calendar": "CYCLE[,...]",
    "holidays": "COUNTRY",
    "graph": "FILE",
    "freq": "ALIAS",
    "init_from": "RUN",
    "encoding": "NAME",
    "delimiter": "SIGN",
    "na": "MARK[,...]",
    "sheet": "NAME",
    "allowed_hosts": "HOST[,...]",
}


def config_option(config: type[BaseModel], name: str) -> Callable[[F], F]:
    """Return the command-line option of a field of the configuration.

    Type, choices, bounds, default and help are those of the field. The value is None if the option is not given.
    """
    field = config.model_fields[name]
    members = get_args(field.annotation)
    kind = members[0] if NoneType in members else field.annotation
    flags, default, settings = flag(name), field.default, dict[str, Any]()
    if get_origin(kind) is Literal:
        settings["type"] = click.Choice(get_args(kind))
    elif kind in (int, float):
        bounds = _bounds(field.metadata)
        ranges, plain = (click.IntRange, click.INT) if kind is int else (click.FloatRange, click.FLOAT)
        settings["type"] = ranges(**bounds) if bounds else plain
        settings["metavar"] = "N" if kind is int else "NUMBER"
    elif kind is bool and name.startswith("no_"):
        settings |= {"is_flag": True, "default": None}
        default = None
    elif kind is bool:
        settings["default"] = None
        flags, default = f"{flags}/--no-{name}", name if default else f"no-{name}"
    elif name in _METAVARS or get_origin(kind) is tuple:
        settings["metavar"] = _METAVARS.get(name, "COLUMN[,...]")
    description = (field.description or "").removesuffix(".")
    text = f"{description[:1].upper()}{description[1:]}."
    return click.option(flags, help=text if default is None else f"{text}  [default: {default}]", **settings)


def add_options(options: Sequence[Callable[[F], F]]) -> Callable[[F], F]:
    """Return a decorator that adds options to a command, in this order."""
    return lambda command: reduce(lambda decorated, option: option(decorated), reversed(options), command)


def _bounds(metadata: Sequence[Any]) -> dict[str, Any]:
    """Return the bounds of a field as arguments of `click.IntRange`; none for a field without bounds."""
    limits = {name: getattr(item, name) for item in metadata for name in ("ge", "gt", "le") if hasattr(item, name)}
    if not limits:
        return {}
    return {"min": limits.get("ge", limits.get("gt")), "min_open": "gt" in limits, "max": limits.get("le")}


def _import_modules(context: click.Context, parameter: click.Parameter, names: Sequence[str]) -> None:
    from tsattn._logging import silence_native_code

    for name in names:
        with silence_native_code():
            import_module(name)


import_option = click.option(
    "--import",
    "imports",
    multiple=True,
    metavar="MODULE",
    callback=_import_modules,
    is_eager=True,
    expose_value=False,
    help="Python module, or file, that registers custom models.",
)
"""The option that imports modules, also from the working directory, before the other options are read."""

verify_option = click.option(
    "--no-verify",
    "verify",
    flag_value=False,
    default=True,
    help="Load RUN even if its files were changed or are missing.",
)
"""The option that leaves out the comparison of the files of a run with their hashes."""

cutoff_option = click.option(
    "--cutoff",
    metavar="TIMESTAMP",
    help="Last timestamp of the history: later values are not used.  [default: the end of the data]",
)

future_option = click.option("--future", type=PATH, help="File with the future covariates after the end of DATA.")

overwrite_option = click.option("--overwrite", is_flag=True, help="Replace what --out names, if it exists.")


def out_option(
    description: str,
    default: str,
    kind: click.ParamType = PATH,  # type: ignore[type-arg]
) -> Callable[[F], F]:
    """Return the option of the file or folder that a command writes."""
    return click.option("-o", "--out", type=kind, help=f"{description}  [default: {default}]")


safe_csv_option = click.option(
    "--safe-csv",
    is_flag=True,
    help="Put an apostrophe before names that a spreadsheet takes for a formula.  [default: names as in the data]",
)

file_options = (
    out_option("CSV, Parquet or JSON file, or - for CSV on standard output.", "-"),
    overwrite_option,
    safe_csv_option,
)
"""The options of a command that writes a table."""

file_or_folder_options = (
    out_option("CSV, Parquet or JSON file, or - for CSV on standard output; with --jobs a folder.", "-", PathOrUrl()),
    *file_options[1:],
)
"""Those of a command that can also write one table per file of its data."""


def time_limit_option(description: str) -> Callable[[F], F]:
    """Return the option that limits the time of a command."""
    return click.option("--time-limit", type=Duration(), help=f"{description}: 90, 30s, 20m, 1.5h.")


def quantile_options(default: str) -> Callable[[F], F]:
    """Return the options for the intervals of a forecast, see `parse_quantiles`."""
    levels = f"Prediction intervals by their coverage in %, such as 80,95.  [default: {default}]"
    quantiles = "Quantiles instead of --levels, such as .1,.5,.9, with the median."
    return add_options(
        [
            click.option("--levels", metavar="PERCENT[,...]", help=levels),
            click.option("--quantiles", metavar="LEVEL[,...]", help=quantiles),
        ]
    )


def parse_quantiles(levels: str | None, quantiles: str | None) -> tuple[float, ...] | None:
    """Return the quantile levels that `quantile_options` name, ascending and with the median; None if none is given.

    Raises:
        ConfigError: Both are given, or a value is not allowed.
    """
    if levels is None:
        return (
            None if quantiles is None else tuple(sorted(_parse_numbers("quantiles", quantiles, "between 0 and 1", 1)))
        )
    if quantiles is not None:
        raise ConfigError("--levels and --quantiles both name the intervals: give one of them")
    fractions = [level / 100 for level in _parse_numbers("levels", levels, "in %, between 0 and 100", 100)]
    return tuple(sorted({0.5, *(round((1 + sign * fraction) / 2, 6) for fraction in fractions for sign in (-1, 1))}))


def _parse_numbers(option: str, text: str, range_name: str, upper: float) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(0 < number < upper for number in numbers):
        raise ConfigError(f"--{option} {text}: expected numbers {range_name}, separated by commas")
    return numbers


def import_module(name: str) -> None:
    """Import a module by name, also from the working directory, or a file by path.

    Raises:
        ConfigError: There is no such module, or its import fails.
    """
    path = Path(name)
    is_file = path.suffix == ".py"
    folder = str((path.parent if is_file else Path.cwd()).resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = path.stem if is_file else name
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise ConfigError(f"--import {name}: needs the module {error.name}, which is not installed") from None
        raise ConfigError(f"--import {name}: expected a Python module, found none in {folder}") from None
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"--import {name}: cannot be imported: {type(error).__name__}: {error}") from None


baseline_option = click.option(
    "--baseline",
    "baselines",
    multiple=True,
    metavar="NAME",
    help="Classical baseline in addition to the naive ones: autoets, autotheta or autoarima; may be repeated. Needs "
    "tsattn[baselines].",
)


_DATA_FIELDS = (
    "time",
    "time_format",
    "id",
    "target",
    "future_covariates",
    "past_covariates",
    "static_covariates",
    "categories",
    "calendar",
    "holidays",
    "freq",
    "on_duplicate",
    "resample",
    "fill_missing",
    "season",
    "horizon",
    "encoding",
    "delimiter",
    "decimal",
    "no_header",
    "na",
    "sheet",
)


def config_options(models: str, metavar: str = "NAME") -> Callable[[F], F]:
    """Return a decorator that adds the options that `read_config` takes.

    Args:
        models: Help of ``--model``.
        metavar: Value of ``--model`` in the help.
    """
    data = (*_DATA_FIELDS, "support", "graph", "context")
    options = (
        import_option,
        click.option("--model", metavar=metavar, help=models),
        click.option("--config", type=PATH, help="Configuration file in TOML; options override it."),
        click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any option: model.units=64."),
        quantile_options("80"),
        *(config_option(DataConfig, name) for name in data),
        config_option(RunConfig, "seed"),
    )
    return add_options(options)


data_options = add_options([config_option(DataConfig, name) for name in _DATA_FIELDS])
"""Adds the options for how data are read."""


def split_names(names: str | None) -> tuple[str, ...]:
    """Return names that are separated by commas, without duplicates."""
    return tuple(dict.fromkeys(name.strip() for name in (names or "").split(",") if name.strip()))


def data_name(data: Path) -> str:
    """Return the name of a file, folder or pattern, without characters that are unusual in file names."""
    return re.sub(r"[^\w-]+", "-", data.name.split(".")[0]).strip("-") or "run"


def free_path(path: Path, is_usable: Callable[[Path], bool] = lambda path: False) -> Path:
    """Return a path that does not exist or is usable: the given one, or that with a number."""
    number, free = 1, path
    while free.exists() and not is_usable(free):
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free


def read_config(
    *,
    model: str | None,
    config: Path | None,
    settings: Sequence[str],
    seed: int | None,
    levels: str | None = None,
    quantiles: str | None = None,
    init_from: str | None = None,
    training: Mapping[str, Any] | None = None,
    **data: Any,
) -> RunConfig:
    """Return the configuration that options make: settings override the file, other options override both.

    Args:
        model: Name of the architecture.
        config: TOML file.
        settings: ``key=value`` pairs.
        seed: Seed of the random number generators.
        levels: Coverages of the intervals, see `parse_quantiles`.
        quantiles: Quantile levels instead.
        init_from: Run directory whose weights the training starts from.
        training: Options of the training.
        **data: How the data are read. None means that an option is not given, as for the others.

    Raises:
        ConfigError: An option has an unknown name or a value that is not allowed.
    """
    from tsattn.models import resolve_options
    from tsattn.models.registry import check_graph

    values = override(read_toml(config) if config else {}, settings)
    for group, options in {"model": {"name": model}, "data": data, "training": training or {}}.items():
        _update(get_group(values, group), options)
    _update(values, {"seed": seed, "init_from": init_from, "levels": parse_quantiles(levels, quantiles)})
    source = str(config) if config else "the options"
    run_config = RunConfig.from_dict(values, source=source)
    if run_config.model.get("name") == AUTO:
        return run_config
    if run_config.selection is not None:
        raise ConfigError(
            f"{source}: selection needs the model {AUTO}",
            f"set {{model}} to {AUTO}",
            "leave out selection",
        )
    check_graph(*resolve_options(run_config.model, source=source), run_config.data.graph, source=source)
    return run_config


def _update(values: dict[str, Any], options: Mapping[str, Any]) -> None:
    """Update values with the options that are given."""
    values.update({key: value for key, value in options.items() if value is not None})


def engine_options(jobs: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the options --jobs, with its help, and --ray."""
    ray = "As --jobs, on the workers of a Ray cluster: its address, auto for the running one, or local for one on this "
    return (
        click.option("--jobs", type=click.IntRange(1), metavar="N", help=jobs),
        click.option("--ray", metavar="ADDRESS", help=f"{ray}machine."),
    )


def make_engine(jobs: int | None, ray: str | None) -> Engine:
    """Return the engine of --jobs and --ray."""
    from tsattn.engines import LocalProcesses, RayCluster

    return LocalProcesses(jobs or 1) if ray is None else RayCluster(ray, jobs)
