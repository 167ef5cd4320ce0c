"""What whoever has nothing left is told: what others have before them, and what another labeler must judge."""

from tests.apps.label import made
from tests.apps.label.made import Person


def waits(person: Person) -> tuple[int, int]:
    own = person.post("alive", item=None)["progress"]["own"]["waits"]
    return own["left"], own["for_others"]


def test_one_labeler_alone_waits_for_nobodys_prompts(tmp_path):
    rows = [made.prompt(number) for number in range(3)]
    ada = Person(made.work(made.project(tmp_path, rows, overlap_share=1.0)), "ada")
    assert waits(ada) == (3, 0)
    for done in range(1, 4):
        ada.submit(ada.next())
        assert waits(ada) == (3 - done, done)
    assert ada.next() is None


def test_what_others_have_before_them_is_left_and_what_one_skipped_is_for_others(tmp_path):
    work = made.work(made.project(tmp_path, [made.prompt(0), made.prompt(1)]))
    ada, ben = Person(work, "ada"), Person(work, "ben")
    ada.submit(ada.next())
    item = ben.next()
    assert (ada.next(), waits(ada), waits(ben)) == (None, (1, 0), (1, 0))
    ben.submit(item, skipped="unclear")
    assert (waits(ada), waits(ben)) == ((1, 0), (0, 1))
    ada.submit(ada.next())
    assert (waits(ada), waits(ben)) == ((0, 0), (0, 0))
