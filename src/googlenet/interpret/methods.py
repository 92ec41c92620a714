"""The attribution methods by name. No torch for class maps and occlusion."""

from importlib.util import find_spec
from typing import Literal

from googlenet.base.errors import InputError, MissingExtraError
from googlenet.inference.predict import Predictor
from googlenet.interpret.class_maps import CAM, Attribution, occlusion


def choose_attribution(
    name: str, predictor: Predictor, *, layer: str | None = None, baseline: Literal["blur", "grey"] = "blur"
) -> Attribution | None:
    """The attribution method of a name; None for the class map, which `explain` computes itself.

    layer     of gradcam
    baseline  of integrated-gradients
    raises    InputError for gradients of an exported model, and for an unknown layer; MissingExtraError
    """
    if name == CAM:
        return None
    if name == "occlusion":
        return occlusion(predictor)
    net = getattr(predictor, "net", None)
    if net is None:
        raise InputError(
            f"expected --method cam or occlusion for an exported model, got {name}: it has no gradients; "
            "give the run folder or the model file that it was exported from"
        )
    if find_spec("captum") is None:
        raise MissingExtraError("this needs captum, not installed here: pip install 'googlenet[explain]'")
    from googlenet.interpret.attribution import method

    return method(name, net, predictor.preprocessing, layer=layer, baseline=baseline)
