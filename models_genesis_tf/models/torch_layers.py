"""Tensors of PyTorch's layers, named and laid out as those of Keras."""

from collections.abc import Mapping

import numpy as np

_VARIABLES = {
    "bn": {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    },
    "conv": {"weight": "kernel", "bias": "bias"},
}
_COUNTER = "num_batches_tracked"


def rename_tensors(
    tensors: Mapping[str, np.ndarray], layers: Mapping[str, str]
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Names tensors by the layers of this package and turns their kernels.

    Args:
      tensors: A state dict, "<module>.<variable>" -> array.
      layers: Module -> layer; a module that is not there keeps its name. Layers of
        batch normalisation have "bn" among the parts of their name.

    Returns:
      "<layer>/<variable>" -> array, in the order of the tensors, kernels turned from
      (out, in, *sides) to (*sides, in, out), transposed ones from (in, out, *sides) to
      (*sides, out, in); and the names of those that are no weights: how many batches
      each normalisation has seen.
    """
    renamed, counters = {}, []
    for name, array in tensors.items():
        module, _, variable = name.rpartition(".")
        layer = layers.get(module, module)
        kind = "bn" if "bn" in layer.split("_") else "conv"
        ours = f"{layer}/{_VARIABLES[kind].get(variable, variable)}"
        if variable == _COUNTER:
            counters.append(ours)
        turned = array.ndim > 2
        axes = (*range(2, array.ndim), 1, 0)
        renamed[ours] = array.transpose(axes) if turned else array
    return renamed, tuple(counters)
