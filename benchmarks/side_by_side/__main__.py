"""``python -m benchmarks.side_by_side``: execute the runs without a result and write the tables."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import click

from benchmarks.accuracy.snapshot import take_snapshot
from benchmarks.accuracy.store import read_result
from benchmarks.accuracy.tasks import get_task
from benchmarks.cli import data_folder, parse_seeds, print_or_write
from benchmarks.side_by_side import environment
from benchmarks.side_by_side.contestants import CONTESTANTS
from benchmarks.side_by_side.runs import RESULTS, Run, Runner, list_runs
from benchmarks.side_by_side.table import render_tables
from tsattn.errors import TsattnError

TASKS = ("m4-hourly", "etth1-96")
BUDGETS = (120, 300, 600)
NAMES = [contestant.name for contestant in CONTESTANTS]

_RESULTS = click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Folder of results.")


@click.group()
def main() -> None:
    """Compare the default with other forecasters. TSATTN_DATA_DIR is the data folder."""


@main.command("run")
@click.option("--task", "tasks", multiple=True, type=click.Choice(TASKS), default=TASKS, help="Only this task.")
@click.option("--budget", "budgets", multiple=True, type=click.IntRange(1), default=BUDGETS, help="Seconds.")
@click.option("--only", "names", multiple=True, type=click.Choice(NAMES), help="Only this contestant.")
@click.option("--without", multiple=True, type=click.Choice(NAMES), help="Exclude this contestant.")
@click.option(
    "--seeds", metavar="0,1,2", default="0", show_default=True, help="Seeds of the contestants with a budget."
)
@click.option(
    "--peers",
    type=click.Path(path_type=Path),
    default=environment.FOLDER,
    help="Folder of the virtual environment of the peers.",
)
@click.option("--list", "only_list", is_flag=True, help="List the runs without executing them.")
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
    """Execute the runs without a result. --task, --budget, --only and --without may be repeated."""
    selected = [name for name in names or NAMES if name not in without]
    wanted = list_runs([get_task(name) for name in tasks], selected, budgets, parse_seeds(seeds))
    with take_snapshot() as code:
        missing = [run for run in wanted if not (results / run.file(code.commit)).exists()]
        click.echo(f"tsattn at {code.commit}: {len(wanted) - len(missing)} of {len(wanted)} runs are done", err=True)
        if only_list:
            for run in wanted:
                click.echo(f"{'to do' if run in missing else 'done ':6} {run.title}")
            return
        python = (
            environment.ensure_python(peers) if any(run.contestant.peer for run in missing) else Path(sys.executable)
        )
        if _run_all(Runner(results, data_folder(), code, python, set()), missing):
            sys.exit(1)


@main.command("table")
@click.option("--output", type=click.Path(path_type=Path), help="File [default: next to the results]; - prints.")
@_RESULTS
def table_command(output: Path | None, results: Path) -> None:
    """Write the tables of the recorded results."""
    text = render_tables([read_result(path) for path in sorted(results.glob("*.json"))])
    print_or_write(text, output or results.with_name(f"{results.name}.md"))


def _run_all(runner: Runner, missing: list[Run]) -> int:
    """Execute the runs and return the number of failures."""
    failed = 0
    # SIGTERM stops the current run as an interrupt does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for number, run in enumerate(missing, start=1):
        click.echo(f"{number}/{len(missing)} {run.title}", err=True)
        try:
            result = runner(run)
        except KeyboardInterrupt:
            for process in runner.processes:
                # Lightning handles SIGTERM only at the next batch.
                process.kill()
            click.echo("Interrupted; the same command continues from here.", err=True)
            return 1
        except (TsattnError, ValueError, OSError) as error:
            # The next runs may succeed.
            failed += 1
            click.echo(f"  failed: {error}", err=True)
            continue
        figures = "  ".join(f"{name} {result['figures'][name]:.4f}" for name in run.task.metrics)
        over = ", over the budget" if result["over_budget"] else ""
        costs = f"fitted after {result['fitted_seconds']:.0f} s{over}, {result['peak_memory_mb']} MB"
        click.echo(f"  {figures}  {costs}", err=True)
    return failed


if __name__ == "__main__":
    try:
        main()
    except TsattnError as error:
        sys.exit(str(error))
