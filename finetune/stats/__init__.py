"""Paired statistics, each with an interval or a bound, over scipy and statsmodels; docs/statistics.md has the sources.

Every item weighs the same unless weights are given; every choice errs against the claim "better". An answer that is
missing (None: unparsed, refused, truncated) counts as wrong. Display intervals are two-sided 95 %, claims
(non-inferiority, guards) one-sided 2.5 %. No function knows models, files or torch.
"""

from finetune.example import Score
from finetune.stats.agreement import holm, weighted_kappa
from finetune.stats.calibration import (
    Bin,
    Ece,
    apply_temperature,
    brier,
    ece,
    ece_null_band,
    fit_temperature,
    log_loss,
    reliability,
    slope_intercept,
)
from finetune.stats.clusters import tango
from finetune.stats.paired import (
    ENOUGH_GROUPS,
    MANY_GROUPS,
    Difference,
    Evidence,
    NonInferiority,
    class_weights,
    evidence,
    mcnemar_exact,
    metric_weights,
    noninferiority,
    paired_difference,
)
from finetune.stats.power import (
    design_effect,
    discordant_groups,
    groups_needed,
    guard_n,
    mcnemar_detectable,
    mcnemar_power,
    noninferiority_n,
    noninferiority_power,
)
from finetune.stats.proportions import Bound, clopper_pearson, clustered_wilson, guard_bound, guard_p, wilson
from finetune.stats.resampling import (
    auroc,
    balanced_accuracy,
    bootstrap,
    confusion,
    macro_f1,
    sensitivity,
    sign_flip,
    specificity,
)
from finetune.stats.selective import aurc, choose_threshold, risk_coverage, selective_bound

__all__ = [
    "ENOUGH_GROUPS",
    "MANY_GROUPS",
    "Bin",
    "Bound",
    "Difference",
    "Ece",
    "Evidence",
    "NonInferiority",
    "Score",
    "apply_temperature",
    "aurc",
    "auroc",
    "balanced_accuracy",
    "bootstrap",
    "brier",
    "choose_threshold",
    "class_weights",
    "clopper_pearson",
    "clustered_wilson",
    "confusion",
    "design_effect",
    "discordant_groups",
    "ece",
    "ece_null_band",
    "evidence",
    "fit_temperature",
    "groups_needed",
    "guard_bound",
    "guard_n",
    "guard_p",
    "holm",
    "log_loss",
    "macro_f1",
    "mcnemar_detectable",
    "mcnemar_exact",
    "mcnemar_power",
    "metric_weights",
    "noninferiority",
    "noninferiority_n",
    "noninferiority_power",
    "paired_difference",
    "reliability",
    "risk_coverage",
    "selective_bound",
    "sensitivity",
    "sign_flip",
    "slope_intercept",
    "specificity",
    "tango",
    "weighted_kappa",
    "wilson",
]
