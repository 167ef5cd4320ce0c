"""States on disk: their names and order, what is said of those that are not used, and when they go."""

import hashlib
import os
import re
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from rlhf.runs import checkpoints
from rlhf.runtime import distributed
from rlhf.secrets import guard
from tests import toys


def parts(step: int) -> dict:
    return {"kept": {"step": step}}


def keep(made: checkpoints.States, steps, last: bool = False) -> None:
    for step in steps:
        made.keep({"step": step}, parts(step), last=last)


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "deep/states"


@pytest.fixture
def kept(folder) -> checkpoints.States:
    """States of eleven steps, of which the last two are there."""
    made = checkpoints.States(folder, 0.0)
    keep(made, range(1, 12))
    return made


def test_a_name_holds_the_step_and_the_sum_and_the_newest_two_stay(kept, folder):
    assert [name.split(".")[0] for name in names(folder)] == ["00000010", "00000011"]
    for file in folder.iterdir():
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:32]
        assert file.name == f"{file.name[:8]}.{digest}.pt"
    assert checkpoints.States(folder, 0.0).points[-1] == {"step": 11}
    assert kept.key == "states"


def test_a_state_is_whole_on_the_disk_before_it_has_its_name(folder, monkeypatch):
    fsync, replace, done = os.fsync, os.replace, []

    def watched_fsync(number):
        status = os.fstat(number)
        done.append(("folder", None) if stat.S_ISDIR(status.st_mode) else ("file", status.st_size))
        fsync(number)

    def watched_replace(before, after):
        done.append(("name", os.stat(before).st_size))
        replace(before, after)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    keep(checkpoints.States(folder, 0.0), [1])
    (file,) = folder.iterdir()
    size = file.stat().st_size
    assert done == [("file", size), ("name", size), ("folder", None)]


def test_a_damaged_state_is_named_and_set_aside(kept, folder, capsys):
    newest = max(folder.iterdir())
    newest.write_bytes(b"torn")
    assert len(checkpoints.States(folder, 0.0).points) == 10
    assert capsys.readouterr().err == (
        f"WARNING: {newest}: a damaged state (its checksum is not the one in its name); the one before it is used, if "
        "there is one\n"
    )
    assert names(folder)[1] == f"{newest.stem}.damaged"


def test_a_state_that_holds_code_is_named(kept, folder, capsys):
    temporary = folder / "any"
    torch.save({"points": [], "tree": SimpleNamespace()}, temporary)
    digest = hashlib.sha256(temporary.read_bytes()).hexdigest()[:32]
    file = temporary.rename(folder / f"00000012.{digest}.pt")
    assert len(checkpoints.States(folder, 0.0).points) == 11
    reason = "it holds more than tensors and plain values; no code in it was run"
    assert capsys.readouterr().err == (
        f"WARNING: {file}: a damaged state ({reason}); the one before it is used, if there is one\n"
    )


def test_only_the_first_process_sets_damaged_states_aside_and_keeps_new_ones(kept, folder, monkeypatch):
    max(folder.iterdir()).write_bytes(b"torn")
    before = names(folder)
    monkeypatch.setenv("RANK", "1")
    found = checkpoints.States(folder, 0.0)
    keep(found, [11], last=True)
    assert len(found.points) == 11
    found.discard()
    assert names(folder) == before


def test_a_disk_that_refuses_is_named_with_the_step_and_nothing_half_written_stays(kept, folder, monkeypatch, capsys):
    before = names(folder)

    def refuses(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", refuses)
    keep(kept, [12])
    assert capsys.readouterr().err == (
        f"WARNING: {folder}: the state of step 12 could not be kept (no space left); training goes on\n"
    )
    assert names(folder) == before


def test_a_folder_that_cannot_be_made_is_named(folder, monkeypatch, capsys):
    def refuses(*_, **__):
        raise OSError("read-only")

    made = checkpoints.States(folder, 0.0)
    monkeypatch.setattr(Path, "mkdir", refuses)
    keep(made, [1])
    assert capsys.readouterr().err == (
        f"WARNING: {folder}: the state of step 1 could not be kept (read-only); training goes on\n"
    )


def test_a_warning_is_shown_at_once(folder, monkeypatch):
    flushed = []
    monkeypatch.setattr(guard, "print", lambda *_, **named: flushed.append(named["flush"]), raising=False)
    folder.mkdir(parents=True)
    (folder / "00000001.0.pt").touch()
    checkpoints.States(folder, 0.0)
    assert flushed == [True]


def test_an_error_of_our_own_is_no_full_disk(folder):
    with pytest.raises((AttributeError, TypeError, RuntimeError)):
        checkpoints.States(folder, 0.0).keep({}, {"kept": {"f": lambda: None}}, last=True)


def test_told_to_stop_the_step_is_kept_and_the_loop_ended(folder):
    made = checkpoints.States(folder, 1000.0)
    keep(made, [1, 2])
    assert not folder.exists()
    made.stopping = True
    with pytest.raises(KeyboardInterrupt) as stopped:
        keep(made, [3])
    assert str(stopped.value) == "told to stop after step 3"
    assert names(folder)[0].startswith("00000003.")


def test_discarding_removes_a_trainings_states_alone(kept, folder):
    (folder.parent / "states.lock").touch()
    kept.discard()
    kept.discard()
    assert names(folder.parent) == ["states.lock"]
    checkpoints.NONE.discard()
    assert checkpoints.NONE.key == ""


def opened(root, stage: str = "ppo", inputs=(), round_name: str | None = "r1", **params) -> checkpoints.States:
    known = SimpleNamespace(model_dump=lambda mode: {"json": params}[mode])
    return checkpoints.opened(root, stage, known, inputs, round_name)


@pytest.fixture
def repository(root, monkeypatch):
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(checkpoints, "CODE", ("tests/runs",))
    toys.set_param(root, "checkpoints.every_seconds", 7.5)
    return root


def test_states_lie_in_the_main_repository_by_stage_round_and_key(repository, tmp_path, monkeypatch):
    found = opened(repository)
    assert found.every_seconds == 7.5
    assert found.folder == (repository / ".checkpoints/ppo/r1").resolve() / found.key
    assert re.fullmatch("[0-9a-f]{16}", found.key)
    assert names(repository / ".checkpoints/ppo/r1") == [f"{found.key}.lock"]
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "main"))
    other = opened(repository, round_name=None)
    assert other.folder.parent == (tmp_path / "main/.checkpoints/ppo").resolve()


