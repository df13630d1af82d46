"""Answers frequent questions by their words. Run it with `wasess serve --bot examples/faq_bot.py:answer`.

A message in, a reply out: `Message` tells who wrote what and where, `Reply` says what is sent. While you write your own answers, add `--reload`.
"""

from __future__ import annotations

import re

from wasess import Message, Reply

# The words of a question, and its answer. Of several that fit, the one with the most words in the message wins.
ANSWERS = {
    "open opening hours when closed close today": "We are open Monday to Friday, 9:00 to 18:00.",
    "price prices cost costs much pay": "A repair costs 40 euros an hour, spare parts not included.",
    "address where find street parking": "We are in Example Street 12, behind the station. There is room for your car in the yard.",
}
GREETING = "Hello {name}! Ask me about our opening hours, our prices or how to find us."
GREETINGS = {"hello", "hi", "hey", "help"}


def answer(message: Message) -> Reply | None:
    """Answer a question, quoting it. Say nothing to what is no text, and in groups only to what we know for sure."""
    if message.kind != "text":
        return None
    words = set(re.findall(r"\w+", message.text.casefold()))
    best = max(ANSWERS, key=lambda question: len(words & set(question.split())))
    if words & set(best.split()):
        return Reply(ANSWERS[best], quote=True)
    if words & GREETINGS and not message.is_group:
        return Reply(GREETING.format(name=message.push_name or "there"))
    return None
