"""How much text a model of this size wants, beside what it is given (Hoffmann et al. 2022)."""

from collections.abc import Iterator
from typing import Any

from tools.planning.rows import Known
from tools.planning.sizes import Dimensions

TOKENS_A_WEIGHT = 20  # where compute is best spent (Hoffmann et al. 2022, "Chinchilla")
REPEATED = 4  # epochs over the same text that teach as much as new text (Muennighoff et al. 2023)
UNITS = {1e24: "Y", 1e21: "Z", 1e18: "E", 1e15: "P", 1e12: "T", 1e9: "G", 1e6: "M", 1e3: "k"}


def lines(params: Any, sizes: Dimensions, known: Known) -> Iterator[str]:
    """Yield what the model wants of pretraining text, and what it gets."""
    wanted = TOKENS_A_WEIGHT * sizes.policy()
    yield f"data: {TOKENS_A_WEIGHT} tokens a weight (Hoffmann et al. 2022) are {short(wanted)}"
    section = params.pretrain
    if section.source != "scratch":
        yield f"  the model is adopted ({section.source}): others have trained it, nothing of this is needed here"
        return
    given = section.tokens
    yield f"  pretrain.tokens {short(given)}: {given / wanted:.2g} of that"
    if known.documents:
        epochs = given / known.documents
        more = "" if epochs <= REPEATED else f"; beyond {REPEATED} they teach little (Muennighoff et al. 2023)"
        yield f"  the documents hold {short(known.documents)}, read {epochs:.2g} times{more}"


def short(number: float) -> str:
    """Return a number in three figures with its unit of thousands."""
    for size, unit in UNITS.items():
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"
