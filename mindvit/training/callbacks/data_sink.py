"""Data sinking: batches go to a queue on the device while it computes."""

from contextlib import ExitStack

from mindspore.train import Callback, RunContext

from mindvit.training.run_state import RunState


class DataSinkAdapter(Callback):
    """Calls other callbacks at the epochs of the run, where ``Model.train`` counts each step as an epoch.

    With data sinking, ``Model`` returns to Python once for every ``sink_size`` batches, which it calls an epoch. Here
    ``sink_size`` is 1, so that every step is recorded and a run can stop and resume after any step. The gain is that no
    step waits for the transfer of its batch.

    Untested on hardware: the CPU has no such queue, where ``Model`` silently trains without one.

    Args:
        callbacks: callbacks of the run.
        state: progress of the run, which one of the callbacks updates.
    """

    def __init__(self, callbacks: list[Callback], state: RunState) -> None:
        super().__init__()
        self.callbacks = callbacks
        self.state = state
        self._entered = ExitStack()
        self._in_epoch = False

    def __enter__(self) -> "DataSinkAdapter":
        for callback in self.callbacks:
            self._entered.enter_context(callback)
        return self

    def __exit__(self, *error: object) -> None:
        self._entered.__exit__(*error)

    def on_train_begin(self, run_context: RunContext) -> None:
        self._call("on_train_begin", run_context)

    def on_train_epoch_begin(self, run_context: RunContext) -> None:
        if not self._in_epoch:
            self._in_epoch = True
            self._call("on_train_epoch_begin", run_context)

    def on_train_step_begin(self, run_context: RunContext) -> None:
        self._call("on_train_step_begin", run_context)

    def on_train_step_end(self, run_context: RunContext) -> None:
        self._call("on_train_step_end", run_context)

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        if self.state.at_epoch_end or run_context.get_stop_requested():
            self._in_epoch = False
            self._call("on_train_epoch_end", run_context)

    def on_train_end(self, run_context: RunContext) -> None:
        self._call("on_train_end", run_context)

    def _call(self, hook: str, run_context: RunContext) -> None:
        for callback in self.callbacks:
            getattr(callback, hook)(run_context)
