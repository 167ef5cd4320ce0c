"""A person at the chat page: what they press, and what they see."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

SECONDS = int(os.environ.get("PATIENCE", "120"))


class Talker:
    """A person with a browser."""

    def __init__(self, browser, address: str):  # noqa: ANN001
        self.browser, self.address = browser, address

    def log(self) -> str:
        """Return what the server says, for a message about what went wrong."""
        return ""

    def until(self, holds: Callable[[], Any], words: str = "it did not come to hold") -> Any:
        wait = WebDriverWait(self.browser, SECONDS, 0.1, [StaleElementReferenceException])
        try:
            return wait.until(lambda _: holds(), words)
        except TimeoutException:
            pytest.fail(f"{words}; the page says:\n{self.text()}\n{self.log()}")

    def find(self, css: str) -> list[Any]:
        return self.browser.find_elements(By.CSS_SELECTOR, css)

    def one(self, css: str) -> Any:
        self.until(lambda: any(one.is_displayed() for one in self.find(css)), f"there is no {css}")
        return self.find(css)[-1]

    def text(self, css: str = "body") -> str:
        return "\n".join(one.text for one in self.find(css))

    def press(self, css: str, label: str | None = None) -> None:
        def pressed() -> list[Any]:
            found = [one for one in self.find(css) if one.is_displayed() and (label is None or label in one.text)]
            if found:
                self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", found[-1])
                found[-1].click()
            return found

        self.until(pressed, f"there is no {css} {label or ''}")

    def begins(self, name: str = "ada") -> None:
        self.browser.get(self.address)
        self.one("#hello[open] #name").send_keys(name, Keys.ENTER)
        self.until(lambda: "No data leaves this machine" in self.text("#consent"))
        self.press("#agree")
        self.until(lambda: not self.find("dialog[open]"))
        focused = "return document.activeElement.id"
        self.until(lambda: self.browser.execute_script(focused) == "text", "the page is not ready to be typed into")

    def selects(self, css: str, name: str) -> None:
        """Choose a model; the page may draw its list anew meanwhile."""
        self.until(lambda: Select(self.one(css)).select_by_visible_text(name) or True, f"no {name} in {css}")

    def says(self, text: str) -> None:
        self.one("#text").send_keys(text, Keys.ENTER)

    def writes_better(self, text: str) -> None:
        """Write a better answer than the last one."""
        self.press(".answer button", "Write a better one")
        field = self.one("#better-text")
        field.clear()
        field.send_keys(text)
        self.press("#better-form button.main")
        self.until(lambda: text in self.text(".better"))

    def flags(self, name: str) -> None:
        """Flag the last answer."""
        self.press(".answer button", "Flag")
        self.press("#flag-list label", name)
        self.press("#flagging-form button.main")
        self.until(lambda: f"Flags: {name}" in self.text(".answer"))

    def chooses(self, digit: str) -> None:
        """Choose between two answers by key: 1 the first, 2 neither, 3 both are bad, 4 the second."""
        self.browser.execute_script("document.activeElement.blur()")
        self.one("body").send_keys(digit)

    def holds(self, key: str) -> None:
        """Let a key that is held repeat itself."""
        event = "new KeyboardEvent('keydown', {key: arguments[0], repeat: true, bubbles: true})"
        self.browser.execute_script(f"document.body.dispatchEvent({event})", key)

    def is_done(self) -> bool:
        return self.one("#send").is_displayed() and not self.find("[data-live]")

    def done(self) -> None:
        self.until(self.is_done, "the answer did not end")

    def answers(self) -> list[str]:
        return [one.text for one in self.find(".answer .text")]
