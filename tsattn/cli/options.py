"""Options and output that several commands share."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import click
from rich.console import Console

if TYPE_CHECKING:
    from tsattn.config import RunConfig

F = TypeVar("F", bound=Callable[..., Any])


class Duration(click.ParamType[float]):
    """A length of time in seconds: 90, 30s, 20m or 1.5h."""

    name = "duration"
    _seconds: ClassVar = {"": 1, "s": 1, "m": 60, "h": 3600}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+) ?([smh]?)", str(value).strip())
        seconds = float(found[1]) * self._seconds[found[2]] if found else 0.0
        if not seconds:
            self.fail(f"{value!r} is no length of time: write it as 90, 30s, 20m or 1.5h", param, ctx)
        return seconds


_COMBINE = click.Choice(["mean", "sum", "last"])

_TIME_COLUMNS: dict[str, Any] = {
    "metavar": "COLUMN[,COLUMN]",
    "help": "Column of the time stamps; several of date and time, or year, month, ...",
}
_TIME = click.option("--time", "--time-column", **_TIME_COLUMNS)

_DATA_OPTIONS = (
    _TIME,
    click.option("--id", metavar="COLUMN", help="Column that tells the series apart (long data)."),
    click.option("--target", metavar="COLUMN[,COLUMN]", help="Column or columns to forecast."),
    click.option(
        "--future-covariates",
        metavar="COLUMN[,...]",
        help="Columns known over the horizon too, or none [default: those that go on behind the targets].",
    ),
    click.option("--past-covariates", metavar="COLUMN[,...]", help="Columns known up to the forecast only."),
    click.option(
        "--static-covariates",
        metavar="COLUMN[,...]",
        help="Columns with one value a series, or none [default: those whose values several series share].",
    ),
    click.option(
        "--categories", metavar="COLUMN[,...]", help="Covariates that are categories though they are numbers."
    ),
    click.option("--calendar", metavar="CYCLE[,...]", help="Covariates such as day_of_week,hour_of_day, or auto."),
    click.option("--holidays", metavar="COUNTRY", help="Public holidays as a covariate: DE, or DE-BY."),
    click.option("--freq", metavar="ALIAS", help="Frequency: h, 15min, D, W-SAT, MS, or a whole number."),
    click.option("--on-duplicate", type=_COMBINE, help="What rows with the same stamp become [default: an error]."),
    click.option(
        "--resample", type=_COMBINE, help="What the values within a step become, for stamps beside the steps."
    ),
    click.option("--season", type=click.IntRange(1), help="Season length in steps; 1 for none."),
    click.option("--horizon", type=click.IntRange(1), help="Steps to forecast."),
)


def _import_modules(context: click.Context, parameter: click.Parameter, names: Sequence[str]) -> None:
    for name in names:
        with quiet_start():
            import_module(name)


import_option = click.option(
    "--import",
    "imports",
    multiple=True,
    metavar="MODULE",
    callback=_import_modules,
    is_eager=True,
    expose_value=False,
    help="Python module, or file, that registers models of your own.",
)
"""The option that imports modules before anything else is done, from the working folder too."""


def import_module(name: str) -> None:
    """Import a module by name, which may lie in the working folder, or a file by its path.

    Raises:
        ConfigError: there is none, or it fails.
    """
    import importlib

    from tsattn.errors import ConfigError

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
            raise ConfigError(f"--import {name}: needs the module {error.name}, which is not there") from None
        raise ConfigError(f"--import {name}: expected a Python module, but there is none in {folder}") from None
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"--import {name}: cannot be imported: {type(error).__name__}: {error}") from None


_MODEL = click.option("--model", metavar="NAME", help="Model to train and keep, see `tsattn models`.")

_MODELS = click.option("--model", metavar="NAME[,...]", help="Model or models to compare, see `tsattn models`.")

_CONFIG_OPTIONS = (
    click.option("--config", type=click.Path(path_type=Path), help="Configuration in TOML; options go before it."),
    click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any option, as model.units=64."),
    *_DATA_OPTIONS,
    click.option(
        "--support",
        type=click.Choice(["real", "positive", "count"]),
        help="What values there can be: positive, none below 0; count, whole numbers.",
    ),
    click.option("--graph", metavar="FILE", help="CSV of the graph between the series: a matrix, or a list of edges."),
    click.option("--context", type=click.IntRange(1), help="Look-back: steps of history the model sees."),
    click.option("--seed", type=click.IntRange(0), help="Seed of every random choice [default: 0]."),
)


def baseline_option(command: F) -> F:
    """Add the option for classical baselines."""
    from tsattn.scoring.classical import CLASSICAL

    return click.option(
        "--baseline",
        "baselines",
        multiple=True,
        type=click.Choice(list(CLASSICAL)),
        help="A classical baseline beside the naive ones, as often as you like; needs tsattn[baselines].",
    )(command)


def data_options(command: F) -> F:
    """Add the options that say how data are read; what is not given is inferred."""
    return _with(command, _DATA_OPTIONS)


def config_options(command: F) -> F:
    """Add the options that say how data are read and what is trained; `read_config` takes their values."""
    return _with(command, (import_option, _MODEL, *_CONFIG_OPTIONS))


def comparing_options(command: F) -> F:
    """Add the same options, with several models where `config_options` has one; `several_models` takes their names."""
    return _with(command, (import_option, _MODELS, *_CONFIG_OPTIONS))


def several_models(names: str | None) -> tuple[str, ...]:
    """Return the names of models that were given, once each."""
    return tuple(dict.fromkeys(name.strip() for name in (names or "").split(",") if name.strip()))


def data_name(data: Path) -> str:
    """Return the name of a file, folder or pattern, whose signs a folder's name had better not have."""
    name = data.name.split(".")[0]
    return re.sub(r"[^\w-]+", "-", name).strip("-") or "run"


