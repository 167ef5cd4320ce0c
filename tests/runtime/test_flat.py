"""Nested mappings as dotted names."""

import numpy
import torch

from rlhf.runtime import flat


def test_mappings_are_flattened_and_lists_stay_values():
    nested = {"a": 1, "b": {"c": {"d": [1, {"e": 2}]}, "f": None}, 3: {4: 5}, "empty": {}}
    assert flat.flatten(nested) == {"a": 1, "b.c.d": [1, {"e": 2}], "b.f": None, "3.4": 5}


def test_numbers_of_all_kinds_are_kept_and_nothing_else():
    content = {
        "int": 3, "text": "1", "nested": {"float": 0.5, "none": None}, "yes": True, "tensor": torch.tensor(2.0),
        "array": numpy.float32(0.25), "truth": numpy.bool_(True), "list": [1], "last": 7,
    }  # fmt: skip
    found = flat.flat_numbers(content)
    assert found == {"int": 3.0, "nested.float": 0.5, "tensor": 2.0, "array": 0.25, "last": 7.0}
    assert {type(value) for value in found.values()} == {float}


def test_names_below_others_are_those_with_a_dot_behind_them():
    content = {"a": 1, "a.b": 2, "ab": 3, "c.d.e": 4, "c.f": 5}
    assert flat.below(content, ["a", "c.d"]) == {"a": 1, "a.b": 2, "c.d.e": 4}
    assert flat.below(content, []) == {}


def test_what_differs_has_both_values_in_the_order_of_the_first():
    first, second = {"same": 1.0, "other": 2, "only first": None}, {"only second": 4, "other": 3, "same": 1}
    assert list(flat.differing(first, second).items()) == [
        ("other", (2, 3)), ("only first", (None, "(none)")), ("only second", ("(none)", 4)),
    ]  # fmt: skip
    assert flat.differing({"a": "(none)"}, {}) == {"a": ("(none)", "(none)")}
