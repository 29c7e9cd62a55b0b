"""The numbers that the authors of Models Genesis published, as data.

Every number stands once, as text and as it is printed, in the table it is printed in;
two tables may disagree on a number. They are in per cent, where ours are shares of 1.
"""

from dataclasses import dataclass

from models_genesis_tf.errors import InputError

NUM_TRIALS = 10

_POSTER = "the authors' poster at MICCAI 2019"
_FIGURES = "figures/plotsuperbar.m of the authors' repository, MrGiovanni/ModelsGenesis"
_SOURCES = {
    "scratch_vs_genesis": _POSTER,
    "ablation": _POSTER,
    "2d_vs_3d": _POSTER,
    "chest_ct_2d": _FIGURES,
    "chest_xray_2d": _FIGURES,
    "external": _POSTER,
}
_TITLES = {
    "scratch_vs_genesis": "3D networks from scratch and from Models Genesis",
    "ablation": "Genesis by the deformations that it was pre-trained on",
    "2d_vs_3d": "2D and 3D networks",
    "chest_ct_2d": "Genesis Chest CT 2D",
    "chest_xray_2d": "Genesis Chest X-ray 2D",
    "external": "Genesis beside the best of others",
}
TABLES = {table: f"{_TITLES[table]} ({_SOURCES[table]})" for table in _TITLES}
_SELECTED = (
    "The 3D Genesis is the best of three variants for each task, picked by the very "
    "scores that are shown: a selection effect, which flatters it."
)
NOTES = {
    "scratch_vs_genesis": f"{_SELECTED} The p values follow from means and standard "
    "deviations by one-sided Welch t-tests of 10 against 10 trials; that of BMS does "
    "within the rounding of these, that of LCS does not.",
    "ablation": "The p values compare the best variant with the second. Those of ECC "
    "and BMS follow from means and standard deviations, within the rounding of these, "
    "by one-sided Welch t-tests of 10 against 10 trials; the others do not.",
    "2d_vs_3d": f"{_SELECTED} The p values compare it with 2D ImageNet; those of NCC "
    "and ECC do not follow from means and standard deviations of 10 trials. ImageNet "
    "on NCC is 97.79±0.71 here and 97.64±0.96 in the figure of Genesis Chest CT 2D. "
    "How the IoU of 2D networks was computed is not published.",
    "chest_ct_2d": "The p values are of one-sided pooled t-tests of 10 against 10 "
    "trials, as far as they follow from means and standard deviations: those of IUC "
    "do, within the rounding of these; several of the others do not. ImageNet on NCC "
    "is 97.64±0.96 here and 97.79±0.71 on the poster.",
    "chest_xray_2d": "Scratch, ImageNet and the test are those of Genesis Chest CT 2D, "
    "but ImageNet on IUC is printed 0.01 higher.",
    "external": "The best of others are the winners of LUNA16, LiTS and BraTS, and two "
    "publications (NCS, ECC). They were scored in other ways: LUNA16 takes the CPM of "
    "all ten subsets, Genesis has that of subsets 7-9; the winner of LiTS used "
    "post-processing, that of BraTS an ensemble. Genesis on ECC is the best of three "
    "variants.",
}
DATA_SETS = {
    "ncc": "LUNA16, tested on subsets 7-9",
    "ncs": "LIDC-IDRI, tested on the authors' own crops around nodules",
    "ecc": "PE-CAD, a private set of CT pulmonary angiograms",
    "lcs": "LiTS 2017, tested on volumes 115-129",
    "bms": "BraTS, of 2013 by the poster, of 2018 and tested on 95 of 285 patients by "
    "the authors' lists",
    "dxc": "ChestX-ray8, eight diseases, in a split that was not published",
    "iuc": "UFMCAEL, a private set of ultrasound images of the carotid artery",
}


@dataclass(frozen=True)
class PublishedScore:
    """A score of the authors.

    Attributes:
      task: "ncc", "ncs", "ecc", "lcs", "bms", "dxc" or "iuc".
      dimension: Of the network, 2 or 3.
      arm: "scratch", "imagenet", "distortion", "painting", "unified", "genesis",
        "genesis_chest_xray", or "best_other": the best that others had reached.
      metric: Our name where ours is the same: "auc", "auc_mean" over classes,
        "paper_iou" in 3D, "dice_mean"; "cpm", and "iou" in 2D, whose definition was
        not published.
      mean: Over the trials, in per cent.
      sd: Standard deviation over the trials, in per cent; None if not printed.
      printed: As it is printed.
      table: A key of `TABLES`.
      source: Where it is printed.
    """

    task: str
    dimension: int
    arm: str
    metric: str
    mean: float
    sd: float | None
    printed: str
    table: str
    source: str


