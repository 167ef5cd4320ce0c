"""Atomic files and folders."""

import pytest

from rlhf.runtime import files
from tests import toys


def fail_half_way(target):
    with files.new_folder(target) as folder:
        (folder / "weights.half").write_text("half")
        raise RuntimeError("disk full")


def test_a_failing_block_leaves_the_old_folder_as_it_was(tmp_path):
    target = tmp_path / "model"
    with files.new_folder(target) as folder:
        (folder / "weights").write_text("old")
    with pytest.raises(RuntimeError):
        fail_half_way(target)
    assert toys.file_bytes(target) == {"weights": b"old"}


@pytest.mark.parametrize("place", ["folder", "folder/absent\0", "folder/" + 255 * "a"])
def test_a_text_that_cannot_be_written_leaves_nothing_behind(tmp_path, place):
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    with pytest.raises((OSError, ValueError)):
        files.write_text(tmp_path / place, "text")
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "inner"]


def test_a_new_folder_replaces_the_old_one_whole(tmp_path):
    target = tmp_path / "deep" / "model"
    with files.new_folder(target) as folder:
        (folder / "obsolete").write_text("old")
        assert not target.exists()
    with files.new_folder(target) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "weights").write_text("new")
    assert [str(path.relative_to(target)) for path in sorted(target.rglob("*"))] == ["inner", "inner/weights"]
    assert list(target.parent.iterdir()) == [target]


def test_what_a_killed_process_left_does_not_get_into_the_next_folder(tmp_path):
    target = tmp_path / "model"
    with pytest.raises(RuntimeError):
        fail_half_way(target)
    with files.new_folder(target) as folder:
        (folder / "weights").write_text("x")
    assert [path.name for path in target.iterdir()] == ["weights"]


def test_files_of_a_folder_can_be_read_by_others(tmp_path):
    with files.new_folder(tmp_path / "model") as folder:
        (folder / "weights").write_text("x")
        (folder / "weights").chmod(0o600)
    assert (tmp_path / "model/weights").stat().st_mode & 0o777 == 0o644


def test_text_is_written_whole_with_its_own_line_ends(tmp_path):
    path = tmp_path / "new" / "file.txt"
    files.write_text(path, "一\r\ntwo\n")
    files.write_text(path, "三\n")
    assert path.read_bytes() == "三\n".encode()
    assert list(path.parent.iterdir()) == [path]


def test_json_that_is_no_json_is_refused_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "metrics.json"
    files.write_json(path, {"loss": 1.0})
    with pytest.raises(ValueError):
        files.write_json(path, {"loss": float("nan")})
    assert path.read_text() == '{\n  "loss": 1.0\n}\n'


@pytest.mark.parametrize("name", ["made", ".made.partial"])
def test_a_link_is_refused_before_the_block_and_what_it_points_to_stays(tmp_path, name):
    (tmp_path / "another").mkdir()
    (tmp_path / "another/kept").touch()
    (tmp_path / name).symlink_to(tmp_path / "another")
    with pytest.raises(ValueError, match=f"{name} is a link to .*another"), files.new_folder(tmp_path / "made"):
        pytest.fail("it began")
    assert [path.name for path in (tmp_path / "another").iterdir()] == ["kept"]
