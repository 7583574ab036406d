"""Tells small talk, such as a greeting or a question to the bot, from a description of a picture."""

from __future__ import annotations

import re
import unicodedata

_TALK = frozenset(
    """
    a all alright am and bot bye cheers cool everybody everyone evening fine good goodbye great guys haha hello help hey
    hi hiya i it its k lol lot love me morning much nice no ok okay one oops picture pictures please really sorry so
    sup test testing thank thanks that the there this thx ty u very wait welcome well whoa work wow yeah yes yo you
    """.split()  # noqa: SIM905 - a list of words reads best as one text
)
"""Words of small talk. A text of these alone describes no picture."""
_QUESTIONS = frozenset(
    ("are", "can", "could", "do", "does", "how", "is", "what", "when", "where", "which", "who", "why")
)
_TALK_CHINESE = tuple(
    """
    你好吗 你好呀 你好啊 你好 您好 大家好 早上好 下午好 晚上好 早安 晚安 谢谢你 谢谢 多谢 再见 帮助 帮帮我 好的 好吧
    测试 哈哈 厉害 不错 对不起
    """.split()  # noqa: SIM905
)
"""Phrases, a longer one before those that it contains."""
_QUESTIONS_CHINESE = ("什么", "怎么", "如何", "你是", "你会", "你能", "为什么", "请问", "在吗", "在不在")
_CHARACTERS_MIN = 3
_CHINESE = re.compile(r"[\u3400-\u9fff]")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")


def reads_like_prompt(text: str) -> bool:
    """Return whether a text could describe a picture, so that it is worth offering to generate it.

    Such a text has two words or more (in Chinese three characters), is no question, and has more in it than greetings,
    thanks and the like. One word alone is too often a word of another language that says none of these.
    """
    plain = unicodedata.normalize("NFKC", text).casefold().strip()
    if plain.endswith("?"):
        return False
    if _CHINESE.search(plain):
        return _chinese_prompt(plain)
    words = _WORD.findall(plain)
    if len(words) < 2 or words[0] in _QUESTIONS:
        return False
    return not all(word in _TALK for word in words)


def is_small_talk(text: str) -> bool:
    """Return whether a text says no more than a greeting, thanks and the like."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    if _CHINESE.search(plain):
        return not _CHINESE.search(_without_talk(plain))
    words = _WORD.findall(plain)
    return bool(words) and all(word in _TALK for word in words)


def _chinese_prompt(plain: str) -> bool:
    if plain.endswith(("吗", "呢")) or plain.startswith(_QUESTIONS_CHINESE):
        return False
    left = _without_talk(plain)
    return _CHINESE.search(left) is not None and sum(map(len, _WORD.findall(left))) >= _CHARACTERS_MIN


def _without_talk(plain: str) -> str:
    for phrase in _TALK_CHINESE:
        plain = plain.replace(phrase, " ")
    return plain
