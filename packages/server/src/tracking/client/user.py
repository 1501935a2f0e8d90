"""What a user of MLflow does in a week, against the server that MLFLOW_TRACKING_URI names. Its last line says what was done, as JSON."""

import json
import logging
import time

import mlflow
import models
import tracking
import training

logging.getLogger("mlflow").setLevel(logging.ERROR)
mlflow.set_experiment("a week")
done = []
for part in (tracking, training, models):
    for step in part.STEPS:
        began = time.perf_counter()
        step()
        done.append([step.__name__, round(time.perf_counter() - began, 2)])
print(json.dumps({"mlflow": mlflow.__version__, "done": done}))
