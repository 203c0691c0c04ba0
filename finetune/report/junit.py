"""`report/junit.xml`: each criterion of the rule as a test case, for gates that read nothing else."""

import re
from xml.etree import ElementTree

from finetune.report import results
from finetune.report.run_facts import Facts

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, escaped or not; labels may hold it."""


def render(facts: Facts) -> str:
    """The criteria as test cases: `fail` is a failure; `inconclusive` and `not asked` are skipped and say so."""
    found = results.criteria(facts)
    decision = facts.comparison["decision"]
    failed, skipped = (
        sum(row.status in states for row in found) for states in (("fail",), ("inconclusive", "not_asked"))
    )
    suite = ElementTree.Element(
        "testsuite",
        name="criteria",
        tests=str(len(found)),
        failures=str(failed),
        errors="0",
        skipped=str(skipped),
        timestamp=str(facts.status.get("started", "")).removesuffix("Z"),
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name in ("verdict", "qualifier", "rule_sha256", "test_sha256", "looks", "expires"):
        if decision.get(name) is not None:
            ElementTree.SubElement(properties, "property", name=name, value=cleaned(str(decision[name])))
    for row in found:
        case = ElementTree.SubElement(suite, "testcase", classname="criteria", name=cleaned(row.name), time="0")
        parts = [row.value, f"required: {row.bound}" if row.bound else "", row.detail]
        message = cleaned("; ".join(part for part in parts if part))
        if row.status == "fail":
            ElementTree.SubElement(case, "failure", message=message, type="fail")
        elif row.status != "pass":
            ElementTree.SubElement(case, "skipped", message=f"{results.STATUS[row.status]}: {message}")
        ElementTree.SubElement(case, "system-out").text = cleaned(row.question)
    suites = ElementTree.Element("testsuites", {key: suite.attrib[key] for key in ("tests", "failures", "errors")})
    suites.append(suite)
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def cleaned(text: str) -> str:
    """The text with U+FFFD for each character that XML cannot hold."""
    return _FORBIDDEN.sub("\ufffd", text)
