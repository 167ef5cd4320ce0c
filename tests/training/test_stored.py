"""Rows that lie in a file are what was put into them, and a million of them are not held."""

import json
import tracemalloc
from itertools import islice

import pytest
import torch

from rlhf.params.base import parse
from rlhf.params.training.supervised import Supervised
from rlhf.records import records
from rlhf.records.types import Demonstration
from rlhf.runtime import distributed
from rlhf.training import epochs, stored
from rlhf.training.optimisation import MicroBatchLoss, Update
from rlhf.training.stored import Example, Examples
from tests import toys

ROWS = [Example("a", [5, 6, 70_000], [False, True, True]), Example("ü/1", [7], [True]), Example("c", [], [])]


def kept() -> Examples:
    found = Examples()
    for row in ROWS:
        found.append(row)
    return found


def test_examples_come_back_as_they_were():
    found = kept()
    assert [*found] == ROWS == found[:]
    assert [found[number] for number in (0, 1, 2, -1)] == [*ROWS, ROWS[-1]]
    assert found[1:] == ROWS[1:]
    assert isinstance(found[0].ids[0], int)
    assert found[0].assistant_mask[1] is True
    for number in (3, -4):
        with pytest.raises(IndexError):
            found[number]
    found.append(ROWS[0])  # after it was read
    assert [*found] == [*ROWS, ROWS[0]]


def test_a_stream_is_its_pieces_one_after_another():
    assert stored.stream([[1, 2], [], [3]]).tolist() == [1, 2, 3]
    assert stored.stream([]).tolist() == []
    assert stored.stream([[2**40]]).dtype == torch.long


def test_neither_records_nor_tokens_are_held(tmp_path):
    """20,000 records of 200 tokens: as lists these are 60 MB and more."""
    file = tmp_path / "demonstrations.jsonl"
    line = json.dumps(toys.demonstrations(1)[0])
    file.write_text("".join(line + "\n" for _ in range(20_000)))
    example = Example("some/record", [*range(1000, 1200)], [True] * 200)
    tracemalloc.start()
    found, count = Examples(), 0
    for _ in records.Stored(file, Demonstration):
        count += 1
        found.append(example)
    batch = [found[number] for number in range(0, count, 1000)]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == len(found) == 20_000
    assert batch == [example] * 20
    assert most < 3e6  # where the rows end: 24 bytes each


def test_stored_records_are_read_anew_by_everyone(tmp_path):
    file = tmp_path / "demonstrations.jsonl"
    records.write(file, toys.demonstrations(3))
    found = records.Stored(file, Demonstration)
    assert [*found] == [*found] == records.read(file, Demonstration)
    assert len(found) == 3
    assert toys.demonstrations(3)[1] in found
    file.write_text("{}\n")
    with pytest.raises(ValueError, match="line 1: expected a record of kind 'demonstration'"):
        list(found)


@pytest.mark.parametrize("processes", [2, 5])
def test_the_order_of_rows_is_one_of_seed_and_step_and_not_of_processes(processes, monkeypatch):
    """Each process is asked in its turn which rows it would learn from, alone and as one of several."""
    params = supervised_params()
    expected = batches(params, 1)
    assert len({tuple(batch) for batch in expected}) == len(expected) > 4
    assert batches(params, 2) != expected
    monkeypatch.setattr(distributed, "count", lambda: processes)
    for number in range(processes):
        monkeypatch.setattr(distributed, "number", lambda number=number: number)
        assert batches(params, 1) == expected


def supervised_params() -> Supervised:
    content = toys.shrunken_params()["sft"] | {"epochs": 2, "batch_size": 3, "select": "last"}
    return parse(Supervised, {key: content.get(key) for key in Supervised.model_fields}, "sft")


def batches(params: Supervised, seed: int) -> list[list[str]]:
    """Return the records of each update's batch."""
    examples, asked = Examples(), list[list[str]]()
    for number in range(10):
        examples.append(Example(str(number), [1, 2], [True, True]))
    model = torch.nn.Linear(1, 1)

    def losses(batch):
        asked.append([example.record for example in batch])
        return iter([lambda: MicroBatchLoss(model.weight.sum())])

    learning = epochs.Learning(losses=losses, describe=lambda _: {}, validate=dict)
    states = epochs.checkpoints.NONE
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(epochs.optimisation, "step", lambda model, optimiser, losses, most: Update(0.0, 0.0, {}))
        list(islice(epochs.train(model, examples, learning, params, toys.runtime(), seed, states), 20))
    return asked
