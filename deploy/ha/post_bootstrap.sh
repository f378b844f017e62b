#!/bin/sh
# /etc/patroni/post_bootstrap.sh: Patroni runs it once, on the first primary, with the superuser's connection string.
set -eu
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set password="$PORTCULLIS_DATABASE_PASSWORD" "$1" <<'SQL'
CREATE ROLE portcullis LOGIN PASSWORD :'password';
CREATE DATABASE portcullis OWNER portcullis;
SQL