def test_a_key_tells_stages_rounds_params_and_inputs_apart(repository, tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name)
    one, two = tmp_path / "a", tmp_path / "b"
    found = [
        opened(repository), opened(repository, "sft"), opened(repository, round_name="r2"), opened(repository, seed=1),
        opened(repository, round_name=None), opened(repository, inputs=[one]), opened(repository, inputs=[two]),
        opened(repository, inputs=[one, two]), opened(repository, inputs=[two, one]),
    ]  # fmt: skip
    assert len({states.key for states in found}) == len(found)
    key = found[0].key
    del found
    assert opened(repository).key == key


def test_a_key_tells_code_files_apart_by_name_and_content(repository, tmp_path, monkeypatch):
    def key(**files: str) -> str:
        place = tmp_path / f"code{len(keys)}"
        for package in ("one", "two"):
            (place / package / "deep").mkdir(parents=True)
        for name, text in files.items():
            (place / name.replace("__", "/")).with_suffix(".py").write_text(text)
        (place / "one/notes.txt").write_text(place.name)
        monkeypatch.setattr(checkpoints, "REPOSITORY", place)
        monkeypatch.setattr(checkpoints, "CODE", ("one", "two"))
        return opened(repository).key

    keys: list[str] = []
    for files in ({}, {"one__a": "x"}, {"one__b": "x"}, {"two__a": "x"}, {"one__deep__a": "x"}, {"one__a": "y"}):
        keys.append(key(**files))
    assert len(set(keys)) == len(keys)
    assert key(one__a="x") == keys[1], "files of other kinds do not count"


def test_states_of_another_training_are_named_where_none_are_found(repository, capsys):
    place = repository / ".checkpoints/ppo/r1"
    (place / "0123").mkdir(parents=True)
    (place / "4567").mkdir()
    (place / "89.lock").touch()
    found = opened(repository)
    said = capsys.readouterr().out
    assert said.startswith(f"ppo: states of other params, data, code or versions are not used: {place}/")
    assert set(said.strip().partition("r1/")[2].split(", ")) == {"0123", "4567"}
    keep(found, [1], last=True)
    found.lock.release()
    again = opened(repository)
    assert again.points == [{"step": 1}]
    assert capsys.readouterr().out == ""


def test_alone_in_its_folder_a_training_says_nothing(repository, capsys):
    opened(repository)
    assert capsys.readouterr() == ("", "")


def test_a_second_process_is_told_and_keeps_none(repository, capsys):
    first = opened(repository)
    second = opened(repository)
    assert (second.folder, second.lock) == (None, None)
    assert capsys.readouterr().err == (
        "WARNING: ppo: another process runs the same training; this one keeps no states\n"
    )
    first.lock.release()
    assert opened(repository).folder == first.folder


def test_of_several_processes_the_first_holds_the_lock_and_speaks(repository, monkeypatch, capsys):
    first = opened(repository)
    (repository / ".checkpoints/ppo/r1/0123").mkdir()
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(distributed, "gathered", lambda _: [True])
    second = opened(repository)
    assert (second.folder, second.lock) == (first.folder, None)
    assert opened(repository, round_name="r9").lock is None
    assert not (repository / ".checkpoints/ppo/r9").exists()
    monkeypatch.setattr(distributed, "gathered", lambda _: [False])
    assert opened(repository).folder is None
    assert capsys.readouterr() == ("", "")
