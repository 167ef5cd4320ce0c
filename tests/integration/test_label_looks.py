"""How the labelling page looks and is named: any text, width, colour, language; by touch; by Tab and Enter alone."""

import time

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.apps.label import made
from tests.integration.label_pages import ARABIC, CHINESE, CODE, LONG, MARKUP, saved

SPECIAL = [LONG, CODE, ARABIC, CHINESE, MARKUP, "Short.", "A line\n  and an indented one."]


def special(root, label_served, labelers, *switches):
    file = root / "data/collect_answers/r1/answers.train.jsonl"
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"{ARABIC}\n\n{MARKUP}"}]
    made.write_lines(file, [made.prompt(0, responses=SPECIAL, messages=asked)])
    return labelers(label_served(root), "ada", *switches).open()


def test_whatever_a_text_holds_is_shown_as_it_is(label_project, label_served, labelers, screenshot):
    root = label_project(1)
    ada = special(root, label_served, labelers)
    assert ada.driver.title == "Labelling r1"
    assert ada.driver.find_elements(By.CSS_SELECTOR, "#item img, #item script, #item b:not(.place b)") == []
    by_text = {
        text: ada.driver.find_elements(By.CSS_SELECTOR, ".answer .text")[place]
        for place, text in enumerate(ada.answers)
    }
    assert MARKUP in by_text
    code = ada.driver.find_element(By.CSS_SELECTOR, ".answer pre code")
    assert "    for value in values:\n        result += value" in code.get_property("textContent")
    assert "mono" in code.value_of_css_property("font-family").lower()
    arabic = next(one for text, one in by_text.items() if text.startswith("مرحبا")).find_element(By.TAG_NAME, "p")
    assert arabic.value_of_css_property("direction") == "rtl"
    long = next(one for text, one in by_text.items() if text.startswith("Paragraph 0"))
    assert long.get_property("scrollHeight") > long.get_property("clientHeight")
    assert long.get_attribute("tabindex") == "0", "it scrolls by keys"
    screenshot(ada.driver, "label-special")
    ada.press("x")
    ada.wait(lambda: long.get_property("scrollHeight") == long.get_property("clientHeight"), "the whole text")
    assert "indented" in " ".join(by_text)
    assert ada.errors() == []


NAMES = """
const named = (one) => one.getAttribute('aria-label') || one.textContent.trim() || one.getAttribute('aria-labelledby')
  || one.labels?.[0]?.textContent.trim();
const all = 'button, a, input, select, textarea, summary, [role=group], section, progress, dialog[open]';
return [...document.querySelectorAll(all)]
  .filter((one) => one.checkVisibility() && !named(one)).map((one) => one.outerHTML);
"""
CONTRAST = """
const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
const rgba = (text) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = text;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const linear = (part) => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const ground = (one) => {
  for (; one; one = one.parentElement) {
    const found = rgba(getComputedStyle(one).backgroundColor);
    if (found[3] === 255) return found;
  }
  throw new Error('nothing behind it has a colour');
};
const bad = [];
for (const one of document.querySelectorAll('body *')) {
  if (!one.checkVisibility() || one.closest('.quiet, .skip-link, option') || one.disabled) continue;
  if (![...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())) continue;
  const [more, less] = [light(rgba(getComputedStyle(one).color)), light(ground(one))].sort((x, y) => y - x);
  const ratio = (more + 0.05) / (less + 0.05);
  if (ratio < 4.5) bad.push(`${one.tagName}.${one.className} ${ratio.toFixed(2)} ${one.textContent.slice(0, 30)}`);
}
return bad;
"""
CHOOSE = """
const choose = (id, value) => {
  const select = document.getElementById(id);
  select.value = value;
  select.dispatchEvent(new Event('change'));
};
choose"""
BOX = """
const box = arguments[0].getBoundingClientRect();
return [box.x + box.width / 2, box.y + box.height / 2, box.width, box.height];
"""
RING = """
const style = getComputedStyle(document.activeElement);
return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
"""
WIDE = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_fits_reads_and_is_named_at_any_width_colour_and_language(
    label_project, label_served, labelers, screenshot, width, theme, language
):
    root = label_project(1)
    ada = special(root, label_served, labelers)
    ada.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    ada.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    )
    if language == "zh":
        ada.click("#menu summary")
        ada.script(
            "const s = document.getElementById('language'); s.value = 'zh'; s.dispatchEvent(new Event('change'))"
        )
        assert ada.script("return document.documentElement.lang") == "zh"
        assert ada.text("#submit-text") == "提交"
        ada.driver.refresh()
        ada.wait(lambda: ada.see("#item") and ada.text("#submit-text") == "提交", "the language is remembered")
    ground = ada.script("return getComputedStyle(document.body).backgroundColor")
    assert ada.script(WIDE) <= 0, "nothing but code scrolls sideways"
    ada.press("1", "2", "2")
    screenshot(ada.driver, f"label-{width}-{theme}-{language}")
    for keys in ("", "?", *(f"{Keys.ESCAPE}{key}" for key in "fsaie")):  # with every window open
        ada.press(*keys)
        time.sleep(0.2)
        assert ada.script(NAMES) == []
        assert ada.script(CONTRAST) == []
        assert ada.script(WIDE) <= 0
    dark = sum(int(part) for part in ground.removeprefix("rgb(").rstrip(")").split(", ")) < 200
    assert dark == (theme == "dark")
    ada.press(Keys.ESCAPE)
    ada.script(f"{CHOOSE}('theme', arguments[0])", "light" if theme == "dark" else "dark")
    assert ada.script("return getComputedStyle(document.body).backgroundColor") != ground
    assert ada.errors() == []


