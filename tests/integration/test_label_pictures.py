"""The four pictures of the labelling page in docs/people.md: SCREENSHOTS=docs/pictures makes them anew.

They want a font with Chinese characters (on Debian: fonts-wqy-zenhei), or those are boxes.
"""

import os
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests.apps.label import made
from tests.integration.label_pages import ARABIC, CODE, Labeler

MOST_BYTES = 150_000
FLAGS = ["fails the instruction", "inappropriate", "hallucination", "sexual", "violent", "encourages harm"]
SKY = [
    "Air scatters short waves of light more than long ones. Sunlight holds all colours; the blue part is scattered all "
    "over the sky, so blue reaches your eye from everywhere.",
    "Because it reflects the sea, which is blue.",
    "The sky is blue because of Rayleigh scattering, which Lord Rayleigh found in 1492 in Venice.",
    "Why do you want to know? Look it up.",
    "Sunlight meets air molecules. They scatter blue light most, as Rayleigh scattering says, and so the sky looks "
    "blue; at sunset light comes a longer way and only red is left.",
]
LOOP = [CODE, "sum(values)", "You can use recursion. It is very good and very fast and everybody uses it.", ARABIC]
CHINESE = [
    "杭州西湖很美，春天最适合去。可以先坐船游湖，再去灵隐寺，傍晚看雷峰塔。",
    "西湖在北京。",
    "去吧。",
    "不知道。",
]
PROMPTS = {
    "sky": ("Why is the sky blue? Explain it to a child of ten.", SKY),
    "loop": ("How do I add up a list of numbers in Python?\n\n```python\nvalues = [3, 1, 2]\n```", LOOP),
    "lake": ("周末去杭州，有什么建议？", CHINESE),
}


@pytest.fixture
def keep(screenshot, tmp_path):
    """Return a function that keeps a picture and looks at its size."""

    def kept(page: Labeler, name: str) -> None:
        page.script("document.documentElement.style.scrollBehavior = 'auto'")
        page.wait(lambda: page.script("return document.getAnimations().length") == 0, "nothing moves")
        screenshot(page.driver, name)
        size = (Path(os.environ.get("SCREENSHOTS", tmp_path)) / f"{name}.png").stat().st_size
        assert 5_000 < size < MOST_BYTES

    return kept


@pytest.fixture
def served(label_project, label_served):
    root = label_project(1, flags=FLAGS, overlap_share=1.0)
    rows = [
        made.prompt(0, id=name, messages=[{"role": "user", "content": asked}], responses=answers)
        for name, (asked, answers) in PROMPTS.items()
    ]
    made.write_lines(root / "data/collect_answers/r1/answers.train.jsonl", rows)
    return label_served(root)


def size(page: Labeler, width: int, height: int, theme: str) -> None:
    mobile = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", mobile)
    features = [{"name": "prefers-color-scheme", "value": theme}]
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def ranked(page: Labeler, best: list[str]) -> list[int]:
    """Return ranks that put answers in the order of `best`, all others last and tied."""
    return [best.index(text[:10]) + 1 if text[:10] in best else len(best) + 1 for text in page.answers]


def test_pictures(served, labelers, keep):
    orders = {"sky": (4, 0), "loop": (0, 1), "lake": (0,)}
    ada, ben = (labelers(served, name).open() for name in ("ada", "ben"))
    for one in (ada, ben):
        size(one, 1440, 900, "light")
    for one in (ben, ada):
        while one.see("#item"):
            name = next(name for name, (asked, _) in PROMPTS.items() if asked[:10] in one.prompt)
            best = [PROMPTS[name][1][index][:10] for index in orders[name]]
            if one is ben and name == "lake":
                best = best[::-1] + [PROMPTS[name][1][2][:10]]
            ranks = ranked(one, best)
            if one is ada and name == "sky":
                one.press(*map(str, ranks[:4]), Keys.ARROW_LEFT, "f")
                one.press("3", Keys.ENTER)
                one.with_key(Keys.SHIFT, "2")
                one.script("scrollTo(0, 0)")
                keep(ada, "label_wide")
                one.press(Keys.ARROW_RIGHT, str(ranks[4]))
            elif one is ada and name == "loop":
                size(one, 1440, 900, "dark")
                one.press(*map(str, ranks))
                one.press("e", " # of numbers")
                keep(ada, "label_dark")
                one.press(Keys.ESCAPE)
                size(one, 1440, 900, "light")
            elif one is ada and name == "lake":
                one.click("#menu summary")
                choose = "const one = document.getElementById('language'); one.value = arguments[0];"
                one.script(f"{choose} one.dispatchEvent(new Event('change'))", "zh")
                one.press(Keys.ESCAPE)
                size(one, 390, 844, "light")
                one.press(*map(str, ranks[:2]))
                one.script("scrollTo(0, 0)")
                keep(ada, "label_phone")
                one.press(*map(str, ranks[2:]))
                size(one, 1440, 900, "light")
                one.click("#menu summary")
                one.script(f"{choose} one.dispatchEvent(new Event('change'))", "en")
                one.press(Keys.ESCAPE)
            else:
                one.press(*map(str, ranks))
            one.wait(lambda one=one, ranks=ranks: one.ranks == ranks, "ranked")
            one.submit()
    size(ada, 900, 620, "light")
    ada.press("a")
    ada.wait(lambda: "ben" in ada.text("#dialog-body"), "the agreement")
    keep(ada, "label_agreement")
    assert ada.errors() == []
