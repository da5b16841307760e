from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from minibitnet import forward, generate, trace
from minibitnet.stages import stage, within

ZERO = np.zeros(1, np.float32)


def test_a_stage_is_the_very_array_whether_or_not_somebody_listens():
    assert stage("q", ZERO) is ZERO
    with trace() as stages:
        assert stage("q", ZERO) is ZERO
    assert stages["q"] is ZERO


def test_a_later_pass_overwrites_an_earlier_one(model):
    with trace() as stages:
        forward(model, [1, 2, 3])
        logits = forward(model, [4])
    assert stages["logits"] is logits


def test_a_trace_in_a_trace_listens_instead_of_it():
    with trace() as outer:
        stage("before", ZERO)
        with within("layers.0."), trace() as inner:
            stage("q", ZERO)
        stage("after", ZERO)
    assert [*outer] == ["before", "after"]
    assert [*inner] == ["q"]


def speak_and_fail():
    with within("a."), within("b."):
        stage("q", ZERO)
        raise KeyError("wrong")


def test_prefixes_add_up_and_end_with_an_error():
    with trace() as stages:
        with pytest.raises(KeyError, match="wrong"):
            speak_and_fail()
        stage("k", ZERO)
    stage("v", ZERO)
    assert [*stages] == ["a.b.q", "k"]


def test_a_trace_does_not_hear_another_thread():
    together = Barrier(2)

    def keep(name):
        with trace() as stages:
            together.wait(timeout=10)  # both listen
            stage(name, ZERO)
            together.wait(timeout=10)  # both have been heard
        return [*stages]

    with ThreadPoolExecutor(2) as threads:
        assert [*threads.map(keep, ("one", "other"))] == [["one"], ["other"]]


def test_what_is_only_looked_at_is_made_only_for_a_listener():
    made = []

    def make():
        made.append(1)
        return ZERO

    assert stage("attn_weights", make) is make
    assert made == []
    with trace() as stages:
        stage("attn_weights", make)
    assert stages["attn_weights"] is ZERO
    assert made == [1]


def test_tokens_are_heard_where_they_are_asked_for(model):
    with trace() as stages:
        made_inside = generate(model, [1, 2])
        next(made_inside)
    heard = dict(stages)
    assert "logits" in heard
    next(made_inside)
    assert stages == heard  # the very same arrays

    made_outside = generate(model, [1, 2])
    next(made_outside)
    with trace() as stages:
        next(made_outside)
    assert stages["embed"].shape == (1, 40)
    heard = dict(stages)
    next(made_outside)
    assert stages == heard


def keep(found):
    """A generator that yields inside a trace."""
    with trace() as stages:
        found.append(stages)
        yield


def test_traces_of_generators_may_end_in_any_order():
    found = []
    one, other = keep(found), keep(found)
    next(one)
    next(other)
    one.close()
    stage("q", ZERO)  # the other is still there
    other.close()
    stage("k", ZERO)  # and now nobody
    assert [*map(list, found)] == [[], ["q"]]


def test_a_trace_may_end_in_another_thread():
    generator = keep([])
    next(generator)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(generator.close).result()
