"""documents of the world → a small BERT, the reward model's other backbone (Devlin et al. 2019; no sentence pairs).

    python -m study.encoder

The tokenizer is a WordPiece of its own; the recipe is transformers' Trainer and data collator.
"""

import os
from pathlib import Path

from tokenizers import BertWordPieceTokenizer, Tokenizer
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertTokenizerFast,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainingArguments,
    set_seed,
)

from rlhf.records import records
from rlhf.records.types import Document
from rlhf.runtime.files import new_folder
from study import cell, params, workspace

OUT = Path("study/encoder")


def main(root: Path = Path(".")) -> None:
    study = params.load(root)
    chosen = study.encoder
    plain = params.Cell(seed=chosen.seed, change={}, targets=["collect_prompts"], measures=[])
    folder = workspace.prepare(root, "encoder", cell.content(root, plain))
    workspace.reproduce(folder, plain.targets)
    texts = [record["text"] for record in records.read(folder / "data/collect_prompts/documents.train.jsonl", Document)]
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    set_seed(chosen.seed)
    wordpiece = BertWordPieceTokenizer(lowercase=False)
    wordpiece.train_from_iterator(texts, vocab_size=chosen.vocab_size, show_progress=False)
    tokenizer = BertTokenizerFast(
        tokenizer_object=Tokenizer.from_str(wordpiece.to_str()), do_lower_case=False, model_max_length=chosen.context
    )
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=len(tokenizer), hidden_size=chosen.width, num_hidden_layers=chosen.layers,
            num_attention_heads=chosen.heads, intermediate_size=4 * chosen.width,
            max_position_embeddings=chosen.context, pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip
    rows = [{"input_ids": ids} for ids in tokenizer(texts, truncation=True, max_length=chosen.row_tokens)["input_ids"]]
    arguments = TrainingArguments(
        output_dir=str(folder / "trainer"), max_steps=chosen.steps, per_device_train_batch_size=chosen.batch_size,
        learning_rate=chosen.learning_rate, warmup_steps=chosen.steps // 20, weight_decay=0.01, seed=chosen.seed,
        report_to=[], save_strategy="no", logging_steps=50, use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    Trainer(
        model=model, args=arguments, train_dataset=rows, data_collator=DataCollatorForLanguageModeling(tokenizer)
    ).train()
    with new_folder(root / OUT) as made:
        model.bert.save_pretrained(made)
        tokenizer.save_pretrained(made)
    workspace.remove(folder)


if __name__ == "__main__":
    main()
