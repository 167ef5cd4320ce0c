import json
import re
from collections import defaultdict
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from rlhf.collection.duplicates.folding import prompt_text
from rlhf.params.base import ParamsError
from rlhf.params.collect_prompts import SPLITS
from rlhf.records import records
from rlhf.records.types import Comparison
from stages import collect_prompts
from tests.collect_prompts_section import ALL, section, source, typed

SUBJECTS = "river fox lamp garden harbour violin bakery glacier engine meadow".split()
PLACES = "Oslo Lima Cairo Delhi Quito Hanoi Paris Perth Accra Seoul".split()
CATEGORIES = ["open_qa", "generation", "chat"]


@pytest.fixture
def root(tmp_path):
    """Return a folder with a book, 300 demonstrations by 60 users, 100 pairs in transcript form and 60 test prompts."""
    questions = [
        f"Which {a} near {b} in the year {1900 + n} did they admire?"
        for n in range(3)
        for a in SUBJECTS
        for b in PLACES
    ]
    demonstrations = [
        {"prompt": question, "response": f"Answer {n}.", "user": f"u{n % 60}", "category": CATEGORIES[n % 3]}
        for n, question in enumerate(questions)
    ]
    pairs = [
        {
            "chosen": f"\n\nHuman: How does a {a} get to {b}?\n\nAssistant: By the best road.",
            "rejected": f"\n\nHuman: How does a {a} get to {b}?\n\nAssistant: No idea.",
        }
        for a in SUBJECTS
        for b in PLACES
    ]
    tests = [{"prompt": f"Is it true that every {a} of {b} is green?"} for a in SUBJECTS for b in PLACES[:6]]
    dump(
        tmp_path / "raw/demonstrations.jsonl", [*demonstrations, {"prompt": "Mail ann@example.org", "response": "No."}]
    )
    dump(tmp_path / "raw/pairs.jsonl", pairs)
    dump(tmp_path / "raw/tests.jsonl", [*tests, {"prompt": questions[0].upper()}])
    documents = [f"Document {n} tells of a {SUBJECTS[n % 10]}." for n in range(40)]
    (tmp_path / "raw/books.txt").write_text("\n<|endoftext|>\n".join(documents))
    return tmp_path


