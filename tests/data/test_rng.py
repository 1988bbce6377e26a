import numpy as np
import pytest

from mindvit.data.rng import RngStream, generator

LAST_SEED, LAST_INDEX = 2**31 - 1, 2**63 - 1


def raw(*key, count=4):
    return generator(*key).bit_generator.random_raw(count).tolist()


def test_a_stream_does_not_depend_on_other_draws():
    first = raw(3, RngStream.IMAGE, 5)
    np.random.seed(9)
    np.random.random(100)
    generator(3, RngStream.IMAGE, 4).random(100)
    assert raw(3, RngStream.IMAGE, 5) == first


def test_seeds_purposes_and_indices_have_separate_streams():
    streams = [
        tuple(raw(seed, stream, index))
        for seed in (0, 1, 2, 255, 256, 257, LAST_SEED)
        for stream in RngStream
        for index in (0, 1, 2, 2**31, 2**32, LAST_INDEX)
    ]
    assert len(set(streams)) == len(streams)
    single = {value for stream in streams for value in stream}
    assert len(single) == 4 * len(streams), "no stream is a shifted copy of another"


@pytest.mark.parametrize("stream", RngStream)
def test_neighboring_streams_are_independent(stream):
    draws = np.array([generator(1, stream, index).random(2) for index in range(4000)])
    for column in draws.T:
        np.testing.assert_allclose(np.histogram(column, bins=8, range=(0, 1))[0] / 4000, 1 / 8, atol=0.025)
        assert abs(np.corrcoef(column[:-1], column[1:])[0, 1]) < 0.06
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.06


def test_streams_are_philox_with_a_key_of_seed_purpose_and_index():
    """A run that resumes with another version must see the same images."""
    assert [stream.value for stream in RngStream] == [0, 1, 2, 3, 4, 5]
    for seed, index in ((7, 11), (LAST_SEED, LAST_INDEX)):
        for stream in RngStream:
            assert raw(seed, stream, index) == philox(seed * 256 + stream.value, index)


def philox(*key):
    """The first block of Philox4x64-10 (counter 1), as in the paper."""
    (a, b), words = key, [1, 0, 0, 0]
    for _ in range(10):
        left, right = words[0] * 0xD2E7470EE14C6C93, words[2] * 0xCA5A826395121157
        words = [right >> 64 ^ words[1] ^ a, right % 2**64, left >> 64 ^ words[3] ^ b, left % 2**64]
        a, b = (a + 0x9E3779B97F4A7C15) % 2**64, (b + 0xBB67AE8584CAA73B) % 2**64
    return words
