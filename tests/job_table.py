"""Jobs and workers as rows, moved by the named statements, without any process."""

from datetime import timedelta
from typing import Any

from ai_platform.jobs import statements
from ai_platform.predictions.ids import new_id
from ai_platform.storage.postgres import BoundedConnection

RESULT = '{"prediction":0}'


class JobTable:
    """Runs the named statements as the API, workers and the sweeper do."""

    def __init__(self, connection: BoundedConnection) -> None:
        self.connection = connection

    def run(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        cursor = self.connection.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []

    def accept(
        self,
        key: str | None = None,
        *,
        max_attempts: int = 5,
        owner: str = "anonymous",
        job_id: Any = None,
        model: str = "iris",
        version: int = 1,
        hard_limit: float = 60.0,
    ) -> Any:
        job_id = job_id or new_id()
        self.run(
            statements.ACCEPT, ids=[job_id], owners=[owner], models=[model], versions=[version],
            inputs=['{"rows":[[5.1,3.5,1.4,0.2]],"single":true}'], keys=[key], hashes=[b"hash"],
            hard_limits=[hard_limit], lifetimes=[None], retries_of=[None],
            key_lifetime=timedelta(hours=24), max_attempts=max_attempts,
        )  # fmt: skip
        return job_id

    def claim(self, *ids: Any, worker: str = "w1") -> list[dict[str, Any]]:
        return self.run(
            statements.CLAIM_NAMED, ids=list(ids), worker=worker, host="h", pid=1, process_started=0.0, limit=256,
        )  # fmt: skip

    def claim_oldest(self, worker: str = "w1", limit: int = 256) -> list[dict[str, Any]]:
        return self.run(
            statements.CLAIM_OLDEST, worker=worker, host="h", pid=1, process_started=0.0, limit=limit,
        )  # fmt: skip

    def overrun(self, job_id: Any) -> None:
        """Let its time limit be over."""
        self.run("UPDATE jobs SET lease_until = now() - interval '1 second' WHERE id = %(id)s", id=job_id)

    def finish(self, job_id: Any, attempt: int, *, state: str = "succeeded") -> bool:
        failed = state == "failed"
        return bool(
            self.run(
                statements.FINISH, ids=[job_id], attempts=[attempt], states=[state],
                results=[None if failed else RESULT], codes=["model_error" if failed else None],
                details=["it raised" if failed else None],
            )
        )  # fmt: skip

    def rescue(self, *, lease: float = 8, judge_silence: bool = True) -> list[dict[str, Any]]:
        return self.run(statements.RESCUE, lease=timedelta(seconds=lease), judge_silence=judge_silence)

    def delete_workers(self, *names: str) -> None:
        self.run(statements.DELETE_WORKERS, names=list(names))

    def job(self, job_id: Any) -> dict[str, Any]:
        return self.run("SELECT * FROM jobs WHERE id = %(id)s", id=job_id)[0]
