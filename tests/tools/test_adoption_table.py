"""The matrix of adoption: what is committed says nothing wrong, and the documentation's figures are its own."""

import json
import re
from collections import Counter

from tests import toys
from tools.looking import adoption, architectures


def test_no_configuration_is_wrong_and_the_documentation_counts_them():
    found = json.loads((toys.REPO / "metrics/adoption.json").read_text())
    counts = Counter(one["verdict"] for one in found.values())
    assert counts["wrong"] == 0
    assert all(one["worst"] <= adoption.LIMIT for one in found.values() if one["verdict"] == "exact")
    text = " ".join((toys.REPO / "docs/models.md").read_text().split())
    told = re.search(r"\*\*(\d+) of (\d+) configurations are exact\*\* .*?, (\d+) are refused, none is wrong", text)
    expected = (counts["exact"], len(found), counts["refused"])
    assert tuple(map(int, told.groups())) == expected


def test_every_causal_type_that_can_be_made_small_has_its_configuration():
    names = {name.partition(",")[0] for name, _ in architectures.all_of_them()}
    assert {"llama", "qwen3", "gemma3_text", "mistral", "gpt_neo", "mamba", "olmoe", "phi3", "deepseek_v3"} <= names
    assert len(names) > 150
