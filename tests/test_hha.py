"""HHA from depth: rooms of known planes, holes, faults, and the files that the command makes."""

from __future__ import annotations

import numpy as np
import pytest
import rooms
from PIL import Image

import startup
from data.__main__ import main
from data.nyud import hha_files
from data.nyud.camera import KINECT, NYUD, Camera
from data.nyud.gravity import find_gravity
from data.nyud.hha import geometry, hha
from data.nyud.normals import surface_normals
from data.whole import DataError, is_whole

# A quarter of NYUDv2's frames keeps the tests quick.
SMALL, SIZE = Camera(NYUD.fx / 2, NYUD.fy / 2, NYUD.cx / 2, NYUD.cy / 2), (212, 280)


def degrees_between(a, b):
    return np.degrees(np.arccos(np.clip(np.dot(a, b), -1, 1)))


def noisy(view, sigma, seed=0):
    """Depth as a structured-light camera has it: noise grows with the square of the distance."""
    return view.depth + sigma * view.depth ** 2 * np.random.RandomState(seed).randn(*view.depth.shape)


# --- figures against rooms of known planes ----------------------------------------------------


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (15, 0), (10, 5), (15, -15), (-5, 15)])
def test_oracle_planes_of_a_room(pitch, roll):
    view = rooms.see(SMALL, pitch, roll, size=SIZE)
    found = geometry(noisy(view, 5e-4), SMALL, window=6)
    assert degrees_between(found.gravity, view.gravity) < 0.5
    off = np.abs(found.height - view.height)
    assert off.max() <= 2, "cm"
    wrong = np.abs(found.angle - view.angle)
    plain = rooms.inner(view.part, 3)
    for part in (0, 2, 3, 4, 7):  # floor, three walls, the box's front, where the camera sees enough of them
        there = plain & (view.part == part)
        if there.sum() > 800:
            assert np.median(wrong[there]) <= 1 and np.percentile(wrong[there], 95) <= 2, (part, "degrees")


def test_oracle_a_frame_of_nyud_size():
    view = rooms.see(NYUD, 10, 5)
    found = geometry(noisy(view, 1e-3), NYUD)  # 9 mm at 3 m
    assert np.percentile(np.abs(found.height - view.height), 99) <= 2
    assert np.percentile(np.abs(found.angle - view.angle)[rooms.inner(view.part, 3)], 95) <= 2
    assert degrees_between(found.gravity, view.gravity) < 0.2


def test_an_edge_keeps_the_normals_of_both_sides():
    view = rooms.see(SMALL, 10, 0, size=SIZE)
    angle = geometry(view.depth, SMALL, window=6).angle
    beside = np.zeros(SIZE, bool)  # floor and far wall, one pixel from where they meet
    for col in range(20, SIZE[1] - 20):
        rows = np.flatnonzero((view.part[:-1, col] == 4) & (view.part[1:, col] == 0))
        beside[rows, col] = beside[rows + 1, col] = True
    assert beside.sum() > 100
    assert np.percentile(np.abs(angle - view.angle)[beside], 95) < 2


def test_literal_a_wall_ahead():
    # 2 m ahead, no floor in sight: the camera counts as 130 cm above it
    picture = hha(np.full((30, 40), 2.0), Camera(500, 500, 19.5, 14.5), window=3)
    assert (picture[..., 0] == 155).all() and (picture[..., 2] == 128).all()  # 31000 / 200; 90 + 38
    middle = picture[14:16, :, 1]
    assert (middle == 130).all() and picture[0, 0, 1] == 136 and picture[29, 0, 1] == 124  # 14.5 / 500 * 2 m


def test_literal_a_floor_below_and_the_nearest_depth():
    camera = Camera(100, 100, 20, -40)  # all pixels look down
    depth = np.repeat(1.2 * 100 / (np.arange(30) + 40.0)[:, np.newaxis], 40, axis=1)
    found = geometry(depth, camera, window=3)
    assert np.allclose(found.gravity, (0, 1, 0), atol=1e-6)
    assert np.abs(found.height).max() < 1e-4 and np.abs(found.angle).max() < 1e-3
    near = hha(np.full((30, 40), 0.5), camera, window=3)
    assert (near[..., 0] == 255).all()  # 310 does not fit; anything under 1 m counts as 1 m


