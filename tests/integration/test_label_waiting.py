"""The labelling page when nothing is left: what it says, when it looks again, and that it leaves the person alone."""

import time

from tests.integration.label_pages import Labeler

FAST = """
performance.setResourceTimingBufferSize(10_000);
const [later, often] = [setTimeout, setInterval];
window.setTimeout = (does, milliseconds) => later(does, Math.min(milliseconds, 200));
window.setInterval = (does, milliseconds) => often(does, Math.min(milliseconds, 200));
"""
LATER = "const real = performance.now.bind(performance); performance.now = () => real() + arguments[0] * 60_000;"
ASKED = "return performance.getEntriesByType('resource').filter(one => one.name.endsWith(arguments[0])).length"
FOCUS = "return document.activeElement.id"


def asked(page: Labeler, path: str) -> int:
    return page.script(ASKED, f"/api/{path}")


def later(page: Labeler, minutes: int) -> None:
    """Let minutes go by in which nobody is at the page."""
    page.script(LATER, minutes)


def asks_no_more(page: Labeler, path: str) -> bool:
    time.sleep(0.5)  # what was under way
    before = asked(page, path)
    time.sleep(1.5)
    return asked(page, path) == before


def test_one_labeler_alone_is_told_that_another_is_waited_for_and_looks_no_more(label_project, label_served, labelers):
    root = label_project(2, overlap_share=1.0)
    ada = labelers(label_served(root), "ada").open()
    ada.script(FAST)
    for _ in range(2):
        ada.rank([1] * len(ada.answers))
        ada.submit()
    assert ada.text("#nothing-text").endswith("2 of the prompts wait for another labeler.")
    assert asks_no_more(ada, "next")


def test_it_looks_while_others_have_prompts_and_somebody_is_there_and_takes_no_focus(
    label_project, label_served, labelers
):
    server = label_served(label_project(2))
    ada, ben = labelers(server, "ada").open(), labelers(server, "ben").open()
    ada.script(FAST)
    ada.rank([1] * len(ada.answers))
    ada.submit()
    assert "1 of the prompts, which others have before them" in ada.text("#nothing-text")
    assert ada.script(FOCUS) == "nothing"
    ada.click("#menu summary")
    ada.script("document.getElementById('language').focus()")
    before = asked(ada, "next")
    ada.wait(lambda: asked(ada, "next") > before + 1, "it looks again")
    assert ada.script(FOCUS) == "language"

    later(ada, 29)
    ada.wait(lambda: asked(ada, "next") > before + 3, "it still looks")
    later(ada, 2)
    ben.press("s", "1")
    ben.submit()
    assert asks_no_more(ada, "next")
    assert not ada.see("#item"), "who is away takes no prompt"
    ada.script("dispatchEvent(new Event('pointermove'))")
    ada.wait(lambda: ada.see("#item"), "the prompt that became free")


def test_a_prompt_that_comes_by_itself_is_no_sign_of_a_person(label_project, label_served, labelers):
    server = label_served(label_project(2))
    ada, ben = labelers(server, "ada").open(), labelers(server, "ben").open()
    ada.script(FAST)
    ada.rank([1] * len(ada.answers))
    ada.submit()
    later(ada, 29)
    ben.press("s", "1")
    ben.submit()
    ada.wait(lambda: ada.see("#item"), "the prompt that became free")
    ada.script("document.getElementById('show-agreement').click()")  # then a sign of life is sent often, if at all
    before = asked(ada, "alive")
    ada.wait(lambda: asked(ada, "alive") > before, "a sign of life")
    later(ada, 2)
    assert asks_no_more(ada, "alive")
