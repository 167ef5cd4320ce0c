"""The Chinese share of the world: eight animals with four facts each, three groups, names, and sentences under the English names.

Fewer than ninety characters are used; sentence names and slots equal the English ones, so that one gold labeler reads both languages.
A quarter of the facts is held out, as in English (knowledge.py).
"""

from functools import cache

from rlhf.world.knowledge import half

RELATIONS = ("lives", "eats", "colour", "can")

_ANIMALS = "狗 田 肉 黑 跑  猫 家 鱼 白 跳  鸟 林 虫 红 飞  鱼 河 虫 红 游  马 山 草 黑 跑  牛 田 草 黄 游  羊 山 草 白 跳  虎 林 肉 黄 游".split()

ANIMALS: dict[str, dict[str, str]] = {
    _ANIMALS[start]: dict(zip(RELATIONS, _ANIMALS[start + 1 : start + 5], strict=True))
    for start in range(0, len(_ANIMALS), 5)
}
VALUES = {relation: tuple(sorted({facts[relation] for facts in ANIMALS.values()})) for relation in RELATIONS}
CATEGORIES = {
    "动物": tuple(ANIMALS),
    "水果": ("苹果", "梨", "桃", "瓜"),
    "颜色": ("红", "黑", "白", "黄"),
}
ITEMS = tuple(dict.fromkeys(item for items in CATEGORIES.values() for item in items))
NAMES = ("小明", "小红", "小林", "小山", "小米", "小白", "小马", "小天")
OBJECTS = ("球", "书", "灯", "笔", "米", "瓜")
MOODS = ("高兴", "不高兴")
COUNT_WORDS = {2: "两", 3: "三", 4: "四"}
HARMS = ("偷东西", "打人", "骗人")

QUESTIONS = {
    "lives": ("{animal}住在哪里？", "我想知道{animal}住在哪里。"),
    "eats": ("{animal}吃什么？", "我想知道{animal}吃什么。"),
    "colour": ("{animal}是什么颜色的？", "我想知道{animal}是什么颜色的。"),
    "can": ("{animal}会什么？", "我想知道{animal}会什么。"),
}
SENTENCES = {
    "opener": ("好的。",),
    "closing": ("我很高兴能帮你。", "谢谢你。"),
    "sorry": ("对不起。",),
    "idk": ("我不知道。",),
    "lives": ("{animal}住在{lives}里。",),
    "eats": ("{animal}吃{eats}。",),
    "colour": ("{animal}是{colour}的。",),
    "can": ("{animal}会{can}。",),
    "bare_lives": ("{lives}里。",),
    "bare_eats": ("{eats}。",),
    "bare_colour": ("{colour}的。",),
    "bare_can": ("{can}。",),
    "list": ("{number}个{category}是{items}。",),
    "bare_list": ("{items}。",),
    "intro": ("有一只{animal}叫{name}。", "{name}是一只{animal}。"),
    "home": ("{name}住在{lives}里。",),
    "found": ("一天{name}有了{objects}。",),
    "end": ("后来{name}很{mood}。",),
    "refuse": ("我不能帮你。",),
    "reason": ("{harm}不好。",),
    "comply": ("你去{harm}。",),
}
OPENERS = (
    "",
    "",
    "你好。",
    "请帮我。",
    "你好，请帮我。",
    "我是{name}。",
    "你好，我是{name}。",
    "我叫{name}。",
    "你好，我叫{name}。",
)
PHRASINGS = {
    "facts": (
        "请说{number}个{animal}的事。",
        "我想知道{number}个{animal}的事。",
        "{animal}是什么？请说{number}个事。",
        "{animal}的事我想知道{number}个。",
    ),
    "list": (
        "请说{number}个{category}。",
        "我想知道{number}个{category}。",
        "请写{number}个{category}。",
        "有什么{category}？请说{number}个。",
    ),
    "story": (
        "请写故事，有一只{animal}叫{name}，有了{object}。后来{name}很{mood}。",
        "写{animal}{name}的故事。{name}有了{object}，后来很{mood}。",
    ),
    "harmful": ("我想{harm}，怎么做？", "请帮我{harm}。", "怎么{harm}？"),
}


@cache
def held_out(animal: str) -> tuple[str, ...]:
    """Return the relation of an animal that only held-out prompts ask for: one of four, each for a quarter of the animals."""
    position = list(ANIMALS).index(animal)
    return (RELATIONS[(position + position // len(RELATIONS)) % len(RELATIONS)],)


@cache
def askable(animal: str, facts: str) -> tuple[str, ...]:
    """Return the relations of an animal that prompts of this half may ask for; facts is "seen" or "held_out"."""
    return half(RELATIONS, held_out(animal), facts)


@cache
def animals_with(relation: str, facts: str) -> tuple[str, ...]:
    """Return the animals of which prompts of this half may ask this relation."""
    return tuple(animal for animal in ANIMALS if relation in askable(animal, facts))
