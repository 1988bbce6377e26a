"""Stopping a run by Ctrl-C or SIGTERM."""

import signal
from types import FrameType

from mindspore.train import Callback, RunContext

from mindvit.distributed import all_gather_object
from mindvit.training.callbacks.metrics_recorder import MetricsRecorder
from mindvit.training.step import TrainStep

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopOnSignal(Callback):
    """Lets a step finish, then stops the run, when Ctrl-C is pressed or SIGTERM arrives at any of the workers.

    All workers stop after the same step, else one would wait for another at a collective for ever: the worker that
    was told asks the others within its next step, and all of them read the answer when that step's outputs are read.

    A second signal stops at once, by ``KeyboardInterrupt``. It serves as callback of ``Model.train`` and of each
    ``Model.eval`` within, which enter their callbacks as context managers: so long it holds the signals' handlers.

    Args:
        record: reads the steps' outputs.
        step: the ``TrainStep``.
        world_size: workers of the job.
    """

    def __init__(self, recorder: MetricsRecorder, step: TrainStep, world_size: int = 1) -> None:
        super().__init__()
        self.recorder = recorder
        self.step = step
        self.world_size = world_size
        self.received: signal.Signals | None = None
        """The signal that reached this worker."""
        self.agreed = False
        """Whether all workers stop."""
        self._asked = False
        self._replaced: list[dict] = []

    def __enter__(self) -> "StopOnSignal":
        self._replaced.append({number: signal.signal(number, self._receive) for number in _SIGNALS})
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._replaced.pop().items():
            signal.signal(number, handler)

    def on_train_step_end(self, run_context: RunContext) -> None:
        if self.world_size > 1 and self.received and not self._asked:
            self._asked = True
            self.step.ask_to_stop()
        self._pass_on(run_context)

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        self._pass_on(run_context)

    def on_eval_step_end(self, run_context: RunContext) -> None:
        if self.received:
            run_context.request_stop()  # The others finish this evaluation, and learn of it after that.

    def agree(self) -> bool:
        """Whether any worker was told to stop; all workers ask this together, between two collectives."""
        self.agreed = self.agreed or any(all_gather_object(self.received is not None))
        return self.agreed

    def _pass_on(self, run_context: RunContext) -> None:
        alone = self.world_size == 1 and self.received is not None
        self.agreed = self.agreed or alone or self.recorder.stop_asked
        if self.agreed:
            run_context.request_stop()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
