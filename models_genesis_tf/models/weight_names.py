"""What a user calls the weights that a run starts from; nothing here needs Keras.

Small models come with the package, in its folder `released`: of each a `.keras` file,
the `run.json` of its pre-training as `.json`, and a model card as `.md`.
"""

from pathlib import Path

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.fingerprints import sha256

IMAGENET = "imagenet:"  # before the path of torchvision's ResNet-18
RELEASED = Path(__file__).parents[1] / "released"
_CHECKSUMS = "SHA256SUMS"  # as sha256sum writes and checks it


def weights_path(weights: str | Path) -> Path:
    """Gives the file that weights are in.

    Args:
      weights: A path, `IMAGENET` and a path, or one of `released_names`.

    Returns:
      The path.
    """
    if str(weights) in released_names():
        return RELEASED / f"{weights}.keras"
    return Path(str(weights).removeprefix(IMAGENET))


def released_names() -> list[str]:
    """Lists the models that come with the package."""
    return sorted(path.stem for path in RELEASED.glob("*.keras"))


def check_weights(weights: str | Path) -> Path:
    """Finds weights, and makes sure that released ones are whole.

    Args:
      weights: See `weights_path`.

    Returns:
      The file.

    Raises:
      InputError: If there is none, or one that comes with the package is another one
        than was released.
    """
    path = weights_path(weights)
    if not path.is_file():
        names = ", ".join(released_names())
        raise InputError(
            f"weights are a file{names and f', or one of {names}'}. "
            f"Received: {path}, which is none"
        )
    if path.parent == RELEASED and sha256(path) != _released_sums().get(path.name):
        raise InputError(
            "a released model has the SHA-256 that it was released with; installing "
            f"the package again brings it back. Received: {path} with another one"
        )
    return path


def record_path(weights: str | Path) -> Path:
    """Says where the record of a pre-training lies.

    Args:
      weights: See `weights_path`.

    Returns:
      The run.json beside a run's model; of a released model, its own.
    """
    path = weights_path(weights)
    if path.parent == RELEASED:
        return path.with_suffix(".json")
    return path.with_name("run.json")


def pretraining_name(weights: str | Path) -> str:
    """Names a pre-training that left a record.

    Args:
      weights: See `weights_path`.

    Returns:
      The name of the run's folder, or of the released model.
    """
    path = weights_path(weights)
    return path.stem if path.parent == RELEASED else path.parent.name


def _released_sums() -> dict[str, str]:
    lines = (RELEASED / _CHECKSUMS).read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def start_name(weights: str) -> str:
    """Names what a run starts from, for its folder.

    Args:
      weights: As in `config.FinetuneConfig`.

    Returns:
      "scratch", "imagenet", the name of a released model, or the file's name without
      its ending.
    """
    if weights.startswith(IMAGENET):
        return IMAGENET.rstrip(":")
    return Path(weights).stem
