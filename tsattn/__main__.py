"""``python -m tsattn``: the command line, where the script ``tsattn`` is not on the path."""

from tsattn.cli import main

main(prog_name="python -m tsattn")
