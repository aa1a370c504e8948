"""ranks.py: processes that meet in a folder, with what earlier ones have left there."""

from __future__ import annotations

import json
import threading

import pytest

import ranks
from ranks import Meeting, Ranks


def together(count, work):
    """Call work(rank) in threads, which share nothing but the folder; gives what each returned or raised."""
    found = [None] * count

    def one(rank):
        try:
            found[rank] = work(rank)
        except Exception as error:  # handed to the test
            found[rank] = error

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def talk(folder, count, rank):
    with Meeting(Ranks(rank, count), folder) as meeting:
        first = meeting.gather({"rank": rank, "nan": float("nan") if rank == 9 else 0.1 + rank})
        told = meeting.tell("go on" if rank == 0 else None)
        return first, told, meeting.gather(rank)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_first_gets_what_all_have_and_tells_them(tmp_path, count):
    found = together(count, lambda rank: talk(tmp_path / "meet", count, rank))
    values = [{"rank": rank, "nan": 0.1 + rank} for rank in range(count)]
    assert found[0] == (values, "go on", list(range(count)))
    assert found[1:] == [(None, "go on", None)] * (count - 1)
    assert not (tmp_path / "meet").exists()


def test_what_a_killed_run_has_left_is_not_believed(tmp_path):
    (tmp_path / "token").write_text(json.dumps({"token": "old", "numbers": {"1": "old", "2": "old"}}))
    for name in ("here-1", "here-2", "here-7", "old-1-1", "old-1-2", "old-2-0"):
        (tmp_path / name).write_text('"old"')
    found = together(3, lambda rank: talk(tmp_path, 3, rank))
    assert [value["rank"] for value in found[0][0]] == [0, 1, 2] and found[0][2] == [0, 1, 2]
    assert [one[1] for one in found] == ["go on"] * 3


def test_who_does_not_come_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("FCN_RANKS_TIMEOUT", "0.2")
    for rank, missing in ((0, 1), (1, 0)):
        with pytest.raises(ranks.RanksError, match=f"process {rank} of 2 has waited 0 s for process {missing} in "):
            Meeting(Ranks(rank, 2), tmp_path)


def test_the_environment_says_who_this_is(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert ranks.here() == Ranks(0, 1, 0) and ranks.here().is_first and ranks.gpu_of(ranks.here(), 3) == 3
    for name, value in (("RANK", "5"), ("WORLD_SIZE", "8"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    assert ranks.here() == Ranks(5, 8, 1) and ranks.gpu_of(ranks.here(), 0) == 1
    assert ranks.gpu_of(ranks.here(), None) is None
    for wrong, why in (("8", "RANK is 8 .*WORLD_SIZE 8; want RANK below"), ("x", "RANK is 'x' .*want a whole number")):
        monkeypatch.setenv("RANK", wrong)
        with pytest.raises(ranks.RanksError, match=why):
            ranks.here()


def test_only_the_first_speaks(capsys):
    for rank in (0, 1):
        with ranks.first_speaks(Ranks(rank, 2)):
            print("rank", rank)
    assert capsys.readouterr().out == "rank 0\n"
