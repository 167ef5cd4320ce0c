"""Records of this pipeline as rows of other tools, so that what was collected or ranked here can be used there.

    python -m tools.exchange data/collect_prompts/comparisons.train.jsonl --as trl --out pairs.jsonl

Forms: trl, openai (JSONL); argilla, label_studio (JSONL of records; JSON list of tasks). As a source of collect_prompts
the file is read back. What a form cannot say is counted and said.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhf.collection.dropped import Dropped
from rlhf.collection.formats.export import FORMS
from rlhf.records.json_values import is_object, parsed
from rlhf.runtime.files import write_text
from rlhf.secrets import guard
from tools.looking import piped

LISTS = {"label_studio"}  # forms whose file is one JSON list


def main(arguments: Sequence[str]) -> int:
    """Write the rows; returns the exit code: 1 where no record has the form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="prompts, demonstrations or comparisons, as a stage has written them")
    parser.add_argument("--as", dest="form", required=True, choices=sorted(FORMS))
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args(arguments)
    rows: list[dict[str, Any]] = []
    dropped, read = Counter[str](), 0
    for number, line in enumerate(chosen.file.read_text(encoding="utf-8").splitlines(), start=1):
        record = parsed(line, f"{chosen.file}: line {number}")
        if not is_object(record) or "messages" not in record or "kind" not in record:
            raise ValueError(f"{chosen.file}: line {number}: expected a prompt, demonstration or comparison")
        read += 1
        try:
            rows += FORMS[chosen.form](record)  # type: ignore[arg-type]
        except Dropped as reason:
            dropped[str(reason)] += 1
    left_out = "".join(f", {count} left out: {reason}" for reason, count in dropped.most_common())
    said = f"{read} records, {len(rows)} rows{left_out}"
    if not rows:
        guard.say(f"{chosen.file}: {said}; nothing was written")
        return 1
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    whole = ["[", ",\n".join(lines), "]"] if chosen.form in LISTS else lines
    write_text(chosen.out, "".join(f"{part}\n" for part in whole))
    print(f"{chosen.out}: {said}")
    return 0


if __name__ == "__main__":
    piped.exit_with(lambda: main(sys.argv[1:]))
