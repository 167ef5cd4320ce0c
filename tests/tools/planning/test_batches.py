"""How batches are cut, by hand and as the stages cut them."""

import pytest

from rlhf.runtime import parallel
from tests.tools.planning.shapes import params
from tools.planning import batches
from tools.planning.batches import Parts, Piece
from tools.planning.rows import Rows

ALIKE = Rows(100, (30,), (10,))  # rows of 40 tokens


def runtime(**values):
    return params().runtime.model_copy(update={"workers": 1, "processes": 1} | values)


@pytest.mark.parametrize(("workers", "most"), [(1, 8), (2, 8), (3, 100), (1, 100)])
def test_parts_are_as_large_as_those_of_the_stages(workers, most):
    parallel.set_workers(workers)
    for rows in (1, 7, 32):
        found = batches.part_size(rows, most, batches.sharing(runtime(workers=workers)))
        assert found == parallel.part_size(rows, most)
    assert batches.part_size(32, 100, batches.sharing(runtime(workers=2, processes=2), num_models=2)) == 16


def test_measures_of_updates_by_hand():
    first = [[Piece(4, 1, 4), Piece(2, 1, 2)], [Piece(3, 3, 5)]]
    assert batches.measured([first, [[Piece(9, 0, 9)]]]) == Parts(
        number=1.5, tokens=6, scored=5 / 3, read=(16 + 4 + 15 + 81) / 18, most=9, most_scored=3
    )
    assert batches.measured([]) == batches.NOTHING


def test_demonstrations_are_packed():
    section = params().sft.model_copy(update={"batch_size": 8, "micro_batch_rows": 2, "max_tokens": 160})
    packed = batches.supervised(ALIKE, section, runtime(), bounds=False)
    assert packed == Parts(number=1, tokens=320, scored=80, read=40, most=320, most_scored=80)  # 4 in each of 2 rows
    alone = batches.supervised(ALIKE, section.model_copy(update={"packing": False}), runtime(), bounds=False)
    assert alone == Parts(number=4, tokens=80, scored=20, read=40, most=80, most_scored=20)
    every = batches.supervised(ALIKE, section.model_copy(update={"lm_coef": 0.5}), runtime(), bounds=False)
    assert every.scored == 320


def test_workers_have_a_part_each():
    section = params().sft.model_copy(update={"batch_size": 8, "micro_batch_rows": 8, "max_tokens": 160})
    found = batches.supervised(ALIKE, section, runtime(workers=2), bounds=False)
    assert (found.number, found.tokens) == (2, 160)


def test_bounds_are_rows_as_long_as_params_allow():
    section = params().sft.model_copy(update={"batch_size": 8, "micro_batch_rows": 4, "max_tokens": 160})
    assert batches.supervised(ALIKE, section, runtime(), bounds=True).most == 640
    reward = params().reward_model.model_copy(update={"batch_size": 4, "micro_batch_rows": 12, "max_tokens": 50})
    found = batches.rewards(ALIKE, ALIKE, reward, runtime(), num_answers=5, bounds=True)
    assert found.most == 10 * 50  # two prompts of five answers


def test_a_prompt_of_several_answers_is_read_once():
    section = params().reward_model.model_copy(update={"batch_size": 4, "micro_batch_rows": 6, "likelihood_coef": 1.0})
    found = batches.rewards(ALIKE, ALIKE, section, runtime(), num_answers=3.0, bounds=False)
    group = 30 + 3 * 10
    assert (found.number, found.tokens, found.scored) == (2, 2 * group, 60)
    assert found.read == pytest.approx((30 * 30 + 30 * 40) / group)
    without = batches.rewards(
        ALIKE, ALIKE, section.model_copy(update={"likelihood_coef": 0.0}), runtime(), 3.0, bounds=False
    )
    assert without.scored == 0


def test_answers_are_their_mean_number():
    section = params().reward_model.model_copy(update={"batch_size": 4, "micro_batch_rows": 100})
    found = batches.rewards(ALIKE, ALIKE, section, runtime(), num_answers=2.5, bounds=False)
    assert found.tokens == 4 * 30 + 10 * 10


def test_windows_hold_rows_of_like_length():
    episodes = [(10, 5), (40, 10), (12, 3), (38, 12)]
    found = batches.windows([episodes], 2, runtime())
    assert found == Parts(
        number=2, tokens=(14 + 14 + 49 + 49) / 2, scored=15, read=(2 * 14 * 15 + 2 * 49 * 50) / 126,
        most=98, most_scored=22,
    )  # fmt: skip


def test_two_models_share_the_workers():
    assert batches.windows([[(5, 5)] * 8], 8, runtime(workers=2), num_models=2).number == 1
    assert batches.windows([[(5, 5)] * 8], 8, runtime(workers=2)).number == 2


def test_alike_rows():
    assert batches.alike(10, 4, 20, 5, runtime()) == Parts(3, 80, 20, 20, 80, 20)
