"""Suggests values for trials with Optuna's TPE sampler: a line of JSON in, a line of JSON out.

A question holds all that is known, so that nothing is kept here: whoever is killed asks another process.
"""

import json
import sys
import warnings

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore")

STATES = {
    "succeeded": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "running": TrialState.RUNNING,
    "failed": TrialState.FAIL,
    "cancelled": TrialState.FAIL,
}


def distribution(range_):
    if range_["kind"] == "choice":
        return CategoricalDistribution(range_["values"])
    low, high, log = range_["from"], range_["to"], range_.get("log", False)
    if range_["kind"] == "int":
        return IntDistribution(low, high, log=log, step=1 if log else range_.get("step", 1))
    return FloatDistribution(low, high, log=log, step=None if log else range_.get("step"))


def known(trial, distributions):
    state = STATES[trial["state"]]
    value, step = trial["value"], trial["step"]
    # A trial that was stopped before it said anything tells nothing.
    if state == TrialState.PRUNED and value is None:
        state = TrialState.FAIL
    return create_trial(
        state=state,
        params=trial["params"],
        distributions=distributions,
        value=value if state == TrialState.COMPLETE else None,
        intermediate_values={step or 0: value} if state == TrialState.PRUNED else None,
    )


def suggest(question):
    distributions = {name: distribution(range_) for name, range_ in question["over"].items()}
    sampler = optuna.samplers.TPESampler(
        seed=question["seed"], multivariate=len(distributions) > 1, constant_liar=True, n_startup_trials=question["startup"]
    )
    study = optuna.create_study(direction=question["direction"], sampler=sampler)
    study.add_trials([known(trial, distributions) for trial in question["trials"]])
    return {"params": [study.ask(fixed_distributions=distributions).params for _ in range(question["count"])]}


for line in sys.stdin:
    try:
        answer = suggest(json.loads(line))
    except Exception as error:  # noqa: BLE001 - whoever asked is told
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
