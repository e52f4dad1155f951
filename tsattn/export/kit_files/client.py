"""Client for forecasts that needs only Python's standard library.

Usage: python client.py [URL] [REQUEST.json]. From other programs:

    answer = ask(URL, {"past": [[[112.0], [118.0], [None]]], "length": [3]})
"""

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

URL = "http://127.0.0.1:8501/v1/models/@NAME@:predict"


def ask(url: str, inputs: dict[str, Any], signature: str = "serving_default") -> Any:
    """Return the outputs by name. Inputs are nested lists by name, with None or NaN for missing values."""
    return send(url, {"signature_name": signature, "inputs": inputs})["outputs"]


def send(url: str, request: dict[str, Any]) -> Any:
    """Return the response to a request in row format ("instances") or column format ("inputs")."""
    body = json.dumps(without_none(request)).encode()
    post = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(post, timeout=60) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{url}: {error.code}: {error.read().decode(errors='replace')}") from None


def without_none(part: Any) -> Any:
    """Return nested lists and dictionaries with None replaced by NaN, because servers reject null."""
    if isinstance(part, dict):
        return {name: without_none(value) for name, value in part.items()}
    if isinstance(part, list):
        return [without_none(value) for value in part]
    return float("nan") if part is None else part


if __name__ == "__main__":
    url = sys.argv[1] if len(sys.argv) > 1 else URL
    path = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_name("request.json")
    json.dump(send(url, json.loads(path.read_text(encoding="utf-8"))), sys.stdout)
    print()
