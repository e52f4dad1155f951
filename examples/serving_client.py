"""Ask TensorFlow Serving, or ``tsattn serve``, for a forecast, with Python's standard library.

    tsattn serve runs/airline
    python examples/serving_client.py datasets/Airline.csv http://127.0.0.1:8501/v1/models/airline:predict

The request has the history in original units, one row per series, padded on the right to one length.
"""

import csv
import json
import sys
import urllib.request


def forecast(histories, url):
    """Return the forecasts of histories of any length; None is a missing value."""
    longest = max(map(len, histories))
    past = [[[float("nan") if x is None else x] for x in row] + [[0.0]] * (longest - len(row)) for row in histories]
    body = json.dumps({"inputs": {"past": past, "length": [len(row) for row in histories]}}).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"})) as response:
        outputs = json.load(response)["outputs"]
    return [[step[0] for step in row] for row in outputs["forecast"]]


if __name__ == "__main__":
    data, url = sys.argv[1:]
    with open(data, newline="") as file:
        values = [float(row[-1]) if row[-1] else None for row in list(csv.reader(file))[1:]]
    whole, last_years = forecast([values, values[-36:]], url)
    print("from the whole history:  ", *(f"{value:.0f}" for value in whole))
    print("from its last 36 values: ", *(f"{value:.0f}" for value in last_years))
