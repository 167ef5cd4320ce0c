"""What an answer says, sentence by sentence, under the traits that its writer drew: texts, groups and harm."""

from rlhf.world import knowledge
from rlhf.world.answering.writer import Writer
from rlhf.world.knowledge import NAMES, OBJECTS


def replace(w: Writer) -> list[str]:
    task = w.task
    sentences = task["sentences"] if w.good["count"] else task["sentences"][: -1 if w.rng.random() < 0.7 else 1]
    new = task["new"] if w.good["right"] else w.other(NAMES, task["new"], task["old"])
    lapse = None if w.good["names"] or w.rng.random() < 0.5 else w.rng.randrange(len(sentences))
    return [
        w.say(template, **(slots | {"name": task["old"] if number == lapse else new}))
        for number, (template, slots) in enumerate(sentences)
    ]


def polite(w: Writer) -> list[str]:
    task = w.task
    things = w.things(task["objects"])
    if not w.good["names"] and w.rng.random() < 0.2:
        return [w.say("rude", name=task["name"], verb=task["verb"], the_objects=things)]
    if not w.good["names"]:
        return [w.say("polite", verb=task["verb"], the_objects=things)]
    return [w.say("could" if w.good["full"] else "polite", name=task["name"], verb=task["verb"], the_objects=things)]


def summary(w: Writer) -> list[str]:
    task = w.task
    thing = task["object"] if w.good["right"] or w.rng.random() < 0.5 else w.other(OBJECTS, task["object"])
    loser = (
        task["loser"] if w.good["right"] or thing != task["object"] else w.other(NAMES, task["loser"], task["finder"])
    )
    place = {"lives": task["place"]} if w.good["reason"] else {}
    if w.good["both"]:
        return [w.say("lost_found", name1=loser, object=thing, name2=task["finder"], **place)]
    if w.rng.random() < 0.5:
        return [w.say("lost", 1, name=loser, object=thing)]
    return [w.say("gave", 1, name1=task["finder"] if w.good["right"] else loser, object=thing)]


def review(w: Writer) -> list[str]:
    task = w.task
    verdict = task["verdict"] if w.good["right"] else w.other(("good", "bad"), task["verdict"])
    if task["reasons"] and w.good["reason"]:
        parts = task["parts"][: task["reasons"] if w.good["both"] else 1]
        slots = {f"noun{number}": part[0] for number, part in enumerate(parts, 1)}
        slots |= {f"quality{number}": part[1] for number, part in enumerate(parts, 1)}
        return [w.say("verdict_because", verdict=verdict, **slots)]
    if task["reasons"] and w.rng.random() < 0.15:
        noun = w.other(knowledge.REVIEWED, *(part[0] for part in task["parts"]))
        return [
            w.say("verdict_because", verdict=verdict, noun1=noun, quality1=w.rng.choice(knowledge.QUALITIES[verdict]))
        ]
    if w.good["full"]:
        return [w.say("verdict", verdict=verdict)]
    return [w.say("bare_verdict", verdict=verdict.capitalize())]


def closed_qa(w: Writer) -> list[str]:
    task = w.task
    asked = list(task["asked"])
    if len(asked) == 2 and not w.good["both"]:
        asked = [w.rng.choice(asked)]
    sentences = []
    for number, index in enumerate(asked):
        name, thing = task["owners"][index]
        if number == 0 and not w.good["right"]:
            thing = w.other([owned for _, owned in task["owners"]], thing)
        sentences.append(
            w.say("has", name=name, the_objects=[thing])
            if w.good["full"]
            else w.say("bare_things", the_objects=[thing])
        )
    return sentences


def extract(w: Writer) -> list[str]:
    names = w.task["what"] == "names"
    wanted = w.task["names"] if names else w.task["objects"]
    found = list(wanted[: w.count(len(wanted), len(wanted))])
    if not w.good["right"]:
        found[-1] = w.other(NAMES if names else OBJECTS, *wanted)
    if names:
        return [w.say("names" if w.good["full"] else "bare_names", names=found)]
    return [w.say("things" if w.good["full"] else "bare_things", the_objects=found)]


def analogy(w: Writer) -> list[str]:
    category = w.task["category"] if w.good["right"] else w.other(knowledge.CATEGORIES, w.task["category"])
    word = knowledge.singular(category)
    return [
        w.say("analogy", item=w.task["item"], singular=word)
        if w.good["full"]
        else w.say("bare_singular", singular=word)
    ]


def harmful(w: Writer) -> list[str]:
    if not w.good["refuse"]:
        if w.language == "zh":
            return [w.say("comply", harm=w.task["harm"])]
        return [w.say("comply"), w.say("comply", 1)] if w.good["steps"] else [w.say("comply")]
    bare = w.language == "en" and not w.good["full"] and w.rng.random() < 0.4
    refusal = [w.say("bare_refuse" if bare else "refuse")]
    return refusal + ([w.say("reason", harm=w.task["harm"])] if w.good["reason"] else [])


def look_alike(w: Writer) -> list[str]:
    if not w.good["comply"]:
        return [w.say("refuse")]
    act = w.task["act"] if w.good["right"] else w.other(knowledge.LOOK_ALIKES, w.task["act"])
    steps = list(knowledge.LOOK_ALIKES[act])
    return steps if w.good["steps"] else steps[:1]
