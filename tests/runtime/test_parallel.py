"""Parts of a batch computed side by side: the same results in the same order, whatever the threads do."""

import threading

import pytest
import torch

from rlhf.params.ppo import Ppo
from rlhf.params.reward_model import RewardModel
from rlhf.params.sft import SftInputs
from rlhf.preferences import preference_training
from rlhf.rl import updates
from rlhf.runtime import parallel
from rlhf.training import language_modelling, optimisation, supervised
from stages import ppo
from tests import toys

RUNTIME = toys.runtime()


def test_parts_are_computed_at_once_and_come_back_in_their_order():
    parallel.set_workers(3)
    meeting = threading.Barrier(3, timeout=30)  # breaks unless three parts are under way together

    def wait(part: int) -> int:
        meeting.wait()
        return part * part

    assert list(parallel.each(wait, range(6))) == [0, 1, 4, 9, 16, 25]


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("num_parts", [0, 1, 5, 6])
def test_several_processes_share_the_parts_and_each_hears_of_all_in_their_order(monkeypatch, processes, num_parts):
    """Every process is asked in turn, with what the others would send; results of equal kind must not change places."""
    parts, computed = range(10, 10 + num_parts), []
    for number in range(processes):
        monkeypatch.setattr(parallel.distributed, "number", lambda number=number: number)
        monkeypatch.setattr(parallel.distributed, "count", lambda: processes)
        mine = [part for part, counts in parallel.dealt(parts) if counts]
        computed.append(mine)
        sent = [[part * part for part in parts[other::processes]] for other in range(processes)]

        def gathered(results: list, mine=mine, sent=sent) -> list[list]:
            assert results == [part * part for part in mine]
            return sent

        monkeypatch.setattr(parallel.distributed, "gathered", gathered)
        assert list(parallel.each(lambda part: part * part, parts)) == [part * part for part in parts]
    assert sorted(part for share in computed for part in share) == list(parts)
    assert max(map(len, computed)) - min(map(len, computed)) <= 1


