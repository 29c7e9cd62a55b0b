"""How long a whole scan takes from its file to that of its mask."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from models_genesis_tf.benchmarks.own_process import run_alone
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.model_facts import ModelFacts, read_facts
from models_genesis_tf.experiments.predicted_masks import Options, segment_scans
from models_genesis_tf.experiments.prediction import Predictor
from models_genesis_tf.models.heads import build_segmenter
from models_genesis_tf.models.saving import save_model
from models_genesis_tf.phantoms import luna16
from models_genesis_tf.tasks.case_arrays import CaseArrays

_BATCH_SIZE = 4  # windows that are predicted at once
_IMPORTS = "from models_genesis_tf.benchmarks.predict import predict_scan"
_WORK = "found = predict_scan(*sys.argv[1:])"
_FAST, _STOCK = "fast_upsampling", "stock"


class _TimedPredictor(Predictor):
    """What `predict` predicts with, with a clock at each part of the work.

    Attributes:
      seconds: Of each part so far.
      windows: Predicted so far.
      size: Sides x, y, z of the last scan in voxels.
    """

    def __init__(self, path: Path, fast_upsampling: bool):
        super().__init__(path, fast_upsampling=fast_upsampling)
        self.seconds = {"read": 0.0, "network": 0.0, "segment": 0.0}
        self.windows = 0
        self.size = (0, 0, 0)
        facts = self.facts
        shape = (_BATCH_SIZE, *facts.patch_size, len(facts.modalities))
        self._predict(np.zeros(shape, np.float32))  # compiles
        self._network, self._predict = self._predict, self._timed_predict

    def read(self, paths: Sequence[Path]) -> CaseArrays:
        """As `Predictor.read`."""
        with self._clock("read"):
            arrays = super().read(paths)
        self.size = arrays.image.shape[:3]
        return arrays

    def segment(
        self, arrays: CaseArrays, title: str = "", keep_probabilities: bool = False
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """As `Predictor.segment`."""
        with self._clock("segment"):
            return super().segment(arrays, title, keep_probabilities)

    def _timed_predict(self, windows: np.ndarray) -> np.ndarray:
        self.windows += len(windows)
        with self._clock("network"):
            return self._network(windows)

    @contextmanager
    def _clock(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[part] += time.perf_counter() - start


def measure(
    model: str | None = None,
    scan: str | None = None,
    base_filters: int = 32,
    cube_size: tuple[int, int, int] = (64, 64, 32),
    fast_upsampling: bool = True,
) -> dict:
    """Segments a scan once as `predict` does, in a process of its own.

    Args:
      model: A segmentation model of finetune, or None for a U-Net of random weights.
      scan: File of a scan, or None for a synthetic chest CT.
      base_filters: Width of the network of random weights.
      cube_size: Sides of its windows in voxels.
      fast_upsampling: Whether the network's `fast_twin` is run in its place.

    Returns:
      `size` of the scan; `patch_size` of windows and how many `windows` were predicted;
      `seconds`: `read`, from the file to the network's range; `network`, all windows'
      forward passes alone; `segment`, these with cutting windows and blending; `write`,
      the mask's file; `all`, without loading the model; `voxels_per_second` of all;
      `peak_mib` of memory above what the imported libraries take, the model's included;
      `ratios`: `segment_over_network` and `all_over_network`.

    Raises:
      InputError: If the scan or the model cannot be read, or the model classifies.
    """
    with tempfile.TemporaryDirectory() as folder:
        if model is None:
            model = Path(folder, "model.keras")
            _write_model(model, base_filters, cube_size)
        facts = read_facts(Path(model))
        if facts.kind != "segmentation":
            raise InputError(
                "benchmark predict takes a model of a segmentation. "
                f"Received: --model={model} of a {facts.kind}"
            )
        if scan is None:
            luna16.write(Path(folder, "scans"), 1)
            scan = next(Path(folder, "scans").rglob("*.mhd"))
        mask = Path(folder, "mask.nii.gz")
        how = _FAST if fast_upsampling else _STOCK
        return _describe(run_alone(_IMPORTS, _WORK, model, scan, mask, how))


def predict_scan(model: str, scan: str, mask: str, how: str = _FAST) -> dict:
    """Segments a scan and times the parts of the work.

    Args:
      model: A `.keras` file of finetune.
      scan: File of a scan.
      mask: File to write.
      how: "fast_upsampling", or "stock" to run the network as it is.

    Returns:
      `size` of the scan, `patch_size`, `windows`, and `parts`: seconds of reading
      ("read"), of the network ("network"), of segmenting ("segment") and of all
      ("all").

    Raises:
      InputError: If the model or the scan cannot be read.
    """
    predictor = _TimedPredictor(Path(model), how == _FAST)
    start = time.perf_counter()
    for _ in segment_scans(predictor, scan, mask, Options()):
        pass
    seconds = predictor.seconds | {"all": time.perf_counter() - start}
    return {
        "size": list(predictor.size),
        "patch_size": list(predictor.facts.patch_size),
        "windows": predictor.windows,
        "parts": seconds,
    }


def _write_model(
    path: Path, base_filters: int, cube_size: tuple[int, int, int]
) -> None:
    """Writes a segmentation model of random weights that calls nothing foreground.

    So its mask is written about as fast as a mask of small organs; one of noise, which
    cannot be compressed, would not be.
    """
    network = build_segmenter((*cube_size, 1), base_filters=base_filters, verbose=False)
    facts = ModelFacts(
        kind="segmentation",
        classes=("background", "foreground"),
        threshold=1.0,
        window="ct",
        spacing=None,
        in_plane_size=None,
        patch_size=cube_size,
        modalities=("ct",),
    )
    save_model(network, path, vars(facts))


def _describe(run: dict) -> dict:
    parts = run["parts"]
    write = parts["all"] - parts["read"] - parts["segment"]
    seconds = {
        "read": parts["read"],
        "network": parts["network"],
        "segment": parts["segment"],
        "write": write,
        "all": parts["all"],
    }
    ratios = {
        f"{part}_over_network": round(parts[part] / parts["network"], 3)
        for part in ("segment", "all")
    }
    return {
        "size": run["size"],
        "patch_size": run["patch_size"],
        "windows": run["windows"],
        "seconds": {part: round(value, 3) for part, value in seconds.items()},
        "voxels_per_second": round(float(np.prod(run["size"])) / parts["all"]),
        "peak_mib": round(run["peak_mib"], 1),
        "ratios": ratios,
    }
