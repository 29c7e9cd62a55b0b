"""What weights are called becomes a file, and a part of a folder's name."""

from pathlib import Path

import pytest

from models_genesis_tf.models.weight_names import start_name, weights_path


def test_a_path_is_what_follows_the_prefix():
    assert weights_path("imagenet:files/a.pth") == Path("files/a.pth")
    assert weights_path(Path("files/a.keras")) == Path("files/a.keras")


@pytest.mark.parametrize(
    ("weights", "name"),
    [
        ("scratch", "scratch"),
        ("imagenet:files/resnet18-f37072fd.pth", "imagenet"),
        ("runs/pretrain/model.keras", "model"),
        ("files/Genesis_Chest_CT.pt", "Genesis_Chest_CT"),
    ],
)
def test_a_start_is_named_by_its_kind_or_its_file(weights, name):
    assert start_name(weights) == name
