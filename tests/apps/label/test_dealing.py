"""Who gets which prompt: each one once, those meant for several by several, whatever closes, lapses or is killed."""

import pytest

from apps.label import leases
from apps.label.board import SKIPS
from rlhf.people import sharing
from tests.apps.label import made
from tests.apps.label.made import Person


def people(work, *names: str) -> list[Person]:
    return [Person(work, name) for name in names]


def clock_of(work, monkeypatch) -> list[float]:
    """Return the time by which leases lapse, in seconds, for a test to set."""
    now = [0.0]
    monkeypatch.setattr(work.board.leases, "clock", lambda: now[0])
    return now


def test_two_people_never_have_the_same_prompt(tmp_path):
    work = made.work(made.project(tmp_path, [made.prompt(number) for number in range(6)]))
    ada, ben, eva = people(work, "ada", "ben", "eva")
    seen = []
    for _ in range(2):
        items = [one.next() for one in (ada, ben, eva)]
        seen += [item["key"] for item in items]
        for one, item in zip((ada, ben, eva), items, strict=True):
            one.submit(item)
    assert len(set(seen)) == 6
    assert [one.next() for one in (ada, ben, eva)] == [None, None, None]


def test_a_prompt_meant_for_several_goes_to_so_many_and_each_person_once(tmp_path):
    rows = [made.prompt(number) for number in range(4)]
    work = made.work(made.project(tmp_path, rows, overlap_share=1.0, overlap_labelers=2))
    crew = people(work, "ada", "ben", "eva")
    given: dict[str, list[str]] = {}
    going = True
    while going:
        going = False
        for one in crew:
            item = one.next()
            if item:
                going = True
                given.setdefault(item["key"], []).append(one.name)
                one.submit(item)
    assert sorted(map(len, given.values())) == [2, 2, 2, 2]
    assert all(len(set(names)) == 2 for names in given.values())


def test_what_others_have_begun_comes_first_so_that_agreement_is_known_early(tmp_path):
    rows = [made.prompt(number) for number in range(20)]
    work = made.work(made.project(tmp_path, rows, overlap_share=0.3))
    ada, ben = people(work, "ada", "ben")
    order = list(work.board.items.values())
    assert order[0].wanted == 1
    for _ in order:
        ada.submit(ada.next())
    ada.post("withdraw", item=order[0].key, id="a" * 32)
    shared = [item.key for item in order if item.wanted == 2]
    assert ben.next()["key"] == shared[0], "not what is first and nobody has begun"


def test_the_share_that_several_judge_is_the_same_for_all_who_ask():
    wanted = [sharing.wanted(f"p{number}", 0.3, 3) for number in range(1000)]
    assert 250 < wanted.count(3) < 350
    assert set(wanted) == {1, 3}
    assert wanted == [sharing.wanted(f"p{number}", 0.3, 3) for number in range(1000)]
    assert {sharing.wanted("p", share, 2) for share in (0.0, 1.0)} == {1, 2}


def test_asked_again_a_labeler_gets_what_is_before_them_on_any_browser(tmp_path):
    work = made.work(made.project(tmp_path, [made.prompt(number) for number in range(3)]))
    ada, also_ada = people(work, "ada", "ada")
    assert ada.next() == also_ada.next() == ada.next()


def test_orders_differ_between_labelers_and_stay_for_one(tmp_path):
    root = made.project(
        tmp_path, [made.prompt(number, num=6) for number in range(8)], overlap_share=1.0, overlap_labelers=3
    )
    crew = people(made.work(root), "ada", "ben", "eva")
    orders = {one.name: {} for one in crew}
    for _ in range(8):
        for one in crew:
            item = one.next()
            orders[one.name][item["key"]] = tuple(item["answers"])
            one.submit(item)
    assert len({orders[name][key] for name in orders for key in orders[name]}) > 20
    again = people(made.work(root), "ada")[0].post("previous", item=None)["item"]
    assert tuple(again["answers"]) == orders["ada"][again["key"]]


def test_a_page_is_told_neither_pool_nor_policy_nor_source(tmp_path):
    rows = [made.prompt(0, policy="ppo/r1", source="secret source", gold=[1, 2, 3, 4])]
    root = made.project(tmp_path, [], rows)
    item = people(made.work(root), "ada")[0].next()
    assert set(item) == {"key", "messages", "answers", "language", "training", "judgement", "draft", "enough"}
    assert "secret" not in str(item) and "ppo" not in str(item) and "judge" not in str(item["key"])


def test_a_lease_lapses_without_a_sign_of_life_and_a_sign_renews_it(tmp_path, monkeypatch):
    work = made.work(made.project(tmp_path, [made.prompt(0)]))
    now = clock_of(work, monkeypatch)
    ada, ben = people(work, "ada", "ben")
    item = ada.next()
    now[0] = leases.SECONDS - 1
    ada.post("alive", item=item["key"])
    now[0] += leases.SECONDS - 1
    assert ben.next() is None
    now[0] += 2
    assert ben.next()["key"] == item["key"]
    assert ada.post("alive", item=item["key"])["enough"], "it is another's now, which the page says"


def test_a_restart_keeps_leases(tmp_path):
    root = made.project(tmp_path, [made.prompt(number) for number in range(3)])
    ada = Person(made.work(root), "ada")
    first = ada.next()
    ada.submit(first)
    second = ada.next()
    work = made.work(root)
    ben = Person(work, "ben")
    third = ben.next()
    assert third["key"] not in (first["key"], second["key"])
    ben.submit(third)
    assert ben.next() is None
    assert Person(work, "ada").next()["key"] == second["key"]


