"""The labelling page at keyboards of other layouts: a digit is meant where the row above the letters types another."""

from selenium.webdriver.common.keys import Keys

from tests.integration.label_pages import Labeler, saved

AZERTY = dict(zip("123456789", "&é\"'(-è_ç", strict=True))
SHIFT = 8  # among the modifiers of a key event


def typed(page: Labeler, digits: str, shift: bool = False) -> None:
    """Press keys of the row above the letters of a French keyboard, which types digits with Shift."""
    for digit in digits:
        key = digit if shift else AZERTY[digit]
        event = {"key": key, "code": f"Digit{digit}", "modifiers": SHIFT if shift else 0}
        page.driver.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyDown", "text": key, **event})
        page.driver.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyUp", **event})


def test_a_french_keyboard_ranks_without_shift_and_rates_with_it(label_project, label_served, labelers):
    root = label_project(2)
    ada = labelers(label_served(root), "ada").open()
    num = len(ada.answers)
    typed(ada, "134")
    ada.wait(lambda: ada.ranks[:3] == [1, 3, 4], "ranks that keys without Shift gave")
    ada.press(*[Keys.NUMPAD2] * (num - 3))
    ada.wait(lambda: ada.ranks[3:] == [2] * (num - 3), "ranks of the keys beside")
    typed(ada, "6", shift=True)
    ada.press("f")
    ada.wait(lambda: ada.see("#dialog"), "the flags")
    typed(ada, "1")
    ada.press(Keys.ESCAPE)
    ada.submit()
    ada.press("s")
    ada.wait(lambda: ada.see("#dialog"), "the reasons")
    typed(ada, "3")
    ada.submit()
    first, second = saved(root, "ada")
    order = first["order"]
    assert [first["ranks"][index] for index in order] == [1, 3, 4, *[2] * (num - 3)]
    assert [first["ratings"][index] for index in order] == [*[None] * (num - 1), 6]
    assert first["flags"][order[-1]] == ["fails_instruction"]
    assert second["skipped"] == "expertise"
