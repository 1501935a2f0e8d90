"""A model's life: logged, registered, given an alias, loaded in every way, evaluated, copied, deleted; and prompts beside it."""

import os

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression
from training import CLIENT, rows

THREE = int(mlflow.__version__.split(".")[0]) >= 3
NAME = "loan default"


def refused(ask):
    try:
        ask()
    except MlflowException as error:
        return error.error_code
    raise AssertionError("it was not refused")


def logs_registers_and_loads():
    frame, label = rows()
    model = LogisticRegression().fit(frame, label)
    expected = model.predict(frame)
    with mlflow.start_run(run_name="to register") as run:
        info = mlflow.sklearn.log_model(
            model,
            **{"name" if THREE else "artifact_path": "classifier"},
            signature=infer_signature(frame, expected),
            input_example=frame.head(2),
            registered_model_name=NAME,
            pip_requirements=["scikit-learn"],
        )
        mlflow.log_metric("auc", 0.9)
    assert str(info.registered_model_version) == "1", info.registered_model_version
    second = mlflow.register_model(f"runs:/{run.info.run_id}/classifier", NAME, tags={"gate": "passed"}, await_registration_for=30)
    assert (str(second.version), second.status, second.run_id) == ("2", "READY", run.info.run_id), second
    CLIENT.set_registered_model_alias(NAME, "champion", second.version)
    CLIENT.update_model_version(NAME, second.version, description="the better one")
    CLIENT.set_model_version_tag(NAME, second.version, "reviewed", "yes")
    CLIENT.set_registered_model_tag(NAME, "team", "risk")
    uris = [f"runs:/{run.info.run_id}/classifier", f"models:/{NAME}/1", f"models:/{NAME}/{second.version}", f"models:/{NAME}@champion", f"models:/{NAME}/latest"]
    for uri in [*uris, *([info.model_uri, f"models:/{info.model_id}"] if THREE else [info.model_uri])]:
        assert (mlflow.pyfunc.load_model(uri).predict(frame) == expected).all(), uri
    assert (mlflow.sklearn.load_model(uris[3]).predict(frame) == expected).all()
    assert mlflow.models.get_model_info(uris[3]).signature == info.signature
    champion = CLIENT.get_model_version_by_alias(NAME, "champion")
    assert (champion.version, champion.description, champion.tags, champion.aliases) == (
        str(second.version),
        "the better one",
        {"gate": "passed", "reviewed": "yes"},
        ["champion"],
    ), champion
    assert "MLmodel" in os.listdir(mlflow.artifacts.download_artifacts(uris[3]))


def searches_and_changes_the_registry():
    found = CLIENT.search_registered_models(f"name = '{NAME}' and tags.team = 'risk'")
    assert [(one.name, dict(one.aliases)) for one in found] == [(NAME, {"champion": "2"})], found
    assert [one.version for one in CLIENT.search_model_versions(f"name='{NAME}'", order_by=["version_number ASC"])] == ["1", "2"]
    assert [one.version for one in CLIENT.search_model_versions(f"name='{NAME}' and tags.gate = 'passed'")] == ["2"]
    copied = CLIENT.copy_model_version(f"models:/{NAME}@champion", "loan default live")
    frame, _ = rows()
    first, copy = (mlflow.pyfunc.load_model(uri).predict(frame) for uri in (f"models:/{NAME}/2", f"models:/loan default live/{copied.version}"))
    assert (first == copy).all()
    CLIENT.transition_model_version_stage(NAME, "1", "Production")
    CLIENT.transition_model_version_stage(NAME, "2", "Production", archive_existing_versions=True)
    assert {one.version: one.current_stage for one in CLIENT.get_latest_versions(NAME)} == {"1": "Archived", "2": "Production"}
    mlflow.pyfunc.load_model(f"models:/{NAME}/Production")
    CLIENT.rename_registered_model(NAME, f"{NAME} 2")
    assert CLIENT.get_model_version_by_alias(f"{NAME} 2", "champion").version == "2"
    CLIENT.delete_registered_model_alias(f"{NAME} 2", "champion")
    CLIENT.delete_model_version_tag(f"{NAME} 2", "2", "reviewed")
    CLIENT.delete_model_version(f"{NAME} 2", "1")
    assert refused(lambda: CLIENT.get_model_version(f"{NAME} 2", "1")) == "RESOURCE_DOES_NOT_EXIST"
    assert refused(lambda: CLIENT.create_registered_model(f"{NAME} 2")) == "RESOURCE_ALREADY_EXISTS"
    assert refused(lambda: CLIENT.set_registered_model_alias(f"{NAME} 2", "v7", "2")) == "INVALID_PARAMETER_VALUE"
    CLIENT.delete_registered_model(f"{NAME} 2")
    assert CLIENT.search_registered_models(f"name = '{NAME} 2'") == []