@dataclass(frozen=True)
class PublishedTest:
    """A p value of the authors.

    Attributes:
      task: As in a score.
      dimension: Of the first arm's network.
      table: A key of `TABLES`.
      first: The arm with the higher mean.
      second: The other arm.
      second_dimension: Of the second arm's network.
      printed: As it is printed.
      value: Its value; None if only a bound is printed.
      source: Where it is printed.
    """

    task: str
    dimension: int
    table: str
    first: str
    second: str
    second_dimension: int
    printed: str
    value: float | None
    source: str


def _score(
    table: str, task: str, dimension: int, arm: str, printed: str, metric: str = ""
) -> PublishedScore:
    mean, _, sd = printed.partition("±")
    # Of all scores the CPM alone is printed as a share of 1.
    scale = 100.0 if metric == "cpm" else 1.0
    return PublishedScore(
        task=task,
        dimension=dimension,
        arm=arm,
        metric=metric or _usual_metric(task, dimension),
        mean=scale * float(mean),
        sd=float(sd) if sd else None,
        printed=printed,
        table=table,
        source=_SOURCES[table],
    )


def _usual_metric(task: str, dimension: int) -> str:
    if task in ("ncc", "ecc"):
        return "auc"
    if task in ("dxc", "iuc"):
        return "auc_mean"
    return "paper_iou" if dimension == 3 else "iou"


def _scores(table: str, columns: str, rows: str) -> tuple[PublishedScore, ...]:
    """Reads a table whose columns are arms and dimensions, such as "scratch/3"."""
    scores = []
    for row in rows.strip().splitlines():
        task, *cells = row.split()
        for column, printed in zip(columns.split(), cells, strict=True):
            arm, dimension = _arm_and_dimension(column)
            scores.append(_score(table, task, dimension, arm, printed))
    return tuple(scores)


def _tests(table: str, rows: str) -> tuple[PublishedTest, ...]:
    """Reads rows of a task, the better arm, the other arm and what is printed."""
    tests = []
    for row in rows.strip().splitlines():
        task, better, other, printed = row.split()
        first, dimension = _arm_and_dimension(better)
        second, second_dimension = _arm_and_dimension(other)
        value = None if printed.startswith("<") else float(printed)
        tests.append(
            PublishedTest(
                task=task,
                dimension=dimension,
                table=table,
                first=first,
                second=second,
                second_dimension=second_dimension,
                printed=printed,
                value=value,
                source=_SOURCES[table],
            )
        )
    return tuple(tests)


def _arm_and_dimension(text: str) -> tuple[str, int]:
    arm, dimension = text.split("/")
    return arm, int(dimension)


