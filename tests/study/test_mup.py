"""μP's coordinate check, and the study of how the best learning rate moves with the width."""

import json
import math

import pytest
import torch

from rlhf.models import initialisation, shapes
from rlhf.params.base import parse, read_yaml
from rlhf.params.pretrain import Scratch
from rlhf.records import records
from rlhf.runtime import failures
from stages import pretrain
from study import params, workspace
from study.mup import __main__ as study
from study.mup import coordinates, page, trials
from study.mup.trials import Known, Sizes, Texts, Trial
from tests import toys

WIDTHS, VOCABULARY = (64, 128, 256, 512), 256
RUNTIME = toys.runtime()
HIDDEN = {f"{part} {number}" for part in ("attention", "MLP", "states") for number in (1, 2)}


def section(parametrisation: str, width: int, muon_momentum: float | None) -> Scratch:
    optimisation = {"learning_rate": 0.00390625, "warmup_steps": 0, "schedule": "constant", "max_grad_norm": 1.0}
    changes = {
        "shape": f"tiny@{width}", "muon_momentum": muon_momentum, "previous_token_heads": 0, "copying_steps": 0,
        "batch_size": 6, "sequence_tokens": 48, "tokens": 10**6, "parametrisation": parametrisation,
        "base_width": 64 if parametrisation == "mup" else None,
    }  # fmt: skip
    content = toys.shrunken_params()["pretrain"]
    return parse(Scratch, content | changes | {"optimisation": content["optimisation"] | optimisation}, "pretrain")


def slopes(parametrisation: str, widths: tuple[int, ...], seeds: int, muon_momentum: float | None = None):
    """Return the slopes after five updates on tokens that repeat."""
    rows = initialisation.repeated_rows(60, 48, VOCABULARY, torch.Generator().manual_seed(5))
    measured = {}
    for width in widths:
        chosen = section(parametrisation, width, muon_momentum)
        for seed in range(seeds):
            config = shapes.config(chosen.shape, VOCABULARY, pad_id=0, eos_id=1)
            model = pretrain.untrained(config, chosen, RUNTIME, seed)
            points = pretrain.train(model, rows, chosen, RUNTIME, seed)
            measured.setdefault(width, []).append(coordinates.trained(model, points, 5, rows[:8]))
    return coordinates.slopes(measured)


def test_coordinate_check_of_mup_no_activation_grows_with_the_width():
    found = slopes("mup", WIDTHS, seeds=2)
    assert found.keys() == HIDDEN | {"embeddings", "logits"}
    assert coordinates.growing(found) == [], found


def test_coordinate_check_of_the_standard_parametrisation_fails():
    found = slopes("standard", WIDTHS, seeds=2)
    assert {"logits", "states 2"} <= {*coordinates.growing(found)}, found


def test_coordinate_check_with_muon():
    widths = (64, 128, 256)
    mup, standard = (slopes(name, widths, 2, muon_momentum=0.9) for name in ("mup", "standard"))
    assert coordinates.growing(mup) == [], mup
    assert "logits" in coordinates.growing(standard), standard


def test_a_slope_is_the_power_of_the_width():
    assert coordinates.slope({64: 3.0, 128: 6.0, 256: 12.0}) == pytest.approx(1)
    assert coordinates.slope({64: 3.0, 256: 1.5}) == pytest.approx(-0.5)
    assert coordinates.growing({"a": 0.04, "b": 0.06, "c": -1.0}) == ["b"]
    measured = {1: [{"x": 1.0}, {"x": 4.0}], 2: [{"x": 4.0}, {"x": 4.0}]}  # geometric means 2 and 4
    assert coordinates.slopes(measured) == {"x": pytest.approx(1)}


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_sizes_are_those_of_what_each_part_gives(tokenizer, family):
    model = toys.policy(tokenizer, family)
    ids = torch.arange(5, 17)[None]
    found = coordinates.sizes(model, ids)
    assert not any(part._forward_hooks for part in model.modules())
    said = model(input_ids=ids, output_hidden_states=True)  # which leaves hooks of its own
    assert found.keys() == HIDDEN | {"embeddings", "logits"}
    assert found["logits"] == pytest.approx(said.logits.abs().mean().item(), rel=1e-5)
    assert found["states 1"] == pytest.approx(said.hidden_states[1].abs().mean().item(), rel=1e-5)


