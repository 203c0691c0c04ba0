"""Replies that decline instead of answering."""

import re

from finetune.scoring.replies import without_reasoning

_CANNOT = (
    r"(?:can(?:['\u2019]t|not|\s+not)|could(?:n['\u2019]t|\s+not)|won['\u2019]t|will\s+not"
    r"|am\s+(?:not\s+able|unable|not\s+allowed|not\s+permitted)\s+to|['\u2019]m\s+(?:not\s+able|unable|not\s+allowed"
    r"|not\s+permitted)\s+to|must\s+(?:decline|refuse)(?:\s+to)?|have\s+to\s+(?:decline|refuse)(?:\s+to)?|decline\s+to)"
)
_DO = (
    r"(?:help|assist|comply|do\s+that|fulfil+|provide|offer|give|answer|respond|diagnos\w+|interpret|analy[sz]e|process"
    r"|view|see\s+images|identify\s+(?:people|individuals|the\s+person)|discuss|engage|continue|support|generate|create)"
)
_DECLINES = re.compile(
    rf"\b(?:sorry|apologi[sz]e|apologies|unfortunately|regret)\b[^.!?\n]{{0,80}}\b(?:i|we)\s?{_CANNOT}"
    rf"|\b(?:i|we)\s?{_CANNOT}(?:\s+\w+){{0,2}}?\s+{_DO}\b"
    rf"|\bas\s+an?\s+(?:ai|artificial|large\s+language|language)\b[^.!?\n]{{0,80}}{_CANNOT}"
    r"|\b(?:against|violat\w+)\b[^.!?\n]{0,40}\b(?:polic(?:y|ies)|guidelines)\b"
    r"|\bi\s+(?:must|have\s+to)\s+(?:decline|refuse)\b|\bnot\s+(?:able|allowed|permitted)\s+to\s+"
    r"(?:assist|help|provide|diagnose)\b",
    re.IGNORECASE,
)
_BARE = re.compile(r"\A\W*(?:i['\u2019]?\s?a?m\s+)?(?:very\s+)?sorry\W*\Z", re.IGNORECASE)


def looks_refused(text: str) -> bool:
    """Whether a reply declines in words: an apology with an inability, a policy, "I can't assist".

    Doubt about the picture ("too dark to tell") is no refusal. A reply that holds an answer is none either, whatever
    else it says: ask the parser first.
    """
    said = without_reasoning(text)
    return bool(_DECLINES.search(said) or _BARE.search(said))