def test_on_a_phone_everything_is_done_by_touch(label_project, label_served, labelers):
    root = label_project()
    ada = labelers(label_served(root), "ada").open()
    ada.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    )
    ada.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})

    def tap(element) -> None:
        ada.script("arguments[0].scrollIntoView({block: 'center'})", element)
        box = ada.script(BOX, element)
        assert min(box[2:]) >= 24
        for kind, points in (("touchStart", [{"x": box[0], "y": box[1]}]), ("touchEnd", [])):
            ada.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def button(card: int, group: str, text: str):
        found = ada.driver.find_elements(By.CSS_SELECTOR, ".answer")[card].find_elements(
            By.CSS_SELECTOR, f".{group} button"
        )
        return next(one for one in found if one.text == text)

    num = len(ada.answers)
    for card in range(num):
        tap(button(card, "ranks", str(min(card + 1, 2))))
        ada.wait(lambda card=card: ada.ranks[card] == min(card + 1, 2), "the rank that was touched")
    tap(button(0, "ratings", "7"))
    tap(ada.driver.find_element(By.CSS_SELECTOR, ".answer .flag"))
    ada.wait(lambda: ada.see("#dialog"), "the flags")
    tap(ada.driver.find_element(By.CSS_SELECTOR, "#dialog .choice"))
    tap(ada.driver.find_element(By.CSS_SELECTOR, "#dialog-buttons button"))
    ada.wait(lambda: not ada.see("#dialog"), "closed")
    before = ada.prompt
    tap(ada.driver.find_element(By.ID, "submit"))
    ada.wait(lambda: ada.prompt != before, "the next prompt")
    (line,) = saved(root, "ada")
    order = line["order"]
    assert [line["ranks"][index] for index in order] == [1] + [2] * (num - 1)
    assert line["ratings"][order[0]] == 7
    assert line["flags"][order[0]] == ["fails_instruction"]
    tap(ada.driver.find_element(By.ID, "undo"))
    ada.wait(lambda: ada.prompt == before, "back")


def test_by_tab_and_enter_alone_a_prompt_is_ranked(label_project, label_served, labelers):
    """As a screen reader's user does, whose digits go elsewhere: the focus is seen, and stays where it was used."""
    root = label_project()
    ada = labelers(label_served(root), "ada").open()
    reached = 0
    for _ in range(200):
        ada.press(Keys.TAB)
        focus = ada.driver.switch_to.active_element
        if focus.get_attribute("id") == "submit":
            break
        if focus.get_attribute("aria-label") == "Rank 1":
            ada.press(Keys.ENTER)
            reached += 1
            ada.wait(lambda count=reached: ada.ranks.count(1) == count, "ranked")
            assert ada.driver.switch_to.active_element.get_attribute("aria-label") == "Rank 1"
            assert ada.script(RING)
    assert reached == len(ada.answers)
    before = ada.prompt
    ada.press(Keys.ENTER)
    ada.wait(lambda: ada.prompt != before, "submitted by its button")
