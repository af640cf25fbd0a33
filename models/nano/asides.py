"""What training puts before and after a question: words that ask nothing and name nothing.

They have no digits, quotes, apostrophes or brackets, which programs read, and none of the words
that tell one kind of question from another. Nothing here is used by the evaluation.
"""

from __future__ import annotations

import random

from models.nano.lexicon import ADVERBS, pseudo_word
from models.nano.phrasing import pick
from models.nano.written import section

_MATTER = (
    "the (text|file|document|data|material|input|context|prompt|source|content|extract|dump|"
    "attachment|upload)( above| below| here| at hand| provided| I sent| you have| you "
    "got| in front of you|)"
)
_ALL_OF_IT = f"(everything|it|this|that|{_MATTER}|{_MATTER}|what is there|what you were given)"
_READ = (
    "(read|seen|scanned|searched|studied|opened|checked|examined|looked at|looked through|"
    "gone through|gone over|worked through|taken in|skimmed|loaded|received|inspected)"
)
_READING = (
    "(reading|seeing|scanning|searching|studying|opening|checking|examining|looking at|"
    "looking through|going through|going over|working through|taking in|skimming|inspecting)"
)
_SOMEONE = (
    "(my boss|a colleague|the team|our client|a customer of ours|a friend|my teacher|the office|"
    "the editor|our auditor|the committee|somebody|a reader|the manager|support|an intern)"
)

#: Clauses after which a comma, a colon or a dash may stand: the question goes on from them.
_CLAUSES = (
    f"(having|after having|now that you have|once you have|after you have|as soon as you have|"
    f"given that you have|since you have|supposing you have) {_READ} {_ALL_OF_IT}",
    f"(after|by|on|upon|while|without fail, after) {_READING} {_ALL_OF_IT}",
    f"(with|given|considering|regarding|judging by|going by|based on|on the basis of|as for|"
    f"according to|using|relying on|in view of|in the light of) {_MATTER}",
    f"(in|from|out of|looking into|looking at|taking|drawing on) {_MATTER}",
    "(please|kindly|if you please|if you can|if you would|if possible|be so kind|do me a favour|"
    "with your help|when ready|as usual|as agreed|for a change)",
    "(hello|hi|hey|good (day|evening|afternoon)|greetings|dear (assistant|reader|helper)|welcome "
    "back|well|so|now|right then|okay|alright|excuse me|sorry to bother you|thanks in advance)",
    f"for (the sake of|the benefit of|the files of|) {_SOMEONE}",
    "for (the (archive|meeting|minutes|summary|protocol|dashboard|newsletter|audit|quiz|briefing)|"
    "my (notes|thesis|diary|records here|paperwork)|our (archive|files|audit|presentation))",
    "(quickly|briefly|just|simply|honestly|frankly|exactly|precisely|in a word|in a nutshell|in "
    "short|to be brief|by the way|in fact|for once)",
    f"as {_SOMEONE} (asked|put it|wanted to know|wondered|wrote|requested)",
    "(since|as|because) (time is short|there is little time|I am in a hurry|we are late|the "
    "deadline is near|this is urgent|it is getting late|somebody is waiting)",
    "if (I may ask|you do not mind|it is no trouble|that is fine with you|you know it|it can be "
    "said|it is there)",
    "as (a|the|our) (diligent|attentive|thorough|meticulous|reliable|experienced|seasoned|skilled) "
    "(reader|analyst|clerk|archivist|assistant|librarian|researcher|expert|editor|accountant)",
)
#: Whole sentences.
_SENTENCES = (
    "(you are|act as|imagine you are|you work as|play) (a|the|our) "
    "(diligent|attentive|thorough|meticulous|reliable|experienced|seasoned|skilled|) (reader|"
    "analyst|clerk|archivist|assistant|librarian|researcher|expert|editor|accountant)",
    f"(look|go|read|search|work|dig) (through|into) {_MATTER}(| carefully| with care| attentively)",
    f"(study|examine|inspect|check|scan|open|use|consult|consider) {_MATTER}"
    "(| carefully| with care| and answer| and then answer| before you answer)",
    f"{_MATTER} (is|was) (an export|a dump|what we have|rather lengthy|not sorted|given as it is|"
    "taken from our archive|what we could get|in no special shape)",
    "(time is short|there is little time|I am in a hurry|we are late|the deadline is near|this is "
    "urgent|it is getting late|be quick|no time to lose|somebody is waiting)",
    "(here is|here comes|this is|I have) (a|my|our|the|another|a small|a simple) "
    "(question|task|request|query|problem|exercise)",
    "(answer|solve|reply to|respond to|take care of|deal with|handle) (the following|this|the "
    "question|this question|my question|this request|the question below)",
    f"{_SOMEONE} (has|had|sent) (a|this|the following|another) (question|request|task|query)",
    "(I hope|I trust) you can help( me| us| with this|)",
    "(thank you|thanks) (for helping|for your help|in advance|for the quick work|for looking)",
    "(I have a question|may I ask something|one thing is unclear to me|there is something I want "
    "to know|something puzzles me|help me with this|can you help me|let me ask you something)",
    "(think|go) (carefully|slowly|calmly)",
    "(do not guess|be precise|be accurate|take care|take your time|pay attention|stay with the "
    "facts)",
)
#: Labels that stand before a question.
_MARKS = (
    "(q|question|query|task|request|prompt|problem|ask|exercise|instruction|user|to do|"
    "todo|quiz|assignment|inquiry|client|input|message to you|subject|re|fyi)"
)
_MARK_ENDS = (": ", ": ", ":\n", " - ", " -> ", " > ", ". ", "\n", " = ", " | ")
_BULLETS = ("- ", "* ", "> ", ">> ", "-> ", "# ", "### ", "... ", "~ ", "+ ", "| ", "-- ")

