"""``tsattn tune``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from tsattn._extras import import_extra
from tsattn._logging import silence_stderr
from tsattn.cli.options import PATH, Duration, config_options, data_name, read_config, split_names
from tsattn.cli.output import console, count, notes, print_schema
from tsattn.errors import ConfigError

if TYPE_CHECKING:
    from tsattn.tuning import TuningResult

MAX_TRIALS_SHOWN = 10
"""Maximum number of trials in the table."""


@click.command()
@click.argument("data", type=PATH)
@click.option("--trials", type=click.IntRange(1), default=30, show_default=True, help="Number of trials of the search.")
@click.option("--time-limit", type=Duration(), help="Maximum time for the search: 90, 30s, 20m, 1.5h.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Number of processes.")
@click.option("--journal", type=PATH, help="File from which the search resumes.  [default: next to --out]")
@click.option("-o", "--out", type=PATH, help="Configuration file to write.  [default: DATA-tuned.toml]")
@click.option("--overwrite", is_flag=True, help="Replace an existing configuration file, but not the journal.")
@config_options("Models to search, see `tsattn models`.  [default: seq2seq]", "NAME[,...]")
def tune(
    data: Path,
    trials: int,
    time_limit: float | None,
    jobs: int,
    journal: Path | None,
    out: Path | None,
    overwrite: bool,
    **options: Any,
) -> None:
    """Search for the options with which a model forecasts DATA best.

    The result is a configuration for `tsattn fit DATA --config`. Options that are given by --set, --config or a flag
    are fixed; `tsattn models NAME` lists those that are searched. Trials are compared on the validation part, and data
    after it are not used. The default is the first trial, so that the result is never worse there.

    The same command resumes a stopped search from the journal, with --overwrite also a finished one. Several commands
    with the same journal divide the trials.
    """
    from tsattn.atomic_io import check_file, write_text
    from tsattn.forecasting.finetuning import read_series

    started = monotonic()
    models = split_names(options.pop("model"))
    configs = [read_config(**options, model=name) for name in models or (None,)]
    path = out or Path(f"{data_name(data)}-tuned.toml")
    journal = journal or path.with_suffix(".journal")
    if journal == path:
        raise ConfigError(f"{path}: the journal and the configuration are the same file: set another --journal")
    check_file(path, overwrite=overwrite)
    terminal = console(stderr=True)
    panel, schema = read_series(data, configs[0])
    print_schema(terminal, schema, panel)
    with silence_stderr():
        from tsattn.cli.progress import TuningBar

        tune_panel = import_extra("tsattn.tuning.tuner", "tune", "hyper-parameter search").tune_panel

    with notes(terminal), _resume_hint(terminal, journal), TuningBar(terminal, time_limit) as bar:
        result = tune_panel(
            configs[0],
            panel,
            schema,
            source=str(data),
            models=models,
            trials=trials,
            deadline=started + time_limit if time_limit else float("inf"),
            journal=journal,
            jobs=jobs,
            on_progress=bar,
        )
    terminal_out = console()
    terminal_out.print(_trials_table(result))
    for sentence in (_count_states(result), result.summary(), _compare_baseline(result)):
        if sentence:
            terminal_out.print(sentence)
    comment = f"# Found by tsattn tune, {len(result.trials)} trials. {result.summary()}\n"
    write_text(comment + result.config.to_toml(), path)
    terminal.print(f"\nWritten: {path}. Fit with it: tsattn fit {data} --config {path}")


@contextmanager
def _resume_hint(terminal: Console, journal: Path) -> Iterator[None]:
    """Print how to resume a search that the user interrupts."""
    try:
        yield
    except KeyboardInterrupt:
        terminal.print(f"Stopped. The same command resumes from {journal}.")
        raise


def _trials_table(result: TuningResult) -> Table:
    """Return a table of the best trials and the defaults."""
    complete = [row for row in result.trials.to_dict("records") if row["state"] == "complete"]
    several = len({row["model"] for row in complete}) > 1
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"The best trials: {result.metric.upper()} on the validation part, lower is better",
        title_justify="left",
    )
    for title in ("rank", result.metric.upper()):
        table.add_column(title, justify="right", no_wrap=True)
    if several:
        table.add_column("model", no_wrap=True)
    table.add_column("changed options", overflow="fold")
    for title in ("epochs", "seconds"):
        table.add_column(title, justify="right", no_wrap=True)
    for rank, row in enumerate(complete, start=1):
        if rank > MAX_TRIALS_SHOWN and not row["default"]:
            continue
        changed = result.changed[row["number"]]
        options = ", ".join(f"{key.partition('.')[2]}={value}" for key, value in changed.items())
        cells = [str(rank), f"{row['error']:.4g}", *([row["model"]] if several else [])]
        cells.append("the default" if row["default"] else options or "none")
        epochs = f"{row['epochs']}{'+' if row['out_of_time'] else ''}"
        table.add_row(*cells, epochs, f"{row['seconds']:.0f}", style="bold" if rank == 1 else None)
    return table


def _count_states(result: TuningResult) -> str:
    """Return how many trials ended in each state."""
    states = result.trials["state"].value_counts()
    words = {"complete": "trained", "pruned": "pruned", "failed": "failed", "running": "running in other processes"}
    counts = [f"{states[state]} {word}" for state, word in words.items() if state in states]
    cut = int(result.trials["out_of_time"].sum())
    resume = f" The time limit cut {cut} of them (+): the same command with --overwrite resumes." if cut else ""
    return f"{count(len(result.trials), 'trial')}: {', '.join(counts)}.{resume}"


def _compare_baseline(result: TuningResult) -> str:
    """Return a sentence on the best naive baseline."""
    if not result.baselines:
        return ""
    name = min(result.baselines, key=lambda key: result.baselines[key])
    error = result.baselines[name]
    comparison = " No trial is better." if error <= result.error else ""
    return f"The best naive baseline is {name}: {result.metric.upper()} {error:.4g}.{comparison}"
