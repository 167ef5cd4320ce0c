"""What bytes depend on besides data, params and code: processor, libraries, threads. Recorded, and compared."""

import os
import platform
from importlib import metadata
from pathlib import Path

FLAGS = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "asimd")  # that choose between kernels
LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "pandas", "scikit-learn", "dvc", "mlflow")


def describe() -> dict[str, str]:
    """Return processor, its flags and number of cores, system, Python and versions of libraries, each as text."""
    fields = _processor()
    flags = fields.get("flags", fields.get("Features", "")).split()
    versions = {name: _version(name) for name in LIBRARIES}
    return {
        "processor": fields.get("model name", platform.processor() or platform.machine()),
        "flags": " ".join(flag for flag in FLAGS if flag in flags),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
        **versions,
    }


def tags() -> dict[str, str]:
    """Return the same in two lines of text, `machine` and `versions`."""
    found = describe()
    own = ("processor", "flags", "cores", "system", "libc")
    return {
        "machine": ", ".join(f"{name} {found[name]}" for name in own if found[name]),
        "versions": ", ".join(f"{name} {value}" for name, value in found.items() if name not in own),
    }


def _processor() -> dict[str, str]:
    """Return the first processor's fields of Linux's /proc/cpuinfo; nothing elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"