def dump(path, rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def sources():
    return [
        source("books", "raw/books.txt", use=["documents"], splits=[]),
        source("demos", "raw/demonstrations.jsonl", licence="MIT"),
        source("pairs", "raw/pairs.jsonl", use=["comparisons", "prompts"], splits=ALL[1:]),
        source("tests", "raw/tests.jsonl", use=["prompts"], splits=["test"]),
    ]


def content(**changes):
    """Return the section with the templates' many near-duplicates let through, and enough comparisons for a judge."""
    cleaning = {"near_duplicates": None} | changes.pop("cleaning", {})
    shares = {"sft": 0.2, "judge": 0.2} | changes.pop("shares", {})
    return section(changes.pop("sources", sources()), cleaning=cleaning, shares=shares, **changes)


def write_params(root: Path, changed, seed=1):
    tracking = {"enabled": False, "uri": None, "experiment": "test", "max_model_mb": 1, "log_every": 1}
    with open(root / "params.yaml", "w") as file:
        YAML().dump({"seed": seed, "tracking": tracking, "collect_prompts": changed}, file)


def run(root, seed=1, **changes):
    write_params(root, content(**changes), seed)
    collect_prompts.main(root)
    folder = root / "data/collect_prompts"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def prompts_of(files, split):
    names = {"sft": ["demonstrations.train"], "reward_model": ["prompts.reward_model", "comparisons.train"]}
    names |= {"judge": ["prompts.judge", "comparisons.judge"], "validation": ["prompts.validation"]}
    names |= {"validation": ["prompts.validation", "demonstrations.validation"]}
    parts = [files[f"{name}.jsonl"] for name in names.get(split, [f"prompts.{split}"])]
    return [prompt_text(json.loads(line)) for part in parts for line in part.splitlines()]


def test_the_stage_writes_disjoint_prompt_sets_and_all_its_files(root):
    files = run(root)
    expected = {f"documents.{part}.jsonl" for part in ("train", "validation")}
    expected |= {f"demonstrations.{part}.jsonl" for part in ("train", "validation")}
    expected |= {f"comparisons.{part}.jsonl" for part in ("train", "validation", "judge")}
    expected |= {f"prompts.{split}.jsonl" for split in SPLITS[1:]} | {"data_card.md", "copy_probes.jsonl"}
    assert set(files) == expected
    splits = defaultdict(set)
    for split in SPLITS:
        assert prompts_of(files, split), split
        for prompt in prompts_of(files, split):
            splits[prompt].add(split)
    assert all(len(found) == 1 for found in splits.values())
    assert len(splits) == 300 + 100 + 60
    assert splits["which river near oslo in the year 1900 did they admire?"] == {"test"}


def test_the_same_params_give_the_same_bytes_and_another_seed_others(root):
    first = run(root)
    numbers = (root / "metrics/collect_prompts.json").read_bytes()
    assert run(root) == first
    assert (root / "metrics/collect_prompts.json").read_bytes() == numbers
    assert run(root, seed=2)["prompts.ppo.jsonl"] != first["prompts.ppo.jsonl"]


def test_every_row_is_kept_or_dropped_for_one_reason(root):
    run(root)
    numbers = json.loads((root / "metrics/collect_prompts.json").read_text())["collect_prompts"]
    assert numbers["read"] == 40 + 301 + 100 + 61
    assert numbers["dropped"] == {"exact_duplicate": 1, "personal_data_email": 1}
    assert numbers["read"] == numbers["kept"] + sum(numbers["dropped"].values())
    assert numbers["sources"]["demos"] == {"read": 301, "kept": 299}
    assert numbers["languages"] == {"en": 460}


def test_masked_rows_are_kept_and_counted_by_kind_on_the_screen_in_the_card_and_in_metrics(root, capsys):
    with (root / "raw/pairs.jsonl").open("a") as pairs:
        pair = {"prompt": "Who keeps the lamp?", "chosen": "Call (646) 382-9917.", "rejected": "Mail i@b.se, or no."}
        pairs.write(json.dumps(pair) + "\n")
    masking = {"on_personal_data": "mask"}
    (root / "raw/books.txt").write_text((root / "raw/books.txt").read_text() + " Its key is +49 30 88734412.")
    files = run(root, cleaning=masking, documents={**masking, "personal_data": ["phone"]})
    text = b"".join(files.values()).decode()
    assert "Mail [EMAIL]" in text
    assert '["Call [PHONE].", "Mail [EMAIL], or no."]' in text
    assert "Its key is [PHONE]." in text
    numbers = json.loads((root / "metrics/collect_prompts.json").read_text())["collect_prompts"]
    assert numbers["masked"] == {"phone": 2, "email": 2}
    assert numbers["dropped"] == {"exact_duplicate": 1}
    assert "## Masked personal data" in files["data_card.md"].decode()
    assert "| pairs | email 1, phone 1 |" in files["data_card.md"].decode()
    out = capsys.readouterr()
    assert "pairs: rows with masked personal data: email 1, phone 1" in out.out + out.err


def test_without_masks_nothing_is_said_of_them(root):
    card = run(root)["data_card.md"].decode()
    assert "Masked" not in card
    assert "masked" not in (root / "metrics/collect_prompts.json").read_text()


def test_too_few_pairs_for_a_judge_are_said_here_and_not_after_hours_of_training(root):
    with pytest.raises(ValueError, match=r"split 'judge': expected at least 10 comparisons for the judge, got [1-9]; "):
        run(root, shares={"judge": 0.05, "sft": 0.35})
    assert not (root / "data/collect_prompts").exists()


def test_given_pairs_reach_training_judge_and_validation_with_their_labels(root):
    run(root)
    found = [
        records.read(root / f"data/collect_prompts/comparisons.{n}.jsonl", Comparison)
        for n in ("train", "judge", "validation")
    ]
    assert all(found)
    for record in (record for part in found for record in part):
        assert record["responses"] == ["By the best road.", "No idea."]
        assert record["labels"] == [{"labeler": "pairs", "ranks": [1, 2], "scores": None, "scale": None}]
        assert record["messages"][-1]["role"] == "user"
        assert record["source"] == "pairs"


def test_the_data_card_shows_counts_licences_and_the_papers_categories(root):
    card = run(root)["data_card.md"].decode()
    assert "| demos | 301 | 299 | exact_duplicate 1, personal_data_email 1 |" in card
    assert "| demos | raw/demonstrations.jsonl | demonstrations, prompts |" in card
    assert "| MIT |" in card
    assert "| open qa | 21.5 | 12.4 |" in card  # 99 of 460 prompts: one of 100 is held out, and has no category there
    assert "| en | 460 | 100.0 |" in card
    table = (root / "metrics/plots/collect_prompts/categories.csv").read_text().splitlines()
    assert table[0] == "category,share,paper_share"
    assert table[1] == "generation,21.73913,45.6"
    assert sum(float(line.split(",")[1]) for line in table[1:]) == pytest.approx(100)


def test_the_screen_shows_one_whole_line_a_source(root, capsys):
    run(root)
    lines = [line for line in capsys.readouterr().out.splitlines() if ": read " in line]
    assert lines[:2] == [
        "collect_prompts  books: read 40, kept 40",
        "collect_prompts  demos: read 301, kept 299; dropped: exact_duplicate 1, personal_data_email 1",
    ]
    assert len(lines) == 4


def test_an_empty_split_names_its_sources_and_the_fix(root):
    changes = {"shares": {"sft": 0.3999, "judge": 0.0001}, "sources": sources()}
    changes["sources"][2]["limit"] = 3
    with pytest.raises(ValueError) as error:
        run(root, **changes)
    assert str(error.value).endswith(
        "split 'judge': no record for prompts.judge or comparisons.judge; sources that list it in their splits: "
        "demos, pairs. Raise collect_prompts.shares.judge (now 0.0001), add records or uses to those sources, or "
        "loosen collect_prompts.cleaning; counts by reason: the table printed above"
    )
    assert not (root / "data/collect_prompts").exists()


def test_prompts_of_ones_own_without_comparisons_leave_nothing_to_rank_and_that_is_said_before_any_training(root):
    own = sources()
    own[2] |= {"use": ["prompts"]}
    with pytest.raises(ValueError) as error:
        run(root, sources=own, shares={"sft": 0.4, "judge": 0.0})
    said = re.sub(r"\d+", "N", str(error.value))
    assert said.startswith(
        "split 'reward_model': no comparisons, and N prompts that simulated labelers do not know, so there is nothing "
        "to rank; sources that list it in their splits: demos, pairs. Give answers that people ranked"
    )


def test_prompts_of_ones_own_are_enough_where_labelers_know_any_prompt(root):
    own = sources()
    own[2] |= {"use": ["prompts"]}
    with pytest.raises(ValueError, match="so there is nothing to rank"):
        run(root, sources=own, shares={"sft": 0.4, "judge": 0.0})
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text + "collect_comparisons: {labelers: {kind: function}}\n")
    collect_prompts.main(root)
    assert (root / "data/collect_prompts/prompts.reward_model.jsonl").stat().st_size


