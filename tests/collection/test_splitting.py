from collections import Counter, defaultdict

import numpy as np
import pytest

from rlhf.collection.duplicates import folding
from rlhf.collection.sets.assigning import Assigned, check_disjoint
from rlhf.collection.splitting import choices, point_of
from rlhf.params.collect_prompts import SPLITS, NearDuplicates
from tests.collect_prompts_section import ALL, section, source, typed
from tests.collect_prompts_table import Table, result
from tests.near import near_texts

SHARES = {"sft": 0.3, "reward_model": 0.2, "judge": 0.0, "ppo": 0.3, "validation": 0.1, "test": 0.1}
KINDS = {"response": "demonstration", "responses": "comparison"}
ORDER = ["kind", "id", "messages", "response", "responses", "labels", "user", "source"]
NEAR = NearDuplicates(threshold=0.7, shingle_words=2)


def params_of(groups, changes=None, **of_sources):
    sources = [source(name, "unread.jsonl", **of_sources.get(name, {})) for name in groups]
    sources.append(source("rowless", "unread.jsonl"))  # some source must list every split that has a share
    return typed(section(sources, **(changes or {}))).collect_prompts


def records_of(groups):
    """Return {source: records} of {source: [(prompt, user, what else the record holds)]}."""
    found = {}
    for name, rows in groups.items():
        found[name] = []
        for index, (text, user, *more) in enumerate(rows):
            messages = [{"role": "user", "content": text}]
            record = {"id": f"{name}-{index}", "messages": messages, "user": user, "source": name}
            record |= more[0] if more else {"response": "An answer"}
            record["kind"] = next((kind for key, kind in KINDS.items() if key in record), "prompt")
            found[name].append(dict(sorted(record.items(), key=lambda item: ORDER.index(item[0]))))
    return found


def whole(groups, changes=None, seed=1, **of_sources):
    found = result(records_of(groups), params_of(groups, changes, **of_sources), seed)
    dropped = sum(count.total() for count in found.drops.values())
    assert len(found.assigned) + dropped == sum(map(len, groups.values()))
    return found


def collect(groups, changes=None, **of_sources):
    """Return ([(record, split)], drops) of {source: [(prompt, user)]}; of_sources: {source: changes of its params}."""
    return whole(groups, changes, **of_sources)[:2]


@pytest.mark.parametrize(
    ("prompt", "user", "problem"),
    [("hi", None, "beginning of row 1 stands in two splits"), ("bye", "u", "user of row 1 stands in two splits")],
)
def test_a_prompt_or_a_user_in_two_splits_is_found(prompt, user, problem):
    table = Table(records_of({"a": [("hi", "u"), (prompt, user), ("another", None)]}), params_of({"a": []}))
    facts = table.gathered.facts
    if user is None:  # where users are unknown: of users who are known, each has dialogues of their own
        facts["beginning"][0] = facts["beginning"][1]
    sft, test = SPLITS.index("sft"), SPLITS.index("test")
    check_disjoint(facts, Assigned(np.arange(3), np.array([sft, sft, test])))
    with pytest.raises(AssertionError) as error:
        check_disjoint(facts, Assigned(np.arange(2), np.array([sft, test])))
    assert str(error.value) == problem
    table.close()


def test_parts_of_one_dialogue_are_in_one_split_unless_users_keep_theirs_together():
    turns = [
        {"role": role, "content": text} for role, text in (("user", "Hi"), ("assistant", "Yes?"), ("user", "Go on"))
    ]

    def records(user):
        for number in range(60):
            begun = [{**turns[0], "content": f"Hi {number}"}]
            for messages in (begun, [*begun, *turns[1:]], [*begun, *turns[1:], *turns[1:]]):
                yield {
                    "kind": "prompt",
                    "id": f"{number}.{len(messages)}",
                    "messages": messages,
                    "user": user(number),
                    "source": "a",
                }

    def splits(user):
        found = defaultdict(set)
        off = {"cleaning": {"near_duplicates": None}}
        for record, split in result({"a": records(user)}, params_of({"a": []}, off)).assigned:
            found[record["id"].split(".")[0]].add(split)
        return found.values()

    assert {len(found) for found in splits(lambda _: None)} == {1}
    assert len({split for found in splits(lambda _: None) for split in found}) > 2
    assert {len(found) for found in splits(lambda number: f"u{number}")} == {1}


def chosen(units, allowed, seed=1):
    splits, places = choices(np.array([point_of(unit, seed) for unit in units], np.uint64), allowed, SHARES)
    return [splits[place] for place in places]


