"""Outlines of LIDC-IDRI are read as the owner's documentation describes them."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from models_genesis_tf.errors import InputError
from models_genesis_tf.tasks.lidc_xml import (
    Contour,
    Outline,
    is_ct_reading,
    read_outlines,
)

# Typed by hand after TCIA's "LIDC XML file documentation" and its annotated example.
READING = """<?xml version="1.0" encoding="UTF-8"?>
<LidcReadMessage uid="1.3.6.1.4.1.14519.5.2.1.6279.6001.1307390687803.0"
  xmlns="http://www.nih.gov" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.nih.gov http://troll.rad.med.umich.edu/lidc.xsd">
<ResponseHeader>
  <Version>1.8.1</Version>
  <MessageId>148851</MessageId>
  <DateRequest>2005-11-03</DateRequest>
  <TimeRequest>12:25:10</TimeRequest>
  <RequestingSite>removed</RequestingSite>
  <ServicingSite>removed</ServicingSite>
  <TaskDescription>Second unblinded read</TaskDescription>
  <CtImageFile>removed</CtImageFile>
  <SeriesInstanceUid>1.2.3.4</SeriesInstanceUid>
  <StudyInstanceUID>1.2.3</StudyInstanceUID>
</ResponseHeader>
<readingSession>
  <annotationVersion>3.12</annotationVersion>
  <servicingRadiologistID>540461523</servicingRadiologistID>
  <unblindedReadNodule>
    <noduleID>Nodule 001</noduleID>
    <characteristics>
      <subtlety>5</subtlety><internalStructure>1</internalStructure>
      <calcification>6</calcification><sphericity>3</sphericity>
      <margin>3</margin><lobulation>3</lobulation><spiculation>4</spiculation>
      <texture>5</texture><malignancy>5</malignancy>
    </characteristics>
    <roi>
      <imageZposition>-125.000000 </imageZposition>
      <imageSOP_UID>1.2.3.4.10</imageSOP_UID>
      <inclusion>TRUE</inclusion>
      <edgeMap><xCoord>2</xCoord><yCoord>1</yCoord></edgeMap>
      <edgeMap><xCoord>8</xCoord><yCoord>1</yCoord></edgeMap>
      <edgeMap><xCoord>8</xCoord><yCoord>7</yCoord></edgeMap>
      <edgeMap><xCoord>2</xCoord><yCoord>7</yCoord></edgeMap>
      <edgeMap><xCoord>2</xCoord><yCoord>1</yCoord></edgeMap>
    </roi>
    <roi>
      <imageZposition>-125.000000 </imageZposition>
      <imageSOP_UID>1.2.3.4.10</imageSOP_UID>
      <inclusion>FALSE</inclusion>
      <edgeMap><xCoord>4</xCoord><yCoord>3</yCoord></edgeMap>
      <edgeMap><xCoord>6</xCoord><yCoord>3</yCoord></edgeMap>
      <edgeMap><xCoord>6</xCoord><yCoord>5</yCoord></edgeMap>
      <edgeMap><xCoord>4</xCoord><yCoord>5</yCoord></edgeMap>
    </roi>
    <roi>
      <imageZposition>-122.500000 </imageZposition>
      <imageSOP_UID>1.2.3.4.11</imageSOP_UID>
      <inclusion>TRUE</inclusion>
      <edgeMap><xCoord>5</xCoord><yCoord>2</yCoord></edgeMap>
      <edgeMap><xCoord>6</xCoord><yCoord>3</yCoord></edgeMap>
      <edgeMap><xCoord>5</xCoord><yCoord>4</yCoord></edgeMap>
      <edgeMap><xCoord>4</xCoord><yCoord>3</yCoord></edgeMap>
      <edgeMap><xCoord>5</xCoord><yCoord>2</yCoord></edgeMap>
    </roi>
  </unblindedReadNodule>
  <unblindedReadNodule>
    <noduleID>Nodule 002</noduleID>
    <roi>
      <imageZposition>-120.000000 </imageZposition>
      <imageSOP_UID>1.2.3.4.12</imageSOP_UID>
      <inclusion>TRUE</inclusion>
      <edgeMap><xCoord>20</xCoord><yCoord>20</yCoord></edgeMap>
    </roi>
  </unblindedReadNodule>
