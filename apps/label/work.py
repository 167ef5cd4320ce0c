"""The work of a round: who gets what, what they say of it, how far it is. All that the page asks is answered here."""

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple

from apps.label import forms, items, references
from apps.label.agreement import Tally
from apps.label.board import Board, replay_training
from apps.label.drafts import Draft, Drafts
from apps.label.forms import Unfit
from apps.label.items import Item
from apps.label.leases import Leases
from apps.label.progress import Progress
from apps.label.settings import TaskSettings
from rlhf.params.labelers.people import INSTRUCTIONS
from rlhf.people import judgements
from rlhf.people.judgements import Judgement
from rlhf.secrets import guard

CACHE = Path(".cache/label")  # below the repository


class Place(NamedTuple):
    """Where a round's work lies: that of all who label it, or of one of two groups, each at a page of its own."""

    root: Path
    round_name: str
    group: str | None

    @property
    def name(self) -> str:
        """By which this work is known: r1, or r1/judge."""
        return self.round_name if self.group is None else f"{self.round_name}/{self.group}"

    @property
    def cache(self) -> Path:
        """The folder of drafts, leases and the lock of who serves: two groups know nothing of each other's."""
        return self.root / CACHE / self.name


class Conflict(ValueError):
    """What cannot be done any more: another judgement stands there."""


