"""What a stage's process notes of its beginning and its end, for those who find its run without one."""

import threading
import time

import pytest

from rlhf.runs import sessions
from rlhf.runs.recording import endings
from rlhf.runs.recording.endings import Ending
from rlhf.runs.stage_name import StageName
from rlhf.runtime.waiting import Waiting


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "finished"),
        (ValueError("bad"), "failed"),
        (KeyboardInterrupt(), "killed"),
        (Waiting("labels"), "killed"),
    ],
)
def test_a_stage_notes_its_beginning_and_how_it_ended(tmp_path, monkeypatch, error, status):
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("DVC_EXP_NAME", "bold-idea")
    monkeypatch.setattr(sessions, "dvc_process", lambda: "host 1 2.00")
    before = time.time_ns() // 1_000_000

    def work():
        with sessions.noted(tmp_path, StageName("ppo", "r1")):
            (begun,) = endings.read(tmp_path)
            assert begun.status == ""
            if error:
                raise error

    if error:
        with pytest.raises(type(error)):
            work()
    else:
        work()
    (found,) = endings.read(tmp_path)
    assert found[:4] == (sessions.own_process(), "host 1 2.00 bold-idea", "ppo/r1", status)
    assert before <= found.moment <= time.time_ns() // 1_000_000


def test_notes_of_ends_lie_in_the_main_repository_and_are_not_kept_for_ever(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "main"))
    monkeypatch.setattr(endings, "MOST", 10)
    identities = (f"host {number} 1.00" for number in range(100))
    monkeypatch.setattr(sessions, "own_process", lambda: next(identities))
    for _ in range(10):
        with sessions.noted(tmp_path / "copy", StageName("sft")):
            pass
    found = endings.read(tmp_path / "main")
    assert found[-1].process == "host 9 1.00"
    assert 2 <= len(found) <= 6
    assert not endings.read(tmp_path / "copy")


def test_who_reads_while_a_note_is_made_reads_all_that_are_there(tmp_path):
    """A recorder that waits for dvc reads as its stage notes its end: without its own note it would leave."""
    for number in range(200):
        endings.note(tmp_path, Ending(f"host {number} 1.00", "session", "sft", "", number))
    ended = threading.Event()

    def write() -> None:
        for number in range(100):
            endings.note(tmp_path, Ending(f"host {number} 1.00", "session", "sft", "finished", number))
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    counts = set[int]()
    while not ended.is_set():
        counts.add(len(endings.read(tmp_path)))
    writer.join()
    assert counts == {200}


def test_a_disk_that_takes_no_note_costs_a_warning(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("DVC_ROOT", raising=False)
    (tmp_path / endings.FILE).mkdir(parents=True)
    with sessions.noted(tmp_path, StageName("sft")):
        pass
    assert capsys.readouterr().err.count("WARNING: sft: its end could not be noted") == 2
