"""Which closed answers a passage asserts: named as whole words, not negated, not merely weighed, asked or compared."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from finetune.scoring.replies import fold, plain, stated

_JOINS = r"\w\-\u00ad\u200b-\u200d\u2010-\u2013\u2060\u2212"
"""Characters of a word, those that join two of them, and those that nobody sees."""

_WINDOW = 160
"""Characters before an answer that can negate it; bounds the time that a hostile reply can take."""

_BREAK = (
    r"(?:but|however|although|though|yet|still|nevertheless|so|therefore|thus|hence|it|it['\u2019]s|this|that"
    r"|is|are|was|were|there|only|just|merely|simply|instead|doubt|question|hesitation|mistaking|i|we|while|because|since"
    r"|which|answer)\b"
)
"""Words at which a negation ends: `not good but a crack`, `no doubt this is a crack`."""
_NOT = (
    r"(?:\b(?:no|not|never|without|neither|nor|none|cannot|lacks?|lacking|absence\s+of|rather\s+than|instead\s+of"
    r"|opposed\s+to|free\s+(?:of|from)|rul(?:e|es|ed|ing)\s+out|exclud(?:e|es|ed|ing)|unlike|than|compared\s+(?:to|with)"
    r"|mistaken\s+for|confused\s+with|distinguish\w*\s+from|hardly|barely|scarcely|partially|partly|almost|nearly"
    r"|far\s+from|wrongly|incorrectly|nothing|zero|devoid\s+of|negative\s+for|anything\s+but|everything\s+except"
    r"|r/o|unable|declin(?:e|es|ed|ing)|prohibits?|non|kein\w*|nicht|ohne|weder|sans|aucune?|ning\u00fan\w*"
    r"|tampoco|senza|nessun\w*|n\u00e3o|nenhuma?|geen|niet|zonder|\u043d\u0435|\u043d\u0435\u0442|\u0431\u0435\u0437"
    r"|\u0644\u0627|\u0644\u064a\u0633|\u0628\u062f\u0648\u0646)|\b\w+n['\u2019]t"
    r"|\u4e0d\u662f|\u6ca1\u6709|\u6c92\u6709|\u5e76\u975e|\u672a\u89c1|\u672a\u898b|[\u65e0\u7121\u975e\u4e0d\u672a\u5426])"
)
"""Words of denial: English, then what stands before the denied word in German, French, Spanish, Italian, Portuguese,
Dutch, Russian, Arabic and Chinese."""
_NOT_RIGHT_BEFORE = (
    r"\b(?:pas|ni|sin|sem|nie|nie\s+ma|bez|brak)\s+(?:d['\u2019]|(?:de|la|le|une?|uma?|el)\s+)?[\"'(\u201c\u2018]*\Z"
)
"""Words that deny what follows at once and no more: an SEM image, nickel (Ni) and a PAS stain have findings too."""
_NEGATED_BEFORE = re.compile(
    rf"\[\s?\]\s*\Z|{_NOT_RIGHT_BEFORE}|{_NOT}(?:\s+(?!{_BREAK})[\w'\u2019/-]+(?:,?\s+(?!{_BREAK})[\w'\u2019/-]+){{0,7}},?)?[^\S\n]*[\"'(\[{{\u201c\u2018]*\Z"
)
_CLAUSE = re.compile(
    r"[.;!?]\s|\n|\b(?:(?<!anything )but|however|although|though|yet|nevertheless|so|therefore|thus|hence)\b"
)
_OPINION = r"(?:think|believe|suspect|feel|say|find|see|detect|observe|notice|expect|consider|call)"
_KNOW = r"(?:determine|tell|say|assess|identify|confirm|conclude|classify|decide|judge|know|verify|establish)"
_UNASSERTED = re.compile(
    rf"(?:\b(?:not|never|cannot)|n['\u2019]t)\s+(?:\w+\s+)?{_OPINION}\b"
    rf"|(?:\b(?:not|cannot|unable\s+to|not\s+able\s+to|impossible\s+to|hard\s+to|difficult\s+to)|n['\u2019]t)\s+"
    rf"(?:\w+\s+)?{_KNOW}\b"
    r"|\bfalse\s+that\b|\b(?:if|whether|unless|unlikely|unclear|unsure|uncertain)\b|\bi\s+doubt\b|\bnot\s+(?:sure|certain|clear)\b"
    r"|\b(?:could|might|may|would)(?:\s+(?:also|well|possibly|perhaps|easily|only))*\s+"
    r"(?:be|have|look|show|appear|indicate|suggest|need|expect|resemble|seem)\b"
    r"|\b(?:probability|chances?|likelihood|risk|odds|possibility)\s+(?:of|that)\b"
    r"|\b(?:options|choices|labels|categories|classes|possibilities|one\s+of|between|asked|asks|task\s+is)\b"
)
"""Left of an answer in its clause: it is weighed or listed, and not asserted."""
_LENGTH = r"\s*(?:[cm\u00b5\u03bcun]?m|px|pixels?|in|inch(?:es)?)\b"
_SMALL = (
    r"(?:0*\.?0*[0-4](?:\.\d+)?|0?[1-4]\d(?:\.\d+)?)\s?(?:%|percent\b)(?!\s+(?:of|area|larger|smaller|wider|deeper|loss)\b)"
    r"|0?\.[0-4]\d*(?=\s*(?:[),.;|\n]|\Z))(?!\.\d)"
)
"""A share below one half, and no size."""
_NEGATED_AFTER = re.compile(
    r"\A[\"'\u201d\u2019)\u300d\u300f]*(?:"
    r"(?:\s+(?:counts?|number|total|instances|present|presence|visible|detected|found))?\s*[:=|]\s*[\"']?"
    r"(?:no|none|false|absent|0|neg|negative|not)\b(?!\.\d)|\s*:\s*[\u2717\u2718]"
    r"|\s*[\u2013\u2014(-]\s*(?:none|absent|neg|negative|not\s+present)\s*(?:\Z|[).;,\n])"
    rf"|[\"']?\s*[:=|]\s*[\"']?[01]?\.\d+(?!\d|{_LENGTH})"
    r"|[\s:=|(]*(?:is\s+)?(?:(?:(?:with|at|of|an?|the|its)\s+)*(?:confidence|probability|likelihood|chance|score)"
    rf"[\s:=]+(?:(?:of|is|at)\s+)?)?(?:{_SMALL})|\s+(?:with|at)\s+(?:{_SMALL})\s+(?:confidence|probability|likelihood|chance)\b"
    r"|\s+(?:(?:is|are|was|were|does|can|could|has|have|been|be|seems?|appears?|looks?|certainly|highly|very|ist|sind|est"
    r"|es|est\u00e1|\u00e8|\u00e9)\s*)*"
    r"(?:not\b|resolved\b|negative\b|n['\u2019]t\b|absente?s?\b|ruled\s+out\b|excluded\b|unlikely\b|improbable\b|impossible\b"
    r"|doubtful\b|wrong\b|incorrect\b|missing\b|out\b(?!\s+of\b)|nicht\b|fehlt\b|n['\u2019]est\b|pas\b|no\s+(?:es|se|est\u00e1|hay)\b"
    r"|non\s+(?:\u00e8|si)\b|ausente\b"
    r"|assente\b|yok\b|de\u011fil\b|\u043d\u0435\u0442\b|\u0928\u0939\u0940\u0902)"
    r"|\s*(?:\u3067\u306f\u306a\u3044|\u3067\u306f\u3042\u308a\u307e\u305b\u3093|\u306f\u306a\u3044|\u306a\u3057|\uc5c6|\uc544\ub2c8)"
    r"|\s+(?:questions?|points?|ideas?|lighting|quality|resolution|contrast|morning|day|luck|job|parts?\s+would|practice)\b"
    r"|[^.!?\n]{0,40}\?)"
)
"""Right of an answer: it is denied, it describes something else, or the sentence is a question."""

_LETTER_BEFORE = re.compile(
    r"(?:\A|[\n(\[{<\"'\u201c\u2018:=,/|$>\\]|\b(?:option|choice|answer|letter|label|class|category|grade|is|be|say|select"
    r"|selected|choose|chose|pick|with|or|and|so|therefore|thus|hence|to)|['\u2019]s)[\s\"'(\u201c\u2018]*\Z"
)
_LETTER_AFTER = re.compile(
    r"\A(?:\s*\Z|[ \t]*\n|[\n)\],:;/|}\"'\u201d\u2019!?$](?!s\b)|\.(?!\w)|\s*[(]|\s+[-\u2013\u2014]\s|\s*(?:or|and)\b"
    r"|\s+is\s+(?:the\s+)?(?:correct|right|best|most|answer))"
)
_LETTER_LIST = re.compile(r"(?:(?<!\w)[^\W\d_]\s*(?:,|/|or\b|and\b)\s*)+\Z")
_NUMBERED = re.compile(
    r"\b(?:step|figure|fig\.?|images?|picture|photo|question|page|section|panel|table|item|version|phase)\s*#?\s*\Z"
    r"|\d[.,:/]\Z"
)
_MEASURED = re.compile(r"\A(?:[.,:/]\d|\s*%|(?:st|nd|rd|th)\b|\s*(?:mm|cm|m|kg|g|px|pixels?|degrees?|\u00b0|x)\b)")
_POLAR_BEFORE = re.compile(
    r"(?:\A|[\n.!?:;,(\[{<\"'\u201c\u2018=|>/-]|\b(?:is|be|say|answer|so|therefore|thus|hence|or|and|probably|likely|definitely"
    r"|clearly|then|with))\s*[\"'(\u201c\u2018]*\Z"
)
_POLAR_AFTER = re.compile(
    r"\A\s*(?:\Z|[).,:;!/\]}\"'\u201d\u2019|(-]|\n|\u2013|\u2014|(?:or|and|because|since|there|it|it's|this|the|i|as|they"
    r"|based)\b)"
)


def spellings(labels: Sequence[str], synonyms: Mapping[str, Sequence[str]] | None = None) -> dict[str, str]:
    """Folded spelling -> label, for the labels themselves and their declared synonyms."""
    return {fold(spelling): label for label in labels for spelling in (label, *(synonyms or {}).get(label, ()))}


def ambiguous(labels: Sequence[str], synonyms: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Spellings that would name two labels -> those labels; empty where every reply can be told apart."""
    owners: dict[str, set[str]] = {}
    for label in dict.fromkeys((*labels, *synonyms)):
        for spelling in (label, *synonyms.get(label, ())):
            owners.setdefault(fold(spelling), set()).add(label)
    return {spelling: sorted(found) for spelling, found in owners.items() if len(found) > 1}


