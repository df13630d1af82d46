"""Which bot `serve` hands messages to: a function, a program, a webhook, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasess.delivery.function import validate_bot
from wasess.delivery.program import validate_program
from wasess.errors import UsageError
from wasess.store.guard import beginning
from wasess.store.trust import SECRET, require_trust
from wasess.words import _

if TYPE_CHECKING:
    from pathlib import Path

    from wasess.assembly import AnyBot

LONGEST_SECRETS = 4096


def chosen_bot(function: str, program: str, webhook: str, secret_file: Path | None, allow: tuple[str, ...]) -> AnyBot | None:
    """The one that the options name, checked; None for none. Raises `UsageError`."""
    if sum(map(bool, (function, program, webhook))) > 1:
        raise UsageError(_("there can be one bot: --bot, --program or --webhook"), hint="wasess serve --help")
    if not webhook and (secret_file or allow):
        raise UsageError(_("--webhook-secret-file and --webhook-allow belong to --webhook"), hint="wasess serve --help")
    if function:
        return validate_bot(function)
    if program:
        return validate_program(program)
    return _webhook(webhook, secret_file, allow) if webhook else None


def _webhook(url: str, secret_file: Path | None, allow: tuple[str, ...]) -> AnyBot:
    from wasess.delivery.webhook_spec import validate_webhook  # noqa: PLC0415 - only a webhook needs it

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
        return validate_webhook(url, secrets.decode("ascii"), allow=allow)
    except OSError as error:
        raise UsageError(
            _("the secret in {file} can't be read: {problem}").format(file=secret_file, problem=error.strerror), hint=f"ls -l {secret_file}"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(_("the secret in {file} is no text").format(file=secret_file), hint=f"head -c 100 {secret_file}") from error
