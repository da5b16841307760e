import mmap
import os
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minibitnet import KVCache, forward, generate
from minibitnet.checkpoint.configfile import parse_config
from minibitnet.files.published import CONFIG


def test_new_tokens_are_written_behind_those_held_and_all_are_returned(model):
    G, d = model.config.num_key_value_heads, model.config.head_dim
    cache = KVCache(model.config, capacity=5)
    k, v = np.random.default_rng(0).standard_normal((2, 5, G, d), np.float32)
    cache.write(1, k[:3], v[:3])
    assert cache.length == 0  # the caller's to raise
    cache.length = 3
    keys, values = cache.write(1, k[3:], v[3:])
    assert_array_equal(keys, k.swapaxes(0, 1), strict=True)
    assert_array_equal(values, v.swapaxes(0, 1), strict=True)
    assert not cache.keys[0].any()
    assert not cache.keys[2].any()


@pytest.mark.parametrize("capacity", [-1, 0])
def test_a_cache_holds_at_least_a_token(model, capacity):
    with pytest.raises(
        ValueError, match=f"capacity must be 1 or above, got {capacity}"
    ):
        KVCache(model.config, capacity)


def test_a_cache_holds_at_most_the_context(model):
    cache = KVCache(model.config, capacity=2**40)
    assert cache.capacity == cache.keys.shape[2] == 64


def test_a_full_cache_takes_no_more(model):
    cache = KVCache(model.config, capacity=3)
    forward(model, [1, 2, 3], cache)
    with pytest.raises(ValueError, match="room for 0, got 1"):
        forward(model, [4], cache)
    assert cache.length == 3


@pytest.mark.parametrize(
    "changes",
    [{"max_position_embeddings": 100}, {"num_hidden_layers": 4}, {"rope_theta": 1e4}],
)
def test_a_cache_of_another_model_is_refused(model, changes):
    cache = KVCache(replace(model.config, **changes), capacity=100)
    for use in (forward, generate):
        with pytest.raises(ValueError, match="cache must be made for this model"):
            use(model, [1, 2], cache=cache)


@pytest.mark.parametrize("length", [0, 1, 3, 5])
def test_a_truncated_cache_goes_on_as_if_the_rest_had_not_been(model, length):
    cache, fresh = (KVCache(model.config, capacity=64) for _ in range(2))
    ids = [1, 2, 3, 4, 5]
    forward(model, ids, cache)
    cache.truncate(length)
    assert cache.length == length
    if length:
        forward(model, ids[:length], fresh)
    assert_array_equal(forward(model, [6, 7], cache), forward(model, [6, 7], fresh))


@pytest.mark.parametrize("length", [-1, 4])
def test_a_cache_cannot_keep_what_it_does_not_hold(model, length):
    cache = KVCache(model.config, capacity=5)
    forward(model, [1, 2, 3], cache)
    with pytest.raises(ValueError, match=f"length must be from 0 to 3, got {length}"):
        cache.truncate(length)
    assert cache.length == 3


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux")
def test_a_cache_takes_memory_only_for_what_it_holds():
    def resident():
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * mmap.PAGESIZE

    sizes = CONFIG | {"num_hidden_layers": 10, "max_position_embeddings": 4096}
    before = resident()
    cache = KVCache(parse_config(sizes), 4096)  # of 210 MB
    cache.keys[:, :, :8] = 1
    cache.values[:, :, :8] = 1
    assert resident() - before < 5e6
    assert cache.keys[:, :, 8:].max() == 0
