"""Stops a run on Ctrl-C, SIGTERM or SIGHUP, or when its time is over."""

import signal
import time
from types import FrameType

from mindspore.train import Callback, RunContext

from mindvit.distributed import all_gather_object
from mindvit.training.callbacks.metrics_recorder import MetricsRecorder
from mindvit.training.step import TrainStep

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopOnSignal(Callback):
    """Stops the run after the current step when any rank receives Ctrl-C (SIGINT), SIGTERM or SIGHUP.

    A time limit (``train.max_hours``) stops it in the same way.

    All ranks must stop after the same step. Otherwise one of them would wait for the others at a collective forever.
    The rank that received the signal requests the stop within its next step. All ranks learn of it when they read the
    outputs of that step.

    A second signal stops the run at once, with ``KeyboardInterrupt``. A second SIGHUP does not: a terminal that closes
    may send two. A signal that the parent process ignores stays ignored, as under nohup.

    The callback serves ``Model.train`` and each ``Model.eval`` during the run. They enter their callbacks as context
    managers; the signal handlers are set for that time.

    Args:
        recorder: reads the outputs of the steps.
        step: the ``TrainStep``.
        world_size: number of ranks.
        max_hours: time limit from now on; None means no limit.
    """

    def __init__(
        self, recorder: MetricsRecorder, step: TrainStep, world_size: int = 1, max_hours: float | None = None
    ) -> None:
        super().__init__()
        self.recorder = recorder
        self.step = step
        self.world_size = world_size
        self.received: signal.Signals | None = None
        """The signal that this rank received."""
        self.is_time_over = False
        """Whether this rank has reached the time limit."""
        self.agreed = False
        """Whether all ranks stop."""
        self._max_hours = max_hours
        self._deadline = None if max_hours is None else time.monotonic() + 3600 * max_hours
        self._asked = False
        self._replaced: list[dict] = []

    def __enter__(self) -> "StopOnSignal":
        handled = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        self._replaced.append({number: signal.signal(number, self._receive) for number in handled})
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._replaced.pop().items():
            signal.signal(number, handler)

    def on_train_step_end(self, run_context: RunContext) -> None:
        self.is_time_over = self._deadline is not None and time.monotonic() >= self._deadline
        if self.world_size > 1 and self._wants_stop and not self._asked:
            self._asked = True
            self.step.ask_to_stop()
        self._pass_on(run_context)

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        self._pass_on(run_context)

    def on_eval_step_end(self, run_context: RunContext) -> None:
        if self._wants_stop:
            run_context.request_stop()  # The other ranks finish this evaluation, and learn of the stop after it.

    @property
    def reason(self) -> str:
        """Which signal or limit stopped the run, and where; empty if it concerned another rank."""
        if not self._wants_stop:
            return ""
        state = self.recorder.state
        if self.received is None:
            name = f"the {self._max_hours:g} hours of train.max_hours were over"
        else:
            # While MindSpore reads images, it turns Ctrl-C into SIGTERM.
            name = "SIGHUP" if self.received == signal.SIGHUP else "Ctrl-C or SIGTERM"
        return f"{name} after step {state.step:,} of {state.total_steps:,} (epoch {state.epoch}):"

    def agree(self) -> bool:
        """Whether any rank received a signal; all ranks call it together, between two collectives."""
        self.agreed = self.agreed or any(all_gather_object(self._wants_stop))
        return self.agreed

    @property
    def _wants_stop(self) -> bool:
        return self.received is not None or self.is_time_over

    def _pass_on(self, run_context: RunContext) -> None:
        alone = self.world_size == 1 and self._wants_stop
        self.agreed = self.agreed or alone or self.recorder.stop_asked
        if self.agreed:
            run_context.request_stop()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received and number != signal.SIGHUP:
            outer = self._replaced[0][number]
            if callable(outer):
                outer(number, frame)  # It raises KeyboardInterrupt, too, and the command line learns of it.
            raise KeyboardInterrupt
        self.received = self.received or signal.Signals(number)
