import sys

import numpy as np
import pytest

from minibitnet.kernels import memory
from minibitnet.kernels.memory import let_go, peak_memory, unwritten


def test_what_nobody_has_written_is_zero():
    array = unwritten((3, 2))
    assert array.dtype == np.float32
    assert not array.any()
    array[1] = 5
    assert array.sum() == 10


def test_a_mapped_array_that_was_let_go_reads_as_before(tmp_path):
    numbers = np.arange(10_000, dtype=np.uint8)
    numbers.tofile(tmp_path / "numbers")
    mapped = np.asarray(np.memmap(tmp_path / "numbers", np.uint8, "r"))[100:9000]
    assert mapped.sum() == numbers[100:9000].sum()
    let_go(mapped)
    let_go(mapped[:3])  # less than a page
    let_go(numbers)  # not mapped
    assert (mapped == numbers[100:9000]).all()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_the_peak_is_what_the_system_has_counted():
    from resource import RUSAGE_SELF, getrusage

    counted = 1024 * getrusage(RUSAGE_SELF).ru_maxrss
    assert peak_memory() == pytest.approx(counted, rel=0.05)


def test_where_nobody_counts_there_is_no_peak(monkeypatch):
    def no_such_file(*args, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(memory, "open", no_such_file, raising=False)
    assert peak_memory() is None


@pytest.mark.parametrize("shape", [(2**40, 2**20), (2**60, 2**60)])
def test_what_no_machine_has_room_for_is_refused(shape):
    with pytest.raises((MemoryError, ValueError), match=r"allocate|dimension|too big"):
        unwritten(shape)
