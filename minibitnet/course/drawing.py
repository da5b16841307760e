"""Pictures of mistakes, where they say more than words.

An exercise may name one of these functions; Jupyter then shows, below the hint, the
answer that was given beside the right one.
"""

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]


def draw_cells(case: tuple[Any, ...], found: Array, right: Array) -> "Figure":
    """Two matrices side by side; where they differ, the cells are orange.

    Parameters
    ----------
    case : tuple
        What the function was given.
    found, right : ndarray of shape (M, N), int or float
        Its answer, and the right one.

    Returns
    -------
    figure : Figure
        As high as there are rows.
    """
    from matplotlib.figure import Figure

    M, N = right.shape
    figure = Figure(figsize=(1.2 + 0.9 * N, 0.7 + 0.3 * M), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    differs = np.where(np.isclose(found, right), 0.0, 0.6)
    for axes, matrix, title in zip(
        panels, (found, right), ("yours", "right"), strict=True
    ):
        axes.imshow(differs, cmap="Oranges", vmin=0, vmax=1, aspect="auto")
        for (m, n), number in np.ndenumerate(matrix):
            axes.text(n, m, f"{number + 0:.4g}", ha="center", va="center", size=9)
        axes.set(title=title, xticks=range(N), yticks=range(M))
    return figure


def draw_arrows(case: tuple[Any, ...], found: Array, right: Array) -> "Figure":
    """Each pair of coordinates j and j + d/2 as an arrow, before and after its turn.

    Parameters
    ----------
    case : tuple
        The vector that was turned, its position, and theta.
    found, right : ndarray of shape (d,), float
        Where it went, and where it should have gone.

    Returns
    -------
    figure : Figure
        A panel for each pair.
    """
    from matplotlib.figure import Figure

    half = len(right) // 2
    figure = Figure(figsize=(2.4 * half, 2.8), layout="constrained")
    ways = (("before", case[0], "0.6"), ("yours", found, "C1"), ("right", right, "C0"))
    in_units = {"angles": "xy", "scale_units": "xy", "scale": 1}
    for j, axes in enumerate(figure.subplots(1, half, squeeze=False)[0]):
        lengths = [np.hypot(x[j], x[j + half]) for _, x, _ in ways]
        reach = 1.1 * max(filter(np.isfinite, lengths))
        for name, x, color in ways:
            arrow = (0, 0, x[j], x[j + half])
            axes.quiver(*arrow, **in_units, color=color, label=name, width=0.015)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        axes.set_title(f"numbers {j} and {j + half}", size=9)
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=3
    )
    return figure


def as_html(figure: "Figure") -> str:
    """A figure as a tag.

    Parameters
    ----------
    figure : Figure
        Any.

    Returns
    -------
    tag : str
        With the picture in it.
    """
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=90, facecolor="white")
    content = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="yours and right" src="data:image/png;base64,{content}">'
