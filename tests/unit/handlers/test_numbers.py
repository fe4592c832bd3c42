"""The sample numbers: regressions with NumPy."""

from typing import Any

import numpy as np
import pytest
from sample_functions import event, invoke, load


def test_numbers_gives_the_published_regression_on_the_waist() -> None:
    response = invoke("numbers", "one-predictor")
    waist, intercept = response["coefficients"]["abdom"], response["coefficients"]["intercept"]
    assert response["observations"] == 252
    assert intercept["estimate"] == pytest.approx(-39.28018, abs=1e-5)
    assert intercept["std_error"] == pytest.approx(2.66034, abs=1e-5)
    assert waist["estimate"] == pytest.approx(0.63130, abs=1e-5)
    assert waist["std_error"] == pytest.approx(0.02855, abs=1e-5)
    assert waist["t"] == pytest.approx(22.11, abs=0.01)
    assert response["r_squared"] == pytest.approx(0.6617, abs=1e-4)
    assert response["residual_std_error"] == pytest.approx(4.877, abs=1e-3)
    assert response["f_statistic"] == pytest.approx(488.9, abs=0.1)
    assert response["influential"][0]["row"] == 38  # the heaviest man of the data


def test_numbers_agrees_with_fits_made_the_long_way() -> None:
    payload = event("numbers", "body-fat")
    response = invoke("numbers", payload)
    numbers = load("numbers")
    y = numbers.columns([payload["response"]])[:, 0]
    x = np.column_stack([np.ones(len(y)), numbers.columns(payload["predictors"])])
    beta, rss, rank, _ = np.linalg.lstsq(x, y, rcond=None)
    assert rank == 8
    names = ["intercept", *payload["predictors"]]
    assert list(response["coefficients"]) == names
    estimates = [response["coefficients"][name]["estimate"] for name in names]
    assert estimates == pytest.approx(beta.tolist(), rel=1e-8)
    assert response["r_squared"] == pytest.approx(1 - rss[0] / ((y - y.mean()) ** 2).sum(), rel=1e-10)

    # Leaving out each man in turn: what the predicted R squared and Cook's distance are shortcuts for.
    fits = [np.linalg.lstsq(np.delete(x, i, 0), np.delete(y, i), rcond=None)[0] for i in range(len(y))]
    press = sum((y[i] - x[i] @ fits[i]) ** 2 for i in range(len(y)))
    assert response["predicted_r_squared"] == pytest.approx(1 - press / ((y - y.mean()) ** 2).sum(), rel=1e-9)
    shifts = [((x @ (beta - b)) ** 2).sum() / (8 * response["residual_std_error"] ** 2) for b in fits]
    worst = sorted(range(len(y)), key=lambda i: -shifts[i])[:3]
    assert [entry["row"] for entry in response["influential"]] == worst
    assert [entry["cooks_distance"] for entry in response["influential"]] == pytest.approx(
        [shifts[i] for i in worst]
    )

    # A variance inflation factor is 1 / (1 - R squared) of one predictor on the others.
    others = [name for name in payload["predictors"] if name != "weight"]
    r_squared = invoke("numbers", {"response": "weight", "predictors": others})["r_squared"]
    assert response["coefficients"]["weight"]["vif"] == pytest.approx(1 / (1 - r_squared), rel=1e-8)


def test_numbers_predicts_at_a_point() -> None:
    payload = event("numbers", "body-fat")
    response = invoke("numbers", payload)
    by_hand = response["coefficients"]["intercept"]["estimate"] + sum(
        response["coefficients"][name]["estimate"] * payload["at"][name] for name in payload["predictors"]
    )
    assert response["prediction"]["value"] == pytest.approx(by_hand)
    assert (
        response["residual_std_error"]
        < response["prediction"]["std_error"]
        < response["residual_std_error"] * 1.05
    )


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ("bad-name", "no such measurement: shoe size; there are brozek, siri"),
        ({"predictors": []}, "at least one measurement"),
        ({"predictors": ["age", "age"]}, "not independent"),
        ({"predictors": ["age", "knee"], "at": {"age": 30}}, "a prediction needs knee"),
    ],
)
def test_numbers_refuses_what_it_cannot_fit(payload: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        invoke("numbers", payload)
