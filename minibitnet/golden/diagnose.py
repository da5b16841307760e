"""What is wrong with a port, by the numbers it computed.

Known mistakes can be tried. Every bug of the zoo, put into the page, computes what a
port with that bug would; the one whose numbers are the port's own from the first stage
to the last is not a suspicion but the answer. Where none is, two together may be; and
where the port computes in another arithmetic, so that no number is the same, the
nearest is told, if it is much nearer than the page itself.

Notes
-----
How far a port is from a suspect is the mean, over the stages it dumped, of their
distances (`minibitnet.golden.seen`). A suspect is named as the nearest only if it is
less than half as far as the page: a runtime with float16 or bfloat16 in it is some per
cent from everything, and one with SiLU in it 20 per cent from the page and those few
from the bug `silu`. With no bug so near, small distances look like another arithmetic,
large ones like a mistake that is not in the zoo. So do small ones behind integer sums
that are all right, and a jump behind products that are: `Evidence.is_exact`.

A port may have a known mistake and an unknown one behind it. Then no suspect is equal,
but one has the port's very numbers where the page's are others, up to the second.

Bugs that show only where a text continues are run in pieces: up to the first token that
differs, then one at a time.

Examples
--------
A port that has its scales the wrong way round, and kept two rows of a stage:

>>> from minibitnet.golden.port import run_port
>>> from minibitnet.golden.zoo import find_bug, mutate
>>> from minibitnet.stories import BUILT_IN
>>> ids = [4093, 300, 301, 302]
>>> port = run_port(mutate(find_bug("scale-divides")), BUILT_IN, ids) or {}
>>> found = diagnose({"layers.0.k": Seen(port["layers.0.k"][2:])}, BUILT_IN, ids)
>>> [suspect.name for suspect in found.equal]
['scale-divides']
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from minibitnet.files.progress import progress
from minibitnet.golden.evidence import Evidence, Suspect
from minibitnet.golden.names import EMBED
from minibitnet.golden.seen import Seen
from minibitnet.golden.zoo import ZOO, Bug

MUCH_NEARER = 0.5  # times as far as the page, at most
LIKELY = 5  # suspects that are tried together with others
ARITHMETIC = 0.15  # far from the page, at most: what rounding becomes in some layers
ROUNDINGS = {"float32-sums", "float16-gate"}  # no mistakes in another arithmetic
PAGE_BUGS = tuple(bug for bug in ZOO if bug.module == "minibitnet.one_page")


@dataclass(frozen=True)
class Diagnosis:
    """What was found."""

    page: Suspect
    suspects: Sequence[Suspect]  # those with one bug first, the nearest of them first
    silent: Sequence[Bug]  # that change none of the numbers compared
    difference: str  # where the port parts from the page first, and how, in words
    exact: bool = False  # numbers before that are the page's to the last bit

    @property
    def equal(self) -> list[Suspect]:
        """Those whose numbers are all the port's, with the fewest bugs."""
        equal = [suspect for suspect in self.suspects if suspect.first is None]
        return [s for s in equal if len(s.bugs) == len(equal[0].bugs)]

    @property
    def begun(self) -> Suspect | None:
        """The one whose numbers are the port's furthest, beyond where the page ends."""
        order = [*self.page.distances]
        begun = [
            suspect
            for suspect in self.suspects
            if suspect.begin == self.page.first and suspect.first is not None
        ]
        best = max(begun, key=lambda s: order.index(s.first or ""), default=None)
        return best if best and best.first != self.page.first else None

    @property
    def nearest(self) -> Suspect | None:
        """The nearest, if it is much nearer than the page, and two bugs than one."""
        nearest = self.page
        for suspect in self.suspects:
            more_bugs = len(suspect.bugs) > len(nearest.bugs)
            if ROUNDINGS & {bug.name for bug in suspect.bugs} and (
                more_bugs and nearest.bugs or self.looks_like_rounding
            ):
                continue
            if suspect.mean < nearest.mean * (MUCH_NEARER if more_bugs else 1):
                nearest = suspect
        return nearest if nearest.bugs else None

    @property
    def looks_like_rounding(self) -> bool:
        """Whether the distances from the page are those of another arithmetic."""
        return not self.exact and max(self.page.distances.values()) <= ARITHMETIC


def diagnose(
    stages: Mapping[str, Seen], directory: Path, ids: Sequence[int]
) -> Diagnosis:
    """Try the bugs of the zoo, one by one and where need be two by two.

    Parameters
    ----------
    stages : mapping
        From name to what was seen of it.
    directory : Path
        The checkpoint that the port read.
    ids : sequence of int
        The tokens that it read.

    Raises
    ------
    ValueError
        If the numbers are not of this model and these tokens.
    """
    evidence = Evidence(stages, directory, ids)
    page = evidence.page
    tried = [*try_all(evidence, [(bug,) for bug in PAGE_BUGS])]
    silent = [suspect.bugs[0] for suspect in tried if suspect.begin is None]
    suspects = [suspect for suspect in tried if suspect.bugs[0] not in silent]
    if page.first is not None:
        suspects += try_in_pieces(evidence, silent)
        suspects.sort(key=mean_distance)
    found = Diagnosis(
        page, suspects, silent, evidence.tell_first(), evidence.is_exact()
    )
    right = page.first is None or (found.looks_like_rounding and not is_exact(page))
    if right or found.equal:
        return found
    at_once = [suspect for suspect in suspects if suspect.bugs[0] not in silent]
    pairs = [*try_all(evidence, likely_pairs(page, at_once))]
    return replace(found, suspects=[*suspects, *sorted(pairs, key=mean_distance)])


def try_all(
    evidence: Evidence, candidates: Sequence[tuple[Bug, ...]]
) -> Iterator[Suspect]:
    """Those of the candidates that run."""
    for bugs in progress(candidates, "trying bugs"):
        suspect = evidence.judge(*bugs)
        if suspect is not None:
            yield suspect


def try_in_pieces(evidence: Evidence, silent: Sequence[Bug]) -> Iterator[Suspect]:
    """Bugs that show only where a text continues, with the likely first pieces."""
    T, right = len(evidence.ids), evidence.right_tokens()
    for bug in silent:
        for first in [right] if right else range(1, T):
            suspect = evidence.judge(bug, pieces=[first] + [1] * (T - first))
            if suspect is None or suspect.begin is None:
                break
            yield suspect


def likely_pairs(page: Suspect, singles: Sequence[Suspect]) -> list[tuple[Bug, ...]]:
    """Two bugs that may be the port's together.

    Where its numbers are the page's up to a stage, one bug begins there, and the other
    where the first no longer explains the port; or both there, and hide each other.
    Else one is among the nearest.
    """
    here = [suspect for suspect in singles if suspect.begin == page.first]
    if is_exact(page):
        pairs = [
            (first, second)
            for first in here
            for second in singles
            if second.begin in (first.first, page.first)
        ]
    else:
        pairs = [(first, second) for first in singles[:LIKELY] for second in singles]
    sets = {frozenset(first.bugs + second.bugs): None for first, second in pairs}
    order = PAGE_BUGS.index
    return [tuple(sorted(bugs, key=order)) for bugs in sets if len(bugs) == 2]


def is_exact(page: Suspect) -> bool:
    """Whether the port's first numbers behind the embedding are the page's."""
    computed = [far for name, far in page.distances.items() if name != EMBED.name]
    return bool(computed) and not computed[0]


def mean_distance(suspect: Suspect) -> float:
    """How far the port is from a suspect."""
    return suspect.mean
