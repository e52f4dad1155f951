"""``tsattn export`` and ``tsattn serve``."""

from __future__ import annotations

import ipaddress
import logging
import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from tsattn.cli.command import Command, load_forecaster
from tsattn.cli.options import PATH, add_options, config_option, import_option, out_option, verify_option
from tsattn.cli.output import write_document
from tsattn.cli.screen import Screen, current_screen
from tsattn.errors import ConfigError, RunError, import_extra
from tsattn.export import Format
from tsattn.serving.settings import Settings

if TYPE_CHECKING:
    from tsattn.serving.engine import Engine
    from tsattn.serving.server import Server


_logger = logging.getLogger(__name__)

TOKEN = "TSATTN_TOKEN"
"""Environment variable of the bearer token."""


@click.command(
    cls=Command,
    examples=(
        ("tsattn export runs/sales -o models/sales", "A SavedModel for TensorFlow Serving"),
        ("tsattn export runs/sales --format onnx", "An ONNX model"),
    ),
)
@click.argument("run", type=PATH)
@import_option
@verify_option
@click.option(
    "--format", type=click.Choice(get_args(Format)), default="saved_model", show_default=True, help="Kind of the model."
)
@out_option("Folder of versions, to which the next one is added.", "RUN/ and the format")
@click.option("--name", help="Name of the model.  [default: the name of RUN]")
@click.option(
    "--batch", type=click.IntRange(1), metavar="N", help="Number of series per request; LiteRT only, which requires it."
)
@click.option(
    "--time", type=click.IntRange(1), metavar="N", help="Number of steps per request; LiteRT only, which requires it."
)
def export(
    run: Path, verify: bool, format: Format, out: Path | None, name: str | None, batch: int | None, time: int | None
) -> dict[str, Any]:
    """Export the forecaster in RUN for other programs.

    The export is the next version in the folder: 1, 2, ... Before that, a new process without tsattn verifies that it
    gives the results of the model in Python. A SavedModel includes a client kit: configurations for TensorFlow
    Serving, a sample request, and clients in Python, shell and C.
    """
    from tsattn.export.isolated_process import started_early

    screen = current_screen()
    with started_early(format) if format != "keras" else nullcontext():
        forecaster = load_forecaster(run, verify=verify)
        path = forecaster.export(out or run / format, format, name=name or run.absolute().name, batch=batch, time=time)
    screen.show(f"Written: {path}/, verified against the model in Python. See MODEL_CARD.md.")
    screen.print(str(path))
    return {"path": path, "format": format}


@click.command(
    cls=Command,
    examples=(
        ("tsattn serve runs/sales", "On this machine"),
        ("tsattn serve runs/sales --host :: --token-file token", "For others, with a token"),
    ),
)
@click.argument("model", metavar="RUN|SAVED_MODEL", type=PATH)
@add_options([config_option(Settings, name) for name in Settings.model_fields if name not in ("labels", "token")])
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="NAME=VERSION",
    help="Version to keep loaded under a label; may be repeated.",
)
@click.option("--token-file", type=PATH, help=f"File with the bearer token.  [default: ${TOKEN}]")
def serve(model: Path, labels: tuple[str, ...], token_file: Path | None, **options: Any) -> None:
    """Serve the model of a run, or a SavedModel, by HTTP.

    The server has the API of TensorFlow Serving at /v1/models/NAME:predict, the Open Inference Protocol at /v2, and
    takes data records at /v1/forecast; the page at / is a client. A new version in the folder is served without
    interruption. SIGTERM or Ctrl-C stops the server after the requests in progress.
    """
    screen = current_screen()
    import_extra("uvicorn", "serve", "serving")
    _logger.info("Loading TensorFlow")
    server_type = import_extra("tsattn.serving.server", "serve", "serving").Server
    engine_type = import_extra("tsattn.serving.engine", "serve", "serving").Engine
    options = {name: value for name, value in options.items() if value is not None}
    settings = Settings(labels=_parse_labels(labels), token=_read_token(token_file), **options)
    if settings.token is None and not _is_local(settings.host):
        screen.warn(f"everyone who reaches {settings.host} can use this server: set {TOKEN} to a token.")
    _configure_logging()
    server: Server = server_type(settings)
    try:
        _logger.info("Loading %s", model)
        engine = engine_type.open(model, settings)
        server.run(engine, lambda: _print_address(screen, server, engine, settings))
    finally:
        server.close()
    screen.show("Stopped.")
    if server.is_interrupted:
        raise KeyboardInterrupt


def _print_address(screen: Screen, server: Server, engine: Engine, settings: Settings) -> None:
    """Print where the server listens; as JSON at once, because the command does not end."""
    grpc = None if server.grpc_port is None else f"{settings.host}:{server.grpc_port}"
    versions = engine.repository.loaded()
    if screen.as_json:
        write_document("serve", {"name": engine.name, "versions": versions, "url": server.url, "grpc": grpc}, screen)
    listed = ", ".join(str(version) for version in versions)
    screen.print(f"Serving {engine.name}, version {listed}, at {server.url}{f', gRPC at {grpc}' if grpc else ''}")


def _parse_labels(texts: tuple[str, ...]) -> dict[str, int]:
    labels = {}
    for text in texts:
        label, _, version = text.partition("=")
        if not label or set(label) & set("/:?#%") or not (version.isascii() and version.isdecimal()):
            raise ConfigError(f"--label {text}: expected a name and a version, such as stable=1")
        labels[label] = int(version)
    return labels


def _read_token(path: Path | None) -> str | None:
    if path is None:
        token, source = os.environ.get(TOKEN, "").strip(), TOKEN
    else:
        source = str(path)
        try:
            token = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise RunError(f"{path}: expected a file with the token, but it cannot be read") from None
        if not token:
            raise RunError(f"{path}: expected a file with the token, but it is empty")
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise RunError(f"{source}: expected a token of letters, digits and signs, without spaces")
    return token or None


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _configure_logging() -> None:
    """Log new versions and failures on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("tsattn.serving")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