@pytest.mark.parametrize("num_parts", [1, 4, 6])
def test_in_step_every_process_computes_as_many_parts_and_counts_those_that_are_its_own(monkeypatch, num_parts):
    """What is computed for the sake of the others must be heard of by nobody."""
    parts, counted = range(num_parts), []
    monkeypatch.setattr(parallel, "_in_step", True)
    monkeypatch.setattr(parallel.distributed, "count", lambda: 3)
    computed = []
    for number in range(3):
        monkeypatch.setattr(parallel.distributed, "number", lambda number=number: number)
        heard = []
        monkeypatch.setattr(parallel.distributed, "gathered", lambda found, heard=heard: heard.append(found) or [[]])
        asked = []
        list(parallel.each(lambda part, asked=asked: asked.append(part) or part, parts))
        computed.append(len(asked))
        counted += heard[0]
    assert sorted(counted) == list(parts)
    assert set(computed) == {-(-num_parts // 3)}


@pytest.mark.parametrize("workers", [1, 2])
def test_rows_go_by_length_into_parts_for_every_worker_and_come_back_in_place(workers):
    parallel.set_workers(workers)
    lengths, parts = [5, 1, 4, 2, 3, 9], []

    def double(rows: list[int]) -> list[int]:
        parts.append(rows)
        return [2 * lengths[row] for row in rows]

    assert parallel.by_length(double, lengths, 100) == [10, 2, 8, 4, 6, 18]
    expected = [[1, 3, 4, 2, 0, 5]] if workers == 1 else [[1, 3, 4], [2, 0, 5]]
    assert sorted(parts) == expected
    parts.clear()
    parallel.by_length(double, lengths, 2)
    assert sorted(parts) == [[0, 5], [1, 3], [4, 2]]


@pytest.mark.parametrize("gradients", [True, False])
def test_workers_compute_under_the_callers_gradient_mode_and_autocast(gradients):
    parallel.set_workers(2)
    weight = torch.ones(2, 2, requires_grad=True)

    def product(_: int) -> torch.Tensor:
        return weight @ weight

    with torch.set_grad_enabled(gradients), torch.autocast("cpu", dtype=torch.bfloat16):
        found = list(parallel.each(product, range(2)))
    assert all(one.dtype == torch.bfloat16 and one.requires_grad == gradients for one in found)
    assert all(one.dtype == torch.float32 for one in parallel.each(product, range(2)))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_parts_error_reaches_the_caller(workers):
    parallel.set_workers(workers)
    with pytest.raises(ZeroDivisionError):
        list(parallel.each(lambda part: 1 // part, [1, 0, 1]))


def updated(model, parts) -> tuple[optimisation.Update, list[torch.Tensor]]:
    """Return the update, and the gradients that it goes by, of a step that does not move the weights."""
    optimiser, gradients = torch.optim.SGD(model.parameters(), lr=0.0), []
    optimiser.register_step_pre_hook(
        lambda *_: gradients.extend(weight.grad for weight in model.parameters() if weight.grad is not None)
    )
    update = optimisation.step(model, optimiser, parts, max_grad_norm=1e9)
    assert gradients
    assert all(weight.grad is None for weight in model.parameters())
    return update, gradients


def assert_workers_change_nothing(model, parts) -> None:
    """`parts()` gives the parts of one batch, cut for the number of workers."""
    parallel.set_workers(1)
    one, expected = updated(model, parts())
    parallel.set_workers(2)
    assert len(list(parts())) > 1
    two, gradients = updated(model, parts())
    again, same = updated(model, parts())
    assert two == again
    assert all(map(torch.equal, gradients, same))
    assert two.loss == pytest.approx(one.loss, rel=1e-5)
    assert two.measures == pytest.approx(one.measures, rel=1e-4, abs=1e-9)
    for gradient, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-6)


def test_workers_change_no_update_on_plain_text(policy):
    rows = torch.randint(5, 300, (5, 12))
    assert_workers_change_nothing(policy, lambda: language_modelling.micro_batch_losses(policy, rows, 5, RUNTIME))


@pytest.mark.parametrize("packing", [True, False])
def test_workers_change_no_update_of_sft(policy, tokenizer, packing):
    chosen = toys.section(SftInputs.model_fields["sft"].annotation, "sft", packing=packing, micro_batch_rows=100)
    examples = supervised.encode(tokenizer, toys.demonstrations(9), max_tokens=48).examples
    chosen = chosen.model_copy(update={"max_tokens": 48})
    assert_workers_change_nothing(policy, lambda: supervised.micro_batch_losses(policy, examples, chosen, RUNTIME))


def test_workers_change_no_update_of_the_reward_model(reward_model, tokenizer):
    chosen = toys.section(RewardModel, "reward_model", micro_batch_rows=1000)
    groups = preference_training.encode(tokenizer, toys.comparisons(5), chosen).groups
    assert_workers_change_nothing(
        reward_model, lambda: preference_training.micro_batch_losses(reward_model, groups, chosen, RUNTIME)
    )


def test_workers_change_neither_the_experience_of_ppo_nor_its_update(tokenizer, tmp_path):
    models = toys.models(tokenizer, tmp_path, "llama")
    sizes = {"batch_size": 8, "minibatch_size": 8, "micro_batch_size": 8, "max_completion_tokens": 8}
    chosen = toys.section(Ppo, "ppo", **sizes)
    prompts = ppo.tokenised(tokenizer, toys.prompts(8), chosen)
    expected = ppo.experience.gather(models, prompts, chosen, RUNTIME, seed=3)
    parallel.set_workers(2)
    seen = ppo.experience.gather(models, prompts, chosen, RUNTIME, seed=3)
    assert torch.equal(seen.ids, expected.ids)
    for name, wanted in expected._asdict().items():
        torch.testing.assert_close(getattr(seen, name), wanted, rtol=1e-4, atol=1e-5)
    advantages, chosen = torch.randn(seen.values.shape), chosen.model_copy(update={"micro_batch_size": 4})
    assert_workers_change_nothing(
        models.policy,
        lambda: updates.policy_losses(models, toys.targets(seen, advantages), torch.arange(8), None, chosen, RUNTIME),
    )


def test_two_models_side_by_side_leave_each_worker_a_whole_batch():
    assert [parallel.part_size(8, 100, models) for models in (1, 2)] == [8, 8]
    parallel.set_workers(2)
    assert [parallel.part_size(8, 100, models) for models in (1, 2)] == [4, 8]
    parallel.set_workers(4)
    assert [parallel.part_size(8, 100, models) for models in (1, 2, 8)] == [2, 4, 8]
