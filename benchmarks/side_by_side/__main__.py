"""``python -m benchmarks.side_by_side``: run what has no result yet, write the tables."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import click

from benchmarks.accuracy.options import data_folder, numbers
from benchmarks.accuracy.snapshot import snapshot
from benchmarks.accuracy.store import read
from benchmarks.accuracy.tasks import task
from benchmarks.side_by_side import environment
from benchmarks.side_by_side.contestants import CONTESTANTS
from benchmarks.side_by_side.runs import RESULTS, Run, Runner, plan
from benchmarks.side_by_side.table import document
from tsattn.errors import TsattnError

TASKS = ("m4-hourly", "etth1-96")
BUDGETS = (120, 300, 600)
NAMES = [contestant.name for contestant in CONTESTANTS]

_RESULTS = click.option(
    "--results", type=click.Path(path_type=Path), default=RESULTS, help="Another folder of results."
)


@click.group()
def main() -> None:
    """The default beside other forecasters. Data are found through TSATTN_DATA_DIR."""


@main.command("run")
@click.option("--task", "tasks", multiple=True, type=click.Choice(TASKS), default=TASKS, help="Only this task.")
@click.option("--budget", "budgets", multiple=True, type=click.IntRange(1), default=BUDGETS, help="Seconds.")
@click.option("--only", "names", multiple=True, type=click.Choice(NAMES), help="Only this contestant.")
@click.option("--without", multiple=True, type=click.Choice(NAMES), help="All but this contestant.")
@click.option("--seeds", metavar="0,1,2", default="0", show_default=True, help="Seeds of those that train.")
@click.option(
    "--peers",
    type=click.Path(path_type=Path),
    default=environment.FOLDER,
    help="Another folder for the environment of the peers.",
)
@click.option("--list", "only_list", is_flag=True, help="Say what would be run, and run nothing.")
@_RESULTS
def run_command(
    tasks: tuple[str, ...],
    budgets: tuple[int, ...],
    names: tuple[str, ...],
    without: tuple[str, ...],
    seeds: str,
    peers: Path,
    only_list: bool,
    results: Path,
) -> None:
    """Run what has no result yet. --task, --budget, --only and --without may be repeated."""
    chosen = [name for name in names or NAMES if name not in without]
    wanted = plan([task(name) for name in tasks], chosen, budgets, numbers(seeds))
    with snapshot() as code:
        missing = [run for run in wanted if not (results / run.file(code.commit)).exists()]
        click.echo(f"tsattn at {code.commit}: {len(wanted) - len(missing)} of {len(wanted)} runs are done", err=True)
        if only_list:
            for run in wanted:
                click.echo(f"{'to do' if run in missing else 'done ':6} {run.title}")
            return
        python = environment.python(peers) if any(run.contestant.peer for run in missing) else Path(sys.executable)
        if _run_all(Runner(results, data_folder(), code, python, set()), missing):
            sys.exit(1)


@main.command("table")
@click.option("--output", type=click.Path(path_type=Path), help="File [default: beside the results]; - prints.")
@_RESULTS
def table_command(output: Path | None, results: Path) -> None:
    """Write the tables from the results."""
    written = document([read(path) for path in sorted(results.glob("*.json"))])
    if str(output) == "-":
        click.echo(written, nl=False)
        return
    file = output or results.with_name(f"{results.name}.md")
    file.write_text(written, encoding="utf-8")
    click.echo(os.path.relpath(file))


def _run_all(runner: Runner, missing: list[Run]) -> int:
    """Do the runs; return the number of those that failed."""
    failed = 0
    # So that being ended from outside ends the run under way as an interrupt does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for number, run in enumerate(missing, start=1):
        click.echo(f"{number}/{len(missing)} {run.title}", err=True)
        try:
            result = runner(run)
        except KeyboardInterrupt:
            for process in runner.processes:
                # Lightning answers a request to end at the next batch alone.
                process.kill()
            click.echo("Interrupted; the same command goes on from here.", err=True)
            return 1
        except (TsattnError, ValueError, OSError) as error:
            # The runs after it may go well.
            failed += 1
            click.echo(f"  failed: {error}", err=True)
            continue
        figures = "  ".join(f"{name} {result['figures'][name]:.4f}" for name in run.task.metrics)
        over = ", over the budget" if result["over_budget"] else ""
        told = f"fitted after {result['fitted_seconds']:.0f} s{over}, {result['peak_memory_mb']} MB"
        click.echo(f"  {figures}  {told}", err=True)
    return failed


if __name__ == "__main__":
    try:
        main()
    except TsattnError as error:
        sys.exit(str(error))
