"""Points of the run's curves, for scripts that need nothing else of MLflow."""

from __future__ import annotations

import math
import os
import time
from typing import Mapping


def log_points(values: Mapping[str, float], step: int) -> None:
    """Outside of a run it goes nowhere, so that code that logs can be used anywhere."""
    url, run = os.environ.get("MLFLOW_TRACKING_URI"), os.environ.get("MLFLOW_RUN_ID")
    if not url or not run:
        return
    from ._http import Http

    now = int(time.time() * 1000)
    points = [{"key": name, "value": _sent(value), "timestamp": now, "step": step} for name, value in values.items()]
    Http(url, os.environ.get("MLFLOW_TRACKING_TOKEN")).post("/api/2.0/mlflow/runs/log-batch", {"run_id": run, "metrics": points})


def _sent(value: float) -> float | str:
    """JSON has no words for what is no number."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
