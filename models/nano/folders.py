"""Where the recipe's steps find each other's results."""

from pathlib import Path

HERE = Path(__file__).parent

#: Everything that can be made again (not in version control).
WORK = HERE / "work"
DIALOGUES = WORK / "dialogues.jsonl"
RUN = WORK / "run"

TOKENIZER = HERE / "tokenizer.json"
WEIGHTS = HERE / "rlm-nano.gguf"