</readingSession>
<readingSession>
  <annotationVersion>3.12</annotationVersion>
  <servicingRadiologistID>anonymous</servicingRadiologistID>
  <nonNodule>
    <nonNoduleID>1003</nonNoduleID>
    <imageZposition>-125.000000 </imageZposition>
    <imageSOP_UID>1.2.3.4.10</imageSOP_UID>
    <locus><xCoord>30</xCoord><yCoord>31</yCoord></locus>
  </nonNodule>
</readingSession>
<readingSession>
  <annotationVersion>3.12</annotationVersion>
  <servicingRadiologistID>anonymous</servicingRadiologistID>
  <unblindedReadNodule>
    <noduleID>IL057_127364</noduleID>
    <roi>
      <imageZposition>-125.000000 </imageZposition>
      <imageSOP_UID>1.2.3.4.10</imageSOP_UID>
      <inclusion>TRUE</inclusion>
      <edgeMap><xCoord>3</xCoord><yCoord>1</yCoord></edgeMap>
      <edgeMap><xCoord>6</xCoord><yCoord>1</yCoord></edgeMap>
      <edgeMap><xCoord>6</xCoord><yCoord>4</yCoord></edgeMap>
      <edgeMap><xCoord>3</xCoord><yCoord>4</yCoord></edgeMap>
    </roi>
  </unblindedReadNodule>
</readingSession>
</LidcReadMessage>
"""
CHEST_XRAY = """<?xml version="1.0" encoding="UTF-8"?>
<IdriReadMessage uid="1.3.6.1" xmlns="http://www.nih.gov/idri">
<ResponseHeader><SeriesInstanceUid>9.9</SeriesInstanceUid></ResponseHeader>
</IdriReadMessage>
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "069.xml"
    path.write_text(text, encoding="utf-8")
    return path


def picture(pixels: np.ndarray, width: int, height: int) -> list[str]:
    """Rows of the slice, from the top, with # where the nodule is."""
    image = np.full((height, width), ".")
    image[pixels[:, 1], pixels[:, 0]] = "#"
    return ["".join(row) for row in image]


def pixels_of(*contours: Contour) -> dict[str, np.ndarray]:
    """What one reader's outline of these contours encloses."""
    return Outline(0, "one", contours).pixels


def drawn(points: list[tuple[int, int]], includes: bool = True) -> Contour:
    return Contour("1", 0.0, includes, np.array(points, np.int64))


def test_outlines_lie_just_outside_and_holes_take_their_outline(tmp_path):
    """The hole's outline is no part of the nodule, which leaves a ring of one pixel."""
    reading = read_outlines(write(tmp_path, READING))
    first = reading.outlines[0]
    assert picture(first.pixels["1.2.3.4.10"], 10, 9) == [
        "..........",
        "..........",
        "...#####..",
        "...#...#..",
        "...#...#..",
        "...#...#..",
        "...#####..",
        "..........",
        "..........",
    ]
    np.testing.assert_array_equal(first.pixels["1.2.3.4.11"], [[5, 3]])
    second = reading.outlines[1].pixels["1.2.3.4.10"]
    np.testing.assert_array_equal(second, [[4, 2], [4, 3], [5, 2], [5, 3]])


def test_what_is_read_is_what_the_file_says(tmp_path):
    reading = read_outlines(write(tmp_path, READING))
    assert reading.series_uid == "1.2.3.4"
    ids = [(outline.reader, outline.nodule_id) for outline in reading.outlines]
    assert ids == [(0, "Nodule 001"), (2, "IL057_127364")]
    first = reading.outlines[0]
    assert [contour.includes for contour in first.contours] == [True, False, True]
    assert first.heights == {"1.2.3.4.10": -125.0, "1.2.3.4.11": -122.5}
    np.testing.assert_array_equal(
        first.contours[1].points, [[4, 3], [6, 3], [6, 5], [4, 5]]
    )