SCORES = (
    *_scores(
        "scratch_vs_genesis",
        "  scratch/3   genesis/3",
        """
        ncc 94.25±5.07  98.20±0.51
        ncs 74.05±1.97  77.62±0.64
        ecc 79.99±8.06  88.04±1.40
        lcs 74.60±4.57  79.52±4.77
        bms 90.16±0.41  90.60±0.20
        """,
    ),
    *_scores(
        "ablation",
        "  scratch/3   distortion/3 painting/3 unified/3",
        """
        ncc 94.25±5.07  96.46±1.03  98.20±0.51  97.90±0.57
        ncs 74.05±1.97  77.08±0.68  77.02±0.58  77.62±0.64
        ecc 79.99±8.06  88.04±1.40  87.18±2.72  87.20±2.87
        lcs 74.60±4.57  79.08±4.26  78.62±4.05  79.52±4.77
        bms 90.16±0.41  90.60±0.20  90.46±0.21  90.59±0.21
        """,
    ),
    *_scores(
        "2d_vs_3d",
        "  scratch/2   imagenet/2  genesis/2   scratch/3   genesis/3",
        """
        ncc 96.03±0.86  97.79±0.71  97.45±0.61  94.25±5.07  98.20±0.51
        ncs 70.48±1.07  72.39±0.77  72.20±0.67  74.05±1.97  77.62±0.64
        ecc 71.27±4.64  78.61±3.73  78.58±3.67  79.99±8.06  88.04±1.40
        """,
    ),
    *_scores(
        "chest_ct_2d",
        "  scratch/2   imagenet/2  genesis/2",
        """
        ncc 96.03±0.86  97.64±0.96  97.45±0.61
        ncs 70.48±1.07  72.39±0.77  72.20±0.67
        dxc 69.15±0.77  75.55±0.48  74.99±0.36
        iuc 92.78±3.71  95.51±1.77  94.50±2.08
        """,
    ),
    *_scores(
        "chest_xray_2d",
        "  scratch/2   imagenet/2  genesis_chest_xray/2",
        """
        ncc 96.03±0.86  97.64±0.96  93.52±0.13
        ncs 70.48±1.07  72.39±0.77  72.88±0.79
        dxc 69.15±0.77  75.55±0.48  75.48±0.13
        iuc 92.78±3.71  95.52±1.77  94.99±0.93
        """,
    ),
    _score("external", "ncc", 3, "genesis", "0.971", "cpm"),
    _score("external", "ncc", 3, "best_other", "0.968", "cpm"),
    _score("external", "ncs", 3, "genesis", "75.86±0.90", "dice_mean"),
    _score("external", "ncs", 3, "best_other", "74.05", "dice_mean"),
    _score("external", "ecc", 3, "genesis", "88.04"),
    _score("external", "ecc", 3, "best_other", "87.06"),
    _score("external", "lcs", 3, "genesis", "91.13±1.51", "dice_mean"),
    _score("external", "lcs", 3, "best_other", "96.60", "dice_mean"),
    _score("external", "bms", 3, "genesis", "92.58±0.30", "dice_mean"),
    _score("external", "bms", 3, "best_other", "91.00", "dice_mean"),
)
TESTS = (
    *_tests(
        "scratch_vs_genesis",
        """
        ncc genesis/3 scratch/3 0.0180
        ncs genesis/3 scratch/3 1.04e-4
        ecc genesis/3 scratch/3 0.0058
        lcs genesis/3 scratch/3 0.0361
        bms genesis/3 scratch/3 0.0041
        """,
    ),
    *_tests(
        "ablation",
        """
        ncc painting/3   unified/3    0.0848
        ncs unified/3    distortion/3 0.0520
        ecc distortion/3 unified/3    0.2102
        lcs unified/3    distortion/3 0.4249
        bms distortion/3 unified/3    0.4276
        """,
    ),
    *_tests(
        "2d_vs_3d",
        """
        ncc genesis/3 imagenet/2 0.0213
        ncs genesis/3 imagenet/2 <1e-8
        ecc genesis/3 imagenet/2 5.50e-4
        """,
    ),
    *_tests(
        "chest_ct_2d",
        """
        ncc imagenet/2 scratch/2 0.0005
        ncc genesis/2  scratch/2 0.0002
        ncc imagenet/2 genesis/2 0.3048
        ncs imagenet/2 scratch/2 0.0001
        ncs genesis/2  scratch/2 0.0010
        ncs imagenet/2 genesis/2 0.3042
        dxc imagenet/2 scratch/2 1e-7
        dxc genesis/2  scratch/2 1e-11
        dxc imagenet/2 genesis/2 0.0121
        iuc imagenet/2 scratch/2 0.0248
        iuc genesis/2  scratch/2 0.1093
        iuc imagenet/2 genesis/2 0.1262
        """,
    ),
    *_tests(
        "chest_xray_2d",
        """
        ncc imagenet/2           scratch/2            0.0005
        ncc scratch/2            genesis_chest_xray/2 0.0096
        ncc imagenet/2           genesis_chest_xray/2 0.0001
        ncs imagenet/2           scratch/2            0.0001
        ncs genesis_chest_xray/2 scratch/2            0.0022
        ncs genesis_chest_xray/2 imagenet/2           0.1006
        dxc imagenet/2           scratch/2            1e-7
        dxc genesis_chest_xray/2 scratch/2            5e-8
        dxc imagenet/2           genesis_chest_xray/2 0.3736
        iuc imagenet/2           scratch/2            0.0248
        iuc genesis_chest_xray/2 scratch/2            0.0423
        iuc imagenet/2           genesis_chest_xray/2 0.2078
        """,
    ),
)


def find_scores(table: str, task: str) -> tuple[PublishedScore, ...]:
    """The scores of one task in one table.

    Args:
      table: A key of `TABLES`.
      task: Name of a task, published or not.

    Returns:
      The scores in the table's order; none if it does not have the task.

    Raises:
      InputError: If there is no such table.
    """
    _check_table(table)
    return tuple(one for one in SCORES if (one.table, one.task) == (table, task))


def find_score(
    table: str, task: str, arm: str, dimension: int = 3
) -> PublishedScore | None:
    """One score in one table.

    Args:
      table: A key of `TABLES`.
      task: Name of a task, published or not.
      arm: Name of an arm, published or not.
      dimension: Of the network, 2 or 3.

    Returns:
      The score, or None if the table does not have it.

    Raises:
      InputError: If there is no such table.
    """
    wanted = (arm, dimension)
    scores = find_scores(table, task)
    return next((one for one in scores if (one.arm, one.dimension) == wanted), None)


def find_test(table: str, task: str, first: str, second: str) -> PublishedTest | None:
    """The p value of two arms in one table.

    Args:
      table: A key of `TABLES`.
      task: Name of a task, published or not.
      first: Name of an arm, published or not.
      second: Name of another; the order of the two does not matter.

    Returns:
      The test, or None if the table does not have it.

    Raises:
      InputError: If there is no such table.
    """
    _check_table(table)
    for test in TESTS:
        arms = {test.first, test.second}
        if (test.table, test.task) == (table, task) and arms == {first, second}:
            return test
    return None


def _check_table(table: str) -> None:
    if table not in TABLES:
        raise InputError(
            f"a published table is one of {', '.join(TABLES)}. Received: {table=}"
        )
