-- Nothing has changed: both files have one version.
SELECT 1;
