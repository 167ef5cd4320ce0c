"""The model card of the last round's policy: what it is, what was measured, from what (Mitchell et al. 2019)."""

from collections.abc import Mapping
from typing import Any

from rlhf.evaluation import report_tables as tables
from rlhf.evaluation import report_words as words
from rlhf.evaluation.advising import first_look
from rlhf.evaluation.controls import table as controls
from rlhf.evaluation.findings import Findings, metrics
from rlhf.evaluation.history import History
from rlhf.evaluation.report_page import Table
from rlhf.runtime.markdown import markdown_table

HEAD = """---
library_name: transformers
pipeline_tag: text-generation
language: {languages}
tags: [rlhf, ppo, instructgpt]
---

# Policy after PPO, round {round}

**{headline}**

{first}A causal language model of {parameters:,} parameters, fine-tuned on demonstrations and then by PPO against a
reward model of ranked answers (Ouyang et al. 2022). It answers in the chat template of its tokenizer.

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

policy = AutoModelForCausalLM.from_pretrained("{folder}")
tokenizer = AutoTokenizer.from_pretrained("{folder}")
```

## Measured

{lead}
"""
LIMITS = """## Limits

It was made to study the method and is as good as its figures above say: read answers before you rely on any. The reward
model that it was trained against is wrong on some pairs of answers, and what it over-rates the policy has learned to
do. Intervals cover the choice of prompts, not of training seeds. Nothing was measured on prompts of other sources than
those in the data card (`data/collect_prompts/data_card.md`), whose licences bind its use.
"""


def markdown(findings: Findings, history: History, policy: Mapping[str, Any]) -> str:
    """Return README.md for a folder of the policy; `policy` holds its folder and its number of parameters."""
    languages = sorted({str(prompt["language"]) for prompt in findings.prompts} - {"other", "und"})
    warnings = first_look.markdown(first_look.warnings(metrics(findings), history.metrics["reward_model"]))
    head = HEAD.format(
        languages=f"[{', '.join(languages)}]",
        round=findings.rounds[-1],
        headline=words.headline(findings),
        first=f"{warnings}\n\n" if warnings else "",
        lead="\n\n".join(words.lead(findings)),
        **policy,
    )
    won = (controls.controlled(findings), tables.win_rates(findings))
    shown = (*won, tables.scores(findings), tables.shape(findings), tables.tax(findings))
    blocks = [_table(table) for table in shown if table.rows]
    blocks += ["## Training\n", _table(tables.trained(history)), _table(tables.sources(history))]
    blocks += [LIMITS, "## Artifacts\n", _table(tables.artifacts(findings))]
    return "\n".join([head, *blocks])


def _table(table: Table) -> str:
    return "\n".join([f"{table.caption}:\n", markdown_table(table.columns, table.rows), ""])