def test_ceilings_are_at_218_floors_at_38():
    view = rooms.see(SMALL, 0, 0, size=SIZE)
    picture = hha(view.depth, SMALL, window=6)
    plain = rooms.inner(view.part, 8)
    for part, value in ((0, 38), (1, 218), (4, 128)):
        if (plain & (view.part == part)).any():
            assert np.median(picture[..., 2][plain & (view.part == part)]) == value
    assert (plain & (view.part == 0)).any()


def test_d28_the_floor_is_not_lowered_by_noise():
    view = rooms.see(SMALL, 15, 0, size=SIZE)
    depth = noisy(view, 2e-3)
    rise = -np.einsum("i,hwi->hw", view.gravity, rays(SMALL, SIZE)) * depth
    assert rise.min() < -1.44  # the lowest point of all lies 4 cm under the floor, which is at -1.4
    floor = view.part == 0
    assert abs(np.median(geometry(depth, SMALL, window=6).height[floor])) < 2


def rays(camera, size):
    v, u = np.mgrid[:size[0], :size[1]]
    return np.stack(((u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(size)), -1)


def test_gravity_of_hand_made_normals():
    down = np.array([0.2, 0.95, 0.1]) / np.linalg.norm([0.2, 0.95, 0.1])
    wall = np.cross(down, [0, 0, 1]) / np.linalg.norm(np.cross(down, [0, 0, 1]))
    normals = np.array([down] * 30 + [-down] * 5 + [wall] * 20 + [np.cross(down, wall)] * 20)
    assert degrees_between(find_gravity(normals), down) < 1e-4
    # a lone wall does not say; the camera's own vertical stays
    assert np.allclose(find_gravity(np.array([[0, 0, 1.0]] * 9)), (0, 1, 0))
    # normals that are neither near nor across say nothing at all
    oblique = np.array([[0, 1, 1]]) / np.sqrt(2)
    assert np.allclose(find_gravity(oblique, rounds=((15, 3),)), (0, 1, 0))


def test_normals_of_one_tilted_plane_are_exact():
    camera, want = Camera(200, 200, 20, 15), np.array([0.3, -0.2, 0.8])
    want = want / np.linalg.norm(want)
    x, y = (np.arange(41) - camera.cx) / camera.fx, ((np.arange(31) - camera.cy) / camera.fy)[:, np.newaxis]
    inverse = (want[0] * x + want[1] * y + want[2]) / 1.7
    normals, smooth = surface_normals(inverse, np.ones((31, 41), bool), x, y, 4)
    assert np.allclose(normals, want, atol=1e-6) and np.allclose(smooth, inverse)


# --- what is missing --------------------------------------------------------------------------


@pytest.mark.parametrize("hole", [0.0, np.nan, np.inf, -1.0])
def test_holes_are_filled_and_change_little_around_them(hole):
    view = rooms.see(SMALL, 10, 5, size=SIZE)
    depth = view.depth.copy()
    gone = np.random.RandomState(1).rand(*SIZE) < 0.2
    gone[60:110, 40:100] = True
    depth[gone] = hole
    found = geometry(depth, SMALL, window=6)
    for values in found:
        assert np.isfinite(values).all()
    there = ~gone & rooms.inner(view.part, 3)
    assert np.percentile(np.abs(found.angle - view.angle)[there], 95) < 2
    assert np.abs(found.height - view.height)[~gone].max() < 2
    assert hha(depth, SMALL, window=6).dtype == np.uint8


@pytest.mark.parametrize(("depth", "said"), [
    (np.zeros((20, 30)), "no pixel has a depth"),
    (np.full((20, 30), np.nan), "no pixel has a depth"),
    (np.ones((20, 30, 3)), r"shape \(20, 30, 3\), want \(H, W\)"),
    (np.ones((1, 1)), "at least 2 x 2"),
    (np.eye(1, 600).reshape(20, 30), "too few in every window"),
])
def test_refused(depth, said):
    with pytest.raises(DataError, match=said):
        hha(depth, SMALL, window=2)


@pytest.mark.parametrize("numbers", [(0, 500, 1, 1), (500, -1, 1, 1), (500, 500, float("nan"), 1)])
def test_a_camera_that_cannot_be(numbers):
    with pytest.raises(DataError, match="focal lengths above 0"):
        Camera(*numbers)


def test_the_crop_moves_the_centre():
    assert (NYUD.cx, NYUD.cy) == (KINECT.cx - 40, KINECT.cy - 45) and (NYUD.fx, NYUD.fy) == (KINECT.fx, KINECT.fy)
    whole, part = rooms.see(KINECT, 10, 0, size=(480, 640)), rooms.see(NYUD, 10, 0)
    assert np.allclose(whole.depth[45:470, 40:600], part.depth)


# --- files ------------------------------------------------------------------------------------


def write_depth(path, metres):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.rint(1000 * metres).astype(np.uint16)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Three small depth pictures."""
    for number, pitch in enumerate((0, 8, 12)):
        write_depth(tmp_path / "depth" / f"img_{5001 + number}.png", rooms.see(SMALL, pitch, 3, size=SIZE).depth)
    return tmp_path


WORDS = ["hha", "--camera", str(SMALL.fx), str(SMALL.fy), str(SMALL.cx), str(SMALL.cy), "--window", "6"]


def test_the_command_makes_what_is_missing_and_nothing_else(folder, capsys):
    words = [*WORDS, "--depth", str(folder / "depth"), "--jobs", "2"]
    assert startup.run(lambda: main(words)) == 0
    made = sorted((folder / "hha").glob("*.png"))
    assert [path.name for path in made] == ["img_5001.png", "img_5002.png", "img_5003.png"]
    with Image.open(made[1]) as picture:
        assert picture.mode == "RGB"
        metres = hha_files.read_depth(folder / "depth/img_5002.png")
        assert (np.array(picture) == hha(metres, SMALL, 6)).all()
    made[0].write_bytes(made[0].read_bytes()[:-20])
    made[2].unlink()
    kept = made[1].stat().st_mtime_ns
    assert startup.run(lambda: main(words)) == 0
    assert "3 HHA pictures, 2 of them made now" in capsys.readouterr().out
    assert all(map(is_whole, made)) and made[1].stat().st_mtime_ns == kept
    assert startup.run(lambda: main([*words, "--window", "5"])) == 0  # other settings: other pictures
    assert "3 HHA pictures, 3 of them made now" in capsys.readouterr().out


def test_one_bad_frame_does_not_stop_the_others(folder, capsys):
    write_depth(folder / "depth/img_5002.png", np.zeros(SIZE))
    (folder / "depth/img_5000.png").write_bytes(b"no picture")
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(folder / "depth/img_5009.png")
    assert startup.run(lambda: main([*WORDS, "--depth", str(folder / "depth"), "--jobs", "1"])) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(said) == 1 and "3 of 5 images failed" in said[0]
    assert all(part in said[0] for part in ("img_5000", "img_5002.png': no pixel has a depth", "img_5009", "8 bits"))
    assert {path.name for path in (folder / "hha").glob("*.png")} == {"img_5001.png", "img_5003.png"}


def test_pictures_from_elsewhere_stay(folder):
    (folder / "hha").mkdir()
    theirs = folder / "hha/img_5001.png"
    Image.new("RGB", (8, 8)).save(theirs)
    before = theirs.read_bytes()
    assert hha_files.make_all(folder / "depth", folder / "hha", SMALL, window=6) == (3, 2)
    assert theirs.read_bytes() == before


@pytest.mark.parametrize(("words", "said"), [
    (["--depth", "{}/none"], "has no depth pictures"),
    (["--depth", "{}/depth", "--out", "{}/depth"], "would be overwritten"),
    (["--depth", "{}/depth", "--jobs", "1"], "--camera FX FY CX CY"),
    (["--depth", "{}/depth", "--camera", "0", "1", "1", "1"], "focal lengths above 0"),
])
def test_faults_are_one_line(folder, capsys, words, said):
    assert startup.run(lambda: main(["hha", *(word.format(folder) for word in words)])) == 1
    line = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(line) == 1 and said in line[0]
