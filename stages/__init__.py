"""One module a stage of dvc.yaml: `python -m stages.sft`."""

from rlhf.runtime import interrupts

interrupts.end_while_importing()
