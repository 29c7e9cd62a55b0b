"""Patients are told from names as data sets give them."""

import pytest

from models_genesis_tf.imaging.patients import patient_of, patients_of


@pytest.mark.parametrize(
    ("source", "patient"),
    [
        ("sub-01/ses-2/anat/sub-01_ses-2_T1w", "sub-01"),
        ("derivatives/fmriprep-20.2.1/sub-01/anat/sub-01_T1w", "sub-01"),
        ("sub-01_ses-2_T1w", "sub-01"),
        ("LIDC-IDRI-0001/01-01-2000-30178/3000566.000000-03192", "LIDC-IDRI-0001"),
        ("images/hippocampus_003", "hippocampus_003"),
        ("subset3/fold_1/patient7/ct", "patient7"),
        ("Training Batch 2/volume-31", "volume-31"),
        ("Task04_Hippocampus/imagesTr/hippocampus_003_0000", "hippocampus_003"),
        ("case_0007_0001", "case_0007"),
        ("Brats18_2013_0_1_t1ce", "Brats18_2013_0_1"),
        ("Brats18_2013_0_1_flair", "Brats18_2013_0_1"),
        ("CT/alice", "alice"),
        ("images_001/images/00000013_005.png", "00000013"),
        ("00000013_005.PNG", "00000013"),
        ("patient00003/study1/view1_frontal.jpg", "patient00003"),
        ("xray_12.dcm", "xray_12"),
        ("1.3.6.1.4.1.14519", "1.3.6.1.4.1.14519"),
    ],
)
def test_patients_are_told_from_the_usual_names_of_scans(source, patient):
    assert patient_of(source) == patient


def test_a_data_set_s_own_folder_is_no_patient():
    sources = [
        f"BraTS_2018/HGG/Brats18_{case}/Brats18_{case}_{kind}"
        for case in ("a1", "a2")
        for kind in ("t1", "t2")
    ]
    assert (
        list(patients_of(sources).values()) == ["Brats18_a1"] * 2 + ["Brats18_a2"] * 2
    )


def test_one_scan_is_one_patient():
    assert patients_of(["P1/day2/scan3"]) == {"P1/day2/scan3": "P1"}
    assert patients_of([]) == {}