def evaluates():
    frame, label = rows(seed=3)
    model = LogisticRegression().fit(frame, label)
    data = mlflow.data.from_pandas(frame.assign(label=label), targets="label", name="held out")
    with mlflow.start_run(run_name="evaluated") as run:
        evaluate = mlflow.models.evaluate if THREE else mlflow.evaluate
        result = evaluate(model.predict, data, model_type="classifier", evaluators="default", evaluator_config={"log_model_explainability": False})
    kept = CLIENT.get_run(run.info.run_id)
    assert result.metrics["accuracy_score"] == kept.data.metrics["accuracy_score"] > 0.9, kept.data.metrics
    assert [one.dataset.name for one in kept.inputs.dataset_inputs] == ["held out"], kept.inputs
    assert any("confusion_matrix" in file.path for file in CLIENT.list_artifacts(run.info.run_id)), CLIENT.list_artifacts(run.info.run_id)


def keeps_logged_models():
    if not THREE:
        return
    with mlflow.start_run() as run:
        models = [mlflow.initialize_logged_model(name=f"net-{depth}", params={"depth": str(depth)}, tags={"kind": "net"}, model_type="toy") for depth in (2, 4)]
        data = mlflow.data.from_pandas(rows()[0], name="dev")
        for model, accuracy in zip(models, (0.7, 0.8)):
            mlflow.log_metrics({"accuracy": accuracy}, model_id=model.model_id, dataset=data)
            mlflow.finalize_logged_model(model.model_id, "READY")
        CLIENT.log_inputs(run.info.run_id, models=[mlflow.entities.LoggedModelInput(models[0].model_id)])
    experiment = [run.info.experiment_id]

    def found(filter_string, **more):
        return [model.name for model in mlflow.search_logged_models(experiment, filter_string, output_format="list", **more)]

    assert found("params.depth = '4'") == ["net-4"]
    best = [{"field_name": "metrics.accuracy", "ascending": False}]
    assert found("metrics.accuracy > 0.6 AND tags.kind = 'net'", order_by=best) == ["net-4", "net-2"]
    assert found("metrics.accuracy > 0.75", datasets=[{"dataset_name": "dev"}]) == ["net-4"]
    assert found(f"source_run_id = '{run.info.run_id}'", max_results=1, order_by=best) == ["net-4"]
    model = mlflow.get_logged_model(models[0].model_id)
    assert (model.params, model.status.value, model.metrics[0].value) == ({"depth": "2"}, "READY", 0.7), model
    mlflow.set_logged_model_tags(model.model_id, {"seen": "1"})
    mlflow.delete_logged_model_tag(model.model_id, "seen")
    CLIENT.log_model_params(model.model_id, {"width": "8"})
    assert CLIENT.get_logged_model(model.model_id).params == {"depth": "2", "width": "8"}
    assert model.model_id in {one.model_id for one in CLIENT.get_run(run.info.run_id).inputs.model_inputs}
    CLIENT.delete_logged_model(model.model_id)
    assert found("tags.kind = 'net'") == ["net-4"]
    assert refused(lambda: mlflow.get_logged_model(model.model_id)) == "RESOURCE_DOES_NOT_EXIST"


def keeps_prompts():
    prompts = mlflow.genai if THREE else mlflow
    first = prompts.register_prompt("greet", "Hello {{name}}", commit_message="the first", tags={"lang": "en"})
    prompts.register_prompt("greet", "Good day {{name}}, " + "x" * 6_000)
    prompts.set_prompt_alias("greet", "live", 1)
    assert prompts.load_prompt("prompts:/greet@live").format(name="Ada") == "Hello Ada"
    assert (int(first.version), int(prompts.load_prompt("prompts:/greet/2").version)) == (1, 2)
    assert "greet" not in {model.name for model in CLIENT.search_registered_models()}
    if THREE:
        assert [one.name for one in mlflow.genai.search_prompts("name = 'greet'")] == ["greet"]
    with mlflow.start_run() as run:
        prompts.load_prompt("prompts:/greet/1")
    prompts.delete_prompt_alias("greet", "live")
    assert CLIENT.get_run(run.info.run_id).info.status == "FINISHED"


STEPS = [logs_registers_and_loads, searches_and_changes_the_registry, evaluates, keeps_logged_models, keeps_prompts]
