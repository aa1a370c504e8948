"""Own images: pairs by stem, what labels mean, the class table, what is wrong with labels."""

import numpy as np
import pytest
from own_images import halves, make_pairs, paint
from PIL import Image, ImageFilter

from own import OwnError, page
from own.checker import check_classes, check_files, class_counts, usable
from own.codes import spectrum_of
from own.pairs import find_pairs
from own.panels import draw_finding
from own.splits import draw, given
from own.survey import COLOURS, VALUES, read_codes, survey
from own.table import VOID, propose, read_table, table_text
from vis import make_palette

RED, GREEN, BLUE, WHITE = (230, 25, 75), (60, 180, 75), (0, 130, 200), (255, 255, 255)


def looked(images, labels):
    pairs = find_pairs(images, labels)
    looks = survey(pairs.rows)
    return pairs, looks, spectrum_of(looks)


def found(images, labels, table=None):
    """Findings by kind, and the table."""
    pairs, looks, spectrum = looked(images, labels)
    table = table or propose(spectrum)
    return {finding.kind: finding for finding in check_files(pairs, looks, spectrum, table)}, table


def codes_of(table):
    return [(row.number, row.code) for row in table.rows]


# -- pairs -----------------------------------------------------------------------------------------


def test_pairs_by_stem_whatever_the_endings_and_folders(tmp_path):
    images, labels = make_pairs(tmp_path, {name: halves(1) for name in "abc"})
    (images / "a.jpg").rename(images / "a.JPEG")
    (labels / "deep").mkdir()
    (labels / "b.png").rename(labels / "deep" / "b.png")
    (labels / "c.png").unlink()
    pairs = find_pairs(images, labels)
    assert [(pair.id, pair.image.name, pair.label.name) for pair in pairs.rows] == [
        ("a", "a.JPEG", "a.png"), ("b", "b.jpg", "b.png")]
    assert [path.name for path in pairs.images_alone] == ["c.jpg"] and pairs.labels_alone == ()


def test_marks_of_labelling_tools_are_taken_off(tmp_path):
    images, labels = make_pairs(tmp_path, {name: halves(1) for name in ("x_1", "x_2")})
    for label in list(labels.iterdir()):
        label.rename(labels / f"{label.stem}_mask.png")
    assert [pair.id for pair in find_pairs(images, labels).rows] == ["x_1", "x_2"]


def test_labels_within_the_folder_of_images(tmp_path):
    images, labels = make_pairs(tmp_path, {name: halves(1) for name in "ab"})
    labels.rename(images / "labels")
    assert len(find_pairs(images, images / "labels").rows) == 2


@pytest.mark.parametrize("which, other", [("images", "a.png"), ("labels", "a.bmp")])
def test_two_files_of_one_stem_are_named(tmp_path, which, other):
    folders = make_pairs(tmp_path, {name: halves(1) for name in "ab"})
    Image.new("L", (2, 2)).save(tmp_path / which / other)
    with pytest.raises(OwnError, match=rf"{which}: '.*a\.\w+' and '.*a\.\w+' have one stem, 'a'"):
        find_pairs(*folders)


def test_no_pair_or_one_says_what_the_names_are(tmp_path):
    images, labels = make_pairs(tmp_path, {"one": halves(1), "two": halves(1)})
    (labels / "two.png").rename(labels / "other.png")
    with pytest.raises(OwnError, match=r"1 pair \('one'\) .*want at least 2.*two.jpg.*other.png"):
        find_pairs(images, labels)
    (labels / "one.png").rename(labels / "another.png")
    with pytest.raises(OwnError, match=r"^no pair in .*one.jpg, two.jpg; labels another.png, other.png"):
        find_pairs(images, labels)
    with pytest.raises(OwnError, match="want two folders"):
        find_pairs(images, images)
    with pytest.raises(OwnError, match="--labels '.*nowhere': no such folder"):
        find_pairs(images, tmp_path / "nowhere")


# -- what values and colours mean ----------------------------------------------------------------------


