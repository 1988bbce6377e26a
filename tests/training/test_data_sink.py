import signal
from dataclasses import replace

import pytest
from mindspore.train import Model, RunContext
from mindspore.train.callback import _CallbackManager, _InternalCallbackParam

from mindvit.training import setup
from tests.training.run_files import assert_same_tensors, lines, metrics_without_clock


@pytest.fixture
def data_sinking(monkeypatch):
    """Makes runs take their batches from a queue, in the loop that ``Model`` has for devices with such a queue."""

    def train_with_sink(self, epoch, dataset, callbacks, initial_epoch, dataset_sink_mode, sink_size):
        assert (dataset_sink_mode, sink_size) == (True, 1)
        passes = dataset.create_tuple_iterator(num_epochs=epoch)
        queue = (batch for _ in range(epoch) for batch in passes)
        arguments = _InternalCallbackParam()
        context = RunContext(arguments)
        with _CallbackManager(callbacks) as manager:
            manager.on_train_begin(context)
            for _ in range(initial_epoch, epoch):
                manager.on_train_epoch_begin(context)
                manager.on_train_step_begin(context)
                arguments.net_outputs = self._train_network.set_train()(*next(queue))
                manager.on_train_step_end(context)
                manager.on_train_epoch_end(context)
                if context.get_stop_requested():
                    break
            manager.on_train_end(context)

    init_runtime = setup.init_runtime
    monkeypatch.setattr(setup, "init_runtime", lambda *settings: replace(init_runtime(*settings), data_sink=True))
    monkeypatch.setattr(Model, "train", train_with_sink)


@pytest.mark.eager
def test_data_sinking_changes_neither_weights_nor_metrics_nor_where_a_run_can_stop(
    train, make_folder, signalled, request
):
    options = ["--data.path", make_folder(counts=6), "--train.epochs", 2, "--train.log_steps", 1]
    options += ["--model.drop_path", 0.2, "--runtime.mode", "graph"]
    plain = train(*options, name="plain")
    request.getfixturevalue("data_sinking")
    end_signals = signalled(4, signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt, match="stopped"):
        train(*options, name="sunk")
    end_signals()
    sunk = train(*options, "--resume", "auto", name="sunk")
    assert metrics_without_clock(sunk) == metrics_without_clock(plain)
    assert len(lines(sunk)) == 2
    assert_same_tensors(sunk / "last.ckpt", plain / "last.ckpt")
