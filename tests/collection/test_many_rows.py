"""Records on disk, and rows worked on by several processes: the same bytes and errors, whatever their number."""

import gzip
import json
import os
import random
import signal

import pytest
from ruamel.yaml import YAML

from rlhf.collection.batches import parts
from rlhf.collection.batches.work import Worker
from rlhf.collection.duplicates import near
from rlhf.collection.table import gathering, spill
from rlhf.collection.table.facts import FACTS
from stages import collect_prompts
from tests.collect_prompts_section import ALL, section, source, typed

WORDS = "river fox lamp garden harbour violin bakery glacier engine meadow 河流 花园 公园 小提琴".split()
SYSTEM = "Answer in one sentence, be polite, and do not speak of anything else than what you are asked about."


def demonstrations(draw, count):
    for number in range(count):
        prompt = " ".join(draw.choices(WORDS, k=draw.randint(4, 30)))
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}]
        answer = {"role": "assistant", "content": f"Answer {draw.randrange(50)}."}
        row = {"messages": [*messages, answer], "category": draw.choice([*WORDS, "x" * 50, "=1"])}
        yield row | ({"user": f"u{number % 17}"} if number % 3 else {})
        if number % 7 == 0:
            yield {"prompt": prompt.upper(), "response": "Another one.", "category": "chat"}
        if number % 11 == 0:
            yield {"prompt": f"{prompt} for ann@example.org", "response": "Yes."}
            yield {"prompt": f"{prompt} and so on", "response": "Mail ann@example.org"}
        if number % 13 == 0:
            yield {"response": "No prompt."}


def comparisons(draw, count):
    for number in range(count):
        prompt = " ".join(draw.choices(WORDS, k=8))
        for labeler in range(1 + number % 3):
            scores = draw.sample(range(1, 9), 3)
            responses = [f"{name} of {number}" for name in ("One", "Two", "Three")]
            draw.shuffle(responses)
            yield {"prompt": prompt, "responses": responses, "scores": scores, "labeler": f"l{labeler}"}


def pairs(draw, count):
    """HelpSteer2's: two rows that follow one another are one comparison."""
    for number in range(count):
        prompt = f"Is it {number} {draw.choice(WORDS)}?"
        for answer in ("Yes.", "No, not at all."):
            scores = dict.fromkeys(("helpfulness", "correctness", "coherence", "complexity", "verbosity"), 1)
            scores["helpfulness"] = draw.randrange(5)
            yield {"prompt": prompt, "response": answer, **scores}


def lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@pytest.fixture
def root(tmp_path):
    draw = random.Random(1)
    raw = tmp_path / "raw"
    raw.mkdir()
    text = lines(demonstrations(draw, 400))
    (raw / "a.jsonl").write_text(
        text[: len(text) // 2].rpartition("\n")[0] + "\n\n  \n" + text[:3000].rpartition("\n")[0] + "\n"
    )
    (raw / "b.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    (raw / "ranked.json").write_text(json.dumps([*comparisons(draw, 150)]))
    (raw / "pairs.jsonl").write_text(lines(pairs(draw, 60)))
    (raw / "books.txt").write_text("\n<|endoftext|>\n".join(f"Book {n % 90} of a {WORDS[n % 10]}." for n in range(120)))
    return tmp_path


def sources():
    return [
        source("books", "raw/books.txt", use=["documents"], splits=[]),
        source("a", "raw/a.jsonl", max_broken=0.2),
        source("b", "raw/b.jsonl.gz", limit=300, max_broken=0.2),
        source("ranked", "raw/ranked.json", use=["comparisons", "prompts"], splits=ALL[1:]),
        source("pairs", "raw/pairs.jsonl", use=["comparisons", "prompts"], splits=ALL[1:]),
        source("held_out", "raw/a.jsonl", limit=50, splits=["test"], use=["prompts"], max_broken=0.2),
    ]


def run(root, given=None, **changes):
    tracking = {"enabled": False, "uri": None, "experiment": "test", "max_model_mb": 1, "log_every": 1}
    usual = {
        "common_prefix_characters": None,
        "near_duplicates": {"threshold": 0.7, "shingle_words": 2},
        "max_prompts_per_user": 9,
    }
    content = section(given or sources(), cleaning=usual | changes)
    with open(root / "params.yaml", "w") as file:
        YAML().dump({"seed": 1, "tracking": tracking, "collect_prompts": content}, file)
    collect_prompts.main(root)
    folder = root / "data/collect_prompts"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())} | {
        "metrics": (root / "metrics/collect_prompts.json").read_bytes()
    }


