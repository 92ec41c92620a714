"""The photos of many that excite a unit most: streamed, so that memory does not grow with their number."""

import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from googlenet.architecture.dialects import Preprocessing
from googlenet.base.errors import ImageError, InputError
from googlenet.base.progress import Advance, no_advance
from googlenet.images.decode import Pixels, png_bytes, preprocess
from googlenet.images.heatmaps import HeatMap, Panel, contact_sheet
from googlenet.inference.paths import read
from googlenet.inference.predict import map_batches
from googlenet.interpret.class_maps import LOGITS, photo_and_input
from googlenet.interpret.objectives import layer_maps, unit
from googlenet.interpret.visualization import input_preprocessing
from googlenet.nn.model import GoogLeNet, network_input

Source = TypeVar("Source")
By = Literal["max", "mean"]

BATCH = 32


@dataclass(frozen=True, eq=False)
class TopPhoto(Generic[Source]):
    """A photo that excites a unit.

    value  the unit's greatest activation in the photo, or the mean over its map
    heat   float32 [h, w]: its map over the square that the network saw
    """

    source: Source
    value: float
    heat: HeatMap


@dataclass(frozen=True, eq=False)
class TopActivations(Generic[Source]):
    """The photos that excite each of several units most, and those that could not be read."""

    layer: str
    channels: tuple[int, ...]
    units: tuple[tuple[TopPhoto[Source], ...], ...]  # of each channel, most excited first
    seen: int
    bad: tuple[tuple[Source, ImageError], ...]
    load: Callable[[Source], bytes]
    preprocessing: Preprocessing

    def sheet(self, *, before: Sequence[Panel] = (), side: int = 192) -> Image.Image:
        """The photos of each channel in a row, with its map over each.

        before  a picture of each channel to begin its row with
        """
        rows = [[panel] for panel in before] or [[] for _ in self.channels]
        for row, best in zip(rows, self.units, strict=True):
            row += [self._panel(photo) for photo in best]
        legend = f"{self.layer}: none, to the greatest activation in each photo"
        return contact_sheet(rows, legend=legend, side=side)

    def _panel(self, photo: TopPhoto[Source]) -> Panel:
        image, box, _ = photo_and_input(self.load(photo.source), self.preprocessing)
        return Panel(image, f"{photo.value:.2f}  {Path(str(photo.source)).name}", photo.heat, box)

    def _repr_png_(self) -> bytes:
        """Show them in a notebook."""
        return png_bytes(np.asarray(self.sheet()))


def top_activating(
    net: GoogLeNet,
    layer: str,
    channels: Sequence[int],
    sources: Iterable[Source],
    *,
    load: Callable[[Source], bytes] = read,  # type: ignore[assignment]
    count: int = 8,
    by: By = "max",
    workers: int = 2,
    progress: Advance = no_advance,
) -> TopActivations[Source]:
    """Find the photos that excite channels of a layer most; of equals the first.

    layer     a name as `layer_names.find_layer` takes it, or `logits`
    sources   paths, or whatever `load` gives the bytes of an image file for
    count     photos kept for each channel
    by        the greatest activation anywhere in the photo, or the mean over it
    progress  is called with the photos done
    returns   the best of each channel; in memory are `count` maps of each, and a few photos at a time
    raises    InputError for a layer or a channel that there is not, or a count below 1
    """
    if count < 1:
        raise InputError(f"expected --count of at least 1, got {count}")
    (name,) = {unit(net, layer, channel).layer for channel in channels}
    preprocessing = input_preprocessing(net)
    best: list[list[TopPhoto[Source]]] = [[] for _ in channels]
    bad: list[tuple[Source, ImageError]] = []
    seen = 0

    def activate(squares: list[Pixels]) -> Iterator[Tensor]:
        return iter(_activations(net, name, np.stack(squares))[:, list(channels)])

    def prepare(source: Source) -> Pixels:
        return preprocess(load(source), preprocessing)

    for source, maps in map_batches(sources, prepare, activate, batch=BATCH, workers=workers):
        progress(1)
        if isinstance(maps, ImageError):
            bad.append((source, maps))
            continue
        seen += 1
        values = maps.amax(dim=(1, 2)) if by == "max" else maps.mean(dim=(1, 2))
        for kept, value, heat in zip(best, values.tolist(), maps, strict=True):
            if len(kept) < count or value > kept[-1].value:
                photo = TopPhoto(source, value, heat.clone().numpy())
                bisect.insort(kept, photo, key=lambda other: -other.value)
                del kept[count:]
    return TopActivations(
        name, tuple(channels), tuple(map(tuple, best)), seen, tuple(bad), load, preprocessing
    )


@torch.inference_mode()
def _activations(net: GoogLeNet, name: str, squares: Pixels) -> Tensor:
    """Maps [N, C, h, w] of a layer for squares uint8 [N, size, size, 3]; logits as maps of their classes."""
    device = next(net.parameters()).device
    images = network_input(torch.from_numpy(squares).to(device), input_preprocessing(net))
    training = net.training
    try:
        net.eval()
        if name == LOGITS and net.dialect.dense is None:
            return net.class_maps(net.maps(images)).cpu()
        return layer_maps(net, images, [name])[name].cpu()
    finally:
        net.train(training)
