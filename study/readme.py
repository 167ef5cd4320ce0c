"""Tables of the README that programs write, between <!-- name --> and <!-- /name -->."""

import re
from pathlib import Path

from rlhf.runtime.files import write_text

FILE = Path("README.md")


def put(root: Path, name: str, markdown: str) -> None:
    """Replace what stands between the marks of `name`; where the README has none, nothing happens."""
    path = root / FILE
    if path.exists():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        write_text(path, pattern.sub(lambda found: found[1] + markdown + found[2], path.read_text(encoding="utf-8")))
