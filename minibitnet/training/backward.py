"""Every piece of the model with its way back.

To learn, a model must know how the loss changes with each of its weights. So every
piece returns two things: what it computes, and a *pullback*, a function that takes the
gradient of the loss by the output and returns the gradients by the inputs. That is the
chain rule for one piece. Whoever computes the model collects the pullbacks and calls
them in reverse; there is no other machinery.

The pieces are those of inference, for B texts of T tokens at once. Training runs in
float32. The same code runs in float64, where gradients can be compared with finite
differences: results have the precision of the inputs.

Notes
-----
Below, ``dy`` is the gradient of the loss by ``y``, and so on.

RMSNorm. With ``r = 1 / sqrt(mean(x**2) + eps)`` and ``n = x * r`` it is
``y = n * gain``. A coordinate of x acts on y directly, and through r on all of them::

    dgain = sum over tokens of dy * n
    dn    = dy * gain
    dx    = r * (dn - n * mean(dn * n))

The second term takes from dn its component along n: making a vector longer changes
nothing that comes after the norm. The mean of squares is float64, as in inference.

RoPE. A rotation is undone by the rotation by minus the angle, and the transpose of its
matrix is that same inverse: dx is dy rotated with the sign of every sine changed.

Attention. With ``S = q @ k.T / sqrt(d)``, ``P = softmax(S)`` and ``y = P @ v``::

    dv = P.T @ dy
    dP = dy @ v.T
    dS = P * (dP - sum(dP * P))       each row: raising one score lowers all weights
    dq = dS @ k / sqrt(d)
    dk = dS.T @ q / sqrt(d)

H / G query heads read the same keys and values, so those receive the sum of that many
gradients. Later tokens are hidden by a mask: their scores are minus infinity, so their
weights are zero, and where P is zero, dS is. Inference sums in float64, token by token;
for a batch these sums stay float32, for speed, and differ from those in the last bits.

Squared ReLU. ``z = max(0, g)**2 * u``. The derivative of a square is twice its root,
and that of ReLU is a step, which the root already has::

    dg = dz * 2 * max(0, g) * u
    du = dz * max(0, g)**2

References
----------
Zhang and Sennrich, Root Mean Square Layer Normalization, 2019, arXiv 1910.07467,
section 3 and appendix; Su et al., RoFormer, 2021, arXiv 2104.09864, section 3.2;
Vaswani et al., Attention Is All You Need, 2017, arXiv 1706.03762, section 3.2.1;
Ainslie et al., GQA, 2023, arXiv 2305.13245; So et al., Primer, 2021, arXiv 2109.08668,
section 4.

Examples
--------
RMSNorm: a gradient that points along x itself has no effect.

>>> x = np.array([[1.0, 7.0, 5.0, 5.0]])
>>> y, pullback = rms_norm(x, np.ones(4), eps=0)
>>> dx, dgain = pullback(x)
>>> bool(np.allclose(dx, 0)), dgain
(True, array([0.2, 9.8, 5. , 5. ]))

RoPE: a quarter turn takes the first half to the second; the way back takes it to the
first. (Turning on would have given -3.)

>>> x = np.array([[[3.0, 0.0]]])
>>> y, pullback = rotate(x, cos=np.zeros((1, 1)), sin=np.ones((1, 1)))
>>> y, pullback(y)
(array([[[0., 3.]]]), array([[[3., 0.]]]))

Attention: the first token sees itself alone, so its value is all it gathers; the second
weighs both alike. So the first value counts one and a half times, the second half.

>>> q = np.zeros((1, 2, 1, 2))
>>> v = np.array([[[[1.0, 2.0]], [[3.0, 4.0]]]])
>>> y, pullback = attention(q, q, v)
>>> y[0, :, 0]
array([[1., 2.],
       [2., 3.]])
>>> _, _, dv = pullback(np.ones_like(y))
>>> dv[0, :, 0]
array([[1.5, 1.5],
       [0.5, 0.5]])

Squared ReLU: 3 squared times 7 is 63; its slopes are 2 * 3 * 7 and 3 squared.

>>> gate, up = np.array([[-1.0, 3.0]]), np.array([[5.0, 7.0]])
>>> z, pullback = squared_relu_gate(gate, up)
>>> z, *pullback(np.ones((1, 2)))
(array([[ 0., 63.]]), array([[ 0., 42.]]), array([[0., 9.]]))
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet import rope

Floats = NDArray[np.floating[Any]]  # float32 to train, float64 to test
Ids = NDArray[np.integer[Any]]  # token ids, of any width
Pullback = Callable[[Floats], Floats]  # of a function of one array
Pullback2 = Callable[[Floats], tuple[Floats, Floats]]  # of two arrays
Pullback3 = Callable[[Floats], tuple[Floats, Floats, Floats]]  # of three


def rms_norm(x: Floats, gain: Floats, eps: float) -> tuple[Floats, Pullback2]:
    """RMSNorm of each token; the pullback gives dx and dgain.

    x (T, N), gain (N,) -> y (T, N)
    """
    mean_square = np.square(x, dtype=np.float64).mean(axis=1, keepdims=True)
    root = np.sqrt(mean_square + eps).astype(x.dtype)
    r = 1 / root
    n = x / root  # not x * r, which may differ from inference in the last bit

    def pullback(dy: Floats) -> tuple[Floats, Floats]:
        dgain = np.einsum("tn,tn->n", dy, n)  # no array of the products is made
        dn = dy * gain
        along = np.einsum("tn,tn->t", dn, n)[:, None] / n.shape[1]
        return r * (dn - n * along), dgain

    return n * gain, pullback


def rotate(x: Floats, cos: Floats, sin: Floats) -> tuple[Floats, Pullback]:
    """RoPE of every head of every token; the pullback turns dy back to dx.

    x (T, H, d), cos (T, d // 2), sin (T, d // 2) -> y (T, H, d)
    """
    return rope.rotate(x, cos, sin), lambda dy: rope.rotate(dy, cos, -sin)


def attention(q: Floats, k: Floats, v: Floats) -> tuple[Floats, Pullback3]:
    """What each token gathers up to itself; the pullback gives dq, dk and dv.

    q (B, T, H, d), k (B, T, G, d), v (B, T, G, d) -> y (B, T, H, d)
    """
    H, G = q.shape[2], k.shape[2]
    q, k, v = by_group(q, G), by_group(k, G), by_group(v, G)
    scale = q.dtype.type(q.shape[-1] ** -0.5)
    P = causal_weights(q * scale, k)

    def pullback(dy: Floats) -> tuple[Floats, Floats, Floats]:
        dy = by_group(dy, G)
        dv = P.swapaxes(2, 3) @ dy  # the rows are tokens of all heads of the group
        dS = dy @ v.swapaxes(2, 3)  # dP, made into dS in place: it is the largest array
        dS -= np.einsum("bgts,bgts->bgt", dS, P)[..., None]
        dS *= P
        dS *= scale
        dq, dk = dS @ k, dS.swapaxes(2, 3) @ q
        return by_token(dq, H), by_token(dk, G), by_token(dv, G)

    return by_token(P @ v, H), pullback


def by_group(x: Floats, G: int) -> Floats:
    """The heads that read the same key stacked, so that one product serves them all.

    x (B, T, H, d) -> y (B, G, H // G * T, d)
    """
    B, T, H, d = x.shape
    return np.ascontiguousarray(x.swapaxes(1, 2)).reshape(B, G, H // G * T, d)


def by_token(x: Floats, H: int) -> Floats:
    """The inverse of `by_group`.

    x (B, G, H // G * T, d) -> y (B, T, H, d)
    """
    B, G, rows, d = x.shape
    return x.reshape(B, H, rows * G // H, d).swapaxes(1, 2)


def causal_weights(q: Floats, k: Floats) -> Floats:
    """The softmax of each query's scores with the keys up to its own token.

    q (B, G, H // G * T, d), k (B, G, T, d) -> P (B, G, H // G * T, T)
    """
    B, G, T, _ = k.shape
    P = q @ k.swapaxes(2, 3)
    by_head = P.reshape(B, G, -1, T, T)  # a view: one mask for all heads
    by_head += np.triu(np.full((T, T), -np.inf, P.dtype), k=1)
    P -= P.max(axis=-1, keepdims=True)
    np.exp(P, out=P)
    P /= P.sum(axis=-1, keepdims=True)
    return P


def squared_relu_gate(gate: Floats, up: Floats) -> tuple[Floats, Pullback2]:
    """What the gate lets pass; the pullback gives dgate and dup.

    gate (T, F), up (T, F) -> z (T, F)
    """
    root = np.maximum(gate, 0)
    square = np.square(root)

    def pullback(dz: Floats) -> tuple[Floats, Floats]:
        return dz * (2 * root) * up, dz * square

    return square * up, pullback
