"""A reward model's folder as an MLflow model, made of code: nothing is pickled.

    import mlflow

    model = mlflow.pyfunc.load_model("models:/<model id>")
    model.predict([{"prompt": "What is a fox?", "response": "A small animal."}])

One score an answer. Rows may be a pandas DataFrame, a list of mappings, or one mapping; see scorer.py beside this file.
"""

import importlib.util
from pathlib import Path

from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


class RewardModel(PythonModel):
    def load_context(self, context):  # noqa: ANN001, ANN201, ARG002  # MLflow makes schemas of type hints
        """Read scorer.py and the model from the folder that this file lies in."""
        folder = Path(__file__).parent
        spec = importlib.util.spec_from_file_location("reward_model_scorer", folder / "scorer.py")
        assert spec is not None
        assert spec.loader is not None
        self.code = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.code)
        self.scorer = self.code.Scorer(folder)

    def predict(self, context, model_input, params=None):  # noqa: ANN001, ANN201, ARG002
        """Return one score an answer, in the rows' order."""
        rows = model_input.to_dict("records") if hasattr(model_input, "to_dict") else model_input
        rows = [rows] if isinstance(rows, dict) else list(rows)
        rows = [{key: value for key, value in row.items() if value == value} for row in rows]  # NaN: a row lacks it
        asked = [self.code.asked(row, f"row {number}") for number, row in enumerate(rows, start=1)]
        return self.scorer.score(*self.code.flat(asked))


set_model(RewardModel())