class Work:
    """A round's work, for several threads at once."""

    def __init__(self, place: Place, settings: TaskSettings):
        self.place, self.settings = place, settings
        self.drafts = Drafts(place.cache / "drafts")
        self._lock, self._locks = RLock(), dict[str, RLock]()
        leases = Leases(place.cache / "leases.jsonl")
        found = items.read(place.root, place.round_name, settings)
        self.board = Board(found, items.read_training(settings.training), leases)
        self.instructions()  # is it there?
        read = judgements.read(settings.folder, place.round_name)
        for problem in read.problems:
            guard.say(problem)
        others = self.board.replay(read, settings.pools)
        if others:
            guard.say(
                f"{others} judgements are of other answers than data/collect_answers/{place.round_name} holds now"
            )
        for folder in sorted(settings.folder.glob("*/")):
            if folder.name != place.round_name:
                replay_training(self.board, judgements.read(settings.folder, folder.name).lines)
        known = references.given(place.root, place.round_name, self.board.labelers)
        self.references = references.References(settings.simulated, known)
        self.tally = Tally()
        self.progress = Progress(self.board, self.tally, settings)
        for key, some in self.board.judged.items():
            seen = dict[str, Judgement]()
            for labeler, said in some.items():
                self._count(key, said, seen)
                seen[labeler] = said

    def instructions(self) -> dict[str, str]:
        """Return what labelers read first, and its sum, which is its version."""
        file = self.settings.folder / INSTRUCTIONS
        if not file.exists():
            raise ValueError(f"{file} is missing: python -m tools.check writes it, for you to make it yours")
        raw = file.read_bytes()
        try:
            return {"text": raw.decode("utf-8"), "sha256": hashlib.sha256(raw).hexdigest()}
        except UnicodeDecodeError as error:
            raise ValueError(f"{file}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None

    def next(self, labeler: str) -> Mapping[str, Any]:
        """Return what a labeler sees next, and how far the work is."""
        drafts = self.drafts.of(labeler)
        with self._lock:
            item = self.board.next_training(labeler) or self.board.next(labeler, reversed(drafts))
            shown = self._shown(labeler, item, drafts) if item else None
            progress = self.progress.of(labeler)
        return {"item": shown, "progress": progress, "instructions": self.instructions()}

    def previous(self, labeler: str, key: str | None) -> Mapping[str, Any]:
        """Return what a labeler judged before an item, or before what they have not judged yet."""
        drafts = self.drafts.of(labeler)
        with self._lock:
            item = self.board.previous(labeler, key)
            return {"item": self._shown(labeler, item, drafts) if item else None}

    def keep_draft(self, labeler: str, key: object, draft: Draft, resumed: bool) -> bool:
        """Keep what stands in the page, but nothing that was on its way when its judgement came. It is a sign of life.

        One that is `resumed` is of an earlier page, which could not send it: it replaces none that is newer.
        """
        item = self._known(key)
        with self._turn(labeler):
            with self._lock:
                before = self.board.judged.get(item.key, {}).get(labeler)
            if not draft.is_on(before):
                return False
            newer = self.drafts.of(labeler).get(item.key) if resumed else None
            if newer is not None and newer.at >= draft.at:
                return False
            kept = self.drafts.keep(labeler, item.key, draft)
        self.renew(labeler, key)
        return kept

    def renew(self, labeler: str, key: object) -> Mapping[str, Any]:
        """The page is open: renew its lease, unless others have judged the prompt in between, which is said."""
        item = self._known(key)
        with self._lock:
            own = labeler in self.board.judged.get(item.key, {})
            if item.pool == "training" or own:
                return {"enough": False}
            if self.board.leases.holds(labeler, item.key) or self.board.places(item.key) > 0:
                self.board.leases.give(labeler, item.key)
            enough, held = self.board.is_enough(item.key), self.board.leases.holds(labeler, item.key)
            return {"enough": enough or not held}

    def alive(self, labeler: str, key: object) -> Mapping[str, Any]:
        """The page is open, with an item before its labeler or with none; return how far the work is."""
        renewed = self.renew(labeler, key) if key is not None else {"enough": False}
        with self._lock:
            return {**renewed, "progress": self.progress.of(labeler)}

    def submit(self, labeler: str, form: dict[str, Any]) -> Mapping[str, Any]:
        """Write a judgement down, which is on the disk on return; the same one sent again is written once."""
        item = self._known(form.get("item"))
        with self._turn(labeler):
            said = forms.judgement(form, item, labeler, self.settings)
            with self._lock:
                known = self.board.known.get(said["id"])
                before = self.board.judged.get(item.key, {}).get(labeler)
                enough = item.key in self.board.items and before is None and self.board.is_enough(item.key)
            if known is not None:
                if (known["labeler"], known["prompt"], known["answers"]) != (labeler, item.prompt, item.answers):
                    raise Conflict("this id is another judgement's")
                return {"id": said["id"], "again": True, **self._feedback(labeler, item)}
            if item.pool == "training" and (labeler, item.key) in self.board.first:
                raise Conflict("training answers stand: you have seen what others say")
            if before is not None:
                said["replaces"] = before["id"]
                if forms.same(before, said, self.settings):
                    self.drafts.drop(labeler, item.key)
                    return {"id": before["id"], "unchanged": True}
            judgements.append(self.settings.folder, self.place.round_name, said)
            with self._lock:
                self._hold(item, said)
            self.drafts.drop(labeler, item.key)
        return {"id": said["id"], "replaced": said["replaces"], "enough": enough, **self._feedback(labeler, item)}

    def withdraw(self, labeler: str, key: object, identifier: object) -> Mapping[str, Any]:
        """Take a judgement back: the prompt is open again."""
        item, new = self._known(key), forms.identity(identifier)
        with self._turn(labeler):
            with self._lock:
                if new in self.board.known:
                    return {"id": new, "again": True}
                before = self.board.judged.get(item.key, {}).get(labeler)
            if before is None or item.pool == "training":
                raise Conflict("there is no judgement of yours to take back")
            said = forms.withdrawal(before, new)
            judgements.append(self.settings.folder, self.place.round_name, said)
            with self._lock:
                others = {who: one for who, one in self.board.judged[item.key].items() if who != labeler}
                self._count(item.key, before, others, sign=-1)
                self.board.take_back(item.key, said)
                self.progress.changed()
            self.drafts.drop(labeler, item.key)
        return {"id": new}

    def export(self, labeler: str) -> bytes:
        """Return a labeler's own lines of this round."""
        file = judgements.file_of(self.settings.folder, self.place.round_name, labeler)
        return file.read_bytes() if file.exists() else b""

    def _known(self, key: object) -> Item:
        item = self.board.item(key)
        if item is None:
            raise Unfit("item: there is none such; the answers may have been sampled anew: reload the page")
        return item

    def _turn(self, labeler: str) -> AbstractContextManager[Any]:
        """A labeler's judgements are written one after another; different labelers' at once."""
        with self._lock:
            return self._locks.setdefault(labeler, RLock())

    def _hold(self, item: Item, said: Judgement) -> None:
        labeler = said["labeler"]
        others = {who: one for who, one in self.board.judged.get(item.key, {}).items() if who != labeler}
        before = self.board.take(item.key, said)
        if before is not None:
            self._count(item.key, before, others, sign=-1)
        self._count(item.key, said, others)
        self.board.leases.end(labeler, item.key)
        self.progress.changed()

    def _count(self, key: str, said: Judgement, others: Mapping[str, Judgement], sign: int = 1) -> None:
        if said["ranks"] is None or key not in self.board.items:
            return
        ranks = {who: one["ranks"] for who, one in others.items() if one["ranks"] is not None}
        known = self.references.of(self.board.items[key])
        self.tally.count(said["labeler"], said["ranks"], {**ranks, **known}, sign)

    def _shown(self, labeler: str, item: Item, drafts: Mapping[str, Draft]) -> dict[str, Any]:
        """What a page gets of an item: nothing tells it which policy wrote an answer, or which pool it is for."""
        order = items.order_for(item, labeler)
        said, draft = self.board.judged.get(item.key, {}).get(labeler), drafts.get(item.key)
        draft = draft if draft and draft.is_on(said) else None  # its judgement came, and the server went before it
        return {
            "key": item.key,
            "messages": [{"role": one["role"], "content": one["content"]} for one in item.messages],
            "answers": [item.responses[index] for index in order],
            "language": item.language,
            "training": item.pool == "training",
            "judgement": forms.shown(said, order) if said else None,
            "draft": draft.content if draft else None,
            "enough": item.key in self.board.items and said is None and self.board.is_enough(item.key),
        }

    def _feedback(self, labeler: str, item: Item) -> dict[str, Any]:
        """After an item of the training: what is known of it, and how it went so far."""
        if item.pool != "training" or item.ranks is None:
            return {}
        with self._lock:
            return {"feedback": self.progress.feedback(labeler, item)}
