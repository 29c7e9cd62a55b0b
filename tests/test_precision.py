"""A precision is one that the devices compute in, and right."""

import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.models.precision import (
    PRECISIONS,
    Precision,
    choose_precision,
    read_cpu_features,
)

PLAIN = frozenset({"avx2", "avx512f"})
BFLOAT16 = PLAIN | {"avx512_bf16"}
AMX = PLAIN | {"amx_bf16"}


@pytest.mark.parametrize(
    ("gpus", "features", "policy", "reason"),
    [
        ([], PLAIN, "float32", "this CPU does not compute bfloat16"),
        ([], frozenset(), "float32", "this CPU does not compute bfloat16"),
        ([], BFLOAT16, "mixed_bfloat16", "this CPU computes bfloat16 (avx512_bf16)"),
        ([], AMX, "mixed_bfloat16", "this CPU computes bfloat16 (amx_bf16)"),
        ([(9, 0)], PLAIN, "mixed_bfloat16", "compute capability 9.0"),
        ([(8, 0), (8, 6)], BFLOAT16, "mixed_bfloat16", "compute capability 8.0"),
        ([(7, 0)], BFLOAT16, "mixed_float16", "compute capability 7.0"),
        ([(8, 0), (7, 5)], PLAIN, "mixed_float16", "compute capability 7.5"),
        ([(6, 1)], BFLOAT16, "float32", "compute capability 6.1"),
        ([(8, 0), (6, 1)], PLAIN, "float32", "compute capability 6.1"),
    ],
)
def test_auto_takes_what_all_devices_compute_and_says_why(
    gpus, features, policy, reason
):
    chosen = choose_precision("auto", gpus, features, 64)
    assert chosen.policy == policy and reason in chosen.reason


@pytest.mark.parametrize("name", PRECISIONS[1:])
def test_a_name_is_taken_as_it_is_where_it_works(name):
    assert choose_precision(name, [(6, 1)], PLAIN, 8) == Precision(name, "as asked for")
    if name != "mixed_float16":
        assert choose_precision(name, [], PLAIN, 64).policy == name


def test_a_wrong_name_is_refused_with_those_that_there_are():
    with pytest.raises(InputError, match="auto, float32.*Received: bfloat16"):
        choose_precision("bfloat16", [], PLAIN, 64)


def test_float16_is_refused_without_a_gpu():
    with pytest.raises(InputError, match="takes a GPU.*--precision=mixed_float16"):
        choose_precision("mixed_float16", [], BFLOAT16, 64)


@pytest.mark.parametrize("side", range(8, 129, 8))
def test_on_a_cpu_bfloat16_is_for_cubes_without_a_level_two_voxels_long(side):
    allowed = 2 not in (side, side // 2, side // 4, side // 8)
    chosen = choose_precision("auto", [], BFLOAT16, side)
    assert chosen.policy == ("mixed_bfloat16" if allowed else "float32")
    if not allowed:
        assert "too short" in chosen.reason
        with pytest.raises(InputError, match=f"24 voxels.*Received: {side} voxels"):
            choose_precision("mixed_bfloat16", [], BFLOAT16, side)
    # A GPU does not share the fault.
    assert choose_precision("auto", [(8, 0)], PLAIN, side).policy == "mixed_bfloat16"


def test_features_are_those_of_the_first_processor(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nflags\t\t: fpu avx2\n\nflags\t\t: fpu sse\n")
    assert read_cpu_features(path) == {"fpu", "avx2"}
    path.write_text("processor\t: 0\n")
    assert read_cpu_features(path) == frozenset()
    assert read_cpu_features(tmp_path / "absent") == frozenset()
