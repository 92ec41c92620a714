"""Whether the outputs of an exported model match those of the network it was made of."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from googlenet.base.errors import ModelFileError
from googlenet.calibration.temperature import probabilities
from googlenet.export.calibration_data import Samples
from googlenet.files.parity import AccuracyChange, Parity
from googlenet.images.decode import Pixels
from googlenet.inference.engines import Array, open_exported, precision_here
from googlenet.nn.model import GoogLeNet, network_input

BATCH = 16
BATCHES = (1, 3, 8)  # tried besides BATCH: an engine may choose other kernels for each
TOLERANCE = 1e-4  # between logits in float32; relative to the largest if that is under 1
LARGE_LOGIT = 25.0  # beyond it TOLERANCE grows with the logit: float32 has no more digits
SURE = 0.9  # the network's probability from which on int8 must guess the same
MIN_SURE_AGREEMENT = 0.99  # of int8 with the network where that is sure
MIN_AGREEMENT = 0.9  # over all photos; below it the loss of int8 cannot be accepted
MAX_LOSS = 0.005  # of accuracy in int8, that its 95 % interval must reach down to
MAX_NET_LOSS = 0.01  # photos lost less photos won, as a share; two photos are always allowed
FEW = 2  # photos
Z_95 = 1.96  # standard deviations of a 95 % interval

Logits = Callable[[Pixels], Array]


def measure_parity(net: GoogLeNet, folder: Path, samples: Samples) -> Parity:
    """Compare an exported folder with the network that it was made of, on the same images.

    Where this machine would run it in another precision, the agreement in that one is measured too.
    """
    exported = open_exported(folder, exact=True)
    manifest = exported.manifest
    int8 = manifest.precision == "int8"
    images = samples.verification if int8 else np.concatenate([samples.calibration, samples.verification])

    def torch_logits(batch: Pixels) -> Array:
        with torch.inference_mode():
            return net(network_input(torch.from_numpy(batch), exported.preprocessing)).numpy()  # type: ignore[no-any-return]

    logits, reference = _in_batches(exported.logits, images), _in_batches(torch_logits, images)
    difference, largest = float(np.abs(logits - reference).max()), float(np.abs(reference).max())
    parity = Parity(
        images=f"{len(images)} {'' if samples.labels is None else 'labeled '}photos of {samples.source}",
        count=len(images),
        largest_difference=difference / largest,
        agreement=_agreement(logits, reference),
    )
    if int8:
        sure = probabilities(reference, exported.metadata.temperature).max(axis=1) >= SURE
        agreement = _agreement(logits[sure], reference[sure]) if sure.any() else None
        parity = replace(parity, sure=int(sure.sum()), sure_agreement=agreement)
    else:
        other_batches = _largest_difference(exported.logits, torch_logits, images)
        parity = replace(
            parity,
            largest_logit=largest,
            logit_difference=float(np.max([difference, other_batches])),
            agreement=_agreement(logits, reference, tie=2 * TOLERANCE),
        )
    if (here := precision_here(manifest)) != manifest.precision:
        agreement = _agreement(_in_batches(open_exported(folder).logits, images), reference)
        parity = replace(parity, precision_here=here, agreement_here=agreement)
    if (labels := samples.labels) is not None and len(labels):
        before, after = (output[-len(labels) :].argmax(axis=1) == labels for output in (reference, logits))
        parity = replace(parity, accuracy=compare_accuracy(before, after))
    return parity


def _in_batches(run: Logits, images: Pixels) -> Array:
    return np.concatenate([run(images[start : start + BATCH]) for start in range(0, len(images), BATCH)])


def _largest_difference(run: Logits, reference: Logits, images: Pixels) -> float:
    """The largest difference between logits in batches of 1, 3 and 8, of noise and of real images."""
    ends = np.cumsum(BATCHES)
    noise = np.random.default_rng(1).integers(0, 256, (ends[-1], *images.shape[1:]), dtype=np.uint8)
    batches = [batch for some in (noise, images[: ends[-1]]) for batch in np.split(some, ends[:-1])]
    differences = [np.abs(run(batch) - reference(batch)).max() for batch in batches if len(batch)]
    return float(np.max(differences))  # NaN if any is


def _agreement(logits: Array, reference: Array, *, tie: float = 0.0) -> float:
    """The share of images with the same top class; logits that are not finite agree with nothing.

    tie  by how much the reference of that class may be below its largest and count as the same
    """
    top = logits.argmax(axis=1)
    chosen = np.take_along_axis(reference, top[:, None], axis=1)[:, 0]
    same = (top == reference.argmax(axis=1)) | (chosen > reference.max(axis=1) - tie)
    return float((same & np.isfinite(logits).all(axis=1)).mean())


def compare_accuracy(before: npt.NDArray[np.bool_], after: npt.NDArray[np.bool_]) -> AccuracyChange:
    """Compare which of the same N images, [N], are right before and after."""
    lost = before.astype(float) - after.astype(float)
    margin = Z_95 * float(lost.std(ddof=1)) / math.sqrt(len(lost)) if len(lost) > 1 else 1.0
    loss = float(lost.mean())
    return AccuracyChange(
        labeled=len(lost),
        top1_before=float(before.mean()),
        top1_after=float(after.mean()),
        loss=loss,
        loss_at_least=loss - margin,
        loss_at_most=loss + margin,
    )


def check_parity(parity: Parity, *, accept_loss: bool) -> None:
    """Refuse an export whose outputs do not match.

    raises  ModelFileError for float32 that differs, or for int8 that predicts other classes or loses
            accuracy, unless its loss is accepted
    """
    if parity.logit_difference is None or parity.largest_logit is None:
        _check_int8(parity, accept_loss=accept_loss)
        return
    largest = parity.largest_logit
    allowed = TOLERANCE * min(largest, max(1.0, largest / LARGE_LOGIT))
    if not parity.logit_difference <= allowed:
        raise ModelFileError(
            f"expected logits within {allowed:.2g} (the largest is {largest:.3g}), got "
            f"{parity.logit_difference:.2g} off on {parity.count} images; nothing was written"
        )
    if parity.agreement < 1:
        raise ModelFileError(
            f"expected the same guess for each of {parity.count} images, got "
            f"{100 * parity.agreement:.2f} %; nothing was written"
        )


def _check_int8(parity: Parity, *, accept_loss: bool) -> None:
    """Three rules; only the first binds a loss that is accepted."""
    if not parity.agreement >= MIN_AGREEMENT:
        raise ModelFileError(
            f"expected int8 to guess the same for {100 * MIN_AGREEMENT:g} % of {parity.count} photos that "
            f"did not calibrate it, got {100 * parity.agreement:.1f} %; {_REFUSED}"
        )
    if accept_loss:
        return
    same = 1.0 if parity.sure_agreement is None else parity.sure_agreement
    others = round((1 - same) * (parity.sure or 0))
    if others > max(1, (1 - MIN_SURE_AGREEMENT) * (parity.sure or 0)):
        raise ModelFileError(
            f"expected int8 to guess the same where the network is sure ({SURE:g} and above), got another "
            f"guess for {others} of {parity.sure} such photos; {_REFUSED}, or --accept-loss"
        )
    change = parity.accuracy
    if change and (
        round(change.loss * change.labeled) > max(FEW, MAX_NET_LOSS * change.labeled)
        or change.loss_at_least > MAX_LOSS
    ):
        raise ModelFileError(
            f"expected int8 to lose at most {100 * MAX_NET_LOSS:g} points of accuracy, got "
            f"{100 * change.loss:.1f} (95 % interval {100 * change.loss_at_least:.1f} to "
            f"{100 * change.loss_at_most:.1f}; {100 * change.top1_before:.1f} % to "
            f"{100 * change.top1_after:.1f} % of {change.labeled} images); {_REFUSED}, or --accept-loss"
        )


_REFUSED = "nothing was written; use --to openvino for float32"
