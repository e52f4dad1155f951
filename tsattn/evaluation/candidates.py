"""Models of a backtest, by their names."""

from __future__ import annotations

from collections.abc import Sequence

from tsattn.config import AUTO, RunConfig
from tsattn.evaluation.model_selection import fit
from tsattn.evaluation.origins import EvaluationWindows
from tsattn.evaluation.rolling_origin import Candidate, Refit, baseline_candidates, network_candidate
from tsattn.forecasting.finetuning import inherit_options
from tsattn.forecasting.network_trainer import CallbackFactory
from tsattn.models import BASELINES, resolve_options
from tsattn.scoring.classical import CLASSICAL, check_classical

DEFAULT = "default"
"""Name of a candidate without a model name. Its model may differ from training to training."""


def make_candidates(
    config: RunConfig,
    windows: EvaluationWindows,
    models: Sequence[str],
    classical: Sequence[str],
    callback: CallbackFactory | None,
    *,
    refit: Refit,
) -> list[Candidate]:
    """Return the candidates of a backtest: the models, then the naive baselines and some classical ones.

    Args:
        config: Configuration of all candidates, apart from the model.
        windows: The forecasts to make.
        models: Names of models and baselines; none for the model of the configuration.
        classical: Names of classical baselines.
        callback: Makes the callback of each training.
        refit: How often candidates are trained.

    Raises:
        ConfigError: A model does not exist or has no such options.
        RunError: A package is missing.
    """
    check_classical(classical)
    classical = [name for name in CLASSICAL if name in (*models, *classical)]
    check_classical(classical)
    configs = {name: config.with_model(name) for name in models if name not in classical}
    if not models:
        configs = {_model_name(config): config}
    return [
        *(
            network_candidate(own, fit, windows, name, callback, label=name if len(configs) > 1 else "", refit=refit)
            for name, own in configs.items()
        ),
        *baseline_candidates(config, windows, [*(name for name in BASELINES if name not in configs), *classical]),
    ]


def _model_name(config: RunConfig) -> str:
    """Return the model name of a configuration, or ``default`` if it has none."""
    model = inherit_options(config).model
    if model.get("name") == AUTO:
        return AUTO
    return resolve_options(model, source="Forecaster")[0].name if model else DEFAULT
