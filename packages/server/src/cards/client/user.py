"""Reads a card as Hugging Face's hub does, and says what it found there."""

import json
import sys
from pathlib import Path

from huggingface_hub import ModelCard

card = ModelCard(Path(sys.argv[1]).read_text(encoding="utf-8"), ignore_metadata_errors=False)
data = card.data
print(
    json.dumps(
        {
            "name": data.model_name,
            "license": data.license,
            "language": data.language,
            "library": data.library_name,
            "pipeline": data.pipeline_tag,
            "tags": data.tags,
            "results": [
                [one.task_type, one.dataset_type, one.dataset_name, one.dataset_config, one.dataset_revision, one.metric_type, one.metric_value]
                for one in data.eval_results or []
            ],
            "again": ModelCard(str(card)).data.to_dict() == data.to_dict(),
            "title": next(line for line in card.text.splitlines() if line.startswith("# ")),
            "sections": [line[3:] for line in card.text.splitlines() if line.startswith("## ")],
        }
    )
)
