"""Frozen settings: what a cube, a pair and a run are made with.

Flags become these dataclasses at the entry points; nothing below reads a flag.
"""

from dataclasses import dataclass, replace
from pathlib import Path

SCHEMES = (
    "unified",
    "distortion",
    "painting",
    "nonlinear",
    "local_shuffling",
    "inpainting",
    "outpainting",
    "autoencoder",
)


@dataclass(frozen=True)
class TransformConfig:
    """Rates and sizes of the four transforms and of the flips.

    Lengths are in voxels where absolute, else in parts of the cube's side. The
    defaults are the official parameters with their defects mended: flips over all
    spatial axes and every channel treated alike.

    Attributes:
      flip_rate: Chance of each of up to three successive flips, in [0, 1].
      flip_depth: Whether the last spatial axis is among those flipped. The official
        code draws among channel, x and y instead, so that one draw in three does
        nothing and depth is never flipped. A slice, which has no depth, is flipped
        along x and y under either.
      nonlinear_rate: Chance of the Bezier intensity map, in [0, 1].
      local_shuffling_rate: Chance of local pixel shuffling, in [0, 1].
      shuffle_windows: Number of windows for a cube of 64x64x32 voxels; scaled in
        proportion to the number of voxels.
      shuffle_first_channel_only: Shuffle channel 0 alone, as the official code does.
      painting_rate: Chance of painting, in [0, 1].
      outpainting_share: Chance that painting is the outer one, in [0, 1].
      painting_windows: The largest number of windows of one painting.
      painting_continue_rate: Chance of drawing each further window, in [0, 1].
      inpainting_first_rate: Chance of drawing the first inner window, in [0, 1].
      fixed_sides: Smallest and largest length in voxels, of an inner window's side
        and of what an outer window lacks of the cube's side. None takes parts of the
        cube's side: a sixth to a third inside, three to four sevenths outside.
      painting_margin: Voxels between a window and the cube's border.
      inpainting_fill: "noise" (each voxel its own value) or "constant" (one value).
      outpainting_fill: The same for the outside of the windows.
      inpainting_shared_noise: Give all channels the same inner noise, as the
        official code does.
    """

    flip_rate: float = 0.4
    flip_depth: bool = True
    nonlinear_rate: float = 0.9
    local_shuffling_rate: float = 0.5
    shuffle_windows: int = 10_000
    shuffle_first_channel_only: bool = False
    painting_rate: float = 0.9
    outpainting_share: float = 0.8
    painting_windows: int = 5
    painting_continue_rate: float = 0.95
    inpainting_first_rate: float = 0.95
    fixed_sides: tuple[int, int] | None = None
    painting_margin: int = 3
    inpainting_fill: str = "noise"
    outpainting_fill: str = "noise"
    inpainting_shared_noise: bool = False


_DEFAULT = TransformConfig()

TRANSFORM_PRESETS = {
    "default": _DEFAULT,
    "official": replace(
        _DEFAULT,
        flip_depth=False,
        shuffle_first_channel_only=True,
        inpainting_shared_noise=True,
    ),
    "miccai2019": replace(
        _DEFAULT,
        flip_rate=0.9,
        flip_depth=False,
        local_shuffling_rate=0.1,
        shuffle_windows=500,
        shuffle_first_channel_only=True,
        painting_windows=1,
        inpainting_first_rate=1.0,
        fixed_sides=(10, 20),
        inpainting_fill="constant",
        inpainting_shared_noise=True,
    ),
}


@dataclass(frozen=True)
class CubeConfig:
    """What is cut from a scan.

    Attributes:
      cube_size: Sides x, y, z in voxels. With z = 1, whole axial slices are taken, and
        pictures, and resized to x, y.
      cubes_per_volume: Cubes, or slices, wanted from each scan.
      acceptance: "chest_ct", "foreground", "none", or "auto" to choose for each scan.
      window: As `imaging.windows.parse_window` reads it, or "auto" for each scan.
      min_tissue: Smallest share of tissue in an accepted cube, in [0, 1]; None is 0
        under chest_ct (the official rule) and 0.2 under foreground.
      spacing: Spacing x, y, z in mm that scans are resampled to, or None.
      max_padding: How many times larger than the scan a cube's side may be; the scan
        is then padded with the window's lower end. Under chest_ct nothing is padded.
      seed: Of the positions' random draws.
    """

    cube_size: tuple[int, int, int] = (64, 64, 32)
    cubes_per_volume: int = 32
    acceptance: str = "auto"
    window: str = "auto"
    min_tissue: float | None = None
    spacing: tuple[float, float, float] | None = None
    max_padding: float = 1.5
    seed: int = 0

    @property
    def takes_slices(self) -> bool:
        """Whether whole axial slices are taken instead of cubes."""
        return self.cube_size[2] == 1


