"""Fingerprints see names, sizes and both ends of all files that make up a scan."""

import numpy as np

from models_genesis_tf.imaging.fingerprints import fingerprint, scan_files, sha256
from models_genesis_tf.imaging.volumes import new_volume, write_volume


def test_fingerprint_sees_name_size_beginning_and_end(tmp_path):
    path = tmp_path / "cubes.npy"
    middle = bytes(3 * 2**20)
    contents = [b"a" + middle, b"b" + middle, middle + b"b", middle + b"bb"]
    prints = set()
    for content in contents:
        path.write_bytes(content)
        prints.add(fingerprint([path]))
        assert fingerprint([path]) in prints
    prints.add(fingerprint([path, path]))
    prints.add(fingerprint([path.rename(tmp_path / "other.npy")]))
    assert len(prints) == 6


def test_sha256_is_the_published_one_of_the_empty_file_and_of_abc(tmp_path):
    expected = {  # FIPS 180-4
        b"": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        b"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    }
    for content, value in expected.items():
        (tmp_path / "file").write_bytes(content)
        assert sha256(tmp_path / "file") == value


def test_a_metaimage_header_stands_for_its_data_file_too(tmp_path, rng):
    scan = new_volume(rng.random((4, 5, 6)).astype(np.float32), (1, 1, 2))
    for name in ("a.mhd", "b.mha", "c.nii.gz"):
        write_volume(tmp_path / name, scan.array, scan)
    assert scan_files(tmp_path / "a.mhd") == [tmp_path / "a.mhd", tmp_path / "a.raw"]
    assert scan_files(tmp_path / "b.mha") == [tmp_path / "b.mha"]
    assert scan_files(tmp_path / "c.nii.gz") == [tmp_path / "c.nii.gz"]


def test_slices_that_a_header_lists_are_among_its_files(tmp_path):
    for name in ("1.raw", "2.raw", "other.raw"):
        (tmp_path / name).write_bytes(b"")
    header = tmp_path / "stack.MHD"
    header.write_text("NDims = 3\nElementDataFile = LIST\n1.raw\n2.raw\n")
    assert scan_files(header) == [header, tmp_path / "1.raw", tmp_path / "2.raw"]


def test_a_folder_stands_for_its_files(tmp_path):
    (tmp_path / "below").mkdir()
    for name in ("2.dcm", "1.dcm"):
        (tmp_path / name).write_bytes(b"")
    assert scan_files(tmp_path) == [tmp_path / "1.dcm", tmp_path / "2.dcm"]
