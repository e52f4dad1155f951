"""``python -m benchmarks.accuracy``: execute the plan and write the tables."""

from __future__ import annotations

import signal
import sys
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

import click

from benchmarks.accuracy.launch import Launcher
from benchmarks.accuracy.plan import PLAN, Run, RunFilter, list_runs, read_plan
from benchmarks.accuracy.snapshot import take_snapshot
from benchmarks.accuracy.store import RESULTS, Result, Store
from benchmarks.accuracy.tables import render_tables
from benchmarks.accuracy.tasks import TEST, VALIDATION, Stage
from benchmarks.cli import data_folder, parse_seeds, print_or_write
from tsattn.errors import TsattnError

_PLAN = click.option("--plan", "plan_file", type=click.Path(path_type=Path), default=PLAN, help="Plan to use.")
_RESULTS = click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Folder of results.")
_STAGE = click.option("--stage", type=click.Choice([TEST, VALIDATION]), default=TEST, show_default=True)


@click.group()
def main() -> None:
    """Accuracy benchmarks. TSATTN_DATA_DIR is the data folder."""


@main.command("run")
@click.option("--table", "tables", multiple=True, metavar="NAME", help="Only this table of the plan; may be repeated.")
@click.option("--only", "tasks", multiple=True, metavar="TASK", help="Only this task, such as etth1-96.")
@click.option("--variant", "variants", multiple=True, metavar="NAME", help="Only this variant; * matches anything.")
@click.option("--seeds", metavar="0,1,2", help="Seeds to use instead of those of the plan.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set an option; validation only.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Concurrent runs.")
@click.option("--any-commit", is_flag=True, help="Also skip runs with a result of another commit.")
@click.option("--list", "only_list", is_flag=True, help="List the runs without executing them.")
@_STAGE
@_PLAN
@_RESULTS
def run_command(
    tables: tuple[str, ...],
    tasks: tuple[str, ...],
    variants: tuple[str, ...],
    seeds: str | None,
    settings: tuple[str, ...],
    jobs: int,
    any_commit: bool,
    only_list: bool,
    stage: Stage,
    plan_file: Path,
    results: Path,
) -> None:
    """Execute the runs without a result."""
    selection = RunFilter(
        tables or ("*",), tasks or ("*",), variants or ("*",), None if seeds is None else parse_seeds(seeds), settings
    )
    wanted = list_runs(read_plan(plan_file), stage, selection)
    store = Store(results)
    with take_snapshot() as code:
        launcher = Launcher(store, stage, code, Path() if only_list else data_folder(), jobs)
        missing = [run for run in wanted if not store.find(stage, launcher.key(run), any_commit=any_commit)]
        click.echo(f"{stage} at {code.commit}: {len(wanted) - len(missing)} of {len(wanted)} runs are done", err=True)
        if only_list:
            for run in wanted:
                click.echo(f"{'to do' if run in missing else 'done ':6} {_title(run)}")
        elif _run_all(launcher, missing, jobs, stage):
            sys.exit(1)


@main.command("table")
@click.option("--output", type=click.Path(path_type=Path), help="File [default: next to the results]; - prints.")
@_STAGE
@_PLAN
@_RESULTS
def table_command(output: Path | None, stage: Stage, plan_file: Path, results: Path) -> None:
    """Write the tables of the recorded results."""
    text = render_tables(read_plan(plan_file), Store(results).results(stage), stage)
    default = results.with_name(f"{results.name}.md" if stage == TEST else f"{results.name}-validation.md")
    print_or_write(text, output or default)


def _run_all(launcher: Launcher, missing: list[Run], jobs: int, stage: Stage) -> int:
    """Execute the runs and return the number of failures."""
    failed = 0
    # SIGTERM stops the current runs as an interrupt does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ThreadPoolExecutor(jobs) as pool:
        futures: dict[Future[Result], Run] = {pool.submit(launcher, run): run for run in missing}
        try:
            for number, future in enumerate(as_completed(futures), start=1):
                failed += bool(future.exception())
                click.echo(f"{number}/{len(missing)} {_title(futures[future])}  {_outcome(future, stage)}")
        except KeyboardInterrupt:
            launcher.stop()
            pool.shutdown(cancel_futures=True)
            click.echo("Interrupted; the same command continues from here.", err=True)
            return 1
    return failed


def _title(run: Run) -> str:
    return f"{run.task.name:14} {run.variant:32} {run.hash} seed {run.seed}"


def _outcome(future: Future[Result], stage: Stage) -> str:
    # The next runs may succeed, whatever the error.
    if error := future.exception():
        return f"failed: {error}"
    result = future.result()
    figures = "  ".join(f"{name} {value:.4f}" for name, value in result[stage].items() if isinstance(value, float))
    return f"{figures}  {result['seconds']:.0f} s  {result['peak_memory_mb']} MB"


if __name__ == "__main__":
    try:
        main()
    except TsattnError as error:
        sys.exit(str(error))
