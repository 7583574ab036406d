"""What reads like a prompt, and what is only talk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.requests.small_talk import is_small_talk, reads_like_prompt

TALK = [
    "hi", "Hi!", "hello there", "Hello, everyone :)",
    "thanks", "thank you so much", "good morning", "help", "test test",
    "ok cool", "nice one", "yes please", "你好", "你好！", "谢谢你", "早上好", "ｈｅｌｌｏ　ｔｈｅｒｅ", "I love it",
]  # fmt: skip
QUESTIONS = [
    "what can you do", "how do I use this?", "are you a bot", "a red circle?", "who are you", "你是谁", "你会画画吗",
    "怎么用", "请问怎么画一个圆",
]  # fmt: skip
NOTHING = ["", "  ", "!!!", "🎉🎉", "hola", "lol", "k", "12", "猫", "😀 !"]
PROMPTS = [
    "a red circle", "A lighthouse at night --ar 16:9", "red circle", "the good old town in the evening light",
    "draw a cat", "hello kitty on a bike", "ein roter Kreis", "一个红色的圆",
    "红色的圆，蓝色背景", "你好，画一个红色的圆",
]  # fmt: skip


@pytest.mark.parametrize("text", TALK)
def test_small_talk(text: str) -> None:
    assert is_small_talk(text)
    assert not reads_like_prompt(text)


@pytest.mark.parametrize("text", QUESTIONS + NOTHING)
def test_neither(text: str) -> None:
    assert not reads_like_prompt(text)


@pytest.mark.parametrize("text", PROMPTS)
def test_prompts(text: str) -> None:
    assert reads_like_prompt(text)
    assert not is_small_talk(text)


@given(st.text(max_size=100))
def test_no_text_is_both(text: str) -> None:
    assert not (is_small_talk(text) and reads_like_prompt(text))
