import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from minibitnet.training.adamw import AdamW, clip


def test_adamw_is_that_of_the_paper():
    rng = np.random.default_rng(0)
    w = {"mlp.up_proj": rng.standard_normal(3), "model.norm": rng.standard_normal(3)}
    plain = {name: array.copy() for name, array in w.items()}
    m, v = ({name: 0.0 for name in w} for _ in range(2))
    optimizer = AdamW(w)
    for t in range(1, 6):
        g = {name: rng.standard_normal(3) for name in w}
        optimizer.step(g, rate=0.1, decay=0.2)
        for name, decay in (("mlp.up_proj", 0.2), ("model.norm", 0.0)):
            m[name] = 0.9 * m[name] + 0.1 * g[name]
            v[name] = 0.95 * v[name] + 0.05 * g[name] ** 2
            m_hat, v_hat = m[name] / (1 - 0.9**t), v[name] / (1 - 0.95**t)
            plain[name] -= 0.1 * (m_hat / (np.sqrt(v_hat) + 1e-8) + decay * plain[name])
    assert optimizer.steps == 5
    for name, array in plain.items():
        assert_allclose(w[name], array, rtol=1e-12)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=5), st.floats(0.1, 50))
def test_clipping_shortens_and_keeps_the_direction(numbers, limit):
    before = np.array(numbers)
    gradients = {"a": before[:1], "b": before[1:]}
    clipped, length = clip(gradients, limit)
    assert length == pytest.approx(np.linalg.norm(before))
    after = np.concatenate([clipped["a"], clipped["b"]])
    factor = min(1, limit / max(np.linalg.norm(before), 1e-300))
    assert_allclose(after, before * factor, rtol=1e-9)
    assert before.tolist() == numbers  # what was passed in stays
