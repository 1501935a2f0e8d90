"""Experiments, runs and what is logged to them, by the fluent API and by the client, with the errors that a user's code decides by."""

import math
import pathlib
import tempfile

import mlflow
import pandas as pd
from mlflow.entities import Metric, Param, RunTag, ViewType
from models import refused
from training import CLIENT, files, rows


def logs_every_kind():
    with mlflow.start_run(run_name="kinds", tags={"team": "risk"}, description="# A run", log_system_metrics=False) as run:
        mlflow.log_param("depth", 3)
        mlflow.log_params({"note": "é" * 7_000, "empty": ""})
        mlflow.log_metric("loss", 1.0, step=0)
        mlflow.log_metrics({"loss": 0.5, "nan": math.nan, "most": math.inf, "least": -math.inf}, step=1)
        mlflow.log_text("hello", "notes/hello.txt")
        mlflow.log_dict({"a": [1, 2]}, "config/a.json")
        mlflow.log_table({"q": ["a"], "r": [1]}, "table.json")
        mlflow.set_tags({"stage": "dev", "long": "x" * 9_000})
        frame, label = rows()
        mlflow.log_input(mlflow.data.from_pandas(frame, name="flights", source="s3://bucket/flights"), context="train", tags={"part": "1"})
        with mlflow.start_run(run_name="child", nested=True) as child:
            mlflow.log_metric("loss", 0.1)
    kept = mlflow.get_run(run.info.run_id)
    assert (kept.data.params["depth"], len(kept.data.params["note"]), kept.data.params["empty"]) == ("3", 6_000, "")
    assert kept.data.metrics["loss"] == 0.5 and math.isnan(kept.data.metrics["nan"])
    assert (kept.data.metrics["most"], kept.data.metrics["least"]) == (math.inf, -math.inf), kept.data.metrics
    assert (kept.data.tags["mlflow.note.content"], len(kept.data.tags["long"])) == ("# A run", 8_000)
    assert [point.value for point in CLIENT.get_metric_history(run.info.run_id, "loss")] == [1.0, 0.5]
    dataset = kept.inputs.dataset_inputs[0]
    assert (dataset.dataset.name, {tag.key: tag.value for tag in dataset.tags}) == ("flights", {"mlflow.data.context": "train", "part": "1"})
    assert mlflow.data.get_source(dataset).uri == "s3://bucket/flights"
    assert mlflow.artifacts.load_text(f"{kept.info.artifact_uri}/notes/hello.txt") == "hello"
    assert mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/config/a.json") == {"a": [1, 2]}
    assert mlflow.load_table("table.json", run_ids=[run.info.run_id])["r"].tolist() == [1]
    assert CLIENT.get_parent_run(child.info.run_id).info.run_id == run.info.run_id
    assert "system/cpu_utilization_percentage" not in kept.data.metrics


def keeps_files():
    with mlflow.start_run() as run, tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        (place / "sub dir").mkdir()
        (place / "a.txt").write_text("a")
        (place / "sub dir" / "ü b.bin").write_bytes(b"\x00" * 100_000)
        mlflow.log_artifacts(folder, "all")
        mlflow.log_artifact(place / "a.txt")
        run_id = run.info.run_id
        assert files(run_id) == ["a.txt", "all"] and files(run_id, "all") == ["all/a.txt", "all/sub dir"]
        sizes = {file.path: (file.is_dir, file.file_size) for file in CLIENT.list_artifacts(run_id, "all/sub dir")}
        assert sizes == {"all/sub dir/ü b.bin": (False, 100_000)}, sizes
        got = pathlib.Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="all", dst_path=folder))
        assert (got / "sub dir" / "ü b.bin").read_bytes() == b"\x00" * 100_000
        assert CLIENT.download_artifacts(run_id, "a.txt").endswith("a.txt")
        assert files(run_id, "none") == []
        for wrong, ask in {"../..": lambda path: CLIENT.list_artifacts(run_id, path), "missing.txt": lambda path: CLIENT.download_artifacts(run_id, path)}.items():
            try:
                ask(wrong)
            except Exception as error:
                assert wrong in str(error), error
            else:
                raise AssertionError(f"{wrong} was answered")


