"""The data sets that phantoms stand in for, by name."""

from collections.abc import Callable
from dataclasses import dataclass

from models_genesis_tf.phantoms import (
    brats,
    chestxray,
    cimt,
    lidc,
    lits,
    luna16,
    nodules,
    pe,
)


@dataclass(frozen=True)
class DataSet:
    """Phantoms in one data set's own layout.

    Attributes:
      what: What they show, for help texts.
      write: Writes them; takes the folder, the number of cases and the seed.
      demonstration_cases: The number of cases for a demonstration.
    """

    what: str
    write: Callable[..., None]
    demonstration_cases: int


DATA_SETS = {
    "luna16": DataSet("chest CTs with nodule candidates", luna16.write, 10),
    "nodules": DataSet(
        "patches around lung lesions with masks and a manifest, for a task of your own",
        nodules.write,
        50,
    ),
    "lidc": DataSet("chest CTs with readers' outlines of nodules", lidc.write, 20),
    "pe": DataSet("patches around candidates for pulmonary emboli", pe.write, 30),
    "lits": DataSet(
        "abdominal CTs with masks of the liver and its lesions", lits.write, 20
    ),
    "brats": DataSet("brain MR scans with masks of tumours", brats.write, 20),
    "chestxray": DataSet("chest radiographs with findings", chestxray.write, 40),
    "cimt": DataSet("ultrasound images of carotid arteries", cimt.write, 23),
}