def test_a_torn_line_of_leases_is_passed_over(tmp_path):
    root = made.project(tmp_path, [made.prompt(0)])
    Person(made.work(root), "ada").next()
    with open(root / ".cache/label/r1/leases.jsonl", "a") as file:
        file.write('{"labeler": "ben", "it')
    assert Person(made.work(root), "ben").next() is None


def test_what_comes_late_is_taken_and_said(tmp_path, monkeypatch):
    root = made.project(tmp_path, [made.prompt(0)])
    work = made.work(root)
    now = clock_of(work, monkeypatch)
    ada, ben = people(work, "ada", "ben")
    item = ada.next()
    now[0] = leases.SECONDS + 1
    ben.submit(ben.next())
    assert ada.submit(item)["enough"]
    assert [len(made.lines(root, name)) for name in ("ada", "ben")] == [1, 1]


def test_a_draft_that_outlived_its_lease_is_shown_again_also_when_others_have_finished(tmp_path, monkeypatch):
    work = made.work(made.project(tmp_path, [made.prompt(0), made.prompt(1)]))
    now = clock_of(work, monkeypatch)
    ada, ben = people(work, "ada", "ben")
    item = ada.next()
    ada.post("draft", item=item["key"], client="c", number=1, draft={"ranks": [1, None, None, None]})
    now[0] = leases.SECONDS + 1
    for _ in range(2):
        ben.submit(ben.next())
    back = ada.next()
    assert (back["key"], back["enough"], back["draft"]) == (item["key"], True, {"ranks": [1, None, None, None]})


def test_a_draft_that_outlived_its_lease_waits_while_another_has_its_prompt(tmp_path, monkeypatch):
    work = made.work(made.project(tmp_path, [made.prompt(0), made.prompt(1)]))
    now = clock_of(work, monkeypatch)
    ada, ben = people(work, "ada", "ben")
    item = ada.next()
    ada.post("draft", item=item["key"], client="c", number=1, draft={"ranks": [1, None, None, None]})
    now[0] = leases.SECONDS + 1
    taken = ben.next()
    assert taken["key"] == item["key"]
    other = ada.next()
    assert other["key"] != item["key"]
    ada.submit(other)
    assert ada.next() is None
    ben.submit(taken)
    back = ada.next()
    assert (back["key"], back["enough"], back["draft"]) == (item["key"], True, {"ranks": [1, None, None, None]})


def test_a_lease_that_lapsed_and_went_to_another_does_not_come_back_with_a_restart(tmp_path, monkeypatch):
    root = made.project(tmp_path, [made.prompt(0)])
    work = made.work(root)
    now = clock_of(work, monkeypatch)
    ada, ben = people(work, "ada", "ben")
    item = ada.next()
    now[0] = leases.SECONDS + 1
    assert ben.next()["key"] == item["key"]
    work = made.work(root)
    ada, ben = people(work, "ada", "ben")
    assert ada.next() is None
    assert work.board.leases.holders(item["key"]) == {"ben"}
    ben.submit(ben.next())
    assert ada.next() is None, "somebody has finished it, and ada has not begun"


def test_a_lapsed_lease_of_what_another_finished_late_does_not_come_back_with_a_restart(tmp_path, monkeypatch):
    root = made.project(tmp_path, [made.prompt(0)])
    work = made.work(root)
    now = clock_of(work, monkeypatch)
    ada, ben = people(work, "ada", "ben")
    item = ben.next()
    now[0] = leases.SECONDS + 1
    assert ada.next()["key"] == item["key"]
    now[0] = 2 * leases.SECONDS + 2
    ben.submit(item)
    assert Person(made.work(root), "ada").next() is None


def test_a_skipped_prompt_goes_to_another_and_to_no_third(tmp_path):
    work = made.work(made.project(tmp_path, [made.prompt(0)]))
    crew = people(work, "ada", "ben", "eva")
    assert SKIPS == 2
    for one in crew[:2]:
        one.submit(one.next(), skipped="unclear")
    assert crew[2].next() is None


def test_both_pools_are_dealt_together_in_one_shuffled_order(tmp_path):
    train = [made.prompt(number) for number in range(20)]
    judge = [made.prompt(number) for number in range(20, 40)]
    work = made.work(made.project(tmp_path, train, judge))
    pools = [item.pool for item in work.board.items.values()]
    assert pools.count("judge") == 20
    assert 3 < pools[:20].count("judge") < 17


def test_a_name_typed_elsewhere_in_this_browser_takes_no_judgement_of_an_open_page(tmp_path):
    root = made.project(tmp_path, [made.prompt(0)])
    ada = Person(made.work(root), "ada")
    item = ada.next()
    ada.client.post("/api/name", json={"name": "ben"})
    answer = ada.send("submit", **ada.form(item))
    assert answer.status_code == 403, "the page keeps it: nobody has said that it is wrong"
    assert "ben" in answer.json()["error"]
    assert made.lines(root, "ada") == made.lines(root, "ben") == []


@pytest.mark.parametrize("name", ["../up", "a b", "", "x" * 41, "é", None, 5])
def test_a_name_that_can_be_no_file_is_refused(tmp_path, name):
    nobody = Person(made.work(made.project(tmp_path, [made.prompt(0)])), None)
    assert nobody.client.post("/api/name", json={"name": name}).status_code == 422
    assert nobody.send("next").status_code == 403
