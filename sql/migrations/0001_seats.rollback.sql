-- Roles belong to the whole server and may serve other databases: they stay.
DROP SCHEMA booking CASCADE;
