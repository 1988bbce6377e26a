"""MLflow: a tracking server, or a store of files in the run folder."""

import os
import time

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

from mindvit.training.trackers.tracker import RunStatus, TrackedRun

_PARAMS_PER_CALL = 100
_STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


class MLflow:
    """Logs to the server of ``MLFLOW_TRACKING_URI``; without one, or offline, to ``mlflow/`` in the run folder.

    Args:
        run: the run.
    """

    def __init__(self, run: TrackedRun) -> None:
        # By default an unreachable server would hold up the run for minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        server = None if run.is_offline else os.environ.get("MLFLOW_TRACKING_URI")
        if server is None:
            # MLflow's other local store is a database, which needs more packages than mlflow-skinny.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            server = (run.folder / "mlflow").resolve().as_uri()
        self.client = MlflowClient(tracking_uri=server)
        if run.former_id is None:
            known = self.client.get_experiment_by_name(run.project)
            experiment = self.client.create_experiment(run.project) if known is None else known.experiment_id
            self.id = self.client.create_run(experiment, run_name=run.name).info.run_id
            params = [Param(name, str(value)) for name, value in run.settings.items()]
            for start in range(0, len(params), _PARAMS_PER_CALL):
                self.client.log_batch(self.id, params=params[start : start + _PARAMS_PER_CALL])
        else:
            self.id = run.former_id
            self.client.update_run(self.id, status="RUNNING")

    def log(self, metrics: dict[str, float], step: int) -> None:
        """See ``Tracker``."""
        now = time.time_ns() // 1_000_000
        self.client.log_batch(self.id, [Metric(name, value, now, step) for name, value in metrics.items()])

    def flush(self) -> None:
        """See ``Tracker``. Each call of ``log`` waits until it is written."""

    def finish(self, status: RunStatus) -> None:
        """See ``Tracker``."""
        self.client.set_terminated(self.id, _STATUS[status])
