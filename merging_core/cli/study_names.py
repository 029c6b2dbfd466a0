"""The names of studies and a few words on each, for a list of commands that loads none of them."""

from __future__ import annotations

__all__ = ["STUDY_NAMES"]

STUDY_NAMES = {
    "interpolate": "Loss, accuracy and barriers on the line through models.",
    "curve": "A trained curve around the barrier between two models.",
    "bridge": "Answers along a curve, foretold without measuring.",
    "align": "Permute the second model's units to meet the first's.",
    "plane": "Loss and accuracy on a plane through weight space.",
    "subspace": "The lowest loss in what several models span.",
    "disentangle": "Where task vectors change each other's answers.",
    "tangent": "Accuracy along λ, foretold from one derivative.",
    "kernel": "Whether models act as their linearisation does.",
    "vectors": "Norms, cosines, signs and ranks of task vectors.",
    "interference": "How task vectors get into each other's way.",
    "representations": "How alike models see the same inputs (CKA).",
    "mechanisms": "Whether models decide by shape or by texture.",
}
"""In the order of the registry; a test holds both together."""
