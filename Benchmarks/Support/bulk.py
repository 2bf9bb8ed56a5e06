"""Accounts of people that the benchmarks' servers make up: person n, whose access token is EXAMPLE-bulk-n."""
import json
import pathlib

# Person n has this id and n added.
FIRST_SUBJECT = 500_000_000


def write_accounts(folder, provider, count):
    """A file to import."""
    file = pathlib.Path(folder) / "accounts.ndjson"
    with file.open("w") as out:
        for n in range(1, count + 1):
            out.write(json.dumps({"user_id": f"user-{n}", "provider": provider, "subject": str(FIRST_SUBJECT + n),
                                  "access_token": f"EXAMPLE-bulk-{n}"}) + "\n")
    return file