def test_values_with_void(tmp_path):
    label = halves(2)
    label[0] = 1
    label[5] = 255
    findings, table = found(*make_pairs(tmp_path, {"a": label, "b": label}))
    assert codes_of(table) == [(0, 0), (1, 1), (2, 2), (VOID, 255)] and not findings
    assert table.classes == ("background", "class1", "class2") and table.form == VALUES
    numbers, strange = table.labels(label.astype(np.int64))
    assert np.array_equal(numbers, label) and not strange.any()


def test_mask_of_0_and_255_is_two_classes(tmp_path):
    findings, table = found(*make_pairs(tmp_path, {"a": halves(255), "b": halves(255)}))
    assert codes_of(table) == [(0, 0), (1, 255)] and "255 is class 1" in str(findings["mask"])


def test_grey_of_three_channels_is_read_as_one(tmp_path):
    grey = np.repeat(halves(1)[..., None], 3, axis=2)
    findings, table = found(*make_pairs(tmp_path, {"a": grey, "b": grey}))
    assert table.form == VALUES and codes_of(table) == [(0, 0), (1, 1)] and findings["three-channel"].level == "note"


def test_gaps_in_the_numbers_are_closed_and_told(tmp_path):
    findings, table = found(*make_pairs(tmp_path, {"a": halves(3), "b": halves(7)}))
    assert codes_of(table) == [(0, 0), (1, 3), (2, 7)] and table.classes == ("background", "class3", "class7")
    assert "there is no 1, 2, 4, 5, 6 below 7" in str(findings["gaps"])


@pytest.mark.parametrize("void", [WHITE, (224, 224, 192)])
def test_colours_black_first_then_by_size_void_last(tmp_path, void):
    label = halves(1)
    label[:5] = 2
    label[10] = 9
    colours = {1: RED, 2: GREEN, 9: void}
    findings, table = found(*make_pairs(tmp_path, {"a": paint(label, colours), "b": paint(label, colours)}))
    assert table.form == COLOURS and [(row.number, row.name) for row in table.rows] == [
        (0, "background"), (1, "class1"), (2, "class2"), (VOID, "void")]
    codes = read_codes(tmp_path / "labels/a.png", COLOURS)
    assert np.array_equal(table.labels(codes)[0], np.where(label == 9, VOID, label))
    assert findings["three-channel"].level == "note" and draw_finding(findings["three-channel"], table).ndim == 3


def test_palette_files_whose_palettes_differ_are_read_as_colours(tmp_path):
    images, labels = make_pairs(tmp_path, {"a": halves(1), "b": halves(1)})
    for name, palette in (("a", (0, 0, 0, *RED)), ("b", (*RED, 0, 0, 0))):
        label = Image.fromarray(halves(1) if name == "a" else halves(0, left=1))
        label.putpalette(palette)
        label.save(labels / f"{name}.png")
    findings, table = found(images, labels)
    assert table.form == COLOURS and "palettes that differ" in str(findings["palettes"])
    for name in "ab":
        assert np.array_equal(table.labels(read_codes(labels / f"{name}.png", COLOURS))[0], halves(1))


def test_smoothed_labels_have_the_same_classes_and_are_told(tmp_path):
    images, labels = make_pairs(tmp_path, {"a": halves(255, size=(64, 64)), "b": halves(255, size=(64, 64))})
    for path in labels.iterdir():
        Image.open(path).rotate(7).filter(ImageFilter.GaussianBlur(3)).save(path)
    findings, table = found(images, labels)
    assert codes_of(table) == [(0, 0), (1, 255)] and "borders were smoothed" in str(findings["in-between"])
    drawn = draw_finding(findings["in-between"], table)
    assert (drawn == (255, 0, 255)).all(2).any()
    assert not (drawn == make_palette(256)[255]).all(2).any()  # no void here, and none beside the words


def test_a_row_of_a_table_may_have_no_colour():
    drawn = page.table(("class", "IU"), [["cat", "1"], ["mean", "1"]], [(1, 2, 3), None])
    assert drawn.count("swatch") == 1 and "rgb(1,2,3)" in drawn and "<td>mean</td>" in drawn


