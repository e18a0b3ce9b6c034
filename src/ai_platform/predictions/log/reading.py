"""Reading the prediction log: the newest rows, for the command line."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import errors

from ai_platform.errors import Forbidden
from ai_platform.storage.postgres import BoundedConnection, translated


class LoggedPrediction(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the log.

    Attributes:
        id: the prediction's id, as its answer had it.
        at: when it was answered, by the clock of the API's machine.
        model: the model's name.
        version: its number.
        owner: whose key asked.
        key_id: which key; None while authentication was off.
        request_id: of the request.
        rows: how many instances it had.
        seconds: in the service.
        cache: `hit`, `miss` or `bypass`; None when the model failed.
        code: of the error, when the model failed.
        sample: the chance with which it was noted.
        input: `{"rows": …, "single": …}` in the order of the signature; None when it was not kept.
        output: the result object without its id; None when it was not kept, or there is none.
    """

    id: UUID
    at: datetime
    model: str
    version: int
    owner: str
    key_id: str | None
    request_id: str | None
    rows: int
    seconds: float
    cache: str | None
    code: str | None
    sample: float
    input: dict[str, Any] | None
    output: dict[str, Any] | None


# Each order is that of an index: of all predictions by id, of a model's by time.
_OF_ALL = "SELECT * FROM prediction_log ORDER BY id DESC LIMIT %(limit)s"
_OF_MODEL = """
SELECT * FROM prediction_log
WHERE model = %(model)s AND (%(version)s::int IS NULL OR version = %(version)s::int)
ORDER BY at DESC LIMIT %(limit)s
"""


def newest(
    connection: BoundedConnection, *, limit: int, model: str | None = None, version: int | None = None
) -> list[LoggedPrediction]:
    """The newest rows, the newest first.

    Args:
        connection: to PostgreSQL.
        limit: most rows.
        model: only this model's.
        version: only this version's; needs `model`.

    Raises:
        StorageUnavailable: PostgreSQL is away.
        Forbidden: this user of the database may not read the log.
    """
    statement = _OF_ALL if model is None else _OF_MODEL
    try:
        with translated():
            rows = connection.execute(statement, {"limit": limit, "model": model, "version": version}).fetchall()
    except errors.InsufficientPrivilege:
        raise Forbidden("this user of the database may not read the prediction log; the owner may") from None
    return [LoggedPrediction(**row) for row in rows]
