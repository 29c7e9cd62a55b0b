"""Checkpoints come back bit for bit, or not at all, whatever happens to the files."""

import json
import math
import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.training.checkpoint import load_newest, save_checkpoint

# Saves checkpoints as fast as it can, from the newest on; says so after the first.
SAVER = """
import sys
from pathlib import Path
import numpy as np
from models_genesis_tf.training.checkpoint import load_newest, save_checkpoint

folder = Path(sys.argv[1])
newest = load_newest(folder)
step = newest.step if newest else 0
while True:
    step += 1
    small, large = np.full(3, step, np.int64), np.full((512, 512), step, np.float32)
    arrays = {"model": [small, large], "optimizer": [np.full((), step)]}
    save_checkpoint(folder, step, arrays, {"step": step})
    print(step, flush=True)
"""


def _arrays(rng: np.random.Generator, size: int = 40) -> dict[str, list[np.ndarray]]:
    """Groups as a run has them; one is empty."""
    return {
        "model": [
            rng.standard_normal((size, 3), np.float32),
            np.asfortranarray(rng.standard_normal((3, size), np.float32)),
            rng.random((2, 1, 5)) < 0.5,
            np.empty((0, 4), np.float32),
        ],
        "optimizer": [
            np.array(2**53 + 1, np.int64),
            np.array(1e-3, np.float32),
            rng.integers(-(2**62), 2**62, (2, 3)),
        ],
        "averages": [],
    }


def _assert_equal(arrays, expected) -> None:
    assert list(arrays) == list(expected)
    for group, group_arrays in expected.items():
        assert len(arrays[group]) == len(group_arrays)
        for array, other in zip(arrays[group], group_arrays, strict=True):
            assert array.dtype == other.dtype
            assert array.shape == other.shape
            assert array.tobytes() == other.tobytes()


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _damage(content: bytes, position: int, mask: int) -> bytes:
    return (
        content[:position] + bytes([content[position] ^ mask]) + content[position + 1 :]
    )


def _checked_bytes(path: Path) -> set[int]:
    """Positions of the members' own bytes; the rest is the archive's bookkeeping."""
    content = path.read_bytes()
    positions = set()
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            lengths = content[member.header_offset + 26 : member.header_offset + 30]
            start = member.header_offset + 30
            start += int.from_bytes(lengths[:2], "little")
            start += int.from_bytes(lengths[2:], "little")
            positions |= set(range(start, start + member.file_size))
    return positions


def _without_member(path: Path, name: str) -> None:
    """Writes an archive anew, sound in itself, that lacks one member."""
    with zipfile.ZipFile(path) as archive:
        contents = {other: archive.read(other) for other in archive.namelist()}
    del contents[name]
    with zipfile.ZipFile(path, "w") as archive:
        for other, content in contents.items():
            archive.writestr(other, content)


def test_arrays_and_facts_come_back_bit_for_bit(tmp_path, rng):
    arrays = _arrays(rng)
    facts = {
        "best": math.inf,
        "least": -math.inf,
        "loss": 0.1 + 0.2,
        "tiny": 5e-324,
        "seed": 2**32 - 1,
        "name": "Zoë",
        "wait": [1, None, True],
    }
    path = save_checkpoint(tmp_path / "new" / "checkpoint", 120, arrays, facts)
    assert path == tmp_path / "new" / "checkpoint" / "step_000000120.npz"
    checkpoint = load_newest(path.parent)
    assert (checkpoint.path, checkpoint.step) == (path, 120)
    assert checkpoint.facts == facts
    _assert_equal(checkpoint.arrays, arrays)
    checkpoint.arrays["model"][0][:] = 0  # not read-only


def test_numpy_opens_the_file_by_itself(tmp_path, rng):
    arrays = _arrays(rng)
    path = save_checkpoint(tmp_path, 7, arrays, {"best": 0.5})
    with np.load(path, allow_pickle=False) as archive:
        assert json.loads(archive["facts"].item()) == {"best": 0.5}
        assert json.loads(archive["counts"].item()) == {
            "model": 4,
            "optimizer": 3,
            "averages": 0,
        }
        np.testing.assert_array_equal(archive["model/0001"], arrays["model"][1])
        np.testing.assert_array_equal(archive["optimizer/0002"], arrays["optimizer"][2])
        assert len(archive.files) == 4 + 3 + 2
    with zipfile.ZipFile(path) as archive:
        kinds = {member.compress_type for member in archive.infolist()}
    assert kinds == {zipfile.ZIP_STORED}


def test_no_checkpoint_is_none(tmp_path):
    assert load_newest(tmp_path / "absent") is None
    assert load_newest(tmp_path) is None
    for name in (".step_000000010.npz.part", "step_best.npz", "step_1.npz", "a.txt"):
        (tmp_path / name).write_bytes(b"PK")
    assert load_newest(tmp_path) is None