def numbered(count, users=0):
    return [(f"Question number {n}?", f"u{n % users}" if users else None) for n in range(count)]


def placed(assigned):
    return {record["id"]: split for record, split in assigned}


def test_shares_are_met_and_a_share_of_zero_gets_nothing():
    counts = Counter(chosen([f"user/{n}" for n in range(20_000)], ALL))
    assert counts["judge"] == 0
    for split in SPLITS:
        assert counts[split] / 20_000 == pytest.approx(SHARES[split], abs=0.015)


def test_only_allowed_splits_are_chosen_in_proportion_to_their_shares():
    counts = Counter(chosen([f"user/{n}" for n in range(10_000)], ["sft", "test"]))
    assert set(counts) == {"sft", "test"}
    assert counts["sft"] / 10_000 == pytest.approx(0.75, abs=0.015)


def test_a_users_split_is_the_same_in_every_version():
    """Whoever was held out under a seed must not come to training when the code changes: this list may grow only."""
    found = chosen([f"user/{n}" for n in range(12)], ALL)
    assert " ".join(found) == (
        "reward_model ppo ppo ppo sft test ppo sft reward_model sft ppo sft"
    )  # fmt: skip


def test_new_data_moves_no_old_prompt_and_a_seed_moves_many():
    few, many = placed(collect({"a": numbered(300)})[0]), placed(collect({"a": numbered(600)})[0])
    assert few.items() <= many.items()
    units = [f"u{n}" for n in range(50)]
    assert chosen(units, ALL) != chosen(units, ALL, seed=2)


def test_all_prompts_of_a_user_go_one_way():
    assigned, _ = collect({"a": numbered(400, users=40)})
    splits = defaultdict(set)
    for record, split in assigned:
        splits[record["user"]].add(split)
    assert len(splits) == 40
    assert all(len(found) == 1 for found in splits.values())
    assert len(set.union(*splits.values())) == len(SPLITS)


def test_equal_names_of_users_in_two_sources_are_two_users():
    groups = {"a": [(f"A {n}?", "same") for n in range(5)], "b": [(f"B {n}?", "same") for n in range(5)]}
    assigned, _ = collect(groups, a={"splits": ["sft"]}, b={"splits": ["ppo"]})
    assert Counter(split for _, split in assigned) == {"sft": 5, "ppo": 5}


def test_case_and_spacing_make_no_new_prompt_but_a_history_does():
    texts = [("Name a  colour", None), ("name a colour\n", None), ("NAME A COLOUR", None)]
    assigned, drops = collect({"a": texts})
    assert [record["id"] for record, _ in assigned] == ["a-0"]
    assert drops["a"] == {"exact_duplicate": 2}
    assert len(collect({"a": texts}, {"cleaning": {"exact_duplicates": False}})[0]) == 3
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "x"}, {"role": "user", "content": "b"}]
    assert folding.prompt_text({"messages": turns}) != folding.prompt_text({"messages": turns[2:]})


def test_a_held_out_source_wins_over_a_training_source_listed_before_it():
    training, held_out = numbered(100), [(text.upper(), None) for text, _ in numbered(50)]
    assigned, drops = collect({"train": training, "bench": held_out}, bench={"splits": ["test"], "use": ["prompts"]})
    found = placed(assigned)
    assert [found[f"bench-{n}"] for n in range(50)] == ["test"] * 50
    assert drops["train"] == {"exact_duplicate": 50}
    assert not any(f"train-{n}" in found for n in range(50))


def test_a_test_source_wins_over_a_validation_source():
    groups = {"check": numbered(20), "bench": numbered(20)}
    assigned, drops = collect(
        groups, check={"splits": ["validation", "test"]}, bench={"splits": ["test"], "use": ["prompts"]}
    )
    assert {record["source"] for record, _ in assigned} == {"bench"}
    assert drops["check"] == {"exact_duplicate": 20}


def test_demonstrations_of_held_out_comparisons_are_dropped():
    groups = {"demos": numbered(20), "bench": [pair(text, "good") for text, _ in numbered(20)]}
    changes = {"bench": {"use": ["comparisons"], "splits": ["test"]}}
    assigned, drops = collect(groups, demos={"splits": ["sft", "ppo"]}, **changes)
    assert {record["source"] for record, _ in assigned} == {"bench"}
    assert drops["demos"] == {"prompt_in_another_split": 20}


