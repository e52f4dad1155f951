"""``tsattn serve``."""

from __future__ import annotations

import ipaddress
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tsattn.cli.options import console, quiet_start
from tsattn.errors import ConfigError, RunError

if TYPE_CHECKING:
    from tsattn.serving.server import Server
    from tsattn.serving.settings import Settings

TOKEN = "TSATTN_TOKEN"

_NEEDS = {"starlette", "uvicorn", "prometheus_client"}

_SECONDS = click.FloatRange(0, min_open=True)


@click.command()
@click.argument("model", metavar="RUN|SAVED_MODEL", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 for every one.")
@click.option("--port", type=click.IntRange(0, 65535), default=8501, show_default=True, help="0 for a free one.")
@click.option("--grpc-port", type=click.IntRange(0, 65535), help="Serve gRPC too, usually at 8500 [default: do not].")
@click.option("--name", help="Name of the model in addresses [default: the one it was exported by].")
@click.option("--label", "labels", multiple=True, metavar="NAME=VERSION", help="A version to keep, under this label.")
@click.option("--poll-seconds", type=click.FloatRange(0), default=2.0, show_default=True, help="0: no new versions.")
@click.option("--batching/--no-batching", default=True, help="Run requests that wait together [default: batching].")
@click.option("--max-batch-size", type=click.IntRange(1), default=128, show_default=True, help="Rows run together.")
@click.option("--batch-timeout-micros", type=click.IntRange(0), default=0, show_default=True, help="Wait for others.")
@click.option("--num-batch-threads", type=click.IntRange(1), default=1, show_default=True, help="Batches at a time.")
@click.option("--max-enqueued-batches", type=click.IntRange(1), default=100, show_default=True, help="Then 429.")
@click.option("--max-request-bytes", type=click.IntRange(1), default=16 * 2**20, show_default=True, help="Then 413.")
@click.option("--max-connections", type=click.IntRange(1), default=1024, show_default=True, help="Then 503.")
@click.option("--read-timeout", type=_SECONDS, default=30.0, show_default=True, help="Then 408.")
@click.option("--request-timeout", type=_SECONDS, default=30.0, show_default=True, help="Then 504.")
@click.option(
    "--shutdown-timeout",
    type=_SECONDS,
    default=30.0,
    show_default=True,
    help="Seconds for requests in flight at the end.",
)
@click.option("--token-file", type=click.Path(path_type=Path), help=f"File with the bearer token [default: ${TOKEN}].")
def serve(model: Path, labels: tuple[str, ...], token_file: Path | None, **given: Any) -> None:
    """Serve the model of a run directory, or a SavedModel, by HTTP as TensorFlow Serving does.

    It answers /v1/models/NAME:predict, the Open Inference Protocol under /v2 and rows of data at /v1/forecast; / is a
    page to try it. A new version that is laid into the folder is served without a pause. SIGTERM or Ctrl-C finishes
    what is in flight.
    """
    terminal = console()
    try:
        with quiet_start():
            from tsattn.serving.engine import Engine
            from tsattn.serving.server import Server
            from tsattn.serving.settings import Settings
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in _NEEDS:
            raise
        raise RunError(f"serving needs {error.name}, which is not installed: pip install 'tsattn[serve]'") from None
    settings = Settings(labels=_labels(labels), token=_token(token_file), **given)
    if settings.token is None and not _is_local(settings.host):
        terminal.print(f"Warning: everybody who reaches {settings.host} may use this server: set {TOKEN} to a token.")
    _log()
    server = Server(settings)
    try:
        with quiet_start():
            engine = Engine.open(model, settings)
        server.run(engine, lambda: _tell(server, engine.name, engine.repository.loaded(), settings))
    finally:
        server.close()
    terminal.print("Stopped.")


def _tell(server: Server, name: str, versions: list[int], settings: Settings) -> None:
    grpc = "" if server.grpc_port is None else f", gRPC at {settings.host}:{server.grpc_port}"
    which = ", ".join(str(version) for version in versions)
    click.echo(f"Serving {name}, version {which}, at {server.url}{grpc}")


def _labels(given: tuple[str, ...]) -> dict[str, int]:
    labels = {}
    for text in given:
        label, _, version = text.partition("=")
        if not label or set(label) & set("/:?#%") or not (version.isascii() and version.isdecimal()):
            raise ConfigError(f"--label {text}: expected a name and a version, such as stable=1")
        labels[label] = int(version)
    return labels


def _token(path: Path | None) -> str | None:
    if path is None:
        token = os.environ.get(TOKEN, "").strip()
        where = TOKEN
    else:
        where = str(path)
        try:
            token = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise RunError(f"{path}: expected a file with the token, but it cannot be read") from None
        if not token:
            raise RunError(f"{path}: expected a file with the token, but it is empty")
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise RunError(f"{where}: expected a token of letters, digits and signs, without spaces")
    return token or None


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _log() -> None:
    """Tell of new versions and of failures on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log = logging.getLogger("tsattn.serving")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
