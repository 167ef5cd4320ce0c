"""Rules for stories, notes and chat."""

from rlhf.world.asking.requests import Task
from rlhf.world.grading.readings import BARE, FALSE, OFF, ON, Reading, Rule, unseen, world_of
from rlhf.world.grammar import Slots


def _story_needs(task: Task) -> dict[str, str]:
    needs = {"who": "constraints", "ending": "constraints", "find": "completeness", "end": "completeness"}
    needs |= {f"object:{thing}": "constraints" for thing in task["objects"]}
    return needs | ({"home": "facts"} if task["home"] else {})


def _read_story(task: Task, template: str, slots: Slots) -> Reading | None:
    if template not in ("intro", "home", "found", "end"):
        return None
    if slots["name"] != task["name"]:
        return Reading(FALSE)
    if template == "intro":
        return Reading(ON, {"who": 1.0}, ("intro",)) if slots["animal"] == task["animal"] else Reading(FALSE)
    if template == "home":
        true = slots["lives"] == world_of(task).ANIMALS[task["animal"]]["lives"]
        return Reading(ON, {"home": 1.0}, ("home",)) if true else Reading(FALSE)
    if template == "end":
        return Reading(ON, dict.fromkeys(("end", "ending"), float(slots["mood"] == task["mood"])), ("end",))
    return things(task, slots["a_objects" if "a_objects" in slots else "objects"], {"find": 1.0}, ("found",))


def things(task: Task, things: tuple[str, ...], met: dict[str, float], says: tuple) -> Reading:
    """Credit objects of the request; any other object is invented."""
    if any(thing not in task["objects"] for thing in things):
        return Reading(FALSE)
    return Reading(
        ON, met | {f"object:{thing}": 1.0 for thing in things}, says + tuple(("item", thing) for thing in things)
    )


def _note_needs(task: Task) -> dict[str, str]:
    needs = {"to": "constraints", "from": "constraints", "act": "constraints"}
    needs |= {f"object:{thing}": "completeness" for thing in task["objects"]}
    return needs | ({"event": "completeness"} if task["event"] else {})


def _read_note(task: Task, template: str, slots: Slots) -> Reading | None:
    if template == "sign":
        return Reading(ON, {"from": 1.0}, ("sign",)) if slots["name"] == task["from"] else Reading(FALSE)
    if template not in ("ask", "thank"):
        return None
    if slots.get("name", task["to"]) != task["to"] or slots.get("event", task["event"]) != task["event"]:
        return Reading(FALSE)
    met = {"to": float("name" in slots), "act": float(template == task["act"]), "event": float("event" in slots)}
    return things(task, slots["the_objects"], met, ("act",))


def _chat_name_needs(task: Task) -> dict[str, str]:
    return dict.fromkeys(task["asked"], "facts") | {f"part:{part}": "completeness" for part in task["asked"]}


def _read_chat_name(task: Task, template: str, slots: Slots) -> Reading | None:
    part = {"your_name": "name", "bare_names": "name", "you_like": "object", "bare_things": "object"}.get(template)
    if part is None:
        return None
    told = slots.get("name", slots.get("object", slots.get("names", slots.get("the_objects"))))
    right = told in (task[part], (task[part],))
    if not right:
        return Reading(FALSE)
    if part not in task["asked"]:
        return Reading(OFF, says=unseen(part))
    return Reading(BARE if template.startswith("bare") else ON, {part: 1.0, f"part:{part}": 1.0}, (part,))


def _clarify_needs(task: Task) -> dict[str, str]:
    return {"question": "constraints", "need": "completeness"}


def _read_clarify(task: Task, template: str, slots: Slots) -> Reading | None:
    about = task["about"]
    if template == f"which_{about}":
        return Reading(ON, {"question": 1.0}, ("question",))
    if template == f"need_{about}":
        return Reading(ON, {"need": 1.0, "question": 0.3}, ("need",))
    return None


RULES = {
    "story": Rule(_story_needs, _read_story),
    "note": Rule(_note_needs, _read_note),
    "chat_name": Rule(_chat_name_needs, _read_chat_name),
    "clarify": Rule(_clarify_needs, _read_clarify),
}
