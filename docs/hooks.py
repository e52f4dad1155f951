"""Hooks of MkDocs: files outside of docs/, links to them, tables of options, and formulas.

The pages are written for GitHub as well as for the site, so that their links are paths within the repository.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
from collections.abc import Iterable
from html import unescape
from pathlib import Path
from typing import Any

import click
import griffe
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from tsattn import Forecaster
from tsattn.cli import main
from tsattn.cli.info import format_default, format_type

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "README.zh-CN.md": "zh-CN.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Pages of the root of the repository, by their place in the site. Other linked files have the same path in both."""

LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")
FENCE = re.compile(r"^```.*?^```", re.S | re.M)
OPTIONS = re.compile(r"<!-- options: ([\w.]+)(?: beyond ([\w.]+))? -->")
COMMANDS = "<!-- commands -->"
OPTION = re.compile(r"(?<=[>\s])--[a-z][a-z-]*(?=[\s<])")
FIGURES = re.compile(r"(?<=\d) / (?=[.\d])")
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.S)


def _in_site(path: Path) -> str:
    """Return the place of a file of the repository in the site."""
    name = path.relative_to(ROOT).as_posix()
    return PAGES.get(name, name.removeprefix("docs/")).replace(".ipynb", ".md")


def _rewrite_links(markdown: str, source: Path, found: set[Path] | None = None) -> str:
    """Return a page with links that are valid in the site, and add the linked files to those found."""
    here = os.path.dirname(_in_site(source))

    def replace(match: re.Match[str]) -> str:
        target = (source.parent / match[1]).resolve()
        if not target.is_file():
            raise PluginError(f"{source.relative_to(ROOT)} links to {match[1]}, which is not a file")
        if found is not None:
            found.add(target)
        return os.path.relpath(_in_site(target), here or ".") + (match[2] or "")

    fences = FENCE.findall(markdown)
    prose = [LINK.sub(replace, part) for part in FENCE.split(markdown)]
    return prose[0] + "".join(fence + part for fence, part in zip(fences, prose[1:], strict=True))


def _notebook(path: Path) -> str:
    """Return a notebook with its outputs as Markdown."""
    parts = []
    for cell in json.loads(path.read_text())["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        parts += map(_output, cell.get("outputs", []))
    return "\n\n".join(parts)


def _output(output: dict[str, Any]) -> str:
    """Return an output of a cell: a picture, a table or text."""
    data = {kind: "".join(lines) for kind, lines in output.get("data", {"text/plain": output.get("text", "")}).items()}
    if "image/png" in data:
        return f"![](data:image/png;base64,{data['image/png'].replace(chr(10), '')})"
    if "text/html" in data:
        table = re.sub(r"<style.*?</style>\s*", "", data["text/html"], flags=re.S)
        return re.sub(r'(<table) border="1" class="dataframe"', r"\1", table)
    return f"```text\n{data['text/plain'].rstrip()}\n```"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the root and every file outside of docs/ that a page links to."""
    docs = Path(config.docs_dir)
    todo = {ROOT / name for name in PAGES} | set(docs.rglob("*.md"))
    seen: set[Path] = set()
    while todo:
        path = todo.pop()
        seen.add(path)
        if path.suffix == ".ipynb":
            files.append(File.generated(config, _in_site(path), content=_notebook(path)))
        elif not path.is_relative_to(docs):
            files.append(File.generated(config, _in_site(path), abs_src_path=str(path)))
        if path.suffix == ".md":
            linked: set[Path] = set()
            _rewrite_links(path.read_text(), path, linked)
            todo |= linked - seen
    return files


def _fields(name: str | None) -> dict[str, Any]:
    """Return the described fields of a class of tsattn by name."""
    if name is None:
        return {}
    module, _, kind = name.rpartition(".")
    fields = getattr(importlib.import_module(module), kind).model_fields
    return {key: field for key, field in fields.items() if field.description}


def _table(name: str, base: str | None) -> str:
    """Return the options of a class as a table, without those that are the same in another class."""
    known = _fields(base)
    rows = [
        (
            f"`{key}`",
            "&ndash;" if field.default is None else f"`{format_default(field.default)}`",
            format_type(field.annotation),
            field.description,
        )
        for key, field in _fields(name).items()
        if key not in known or field.description != known[key].description
    ]
    lines = [" | ".join(map(_escape, row)) for row in rows]
    return "\n".join(
        ["| option | default | values | description |", "|---|---|---|---|", *(f"| {it} |" for it in lines)]
    )


class MarkdownFormatter(click.HelpFormatter):
    """Writes the help of a command as Markdown."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the line with the arguments."""
        self.write(f"```text\n{prog} {args}\n```\n\n")

    def write_heading(self, heading: str) -> None:
        """Write the name of a group of options."""
        self.write(f"**{heading}**\n\n")

    def write_text(self, text: str) -> None:
        """Write paragraphs."""
        self.write(re.sub(r"(?<![`\w-])(--[\w-]+)", r"`\1`", inspect.cleandoc(text)) + "\n\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], *_: Any, **__: Any) -> None:
        """Write options or commands and their descriptions as a table."""
        lines = [f"| `{name}` | {text} |" for name, text in (map(_escape, row) for row in rows)]
        self.write("\n".join(["| name | description |", "|---|---|", *lines]) + "\n\n")


def _escape(text: str) -> str:
    """Return a text for a cell of a table."""
    return str(text).replace("|", "\\|").replace("<", "&lt;")


def _commands() -> str:
    """Return the help of tsattn and of all its commands."""
    group = click.Context(main, info_name="tsattn")
    texts = []
    contexts = [group]
    for name in main.list_commands(group):
        if command := main.get_command(group, name):
            contexts.append(click.Context(command, group, info_name=name))
    for context in contexts:
        formatter = MarkdownFormatter()
        context.command.format_help(context, formatter)
        texts.append(f"## {context.info_name}\n\n{formatter.getvalue()}")
    return "\n".join(texts)


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Insert the tables of options, and make links valid in the site."""
    source = Path(page.file.abs_src_path or ROOT / page.file.src_uri)
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, _commands())
    return OPTIONS.sub(lambda match: _table(match[1], match[2]), _rewrite_links(markdown, source))


class Docstrings(griffe.Extension):
    """Makes docstrings known to griffe.

    That of `Forecaster` is read at run time, because a decorator inserts the descriptions of its options. The section
    "Call arguments" of layers becomes a list of parameters, and "Example" a section of code.
    """

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Replace the docstring of the source."""
        if obj.docstring is not None:
            text = inspect.getdoc(Forecaster) if obj.path.endswith(".Forecaster") else obj.docstring.value
            for ours, theirs in (("Call arguments:", "Other Parameters: Call arguments"), ("Example:", "Examples:")):
                text = (text or "").replace(f"\n{ours}\n", f"\n{theirs}\n")
            obj.docstring.value = text


def on_page_content(html: str, **_: Any) -> str:
    """Write formulas as MathML, which browsers show without a script; keep options and pairs of figures in one line."""
    html = OPTION.sub(r'<span class="option">\g<0></span>', FIGURES.sub("\u00a0/\u00a0", html))
    return FORMULA.sub(
        lambda match: convert(unescape(match[2]), display="block" if match[1] == "div" else "inline"), html
    )
