"""Whose scan it is: patients are told from the names of scans and folders."""

import re
from collections.abc import Iterable

_BIDS = re.compile(r"sub-[a-zA-Z0-9]+")
_GROUPING = re.compile(
    r"(.*[ _-])?(subset|fold|batch|part|split|images)[ _-]?\d+|(task|dataset)\d+_.*",
    re.I,
)
_MODALITY = re.compile(
    r"[_-](t1|t1c|t1ce|t1gd|t1n|t1w|t2|t2f|t2w|flair|pd|adc|dwi|mr|mri|ct|pet)$", re.I
)
_PICTURE = re.compile(r"\.(png|jpe?g|dcm)$", re.I)
# Of "case_0007_0001" a channel; of "00000013_005", an X-ray of the NIH, a visit.
_NUMBER = re.compile(r"(?<=\d)_\d{4}$|(?<=^\d{8})_\d{3}$")


def patient_of(source: str) -> str:
    """Guesses the patient from a scan's name, so that no patient is in two parts.

    Args:
      source: Path of the scan relative to its data folder; a scan's is without suffix,
        a picture's with it.

    Returns:
      A subject's folder of BIDS, else the first folder with a digit in its name
      (subset0, fold_1, Training Batch 2, images_001, Task04_Hippocampus and the like
      apart); without one the scan's own name up to `_ses-`, a modality, the number of a
      channel or of a visit: "sub-01_ses-2_T1w" is "sub-01", "case_0007_0001" and
      "case_0007_t1" are "case_0007", "00000013_005.png" is "00000013".
    """
    *folders, name = source.split("/")
    for folder in folders:
        if _BIDS.fullmatch(folder):
            return folder
    for folder in folders:
        if re.search(r"\d", folder) and not _GROUPING.fullmatch(folder):
            return folder
    bids = _BIDS.match(name)
    if bids:
        return bids.group()
    return _NUMBER.sub("", _MODALITY.sub("", _PICTURE.sub("", name)))


def patients_of(sources: Iterable[str]) -> dict[str, str]:
    """Guesses the patients of all scans of one data folder.

    Args:
      sources: Paths of the scans relative to the folder, without suffix.

    Returns:
      The patient of each scan. Where all would be one patient, the folders that all
      lie in are left out first: a data set's own folder may have a digit in its name.
    """
    below = {source: source for source in sources}
    while True:
        patients = {source: patient_of(rest) for source, rest in below.items()}
        heads = {rest.partition("/")[0] for rest in below.values()}
        if len(set(patients.values())) != 1 or len(heads) != 1 or len(below) == 1:
            return patients
        below = {source: rest.partition("/")[2] for source, rest in below.items()}
