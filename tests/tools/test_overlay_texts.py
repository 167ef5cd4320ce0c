"""An overlay over a text: its values are those of `laying.laid_over`, and the comments of both stay."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from rlhf.params.base import ParamsError
from rlhf.runtime.flat import flatten
from tools.overlays.texts import laid_over

BASE = """\
# The base.

seed: 17    # a number

# Why there is a section.
ppo:        # of PPO
  kl_coef: 0.1       # beta
  nested: {low: -1, high: 2}   # a range
  # Above gamma.
  gamma: 1.0
  none:              # nothing

lists:
  - {name: a}        # first
  - name: b
tail: "a # b"   # last
"""
LEAVES = flatten(YAML(typ="safe", pure=True).load(BASE))
SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(0, 1e6) | st.text("ab: #'\"{}", max_size=6)


def over(overlay: str, base: str = BASE) -> list[str]:
    """Return the lines below the head."""
    title, *lines = laid_over(base, overlay, "# title").splitlines()
    assert title == "# title"
    return lines


def test_an_empty_change_keeps_all_but_the_head():
    assert "\n".join(over("preset: x\n")) + "\n" == BASE.removeprefix("# The base.\n").replace(
        "none:     ", "none: null"
    )


def test_a_value_is_exchanged_and_the_comment_stays_in_its_column():
    lines = over("ppo:\n  kl_coef: 0.05\n  nested: {high: 30}\n  none: 1\n")
    assert "  kl_coef: 0.05      # beta" in lines
    assert "  nested: {low: -1, high: 30}  # a range" in lines
    assert "  none: 1            # nothing" in lines


def test_the_overlays_comments_take_the_place_of_those_they_stand_for():
    lines = over("# Head.\npreset: x\n# New above.\nppo.gamma: 0.9  # new behind\nseed: 3  # another\n")
    assert lines[:2] == ["# Head.", ""]
    assert "  # New above." in lines
    assert "  # Above gamma." not in lines
    assert "  gamma: 0.9    # new behind" in lines
    assert "seed: 3     # another" in lines
    assert "# Why there is a section." in lines


def test_blocks_are_moved_to_their_depth_with_the_comments_within():
    lines = over(
        "ppo.kl_coef:    # a list now\n  # within\n  - a: 1   # one\n    b: [2,\n      3]\n  - 4\nnew.deep: {a: [1]}\n"
    )
    start = lines.index("  kl_coef:           # a list now")
    assert lines[start + 1 : start + 6] == [
        "    # within",
        "    - a: 1   # one",
        "      b: [2,",
        "        3]",
        "    - 4",
    ]
    assert lines[-2:] == ["new:", "  deep: {a: [1]}"]
    lines = over("ppo:\n  gamma:\n    - 1\n    - b: 2\n      c: 3\n")
    assert lines[lines.index("  gamma:") + 1 :][:3] == ["    - 1", "    - b: 2", "      c: 3"]
    text = over("lists:\n  key: |\n    two\n    lines\n  other: 1\ntail: 'x'\n")
    assert text[text.index("lists:") :] == [
        "lists:",
        "  key: |",
        "    two",
        "    lines",
        "  other: 1",
        "tail: 'x'       # last",
    ]


def test_braces_over_several_lines_and_empty_nulls_are_read():
    lines = over("ppo: {kl_coef: 0.5,\n  nested: {low: [0,\n    1]}}\nlists:\n  - name: c\n    limit:\nseed: 2\n")
    assert "  kl_coef: 0.5       # beta" in lines
    assert lines[lines.index("lists:") :][1:3] == ["  - name: c", "    limit:"]
    assert "seed: 2     # a number" in lines


def test_a_section_of_another_source_is_replaced_with_its_comments():
    base = "pretrain:\n  source: scratch   # scratch | local\n  shape: tiny   # of a model\n\nsft: 1\n"
    assert over("pretrain:\n  path: a/b   # mine\n  source: local\n", base)[1:] == [
        "pretrain:", "  path: a/b   # mine", "  source: local", "", "sft: 1"
    ]  # fmt: skip
    assert over("pretrain.source: scratch\n", base)[1:] == base.splitlines()


@pytest.mark.parametrize("overlay", ["ppo: &a {gamma: 1.0}\nseed: 1\n", "ppo:\n  kl_coef: &b 2\n  gamma: *b\n"])
def test_anchors_are_refused(overlay):
    with pytest.raises(ParamsError, match="anchors and aliases"):
        over(overlay)


def test_a_key_that_is_named_twice_is_refused():
    with pytest.raises(ParamsError, match=r"ppo\.gamma: named twice"):
        over("ppo.gamma: 1.0\nppo:\n  gamma: 0.5\n")


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(LEAVES)), SCALARS, max_size=4), st.booleans())
def test_any_change_of_values_keeps_every_comment(changes, are_marked):
    """That the values are those of the overlay is asserted within."""
    mark = "   # changed" if are_marked else ""
    text = laid_over(BASE, "".join(f"{key}: {json.dumps(changes[key])}{mark}\n" for key in changes) or "{}", "# title")
    assert text.count("# changed") == len(changes) * are_marked
    kept = {"# Why there is a section.", "# of PPO", "# a range", "# Above gamma."}
    behind = {"seed": "# a number", "ppo.kl_coef": "# beta", "ppo.none": "# nothing", "tail": "# last"}
    kept |= {"# first"} - {"# first" for key in changes if key == "lists"}
    kept |= {comment for key, comment in behind.items() if key not in changes or not are_marked}
    assert [comment for comment in kept if comment not in text] == []
