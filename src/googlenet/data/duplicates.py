"""Which photos are copies of one another, also re-encoded, resized, turned or mirrored. No torch.

A photo is described by 32x32 grey pixels as waves, its cosine transform, without the slowest (light and
background) and the fastest (what re-encoding changes). How alike two are is the largest correlation over
the eight ways to lay one upon the other. What the figures below were chosen by is in LOG.md.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from googlenet.data.index import Indices

SIDE = 32  # pixels of the description; smaller photos are compared as files only
SLOWEST, FASTEST = 3, 16  # half waves across the photo
COPY = 0.85  # correlation from which two photos are copies
MOST = 100_000  # photos that are compared with all others, a minute of a core; of more only same files
_LIKELY = 0.6  # correlation of magnitudes, which copies do not go below
_NEARLY = np.float32(0.999)  # at most; 1 is for the same file
_FLAT = 0.5  # grey levels of deviation in those waves: less is noise
_BLOCK = 2048  # photos compared with as many others at a time
_DENSE = 0.01  # share of a block's pairs from which eight whole products are faster

Vector = npt.NDArray[np.float32]  # [WAVES], of length 1; zeros for a photo without detail
Vectors = npt.NDArray[np.float32]  # [N, WAVES]

_U, _V = np.mgrid[0 : FASTEST + 1, 0 : FASTEST + 1]
_KEPT = (np.hypot(_U, _V) >= SLOWEST) & (np.hypot(_U, _V) <= FASTEST)
WAVES = int(_KEPT.sum())
_FREQUENCY = np.hypot(_U, _V)[_KEPT].astype(np.float32)
_COSINES = (
    np.array(
        [[np.cos(np.pi * (2 * x + 1) * u / (2 * SIDE)) for x in range(SIDE)] for u in range(FASTEST + 1)],
        dtype=np.float32,
    )
    * np.sqrt(np.where(np.arange(FASTEST + 1) > 0, 2, 1) / SIDE).astype(np.float32)[:, None]
)
_PLACE = np.full(_KEPT.shape, -1)
_PLACE[_KEPT] = np.arange(WAVES)
_ACROSS = _PLACE.T[_KEPT]  # where each wave is once width and height change places
_ODD = np.stack([_U[_KEPT] % 2, _V[_KEPT] % 2])  # a mirror image turns the sign of these


@dataclass(frozen=True)
class Copies:
    """What was found among N photos of several parts.

    group    int64 [N]: photos of the same number are copies of one another, directly or by way of others
    nearest  int64 [N, parts]: the copy of each photo in each part that is most alike; -1 for none
    alike    float32 [N, parts]: how much, from COPY to 1
    """

    group: Indices
    nearest: Indices
    alike: npt.NDArray[np.float32]

    def groups(self) -> list[list[int]]:
        """The groups of two photos and more, in order of their first."""
        order = np.argsort(self.group, kind="stable")
        starts = np.flatnonzero(np.diff(self.group[order])) + 1
        return [members.tolist() for members in np.split(order, starts) if len(members) > 1]


def content_vector(grey: npt.NDArray[np.float32]) -> Vector:
    """Describe a photo, given as float32 [32, 32] of 0..255."""
    waves = (_COSINES @ grey @ _COSINES.T)[_KEPT]
    if float(np.sqrt((waves**2).sum())) < _FLAT * SIDE:
        return np.zeros(WAVES, dtype=np.float32)
    weighted = np.sign(waves) * np.sqrt(np.abs(waves) * _FREQUENCY)
    vector: Vector = weighted / np.sqrt((weighted**2).sum())
    return vector


def find_copies(
    digests: Sequence[bytes], vectors: Vectors | None, parts: Indices, *, count: int = 1
) -> Copies:
    """Find the copies among photos.

    digests  of each file
    vectors  of each photo; None to look for same files only
    parts    int64 [N], from 0 to below `count`: the split of each
    """
    many = len(digests)
    found = Copies(
        np.arange(many), np.full((many, count), -1, dtype=np.int64), np.zeros((many, count), dtype=np.float32)
    )
    for i, j in _same_files(digests, parts):
        _enter(found, parts, np.array(i), np.array(j), np.ones(len(i), dtype=np.float32))
    if vectors is not None:
        for first, second, alike in alike_pairs(vectors):
            _enter(found, parts, first, second, alike)
    return found


def alike_pairs(vectors: Vectors) -> Iterator[tuple[Indices, Indices, npt.NDArray[np.float32]]]:
    """Numbers of the photos that are alike, the first below the second, and how much; block by block."""
    detailed = np.flatnonzero(vectors.any(axis=1))
    vectors = vectors[detailed]
    magnitudes = _magnitudes(vectors)
    starts = range(0, len(vectors), _BLOCK)
    for a in starts:
        for b in range(a, len(vectors), _BLOCK):
            likely = magnitudes[a : a + _BLOCK] @ magnitudes[b : b + _BLOCK].T > _LIKELY
            if a == b:
                likely = np.triu(likely, 1)
            i, j = np.nonzero(likely)
            alike = _alike(vectors[a : a + _BLOCK], vectors[b : b + _BLOCK], i, j)
            copies = alike >= COPY
            if copies.any():
                yield detailed[a + i[copies]], detailed[b + j[copies]], alike[copies].clip(max=_NEARLY)


def _alike(first: Vectors, second: Vectors, i: Indices, j: Indices) -> npt.NDArray[np.float32]:
    """The largest of the eight correlations of each pair (i, j) of two blocks."""
    best = np.full(len(i), -1, dtype=np.float32)
    if len(i) > _DENSE * len(first) * len(second):
        for turned in _turned(second):
            np.maximum(best, (first @ turned.T)[i, j], out=best)
        return best
    for turned in _turned(second):
        np.maximum(best, np.einsum("pw,pw->p", first[i], turned[j]), out=best)
    return best


def _turned(vectors: Vectors) -> Iterator[Vectors]:
    """The same photos in the eight positions of a square."""
    for laid in (vectors, vectors[:, _ACROSS]):
        for mirrored in ((0, 0), (0, 1), (1, 0), (1, 1)):
            yield laid * (1 - 2 * (np.array(mirrored) @ _ODD % 2)).astype(np.float32)


def _magnitudes(vectors: Vectors) -> Vectors:
    """What no turn changes: of each wave and the same one across, the larger and the smaller magnitude.

    About their mean and of length 1, so that their product is a correlation.
    """
    plain, across = np.abs(vectors), np.abs(vectors[:, _ACROSS])
    upper = (_U < _V)[_KEPT]
    ordered = np.where(upper, np.maximum(plain, across), np.minimum(plain, across))
    ordered -= ordered.mean(axis=1, keepdims=True)
    found: Vectors = ordered / np.sqrt((ordered**2).sum(axis=1, keepdims=True))
    return found


def _same_files(digests: Sequence[bytes], parts: Indices) -> Iterator[tuple[list[int], list[int]]]:
    """Pairs of the same content: in each part one, with all the others."""
    known: dict[bytes, list[int]] = {}
    for number, digest in enumerate(digests):
        known.setdefault(digest, []).append(number)
    for members in known.values():
        if len(members) > 1:
            firsts = {int(parts[i]): i for i in reversed(members)}
            for first in sorted(firsts.values()):
                others = [i for i in members if i != first]
                yield [first] * len(others), others


def _enter(found: Copies, parts: Indices, i: Indices, j: Indices, alike: npt.NDArray[np.float32]) -> None:
    """Note pairs of copies."""
    order = np.argsort(alike, kind="stable")  # of several for one photo the last counts: the most alike
    for one, other in ((i[order], j[order]), (j[order], i[order])):
        part = parts[other]
        better = alike[order] > found.alike[one, part]
        found.nearest[one[better], part[better]] = other[better]
        found.alike[one[better], part[better]] = alike[order][better]
    _join(found.group, i, j)


def _join(group: Indices, i: Indices, j: Indices) -> None:
    """Give the photos of each pair, and all that they are copies of, the lowest number among them."""
    while (group[i] != group[j]).any():
        low = np.minimum(group[i], group[j])
        for end in (group[i], group[j]):
            np.minimum.at(group, end, low)
        while (group != group[group]).any():
            group[:] = group[group]
