-- Finding things among millions by a part of the name. Trigrams come with the extension pg_trgm, which
-- the owner of a database may install since PostgreSQL 13. Where it cannot be had, everything works
-- but such a search reads all names; `things doctor` says so.

DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX things_name_trigrams ON things USING gin ((lower(name COLLATE "C")) gin_trgm_ops);
EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported OR undefined_object THEN
    RAISE WARNING 'pg_trgm is not available: searching things by name will be slow';
END
$$;