def test_only_the_newest_two_are_kept(tmp_path):
    (tmp_path / "notes.txt").write_text("not a checkpoint")
    for step in (0, 5, 10, 999_999_999, 1_000_000_000):
        save_checkpoint(tmp_path, step, {"model": [np.full(3, step)]}, {})
        checkpoint = load_newest(tmp_path)
        assert checkpoint.step == step
        np.testing.assert_array_equal(checkpoint.arrays["model"][0], [step] * 3)
    kept = ["notes.txt", "step_1000000000.npz", "step_999999999.npz"]
    assert _names(tmp_path) == kept


def test_a_step_that_is_saved_again_takes_the_place_of_the_first(tmp_path):
    for value in (1, 2):
        save_checkpoint(tmp_path, 3, {"model": [np.array(value)]}, {"value": value})
    assert _names(tmp_path) == ["step_000000003.npz"]
    assert load_newest(tmp_path).facts == {"value": 2}


@pytest.mark.parametrize(
    ("array", "facts"),
    [
        (np.array([None]), {}),
        (np.zeros(2, np.dtype("V2")), {}),  # what NumPy makes of bfloat16
        (np.array("text"), {}),
        (np.zeros(2), {"loss": np.float32(1)}),
    ],
)
def test_what_would_not_come_back_is_refused(tmp_path, array, facts):
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path / "checkpoint", 1, {"model": [array]}, facts)
    assert not (tmp_path / "checkpoint").exists()


