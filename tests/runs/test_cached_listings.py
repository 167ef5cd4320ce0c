"""What DVC's cache says of a path is what its bytes would say, where they lie as dvc.lock lists them."""

import json

import pytest

from rlhf.runs import cached_listings, lineage


@pytest.fixture
def outs(tmp_path):
    """Return {path: md5} of two folders and a file below data/, whose listings are in the cache."""
    files = {"data/ppo/r1/a": "1", "data/ppo/r1/b/c": "2", "data/ppo/r2/a": "3", "data/ppo/r1.json": "4"}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    outs = {path: lineage.dvc_md5(tmp_path / path) for path in ("data/ppo/r1", "data/ppo/r2", "data/ppo/r1.json")}
    for path, md5 in outs.items():
        listing = tmp_path / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
        listing.parent.mkdir(parents=True, exist_ok=True)
        own = [name for name in files if name.startswith(f"{path}/")]
        entries = [{"md5": lineage.dvc_md5(tmp_path / name), "relpath": name[len(path) + 1 :]} for name in own]
        listing.write_text(json.dumps(entries))
    return outs


@pytest.mark.parametrize("path", ["data/ppo", "data/ppo/r1", "data/ppo/r1/b", "data/ppo/r1/b/c", "data/ppo/r1.json"])
def test_a_path_in_outputs_or_around_them_has_the_md5_of_its_bytes(tmp_path, outs, path):
    before = lineage.dvc_md5(tmp_path / path)
    (tmp_path / "data/ppo/r1/a").write_text("changed since")
    assert cached_listings.md5_of(tmp_path, path, outs) == before


def test_what_the_cache_lacks_is_not_known(tmp_path, outs):
    assert cached_listings.md5_of(tmp_path, "data/ppo", outs | {"data/ppo/r3": "0" * 32 + ".dir"}) is None
