"""Operations counted from layers are those of closed forms."""

import keras
import pytest
from keras import layers

from models_genesis_tf.benchmarks.flops import count_forward_flops, count_step_flops
from models_genesis_tf.models.unet3d import build_unet3d

# Of each 3x3x3 convolution of the 3D U-Net of width 32 on a cube of 64x64x32 voxels:
# voxels, channels in, channels out.
CONVOLUTIONS = (
    (131072, 1, 32),
    (131072, 32, 64),
    (16384, 64, 64),
    (16384, 64, 128),
    (2048, 128, 128),
    (2048, 128, 256),
    (256, 256, 256),
    (256, 256, 512),
    (2048, 512 + 256, 256),
    (2048, 256, 256),
    (16384, 256 + 128, 128),
    (16384, 128, 128),
    (131072, 128 + 64, 64),
    (131072, 64, 64),
)
FIRST = 2 * 27 * 131072 * 32
BY_HAND = 2 * 27 * sum(v * i * o for v, i, o in CONVOLUTIONS) + 2 * 131072 * 64


@pytest.fixture(scope="module")
def unet():
    return build_unet3d((64, 64, 32, 1))


def test_a_prediction_of_the_unet_takes_what_its_convolutions_take_by_hand(unet):
    assert count_forward_flops(unet) == BY_HAND
    assert round(BY_HAND / 1e9) == 237


def test_a_step_takes_three_passes_but_no_gradient_by_the_cube(unet):
    assert count_step_flops(unet) == 3 * BY_HAND - FIRST


def test_the_number_format_changes_nothing(unet):
    model = build_unet3d((64, 64, 32, 1), dtype="mixed_bfloat16")
    assert count_forward_flops(model) == count_forward_flops(unet)


def test_transposed_convolutions_use_each_weight_once_for_each_voxel_that_enters():
    nearest = build_unet3d((16, 8, 8, 1), 2)
    transposed = build_unet3d((16, 8, 8, 1), 2, upsampling="transposed")
    # Channels kept, 2x2x2 weights, on maps of 2x1x1, 4x2x2 and 8x4x4 voxels.
    extra = sum(2 * 8 * c * c * v for c, v in ((32, 2), (16, 16), (8, 128)))
    assert count_forward_flops(transposed) - count_forward_flops(nearest) == extra


def test_strides_images_and_dense_layers_count_and_other_layers_do_not():
    inputs = keras.Input((10, 12, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(inputs)  # 5x6 places
    x = layers.BatchNormalization()(x)
    x = layers.MaxPooling2D(2, padding="same")(x)  # 3x3
    outputs = layers.Dense(7)(layers.Flatten()(x))
    model = keras.Model(inputs, outputs)
    convolution, dense = 2 * (3 * 3 * 3 * 4) * 5 * 6, 2 * (3 * 3 * 4) * 7
    assert count_forward_flops(model) == convolution + dense
    assert count_step_flops(model) == 2 * convolution + 3 * dense
