"""What a member typed into an interaction that asks for a picture: a slash command or a form."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import discord

from bot.requests.drafts import Draft
from bot.requests.spec import ImageOptions
from bot.views.modals import read_form
from bot.views.picture_references import (
    NEWEST,
    attachment_reference,
    image_reference,
    message_reference,
    source_reference,
    upload_reference,
)
from bot.views.request_form import read_request_form

_COMMANDS = ("imagine", "edit")


def draft_of(interaction: discord.Interaction[Any]) -> Draft | None:
    """Return what was typed into ``/imagine``, ``/edit`` or a form; None for other interactions."""
    if interaction.type is discord.InteractionType.modal_submit:
        return _of_form(interaction)
    data: Any = interaction.data or {}
    if interaction.type is discord.InteractionType.application_command and data.get("name") in _COMMANDS:
        return _of_command(interaction, edit=data["name"] == "edit")
    return None


def _of_command(interaction: discord.Interaction[Any], *, edit: bool) -> Draft | None:
    values = dict(iter(interaction.namespace))
    prompt = str(values.get("prompt") or "")
    if not prompt and not edit:
        return None
    given = {field.name: values[field.name] for field in fields(ImageOptions) if values.get(field.name) is not None}
    options = ImageOptions(**{**given, "prompt": prompt})
    image, source, mask = values.get("image"), values.get("source"), values.get("mask")
    picture = None
    if edit and isinstance(image, discord.Attachment):
        picture = attachment_reference(image)
    elif edit:
        picture = source_reference(source) if source else NEWEST
    drawn = attachment_reference(mask) if isinstance(mask, discord.Attachment) else ""
    private = values.get("private")
    return Draft.of(options, private=None if private is None else bool(private), picture=picture, mask=drawn)


def _of_form(interaction: discord.Interaction[Any]) -> Draft | None:
    request = read_request_form(interaction)
    if request is not None:
        return request.draft
    form = read_form(interaction)
    if form is None:
        return None
    if form.image_id is not None:
        picture = image_reference(form.image_id)
    elif form.upload_id is not None:
        picture = upload_reference(form.upload_id)
    else:
        assert form.message is not None, "a form names its picture"
        picture = message_reference(*form.message)
    texts = {name: text.strip() for name, text in form.texts.items() if text.strip()}
    if form.which is not None:
        texts["image"] = str(form.which)
    flags = " ".join(f"--{name} {text}" for name, text in texts.items())
    return Draft(form.prompt, flags=flags, picture=picture)