_TAILS = (
    "(answer|reply|respond) (with|by giving|using) (only the|just the|the bare|nothing but the|"
    "the plain) (answer|result|value|solution|outcome|response)( only|)",
    "(give|return|output|print|write|say|send|I want|I need|we need) (only the|just the|the bare|"
    "nothing but the|the plain) (answer|result|value|solution|outcome|response)",
    "(no|without|skip|omit|leave out|spare me|spare us|drop|avoid) (the |any |further |long |) "
    "(explanation|comment|comments|introduction|reasoning|details|preamble|chatter|pleasantries)"
    "( please| this time| whatsoever|)",
    "(do not|never|please do not|you need not) (explain|comment|elaborate|add anything|show your "
    "work|guess|repeat the question|apologise|make things up)",
    "(thanks|thank you|many thanks|cheers|thanks a lot|thank you kindly|much obliged|kind regards|"
    "best wishes)( in advance| for your help| for looking|)",
    "(keep it|make it|be|stay|please be) (short|brief|concise|precise|exact|to the point|quick|"
    "accurate)",
    f"(it|this|the answer|what I need|the solution) (is|must be|should be|can be found|is hidden|"
    f"is written|is stated|stands) (somewhere |) in {_MATTER}",
    f"(use|take|consult|trust|rely on) (only|nothing but|just) {_MATTER}",
    "(this is urgent|time is short|I am in a hurry|as soon as you can|hurry|quickly please|right "
    "away|it is for today|we are waiting|there is no rush|take your time)",
    "(that is|this is|that would be) (it|my question|what I need|enough|the whole question|what we "
    "want to know)",
    f"{_SOMEONE} (is waiting|wants to know|asked for it|needs it|will read it)",
    "(please|if you can|if you would|will you|would you|okay|right|understood|can you do that)",
    "(a|the) (bare|plain|short|brief|quick) (answer|reply|response) (is fine|will do|suffices|is "
    "best|is what I want)",
    "(your answer|answer|a|response|result|output)",
)
#: How many leads and tails are of the written ones.
_WRITTEN = 0.35
TEMPLATES = (*_CLAUSES, *_SENTENCES, _MARKS, *_TAILS)


def lead(rng: random.Random, *, quiet: bool = False) -> str:
    """Words before a question, or none; the question follows at once. `quiet`: without a colon,
    which for some questions begins a list."""
    if rng.random() < 0.25:
        return ""
    text = ""
    if rng.random() < _WRITTEN:
        said = _case(rng, pick(rng, rng.choice(section("needles", "lead"))))
        text = said.replace(":", ",") + " " if quiet else said + rng.choice((" ",) * 6 + ("\n",))
        if said[-1] not in ".!" or rng.random() < 0.5:
            return text
    if rng.random() < 0.15 and not quiet:
        text += rng.choice(_BULLETS)
    if rng.random() < 0.2 and not quiet:
        text += _case(rng, pick(rng, _MARKS)) + rng.choice(_MARK_ENDS)
        if rng.random() < 0.6:
            return text
    if rng.random() < 0.35:
        for _ in range(rng.choice((1, 1, 1, 2))):
            text += _case(rng, pick(rng, rng.choice(_SENTENCES)))
            text += rng.choice((". ", ". ", ". ", "! ", ".\n", "\n", "... ", ".\n\n"))
        if rng.random() < 0.65:
            return text
    said = _aside(rng) if rng.random() < 0.2 else pick(rng, rng.choice(_CLAUSES))
    if rng.random() < 0.15:
        said += ", " + pick(rng, rng.choice(_CLAUSES))
    ends = (", ", ", ", ", ", " - ", "; ", ",\n", " ... ")
    if not quiet:
        ends = (*ends, ": ", ": ", ": ", ":\n", ":\n\n")
    return text + _case(rng, said) + rng.choice(ends)


def tail(rng: random.Random) -> str:
    """Words after a question, with what parts them from it, or none."""
    if rng.random() < 0.45:
        return ""
    text = ""
    for _ in range(rng.choice((1, 1, 1, 2))):
        written = rng.random() < _WRITTEN
        said = pick(rng, rng.choice(section("needles", "tail") if written else _TAILS))
        said = _case(rng, said.rstrip(".!?"))
        text += rng.choice((" ", " ", " ", "\n", "\n\n", " - ")) + said
        text += rng.choice((".", ".", ".", "!", "", "...", ":"))
    return text


def _aside(rng: random.Random) -> str:
    """Words of which the model knows none."""
    adverb, name = rng.choice(ADVERBS.split()), pseudo_word(rng)
    return rng.choice(
        (
            adverb,
            f"{name} {pseudo_word(rng)}",
            f"we {adverb} ask",
            f"with the {name} in mind",
            f"{name} {adverb} wants to know",
            f"for {name} and the {pseudo_word(rng)}",
            f"{name} asks",
        )
    )


def _case(rng: random.Random, text: str) -> str:
    """Mostly with a capital, now and then as it is, seldom in capitals."""
    way = rng.random()
    if way < 0.06:
        return text.upper()
    return text if way < 0.25 else text[0].upper() + text[1:]
