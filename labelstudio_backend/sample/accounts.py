"""Who logs in to the sample: made up once, kept in its data folder."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sam_plugins.files import atomic_path

FILE = "account.json"
# As many hexadecimal digits as Label Studio's own tokens.
TOKEN_BYTES = 20
PASSWORD_BYTES = 9


@dataclass(frozen=True)
class Account:
    """A login of Label Studio.

    Parameters
    ----------
    email, password : str
    token : str
        Legacy token of the same user.
    """

    email: str
    password: str = field(repr=False)
    token: str = field(repr=False)


def own_account(folder: Path) -> Account:
    """The account of a data folder; made up if there is none.

    Parameters
    ----------
    folder : Path
        Label Studio's data folder. Label Studio makes its first user at its first start and keeps
        it, so that the account must outlive the server.

    Returns
    -------
    Account
    """
    path = folder / FILE
    if path.is_file():
        return Account(**json.loads(path.read_text(encoding="utf-8")))
    # Other users of the machine reach the server, but must not get in.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    account = Account(
        email="you@example.com",
        password=secrets.token_urlsafe(PASSWORD_BYTES),
        token=secrets.token_hex(TOKEN_BYTES),
    )
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(asdict(account)), encoding="utf-8")
    return account
