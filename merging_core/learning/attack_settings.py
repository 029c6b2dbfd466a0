"""The settings of attacks, for whatever learns or chooses under them, and the attacks that they mean."""

from __future__ import annotations

from dataclasses import replace

from merging_core.learning.attacks import Attack, Norm
from merging_core.methods.info import ParameterInfo, Parameters

__all__ = ["AGAINST", "ATTACK_PARAMETERS", "DEFENCE", "attack_of", "attacks_against"]

AGAINST = ParameterInfo(
    "against",
    "Against",
    "choice",
    "none",
    "What changes the pictures: nothing, an attack in the largest change of a pixel (ℓ∞), one in the length of the "
    "whole change (ℓ2), or all three alike.",
    choices=("none", "linf", "l2", "mixture"),
)
LINF = ParameterInfo(
    "linf",
    "ε of ℓ∞",
    "number",
    0.03,
    "How far an attack may change each pixel, as a fraction of its range; 8 of 255 shades are 0.031.",
    0.0,
    1.0,
    step=0.005,
    slider=(0.0, 0.2),
    unit="of a pixel's range",
)
L2 = ParameterInfo(
    "l2",
    "ε of ℓ2",
    "number",
    0.5,
    "How long the change of a whole picture may be, in units of the range of a pixel.",
    0.0,
    100.0,
    step=0.05,
    slider=(0.0, 3.0),
    unit="of a pixel's range",
)
STEPS = ParameterInfo(
    "attack_steps", "Steps of an attack", "integer", 10, "How many steps it takes.", 1, 1_000, step=1, slider=(1, 40)
)
STEP = ParameterInfo(
    "attack_step",
    "Step of an attack",
    "number",
    0.25,
    "How far each step of an attack goes, as a share of its ε.",
    0.0,
    10.0,
    minimum_excluded=True,
    slider=(0.05, 1.0),
    unit="of ε",
)
ATTACK_PARAMETERS = (LINF, L2, STEPS, STEP)
DEFENCE = (
    AGAINST,
    replace(LINF, only_when=("against", "linf", "mixture")),
    replace(L2, only_when=("against", "l2", "mixture")),
    replace(STEPS, only_when=("against", "linf", "l2", "mixture")),
    replace(STEP, only_when=("against", "linf", "l2", "mixture")),
)
"""What is learned against, and how strong it is where it is something."""


def attack_of(params: Parameters, norm: Norm) -> Attack:
    """Return the attack in a norm that settings mean.

    >>> attack_of(Parameters(linf=0.1, attack_steps=10, attack_step=0.25), "linf")
    Attack(norm='linf', epsilon=0.1, steps=10, step=0.025)
    """
    epsilon = params.number(norm)
    return Attack(norm, epsilon, int(params.number("attack_steps")), params.number("attack_step") * epsilon)


def attacks_against(params: Parameters) -> tuple[Attack | None, ...]:
    """Return what is defended against, each alike; None is the picture as it is.

    >>> attacks_against(Parameters(against="none")), attacks_against(Parameters())
    ((None,), (None,))
    """
    against = params.get("against", "none")
    if against == "mixture":
        return None, attack_of(params, "linf"), attack_of(params, "l2")
    if against == "none":
        return (None,)
    return (attack_of(params, "linf" if against == "linf" else "l2"),)
