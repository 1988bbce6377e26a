"""Batches are complete, in order and not overwritten, and no thread outlives their iteration."""

import subprocess
import sys
import time
from threading import Event
from threading import enumerate as threads

import mindspore.dataset as ds
import numpy as np
import pytest

from mindvit.data.batch_loader import BatchLoader

SHAPE = (1, 2, 3)


def numbered_row(sample, row):
    row.fill(sample)
    return np.int32(sample), np.float32(-sample)


def loader(make_row=numbered_row, steps=5, num_workers=3, **options):
    """Batches of four rows; step s has the samples from 4 s."""
    return BatchLoader(make_row, lambda step: range(4 * step, 4 * step + 4), steps, SHAPE, num_workers, **options)


def check(batch, step):
    images, numbers, negatives = batch
    expected = np.arange(4 * step, 4 * step + 4)
    np.testing.assert_array_equal(images, np.broadcast_to(expected[:, None, None, None], (4, *SHAPE)))
    np.testing.assert_array_equal(numbers, expected)
    np.testing.assert_array_equal(negatives, -expected)
    assert (images.dtype, numbers.dtype, negatives.dtype) == (np.float32, np.int32, np.float32)


def workers():
    return [thread for thread in threads() if thread.name == "mindvit data worker"]


def wait_until_no_thread_is_left():
    end = time.monotonic() + 10
    while workers() and time.monotonic() < end:
        time.sleep(0.005)
    assert not workers()


def test_batches_are_whole_and_in_order_however_long_each_row_takes():
    def slow(sample, row):
        time.sleep(0.004 * (3 - sample % 4))
        return numbered_row(sample, row)

    batches = loader(slow)
    assert len(batches) == 5
    for step in range(10):  # Two epochs.
        check(batches[step], step)


def test_what_is_held_is_not_overwritten():
    batches = loader(steps=12)
    for step, batch in enumerate([batches[step] for step in range(12)]):
        check(batch, step)


def test_the_memory_of_batches_that_nobody_holds_is_used_again():
    batches, places = loader(steps=40), set()
    for step in range(40):
        places.add(batches[step][0].ctypes.data)
    assert len(places) <= 6


def test_steps_may_be_asked_for_in_any_order():
    batches = loader()
    for step in (3, 4, 0, 2, 2, 17, 1):
        check(batches[step], step)


def test_padding_and_columns_of_the_batch():
    def row(sample, values):
        values.fill(-1 if sample is None else sample)
        return (np.int32(-1 if sample is None else sample),)

    batches = BatchLoader(row, lambda step: [7, None], 1, SHAPE, 1, finish=lambda numbers: (numbers, numbers.sum()))
    images, numbers, total = batches[0]
    assert images[:, 0, 0, 0].tolist() == numbers.tolist() == [7, -1]
    assert total == 6


def test_only_a_few_batches_of_the_same_epoch_are_made_ahead():
    made = []

    def record(sample, row):
        made.append(sample)
        return numbered_row(sample, row)

    batches = loader(record, steps=5)
    batches[0]
    wait_until_no_thread_is_left()
    assert sorted(made) == list(range(12))
    for step in (1, 2, 3, 4):
        batches[step]
    wait_until_no_thread_is_left()
    assert sorted(made) == list(range(20)), "the next epoch may never be asked for"


def test_an_error_is_raised_with_its_batch_and_those_before_arrive():
    def fail(sample, row):
        if sample == 9:
            raise ValueError("sample 9")
        return numbered_row(sample, row)

    batches = loader(fail)
    for step in (0, 1):
        check(batches[step], step)
    with pytest.raises(ValueError, match="sample 9"):
        batches[2]
    wait_until_no_thread_is_left()
    check(batches[3], 3)


def test_batches_that_were_begun_before_an_error_can_still_be_asked_for():
    def fail(sample, row):
        if sample == 1:
            raise ValueError("sample 1")
        time.sleep(0.02)
        return numbered_row(sample, row)

    batches = loader(fail)
    with pytest.raises(ValueError, match="sample 1"):
        batches[0]
    check(batches[1], 1)


def test_of_several_errors_that_of_the_first_row_is_raised_and_passed_on():
    def fail(sample, row):
        if sample >= 9:
            time.sleep(0.05 * (12 - sample))
            raise ValueError(f"sample {sample}")
        return numbered_row(sample, row)

    passed = []
    batches = loader(fail, on_error=passed.append)
    check(batches[0], 0)
    check(batches[1], 1)
    with pytest.raises(ValueError, match="sample 9"):
        batches[2]
    assert [str(error) for error in passed] == ["sample 9"]
    wait_until_no_thread_is_left()


def test_two_iterators_of_one_dataset_get_their_batches():
    dataset = ds.GeneratorDataset(
        loader(), ["image", "number", "negative"], num_parallel_workers=1, python_multiprocessing=False, shuffle=False
    )
    iterators = [dataset.create_tuple_iterator(num_epochs=1, output_numpy=True) for _ in range(2)]
    for step, pair in enumerate(zip(*iterators, strict=True)):
        for batch in pair:
            check(batch, step)
    assert step == 4


def test_no_thread_is_left_by_an_iteration_that_is_abandoned():
    batches = loader(steps=1000)
    batches[0]
    wait_until_no_thread_is_left()


def test_all_workers_make_rows_at_the_same_time():
    arrived = [Event() for _ in range(3)]

    def meet(sample, row):
        if sample < 3:
            arrived[sample].set()
            assert all(event.wait(10) for event in arrived)
        return numbered_row(sample, row)

    check(loader(meet)[0], 0)


PROGRAM = """
import sys, time
import mindspore.dataset as ds
import numpy as np
from mindvit.data.batch_loader import BatchLoader

def row(sample, values):
    time.sleep(0.05)
    return (np.int32(0),)

loader = BatchLoader(row, lambda step: range(64), 1000, (1, 2, 2), 2)
dataset = ds.GeneratorDataset(loader, ["image", "label"], num_parallel_workers=1, python_multiprocessing=False)
if sys.argv[1] == "waiting":
    iterator = iter(dataset.create_tuple_iterator(num_epochs=1))
else:
    loader.samples_of = lambda step: range(2)
    for batch in dataset.create_tuple_iterator(num_epochs=1):
        break
if sys.argv[1] == "interrupted":
    raise KeyboardInterrupt
print("done")
"""


@pytest.mark.parametrize("how", ["waiting", "abandoned", "interrupted"])
def test_a_program_ends_at_once_while_batches_are_made(how):
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, timeout=60, check=False)
    assert time.monotonic() - started < 30
    if how == "interrupted":
        assert done.returncode and "KeyboardInterrupt" in done.stderr and "done" not in done.stdout
    else:
        assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr
