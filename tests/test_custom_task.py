"""A manifest becomes cases and classes; what is wrong in it is named with its row."""

from collections import Counter

import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.tasks.base import Task
from models_genesis_tf.tasks.conditions import parse_label_map, parse_where
from models_genesis_tf.tasks.custom import custom_task, read_manifest
from models_genesis_tf.tasks.splits import split_cases

PARTS = ("train", "train", "valid", "test")


@pytest.fixture
def write(tmp_path):
    """Writes a manifest, and an empty file for every path in it."""

    def write_manifest(text: str, **options):
        for cell in text.replace("\n", ",").split(","):
            if cell.strip(' "').endswith((".nii.gz", ".png", ".jpg", ".dcm")):
                path = tmp_path / cell.strip(' "')
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        path = tmp_path / "cases.csv"
        path.write_text(text, **{"encoding": "utf-8", **options})
        return path

    return write_manifest


def names_and_labels(manifest) -> dict[str, str]:
    """The class's name of each case."""
    return {case.name: manifest.classes[case.label] for case in manifest.cases}


def test_label_maps_are_found_beside_the_manifest(write, tmp_path):
    path = write(
        "image,label,patient,split,age\n"
        "images/a.nii.gz,labels/a.nii.gz,anna,Training,40\n"
        "images/b.nii.gz,labels/b.nii.gz,anna,train,\n"
        "images/c.nii.gz,labels/c.nii.gz,carl,val,\n"
        "images/d.nii.gz,labels/d.nii.gz,dora,testing,60\n"
    )
    manifest = read_manifest(path, "segmentation")
    assert [case.name for case in manifest.cases] == ["a", "b", "c", "d"]
    assert [case.patient for case in manifest.cases] == ["anna", "anna", "carl", "dora"]
    assert tuple(case.split for case in manifest.cases) == PARTS
    assert manifest.cases[2].image == tmp_path / "images/c.nii.gz"
    assert manifest.cases[2].label == tmp_path / "labels/c.nii.gz"
    assert manifest.classes == ()
    assert "4 of 4 rows taken" in manifest.notice


def test_a_case_is_its_own_patient_without_a_column(write):
    manifest = read_manifest(
        write("label,image\nyes,a.nii.gz\nno,b.nii.gz\n"), "classification"
    )
    assert [case.patient for case in manifest.cases] == ["a", "b"]
    assert [case.split for case in manifest.cases] == [None, None]
    assert manifest.classes == ("no", "yes")
    assert [case.label for case in manifest.cases] == [1, 0]


def test_absolute_paths_and_folders_are_taken(write, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "series").mkdir(parents=True)
    path = write(f"image,label\n{elsewhere}/series,1\nb.nii.gz,0\n")
    manifest = read_manifest(path, "classification")
    assert manifest.cases[0].image == elsewhere / "series"
    assert manifest.cases[0].name == "series"


def test_pictures_are_named_without_their_suffixes(write, tmp_path):
    path = write("image,label\nx/a.png,m/a.png\nx/b.1.jpg,m/b.png\nx/c.dcm,m/c.png\n")
    manifest = read_manifest(path, "segmentation")
    assert [case.name for case in manifest.cases] == ["a", "b.1", "c"]
    assert manifest.cases[1].image == tmp_path / "x/b.1.jpg"
    assert manifest.cases[1].label == tmp_path / "m/b.png"
    with pytest.raises(InputError, match="images differ in more than their suffix"):
        read_manifest(write("image,label\na.png,0\na.jpg,1\n"), "classification")


def test_images_of_one_name_are_named_by_their_folders(write):
    path = write("image,label\np1/ct.nii.gz,0\np2/ct.nii.gz,1\np2/mr.nii.gz,1\n")
    manifest = read_manifest(path, "classification")
    assert [case.name for case in manifest.cases] == ["p1/ct", "p2/ct", "p2/mr"]
    assert [case.patient for case in manifest.cases] == ["p1/ct", "p2/ct", "p2/mr"]


def test_numbers_are_sorted_as_numbers_and_names_as_names(write):
    rows = "image,label\na.nii.gz,{}\nb.nii.gz,{}\nc.nii.gz,{}\n"
    numbers = read_manifest(write(rows.format(10, 9, -1)), "classification")
    assert numbers.classes == ("-1", "9", "10")
    names = read_manifest(write(rows.format("10", "9", "b")), "classification")
    assert names.classes == ("10", "9", "b")


def test_marks_blank_lines_spaces_and_quotes_are_tolerated(write):
    rows = ["image, label ,note", "", '"a.nii.gz", 1 , "one, two"', "  ", ",,"]
    text = "\n".join([*rows, 'b.nii.gz,0,"2 ""x"""'])
    path = write(text, encoding="utf-8-sig", newline="\r\n")
    manifest = read_manifest(path, "classification")
    assert names_and_labels(manifest) == {"a": "1", "b": "0"}


RATED = (
    "image,label,rating,readers,site\n"
    "a.nii.gz,benign,1.5,4,A\n"
    "b.nii.gz,malignant,3,3,A\n"
    "c.nii.gz,malignant,5.0,3.0,B\n"
    "d.nii.gz,benign,2,2,B\n"
    "e.nii.gz,benign,,4,\n"
)


def test_a_label_map_sorts_by_the_first_condition_that_holds(write):
    manifest = read_manifest(
        write(RATED),
        "classification",
        "rating",
        "<2:low,<=3:middle,>=5:high",
        "rating>0",
    )
    expected = {"a": "low", "b": "middle", "c": "high", "d": "middle"}
    assert names_and_labels(manifest) == expected
    assert manifest.notice == (
        "cases.csv: 4 of 5 rows taken, 1 left out by --where, 0 by --label_map; "
        "classes high (1), low (1), middle (2)"
    )


def test_rows_that_no_condition_names_are_left_out_and_counted(write):
    manifest = read_manifest(
        write(RATED), "classification", "rating", "<3:0,>3:1", "rating>0"
    )
    assert names_and_labels(manifest) == {"a": "0", "c": "1", "d": "0"}
    assert "3 of 5 rows taken, 1 left out by --where, 1 by --label_map" in (
        manifest.notice
    )


def test_texts_are_mapped_by_equality(write):
    manifest = read_manifest(
        write(RATED), "classification", label_map="benign:0, malignant : 1"
    )
    assert names_and_labels(manifest) == dict(zip("abcde", "01100", strict=True))
    assert manifest.classes == ("0", "1")


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("readers>=3", "abce"),
        ("readers>3", "ae"),
        ("readers=3", "bc"),
        ("readers!=3", "ade"),
        ("readers < 3", "d"),
        ("readers<=3,site=B", "cd"),
        ("readers<=3&site!=B", "b"),
        ("site=A", "ab"),
        ("site!=A", "cde"),
        ("rating<9", "abcd"),
        ("", "abcde"),
    ],
)
def test_conditions_choose_rows(write, where, kept):
    manifest = read_manifest(write(RATED), "segmentation", "image", where=where)
    assert "".join(case.name for case in manifest.cases) == kept


def test_a_row_that_is_left_out_may_be_broken(write):
    text = "image,label,split,use\na.nii.gz,1,train,1\n,,,0\nnone,2,dev,0\n"
    more = "b.nii.gz,0,train,1\nc.nii.gz,0,valid,1\nd.nii.gz,1,test,1\n"
    manifest = read_manifest(write(text + more), "classification", where="use=1")
    assert [case.name for case in manifest.cases] == ["a", "b", "c", "d"]
    with pytest.raises(InputError, match="row 3: label=$"):
        read_manifest(write(text + more), "classification")


def test_classes_are_those_that_train(write):
    rows = ["b,train", "a,train", "b,valid", "a,test"]
    lines = [f"{k}.nii.gz,{row}" for k, row in enumerate(rows)]
    header = "image,label,split"
    manifest = read_manifest(write("\n".join([header, *lines])), "classification")
    assert manifest.classes == ("a", "b")
    lines.insert(2, "x.nii.gz,c,valid")
    with pytest.raises(InputError, match="unknown class: .* have a, b. .* row 4: c$"):
        read_manifest(write("\n".join([header, *lines])), "classification")


def test_classes_are_those_of_the_rows_that_train_where_a_part_is_missing(write):
    text = "image,label,split\n1.nii.gz,a,train\n2.nii.gz,b,train\n3.nii.gz,b,test\n"
    assert read_manifest(write(text), "classification").classes == ("a", "b")
    with pytest.raises(InputError, match="the rows that train have a, b.* row 4: c"):
        read_manifest(write(text.replace("b,test", "c,test")), "classification")


GOOD = "image,label,patient,split\na.nii.gz,0,p,train\nb.nii.gz,1,q,train\n"
MANIFEST_ERRORS = {
    "": "a header and a row for each case. .*cases.csv with 0 rows",
    "image,label\n\n": "a header and a row for each case. .*cases.csv with 1 rows",
    "picture,label\nx,1\n": "one column image. .* with the columns picture, label$",
    "image,class\nx,1\n": "one column label. .* with the columns image, class$",
    "image,label,label\nx,1,1\n": "one column label. .* image, label, label$",
    GOOD + "c.nii.gz,1,r\n": "one cell for each of the 4 columns. .* row 4: 3 cells$",
    GOOD + "\nc.nii.gz,1,r,test,\n": "of the 4 columns. .* row 5: 5 cells$",
    GOOD + ",1,r,test\n": "is not empty. .* row 4: image=$",
    GOOD + "c.nii.gz,,r,test\n": "is not empty. .* row 4: label=$",
    GOOD + "c.nii.gz,1,,test\n": "is not empty. .* row 4: patient=$",
    GOOD + "c.nii.gz,1,r,\n": "every row has a split or none .* row 4: split=$",
    GOOD + "c.nii.gz,1,r,dev\n": "one of train, valid, test. .* row 4: split=dev$",
    GOOD + "gone.nii,1,r,test\n": "files of a table exist.* row 4: image=gone.nii$",
    GOOD + "a.nii.gz,1,r,test\n": "here in row 2. .* row 4: image=a.nii.gz$",
    GOOD + "x/../a.nii.gz,1,r,test\n": "here in row 2. .* row 4: image=x/../a.nii.gz$",
    GOOD.replace("0", "1"): "rows that train have two classes or more. Received: 1$",
    GOOD + 'c.nii.gz,1,"r,test\n': "is a csv file. .* row 4: unexpected end of data$",
}


