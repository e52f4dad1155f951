"""``python -m benchmarks.accuracy``: run what the plan says, write the tables."""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

import click

from benchmarks.accuracy.launch import Launcher
from benchmarks.accuracy.options import data_folder, numbers
from benchmarks.accuracy.plan import PLAN, Choice, Plan, Run, read_plan, runs
from benchmarks.accuracy.snapshot import snapshot
from benchmarks.accuracy.store import RESULTS, Result, Store
from benchmarks.accuracy.tables import document
from benchmarks.accuracy.tasks import TEST, VALIDATION, Stage
from tsattn.errors import TsattnError

_PLAN = click.option("--plan", "plan_file", type=click.Path(path_type=Path), default=PLAN, help="Another plan.")
_RESULTS = click.option(
    "--results", type=click.Path(path_type=Path), default=RESULTS, help="Another folder of results."
)
_STAGE = click.option("--stage", type=click.Choice([TEST, VALIDATION]), default=TEST, show_default=True)


@click.group()
def main() -> None:
    """Accuracy benchmarks. Data are found through TSATTN_DATA_DIR."""


@main.command("run")
@click.option("--table", "tables", multiple=True, metavar="NAME", help="Only this table of the plan; may be repeated.")
@click.option("--only", "tasks", multiple=True, metavar="TASK", help="Only this task, such as etth1-96.")
@click.option("--variant", "variants", multiple=True, metavar="NAME", help="Only this row; * stands for anything.")
@click.option("--seeds", metavar="0,1,2", help="Other seeds than those of the plan.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Try an option; validation only.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Runs at a time.")
@click.option("--any-commit", is_flag=True, help="Leave out what has a result of another commit, too.")
@click.option("--list", "only_list", is_flag=True, help="Say what would be run, and run nothing.")
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
    """Run what has no result yet."""
    chosen = None if seeds is None else numbers(seeds)
    choice = Choice(tables or ("*",), tasks or ("*",), variants or ("*",), chosen, settings)
    wanted = runs(read_plan(plan_file), stage, choice)
    store = Store(results)
    with snapshot() as code:
        launcher = Launcher(store, stage, code, Path() if only_list else data_folder(), jobs)
        missing = [run for run in wanted if not store.find(stage, launcher.key(run), any_commit=any_commit)]
        click.echo(f"{stage} at {code.commit}: {len(wanted) - len(missing)} of {len(wanted)} runs are done", err=True)
        if only_list:
            for run in wanted:
                click.echo(f"{'to do' if run in missing else 'done ':6} {_title(run)}")
        elif _run_all(launcher, missing, jobs, stage):
            sys.exit(1)


@main.command("table")
@click.option("--output", type=click.Path(path_type=Path), help="File [default: beside the results]; - prints.")
@_STAGE
@_PLAN
@_RESULTS
def table_command(output: Path | None, stage: Stage, plan_file: Path, results: Path) -> None:
    """Write the tables from the results."""
    plan: Plan = read_plan(plan_file)
    text = document(plan, Store(results).results(stage), stage)
    if str(output) == "-":
        click.echo(text, nl=False)
        return
    default = results.with_name(f"{results.name}.md" if stage == TEST else f"{results.name}-validation.md")
    (output or default).write_text(text, encoding="utf-8")
    click.echo(os.path.relpath(output or default))


def _run_all(launcher: Launcher, missing: list[Run], jobs: int, stage: Stage) -> int:
    """Do the runs; return the number of those that failed."""
    failed = 0
    # So that being ended from outside ends the runs under way as an interrupt does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ThreadPoolExecutor(jobs) as pool:
        futures: dict[Future[Result], Run] = {pool.submit(launcher, run): run for run in missing}
        try:
            for number, future in enumerate(as_completed(futures), start=1):
                failed += bool(future.exception())
                click.echo(f"{number}/{len(missing)} {_title(futures[future])}  {_told(future, stage)}")
        except KeyboardInterrupt:
            launcher.stop()
            pool.shutdown(cancel_futures=True)
            click.echo("Interrupted; the same command goes on from here.", err=True)
            return 1
    return failed


def _title(run: Run) -> str:
    return f"{run.task.name:14} {run.variant:32} {run.hash} seed {run.seed}"


def _told(future: Future[Result], stage: Stage) -> str:
    # Whatever went wrong, the runs after it may go well.
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
