"""What a stage reads is what DVC reads and compares: no value is taken for another of the same worth, or read twice."""

import copy
from collections import Counter
from collections.abc import Iterator
from datetime import date
from functools import reduce
from operator import getitem
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import dumps_yaml, load_yaml, loads_yaml
from pydantic import create_model

from rlhf.params.base import Params, ParamsError, parse, read_yaml
from tests import toys
from tools import check

EQUAL = (
    (0, False, 0.0, -0.0),
    (1, True, 1.0),
    (2, 2.0),
)  # DVC compares by ==: no change within one of these
TEXTS = (
    "1 1.0 true True yes no on off y n null Null ~ 1e-6 1E5 1.e3 .5 5. +1 -0 017 0o17 0x1F 0b11 1_000 1_000.5 1:30 "
    "1:30:00 2024-01-01 2024-01-01T00:00:00Z .inf -.inf .nan inf nan 1e400 1e-400 08 00 1__0 0o8 '1' '0x1F' \"no\" ''"
)  # fmt: skip


def leaves(value: Any, path: tuple = ()) -> Iterator[tuple]:
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, key))
    else:
        yield path


def test_values_that_are_equal_for_dvc_are_the_same_for_a_stage_or_refused():
    content, taken = read_yaml(toys.REPO / "presets/laptop.yaml"), Counter()
    for path in leaves(content):
        name, *_ = path
        field = check.schema().model_fields[name]
        section: Any = create_model("Section", __base__=Params, **{name: (field.annotation, field)})
        for equal in EQUAL:
            read = set()
            for value in equal:
                changed = {name: copy.deepcopy(content[name])}
                reduce(getitem, path[:-1], changed)[path[-1]] = value
                try:
                    read.add(repr(parse(section, changed, "")))
                except ParamsError as error:
                    assert f"params.yaml: {name}" in str(error)
            assert len(read) <= 1, path
            taken[len(read)] += 1
    assert taken[0] > 200
    assert taken[1] > 200


@pytest.mark.parametrize("text", TEXTS.split())
def test_dvc_and_a_stage_read_a_value_alike(text, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(f"a: {text}\nb:\n- {text}\n")
    ours, dvcs = read_yaml(path), load_yaml(path)
    assert repr(ours["a"]) == repr(dvcs["a"])
    assert repr(ours["b"]) == repr(dvcs["b"])
    if not isinstance(ours["a"], date):  # which params refuse
        assert repr(loads_yaml(dumps_yaml(dvcs))) == repr(dvcs), "dvc.lock keeps what was read"


def test_a_yaml_directive_which_dvc_does_not_heed_is_refused(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("%YAML 1.1\n---\na: no\n")
    assert load_yaml(path) == {"a": "no"}  # YAML 1.1 says False
    with pytest.raises(ParamsError, match="remove the %YAML line"):
        read_yaml(path)


REFUSED = [
    ("ppo.kl_coef", "-0.0", "write 0.0 for -0.0"),
    ("evaluate.temperatures", "[-0.0, 1.0]", "write 0.0 for -0.0"),
    ("ppo.kl_coef", ".nan", "finite number"),
    ("ppo.kl_coef", "1e400", "finite number"),
    ("ppo.kl_coef", "no", "valid number"),
    ("ppo.kl_coef", "true", "valid number"),
    ("ppo.kl_coef", "'1'", "valid number"),
    ("ppo.iterations", "2.0", "valid integer"),
    ("ppo.iterations", "true", "valid integer"),
    ("ppo.iterations", "null", "valid integer"),
    ("sft.packing", "0", "valid boolean"),
    ("sft.packing", "no", "valid boolean"),
    ("feedme.round", "1", "valid string"),
    ("feedme.round", "2024-01-01", "YAML reads a date here; put it in quotes (got 2024-01-01)"),
    ("tracking.experiment", "2024-01-01T10:00:00", "YAML reads a date here"),
]


@pytest.mark.parametrize(("place", "text", "said"), REFUSED)
def test_a_value_of_another_kind_is_refused_by_the_name_of_its_key(place, text, said, tmp_path):
    content = read_yaml(toys.REPO / "presets/tiny.yaml")
    toys.put(content, place, loads_yaml(f"a: {text}\n")["a"])
    mistakes = check.mistakes_in(content, tmp_path)
    assert any(place in mistake and said in mistake for mistake in mistakes), mistakes


SET = [  # what is typed after -S, what a stage then reads; None: refused
    ("ppo.kl_coef=1e-6", 1e-6),
    ("ppo.kl_coef=1", 1),
    ("ppo.kl_coef=no", None),
    ("ppo.kl_coef=inf", None),
    ("ppo.kl_coef=-0.0", None),
    ("sft.packing=no", None),
    ("sft.packing=true", True),
    ("ppo.iterations=017", None),
    ("tracking.experiment=2024-01-01", "2024-01-01"),
    ("tracking.experiment=no", "no"),
    ("tracking.experiment='1e-6'", "1e-6"),
    ("tracking.uri=null", None),
]


@pytest.mark.parametrize(("typed", "expected"), SET)
def test_what_set_param_writes_is_read_alike_or_refused_by_its_key(typed, expected, tmp_path):
    path, place = tmp_path / "params.yaml", typed.partition("=")[0]
    path.write_bytes((toys.REPO / "presets/tiny.yaml").read_bytes())
    apply_overrides(path, [typed])
    ours, dvcs = (reduce(getitem, place.split("."), read(path)) for read in (read_yaml, load_yaml))
    assert repr(ours) == repr(dvcs)
    mistakes = check.check(tmp_path)
    if expected is None and ours is not None:
        assert [mistake for mistake in mistakes if place in mistake], mistakes
    else:
        assert (repr(ours), mistakes) == (repr(expected), [])
