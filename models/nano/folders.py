"""Where the recipe's steps find each other's results."""

from pathlib import Path

HERE = Path(__file__).parent

#: Everything that can be made again (not in version control).
WORK = HERE / "work"
DIALOGUES = WORK / "dialogues.jsonl"
TOKENIZER = WORK / "tokenizer.json"
RUN = WORK / "run"

#: The weights that are shipped, with their tokenizer in them.
WEIGHTS = HERE / "rlm-nano.gguf"
