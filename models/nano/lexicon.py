"""The words that tasks are made of, and names nobody has seen before.

Lists are split once, by position: every fifth entry is held out and is used by
the evaluation only. Keys are mostly built from the lists; a part of them are
pseudo-words, so that no key can be known by heart.
"""

from __future__ import annotations

import random
from typing import Literal

Split = Literal["train", "held"]

ADJECTIVES = """\
able amber ancient autumn bitter black bold brave brief bright broad broken bronze calm \
careful cheap clean clear clever cold common copper crimson crisp curious dark deep delicate \
distant double dry dusty eager early eastern easy elder empty even faint fair faithful fancy \
fast final fine firm flat foreign forest formal fragile free fresh frozen full gentle giant \
glad golden grand gray great green happy hard heavy hidden high hollow honest humble icy idle \
inner iron ivory jolly kind large late lazy lean left light little lively local lonely long \
loud lower loyal lucky mellow middle mild misty modern modest mossy muddy naked narrow neat \
new noble noisy northern odd old open orange outer pale patient perfect plain pleasant polite \
poor precise pretty private proud public pure purple quick quiet rapid rare raw ready red \
remote rich right rigid ripe rough round royal rural rusty sacred safe salty scarlet secret \
serious sharp short shy silent silver simple single sleepy slim slow small smart smooth soft \
solid sour southern spare special spicy steady steep stern still stormy strange strict strong \
sturdy subtle sudden sunny super sweet swift tall tame tender thick thin tidy tight tiny tired \
tough upper urban useful vague valid vast velvet violet vivid wandering warm weary western wet \
white whole wide wild windy winter wise wooden yellow young"""

NOUNS = """\
acorn age anchor apple arrow artist atlas autumn badge baker balloon bank barley barn basket \
beach beacon bear bell bench bird boat book border bottle branch brick bridge brook brush \
bucket butter button cabin cable camel camera canal candle canyon carpet castle cellar chain \
chair chalk chapel cherry circle clock cloud coast coin comet compass copper corner cotton \
crane creek crown crystal curtain daisy dancer deer desert desk diamond doctor dolphin door \
dragon drum eagle earth echo ember engine falcon farmer feather fence ferry field finch fire \
flag flame flute forest fork fossil fountain fox garden gate ghost glacier glass glove goose \
grape grass guitar hammer harbor hawk hazel heron hill honey horizon horse hotel house hunter \
island ivy jacket jewel judge jungle kettle key kite knight ladder lake lamp lantern leaf \
lemon letter library lily lion lizard lock lodge magnet mantle maple marble market meadow \
melon mill mirror monkey moon morning mountain museum needle nest notebook nurse oak oasis \
ocean olive orchard orchid otter owl oyster painter palace panther paper parrot path peach \
pearl pebble pencil pepper piano pilot pine planet plum pocket poet pond poppy potato prairie \
prince puzzle quarry queen rabbit radio rain raven reef ribbon rice ring river road robin \
rocket roof rope rose saddle sailor salmon sand scarf school seed shadow shell ship shore \
singer sky smoke snow soldier sparrow spider spoon spring squirrel star station stone storm \
stove stream street summer sun swan table tailor teacher temple thistle thunder ticket tiger \
timber tower train tree trumpet tulip tunnel turtle valley vase village violin wagon walnut \
water wave whale wheat wheel willow wind window winter wizard wolf wood yard zebra"""

FIRST_NAMES = """\
Ada Adrian Agnes Alan Albert Alice Amara Amir Ana Anders Anita Arjun Astrid Aylin Beatriz Ben \
Bianca Boris Bruno Carla Cedric Chen Chloe Clara Colin Dalia Daniel Dario Diana Dmitri Edgar \
Elena Elias Emeka Emma Erik Esther Eva Farid Fatima Felix Fiona Frida Gabriel Gemma Georg Grace \
Greta Hana Harald Hassan Helena Henry Hugo Ida Igor Ines Ingrid Irene Isaac Ivan Jamal Jana Joel \
Jonas Julia Karim Karla Kenji Kofi Lara Leila Leo Lina Louis Lucia Magnus Mai Malik Mara Marco \
Maria Marta Mateo Mei Milan Mina Mona Nadia Naomi Nils Nora Oleg Olga Omar Oscar Otto Pablo \
Paula Pedro Petra Priya Rafael Rania Rosa Ruben Ruth Samir Sara Selma Simon Sofia Stefan Sven \
Tamar Tariq Tessa Thea Tomas Ulla Vera Viktor Wanda Yara Yusuf Zoe"""

