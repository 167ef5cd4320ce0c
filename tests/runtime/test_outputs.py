"""Metrics and curves: bytes are functions of the values, and what is no number is refused by name."""

import math

import pytest
import torch

from rlhf.runtime import outputs


def test_equal_values_give_equal_bytes_in_any_order_and_number_type(tmp_path):
    first = outputs.write_metrics(tmp_path, "sft", {"loss": 0.5, "by": {"b": 1, "a": 0.25}}).read_bytes()
    values = {"by": {"a": torch.tensor(0.25), "b": 1}, "loss": 0.5 + 1e-9}
    assert outputs.write_metrics(tmp_path, "sft", values).read_bytes() == first


def test_metrics_are_nested_under_stage_and_round(tmp_path):
    path = outputs.write_metrics(tmp_path, "ppo/r1", {"kl": 2.0})
    assert path == tmp_path / "metrics/ppo/r1.json"
    assert path.read_text() == '{\n  "ppo": {\n    "r1": {\n      "kl": 2.0\n    }\n  }\n}\n'


def test_a_curve_keeps_the_order_of_columns_and_leaves_gaps_empty(tmp_path):
    rows = [{"step": 1, "loss": 1 / 3}, {"step": 2, "loss": -1e-12, "validation": 0.5}]
    path = outputs.write_curve(tmp_path, "ppo/r1", rows)
    assert path == tmp_path / "metrics/plots/ppo/r1.csv"
    assert path.read_text() == "step,loss,validation\n1,0.333333,\n2,0.0,0.5\n"


@pytest.mark.parametrize("value", [math.nan, math.inf, None, [1.0]])
def test_what_is_no_finite_number_is_refused_by_name(tmp_path, value):
    with pytest.raises(ValueError, match=r"sft\.by\.x"):
        outputs.write_metrics(tmp_path, "sft", {"by": {"x": value}})
    with pytest.raises(ValueError, match=r"sft\.x"):
        outputs.write_curve(tmp_path, "sft", [{"x": value}])


def test_an_empty_curve_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one row"):
        outputs.write_curve(tmp_path, "sft", [])
