"""Least-squares regression with diagnostics, over body measurements of 252 men."""

import bz2
import csv
import io
from importlib.resources import files
from typing import Any

import numpy as np

RESPONSE = "siri"  # per cent body fat, from a weighing under water


def load() -> tuple[list[str], np.ndarray]:
    # Read as a file: the package's own loader would need pandas.
    packed = (files("faraway") / "datasets" / "fat" / "fat.csv.bz2").read_bytes()
    rows = list(csv.reader(io.StringIO(bz2.decompress(packed).decode("utf-8"))))
    return rows[0], np.array(rows[1:], dtype=np.float64)


NAMES, DATA = load()


def columns(names: list[str]) -> np.ndarray:
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise ValueError(f"no such measurement: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    return DATA[:, [NAMES.index(name) for name in names]]


def inflation(x: np.ndarray) -> np.ndarray:
    """How much each predictor's variance grows because the others tell the same: 1 is not at all."""
    if x.shape[1] == 1:
        return np.ones(1)
    return np.diag(np.linalg.inv(np.corrcoef(x, rowvar=False)))


def fit(response: str, predictors: list[str], at: dict[str, float] | None = None) -> dict[str, Any]:
    y = columns([response])[:, 0]
    x = columns(predictors)
    design = np.column_stack([np.ones(len(y)), x])
    n, p = design.shape
    if np.linalg.matrix_rank(design) < p:
        raise ValueError("the predictors are not independent of one another")

    # By QR, not the normal equations: squaring the condition number would cost half the digits.
    q, r = np.linalg.qr(design)
    beta = np.linalg.solve(r, q.T @ y)
    residuals = y - design @ beta
    rss = float(residuals @ residuals)
    tss = float(((y - y.mean()) ** 2).sum())
    variance = rss / (n - p)
    r_inverse = np.linalg.inv(r)
    errors = np.sqrt(variance * (r_inverse**2).sum(axis=1))

    leverage = (q**2).sum(axis=1)
    cook = residuals**2 / (p * variance) * leverage / (1 - leverage) ** 2
    left_out = residuals / (1 - leverage)  # each man's error, had he not been fitted
    worst = np.argsort(-cook)[:3]
    factors = [None, *inflation(x).tolist()]
    result: dict[str, Any] = {
        "response": response,
        "observations": n,
        "coefficients": {
            name: {"estimate": b, "std_error": e, "t": b / e, "vif": f}
            for name, b, e, f in zip(
                ["intercept", *predictors], beta.tolist(), errors.tolist(), factors, strict=True
            )
        },
        "r_squared": 1 - rss / tss,
        "adjusted_r_squared": 1 - variance / (tss / (n - 1)),
        "predicted_r_squared": 1 - float(left_out @ left_out) / tss,
        "residual_std_error": variance**0.5,
        "f_statistic": (tss - rss) / (p - 1) / variance,
        "condition_number": float(np.linalg.cond(design)),
        "influential": [
            {"row": i, "cooks_distance": float(cook[i]), "leverage": float(leverage[i])}
            for i in worst.tolist()
        ],
    }
    if at is not None:
        missing = [name for name in predictors if name not in at]
        if missing:
            raise ValueError(f"a prediction needs {', '.join(missing)}")
        point = np.array([1.0, *(float(at[name]) for name in predictors)])
        result["prediction"] = {
            "value": float(point @ beta),
            "std_error": float((variance * (1 + ((point @ r_inverse) ** 2).sum())) ** 0.5),
        }
    return result


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    predictors = event.get("predictors")
    if not isinstance(predictors, list) or not predictors:
        raise ValueError("predictors: a list with at least one measurement is needed")
    return fit(event.get("response", RESPONSE), predictors, event.get("at"))
