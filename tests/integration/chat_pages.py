"""A person at the chat page: what they press, and what they see."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests import loopback
from tests.integration.conftest import REPO, environment

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

    def focused(self, key: str) -> str | None:
        """Return what an element with the focus holds in data-KEY."""
        return self.browser.execute_script("return document.activeElement.dataset[arguments[0]]", key)

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


class Chat(Talker):
    """A chat that can be killed and started again, and the person who looks at it."""

    def __init__(self, root: Path, browser):  # noqa: ANN001
        self.root, self.port = root, loopback.free_port()
        self.process: Any = None
        super().__init__(browser, f"http://127.0.0.1:{self.port}/")

    def start(self, pause: float = 0.03) -> None:
        command = [sys.executable, "-m", "tests.apps.chat.launched", str(pause), "--port", str(self.port)]
        settings = environment(self.root) | {"PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
        log = open(self.root / "chat.log", "a")  # noqa: SIM115
        self.process = subprocess.Popen(command, cwd=self.root, env=settings, stdout=log, stderr=log)
        log.close()
        self.until(self._answers, "the chat did not start")

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.root / "chat.log").read_text()
        try:
            return urllib.request.urlopen(self.address, timeout=2).status == 200
        except OSError:
            return False

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)

    def log(self) -> str:
        return (self.root / "chat.log").read_text()

    def lines(self, kind: str | None = None, user: str = "ada") -> list[dict[str, Any]]:
        found = [json.loads(line) for line in (self.root / f"data/feedback/{user}.jsonl").read_text().splitlines()]
        return [line for line in found if kind in (None, line["kind"])]