LAST_NAMES = """\
Abbott Adler Almeida Amato Andersen Baker Barros Bauer Becker Bianchi Bishop Blum Borg Brandt \
Carver Castro Chandra Costa Cruz Dahl Diaz Dorn Dubois Duran Eklund Ellis Faber Falk Ferrari \
Fischer Flores Fontaine Frost Garcia Glover Gomez Haas Hahn Hale Hansen Hartman Hayashi Holm \
Hoshino Ibarra Ivanov Jansen Jensen Kamara Kaplan Keller Khan Kimura Klein Kovacs Kruger Lang \
Larsen Lehmann Lopez Lund Maier Marsh Mehta Mendez Meyer Molina Moreau Mori Nakamura Navarro \
Nilsen Novak Nunez Okafor Olsen Ortega Osei Palmer Park Pereira Petrov Popov Quinn Rahman Ramos \
Reyes Ricci Romero Rossi Sato Schmidt Shah Silva Singh Sokolov Sousa Stern Suzuki Tanaka Torres \
Tran Ueda Vargas Vogel Wagner Walsh Weber Weiss Winter Wolf Yamada Zhang Ziegler"""

PLACES = """\
Aberdeen Accra Adelaide Amman Ankara Antwerp Athens Bergen Bilbao Bologna Bremen Brighton \
Brisbane Cairo Calgary Cardiff Cartagena Chennai Cologne Cordoba Cork Cusco Dakar Dresden Dublin \
Durban Edmonton Fargo Fukuoka Geneva Genoa Ghent Granada Graz Halifax Hamburg Hanoi Havana \
Helsinki Innsbruck Izmir Jaipur Kampala Kigali Kobe Krakow Kyoto Lagos Leeds Leipzig Lille Lima \
Lisbon Luanda Lyon Malaga Malmo Manila Marseille Medellin Mombasa Munich Nagoya Nairobi Nantes \
Naples Odense Osaka Oslo Ottawa Oxford Palermo Perth Pisa Porto Prague Quito Recife Riga \
Rotterdam Salvador Santiago Seville Sofia Surat Sydney Tallinn Tampere Tampico Tbilisi Toledo \
Trieste Tunis Turin Uppsala Utrecht Valencia Varna Vienna Vilnius Warsaw Windhoek York Zagreb"""

VERBS = """\
carried crossed painted repaired visited watched followed opened closed counted cleaned covered \
described discovered divided drew dropped emptied entered examined filled found framed gathered \
guarded heated hid kept lifted loaded measured mended missed moved named needed noticed ordered \
packed passed planted polished praised pulled pushed raised reached remembered replaced sold \
shared signed sketched studied surveyed touched traded turned wanted washed weighed wrapped"""

PREPOSITIONS = "above across along around behind below beside beyond near under inside outside"

ADVERBS = """\
again always carefully early gladly hardly later mostly often quickly quietly rarely seldom \
slowly sometimes soon steadily still today twice usually yesterday"""

_ONSETS = (
    "b bl br c ch cl cr d dr f fl g gl gr h j k kl kr l m n p pl pr qu r s sh sk st t th tr v w z"
)
_VOWELS = "a e i o u ai ea ee ia io oa ou"
_CODAS = "b d ck g l ll m n nd ng nt p r rk rn s ss st t th x"


def words(listing: str, split: Split) -> list[str]:
    """The half of a list that `split` may use: every fifth entry is held out."""
    held = split == "held"
    return [word for n, word in enumerate(listing.split()) if (n % 5 == 2) == held]


def pseudo_word(rng: random.Random) -> str:
    """A pronounceable word that means nothing, of two or three syllables."""
    syllables = [
        rng.choice(_ONSETS.split()) + rng.choice(_VOWELS.split())
        for _ in range(rng.choice((2, 2, 3)))
    ]
    return "".join(syllables) + rng.choice(_CODAS.split())
