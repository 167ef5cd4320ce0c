"""What the planner's tests share: a shape small enough for sums by hand, and the params of presets."""

from functools import cache
from typing import Any

from rlhf.params.base import read_yaml
from tests import toys
from tools import check
from tools.planning.sizes import Dimensions

# a layer: 8 x 8 queries, 8 x 4 keys, 8 x 4 values, 8 x 8 out, twice 8 x 16 and 16 x 8 = 576 weights in products
SMALL = Dimensions(
    layers=2, width=8, inner=16, queries=2, keys=1, head=4, vocab=10, context=0, gated=True, tied=True
)  # fmt: skip


@cache
def params(preset: str = "tiny") -> Any:
    """Return the params of a preset."""
    return check.whole(read_yaml(toys.REPO / f"presets/{preset}.yaml"))


def changed(preset: str, **values: Any) -> Any:
    """Return the params of a preset with other values, by their dotted keys with __ for the dot."""
    found = params(preset)
    for key, value in values.items():
        section, name = key.split("__")
        found = found.model_copy(update={section: getattr(found, section).model_copy(update={name: value})})
    return found
