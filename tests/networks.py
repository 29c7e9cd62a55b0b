"""What tests of heads share: builders, what each adds, weights that nothing gives."""

import keras
import numpy as np

from models_genesis_tf.models.heads import (
    build_classifier,
    build_encoder,
    build_segmenter,
)

BUILDERS = {
    "encoder": build_encoder,
    "classifier": build_classifier,
    "segmenter": build_segmenter,
}
# The tensors of each head, in two and in three dimensions.
HEADS = {
    "encoder": [],
    "classifier": [
        f"classifier_{layer}/{variable}"
        for layer in ("hidden", "logits")
        for variable in ("kernel", "bias")
    ],
    "segmenter": ["segmenter_conv/kernel", "segmenter_conv/bias"],
}


def randomise(model: keras.Model, rng: np.random.Generator) -> keras.Model:
    """Gives a model weights and statistics that no initialiser gives."""
    model.set_weights(
        [
            rng.uniform(0.5, 1.5, weight.shape)
            / max(1, np.prod(weight.shape[:-1])) ** 0.5
            for weight in model.get_weights()
        ]
    )
    return model


def table_lines(table: str) -> dict[str, list[str]]:
    """The words of each line of a transfer's table, by the first."""
    return {line.split()[0]: line.split(maxsplit=3) for line in table.splitlines()}