def test_prompts_of_ranked_answers_that_nobody_learns_from_stay_whatever_the_answers_are(root):
    rows = [json.loads(line) for line in (root / "raw/pairs.jsonl").read_text().splitlines()]
    too_long, tied = {**rows[0]}, {"prompt": "Whose lamp is it?", "responses": ["Mine.", "Yours."], "scores": [4, 4]}
    too_long["chosen"] += " It is long." * 400
    dump(root / "raw/pairs.jsonl", [too_long, *rows[1:], tied])
    run(root)
    learned = json.loads((root / "metrics/collect_prompts.json").read_text())["collect_prompts"]["dropped"]
    assert learned["too_few_responses"] == learned["all_responses_tied"] == 1
    own = sources()
    own[2] |= {"use": ["prompts"]}
    run(root, sources=own, shares={"sft": 0.6, "reward_model": 0.0, "judge": 0.0})
    asked = json.loads((root / "metrics/collect_prompts.json").read_text())["collect_prompts"]["dropped"]
    assert not {"too_few_responses", "all_responses_tied"} & {*asked}


def test_prompts_of_demonstrations_that_nobody_learns_from_stay_whatever_the_answers_are(root):
    dump(root / "raw/asked.jsonl", [{"prompt": "Whose lamp is it?", "response": "It is mine. " * 2000}])
    for use, dropped in ((["demonstrations", "prompts"], 1), (["prompts"], 0)):
        splits = ALL if "demonstrations" in use else ALL[1:]
        run(root, sources=[*sources(), source("asked", "raw/asked.jsonl", use=use, splits=splits)])
        metrics = json.loads((root / "metrics/collect_prompts.json").read_text())["collect_prompts"]
        assert metrics["dropped"].get("response_too_long", 0) == dropped
        assert metrics["sources"]["asked"] == {"read": 1, "kept": 1 - dropped}


