"""Predictions by hand: a string says what became of each item, so that every count can be checked by eye."""

from dataclasses import replace

from finetune.config.schema import DecisionConfig, EvaluateConfig
from finetune.evaluation import comparison
from finetune.evaluation.pairing import Test
from finetune.example import Example, ImageRef, Message, Prediction

LABELS = ("bad", "good")
FAIR = ({"check": "prompt", "status": "pass", "detail": "the best of 3 ways on validation"},)
OUTCOMES = {"u": "unparsed", "r": "refused", "f": "filtered", "e": "api_error", "t": "truncated"}


def examples(golds, groups=None, meta=None):
    groups = groups or [f"g{i:04d}" for i in range(len(golds))]
    return tuple(
        Example(
            f"i{i:04d}",
            (ImageRef(f"{i}.png"),),
            gold,
            group,
            messages=(Message("user", "Which is it?"),),
            meta=meta[i] if meta else {},
        )
        for i, (gold, group) in enumerate(zip(golds, groups, strict=True))
    )


def asked(golds, groups=None, metric="accuracy", positive="bad", meta=None, labels=LABELS):
    rows = examples(golds, groups, meta)
    return Test(labels, rows, ("",) * len(rows), metric, positive, 0)


def answers(test, said, chances=None):
    """`+` right, `-` wrong, `u`, `r`, `f`, `e`, `t` a failure; `chances`: probability of the answer given."""
    rows = []
    for i, (example, mark) in enumerate(zip(test.examples, said, strict=True)):
        other = next((label for label in test.labels if label != example.target), "?")
        answer = {"+": example.target, "-": other}.get(mark)
        sure = None if chances is None else chances[i]
        known = None if sure is None or answer is None else {answer: sure, **_rest(test.labels, answer, sure)}
        rows.append(
            Prediction(
                id=example.id,
                image_sha256=f"{i:064x}",
                question=example.question,
                gold=example.target,
                text=answer or "",
                answer=answer,
                outcome=OUTCOMES.get(mark) or ("correct" if mark == "+" else "wrong"),
                probabilities=known,
                seconds=0.5,
                model="scripted",
                parser="classify/1",
                group=example.group,
            )
        )
    return rows


def _rest(labels, answer, sure):
    others = [label for label in labels if label != answer]
    return {label: (1 - sure) / len(others) for label in others}


def constant(test, answer):
    return [
        replace(row, answer=answer, text=answer, outcome="correct" if row.gold == answer else "wrong")
        for row in answers(test, "+" * len(test.examples))
    ]


def rule(margin=0.05, **more):
    decision = {name: more.pop(name) for name in ("metric", "floor", "min_coverage") if name in more}
    return EvaluateConfig(positive="bad", decision=DecisionConfig(margin=margin, **decision), **more)


def case(test, tuned, service, evaluate=None, generated=None, **more):
    """`comparison.json` of a tuned model against a service, beside the base and the majority."""
    deployed = {
        "majority": constant(test, "good"),
        "base": answers(test, "+-" * (len(test.examples) // 2) + "+" * (len(test.examples) % 2)),
        "tuned": tuned,
        "service": service,
    }
    other = {"tuned": tuned if generated is None else generated}
    more.setdefault("fairness", FAIR)
    return comparison.compare(test, deployed, other, evaluate or rule(), baseline="service", **more)


def every(n, wrong, mark="-"):
    """n answers, right but for those whose number satisfies `wrong`."""
    return "".join(mark if wrong(i) else "+" for i in range(n))
