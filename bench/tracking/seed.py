"""Fills an MLflow store with the runs that `load.mjs` searches: through its REST API ten thousand would take ten minutes.

    python seed.py <database URL> <artifact folder> <runs>
"""

import sys
import time

from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric, SqlParam, SqlRun, SqlTag
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

url, artifacts, runs = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = SqlAlchemyStore(url, artifacts)
experiment = int(store.create_experiment(f"load-search-{runs}"))
now = int(time.time() * 1000)
names = ["acc", "loss", "f1", "auc", "rmse"]
with store.ManagedSessionMaker() as session:
    for k in range(runs):
        run = f"{k:032x}"
        session.add(
            SqlRun(
                run_uuid=run,
                name=f"run-{k}",
                experiment_id=experiment,
                user_id="",
                status="RUNNING",
                start_time=now + k,
                lifecycle_stage="active",
                source_type="UNKNOWN",
                artifact_uri=f"mlflow-artifacts:/{experiment}/{run}/artifacts",
            )
        )
        session.add(SqlTag(run_uuid=run, key="mlflow.runName", value=f"run-{k}"))
        params = {"lr": ["0.1", "0.01", "0.001"][k % 3], "depth": str(k % 10), "opt": ["sgd", "adam"][k % 2]}
        for key, value in params.items():
            session.add(SqlParam(run_uuid=run, key=key, value=value))
        for j, key in enumerate(names):
            value = ((k * 7919 + j * 104729) % 100003) / 100003
            session.add(SqlMetric(run_uuid=run, key=key, value=value, timestamp=now, step=0, is_nan=False))
            session.add(SqlLatestMetric(run_uuid=run, key=key, value=value, timestamp=now, step=0, is_nan=False))
        if k % 1000 == 999:
            session.flush()
            session.expunge_all()
