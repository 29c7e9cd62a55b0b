"""Panels show slices the way a radiologist holds them and write whole files."""

import numpy as np
from matplotlib.image import imread

from models_genesis_tf.imaging import panels


def test_slices_have_the_patient_left_on_the_right_and_the_head_up():
    cube = np.zeros((8, 10, 6))
    cube[-1, 5, 3] = 1  # the patient's left
    cube[4, 0, 3] = 2  # the front
    cube[4, 5, -1] = 3  # the head
    axial = panels.plane_slice(cube, "axial")
    assert axial.shape == (10, 8)
    assert axial[5, -1] == 1 and axial[0, 4] == 2
    assert panels.plane_slice(cube, "coronal")[0, 4] == 3
    sagittal = panels.plane_slice(cube, "sagittal")
    assert sagittal.shape == (6, 10) and sagittal[0, 5] == 3


def test_restoration_panel_is_a_picture_and_leaves_no_partial_file(tmp_path, rng):
    cube = rng.random((16, 16, 8), np.float32)
    path = tmp_path / "samples" / "panel.png"
    panels.save_restoration_panel(path, cube, cube * 0.5, cube)
    assert imread(path).shape[0] > 300
    assert [entry.name for entry in path.parent.iterdir()] == ["panel.png"]
    panels.save_overview_panel(path, [cube] * 3, [cube] * 3, [cube] * 3)
    assert imread(path).std() > 0


def test_a_slice_is_drawn_as_it_is_in_one_row(tmp_path, rng):
    image = rng.random((24, 16), np.float32)
    np.testing.assert_array_equal(panels.plane_slice(image, "axial"), image.T)
    sizes = {}
    for name, shown in (("slice", image), ("cube", image[..., None].repeat(16, -1))):
        path = tmp_path / f"{name}.png"
        panels.save_restoration_panel(path, shown, shown * 0.5, shown)
        sizes[name] = imread(path).shape
    assert sizes["slice"][0] < 0.5 * sizes["cube"][0]
    panels.save_overview_panel(tmp_path / "all.png", [image], [image], [image])
    assert imread(tmp_path / "all.png").std() > 0
    assert panels.montage([[image, image], [image, image]]).shape == (32, 48)


def test_a_montage_puts_axial_slices_side_by_side():
    cubes = [np.full((3, 2, 4), value, np.float32) for value in (0.1, 0.2, 0.3, 0.4)]
    cubes[0][0, 1, 2] = 0.9
    image = panels.montage([cubes[:2], cubes[2:]])
    assert image.shape == (2 * 2, 2 * 3)
    assert image[1, 0] == np.float32(0.9)  # x to the right, y down, the middle of z
    assert image[0, 3] == np.float32(0.2) and image[3, 5] == np.float32(0.4)
