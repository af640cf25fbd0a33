import json
json.dumps({"a": [1, 2.5, None, "é"]}), json.loads('{"k": [true, null, 1e3]}')
# %%
import csv, io
list(csv.DictReader(io.StringIO("a,b\n1,x\n2,y\n")))
# %%
import datetime
datetime.date(2024, 2, 29) + datetime.timedelta(days=366), datetime.datetime.fromisoformat("2024-01-02T03:04:05").isoformat()
# %%
import collections, itertools, functools, statistics
collections.Counter(context.split()).most_common(3), list(itertools.islice(itertools.permutations("abc"), 3))
# %%
functools.reduce(lambda a, b: a * b, range(1, 20)), statistics.median([3, 1, 2]), statistics.stdev([1, 2, 4])
# %%
import random
random.random(), random.randint(1, 100), random.sample(range(100), 3), random.choice("abc")
# %%
import decimal, fractions, math
decimal.Decimal(1) / 3, fractions.Fraction(1, 3) + 1, math.sqrt(2), math.comb(50, 25)
# %%
import hashlib, base64, struct, binascii
hashlib.sha256(b"x").hexdigest(), hashlib.md5(b"x").hexdigest(), base64.b64encode(b"xyz"), struct.pack("<I", 5)
# %%
import string, textwrap, bisect, heapq
textwrap.fill("a b " * 30, 20), bisect.bisect([1, 3, 5], 4), heapq.nsmallest(2, [3, 1, 2]), string.ascii_lowercase
# %%
import difflib, unicodedata, html, urllib.parse
difflib.SequenceMatcher(None, "abcd", "bcde").ratio(), unicodedata.normalize("NFD", "é"), html.unescape("&lt;"), urllib.parse.quote("a b")
# %%
import enum, typing, abc, contextlib, operator, copy, types, pprint
class Color(enum.Enum):
    RED = 1
pprint.pprint({"a": Color.RED}); copy.deepcopy([Color.RED]), operator.itemgetter(1)("ab")
# %%
import xml.etree.ElementTree as ET
ET.fromstring("<a><b>t</b></a>").find("b").text
# %%
10**100, 2**0.5, 7 // -2, 7 % -2, round(2.675, 2), 0.1 + 0.2, 1e308 * 10, int("ff", 16), f"{3.14159:.2f}", 1_000_000
# %%
sorted(["b", "a"], reverse=True), max([1, 2], default=0), sum([1] * 10), list(zip("ab", [1, 2])), dict(enumerate("ab"))
