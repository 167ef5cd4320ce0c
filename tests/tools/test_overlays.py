"""Overlays: one meaning for presets, ablations, cells of the laboratory and own projects."""

import copy
from typing import Annotated, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from rlhf.params.base import Params, ParamsError
from rlhf.runtime.flat import flatten
from tools import check
from tools.overlays.laying import WHOLE, laid_over, replaced

BASE = {"seed": 1, "ppo": {"kl_coef": 0.1, "kl_controller": {"kind": "fixed", "target": 6.0}}, "list": [1, {"a": 2}]}
SCRATCH = {"pretrain": {"source": "scratch", "shape": "laptop", "sequence_tokens": 96}}
NAMES = st.sampled_from("abc")
VALUES = st.recursive(st.integers(0, 3) | st.none(), lambda inner: st.dictionaries(NAMES, inner, max_size=3))
MAPPINGS = st.dictionaries(NAMES, VALUES, max_size=3)


def test_mappings_merge_and_all_else_is_replaced():
    overlay = {"ppo": {"kl_controller": {"kind": "adaptive"}}, "list": [{"b": 3}], "seed": None, "new": {"c": 4}}
    assert laid_over(BASE, overlay) == {
        "seed": None,
        "ppo": {"kl_coef": 0.1, "kl_controller": {"kind": "adaptive", "target": 6.0}},
        "list": [{"b": 3}],
        "new": {"c": 4},
    }
    assert laid_over(BASE, {"ppo": None})["ppo"] is None
    assert laid_over({"ppo": None}, {"ppo": {"kl_coef": 0.2}}) == {"ppo": {"kl_coef": 0.2}}


@given(MAPPINGS, MAPPINGS)
def test_nested_and_dotted_keys_mean_the_same(base, overlay):
    before = copy.deepcopy((base, overlay))
    dotted = {f"x.{key}": value for key, value in overlay.items()} or {"x": {}}
    assert laid_over(base, {"x": overlay}) == laid_over(base, dotted)
    assert laid_over({"x": base}, {"x.y": overlay}) == laid_over({"x": base}, {"x": {"y": overlay}})
    assert (base, overlay) == before


@given(MAPPINGS, MAPPINGS)
def test_what_an_overlay_names_it_has_and_the_rest_stays(base, overlay):
    found = laid_over(base, overlay)
    leaves = flatten(overlay)
    assert leaves.items() <= flatten(found).items()
    assert laid_over(found, overlay) == found
    for place, value in flatten(base).items():
        if place.split(".")[0] not in overlay:
            assert flatten(found)[place] == value


def test_another_source_replaces_the_section_and_the_same_one_merges():
    local = {"source": "local", "path": "models/mine"}
    dotted = {f"pretrain.{key}": value for key, value in local.items()}
    for overlay in ({"pretrain": local}, dotted):
        assert laid_over(SCRATCH, overlay) == {"pretrain": local}
        assert list(replaced(SCRATCH, overlay)) == ["pretrain"]
    assert laid_over(laid_over(SCRATCH, dotted), {"pretrain.path": "b"}) == {"pretrain": local | {"path": "b"}}
    for same in ({"shape": "tiny"}, {"source": "scratch", "shape": "tiny"}):
        assert laid_over(SCRATCH, {"pretrain": same}) == {"pretrain": SCRATCH["pretrain"] | {"shape": "tiny"}}
        assert list(replaced(SCRATCH, {"pretrain": same})) == []


def test_a_kind_that_decides_about_no_keys_replaces_nothing():
    assert laid_over(BASE, {"ppo.kl_controller.kind": "adaptive"})["ppo"]["kl_controller"]["target"] == 6.0


def unions(schema: type[Params], prefix: str = ""):
    """Yield places and keys of the schema's unions, but for those within lists, which are replaced anyway."""
    for name, field in schema.model_fields.items():
        choices = () if get_origin(field.annotation) is list else get_args(field.annotation)
        annotated = [one for one in choices if get_origin(one) is Annotated]
        fields = [field, *(about for one in annotated for about in one.__metadata__ if isinstance(about, FieldInfo))]
        if found := [one.discriminator for one in fields if one.discriminator]:
            yield f"{prefix}{name}", found[0]
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Params):
            yield from unions(field.annotation, f"{prefix}{name}.")


def test_the_sections_that_are_replaced_are_the_unions_of_the_schema():
    assert dict(unions(check.schema())) == WHOLE


@pytest.mark.parametrize(
    ("overlay", "place"),
    [
        ({"ppo.kl_coef": 1, "ppo": {"kl_coef": 2}}, "ppo.kl_coef"),
        ({"ppo": {"kl_controller.kind": "fixed", "kl_controller": {"kind": "fixed"}}}, "ppo.kl_controller.kind"),
        ({"ppo": None, "ppo.gamma": 1.0}, "ppo"),
    ],
)
def test_a_key_that_is_named_twice_is_refused_by_its_full_path(overlay, place):
    with pytest.raises(ParamsError, match=rf"params\.yaml: {place}: named twice"):
        laid_over(BASE, overlay)
