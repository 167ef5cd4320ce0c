"""What the chat page is made of, and how its endpoints read and write what a user said."""

from pathlib import Path
from typing import Any, NamedTuple

from starlette.concurrency import run_in_threadpool

from apps.chat import consent
from apps.chat.answering import Answerer
from apps.chat.books import Books
from apps.chat.moderating import Moderator
from apps.chat.traces import Traces
from apps.serving.asgi import Refused
from rlhf.params.tracking import Tracking
from rlhf.people.feedback import History


class Parts(NamedTuple):
    """What the page is made of."""

    root: Path
    tracking: Tracking
    books: Books
    answerer: Answerer
    traces: Traces
    moderator: Moderator | None

    async def history(self, user: str) -> History:
        """Return what a user has said, and what was said to them."""
        return await run_in_threadpool(self.books.history, user)

    async def agreed(self, user: str) -> History:
        """Return the history of a user who agreed to what is kept."""
        history = await self.history(user)
        texts = consent.texts(user, self.tracking, self.root)
        if history.consents[-1:] != [consent.sum_of(texts)]:
            raise Refused(403, "agree first to what is kept")
        return history

    async def write(self, user: str, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """Append a line to what a user said. Raises Refused where the books refuse it."""
        try:
            return await run_in_threadpool(self.books.write, user, kind, content)
        except ValueError as error:
            raise Refused(400, f"{error}") from None
