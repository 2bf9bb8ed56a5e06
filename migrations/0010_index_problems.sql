-- How many accounts have which problem is asked every few seconds by whoever watches; most accounts have none.
CREATE INDEX linked_account_problem ON linked_account (provider, problem_code, problem_since)
    WHERE problem_code IS NOT NULL;
