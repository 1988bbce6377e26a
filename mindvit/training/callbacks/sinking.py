"""Training through the device's own queue of batches."""

from contextlib import ExitStack

from mindspore.train import Callback, RunContext

from mindvit.training.run_state import RunState


class StepsForEpochs(Callback):
    """Gives callbacks the epochs of the run where ``Model.train`` takes each step for one.

    With data sinking, batches go to a queue on the device while it computes, and ``Model`` returns to Python once for
    each ``sink_size`` batches, which it calls an epoch. So that every step is still recorded and a run can be stopped
    and continued after any of them, ``sink_size`` is 1; what is won is that no step waits for its batch's transfer.

    Untested on hardware: the CPU has no such queue, where ``Model`` goes on without one and does not say so.

    Args:
        callbacks: of the run.
        state: where the run stands; kept up to date by one of them.
    """

    def __init__(self, callbacks: list[Callback], state: RunState) -> None:
        super().__init__()
        self.callbacks = callbacks
        self.state = state
        self._entered = ExitStack()
        self._in_epoch = False

    def __enter__(self) -> "StepsForEpochs":
        for callback in self.callbacks:
            self._entered.enter_context(callback)
        return self

    def __exit__(self, *error: object) -> None:
        self._entered.__exit__(*error)

    def on_train_begin(self, run_context: RunContext) -> None:
        self._pass_on("on_train_begin", run_context)

    def on_train_epoch_begin(self, run_context: RunContext) -> None:
        if not self._in_epoch:
            self._in_epoch = True
            self._pass_on("on_train_epoch_begin", run_context)

    def on_train_step_begin(self, run_context: RunContext) -> None:
        self._pass_on("on_train_step_begin", run_context)

    def on_train_step_end(self, run_context: RunContext) -> None:
        self._pass_on("on_train_step_end", run_context)

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        if self.state.at_epoch_end or run_context.get_stop_requested():
            self._in_epoch = False
            self._pass_on("on_train_epoch_end", run_context)

    def on_train_end(self, run_context: RunContext) -> None:
        self._pass_on("on_train_end", run_context)

    def _pass_on(self, moment: str, run_context: RunContext) -> None:
        for callback in self.callbacks:
            getattr(callback, moment)(run_context)
