"""Training steps of the official PyTorch network, from a user's own clone."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from models_genesis_tf.benchmarks.official import find_file, load_module
from models_genesis_tf.config import LEARNING_RATES
from models_genesis_tf.errors import InputError

_FILE = "pytorch/unet3d.py"
_BASE_FILTERS = 32  # the official network has no other width
_MOMENTUM = 0.9


def reason_to_leave_out(clone: str | Path | None, base_filters: int) -> str | None:
    """Says why the official network is not timed, if so.

    Args:
      clone: Clone of the official repository, or None.
      base_filters: Width of the network that it would be compared with.

    Returns:
      The reason, or None if it can be timed.

    Raises:
      InputError: If the clone lacks the network, or the width is not the official one.
    """
    if clone is None:
        return "left out: --official_dir is not given"
    find_file(clone, _FILE)
    if base_filters != _BASE_FILTERS:
        raise InputError(
            f"with --official_dir, step takes --base_filters={_BASE_FILTERS}, the "
            f"official network's width. Received: --base_filters={base_filters}"
        )
    if importlib.util.find_spec("torch") is None:
        return "left out: torch is not installed"
    return None


def make_step(
    clone: str | Path, batch: tuple[np.ndarray, np.ndarray]
) -> Callable[[], float]:
    """Prepares a training step as the official script takes it, where torch is.

    Args:
      clone: Clone of the official repository.
      batch: float32 (input, target), each (batch, x, y, z, 1).

    Returns:
      A function that takes one step in float32 with channels first, on the GPU if
      torch sees one, else on all cores; waits for it and returns the loss.

    Raises:
      InputError: If the clone lacks the network.
    """
    import torch

    torch.set_num_threads(os.cpu_count())
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = load_module(find_file(clone, _FILE)).UNet3D().to(device).train()
    optimizer = torch.optim.SGD(
        network.parameters(), lr=LEARNING_RATES["sgd"], momentum=_MOMENTUM
    )
    inputs, targets = (
        torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, -1, 1))).to(device)
        for array in batch
    )

    def take_step() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(network(inputs), targets)
        loss.backward()
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()
        return loss.item()

    return take_step
