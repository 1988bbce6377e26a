"""Ends a run whose folder is gone."""

from mindspore.train import Callback, RunContext

from mindvit.training.run_folder import RunFolder


class CheckRunFolder(Callback):
    """Ends the run if its folder was deleted or replaced.

    Otherwise the files that follow would make an incomplete folder, or get into the folder of another run. The callback
    comes before all callbacks that write files.

    Args:
        folder: the run folder.

    Raises:
        UserError: as ``RunLock.check``.
    """

    def __init__(self, folder: RunFolder) -> None:
        super().__init__()
        self.folder = folder

    def on_train_step_end(self, run_context: RunContext) -> None:
        self.folder.lock.check()

    def on_train_epoch_end(self, run_context: RunContext) -> None:
        self.folder.lock.check()