def answers(text: str, labels: Sequence[str], synonyms: Mapping[str, Sequence[str]] | None = None) -> set[str]:
    """The labels that a reply asserts, in the passages marked as its answer, else anywhere in it."""
    known = spellings(labels, synonyms)
    body = plain(text, known)
    marked = stated(body)
    found: set[str] = set()
    for passage in marked or [body]:
        found |= asserted(passage, known, cued=bool(marked))
    return found


def asserted(passage: str, known: Mapping[str, str], cued: bool = False) -> set[str]:
    """Labels that a plain passage asserts.

    Args:
        passage: plain text.
        known: folded spelling -> label.
        cued: the passage is marked as the answer, so that a letter at its start is one whatever follows.
    """
    choices = sorted((spelling for spelling in known if spelling), key=len, reverse=True)
    if not choices:
        return set()
    folded = passage.casefold()
    pattern = "|".join(r"\s+".join(map(re.escape, choice.split())) for choice in choices)
    found = set()
    for match in re.finditer(rf"(?<![{_JOINS}])(?:{pattern})(?![{_JOINS}])", folded):
        before, after = folded[max(0, match.start() - _WINDOW) : match.start()], folded[match.end() :][:_WINDOW]
        spelling = fold(match.group())
        first = cued and not before.strip(" \"'([{$<\n")
        inside = any(char and unicodedata.category(char).startswith("M") for char in (before[-1:], after[:1]))
        if not inside and _stands_alone(spelling, before, after, first) and not _unasserted(before, after, cued):
            found.add(known[spelling])
    return found


