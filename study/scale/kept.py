"""metrics/scale.json: plans beside reality, and models in shards beside one process; each command adds its own."""

import json
from pathlib import Path
from typing import Any

from rlhf.runtime.files import write_text

OUT = Path("metrics/scale.json")


def read(root: Path) -> dict[str, Any]:
    """Return what stands there; nothing where nothing was measured yet."""
    return json.loads((root / OUT).read_text(encoding="utf-8")) if (root / OUT).exists() else {}


def write(root: Path, content: dict[str, Any]) -> None:
    """Write all of it, keys in alphabetical order."""
    write_text(root / OUT, json.dumps(content, indent=2, sort_keys=True) + "\n")
