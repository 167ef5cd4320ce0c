"""What a user agrees to before the first message: what is kept, where, for what, and how it is deleted."""

import hashlib
import json
from pathlib import Path

from rlhf.params.tracking import Tracking
from rlhf.runs import mlflow_store
from rlhf.secrets.masking import masked

EN = (
    "What you write here, the answers, and what you say of them are kept on this machine, in {file}{traces}. They may "
    "become training data: prompts, better answers and choices, with personal data filtered by patterns, which miss "
    "some. {away} To delete all of it: python -m apps.chat.forget {user}"
)
ZH = (
    "您在此输入的内容、模型的回答以及您的评价保存在本机的 {file}{traces}。它们可能成为训练数据"
    "（提示、更好的回答和选择）；"
    "个人信息按规则过滤，但可能有遗漏。{away}删除全部内容：python -m apps.chat.forget {user}"
)
TRACES = {"en": ", and as traces in MLflow ({uri})", "zh": "，并作为轨迹保存在 MLflow（{uri}）中"}
HERE = {"en": "No data leaves this machine.", "zh": "数据不会离开本机。"}
AWAY = {
    "en": "That MLflow store may be another machine; nothing else leaves this one.",
    "zh": "该 MLflow 存储可能在另一台机器上；除此之外数据不会离开本机。",
}


def texts(user: str, settings: Tracking, root: Path) -> dict[str, str]:
    """Return the text by language."""
    uri = mlflow_store.resolve_uri(settings.uri, mlflow_store.anchor(root))
    stays = not settings.enabled or uri.startswith("sqlite:")
    home = mlflow_store.anchor(root)
    shown = "mlflow.db" if uri == mlflow_store.resolve_uri("sqlite:///mlflow.db", home) else masked(uri)
    found = dict[str, str]()
    for language, text in (("en", EN), ("zh", ZH)):
        traces = TRACES[language].format(uri=shown) if settings.enabled else ""
        away = (HERE if stays else AWAY)[language]
        found[language] = text.format(file=f"data/feedback/{user}.jsonl", traces=traces, away=away, user=user)
    return found


def sum_of(found: dict[str, str]) -> str:
    """Return the sum by which it is known what was agreed to."""
    return hashlib.sha256(json.dumps(found, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