def test_all_bytes_are_on_the_disk_before_the_file_has_its_name(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor):
        fsync(descriptor)
        calls.append(("fsync", os.fstat(descriptor).st_ino, _names(tmp_path)))
        calls.append(os.fstat(descriptor).st_size)

    def note_replace(source, target):
        calls.append(("replace", os.stat(source).st_ino))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    path = save_checkpoint(tmp_path, 1, {"model": [np.zeros(10)]}, {})
    file = path.stat()
    assert calls == [
        ("fsync", file.st_ino, [".step_000000001.npz.part"]),
        file.st_size,
        ("replace", file.st_ino),
    ]


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_an_error_before_the_renaming_leaves_the_old_one_and_no_half_file(
    tmp_path, rng, monkeypatch, function
):
    arrays = _arrays(rng)
    save_checkpoint(tmp_path, 1, arrays, {})

    def fail(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(OSError, match="no space left"):
        save_checkpoint(tmp_path, 2, _arrays(rng), {})
    assert _names(tmp_path) == ["step_000000001.npz"]
    _assert_equal(load_newest(tmp_path).arrays, arrays)


def test_what_a_kill_left_is_passed_over_and_removed_by_the_next(tmp_path, rng):
    arrays = _arrays(rng)
    path = save_checkpoint(tmp_path, 1, arrays, {})
    half = path.read_bytes()[:500]
    (tmp_path / ".step_000000002.npz.part").write_bytes(half)
    checkpoint = load_newest(tmp_path)
    assert checkpoint.step == 1
    _assert_equal(checkpoint.arrays, arrays)
    save_checkpoint(tmp_path, 3, arrays, {})
    assert _names(tmp_path) == ["step_000000001.npz", "step_000000003.npz"]


def test_a_truncated_checkpoint_is_passed_over(tmp_path, rng, capsys):
    arrays = _arrays(rng)
    old = save_checkpoint(tmp_path, 10, arrays, {"step": 10})
    new = save_checkpoint(tmp_path, 20, _arrays(rng), {"step": 20})
    content = new.read_bytes()
    size = len(content)
    for length in (0, 1, 22, 100, size // 2, *range(size - 130, size)):
        new.write_bytes(content[:length])
        checkpoint = load_newest(tmp_path)
        assert (checkpoint.path, checkpoint.facts) == (old, {"step": 10})
        _assert_equal(checkpoint.arrays, arrays)
        line = re.escape(f"{new} is damaged (REASON); going on from {old.name}\n")
        assert re.fullmatch(line.replace("REASON", ".+"), capsys.readouterr().out)
        assert _names(tmp_path) == [old.name]


def test_a_flipped_byte_anywhere_never_gives_wrong_values(tmp_path, capsys):
    # Small arrays, so that most bytes are headers, and every byte is tried.
    rng = np.random.default_rng(1)
    arrays = _arrays(rng, size=4)
    old = save_checkpoint(tmp_path, 10, _arrays(rng), {"step": 10})
    new = save_checkpoint(tmp_path, 20, arrays, {"step": 20})
    content, checked = new.read_bytes(), _checked_bytes(new)
    assert len(checked) > 1000
    for position in range(len(content)):
        new.write_bytes(_damage(content, position, int(rng.integers(1, 256))))
        checkpoint = load_newest(tmp_path)
        if checkpoint.path == new:
            assert position not in checked
            assert checkpoint.facts == {"step": 20}
            _assert_equal(checkpoint.arrays, arrays)
            assert capsys.readouterr().out == ""
        else:
            assert checkpoint.path == old
            assert capsys.readouterr().out.count("\n") == 1
            assert not new.exists()


def test_flipped_bytes_in_large_arrays_are_noticed(tmp_path):
    rng = np.random.default_rng(2)
    old = save_checkpoint(tmp_path, 10, {"model": [np.zeros(1)]}, {})
    arrays = {"model": [rng.standard_normal(50_000, np.float32) for _ in range(3)]}
    new = save_checkpoint(tmp_path, 20, arrays, {})
    content = new.read_bytes()
    positions = rng.choice(sorted(_checked_bytes(new)), 200, replace=False)
    for position in positions:
        new.write_bytes(_damage(content, position, 1 << int(rng.integers(8))))
        assert load_newest(tmp_path).path == old


def test_an_array_that_a_flipped_byte_made_smaller_is_noticed(tmp_path):
    # By itself NumPy reads the smaller array and never comes to the checksum.
    old = save_checkpoint(tmp_path, 10, {"model": [np.zeros(1)]}, {})
    new = save_checkpoint(tmp_path, 20, {"model": [np.arange(6000.0)]}, {})
    content = new.read_bytes()
    assert content.count(b"(6000,)") == 1
    new.write_bytes(content.replace(b"(6000,)", b"(2000,)"))
    with np.load(new) as archive:
        assert archive["model/0000"].shape == (2000,)
    assert load_newest(tmp_path).path == old


@pytest.mark.parametrize(
    "name", ["model/0001.npy", "model/0003.npy", "facts.npy", "counts.npy"]
)
def test_a_checkpoint_that_lacks_a_member_is_passed_over(tmp_path, rng, capsys, name):
    old = save_checkpoint(tmp_path, 10, _arrays(rng), {})
    new = save_checkpoint(tmp_path, 20, _arrays(rng), {})
    _without_member(new, name)
    assert load_newest(tmp_path).path == old
    assert name in capsys.readouterr().out


def test_a_damaged_checkpoint_does_not_count_as_one_of_the_newest_two(tmp_path, rng):
    for step in (10, 20):
        save_checkpoint(tmp_path, step, _arrays(rng), {})
    (tmp_path / "step_000000020.npz").write_bytes(b"PK")
    assert load_newest(tmp_path).step == 10
    save_checkpoint(tmp_path, 12, _arrays(rng), {})
    assert _names(tmp_path) == ["step_000000010.npz", "step_000000012.npz"]


def test_a_damaged_old_checkpoint_is_not_looked_at(tmp_path, rng, capsys):
    for step in (10, 20):
        save_checkpoint(tmp_path, step, _arrays(rng), {})
    (tmp_path / "step_000000010.npz").write_bytes(b"PK")
    assert load_newest(tmp_path).step == 20
    assert capsys.readouterr().out == ""
    assert len(_names(tmp_path)) == 2


def test_without_a_whole_checkpoint_the_run_is_refused_and_nothing_removed(
    tmp_path, rng, capsys
):
    for step in (10, 20):
        path = save_checkpoint(tmp_path, step, _arrays(rng), {})
        path.write_bytes(path.read_bytes()[:-1000])
    before = _names(tmp_path)
    with pytest.raises(InputError) as caught:
        load_newest(tmp_path)
    message = str(caught.value)
    rule, received = message.split(" Received: ")
    assert "--restart" in rule
    assert received.index("step_000000020.npz") < received.index("step_000000010.npz")
    assert "\n" not in message
    assert capsys.readouterr().out == ""
    assert _names(tmp_path) == before == ["step_000000010.npz", "step_000000020.npz"]


def test_a_file_that_cannot_be_opened_is_not_taken_for_damaged(
    tmp_path, rng, monkeypatch
):
    for step in (10, 20):
        save_checkpoint(tmp_path, step, _arrays(rng), {})
    open_path = Path.open

    def refuse(path, *arguments):
        if path.name == "step_000000020.npz":
            raise PermissionError(13, "Permission denied", str(path))
        return open_path(path, *arguments)

    with monkeypatch.context() as context:
        context.setattr(Path, "open", refuse)
        with pytest.raises(PermissionError):
            load_newest(tmp_path)
    assert load_newest(tmp_path).step == 20


def test_a_process_that_is_killed_while_it_saves_leaves_a_whole_checkpoint(
    tmp_path, capsys
):
    rng = np.random.default_rng(3)
    last = 0
    for _ in range(5):
        command = [sys.executable, "-c", SAVER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as saver:
            first = int(saver.stdout.readline())
            time.sleep(rng.uniform(0.05, 0.4))
            saver.kill()
            printed = saver.stdout.read()
        saved = [int(line) for line in printed.split("\n")[:-1]]
        checkpoint = load_newest(tmp_path)
        assert first == last + 1
        # The kill can come between the renaming and the printing.
        newest = saved[-1] if saved else first
        assert checkpoint.step in (newest, newest + 1)
        assert checkpoint.facts == {"step": checkpoint.step}
        for array in sum(checkpoint.arrays.values(), []):
            assert (array == checkpoint.step).all()
        last = checkpoint.step
    # None of them was even damaged: a half file never has a checkpoint's name.
    assert capsys.readouterr().out == ""
    assert len(list(tmp_path.glob("step_*.npz"))) <= 3


def test_checkpoints_do_not_import_tensorflow():
    script = (
        "import sys, models_genesis_tf.training.checkpoint; "
        "print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
