"""Test accuracy of infinitely wide networks beside common classifiers on data sets of scikit-learn; print a table.

Usage: python scripts/accuracy.py [--quick]; five stratified folds (shuffled, seed 0) of digits, breast_cancer and wine,
with --quick two folds of wine. Nothing is tuned on any fold: ReLU, depth 3, weight_var 2, bias_var 0.1, ridge 1e-3 on
one-hot targets minus their mean, C = 1; features standardised on the training folds. Entries are mean accuracies in per
cent and the standard error over folds; the last column is the median time of fitting and predicting one fold of the
first data set, with one BLAS thread: several wait for each other where cores are shared.
"""

import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

import meanfield as mf
from meanfield.sklearn import InfiniteWidthKernel

Array = npt.NDArray[np.float64]
Method = Callable[[Array, Array, Array], Array]  # x_train, labels, x_test -> labels
DATA = {"digits": load_digits, "breast_cancer": load_breast_cancer, "wine": load_wine}


def regression(get: str, t: float = np.inf) -> Method:
    net = InfiniteWidthKernel().network

    def method(x: Array, labels: Array, test: Array) -> Array:
        targets = np.eye(int(labels.max()) + 1)[labels]
        targets -= targets.mean(axis=0)
        return mf.predict(net, x, targets, test, get=get, t=t, ridge=1e-3).argmax(axis=1)

    return method


def classifier(model: SVC | LogisticRegression) -> Method:
    return lambda x, labels, test: model.fit(x, labels).predict(test)


METHODS = {
    "`mf.predict`, NNGP": regression("nngp"),
    "`mf.predict`, NTK": regression("ntk"),
    "`mf.predict`, NTK, t = 1": regression("ntk", t=1.0),
    "`SVC(kernel=InfiniteWidthKernel())`, NNGP": classifier(SVC(kernel=InfiniteWidthKernel())),
    "`SVC(kernel=InfiniteWidthKernel())`, NTK": classifier(SVC(kernel=InfiniteWidthKernel(get="ntk"))),
    "`SVC()`, RBF": classifier(SVC()),
    "`LogisticRegression()`": classifier(LogisticRegression(max_iter=1000)),
}


def measure(method: Method, x: Array, labels: Array, folds: int) -> tuple[list[float], float]:
    """Accuracies in per cent, one per fold, and the median seconds."""
    scores, walls = [], []
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=0).split(x, labels):
        scaler = StandardScaler().fit(x[train])
        began = time.perf_counter()
        found = method(scaler.transform(x[train]), labels[train], scaler.transform(x[test]))
        walls.append(time.perf_counter() - began)
        scores.append(100 * float((found == labels[test]).mean()))
    return scores, median(walls)


def main(arguments: list[str]) -> None:
    quick = "--quick" in arguments
    names, folds = (["wine"], 2) if quick else (list(DATA), 5)
    sets = {name: DATA[name](return_X_y=True) for name in names}
    sizes = [f"{name}, {len(x)} x {x.shape[1]}" for name, (x, _) in sets.items()]
    print(f"| method | {' | '.join(sizes)} | s, {names[0]} |")
    print("|---" * (len(names) + 2) + "|")
    for title, method in METHODS.items():
        with threadpool_limits(1, "blas"):
            found = [measure(method, x, labels, folds) for x, labels in sets.values()]
        cells = [f"{np.mean(s):.1f} ± {np.std(s, ddof=1) / np.sqrt(folds):.1f}" for s, _ in found]
        print(f"| {title} | {' | '.join(cells)} | {found[0][1]:.2g} |")


if __name__ == "__main__":
    main(sys.argv[1:])
