-- One database, and one role that owns it, for Lamplighter. Run once, as PostgreSQL's administrator:
--
--     psql --set ON_ERROR_STOP=1 --file deploy/postgresql/setup.sql
--
-- The role has no password: over the local socket PostgreSQL knows it by the user of the operating system
-- (pg_hba.conf: "local lamplighter lamplighter peer"). Over a network, set one with \password lamplighter and
-- ask for TLS ("hostssl lamplighter lamplighter ADDRESS scram-sha-256").

CREATE ROLE lamplighter LOGIN;
CREATE DATABASE lamplighter OWNER lamplighter ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
REVOKE ALL ON DATABASE lamplighter FROM PUBLIC;

-- How often tables are vacuumed is the server's own setting: see lamplighter.conf.
ALTER DATABASE lamplighter SET random_page_cost = 1.1;          -- disks without moving parts
ALTER DATABASE lamplighter SET statement_timeout = '15min';     -- counting ten million Devices takes seconds
ALTER DATABASE lamplighter SET lock_timeout = '60s';
