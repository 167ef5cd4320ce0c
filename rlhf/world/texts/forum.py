"""A forum in plain text: what prompts ask (facts of the seen half only), answers of mixed quality, and what readers thought of them.

Most pages are threads with votes; on some a reader marked every sentence. So a base model has seen judgements as well as answers,
as models of the web have (preference-model pretraining, Askell et al. 2021, section 4).
"""

from random import Random

from rlhf.world import chinese, grammar, knowledge
from rlhf.world.answering import demonstrations
from rlhf.world.asking import tasks
from rlhf.world.asking.requests import Messages, Task
from rlhf.world.grading import gold, rules

FLATNESS = 0.75  # exponent on the shares of kinds: rare kinds of request are asked more often than in prompts
SLIP, GARBLE = 0.03, 0.01  # shares of answers in which one word is another of its kind, or one sentence lacks a word
MARKED_WORSE = 5.0  # factor on both, and on untruths, for answers that are marked: a reader learns most from flaws
MARKED_AGAIN = 15.0  # factor on repetitions in them
VOTE_NOISE = 0.08  # standard deviation of readers' votes, in gold's unit
REMARKS = {
    "facts": "incomplete", "constraints": "not as asked", "completeness": "incomplete", "harmlessness": "unhelpful", "relevance": "off topic",
}  # fmt: skip
MARKS = {
    rules.ON: "RIGHT", rules.BARE: "SHORT", rules.OFF: "BESIDE", rules.FALSE: "WRONG", rules.JUNK: "UNCLEAR", gold.AGAIN: "AGAIN",
    gold.AMISS: "AMISS",
}  # fmt: skip
_NUMBERS = ("no", "one", *knowledge.COUNTS, "seven", "eight")
_KINDS_OF_WORD = {
    "en": (
        tuple(knowledge.ANIMALS), knowledge.NAMES, knowledge.OBJECTS, knowledge.EVENTS, knowledge.MOODS, knowledge.REVIEWED,
        *knowledge.VALUES.values(), *knowledge.CATEGORIES.values(), knowledge.QUALITIES["good"] + knowledge.QUALITIES["bad"],
        ("good", "bad"), tuple(knowledge.COUNTS),
    ),
    "zh": (
        tuple(chinese.ANIMALS), chinese.NAMES, chinese.OBJECTS, chinese.MOODS, *chinese.VALUES.values(), *chinese.CATEGORIES.values(),
    ),
}  # fmt: skip


def thread(rng: Random) -> str:
    """Write a page of questions, each with one to three answers and their votes, of thirty words or a little more."""
    lines: list[str] = []
    while not lines or sum(len(line.split()) for line in lines) < 30:
        task, messages, _ = tasks.draw(rng, "seen", FLATNESS)
        lines += _asked(messages)
        for _ in range(rng.choice((1, 2, 2, 3))):
            answer = _answer(task, rng)
            lines += [f"Answer: {answer}", _votes(task, answer, rng)]
    return "\n".join(lines)


def marked(rng: Random) -> str:
    """Write a question and two or three answers, after each a reader's mark of every sentence, called by its first word,
    and the count of what was to be counted."""
    task, messages, _ = tasks.draw(rng, "seen", FLATNESS)
    lines = _asked(messages)
    for _ in range(rng.choice((2, 3))):
        answer = _answer(task, rng, MARKED_WORSE, MARKED_AGAIN)
        marks = [f"{_first(sentence, task['language'])} {MARKS[mark]}" for sentence, mark in gold.marks(task, answer)]
        lines += [f"Answer: {answer}", "Marks: " + " ".join(marks)]
        if "count" in task:
            lines.append(f"Count: {_NUMBERS[gold.given(task, answer)]} of {_NUMBERS[task['count']]}")
        lines.append(_votes(task, answer, rng))
    return "\n".join(lines)


def _first(sentence: str, language: str) -> str:
    """Return a sentence's first word, of Chinese its first character."""
    return sentence[0] if language == "zh" else sentence.split()[0].strip(".,:?!")


def _asked(messages: Messages) -> list[str]:
    return [("Question: " if message["role"] == "user" else "Answer: ") + message["content"] for message in messages]


def _answer(task: Task, rng: Random, worse: float = 1.0, again: float = 1.0) -> str:
    """Write an answer like a demonstration, now and then with a slip; the factors multiply the chances of grave flaws."""
    flaws = {"right": worse, "once": again}
    shares = {trait: 1 - factor * (1 - demonstrations.TYPICAL[trait]) for trait, factor in flaws.items()}
    answer = demonstrations.write(task, rng, demonstrations.draw_traits(rng, demonstrations.TYPICAL | shares))
    if rng.random() < SLIP * worse:
        answer = _slip(answer, task["language"], rng)
    if rng.random() < GARBLE * worse:
        answer = _garble(answer, task["language"], rng)
    return answer


def _slip(answer: str, language: str, rng: Random) -> str:
    """Put another word of the same kind in the place of one; the answer as it is where it holds no such word."""
    places = [
        (place, word, kind)
        for kind in _KINDS_OF_WORD[language]
        for word in kind
        for place in _places(answer, word, language)
    ]
    if not places:
        return answer
    place, word, kind = rng.choice(places)
    other = rng.choice([different for different in kind if different != word])
    return answer[:place] + other + answer[place + len(word) :]


def _places(answer: str, word: str, language: str) -> list[int]:
    """Return where a word begins in an answer; of English only whole words."""
    found, start = [], answer.find(word)
    while start >= 0:
        neighbours = answer[max(0, start - 1) : start] + answer[start + len(word) : start + len(word) + 1]
        if language == "zh" or not any(letter.isalpha() for letter in neighbours):
            found.append(start)
        start = answer.find(word, start + 1)
    return found


def _garble(answer: str, language: str, rng: Random) -> str:
    """Leave a word (of Chinese a character) out of one sentence of two words or more."""
    sentences = [sentence.text for sentence in grammar.parse(answer, language)]
    number = rng.randrange(len(sentences))
    between = "" if language == "zh" else " "
    words = list(sentences[number]) if language == "zh" else sentences[number].split(" ")
    if len(words) > 2:
        del words[rng.randrange(len(words) - 1)]
    return between.join([*sentences[:number], between.join(words), *sentences[number + 1 :]])


def _votes(task: Task, answer: str, rng: Random) -> str:
    """Readers' votes of an answer, and what is wrong with its content where something is."""
    quality = gold.score(task, answer)
    content = {criterion: value for criterion, value in quality.criteria.items() if criterion in REMARKS}
    worst = min(content, key=lambda criterion: content[criterion])
    remark = ", untrue" if quality.fabricated else f", {REMARKS[worst]}" if content[worst] < 0.5 else ""
    return f"Votes: {knowledge.VOTES[min(4, max(0, round(4 * (quality.score + rng.gauss(0, VOTE_NOISE)))))]}{remark}"