def clause(text: str, end: int) -> str:
    """What stands left of a place in its own clause, folded."""
    return _CLAUSE.split(text[max(0, end - _WINDOW) : end].casefold())[-1]


def denied(text: str, at: int) -> bool:
    """Whether what stands left of a number or a list takes it back: `not 5`, `never ["crack"]`."""
    return bool(_NEGATED_BEFORE.search(clause(text, at)))


def _unasserted(before: str, after: str, cued: bool) -> bool:
    own = clause(before, len(before))
    if _NEGATED_BEFORE.search(own) or _NEGATED_AFTER.search(after):
        return True
    return not cued and bool(_UNASSERTED.search(own))


def _stands_alone(spelling: str, before: str, after: str, first: bool) -> bool:
    """Whether a short spelling is used as an answer: `A` is also an article, `no` a determiner, `1` a list number."""
    if spelling.isdigit():
        listed = re.search(r"(?:\A|\n)\s*\Z", before) and re.match(r"[.)]\s+\w", after)
        return not (_NUMBERED.search(before) or _MEASURED.search(after) or listed)
    if len(spelling) == 1 and spelling.isalpha() and spelling.isascii():
        return _letter(spelling, before, after, first)
    if spelling == "no":
        return first or bool(_POLAR_BEFORE.search(before) and _POLAR_AFTER.search(after))
    if spelling.startswith("no "):
        return not re.match(r"\s+(?:of|for|to|that|such|like|other|except|besides|apart|but)\b", after)
    return True


def _letter(spelling: str, before: str, after: str, first: bool) -> bool:
    if re.search(r"\w\.\Z", before) or _NUMBERED.search(before.rstrip("( ")):  # e.g., i.e., U.S.; see panel (b)
        return False
    before, after = re.sub(rf"(?:\b{spelling}\s+)+\Z", "", before), re.sub(rf"\A(?:\s+{spelling}\b)+", "", after)
    if (first and spelling not in "ai") or re.search(r"\b(?:option|choice|letter)\s+[\"'(]*\Z", before):
        return True
    return bool(_LETTER_AFTER.search(after) and _LETTER_BEFORE.search(_LETTER_LIST.sub("", before)))


def only(found: Iterable[str]) -> str | None:
    """The single answer, or None where there is none or more than one."""
    named = set(found)
    return named.pop() if len(named) == 1 else None