@pytest.fixture
def by_many(monkeypatch):
    """Let so many processes work on small parts."""

    def change(count, line_bytes=2000, rows=7):
        monkeypatch.setattr(gathering, "FEW", 20)
        monkeypatch.setattr(gathering, "usable_cpus", lambda: count)
        monkeypatch.setattr(parts, "LINES_SIZE", line_bytes)
        monkeypatch.setattr(parts, "ROWS", rows)
        monkeypatch.setattr(spill, "AT_ONCE", 10_000)

    return change


@pytest.mark.process
def test_the_number_of_processes_and_the_size_of_parts_change_no_byte(root, by_many):
    alone = run(root)
    numbers = json.loads(alone["metrics"])["collect_prompts"]
    reasons = {"broken_row", "exact_duplicate", "near_duplicate", "personal_data_email", "label_of_the_same_answers"}
    assert reasons <= numbers["dropped"].keys()
    assert all(numbers["records"].values())
    for count, line_bytes, rows in ((2, 2000, 7), (3, 500, 1), (1, 1, 3)):
        by_many(count, line_bytes, rows)
        assert run(root) == alone


def breaking(root, place):
    rows = (root / "raw/a.jsonl").read_text().splitlines()
    rows[place] = '{"prompt": "x", }'
    (root / "raw/a.jsonl").write_text("\n".join(rows))


@pytest.mark.process
@pytest.mark.parametrize("count", [1, 3])
def test_the_first_broken_line_is_the_error_and_nothing_is_left(root, by_many, count):
    breaking(root, 190)
    breaking(root, 150)
    by_many(count)
    with pytest.raises(ValueError, match=r"raw/a\.jsonl: line 151, column 17: not valid JSON"):
        run(root)
    assert not (root / "data/collect_prompts").exists()
    assert [*(root / "data").iterdir()] == []


@pytest.mark.process
@pytest.mark.parametrize("count", [1, 3])
def test_an_earlier_source_that_bears_no_broken_rows_goes_before_a_later_one_that_cannot_be_read(root, by_many, count):
    given = sources()
    given[1]["max_broken"] = 0.0001
    given[2]["paths"] = ["raw/none.jsonl"]
    by_many(count)
    with pytest.raises(ValueError, match=r"raw/a\.jsonl: line \d+: .*rows are broken; max_broken is 0.0001"):
        collect(root, given)
    given[1]["max_broken"] = 1.0
    with pytest.raises(FileNotFoundError, match=r"none\.jsonl"):
        collect(root, given)


def collect(root, given):
    with spill.Spill(root / "spill") as places:
        return collect_prompts.collect(typed(section(given)), root, places, lambda *_: None)


class KillsItself(Worker):
    def __call__(self, task):
        if task.first > 100:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(task)


@pytest.mark.process
def test_a_killed_process_ends_the_stage_with_an_error_and_leaves_nothing(root, by_many, monkeypatch):
    by_many(2)
    monkeypatch.setattr(gathering, "Worker", KillsItself)
    monkeypatch.setattr(gathering, "FEW", 1)
    with pytest.raises(ChildProcessError, match="a worker process was killed by signal 9"):
        run(root)
    assert [*(root / "data").iterdir()] == []


def test_what_a_killed_run_left_on_disk_is_removed(root):
    old = root / "data/.collect_prompts.spill/records"
    old.parent.mkdir(parents=True)
    old.write_text("old")
    run(root)
    assert [path.name for path in (root / "data").iterdir()] == ["collect_prompts"]


def test_a_record_takes_little_memory():
    """A million of them take 121 MB."""
    assert FACTS.itemsize <= 128


