"""What `pip install` takes of this repository: the package rlhf, with its templates, and nothing else."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = "from setuptools import build_meta; print(build_meta.build_wheel('dist'))"


def test_the_wheel_holds_the_modules_and_templates_of_rlhf_alone(tmp_path):
    for name in ("rlhf", "stages", "tools", "tests/house", "study"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for suffix in ("j2", "css", "js", "yaml"):
        (tmp_path / "rlhf/evaluation" / f"page.{suffix}").touch()
    wanted = {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "rlhf").rglob("*.*") if path.is_file()}
    subprocess.run([sys.executable, "-c", BUILD], cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").iterdir()
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == wanted
    assert len(wanted) > 100
