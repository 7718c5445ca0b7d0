"""Prints as JSON what Optuna and its dashboard read of the database that is named, study by study."""

import json
import sys

import optuna
import optuna_dashboard

optuna.logging.set_verbosity(optuna.logging.ERROR)
storage = optuna.storages.RDBStorage(f"sqlite:///{sys.argv[1]}")


def of_trial(trial):
    return {
        "number": trial.number,
        "state": trial.state.name,
        "values": trial.values,
        "params": trial.params,
        "distributions": {name: repr(kind) for name, kind in trial.distributions.items()},
        "attributes": trial.user_attrs,
        "started": str(trial.datetime_start),
        "finished": str(trial.datetime_complete),
    }


def of_study(name):
    study = optuna.load_study(study_name=name, storage=storage)
    trials = study.get_trials(deepcopy=False)
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    space = optuna.search_space.IntersectionSearchSpace().calculate(study)
    # Whoever goes on with the study must be able to.
    asked = study.ask(space) if sys.argv[2:] == ["--ask"] else None
    return {
        "name": name,
        "directions": [direction.name for direction in study.directions],
        "metric_names": study.metric_names,
        "attributes": study.user_attrs,
        "best": study.best_trial.number if complete else None,
        "shared": sorted(space),
        "asked": asked and asked.number,
        "trials": [of_trial(trial) for trial in trials],
    }


def dashboard(path):
    """What the dashboard answers to a request."""
    app = optuna_dashboard.wsgi(storage)
    told = {}
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.input": sys.stdin.buffer,
        "wsgi.errors": sys.stderr,
    }
    body = b"".join(app(environ, lambda status, headers, exc_info=None: told.update(status=status)))
    assert told["status"].startswith("200"), (path, told, body)
    return json.loads(body)


names = optuna.get_all_study_names(storage)
shown = dashboard("/api/studies")["study_summaries"]
details = [dashboard(f"/api/studies/{study['study_id']}") for study in shown]
print(
    json.dumps(
        {
            "studies": [of_study(name) for name in names],
            "dashboard": [
                {"name": study["study_name"], "trials": len(detail["trials"])} for study, detail in zip(shown, details)
            ],
        }
    )
)
