"""Weights from one network to another: by name, checked first, never in silence.

Keras pairs layers by class and number, and where it skips a mismatch it only warns; a
load that fails half way leaves a model of two minds. Here tensors are paired by the
names of their layers, whatever does not pair up has to be declared, and nothing is
written before everything is known to fit.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import keras
import numpy as np

from models_genesis_tf.errors import InputError

STEM_POLICIES = ("repeat", "first", "random")
_STEMS = ("depth_0_conv/kernel", "stem_conv/kernel")
_NAMED = 3  # problems named in a message
_NUMBERED = re.compile(r"(depth|stage|decoder)_(\d+)_")


@dataclass(frozen=True)
class Tensor:
    """One tensor of a report.

    Attributes:
      name: "<layer>/<variable>".
      shape: As it is in the network; of an unused one, as it is in the source.
    """

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class TransferReport:
    """What became of every tensor of the source and of the network.

    Attributes:
      copied: Taken over as they are.
      new: Left as initialised.
      unused: Left in the source.
      adapted: Taken over by a channel policy.
      stem: The channel policy.
    """

    copied: tuple[Tensor, ...]
    new: tuple[Tensor, ...]
    unused: tuple[Tensor, ...]
    adapted: tuple[Tensor, ...]
    stem: str

    def table(self) -> str:
        """Writes the report for people: tensors, parameters and layers of each kind."""
        lines = [f"{'weights':<10}{'tensors':>9}{'parameters':>13}  layers"]
        for kind in ("copied", "adapted", "new", "unused"):
            tensors = getattr(self, kind)
            count = sum(int(np.prod(tensor.shape)) for tensor in tensors)
            layers = _join_layers(tensor.name for tensor in tensors)
            if kind == "adapted" and tensors:
                layers += f", 1 channel to {tensors[0].shape[-2]}: {self.stem}"
            line = f"{kind:<10}{len(tensors):>9,}{count:>13,}  {layers}"
            lines.append(line.rstrip())
        return "\n".join(lines)


def layer_tensors(model: keras.Model) -> dict[str, np.ndarray]:
    """Lists a model's weights.

    Args:
      model: Its layers hold no layers of their own.

    Returns:
      "<layer>/<variable>" -> array, in the order of the layers.
    """
    return {
        name: keras.ops.convert_to_numpy(variable)
        for name, variable in _variables(model).items()
    }


def transfer_weights(
    source: Mapping[str, np.ndarray] | keras.Model,
    target: keras.Model,
    new: Collection[str] = (),
    unused: Collection[str] = (),
    stem: str = "repeat",
) -> TransferReport:
    """Copies weights into a network, tensor by tensor of the same name.

    Args:
      source: A model, or tensors named as by `layer_tensors`.
      target: The network that takes the weights; written to only if all fits.
      new: Layers of the network that stay as initialised.
      unused: Layers, or single tensors, of the source that the network may lack.
      stem: What becomes of the first convolution if the source has one channel and the
        network C: "repeat" gives each channel the kernel divided by C (C equal channels
        get the response that one got), "first" gives it to the first channel and zeros
        to the others, "random" leaves the kernel as initialised.

    Returns:
      What became of every tensor.

    Raises:
      InputError: If a tensor that was not declared is on one side only or has another
        shape, if the source holds values that are no numbers, if nothing is copied, or
        if there is no such channel policy.
    """
    if stem not in STEM_POLICIES:
        raise InputError(
            f"a channel policy is one of {', '.join(STEM_POLICIES)}. Received: {stem}"
        )
    arrays = layer_tensors(source) if isinstance(source, keras.Model) else dict(source)
    variables = _variables(target)
    values, adapted, initial, problems = {}, [], [], []
    for name, variable in variables.items():
        shape = tuple(variable.shape)
        if _layer(name) in new:
            initial.append(name)
        elif name not in arrays:
            problems.append(f"{name} is not in the weights")
        elif arrays[name].shape == shape:
            values[name] = arrays[name]
        elif name not in _STEMS or arrays[name].shape != (*shape[:-2], 1, shape[-1]):
            problems.append(
                f"{name} is {arrays[name].shape} in the weights and {shape} in the "
                "network"
            )
        elif stem == "random":
            initial.append(name)
        else:
            adapted.append(name)
            values[name] = _spread(arrays[name], shape[-2], stem)
    left = [name for name in arrays if name not in values]
    problems += [
        f"{name} is not in the network"
        for name in left
        if name not in variables and not {name, _layer(name)} & set(unused)
    ]
    problems += [
        f"{name} holds values that are no numbers"
        for name, value in values.items()
        if not np.isfinite(value).all()
    ]
    _check(problems, values)
    for name, value in values.items():
        variables[name].assign(value)
    sizes = arrays | variables
    return TransferReport(
        copied=_tensors((name for name in values if name not in adapted), sizes),
        new=_tensors(initial, sizes),
        unused=_tensors(left, arrays),
        adapted=_tensors(adapted, sizes),
        stem=stem,
    )


def _check(problems: list[str], values: Mapping) -> None:
    """Refuses a transfer with problems, or one that would copy nothing."""
    if problems:
        more = len(problems) - _NAMED
        shown = "; ".join(problems[:_NAMED]) + (f"; {more} more" if more > 0 else "")
        raise InputError(f"weights fit the network in every tensor. Received: {shown}")
    if not values:
        raise InputError("weights have a tensor that the network takes. Received: none")


def _variables(model: keras.Model) -> dict:
    """Names each variable of a model by its layer and itself."""
    return {
        f"{layer.name}/{variable.name}": variable
        for layer in model.layers
        for variable in layer.weights
    }


def _layer(name: str) -> str:
    return name.rpartition("/")[0]


def _spread(kernel: np.ndarray, channels: int, stem: str) -> np.ndarray:
    """Makes a kernel for several channels of one for one channel."""
    if stem == "repeat":
        return np.repeat(kernel, channels, axis=-2) / channels
    others = np.zeros((*kernel.shape[:-2], channels - 1, kernel.shape[-1]))
    return np.concatenate([kernel, others], axis=-2)


def _tensors(names: Iterable[str], sizes: Mapping) -> tuple[Tensor, ...]:
    return tuple(Tensor(name, tuple(sizes[name].shape)) for name in names)


def _join_layers(names: Iterable[str]) -> str:
    """Lists the layers of tensors: runs of numbered parts by their ends."""
    parts: dict[str, set[int]] = {}
    for layer in map(_layer, names):
        numbered = _NUMBERED.match(layer)
        part = numbered[1] if numbered else layer
        parts.setdefault(part, set()).update([int(numbered[2])] if numbered else [])
    return ", ".join(
        text
        for part, numbers in parts.items()
        for text in (_runs(part, sorted(numbers)) if numbers else [part])
    )


def _runs(part: str, numbers: list[int]) -> list[str]:
    """Writes ascending numbers of a part as runs, such as "depth_0 to depth_7"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return [
        f"{part}_{first}" if first == last else f"{part}_{first} to {part}_{last}"
        for first, last in runs
    ]
