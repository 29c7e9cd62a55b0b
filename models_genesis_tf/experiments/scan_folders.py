"""The scans of a folder: their names, which the csv files carry, and their folds.

Where slices are wanted, pictures (X-rays and the like) are scans of one slice each.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from models_genesis_tf.config import ALL_SCANS, ScanChoice
from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging import cube_files, images, volumes
from models_genesis_tf.imaging.patients import patients_of
from models_genesis_tf.tasks.name_lists import read_names
from models_genesis_tf.tasks.table_rows import read_files, read_parts, read_rows

_SUBSET = re.compile(r"subset(\d)")
_NUM_HASHED_FOLDS = 10
_LUNG_MASKS = "seg-lungs-LUNA16"  # a folder that LUNA16 ships beside the subsets
# Of the NIH's ChestX-ray: names of the images that a diagnosis is tested on.
_TEST_LIST = "test_list.txt"
_FILTERS = ("--include and --exclude", "--include, --exclude and --manifest")
_LEVELS_UP = 3  # archives unpack to images_001/images


@dataclass(frozen=True)
class Scan:
    """A scan and the fold that its cubes go to.

    Attributes:
      path: File or DICOM folder.
      source: Its name in the csv files: the series' UID in LUNA16, elsewhere the path
        below the data folder without suffix; a picture's keeps its suffix.
      fold: Number of the cube file.
      luna16: Whether it lies in LUNA16's layout.
      picture: Whether it is a picture.
    """

    path: Path
    source: str
    fold: int
    luna16: bool
    picture: bool


def find_scans(
    data_dir: str | Path,
    choice: ScanChoice = ALL_SCANS,
    with_pictures: bool = False,
) -> list[Scan]:
    """Lists the scans of a folder with their names and folds.

    Args:
      data_dir: Folder of scans.
      choice: Those that are taken.
      with_pictures: Whether pictures are scans, too; those of `held_out` are not.

    Returns:
      All scans, sorted by path. Folds are LUNA16's subsets, elsewhere the patient's
      name hashed to 0..9.

    Raises:
      InputError: If the folder is absent or holds no scan, or the manifest is none, or
        names images that are not in the folder.
    """
    data_dir, filters = Path(data_dir), (choice.include, choice.exclude)
    paths, pictures = volumes.list_scans(data_dir, *filters), set()
    if with_pictures:
        paths, found = images.list_scans_and_images(data_dir, *filters)
        held = held_out(data_dir)
        pictures = {picture for picture in found if picture.name not in held}
        paths = sorted({*paths, *pictures})
    paths = [path for path in paths if _LUNG_MASKS not in path.parts]
    if choice.manifest:
        named = _images_to_train_on(choice.manifest, data_dir)
        paths = [path for path in paths if path.resolve() in named]
    if not paths:
        formats = volumes.FORMATS
        if with_pictures:
            formats += f"), pictures ({', '.join(images.IMAGE_SUFFIXES)}, .dcm"
        raise InputError(
            f"--data_dir holds scans ({formats}) or cube files bat_*.npy. "
            f"Received: --data_dir={data_dir} without any that "
            f"{_FILTERS[bool(choice.manifest)]} let through"
        )
    sources = {path: _source(path, data_dir) for path in paths}
    patients = patients_of(sources.values())
    scans = []
    for path, source in sources.items():
        subset = _SUBSET.fullmatch(path.parent.name)
        luna16 = subset is not None and path not in pictures
        fold = cube_files.stable_hash(patients[source]) % _NUM_HASHED_FOLDS
        if luna16:
            source, fold = volumes.scan_name(path), int(subset[1])
        scans.append(Scan(path, source, fold, luna16, path in pictures))
    return scans


def held_out(data_dir: str | Path) -> frozenset[str]:
    """Reads which pictures the owners of a data set keep for tests.

    Args:
      data_dir: Folder of pictures.

    Returns:
      The names of files that `test_list.txt` lists, in the folder or up to three above
      it; none without such a list.

    Raises:
      InputError: If the list cannot be read.
    """
    folder = Path(data_dir).resolve()
    for parent in (folder, *folder.parents[:_LEVELS_UP]):
        path = parent / _TEST_LIST
        if path.is_file():
            return frozenset(read_names(path))
    return frozenset()


def _images_to_train_on(manifest: Path, data_dir: Path) -> frozenset[Path]:
    """Images of training rows; none of what a fine-tuning run validates or tests on."""
    rows = read_rows(manifest, ["image"], "manifest")
    parts = read_parts(rows)
    rows = [
        row for row, part in zip(rows, parts, strict=True) if part in ("train", None)
    ]
    images = [path.resolve() for path in read_files(rows, "image", "an image")]
    for row, image in zip(rows, images, strict=True):
        if not image.is_relative_to(data_dir.resolve()):
            rule = f"the images of --manifest lie in --data_dir={data_dir}"
            raise row.error(rule, f"image={row.cells['image']}")
    return frozenset(images)


def _source(path: Path, data_dir: Path) -> str:
    name = volumes.scan_name(path)
    if path == data_dir:  # the data folder is a DICOM series itself
        return name
    return (path.relative_to(data_dir).parent / name).as_posix()
