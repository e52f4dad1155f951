"""The class of all commands: options of output, grouped help, result as text or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from tsattn.cli.help import Context, Example, write_examples, write_options


class Command(click.Command):
    """A command that prints its result, or with ``--json`` the JSON document with the values that it returns.

    A command that prints the document itself returns None.

    Args:
        examples: Commands and the reasons to type them, for the help.
    """

    context_class = Context

    def __init__(self, *arguments: Any, examples: Sequence[Example] = (), **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.examples = examples
        self.params += [
            click.Option(["-q", "--quiet"], is_flag=True, help="Print the result, warnings and errors only."),
            click.Option(["-v", "--verbose"], is_flag=True, help="Print details and their times."),
            click.Option(
                ["--json", "as_json"], is_flag=True, help="Print the result as JSON, see docs/command-line.md."
            ),
        ]

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in groups, then the examples."""
        write_options(self, context, formatter)
        write_examples(self.examples, formatter)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; one too many is often a second value of an option or of an unquoted pattern."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if others := _commands_with(error.option_name, ctx):
                raise click.UsageError(f"{error.message} It is an option of {' and '.join(others)}.", ctx) from None
            raise
        except click.UsageError as error:
            if "unexpected extra argument" not in error.message:
                raise
            hint = "separate the values of an option by commas, and put a pattern of files in quotes"
            raise click.UsageError(f"{error.message}: {hint}", ctx) from None

    def invoke(self, context: click.Context) -> Any:
        """Run the command."""
        from tsattn.cli.document import write_document
        from tsattn.cli.screen import Screen

        quiet, verbose, as_json = (context.params.pop(name) for name in ("quiet", "verbose", "as_json"))
        if quiet and verbose:
            raise click.UsageError("--quiet and --verbose exclude each other")
        with Screen(int(verbose) - int(quiet), as_json=as_json) as screen:
            context.obj = screen
            result = super().invoke(context)
        if as_json and result is not None:
            write_document(context.info_name, result, screen)
        context.exit(screen.exit_status)


def _commands_with(option: str, context: click.Context) -> list[str]:
    """Return up to two commands that have an option."""
    group = context.parent and context.parent.command
    if not isinstance(group, click.Group):
        return []
    commands = {name: group.get_command(context, name) for name in group.list_commands(context)}
    found = [name for name, command in commands.items() if command and any(option in x.opts for x in command.params)]
    return [f"tsattn {name}" for name in found[:2]]
