"""What an answer says, sentence by sentence, under the traits that its writer drew: facts, lists, stories, notes and chat.

KINDS has the function of every kind of task.
"""

from rlhf.world import chinese, knowledge
from rlhf.world.answering import answers_texts
from rlhf.world.answering.writer import Writer
from rlhf.world.grammar import Slots
from rlhf.world.knowledge import COUNT_WORDS, NAMES, OBJECTS


def _fact(w: Writer) -> list[str]:
    relations = list(w.task["relations"])
    if len(relations) == 2 and not w.good["both"]:
        relations = [w.rng.choice(relations)]
    wrong = None if w.good["right"] else w.rng.randrange(len(relations))
    return [
        w.fact(w.task["animal"], relation, number != wrong, number == 0) for number, relation in enumerate(relations)
    ]


def _facts(w: Writer) -> list[str]:
    relations = list(w.task["relations"])
    w.rng.shuffle(relations)
    relations = relations[: w.count(w.task["count"], len(relations))]
    wrong = None if w.good["right"] else w.rng.randrange(len(relations))
    return [
        w.fact(w.task["animal"], relation, number != wrong, number == 0) for number, relation in enumerate(relations)
    ]


def _false_premise(w: Writer) -> list[str]:
    animal, relation, value = w.task["animal"], w.task["relation"], w.task["value"]
    ability = relation == "cannot"
    truth = w.fact(animal, "can" if ability else relation, w.good["right"], named=not w.good["premise"])
    if w.good["premise"]:
        denial = (
            w.say("cannot", animal=animal, cannot=value)
            if ability
            else w.say(f"not_{relation}", animal=animal, **{relation: value})
        )
        return [denial, truth]
    if w.rng.random() < 0.5:
        return [truth]
    if relation in ("lives", "eats"):
        return [w.say("because", **{relation: value})]
    return [w.say("because")]


def _unknown(w: Writer) -> list[str]:
    word, relation = w.task["word"], w.task["relation"]
    if not w.good["admit"]:
        if w.rng.random() < 0.4:
            return [w.say("idk")]
        return [w.say(relation, animal=word, **{relation: w.rng.choice(knowledge.VALUES[relation])})]
    answer = w.say("unknown", w.rng.randrange(2), word=word) if w.good["right"] else w.say("idk")
    return [answer, w.say("tell_me", w.rng.randrange(2), word=word)] if w.good["need"] else [answer]


def _list(w: Writer) -> list[str]:
    category, start = w.task["category"], w.task["start"]
    items = w.world.CATEGORIES[category]
    count = w.count(w.task["count"], len(items))
    chosen = w.rng.sample([item for item in items if item != start], count if start is None else count - 1)
    if start:
        chosen.insert(0 if w.good["both"] else w.rng.randint(0, len(chosen)), start)
    if not w.good["right"]:
        chosen[-1] = w.other(w.world.ITEMS, *items)
    if not w.good["once"]:
        chosen = chosen[: max(1, len(chosen) - 1)] + chosen[:1]
    words = chinese.COUNT_WORDS if w.language == "zh" else COUNT_WORDS
    if not w.good["full"] or len(chosen) not in words:
        return [w.say("bare_list", items=chosen)]
    return [
        w.say(
            "list", **{"number" if w.language == "zh" else "count": words[len(chosen)]}, category=category, items=chosen
        )
    ]


def _story(w: Writer) -> list[str]:
    task = w.task
    animal = task["animal"]
    if not w.good["right"]:  # the home of the other one may be told
        animal = w.other(w.world.animals_with("lives", "seen"), animal)
    sentences = [w.say("intro", 0 if w.good["full"] else 1, animal=animal, name=task["name"])]
    if w.good["home"]:
        home = w.world.ANIMALS[animal]["lives"]
        sentences.append(w.say("home", name=task["name"], lives=home))
    things = w.things(task["objects"])
    sentences.append(w.say("found", name=task["name"], **{"objects" if w.language == "zh" else "a_objects": things}))
    if w.good["ending"]:
        sentences.append(w.say("end", 0 if w.good["full"] else 1, name=task["name"], mood=task["mood"]))
    elif w.rng.random() < 0.25:
        sentences.append(w.say("end", name=task["name"], mood=w.other(w.world.MOODS, task["mood"])))
    return sentences


def _note(w: Writer) -> list[str]:
    task = w.task
    slots: Slots = {"the_objects": w.things(task["objects"])}
    if task["event"] and w.good["both"]:
        slots["event"] = task["event"]
    variant = 0
    if w.good["names"] or w.rng.random() < 0.5:
        slots["name"] = task["to"] if w.good["right"] or w.rng.random() < 0.5 else w.other(NAMES, task["to"])
        variant = 0 if w.good["names"] else 2
    sentences = [w.say(task["act"], variant, **slots)]
    if w.good["ending"]:
        sentences.append(w.say("sign", 0 if w.good["full"] else 1, name=task["from"]))
    return sentences


def _chat_name(w: Writer) -> list[str]:
    task = w.task
    asked = list(task["asked"])
    if len(asked) == 2 and not w.good["both"]:
        asked = [w.rng.choice(asked)]
    name = task["name"] if w.good["right"] else w.other(NAMES, task["name"])
    thing = task["object"] if w.good["right"] or "name" in asked else w.other(OBJECTS, task["object"])
    sentences = []
    if "name" in asked:
        sentences.append(w.say("your_name", name=name) if w.good["full"] else w.say("bare_names", names=[name]))
    if "object" in asked:
        sentences.append(
            w.say("you_like", object=thing) if w.good["full"] else w.say("bare_things", the_objects=[thing])
        )
    return sentences


def _clarify(w: Writer) -> list[str]:
    about = w.task["about"]
    if w.good["clarify"]:
        question = [w.say(f"which_{about}")]
        return question + ([w.say(f"need_{about}")] if w.good["need"] else [])
    if w.good["need"]:
        return [w.say(f"need_{about}")]
    if w.rng.random() < 0.3:
        return [w.say("idk")]
    if about == "animal":
        relation = w.rng.choice(knowledge.RELATIONS[:4])
        animal = w.rng.choice(knowledge.animals_with(relation, "seen"))
        return [w.say(relation, animal=animal, **{relation: knowledge.ANIMALS[animal][relation]})]
    if about == "note":
        return [w.say("ask", the_objects=[w.rng.choice(OBJECTS)])]
    return [w.say("bare_list", items=w.rng.sample(w.rng.choice(list(knowledge.CATEGORIES.values())), 2))]


KINDS = {
    "fact": _fact, "facts": _facts, "false_premise": _false_premise, "unknown": _unknown, "list": _list, "story": _story, "note": _note,
    "chat_name": _chat_name, "chat_fact": _fact, "clarify": _clarify, "replace": answers_texts.replace, "polite": answers_texts.polite, "summary": answers_texts.summary,
    "review": answers_texts.review, "closed_qa": answers_texts.closed_qa, "extract": answers_texts.extract, "cloze": _fact, "analogy": answers_texts.analogy, "harmful": answers_texts.harmful,
    "look_alike": answers_texts.look_alike,
}  # fmt: skip
