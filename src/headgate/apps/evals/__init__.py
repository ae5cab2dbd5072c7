"""Evaluations: a dataset asked of several models and prompts, judged, and compared row by row.

`evaluate` does all of it; an `Evaluation` says what is wanted, `scorer` makes what judges the answers. The modules, in
the order of the work: `dataset`, `scorers`, `evaluation`, `judging`, `compare`, `report`, `charts`, `page`.
"""

from headgate.apps.evals.evaluation import Evaluation, evaluate
from headgate.apps.evals.report import Comparison, Found, Report
from headgate.apps.evals.scorers import Scorer, Tolerance
from headgate.apps.evals.scorers import make as scorer

__all__ = ["Comparison", "Evaluation", "Found", "Report", "Scorer", "Tolerance", "evaluate", "scorer"]