def test_an_outline_that_encloses_nothing_is_left_out(tmp_path):
    line = READING.replace(
        "<edgeMap><xCoord>20</xCoord><yCoord>20</yCoord></edgeMap>",
        "<edgeMap><xCoord>20</xCoord><yCoord>20</yCoord></edgeMap>"
        "<edgeMap><xCoord>21</xCoord><yCoord>20</yCoord></edgeMap>",
    )
    assert line != READING
    assert len(read_outlines(write(tmp_path, line)).outlines) == 2


def test_a_slanted_outline_with_gaps_is_joined_by_straight_lines():
    diamond = pixels_of(drawn([(4, 0), (8, 4), (4, 8), (0, 4)]))["1"]
    assert picture(diamond, 9, 9) == [
        ".........",
        "....#....",
        "...###...",
        "..#####..",
        ".#######.",
        "..#####..",
        "...###...",
        "....#....",
        ".........",
    ]
    steep = pixels_of(drawn([(0, 0), (2, 8), (4, 0)]))["1"]
    assert picture(steep, 5, 9) == [
        ".....",
        ".###.",
        ".###.",
        "..#..",
        "..#..",
        "..#..",
        ".....",
        ".....",
        ".....",
    ]


def test_two_outlines_on_a_slice_both_count():
    apart = pixels_of(
        drawn([(0, 0), (2, 0), (2, 2), (0, 2)]), drawn([(5, 0), (7, 0), (7, 2), (5, 2)])
    )["1"]
    np.testing.assert_array_equal(apart, [[1, 1], [6, 1]])


@pytest.mark.parametrize("inner", [1, 8])
def test_a_disc_comes_back_from_the_pixels_around_it(inner):
    """The outline of a disc is drawn from its outside neighbours, then filled."""
    column, row = np.indices((41, 41)) - 20
    disc = column**2 + row**2 <= (12 + inner / 3) ** 2
    around = ndimage.binary_dilation(disc) & ~disc
    points = np.argwhere(around)
    turn = np.argsort(np.arctan2(points[:, 1] - 20, points[:, 0] - 20))
    found = pixels_of(drawn(points[turn].tolist()))["1"]
    np.testing.assert_array_equal(found, np.argwhere(disc))


def test_files_of_chest_x_rays_are_told_apart(tmp_path):
    assert is_ct_reading(write(tmp_path, READING))
    path = write(tmp_path, CHEST_XRAY)
    assert not is_ct_reading(path)
    with pytest.raises(InputError, match="whole LIDC-IDRI XML.*IdriReadMessage"):
        read_outlines(path)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("</LidcReadMessage>", "", "no element found"),
        ("<SeriesInstanceUid>1.2.3.4</SeriesInstanceUid>", "", "no SeriesInstanceUid"),
        ("<imageSOP_UID>1.2.3.4.11</imageSOP_UID>", "", "no imageSOP_UID"),
        ("<inclusion>FALSE</inclusion>", "<inclusion>no</inclusion>", "inclusion NO"),
        ("<xCoord>8</xCoord>", "<xCoord>eight</xCoord>", "invalid literal for int"),
        ("-122.500000", "high", "could not convert string to float"),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path, old, new, reason):
    assert old in READING
    path = write(tmp_path, READING.replace(old, new))
    with pytest.raises(InputError) as caught:
        read_outlines(path)
    message = str(caught.value)
    assert message.startswith("a CT's outlines are whole LIDC-IDRI XML. Received: ")
    assert str(path) in message and reason in message and "\n" not in message


def test_a_file_that_is_no_xml_is_refused_by_name(tmp_path):
    path = write(tmp_path, "")
    with pytest.raises(InputError, match="whole LIDC-IDRI XML") as caught:
        is_ct_reading(path)
    assert str(path) in str(caught.value)
