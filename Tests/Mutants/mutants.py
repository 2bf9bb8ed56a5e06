"""The mutants: each breaks what the service promises, and each has to be caught.

`edits` are exact texts, each there once in its file, and what takes their place. `tests` are filters of test names: of
each at least one test has to fail, under `environment`. `targets` are the test targets that have them.
"""

REFRESH = "Sources/Linking/TokenRefresh.swift"
CREDENTIALS = "Sources/Store/CredentialStore.swift"
ACCOUNTS = "Sources/Store/AccountStore.swift"
SMALL_WORLDS = "in thousands of small worlds no good grant is lost"

MUTANTS = [
    {
        "name": "custody: no intent before the request",
        "edits": [
            (CREDENTIALS, "                WHERE account_id = ?5 AND generation = ?6\n",
             "                WHERE account_id = ?5 AND generation = ?6 AND 0\n"),
            (CREDENTIALS, "guard changed == 1 else { throw StoreError.corrupt }",
             "guard changed == 0 else { throw StoreError.corrupt }"),
        ],
        "targets": ["SyncTests"],
        "tests": [SMALL_WORLDS],
        "environment": {"SYNC_SEEDS": "200"},
    },
    {
        "name": "custody: no compare-and-swap",
        "edits": [
            (CREDENTIALS,
             "guard let row = try transaction.credentialRow(id), row.generation == generation else { return false }",
             "guard let row = try transaction.credentialRow(id) else { return false }"),
        ],
        "targets": ["SyncTests"],
        "tests": [SMALL_WORLDS],
        "environment": {"SYNC_SEEDS": "200"},
    },
    {
        "name": "custody: the first invalid_grant is believed",
        "edits": [
            (ACCOUNTS, "guard let row = try transaction.credentialRow(id), row.generation == generation,\n"
             "                let account = try transaction.account(id)\n            else { return false }\n"
             "            // Whoever marked it",
             "guard try transaction.credentialRow(id) != nil,\n"
             "                let account = try transaction.account(id)\n            else { return false }\n"
             "            // Whoever marked it"),
            (REFRESH, "return current.generation == stored.generation ? .failure(refusal) : .success(current)",
             "return current.generation > 0 ? .failure(refusal) : .success(current)"),
        ],
        "targets": ["SyncTests"],
        "tests": [SMALL_WORLDS],
        "environment": {"SYNC_SEEDS": "200"},
    },
    {
        "name": "custody: a token is used before it is durable",
        "edits": [
            (REFRESH, "guard try await store(credential, of: account.id, after: stored.generation) else {",
             "Task {\n"
             "            for _ in 0..<200 { await Task.yield() }\n"
             "            _ = try await store(credential, of: account.id, after: stored.generation)\n"
             "        }\n"
             "        guard stored.generation > 0 else {"),
        ],
        "targets": ["SyncTests"],
        "tests": [SMALL_WORLDS],
        "environment": {"SYNC_SEEDS": "200"},
    },
]
