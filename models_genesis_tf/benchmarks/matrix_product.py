"""The rate at which this machine multiplies large matrices: what a step can reach.

In float32 a backend may multiply on a GPU with shorter numbers (TF32); it does so in
convolutions as well, and the products are left as it takes them.
"""

from collections.abc import Callable

import keras
import numpy as np

SIZE_ON_CPU, SIZE_ON_GPU = 2048, 8192
_PRODUCTS = 4  # one after the other, so that starting them costs little


def make_products(
    size: int, dtype: str, wait: Callable[[object], object]
) -> Callable[[], None]:
    """Prepares products of square matrices in Keras's backend.

    Args:
      size: Of a side.
      dtype: Of both factors and of the product, such as "bfloat16".
      wait: Waits until a tensor of the backend has been computed.

    Returns:
      A function that multiplies and returns when done; see `count_flops`.
    """
    values = np.random.default_rng(0).random((size, size), np.float32)
    matrix = keras.ops.convert_to_tensor(values, dtype)

    def multiply() -> None:
        for _ in range(_PRODUCTS):
            product = keras.ops.matmul(matrix, matrix)
        wait(product)

    return multiply


def count_flops(size: int) -> int:
    """Counts the operations of one call of what `make_products` returns.

    Args:
      size: Of a side.

    Returns:
      2 for each multiply-add.
    """
    return _PRODUCTS * 2 * size**3
