"""Build the demo model's tokenizer: byte-level BPE trained on the captions' words, with a chat template like Qwen's.

``python -m training.tokenizer`` writes it and shows the tokens of some captions. It is trained on single words, since
otherwise it would merge whole Chinese phrases. The template's words are included, since otherwise each of their bytes
would be a token.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Qwen2Tokenizer

from training.captions import plain_caption, words
from training.scenes import Scene
from training.training import WORK

FOLDER = WORK / "tokenizer"
_VOCABULARY = 1024
_CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_tokenizer() -> Qwen2Tokenizer:
    """Train the tokenizer. It can encode any text, since every byte is a token."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    bpe.train_from_iterator([*words(), "user", "assistant", "\n"] * 2, trainer)
    model = bpe.model
    folder = WORK / "bpe"
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, merges = model.save(str(folder))
    vocab, pairs = models.BPE.read_file(vocabulary, merges)
    tokenizer = Qwen2Tokenizer(vocab=vocab, merges=pairs, model_max_length=512)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = _CHAT_TEMPLATE
    return tokenizer


def as_chat(tokenizer: Qwen2Tokenizer, prompt: str) -> str:
    """Return the prompt in the chat template, exactly as diffusers' Z-Image pipelines do."""
    wrapped = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True, enable_thinking=True
    )
    assert isinstance(wrapped, str)
    return wrapped


def main() -> None:
    """Write the tokenizer and show the tokens of two captions."""
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(FOLDER)
    size = sum(path.stat().st_size for path in Path(FOLDER).iterdir())
    print(f"{len(tokenizer)} tokens, {size / 1000:.0f} kB in {FOLDER}")
    scene = Scene("star", "red", "white", "small", "left")
    for text in (plain_caption(scene), plain_caption(scene, "zh")):
        tokens = tokenizer.tokenize(as_chat(tokenizer, text))
        print(len(tokens), [tokenizer.convert_tokens_to_string([token]) for token in tokens])


if __name__ == "__main__":
    main()