@pytest.mark.parametrize(("text", "message"), MANIFEST_ERRORS.items())
def test_what_is_wrong_is_named_with_its_row(write, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read_manifest(write(text), "classification")
    assert "\n" not in str(caught.value)


def test_a_missing_label_map_is_named_with_its_row(write):
    path = write("image,mask\na.nii.gz,a_mask.nii.gz\nb.nii.gz,b_mask.nii\n")
    with pytest.raises(InputError, match="row 3: mask=b_mask.nii$"):
        read_manifest(path, "segmentation", "mask")


def test_names_that_differ_in_their_suffix_alone_are_refused(write, tmp_path):
    (tmp_path / "a.mha").touch()
    path = write("image,label\na.nii.gz,0\na.mha,1\n")
    with pytest.raises(InputError, match="more than their suffix. .* row 2: image=a$"):
        read_manifest(path, "classification")


def test_a_missing_or_unreadable_manifest_is_named(tmp_path):
    with pytest.raises(InputError, match="--manifest=.*gone.csv .*No such file"):
        read_manifest(tmp_path / "gone.csv", "segmentation")
    (tmp_path / "latin.csv").write_bytes("image,label\nMüller,1\n".encode("latin-1"))
    with pytest.raises(InputError, match="in UTF-8. Received: --manifest=.*latin.csv"):
        read_manifest(tmp_path / "latin.csv", "segmentation")


def test_conditions_that_leave_no_row_are_refused(write):
    with pytest.raises(InputError, match="leaves rows to use. .*0 of 5 rows taken, 5"):
        read_manifest(write(RATED), "classification", where="readers>9")
    with pytest.raises(InputError, match="leaves rows to use. .*5 by --label_map"):
        read_manifest(write(RATED), "classification", label_map="other:1")


def test_a_condition_on_a_column_that_is_not_there_names_those_that_are(write):
    with pytest.raises(InputError, match="one column doctors. .*image, label, rating"):
        read_manifest(write(RATED), "classification", where="doctors>2")


@pytest.mark.parametrize(
    "where", ["n", "n>", ">3", "n>three", "n==3", "n=>3", "a=1,", "a=1&&b=2", "n<2<3"]
)
def test_a_condition_that_cannot_be_read_is_refused(where):
    with pytest.raises(InputError, match=f"--where is .* Received: --where={where}$"):
        parse_where(where)


@pytest.mark.parametrize(
    "label_map", ["<3", "<3:", ":0", "<three:0", "n<3:0", "<3:0,", "!:1", "=:1"]
)
def test_a_label_map_that_cannot_be_read_is_refused(label_map):
    with pytest.raises(InputError, match=f"--label_map is .*--label_map={label_map}$"):
        parse_label_map(label_map)


def test_a_label_map_of_segmentation_is_refused(write):
    with pytest.raises(InputError, match="--label_map=1:2$"):
        read_manifest(write(RATED), "segmentation", label_map="1:2")


def test_a_kind_is_one_of_two(write):
    for refused in (lambda: read_manifest(write(RATED), "x"), lambda: custom_task("x")):
        with pytest.raises(InputError, match="--kind=x$"):
            refused()


def test_a_task_keeps_its_settings():
    task = custom_task("segmentation", "ct", (1.0, 1.0, 2.0), (64, 64, 32))
    assert isinstance(task, Task)
    assert (task.code, task.kind, task.metric) == (
        "custom",
        "segmentation",
        "dice_mean",
    )
    assert (task.window, task.spacing, task.patch_size, task.dimension) == (
        "ct",
        (1.0, 1.0, 2.0),
        (64, 64, 32),
        3,
    )
    assert custom_task("classification").metric == "auc"
    assert custom_task("classification").window == "percentile"


@pytest.mark.parametrize(
    ("setting", "flag"),
    [
        ({"window": "bone"}, "--window=bone"),
        ({"spacing": (1.0, 0.0, 1.0)}, "--spacing="),
        ({"spacing": (1.0, 1.0)}, "--spacing="),
        ({"spacing": (1.0, 1.0, float("nan"))}, "--spacing="),
        ({"patch_size": (64, 60, 32)}, "--patch_size="),
        ({"patch_size": (64, 64, 0)}, "--patch_size="),
        ({"patch_size": (64, 64)}, "--patch_size="),
    ],
)
def test_a_task_of_impossible_settings_is_refused(setting, flag):
    with pytest.raises(InputError, match=f"Received: {flag}"):
        custom_task("segmentation", **setting)


def test_real_manifests_divide_as_they_say(shared_data):
    manifest = read_manifest(shared_data / "hippocampus" / "cases.csv", "segmentation")
    split = split_cases(manifest.cases, 0)
    sizes = [len(part) for part in (split.train, split.valid, split.test)]
    assert sizes == [120, 40, 40]


def test_real_ratings_become_two_classes_in_every_part(shared_data):
    manifest = read_manifest(
        shared_data / "lidc_nodules" / "cases.csv",
        "classification",
        "malignancy_median",
        "<3:0,>3:1",
        "n_readers>=3",
    )
    assert manifest.classes == ("0", "1")
    split = split_cases(manifest.cases, 0)
    for part in (split.train, split.valid, split.test):
        assert min(Counter(case.label for case in part).values()) > 10