SCRATCH = "scratch"
LEARNING_RATES = {"sgd": 1.0, "adam": 1e-3}
# Settings that say how a run is computed, not what.
HOW_IT_RUNS = (
    "strategy",
    "cross_device_ops",
    "jit_compile",
    "fast_upsampling",
    "deterministic",
    "checkpoint_every",
)


@dataclass(frozen=True)
class ScanChoice:
    """Which scans of a folder are taken.

    Attributes:
      include: Globs on scan names, with a slash on paths; empty takes all.
      exclude: Globs of the same kind on what is left out.
      manifest: A csv file as `finetune` reads; only images of its training rows are
        taken, or of all rows where it names no parts. None takes all.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    manifest: Path | None = None


ALL_SCANS = ScanChoice()


@dataclass(frozen=True)
class PretrainConfig:
    """A pre-training run; the defaults are the released code's (paper_facts 4.1).

    Attributes:
      model: "unet3d", which restores cubes, or "unet2d", which restores axial slices.
      scheme: Which of the transforms are used, one of `SCHEMES`.
      transform_preset: Name in `TRANSFORM_PRESETS`.
      base_filters: Filters of the first convolution; 32 is the official width in 3D, 64
        that of ResNet-18 in 2D.
      bn_momentum: Share of the old moving statistics that each step keeps; 0.99 in the
        released code.
      batch_size: Pairs per step over all devices.
      optimizer: "sgd" with momentum 0.9 (the released code) or "adam" (the release of
        2019), which learns faster in short runs.
      learning_rate: At the start; None is the optimizer's own in `LEARNING_RATES`.
      epochs: Most passes over the training cubes.
      max_steps: Most steps, or None.
      steps_per_epoch: Steps from one validation to the next, or None for as many as the
        training examples make.
      reduce_patience: Epochs without a lower validation loss until the learning rate is
        halved.
      stop_patience: The same until training stops.
      train_folds: Folds trained on, or None for the default split.
      valid_folds: Folds validated on, or None.
      strategy: "auto", "none", "mirrored" or "multi_worker".
      cross_device_ops: How several GPUs add up gradients: "auto", "nccl",
        "hierarchical", "one_device" or, of several machines, "ring".
      precision: "auto", "float32", "mixed_bfloat16" or "mixed_float16".
      jit_compile: Whether XLA compiles the training step.
      fast_upsampling: Whether steps run the network's `fast_twin`, the same but for
        rounding. None does where that is faster.
      deterministic: Whether TensorFlow keeps to operations that give the same bits on
        every run.
      checkpoint_every: Steps between checkpoints inside an epoch; 0 leaves those at
        its end.
      seed: From which weights, order and transforms follow.
    """

    model: str = "unet3d"
    scheme: str = "unified"
    transform_preset: str = "default"
    base_filters: int = 32
    bn_momentum: float = 0.9
    batch_size: int = 6
    optimizer: str = "sgd"
    learning_rate: float | None = None
    epochs: int = 10_000
    max_steps: int | None = None
    steps_per_epoch: int | None = None
    reduce_patience: int = 10
    stop_patience: int = 50
    train_folds: tuple[int, ...] | None = None
    valid_folds: tuple[int, ...] | None = None
    strategy: str = "auto"
    cross_device_ops: str = "auto"
    precision: str = "auto"
    jit_compile: bool = False
    fast_upsampling: bool | None = None
    deterministic: bool = False
    checkpoint_every: int = 0
    seed: int = 0


# Nothing but the kind of network is published of pre-training in 2D (paper_facts 1.4):
# the optimizer is that of 3D, the batch a usual one for images of this size.
PRETRAIN_DEFAULTS = {
    "unet3d": PretrainConfig(),
    "unet2d": PretrainConfig(model="unet2d", base_filters=64, batch_size=32),
}


@dataclass(frozen=True)
class FinetuneConfig:
    """A fine-tuning run; the defaults are those of a user's own task.

    Attributes:
      task: Code of the task, "custom" for a manifest.
      kind: "classification" or "segmentation".
      manifest: Path of the csv file that lists the cases.
      label_column: Its column that holds labels.
      label_map: Which numbers or texts of it become which class, such as "<3:0,>3:1";
        empty takes them as they are.
      where: Conditions on columns that rows have to meet, such as "n_readers>=3".
      data_dir: Folder of a published task's data.
      modalities: Channels of a task whose cases have several; empty where there is one.
      fold: Which fold of a cross-validation is tested, from 1.
      min_readers: Readers that have to agree that there is a lesion.
      lesions_are_liver: Whether lesions in the liver count as liver.
      labels: How many findings of chest X-rays are learned, 8 or 14.
      dimension: 3, or 2 for a network that sees axial slices or pictures; None is 2
        where all images are pictures or z of the patch is 1, else 3.
      slices_per_case: In two dimensions, axial slices of a classified volume or place,
        one beside the other, whose probabilities are averaged; odd.
      window: As `imaging.windows.parse_window` reads it.
      spacing: Spacing x, y, z in mm that images are resampled to, or None.
      patch_size: Sides x, y, z in voxels, or None to choose them by the images; in two
        dimensions z is 1.
      patches_per_case: Patches that an epoch of a segmentation takes from each case.
      balanced: Whether a classification trains on as many cases of each class; of the
        smallest class all are taken in each epoch, of the others some by chance.
      loss: "auto" (cross-entropy, for segmentation with a Dice loss of each example) or
        "dice" (the released code's for segmentation, over all of a batch).
      flip_axes: Axes, of "x", "y", "z", along which training examples are flipped at
        random.
      weights: `SCRATCH` or the path of a weight file, perhaps behind "imagenet:".
      trials: Independent repetitions.
      train_fraction: Share of the training and validation patients used, in (0, 1].
      score_split: "test" or "valid"; test cases are then never read.
      base_filters: Width, or None for that of the weights (from scratch: 32, in 2D
        64).
      bn_momentum: Share of the old moving statistics that each step keeps.
      batch_size: Examples per step over all devices; None is 4, but no more than a
        quarter of the training cases.
      optimizer: "sgd" or "adam".
      learning_rate: At the start; None is the optimizer's own in `LEARNING_RATES`.
      epochs: Most passes over the training cases.
      max_steps: Most steps, or None.
      steps_per_epoch: Steps from one validation to the next, or None for as many as the
        training examples make.
      reduce_patience: Epochs without a lower validation loss until the learning rate is
        halved.
      stop_patience: The same until training stops.
      strategy: As in `PretrainConfig`, like all that follow.
      cross_device_ops: See there.
      precision: See there.
      jit_compile: See there.
      fast_upsampling: See there.
      deterministic: See there.
      checkpoint_every: See there.
      seed: From which weights, subsets, order and patches follow, with the trial.
    """

    task: str = "custom"
    kind: str = "segmentation"
    manifest: str = ""
    label_column: str = "label"
    label_map: str = ""
    where: str = ""
    data_dir: str = ""
    modalities: tuple[str, ...] = ()
    fold: int = 1
    min_readers: int = 1
    lesions_are_liver: bool = True
    labels: int = 8
    dimension: int | None = None
    slices_per_case: int = 1
    window: str = "percentile"
    spacing: tuple[float, float, float] | None = None
    patch_size: tuple[int, int, int] | None = None
    patches_per_case: int = 1
    balanced: bool = False
    loss: str = "auto"
    flip_axes: tuple[str, ...] = ("x", "y", "z")
    weights: str = SCRATCH
    trials: int = 1
    train_fraction: float = 1.0
    score_split: str = "test"
    base_filters: int | None = None
    bn_momentum: float = 0.9
    batch_size: int | None = None
    optimizer: str = "adam"
    learning_rate: float | None = None
    epochs: int = 200
    max_steps: int | None = None
    steps_per_epoch: int | None = None
    reduce_patience: int = 20
    stop_patience: int = 50
    strategy: str = "auto"
    cross_device_ops: str = "auto"
    precision: str = "auto"
    jit_compile: bool = False
    fast_upsampling: bool | None = None
    deterministic: bool = False
    checkpoint_every: int = 0
    seed: int = 0
