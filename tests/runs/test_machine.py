"""The machine that a run is recorded with: from /proc/cpuinfo, and without one."""

import os
import platform
from importlib import metadata
from pathlib import Path

import pytest

from rlhf.runs import machine

CPUINFO = """\
processor\t: 0
model name\t: Xeon: the 3rd
flags\t\t: sse2 fma avx512f avx2 rdrand

processor\t: 1
model name\t: another
flags\t\t: amx_bf16
"""
VERSIONS = ("torch", "transformers", "tokenizers", "numpy", "pandas", "scikit-learn", "dvc", "mlflow")


@pytest.fixture
def cpuinfo(tmp_path, monkeypatch) -> Path:
    """The file that stands for /proc/cpuinfo; it is not there yet."""
    file = tmp_path / "cpuinfo"
    monkeypatch.setattr(machine, "Path", {"/proc/cpuinfo": file}.__getitem__)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.39"))
    monkeypatch.setattr(platform, "python_version", lambda: "3.11.9")
    return file


def test_the_first_processor_speaks_for_all(cpuinfo):
    cpuinfo.write_text(CPUINFO, encoding="utf-8")
    assert machine.describe() == {
        "processor": "Xeon: the 3rd",
        "flags": "avx2 fma avx512f",
        "cores": "3",
        "system": "Linux x86_64",
        "libc": "glibc 2.39",
        "python": "3.11.9",
        **{name: metadata.version(name) for name in VERSIONS},
    }


def test_an_arm_processor_names_features_and_no_model(cpuinfo):
    cpuinfo.write_text("processor\t: 0\nFeatures\t: fp asimd evtstrm\n", encoding="utf-8")
    found = machine.describe()
    assert (found["processor"], found["flags"]) == ("x86_64", "asimd")


def test_elsewhere_the_platform_is_asked(cpuinfo, monkeypatch):
    found = machine.describe()
    assert (found["processor"], found["flags"]) == ("x86_64", "")
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    assert machine.describe()["processor"] == "arm"


def test_tags_are_two_lines_and_leave_out_what_is_not_known(cpuinfo, monkeypatch):
    cpuinfo.write_text(CPUINFO, encoding="utf-8")
    monkeypatch.setattr(machine, "LIBRARIES", ("no-such-library",))
    expected = "processor Xeon: the 3rd, flags avx2 fma avx512f, cores 3, system Linux x86_64, libc glibc 2.39"
    assert machine.tags() == {"machine": expected, "versions": "python 3.11.9, no-such-library none"}
    cpuinfo.unlink()
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    line = machine.tags()["machine"]
    assert line.startswith("processor x86_64, cores 3, system Linux x86_64")
