"""Programs that were mended after a training, put into its weights. Not a step of `make nano`.

    python -m models.nano.revise --model rlm-nano.gguf --out revised.gguf

A line of a program is a token. What a training learns of it is its place among the others, not its
text: that stands in the vocabulary alone. So where a program is mended and prints what it did, the
weights write the mended one when the tokens of its lines say the new ones. Nothing else of the
file changes, and no tensor does. `revised.toml` lists the lines, and the file's metadata the digest
of the weights they were changed in.
"""

from __future__ import annotations

import argparse
import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path

import gguf

from models.nano.folders import WEIGHTS

REVISED = Path(__file__).with_name("revised.toml")
#: The metadata's key under which a revised file names the one it was made of.
SOURCE = "rlm.revised_from"
_TOKENS = "tokenizer.ggml.tokens"
_TYPES = "tokenizer.ggml.token_type"


def lines(path: Path = REVISED) -> dict[str, str]:
    """The lines that have changed: what each was, and what it is, both with their line ends. A
    line may have become several. Raises ValueError if one is empty, or listed twice."""
    listed = tomllib.loads(path.read_text())["line"]
    changed = {one["was"]: one["now"] for one in listed}
    if len(changed) < len(listed) or not all(map(str.strip, (*changed, *changed.values()))):
        raise ValueError(f"{path}: a line is empty, or listed twice")
    return changed


def revised(tokens: list[str], kinds: list[int], changed: Mapping[str, str]) -> list[str]:
    """A vocabulary whose line tokens say what `changed` says. Raises ValueError if it has no token
    of one of these lines, or one already that says what another is to say."""
    own = {
        token
        for token, kind in zip(tokens, kinds, strict=True)
        if kind == gguf.TokenType.USER_DEFINED
    }
    if missing := sorted(changed.keys() - own):
        raise ValueError(f"no token of the vocabulary is the line {missing[0]!r}")
    found = [changed.get(token, token) if token in own else token for token in tokens]
    if len(set(found)) < len(found):
        raise ValueError("two tokens of the vocabulary would be the same line")
    return found


def write(source: Path, target: Path, changed: Mapping[str, str]) -> None:
    """Write the weights of `source` with the changed lines to `target`. Raises ValueError as
    `revised`, and if `source` was revised before: lines are of the weights as they were trained."""
    reader = gguf.GGUFReader(source)
    values = {name: field.contents() for name, field in reader.fields.items()}
    if SOURCE in values:
        raise ValueError(f"{source} was revised already; begin with the weights of the training")
    writer = gguf.GGUFWriter(target, values.pop("general.architecture"))
    tokens = revised(values[_TOKENS], values[_TYPES], changed)
    for name, field in reader.fields.items():
        if name in values and not name.startswith("GGUF."):
            value = tokens if name == _TOKENS else values[name]
            inner = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(name, value, field.types[0], inner)
    writer.add_string(SOURCE, "sha256 " + hashlib.sha256(source.read_bytes()).hexdigest())
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=WEIGHTS)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    write(arguments.model, arguments.out, lines())
    digest = hashlib.sha256(arguments.out.read_bytes()).hexdigest()
    print(f"{arguments.out}: {len(lines())} lines revised\nsha256 {digest}")


if __name__ == "__main__":
    main()
