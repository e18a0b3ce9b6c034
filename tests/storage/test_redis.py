"""Ending what speaks to Redis."""

import asyncio

from ai_platform.storage.redis import end


def test_a_task_that_loses_its_first_cancellation_ends_all_the_same() -> None:
    async def play() -> None:
        async def connecting() -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(60)

        task = asyncio.create_task(connecting())
        await asyncio.sleep(0)
        await end(task)
        assert task.cancelled()

    asyncio.run(play())
