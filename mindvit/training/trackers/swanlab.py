"""SwanLab."""

import warnings

from mindvit.training.trackers.tracker import RunStatus, TrackedRun

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # A package that it imports is deprecated.
    import swanlab
    from swanlab.data.run import SwanLabRunState


class SwanLab:
    """Logs to SwanLab. Offline, ``swanlab sync`` uploads ``swanlab/`` of the run folder later.

    A session of a resumed run is a run of its own there, because this version cannot continue one.

    Args:
        run: the run.
    """

    def __init__(self, run: TrackedRun) -> None:
        self.id = None
        folder = run.folder / "swanlab"
        folder.mkdir(exist_ok=True)
        self.run = swanlab.init(
            project=run.project,
            experiment_name=run.name,
            config=run.settings,
            logdir=str(folder),
            mode="offline" if run.is_offline else None,
            log_level="error",
            # It must not replace the streams that the progress bar prints to.
            settings=swanlab.Settings(log_proxy_type="none"),
        )

    def log(self, metrics: dict[str, float], step: int) -> None:
        """See ``Tracker``."""
        self.run.log(metrics, step=step)

    def flush(self) -> None:
        """See ``Tracker``. SwanLab writes and sends in threads of its own."""

    def finish(self, status: RunStatus) -> None:
        """See ``Tracker``."""
        state = SwanLabRunState.SUCCESS if status == "finished" else SwanLabRunState.CRASHED
        self.run.finish(state, error=None if status == "finished" else status)
