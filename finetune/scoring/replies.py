"""What a reply of a model says: its reasoning left out, the passages that state its answer found.

One reader for every model and every task; `assertions` then reads closed answers out of a passage. The hard cases are
collected in tests/tasks/torture.jsonl.
"""

import re
import unicodedata
from collections.abc import Iterable

_NAMES = r"(?:seed:)?(?:think(?:ing)?|thoughts?|reasoning|reflection|scratchpad)"
_REASONING = re.compile(
    rf"(?P<open><\|?(?:begin_of_)?{_NAMES}\|?>|\[think\]|\u25c1think\u25b7)"
    rf"|(?P<close></{_NAMES}>|<\|end_of_{_NAMES}\|>|\[/think\]|\u25c1/think\u25b7|<\|channel\|>final<\|message\|>)",
    re.IGNORECASE,
)
"""Tags around reasoning, as DeepSeek, Qwen, Magistral, Kimi, Seed, Sky-T1 and gpt-oss write them."""

_SAYS = r"[\"'\u201d)\]]*\s*(?:is\b\s*:?|would\s+be|should\s+be|must\s+be|[:=\uff1a])\s*"
_ANSWER = r"answer|(?:correct|best|right)\s+(?:option|choice)|antwort|r\u00e9ponse|respuesta|risposta|resposta"
_WEAK = r"classification|verdict|diagnosis|conclusion|label|prediction"
_CUE = re.compile(
    r"<(?P<name>answer|final_answer|conclusion)>(?P<tag>(?:(?!<(?P=name)>).)*?)</(?P=name)>"
    r"|<\|begin_of_box\|>(?P<box>(?:(?!<\|begin_of_box\|>).)*?)<\|end_of_box\|>"
    r"|\\boxed\s*\{(?P<boxed>(?:[^{}]|\{[^{}]*\})*)\}"
    rf"|\bfinal\s+answer{_SAYS}(?P<final>[^\n]+)"
    rf"|\b(?:{_ANSWER}){_SAYS}(?P<answer>[^\n]+)"
    r"|(?:\u7b54\u6848|\u56de\u7b54)\s*[\u662f\u4e3a:\uff1a]+\s*(?P<chinese>[^\n]+)"
    rf"|\b(?:{_WEAK}){_SAYS}(?P<weak>[^\n]+)",
    re.IGNORECASE | re.DOTALL,
)
_STRONG, _PLAIN = ("tag", "box", "boxed", "final"), ("answer", "chinese")
_SENTENCE = re.compile(r"(?<=[.!])[\"')\]]*\s+(?=\S)")
_RETRACTED = re.compile(
    r"\b(?:no|wait|actually|sorry|correction|rather|instead|scratch that|or|on second thoughts?|i mean|i meant)\b",
    re.IGNORECASE,
)
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if code != 0xFF1A}


def without_reasoning(text: str) -> str:
    """What stands outside reasoning tags.

    A closing tag without an opening one means that the opening one stood in the prompt; an opening one that is never
    closed, that the reply ended while it still reasoned.
    """
    kept: list[str] = []
    start, inside = 0, False
    for tag in _REASONING.finditer(text):
        if tag["close"]:
            if not inside:
                kept.clear()
            start, inside = tag.end(), False
        elif not inside:
            kept.append(text[start : tag.start()])
            inside = True
    return " ".join([*kept, *([] if inside else [text[start:]])])


def plain(text: str, spellings: Iterable[str] = ()) -> str:
    """A reply without reasoning and markdown marks, in Unicode's composed form, full-width ASCII made narrow.

    Marks that occur in one of `spellings` stay. Where there are spellings to be found, a mark inside a word becomes a
    joiner: it must not part `**non**defective` nor make a `cut` of `c*ut`.
    """
    body = unicodedata.normalize("NFC", without_reasoning(text)).translate(_FULL_WIDTH)
    known = set("".join(spellings))
    markup = "".join(char for char in "*`~#" if char not in known)
    if markup and known:
        body = re.sub(rf"(?<=\w)[{re.escape(markup)}]+(?=\w)", "\u2060", body)
    return re.sub(rf"[{re.escape(markup)}]|(?<!\w)_+|_+(?!\w)" if markup else r"(?<!\w)_+|_+(?!\w)", " ", body)


def stated(body: str) -> list[str]:
    """The passages of a plain reply that are marked as its answer; none where nothing is marked.

    Tags, boxes and `Final answer:` outrank `Answer:`, of which the last counts, and that outranks `Label:` and the
    like. A marked line ends with its first sentence, unless what follows takes something back.
    """
    marks = [(mark.lastgroup or "", mark[mark.lastgroup or 0] or "") for mark in _CUE.finditer(body)]
    strong = [text for kind, text in marks if kind in _STRONG]
    if strong:
        return [_unwrapped(text) for text in strong]
    plain_marks = [text for kind, text in marks if kind in _PLAIN]
    return [_first_sentence(text) for text in plain_marks[-1:] or [text for kind, text in marks if kind == "weak"]]


def _unwrapped(text: str) -> str:
    return re.sub(r"\\(?:text|mathrm|textbf|mathbf)\s*\{([^{}]*)\}", r"\1", text)


def _first_sentence(line: str) -> str:
    """The first sentence of a line; all of it where a later one corrects it or the first is no more than a letter."""
    line = _unwrapped(line)
    first = _SENTENCE.split(line, maxsplit=1)[0]
    rest = line[len(first) :]
    return line if _RETRACTED.search(rest) or len(first.strip()) < 2 else first


def fold(spelling: str) -> str:
    """A spelling as it is compared: composed, case-folded, runs of blanks made one."""
    return " ".join(unicodedata.normalize("NFC", spelling).translate(_FULL_WIDTH).casefold().split())
