-- When a picture was first handed out: posted, exported, shown in a sheet, or edited. A job that ends without a result
-- is charged for the pictures that were.
ALTER TABLE images ADD COLUMN seen_at INTEGER;

UPDATE images SET seen_at = (SELECT ended_at FROM jobs WHERE jobs.id = images.job_id)
WHERE state IN ('rendered', 'deleted') AND job_id IN (SELECT id FROM jobs WHERE state = 'delivered');
