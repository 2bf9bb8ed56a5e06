"""What pipeline.c does, in Python: aiohttp on uvloop fetches the documents, sqlite3 upserts them, 500 in a transaction.

Usage: pipeline.py DATABASE URL ACCOUNTS CONCURRENCY
"""
import asyncio
import hashlib
import sqlite3
import sys
import time

import aiohttp
import uvloop

PATH, URL, ACCOUNTS, CONCURRENCY = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
PER_TRANSACTION = 500

database = sqlite3.connect(PATH, isolation_level=None)
database.execute("PRAGMA journal_mode = WAL")
database.execute("PRAGMA synchronous = FULL")
database.execute("""CREATE TABLE IF NOT EXISTS profile (id INTEGER PRIMARY KEY, provider TEXT NOT NULL,
    subject TEXT NOT NULL, hash BLOB NOT NULL, body TEXT NOT NULL, fetched_at INTEGER NOT NULL,
    next_sync_at INTEGER NOT NULL, UNIQUE (provider, subject))""")
database.execute("CREATE INDEX IF NOT EXISTS profile_due ON profile (next_sync_at)")
waiting = []


def store():
    database.execute("BEGIN IMMEDIATE")
    database.executemany(
        """INSERT INTO profile (provider, subject, hash, body, fetched_at, next_sync_at)
        VALUES ('pipeline', ?1, ?2, ?3, ?4, ?5) ON CONFLICT (provider, subject) DO UPDATE SET
        hash = ?2, body = ?3, fetched_at = ?4, next_sync_at = ?5""", waiting)
    database.execute("COMMIT")
    waiting.clear()


async def work(session, numbers):
    for n in numbers:
        async with session.get(URL, headers={"Authorization": f"Bearer EXAMPLE-bulk-{n}"}) as response:
            if response.status != 200:
                raise SystemExit(f"status {response.status}")
            body = await response.read()
        now = time.time_ns() // 1_000_000
        waiting.append((str(n), hashlib.sha256(body).digest(), body.decode(), now, now + 21_600_000))
        if len(waiting) == PER_TRANSACTION:
            store()


async def main():
    numbers = iter(range(1, ACCOUNTS + 1))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONCURRENCY)) as session:
        await asyncio.gather(*(work(session, numbers) for _ in range(CONCURRENCY)))
    if waiting:
        store()


uvloop.run(main())
