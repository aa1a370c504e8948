"""SBD's labels as palette PNGs: the same numbers, VOC's colours, and no loss when one of them is broken."""

from __future__ import annotations

from pathlib import Path

import miniatures
import numpy as np
import pytest
import scipy.io
from PIL import Image

import startup
from data import __main__ as cli
from data.sbdd import convert as sbd
from data.whole import DataError
from vis import make_palette

REAL = Path(__file__).resolve().parent.parent.parent / "shared/data/VOC2011"


@pytest.fixture
def folder(tmp_path):
    """A small SBD with both kinds of labels."""
    folder = miniatures.sbdd(tmp_path)
    rng = np.random.RandomState(7)
    for mat in sorted((folder / "cls").glob("*.mat")):
        miniatures.save_mat(folder / "inst" / mat.name,
                            GTinst={"Segmentation": rng.randint(0, 9, (33, 41)).astype(np.uint8)})
    return folder


def segmentation(mat):
    return scipy.io.loadmat(mat)[f"GT{mat.parent.name}"][0]["Segmentation"][0]


def test_pngs_have_the_numbers_and_vocs_palette(folder):
    assert sbd.convert(folder) == 12
    mats = sorted(folder.glob("*/*.mat"))
    for mat in mats:
        with Image.open(mat.with_suffix(".png")) as image:
            assert image.mode == "P" and image.getpalette() == make_palette(256).ravel().tolist()
            assert np.array_equal(np.asarray(image), segmentation(mat))
    assert len(mats) == 12


def test_conversion_goes_on_and_leaves_what_is_whole(folder):
    sbd.convert(folder, ["cls"])
    pngs = sorted((folder / "cls").glob("*.png"))
    before = [png.stat().st_mtime_ns for png in pngs]
    pngs[2].write_bytes(pngs[2].read_bytes()[:30])  # of a process that was killed
    (folder / "cls/.x.png.999999999.part").write_bytes(b"left over")
    assert sbd.convert(folder, ["cls"]) == 1
    assert [png.stat().st_mtime_ns == old for png, old in zip(pngs, before)] == [True, True, False, True, True, True]
    assert not list((folder / "cls").glob(".*"))


def test_broken_labels_are_named_and_the_others_done(folder, monkeypatch):
    mats = sorted((folder / "cls").glob("*.mat"))
    mats[0].write_bytes(mats[0].read_bytes()[:100])
    miniatures.save_mat(mats[1], GTcls={"Boundaries": 1})
    miniatures.save_mat(mats[2], GTcls={"Segmentation": np.full((2, 2), 256, np.uint16)})
    monkeypatch.setattr(sbd, "AT_ONCE", 2)
    for workers in (1, 2):
        with pytest.raises(DataError, match="^3 of .* labels cannot be converted") as caught:
            sbd.convert(folder, ["cls"], workers)
        said = str(caught.value)
        assert f"{mats[0]}' cannot be read" in said and f"{mats[1]}' has no GTcls.Segmentation" in said
        assert f"{mats[2]}' has numbers from 256 to 256; want 0 to 255" in said
        assert [mat.with_suffix(".png").exists() for mat in mats] == [False] * 3 + [True] * 3
    with pytest.raises(DataError, match="nowhere/cls' has no .mat files; `python -m data get sbd`"):
        sbd.convert(folder / "nowhere")


def test_command(folder, capsys):
    words = ["convert", "sbd", "--dir", str(folder), "--kind", "inst", "--jobs", "1"]
    assert startup.run(lambda: cli.main(words)) == 0
    assert "6 labels converted now" in capsys.readouterr().out
    assert not list((folder / "cls").glob("*.png")) and len(list((folder / "inst").glob("*.png"))) == 6


@pytest.mark.data
@pytest.mark.skipif(not REAL.is_dir(), reason=f"no photographs in {REAL}")
def test_real_labels_come_back_as_they_were(tmp_path):
    paths = sorted((REAL / "SegmentationClass").glob("*.png"))
    ids = (REAL / "ImageSets/Segmentation/seg11valid.txt").read_text().split()
    for name in ids:
        with Image.open(REAL / "SegmentationClass" / f"{name}.png") as image:
            label = np.asarray(image)
        miniatures.save_mat(tmp_path / "cls" / f"{name}.mat", GTcls={"Segmentation": label})
        sbd.convert_one(tmp_path / "cls" / f"{name}.mat")
        with Image.open(tmp_path / "cls" / f"{name}.png") as image:
            assert np.array_equal(np.asarray(image), label), name
    assert len(paths) >= len(ids) == 101
