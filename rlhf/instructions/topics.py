"""What prompts are about: topics of training with true sentences to build demonstrations from, and held-out ones without.

The sentences were written for this project. A topic's stems are what an answer must mention one of, in any case.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Topic(NamedTuple):
    name: str  # as it stands in a request
    stems: tuple[str, ...]  # beginnings of words, lower case
    sentences: tuple[str, ...] = ()  # three facts, true in any order
    phrases: tuple[str, ...] = ()  # three, for lists
    question: str = ""


_TRAINING = """
bread | bread,loaf,dough | Bread is made from flour, water and salt. Yeast makes the dough rise before it is baked. Fresh bread smells warm and tastes best on the same day. | baked from dough; rises with yeast; best when fresh | Why does bread rise in the oven?
rain | rain | Rain falls when drops in a cloud grow too heavy. It fills rivers and lets plants grow. Many people like the sound of rain on a roof. | falls from clouds; waters the fields; fills the rivers | Where does the rain come from?
cats | cat | Cats sleep for more than half of the day. They clean their fur with a rough tongue. A cat can see well when there is little light. | soft fur; sharp claws; quiet steps | Why do cats sleep so much?
dogs | dog | Dogs have lived with people for thousands of years. They can smell things that we never notice. A dog needs a long walk every day. | loyal to people; good noses; need long walks | How did dogs become our friends?
trees | tree | Trees make the air cleaner. Their roots hold the soil in place. A tall tree can be older than any person alive. | deep roots; green leaves; strong wood | How old can a tree become?
tea | tea | Tea is made by pouring hot water over dried leaves. It came from China and is now drunk all over the world. Green tea and black tea come from the same plant. | made from leaves; served hot; calms the mind | Which tea is best in the morning?
coffee | coffee | Coffee is brewed from roasted beans. It makes many people feel awake. The beans grow in warm countries near the equator. | roasted beans; strong smell; wakes you up | How much coffee is good for you?
the moon | moon | The moon moves around the earth once a month. It shines because it reflects the light of the sun. Its pull makes the tides of the sea. | circles the earth; reflects the sun; moves the tides | Why does the moon change its shape?
the sun | sun | The sun is a star at the centre of our solar system. It gives us light and warmth. Without the sun no plant could grow. | a very hot star; gives us light; warms the earth | How far away is the sun?
bees | bee | Bees collect nectar and turn it into honey. They carry pollen from flower to flower. A hive has one queen and thousands of workers. | make honey; live in hives; help flowers | How do bees make honey?
snow | snow | Snow is made of tiny crystals of ice. It covers the fields in the cold months. Children like to build figures out of snow. | white and cold; made of ice; melts in spring | Why is snow white?
books | book,read | Books let us meet people who lived long ago. A good story can make you forget the time. You can borrow books from a library for free. | full of stories; easy to carry; open new worlds | Which book changed your life?
trains | train,rail | Trains carry many people at the same time. They run on rails of steel. Modern trains can be faster than cars. | run on rails; carry many people; pull heavy loads | How fast can a train go?
bicycles | bicycle,bike,cycl | A bicycle has two wheels and needs no fuel. Riding one keeps you fit. Many cities now have lanes for bicycles. | two wheels; no fuel; good exercise | Who invented the bicycle?
the ocean | ocean,sea | The ocean covers most of our planet. Its water is salty and very deep. Whales and tiny plants live in it side by side. | salty water; huge waves; home of whales | How deep is the ocean?
birds | bird | Birds have feathers and lay eggs. Many of them fly south before it gets cold. Some birds can copy the sounds they hear. | have feathers; lay eggs; build nests | How do birds find their way?
apples | apple | Apples grow on trees and ripen in autumn. They can be red, green or golden. An apple is a healthy snack that needs no cooking. | sweet and crisp; grow on trees; good in pies | Which apple is the sweetest?
cheese | cheese | Cheese is made from milk. Some kinds ripen for more than a year. It goes well with bread and fruit. | made from milk; many kinds; tastes salty | Why does some cheese have holes?
chess | chess | Chess is a game for two players. Each side begins with sixteen pieces. The aim is to trap the king of the other side. | two players; sixteen pieces each; no luck needed | How long does a game of chess take?
football | football,ball,soccer | Football is played by two teams of eleven. Only the keeper may use the hands. A match lasts for ninety minutes. | two teams; one ball; ninety minutes | Why is football so popular?
gold | gold | Gold is a soft yellow metal. It does not rust even after centuries. People have used it for rings and coins since ancient times. | does not rust; easy to shape; very valuable | Why is gold so expensive?
glass | glass | Glass is made by melting sand. It lets the light pass through. Old bottles can be melted and used again. | clear and hard; made from sand; breaks easily | How is glass made?
honey | honey,bee | Honey is sweet and never really spoils. Bees make it from the nectar of flowers. It is good in tea or on warm toast. | sweet and sticky; made by bees; keeps for years | Why does honey keep for so long?
horses | horse | Horses can sleep while they stand. People rode them long before there were cars. A horse eats grass, hay and oats. | fast runners; eat grass; sleep standing | Can horses sleep while they stand?
mountains | mountain,peak | Mountains rise when parts of the earth push together. The air is thin and cold near the top. Many rivers begin high in the mountains. | high peaks; thin air; long trails | How are mountains formed?
painting | paint | Painting is a way to show what you see or feel. Artists mix a few colours to get many more. Some paintings are older than any written word. | needs a brush; mixes colours; shows feelings | What makes a painting famous?
potatoes | potato | Potatoes grow under the ground. They came to Europe from South America. You can boil, bake or fry them. | grow underground; easy to cook; fill you up | How many ways are there to cook potatoes?
rice | rice | Rice grows in wet fields. More than half of the world eats it every day. It must be cooked in water or steam. | small grains; grows in water; cooked with steam | Why does rice grow in water?
salt | salt | Salt makes food taste better and last longer. It comes from the sea or from mines. Too much salt is bad for the heart. | from the sea; keeps food fresh; used in every kitchen | Where does salt come from?
ships | ship,boat | Ships carry most of the goods that we buy. They float because they push water aside. Old ships were moved by the wind. | cross the sea; carry goods; need a harbour | How can a heavy ship float?
sleep | sleep | Sleep lets the body rest and heal. Most adults need seven to nine hours a night. A dark and quiet room makes it easier. | rests the body; helps memory; needs a dark room | How much sleep do you need?
soap | soap | Soap lifts dirt and oil off the skin. It is made from fat and a strong base. Washing hands with soap prevents many illnesses. | cleans the skin; makes bubbles; stops germs | Why does soap make bubbles?
spiders | spider | Spiders have eight legs and are not insects. Many of them catch their food in a web. Most spiders are harmless to people. | eight legs; spin webs; eat flies | How do spiders spin a web?
swimming | swim | Swimming trains nearly every muscle. It is easy on the joints because water carries you. Children should learn it early to be safe. | good exercise; easy on joints; fun in the heat | When should children learn swimming?
clocks | clock,time | Clocks show us the time of day. The first ones used water or shadows. Today the best clocks count the swings of atoms. | show the time; have two hands; tick softly | Who built the first clock?
elephants | elephant | Elephants are the largest animals on land. They use the trunk to drink and to lift things. A herd is led by an old female. | long trunks; big ears; good memory | Why do elephants have big ears?
wind | wind | Wind is air that moves from high to low pressure. It turns the blades of mills and makes power. Sailors need it to cross the sea. | moving air; turns mills; fills sails | What makes the wind blow?
candles | candle,wax | Candles are made of wax and a wick. They gave people light before there was electricity. A candle should never burn without someone near. | made of wax; give soft light; burn slowly | What are candles made of?
bridges | bridge | Bridges let us cross rivers and valleys. Some hang from strong cables. The oldest ones are built of stone. | cross rivers; made of stone or steel; save time | How long can a bridge be?
roses | rose,flower | Roses are flowers with thorns on the stem. They come in red, white, pink and more. People give them to those they love. | smell sweet; have thorns; many colours | Why do roses have thorns?
libraries | librar,book | Libraries lend books to everyone. They are quiet places to study. Many of them also offer computers and courses. | full of books; quiet rooms; free to use | What can you borrow from a library?
milk | milk | Milk is the first food of every young mammal. It contains calcium for strong bones. Butter and yogurt are made from milk. | white and rich; full of calcium; kept cold | Why is milk white?
tomatoes | tomato | Tomatoes are fruits although we cook them like vegetables. They need a lot of sun to ripen. The best sauce begins with fresh tomatoes. | red and juicy; need the sun; good in sauce | Is a tomato a fruit or a vegetable?
schools | school,student,pupil,teach | Schools teach children to read, write and count. They are also places to make friends. A good teacher is remembered for life. | teach reading; have many rooms; bring children together | What makes a good school?
"""  # noqa: E501

_HELD_OUT = """
butter|butter;oranges|orange;lions|lion;whales|whale;stars|star;clouds|cloud;deserts|desert,sand;volcanoes|volcano,lava,erupt;
robots|robot;computers|computer;airplanes|airplane,plane,fl;cars|car;hats|hat;shoes|shoe;umbrellas|umbrella,rain;dancing|danc;
cooking|cook;running|run;gardens|garden,plant;forests|forest,tree;rivers|river,water;rabbits|rabbit;frogs|frog;wolves|wolf,wolves;
pizza|pizza;soup|soup;chocolate|chocolate;lemons|lemon;pencils|pencil;mirrors|mirror,reflect;violins|violin,music;
guitars|guitar,music;castles|castle;lighthouses|lighthouse,light;windmills|windmill,wind;penguins|penguin
"""


def _training() -> list[Topic]:
    found = []
    for line in _TRAINING.strip().split("\n"):
        name, stems, text, phrases, question = (part.strip() for part in line.split("|"))
        sentences = tuple(f"{part.rstrip('.')}." for part in text.split(". "))
        found.append(Topic(name, tuple(stems.split(",")), sentences, tuple(phrases.split("; ")), question))
    return found


def _held_out() -> list[Topic]:
    lines = _HELD_OUT.replace("\n", "").strip(";").split(";")
    return [Topic(name, tuple(stems.split(","))) for name, stems in (line.split("|") for line in lines)]


TOPICS: dict[str, Sequence[Topic]] = {"training": _training(), "held_out": _held_out()}

REQUESTS: dict[str, Sequence[str]] = {
    "training": [
        "Tell me about {topic}.", "Describe {topic}.", "What is special about {topic}?", "Explain {topic} to a child.",
        "Why do people care about {topic}?", "Write about {topic}.",
    ],
    "held_out": ["What should I know about {topic}?", "Say something about {topic}.", "Give me an introduction to {topic}."],
}  # fmt: skip
