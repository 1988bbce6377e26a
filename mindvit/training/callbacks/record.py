"""The record of an epoch, and the watch over its losses."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from mindspore import Tensor
from mindspore.train import Callback, RunContext

from mindvit.data.damage import Skipped
from mindvit.errors import UserError
from mindvit.training.run_state import RunState
from mindvit.workers import gather


@dataclass(frozen=True)
class Pace:
    """What speed is reckoned with."""

    images_per_step: int
    """Of all workers together."""
    flops_per_image: float
    """Floating point operations of a picture's forward and backward pass."""
    peak_flops: float
    """Operations a second that all workers' devices could reach."""


class EpochRecord(Callback):
    """Takes down what each step gives, and opens the record of each epoch.

    The outputs of a step are read while the next one runs, so that no step waits for them. A step whose gradient is
    not finite has changed no weight (see ``TrainStep``): under loss scaling it is counted as skipped, else it ends
    the run.

    Args:
        state: where the run stands; kept up to date here.
        pace: what speed is reckoned with.
        scaled: whether the loss is scaled.
        max_skipped: skipped steps in a row that end the run.
        last_good: says what was kept, for the message.
        skipped_images: the damaged pictures that were left out.
    """

    def __init__(
        self,
        state: RunState,
        pace: Pace,
        scaled: bool,
        max_skipped: int,
        last_good: Callable[[], str],
        skipped_images: Skipped | None = None,
    ) -> None:
        super().__init__()
        self.state = state
        self.pace = pace
        self.scaled = scaled
        self.max_skipped = max_skipped
        self.last_good = last_good
        self.skipped_images = skipped_images
        self.epoch: dict | None = None
        """The record of the epoch that has just ended; None where it was broken off."""
        self.stop_asked = False
        """Whether some worker had asked all to stop before the last step that was read."""
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
            self._timer = time.perf_counter()  # The first step of a sitting compiles the graph.
        self._compiled = True
        if self.state.step >= self.state.total_steps:
            run_context.request_stop()

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        self.read()
        self.total_images += self._timed_steps * self.pace.images_per_step
        self.total_seconds += time.perf_counter() - self._timer
        if self.state.at_epoch_end:
            self.epoch = self._record()
            self.count_skipped_images()

    def read(self) -> None:
        """Reads the outputs of the last step, and waits for them.

        Raises:
            UserError: if its gradient was not finite and this must end the run.
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
        if not self.scaled:
            raise UserError(
                f"the {'loss' if not math.isfinite(loss) else 'gradient'} is not finite at step {state.step} "
                f"(epoch {state.epoch}): loss {loss}, norm of the gradient {norm}. That step changed no weight. "
                f"{self.last_good()} Try a smaller optimizer.lr, a longer warm-up, or optimizer.clip_norm 1.0"
            )
        if state.skipped_in_a_row >= self.max_skipped:
            raise UserError(
                f"{state.skipped_in_a_row} steps in a row overflowed, up to step {state.step} (epoch {state.epoch}), "
                f"however small the loss scale. {self.last_good()} Try a smaller optimizer.lr, optimizer.clip_norm 1.0 "
                "or runtime.precision O0"
            )

    @property
    def loss(self) -> float:
        """Loss of the last step that was read."""
        return self.state.losses[-1] if self.state.losses else math.nan

    @property
    def norm(self) -> float:
        """Norm of the gradient of the last step that was read."""
        return self.state.norms[-1] if self.state.norms else math.nan

    @property
    def images_per_second(self) -> float:
        """Training pictures per second in this epoch, of all workers, without the first step of a sitting."""
        return self._timed_steps * self.pace.images_per_step / max(time.perf_counter() - self._timer, 1e-9)

    @property
    def average_speed(self) -> float | None:
        """Training pictures per second over all epochs of this sitting; None where none was trained."""
        return round(self.total_images / self.total_seconds, 2) if self.total_images else None

    def utilisation(self, images_per_second: float) -> float:
        """Model FLOPs utilisation: the share of the devices' peak that goes into the network's own arithmetic."""
        return images_per_second * self.pace.flops_per_image / self.pace.peak_flops

    def _start(self) -> None:
        self._timed_steps = 0
        self._started = self._timer = time.perf_counter()

    def _record(self) -> dict:
        speed, state = self.images_per_second, self.state
        record = {
            "event": "epoch",
            "epoch": state.epoch,
            "step": state.step,
            "train_loss": float(np.mean(state.losses)) if state.losses else math.nan,
            "lr": state.lr,
            "grad_norm": float(np.mean(state.norms)) if state.norms else math.nan,
            "images_per_second": round(speed, 2),
            "mfu": round(self.utilisation(speed), 4),
            "train_seconds": round(time.perf_counter() - self._started, 3),
        }
        if self.scaled:
            record["skipped_steps"] = state.skipped_steps
        return record

    def count_skipped_images(self) -> None:
        """Adds to the epoch's record how many damaged pictures all workers have left out so far."""
        if self.skipped_images is not None:
            self.epoch["skipped_images"] = len(set().union(*gather(sorted(self.skipped_images.found))))
