"""A forecaster at the end of a scikit-learn pipeline, and a grid search over its options.

A step of the pipeline maps a whole frame to a whole frame; here it limits outliers.
"""

import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tsattn import Forecaster


def limit_outliers(frame):
    """Limit the values to the median plus and minus five times the median deviation."""
    median = frame["y"].median()
    spread = 5 * (frame["y"] - median).abs().median()
    return frame.assign(y=frame["y"].clip(median - spread, median + spread))


rng = np.random.default_rng(0)
days = pd.date_range("2024-01-01", periods=140)
values = 50 + 10 * np.sin(np.arange(140) * 2 * np.pi / 7) + rng.normal(0, 1, 140)
values[77] = 5_000.0  # an error of the sensor
frame = pd.DataFrame({"ds": days, "y": values})

pipeline = make_pipeline(FunctionTransformer(limit_outliers), Forecaster(horizon=7))
search = GridSearchCV(
    pipeline,
    {"forecaster__model": ["naive", "drift", "seasonal_mean"]},
    cv=TimeSeriesSplit(n_splits=2, test_size=7),
)
search.fit(frame)
print(search.best_params_)
print(search.predict(frame))
