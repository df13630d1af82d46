"""Which bot `serve` hands messages to: a function, a program, a webhook, or none."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wasess.delivery.function import validate_bot
from wasess.delivery.program import validate_program
from wasess.errors import UsageError
from wasess.store.guard import beginning
from wasess.store.trust import SECRET, require_trust
from wasess.words import _

if TYPE_CHECKING:
    import typer

    from wasess.assembly import AnyBot

LONGEST_SECRETS = 4096


@dataclass(frozen=True, slots=True)
class WebhookOptions:
    """What the options say about a webhook; see `delivery.webhook_spec.WebhookSpec`."""

    url: str
    secret_file: Path | None
    allow: tuple[str, ...]
    files: Path | None
    may_write: bool


def chosen_bot(function: str, program: str, webhook: WebhookOptions, home: Path) -> AnyBot | None:
    """The one that the options name, checked; None for none. Raises `UsageError`."""
    if sum(map(bool, (function, program, webhook.url))) > 1:
        raise UsageError(_("there can be one bot: --bot, --program or --webhook"), hint="wasess serve --help")
    if not webhook.url and (webhook.secret_file or webhook.allow or webhook.files or webhook.may_write):
        sentence = _("--webhook-secret-file, --webhook-allow, --webhook-files and --webhook-may-write belong to --webhook")
        raise UsageError(sentence, hint="wasess serve --help")
    if function:
        return validate_bot(function)
    if program:
        return validate_program(program)
    return _webhook(webhook, home) if webhook.url else None


def secret_files(context: typer.Context) -> tuple[Path, ...]:
    """The files that are never sent: that of the settings, and that of the webhook's secret."""
    file = getattr(context.find_root().default_map, "file", None)
    found = [Path(file.path)] if file is not None and file.path else []
    given = context.params.get("webhook_secret_file")
    return (*found, *webhook_paths(context, "webhook-secret-file"), *([Path(given).absolute()] if given else []))


def webhook_paths(context: typer.Context, *names: str) -> tuple[Path, ...]:
    """What these options of ``serve`` name in the environment and in the file of settings, whichever command asks."""
    file = getattr(context.find_root().default_map, "file", None)
    table = file.content().get("serve") if file is not None and file.path else None
    found = [os.environ.get("WASESS_" + name.upper().replace("-", "_"), "") for name in names]
    if file is not None and isinstance(table, dict):
        folder = os.path.dirname(file.path)  # noqa: PTH120 - as cli.defaults reads it
        values = [os.path.expanduser(str(table[name])) for name in names if table.get(name)]  # noqa: PTH111 - as above
        found += [os.path.join(folder, value) for value in values]  # noqa: PTH118 - as above
    return tuple(Path(path).absolute() for path in found if path)


def _webhook(webhook: WebhookOptions, home: Path) -> AnyBot:
    from wasess.delivery.webhook_spec import validate_webhook  # noqa: PLC0415 - only a webhook needs it

    secret_file, files = webhook.secret_file, webhook.files
    if files is not None and files.resolve().is_relative_to(home.resolve()):
        raise UsageError(_("--webhook-files is in wasess's home, and nothing in there is ever sent"), hint="--webhook-files DIR")
    if secret_file is None:
        raise UsageError(
            _("a webhook needs a secret: without one, anybody could write to it in our name"),
            hint=_("--webhook-secret-file FILE; make one: {command}").format(
                command="(umask 077; echo whsec_$(head -c 32 /dev/urandom | base64) > webhook.secret)"
            ),
        )
    require_trust(secret_file, SECRET)
    try:
        secrets = beginning(secret_file, LONGEST_SECRETS)
        return validate_webhook(webhook.url, secrets.decode("ascii"), allow=webhook.allow, files=files, may_write=webhook.may_write)
    except OSError as error:
        raise UsageError(
            _("the secret in {file} can't be read: {problem}").format(file=secret_file, problem=error.strerror), hint=f"ls -l {secret_file}"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(_("the secret in {file} is no text").format(file=secret_file), hint=f"head -c 100 {secret_file}") from error
