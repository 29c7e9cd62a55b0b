"""Identity of data files."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

_EDGE = 2**20


def fingerprint(files: Sequence[Path]) -> str:
    """Identifies data files by their names, sizes, first and last megabyte.

    Args:
      files: The files.

    Returns:
      A SHA-256 in hexadecimal; large files are not read whole.
    """
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as stream:
            digest.update(stream.read(_EDGE))
            stream.seek(max(0, size - _EDGE))
            digest.update(stream.read(_EDGE))
    return digest.hexdigest()


def scan_fingerprint(path: str | Path) -> str:
    """Identifies a scan as `fingerprint` does, without reading a long series whole.

    Args:
      path: File of a known format, or folder of a DICOM series.

    Returns:
      A SHA-256 in hexadecimal: of names and sizes of all files, and of the contents of
      the first, the middle and the last one.
    """
    files = scan_files(path)
    sizes = "".join(f"{file.name} {file.stat().st_size}\n" for file in files)
    some = [files[index] for index in sorted({0, len(files) // 2, len(files) - 1})]
    return hashlib.sha256((sizes + fingerprint(some)).encode()).hexdigest()


def sha256(path: str | Path) -> str:
    """Identifies a file by all of its bytes.

    Args:
      path: The file.

    Returns:
      Its SHA-256 in hexadecimal.
    """
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def scan_files(path: str | Path) -> list[Path]:
    """The files that one scan consists of.

    Args:
      path: File of a known format, or folder of a DICOM series.

    Returns:
      All files of the folder, sorted; the header and the data files that it names, for
      `.mhd`; else the file alone.
    """
    path = Path(path)
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.is_file())
    if path.suffix.lower() != ".mhd":
        return [path]
    # The header ends with the name of the data file, or with LIST and one name a line.
    _, _, end = path.read_text("latin-1").partition("ElementDataFile")
    named = (path.parent / line.strip() for line in end.lstrip(" \t=:").splitlines())
    return [path, *(file for file in named if file.is_file())]
