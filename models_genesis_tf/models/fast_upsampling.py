"""The decoder's first convolutions, computed on the small map instead of the enlarged.

Where a map is enlarged by repeating voxels, joined to a skip and convolved 3x3x3, a
voxel's eight copies are multiplied by the same weights again and again. Along one axis
the copies of voxel p lie at 2p and 2p + 1, so that with the taps k(-1), k(0), k(1) it
adds to the outputs at 2p - 1, 2p, 2p + 1 and 2p + 2 its value times

    k(1),  k(0) + k(1),  k(-1) + k(0),  k(-1):

a transposed convolution of stride 2 with a kernel 4x4x4, which takes 8 products where
the other takes 27. The skip is convolved by itself and added. The result is the same
but for rounding (2e-6 of the largest value in float32), its gradients too.
"""

import keras
import numpy as np
from keras import layers, ops

# Rows: what the outputs at 2p - 1 to 2p + 2 take of the taps k(-1), k(0), k(1).
_SUMS_OF_TAPS = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], dtype=np.float32)

# Layers that enlarge, join and convolve, as networks of three dimensions name them.
_JOINS = tuple(
    (f"upsampling_{level}", f"concatenation_{level}", f"depth_{12 - 2 * level}_conv")
    for level in range(3)
)


class _JoinedConvolution(layers.Layer):
    """Convolves an enlarged map and a skip with the weights of a stock convolution."""

    def __init__(self, convolution: layers.Conv3D):
        # The kernel's sums are taken in float32, whatever the convolution computes in.
        super().__init__(
            autocast=False, dtype="float32", name=f"{convolution.name}_joined"
        )
        self._convolution = convolution

    def call(self, small, skip):
        """Gives what the convolution gives of both, (batch, 2x, 2y, 2z, filter).

        Args:
          small: The map before it is enlarged, (batch, x, y, z, channel).
          skip: What it is joined to, (batch, 2x, 2y, 2z, channel).
        """
        kernel, bias = self._convolution.kernel, self._convolution.bias
        channels, dtype = small.shape[-1], self._convolution.compute_dtype
        enlarged = ops.einsum(
            "ai,bj,ck,ijkmf->abcfm",
            *[_SUMS_OF_TAPS] * 3,
            kernel[:, :, :, :channels],
        )
        own = kernel[:, :, :, channels:]
        enlarged, own, bias = (ops.cast(one, dtype) for one in (enlarged, own, bias))
        from_small = ops.conv_transpose(small, enlarged, strides=2, padding="same")
        return from_small + ops.conv(skip, own, padding="same") + bias


def fast_twin(model: keras.Model) -> keras.Model:
    """Makes the same network with faster convolutions after each enlargement.

    The twin is for calling: training it trains the model, which is the one to save, and
    every layer but the new ones is the model's own.

    Args:
      model: A functional model of stock layers.

    Returns:
      A twin with the model's variables; the model itself if it enlarges nothing by
      repeating voxels and joining, as networks of two dimensions, classifiers and those
      with transposed convolutions.
    """
    repeating = {
        layer.name for layer in model.layers if isinstance(layer, layers.UpSampling3D)
    }
    joins = [join for join in _JOINS if join[0] in repeating]
    if not joins:
        return model
    enlargements, concatenations, convolutions = zip(*joins, strict=True)
    joined = []  # the map and the skip that come next, for as long as nothing asks

    def call(layer, *arguments, **options):
        if layer.name in enlargements:
            return arguments[0]
        if layer.name in concatenations:
            joined[:] = arguments[0]
            return joined[1]
        if layer.name in convolutions:
            return _JoinedConvolution(layer)(*joined)
        return layer(*arguments, **options)

    return keras.models.clone_model(
        model, clone_function=lambda layer: layer, call_function=call
    )
