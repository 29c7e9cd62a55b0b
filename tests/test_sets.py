"""How cases belong to patients, and scans that are too small."""

import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.phantoms.sets import check_size, patient_of


def test_the_last_two_of_eleven_cases_are_one_patients():
    assert [patient_of(case) for case in range(12)] == [*range(10), 9, 10]
    assert patient_of(20) == patient_of(21) == 19 and patient_of(22) == 20


def test_a_size_is_refused_if_one_side_is_too_small():
    check_size((80, 80, 40), (80, 80, 40))
    for size in ((79, 80, 40), (80, 79, 40), (80, 80, 39)):
        with pytest.raises(InputError) as caught:
            check_size(size, (80, 80, 40))
        assert str(caught.value) == (
            "a phantom has 80x80x40 voxels or more. "
            f"Received: {size[0]}x{size[1]}x{size[2]}"
        )
