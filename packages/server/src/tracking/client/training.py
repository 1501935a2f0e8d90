"""Training with autologging: scikit-learn, a search over its settings, XGBoost."""

import mlflow
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

CLIENT = mlflow.MlflowClient()


def rows(seed=0, count=200):
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(generator.normal(size=(count, 3)), columns=["a", "b", "c"])
    return frame, (frame["a"] + frame["b"] > 0).astype(int)


def files(run_id, path=None):
    return sorted(file.path for file in CLIENT.list_artifacts(run_id, path))


def autologs_scikit_learn():
    mlflow.sklearn.autolog(log_input_examples=True, silent=True)
    frame, label = rows()
    with mlflow.start_run(run_name="logistic") as run:
        model = LogisticRegression(C=0.5, max_iter=77).fit(frame, label)
        model.score(*rows(seed=1))
    mlflow.sklearn.autolog(disable=True, silent=True)
    kept = CLIENT.get_run(run.info.run_id)
    assert kept.info.status == "FINISHED" and kept.info.run_name == "logistic", kept.info
    assert (kept.data.params["C"], kept.data.params["max_iter"]) == ("0.5", "77"), kept.data.params
    assert kept.data.metrics["training_accuracy_score"] > 0.9, kept.data.metrics
    assert any("LogisticRegression_score" in key for key in kept.data.metrics), kept.data.metrics
    assert kept.data.tags["estimator_name"] == "LogisticRegression", kept.data.tags
    assert [one.tags[0].value for one in kept.inputs.dataset_inputs][:1] == ["train"], kept.inputs
    assert "estimator.html" in files(run.info.run_id), files(run.info.run_id)
    loaded = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    assert (loaded.predict(frame) == model.predict(frame)).all()


def autologs_a_search_in_child_runs():
    mlflow.sklearn.autolog(log_models=False, log_datasets=False, max_tuning_runs=2, silent=True)
    frame, label = rows()
    with mlflow.start_run(run_name="grid") as run:
        GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0, 10.0]}, cv=2).fit(frame, label)
    mlflow.sklearn.autolog(disable=True, silent=True)
    children = mlflow.search_runs(
        filter_string=f"tags.mlflow.parentRunId = '{run.info.run_id}' and metrics.mean_test_score > 0.5", order_by=["metrics.mean_test_score DESC"]
    )
    assert len(children) == 2, children
    assert children["metrics.mean_test_score"].is_monotonic_decreasing
    assert "best_cv_score" in CLIENT.get_run(run.info.run_id).data.metrics
    assert "cv_results.csv" in files(run.info.run_id)


def autologs_xgboost():
    import xgboost

    mlflow.xgboost.autolog(log_models=False, silent=True)
    frame, label = rows()
    with mlflow.start_run(run_name="boosted") as run:
        data = xgboost.DMatrix(frame, label)
        booster = xgboost.train({"max_depth": 2, "objective": "binary:logistic", "nthread": 1}, data, num_boost_round=12, evals=[(data, "train")], verbose_eval=False)
        mlflow.xgboost.log_model(booster, "booster", pip_requirements=["xgboost"])
    mlflow.xgboost.autolog(disable=True, silent=True)
    kept = CLIENT.get_run(run.info.run_id).data
    assert (kept.params["max_depth"], kept.params["num_boost_round"]) == ("2", "12"), kept.params
    history = CLIENT.get_metric_history(run.info.run_id, "train-logloss")
    assert [point.step for point in sorted(history, key=lambda point: point.step)] == list(range(12)), history
    assert kept.metrics["train-logloss"] == history[-1].value
    assert any("feature_importance" in path for path in files(run.info.run_id)), files(run.info.run_id)
    loaded = mlflow.xgboost.load_model(f"runs:/{run.info.run_id}/booster")
    assert np.allclose(loaded.predict(data), booster.predict(data))
    assert np.allclose(mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/booster").predict(frame), booster.predict(data))


STEPS = [autologs_scikit_learn, autologs_a_search_in_child_runs, autologs_xgboost]
