"""Known advisories on the lock's packages are found in a folder of OSV records, and others are not."""

import json

import pytest
from packaging.version import Version

from tools import audit

LOCK = """# written by a program
Some.Package==2.4.0        # via other
other==1.0 ; sys_platform == 'linux'  # via rlhf
"""


def record(name="some-package", ecosystem="PyPI", **affected):
    """Return an advisory in the OSV format."""
    package = {"ecosystem": ecosystem, "name": name}
    return {
        "id": "X-1", "modified": "2026-01-02T03:04:05Z", "summary": "It\nbreaks.",
        "affected": [{"package": package, **affected}],
    }  # fmt: skip


def events(*pairs, kind="ECOSYSTEM"):
    return [{"type": kind, "events": [{key: value} for key, value in pairs]}]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "requirements.lock").write_text(LOCK)
    (tmp_path / "database").mkdir()
    return tmp_path


def answer(root, *records):
    """Return the exit code for a database of these records."""
    for number, one in enumerate(records):
        (root / f"database/{number}.json").write_text(json.dumps(one))
    return audit.main([str(root / "database")], root)


def test_a_lock_is_read_by_canonical_names():
    assert audit.locked(LOCK) == {"some-package": Version("2.4.0"), "other": Version("1.0")}


def test_an_advisory_that_applies_is_named_with_its_mending(root, capsys):
    found = record(ranges=events(("introduced", "0"), ("fixed", "2.4.1")))
    assert answer(root, found) == 1
    told = capsys.readouterr().out
    assert "some-package 2.4.0: X-1, mended in 2.4.1: It breaks.\n" in told
    assert "2 packages, 1 advisories on them up to 2026-01-02 (later ones are not known here): 1 apply" in told


@pytest.mark.parametrize(
    ("affected", "applies"),
    [
        ({"versions": ["2.3", "2.4"]}, True),
        ({"versions": ["2.3", "2.4.1", "not a version"]}, False),
        ({"ranges": events(("introduced", "2.4"))}, True),
        ({"ranges": events(("introduced", "2.4.1"))}, False),
        ({"ranges": events(("introduced", "0"), ("fixed", "2.4"))}, False),
        ({"ranges": events(("introduced", "0"), ("last_affected", "2.4"))}, True),
        ({"ranges": events(("introduced", "0"), ("last_affected", "2.3"))}, False),
        ({"ranges": events(("fixed", "2.5"), ("introduced", "2.4"), ("fixed", "1.1"), ("introduced", "0"))}, True),
        ({"ranges": events(("introduced", "0"), ("fixed", "1.1"), ("introduced", "2.5"))}, False),
        ({"ranges": events(("introduced", "0"), kind="GIT")}, False),
    ],
)
def test_versions_and_ranges_are_those_of_the_format(root, affected, applies):
    assert answer(root, record(**affected)) == int(applies)


@pytest.mark.parametrize("changes", [{"name": "some-other"}, {"ecosystem": "npm"}])
def test_other_packages_are_not_meant_and_an_empty_database_is_no_answer(root, capsys, changes):
    assert answer(root, record(**changes, versions=["2.4"])) == 2
    assert "no advisory on any of 2 packages" in capsys.readouterr().err


def test_a_withdrawn_advisory_does_not_count(root):
    withdrawn = record(versions=["2.4"]) | {"withdrawn": "2026-01-03T00:00:00Z"}
    assert answer(root, withdrawn, record(name="other", versions=["0.9"])) == 0


def test_yaml_of_the_packages_folders_is_read(root):
    folder = root / "database/vulns/some-package"
    folder.mkdir(parents=True)
    (folder / "X-2.yaml").write_text(
        "id: X-2\nmodified: 2026-01-02T03:04:05Z\ndetails: It breaks.\naffected:\n"
        "- package: {ecosystem: PyPI, name: some-package}\n  versions: ['2.4']\n"
    )
    assert answer(root) == 1
