"""The layer scalings: their records and their formulas."""

from __future__ import annotations

from merging_core.methods.info import ParameterInfo, Parameters, Source
from merging_core.scaling.info import Profile, ScalingInfo, placement_parameters

__all__ = ["CONSTANT", "CURVE", "LINES", "LINES_GAMMA", "alpha_from_norms", "constant", "curve", "lines", "lines_gamma"]

_LINES = Source(
    "Wang et al.",
    2025,
    "LiNeS: Post-training Layer Scaling Prevents Forgetting and Enhances Model Merging",
    "https://arxiv.org/abs/2410.17146",
    "layer scaling",
    "blocks are found by the architecture's names, encoder and decoder each from 0 to L−1; L = 1 gives α + β",
)
_LIMIT = 100.0


def constant(params: Parameters) -> Profile:
    """Return the profile λ(ℓ) = 1.

    >>> constant(Parameters()).inside(0.5)
    1.0
    """
    return Profile(lambda t: 1.0, 1.0, 1.0)


def lines(params: Parameters) -> Profile:
    """Return the profile λ(ℓ) = α + β·ℓ/(L−1), ℓ = 0 … L−1; for L = 1, α + β.

    Leaves outside the blocks get α (`outside: alpha`), or α before and α + β after them (`outside: depth`).

    Raises KeyError if α is still to be computed from norms.

    Source: Wang et al. (2025), arXiv 2410.17146; outside as in the authors' code.

    >>> profile = lines(Parameters(alpha=0.5, beta=1.0, outside="depth"))
    >>> profile.inside(0.0), profile.inside(0.5), profile.inside(1.0), profile.before, profile.after
    (0.5, 1.0, 1.5, 0.5, 1.5)
    """
    alpha, beta = params.number("alpha"), params.number("beta")
    after = alpha + beta if params.get("outside") == "depth" else alpha
    return Profile(lambda t: alpha + beta * t, alpha, after)


def lines_gamma(params: Parameters) -> Profile:
    """Return LiNeS for one expert: α = γ, β = 1 − γ, so the last block keeps its task vector whole.

    >>> profile = lines_gamma(Parameters(gamma=0.25))
    >>> profile.inside(0.0), profile.inside(1.0), profile.after
    (0.25, 1.0, 0.25)
    """
    gamma = params.number("gamma")
    return lines(params.changed(alpha=gamma, beta=1.0 - gamma))


def curve(params: Parameters) -> Profile:
    """Return the profile that joins `points`, evenly spaced over relative depth, by straight lines.

    Leaves outside the blocks get the first point, or with `outside: depth` those after the blocks the last one.

    Raises KeyError without points, TypeError if they are no tuple.

    >>> profile = curve(Parameters(points=(0.0, 1.0, 0.5)))
    >>> profile.inside(0.25), profile.inside(0.5), profile.inside(1.0)
    (0.5, 1.0, 0.5)
    """
    points = params["points"]
    if not isinstance(points, tuple):
        raise TypeError(f"points are a tuple of numbers, not {points!r}")

    def inside(t: float) -> float:
        place = t * (len(points) - 1)
        left = min(int(place), len(points) - 2)
        share = place - left
        return points[left] * (1.0 - share) + points[left + 1] * share

    return Profile(inside, points[0], points[-1] if params.get("outside") == "depth" else points[0])


def alpha_from_norms(l1_of_sum: float, l1_of_merged: float, n_models: int, rule: str) -> float:
    """Return LiNeS's α for several experts from L1 norms.

    sum: α = (‖Σ wₜτₜ‖₁ / N) / ‖merged‖₁, so plain task arithmetic (merged = Σ wₜτₜ) gets 1/N; mean: N times that,
    for methods whose merged vector has the size of one expert's. The τₜ are those before any mask, the merged vector
    the one before layer scaling and λ. If that is zero, α is 0: nothing is scaled.

    Raises ValueError for another rule, no models, or norms that are negative or not finite.

    Source: Wang et al. (2025), arXiv 2410.17146; L1 as in the authors' code. The paper's text does not say which
    norm, nor whether the merged vector is a sum or a mean: the two rules name the choice.

    >>> alpha_from_norms(8.0, 8.0, 4, "sum"), alpha_from_norms(8.0, 8.0, 4, "mean")
    (0.25, 1.0)
    """
    if (
        rule not in ("sum", "mean")
        or n_models < 1
        or not (0 <= l1_of_sum < float("inf") and 0 <= l1_of_merged < float("inf"))
    ):
        raise ValueError(f"no α for rule {rule!r}, {n_models} models and norms {l1_of_sum}, {l1_of_merged}")
    if l1_of_merged == 0.0:
        return 0.0
    share = 1 if rule == "mean" else n_models
    return l1_of_sum / share / l1_of_merged


CONSTANT = ScalingInfo(
    name="constant",
    title="Constant",
    formula="λ(ℓ) = 1",
    summary="Every layer counts the same; λ alone says how much.",
    source=Source(
        "Ilharco et al.", 2023, "Editing Models with Task Arithmetic", "https://arxiv.org/abs/2212.04089", "section 2"
    ),
    profile=constant,
)

LINES = ScalingInfo(
    name="lines",
    title="LiNeS",
    formula="λ(ℓ) = α + β·ℓ/(L−1)",
    summary="Shallow layers, which hold general features, move little from the base; deep layers move more.",
    source=_LINES,
    profile=lines,
    parameters=(
        ParameterInfo(
            "alpha",
            "α",
            "number",
            0.5,
            "The factor of the first block.",
            -_LIMIT,
            _LIMIT,
            slider=(0.0, 2.0),
            only_when=("alpha_rule", "value"),
        ),
        ParameterInfo(
            "beta",
            "β",
            "number",
            1.0,
            "How much the factor grows up to the last block.",
            -_LIMIT,
            _LIMIT,
            slider=(0.0, 2.0),
        ),
        ParameterInfo(
            "alpha_rule",
            "α from",
            "choice",
            "value",
            "Whether α is given or follows from norms: sum suits methods that add, mean those that average.",
            choices=("value", "sum", "mean"),
        ),
        *placement_parameters(),
    ),
)

LINES_GAMMA = ScalingInfo(
    name="lines_gamma",
    title="LiNeS for one expert",
    formula="λ(ℓ) = γ + (1−γ)·ℓ/(L−1)",
    summary="Pulls the shallow layers of one expert back to the base, so that it forgets less.",
    source=_LINES,
    profile=lines_gamma,
    models=(1, 1),
    parameters=(
        ParameterInfo(
            "gamma",
            "γ",
            "number",
            0.5,
            "The factor of the first block; the last one has 1.",
            -_LIMIT,
            _LIMIT,
            slider=(0.0, 1.0),
        ),
        *placement_parameters(),
    ),
)

CURVE = ScalingInfo(
    name="curve",
    title="Drawn curve",
    formula="λ(ℓ) = straight lines through the points, over ℓ/(L−1)",
    summary="Draw for yourself how much each depth counts.",
    source=Source(
        "Goddard et al.",
        2024,
        "Arcee's MergeKit: A Toolkit for Merging Large Language Models",
        "https://arxiv.org/abs/2403.13257",
        "gradient parameters",
        "depth runs over the whole model, and leaves outside the blocks follow `outside`",
    ),
    profile=curve,
    parameters=(
        ParameterInfo(
            "points",
            "Points",
            "curve",
            (1.0, 1.0),
            "Factors at even distances from the first block to the last.",
            -_LIMIT,
            _LIMIT,
            slider=(0.0, 2.0),
        ),
        *placement_parameters(),
    ),
)
