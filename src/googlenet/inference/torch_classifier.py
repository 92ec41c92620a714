"""A network in torch as a `predict.Predictor`: square images to logits and probabilities."""

import torch
from torch import Tensor

from googlenet.base.errors import ModelFileError
from googlenet.files.metadata import ModelMetadata
from googlenet.images.decode import Pixels
from googlenet.inference.predict import Logits, ModelPredictor, Outputs
from googlenet.nn.model import GoogLeNet, check_images, network_input


class Classifier(ModelPredictor):
    """A `predict.Predictor` over a network in torch."""

    about = f"torch {torch.__version__}; googlenet export makes a faster model"

    def __init__(self, net: GoogLeNet, card: ModelMetadata | None = None) -> None:
        """Wrap a network that has a card, or is given one.

        Raises ModelFileError if it has none: without it there are no class names.
        """
        card = card or net.metadata
        if card is None:
            raise ModelFileError("expected a network loaded from a model file, got one without a card")
        self.net, self.metadata = net, card

    @torch.inference_mode()
    def outputs(self, images: Pixels) -> Outputs:
        """uint8 [N, size, size, 3] -> logits [N, classes], before any temperature, and features.

        Features are those of a network whose classifier reads averages; with a dense layer there are none.
        """
        net = self.net
        features = net.features(net.maps(check_images(self._input(images), least=net.dialect.min_size)))
        logits = net.classifier(net.dropout(features)).cpu().numpy()
        return Outputs(logits, features=features.cpu().numpy() if net.dialect.features else None)

    @torch.inference_mode()
    def class_maps(self, images: Pixels) -> Logits:
        """uint8 [N, size, size, 3] -> float32 [N, classes, h, w], whose means over h x w are the logits.

        Raises ModelFileError for a network with a dense layer before its classifier.
        """
        if self.net.dialect.dense is not None:
            raise ModelFileError(f"dialect {self.metadata.dialect} has no class maps: a dense layer follows")
        return self.net.class_maps(self.net.maps(self._input(images))).cpu().numpy()

    def _input(self, images: Pixels) -> Tensor:
        squares = torch.tensor(images, device=next(self.net.parameters()).device)
        return network_input(squares, self.preprocessing)
