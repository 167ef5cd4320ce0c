"""Rules for facts about animals, lists and groups."""

from rlhf.world import knowledge
from rlhf.world.asking.requests import Task
from rlhf.world.grading.readings import BARE, FALSE, OFF, ON, Reading, Rule, holds, unseen, world_of
from rlhf.world.grammar import Slots
from rlhf.world.knowledge import RELATIONS


def _fact_needs(task: Task) -> dict[str, str]:
    needs = {f"fact:{relation}": "facts" for relation in task["relations"]}
    needs |= {f"part:{relation}": "completeness" for relation in task["relations"]}
    return needs | ({"form": "constraints"} if task.get("form") else {})


def _read_fact(task: Task, template: str, slots: Slots) -> Reading | None:
    relation = template.removeprefix("bare_")
    if relation not in RELATIONS:
        return None
    about = slots.get("animal", task["animal"]) == task["animal"]
    if not holds(task, relation, slots):
        asked_otherwise = template != relation and relation not in task["relations"]
        return None if asked_otherwise else Reading(FALSE)
    if not about or relation not in task["relations"]:
        return (
            Reading(OFF, says=unseen(slots.get("animal", task["animal"]), relation)) if template == relation else None
        )
    met = {f"fact:{relation}": 1.0, f"part:{relation}": 1.0}
    if template == relation:
        met["form"] = 1.0
    return Reading(ON if template == relation else BARE, met, (relation,))


def _facts_needs(task: Task) -> dict[str, str]:
    return {"fact": "facts", "count": "constraints"}


def _read_facts(task: Task, template: str, slots: Slots) -> Reading | None:
    if template not in RELATIONS:
        return None
    if not holds(task, template, slots):
        return Reading(FALSE)
    animal = slots.get("animal", task["animal"])
    if animal != task["animal"]:
        return Reading(OFF, says=unseen(animal, template))
    return Reading(ON, says=(("item", template),))


def _premise_needs(task: Task) -> dict[str, str]:
    return {"denial": "facts", "truth": "facts", "part:denial": "completeness", "part:truth": "completeness"}


def _read_premise(task: Task, template: str, slots: Slots) -> Reading | None:
    relation, animal = task["relation"], slots.get("animal", task["animal"])
    denies = "cannot" if relation == "cannot" else f"not_{relation}"
    affirms = "can" if relation == "cannot" else relation
    if template == "because":
        return Reading(FALSE)
    if animal != task["animal"] or template not in (denies, affirms):
        return None
    if template == denies:
        right = slots[relation] == task["value"]
        truly = relation == "cannot" or slots[relation] != knowledge.ANIMALS[animal][relation]
        return (
            Reading(ON, {"denial": 1.0, "part:denial": 1.0}, ("denial",))
            if right
            else Reading(OFF if truly and relation != "cannot" else FALSE, says=unseen("denial"))
        )
    if not holds(task, affirms, slots):
        return Reading(FALSE)
    return Reading(ON, {"truth": 1.0, "part:truth": 1.0}, ("truth",))


def _read_unknown(task: Task, template: str, slots: Slots) -> Reading | None:
    word = slots.get("word", slots.get("animal", task["word"]))
    if template.startswith("bare_") and template != "bare_refuse":
        return Reading(FALSE)
    if template in RELATIONS or template.startswith("not_") or template == "because":
        return Reading(FALSE) if word == task["word"] else None
    if template == "unknown":
        return Reading(ON, {"admits": 1.0}, ("unknown",)) if word == task["word"] else Reading(FALSE)
    if template == "idk":
        return Reading(ON, {"admits": 0.6}, ("unknown",))
    if template == "tell_me":
        return Reading(ON, {"asks": 1.0}, ("asks",)) if word == task["word"] else Reading(FALSE)
    return None


def _list_needs(task: Task) -> dict[str, str]:
    return {"items": "facts", "count": "constraints"} | ({"start": "constraints"} if task["start"] else {})


def _read_list(task: Task, template: str, slots: Slots) -> Reading | None:
    if template not in ("list", "bare_list"):
        return None
    items = slots["items"]
    if (
        any(item not in world_of(task).CATEGORIES[task["category"]] for item in items)
        or slots.get("category", task["category"]) != task["category"]
    ):
        return Reading(FALSE)
    if "count" in slots and knowledge.COUNTS.get(slots["count"]) != len(items):
        return Reading(FALSE)
    met = {"start": 1.0} if items[0] == task["start"] else {}
    return Reading(ON if template == "list" else BARE, met, tuple(("item", item) for item in items))


def _read_analogy(task: Task, template: str, slots: Slots) -> Reading | None:
    if template not in ("analogy", "bare_singular"):
        return None
    right = (
        slots["singular"] == knowledge.singular(task["category"]) and slots.get("item", task["item"]) == task["item"]
    )
    return Reading(ON if template == "analogy" else BARE, {"group": 1.0}, ("group",)) if right else Reading(FALSE)


RULES = {
    "fact": Rule(_fact_needs, _read_fact),
    "chat_fact": Rule(_fact_needs, _read_fact),
    "cloze": Rule(_fact_needs, _read_fact),
    "facts": Rule(_facts_needs, _read_facts),
    "false_premise": Rule(_premise_needs, _read_premise),
    "unknown": Rule(lambda task: {"admits": "facts", "asks": "completeness"}, _read_unknown),
    "list": Rule(_list_needs, _read_list),
    "analogy": Rule(lambda task: {"group": "facts"}, _read_analogy),
}
