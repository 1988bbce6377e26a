import numpy as np
import pytest

from mindvit.data.rng import RngStream, generator

LAST_SEED, LAST_NUMBER = 2**31 - 1, 2**63 - 1


def raw(*of, count=4):
    return generator(*of).bit_generator.random_raw(count).tolist()


def test_a_stream_repeats_itself_whatever_else_is_drawn():
    first = raw(3, RngStream.IMAGE, 5)
    np.random.seed(9)
    np.random.random(100)
    generator(3, RngStream.IMAGE, 4).random(100)
    assert raw(3, RngStream.IMAGE, 5) == first


def test_no_two_seeds_purposes_or_numbers_share_a_stream():
    streams = [
        tuple(raw(seed, purpose, number))
        for seed in (0, 1, 2, 255, 256, 257, LAST_SEED)
        for purpose in RngStream
        for number in (0, 1, 2, 2**31, 2**32, LAST_NUMBER)
    ]
    assert len(set(streams)) == len(streams)
    single = {value for stream in streams for value in stream}
    assert len(single) == 4 * len(streams), "no stream is another one shifted"


@pytest.mark.parametrize("purpose", RngStream)
def test_neighbouring_streams_are_independent(purpose):
    draws = np.array([generator(1, purpose, number).random(2) for number in range(4000)])
    for column in draws.T:
        np.testing.assert_allclose(np.histogram(column, bins=8, range=(0, 1))[0] / 4000, 1 / 8, atol=0.025)
        assert abs(np.corrcoef(column[:-1], column[1:])[0, 1]) < 0.06
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.06


def test_streams_are_philoxs_under_a_key_of_seed_purpose_and_number():
    """A run that is continued under another version must see the same images."""
    assert [purpose.value for purpose in RngStream] == [0, 1, 2, 3, 4]
    for seed, number in ((7, 11), (LAST_SEED, LAST_NUMBER)):
        for purpose in RngStream:
            assert raw(seed, purpose, number) == philox(seed * 256 + purpose.value, number)


def philox(*key):
    """The first block of Philox4x64-10, which is that of the counter 1, as the paper defines it."""
    (a, b), words = key, [1, 0, 0, 0]
    for _ in range(10):
        left, right = words[0] * 0xD2E7470EE14C6C93, words[2] * 0xCA5A826395121157
        words = [right >> 64 ^ words[1] ^ a, right % 2**64, left >> 64 ^ words[3] ^ b, left % 2**64]
        a, b = (a + 0x9E3779B97F4A7C15) % 2**64, (b + 0xBB67AE8584CAA73B) % 2**64
    return words
