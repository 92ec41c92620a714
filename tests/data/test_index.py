"""Splits that keep groups of copies together."""

import numpy as np

from googlenet.data import index


def test_every_class_keeps_one_on_either_side() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [2] * 2)
    filenames = [f"{label}/{i}.jpg" for i, label in enumerate(labels)]
    for held in ([0, 6, 9], [1, 2, 7, 10], [5, 8, 9]):
        for groups in ([[0, 1, 2]], [[0, 6]], [[6, 7, 8], [9, 10]], [[0, 9, 10], [6, 7]]):
            after = index.group_split(labels, filenames, np.array(held), groups)
            assert all(len({i in after for i in group}) == 1 for group in groups)
            rest = np.setdiff1d(np.arange(len(labels)), after)
            assert set(labels[rest]) == {0, 1, 2}
            assert {0} <= set(labels[after])


def test_a_large_group_is_trained_on() -> None:
    labels = np.zeros(100, dtype=np.int64)
    filenames = [f"{i:03}" for i in range(100)]
    after = index.group_split(labels, filenames, np.arange(20), [list(range(60))])
    assert not set(after) & set(range(60)) and len(after) >= 1
