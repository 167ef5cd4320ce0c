"""Drafts: the last one stands, on any browser and after a kill; one sent late does not come back."""

from apps.label import drafts
from apps.label.drafts import Draft, Drafts
from tests.apps.label import made
from tests.apps.label.made import Person


def draft(number: int, client: str = "c", **content) -> Draft:
    return Draft(client, number, content or {"n": number})


def test_what_was_kept_is_there_for_another_process(tmp_path):
    some = Drafts(tmp_path)
    some.keep("ada", "one", draft(1, text="日本 \u2028"))
    some.keep("ada", "two", draft(2))
    some.keep("ben", "one", draft(1))
    assert Drafts(tmp_path).of("ada") == some.of("ada") == {"one": draft(1, text="日本 \u2028"), "two": draft(2)}


def test_of_one_page_an_earlier_one_that_comes_late_is_not_kept(tmp_path):
    some = Drafts(tmp_path)
    assert some.keep("ada", "one", draft(2))
    assert not some.keep("ada", "one", draft(1))
    assert some.of("ada")["one"].number == 2
    assert some.keep("ada", "one", draft(1, client="another"))


def test_the_oldest_go_where_there_are_too_many(tmp_path, monkeypatch):
    monkeypatch.setattr(drafts, "MOST", 2)
    some = Drafts(tmp_path)
    for number, key in enumerate("abac", start=1):
        some.keep("ada", key, draft(number))
    assert list(some.of("ada")) == ["a", "c"]


def test_a_file_that_holds_none_is_put_aside_and_said(tmp_path, capsys):
    (tmp_path / "ada.json").write_text('{"x": 1}')
    assert Drafts(tmp_path).of("ada") == {}
    assert (tmp_path / "ada.unreadable").read_text() == '{"x": 1}'
    assert "ada.json" in capsys.readouterr().err


def test_submitting_ends_a_draft_and_one_on_its_way_does_not_revive_it(tmp_path):
    work = made.work(made.project(tmp_path, [made.prompt(0), made.prompt(1)]))
    ada = Person(work, "ada")
    item = ada.next()
    about = {"item": item["key"], "client": "c", "draft": {"ranks": [1, 2, None, None], "replaces": None}}
    assert ada.post("draft", number=1, **about)["kept"]
    assert Person(made.work(tmp_path), "ada").next()["draft"] == about["draft"]
    ada.submit(item)
    assert not ada.post("draft", number=2, **about)["kept"]
    assert work.drafts.of("ada") == {}


def test_submitting_a_change_ends_its_draft_and_one_on_its_way_does_not_revive_it(tmp_path):
    work = made.work(made.project(tmp_path, [made.prompt(0)]))
    ada = Person(work, "ada")
    item = ada.next()
    first = ada.submit(item)["id"]
    late = {"item": item["key"], "client": "c", "draft": {"ranks": [2, 2, 1, 1], "replaces": first}}
    assert ada.post("draft", number=1, **late)["kept"]
    second = ada.submit(item, ranks=[1, 1, 1, 1])["id"]
    assert not ada.post("draft", number=2, **late)["kept"]
    assert work.drafts.of("ada") == {}
    late["draft"]["replaces"] = second
    assert ada.post("draft", number=3, **late)["kept"]
    ada.post("withdraw", item=item["key"], id="f" * 32)
    assert not ada.post("draft", number=4, **late)["kept"]
    assert ada.next()["draft"] is None


def test_a_draft_of_a_change_is_shown_with_what_was_said_before(tmp_path):
    ada = Person(made.work(made.project(tmp_path, [made.prompt(0)])), "ada")
    item = ada.next()
    said = ada.submit(item)["id"]
    changed = {"ranks": [1, 1, 1, 1], "replaces": said}
    assert ada.post("draft", item=item["key"], client="c", number=1, draft=changed)["kept"]
    back = ada.post("previous", item=None)["item"]
    assert (back["draft"], back["judgement"]["ranks"]) == (changed, [1, 2, 3, 4])
    ada.submit(back, ranks=[1, 1, 1, 1])
    assert ada.post("previous", item=None)["item"]["draft"] is None


def test_a_draft_whose_judgement_came_before_the_server_was_killed_is_not_shown_over_it(tmp_path):
    work = made.work(made.project(tmp_path, [made.prompt(0)]))
    ada = Person(work, "ada")
    item = ada.next()
    about = {"item": item["key"], "client": "c", "draft": {"ranks": [4, 3, 2, 1], "replaces": None}}
    ada.post("draft", number=1, **about)
    (file,) = work.drafts.folder.glob("ada.json")
    before = file.read_bytes()
    ada.submit(item)
    file.write_bytes(before)  # as where the server ends between the judgement and the draft's end
    back = Person(made.work(tmp_path), "ada").post("previous", item=None)["item"]
    assert (back["draft"], back["judgement"]["ranks"]) == (None, [1, 2, 3, 4])


def test_one_that_an_earlier_page_could_not_send_is_kept_unless_there_is_a_newer_one(tmp_path):
    work = made.work(made.project(tmp_path, [made.prompt(0)]))
    ada = Person(work, "ada")
    item = ada.next()["key"]

    def sent(client: str, at: object, resumed: object) -> bool:
        draft = {"ranks": [1, None, None, None], "at": at}
        return ada.post("draft", item=item, client=client, number=1, draft=draft, resumed=resumed)["kept"]

    assert sent("a", 50, True)
    assert not sent("b", 49, True)
    assert sent("c", 51, True)
    assert not sent("d", "later", True)
    assert work.drafts.of("ada")[item].client == "c"
    assert sent("e", 1, False), "an open page's is the last, whatever its clock says"


def test_a_draft_is_bounded_and_has_a_form(tmp_path):
    ada = Person(made.work(made.project(tmp_path, [made.prompt(0)])), "ada")
    item = ada.next()["key"]
    for wrong in ({"client": 1}, {"number": "1"}, {"draft": []}, {"item": None}, {"draft": {"text": "x" * 900_001}}):
        about = {"item": item, "client": "c", "number": 1, "draft": {}, **wrong}
        assert ada.send("draft", **about).status_code == 422, wrong
