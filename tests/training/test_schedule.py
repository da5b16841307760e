import math
from dataclasses import replace

import pytest

from minibitnet.training.schedule import Schedule

SCHEDULE = Schedule(steps=40, warmup=4, high=1e-2, low=5e-3, peak_decay=0.1)


def test_the_rate_warms_up_and_drops_halfway():
    rates = [SCHEDULE.rate(step) for step in range(SCHEDULE.steps)]
    assert SCHEDULE.rate(0) == pytest.approx(SCHEDULE.high / 4)
    assert rates[:4] == sorted(rates[:4])
    assert rates[4:20] == sorted(rates[4:20], reverse=True)
    assert rates[19] > rates[20] == SCHEDULE.low
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert 0 < rates[-1] < SCHEDULE.low / 100


def test_weights_decay_in_the_first_half_alone():
    decays = [SCHEDULE.decay(step) for step in range(SCHEDULE.steps)]
    assert decays[0] == 0
    assert decays[:20] == sorted(decays[:20])
    assert decays[19] == pytest.approx(SCHEDULE.peak_decay, rel=0.01)
    assert decays[20:] == 20 * [0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("steps", 0), ("steps", -5), ("warmup", -1), ("high", 0.0), ("high", -0.003)),
        *(("high", math.inf), ("low", -1e-9), ("low", math.nan), ("peak_decay", -1.0)),
    ],
)
def test_numbers_without_a_meaning_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"{name} must be .* got {value}"):
        replace(SCHEDULE, **{name: value})
