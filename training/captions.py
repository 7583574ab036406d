"""Captions of scenes, as people might type them, in English and in Chinese.

A caption leaves out the size ``medium`` and the place ``centre``. Training uses a new phrasing of a scene each time
(:func:`any_caption`); evaluation and examples use :func:`plain_caption`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from training.scenes import COLOURS, SHAPES, Colour, Place, Scene, Shape, Size

Language = Literal["en", "zh"]

_EN_SIZE: dict[Size, list[str]] = {
    "small": ["small", "little", "tiny"],
    "medium": [""],
    "large": ["large", "big", "huge"],
}
_EN_SIDE: dict[Place, str] = {"left": "left", "right": "right", "top": "top", "bottom": "bottom", "centre": ""}

_ZH_COLOUR: dict[Colour, str] = {
    "red": "红色",
    "green": "绿色",
    "blue": "蓝色",
    "yellow": "黄色",
    "purple": "紫色",
    "orange": "橙色",
    "white": "白色",
    "black": "黑色",
}
_ZH_SHAPE: dict[Shape, list[str]] = {
    "circle": ["圆形", "圆"],
    "square": ["正方形", "方形"],
    "triangle": ["三角形"],
    "star": ["星形", "星星"],
    "heart": ["心形", "爱心"],
}
_ZH_SIZE: dict[Size, str] = {"small": "小", "medium": "", "large": "大"}
_ZH_PLACE: dict[Place, list[str]] = {
    "centre": [""],
    "left": ["左边", "左侧"],
    "right": ["右边", "右侧"],
    "top": ["上方", "顶部"],
    "bottom": ["下方", "底部"],
}
_OPENINGS = ["", "", "", "", "a picture of ", "a photo of ", "an image of ", "draw "]
_ENDINGS = ["", "", "", "", "", ".", ", simple", ", flat colours", ", high quality", ", minimal art"]
_FILLER: tuple[str, ...] = (
    *("clean", "simple", "flat", "poster", "design", "with", "sharp", "edges", "and", "soft", "light,", "high"),
    *("quality,", "detailed,", "beautiful", "colours,", "no", "text,", "plain,", "minimal,", "modern", "art,"),
    *("professional", "photo"),
)


def words() -> list[str]:
    """Return every word of any caption, for the tokenizer: English ones alone, after a space and capitalised."""
    english = set(COLOURS) | set(SHAPES) | {side for side in _EN_SIDE.values() if side}
    english |= {word for group in _EN_SIZE.values() for word in group if word}
    english |= {"a", "an", "the", "of", "on", "in", "at", "to", "with", "and", "there", "is", "it", "side"}
    english |= {"background", "picture", "photo", "image", "draw"}
    english |= {word.strip(".,") for part in [*_OPENINGS, *_ENDINGS, *_FILLER] for word in part.split()}
    spellings = [form for word in sorted(english - {""}) for form in (word, f" {word}", word.capitalize())]
    chinese = {*_ZH_COLOUR.values(), "一个", "一颗", "的", "背景", "上", "有", "在", "画", "，", "。"}
    chinese |= {word for group in [*_ZH_SHAPE.values(), *_ZH_PLACE.values()] for word in group if word}
    chinese |= {word for word in _ZH_SIZE.values() if word}
    return spellings + sorted(chinese)


def plain_caption(scene: Scene, language: Language = "en") -> str:
    """Return the plainest caption: "a small red star on the left of a white background"."""
    if language == "zh":
        return _chinese(scene, np.random.default_rng(0), plain=True)
    what = _english_figure(scene, scene.size if scene.size != "medium" else "")
    return f"{_article(what)} {what} {_english_background(scene, 0)}"


def any_caption(scene: Scene, rng: np.random.Generator) -> str:
    """Return one of many phrasings; a third are Chinese, one in twelve leaves out the background."""
    if rng.random() < 1 / 3:
        return _chinese(scene, rng, plain=False)
    what = _english_figure(scene, str(rng.choice(_EN_SIZE[scene.size])))
    if rng.random() < 1 / 12 and scene.place == "centre":
        return _decorate(f"{_article(what)} {what}", rng)
    side = _EN_SIDE[scene.place]
    match rng.integers(6):
        case 0 | 1 | 2:
            text = f"{_article(what)} {what} {_english_background(scene, int(rng.integers(3)))}"
        case 3:
            text = f"{scene.background} background, {what}" + (f", {side}" if side else "")
        case 4:
            text = f"{what} on {scene.background}" + (f", {side}" if side else "")
        case _:
            where = rng.choice([f" on the {side} side", f" at the {side}", f", {side}"]) if side else ""
            text = f"{_article(what)} {what} on {_article(scene.background)} {scene.background} background{where}"
    return _decorate(text, rng)


def filler(rng: np.random.Generator, count: int) -> str:
    """Return ``count`` words that say nothing about a scene, to train on longer captions."""
    return " " + " ".join(rng.choice(_FILLER, size=count).tolist())


def _english_figure(scene: Scene, size: str) -> str:
    return " ".join(part for part in (size, scene.colour, scene.shape) if part)


def _english_background(scene: Scene, variant: int) -> str:
    ground = f"{_article(scene.background)} {scene.background} background"
    if scene.place == "centre":
        return ("on", "in front of", "on")[variant] + f" {ground}"
    side = _EN_SIDE[scene.place]
    lead = "at" if scene.place in ("top", "bottom") else "on"
    return (f"{lead} the {side} of {ground}", f"at the {side} of {ground}", f"on the {side} side of {ground}")[variant]


def _article(phrase: str) -> str:
    return "an" if phrase[0] in "aeiou" else "a"


def _decorate(text: str, rng: np.random.Generator) -> str:
    """Add an opening and an ending, which may be empty."""
    text = str(rng.choice(_OPENINGS)) + text + str(rng.choice(_ENDINGS))
    return text[0].upper() + text[1:] if rng.random() < 0.2 else text


def _chinese(scene: Scene, rng: np.random.Generator, *, plain: bool) -> str:
    """Return 一个小的红色星形，在左边，白色背景 or a variant of it."""
    variant = 0 if plain else int(rng.integers(4))
    shape = _ZH_SHAPE[scene.shape][0] if plain else str(rng.choice(_ZH_SHAPE[scene.shape]))
    place = _ZH_PLACE[scene.place][0] if plain else str(rng.choice(_ZH_PLACE[scene.place]))
    colour, ground = _ZH_COLOUR[scene.colour], f"{_ZH_COLOUR[scene.background]}背景"
    size = _ZH_SIZE[scene.size]
    figure = f"一个{size}的{colour}{shape}" if size and variant % 2 else f"一个{colour}的{size}{shape}"
    match variant:
        case 0:
            return f"{figure}，{place + '，' if place else ''}{ground}"
        case 1:
            return f"{ground}，{'在' + place + '，' if place else ''}{figure}"
        case 2:
            return f"在{ground}{'的' + place if place else '上'}有{figure}"
        case _:
            return f"{figure}，在{ground}{'的' + place if place else '上'}"
