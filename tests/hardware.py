"""Marks of tests that need what not every processor has."""

import pytest

from models_genesis_tf.models.precision import choose_precision, read_cpu_features

needs_bfloat16 = pytest.mark.skipif(
    choose_precision("auto", [], read_cpu_features(), 64).policy != "mixed_bfloat16",
    reason="this CPU has no bfloat16: it adds in its few bits, and no run chooses it",
)
