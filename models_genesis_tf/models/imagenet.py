"""torchvision's ResNet-18, trained on ImageNet, as the encoder of the 2D U-Net.

Its checkpoint is a state dict with the tensors of a convolution and a normalisation
(conv1, bn1), of four stages of two blocks (layer<s>.<b>, with a projection in
`downsample` where the sides are halved), and of the classifier of ImageNet's thousand
classes (fc), which has no place here. It is known by these names.
"""

from collections.abc import Mapping

import keras
import numpy as np

from models_genesis_tf.errors import InputError
from models_genesis_tf.models.torch_layers import rename_tensors
from models_genesis_tf.models.unet2d import Trunk2D
from models_genesis_tf.models.weights import TransferReport, transfer_weights

CLASSIFIER = "fc"
_STEM = "conv1.weight"
_KNOWN_BY = (_STEM, "bn1.running_mean", "layer1.0.conv1.weight")
_STAGES = (1, 2, 3, 4)
_LAYERS = (
    {"conv1": "stem_conv", "bn1": "stem_bn"}
    | {
        f"layer{stage}.{block}.{kind}{i + 1}": f"stage_{stage}_block_{block}_{kind}_{i}"
        for stage in _STAGES
        for block in (0, 1)
        for i in (0, 1)
        for kind in ("conv", "bn")
    }
    | {
        f"layer{stage}.0.downsample.{i}": f"stage_{stage}_block_0_projection_{kind}"
        for stage in _STAGES[1:]
        for i, kind in enumerate(("conv", "bn"))
    }
)


def is_resnet(tensors: Mapping[str, np.ndarray]) -> bool:
    """Tells by their names whether tensors are those of a ResNet of torchvision.

    Args:
      tensors: A state dict.

    Returns:
      Whether its first layers are there.
    """
    return all(name in tensors for name in _KNOWN_BY)


def build_imagenet_encoder(
    tensors: Mapping[str, np.ndarray],
    input_shape: tuple[int, int, int] = (224, 224, 3),
) -> tuple[keras.Model, TransferReport]:
    """Builds the encoder from the tensors of torchvision's ResNet-18.

    Args:
      tensors: A state dict; the tensors' widths make the network's.
      input_shape: (x, y, channel), sides multiples of 32, with 1 channel or 3.

    Returns:
      A model from (batch, x, y, channel) in [0, 1] to features (batch, x / 32, y / 32,
      512), and what became of every tensor; those of `fc` are unused. How many batches
      a normalisation has seen is no weight and is left out.

    Raises:
      InputError: If the tensors are those of another network.
    """
    if not is_resnet(tensors) or tensors[_STEM].ndim != 4:
        raise InputError(
            f"ImageNet's weights are torchvision's ResNet-18, with {_STEM} first. "
            f"Received: tensors {', '.join(list(tensors)[:3]) or 'none'}"
        )
    renamed, counters = rename_tensors(tensors, _LAYERS)
    weights = {name: renamed[name] for name in renamed if name not in counters}
    filters = tensors[_STEM].shape[0]
    trunk = Trunk2D(base_filters=filters, input_scaling="imagenet")
    inputs = trunk.inputs(input_shape)
    features, _ = trunk.encode(inputs)
    model = keras.Model(inputs, features, name="encoder")
    return model, transfer_weights(weights, model, unused=[CLASSIFIER])
