"""All requests of a judge: what is kept is taken from there; the rest is asked, and what it costs is said before."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from rlhf.labelers import cost, verdicts
from rlhf.labelers.answer_cache import AnswerCache
from rlhf.labelers.asking import Body
from rlhf.labelers.chat_client import Client, Failed
from rlhf.labelers.verdicts import Reply, Verdict
from rlhf.params.base import shown
from rlhf.params.labelers.kinds import ChatModel
from rlhf.runs.tracking import StageRun

SHOWN = 3  # raw answers in an error
IN_A_ROW = 10  # requests whose every try failed, one after another: then the address answers nobody
OWN = ("localhost", "127.0.0.1", "::1")  # hosts that are this machine


class Outcome(NamedTuple):
    """What is known of an answered request."""

    verdict: Verdict
    prompt_tokens: int
    completion_tokens: int


class Inquiry:
    """One judge's requests in one run of a stage."""

    def __init__(self, params: ChatModel, place: str, root: Path, run: StageRun):
        self._params, self._place, self._run = params, place, run
        self._host = urlsplit(params.base_url).hostname or ""
        self._cache = AnswerCache(params, self._host, root)
        self._outcomes: dict[str, Outcome] = {}
        self._unreadable: list[str] = []  # the first raw answers
        self._num_bad = 0  # unreadable or failed
        self._failure = ""
        self._num_failed_in_a_row = 0

    def answers(self, wanted: Mapping[str, Any], body_of: Callable[[Any], Body]) -> dict[str, Outcome]:
        """Return what was answered, by the requests' hashes; one whose every try failed is missing.

        Raises ValueError before the first request where max_requests cannot do, and as soon as more than max_unreadable
        of all of them have brought no verdict in the form that was asked for.
        """
        for key, reply in self._cache.stored():
            if key in wanted:
                self._take(key, reply)
        missing = {key: question for key, question in wanted.items() if key not in self._outcomes}
        self._say_what_comes(wanted, missing, body_of)
        self._refuse_too_many_bad(len(wanted))
        if missing:
            self._ask(missing, body_of, len(wanted))
        return self._outcomes

    def _take(self, key: str, reply: Reply) -> None:
        verdict = verdicts.read(reply, self._params)
        self._outcomes[key] = Outcome(verdict, reply.prompt_tokens, reply.completion_tokens)
        if verdict.said == verdicts.UNREADABLE:
            self._num_bad += 1
            self._unreadable = [*self._unreadable, reply.text][:SHOWN]

    def _say_what_comes(
        self, wanted: Mapping[str, Any], missing: Mapping[str, Any], body_of: Callable[[Any], Body]
    ) -> None:
        kept = len(wanted) - len(missing)
        torn = f"; {self._cache.num_torn} torn lines there are passed over" if self._cache.num_torn else ""
        self._run.say(
            f"{self._place}: {len(wanted)} requests of {self._params.model}: {kept} are answered in "
            f"{self._cache.folder}{torn}, {len(missing)} go to {self._host}"
        )
        if not missing:
            return
        tokens = sum(cost.tokens_of(body_of(question)) for question in missing.values())
        comes = cost.Cost(len(missing), tokens, len(missing) * self._params.max_tokens)
        self._run.say(f"{self._place}: that is {comes.in_words(self._params.prices)}")
        if self._host not in OWN:
            self._run.say(f"{self._place}: the texts of prompts and answers leave this machine for {self._host}")
        if len(missing) > self._params.max_requests:
            raise ValueError(
                f"{self._place}: {len(missing)} requests are to be sent, and max_requests allows "
                f"{self._params.max_requests}: raise it, or lower max_prompts, max_judge_prompts, max_responses or "
                f"pairs. None was sent"
            )

    def _ask(self, missing: Mapping[str, Any], body_of: Callable[[Any], Body], total: int) -> None:
        client, waiting = Client(self._params), iter(missing.items())
        num_done = 0

        def ask(key: str, question: Any) -> tuple[str, Reply]:
            reply = client.ask(body_of(question))
            self._cache.add(key, reply)
            return key, reply

        with ThreadPoolExecutor(self._params.concurrent) as pool:
            asked = {pool.submit(ask, *one) for one in islice(waiting, 2 * self._params.concurrent)}
            try:
                while asked:
                    done, asked = wait(asked, return_when=FIRST_COMPLETED)
                    for one in done:
                        self._receive(one)
                    num_done += len(done)
                    asked |= {pool.submit(ask, *one) for one in islice(waiting, len(done))}
                    self._run.progress(num_done, len(missing), {"retries": client.num_retries})
                    self._refuse_too_many_bad(total)
            except BaseException:  # Ctrl-C too: nothing more is sent, and what has come is kept
                client.halt()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if client.num_retries:
            self._run.say(f"{self._place}: {client.num_retries} of {client.num_sent} requests were retries")

    def _receive(self, one: Future[tuple[str, Reply]]) -> None:
        try:
            self._take(*one.result())
            self._num_failed_in_a_row = 0
        except Failed as error:
            self._num_bad += 1
            self._num_failed_in_a_row += 1
            self._failure = str(error)
        if self._num_failed_in_a_row == IN_A_ROW:
            raise ValueError(
                f"{self._place}: {self._params.base_url} answered none of {IN_A_ROW} requests in a row, each tried "
                f"{self._params.retries + 1} times; the last: {self._failure}. What was answered before is kept"
            )

    def _refuse_too_many_bad(self, total: int) -> None:
        if self._num_bad <= self._params.max_unreadable * total:
            return
        raise ValueError("\n".join(self._why(total)))

    def _why(self, total: int) -> Iterator[str]:
        num_failed = self._num_bad - sum(
            outcome.verdict.said == verdicts.UNREADABLE for outcome in self._outcomes.values()
        )
        yield (
            f"{self._place}: {self._num_bad} of {total} requests brought no verdict, more than max_unreadable "
            f"{self._params.max_unreadable:g} allows: {num_failed} failed, {self._num_bad - num_failed} were answered "
            "in another form than was asked for. Mend instructions, max_tokens or model; what was answered is kept in "
            f"{self._cache.folder} and read from there"
        )
        yield from (f"  answered: {shown(text, 300)}" for text in self._unreadable)
        if self._failure:
            yield f"  failed: {self._failure}"
