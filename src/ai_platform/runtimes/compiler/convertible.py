"""Parts of an estimator that never serve compiled, because the converter's rule is another than scikit-learn's."""

from typing import Any

from ai_platform.runtimes.sklearn.tables import parts_of

# By module, so that a sibling that is written later is meant too.
_OTHERWISE = {
    "sklearn.neighbors": "equally near neighbours are chosen otherwise",
    "sklearn.feature_extraction.text": "texts are cut into words otherwise",
    "sklearn.impute._knn": "equally near neighbours are chosen otherwise",
    "sklearn.model_selection._classification_threshold": "the decision threshold is left out",
    "sklearn.svm._classes": "sums are computed in float32",
}

# These add up what their members give, with weights of either sign.
_SUMS = ("sklearn.ensemble._stacking", "sklearn.ensemble._voting")


def why_never(estimator: Any) -> str | None:
    """The first part that never serves compiled, in words; None where there is no such part."""
    for part in parts_of(estimator):
        if type(part).__module__.startswith(_SUMS) and any(hasattr(inner, "tree_") for inner in parts_of(part)):
            return f"compiled, leaves are rounded to float32 before they are added up ({type(part).__name__})"
        for module, reason in _OTHERWISE.items():
            if type(part).__module__.startswith(module) and not type(part).__name__.startswith("LinearSV"):
                return f"compiled, {reason} ({type(part).__name__})"
    return None


# What parts keep that multiply and sum up: weights of linear models and networks, means of discriminants and of bayes.
_WEIGHTS = ("coef_", "coefs_", "theta_", "means_")


def has_weights(estimator: Any) -> bool:
    """Whether some part multiplies by numbers that it learnt and sums up, which trees and encoders do not."""
    return any(hasattr(part, name) for part in parts_of(estimator) for name in _WEIGHTS)
