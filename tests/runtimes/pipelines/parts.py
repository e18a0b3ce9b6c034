"""The parts that random pipelines are made of."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn import (
    calibration,
    decomposition,
    discriminant_analysis,
    ensemble,
    feature_selection,
    impute,
    linear_model,
    model_selection,
    multiclass,
    multioutput,
    naive_bayes,
    neighbors,
    neural_network,
    preprocessing,
    svm,
    tree,
)
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.pipeline import FeatureUnion, make_pipeline

# libsvm takes hours on columns that are not scaled; a machine that has not converged predicts as well as any.
_SVM_STEPS = 20_000

Chance = np.random.Generator
Make = Callable[[Chance], Any]


def choice(chance: Chance, options: Sequence[Any]) -> Any:
    """One of some options, as it is."""
    return options[int(chance.integers(len(options)))]


def seed(chance: Chance) -> int:
    """A random state."""
    return int(chance.integers(1 << 30))


SCALERS: dict[str, Make] = {
    "StandardScaler": lambda _: preprocessing.StandardScaler(),
    "MinMaxScaler": lambda chance: preprocessing.MinMaxScaler(clip=bool(chance.integers(2))),
    "MaxAbsScaler": lambda _: preprocessing.MaxAbsScaler(),
    "RobustScaler": lambda _: preprocessing.RobustScaler(),
    "QuantileTransformer": lambda chance: preprocessing.QuantileTransformer(
        n_quantiles=50, output_distribution=choice(chance, ["uniform", "normal"])
    ),
    "PowerTransformer": lambda _: make_pipeline(preprocessing.StandardScaler(), preprocessing.PowerTransformer()),
    "Normalizer": lambda _: make_pipeline(preprocessing.StandardScaler(), preprocessing.Normalizer()),
}
EXPANSIONS: dict[str, Make] = {
    "PolynomialFeatures": lambda chance: preprocessing.PolynomialFeatures(2, interaction_only=bool(chance.integers(2))),
    "SplineTransformer": lambda _: preprocessing.SplineTransformer(n_knots=4),
    "KBinsDiscretizer": lambda chance: preprocessing.KBinsDiscretizer(
        4, encode=choice(chance, ["ordinal", "onehot-dense"]), strategy=choice(chance, ["uniform", "quantile"]),
        quantile_method="averaged_inverted_cdf",
    ),
    "Binarizer": lambda _: preprocessing.Binarizer(threshold=0.3),
    "PCA": lambda _: decomposition.PCA(2),
    "FeatureUnion": lambda _: FeatureUnion([
        ("pca", decomposition.PCA(2)), ("same", preprocessing.MinMaxScaler()),
    ]),
    "SelectKBest": lambda _: feature_selection.SelectKBest(k=2),
    "VarianceThreshold": lambda _: feature_selection.VarianceThreshold(),
    "SelectFromModel": lambda chance: feature_selection.SelectFromModel(
        tree.DecisionTreeClassifier(max_depth=3, random_state=seed(chance)), threshold="median"
    ),
}  # fmt: skip
IMPUTERS: dict[str, Make] = {
    "SimpleImputer": lambda chance: impute.SimpleImputer(
        strategy=choice(chance, ["mean", "median", "most_frequent"]), add_indicator=bool(chance.integers(3) == 0)
    ),
    "KNNImputer": lambda _: impute.KNNImputer(n_neighbors=3),
}
ENCODERS: dict[str, Make] = {
    "OneHotEncoder": lambda chance: preprocessing.OneHotEncoder(
        handle_unknown="ignore", sparse_output=bool(chance.integers(2)),
    ),
    "OneHotEncoder drop": lambda _: preprocessing.OneHotEncoder(drop="first"),
    "OneHotEncoder rare": lambda _: preprocessing.OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=9),
    "OrdinalEncoder": lambda _: preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    "TargetEncoder": lambda chance: preprocessing.TargetEncoder(random_state=seed(chance), cv=3),
}  # fmt: skip
CLASSIFIERS: dict[str, Make] = {
    "LogisticRegression": lambda chance: linear_model.LogisticRegression(C=choice(chance, [0.1, 1.0, 30.0])),
    "LogisticRegressionCV": lambda _: linear_model.LogisticRegressionCV(
        Cs=3, cv=2, max_iter=200, use_legacy_attributes=False, scoring="accuracy", l1_ratios=(0,)
    ),
    "RidgeClassifier": lambda _: linear_model.RidgeClassifier(),
    "SGDClassifier": lambda chance: linear_model.SGDClassifier(
        loss=choice(chance, ["log_loss", "hinge", "modified_huber"]), random_state=seed(chance)
    ),
    "Perceptron": lambda chance: linear_model.Perceptron(random_state=seed(chance)),
    "LinearSVC": lambda chance: svm.LinearSVC(random_state=seed(chance)),
    "SVC": lambda chance: svm.SVC(
        kernel=choice(chance, ["rbf", "linear", "poly"]), max_iter=_SVM_STEPS
    ),
    "NuSVC": lambda _: svm.NuSVC(nu=0.1, max_iter=_SVM_STEPS),
    "DecisionTreeClassifier": lambda chance: tree.DecisionTreeClassifier(
        max_depth=choice(chance, [2, 6, None]), random_state=seed(chance)
    ),
    "RandomForestClassifier": lambda chance: ensemble.RandomForestClassifier(
        int(choice(chance, [2, 10, 30])), max_depth=choice(chance, [3, None]), random_state=seed(chance)
    ),
    "ExtraTreesClassifier": lambda chance: ensemble.ExtraTreesClassifier(10, random_state=seed(chance)),
    "GradientBoostingClassifier": lambda chance: ensemble.GradientBoostingClassifier(
        n_estimators=15, random_state=seed(chance)
    ),
    "HistGradientBoostingClassifier": lambda chance: ensemble.HistGradientBoostingClassifier(
        max_iter=15, random_state=seed(chance)
    ),
    "AdaBoostClassifier": lambda chance: ensemble.AdaBoostClassifier(n_estimators=8, random_state=seed(chance)),
    "BaggingClassifier": lambda chance: ensemble.BaggingClassifier(n_estimators=5, random_state=seed(chance)),
    "KNeighborsClassifier": lambda chance: neighbors.KNeighborsClassifier(
        int(choice(chance, [1, 4, 5])), weights=choice(chance, ["uniform", "distance"])
    ),
    "GaussianNB": lambda _: naive_bayes.GaussianNB(),
    "BernoulliNB": lambda _: naive_bayes.BernoulliNB(),
    "LinearDiscriminantAnalysis": lambda _: discriminant_analysis.LinearDiscriminantAnalysis(),
    "QuadraticDiscriminantAnalysis": lambda _: discriminant_analysis.QuadraticDiscriminantAnalysis(reg_param=0.1),
    "MLPClassifier": lambda chance: neural_network.MLPClassifier((6,), max_iter=30, random_state=seed(chance)),
    "CalibratedClassifierCV": lambda chance: calibration.CalibratedClassifierCV(
        choice(chance, [svm.LinearSVC(), linear_model.LogisticRegression(), naive_bayes.GaussianNB()]),
        method=choice(chance, ["sigmoid", "isotonic"]), cv=2,
    ),
    "TunedThresholdClassifierCV": lambda _: model_selection.TunedThresholdClassifierCV(
        linear_model.LogisticRegression(), cv=2
    ),
    "FixedThresholdClassifier": lambda chance: model_selection.FixedThresholdClassifier(
        tree.DecisionTreeClassifier(max_depth=4), threshold=float(choice(chance, [0.1, 0.7]))
    ),
    "VotingClassifier": lambda chance: ensemble.VotingClassifier(
        [("a", linear_model.LogisticRegression()), ("b", naive_bayes.GaussianNB()),
         ("c", tree.DecisionTreeClassifier(max_depth=4))], voting=choice(chance, ["hard", "soft"]),
    ),
    "StackingClassifier": lambda chance: ensemble.StackingClassifier(
        [("a", linear_model.LogisticRegression()), ("b", tree.DecisionTreeClassifier(max_depth=4))],
        cv=2, passthrough=bool(chance.integers(2)),
    ),
    "OneVsRestClassifier": lambda _: multiclass.OneVsRestClassifier(linear_model.LogisticRegression()),
    "OneVsOneClassifier": lambda _: multiclass.OneVsOneClassifier(svm.LinearSVC()),
    "GridSearchCV": lambda _: model_selection.GridSearchCV(
        tree.DecisionTreeClassifier(), {"max_depth": [2, 5]}, cv=2
    ),
}  # fmt: skip
REGRESSORS: dict[str, Make] = {
    "LinearRegression": lambda _: linear_model.LinearRegression(),
    "Ridge": lambda _: linear_model.Ridge(),
    "Lasso": lambda _: linear_model.Lasso(alpha=0.01),
    "ElasticNet": lambda _: linear_model.ElasticNet(alpha=0.01),
    "BayesianRidge": lambda _: linear_model.BayesianRidge(),
    "HuberRegressor": lambda _: linear_model.HuberRegressor(max_iter=300),
    "SGDRegressor": lambda chance: linear_model.SGDRegressor(random_state=seed(chance)),
    "PoissonRegressor": lambda _: TransformedTargetRegressor(
        linear_model.PoissonRegressor(), func=np.exp2, inverse_func=np.log2
    ),
    "LinearSVR": lambda chance: svm.LinearSVR(random_state=seed(chance)),
    "SVR": lambda _: svm.SVR(max_iter=_SVM_STEPS),
    "DecisionTreeRegressor": lambda chance: tree.DecisionTreeRegressor(max_depth=6, random_state=seed(chance)),
    "RandomForestRegressor": lambda chance: ensemble.RandomForestRegressor(20, random_state=seed(chance)),
    "ExtraTreesRegressor": lambda chance: ensemble.ExtraTreesRegressor(10, random_state=seed(chance)),
    "GradientBoostingRegressor": lambda chance: ensemble.GradientBoostingRegressor(
        n_estimators=30, random_state=seed(chance)
    ),
    "HistGradientBoostingRegressor": lambda chance: ensemble.HistGradientBoostingRegressor(
        max_iter=20, random_state=seed(chance)
    ),
    "AdaBoostRegressor": lambda chance: ensemble.AdaBoostRegressor(n_estimators=8, random_state=seed(chance)),
    "BaggingRegressor": lambda chance: ensemble.BaggingRegressor(n_estimators=5, random_state=seed(chance)),
    "KNeighborsRegressor": lambda _: neighbors.KNeighborsRegressor(4),
    "MLPRegressor": lambda chance: neural_network.MLPRegressor((6,), max_iter=30, random_state=seed(chance)),
    "TransformedTargetRegressor": lambda _: TransformedTargetRegressor(
        linear_model.Ridge(), transformer=preprocessing.StandardScaler()
    ),
    "VotingRegressor": lambda _: ensemble.VotingRegressor(
        [("a", linear_model.Ridge()), ("b", tree.DecisionTreeRegressor(max_depth=4))]
    ),
    "StackingRegressor": lambda _: ensemble.StackingRegressor(
        [("a", linear_model.Ridge()), ("b", tree.DecisionTreeRegressor(max_depth=4))], cv=2
    ),
    "MultiOutputRegressor": lambda _: multioutput.MultiOutputRegressor(linear_model.Ridge()),
}
VECTORIZERS: dict[str, Make] = {
    "CountVectorizer": lambda chance: CountVectorizer(
        lowercase=bool(chance.integers(2)), binary=bool(chance.integers(2)),
        strip_accents=choice(chance, [None, "unicode"]),
    ),
    "TfidfVectorizer": lambda chance: TfidfVectorizer(
        lowercase=bool(chance.integers(2)), ngram_range=choice(chance, [(1, 1), (1, 2)]),
        token_pattern=choice(chance, [r"(?u)\b\w\w+\b", r"(?u)\b\w+\b", r"[a-zA-Z]+"]),
        sublinear_tf=bool(chance.integers(2)),
    ),
    "TfidfVectorizer char": lambda _: TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3)),
    "HashingVectorizer": lambda _: HashingVectorizer(n_features=64),
}  # fmt: skip
TEXT_CLASSIFIERS = ("LogisticRegression", "LinearSVC", "SGDClassifier", "DecisionTreeClassifier", "RidgeClassifier")
# What takes missing values as they are.
LENIENT = frozenset({
    "DecisionTreeClassifier", "DecisionTreeRegressor", "RandomForestClassifier", "RandomForestRegressor",
    "ExtraTreesClassifier", "ExtraTreesRegressor", "HistGradientBoostingClassifier", "HistGradientBoostingRegressor",
    "BaggingClassifier", "BaggingRegressor",
})  # fmt: skip
__all__ = ["CLASSIFIERS", "ENCODERS", "EXPANSIONS", "IMPUTERS", "LENIENT", "REGRESSORS", "SCALERS", "TEXT_CLASSIFIERS",
           "VECTORIZERS", "ColumnTransformer", "choice", "make_pipeline"]  # fmt: skip
