"""Copies: the content vector by hand, pairs and groups."""

import numpy as np
import pytest

from googlenet.data import duplicates
from helpers.painting import smooth_picture


def test_eight_positions_and_the_bound() -> None:
    grey = np.asarray(smooth_picture(1, (32, 32)).convert("L"), dtype=np.float32)
    vector = duplicates.content_vector(grey)
    turned = list(duplicates._symmetries(vector[None]))
    for turn in range(4):
        for laid in (np.rot90(grey, turn), np.rot90(grey, turn).T):
            other = duplicates.content_vector(np.ascontiguousarray(laid))
            assert max(float(one[0] @ other) for one in turned) == pytest.approx(1, abs=1e-5)
            assert (
                float((duplicates._magnitudes(vector[None]) @ duplicates._magnitudes(other[None]).T)[0, 0])
                > 0.999
            )


def test_describe_is_a_cosine_transform() -> None:
    grey = np.random.default_rng(0).uniform(0, 255, (32, 32)).astype(np.float32)
    x = np.arange(32)
    waves = {
        (u, v): sum(
            grey[i] @ np.cos(np.pi * (2 * x + 1) * v / 64) * np.cos(np.pi * (2 * i + 1) * u / 64)
            for i in range(32)
        )
        * (2 if u and v else 2**0.5)
        / 32
        for u in range(17)
        for v in range(17)
        if 3 <= np.hypot(u, v) <= 16
    }
    by_hand = np.array([np.sign(c) * np.sqrt(abs(c) * np.hypot(u, v)) for (u, v), c in waves.items()])
    np.testing.assert_allclose(duplicates.content_vector(grey), by_hand / np.linalg.norm(by_hand), atol=1e-4)


def test_blocks_and_dense_blocks_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(90, duplicates.COEFFICIENTS)).astype(np.float32)
    vectors[40:80] = vectors[:40] + random.normal(scale=0.2, size=(40, duplicates.COEFFICIENTS))
    vectors[85] = 0
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    def pairs() -> list[tuple[int, int]]:
        found = [np.stack(block[:2], axis=1) for block in duplicates.similar_pairs(vectors)]
        return sorted(map(tuple, np.concatenate(found).tolist()))

    assert pairs() == [(i, i + 40) for i in range(40)]
    monkeypatch.setattr(duplicates, "_BLOCK", 16)
    assert pairs() == [(i, i + 40) for i in range(40)]
    monkeypatch.setattr(duplicates, "_DENSE", -1.0)
    assert pairs() == [(i, i + 40) for i in range(40)]


def test_groups_follow_from_pairs() -> None:
    digests = [b"x", b"y", b"x", b"z", b"y", b"x", b"w"]
    parts = np.array([0, 0, 0, 1, 1, 1, 1])
    found = duplicates.find_copies(digests, None, parts, count=2)
    assert found.groups() == [[0, 2, 5], [1, 4]]
    assert found.nearest[:, 0].tolist() == [2, -1, 0, -1, 1, 0, -1]
    assert found.nearest[:, 1].tolist() == [5, 4, 5, -1, -1, -1, -1]
    chain = duplicates.find_copies([b"%d" % i for i in range(5)], None, np.zeros(5, dtype=np.int64))
    for i in (3, 0, 1):
        duplicates._add_pairs(
            chain, np.zeros(5, dtype=np.int64), np.array([i]), np.array([i + 1]), np.ones(1, "f4")
        )
    assert chain.groups() == [[0, 1, 2], [3, 4]]