SMALL = {
    "seed": 18, "shape": "tiny", "widths": [32, 64], "base_width": 32, "vocab_size": 300, "largest_rate": 0.02,
    "num_rates": 2, "seeds": [1], "updates": 6, "warmup_steps": 1, "batch_size": 2, "sequence_tokens": 16,
    "validation_tokens": 64, "muon_momentum": 0.9, "coordinates": {"updates": 1, "learning_rate": 0.01},
}  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A root with the study's params, whose documents are the toys'."""
    (tmp_path / "study/mup").mkdir(parents=True)
    (tmp_path / trials.FILE).write_text(json.dumps(SMALL))
    (tmp_path / "presets").mkdir()
    content = read_yaml(toys.REPO / "presets/tiny.yaml")
    content["runtime"] |= {"threads": 1, "workers": 1}
    (tmp_path / params.PRESET).write_text(toys.as_yaml(content), encoding="utf-8")

    def prepare(root, name, content):
        assert (name, content["seed"]) == ("mup", 18)
        folder = root / workspace.FOLDER / name
        documents = [{"kind": "document", "text": text, "source": "toy"} for text in toys.TEXTS]
        for split in ("train", "validation"):
            records.write(folder / f"data/collect_prompts/documents.{split}.jsonl", documents)
        return folder

    monkeypatch.setattr(workspace, "prepare", prepare)
    monkeypatch.setattr(workspace, "reproduce", lambda _folder, targets: targets)
    return tmp_path


def test_the_study_says_its_cost_trains_what_is_left_and_writes_figures(place, capsys, monkeypatch):
    assert study.main(["--cost"], place) == 0
    assert capsys.readouterr().out.startswith("8 of 8 trainings are left: about 0.0 hours")
    assert not (place / page.OUT).exists()
    counted, train = [], trials.loss_of

    def stops(chosen, found):
        counted.append(chosen.pretrain.shape)
        if len(counted) == 4:
            raise KeyboardInterrupt
        return train(chosen, found)

    monkeypatch.setattr(trials, "loss_of", stops)
    with pytest.raises(KeyboardInterrupt):
        study.main([], place)
    assert study.main([], place) == 0
    said = capsys.readouterr().out
    assert "5 of 8 trainings are left" in said
    assert "5/5 after" in said
    assert counted == ["tiny@32"] * 5 + ["tiny@64"] * 4  # the one that was stopped is made anew
    figures = json.loads((place / page.OUT).read_text())
    assert figures["best_rate"] == figures["adamw"]["best_rate"]
    assert figures["best_rate"].keys() == {"standard", "mup"}
    assert figures["best_rate"]["mup"].keys() == {"32", "64"}
    assert {*figures["best_rate"]["mup"].values()} <= {0.02, 0.01}
    assert figures["coordinates"]["mup"].keys() == HIDDEN | {"embeddings", "logits"}
    standard, mup = (figures["adamw"]["losses"][name] for name in ("standard", "mup"))
    assert standard["32"] == mup["32"]  # the base width
    assert standard["64"] != mup["64"]
    text = (place / page.PAGE).read_text()
    for name in ("mup_adamw_standard.svg", "mup_adamw_mup.svg"):
        assert f"../pictures/{name}" in text
        assert (place / page.PICTURES / name).read_text().startswith("<svg")
    assert study.main(["--muon"], place) == 0
    both = json.loads((place / page.OUT).read_text())
    assert both["adamw"] == figures["adamw"]
    assert both["muon"]["losses"]["standard"]["32"] != figures["adamw"]["losses"]["standard"]["32"]
    assert "## Muon on hidden matrices" in (place / page.PAGE).read_text()
    assert study.main([], place) == 0
    assert "0 of 8 trainings are left" in capsys.readouterr().out


def test_a_training_is_what_the_study_says(place):
    sizes = params.typed(Sizes, place, trials.FILE)
    chosen = trials.inputs(place, sizes, Trial("muon", "mup", 64, 0.01, 7))
    assert (chosen.seed, chosen.pretrain.shape, chosen.pretrain.base_width) == (7, "tiny@64", 32)
    assert pretrain.count_steps(chosen.pretrain) == 6
    assert chosen.pretrain.muon_momentum == 0.9
    assert chosen.pretrain.optimisation.learning_rate == 0.01
    plain = trials.inputs(place, sizes, Trial("adamw", "standard", 64, 0.01, 7))
    assert (plain.pretrain.base_width, plain.pretrain.muon_momentum) == (None, None)
    planned = [*trials.plan(sizes, "adamw")]
    assert len({*planned}) == len(planned) == 2 * 2 * 2
    assert sizes.rates == [0.02, 0.01]


def test_the_studys_own_params_are_right():
    sizes = params.typed(Sizes, toys.REPO, trials.FILE)
    for trial in trials.plan(sizes, "adamw"):
        shapes.named(f"{sizes.shape}@{trial.width}")
    assert (len(sizes.rates), len(sizes.seeds), sizes.widths) == (12, 3, [64, 128, 256, 512])
    assert trials.inputs(toys.REPO, sizes, Trial("adamw", "mup", 512, 0.01, 17)).pretrain.base_width == 64


def test_a_mistake_in_the_studys_params_is_named_with_its_file(place, capsys):
    (place / trials.FILE).write_text(json.dumps(SMALL | {"updates": 0}))
    assert study.main([], place) == 2
    assert "study/mup/params.yaml: updates: " in capsys.readouterr().err


def test_a_training_that_breaks_down_has_no_loss_and_is_remembered(place, monkeypatch):
    sizes = params.typed(Sizes, place, trials.FILE)
    found = trials.texts(place, sizes)

    def breaks(*_):
        raise failures.NotFinite("the loss became nan")
        yield

    monkeypatch.setattr(pretrain, "train", breaks)
    trial = Trial("adamw", "mup", 32, 0.02, 1)
    assert trials.loss_of(trials.inputs(place, sizes, trial), found) is None
    known = Known(place, sizes, found)
    assert trial not in known
    known.add(trial, None)
    again = Known(place, sizes.model_copy(update={"widths": [32, 64, 128]}), found)
    assert trial in again and again[trial] is None
    assert trial not in Known(place, sizes.model_copy(update={"updates": 7}), found)
    assert trial not in Known(place, sizes, found._replace(training=found.training + 1))


def losses(best: dict[int, int]) -> dict[Trial, float | None]:
    """Losses of one seed: by width, a bowl in the octave with its lowest point at rate number `best`; the first
    rate broke down.
    """
    return {
        Trial("adamw", name, width, 0.02 / 2**number, 1): None
        if number == 0
        else 3 + abs(number - lowest) - width / 640
        for name, shift in (("standard", 1), ("mup", 0))
        for width, least in best.items()
        for number in range(6)
        for lowest in [least + shift * (width == 64)]
    }


def test_figures_by_hand():
    sizes = Sizes(**SMALL | {"num_rates": 6})
    found = page.figures(sizes, losses({32: 2, 64: 3}), "adamw")
    assert found["best_rate"] == {"standard": {"32": 0.005, "64": 0.00125}, "mup": {"32": 0.005, "64": 0.0025}}
    assert found["octaves"] == {"standard": 2, "mup": 1}
    assert found["best_loss"]["mup"] == {"32": pytest.approx(2.95), "64": pytest.approx(2.9)}
    assert found["never_worse_with_width"] == {"standard": True, "mup": True}
    assert not page.falls([3.0, 3.02])
    assert page.falls([3.0, 3.005, 2.9])
    assert math.isinf(page.mean([3.0, None]))
    with pytest.raises(ValueError, match="every training of a width broke down; lower largest_rate"):
        page.best_of({"0.02": [None], "0.01": [None]})
    told = page.page({"adamw": found, "coordinates": {name: {"logits": 0.5} for name in ("standard", "mup")}})
    assert "Standard: the best rate moves by 2 octaves" in told
    assert "μP: the best rate moves by 1 octaves" in told
    assert "| logits | +0.500 | +0.500 |" in told
    assert set(page.drawings(found, "adamw")) == {"mup_adamw_standard.svg", "mup_adamw_mup.svg"}


def test_what_all_trainings_have_in_common_is_what_their_losses_are_kept_by():
    rows = torch.arange(32).view(2, 16)
    found = Texts(rows, rows, 300, 0, 1)
    sizes = Sizes(**SMALL)
    same = trials.fingerprint(sizes, found)
    assert trials.fingerprint(sizes.model_copy(update={"seeds": [1, 2], "num_rates": 5}), found) == same
    for change in ({"base_width": 64}, {"batch_size": 3}, {"muon_momentum": 0.8}, {"warmup_steps": 0}):
        assert trials.fingerprint(sizes.model_copy(update=change), found) != same
