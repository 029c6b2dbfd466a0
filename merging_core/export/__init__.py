"""Export: a complete checkpoint folder, its card, and the recipe in every form that somebody may paste."""

from merging_core.export.card import Picture as Picture
from merging_core.export.card import model_card as model_card
from merging_core.export.folder import CARD_NAME as CARD_NAME
from merging_core.export.folder import export_checkpoint as export_checkpoint
from merging_core.export.forms import Forms as Forms
from merging_core.export.forms import forms as forms
from merging_core.export.forms import pinned as pinned
from merging_core.export.results import Results as Results
from merging_core.export.results import TaskData as TaskData
from merging_core.export.results import TaskResult as TaskResult
from merging_core.export.words import in_words as in_words

__all__ = [
    "CARD_NAME",
    "Forms",
    "Picture",
    "Results",
    "TaskData",
    "TaskResult",
    "export_checkpoint",
    "forms",
    "in_words",
    "model_card",
    "pinned",
]