def test_a_prompt_that_two_users_sent_follows_the_first_and_moves_neither():
    rows = [(text, f"{user}{n}", pair(text, user)[2]) for n, (text, _) in enumerate(numbered(60)) for user in "ab"]
    alone = {f"b{n}": f"Another thing {n}" for n in range(60)}
    rows += [(text, user, pair(text, "x")[2]) for user, text in alone.items()]
    assigned, drops = collect({"a": rows}, a={"use": ["comparisons", "prompts"], "splits": ["reward_model", "ppo"]})
    splits = {record["user"]: split for record, split in assigned}
    assert {f"a{n}" for n in range(60)} <= set(splits)
    assert set(alone) <= set(splits)
    assert 10 < drops["a"]["prompt_in_another_split"] < 50


def test_near_and_long_prefix_duplicates_of_held_out_prompts_are_dropped():
    long = "Please read the following story about a fox and tell me how it ends, and why it ends in that way: "
    train = [(long + "red fox", None), ("What is the tallest mountain on the island of Java today ?", None)]
    bench = [(long + "blue whale", None), ("What is the tallest mountain on the island of Java today", None)]
    changes = {"cleaning": {"common_prefix_characters": 80}}
    assigned, drops = collect({"train": train, "bench": bench}, changes, bench={"splits": ["test"], "use": ["prompts"]})
    assert set(placed(assigned)) == {"bench-0", "bench-1"}
    assert drops["train"] == {"common_prefix": 1, "near_duplicate": 1}
    off = {"cleaning": {"common_prefix_characters": None, "near_duplicates": None}}
    assert len(collect({"train": train, "bench": bench}, off)[0]) == 4


def test_a_prefix_counts_only_in_prompts_that_reach_it():
    def stay(texts, characters):
        changes = {"cleaning": {"common_prefix_characters": characters, "near_duplicates": None}}
        return {*placed(collect({"a": [(text, None) for text in texts]}, changes)[0])}

    assert stay(["abcd", "abc", "abcx", "abd"], 3) == {"a-0", "a-3"}
    assert stay(["ab", "ab c"], 4) == {"a-0", "a-1"}


def test_near_duplicates_reach_the_threshold_and_others_do_not():
    base = "one two three four five six seven eight nine ten eleven"  # ten pairs of words
    close = base.replace("eleven", "twelve")  # 9 of 11 pairs in common: 0.82
    far = base.replace("five", "5").replace("nine", "9")  # 6 of 14: 0.43
    assert near_texts([base, close, far], NEAR) == {close}
    for threshold, dropped in [(0.81, {close}), (9 / 11, {close}), (0.83, set())]:
        assert near_texts([base, close], NEAR.model_copy(update={"threshold": threshold})) == dropped
    assert near_texts(["今天天气怎么样我们去公园", "今天天气怎么样我们去公园吧", "明天吃什么"], NEAR) == {
        "今天天气怎么样我们去公园吧"
    }


def test_a_text_near_a_dropped_one_alone_stays():
    """A ~ B and B ~ C, while C is far from A: once B is dropped nothing is left that C repeats."""
    first = " ".join(f"w{n}" for n in range(21))  # 20 pairs of words
    second = first.replace("w0 ", "x0 ").replace("w1 ", "x1 ")  # 18 of 22 pairs in common with the first: 0.82
    third = second.replace("w19", "x19").replace("w20", "x20")  # as many with the second, 16 of 24 with the first: 0.67
    assert near_texts([first, second], NEAR) == {second}
    assert near_texts([second, third], NEAR) == {third}
    assert near_texts([first, third], NEAR) == set()
    assert near_texts([first, second, third], NEAR) == {second}


def test_nearly_all_planted_near_duplicates_are_found():
    texts = [" ".join(f"w{n}x{k}" for k in range(30)) for n in range(300)]
    planted = [text.replace("x29", "y29") for text in texts]  # 28 of 30 pairs in common: 0.93
    assert len(near_texts([*texts, *planted], NEAR) & set(planted)) >= 297
    below = [text.replace("x29", "y29").replace("x14", "y14").replace("x6", "y6") for text in texts]  # 24 of 34: 0.71
    assert near_texts([*texts, *below], NEAR.model_copy(update={"threshold": 0.75})) == set()


def test_at_most_so_many_prompts_a_user():
    changes = {"cleaning": {"max_prompts_per_user": 7, "near_duplicates": None}}
    assigned, drops = collect({"a": numbered(100, users=4)}, changes)
    assert Counter(record["user"] for record, _ in assigned) == dict.fromkeys(["u0", "u1", "u2", "u3"], 7)
    assert drops["a"] == {"over_user_limit": 72}
    assert len(collect({"a": numbered(100)}, changes)[0]) == 100