def test_jpeg_labels_have_the_same_classes_and_are_told(tmp_path):
    label = paint(halves(1, size=(64, 60)), {1: RED})
    label[:20, :17] = BLUE
    findings, table = found(*make_pairs(tmp_path, {"a": label, "b": label}, "jpg", quality=75))
    assert len(table.classes) == 3 and table.near and "JPEG changes values" in str(findings["in-between"])
    numbers, _ = table.labels(read_codes(tmp_path / "labels/a.jpg", COLOURS))
    red = {row.number for row in table.rows if abs((row.code >> 16) - RED[0]) < 8}
    assert (numbers[30:, 40:] == red.pop()).mean() > 0.95


def test_photographs_in_place_of_labels(tmp_path):
    noise = np.random.RandomState(3).randint(0, 256, (40, 40, 3)).astype(np.uint8)
    noise[:20] = 0
    images, labels = make_pairs(tmp_path, {"a": noise, "b": noise})
    with pytest.raises(OwnError, match="only one class"):  # black alone is a surface
        found(images, labels)
    noise[:4] = RED
    findings, _ = found(*make_pairs(tmp_path, {"a": noise, "b": noise}))
    assert "are --images and --labels the wrong way round?" in str(findings["photographs"])


# -- the class table -------------------------------------------------------------------------------------


def test_table_can_be_edited_and_passed_back(tmp_path):
    label = halves(1)
    label[:5] = 2
    images, labels = make_pairs(tmp_path, {name: paint(label, {1: RED, 2: GREEN}) for name in "ab"})
    _, _, spectrum = looked(images, labels)
    path = tmp_path / "classes.txt"
    path.write_text(table_text(propose(spectrum), path))
    assert read_table(path, spectrum) == propose(spectrum)
    path.write_text(path.read_text().replace("class1", "red bus").replace("2     60 180 75 ", "1     60 180 75 "))
    table = read_table(path, spectrum)
    assert table.classes == ("background", "red bus") and [row.number for row in table.rows] == [0, 1, 1]


def test_plain_names_are_classes_0_1_2(tmp_path):
    _, _, spectrum = looked(*make_pairs(tmp_path, {"a": halves(3), "b": halves(3)}))
    path = tmp_path / "names.txt"
    path.write_text("sky\ngrass\ncow\nsheep\n")
    assert read_table(path, spectrum).classes == ("sky", "grass", "cow", "sheep")
    path.write_text("sky\ngrass\n")
    findings, _ = found(tmp_path / "images", tmp_path / "labels", read_table(path, spectrum))
    assert findings["beyond"].level == "error" and "does not name: 3" in str(findings["beyond"])


@pytest.mark.parametrize("text, message", [
    ("0 0 sky\n1 x\n", "line 2: '1 x'"), ("0 0 sky\n2 3 cow\n", "want 0, 1, 2"), ("0 0 a\n1 0 b\n", "is there twice"),
    ("0 0 0 0 a\n1 3 b\n", "some lines have a value, some a colour"),
    ("0 0 0 0 a\n1 9 9 9 b\n", "the labels have values"),
    ("void 0\n0 3\n", "1 class; want two"), ("\n# nothing\n", "no class in it"), ("0 0 0 999 a\n", "from 0 to 255"),
    ("0 0\n255 3\n", "class 255")])
def test_table_with_a_fault_names_it(tmp_path, text, message):
    _, _, spectrum = looked(*make_pairs(tmp_path, {"a": halves(3), "b": halves(3)}))
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(OwnError, match=message):
        read_table(tmp_path / "t.txt", spectrum)


# -- what is wrong -----------------------------------------------------------------------------------------