def test_another_answer_to_the_same_prompt_is_counted_apart_from_the_same_answer(root):
    rows = [{"prompt": "Name a tree.", "response": text} for text in ("An oak.", "AN  OAK.", "A fir.", "A fir.")]
    (root / "raw/a.jsonl").write_text((root / "raw/a.jsonl").read_text() + lines(rows))
    before = json.loads(run(root)["metrics"])["collect_prompts"]["dropped"]
    card = (root / "data/collect_prompts/data_card.md").read_text()
    assert before["other_answer_to_the_same_prompt"] >= 2
    assert "| other_answer_to_the_same_prompt | a-" in card


def test_the_data_card_shows_a_few_dropped_rows_without_personal_data(root):
    card = run(root)["data_card.md"].decode()
    samples = card.partition("## Samples of what was dropped")[2]
    rows = [line.split(" | ") for line in samples.splitlines() if line.startswith("| ")][2:]
    by_reason = {row[0].removeprefix("| "): row for row in rows}
    assert max(sum(row[0] == f"| {reason}" for row in rows) for reason in by_reason) == 3
    assert "ann@example.org" not in card
    assert by_reason["near_duplicate"][3].strip(" |")
    assert "| personal_data_email | " in samples


def test_parquet_shards_of_a_data_set_give_the_bytes_of_the_one_file(root):
    """Where rows were made on other machines, the stage reads their shards: what is dropped and where it goes follows
    from their order alone."""
    import datasets

    rows = [row for row in demonstrations(random.Random(2), 300) if "prompt" in row or "messages" in row]
    plain = [
        {
            "prompt": row.get("prompt") or row["messages"][1]["content"],
            "response": "Yes.",
            "category": row.get("category"),
        }
        for row in rows
    ]
    (root / "raw/one.jsonl").write_text(lines(plain))
    one = run(root, [source("given", "raw/one.jsonl"), *sources()[3:5]])
    whole = datasets.Dataset.from_list(plain)
    for number in range(7):
        shard = whole.shard(7, number, contiguous=True)
        shard.to_parquet(root / f"raw/shard-{number:05}-of-00007.parquet")
    many = run(root, [source("given", "raw/shard-*.parquet"), *sources()[3:5]])
    assert {name for name in one if one[name] != many[name]} == {"data_card.md"}  # it names the files
    assert json.loads(many["metrics"])["collect_prompts"]["sources"]["given"]["read"] == len(plain)


def test_a_document_that_repeats_an_earlier_one_is_shown(root):
    (root / "raw/books.txt").write_text("\n<|endoftext|>\n".join(f"Book {number % 30}." for number in range(60)))
    card = run(root, [sources()[0], *sources()[3:5], source("a", "raw/a.jsonl", max_broken=0.2)])[
        "data_card.md"
    ].decode()
    assert "| exact_duplicate | a document of books | Book " in card


@pytest.mark.process
@pytest.mark.parametrize("count", [1, 2])
def test_progress_says_how_many_rows_are_read_and_how_fast_and_never_goes_back(root, by_many, monkeypatch, count):
    by_many(count)
    monkeypatch.setattr(gathering, "SECONDS", 0.0)
    monkeypatch.setattr(gathering, "MOST_SECONDS", 0.0)
    said = []
    with spill.Spill(root / "spill") as places:
        params = typed(section(sources()))
        collect_prompts.collect(params, root, places, lambda *point: said.append(point))
    steps = [step for step, _, _ in said]
    assert steps == sorted(steps)
    assert 0 < steps[0] < gathering.READING < steps[-1] < 100 == said[0][1]
    reading = [counts for _, _, counts in said if "rows_per_second" in counts]
    assert len(reading) > 20
    assert reading[-1]["rows"] == said[-1][2]["rows"] > reading[0]["rows"]
    assert reading[-1]["rows_per_second"] > 0


def test_prompts_that_were_held_against_a_part_of_the_others_are_said(root, capsys, monkeypatch):
    run(root)
    assert "near duplicates may stay" not in capsys.readouterr().out
    monkeypatch.setattr(near, "MOST", 0)
    run(root)
    assert "prompts share their rarest words with very many; near duplicates may stay" in capsys.readouterr().out
