"""Records the metrics of each step and of each epoch, and ends the run if the loss is not finite."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from mindspore import Tensor
from mindspore.train import Callback, RunContext

from mindvit.data.corrupt_images import CorruptImageLog
from mindvit.distributed import all_gather_object
from mindvit.errors import UserError
from mindvit.run_metrics import EpochMetrics
from mindvit.training.run_state import RunState


@dataclass(frozen=True)
class Throughput:
    """What images per second and model FLOPs utilization are computed from."""

    images_per_step: int
    """Training images per step, of all ranks."""
    flops_per_image: float
    """FLOPs of the forward and backward pass of one image."""
    peak_flops: float
    """Peak FLOP/s of all ranks' devices."""


class MetricsRecorder(Callback):
    """Reads the outputs of each step, and creates the metrics of each epoch.

    The outputs of a step are read while the next step runs, so that no step waits for them. A step whose gradient is
    not finite has changed no weight (see ``TrainStep``). Under loss scaling it counts as skipped; otherwise it ends the
    run.

    Args:
        state: progress of the run, which is updated here.
        throughput: for images per second and MFU.
        loss_scaled: whether the loss is scaled.
        max_skipped: consecutive skipped steps that end the run.
        last_checkpoint: returns a sentence on the last training checkpoint, for the error message.
        corrupt: log of corrupt images; None if they are an error.
    """

    def __init__(
        self,
        state: RunState,
        throughput: Throughput,
        loss_scaled: bool,
        max_skipped: int,
        last_checkpoint: Callable[[], str],
        corrupt: CorruptImageLog | None = None,
    ) -> None:
        super().__init__()
        self.state = state
        self.throughput = throughput
        self.loss_scaled = loss_scaled
        self.max_skipped = max_skipped
        self.last_checkpoint = last_checkpoint
        self.corrupt = corrupt
        self.epoch: EpochMetrics | None = None
        """Metrics of the epoch that has just ended; None if it was interrupted."""
        self.stop_asked = False
        """Whether a rank had asked all ranks to stop before the last step that was read."""
        self.total_images = 0
        self.total_seconds = 0.0
        self._unread: tuple[Tensor, ...] | None = None
        self._compiled = False
        self._start()

    def on_train_epoch_begin(self, run_context: RunContext) -> None:
        self.epoch = None
        self.state.begin_epoch()
        self._start()

    def on_train_step_end(self, run_context: RunContext) -> None:
        self.read()
        self._unread = run_context.original_args().net_outputs
        self.state.step += 1
        if self._compiled or self.state.steps_per_epoch == 1:
            self._timed_steps += 1
        else:
            self._timer = time.perf_counter()  # The first step of a session compiles the graph.
        self._compiled = True
        if self.state.step >= self.state.total_steps:
            run_context.request_stop()

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        self.read()
        self.total_images += self._timed_steps * self.throughput.images_per_step
        self.total_seconds += time.perf_counter() - self._timer
        if self.state.at_epoch_end:
            self.epoch = self._epoch_metrics()
            self.count_skipped_images()

    def read(self) -> None:
        """Waits for the outputs of the last step, and reads them.

        Raises:
            UserError: if the gradient was not finite and this must end the run.
        """
        if self._unread is None:
            return
        loss, norm, lr, finite, *stop = (output.asnumpy().item() for output in self._unread)
        self.stop_asked = any(stop)
        self._unread = None
        state = self.state
        state.lr = lr
        if finite:
            state.losses.append(loss)
            state.norms.append(norm)
            state.skipped_in_a_row = 0
            return
        state.skipped_steps += 1
        state.skipped_in_a_row += 1
        if not self.loss_scaled:
            raise UserError(
                f"the {'loss' if not math.isfinite(loss) else 'gradient'} is not finite at step {state.step} "
                f"(epoch {state.epoch}): loss {loss}, gradient norm {norm}. That step changed no weight. "
                f"{self.last_checkpoint()} Try a smaller optimizer.lr, a longer warmup, or optimizer.clip_norm 1.0"
            )
        if state.skipped_in_a_row >= self.max_skipped:
            raise UserError(
                f"{state.skipped_in_a_row} consecutive steps overflowed, up to step {state.step} "
                f"(epoch {state.epoch}), although the loss scale was reduced. {self.last_checkpoint()} "
                "Try a smaller optimizer.lr, optimizer.clip_norm 1.0 or runtime.amp_level O0"
            )

    @property
    def loss(self) -> float | None:
        """Loss of the last step of this epoch that was read and updated the weights; None if there is none yet."""
        return self.state.losses[-1] if self.state.losses else None

    @property
    def norm(self) -> float | None:
        """Gradient norm of the same step."""
        return self.state.norms[-1] if self.state.norms else None

    @property
    def images_per_second(self) -> float:
        """Training images per second in this epoch, of all ranks, without the first step of a session."""
        return self._timed_steps * self.throughput.images_per_step / max(time.perf_counter() - self._timer, 1e-9)

    @property
    def average_speed(self) -> float | None:
        """Training images per second over all epochs of this session; None if it trained no step."""
        return round(self.total_images / self.total_seconds, 2) if self.total_images else None

    def mfu(self, images_per_second: float) -> float:
        """Model FLOPs utilization: the network's own FLOP/s divided by the peak FLOP/s of the devices."""
        return images_per_second * self.throughput.flops_per_image / self.throughput.peak_flops

    def count_skipped_images(self) -> None:
        """Sets the number of corrupt images that all ranks have skipped so far."""
        if self.corrupt is not None:
            self.epoch.skipped_images = len(set().union(*all_gather_object(sorted(self.corrupt.found))))

    def _start(self) -> None:
        self._timed_steps = 0
        self._started = self._timer = time.perf_counter()

    def _epoch_metrics(self) -> EpochMetrics:
        speed, state = self.images_per_second, self.state
        return EpochMetrics(
            epoch=state.epoch,
            step=state.step,
            train_loss=float(np.mean(state.losses)) if state.losses else math.nan,
            lr=state.lr,
            grad_norm=float(np.mean(state.norms)) if state.norms else math.nan,
            images_per_second=round(speed, 2),
            mfu=round(self.mfu(speed), 4),
            train_seconds=round(time.perf_counter() - self._started, 3),
            skipped_steps=state.skipped_steps if self.loss_scaled else None,
        )
