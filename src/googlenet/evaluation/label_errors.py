"""Labels that are probably wrong, by confident learning (Northcutt et al. 2021, arXiv 1911.00068): cleanlab.

A model that has not seen a photo must have judged it: on photos of its own training it agrees with any label.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from googlenet.base.errors import MissingExtraError
from googlenet.calibration.temperature import Probabilities
from googlenet.data.index import Indices


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A photo whose label is probably wrong.

    number     in the index
    given      its label
    suggested  the class that the model takes it for
    confidence probability of its own label: the lower, the more suspect
    """

    number: int
    given: str
    suggested: str
    confidence: float


def find_suspects(labels: Indices, probabilities: Probabilities, classes: Sequence[str]) -> list[Suspect]:
    """The photos whose labels are probably wrong, the most suspect first.

    labels         [N]
    probabilities  [N, classes], of models that have not seen the photo
    raises         MissingExtraError without cleanlab
    """
    if find_spec("cleanlab") is None:
        raise MissingExtraError(
            "wrong labels are found by cleanlab, not installed here: pip install 'googlenet[labels]'"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of classes without a suspect, and of pandas
        from cleanlab.filter import find_label_issues

        shares = probabilities.astype(np.float64)
        shares /= shares.sum(axis=1, keepdims=True)
        found = find_label_issues(
            labels,
            shares,
            filter_by="low_self_confidence",  # of its rules the one with most hits, and most of them (LOG.md)
            return_indices_ranked_by="self_confidence",
            n_jobs=1,
        )
    suspects = []
    for number in found.tolist():
        guess = int(shares[number].argmax())
        if guess != labels[number]:
            suspects.append(
                Suspect(
                    number=number,
                    given=classes[labels[number]],
                    suggested=classes[guess],
                    confidence=float(shares[number, labels[number]]),
                )
            )
    return suspects