def searches_runs():
    experiment = mlflow.create_experiment("searched", tags={"of": "search"})
    made = []
    for i in range(25):
        run = CLIENT.create_run(experiment, run_name=f"run {i:02}", start_time=i + 1, tags={"even": str(i % 2 == 0)})
        CLIENT.log_batch(run.info.run_id, [Metric("score", i / 10, i, 0)], [Param("kind", "tree" if i % 3 else "Linear")], [RunTag("n.m", str(i))])
        CLIENT.set_terminated(run.info.run_id, "FINISHED" if i % 5 else "FAILED", end_time=i + 10)
        made.append(run.info.run_id)
    CLIENT.delete_run(made[24])

    def found(filter_string="", **more):
        return [run.info.run_name[-2:] for run in CLIENT.search_runs([experiment], filter_string, **more)]

    assert found("metrics.score > 2.0", order_by=["metrics.score ASC"]) == ["21", "22", "23"]
    assert found("params.kind ILIKE 'lin%' and tags.even = 'True'", order_by=["start_time"]) == ["00", "06", "12", "18"]
    assert found("attributes.status = 'FAILED' and attributes.start_time > 11") == ["20", "15"]
    assert found("tags.`n.m` = '7'") == found('tags."n.m" = "7"') == ["07"]
    assert found(f"run_id IN ('{made[1]}', '{made[2]}')", order_by=["run_id"]) == [name for _, name in sorted(zip(made[1:3], ["01", "02"]))]
    assert found("run_name LIKE 'run 1%' and end_time < 23") == ["12", "11", "10"]
    assert found("params.none IS NULL", max_results=1) == ["23"]
    assert found(run_view_type=ViewType.DELETED_ONLY) == ["24"]
    page, names = None, []
    while page is None or page.token:
        page = CLIENT.search_runs([experiment], max_results=7, order_by=["params.kind DESC", "metrics.score DESC"], page_token=page.token if page else None)
        names.append([run.info.run_name[-2:] for run in page])
    assert [len(one) for one in names] == [7, 7, 7, 3] and len({name for one in names for name in one}) == 24, names
    frame = mlflow.search_runs([experiment], "metrics.score >= 2", order_by=["metrics.score DESC"])
    assert isinstance(frame, pd.DataFrame) and frame["metrics.score"].tolist() == [2.3, 2.2, 2.1, 2.0]
    for wrong in ("metrics.score > 'a'", "params.kind > 'a'", "nonsense", "foo.bar = '1'"):
        assert refused(lambda wrong=wrong: found(wrong)) == "INVALID_PARAMETER_VALUE", wrong
    assert [one.name for one in mlflow.search_experiments(filter_string="tags.of = 'search' and name LIKE 'sea%'")] == ["searched"]


def changes_and_deletes():
    experiment = CLIENT.create_experiment("changed", tags={"a": "1"})
    CLIENT.set_experiment_tag(experiment, "b", "2")
    CLIENT.rename_experiment(experiment, "changed again")
    kept = CLIENT.get_experiment_by_name("changed again")
    assert (kept.tags, kept.lifecycle_stage, CLIENT.get_experiment_by_name("changed")) == ({"a": "1", "b": "2"}, "active", None)
    run = CLIENT.create_run(experiment).info.run_id
    CLIENT.log_param(run, "depth", 3)
    CLIENT.log_param(run, "depth", 3)
    assert refused(lambda: CLIENT.log_param(run, "depth", 4)) == "INVALID_PARAMETER_VALUE"
    CLIENT.set_tag(run, "t", "1")
    CLIENT.delete_tag(run, "t")
    assert refused(lambda: CLIENT.delete_tag(run, "t")) == "RESOURCE_DOES_NOT_EXIST"
    CLIENT.update_run(run, status="KILLED", name="renamed")
    assert (CLIENT.get_run(run).info.run_name, CLIENT.get_run(run).data.tags["mlflow.runName"], CLIENT.get_run(run).info.status) == ("renamed", "renamed", "KILLED")
    CLIENT.delete_run(run)
    assert refused(lambda: CLIENT.log_metric(run, "a", 1)) == "INVALID_PARAMETER_VALUE"
    CLIENT.restore_run(run)
    CLIENT.delete_experiment(experiment)
    assert refused(lambda: CLIENT.create_run(experiment)) == "INVALID_PARAMETER_VALUE"
    assert CLIENT.get_run(run).info.lifecycle_stage == "deleted"
    CLIENT.restore_experiment(experiment)
    assert CLIENT.get_run(run).info.lifecycle_stage == "active"
    assert refused(lambda: CLIENT.get_run("0" * 32)) == "RESOURCE_DOES_NOT_EXIST"
    assert refused(lambda: CLIENT.create_experiment("changed again")) == "RESOURCE_ALREADY_EXISTS"
    assert refused(lambda: CLIENT.get_experiment("4711")) == "RESOURCE_DOES_NOT_EXIST"
    with mlflow.start_run() as first:
        pass
    with mlflow.start_run(run_id=first.info.run_id):
        mlflow.log_metric("resumed", 1)
    assert CLIENT.get_run(first.info.run_id).data.metrics == {"resumed": 1.0}


def logs_from_the_background():
    with mlflow.start_run() as run:
        for step in range(120):
            mlflow.log_metric("loss", 1 / (step + 1), step=step, synchronous=False)
        mlflow.log_params({f"p{i}": i for i in range(150)}, synchronous=False).wait()
    mlflow.flush_async_logging()
    assert len(CLIENT.get_metric_history(run.info.run_id, "loss")) == 120
    assert len(CLIENT.get_run(run.info.run_id).data.params) == 150


STEPS = [logs_every_kind, keeps_files, searches_runs, changes_and_deletes, logs_from_the_background]