def search_options(command: F) -> F:
    """Add the same for a command that takes several models and whose ``--time`` is how long it may take."""
    own = (
        click.option(
            "--model", metavar="NAME[,NAME]", help="Models to search, see `tsattn models` [default: seq2seq]."
        ),
        click.option("--time-column", "time", **_TIME_COLUMNS),
    )
    return _with(command, (import_option, *own, *(option for option in _CONFIG_OPTIONS if option is not _TIME)))


def _with(command: F, options: Sequence[Callable[[F], F]]) -> F:
    for option in reversed(options):
        command = option(command)
    return command


def read_config(
    *,
    model: str | None,
    config: Path | None,
    settings: Sequence[str],
    seed: int | None,
    init: Path | None = None,
    training: Mapping[str, Any] | None = None,
    **data: Any,
) -> RunConfig:
    """Return the configuration that options make: the file, over it the settings, over these what has its own option.

    Args:
        model: name of the architecture.
        config: TOML file.
        settings: ``key=value`` pairs.
        seed: seed of every random choice.
        init: run directory whose weights the training starts from, for a command that has an option for it.
        training: options of the training, for a command that has options of its own for them.
        data: how the data are read. In all of them None is what was not given.

    Raises:
        ConfigError: an option has an unknown name or a value that is not allowed.
    """
    from tsattn.config import AUTO, RunConfig, group_of, override, read_toml
    from tsattn.errors import ConfigError
    from tsattn.models import resolve_options
    from tsattn.models.registry import check_graph

    values = override(read_toml(config) if config else {}, settings)
    for group, options in {"model": {"name": model}, "data": data, "training": training or {}}.items():
        _lay(group_of(values, group), options)
    _lay(values, {"seed": seed, "init": init})
    source = str(config) if config else "the options"
    run_config = RunConfig.from_dict(values, source=source)
    if run_config.model.get("name") == AUTO:
        return run_config
    if run_config.selection is not None:
        raise ConfigError(
            f"{source}: selection is what --model auto compares, and for how long: give that model, or leave it out"
        )
    check_graph(*resolve_options(run_config.model, source=source), run_config.data.graph, source=source)
    return run_config


def _lay(values: dict[str, Any], options: Mapping[str, Any]) -> None:
    """Lay the options that were given over the values."""
    values.update({key: value for key, value in options.items() if value is not None})


def console() -> Console:
    """The console for what is told while a command works; results go to standard output."""
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def notes(terminal: Console) -> Iterator[None]:
    """Print what the work inside warns of about the data, once each."""
    from tsattn.cli import flag
    from tsattn.errors import DataWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        yield
    for message in dict.fromkeys(
        warning.message.format(flag) for warning in caught if isinstance(warning.message, DataWarning)
    ):
        terminal.print(f"Note: {message}.")
    for warning in caught:
        if warning.category is not DataWarning:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


@contextmanager
def quiet_start() -> Iterator[None]:
    """Keep TensorFlow's start-up notices, which it writes past Python, off the terminal."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
