"""The data sets that phantoms stand in for, by name."""

from collections.abc import Callable
from dataclasses import dataclass

from models_genesis_tf.phantoms import brats, lidc, lits, luna16, nodules, pe


@dataclass(frozen=True)
class DataSet:
    """Phantoms in one data set's own layout.

    Attributes:
      what: For people.
      write: Takes the folder, the number of cases and the seed.
      demonstration_cases: How many a demonstration takes.
    """

    what: str
    write: Callable
    demonstration_cases: int


DATA_SETS = {
    "luna16": DataSet("chest CTs with nodule candidates", luna16.write, 10),
    "nodules": DataSet(
        "patches around lung lesions with masks and a manifest, for a task of your own",
        nodules.write,
        50,
    ),
    "lidc": DataSet("chest CTs with readers' outlines of nodules", lidc.write, 20),
    "pe": DataSet("patches around candidates of pulmonary emboli", pe.write, 30),
    "lits": DataSet("abdominal CTs with liver and lesions", lits.write, 20),
    "brats": DataSet("brain MR with tumours", brats.write, 20),
}
