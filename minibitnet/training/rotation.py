"""RoPE and its gradient.

Notes
-----
A rotation by an angle is undone by the rotation by minus the angle, and the transpose
of its matrix is that same inverse. So the gradient is turned back: ``dx`` is ``dy``
rotated with the sign of every sine changed.

References
----------
Su et al., RoFormer, 2021, arXiv 2104.09864, section 3.2.

Examples
--------
A quarter turn takes the first half to the second; the way back takes it to the first.

>>> import numpy as np
>>> x = np.array([[[3.0, 0.0]]])
>>> y, pullback = rotate(x, cos=np.zeros((1, 1)), sin=np.ones((1, 1)))
>>> y, pullback(y)
(array([[[0., 3.]]]), array([[[3., 0.]]]))
"""

from minibitnet import rope
from minibitnet.training.arrays import Floats, Pullback


def rotate(x: Floats, cos: Floats, sin: Floats) -> tuple[Floats, Pullback]:
    """Every head of every token turned to its place.

    x (T, H, d), cos (T, d // 2), sin (T, d // 2) -> y (T, H, d)
    """
    return rope.rotate(x, cos, sin), lambda dy: rope.rotate(dy, cos, -sin)