def test_a_source_without_rows_and_documents_that_are_too_few_are_errors(root):
    (root / "raw/tests.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="source 'tests': holds no rows"):
        run(root)
    (root / "raw/tests.jsonl").write_text('{"prompt": "Is it?"}\n')
    (root / "raw/books.txt").write_text("One document only.")
    with pytest.raises(ValueError, match="documents.validation is empty; sources with use documents: books"):
        run(root)


def test_broken_data_names_file_line_and_column_and_leaves_no_output(root):
    with open(root / "raw/pairs.jsonl", "a") as file:
        file.write('{"chosen": "x", }\n')
    with pytest.raises(ValueError, match=r"raw/pairs\.jsonl: line 101, column 17: not valid JSON"):
        run(root)
    assert not (root / "data/collect_prompts").exists()


def test_the_embedded_world_fills_every_file_but_the_comparisons(tmp_path):
    def world(name, **changes):
        return {"name": name, "kind": "world", "seed": 3, "documents": 0, "facts": "seen", "copy_probes": 0, **changes}

    found = content(
        sources=[
            world("w", documents=50, prompts=300, use=["documents", "demonstrations", "prompts"], splits=list(SPLITS)),
            world("h", prompts=50, facts="held_out", use=["prompts"], splits=["test"]),
        ]
    )
    write_params(tmp_path, found)
    collect_prompts.main(tmp_path)
    paths = [path for path in (tmp_path / "data/collect_prompts").glob("*.jsonl") if "copy" not in path.name]
    files = {path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in paths}
    assert {name for name, part in files.items() if not part} == {
        f"comparisons.{n}" for n in ("train", "validation", "judge")
    }
    assert all("task" in record for name, part in files.items() for record in part if "documents" not in name)
    numbers = json.loads((tmp_path / "metrics/collect_prompts.json").read_text())["collect_prompts"]
    assert numbers["users"]["prompts.test"] > 0


@pytest.mark.parametrize(
    ("change", "place", "problem"),
    [
        (lambda s: s["sources"][1].update(paths=[]), "sources.1", "at least 1 item"),
        (lambda s: s["sources"][1].update(format="xml"), "sources.1", "'auto', 'jsonl', 'json', 'csv'"),
        (
            lambda s: s["sources"][1].update(kind="web"),
            "sources.1",
            "'world', 'instructions', 'feedback', 'file', 'hub'",
        ),
        (lambda s: s["sources"][1].update(colour=1), "sources.1", "unknown key"),
        (lambda s: s["sources"][1].pop("use"), "sources.1", "missing"),
        (lambda s: s["sources"][1].update(columns={"promt": "a"}), "sources.1", "'prompt'"),
        (lambda s: s["sources"][1].update(splits=["train"]), "sources.1", "'sft', 'reward_model'"),
        (lambda s: s["sources"][1].update(splits=[]), "sources.1", "splits is empty"),
        (lambda s: s["sources"][0].update(splits=["sft"]), "sources.0", "set splits: []"),
        (lambda s: s["sources"][3].update(splits=["sft"]), "sources.3", "split sft takes demonstrations"),
        (lambda s: s["sources"][3].update(name="demos"), "collect_prompts", "'demos' occurs twice"),
        (lambda s: s["cleaning"].update(languages=["French"]), "cleaning.languages.0", "'en', 'zh', 'fr'"),
        (lambda s: s["cleaning"].update(on_personal_data="hide"), "cleaning.on_personal_data", "'drop' or 'mask'"),
        (lambda s: s["documents"].update(on_personal_data=True), "documents.on_personal_data", "'drop' or 'mask'"),
        (lambda s: s["cleaning"].update(personal_data=["name"]), "cleaning.personal_data.0", "'email', 'phone'"),
        (lambda s: s["cleaning"].pop("placeholders"), "cleaning.placeholders", "missing"),
        (lambda s: s["cleaning"].update(normalise="yes"), "cleaning.normalise", "valid boolean"),
        (lambda s: s["cleaning"]["prompt_words"].update(min=500), "cleaning.prompt_words", "min 500 is above max 400"),
        (lambda s: s["cleaning"].update(near_duplicates={"threshold": 2}), "near_duplicates.threshold", "less than"),
        (lambda s: s["shares"].update(sft=0.9), "shares", "add up to 1.7, not 1"),
        (lambda s: s["shares"].update(sft=-0.1), "shares.sft", "greater than or equal to 0"),
        (lambda s: s["max_prompts"].update(ppo=0), "max_prompts.ppo", "greater than or equal to 1"),
        (lambda s: s["comparisons"].update(min_responses=1), "comparisons.min_responses", "greater than or equal to 2"),
        (lambda s: s["documents"].update(validation_share=1.0), "documents.validation_share", "less than 1"),
        (lambda s: s.update(sources=s["sources"][2:]), "collect_prompts", "no source lists sft"),
    ],
)
def test_wrong_params_name_path_and_what_is_allowed(change, place, problem):
    found = content()
    change(found)
    with pytest.raises(ParamsError) as error:
        typed(found)
    assert place in str(error.value)
    assert problem in str(error.value)


def test_the_screen_says_which_limit_took_the_answers_of_comparisons_and_no_file_changes_for_it(root, capsys):
    pairs = (root / "raw/pairs.jsonl").read_text().splitlines()
    longer = [line.replace("By the best road", "By the very best road") for line in pairs[:25]]
    (root / "raw/pairs.jsonl").write_text("\n".join([*longer, *pairs[25:]]))
    files = run(root, cleaning={"response_characters": {"min": 1, "max": 20}})
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "pairs: " in line] == [
        "collect_prompts  pairs: read 100, kept 75; dropped: too_few_responses 25",
        "collect_prompts  pairs: 25 comparisons are left with fewer than 2 answers, 25 since an answer is longer than "
        "cleaning.response_characters.max 20",
        "collect_prompts  WARNING: pairs: 25% of its rows are dropped, response_too_long; to keep more, raise "
        "collect_prompts.cleaning.response_characters.max (now 20)",
    ]
    assert all(len(line.split()) > 1 and not line.rstrip().endswith(";") for line in lines)
    assert "| pairs | 100 | 75 | too_few_responses 25 |" in files["data_card.md"].decode()