def test_a_cap_bounds_the_prompts_of_a_split_and_a_smaller_cap_is_a_part_of_a_larger():
    small = placed(collect({"a": numbered(500)}, {"max_prompts": {"ppo": 10}})[0])
    large = placed(collect({"a": numbered(500)}, {"max_prompts": {"ppo": 30}})[0])
    assert Counter(small.values())["ppo"] == 10
    assert Counter(large.values())["ppo"] == 30
    assert small.items() <= large.items()


def pair(text, better):
    labels = [{"labeler": "l", "ranks": [1, 2], "scores": None}]
    return (text, None, {"responses": [better, "bad"], "labels": labels})


def test_comparisons_of_one_prompt_stay_together_and_equal_ones_are_dropped():
    rows = [pair(f"Prompt {n}", better) for n in range(200) for better in ("good", "fine", "GOOD")]
    assigned, drops, files = whole({"a": rows}, a={"use": ["comparisons", "prompts"], "splits": ALL[1:]})
    assert drops["a"] == {"exact_duplicate": 200}
    splits = Counter(split for _, split in assigned)
    assert len(files["comparisons.train"]) == splits["reward_model"]
    assert len(files["comparisons.judge"]) == splits["judge"]
    assert len(files["comparisons.validation"]) == splits["validation"] + splits["test"]
    assert len(files["prompts.ppo"]) == splits["ppo"] / 2
    assert not any(key in record for record in files["prompts.ppo"] for key in ("responses", "labels"))


def test_demonstrations_of_sft_and_validation_are_used_and_others_give_their_prompts():
    assigned, _, files = whole({"a": numbered(400)})
    splits = Counter(split for _, split in assigned)
    assert len(files["demonstrations.train"]) == splits["sft"]
    assert len(files["demonstrations.validation"]) == len(files["prompts.validation"]) == splits["validation"]
    assert all("response" in record for record in files["demonstrations.train"])
    for split in ("reward_model", "judge", "ppo", "test"):
        assert len(files[f"prompts.{split}"]) == splits[split]
        assert not any("response" in record for record in files[f"prompts.{split}"])


def test_rows_that_their_users_split_cannot_use_are_counted():
    rows = [(f"Prompt {n}", "u", {}) for n in range(3)]
    _, drops = collect({"a": rows}, a={"splits": ["sft"]})
    assert drops["a"] == {"nothing_for_sft": 3}
    _, drops = collect({"a": [(text, None, {}) for text, _, _ in rows]}, a={"splits": ["sft"]})
    assert drops["a"] == {"no_split_takes_it": 3}


@pytest.mark.parametrize("user", ["u", None])
def test_prompts_in_a_source_of_documents_enter_no_split_and_are_counted(user):
    _, drops = collect({"a": [("Prompt", user)]}, a={"use": ["documents"], "splits": []})
    assert drops["a"] == {"no_split_takes_it": 1}


def test_files_are_shuffled_the_same_way_for_a_seed():
    files = whole({"a": numbered(400)}).files
    assert files == whole({"a": numbered(400)}).files
    other = whole({"a": numbered(400)}, seed=2).files
    assert files["prompts.ppo"] != other["prompts.ppo"]
    indices = [int(record["id"].removeprefix("a-")) for record in files["prompts.ppo"]]
    assert indices != sorted(indices)


def test_a_slice_apart_takes_no_prompt_from_the_test_and_validation_sets():
    apart = {"splits": ["test"], "use": ["prompts"], "apart": True}
    held = {"splits": ["validation", "test"]}
    groups = {"apart": [], "held": [], "train": []}
    for number in range(40):
        groups["held"].append((f"held {number} prompt", None))
        groups["train"].append((f"own {number} prompt", None))
        groups["apart"].append((f"{'held' if number < 20 else 'own'} {number} prompt", None, {}))
    alone = {name: groups[name] for name in ("held", "train")}
    with_it, _ = collect(groups, apart=apart, held=held)
    without, _ = collect(alone, held=held)
    own = [[(one["id"], split) for one, split in found if one["source"] == "held"] for found in (with_it, without)]
    assert own[0] == own[1]
    assert len(own[0]) == 40
    kept = {one["id"] for one, _ in with_it if one["source"] == "apart"}
    assert kept == {f"apart-{number}" for number in range(20, 40)}
    trained = {one["id"] for one, _ in with_it if one["source"] == "train"}
    assert not trained & {f"train-{number}" for number in range(20, 40)}