def test_faults_of_files_each_named_and_drawn(tmp_path):
    images, labels = make_pairs(tmp_path, {name: halves(1) for name in "abcdef"})
    Image.fromarray(halves(1, size=(10, 12))).save(labels / "a.png")
    (labels / "b.png").write_bytes(b"no png")
    (images / "c.jpg").write_bytes((images / "c.jpg").read_bytes()[:400])
    Image.fromarray(np.full((20, 24), 255, np.uint8)).save(labels / "d.png")
    pairs, looks, spectrum = looked(images, labels)
    table = propose(spectrum)
    findings = check_files(pairs, looks, spectrum, table)
    texts = "\n".join(map(str, findings))
    assert "a.png' has 12 x 10 pixels" in texts and "24 x 20" in texts and "b.png': cannot be read" in texts
    assert "c.jpg': cannot be read" in texts and "1 labels are void in every pixel (d)" in texts
    assert [look.pair.id for look in usable(looks, findings)] == ["d", "e", "f"]
    drawn = [draw_finding(finding, table) for finding in findings]
    assert all(picture is None or picture.dtype == np.uint8 for picture in drawn)
    assert sum(picture is not None for picture in drawn) >= 3


def test_labels_all_void_are_refused(tmp_path):
    with pytest.raises(OwnError, match="all are void in every pixel"):
        found(*make_pairs(tmp_path, {name: np.full((9, 9), 255, np.uint8) for name in "ab"}))
    void = paint(halves(1), {0: (224, 224, 192), 1: (224, 224, 192)})
    with pytest.raises(OwnError, match="all are void in every pixel"):
        found(*make_pairs(tmp_path, {name: void for name in "ab"}))


def test_images_of_one_pixel(tmp_path):
    findings, table = found(*make_pairs(tmp_path, {"a": np.array([[1]], np.uint8), "b": np.array([[0]], np.uint8)}))
    assert len(table.classes) == 2 and "the smallest 1 x 1" in str(findings["tiny"])


def test_classes_that_are_rare_or_absent_and_few_images(tmp_path):
    rare = halves(1, size=(60, 60))
    rare[0, 0] = 2
    images, labels = make_pairs(tmp_path, {"a": rare, "b": halves(1), "c": halves(1)})
    _, looks, spectrum = looked(images, labels)
    (tmp_path / "names.txt").write_text("a\nb\nc\nd\n")
    table = read_table(tmp_path / "names.txt", spectrum)
    texts = [str(one) for one in check_classes(table, looks, {"train": ["a", "b"], "val": ["c"]})]
    for part in ("2 images to train on are few", "class 3 'd' occurs in no label", "class 2 'c' has 1 pixels",
                 "class 2 'c' occurs in no validation label"):
        assert any(part in text for text in texts), part


def test_exif_turned_image_fits_its_upright_label(tmp_path):
    images, labels = make_pairs(tmp_path, {"a": halves(1), "b": halves(1)})
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 24)).save(images / "a.jpg", exif=exif)  # upright: 24 wide, 20 high
    findings, _ = found(images, labels)
    assert "size" not in findings


# -- splits ------------------------------------------------------------------------------------------------


def test_drawn_split_is_seeded_and_keeps_classes_on_both_sides(tmp_path):
    images, labels = make_pairs(tmp_path, {f"p{i}": halves(1 + i // 8) for i in range(10)})  # class 2 in p8, p9
    _, looks, spectrum = looked(images, labels)
    counts = {look.pair.id: class_counts(look, propose(spectrum)) for look in looks}
    splits = draw(list(counts), counts, seed=0)
    assert len(splits["train"]) == 8 and sorted(splits["train"] + splits["val"]) == sorted(counts)
    assert len({"p8", "p9"} & set(splits["val"])) == 1 and draw(list(counts), counts, seed=0) == splits


def test_given_lists(tmp_path):
    ids = ["a", "b", "c"]
    (tmp_path / "val.txt").write_text("images/b.jpg\n\n")
    assert given(ids, None, tmp_path / "val.txt") == {"train": ["a", "c"], "val": ["b"]}
    (tmp_path / "val.txt").write_text("b\nzebra\n")
    with pytest.raises(OwnError, match=r"--val-list '.*': 1 of 2 ids have no pair of files: zebra"):
        given(ids, None, tmp_path / "val.txt")
    (tmp_path / "val.txt").write_text("a\nb\nc\n")
    with pytest.raises(OwnError, match="none is left for the other split"):
        given(ids, None, tmp_path / "val.txt")
    with pytest.raises(OwnError, match="No such file"):
        given(ids, tmp_path / "gone.txt", None)
