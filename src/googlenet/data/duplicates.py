"""Which photos are copies of one another, also re-encoded, resized, turned or mirrored. No torch.

A photo is described by the cosine transform of 32x32 grey pixels, without the lowest frequencies (light and
background) and the highest (what re-encoding changes). The similarity of two is the largest correlation
over the eight symmetries of the square. How the constants below were chosen is in LOG.md.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from googlenet.data.index import Indices

SIDE = 32  # pixels of the description; smaller photos are compared as files only
LOWEST, HIGHEST = 3, 16  # frequencies: half waves across the photo
MIN_SIMILARITY = 0.85  # of copies
MAX_COMPARED = 100_000  # photos compared with all others, a minute on one core; of more only same files
_MIN_BOUND = 0.6  # correlation of magnitudes: that of copies is higher
_MAX_SIMILARITY = np.float32(0.999)  # of different files; 1 is for the same file
_MIN_CONTRAST = 0.5  # grey levels of deviation in those frequencies: less is noise
_MOST_OF_CLASS = 4000  # photos of a class that are compared with one another, by folders
_BLOCK = 2048  # photos on either side of a block of comparisons
_DENSE = 0.01  # share of a block's pairs from which eight whole matrix products are faster

Vector = npt.NDArray[np.float32]  # [COEFFICIENTS], of length 1; zeros for a photo without detail
Vectors = npt.NDArray[np.float32]  # [N, COEFFICIENTS]

_U, _V = np.mgrid[0 : HIGHEST + 1, 0 : HIGHEST + 1]
_KEPT = (np.hypot(_U, _V) >= LOWEST) & (np.hypot(_U, _V) <= HIGHEST)
COEFFICIENTS = int(_KEPT.sum())
_FREQUENCY = np.hypot(_U, _V)[_KEPT].astype(np.float32)
_COSINES = (
    np.array(
        [[np.cos(np.pi * (2 * x + 1) * u / (2 * SIDE)) for x in range(SIDE)] for u in range(HIGHEST + 1)],
        dtype=np.float32,
    )
    * np.sqrt(np.where(np.arange(HIGHEST + 1) > 0, 2, 1) / SIDE).astype(np.float32)[:, None]
)
_POSITION = np.full(_KEPT.shape, -1)
_POSITION[_KEPT] = np.arange(COEFFICIENTS)
_TRANSPOSED = _POSITION.T[_KEPT]  # position of each coefficient after a transposition of the photo
_ODD = np.stack([_U[_KEPT] % 2, _V[_KEPT] % 2])  # a mirror image turns the sign of these


@dataclass(frozen=True)
class Copies:
    """The copies among N photos of several parts.

    group       int64 [N]: photos with the same number are copies, directly or through others
    nearest     int64 [N, parts]: the most similar copy of each photo in each part; -1 for none
    similarity  float32 [N, parts]: that copy's, from MIN_SIMILARITY to 1; 0 for none
    """

    group: Indices
    nearest: Indices
    similarity: npt.NDArray[np.float32]

    def groups(self) -> list[list[int]]:
        """The groups of two photos and more, in order of their first."""
        order = np.argsort(self.group, kind="stable")
        starts = np.flatnonzero(np.diff(self.group[order])) + 1
        return [members.tolist() for members in np.split(order, starts) if len(members) > 1]


def content_vector(grey: npt.NDArray[np.float32]) -> Vector:
    """Describe a photo, given as float32 [32, 32] of 0..255."""
    coefficients = (_COSINES @ grey @ _COSINES.T)[_KEPT]
    if float(np.sqrt((coefficients**2).sum())) < _MIN_CONTRAST * SIDE:
        return np.zeros(COEFFICIENTS, dtype=np.float32)
    weighted = np.sign(coefficients) * np.sqrt(np.abs(coefficients) * _FREQUENCY)
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
    total = len(digests)
    nearest = np.full((total, count), -1, dtype=np.int64)
    copies = Copies(np.arange(total), nearest, np.zeros((total, count), dtype=np.float32))
    for i, j in _same_files(digests, parts):
        _add_pairs(copies, parts, np.array(i), np.array(j), np.ones(len(i), dtype=np.float32))
    if vectors is not None:
        for first, second, similarity in similar_pairs(vectors):
            _add_pairs(copies, parts, first, second, similarity)
    return copies


def similar_pairs(vectors: Vectors) -> Iterator[tuple[Indices, Indices, npt.NDArray[np.float32]]]:
    """Numbers of the photos that are similar, the first below the second, and how much; block by block."""
    detailed = np.flatnonzero(vectors.any(axis=1))
    vectors = vectors[detailed]
    magnitudes = _magnitudes(vectors)
    starts = range(0, len(vectors), _BLOCK)
    for a in starts:
        for b in range(a, len(vectors), _BLOCK):
            likely = magnitudes[a : a + _BLOCK] @ magnitudes[b : b + _BLOCK].T > _MIN_BOUND
            if a == b:
                likely = np.triu(likely, 1)
            i, j = np.nonzero(likely)
            similarity = _similarity(vectors[a : a + _BLOCK], vectors[b : b + _BLOCK], i, j)
            copies = similarity >= MIN_SIMILARITY
            if copies.any():
                pairs = detailed[a + i[copies]], detailed[b + j[copies]]
                yield *pairs, similarity[copies].clip(max=_MAX_SIMILARITY)


def nearest_in_same_folder(vectors: Vectors, labels: Indices, folders: Indices) -> tuple[float, float]:
    """Whether photos of a folder are alike: how often the most similar one of a class is of the same folder.

    labels, folders  a number for each photo, [N]
    returns          the share of the photos, and what it would be by chance; of classes with several folders,
                     and photos with detail that are not alone in theirs; 0 of none
    """
    same, chance = list[bool](), list[float]()
    for label in np.unique(labels):
        own = np.flatnonzero((labels == label) & vectors.any(axis=1))
        own = own[np.argsort(folders[own], kind="stable")]
        if len(own) > _MOST_OF_CLASS:  # whole folders
            own = own[folders[own] <= folders[own[_MOST_OF_CLASS]]]
        names, number, count = np.unique(folders[own], return_inverse=True, return_counts=True)
        if len(names) < 2:
            continue
        similarity = vectors[own] @ vectors[own].T
        np.fill_diagonal(similarity, -1)
        together = count[number] > 1
        same += (number[similarity.argmax(axis=1)] == number)[together].tolist()
        chance += ((count[number] - 1) / (len(own) - 1))[together].tolist()
    return (float(np.mean(same)), float(np.mean(chance))) if same else (0.0, 0.0)


def _similarity(first: Vectors, second: Vectors, i: Indices, j: Indices) -> npt.NDArray[np.float32]:
    """The largest of the eight correlations of each pair (i, j) of two blocks."""
    best = np.full(len(i), -1, dtype=np.float32)
    dense = len(i) > _DENSE * len(first) * len(second)
    for other in _symmetries(second):
        correlation = (first @ other.T)[i, j] if dense else np.einsum("pw,pw->p", first[i], other[j])
        np.maximum(best, correlation, out=best)
    return best


def _symmetries(vectors: Vectors) -> Iterator[Vectors]:
    """The same photos in the eight positions of a square."""
    for oriented in (vectors, vectors[:, _TRANSPOSED]):
        for mirrored in ((0, 0), (0, 1), (1, 0), (1, 1)):
            yield oriented * (1 - 2 * (np.array(mirrored) @ _ODD % 2)).astype(np.float32)


def _magnitudes(vectors: Vectors) -> Vectors:
    """What no symmetry changes: of each coefficient and its transpose, the larger and the smaller magnitude.

    Centered and of length 1, so that their product is a correlation.
    """
    plain, transposed = np.abs(vectors), np.abs(vectors[:, _TRANSPOSED])
    upper = (_U < _V)[_KEPT]
    ordered = np.where(upper, np.maximum(plain, transposed), np.minimum(plain, transposed))
    ordered -= ordered.mean(axis=1, keepdims=True)
    unit: Vectors = ordered / np.sqrt((ordered**2).sum(axis=1, keepdims=True))
    return unit


def _same_files(digests: Sequence[bytes], parts: Indices) -> Iterator[tuple[list[int], list[int]]]:
    """Pairs with the same content: the first photo of each part, with all the others."""
    numbers: dict[bytes, list[int]] = {}
    for number, digest in enumerate(digests):
        numbers.setdefault(digest, []).append(number)
    for members in numbers.values():
        if len(members) > 1:
            firsts = {int(parts[i]): i for i in reversed(members)}
            for first in sorted(firsts.values()):
                others = [i for i in members if i != first]
                yield [first] * len(others), others


def _add_pairs(
    copies: Copies, parts: Indices, i: Indices, j: Indices, similarity: npt.NDArray[np.float32]
) -> None:
    """Add pairs of copies."""
    order = np.argsort(
        similarity, kind="stable"
    )  # of several for one photo the last counts: the most similar
    similarity = similarity[order]
    for photo, copy in ((i[order], j[order]), (j[order], i[order])):
        part = parts[copy]
        better = similarity > copies.similarity[photo, part]
        copies.nearest[photo[better], part[better]] = copy[better]
        copies.similarity[photo[better], part[better]] = similarity[better]
    merge_groups(copies.group, i, j)


def merge_groups(group: Indices, i: Indices, j: Indices) -> None:
    """Give the photos of each pair, and all that they are copies of, the lowest number among them."""
    while (group[i] != group[j]).any():
        low = np.minimum(group[i], group[j])
        for end in (group[i], group[j]):
            np.minimum.at(group, end, low)
        while (group != group[group]).any():
            group[:] = group[group]
