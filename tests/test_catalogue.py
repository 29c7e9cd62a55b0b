"""The recipes are the released configurations, in code and in flags/ alike."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from absl import flags

from models_genesis_tf import finetune, task_flags
from models_genesis_tf.config import SCRATCH, FinetuneConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.sweep_file import read_sweep
from models_genesis_tf.tasks.catalogue import (
    PUBLISHED,
    TASKS,
    demonstrate,
    list_task,
    recipe,
)
from tests.test_readme_and_flags import RECIPES

# keras/downstream_tasks/config.py of the authors' repository: input, batch, patience.
RELEASED = {
    "ncc": ((64, 64, 32), 24, 10),
    "ncs": ((64, 64, 32), 16, 50),
    "ecc": ((64, 64, 64), 24, 38),
    "lcs": ((64, 64, 32), 16, 20),
    "bms": ((64, 64, 32), 16, 30),
}
# No code of theirs was released.
OF_PICTURES = ("dxc", "iuc")


@pytest.mark.parametrize("code", RELEASED)
def test_a_recipe_is_the_released_configuration(code):
    config = recipe(code)
    patch_size, batch_size, patience = RELEASED[code]
    assert config.patch_size == patch_size
    assert (config.batch_size, config.stop_patience) == (batch_size, patience)
    assert config.reduce_patience == 6 and config.epochs == 10_000
    assert config.optimizer == "adam" and config.learning_rate in (None, 1e-3)
    assert config.bn_momentum == 0.99 and config.trials == 10
    classifies = code in ("ncc", "ecc")
    assert config.loss == ("auto" if classifies else "dice")
    assert config.balanced == classifies
    assert config.patches_per_case == {"lcs": 32, "bms": 8}.get(code, 1)
    assert config.kind == ("classification" if classifies else "segmentation")


def test_every_published_task_has_a_recipe_and_a_demonstration():
    assert set(TASKS) == {"custom", *RELEASED, *OF_PICTURES}
    assert recipe("custom") == FinetuneConfig()
    for code, task in PUBLISHED.items():
        small = demonstrate(recipe(code), SCRATCH)
        assert small.trials == 1 and small.base_filters < 32
        assert demonstrate(recipe(code), "weights.keras").base_filters is None
        metric = "auc" if task.kind == "classification" else "paper_iou"
        assert task.metric == ("auc_mean" if task.multi_label else metric)
        assert task.dimension == (2 if code in OF_PICTURES else 3)
        assert task.multi_label == (code == "dxc")


@pytest.mark.parametrize("code", OF_PICTURES)
def test_pictures_are_seen_whole_and_never_turned_upside_down(code):
    config = recipe(code)
    assert config.patch_size == (224, 224, 1) and config.flip_axes == ("x",)
    assert (config.batch_size, config.stop_patience) == (
        {"dxc": (32, 10), "iuc": (16, 20)}[code]
    )
    assert config.optimizer == "adam" and config.learning_rate in (None, 1e-3)
    assert config.kind == "classification" and not config.balanced
    assert config.bn_momentum == 0.9 and config.base_filters is None
    assert config.window == "0,255" and config.trials == 10
    small = demonstrate(config, SCRATCH)
    assert small.patch_size == (64, 64, 1) and small.base_filters == 8


def _write_frames(folder: Path) -> None:
    rows = ["file,patient,label"]
    for number, label in enumerate(("roi", "bulb", "background")):
        (folder / f"{number}.png").touch()
        rows.append(f"{number}.png,P{number},{label}")
    (folder / "images.csv").write_text("\n".join(rows), encoding="utf-8")


def _write_xrays(folder: Path) -> None:
    rows = ["Image Index,Finding Labels,Patient ID"]
    for number, finding in enumerate(("Mass", "Hernia", "No Finding")):
        (folder / f"{number}.png").touch()
        rows.append(f"{number}.png,{finding},{number}")
    table = folder / "Data_Entry_2017.csv"
    table.write_text("\n".join(rows), encoding="utf-8")


def test_pictures_are_resized_to_the_patch(tmp_path):
    _write_frames(tmp_path)
    config = dataclasses.replace(recipe("iuc"), data_dir=str(tmp_path))
    task, listing = list_task(config)
    assert (task.patch_size, task.in_plane_size) == ((224, 224, 1), 224)
    assert [case.label for case in listing.cases] == [2, 1, 0]
    task, _ = list_task(dataclasses.replace(config, patch_size=(64, 64, 1)))
    assert (task.patch_size, task.in_plane_size) == ((64, 64, 1), 64)
    for size in ((64, 32, 1), (64, 64, 8)):
        with pytest.raises(InputError) as error:
            list_task(dataclasses.replace(config, patch_size=size))
        assert str(error.value) == (
            "--task=iuc resizes pictures to a square --patch_size, such as 224,224. "
            f"Received: --patch_size={','.join(map(str, size))}"
        )


def test_8_findings_are_learned_or_14(tmp_path):
    _write_xrays(tmp_path)
    config = dataclasses.replace(recipe("dxc"), data_dir=str(tmp_path))
    task, listing = list_task(config)
    assert task.in_plane_size == 224 and task.multi_label
    assert [len(listing.classes), sum(listing.cases[1].label)] == [8, 0]
    _, listing = list_task(dataclasses.replace(config, labels=14))
    assert [len(listing.classes), sum(listing.cases[1].label)] == [14, 1]


@pytest.fixture
def parsed(monkeypatch):
    """Settings as the command makes them of its flags."""

    def parse(*arguments: str) -> FinetuneConfig:
        flags.FLAGS.unparse_flags()
        flags.FLAGS(["finetune", *arguments])
        return task_flags.run_config(task_flags.recipe_asked_for(flags.FLAGS.task))

    holders = flags.FLAGS.get_key_flags_for_module(finetune)
    before = {holder.name: (holder.value, holder.default) for holder in holders}
    yield parse
    for name, (value, default) in before.items():
        flags.FLAGS.set_default(name, default)
        flags.FLAGS[name].value = value
        flags.FLAGS[name].present = 0


@pytest.mark.parametrize("code", PUBLISHED)
def test_flagfiles_spell_the_recipes_out(code, parsed, tmp_path):
    config = recipe(code)
    width = 32 if config.dimension == 3 else 64
    (scratch,) = (path for path in RECIPES if path.stem == f"finetune_{code}_scratch")
    spelled = parsed(f"--flagfile={scratch}")
    expected = dataclasses.replace(config, learning_rate=1e-3, base_filters=width)
    assert spelled == expected
    (genesis,) = (path for path in RECIPES if path.stem == f"finetune_{code}_genesis")
    weights = tmp_path / "Genesis_Chest_CT.h5"
    weights.touch()
    spelled = parsed(f"--flagfile={genesis}", f"--weights={weights}")
    expected = dataclasses.replace(
        config, learning_rate=1e-3, base_filters=None, weights=str(weights)
    )
    assert spelled == expected
    lines = {Path(path).read_text().count("\n--") for path in (scratch, genesis)}
    assert max(lines) - min(lines) == 1  # the width, which is that of the weights


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_can_stand_in_a_sweep(path, tmp_path):
    if path.stem.startswith("finetune"):
        file = tmp_path / "sweep.toml"
        lines = ["[task.one]", f'flagfile = "{path}"']
        if path.stem.endswith("genesis"):
            lines.append('weights = "scratch"')
        file.write_text("\n".join(lines), encoding="utf-8")
        (run,) = read_sweep(file, tmp_path).runs
        assert run.flags["task"] == path.stem.split("_")[1]


@pytest.mark.parametrize("code", ["ncc", "ncs", "ecc", "lcs", "bms"])
def test_in_two_dimensions_a_task_has_slices_of_its_patch(code, parsed):
    config, own = recipe(code, 2), recipe(code)
    assert config.dimension == 2 and own.dimension == 3
    assert config.patch_size == (*own.patch_size[:2], 1)
    is_classified = own.kind == "classification"
    assert config.slices_per_case == (5 if is_classified else 1)
    assert config.patches_per_case == (1 if is_classified else {"lcs": 32}.get(code, 8))
    same = {"dimension", "patch_size", "slices_per_case", "patches_per_case"}
    for field in dataclasses.fields(config):
        if field.name not in same:
            assert getattr(config, field.name) == getattr(own, field.name)
    assert parsed(f"--task={code}", "--dimension=2") == config
    small = demonstrate(config, SCRATCH)
    assert small.patch_size == (64, 64, 1) and small.dimension == 2
    for asked in ("ncs", "custom"):
        given = ("--dimension=2", "--patch_size=96,64", "--slices_per_case=3")
        if asked == "custom":
            given += ("--manifest=a.csv", "--kind=classification")
            config = parsed(f"--task={asked}", *given)
            assert config.patch_size == (96, 64, 1) and config.slices_per_case == 3


@pytest.mark.parametrize("kind", ["segmentation", "classification"])
def test_slices_of_a_users_own_task(kind, parsed):
    given = ("--task=custom", "--manifest=a.csv", f"--kind={kind}", "--dimension=2")
    config = parsed(*given)
    numbers = (config.slices_per_case, config.patches_per_case)
    assert numbers == {"segmentation": (1, 8), "classification": (5, 1)}[kind]
    # As a flagfile of the run spells it out.
    slices, patches = (
        f"--{n}_per_case={getattr(config, n + '_per_case')}"
        for n in ("slices", "patches")
    )
    assert parsed(*given, slices, patches) == config


@pytest.mark.parametrize("code", PUBLISHED)
def test_without_flags_the_recipe_holds(code, parsed):
    assert parsed(f"--task={code}") == recipe(code)


def test_what_is_given_wins_over_the_recipe(parsed):
    config = parsed(
        *("--task=bms", "--batch_size=2", "--modalities=flair,t1ce", "--spacing="),
        *("--patch_size=32,32,16", "--window=percentile", "--loss=auto", "--trials=1"),
    )
    assert config.batch_size == 2 and config.trials == 1 and config.loss == "auto"
    assert config.modalities == ("flair", "t1ce") and config.spacing is None
    assert config.patch_size == (32, 32, 16) and config.window == "percentile"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task=ncc", "--modalities=t1"], "--modalities goes with --task=bms"),
        (["--task=bms", "--fold=2"], "--fold goes with --task=ecc. Rec.*--task=bms"),
        (["--task=lcs", "--min_readers=3"], "--min_readers goes with --task=ncs"),
        (["--task=ncs", "--nolesions_are_liver"], "--lesions_are_liver goes with"),
        (["--task=ncc", "--where=a=b"], "--where goes with --task=custom"),
        (["--task=lcs", "--kind=classification"], "--task=lcs is a segmentation"),
        (["--task=lcs", "--balanced"], "--balanced=True goes with a classification"),
        (["--task=ncc", "--loss=dice"], "--loss=dice goes with a segmentation"),
        (
            ["--task=ncc", "--patches_per_case=2"],
            "--patches_per_case=2 goes with a seg",
        ),
        (["--task=bms", "--modalities=FLAIR"], "--modalities are out of flair,t1"),
        (["--task=bms", "--modalities=t1,t1"], "names one scan or more, each once"),
        (["--task=bms", "--spacing=nan,1,1"], "--spacing takes 3 positive numbers"),
        (["--task=ncc", "--patch_size="], "a published task has a --patch_size"),
        (["--task=custom"], "--task=custom takes --manifest and --kind"),
        (["--task=dxc", "--labels=9"], "--labels is 8 or 14. Received: --labels=9"),
        (["--task=iuc", "--labels=14"], "--labels goes with --task=dxc"),
        (["--task=dxc", "--balanced"], "--balanced goes with tasks of one class"),
        (["--task=dxc", "--dimension=3"], "--task=dxc learns from pictures"),
        (["--task=ncc", "--slices_per_case=3"], "--slices_per_case goes with --dim"),
        (
            ["--task=ncs", "--dimension=2", "--slices_per_case=3"],
            "--slices_per_case=3 goes with a classification",
        ),
        (["--task=ncc", "--dimension=2", "--slices_per_case=2"], "an odd number"),
        (["--task=ncc", "--dimension=2", "--patch_size=48,48"], "multiples of 32"),
        (["--task=ncc", "--dimension=2", "--patch_size=64,64,32"], "takes 2 "),
    ],
)
def test_settings_that_do_not_fit_the_task_are_refused(parsed, arguments, message):
    with pytest.raises(InputError, match=message):
        parsed(*arguments)


@pytest.mark.parametrize("code", PUBLISHED)
def test_a_folder_without_the_tasks_files_says_where_to_get_them(code, tmp_path):
    for folder in (tmp_path / "none", tmp_path):
        config = dataclasses.replace(recipe(code), data_dir=str(folder))
        with pytest.raises(InputError) as error:
            list_task(config)
        text = str(error.value)
        assert str(folder) in text and PUBLISHED[code].how_to_get in text
        assert "\n" not in text


def test_the_official_arrays_are_taken_as_they_are(tmp_path, rng):
    for part in ("train", "valid", "test"):
        images = rng.random((2, 64, 64, 32)).astype(np.float32)
        np.save(tmp_path / f"x_{part}_64x64x32.npy", images)
        np.save(tmp_path / f"m_{part}_64x64x32.npy", images > 0.5)
    config = dataclasses.replace(recipe("ncs"), data_dir=str(tmp_path))
    _, listing = list_task(config)
    assert [case.split for case in listing.cases][::2] == ["train", "valid", "test"]
    for name, value in (("window", "mr"), ("spacing", (2.0, 2.0, 2.0))):
        other = dataclasses.replace(config, **{name: value})
        with pytest.raises(InputError, match=f"as they are, without --{name}"):
            list_task(other)
