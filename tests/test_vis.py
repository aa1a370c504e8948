"""Palette, overlays, panels, label files."""

import numpy as np
import pytest
from PIL import Image

import vis

PALETTE = vis.make_palette(256)


@pytest.mark.parametrize(("number", "colour"), [
    (0, (0, 0, 0)), (1, (128, 0, 0)), (2, (0, 128, 0)), (3, (128, 128, 0)), (4, (0, 0, 128)),
    (8, (64, 0, 0)), (15, (192, 128, 128)), (20, (0, 64, 128)), (255, (224, 224, 192))])
def test_palette_is_that_of_pascal_voc(number, colour):
    assert tuple(PALETTE[number]) == colour


def test_palette_has_as_many_colours_as_asked_for_and_all_differ():
    assert vis.make_palette(21).shape == (21, 3) and vis.make_palette(0).shape == (0, 3)
    assert len({tuple(colour) for colour in PALETTE}) == 256


def test_color_seg_gives_each_label_its_colour():
    assert vis.color_seg(np.array([[1, 255]]), PALETTE).tolist() == [[[128, 0, 0], [224, 224, 192]]]


def test_vis_seg_blends_objects_and_keeps_the_background():
    image = np.array([[[10, 20, 30], [101, 0, 255]]], np.uint8)
    seen = vis.vis_seg(image, np.array([[0, 1]]), PALETTE)
    assert seen.dtype == np.uint8
    assert seen.tolist() == [[[10, 20, 30], [114, 0, 127]]]  # (101 + 128) / 2 and 255 / 2, cut
    assert vis.vis_seg(image, np.array([[0, 1]]), PALETTE, alpha=1).tolist()[0][1] == [128, 0, 0]
    assert image.tolist() == [[[10, 20, 30], [101, 0, 255]]]


def test_save_label_keeps_the_numbers_and_has_the_palette(tmp_path):
    label = np.array([[0, 1, 20], [255, 2, 3]])
    vis.save_label(tmp_path / "x.png", label)
    with Image.open(tmp_path / "x.png") as image:
        assert image.mode == "P"
        assert np.asarray(image).tolist() == label.tolist()
        assert np.asarray(image.convert("RGB"))[1, 0].tolist() == [224, 224, 192]
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


def test_panel_lays_pictures_side_by_side_with_a_footer():
    red = np.zeros((2, 3, 3), np.uint8)
    seen = vis.panel([red, np.full((4, 1, 3), 9, np.uint8)], np.full((1, 2, 3), 7, np.uint8), gap=1)
    assert seen.shape == (6, 5, 3)  # 3 + gap + 1 wide; 4 + gap + 1 high
    assert seen[:2, :3].max() == 0 and (seen[2:4, :3] == 255).all()
    assert (seen[:4, 4] == 9).all() and (seen[5, :2] == 7).all() and (seen[4] == 255).all()


def test_legend_wraps_to_the_width_and_shows_every_colour():
    entries = [(k, f"class number {k}") for k in range(1, 6)]
    wide, narrow = vis.legend(entries, PALETTE, 1000), vis.legend(entries, PALETTE, 120)
    assert narrow.shape[0] == 5 * wide.shape[0]
    colours = {tuple(colour) for colour in narrow.reshape(-1, 3).tolist()}
    assert {tuple(PALETTE[k].tolist()) for k in range(1, 6)} <= colours
    assert vis.legend([], PALETTE, 50).shape[0] == 0


def test_grid_has_a_row_an_image_and_names_what_occurs():
    image = np.full((10, 8, 3), 50, np.uint8)
    truth, prediction = np.full((10, 8), 255), np.full((10, 8), 2)
    seen = vis.grid([(image, truth, prediction)] * 2, ["background", "a", "b"])
    assert (seen[:10, :8] == 50).all() and (seen[14:24, :8] == 50).all()
    assert (seen[:10, 12:20] == PALETTE[255]).all() and (seen[:10, 24:32] == PALETTE[2]).all()
    assert seen.shape[0] > 24  # the legend
