import pytest

from mindvit.training.callbacks.plot_curves import PlotCurves


def test_a_corrupt_line_of_the_metrics_is_noted_and_does_not_end_the_run(tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text('{"event": "epoch", "epoch": 1, "train_loss": 2.0}\n{"event": "epo')
    with pytest.warns(UserWarning, match=r"curves\.png is not drawn: line 2 of .*metrics\.jsonl is corrupt"):
        PlotCurves(metrics, tmp_path / "curves.png").on_train_end(None)
    assert not (tmp_path / "curves.png").exists()
    metrics.write_text(metrics.read_text().splitlines()[0])
    PlotCurves(metrics, tmp_path / "curves.png").on_train_end(None)
    assert (tmp_path / "curves.png").stat().st_size > 1000
