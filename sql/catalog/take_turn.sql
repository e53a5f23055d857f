-- One row: how many rows changed; of two transactions that do this at once, one fails and is tried again.
UPDATE layout SET writes = writes + 1
