"""The OpenAPI document matches the behaviour of the server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from serving.live_server import HORIZON, NAME, Served


def test_the_document_has_the_names_and_shapes_of_the_model(served_covered: Served) -> None:
    document = served_covered.http.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for path in (f"/v1/models/{NAME}:predict", f"/v2/models/{NAME}/infer", "/v1/forecast", "/health"):
        assert path in document["paths"]
    row = document["components"]["schemas"]["Instance"]
    assert row["properties"].keys() == served_covered.engine.resolve().signature("serving_default").inputs.keys()
    assert row["properties"]["future_covariates"]["minItems"] == HORIZON
    assert row["properties"]["length"]["type"] == "integer"


def explore(served: Served, folder: Path, *options: str) -> None:
    """Test every operation with valid and invalid requests by schemathesis."""
    pytest.importorskip("schemathesis", reason="schemathesis, from the extra dev, is not installed")
    # JSON Schema cannot express that two lists have the same length, so a request that matches can be invalid.
    options = ("--exclude-checks", "positive_data_acceptance", "--seed", "1", "--generation-database", "none", *options)
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{served.server.url}/openapi.json", *options]
    result = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    assert 'status="5' not in served.http.get("/monitoring/prometheus/metrics").text


def test_schemathesis_finds_no_error_at_boundary_values(served: Served, tmp_path: Path) -> None:
    explore(served, tmp_path, "--phases", "coverage")


@pytest.mark.slow
def test_schemathesis_finds_no_error_in_random_requests(served_covered: Served, tmp_path: Path) -> None:
    explore(served_covered, tmp_path, "--max-examples", "60")
