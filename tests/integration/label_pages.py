"""A person at the labelling page: what they press, and what they see."""

import io
import json
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from apps import tokens

SECONDS = 60  # a busy machine draws slowly
LONG = "\n\n".join(f"Paragraph {number}. " + "All work and no play makes a long answer. " * 6 for number in range(12))
LOOP = (
    "def total(values):\n    result = 0\n    for value in values:\n        result += value  # adds\n    return result"
)
CODE = f"Use a loop:\n\n```python\n{LOOP}\n```\n\nThat is all."
ARABIC = "مرحبا بالعالم! هذا جواب مكتوب من اليمين إلى اليسار، وفيه كلمة Python بالإنجليزية."
CHINESE = "你好，世界！这是一个中文回答，里面有代码 `x = 1`，也有标点。"
MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script><b>bold</b>"


def eventually(check: Callable[[], Any], what: str) -> Any:
    """Wait until `check` gives something true; return it."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            found = check()
        except StaleElementReferenceException:
            found = None
        if found:
            return found
        assert time.monotonic() < end, what
        time.sleep(0.05)


class Labeler:
    """A person with a browser."""

    def __init__(self, driver, url: str, name: str | None):  # noqa: ANN001
        self.driver, self.url, self.name = driver, url, name

    def open(self) -> "Labeler":
        """Open the page; say the name and read the instructions where it asks for them."""
        self.driver.get(self.url)
        if self.name and eventually(self.heading_or_item, "neither a window nor a prompt") == "Who are you?":
            self.driver.find_element(By.ID, "name").send_keys(self.name, Keys.ENTER)
            eventually(lambda: self.heading_or_item() != "Who are you?", "the name was not taken")
        if eventually(self.heading_or_item, "neither a window nor a prompt") == "Instructions":
            self.press(Keys.ENTER)
        return self.ready()

    def heading_or_item(self) -> str | None:
        if self.see("#dialog"):
            return self.text("#dialog-title")
        return "item" if self.see("#item") or self.see("#nothing") else None

    def ready(self) -> "Labeler":
        eventually(lambda: self.heading_or_item() == "item", f"no prompt: {self.text('body')}")
        return self

    def see(self, selector: str) -> bool:
        return any(one.is_displayed() for one in self.driver.find_elements(By.CSS_SELECTOR, selector))

    def text(self, selector: str) -> str:
        return self.driver.find_element(By.CSS_SELECTOR, selector).text

    def texts(self, selector: str) -> list[str]:
        return [one.text for one in self.driver.find_elements(By.CSS_SELECTOR, selector)]

    def click(self, selector: str, index: int = 0) -> None:
        self.driver.find_elements(By.CSS_SELECTOR, selector)[index].click()

    def press(self, *keys: str) -> None:
        ActionChains(self.driver).send_keys(*keys).perform()

    def with_key(self, held: str, key: str) -> None:
        ActionChains(self.driver).key_down(held).send_keys(key).key_up(held).perform()

    @property
    def prompt(self) -> str:
        return self.text("#messages") if self.see("#item") else ""

    @property
    def answers(self) -> list[str]:
        return self.script("return [...document.querySelectorAll('.answer .text')].map(one => one.textContent)")

    @property
    def ranks(self) -> list[int | None]:
        return self.script(
            "return [...document.querySelectorAll('.answer .ranks')].map(group => "
            "{ const on = group.querySelector('[aria-pressed=true]'); return on ? Number(on.textContent) : null; })"
        )

    @property
    def said(self) -> str:
        return self.text("#status")

    def script(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(code, *arguments)

    def wait(self, check: Callable[[], Any], what: str) -> Any:
        return eventually(check, f"{what}; it shows: {self.text('body')[:1500]}")

    def rank(self, ranks: list[int]) -> None:
        """Type ranks, in the order in which the answers stand."""
        self.press(*map(str, ranks))
        self.wait(lambda: self.ranks == ranks, f"ranks {ranks}")

    def submit(self) -> None:
        """Press Enter and wait for the next prompt, or for the end."""
        before = self.prompt
        self.press(Keys.ENTER)
        self.wait(lambda: self.prompt != before and self.heading_or_item() == "item", "the next prompt")

    def back(self) -> None:
        before = self.prompt
        self.press(Keys.BACKSPACE)
        self.wait(lambda: self.prompt != before, "the prompt before")

    def errors(self) -> list[str]:
        """Return what the browser's log holds of errors: a refused script, an exception, a missing file."""
        return [line["message"] for line in self.driver.get_log("browser") if line["level"] == "SEVERE"]


def saved(root: Path, name: str) -> list[dict[str, Any]]:
    """Return the lines of a labeler's file."""
    file = root / f"data/labels/r1/{name}.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def draft(root: Path, name: str) -> dict[str, Any]:
    """Return what a labeler's only draft holds; {} where there is none."""
    file = root / f".cache/label/r1/drafts/{name}.json"
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return next(iter(kept.values()))["content"] if kept else {}


def settled(page: Labeler) -> None:
    """Wait until the page has sent what was done: nothing is left in the browser."""
    pending = "return Object.keys(localStorage).some(key => key.startsWith('label.draft.'))"
    WebDriverWait(page.driver, SECONDS).until(lambda _: not page.script(pending))


def new_token(root: Path, name: str) -> str:
    """Return a token that a person's link to a project's pages ends with."""
    with redirect_stdout(io.StringIO()) as said:
        assert tokens.main([name], root) == 0
    return said.getvalue().partition("?token=")[2].strip()
