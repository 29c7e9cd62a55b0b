"""The package's public names are there, and cost nothing until they are used."""

import subprocess
import sys
from pathlib import Path

import pytest

import models_genesis_tf


@pytest.mark.parametrize("name", models_genesis_tf.__all__)
def test_public_names_are_those_of_their_modules(name):
    value = getattr(models_genesis_tf, name)
    if callable(value):
        assert value.__name__ == name and value.__doc__
    assert name in dir(models_genesis_tf)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'build_resnet'"):
        models_genesis_tf.build_resnet  # noqa: B018


def test_importing_the_package_loads_no_library():
    script = (
        "import sys, models_genesis_tf; print(sorted("
        "{'tensorflow', 'keras', 'numpy', 'SimpleITK', 'numba'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_no_public_name_hides_a_command():
    modules = {path.stem for path in Path(models_genesis_tf.__file__).parent.iterdir()}
    assert not modules & set(models_genesis_tf.__all__)
