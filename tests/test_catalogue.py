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
    assert set(TASKS) == {"custom", *RELEASED}
    assert recipe("custom") == FinetuneConfig()
    for code, task in PUBLISHED.items():
        small = demonstrate(recipe(code), SCRATCH)
        assert small.trials == 1 and small.base_filters < 32
        assert demonstrate(recipe(code), "weights.keras").base_filters is None
        assert task.metric == ("auc" if task.kind == "classification" else "paper_iou")


@pytest.fixture
def parsed(monkeypatch):
    """Settings as the command makes them of its flags."""

    def parse(*arguments: str) -> FinetuneConfig:
        flags.FLAGS.unparse_flags()
        flags.FLAGS(["finetune", *arguments])
        return task_flags.run_config(recipe(flags.FLAGS.task))

    holders = flags.FLAGS.get_key_flags_for_module(finetune)
    before = {holder.name: (holder.value, holder.default) for holder in holders}
    yield parse
    for name, (value, default) in before.items():
        flags.FLAGS.set_default(name, default)
        flags.FLAGS[name].value = value
        flags.FLAGS[name].present = 0


@pytest.mark.parametrize("code", RELEASED)
def test_flagfiles_spell_the_recipes_out(code, parsed, tmp_path):
    config = recipe(code)
    (scratch,) = (path for path in RECIPES if path.stem == f"finetune_{code}_scratch")
    spelled = parsed(f"--flagfile={scratch}")
    expected = dataclasses.replace(config, learning_rate=1e-3, base_filters=32)
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


@pytest.mark.parametrize("code", RELEASED)
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
    ],
)
def test_settings_that_do_not_fit_the_task_are_refused(parsed, arguments, message):
    with pytest.raises(InputError, match=message):
        parsed(*arguments)


@pytest.mark.parametrize("code", RELEASED)
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
